//! Teleport's auth service through its proxy, by the one port of TLS routing: the proxy reads from the handshake (ALPN `teleport-auth@<name in hex>...`) for whom a
//! connection is and passes it on as it is, so that TLS ends at the auth service, whose certificates are for `teleport.cluster.local`.
//!
//! Covered: `proto.AuthService/CreateTokenV2` and `DeleteToken`. Not handled: a proxy behind a load balancer that ends TLS (Teleport wraps connections in
//! WebSockets there), and one without TLS routing. Written from Teleport's public source and never tried with a real one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use strata_proto::teleport::auth_service_client::AuthServiceClient;
use strata_proto::teleport::create_token_v2_request::Token;
use strata_proto::teleport::{
    CreateTokenV2Request, Metadata, ProvisionTokenSpecV2, ProvisionTokenV2, ResourceRequest,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::Error;
use super::identity::Identity;
use crate::http::dial::Dialer;
use crate::kubernetes;
use crate::secret::Secret;

/// Of one connection, and of one call.
const PATIENCE: Duration = Duration::from_secs(10);
/// The name that every auth service has a certificate for.
const NAME: &str = "teleport.cluster.local";

/// A session with the auth service; nothing is kept between two uses.
pub(super) struct Auth(AuthServiceClient<Channel>);

impl Auth {
    /// Connects through the proxy, `host:port`.
    pub(super) async fn connect(
        dialer: &Dialer,
        proxy: &str,
        identity: &Identity,
    ) -> Result<Self, Error> {
        let unreachable = |reason: String| Error::Unreachable {
            proxy: proxy.to_owned(),
            reason,
        };
        let (host, port) = proxy
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.trim_matches(['[', ']']), port.parse().ok()?)))
            .ok_or_else(|| unreachable("it is not like teleport.example.org:443".into()))?;
        let tls = kubernetes::trusting(&identity.ca, Some(&identity.user))
            .map_err(|error| unreachable(strata_framework::chain(&error)))?;
        let mut tls = Arc::unwrap_or_clone(tls);
        let route = HEXLOWER.encode(identity.cluster.as_bytes());
        tls.alpn_protocols = vec![
            format!("teleport-auth@{route}.{NAME}").into_bytes(),
            b"h2".to_vec(),
        ];
        let tcp = dialer
            .dial(host, port, PATIENCE)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let name = ServerName::try_from(NAME).expect("a constant name");
        let connecting = TlsConnector::from(Arc::new(tls)).connect(name, tcp);
        let stream = tokio::time::timeout(PATIENCE, connecting)
            .await
            .map_err(|_| unreachable("no TLS handshake within 10 s".into()))?
            .map_err(|error| unreachable(format!("TLS failed: {error}")))?;
        let mut stream = Some(TokioIo::new(stream));
        let once = tower::service_fn(move |_: Uri| {
            let stream = stream.take();
            async move { stream.ok_or_else(|| std::io::Error::other("the connection ended")) }
        });
        let channel = Endpoint::from_static("http://teleport.cluster.local")
            .timeout(PATIENCE)
            .connect_with_connector(once)
            .await
            .map_err(|error| unreachable(strata_framework::chain(&error)))?;
        Ok(Self(AuthServiceClient::new(channel)))
    }

    /// Makes a token with which one may join as an agent for Kubernetes, until `expires`.
    pub(super) async fn create(
        &mut self,
        token: &Secret<String>,
        expires: SystemTime,
        description: String,
    ) -> Result<(), Error> {
        let token_v2 = ProvisionTokenV2 {
            kind: "token".into(),
            version: "v2".into(),
            metadata: Some(Metadata {
                name: token.expose().clone(),
                description,
                expires: Some(prost_types::Timestamp::from(expires)),
            }),
            spec: Some(ProvisionTokenSpecV2 {
                roles: vec!["Kube".into()],
                join_method: "token".into(),
            }),
        };
        let request = CreateTokenV2Request {
            token: Some(Token::V2(token_v2)),
        };
        let answer = self.0.create_token_v2(request).await;
        answer
            .map(drop)
            .map_err(|status| Error::refused("make", token, &status))
    }

    /// Takes a token back; one that is gone is none.
    pub(super) async fn delete(&mut self, token: &Secret<String>) -> Result<(), Error> {
        let request = ResourceRequest {
            name: token.expose().clone(),
        };
        match self.0.delete_token(request).await {
            Err(status) if status.code() != tonic::Code::NotFound => {
                Err(Error::refused("take back", token, &status))
            }
            _ => Ok(()),
        }
    }
}
