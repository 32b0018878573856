//! One API server on port 6443: TLS with optional client certificates, HTTP/1.1 and HTTP/2 over an in-process stream.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::answer::{Body, Reply};
use super::discovery;
use super::identity::Identity;
use super::plane::ControlPlane;
use super::request::{Query, Request, Route};
use super::status::ApiError;
use crate::fault::Action;
use crate::network::Serve;

const PLACE: &str = "kubernetes";
/// Paths that a server with restricted anonymous access still answers to strangers.
const OPEN_TO_ALL: [&str; 4] = ["/livez", "/readyz", "/healthz", "/version"];

type Answer = http::Response<BoxBody<Bytes, Infallible>>;

/// The API server of one control plane node.
#[derive(Clone)]
pub struct ApiServer {
    plane: Weak<ControlPlane>,
    tls: TlsAcceptor,
    node: String,
    expires: Timestamp,
}

impl ControlPlane {
    /// An API server with this serving certificate; all servers of a cluster share its state.
    pub fn server(
        self: &Arc<Self>,
        node_name: &str,
        serving_cert_chain_pem: &str,
        serving_key_pem: &str,
    ) -> Result<ApiServer, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.bootstrap.ca_crt, "ca.crt")? {
            roots
                .add(authority)
                .map_err(|error| format!("reading ca.crt: {error}"))?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| format!("preparing client certificates of ca.crt: {error}"))?;
        let chain = certificates(serving_cert_chain_pem, "apiserver.crt")?;
        let expires = chain
            .first()
            .and_then(|leaf| X509Certificate::from_der(leaf).ok())
            .and_then(|(_, leaf)| {
                Timestamp::from_second(leaf.validity().not_after.timestamp()).ok()
            })
            .ok_or("reading apiserver.crt: no end of its validity")?;
        let key = PrivateKeyDer::from_pem_slice(serving_key_pem.as_bytes())
            .map_err(|error| format!("reading apiserver.key: {error}"))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("preparing TLS: {error}"))?
            .with_client_cert_verifier(Arc::new(Timeless(verifier)))
            .with_single_cert(chain, key)
            .map_err(|error| format!("using apiserver.crt with apiserver.key: {error}"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(ApiServer {
            plane: Arc::downgrade(self),
            tls: TlsAcceptor::from(Arc::new(config)),
            node: node_name.into(),
            expires,
        })
    }
}

fn certificates(pem: &str, name: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("reading {name}: {error}"))?;
    if all.is_empty() {
        Err(format!("reading {name}: no certificate in it"))
    } else {
        Ok(all)
    }
}

/// Checks signatures and usage of client certificates but not their dates: which clock counts is decided in `identity`.
struct Timeless(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for Timeless {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Timeless")
    }
}

