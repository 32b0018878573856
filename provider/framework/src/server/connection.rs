//! The socket: a unix socket in a directory of our own, TLS in front of tonic, and a count of who is connected.

use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// A handshake that takes longer is not core's.
const TLS_LIMIT: Duration = Duration::from_secs(30);

/// A listening socket; the file and its directory go when this is dropped.
pub(super) struct Socket {
    pub(super) path: PathBuf,
    directory: PathBuf,
}

impl Socket {
    /// Listens in a fresh directory of mode 0700, under `PLUGIN_UNIX_SOCKET_DIR` or the system's temporary directory.
    pub(super) fn bind(parent: Option<PathBuf>) -> io::Result<(Self, UnixListener)> {
        let parent = parent.unwrap_or_else(std::env::temp_dir);
        // The process id alone may be reused; a second try never is.
        for attempt in 0..100_u32 {
            let directory = parent.join(format!("strata-{}-{attempt}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
                Ok(()) => {
                    let path = directory.join("plugin.sock");
                    let socket = Self { path, directory };
                    let listener = UnixListener::bind(&socket.path)?;
                    std::fs::set_permissions(&socket.path, std::fs::Permissions::from_mode(0o600))?;
                    return Ok((socket, listener));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other(format!(
            "no free name for a socket under {}",
            parent.display()
        )))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The directory was made for this process; leftovers are harmless, so errors are too.
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(&self.directory);
    }
}

/// How many connections there are, and whether there ever was one.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: AtomicUsize,
    ever: AtomicUsize,
}

impl Connections {
    pub(super) fn was_any(&self) -> bool {
        self.ever.load(Ordering::Relaxed) > 0
    }

    pub(super) fn are_all_gone(&self) -> bool {
        self.was_any() && self.open.load(Ordering::Relaxed) == 0
    }
}

/// Accepts for ever, each handshake in its own task, so that a stranger who says nothing blocks nobody.
pub(super) fn accept(
    listener: UnixListener,
    tls: Option<TlsAcceptor>,
    connections: Arc<Connections>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("Cannot accept a connection: {error}");
                    continue;
                }
            };
            let (tls, sender, connections) =
                (tls.clone(), sender.clone(), Arc::clone(&connections));
            tokio::spawn(async move {
                let inner = match tls {
                    None => Inner::Plain(stream),
                    Some(tls) => match tokio::time::timeout(TLS_LIMIT, tls.accept(stream)).await {
                        Ok(Ok(stream)) => Inner::Tls(Box::new(stream)),
                        // Core only says "plugin did not respond", so the reason must be in our log.
                        Ok(Err(error)) => {
                            return tracing::error!("TLS with Terraform failed: {error}");
                        }
                        Err(_) => return tracing::error!("TLS with Terraform took too long"),
                    },
                };
                connections.open.fetch_add(1, Ordering::Relaxed);
                connections.ever.fetch_add(1, Ordering::Relaxed);
                let _ = sender
                    .send(Ok(Connection {
                        inner,
                        _counted: Counted(connections),
                    }))
                    .await;
            });
        }
    });
    ReceiverStream::new(receiver)
}

#[derive(Debug)]
enum Inner {
    Plain(UnixStream),
    Tls(Box<TlsStream<UnixStream>>),
}

struct Counted(Arc<Connections>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection from core.
pub(super) struct Connection {
    inner: Inner,
    _counted: Counted,
}

impl Connected for Connection {
    type ConnectInfo = ();
    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_read(cx, out),
            Inner::Tls(stream) => Pin::new(stream).poll_read(cx, out),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Inner::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
