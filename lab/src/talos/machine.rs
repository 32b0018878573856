//! One machine: its hardware, its disk, and what runs between two boots.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use ipnet::IpNet;
use strata_proto::talos::machine::machine_status_event::MachineStage as Stage;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::cluster::Cluster;
use super::config::Config;
use super::event::Events;
use super::image::Image;
use super::pki::{Authority, Leaf};
use super::{Fleet, PowerOn, World};
use crate::fault::Action;
use crate::kubernetes::ApiServer;
use crate::kubernetes::agent::NodeSpec;

/// How often a waiting machine looks again, in simulated time.
const LOOK: Duration = Duration::from_secs(2);
/// No look comes sooner than this on the wall.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);

/// What stays when the power goes.
#[derive(Default)]
pub(super) struct Disk {
    /// What boots.
    pub(super) image: Option<Image>,
    /// The other entry of the boot loader.
    pub(super) previous: Option<Image>,
    /// An upgrade was written and has not been booted yet.
    pub(super) fresh: bool,
    /// The configuration in STATE.
    pub(super) configuration: Option<Arc<Config>>,
    /// The data of etcd: which cluster, and which member of it.
    pub(super) etcd: Option<Membership>,
    /// The state of the extension `tailscale`: the machine's key in its VPN.
    pub(super) vpn: Option<String>,
}

/// A member's data directory.
#[derive(Clone)]
pub(super) struct Membership {
    pub(super) cluster: Arc<Cluster>,
    pub(super) id: u64,
}

/// What the API's port does.
#[derive(Clone, Default)]
pub(super) enum Mode {
    /// Nothing listens.
    #[default]
    Starting,
    /// Anyone may hand over a configuration.
    Maintenance(Arc<Leaf>),
    /// Clients of the authority only.
    Normal(Arc<Authority>),
}

/// An accepted call of Bootstrap.
#[derive(Debug, Clone)]
pub(super) enum Founding {
    /// A new etcd.
    Empty,
    /// From an uploaded snapshot.
    Recovered(Vec<u8>),
}

/// What an apply has to do with the next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextBoot {
    /// Nothing.
    Open,
    /// What was applied takes full effect then only, and nobody has ordered it.
    Wanted,
    /// It is ordered and has not come yet.
    Awaited,
}

/// From switching on to switching off.
pub(super) struct Run {
    /// Cancelled when the power goes: everything that runs ends.
    pub(super) power: CancellationToken,
    /// Cancelled when connections to the API end.
    pub(super) link: CancellationToken,
    pub(super) boot_id: String,
    pub(super) stage: Stage,
    pub(super) image: Image,
    pub(super) mode: Mode,
    pub(super) active: Option<Arc<Config>>,
    /// The configuration before one that is only tried.
    pub(super) before_trial: Option<(Arc<Config>, CancellationToken)>,
    pub(super) hostname: String,
    /// On the network, in this order.
    pub(super) addresses: Vec<IpNet>,
    pub(super) virtual_addresses: BTreeSet<IpAddr>,
    /// Its addresses in the VPN.
    pub(super) vpn: Vec<IpAddr>,
    pub(super) founding: Option<Founding>,
    pub(super) uploaded: Option<Vec<u8>>,
    /// The container runtime works.
    pub(super) cri: bool,
    pub(super) node: Option<NodeSpec>,
    pub(super) api: Option<ApiServer>,
    /// Version of the static pods.
    pub(super) components: Option<String>,
    pub(super) images: BTreeSet<String>,
    /// An installation or upgrade is under way.
    pub(super) installing: bool,
    pub(super) next_boot: NextBoot,
    pub(super) trouble: Option<String>,
}

/// What changes.
pub(super) struct State {
    pub(super) hardware: PowerOn,
    pub(super) disk: Disk,
    pub(super) run: Option<Run>,
}

/// A simulated machine.
pub(super) struct Machine {
    pub(super) vm: String,
    pub(super) world: World,
    pub(super) fleet: Weak<Fleet>,
    /// The kubelet runs and reaches the API.
    pub(super) kubelet: AtomicBool,
    /// etcd runs.
    pub(super) etcd: AtomicBool,
    pub(super) events: Events,
    /// Moves with every change.
    pub(super) changes: watch::Sender<u64>,
    /// What it complains about, by the id of the diagnostic.
    pub(super) complaints: Mutex<BTreeMap<String, String>>,
    state: Mutex<State>,
}

