//! Virtual machines as the hypervisor keeps them: options, what waits for the next start, disks, lock, power.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Proxmox;
use super::answer::Refusal;
use super::call::Call;
use super::iso;
use super::option::{self, Kind, Property};
use super::storage::{DISKS, holds};
use crate::talos::{Cidata, PowerOn};

/// A virtual machine.
#[derive(Debug, Clone, Default)]
pub(super) struct Vm {
    pub(super) node: String,
    /// Options in force.
    pub(super) options: BTreeMap<String, String>,
    /// Changes that wait for the next start; `None` deletes.
    pub(super) pending: BTreeMap<String, Option<String>>,
    pub(super) running: bool,
    /// What holds it: `create`, `clone`.
    pub(super) lock: Option<String>,
    pub(super) template: bool,
    pub(super) pool: Option<String>,
    /// File that was imported into its first disk.
    pub(super) image: Option<String>,
    /// Number of the next volume.
    pub(super) next_disk: u32,
    /// Unix time of the last start.
    pub(super) started: i64,
}

impl Vm {
    /// As the rest of the lab names it.
    pub(super) fn key(&self, vmid: u32) -> String {
        format!("{}/{vmid}", self.node)
    }

    pub(super) fn name(&self, vmid: u32) -> String {
        let name = self.options.get("name");
        name.cloned().unwrap_or_else(|| format!("VM {vmid}"))
    }

    /// Options with what waits folded in.
    pub(super) fn wanted(&self) -> BTreeMap<String, String> {
        let mut options = self.options.clone();
        for (name, change) in &self.pending {
            match change {
                Some(value) => options.insert(name.clone(), value.clone()),
                None => options.remove(name),
            };
        }
        options
    }

    pub(super) fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, value) in self.wanted() {
            hash.update(format!("{name}: {value}\n"));
        }
        // As long as the SHA-1 of the real one.
        data_encoding::HEXLOWER.encode(&hash.finalize()[..20])
    }

    pub(super) fn number(&self, name: &str, default: u64) -> u64 {
        let text = self.options.get(name);
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    pub(super) fn protected(&self) -> bool {
        let text = self.options.get("protection");
        text.and_then(|text| super::call::boolean(text)) == Some(true)
    }

    pub(super) fn has_agent(&self) -> bool {
        let Some(text) = self.options.get("agent") else {
            return false;
        };
        let property = Property::parse(text);
        let enabled = property.get("enabled").unwrap_or(&property.head);
        super::call::boolean(enabled) == Some(true)
    }

    /// Disks: name of the option, volume, bytes.
    pub(super) fn disks(&self) -> Vec<(String, String, u64)> {
        let disk = |(name, value): (&String, &String)| {
            let known = option::known(name)?;
            if known.kind != Kind::Disk || option::is_cdrom(value) {
                return None;
            }
            let property = Property::parse(value);
            let size = property.get("size").and_then(option::size).unwrap_or(0);
            Some((name.clone(), property.head, size))
        };
        self.options.iter().filter_map(disk).collect()
    }

    /// Size of the first disk that a system boots from.
    pub(super) fn disk_bytes(&self) -> u64 {
        let disks = self.disks();
        let boots = |name: &str| !name.starts_with("efidisk") && !name.starts_with("tpmstate");
        disks
            .iter()
            .find(|(name, ..)| boots(name))
            .map_or(0, |(_, _, size)| *size)
    }

    pub(super) fn disk_views(&self, vmid: u32) -> Vec<Value> {
        let view = |(_, volume, size): (String, String, u64)| json!({ "volid": volume, "content": "images", "format": "raw", "size": size, "vmid": vmid });
        self.disks().into_iter().map(view).collect()
    }

    /// The volume in the drive, if there is one.
    pub(super) fn medium(&self) -> Option<String> {
        let drives = self
            .options
            .values()
            .filter(|value| option::is_cdrom(value));
        let media = drives.map(|value| Property::parse(value).head);
        media.into_iter().find(|volume| volume != "none")
    }

    pub(super) fn mac(&self) -> String {
        let text = self.options.get("net0").map_or("", String::as_str);
        Property::parse(text)
            .parts
            .first()
            .map(|(_, mac)| mac.clone())
            .unwrap_or_default()
    }

    fn uuid(&self) -> String {
        let text = self.options.get("smbios1").map_or("", String::as_str);
        let property = Property::parse(text);
        property.get("uuid").unwrap_or_default().to_owned()
    }

    /// Whether something holds it.
    pub(super) fn unlocked(&self) -> Result<(), Refusal> {
        match &self.lock {
            Some(lock) => Err(Refusal::died(format!("VM is locked ({lock})"))),
            None => Ok(()),
        }
    }
}

