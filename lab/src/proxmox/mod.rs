//! The simulated Proxmox VE cluster: three hosts, their storages, virtual machines, tasks, and who may do what.
//!
//! Written from a contract on Proxmox's public source (<https://git.proxmox.com>) and API viewer (<https://pve.proxmox.com/pve-docs/api-viewer/>). Machines
//! that boot an image of Talos Linux are run by `talos`; others are on and do nothing. Not here: containers, snapshots, backups, migration, HA,
//! SDN, generated cloud-init drives, tickets (tokens only), the console.

mod access;
mod access_routes;
mod answer;
mod call;
mod cluster;
mod factory;
mod iso;
mod option;
mod power;
mod routes;
mod storage;
mod task;
mod tls;
mod vm;
mod vm_routes;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::access::Access;
use self::answer::Refusal;
use self::storage::Volume;
use self::task::Task;
use self::tls::Tls;
use self::vm::Vm;
use crate::clock::Clock;
use crate::fault::{Action, Faults};
use crate::serve::Meter;
use crate::talos::TalosMachines;

pub use self::factory::{Factory, router as factory_router};

/// Hosts of the cluster.
pub const HOSTS: [&str; 3] = ["pve1", "pve2", "pve3"];
/// Numbers of machines.
const IDS: RangeInclusive<u32> = 100..=999_999_999;
/// Name of root's token.
const TOKEN: &str = "strata";

/// The service; clones share it.
#[derive(Clone)]
pub struct Proxmox(Arc<Inner>);

struct Inner {
    clock: Clock,
    faults: Faults,
    machines: TalosMachines,
    factory: Factory,
    tls: Tls,
    state: Mutex<State>,
}

struct State {
    vms: BTreeMap<u32, Vm>,
    /// Machines ever made, by whoever.
    created: u32,
    /// Files by host and name.
    files: BTreeMap<(String, String), Volume>,
    tasks: BTreeMap<String, Task>,
    workers: u32,
    access: Access,
    pools: BTreeMap<String, String>,
    offline: BTreeSet<String>,
}

impl Proxmox {
    /// A cluster without machines. `token` is the value of root's token.
    pub fn new(
        clock: Clock,
        faults: Faults,
        machines: TalosMachines,
        factory: Factory,
        token: &str,
    ) -> anyhow::Result<Self> {
        let state = State {
            vms: BTreeMap::new(),
            created: 0,
            files: BTreeMap::new(),
            tasks: BTreeMap::new(),
            workers: 0,
            access: Access::fresh(TOKEN, token),
            pools: BTreeMap::new(),
            offline: BTreeSet::new(),
        };
        Ok(Self(Arc::new(Inner {
            clock,
            faults,
            machines,
            factory,
            tls: Tls::new()?,
            state: Mutex::new(state),
        })))
    }

    /// The credential that clients send, for a value of root's token.
    pub fn credential(value: &str) -> String {
        format!("{}!{TOKEN}={value}", access::ROOT)
    }

    /// The CA of the cluster, PEM.
    pub fn ca(&self) -> &str {
        self.0.tls.ca()
    }

    /// SHA-256 of the certificate that is served now.
    pub fn fingerprint(&self) -> String {
        self.0.tls.fingerprint()
    }

    /// Serves the API until `stop`.
    pub fn serve(&self, listener: TcpListener, meter: Meter, stop: CancellationToken) {
        let router = routes::router(self.clone(), meter);
        self.0.tls.clone().spawn(listener, router, stop);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no panic while held")
    }

    /// Notes which machines switched themselves off, as a system can.
    fn look_at_power(&self) {
        let mut state = self.state();
        for (id, vm) in &mut state.vms {
            if vm.running && !self.0.machines.is_on(&vm.key(*id)) {
                vm.running = false;
                vm.options = vm.wanted();
                vm.pending.clear();
            }
        }
    }

    /// Whether it is of the version before this one.
    fn is_old(&self) -> bool {
        let old = |action: &Action| *action == Action::OldServer;
        self.0.faults.take("proxmox", "*", old).is_some()
    }

    /// A host by its name, when it can be reached.
    fn node(&self, name: &str) -> Result<String, Refusal> {
        if !HOSTS.contains(&name) {
            let error = format!(
                "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
            );
            return Err(Refusal::died(error));
        }
        if self.state().offline.contains(name) {
            return Err(Refusal::unreachable_host());
        }
        Ok(name.to_owned())
    }

