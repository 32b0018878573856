//! Simulated machines: they act on what is delivered (docs/delivery.md) and refuse what they do not understand.
//!
//! A machine is installed with Ubuntu, runs the stub of its user data, becomes Flatcar through kexec, Ignition and flatcar-install, and then
//! serves SSH, runs `strata-node` as it was delivered, filters with nftables and takes part in a cluster through kubeadm. Nothing is skipped:
//! the unknown fails with `LAB-UNKNOWN`. Simulated (and so never proved here): hardware, disks, kernel, image pulls, L2.

mod archive;
mod boot;
mod command;
mod connection;
mod estate;
mod file;
mod host;
mod ignition;
mod internet;
mod kubeadm;
mod nft;
mod program;
mod rescue;
mod shell;
mod ssh;
mod state;
mod timer;
mod unit;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use serde_json::{Value, json};

use crate::calls::Calls;
use crate::clock::Clock;
use crate::fault::Faults;
use crate::kubernetes::ControlPlane;
use crate::network::Network;

pub use state::Machine;

/// What a platform installs.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The platform's id of the server.
    pub server_id: String,
    /// Its name on the platform.
    pub name: String,
    /// Hostname of the first system.
    pub hostname: String,
    /// Public IPv4 address.
    pub ipv4: IpAddr,
    /// Public IPv6 address.
    pub ipv6: IpAddr,
    /// Disks: name (under `/dev/disk/by-id/`) and size in bytes.
    pub disks: Vec<(String, u64)>,
    /// User data for cloud-init, decoded.
    pub user_data: Option<Vec<u8>>,
    /// Keys of the platform's account, for user `ubuntu`.
    pub ssh_public_keys: Vec<String>,
    /// Nothing is installed: whoever rents it sees to that.
    pub bare: bool,
}

/// What surrounds a machine.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
}

/// All machines of the lab; clones share them.
#[derive(Clone)]
pub struct Machines(Arc<Fleet>);

pub(crate) struct Fleet {
    world: World,
    machines: Mutex<BTreeMap<String, Arc<Machine>>>,
    /// What was on the disks of machines that were taken away, by the server's id.
    returned: Mutex<BTreeMap<String, Value>>,
    clusters: Mutex<Vec<Arc<ControlPlane>>>,
}

impl Fleet {
    /// The machine that has an address.
    pub(crate) fn at(&self, address: IpAddr) -> Option<Arc<Machine>> {
        self.all().into_iter().find(|machine| machine.has(address))
    }

    pub(crate) fn all(&self) -> Vec<Arc<Machine>> {
        self.machines
            .lock()
            .expect("no panic while held")
            .values()
            .cloned()
            .collect()
    }

    pub(crate) fn add_cluster(&self, cluster: Arc<ControlPlane>) {
        self.clusters
            .lock()
            .expect("no panic while held")
            .push(cluster);
    }
}

impl Machines {
    /// No machines yet.
    pub fn new(clock: Clock, network: Network, faults: Faults, calls: Calls) -> Self {
        let world = World {
            clock,
            network,
            faults,
            calls,
        };
        Self(Arc::new(Fleet {
            world,
            machines: Mutex::default(),
            returned: Mutex::default(),
            clusters: Mutex::default(),
        }))
    }

    /// Puts a freshly installed Ubuntu on a machine, unless it is handed over bare, and starts it; a machine with this id before is gone with all it held.
    pub fn install(&self, spec: Spec) -> Arc<Machine> {
        self.remove(&spec.server_id);
        let server_id = spec.server_id.clone();
        // It was not taken away but installed again.
        self.returned().remove(&server_id);
        let machine = Machine::new(spec, self.0.world.clone(), Arc::downgrade(&self.0));
        self.0
            .machines
            .lock()
            .expect("no panic while held")
            .insert(server_id, Arc::clone(&machine));
        machine.connect();
        let first = if machine.spec.bare {
            boot::Source::Disk
        } else {
            boot::Source::FirstSystem
        };
        machine.power_cycle(first);
        machine
    }

    /// Takes a machine away: power, addresses, disks.
    pub fn remove(&self, server_id: &str) {
        let machine = self
            .0
            .machines
            .lock()
            .expect("no panic while held")
            .remove(server_id);
        if let Some(machine) = machine {
            let left = json!({ "name": machine.spec.name, "server_id": server_id, "disks": machine.disks() });
            self.returned().insert(server_id.to_owned(), left);
            machine.disconnect();
        }
    }

    fn returned(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.returned.lock().expect("no panic while held")
    }

    /// What the next tenant of each machine that was taken away would find on its disks, by name on the platform and id.
    pub fn left_behind(&self) -> Value {
        let mut left: Vec<Value> = self.returned().values().cloned().collect();
        left.sort_by_key(|machine| {
            (
                machine["name"].to_string(),
                machine["server_id"].to_string(),
            )
        });
        Value::Array(left)
    }

    /// Presses the reset button.
    pub fn reboot(&self, server_id: &str) {
        let machine = self
            .0
            .machines
            .lock()
            .expect("no panic while held")
            .get(server_id)
            .cloned();
        if let Some(machine) = machine {
            machine.power_cycle(boot::Source::Disk);
        }
    }

    /// Presses the reset button and starts the platform's rescue system, which takes these keys.
    pub fn rescue(&self, server_id: &str, keys: Vec<String>) {
        let machine = self
            .0
            .machines
            .lock()
            .expect("no panic while held")
            .get(server_id)
            .cloned();
        if let Some(machine) = machine {
            machine.power_cycle(boot::Source::Rescue(keys));
        }
    }

    /// A machine by its name on the platform, hostname or server id.
    pub fn find(&self, name: &str) -> Option<Arc<Machine>> {
        self.0
            .all()
            .into_iter()
            .find(|machine| machine.is_called(name))
    }

    /// Someone opens a port by hand: an accept rule at the top of table `strata`. False when there is no such machine or table.
    pub fn open_port(&self, name: &str, port: u16) -> bool {
        self.find(name)
            .is_some_and(|machine| machine.open_port(port))
    }

    /// update-engine on a machine fetches a newer release. False when there is no such machine, or it takes no updates.
    pub fn fetch_update(&self, name: &str) -> bool {
        self.find(name)
            .is_some_and(|machine| machine.fetch_update())
    }

    /// Someone deletes a node through the Kubernetes API. False when no cluster has it.
    pub fn delete_node(&self, name: &str) -> bool {
        let mut found = false;
        for cluster in self.clusters() {
            found |= cluster.estate()["nodes"].get(name).is_some();
            cluster.delete_node(name);
        }
        found
    }

    /// The clusters that `kubeadm init` made, oldest first.
    pub fn clusters(&self) -> Vec<Arc<ControlPlane>> {
        let held: Vec<Arc<ControlPlane>> = self
            .0
            .all()
            .iter()
            .filter_map(|machine| {
                machine
                    .state()
                    .member
                    .cluster
                    .as_ref()
                    .map(|cluster| Arc::clone(&cluster.plane))
            })
            .collect();
        // A cluster that no machine holds any more is gone; the list must not keep it running.
        let mut clusters = self.0.clusters.lock().expect("no panic while held");
        clusters.retain(|cluster| held.iter().any(|other| Arc::ptr_eq(cluster, other)));
        clusters.clone()
    }

    /// The truth about every machine, without secrets and without anything that changes by itself.
    pub fn estate(&self) -> Value {
        estate::show(&self.0.all())
    }
}

/// The way from a machine to the others.
pub(crate) type Others = Weak<Fleet>;
