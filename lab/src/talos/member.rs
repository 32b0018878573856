//! A configured machine's part in its cluster: etcd, kubelet, API server, virtual address (contracts/talos.md sections 8.2, 8.3 and 8.7).

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use strata_proto::talos::machine::machine_status_event::MachineStage as Stage;
use strata_proto::talos::machine::sequence_event::Action as Step;

use super::cluster::{Cluster, SERVING};
use super::config::Config;
use super::machine::{Founding, Machine, Membership};
use crate::kubernetes::ApiServer;
use crate::kubernetes::agent::{Agent, NodeSpec, PodOutcome};

/// etcd starts, with data or without.
const ETCD: u64 = 8;
/// A learner catches up.
const CATCH_UP: u64 = 5;
/// The kubelet or the API server starts again with another version.
const RESTART: u64 = 5;
/// The static pods of a control plane start.
const STATIC_PODS: u64 = 10;

/// Runs until the power goes.
pub(super) async fn live(machine: &Arc<Machine>) {
    let Some(config) = machine.config() else {
        return;
    };
    let mut cluster = if config.is_control_plane() {
        etcd(machine).await
    } else {
        api(machine).await
    };
    register(machine, &cluster);
    if config.is_control_plane() {
        join(machine, &cluster).await;
        machine.pass(STATIC_PODS).await;
        serve(machine, &cluster);
    }
    machine.events.sequence("", "boot", Step::Stop);
    machine.enter(Stage::Running);
    machine.note("running");
    loop {
        if let Some(anew) = begun_anew(machine, &cluster) {
            cluster = anew;
            register(machine, &cluster);
            machine.note("kubelet found the API again");
        }
        look(machine, &cluster).await;
        machine.rest().await;
    }
}

/// Waits until this control plane has a cluster: its own data, a call of Bootstrap, or others that have one.
async fn etcd(machine: &Arc<Machine>) -> Arc<Cluster> {
    if let Some(membership) = machine.membership() {
        machine.pass(ETCD).await;
        if membership.cluster.member(&machine.name()).is_some() {
            machine.etcd.store(true, Ordering::Release);
            machine.touch();
            return membership.cluster;
        }
        machine.change(|run| {
            run.trouble =
                Some("etcd: the member has been permanently removed from the cluster".to_owned());
        });
        return std::future::pending().await;
    }
    loop {
        let founding = machine.with(|run| run.founding.take()).flatten();
        if let Some(founding) = founding
            && let Some(cluster) = found(machine, &founding).await
        {
            return cluster;
        }
        if let Some(cluster) = discovered(machine, 2380) {
            return cluster;
        }
        machine.rest().await;
    }
}

/// Starts the first member.
async fn found(machine: &Arc<Machine>, founding: &Founding) -> Option<Arc<Cluster>> {
    machine.pass(ETCD).await;
    let config = machine.config()?;
    let snapshot = match founding {
        Founding::Empty => None,
        Founding::Recovered(data) => Some(data.as_slice()),
    };
    match Cluster::found(&machine.world, &config, snapshot) {
        Ok(cluster) => {
            machine.etcd.store(true, Ordering::Release);
            Some(cluster)
        }
        Err(error) => {
            machine.change(|run| run.trouble = Some(error));
            None
        }
    }
}

/// The cluster of this configuration whose control planes can be reached at a port.
fn discovered(machine: &Machine, port: u16) -> Option<Arc<Cluster>> {
    let (fleet, from, config) = (
        machine.fleet.upgrade()?,
        machine.address()?,
        machine.config()?,
    );
    fleet.all().iter().find_map(|other| {
        let membership = other.membership()?;
        let to = other.address()?;
        let open = membership.cluster.is_of(&config)
            && !machine.has(to)
            && machine.reaches(from, to, port);
        open.then_some(membership.cluster)
    })
}

/// Waits until the Kubernetes API can be reached.
async fn api(machine: &Arc<Machine>) -> Arc<Cluster> {
    loop {
        if let Some(cluster) = discovered(machine, 6443)
            && cluster.has_quorum()
        {
            return cluster;
        }
        machine.rest().await;
    }
}

