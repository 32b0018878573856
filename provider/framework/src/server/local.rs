//! A provider on one connection within this process, for tests: no handshake, no TLS, no environment.

use std::sync::Arc;

use futures::StreamExt as _;
use strata_proto::plugin::grpc_controller_server::GrpcControllerServer;
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::plugin::Plugin;
use super::service::Service;
use super::{LARGEST_MESSAGE, ProviderServer};
use crate::Registry;
use crate::resource::Provider;

/// Serves a provider to whoever holds the other end: `tfplugin6.Provider`, and `plugin.GRPCController`, whose Shutdown
/// releases leases and ends this future; dropping it ends the provider too. A test's own client speaks to it as Terraform
/// does: `tests/protocol.rs` of this crate replays conversations from files.
///
/// # Errors
/// When the connection breaks in a way that HTTP/2 cannot explain.
pub async fn serve_local<P: Provider>(
    registry: Registry<P>,
    connection: DuplexStream,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let end = CancellationToken::new();
    let service = Service::new(registry);
    let cleaned = service.clone();
    let plugin = Plugin {
        end: end.clone(),
        clean_up: Arc::new(move || {
            let cleaned = cleaned.clone();
            Box::pin(async move { cleaned.close_leases().await })
        }),
    };
    let provider = ProviderServer::new(service).max_decoding_message_size(LARGEST_MESSAGE);
    // A stream of connections that ended would end the server.
    let incoming = futures::stream::once(std::future::ready(Ok::<_, std::io::Error>(connection)))
        .chain(futures::stream::pending());
    Server::builder()
        .add_service(provider)
        .add_service(GrpcControllerServer::new(plugin))
        .serve_with_incoming_shutdown(incoming, end.cancelled_owned())
        .await?;
    Ok(())
}
