//! One life of a provider's process, driven as Terraform's core drives it: start, handshake, TLS, schema, Shutdown, exit.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use data_encoding::BASE64_NOPAD;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use strata_proto::plugin::grpc_broker_client::GrpcBrokerClient;
use strata_proto::plugin::grpc_controller_client::GrpcControllerClient;
use strata_proto::plugin::grpc_stdio_client::GrpcStdioClient;
use strata_proto::plugin::{ConnInfo, Empty};
use strata_proto::tfplugin6::get_provider_schema;
use strata_proto::tfplugin6::provider_client::ProviderClient;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::identity::Identity;

const COOKIE: (&str, &str) = (
    "TF_PLUGIN_MAGIC_COOKIE",
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
);

/// How long each step took, and what the process weighed before it was told to end.
pub(crate) struct Life {
    /// From the start of the process to its handshake line.
    pub(crate) handshake: Duration,
    /// TCP or unix socket, TLS, HTTP/2.
    pub(crate) connect: Duration,
    pub(crate) schema: Duration,
    /// From the call of Shutdown to the end of the process.
    pub(crate) shutdown: Duration,
    /// Peak resident memory after the schema, in KiB.
    pub(crate) peak: u64,
}

/// Ends the process when a step fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs one life.
pub(crate) fn live(
    runtime: &Runtime,
    identity: &Identity,
    provider: &Path,
) -> anyhow::Result<Life> {
    let mut command = Command::new(provider);
    command
        .env(COOKIE.0, COOKIE.1)
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env("PLUGIN_CLIENT_CERT", &identity.pem)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());

    let start = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("starting {}", provider.display()))?;
    let mut process = Process(child);
    let output = process.0.stdout.take().context("no stdout")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let handshake = start.elapsed();

    let start = Instant::now();
    let address = Address::parse(&line)?;
    let channel = runtime.block_on(connect(identity, address))?;
    let connect = start.elapsed();

    // Core opens both streams at once and leaves them open.
    let streams = runtime.block_on(async {
        let output = GrpcStdioClient::new(channel.clone()).stream_stdio(()).await;
        let nothing = tokio_stream::pending::<ConnInfo>();
        let broker = GrpcBrokerClient::new(channel.clone())
            .start_stream(nothing)
            .await;
        (output, broker)
    });

    let start = Instant::now();
    let schema = runtime.block_on(
        ProviderClient::new(channel.clone())
            .max_decoding_message_size(64 * 1024 * 1024)
            .get_provider_schema(get_provider_schema::Request::default()),
    )?;
    let spent = start.elapsed();
    ensure!(
        !schema.get_ref().resource_schemas.is_empty(),
        "the schema is empty"
    );
    let peak = peak(process.0.id())?;

    let start = Instant::now();
    runtime.block_on(GrpcControllerClient::new(channel.clone()).shutdown(Empty {}))?;
    drop((streams, channel));
    process.0.wait()?;
    Ok(Life {
        handshake,
        connect,
        schema: spent,
        shutdown: start.elapsed(),
        peak,
    })
}

/// Where the handshake line says the provider listens.
struct Address<'a> {
    network: &'a str,
    place: &'a str,
    certificate: Vec<u8>,
}

impl<'a> Address<'a> {
    fn parse(line: &'a str) -> anyhow::Result<Self> {
        let fields: Vec<&str> = line.trim().split('|').collect();
        let [_, "6", network, place, "grpc", certificate] = fields[..] else {
            bail!("not the handshake of a protocol 6 provider: {line:?}");
        };
        Ok(Self {
            network,
            place,
            certificate: BASE64_NOPAD.decode(certificate.as_bytes())?,
        })
    }
}

async fn connect(identity: &Identity, at: Address<'_>) -> anyhow::Result<Channel> {
    let tls = TlsConnector::from(Arc::new(
        identity
            .client(at.certificate)
            .map_err(anyhow::Error::from_boxed)?,
    ));
    let name = ServerName::try_from("localhost")?;
    let (network, address) = (at.network.to_owned(), at.place.to_owned());
    let connector = tower::service_fn(move |_| {
        let (tls, name) = (tls.clone(), name.clone());
        let (network, address) = (network.clone(), address.clone());
        async move {
            let stream: Box<dyn Stream> = if network == "unix" {
                Box::new(
                    tls.connect(name, UnixStream::connect(address).await?)
                        .await?,
                )
            } else {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(tls.connect(name, stream).await?)
            };
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The name is core's too; the connector decides where it leads.
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
        .context("connecting to the provider")
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

/// `VmHWM` of a process, in KiB.
fn peak(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.context("/proc/PID/status has no VmHWM")?;
    Ok(text.trim().trim_end_matches(" kB").parse()?)
}
