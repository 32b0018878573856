//! Between the model of a machine and its options in Proxmox, both ways.

use strata_framework::Attr;

use super::{Disk, Network, VirtualMachine, marks};
use crate::proxmox::Marks;
use crate::proxmox::client::Parameters;
use crate::proxmox::delivery::{DRIVE, EMPTY};
use crate::proxmox::wire::{Config, Machine, size};

/// The one disk.
pub(super) const DISK: &str = "scsi0";
/// The one network card.
const CARD: &str = "net0";
const GIB: u64 = 1 << 30;

fn flag(attribute: &Attr<bool>) -> String {
    u8::from(attribute.known() == Some(&true)).to_string()
}

impl VirtualMachine {
    /// Options that may change later, as they shall be. Those of a network card need what is there.
    fn changeable(&self) -> Parameters {
        Parameters::from([
            ("name", self.name.text().to_owned()),
            ("cores", self.cores.or_default().to_string()),
            ("memory", self.memory.or_default().to_string()),
            ("onboot", flag(&self.on_boot)),
            ("agent", format!("enabled={}", flag(&self.agent))),
            ("protection", flag(&self.protected)),
        ])
    }

    /// Everything that a machine is made with.
    pub(super) fn creation(&self, marks: &Marks) -> Parameters {
        let disk = self.disk.known().cloned().unwrap_or_default();
        let storage = disk.storage.text();
        let source = match disk.import_from.known() {
            Some(volume) => format!("{storage}:0,import-from={volume}"),
            None => format!("{storage}:{}", disk.size.or_default()),
        };
        let network = self.network.known().cloned().unwrap_or_default();
        let mac = network
            .mac
            .known()
            .map_or_else(String::new, |mac| format!("={mac}"));
        let vlan = network
            .vlan
            .known()
            .map_or_else(String::new, |vlan| format!(",tag={vlan}"));
        let mut options = self.changeable();
        options.extend([
            // What Talos and every current system run on, and every host of the last ten years has.
            ("cpu", "x86-64-v2-AES".to_owned()),
            ("ostype", "l26".to_owned()),
            ("scsihw", "virtio-scsi-single".to_owned()),
            (DISK, format!("{source},discard=on,iothread=1,ssd=1")),
            // A drive takes media while the machine runs only if it was there at the start.
            (DRIVE, EMPTY.to_owned()),
            (
                CARD,
                format!("virtio{mac},bridge={}{vlan}", network.bridge.text()),
            ),
            ("boot", format!("order={DISK}")),
            // The console of a system that has no screen.
            ("serial0", "socket".to_owned()),
            ("tags", marks.tags().join(";")),
        ]);
        if let Some(pool) = self.pool.known() {
            options.insert("pool", pool.clone());
        }
        options
    }

    /// What differs from what is there.
    pub(super) fn change(&self, marks: &Marks, config: &Config) -> Parameters {
        let differs = |name: &str, wanted: &String| {
            let present = config.text(name);
            match name {
                // Absent is off.
                "onboot" | "protection" => config.flag(name) != (wanted == "1"),
                "agent" => has_agent(config) != (wanted == "enabled=1"),
                _ => present.as_ref() != Some(wanted),
            }
        };
        let mut change = self.changeable();
        change.retain(|name, wanted| differs(name, wanted));
        let card = self.card(config);
        if config.text(CARD).as_ref() != Some(&card) {
            change.insert(CARD, card);
        }
        if config.text(DRIVE).is_none() {
            change.insert(DRIVE, EMPTY.to_owned());
        }
        if let Some(tags) = tags(marks, config.text("tags").as_deref().unwrap_or_default()) {
            change.insert("tags", tags);
        }
        change
    }

    /// The network card as it shall be, with everything that others set on it.
    fn card(&self, config: &Config) -> String {
        let network = self.network.known().cloned().unwrap_or_default();
        let present = config.text(CARD).unwrap_or_else(|| "virtio".into());
        let card = crate::proxmox::wire::Property::parse(&present);
        let (model, _) = card.first();
        let model = if model.is_empty() {
            "virtio".to_owned()
        } else {
            model.to_owned()
        };
        let mac = network.mac.known().map(String::as_str);
        let card = match mac {
            Some(mac) => card.with(&model, Some(mac)),
            None => card,
        };
        let vlan = network.vlan.known().map(ToString::to_string);
        card.with("bridge", Some(network.bridge.text()))
            .with("tag", vlan.as_deref())
            .to_string()
    }

