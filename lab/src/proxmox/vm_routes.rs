//! The calls on virtual machines: make, read, change, resize, clone, delete.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::call::{Call, boolean};
use super::option::{self, Kind, Property};
use super::task::{Work, pace};
use super::vm::Vm;
use super::{IDS, Proxmox};

/// Parameters of creation that are no options.
const CREATION: [&str; 5] = ["vmid", "start", "pool", "storage", "ha-managed"];

/// `GET /nodes/{node}/qemu`.
pub(super) fn list(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.flag("full")?;
    call.finish()?;
    let node = proxmox.node(call.path("node"))?;
    proxmox.look_at_power();
    let state = proxmox.state();
    let vms = state.vms.iter().filter(|(_, vm)| vm.node == node);
    Ok(vms.map(|(id, vm)| super::power::view(*id, vm)).collect())
}

/// `POST /nodes/{node}/qemu`.
pub(super) fn create(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let node = proxmox.node(call.path("node"))?;
    let vmid = call.number::<u32>("vmid")?;
    let vmid = vmid.ok_or_else(|| super::call::missing("vmid"))?;
    if !IDS.contains(&vmid) {
        return Err(Refusal::parameter(
            "vmid",
            "value must have a minimum value of 100",
        ));
    }
    let start = call.flag("start")?.unwrap_or(false);
    let pool = call.take("pool");
    for name in CREATION {
        if call.take(name).is_some() {
            return Err(Refusal::unknown_to_lab(&format!("`{name}` at creation")));
        }
    }
    let options = call.rest();
    proxmox.allow_vm(call, vmid, pool.as_deref(), "VM.Allocate")?;
    if let Some(pool) = &pool
        && !proxmox.state().pools.contains_key(pool)
    {
        let error = format!("Permission check failed (pool '{pool}' does not exist)");
        return Err(Refusal::died(error));
    }
    proxmox.check_options(call, vmid, pool.as_deref(), &options)?;
    let mut state = proxmox.state();
    if let Some(other) = state.vms.get(&vmid) {
        return Err(Refusal::died(format!(
            "unable to create VM {vmid} - VM {vmid} already exists on node '{}'",
            other.node
        )));
    }
    // Until the worker is done there is nothing but the lock: no name, no tags.
    let reserved = Vm {
        node: node.clone(),
        lock: Some("create".into()),
        ..Vm::default()
    };
    state.vms.insert(vmid, reserved);
    state.created += 1;
    drop(state);
    let imports = options.values().any(|value| value.contains("import-from="));
    let work = Work {
        node,
        kind: "qmcreate",
        id: vmid.to_string(),
        seconds: if imports { pace::IMPORT } else { pace::CREATE },
    };
    let effect = move |proxmox: &Proxmox| {
        let mut vm = Vm {
            node: proxmox
                .state()
                .vms
                .get(&vmid)
                .map(|vm| vm.node.clone())
                .ok_or("gone")?,
            pool,
            ..Vm::default()
        };
        for (name, value) in &options {
            let value = Proxmox::settle_option(vmid, &mut vm, name, value);
            vm.options.insert(name.clone(), value);
        }
        fill(proxmox, &mut vm);
        proxmox.state().vms.insert(vmid, vm);
        if start {
            super::power::on(proxmox, vmid);
        }
        Ok(Vec::new())
    };
    let undo = move |proxmox: &Proxmox| {
        proxmox.state().vms.remove(&vmid);
    };
    Ok(proxmox.fork(call, work, effect, undo))
}

/// What the server adds to a new machine.
fn fill(proxmox: &Proxmox, vm: &mut Vm) {
    let uuid = || uuid::Uuid::new_v4().to_string();
    let now = proxmox.0.clock.now().as_second();
    let first = vm
        .options
        .keys()
        .find(|name| option::known(name).is_some_and(|known| known.kind == Kind::Disk));
    let boot = first.map_or_else(String::new, |disk| format!("order={disk}"));
    let additions = [
        ("smbios1", format!("uuid={}", uuid())),
        ("vmgenid", uuid()),
        ("meta", format!("creation-qemu=10.0.2,ctime={now}")),
        ("boot", boot),
    ];
    for (name, value) in additions {
        vm.options.entry(name.to_owned()).or_insert(value);
    }
}