impl ClientCertVerifier for Timeless {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let start = X509Certificate::from_der(leaf)
            .ok()
            .and_then(|(_, leaf)| u64::try_from(leaf.validity().not_before.timestamp()).ok());
        let moment = start.map_or(now, |start| {
            UnixTime::since_unix_epoch(Duration::from_secs(start + 1))
        });
        // The authority itself may be younger than the leaf says when clocks differ; then today is right.
        self.0
            .verify_client_cert(leaf, intermediates, moment)
            .or_else(|_| self.0.verify_client_cert(leaf, intermediates, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl ApiServer {
    /// The node it runs on.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Whether its certificate has ended by the lab's clock.
    pub fn is_expired(&self) -> bool {
        self.plane
            .upgrade()
            .is_some_and(|plane| plane.clock.now() >= self.expires)
    }

    /// How long its certificate lasts, by the lab's clock; nothing once it has ended.
    pub fn lasts(&self) -> Option<Duration> {
        let now = self.plane.upgrade()?.clock.now();
        Duration::try_from(self.expires.duration_since(now)).ok()
    }

    /// Serves one connection to port 6443.
    pub fn answer(&self) -> Serve {
        let server = self.clone();
        Box::new(move |stream| Box::pin(server.serve(stream)))
    }

    async fn serve(self, stream: DuplexStream) {
        // Clients of today would refuse it by their clock, which is not the lab's.
        if self.is_expired() {
            return;
        }
        // A failed handshake is the client's to report; the server only closes.
        let Ok(stream) = self.tls.accept(stream).await else {
            return;
        };
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| leaf.to_vec());
        let certificate = Arc::new(certificate);
        let cut = CancellationToken::new();
        let service = service_fn(|request: http::Request<Incoming>| {
            let (plane, certificate, cut) = (self.plane.clone(), certificate.clone(), cut.clone());
            let node = self.node.clone();
            async move {
                match plane.upgrade() {
                    Some(plane) => {
                        plane
                            .exchange(request, node, certificate.as_deref(), &cut)
                            .await
                    }
                    None => Err(Dropped),
                }
            }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        // Both arms end the connection; nothing is kept from a cancelled one.
        tokio::select! {
            _ = connection => {}
            () = cut.cancelled() => {}
        }
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("connection dropped by a fault")
    }
}

impl std::error::Error for Dropped {}

impl ControlPlane {
    /// One HTTP exchange: count, faults, authentication, answer.
    async fn exchange(
        self: &Arc<Self>,
        request: http::Request<Incoming>,
        server: String,
        certificate: Option<&[u8]>,
        cut: &CancellationToken,
    ) -> Result<Answer, Dropped> {
        let (parts, body) = request.into_parts();
        let header = |name: http::HeaderName| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let authorization = header(http::header::AUTHORIZATION);
        let mut request = Request {
            server,
            method: parts.method.to_string(),
            path: parts.uri.path().into(),
            query: Query::parse(parts.uri.query().unwrap_or_default()),
            accept: header(http::header::ACCEPT),
            content_type: header(http::header::CONTENT_TYPE),
            user_agent: header(http::header::USER_AGENT),
            body: Vec::new(),
        };
        request.body = body
            .collect()
            .await
            .map_err(|_| Dropped)?
            .to_bytes()
            .to_vec();
        let route = Route::parse(&request.path);
        let template = route.template(&request.path);
        let method = if request.verb(&route) == "watch" {
            "WATCH"
        } else {
            request.method.as_str()
        };
        self.calls.count(PLACE, method, &template);

        let target = format!("{method} {template}");
        if let Some(Action::Delay { seconds }) = self.faults.take(PLACE, &target, |action| {
            matches!(action, Action::Delay { .. })
        }) {
            self.clock.sleep(Duration::from_secs(seconds)).await;
        }
        let stops = |action: &Action| {
            matches!(
                action,
                Action::Status { .. } | Action::Disconnect | Action::LoseReply
            )
        };
        let fault = self.faults.take(PLACE, &target, stops);
        match fault {
            Some(Action::Disconnect) => {
                cut.cancel();
                return Err(Dropped);
            }
            Some(Action::Status {
                code,
                body,
                retry_after,
            }) => return Ok(self.faulty(code, body, retry_after)),
            _ => {}
        }
        let outcome = self
            .authenticate(certificate, &authorization, &request.path)
            .and_then(|identity| self.respond(&request, &identity, &route));
        if fault == Some(Action::LoseReply) {
            cut.cancel();
            return Err(Dropped);
        }
        let reply = outcome.unwrap_or_else(|error| Reply {
            retry_after: error.retry_after,
            ..Reply::json(error.code, error.status())
        });
        Ok(self.encode(reply))
    }

    fn authenticate(
        &self,
        certificate: Option<&[u8]>,
        authorization: &str,
        path: &str,
    ) -> Result<Identity, ApiError> {
        if let Some(certificate) = certificate {
            return self
                .locked()
                .seen
                .identify(certificate, Timestamp::now(), self.clock.now())
                .ok_or_else(ApiError::unauthorized);
        }
        if let Some(token) = authorization.strip_prefix("Bearer ") {
            return self
                .identify_token(token.trim())
                .map_err(|_| ApiError::unauthorized());
        }
        let open = OPEN_TO_ALL.iter().any(|open| {
            path.strip_prefix(open)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if open || self.bootstrap.anonymous_cluster_info {
            Ok(Identity::anonymous())
        } else {
            Err(ApiError::unauthorized())
        }
    }

    fn faulty(
        self: &Arc<Self>,
        code: u16,
        body: Option<String>,
        retry_after: Option<u64>,
    ) -> Answer {
        let reason = match code {
            429 => "TooManyRequests",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        let reply = match body {
            Some(text) => Reply::text(code, text),
            None => Reply::json(
                code,
                ApiError::new(code, reason, "the lab was told to fail this request").status(),
            ),
        };
        self.encode(Reply {
            retry_after,
            ..reply
        })
    }

    /// The reply as HTTP. `Date` is the lab's time, so that clients can tell what day it is here.
    fn encode(self: &Arc<Self>, reply: Reply) -> Answer {
        let mut builder = http::Response::builder()
            .status(reply.code)
            .header("cache-control", "no-cache, private")
            .header("audit-id", uuid::Uuid::new_v4().to_string());
        if let Ok(date) =
            rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&self.clock.now())
        {
            builder = builder.header("date", date);
        }
        for warning in reply.warnings {
            builder = builder.header(
                "warning",
                format!("299 - {}", serde_json::Value::from(warning)),
            );
        }
        if let Some(seconds) = reply.retry_after {
            builder = builder.header("retry-after", seconds);
        }
        let (content_type, body) = match reply.body {
            Body::Text(text) => ("text/plain; charset=utf-8", Full::from(text).boxed()),
            Body::Json(value) if discovery::is_aggregated(&value) => (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
                Full::from(value.to_string()).boxed(),
            ),
            Body::Json(value) => (
                "application/json",
                Full::from(value.to_string() + "\n").boxed(),
            ),
            Body::Watch(subscription) => {
                let (sender, receiver) = mpsc::channel(64);
                tokio::spawn(subscription.run(self.clone(), sender));
                let frames = ReceiverStream::new(receiver)
                    .map(|line| Ok::<_, Infallible>(Frame::data(line)));
                ("application/json", StreamBody::new(frames).boxed())
            }
        };
        builder
            .header("content-type", content_type)
            .body(body)
            .expect("header values are plain")
    }
}