/// The same cluster over another etcd, restored from a snapshot: a kubelet knows the API by its address and authority, and goes on with it.
fn begun_anew(machine: &Machine, cluster: &Arc<Cluster>) -> Option<Arc<Cluster>> {
    if machine.membership().is_some() {
        return None;
    }
    let found = discovered(machine, 6443).filter(|found| found.has_quorum())?;
    (!Arc::ptr_eq(&found, cluster)).then_some(found)
}

/// Takes part in etcd: whoever is no member yet joins as a learner and is promoted by itself.
async fn join(machine: &Arc<Machine>, cluster: &Arc<Cluster>) {
    let (name, address) = (machine.name(), machine.address());
    if let (None, Some(_)) = (machine.membership(), cluster.member(&name)) {
        // The first member of a new etcd, or one of a machine that lost its data and comes back.
        if machine.etcd.load(Ordering::Acquire) {
            remember(machine, cluster);
            return;
        }
        if let Some(stale) = cluster.member(&name) {
            let _ = cluster.plane.remove_member(stale.id);
        }
    }
    if machine.membership().is_some() {
        return;
    }
    let Some(address) = address else { return };
    let id = loop {
        match cluster.plane.add_member(&name, address) {
            Ok(id) => break id,
            Err(_) => machine.rest().await,
        }
    };
    machine.note("etcd learner");
    machine.pass(ETCD).await;
    machine.etcd.store(true, Ordering::Release);
    machine.pass(CATCH_UP).await;
    while cluster.plane.promote(id).is_err() {
        machine.rest().await;
    }
    remember(machine, cluster);
}

fn remember(machine: &Machine, cluster: &Arc<Cluster>) {
    if let Some(member) = cluster.member(&machine.name()) {
        machine.state().disk.etcd = Some(Membership {
            cluster: Arc::clone(cluster),
            id: member.id,
        });
    }
    machine.note("etcd member");
    machine.touch();
}

fn spec(machine: &Machine, config: &Config) -> Option<NodeSpec> {
    Some(NodeSpec {
        name: machine.name(),
        address: machine.address()?,
        control_plane: config.is_control_plane(),
        version: config.kubelet_version().unwrap_or_else(|| "v0.0.0".into()),
        os_image: format!("Strata lab (simulated Talos {})", machine.image().version),
        labels: config.node_labels(),
        taints: Some(config.node_taints()),
    })
}

/// Whether the kubelet runs with other settings than it would be started with.
fn is_outdated(running: &NodeSpec, wanted: &NodeSpec) -> bool {
    (&running.version, running.address, &running.labels)
        != (&wanted.version, wanted.address, &wanted.labels)
}

/// The kubelet starts and registers, or reports to its Node again.
fn register(machine: &Arc<Machine>, cluster: &Arc<Cluster>) {
    let Some(spec) = machine.config().and_then(|config| spec(machine, &config)) else {
        return;
    };
    machine.kubelet.store(true, Ordering::Release);
    machine.change(|run| run.node = Some(spec.clone()));
    let agent = Arc::new(Kubelet(Arc::downgrade(machine)));
    cluster.plane.register_node(spec, agent);
}

/// The API server starts.
fn serve(machine: &Arc<Machine>, cluster: &Arc<Cluster>) {
    let Some(config) = machine.config() else {
        return;
    };
    let ahead = machine.world.clock.now().duration_since(Timestamp::now());
    let ahead = Duration::try_from(ahead).unwrap_or_default();
    match cluster.serve(&config, &machine.name(), &machine.addresses(), ahead) {
        Ok(api) => machine.change(|run| run.api = Some(api)),
        Err(error) => machine.change(|run| run.trouble = Some(error)),
    }
}