/// What is said when there is no such machine on that host.
pub(super) fn no_vm(node: &str, vmid: u32) -> Refusal {
    Refusal::died(format!(
        "Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"
    ))
}

impl Proxmox {
    /// The machine of the path, which must be on the host of the path.
    pub(super) fn vm(&self, call: &Call) -> Result<(u32, Vm), Refusal> {
        let node = self.node(call.path("node"))?;
        let vmid = call.vmid()?;
        self.look_at_power();
        let state = self.state();
        let vm = state.vms.get(&vmid).filter(|vm| vm.node == node);
        vm.cloned()
            .map(|vm| (vmid, vm))
            .ok_or_else(|| no_vm(&node, vmid))
    }

    /// Changes a machine that is still there.
    pub(super) fn with_vm<T>(&self, vmid: u32, change: impl FnOnce(&mut Vm) -> T) -> Option<T> {
        self.state().vms.get_mut(&vmid).map(change)
    }

    /// Allows what touches one machine: on itself, or on its pool.
    pub(super) fn allow_vm(
        &self,
        call: &Call,
        vmid: u32,
        pool: Option<&str>,
        privilege: &str,
    ) -> Result<(), Refusal> {
        let own = self.allow(call, &format!("/vms/{vmid}"), &[privilege]);
        own.or_else(|refusal| match pool {
            Some(pool)
                if self
                    .allow(call, &format!("/pool/{pool}"), &[privilege])
                    .is_ok() =>
            {
                Ok(())
            }
            _ => Err(refusal),
        })
    }

    /// Checks options and puts in what the server adds. Disks that are to be made are made only in `allocate`.
    pub(super) fn check_options(
        &self,
        call: &Call,
        vmid: u32,
        pool: Option<&str>,
        options: &BTreeMap<String, String>,
    ) -> Result<(), Refusal> {
        let mut wrong = Vec::new();
        for (name, value) in options {
            if option::is_for_root(name) {
                return Err(Refusal::died(format!("only root can set '{name}' config")));
            }
            if option::known(name).is_none() {
                wrong.push((name.clone(), super::call::undefined()));
            } else if let Some(fault) = option::fault(name, value) {
                wrong.push((name.clone(), fault));
            }
        }
        if !wrong.is_empty() {
            return Err(Refusal::parameters(wrong));
        }
        for (name, value) in options {
            let known = option::known(name).expect("checked above");
            let cdrom = known.kind == Kind::Disk && option::is_cdrom(value);
            let privilege = if cdrom {
                "VM.Config.CDROM"
            } else {
                known.privilege
            };
            self.allow_vm(call, vmid, pool, privilege)?;
            match known.kind {
                Kind::Disk => self.check_drive(call, name, value)?,
                Kind::Network => self.check_network(call, name, value)?,
                Kind::Plain => {}
            }
        }
        Ok(())
    }

    fn check_drive(&self, call: &Call, name: &str, value: &str) -> Result<(), Refusal> {
        let property = Property::parse(value);
        let head = &property.head;
        if head == "none" && option::is_cdrom(value) {
            return Ok(());
        }
        let Some((storage, rest)) = head.split_once(':') else {
            return Err(Refusal::parameter(
                name,
                format!("invalid format - unable to parse volume ID '{head}'"),
            ));
        };
        if option::is_cdrom(value) {
            if rest == "cloudinit" {
                return Err(Refusal::unknown_to_lab("generated cloud-init drives"));
            }
            let key = (call.path("node").to_owned(), head.clone());
            return if self.state().files.contains_key(&key) {
                Ok(())
            } else {
                Err(Refusal::died(format!("volume '{head}' does not exist")))
            };
        }
        if rest == "cloudinit" {
            return Err(Refusal::unknown_to_lab("generated cloud-init drives"));
        }
        holds(storage, "images")?;
        self.allow(
            call,
            &format!("/storage/{storage}"),
            &["Datastore.AllocateSpace"],
        )?;
        if let Some(source) = property.get("import-from") {
            let key = (call.path("node").to_owned(), source.to_owned());
            let files = &self.state().files;
            let found = files.get(&key).filter(|file| file.content == "import");
            if found.is_none() {
                return Err(Refusal::died(format!("volume '{source}' does not exist")));
            }
        }
        Ok(())
    }

