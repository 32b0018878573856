//! Simulated machines that run Talos Linux, as a hypervisor starts and stops them (contracts/talos.md).
//!
//! A machine boots what its disk holds, takes its configuration from the disk, else from a `cidata` image, else waits for one in maintenance,
//! and then serves the real API on port 50000. Control planes carry etcd and one shared `kubernetes::ControlPlane`; the virtual address follows one of
//! them. What the lab does not understand in a configuration is refused with `LAB-UNKNOWN`.

mod access;
mod apid;
mod apply;
mod boot;
mod cidata;
mod cluster;
mod config;
mod disk_routes;
mod equipment;
mod estate;
mod etcd;
mod event;
mod image;
mod lifecycle;
mod machine;
mod member;
mod pki;
mod plug;
mod power;
mod resource;
mod right;
mod service;
mod state_routes;
mod tls;
mod validate;
mod vpn;
mod yaml;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use self::cluster::Cluster;
use self::estate::Entry;
use self::machine::Machine;
use self::plug::Plug;
use self::vpn::Vpn;
use crate::calls::Calls;
use crate::clock::Clock;
use crate::fault::Faults;
use crate::headscale::Headscale;
use crate::kubernetes::ControlPlane;
use crate::network::Network;
use crate::proxmox::Factory;

/// Where DHCP begins to hand out addresses.
const LEASES: [u8; 4] = [192, 0, 2, 200];

/// The three files of a `cidata` image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cidata {
    /// `meta-data`: instance id and hostname.
    pub meta_data: String,
    /// `network-config`, version 1 or 2; may be empty.
    pub network_config: String,
    /// `user-data`: the machine configuration itself.
    pub user_data: String,
}

/// What a hypervisor starts a machine with.
#[derive(Debug, Clone)]
pub struct PowerOn {
    /// The hypervisor's id, `pve1/120`.
    pub vm: String,
    /// Its name on the hypervisor.
    pub name: String,
    /// SMBIOS uuid.
    pub uuid: String,
    /// Address of its network card, upper or lower case.
    pub mac: String,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Size of the system disk in bytes.
    pub disk_bytes: u64,
    /// File that was imported into the disk, such as `talos-<schematic>-v1.13.9-nocloud-amd64.qcow2`: version and schematic are read from it. Only
    /// counts when the disk is new; without one nothing boots.
    pub image: Option<String>,
    /// The `cidata` image in the drive, if there is one.
    pub cidata: Option<Cidata>,
}

/// What surrounds a machine.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    pub(crate) calls: Calls,
}

/// All Talos machines of the lab; clones share them.
#[derive(Clone)]
pub struct TalosMachines(Arc<Fleet>);

