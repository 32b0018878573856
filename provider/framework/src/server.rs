//! The process: handshake with core, serve until told to end (contract: tfplugin6, section 1).

mod arguments;
mod calls;
mod connection;
mod convert;
mod debug;
pub mod inside;
mod local;
mod log;
mod plugin;
mod service;
mod stray;
mod tls;

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64_NOPAD;
use strata_proto::health::health_server::HealthServer;
use strata_proto::plugin::grpc_broker_server::GrpcBrokerServer;
use strata_proto::plugin::grpc_controller_server::GrpcControllerServer;
use strata_proto::plugin::grpc_stdio_server::GrpcStdioServer;
use strata_proto::tfplugin6::provider_server::{Provider as Protocol, ProviderServer};
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::Registry;
use crate::resource::Provider;
pub use local::serve_local;

use arguments::Wanted;
use connection::{Connection, Connections, Socket, accept};
use plugin::Plugin;
use service::Service;

const COOKIE: (&str, &str) = (
    "TF_PLUGIN_MAGIC_COOKIE",
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
);

/// Core sends up to 2 GiB; Go plugins accept 256 MiB.
const LARGEST_MESSAGE: usize = 256 * 1024 * 1024;

/// Core kills after 2 s, and every launch pays for what is left of it.
const END_LIMIT: Duration = Duration::from_secs(1);

/// How often we look whether core still lives.
const WATCH: Duration = Duration::from_secs(1);

/// Serves the provider to the Terraform that started this process, or does what the one argument says. `main` is this call.
pub fn serve<P: Provider>(registry: Registry<P>) -> ExitCode {
    let about = About {
        name: registry.name,
        own: std::any::type_name::<P>(),
        address: registry.address,
        version: registry.version,
    };
    let service = Service::new(registry);
    start(&about, service.clone(), service)
}

/// What the process knows of the provider it serves.
struct About<'a> {
    name: &'a str,
    /// A type of the provider's crate: the crate's lines are the provider's.
    own: &'a str,
    address: Option<&'a str>,
    version: &'a str,
}

/// What a service does when the process is to end.
#[tonic::async_trait]
pub trait Ending: Clone + Send + Sync + 'static {
    /// Operations finish or undo what they are doing.
    fn stop(&self) {}
    /// Waits for the operations in flight.
    async fn idle(&self) {}
    /// Bounded clean-up, the last thing; with `--debug`, the last thing of one run.
    async fn clean_up(&self) {}
}

/// Nothing to end.
impl Ending for () {}

#[tonic::async_trait]
impl<P: Provider> Ending for Service<P> {
    fn stop(&self) {
        self.stop();
    }
    async fn idle(&self) {
        self.idle().await;
    }
    async fn clean_up(&self) {
        self.close_leases().await;
    }
}

/// Serves any implementation of the protocol: [`serve`], and the puppet of our tests, which breaks the rules on purpose.
pub fn serve_service<S: Protocol, E: Ending>(name: &str, service: S, ending: E) -> ExitCode {
    let about = About {
        name,
        own: std::any::type_name::<S>(),
        address: None,
        version: "0.0.0",
    };
    start(&about, service, ending)
}

