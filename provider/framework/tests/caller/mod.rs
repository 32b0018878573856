//! Terraform's core as a plugin's process sees it: starts it with the environment of go-plugin, reads its handshake, and
//! speaks to it over TLS with a certificate of its own.

pub(crate) mod identity;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use data_encoding::BASE64_NOPAD;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strata_proto::plugin::Empty;
use strata_proto::plugin::grpc_controller_client::GrpcControllerClient;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

use identity::Identity;

/// A started plugin. It is killed when a test fails.
pub(crate) struct Plugin {
    child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) certificate: Vec<u8>,
    identity: Identity,
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Plugin {
    /// Starts it and reads its handshake.
    pub(crate) fn start(program: &Path, stdin: Stdio) -> Self {
        let identity = Identity::generate().unwrap();
        let mut child = Command::new(program)
            .env(
                "TF_PLUGIN_MAGIC_COOKIE",
                "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
            )
            .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
            .env("PLUGIN_CLIENT_CERT", &identity.pem)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let fields: Vec<&str> = line.trim().split('|').collect();
        let [_, "6", "unix", socket, "grpc", certificate] = fields[..] else {
            panic!("not a handshake: {line:?}");
        };
        Self {
            socket: socket.into(),
            certificate: BASE64_NOPAD.decode(certificate.as_bytes()).unwrap(),
            child,
            identity,
        }
    }

    /// The TLS of whoever started it.
    pub(crate) fn own(&self) -> ClientConfig {
        self.identity.client(self.certificate.clone()).unwrap()
    }

    /// A connection as this client.
    pub(crate) async fn tls(&self, client: ClientConfig) -> std::io::Result<TlsStream<UnixStream>> {
        let stream = UnixStream::connect(&self.socket).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await
    }

    /// The connection of whoever started it.
    pub(crate) async fn channel(&self) -> Channel {
        let mut stream = Some(TokioIo::new(self.tls(self.own()).await.unwrap()));
        let connector = tower::service_fn(move |_| {
            let stream = stream.take();
            async move { stream.ok_or_else(|| std::io::Error::other("the plugin has ended")) }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        endpoint.connect_with_connector(connector).await.unwrap()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn shut_down(mut self, channel: Channel) -> ExitStatus {
        let shutdown = GrpcControllerClient::new(channel).shutdown(Empty {}).await;
        shutdown.unwrap();
        self.child.wait().unwrap()
    }
}
