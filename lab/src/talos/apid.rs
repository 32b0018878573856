//! One connection to the API: TLS, who calls, which machine answers, and what faults do to it (contracts/talos.md section 1).

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use strata_proto::talos::cosi::resource::state_server::StateServer;
use strata_proto::talos::machine::image_service_server::ImageServiceServer;
use strata_proto::talos::machine::lifecycle_service_server::LifecycleServiceServer;
use strata_proto::talos::machine::machine_service_server::MachineServiceServer;
use strata_proto::talos::storage::storage_service_server::StorageServiceServer;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::config::Config;
use super::machine::{Machine, Mode};
use super::pki::{self, Subject, server_names};
use super::{right, tls};
use crate::fault::Action;
use crate::network::Serve;

/// The largest message in either direction.
const LARGEST: usize = 32 * 1024 * 1024;

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) roles: Vec<String>,
    /// Nobody had to prove anything.
    pub(super) is_stranger: bool,
}

/// The API of one machine as one caller sees it.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) machine: Arc<Machine>,
    pub(super) caller: Caller,
}

/// Serves one connection to port 50000.
pub(super) fn serve(machine: Arc<Machine>, mode: Mode) -> Serve {
    Box::new(move |stream| {
        Box::pin(async move {
            let tls = match configuration(&machine, &mode) {
                Ok(tls) => tls,
                Err(error) => {
                    machine.change(|run| run.trouble = Some(error));
                    return;
                }
            };
            // A failed handshake is the client's to report; the server only closes.
            let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else {
                return;
            };
            let certificates = stream.get_ref().1.peer_certificates();
            let leaf = certificates.and_then(|chain| chain.first());
            let roles = leaf.map(|leaf| tls::roles(leaf));
            let caller = Caller {
                is_stranger: roles.is_none(),
                roles: roles.unwrap_or_else(|| vec!["os:reader".into()]),
            };
            let api = Api { machine, caller };
            let cut = CancellationToken::new();
            let service = service_fn(|request| api.clone().answer(request, cut.clone()));
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service);
            // Both arms end the connection; nothing is kept from a cancelled one.
            tokio::select! {
                _ = connection => {}
                () = cut.cancelled() => {}
            }
        })
    })
}

fn configuration(machine: &Machine, mode: &Mode) -> Result<Arc<rustls::ServerConfig>, String> {
    match mode {
        Mode::Starting => Err("the API has not started".into()),
        Mode::Maintenance(leaf) => tls::server(leaf, None),
        Mode::Normal(authority) => {
            let config = machine.config();
            let hostname = machine.name();
            let mut addresses = machine.addresses();
            addresses.extend(
                machine
                    .with(|run| run.virtual_addresses.clone())
                    .unwrap_or_default(),
            );
            let sans = config.as_deref().map(Config::cert_sans).unwrap_or_default();
            let leaf = authority.issue(&Subject {
                common_name: Some(&hostname),
                names: server_names(&hostname, &addresses, &sans),
                server: true,
                ..Subject::default()
            })?;
            let mut clients = vec![authority.certificate.clone()];
            for accepted in config.iter().flat_map(|config| config.accepted_os_cas()) {
                clients.extend(pki::certificates(&accepted)?);
            }
            tls::server(&leaf, Some(&clients))
        }
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
pub(super) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("connection dropped by a fault")
    }
}

impl std::error::Error for Dropped {}

