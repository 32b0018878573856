//! The dialer as a `tower::Service<Uri>`: what hyper and kube take for a connector. Plain for `http`, TLS for `https`.
//!
//! ```text
//! Connector::new(dialer, timeout)                   plain, or TLS against the platform's roots
//! Connector::with_tls(dialer, timeout, config)      TLS with a configuration of the caller (a cluster's CA, a client certificate)
//! ```

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use rustls_platform_verifier::ConfigVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::crypto;
use super::dial::Dialer;

/// Any failure to open a connection, boxed as tower wants it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Opens connections for an HTTP client.
#[derive(Clone)]
pub struct Connector {
    dialer: Dialer,
    timeout: Duration,
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Connector {
    /// TLS against the platform's roots, loaded when the first `https` address is dialled.
    pub fn new(dialer: Dialer, timeout: Duration) -> Self {
        Self {
            dialer,
            timeout,
            tls: Arc::default(),
        }
    }

    /// TLS with the caller's configuration.
    pub fn with_tls(dialer: Dialer, timeout: Duration, config: Arc<ClientConfig>) -> Self {
        Self {
            dialer,
            timeout,
            tls: Arc::new(OnceLock::from(config)),
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, BoxError> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        crypto::install();
        let config = Arc::new(ClientConfig::with_platform_verifier()?);
        Ok(self.tls.get_or_init(|| config).clone())
    }

    /// Opens one connection to the address of `uri`.
    pub async fn connect(self, uri: Uri) -> Result<Stream, BoxError> {
        let host = uri.host().ok_or("the address has no host")?;
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let encrypted = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let tcp = self.dialer.dial(&bare, port, self.timeout).await?;
        if !encrypted {
            return Ok(Stream::Plain(TokioIo::new(tcp)));
        }
        let tls = TlsConnector::from(self.tls()?);
        let handshake = tls.connect(ServerName::try_from(bare)?, tcp);
        let stream = tokio::time::timeout(self.timeout, handshake)
            .await
            .map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long")
            })??;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }
}

impl tower::Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// An open connection.
pub enum Stream {
    /// Without TLS.
    Plain(TokioIo<TcpStream>),
    /// With TLS.
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