/// `GET /nodes/{node}/qemu/{vmid}/config`.
pub(super) fn config(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let current = call.flag("current")?.unwrap_or(false);
    call.finish()?;
    let (vmid, vm) = proxmox.vm(call)?;
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), "VM.Audit")?;
    let options = if current {
        vm.options.clone()
    } else {
        vm.wanted()
    };
    let mut view = option::view(&options);
    view.insert("digest".into(), json!(vm.digest()));
    if let Some(lock) = &vm.lock {
        view.insert("lock".into(), json!(lock));
    }
    if vm.template {
        view.insert("template".into(), json!(1));
    }
    Ok(Value::Object(view))
}

/// `GET /nodes/{node}/qemu/{vmid}/pending`.
pub(super) fn pending(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let (_, vm) = proxmox.vm(call)?;
    let view = option::view(&vm.options);
    let mut lines: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (name, value) in view {
        lines
            .entry(name.clone())
            .or_default()
            .insert("value".into(), value);
    }
    for (name, change) in &vm.pending {
        let line = lines.entry(name.clone()).or_default();
        match change {
            Some(value) => line.insert("pending".into(), json!(value)),
            None => line.insert("delete".into(), json!(1)),
        };
    }
    let line = |(name, mut line): (String, Map<String, Value>)| {
        line.insert("key".into(), json!(name));
        Value::Object(line)
    };
    Ok(lines.into_iter().map(line).collect())
}

/// `PUT /nodes/{node}/qemu/{vmid}/config`, which answers when it is done.
pub(super) fn change(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let change = Change::read(proxmox, call)?;
    change.apply(proxmox);
    Ok(Value::Null)
}

