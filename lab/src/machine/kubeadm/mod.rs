//! kubeadm on a machine: `init`, `join` and `reset`, acting on the delivered files (contracts/kubeadm-flatcar.md sections 4 to 7).
//!
//! Phases run in kubeadm's order and leave its files behind, so that a failure in the middle leaves what it leaves on metal. Simulated: durations,
//! the contents of manifests, image pulls. Real: certificates, TLS to the API, who can reach whom through whose firewall.

mod certs;
mod config;
mod containers;
mod control_plane;
mod discovery;
mod etcd;
mod init;
mod join;
mod pki;
mod preflight;
mod reset;
mod upgrade;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::fault::Action;
use crate::kubernetes::agent::{NodeSpec, Taint};
use crate::kubernetes::{ApiServer, ControlPlane};
use crate::network::Serve;

use super::program::Kubelet;
use super::shell::{Streams, lab_unknown};
use super::state::Machine;

pub(crate) use certs::end as end_of;
pub(crate) use etcd::{crictl, etcdutl};

/// A cluster as its control planes hold it.
pub(crate) struct Cluster {
    pub(crate) plane: Arc<ControlPlane>,
    etcd_ca: String,
    front_proxy_ca: String,
    service_account_key: String,
    configuration: config::Cluster,
}

/// The machine's part in a cluster.
#[derive(Default)]
pub(crate) struct Member {
    /// What the kubelet registered, once it has.
    node: Option<NodeSpec>,
    pub(crate) cluster: Option<Arc<Cluster>>,
    /// The kubelet runs.
    kubelet: bool,
    /// The etcd static pod runs.
    etcd: bool,
    api: Option<ApiServer>,
    /// Static pods that are being replaced right now.
    replacing: Replacing,
}

/// Which static pods do not run because their manifests were just changed.
#[derive(Default)]
struct Replacing {
    etcd: bool,
    api: bool,
}

impl Member {
    /// Whether something listens on a port; `local` includes what is bound to loopback.
    pub(crate) fn listens(&self, port: u16, local: bool) -> bool {
        let control_plane =
            self.kubelet && self.node.as_ref().is_some_and(|node| node.control_plane);
        match port {
            10250 => self.kubelet,
            10248 => self.kubelet && local,
            2379 | 2380 => self.votes(),
            6443 => self.serves(),
            2381 | 10257 | 10259 => control_plane && local,
            _ => false,
        }
    }

    fn serves(&self) -> bool {
        self.kubelet && self.api.is_some() && !self.replacing.api
    }

    /// It serves with a certificate that its clients accept.
    fn is_trusted(&self) -> bool {
        self.serves() && self.api.as_ref().is_some_and(|api| !api.is_expired())
    }

    /// Whether its etcd runs.
    pub(crate) fn votes(&self) -> bool {
        self.etcd && self.kubelet && !self.replacing.etcd
    }

    /// What answers on 6443.
    pub(crate) fn api(&self) -> Option<impl Fn() -> Serve + use<>> {
        self.api.clone().map(|api| move || api.answer())
    }

    /// The power goes.
    pub(crate) fn stop(&mut self) {
        self.kubelet = false;
        // The manifests lie on the disk: whatever was being replaced starts with the next boot.
        self.replacing = Replacing::default();
    }

    /// For `GET /estate`: `none`, `worker` or `control-plane`, and the node's name.
    pub(crate) fn describe(&self) -> (&'static str, Option<String>) {
        match &self.node {
            None => ("none", None),
            Some(node) => (
                if node.control_plane {
                    "control-plane"
                } else {
                    "worker"
                },
                Some(node.name.clone()),
            ),
        }
    }
}