impl Api {
    /// One call: count, faults, route, rights, answer.
    async fn answer(
        self,
        request: Request<Incoming>,
        cut: CancellationToken,
    ) -> Result<Response<Body>, Dropped> {
        let path = request.uri().path().to_owned();
        let machine = Arc::clone(&self.machine);
        machine.world.calls.count("talos", "CALL", &path);
        let delays = |action: &Action| matches!(action, Action::Delay { .. });
        if let Some(Action::Delay { seconds }) = machine.fault(&path, delays) {
            machine
                .world
                .clock
                .sleep(Duration::from_secs(seconds))
                .await;
        }
        let verb = path.rsplit('/').next().unwrap_or_default().to_owned();
        let fault = machine.fault(&path, |action| {
            matches!(
                action,
                Action::Disconnect | Action::LoseReply | Action::Grpc { .. }
            )
        });
        match &fault {
            Some(Action::Disconnect) => {
                cut.cancel();
                return Err(Dropped);
            }
            Some(Action::Grpc { code, message }) => {
                return Ok(status(code, message).into_http());
            }
            _ => {}
        }
        let reboots = machine.fault(
            "",
            |action| matches!(action, Action::RebootDuring { verb: wanted } if *wanted == verb),
        );
        let outcome = match self.target(request.headers(), &path) {
            Ok(target) => {
                let allowed = right::check(&target.machine, &target.caller, &path);
                match allowed {
                    Ok(()) => target.call(request).await,
                    Err(status) => status.into_http(),
                }
            }
            Err(status) => status.into_http(),
        };
        if reboots.is_some() {
            machine.note("reboot by a fault");
            if machine.switch_off() {
                machine.switch_on();
            }
            return Err(Dropped);
        }
        if fault == Some(Action::LoseReply) {
            cut.cancel();
            return Err(Dropped);
        }
        Ok(outcome)
    }

    /// Which machine answers: the one that was dialled, or the one that `node` names.
    fn target(&self, headers: &HeaderMap, path: &str) -> Result<Self, Status> {
        if self.caller.is_stranger {
            return Ok(self.clone());
        }
        if headers.contains_key("nodes") {
            let aggregates = ["/machine.MachineService/", "/storage.StorageService/"]
                .iter()
                .any(|service| path.starts_with(service));
            let text = if aggregates {
                "LAB-UNKNOWN: the metadata `nodes` (use `node`)"
            } else {
                "one-2-many proxying is not supported for this service"
            };
            return Err(Status::invalid_argument(text));
        }
        let nodes: Vec<&str> = headers
            .get_all("node")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let name = match nodes.as_slice() {
            [] => return Ok(self.clone()),
            [one] => *one,
            _ => {
                return Err(Status::invalid_argument(
                    "node metadata must be single-valued",
                ));
            }
        };
        if name == self.machine.name() || name.parse().is_ok_and(|own| self.machine.has(own)) {
            return Ok(self.clone());
        }
        let controls = self
            .machine
            .config()
            .is_some_and(|config| config.is_control_plane());
        if !controls {
            return Err(Status::permission_denied(
                "no request forwarding: this node has no client certificate",
            ));
        }
        let unreachable = || {
            Status::unavailable(format!(
                "connection error: desc = \"transport: Error while dialing: dial tcp {name}:50000: i/o timeout\""
            ))
        };
        let fleet = self.machine.fleet.upgrade().ok_or_else(unreachable)?;
        let other = fleet.find(name).ok_or_else(unreachable)?;
        let (from, to) = self
            .machine
            .address()
            .zip(other.address())
            .ok_or_else(unreachable)?;
        if other.is_normal() && self.machine.reaches(from, to, 50000) {
            Ok(Self {
                machine: other,
                caller: self.caller.clone(),
            })
        } else {
            Err(unreachable())
        }
    }

    async fn call(self, request: Request<Incoming>) -> Response<Body> {
        let has_lifecycle = self.machine.image().has_lifecycle();
        let machine = MachineServiceServer::new(self.clone())
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST);
        let mut routes = Routes::new(machine)
            .add_service(StorageServiceServer::new(self.clone()))
            .add_service(StateServer::new(self.clone()));
        if has_lifecycle {
            routes = routes
                .add_service(LifecycleServiceServer::new(self.clone()))
                .add_service(ImageServiceServer::new(self));
        }
        match routes.oneshot(request).await {
            Ok(response) => response,
            Err(error) => never(error),
        }
    }
}

fn never(error: Infallible) -> Response<Body> {
    match error {}
}

/// A status by the name of its code, as a fault gives it.
fn status(code: &str, message: &str) -> Status {
    let code = (0..=16)
        .map(Code::from)
        .find(|known| format!("{known:?}").eq_ignore_ascii_case(&code.replace('_', "")))
        .unwrap_or(Code::Unknown);
    Status::new(code, message)
}