    /// Machines, files and access, for `GET /estate`; never the value of a token.
    pub fn estate(&self) -> Value {
        self.look_at_power();
        let media: BTreeMap<u32, Value> = {
            let vms = self.state().vms.clone();
            let image = |(id, vm): (&u32, &Vm)| {
                let image = self.image_in_drive(*id, vm)?;
                let files: Vec<&String> = image.files.keys().collect();
                Some((*id, json!({ "label": image.label, "files": files })))
            };
            vms.iter().filter_map(image).collect()
        };
        let state = self.state();
        let vm = |(id, vm): (&u32, &Vm)| {
            json!({
                "medium": media.get(id),
                "vmid": id, "node": vm.node, "name": vm.name(*id), "running": vm.running, "lock": vm.lock, "pool": vm.pool,
                "image": vm.image, "options": option::view(&vm.options), "pending": vm.pending,
            })
        };
        let file = |((node, volid), volume): (&(String, String), &Volume)| json!({ "node": node, "volid": volid, "size": volume.size });
        let user = |(name, user): (&String, &access::User)| {
            let tokens: Vec<&String> = user.tokens.keys().collect();
            json!({ "userid": name, "tokens": tokens })
        };
        let grant = |(grant, propagates): (&access::Grant, &bool)| json!({ "path": grant.path, "who": grant.who, "role": grant.role, "propagate": propagates });
        let roles = state.access.roles.iter().filter(|(_, role)| !role.special);
        json!({
            "vms": state.vms.iter().map(vm).collect::<Vec<_>>(),
            "created": state.created,
            "files": state.files.iter().map(file).collect::<Vec<_>>(),
            "users": state.access.users.iter().map(user).collect::<Vec<_>>(),
            "roles": roles.map(|(name, role)| json!({ "roleid": name, "privs": role.privileges })).collect::<Vec<_>>(),
            "acl": state.access.acl.iter().map(grant).collect::<Vec<_>>(),
            "schematics": self.0.factory.estate(),
        })
    }

    /// Takes a machine away behind everybody's back.
    pub fn vanish(&self, vmid: u32) -> bool {
        let gone = self.state().vms.remove(&vmid);
        if let Some(vm) = &gone {
            self.0.machines.remove(&vm.key(vmid));
        }
        gone.is_some()
    }

    /// Makes a template by hand.
    pub fn make_template(&self, vmid: u32, host: &str) -> bool {
        if !HOSTS.contains(&host) || self.state().vms.contains_key(&vmid) {
            return false;
        }
        let mut vm = Vm {
            node: host.to_owned(),
            template: true,
            ..Vm::default()
        };
        let options = [
            ("name", "base"),
            ("tags", "golden"),
            ("memory", "1024"),
            ("scsihw", "virtio-scsi-single"),
            ("scsi0", "local-lvm:10"),
            ("net0", "virtio,bridge=vmbr0"),
            ("boot", "order=scsi0"),
        ];
        for (name, value) in options {
            let value = Self::settle_option(vmid, &mut vm, name, value);
            vm.options
                .insert(name.to_owned(), value.replace(":vm-", ":base-"));
        }
        self.state().vms.insert(vmid, vm);
        true
    }

    /// Sets an option, or the lock, behind everybody's back; an empty value takes it away.
    pub fn meddle(&self, vmid: u32, option: &str, value: &str) -> bool {
        let change = |vm: &mut Vm| {
            if option == "lock" {
                vm.lock = Some(value.to_owned()).filter(|lock| !lock.is_empty());
            } else if value.is_empty() {
                vm.options.remove(option);
            } else {
                vm.options.insert(option.to_owned(), value.to_owned());
            }
        };
        self.with_vm(vmid, change).is_some()
    }

    /// Takes a file away behind everybody's back.
    pub fn remove_file(&self, node: &str, volid: &str) -> bool {
        let key = (node.to_owned(), volid.to_owned());
        self.state().files.remove(&key).is_some()
    }

    /// Cuts a host off from the others, or connects it again.
    pub fn set_online(&self, host: &str, online: bool) -> bool {
        if !HOSTS.contains(&host) {
            return false;
        }
        let mut state = self.state();
        if online {
            state.offline.remove(host);
        } else {
            state.offline.insert(host.to_owned());
        }
        true
    }

    /// Renews the certificate.
    pub fn rotate(&self) -> anyhow::Result<()> {
        self.0.tls.rotate()
    }
}
