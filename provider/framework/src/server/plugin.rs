//! go-plugin's own services: shutdown, the silent output stream, the silent broker, health.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use futures::future::BoxFuture;
use strata_proto::health::health_server::Health;
use strata_proto::health::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};
use strata_proto::plugin::grpc_broker_server::GrpcBroker;
use strata_proto::plugin::grpc_controller_server::GrpcController;
use strata_proto::plugin::grpc_stdio_server::GrpcStdio;
use strata_proto::plugin::{ConnInfo, Empty, StdioData};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

type Silent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A stream that says nothing and ends with the process.
fn silence<T: Send + 'static>(end: CancellationToken) -> Silent<T> {
    Box::pin(futures::stream::once(end.cancelled_owned()).filter_map(|()| std::future::ready(None)))
}

use futures::StreamExt as _;

/// All four, on one token: cancelled means the process ends.
#[derive(Clone)]
pub(super) struct Plugin {
    pub(super) end: CancellationToken,
    /// Bounded clean-up before the end.
    pub(super) clean_up: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

#[tonic::async_trait]
impl GrpcController for Plugin {
    async fn shutdown(&self, _: Request<Empty>) -> Result<Response<Empty>, Status> {
        (self.clean_up)().await;
        // The server ends gracefully: this answer is still sent.
        self.end.cancel();
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl GrpcStdio for Plugin {
    type StreamStdioStream = Silent<StdioData>;
    async fn stream_stdio(
        &self,
        _: Request<()>,
    ) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(silence(self.end.clone())))
    }
}

#[tonic::async_trait]
impl GrpcBroker for Plugin {
    type StartStreamStream = Silent<ConnInfo>;
    async fn start_stream(
        &self,
        _: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        // Never echo: core would take it for a connection to make.
        Ok(Response::new(silence(self.end.clone())))
    }
}

fn health(service: &str) -> Result<HealthCheckResponse, Status> {
    match service {
        "" | "plugin" => Ok(HealthCheckResponse {
            status: ServingStatus::Serving.into(),
        }),
        other => Err(Status::not_found(format!("no service {other:?}"))),
    }
}

#[tonic::async_trait]
impl Health for Plugin {
    type WatchStream = Silent<HealthCheckResponse>;
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        health(&request.into_inner().service).map(Response::new)
    }
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let first = health(&request.into_inner().service)?;
        let all =
            futures::stream::once(std::future::ready(Ok(first))).chain(silence(self.end.clone()));
        Ok(Response::new(Box::pin(all)))
    }
}