    /// GiB that the disk has to grow to.
    pub(super) fn growth(&self, config: &Config) -> Option<u64> {
        let wanted = *self.disk.known()?.size.known()?;
        let present = config.property(DISK)?.get("size").and_then(size)?;
        (present < wanted * GIB).then_some(wanted)
    }

    /// What a refresh sees.
    pub(super) fn see(
        &mut self,
        host: &str,
        vm_id: u32,
        machine: Option<&Machine>,
        config: &Config,
    ) {
        self.id = Attr::Known(format!("{host}/{vm_id}"));
        self.vm_id = Attr::Known(vm_id);
        let marks = config.text("tags").and_then(|tags| Marks::among(&tags));
        if self.node.is_null() {
            self.node = Attr::from(marks.as_ref().map(|marks| marks.node.clone()));
        }
        self.name = Attr::from(config.text("name"));
        let cores = config.number("cores").unwrap_or(1);
        self.cores = Attr::Known(u32::try_from(cores).unwrap_or(u32::MAX));
        self.memory = Attr::Known(config.number("memory").unwrap_or(512));
        self.on_boot = Attr::Known(config.flag("onboot"));
        self.protected = Attr::Known(config.flag("protection"));
        self.agent = Attr::Known(has_agent(config));
        if let Some(machine) = machine {
            self.pool = Attr::from(machine.pool.clone());
            self.status = Attr::Known(machine.status.clone());
        }
        self.uuid = Attr::from(uuid(config));
        self.disk = Attr::Known(self.seen_disk(config));
        self.network = Attr::Known(seen_network(config));
    }

    fn seen_disk(&self, config: &Config) -> Disk {
        let before = self.disk.known().cloned().unwrap_or_default();
        let Some(disk) = config.property(DISK) else {
            return Disk {
                size: Attr::Null,
                ..before
            };
        };
        let storage = disk
            .head()
            .split_once(':')
            .map(|(storage, _)| storage.to_owned());
        let bytes = disk.get("size").and_then(size);
        Disk {
            storage: Attr::from(storage),
            // A size between two is the smaller one, so that it grows to what is wanted.
            size: Attr::from(bytes.map(|bytes| bytes / GIB)),
            import_from: before.import_from,
        }
    }

    /// After a write: what was not known before.
    pub(super) fn fill_unknown(
        &mut self,
        host: &str,
        vm_id: u32,
        machine: &Machine,
        config: &Config,
    ) {
        self.id = Attr::Known(format!("{host}/{vm_id}"));
        self.vm_id.fill(vm_id);
        self.status = Attr::Known(machine.status.clone());
        self.uuid.fill(Attr::from(uuid(config)));
        if let Some(network) = self.network.known_mut() {
            network.mac.fill(seen_network(config).mac);
        }
    }
}

/// Whether the tags hold these marks.
pub(super) fn carries(config: &Config, marks: &Marks) -> bool {
    let tags = config.text("tags").unwrap_or_default();
    Marks::among(&tags).is_some_and(|found| found.matches(marks))
        && marks::split(&tags).any(|tag| tag == marks.tags()[0])
}

pub(super) fn uuid(config: &Config) -> Option<String> {
    config.property("smbios1")?.get("uuid").map(str::to_owned)
}

fn has_agent(config: &Config) -> bool {
    let agent = config.property("agent");
    agent.is_some_and(|agent| agent.get("enabled").unwrap_or(agent.head()) == "1")
}

fn seen_network(config: &Config) -> Network {
    let Some(card) = config.property(CARD) else {
        return Network::default();
    };
    let (_, mac) = card.first();
    Network {
        bridge: Attr::from(card.get("bridge").map(str::to_owned)),
        vlan: Attr::from(card.get("tag").and_then(|tag| tag.parse().ok())),
        mac: Attr::Known(mac.to_uppercase()),
    }
}

/// The tags with our marks, if they are not there already. Other tags stay.
fn tags(wanted: &Marks, present: &str) -> Option<String> {
    let marks = wanted.tags();
    let others = marks::split(present).filter(|tag| !marks::is_mark(tag));
    let mut all: Vec<&str> = marks.iter().map(String::as_str).collect();
    all.extend(others);
    let mut before: Vec<&str> = marks::split(present).collect();
    let text = all.join(";");
    all.sort_unstable();
    before.sort_unstable();
    (all != before).then_some(text)
}