    fn check_network(&self, call: &Call, name: &str, value: &str) -> Result<(), Refusal> {
        let property = Property::parse(value);
        let Some(bridge) = property.get("bridge") else {
            return Ok(());
        };
        if bridge != "vmbr0" {
            return Err(Refusal::parameter(
                name,
                format!("bridge '{bridge}' does not exist"),
            ));
        }
        self.allow(
            call,
            &format!("/sdn/zones/localnetwork/{bridge}"),
            &["SDN.Use"],
        )
    }

    /// An option as it is kept: new disks made, addresses given, tags in small letters.
    pub(super) fn settle_option(vmid: u32, vm: &mut Vm, name: &str, value: &str) -> String {
        match option::known(name).map(|known| known.kind) {
            Some(Kind::Network) => network(value),
            Some(Kind::Disk) if !option::is_cdrom(value) => settle_disk(vmid, vm, value),
            _ if name == "tags" => option::tags(value).expect("checked before"),
            _ => value.to_owned(),
        }
    }

    /// What is in the drive, when the kernel could mount it.
    pub(super) fn image_in_drive(&self, vmid: u32, vm: &Vm) -> Option<iso::Image> {
        let volume = vm.medium()?;
        let file = self
            .state()
            .files
            .get(&(vm.node.clone(), volume))
            .cloned()?;
        let image = iso::read(&file.bytes).inspect_err(|error| {
            tracing::warn!(vmid, error, "the image in the drive is not ISO 9660");
        });
        image.ok()
    }

    /// What the machine is started with.
    pub(super) fn start_of(&self, vmid: u32, vm: &Vm) -> PowerOn {
        let medium = self.image_in_drive(vmid, vm);
        let cidata = medium
            .filter(|image| image.label.eq_ignore_ascii_case("cidata"))
            .map(|image| {
                let text = |name: &str| {
                    let bytes = image.files.get(name).cloned().unwrap_or_default();
                    String::from_utf8_lossy(&bytes).into_owned()
                };
                Cidata {
                    meta_data: text("meta-data"),
                    network_config: text("network-config"),
                    user_data: text("user-data"),
                }
            });
        PowerOn {
            vm: vm.key(vmid),
            name: vm.name(vmid),
            uuid: vm.uuid(),
            mac: vm.mac(),
            memory_mib: vm.number("memory", 512),
            disk_bytes: vm.disk_bytes(),
            image: vm.image.as_deref().map(|name| self.0.factory.name_of(name)),
            cidata,
        }
    }
}

/// A network card with an address of its own, in the prefix of Proxmox.
fn network(value: &str) -> String {
    let mut property = Property::parse(value);
    if !property.head.is_empty() {
        let random = uuid::Uuid::new_v4();
        let bytes = random.as_bytes();
        let mac = format!(
            "BC:24:11:{:02X}:{:02X}:{:02X}",
            bytes[0], bytes[1], bytes[2]
        );
        let model = std::mem::take(&mut property.head);
        property.parts.insert(0, (model, mac));
    } else if let Some((_, mac)) = property.parts.first_mut() {
        *mac = mac.to_uppercase();
    }
    property.text()
}

/// A disk that was made: its volume, and its size.
fn settle_disk(vmid: u32, vm: &mut Vm, value: &str) -> String {
    let mut property = Property::parse(value);
    let (storage, rest) = property.head.split_once(':').unwrap_or((DISKS, "1"));
    let (storage, size) = (storage.to_owned(), rest.parse::<u64>());
    let Ok(gib) = size else {
        return value.to_owned();
    };
    let imported = property.remove("import-from");
    let mut bytes = gib << 30;
    if let Some(source) = imported {
        // What the images of Talos unpack to.
        bytes = 4 << 30;
        vm.image = source.rsplit(['/', ':']).next().map(str::to_owned);
    }
    property.head = format!("{storage}:vm-{vmid}-disk-{}", vm.next_disk);
    vm.next_disk += 1;
    property.remove("size");
    property
        .parts
        .push(("size".into(), option::size_text(bytes)));
    property.text()
}