impl Machine {
    pub(super) fn new(hardware: PowerOn, world: World, fleet: Weak<Fleet>) -> Arc<Self> {
        let image = hardware.image.as_deref().and_then(Image::of_file);
        Arc::new(Self {
            vm: hardware.vm.clone(),
            world,
            fleet,
            kubelet: AtomicBool::new(false),
            etcd: AtomicBool::new(false),
            events: Events::default(),
            changes: watch::Sender::new(0),
            complaints: Mutex::default(),
            state: Mutex::new(State {
                hardware,
                disk: Disk {
                    image,
                    ..Disk::default()
                },
                run: None,
            }),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    /// Looks at what runs; `None` while the machine is off.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Run) -> T) -> Option<T> {
        self.state().run.as_mut().map(look)
    }

    /// Changes what runs and wakes whoever watches.
    pub(super) fn change(&self, change: impl FnOnce(&mut Run)) {
        self.with(change);
        self.touch();
    }

    pub(super) fn touch(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    /// Waits in the lab's time.
    pub(super) async fn pass(&self, seconds: u64) {
        self.world.clock.sleep(Duration::from_secs(seconds)).await;
    }

    /// Waits before it looks again; not shorter than a moment on the wall, however fast the lab's time runs.
    pub(super) async fn rest(&self) {
        let clock = &self.world.clock;
        let shortest = SHORTEST_LOOK.mul_f64(clock.speed());
        clock.sleep(LOOK.max(shortest)).await;
    }

    pub(super) fn is_on(&self) -> bool {
        self.state().run.is_some()
    }

    /// Name of the node, of the machine while it has none.
    pub(super) fn name(&self) -> String {
        let state = self.state();
        let hostname = state.run.as_ref().map(|run| run.hostname.clone());
        let stored = state.disk.configuration.as_ref();
        hostname
            .filter(|name| !name.is_empty())
            .or_else(|| stored.and_then(|config| config.hostname()))
            .unwrap_or_else(|| state.hardware.name.clone())
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> Option<Arc<Config>> {
        self.with(|run| run.active.clone()).flatten()
    }

    pub(super) fn image(&self) -> Image {
        self.with(|run| run.image.clone()).unwrap_or_default()
    }

    /// Where it is dialled by the others.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let state = self.state();
        let run = state.run.as_ref()?;
        run.addresses.first().map(IpNet::addr)
    }

    /// Whether an address is one of its own.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.with(|run| {
            run.virtual_addresses.contains(&address)
                || run.addresses.iter().any(|own| own.addr() == address)
        })
        .unwrap_or_default()
    }

    /// The data of etcd on the disk.
    pub(super) fn membership(&self) -> Option<Membership> {
        self.state().disk.etcd.clone()
    }

    pub(super) fn is_maintenance(&self) -> bool {
        self.with(|run| matches!(run.mode, Mode::Maintenance(_)))
            .unwrap_or_default()
    }

    pub(super) fn is_normal(&self) -> bool {
        self.with(|run| matches!(run.mode, Mode::Normal(_)))
            .unwrap_or_default()
    }

    /// Takes a fault of place `talos` aimed at this machine: by node, by name on the hypervisor, or by its id there.
    pub(super) fn fault(&self, call: &str, matches: impl Fn(&Action) -> bool) -> Option<Action> {
        let (node, name) = (self.name(), self.state().hardware.name.clone());
        [node, name, self.vm.replace('/', "-")]
            .iter()
            .find_map(|target| {
                let target = if call.is_empty() {
                    target.clone()
                } else {
                    format!("{target} {call}")
                };
                self.world.faults.take("talos", &target, &matches)
            })
    }

    /// Moves to a stage and tells of it.
    pub(super) fn enter(&self, stage: Stage) {
        self.change(|run| run.stage = stage);
        self.events.stage(stage, stage == Stage::Running);
    }

    /// Remembers what an observer would have seen, with the state of etcd at that moment.
    pub(super) fn note(&self, what: &str) {
        if let Some(fleet) = self.fleet.upgrade() {
            let cluster = self.membership().map(|membership| membership.cluster);
            fleet.note(&self.name(), what, cluster.as_deref());
        }
    }

    /// Switches on; the caller has looked that it is off.
    pub(super) fn switch_on(self: &Arc<Self>) {
        let power = CancellationToken::new();
        self.state().run = Some(Run::new(power.clone()));
        self.touch();
        let machine = Arc::clone(self);
        tokio::spawn(async move {
            // Both arms may be dropped: without power nothing is finished.
            tokio::select! {
                biased;
                () = power.cancelled() => {}
                () = super::boot::boot(&machine) => {}
            }
        });
    }

    /// Cuts the power. False when there was none.
    pub(super) fn switch_off(&self) -> bool {
        let name = self.name();
        super::vpn::stop(self);
        let Some(run) = self.state().run.take() else {
            return false;
        };
        self.kubelet.store(false, Ordering::Release);
        self.etcd.store(false, Ordering::Release);
        run.power.cancel();
        run.link.cancel();
        for address in &run.addresses {
            self.world.network.unregister(address.addr());
        }
        if let Some(fleet) = self.fleet.upgrade() {
            for address in run.virtual_addresses {
                fleet.release(address, &self.vm);
            }
            let cluster = self.membership().map(|membership| membership.cluster);
            fleet.note(&name, "off", cluster.as_deref());
        }
        self.touch();
        true
    }
}

impl Run {
    fn new(power: CancellationToken) -> Self {
        Self {
            link: power.child_token(),
            power,
            boot_id: Uuid::new_v4().to_string(),
            stage: Stage::Booting,
            image: Image::default(),
            mode: Mode::Starting,
            active: None,
            before_trial: None,
            hostname: String::new(),
            addresses: Vec::new(),
            virtual_addresses: BTreeSet::new(),
            vpn: Vec::new(),
            founding: None,
            uploaded: None,
            cri: false,
            node: None,
            api: None,
            components: None,
            images: BTreeSet::new(),
            installing: false,
            next_boot: NextBoot::Open,
            trouble: None,
        }
    }

    /// Ends all connections to the API; new ones are possible at once.
    pub(super) fn cut(&mut self) {
        self.link.cancel();
        self.link = self.power.child_token();
    }
}