/// Why kubeadm ended.
pub(crate) enum Failure {
    /// Checks that did not pass: name and text.
    Preflight(Vec<(String, String)>),
    /// `error execution phase <phase>: <cause>`.
    Phase(&'static str, String),
    /// Anything before the phases.
    General(String),
    Unknown(String),
}

impl Failure {
    /// In short, for the log.
    fn text(&self) -> String {
        match self {
            Self::Preflight(errors) => format!("{errors:?}"),
            Self::Phase(_, text) | Self::General(text) | Self::Unknown(text) => text.clone(),
        }
    }
}

/// Runs `kubeadm`.
pub(crate) async fn run(machine: &Arc<Machine>, arguments: &[&str], streams: &mut Streams) -> i32 {
    let result = match arguments {
        ["init", "--config", path] => init::init(machine, path, false, streams).await,
        [
            "init",
            "--config",
            path,
            "--ignore-preflight-errors=DirAvailable--var-lib-etcd",
        ] => init::init(machine, path, true, streams).await,
        ["config", "images", "list", "--config", path] => images(machine, path, streams),
        ["join", "--config", path] => join::join(machine, path, streams).await,
        ["upgrade", "node"] => upgrade::node(machine, streams).await,
        [
            "upgrade",
            "apply",
            version,
            "--yes",
            "--ignore-preflight-errors=CreateJob",
        ] => upgrade::apply(machine, version, streams).await,
        ["certs", "check-expiration", "-o", "json"] => {
            certs::check(machine, streams);
            Ok(())
        }
        ["certs", "renew", "all"] => certs::renew(machine, streams),
        ["reset", "--force"] => {
            reset::reset(machine, reset::Membership::Leave, streams).await;
            Ok(())
        }
        ["reset", "--force", "--skip-phases=remove-etcd-member"] => {
            reset::reset(machine, reset::Membership::Keep, streams).await;
            Ok(())
        }
        _ => Err(Failure::Unknown(format!(
            "`kubeadm {}`",
            arguments.join(" ")
        ))),
    };
    let text = match result {
        Ok(()) => return 0,
        Err(Failure::Unknown(what)) => return streams.refuse(&what),
        Err(Failure::General(text) | Failure::Phase("", text))
            if text.starts_with("LAB-UNKNOWN") =>
        {
            streams.complain(&text);
            return super::shell::UNKNOWN;
        }
        Err(Failure::Preflight(errors)) => {
            let lines: Vec<String> = errors
                .iter()
                .map(|(name, text)| format!("\t[ERROR {name}]: {text}"))
                .collect();
            format!(
                "error: error execution phase preflight: [preflight] Some fatal errors occurred:\n{}\n[preflight] If you know what you are doing, you can make a check non-fatal with `--ignore-preflight-errors=...`",
                lines.join("\n")
            )
        }
        Err(Failure::Phase(phase, cause)) => {
            format!("error: error execution phase {phase}: {cause}")
        }
        Err(Failure::General(text)) => format!("error: {text}"),
    };
    streams.complain(&text);
    streams.complain("To see the stack trace of this error execute with --v=5 or higher");
    1
}

/// `kubeadm config images list`.
fn images(machine: &Machine, path: &str, streams: &mut Streams) -> Result<(), Failure> {
    let documents = read(machine, path)?;
    let version = documents
        .cluster
        .and_then(|(cluster, _)| cluster.kubernetes_version)
        .or_else(|| machine.kubernetes_version())
        .unwrap_or_default();
    for component in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
    ] {
        streams.say(&format!("registry.k8s.io/{component}:{version}"));
    }
    for image in ["coredns/coredns:v1.12.1", "pause:3.10.1", "etcd:3.6.5-0"] {
        streams.say(&format!("registry.k8s.io/{image}"));
    }
    Ok(())
}

/// Ends a phase: the place where `KubeadmFail` strikes, with the phase's files left behind.
fn ends(machine: &Machine, phase: &'static str) -> Result<(), Failure> {
    let strikes = |action: &Action| matches!(action, Action::KubeadmFail { phase: wanted } if wanted == phase);
    match machine.fault(strikes) {
        Some(_) => {
            machine.note(&format!("the lab was told to fail in phase {phase}"));
            Err(Failure::Phase(
                phase,
                "the lab was told to fail here".into(),
            ))
        }
        None => Ok(()),
    }
}

fn read(machine: &Machine, path: &str) -> Result<config::Documents, Failure> {
    let text = machine.state().files.text(path);
    let text = text.ok_or_else(|| {
        Failure::General(format!(
            "unable to read config from {path:?}: open {path}: no such file or directory"
        ))
    })?;
    config::read(&text).map_err(Failure::General)
}

/// The node that a configuration describes.
fn node_spec(
    machine: &Machine,
    registration: &config::Registration,
    control_plane: bool,
) -> Result<NodeSpec, Failure> {
    if !registration.ignore_preflight_errors.is_empty() {
        return Err(Failure::Unknown(
            "kubeadm with ignorePreflightErrors".into(),
        ));
    }
    let mut address = machine.spec.ipv4;
    for argument in &registration.kubelet_extra_args {
        match argument.name.as_str() {
            "node-ip" => {
                let first = argument.value.split(',').next().unwrap_or_default().trim();
                address = first.parse().map_err(|_| {
                    Failure::Phase(
                        "kubelet-start",
                        format!(
                            "the kubelet does not start: bad --node-ip {:?}",
                            argument.value
                        ),
                    )
                })?;
            }
            "v" | "max-pods" | "volume-plugin-dir" => {}
            name => return Err(Failure::Unknown(format!("the kubelet argument --{name}"))),
        }
    }
    let (hostname, release) = {
        let state = machine.state();
        (state.hostname.clone(), state.release.clone())
    };
    let name = registration.name.clone().unwrap_or(hostname).to_lowercase();
    let valid = !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
        });
    if !valid || name.starts_with(['-', '.']) || name.ends_with(['-', '.']) {
        return Err(Failure::General(format!(
            "nodeRegistration.name: Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
        )));
    }
    let version = machine.kubernetes_version().unwrap_or_default();
    let taints = registration.taints.as_ref().map(|taints| {
        taints
            .iter()
            .map(|taint| Taint {
                key: taint.key.clone(),
                value: taint.value.clone(),
                effect: taint.effect.clone(),
            })
            .collect()
    });
    let release = release.map_or_else(|| "unknown".to_owned(), |release| release.version);
    Ok(NodeSpec {
        name,
        address,
        control_plane,
        version,
        os_image: format!("Strata lab (simulated Flatcar {release})"),
        labels: BTreeMap::new(),
        taints,
    })
}