fn start<S: Protocol, E: Ending>(about: &About<'_>, service: S, ending: E) -> ExitCode {
    let program = format!("terraform-provider-{}", about.name);
    // Read once, before any thread: arguments and environment are part of the process contract here.
    let wanted = arguments::read(std::env::args_os().skip(1));
    let environment: HashMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match &wanted {
        Wanted::Help => return answer(&arguments::help(&program)),
        Wanted::Version => return answer(&format!("{program} v{}", about.version)),
        Wanted::Unknown(argument) => {
            complain(&arguments::unknown(&program, argument));
            return ExitCode::FAILURE;
        }
        Wanted::Serve if environment.get(COOKIE.0).map(String::as_str) != Some(COOKIE.1) => {
            complain(
                "This is a Terraform provider. Terraform and OpenTofu start it; do not run it by hand.\n\
                 Write a configuration that uses it and run `terraform plan`.",
            );
            return ExitCode::FAILURE;
        }
        Wanted::Serve | Wanted::Debug => {}
    }
    log::start(about.name, about.own, &environment);
    install_panic_hook();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("Cannot start the provider: {error}."));
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(async {
        match wanted {
            Wanted::Debug => debug::run(about, service, ending).await,
            _ => run(service, ending, &environment).await,
        }
    });
    let code = match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!(
                "Cannot serve the provider: {}.",
                crate::chain(&*error)
            ));
            ExitCode::FAILURE
        }
    };
    // Threads that still block belong to nobody now.
    runtime.shutdown_background();
    code
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Started by core: handshake, then serve until core says Shutdown or is gone.
async fn run<S: Protocol, E: Ending>(
    service: S,
    ending: E,
    environment: &HashMap<String, String>,
) -> Result<(), Fault> {
    let parent = parent_id();
    // A terminal sends SIGINT to the whole process group, and core calls StopProvider as well: ours is core's.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;

    let (tls, certificate) = match environment
        .get("PLUGIN_CLIENT_CERT")
        .filter(|pem| !pem.is_empty())
    {
        Some(pem) => {
            let (acceptor, der) = tls::acceptor(pem)?;
            (Some(acceptor), BASE64_NOPAD.encode(&der))
        }
        // TF_DISABLE_PLUGIN_TLS: the socket's directory is the only protection then.
        None => (None, String::new()),
    };
    let directory = environment
        .get("PLUGIN_UNIX_SOCKET_DIR")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from);
    let (socket, listener) = Socket::bind(directory)?;
    let connections = Arc::new(Connections::default());
    let incoming = accept(listener, tls, Arc::clone(&connections));

    let end = CancellationToken::new();
    let server = serve_all(service, ending.clone(), incoming, end.clone());

    let watched = end.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(WATCH);
        loop {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => ending.stop(),
                _ = ticks.tick() => {
                    // Core was killed: nobody will ask for anything again. Writes in flight still finish.
                    if parent_id() != parent && (connections.are_all_gone() || !connections.was_any()) {
                        ending.stop();
                        ending.idle().await;
                        ending.clean_up().await;
                        return watched.cancel();
                    }
                }
            }
        }
    });

    say(&format!(
        "1|6|unix|{}|grpc|{certificate}{}",
        socket.path().display(),
        multiplexing(environment)
    ))?;
    let cores_end = stray::to_log()?;
    let served = until_served(server, end).await;
    drop(cores_end);
    served
}

/// The provider and go-plugin's own services, over these connections, until the token ends.
fn serve_all<S: Protocol, E: Ending>(
    service: S,
    ending: E,
    incoming: ReceiverStream<io::Result<Connection>>,
    end: CancellationToken,
) -> impl Future<Output = Result<(), tonic::transport::Error>> {
    let plugin = Plugin {
        end: end.clone(),
        clean_up: Arc::new(move || {
            let ending = ending.clone();
            Box::pin(async move { ending.clean_up().await })
        }),
    };
    let provider = ProviderServer::new(service)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    Server::builder()
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        // Above hyper's default of 200, calls would wait for calls that may wait for them.
        .max_concurrent_streams(10_000)
        .layer(tower::util::MapRequestLayer::new(calls::noted))
        .add_service(provider)
        .add_service(GrpcControllerServer::new(plugin.clone()))
        .add_service(GrpcStdioServer::new(plugin.clone()))
        .add_service(GrpcBrokerServer::new(plugin.clone()))
        .add_service(HealthServer::new(plugin))
        .serve_with_incoming_shutdown(incoming, end.cancelled_owned())
}

/// Waits for the server's end, and after the token's end only for a moment.
async fn until_served(
    server: impl Future<Output = Result<(), tonic::transport::Error>>,
    end: CancellationToken,
) -> Result<(), Fault> {
    let ended = async {
        end.cancelled().await;
        tokio::time::sleep(END_LIMIT).await;
    };
    tokio::select! {
        served = server => served?,
        () = ended => {}
    }
    Ok(())
}

/// The seventh field exists only for clients that ask; older ones glue it to the certificate.
fn multiplexing(environment: &HashMap<String, String>) -> &'static str {
    if environment
        .get("PLUGIN_MULTIPLEX_GRPC")
        .is_some_and(|value| !value.is_empty())
    {
        "|false"
    } else {
        ""
    }
}

/// The one line that goes to stdout: the handshake, or what a person asked for.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The answer to a person's question.
fn answer(line: &str) -> ExitCode {
    match say(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Words for a person, on stderr. `eprintln!` panics when the pipe is gone.
fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Panics in calls become diagnostics; the log gets the place. One in the main thread ends the process, and core shows
/// lines after `panic: ` to the user.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let text = log::printable(crate::masked(&info.to_string()));
        if std::thread::current().name() == Some("main") {
            complain(&format!("panic: {text}"));
        } else {
            tracing::error!("{text}");
        }
    }));
}