/// What a running machine keeps an eye on: whether its kubelet reaches the API, versions that changed, the virtual address.
async fn look(machine: &Arc<Machine>, cluster: &Arc<Cluster>) {
    let reaches = machine.with(|run| run.api.is_some()).unwrap_or_default()
        || discovered(machine, 6443).is_some();
    machine.kubelet.store(reaches, Ordering::Release);
    let Some(config) = machine.config() else {
        return;
    };
    let wanted = spec(machine, &config);
    let running = machine.with(|run| run.node.clone()).flatten();
    if let (Some(wanted), Some(running)) = (wanted, running)
        && is_outdated(&running, &wanted)
    {
        machine.kubelet.store(false, Ordering::Release);
        machine.pass(RESTART).await;
        register(machine, cluster);
        machine.note("kubelet replaced");
    }
    let version = config.api_server_version();
    let running = machine.with(|run| run.components.clone()).flatten();
    if let (Some(version), true) = (version, config.is_control_plane())
        && running.as_ref() != Some(&version)
    {
        if running.is_some() {
            machine.change(|run| run.api = None);
            machine.pass(RESTART).await;
            serve(machine, cluster);
            machine.note("components replaced");
        }
        cluster.plane.replace_components(&machine.name(), &version);
        machine.change(|run| run.components = Some(version));
    }
    renew(machine, cluster).await;
    hold_virtual(machine, cluster, &config);
}

/// What Kubernetes serves with is made anew at half its life, and the component started again.
async fn renew(machine: &Arc<Machine>, cluster: &Arc<Cluster>) {
    let is_old = |api: &ApiServer| api.lasts().is_none_or(|lasts| lasts < SERVING / 2);
    let is_old = machine.with(|run| run.api.as_ref().is_some_and(is_old));
    if is_old.unwrap_or_default() {
        machine.change(|run| run.api = None);
        machine.pass(RESTART).await;
        serve(machine, cluster);
        machine.note("certificates renewed");
    }
}

/// Takes the virtual address when nobody able holds it; that needs etcd.
fn hold_virtual(machine: &Arc<Machine>, cluster: &Cluster, config: &Config) {
    let Some(fleet) = machine.fleet.upgrade() else {
        return;
    };
    let able = machine.etcd.load(Ordering::Acquire)
        && machine.with(|run| run.api.is_some()).unwrap_or_default()
        && cluster.has_quorum();
    for address in config.virtual_addresses() {
        if !able {
            if fleet.release(address, &machine.vm) {
                machine.change(|run| {
                    run.virtual_addresses.remove(&address);
                });
            }
        } else if fleet.claim(address, machine) {
            machine.change(|run| {
                run.virtual_addresses.insert(address);
            });
            machine.note(&format!("holds {address}"));
        }
    }
}

impl Machine {
    /// The cluster of its configuration: its own data, else what discovery shows.
    pub(super) fn cluster(&self) -> Option<Arc<Cluster>> {
        if let Some(membership) = self.membership() {
            return Some(membership.cluster);
        }
        let (fleet, config) = (self.fleet.upgrade()?, self.config()?);
        fleet.all().iter().find_map(|other| {
            let cluster = other.membership()?.cluster;
            cluster.is_of(&config).then_some(cluster)
        })
    }

    /// Whether a connection from one of its addresses comes through.
    pub(super) fn reaches(&self, from: IpAddr, to: IpAddr, port: u16) -> bool {
        self.world.network.dial(from, to, port).is_ok()
    }

    /// Its own addresses, without virtual ones.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.with(|run| run.addresses.iter().map(IpNet::addr).collect())
            .unwrap_or_default()
    }
}

/// The kubelet of a machine.
struct Kubelet(Weak<Machine>);

impl Agent for Kubelet {
    fn run(&self, command: Vec<String>) -> Pin<Box<dyn Future<Output = PodOutcome> + Send + '_>> {
        // Talos has no shell and no program of ours to call.
        let log = format!(
            "LAB-UNKNOWN: a pod on Talos with the command {}\n",
            command.join(" ")
        );
        Box::pin(std::future::ready(PodOutcome {
            exit_code: 127,
            log,
        }))
    }

    fn is_alive(&self) -> bool {
        self.0
            .upgrade()
            .is_some_and(|machine| machine.kubelet.load(Ordering::Acquire))
    }

    fn votes(&self) -> bool {
        self.0
            .upgrade()
            .is_some_and(|machine| machine.etcd.load(Ordering::Acquire))
    }
}