/// `POST /nodes/{node}/qemu/{vmid}/config`, the same by a worker.
pub(super) fn change_later(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.number::<u32>("background_delay")?;
    let change = Change::read(proxmox, call)?;
    let work = Work {
        node: call.path("node").to_owned(),
        kind: "qmconfig",
        id: change.vmid.to_string(),
        seconds: pace::OTHER,
    };
    let effect = move |proxmox: &Proxmox| {
        change.apply(proxmox);
        Ok(Vec::new())
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}

/// What shall become of the options of a machine.
struct Change {
    vmid: u32,
    options: BTreeMap<String, String>,
    delete: Vec<String>,
    revert: Vec<String>,
}

impl Change {
    fn read(proxmox: &Proxmox, call: &mut Call) -> Result<Self, Refusal> {
        let (vmid, vm) = proxmox.vm(call)?;
        vm.unlocked()?;
        let digest = call.take("digest");
        call.flag("force")?;
        let delete = call.list("delete").unwrap_or_default();
        let revert = call.list("revert").unwrap_or_default();
        if call.flag("skiplock")?.is_some() {
            return Err(Refusal::parameter(
                "skiplock",
                "Only root may use this option.",
            ));
        }
        let options = call.rest();
        if options.is_empty() && delete.is_empty() && revert.is_empty() {
            return Err(Refusal::bad("no options specified"));
        }
        proxmox.check_options(call, vmid, vm.pool.as_deref(), &options)?;
        for name in &delete {
            let known = option::known(name)
                .ok_or_else(|| Refusal::parameter("delete", format!("unknown setting '{name}'")))?;
            let cdrom = vm
                .options
                .get(name)
                .is_some_and(|value| option::is_cdrom(value));
            let privilege = if cdrom {
                "VM.Config.CDROM"
            } else {
                known.privilege
            };
            proxmox.allow_vm(call, vmid, vm.pool.as_deref(), privilege)?;
        }
        if digest.is_some_and(|digest| digest != vm.digest()) {
            let error =
                "detected modified configuration - checksum mismatch (file change by other user?)";
            return Err(Refusal::died(error));
        }
        Ok(Self {
            vmid,
            options,
            delete,
            revert,
        })
    }

    fn apply(&self, proxmox: &Proxmox) {
        let vmid = self.vmid;
        let Some(mut vm) = proxmox.state().vms.get(&vmid).cloned() else {
            return;
        };
        for name in &self.revert {
            vm.pending.remove(name);
        }
        for (name, value) in &self.options {
            let value = Proxmox::settle_option(vmid, &mut vm, name, value);
            // A drive that is there takes other media while the machine runs; one that is not cannot be plugged in.
            let drive = name.starts_with("ide") || name.starts_with("sata");
            let live = option::known(name).is_some_and(|known| known.live)
                && (!drive || vm.options.contains_key(name));
            if vm.running && !live {
                vm.pending.insert(name.clone(), Some(value));
            } else {
                vm.options.insert(name.clone(), value);
                vm.pending.remove(name);
            }
        }
        for name in &self.delete {
            let known = option::known(name);
            let live = known.is_some_and(|known| known.live) && !name.starts_with("ide");
            if vm.running && !live {
                vm.pending.insert(name.clone(), None);
                continue;
            }
            vm.pending.remove(name);
            let Some(value) = vm.options.remove(name) else {
                continue;
            };
            // A disk is taken out, and kept.
            if known.is_some_and(|known| known.kind == Kind::Disk) && !option::is_cdrom(&value) {
                let unused = (0..).map(|number| format!("unused{number}"));
                let mut unused = unused.skip_while(|name| vm.options.contains_key(name));
                let name = unused.next().expect("there is no end of numbers");
                vm.options.insert(name, Property::parse(&value).head);
            }
        }
        let ejected = vm.running && vm.medium().is_none();
        let key = vm.key(vmid);
        proxmox.state().vms.insert(vmid, vm);
        if ejected {
            proxmox.0.machines.eject(&key);
        }
    }
}

/// `PUT /nodes/{node}/qemu/{vmid}/resize`.
pub(super) fn resize(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let (vmid, vm) = proxmox.vm(call)?;
    let disk = call.need("disk")?;
    let size = call.need("size")?;
    call.take("digest");
    call.finish()?;
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), "VM.Config.Disk")?;
    vm.unlocked()?;
    let disks = vm.disks();
    let present = disks.iter().find(|(name, ..)| *name == disk);
    let (_, _, before) =
        present.ok_or_else(|| Refusal::died(format!("disk '{disk}' does not exist")))?;
    let wrong = || Refusal::parameter("size", "value does not match the regex pattern");
    let after = match size.strip_prefix('+') {
        Some(more) => before + option::size(more).ok_or_else(wrong)?,
        None => option::size(&size).ok_or_else(wrong)?,
    };
    if after < *before {
        return Err(Refusal::died("shrinking disks is not supported"));
    }
    let work = Work {
        node: vm.node.clone(),
        kind: "resize",
        id: vmid.to_string(),
        seconds: pace::OTHER,
    };
    let effect = move |proxmox: &Proxmox| {
        proxmox.with_vm(vmid, |vm| {
            let text = vm.options.get(&disk).cloned().unwrap_or_default();
            let mut property = Property::parse(&text);
            property.remove("size");
            property
                .parts
                .push(("size".into(), option::size_text(after)));
            vm.options.insert(disk, property.text());
        });
        Ok(Vec::new())
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}

