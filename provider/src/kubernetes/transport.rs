//! Connections to the API: dial a node's address, verify the endpoint's name, skip control planes that did not answer.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri, uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::retry::Policy;
use tower::{BoxError, ServiceBuilder};

use super::Error;
use crate::http::connect::Stream;
use crate::http::dial::Dialer;
use crate::pki::Identity;

/// One probe of one control plane.
const PROBE: Duration = Duration::from_secs(3);
/// A request that takes longer than this met a server that hangs.
const REQUEST: Duration = Duration::from_secs(30);

/// Which control planes did not answer in this run.
#[derive(Clone, Default)]
pub(super) struct Breaker(Arc<Mutex<HashSet<String>>>);

impl Breaker {
    /// Every control plane is tried again.
    pub(super) fn close(&self) {
        self.0.lock().expect("no panic while held").clear();
    }

    fn open(&self, address: &str) {
        self.0
            .lock()
            .expect("no panic while held")
            .insert(address.into());
    }

    fn is_open(&self, address: &str) -> bool {
        self.0
            .lock()
            .expect("no panic while held")
            .contains(address)
    }
}

/// TLS that trusts this CA and nothing else.
pub(crate) fn tls(
    ca: &str,
    identity: Option<&Identity>,
) -> Result<Arc<rustls::ClientConfig>, Error> {
    let unusable = |what: &str| Error::Material(rustls::Error::General(what.into()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots
            .add(certificate.map_err(|_| unusable("the CA is not PEM"))?)
            .map_err(Error::Material)?;
    }
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(Error::Material)?
    .with_root_certificates(roots);
    let Some(identity) = identity else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let certificates = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable("the client certificate is not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes())
        .map_err(|_| unusable("the client key is not PEM"))?;
    builder
        .with_client_auth_cert(certificates, key)
        .map(Arc::new)
        .map_err(Error::Material)
}

/// Opens one verified connection to one control plane.
pub(super) async fn handshake(
    dialer: &Dialer,
    address: &str,
    endpoint: &str,
    port: u16,
    tls: Arc<rustls::ClientConfig>,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, Error> {
    let failed = |source| Error::Tls {
        address: address.into(),
        endpoint: endpoint.into(),
        source,
    };
    let name = ServerName::try_from(endpoint.to_owned())
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let tcp = dialer
        .dial(address, port, limit)
        .await
        .map_err(|source| Error::Dial {
            address: address.into(),
            port,
            source,
        })?;
    tokio::time::timeout(limit, TlsConnector::from(tls).connect(name, tcp))
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(failed)
}

/// The connector for hyper: the first control plane that answers.
#[derive(Clone)]
struct Connector {
    dialer: Dialer,
    addresses: Arc<[String]>,
    endpoint: Arc<str>,
    port: u16,
    tls: Arc<rustls::ClientConfig>,
    breaker: Breaker,
}

impl Connector {
    async fn connect(self) -> Result<Stream, Error> {
        let mut reasons = Vec::new();
        for address in &*self.addresses {
            if self.breaker.is_open(address) {
                reasons.push(format!("{address}: did not answer earlier in this run"));
                continue;
            }
            match handshake(
                &self.dialer,
                address,
                &self.endpoint,
                self.port,
                Arc::clone(&self.tls),
                PROBE,
            )
            .await
            {
                Ok(stream) => return Ok(Stream::Tls(Box::new(TokioIo::new(stream)))),
                Err(error) => {
                    self.breaker.open(address);
                    reasons.push(sentence(&error));
                }
            }
        }
        Err(Error::Silent {
            endpoint: self.endpoint.to_string(),
            reasons: reasons.join("; "),
        })
    }
}

/// An error with its causes on one line.
fn sentence(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// Whom to dial, and by what name it must be known.
pub(super) struct Route<'a> {
    /// The one dialer.
    pub(super) dialer: &'a Dialer,
    /// Names or addresses, in the order in which they are tried.
    pub(super) addresses: Vec<String>,
    /// TCP port.
    pub(super) port: u16,
    /// Name in the server's certificate.
    pub(super) endpoint: &'a str,
    /// Name in the requests.
    pub(super) host: &'a str,
}

/// kube's second tries, but not of evictions: there 429 is the answer of a disruption budget, and who evicts asks again by himself.
#[derive(Clone, Default)]
struct Again(RetryPolicy);

impl<T> Policy<Request<Body>, Response<T>, BoxError> for Again {
    type Future = <RetryPolicy as Policy<Request<Body>, Response<T>, BoxError>>::Future;

    fn retry(
        &mut self,
        request: &mut Request<Body>,
        result: &mut Result<Response<T>, BoxError>,
    ) -> Option<Self::Future> {
        self.0.retry(request, result)
    }

    fn clone_request(&mut self, request: &Request<Body>) -> Option<Request<Body>> {
        if request.uri().path().ends_with("/eviction") {
            return None;
        }
        let policy: &mut dyn Policy<_, Response<T>, BoxError, Future = Self::Future> = &mut self.0;
        policy.clone_request(request)
    }
}

/// The client of crate `kube` over all of this.
pub(super) fn client(
    route: Route<'_>,
    tls: Arc<rustls::ClientConfig>,
    breaker: Breaker,
) -> kube::Client {
    let connector = Connector {
        dialer: route.dialer.clone(),
        addresses: route.addresses.into(),
        endpoint: route.endpoint.into(),
        port: route.port,
        tls,
        breaker,
    };
    let host = if route.host.contains(':') {
        format!("[{}]", route.host)
    } else {
        route.host.to_owned()
    };
    let authority = format!("{host}:{}", route.port);
    // Requests of crate `kube` have only a path.
    let absolute = move |mut request: Request<Body>| {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.scheme = Some(uri::Scheme::HTTPS);
        parts.authority = authority.parse().ok();
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        request
    };
    let hyper = legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .map_request(absolute)
        .buffer(64)
        // Only answers by which the server says that it did nothing (429, 503, 504) are retried, so that POST may be, too.
        .retry(Again::default())
        .service(tower::service_fn(move |request: Request<Body>| {
            let answer = hyper.request(request);
            async move {
                match tokio::time::timeout(REQUEST, answer).await {
                    Ok(answer) => answer.map_err(BoxError::from),
                    Err(_) => Err(format!("no answer within {} s", REQUEST.as_secs()).into()),
                }
            }
        }));
    kube::Client::new(service, "default")
}