/// What the machines share.
struct Fleet {
    world: World,
    machines: Mutex<BTreeMap<String, Arc<Machine>>>,
    /// Who holds each virtual address.
    virtual_addresses: Mutex<BTreeMap<IpAddr, String>>,
    /// Leases of DHCP by machine.
    leases: Mutex<Vec<String>>,
    journal: Mutex<Vec<Entry>>,
    vpn: OnceLock<Vpn>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in one request must not take the whole lab down.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fleet {
    fn all(&self) -> Vec<Arc<Machine>> {
        locked(&self.machines).values().cloned().collect()
    }

    /// The machine with an address or a name.
    fn find(&self, name: &str) -> Option<Arc<Machine>> {
        let address: Option<IpAddr> = name.parse().ok();
        self.all().into_iter().find(|machine| {
            address.is_some_and(|address| machine.has(address)) || machine.name() == name
        })
    }

    /// The address that DHCP gives a machine, always the same.
    fn lease(&self, vm: &str) -> IpNet {
        let mut leases = locked(&self.leases);
        let index = leases.iter().position(|own| own == vm).unwrap_or_else(|| {
            leases.push(vm.to_owned());
            leases.len() - 1
        });
        let index = u32::try_from(index).unwrap_or(u32::MAX) % 50;
        let address = u32::from(std::net::Ipv4Addr::from(LEASES)) + index;
        let net = Ipv4Net::new(address.into(), 24).expect("24 is a prefix of IPv4");
        IpNet::V4(net)
    }

    /// Gives a virtual address to a machine when nobody holds it. True when it just got it.
    fn claim(&self, address: IpAddr, machine: &Arc<Machine>) -> bool {
        let mut held = locked(&self.virtual_addresses);
        if held.contains_key(&address) {
            return false;
        }
        held.insert(address, machine.vm.clone());
        let plug = Arc::new(Plug(Arc::downgrade(machine)));
        self.world.network.register(address, plug);
        true
    }

    /// Takes a virtual address from the machine that holds it. False when it does not.
    fn release(&self, address: IpAddr, vm: &str) -> bool {
        let mut held = locked(&self.virtual_addresses);
        if held.get(&address).map(String::as_str) != Some(vm) {
            return false;
        }
        held.remove(&address);
        self.world.network.unregister(address);
        true
    }

    fn note(&self, node: &str, what: &str, cluster: Option<&Cluster>) {
        let votes = cluster.map(Cluster::votes);
        let at = self.world.clock.elapsed().as_secs();
        locked(&self.journal).push(Entry {
            at,
            node: node.to_owned(),
            what: what.to_owned(),
            votes,
        });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for machine in locked(&self.machines).values() {
            machine.switch_off();
        }
    }
}

impl TalosMachines {
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
            virtual_addresses: Mutex::default(),
            leases: Mutex::default(),
            journal: Mutex::default(),
            vpn: OnceLock::new(),
        }))
    }

    /// From now on machines whose image holds the extension `tailscale` can log in.
    pub fn connect_vpn(&self, headscale: Headscale, factory: Factory) {
        let _already = self.0.vpn.set(Vpn { headscale, factory });
    }

    fn get(&self, vm: &str) -> Option<Arc<Machine>> {
        locked(&self.0.machines).get(vm).cloned()
    }

    /// Switches a machine on; one that is on already stays as it is. What its disk holds is kept per `vm` until `remove`.
    pub fn power_on(&self, start: PowerOn) {
        let machine = self.get(&start.vm).unwrap_or_else(|| {
            let (world, fleet) = (self.0.world.clone(), Arc::downgrade(&self.0));
            let machine = Machine::new(start.clone(), world, fleet);
            locked(&self.0.machines).insert(start.vm.clone(), Arc::clone(&machine));
            machine
        });
        if !machine.is_on() {
            machine.state().hardware = start;
            machine.switch_on();
        }
    }

    /// Cuts a machine's power.
    pub fn power_off(&self, vm: &str) {
        if let Some(machine) = self.get(vm) {
            machine.switch_off();
        }
    }

    /// Presses the reset button; a machine that is off stays off.
    pub fn restart(&self, vm: &str) {
        if let Some(machine) = self.get(vm)
            && machine.switch_off()
        {
            machine.switch_on();
        }
    }

    /// Takes the image out of the drive while the machine runs.
    pub fn eject(&self, vm: &str) {
        if let Some(machine) = self.get(vm) {
            machine.state().hardware.cidata = None;
        }
    }

    /// Takes a machine away with its disk.
    pub fn remove(&self, vm: &str) {
        let machine = locked(&self.0.machines).remove(vm);
        if let Some(machine) = machine {
            machine.switch_off();
        }
    }

    /// Whether a machine is on: it may have switched itself off.
    pub fn is_on(&self, vm: &str) -> bool {
        self.get(vm).is_some_and(|machine| machine.is_on())
    }

    /// What the guest agent reports: network card, address and length of the prefix of each; empty until the system is up.
    pub fn addresses(&self, vm: &str) -> Vec<(String, IpAddr, u8)> {
        let Some(machine) = self.get(vm) else {
            return Vec::new();
        };
        let mac = machine.state().hardware.mac.to_lowercase();
        let held = machine.with(|run| {
            let own = run.addresses.iter();
            let own = own.map(|address| (address.addr(), address.prefix_len()));
            let held = run.virtual_addresses.iter();
            let held = held.map(|address| (*address, if address.is_ipv4() { 32 } else { 128 }));
            own.chain(held).collect::<Vec<_>>()
        });
        let held = held.unwrap_or_default().into_iter();
        held.map(|(address, prefix)| (mac.clone(), address, prefix))
            .collect()
    }

    /// The machine of a node by its name: where it is.
    pub fn address_of(&self, node: &str) -> Option<IpAddr> {
        self.0.find(node)?.address()
    }

    /// The clusters that machines hold on their disks.
    pub fn clusters(&self) -> Vec<Arc<ControlPlane>> {
        let mut planes: Vec<Arc<ControlPlane>> = Vec::new();
        for machine in self.0.all() {
            let Some(membership) = machine.membership() else {
                continue;
            };
            let plane = &membership.cluster.plane;
            if !planes.iter().any(|known| Arc::ptr_eq(known, plane)) {
                planes.push(Arc::clone(plane));
            }
        }
        planes
    }

    /// Someone deletes a node through the Kubernetes API. False when no cluster has it.
    pub fn delete_node(&self, name: &str) -> bool {
        let mut found = false;
        for plane in self.clusters() {
            found |= plane.estate()["nodes"].get(name).is_some();
            plane.delete_node(name);
        }
        found
    }

    /// The truth for `GET /estate`: the machines, and in `journal` what happened when, with the voters of etcd and how many lived.
    pub fn estate(&self) -> Value {
        estate::show(&self.0)
    }
}