/// The address the API server announces.
fn advertised(machine: &Machine, endpoint: &config::LocalEndpoint) -> Result<IpAddr, Failure> {
    if endpoint.bind_port.is_some_and(|port| port != 6443) {
        return Err(Failure::Unknown(
            "an API server on another port than 6443".into(),
        ));
    }
    match &endpoint.advertise_address {
        None => Ok(machine.spec.ipv4),
        Some(text) => text.parse().map_err(|_| {
            Failure::General(format!(
                "localAPIEndpoint.advertiseAddress: Invalid value: {text:?}: ip is not valid"
            ))
        }),
    }
}

/// Starts the kubelet and lets it register. Fails when its own settings keep it from starting.
async fn start_kubelet(
    machine: &Arc<Machine>,
    cluster: &Arc<Cluster>,
    node: NodeSpec,
) -> Result<(), Failure> {
    if !machine.has(node.address) {
        machine.note(&format!(
            "node IP {} not found in the host's network interfaces",
            node.address
        ));
        machine.pass(240).await;
        return Err(Failure::Phase(
            "kubelet-start",
            format!(
                "the kubelet does not run: node IP {} not found on the machine's interfaces",
                node.address
            ),
        ));
    }
    {
        let mut state = machine.state();
        state.member.node = Some(node.clone());
        state.member.cluster = Some(Arc::clone(cluster));
        state.member.kubelet = true;
        let _ = state
            .files
            .put("/var/lib/kubelet/config.yaml", b"# simulated\n", 0o644);
        let _ = state.files.put(
            "/var/lib/kubelet/kubeadm-flags.env",
            b"KUBELET_KUBEADM_ARGS=\"\"\n",
            0o644,
        );
    }
    machine.note("Started kubelet");
    cluster
        .plane
        .register_node(node, Arc::new(Kubelet(Arc::downgrade(machine))));
    Ok(())
}

/// After a boot or a restart: the kubelet comes back when it is configured, at the version that is merged now.
pub(crate) fn resume(machine: &Arc<Machine>) {
    let found = {
        let mut state = machine.state();
        let configured = state.files.is_file("/etc/kubernetes/kubelet.conf");
        match (state.member.node.clone(), state.member.cluster.clone()) {
            (Some(mut node), Some(cluster)) if configured => {
                state.member.kubelet = true;
                if let Some(version) = state.kubernetes.clone() {
                    node.version = version;
                    state.member.node = Some(node.clone());
                }
                Some((node, cluster))
            }
            _ => None,
        }
    };
    if let Some((node, cluster)) = found {
        if node.control_plane {
            containers::start(machine, "kube-apiserver");
        }
        cluster
            .plane
            .register_node(node, Arc::new(Kubelet(Arc::downgrade(machine))));
    }
}

/// Whether the kubelet of a machine can reach an API server of its cluster.
pub(crate) fn reaches_api(machine: &Machine) -> bool {
    let (running, own, cluster, address) = {
        let state = machine.state();
        let address = state.member.node.as_ref().map(|node| node.address);
        (
            state.member.kubelet && state.network_up,
            state.member.is_trusted(),
            state.member.cluster.clone(),
            address,
        )
    };
    let (true, Some(cluster), Some(address), Some(fleet)) =
        (running, cluster, address, machine.others.upgrade())
    else {
        return false;
    };
    // Its own API server is behind the endpoint too, and nothing filters the way to it.
    own || fleet.all().iter().any(|other| {
        let serves = {
            let state = other.state();
            state.member.is_trusted()
                && state
                    .member
                    .cluster
                    .as_ref()
                    .is_some_and(|theirs| Arc::ptr_eq(theirs, &cluster))
        };
        serves && other.admits(address, 6443, false)
    })
}

fn unknown_argument(component: &str, name: &str) -> Failure {
    Failure::General(lab_unknown(&format!(
        "the argument --{name} of {component}"
    )))
}
