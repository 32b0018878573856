//! One connection to one node: mutual TLS with the cluster's CA, or, in maintenance, a certificate that is pinned or taken on first use.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use super::Error;
use super::identity;
use crate::http::dial::Dialer;
use crate::talos_secrets::TalosSecrets;

/// apid, on every node.
const PORT: u16 = 50000;
/// One try to reach a node.
const DIAL: Duration = Duration::from_secs(5);
/// A node that says nothing for so long is gone, whatever TCP still hopes.
const SILENCE: Duration = Duration::from_secs(20);

/// Which machine in maintenance is the right one: its certificate is of a CA that it made a moment ago, so no chain proves anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Base64 of the SHA-256 of its SubjectPublicKeyInfo, as its console shows it.
    Fingerprint(String),
    /// Whoever answers.
    FirstUse,
}

/// TLS as an administrator of the cluster.
pub(super) fn mutual(secrets: &TalosSecrets, in_lab: bool) -> Result<Arc<ClientConfig>, Error> {
    let unusable = |what: &str| Error::Material(rustls::Error::General(what.into()));
    let mut roots = rustls::RootCertStore::empty();
    let authority = identity::authority(secrets)?;
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        let certificate = certificate.map_err(|_| unusable("the CA is not PEM"))?;
        roots.add(certificate).map_err(Error::Material)?;
    }
    let identity = identity::mint(secrets, identity::ADMIN, in_lab)?;
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())
        .map_err(|_| unusable("the client certificate is not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes())
        .map_err(|_| unusable("the client key is not PEM"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::Material)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(Error::Material)?;
    Ok(speaking_http2(config))
}

fn speaking_http2(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// Connects to a machine in maintenance.
pub(super) async fn pinned(
    dialer: &Dialer,
    address: &str,
    trust: &Trust,
) -> Result<(Channel, String), Error> {
    let seen = Arc::new(Mutex::new(None));
    let (wanted, shown) = (trust.clone(), Arc::clone(&seen));
    let config = crate::pinned::client(move |leaf| {
        let parsed = x509_parser::parse_x509_certificate(leaf);
        let (_, certificate) = parsed.map_err(|_| rustls::CertificateError::BadEncoding)?;
        let seen = BASE64.encode(&Sha256::digest(certificate.public_key().raw));
        let fits = match &wanted {
            Trust::Fingerprint(wanted) => *wanted == seen,
            Trust::FirstUse => true,
        };
        *shown.lock().expect("no panic while held") = Some(seen);
        Ok(fits)
    })
    .map_err(Error::Material)?;
    let connected = channel(dialer, address, speaking_http2(config)).await;
    let seen = seen
        .lock()
        .expect("no panic while held")
        .take()
        .unwrap_or_default();
    match connected {
        Err(error) if error.is_stranger() => Err(Error::Pin {
            address: address.into(),
            seen,
        }),
        other => Ok((other?, seen)),
    }
}

/// Opens the connection. When it ends there is no second one: whoever needs it connects again and sees with whom.
pub(super) async fn channel(
    dialer: &Dialer,
    address: &str,
    tls: Arc<ClientConfig>,
) -> Result<Channel, Error> {
    let stream = handshake(dialer, address, tls).await?;
    let mut once = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = once
            .take()
            .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
        std::future::ready(stream)
    });
    let host = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    let answer = |reason: String| Error::Answer {
        step: "connect",
        address: address.into(),
        reason,
    };
    Endpoint::from_shared(format!("https://{host}:{PORT}"))
        .map_err(|_| answer("cannot be had: it is no address".into()))?
        .http2_keep_alive_interval(SILENCE / 2)
        .keep_alive_timeout(SILENCE)
        .keep_alive_while_idle(true)
        .connect_with_connector(connector)
        .await
        .map_err(|error| Error::Lost {
            step: "connect",
            address: address.into(),
            cause: strata_framework::chain(&error),
        })
}

async fn handshake(
    dialer: &Dialer,
    address: &str,
    tls: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Error> {
    let failed = |source| Error::Tls {
        address: address.into(),
        source,
    };
    let name = ServerName::try_from(address.to_owned())
        .map_err(|error| failed(std::io::Error::other(error)))?;
    let tcp = dialer
        .dial(address, PORT, DIAL)
        .await
        .map_err(|source| Error::Dial {
            address: address.into(),
            source,
        })?;
    tokio::time::timeout(DIAL, TlsConnector::from(tls).connect(name, tcp))
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(failed)
}
