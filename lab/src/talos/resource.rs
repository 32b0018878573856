//! What a machine knows about itself, as resources with both encodings of their specs (contracts/talos.md section 3.3).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::stream;
use ipnet::IpNet;
use prost::Message;
use serde_json::{Value, json};
use strata_proto::talos::common::{NetIp, NetIpPrefix};
use strata_proto::talos::definitions as spec;
use strata_proto::talos::machine as wire;
use strata_proto::talos::machine::machine_status_event::MachineStage as Stage;

use super::apid::Api;
use super::equipment;
use super::machine::{Machine, NextBoot};
use super::service::Flow;
use super::yaml;

/// One resource.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    pub(super) namespace: &'static str,
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) yaml: String,
    pub(super) binary: Vec<u8>,
}

/// Kinds that exist: namespace, name, first minor version, and whether only an administrator may read it.
pub(super) const KINDS: [(&str, &str, u32, bool); 23] = [
    ("runtime", "MachineStatuses.runtime.talos.dev", 0, false),
    ("runtime", "Versions.runtime.talos.dev", 0, false),
    ("runtime", "BootIDs.runtime.talos.dev", 14, false),
    (
        "runtime",
        "ImageFactorySchematics.runtime.talos.dev",
        14,
        false,
    ),
    ("runtime", "RebootRequests.runtime.talos.dev", 14, false),
    (
        "runtime",
        "UnattendedInstallStatuses.runtime.talos.dev",
        14,
        false,
    ),
    ("runtime", "ExtensionStatuses.runtime.talos.dev", 0, false),
    ("runtime", "Diagnostics.runtime.talos.dev", 0, false),
    ("runtime", "PlatformMetadatas.talos.dev", 0, false),
    ("runtime", "Services.v1alpha1.talos.dev", 0, false),
    ("runtime", "TimeStatuses.v1alpha1.talos.dev", 0, false),
    ("runtime", "Disks.block.talos.dev", 0, false),
    ("runtime", "SystemDisks.block.talos.dev", 0, false),
    ("runtime", "VolumeStatuses.block.talos.dev", 0, false),
    ("cluster", "Members.cluster.talos.dev", 0, false),
    ("cluster", "Infos.cluster.talos.dev", 0, false),
    ("network", "NodeAddresses.net.talos.dev", 0, false),
    ("network", "HostnameStatuses.net.talos.dev", 0, false),
    ("network", "LinkStatuses.net.talos.dev", 0, false),
    ("config", "MachineConfigs.config.talos.dev", 0, true),
    ("config", "MachineTypes.config.talos.dev", 0, false),
    ("etcd", "EtcdMembers.etcd.talos.dev", 0, false),
    (
        "hardware",
        "SystemInformations.hardware.talos.dev",
        0,
        false,
    ),
];
/// Kinds of the namespace of Kubernetes.
pub(super) const KUBERNETES: [(&str, &str, u32, bool); 2] = [
    ("k8s", "Nodenames.kubernetes.talos.dev", 0, false),
    ("k8s", "NodeStatuses.kubernetes.talos.dev", 0, false),
];

/// A service as `talosctl services` shows it.
pub(super) struct Service {
    pub(super) id: &'static str,
    pub(super) state: &'static str,
    pub(super) healthy: bool,
}

/// The services of a machine.
pub(super) fn services(machine: &Machine) -> Vec<Service> {
    let controls = machine
        .config()
        .is_some_and(|config| config.is_control_plane());
    let normal = machine.is_normal();
    let cri = machine.with(|run| run.cri).unwrap_or_default();
    let registered = machine.with(|run| run.node.is_some()).unwrap_or_default();
    let service = |id, running, otherwise| Service {
        id,
        state: if running { "Running" } else { otherwise },
        healthy: running,
    };
    let mut all = vec![
        service("apid", true, "Waiting"),
        service("containerd", true, "Waiting"),
        service("machined", true, "Waiting"),
        service("udevd", true, "Waiting"),
    ];
    if normal {
        all.push(service("cri", cri, "Preparing"));
        all.push(service("kubelet", registered, "Waiting"));
        if controls {
            let etcd = machine.etcd.load(Ordering::Acquire) && machine.membership().is_some();
            all.push(service("etcd", etcd, "Preparing"));
            all.push(service("trustd", true, "Waiting"));
        }
    }
    all.sort_by_key(|service| service.id);
    all
}