/// `POST /nodes/{node}/qemu/{vmid}/clone`. Disks are on storage of the host's own, so another host cannot be the target.
pub(super) fn clone(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let (vmid, vm) = proxmox.vm(call)?;
    let new = call.number::<u32>("newid")?;
    let new = new.ok_or_else(|| super::call::missing("newid"))?;
    let name = call.take("name");
    let description = call.take("description");
    let pool = call.take("pool");
    let target = call.take("target");
    let storage = call.take("storage");
    // Storage without a choice, like the one here, ignores it.
    let format = call.take("format");
    let full = call.flag("full")?.unwrap_or(!vm.template);
    call.finish()?;
    for (parameter, is_there) in [("storage", storage.is_some()), ("format", format.is_some())] {
        if !full && is_there {
            let error = format!("parameter '{parameter}' not allowed for linked clones");
            return Err(Refusal::parameter(parameter, error));
        }
    }
    if let Some(storage) = storage.filter(|storage| storage != super::storage::DISKS) {
        return Err(Refusal::died(format!("storage '{storage}' does not exist")));
    }
    if !full && !vm.template {
        return Err(Refusal::died(
            "Linked clone feature is not supported for drive 'scsi0'",
        ));
    }
    if let Some(target) = target.filter(|target| *target != vm.node) {
        let error = format!("can't clone VM to node '{target}' (VM uses local storage)");
        return Err(Refusal::died(error));
    }
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), "VM.Clone")?;
    proxmox.allow_vm(call, new, pool.as_deref(), "VM.Allocate")?;
    vm.unlocked()?;
    let mut state = proxmox.state();
    if state.vms.contains_key(&new) {
        return Err(Refusal::died(format!(
            "unable to create VM {new}: config file already exists"
        )));
    }
    let reserved = Vm {
        node: vm.node.clone(),
        lock: Some("clone".into()),
        ..Vm::default()
    };
    state.vms.insert(new, reserved);
    state.created += 1;
    drop(state);
    let work = Work {
        node: vm.node.clone(),
        kind: "qmclone",
        id: vmid.to_string(),
        seconds: pace::IMPORT,
    };
    let effect = move |proxmox: &Proxmox| {
        let mut copy = Vm {
            pool,
            running: false,
            template: false,
            pending: BTreeMap::new(),
            ..vm.clone()
        };
        for (option, value) in &mut copy.options {
            *value = value.replace(&format!("vm-{vmid}-"), &format!("vm-{new}-"));
            *value = value.replace(&format!("base-{vmid}-"), &format!("vm-{new}-"));
            if option == "net0" {
                *value = Property::parse(value)
                    .parts
                    .iter()
                    .skip(1)
                    .fold("virtio".to_owned(), |text, (key, value)| {
                        format!("{text},{key}={value}")
                    });
            }
        }
        let network = copy.options.get("net0").cloned();
        if let Some(value) = network {
            let value = Proxmox::settle_option(new, &mut copy, "net0", &value);
            copy.options.insert("net0".into(), value);
        }
        for once in ["smbios1", "vmgenid", "meta"] {
            copy.options.remove(once);
        }
        fill(proxmox, &mut copy);
        let name = name.unwrap_or_else(|| format!("Copy-of-{}", vm.name(vmid)));
        copy.options.insert("name".into(), name);
        if let Some(description) = description {
            copy.options.insert("description".into(), description);
        }
        proxmox.state().vms.insert(new, copy);
        Ok(Vec::new())
    };
    let undo = move |proxmox: &Proxmox| {
        proxmox.state().vms.remove(&new);
    };
    Ok(proxmox.fork(call, work, effect, undo))
}

/// `POST /nodes/{node}/qemu/{vmid}/template`.
pub(super) fn template(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let (vmid, vm) = proxmox.vm(call)?;
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), "VM.Allocate")?;
    vm.unlocked()?;
    if vm.running {
        return Err(Refusal::died(
            "you can't convert a VM to template if VM is running",
        ));
    }
    let work = Work {
        node: vm.node,
        kind: "qmtemplate",
        id: vmid.to_string(),
        seconds: pace::OTHER,
    };
    let effect = move |proxmox: &Proxmox| {
        proxmox.with_vm(vmid, |vm| vm.template = true);
        Ok(Vec::new())
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}

/// `DELETE /nodes/{node}/qemu/{vmid}`.
pub(super) fn delete(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let (vmid, vm) = proxmox.vm(call)?;
    for name in ["purge", "destroy-unreferenced-disks"] {
        let text = call.take(name);
        if text.as_deref().is_some_and(|text| boolean(text).is_none()) {
            return Err(Refusal::parameter(name, "type check ('boolean') failed"));
        }
    }
    call.finish()?;
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), "VM.Allocate")?;
    vm.unlocked()?;
    if vm.protected() {
        return Err(Refusal::died(format!(
            "can't remove VM {vmid} - protection mode enabled"
        )));
    }
    if vm.running {
        return Err(Refusal::died(format!(
            "VM {vmid} is running - destroy failed"
        )));
    }
    let key = vm.key(vmid);
    let work = Work {
        node: vm.node,
        kind: "qmdestroy",
        id: vmid.to_string(),
        seconds: pace::OTHER,
    };
    let effect = move |proxmox: &Proxmox| {
        proxmox.state().vms.remove(&vmid);
        proxmox.0.machines.remove(&key);
        Ok(Vec::new())
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}