/// Conditions that keep a machine from being ready.
fn unmet(machine: &Machine) -> Vec<(&'static str, String)> {
    let stage = machine.with(|run| run.stage);
    if stage == Some(Stage::Maintenance) {
        return Vec::new();
    }
    let waiting: Vec<&str> = services(machine)
        .iter()
        .filter(|service| !service.healthy)
        .map(|service| service.id)
        .collect();
    let mut all = Vec::new();
    if !waiting.is_empty() {
        all.push(("services", format!("{} not healthy", waiting.join(", "))));
    }
    let name = machine.name();
    let ready = machine
        .cluster()
        .is_some_and(|cluster| cluster.plane.is_node_ready(&name));
    if !ready {
        all.push((
            "nodeReady",
            format!("node {name:?} status is not available yet or not ready"),
        ));
    }
    all
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Unknown => "unknown",
        Stage::Booting => "booting",
        Stage::Installing => "installing",
        Stage::Maintenance => "maintenance",
        Stage::Running => "running",
        Stage::Rebooting => "rebooting",
        Stage::ShuttingDown => "shutting down",
        Stage::Resetting => "resetting",
        Stage::Upgrading => "upgrading",
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

struct Shelf(Vec<Resource>);

impl Shelf {
    fn put(&mut self, namespace: &'static str, kind: &'static str, id: &str, value: &Value) {
        self.binary(namespace, kind, id, value, Vec::new());
    }

    fn binary(
        &mut self,
        namespace: &'static str,
        kind: &'static str,
        id: &str,
        value: &Value,
        binary: Vec<u8>,
    ) {
        self.text(namespace, kind, id, yaml::text(value), binary);
    }

    fn text(
        &mut self,
        namespace: &'static str,
        kind: &'static str,
        id: &str,
        yaml: String,
        binary: Vec<u8>,
    ) {
        self.0.push(Resource {
            namespace,
            kind,
            id: id.to_owned(),
            yaml,
            binary,
        });
    }
}

/// Everything there is at this moment.
pub(super) fn all(machine: &Arc<Machine>) -> Vec<Resource> {
    let mut shelf = Shelf(Vec::new());
    runtime(machine, &mut shelf);
    hardware(machine, &mut shelf);
    network(machine, &mut shelf);
    configuration(machine, &mut shelf);
    members(machine, &mut shelf);
    shelf.0
}

fn runtime(machine: &Machine, shelf: &mut Shelf) {
    let image = machine.image();
    let stage = machine.with(|run| run.stage).unwrap_or_default();
    let unmet = unmet(machine);
    let conditions: Vec<Value> = unmet
        .iter()
        .map(|(name, reason)| json!({"name": name, "reason": reason}))
        .collect();
    let status = spec::MachineStatusSpec {
        stage: stage.into(),
        status: Some(wire::machine_status_event::MachineStatus {
            ready: unmet.is_empty(),
            unmet_conditions: unmet
                .iter()
                .map(
                    |(name, reason)| wire::machine_status_event::machine_status::UnmetCondition {
                        name: (*name).to_owned(),
                        reason: reason.clone(),
                    },
                )
                .collect(),
        }),
    };
    shelf.binary(
        "runtime",
        "MachineStatuses.runtime.talos.dev",
        "machine",
        &json!({"stage": stage_name(stage), "status": {"ready": unmet.is_empty(), "unmetConditions": conditions}}),
        status.encode_to_vec(),
    );
    let version = spec::VersionSpec {
        version: image.version.clone(),
        name: "Talos".into(),
    };
    shelf.binary(
        "runtime",
        "Versions.runtime.talos.dev",
        "version",
        &json!({"name": "Talos", "version": image.version}),
        version.encode_to_vec(),
    );
    let boot_id = machine.with(|run| run.boot_id.clone()).unwrap_or_default();
    shelf.binary(
        "runtime",
        "BootIDs.runtime.talos.dev",
        "boot-id",
        &json!({"bootID": boot_id}),
        spec::BootIdSpec {
            boot_id: boot_id.clone(),
        }
        .encode_to_vec(),
    );
    shelf.put(
        "runtime",
        "ImageFactorySchematics.runtime.talos.dev",
        "image-factory-schematic",
        &json!({"schematicId": image.schematic, "flavor": "nocloud", "apiUrl": "https://factory.talos.dev"}),
    );
    shelf.put(
        "runtime",
        "ExtensionStatuses.runtime.talos.dev",
        "0",
        &json!({"image": "0", "metadata": {"name": "schematic", "version": image.schematic,
            "author": "Image Factory", "description": "Virtual extension which specifies the schematic ID for this image built with Image Factory."}}),
    );
    for (index, extension) in super::vpn::extensions(machine).iter().enumerate() {
        let name = extension.rsplit('/').next().unwrap_or_default();
        shelf.put(
            "runtime",
            "ExtensionStatuses.runtime.talos.dev",
            &(index + 1).to_string(),
            &json!({"image": format!("{name}.sqsh"), "metadata": {"name": name, "version": "simulated"}}),
        );
    }
    shelf.put(
        "runtime",
        "PlatformMetadatas.talos.dev",
        "platformmetadata",
        &json!({"platform": "nocloud", "hostname": machine.name()}),
    );
    shelf.put(
        "runtime",
        "TimeStatuses.v1alpha1.talos.dev",
        "node",
        &json!({"synced": true, "epoch": 1, "syncDisabled": false}),
    );
    if machine
        .with(|run| run.next_boot == NextBoot::Wanted)
        .unwrap_or_default()
    {
        let reason = json!({"reason": "machine config requires a reboot"});
        shelf.put(
            "runtime",
            "RebootRequests.runtime.talos.dev",
            "reboot-request",
            &reason,
        );
    }
    for service in services(machine) {
        shelf.put(
            "runtime",
            "Services.v1alpha1.talos.dev",
            service.id,
            &json!({"running": service.state == "Running", "healthy": service.healthy, "unknown": false}),
        );
    }
}

fn hardware(machine: &Machine, shelf: &mut Shelf) {
    let (hardware, installed) = {
        let state = machine.state();
        (state.hardware.clone(), state.disk.image.is_some())
    };
    for (id, complaint) in equipment::diagnostics(machine) {
        shelf.put("runtime", "Diagnostics.runtime.talos.dev", &id, &complaint);
    }
    shelf.put(
        "runtime",
        "Disks.block.talos.dev",
        "sda",
        &json!({"dev_path": "/dev/sda", "size": hardware.disk_bytes, "model": "QEMU HARDDISK", "transport": "virtio",
            "rotational": true, "sector_size": 512, "io_size": 512}),
    );
    if installed {
        shelf.put(
            "runtime",
            "SystemDisks.block.talos.dev",
            "system-disk",
            &json!({"diskID": "sda", "devPath": "/dev/sda"}),
        );
        shelf.put(
            "runtime",
            "VolumeStatuses.block.talos.dev",
            "EPHEMERAL",
            &equipment::ephemeral(hardware.disk_bytes),
        );
    }
    let system = spec::SystemInformationSpec {
        manufacturer: "QEMU".into(),
        product_name: "Standard PC (Q35 + ICH9, 2009)".into(),
        uuid: hardware.uuid.clone(),
        ..spec::SystemInformationSpec::default()
    };
    shelf.binary(
        "hardware",
        "SystemInformations.hardware.talos.dev",
        "systeminformation",
        &json!({"manufacturer": system.manufacturer, "productName": system.product_name, "uuid": hardware.uuid, "serialnumber": ""}),
        system.encode_to_vec(),
    );
    let mac = hardware.mac.to_lowercase();
    shelf.put(
        "network",
        "LinkStatuses.net.talos.dev",
        "eth0",
        &json!({"index": 8, "type": "ether", "hardwareAddr": mac, "permanentAddr": mac, "mtu": 1500, "operationalState": "up",
            "linkState": true, "kind": "", "driver": "virtio_net"}),
    );
}

fn network(machine: &Machine, shelf: &mut Shelf) {
    let hostname = machine.name();
    shelf.binary(
        "network",
        "HostnameStatuses.net.talos.dev",
        "hostname",
        &json!({"hostname": hostname, "domainname": ""}),
        spec::HostnameStatusSpec {
            hostname: hostname.clone(),
            domainname: String::new(),
        }
        .encode_to_vec(),
    );
    let mut addresses = machine
        .with(|run| run.addresses.clone())
        .unwrap_or_default();
    let first = addresses.first().copied().into_iter().collect();
    let held = machine
        .with(|run| run.virtual_addresses.clone())
        .unwrap_or_default();
    let vpn = machine.with(|run| run.vpn.clone()).unwrap_or_default();
    addresses.extend(held.into_iter().chain(vpn).map(IpNet::from));
    for (id, addresses) in [
        ("default", &first),
        ("current", &addresses),
        ("routed", &addresses),
        ("accumulative", &addresses),
    ] {
        let binary = spec::NodeAddressSpec {
            addresses: addresses
                .iter()
                .map(|address| NetIpPrefix {
                    ip: octets(address.addr()),
                    prefix_length: address.prefix_len().into(),
                })
                .collect(),
        };
        shelf.binary(
            "network",
            "NodeAddresses.net.talos.dev",
            id,
            &json!({"addresses": addresses, "sortAlgorithm": "v1"}),
            binary.encode_to_vec(),
        );
    }
}

fn configuration(machine: &Machine, shelf: &mut Shelf) {
    let stored = machine.state().disk.configuration.clone();
    let active = machine.config();
    for (id, config) in [("v1alpha1", &active), ("persistent", &stored)] {
        let Some(config) = config else { continue };
        let binary = spec::MachineConfigSpec {
            yaml_marshalled: config.text.clone().into_bytes(),
        };
        shelf.text(
            "config",
            "MachineConfigs.config.talos.dev",
            id,
            config.text.clone(),
            binary.encode_to_vec(),
        );
    }
    let Some(config) = active.filter(|config| config.main().is_some()) else {
        return;
    };
    shelf.text(
        "config",
        "MachineTypes.config.talos.dev",
        "machine-type",
        format!("{}\n", config.role()),
        Vec::new(),
    );
    shelf.put(
        "cluster",
        "Infos.cluster.talos.dev",
        "current",
        &json!({"clusterId": config.cluster_id(), "clusterName": config.cluster_name()}),
    );
    let name = machine.name();
    shelf.put(
        "k8s",
        "Nodenames.kubernetes.talos.dev",
        "nodename",
        &json!({"nodename": name, "hostnameVersion": "1", "skipNodeRegistration": false}),
    );
    if let Some(membership) = machine.membership() {
        shelf.put(
            "etcd",
            "EtcdMembers.etcd.talos.dev",
            "local",
            &json!({"memberID": format!("{:016x}", membership.id)}),
        );
    }
    if machine.with(|run| run.node.is_some()).unwrap_or_default() {
        let ready = machine
            .cluster()
            .is_some_and(|cluster| cluster.plane.is_node_ready(&name));
        shelf.put(
            "k8s",
            "NodeStatuses.kubernetes.talos.dev",
            &name,
            &json!({"nodename": name, "nodeReady": ready, "unschedulable": false}),
        );
    }
}

/// The machines that discovery shows: those of the same cluster whose API has started.
fn members(machine: &Arc<Machine>, shelf: &mut Shelf) {
    let (Some(fleet), Some(own)) = (machine.fleet.upgrade(), machine.config()) else {
        return;
    };
    for other in fleet.all() {
        let Some(config) = other.config().filter(|_| other.is_normal()) else {
            continue;
        };
        let same = config.cluster_id() == own.cluster_id()
            && config.cluster_secret() == own.cluster_secret();
        if !same {
            continue;
        }
        let (name, addresses) = (other.name(), other.addresses());
        let system = format!("Talos ({})", other.image().version);
        let mut value = json!({"nodeId": other.vm, "addresses": addresses, "hostname": name,
            "machineType": config.role(), "operatingSystem": system});
        if config.is_control_plane() {
            value["controlPlane"] = json!({"port": 6443});
        }
        let kind = if config.is_control_plane() {
            spec::member_spec::Type::ControlPlane
        } else {
            spec::member_spec::Type::Worker
        };
        let binary = spec::MemberSpec {
            node_id: other.vm.clone(),
            addresses: addresses
                .iter()
                .map(|address| NetIp {
                    ip: octets(*address),
                })
                .collect(),
            hostname: name.clone(),
            machine_type: kind.into(),
            operating_system: system,
        };
        shelf.binary(
            "cluster",
            "Members.cluster.talos.dev",
            &name,
            &value,
            binary.encode_to_vec(),
        );
    }
}

/// The stream of events: an empty one as hello, what is wanted of the past, then what happens.
pub(super) fn events(api: &Api, request: &wire::EventsRequest) -> Flow<wire::Event> {
    let machine = Arc::clone(&api.machine);
    let (past, last) = machine.events.after(0);
    let wanted = match request.tail_events {
        count if count < 0 => past.len(),
        count => usize::try_from(count).unwrap_or_default(),
    };
    let start = if request.tail_id.is_empty() {
        past.len().saturating_sub(wanted)
    } else {
        past.iter()
            .position(|event| event.id > request.tail_id)
            .unwrap_or(past.len())
    };
    let actor = request.with_actor_id.clone();
    let mut first = vec![wire::Event::default()];
    first.extend(past[start..].iter().cloned());
    let state = (machine, last, first, actor);
    Box::pin(stream::unfold(
        state,
        |(machine, mut last, mut waiting, actor)| async move {
            loop {
                let is_wanted = |event: &wire::Event| {
                    actor.is_empty() || event.data.is_none() || event.actor_id == actor
                };
                while !waiting.is_empty() {
                    let event = waiting.remove(0);
                    if is_wanted(&event) {
                        return Some((Ok(event), (machine, last, waiting, actor)));
                    }
                }
                let mut count = machine.events.count.subscribe();
                if *count.borrow_and_update() <= last {
                    count.changed().await.ok()?;
                }
                (waiting, last) = machine.events.after(last);
            }
        },
    ))
}
