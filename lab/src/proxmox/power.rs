//! Power, status, and what the guest agent says.

use serde_json::{Map, Value, json};

use super::Proxmox;
use super::answer::Refusal;
use super::call::Call;
use super::task::{Work, pace};
use super::vm::Vm;

/// A machine as lists show it.
pub(super) fn view(vmid: u32, vm: &Vm) -> Value {
    let mut view = json!({
        "vmid": vmid, "name": vm.name(vmid), "status": if vm.running { "running" } else { "stopped" },
        "cpus": vm.number("cores", 1) * vm.number("sockets", 1), "maxmem": vm.number("memory", 512) << 20,
        "maxdisk": vm.disk_bytes(), "uptime": 0, "template": u8::from(vm.template),
    });
    if let Some(tags) = vm.options.get("tags") {
        view["tags"] = json!(tags);
    }
    if let Some(lock) = &vm.lock {
        view["lock"] = json!(lock);
    }
    view
}

/// `GET /nodes/{node}/qemu/{vmid}/status/current`.
pub(super) fn current(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let (vmid, vm) = proxmox.vm(call)?;
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), "VM.Audit")?;
    let mut status = view(vmid, &vm);
    status["qmpstatus"] = status["status"].clone();
    status["ha"] = json!({ "managed": 0 });
    if vm.has_agent() {
        status["agent"] = json!(1);
    }
    if vm.running {
        status["pid"] = json!(10_000 + vmid);
        status["uptime"] = json!(proxmox.0.clock.now().as_second() - vm.started);
    }
    Ok(status)
}

/// Switches a machine on with what waited for it.
pub(super) fn on(proxmox: &Proxmox, vmid: u32) {
    let now = proxmox.0.clock.now().as_second();
    let started = proxmox.with_vm(vmid, |vm| {
        vm.options = vm.wanted();
        vm.pending.clear();
        vm.running = true;
        vm.started = now;
        vm.clone()
    });
    if let Some(vm) = started {
        let start = proxmox.start_of(vmid, &vm);
        proxmox.0.machines.power_on(start);
    }
}

fn off(proxmox: &Proxmox, vmid: u32) {
    let key = proxmox.with_vm(vmid, |vm| {
        vm.running = false;
        vm.options = vm.wanted();
        vm.pending.clear();
        vm.key(vmid)
    });
    if let Some(key) = key {
        proxmox.0.machines.power_off(&key);
    }
}

type Effect = fn(&Proxmox, u32, bool) -> Result<(), String>;

fn worker(
    proxmox: &Proxmox,
    call: &mut Call,
    kind: &'static str,
    seconds: u64,
    effect: Effect,
) -> Result<Value, Refusal> {
    let (vmid, vm) = proxmox.vm(call)?;
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), "VM.PowerMgmt")?;
    call.number::<u32>("timeout")?;
    call.flag("overrule-shutdown")?;
    call.flag("forceStop")?;
    call.finish()?;
    if vm.template {
        return Err(Refusal::died("you can't start a vm if it's a template"));
    }
    if kind != "qmstop" {
        vm.unlocked()?;
    }
    let work = Work {
        node: vm.node,
        kind,
        id: vmid.to_string(),
        seconds,
    };
    let effect = move |proxmox: &Proxmox| {
        let running = proxmox
            .with_vm(vmid, |vm| vm.running)
            .ok_or_else(|| format!("VM {vmid} does not exist"))?;
        effect(proxmox, vmid, running)?;
        Ok(Vec::new())
    };
    Ok(proxmox.fork(call, work, effect, |_| {}))
}

/// `POST .../status/start`: for a machine that runs the worker fails, not the call.
pub(super) fn start(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    worker(
        proxmox,
        call,
        "qmstart",
        pace::START,
        |proxmox, vmid, running| {
            if running {
                return Err(format!("VM {vmid} already running"));
            }
            on(proxmox, vmid);
            Ok(())
        },
    )
}

/// `POST .../status/stop`.
pub(super) fn stop(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    worker(
        proxmox,
        call,
        "qmstop",
        pace::OTHER,
        |proxmox, vmid, running| {
            if running {
                off(proxmox, vmid);
            }
            Ok(())
        },
    )
}

/// `POST .../status/shutdown`.
pub(super) fn shutdown(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    worker(
        proxmox,
        call,
        "qmshutdown",
        pace::START,
        |proxmox, vmid, running| {
            if running {
                off(proxmox, vmid);
            }
            Ok(())
        },
    )
}

/// `POST .../status/reboot`, which starts with what waited.
pub(super) fn reboot(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    worker(
        proxmox,
        call,
        "qmreboot",
        pace::START,
        |proxmox, vmid, running| {
            if !running {
                return Err(format!("VM {vmid} not running"));
            }
            off(proxmox, vmid);
            on(proxmox, vmid);
            Ok(())
        },
    )
}

/// `POST .../status/reset`.
pub(super) fn reset(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    worker(
        proxmox,
        call,
        "qmreset",
        pace::OTHER,
        |proxmox, vmid, running| {
            if !running {
                return Err(format!("VM {vmid} not running"));
            }
            let key = proxmox.with_vm(vmid, |vm| vm.key(vmid)).unwrap_or_default();
            proxmox.0.machines.restart(&key);
            Ok(())
        },
    )
}

/// Refuses where no agent answers.
fn agent(proxmox: &Proxmox, call: &Call) -> Result<Vec<(String, std::net::IpAddr, u8)>, Refusal> {
    let (vmid, vm) = proxmox.vm(call)?;
    let privilege = if proxmox.is_old() {
        "VM.Monitor"
    } else {
        "VM.GuestAgent.Audit"
    };
    proxmox.allow_vm(call, vmid, vm.pool.as_deref(), privilege)?;
    if !vm.has_agent() {
        return Err(Refusal::died("No QEMU guest agent configured"));
    }
    if !vm.running {
        return Err(Refusal::died(format!("VM {vmid} is not running")));
    }
    let addresses = proxmox.0.machines.addresses(&vm.key(vmid));
    // The agent is an extension of the system's image.
    let image = vm
        .image
        .as_deref()
        .map(|name| proxmox.0.factory.name_of(name));
    let schematic = image.as_deref().and_then(|image| {
        let mut parts = image.split(['-', '.']);
        parts.find(|part| part.len() == 64)
    });
    let extensions = schematic.and_then(|schematic| proxmox.0.factory.extensions(schematic));
    let has_agent = extensions.is_some_and(|names| {
        names
            .iter()
            .any(|name| name == "siderolabs/qemu-guest-agent")
    });
    if addresses.is_empty() || !has_agent {
        return Err(Refusal::died("QEMU guest agent is not running"));
    }
    Ok(addresses)
}

/// `POST .../agent/ping`.
pub(super) fn ping(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    agent(proxmox, call)?;
    Ok(json!({ "result": {} }))
}

/// `GET .../agent/network-get-interfaces`.
pub(super) fn interfaces(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let addresses = agent(proxmox, call)?;
    let one = |address: &std::net::IpAddr, prefix: u8| {
        let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        json!({ "ip-address": address.to_string(), "ip-address-type": kind, "prefix": prefix })
    };
    let mut cards: Map<String, Value> = Map::new();
    for (mac, address, prefix) in &addresses {
        let card = cards.entry(mac.clone()).or_insert_with(|| json!([]));
        if let Value::Array(list) = card {
            list.push(one(address, *prefix));
        }
    }
    let loopback = json!({
        "name": "lo", "hardware-address": "00:00:00:00:00:00",
        "ip-addresses": [{ "ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8 }],
    });
    let mut result = vec![loopback];
    for (index, (mac, list)) in cards.into_iter().enumerate() {
        result.push(json!({
            "name": format!("eth{index}"), "hardware-address": mac.to_lowercase(), "ip-addresses": list,
            "statistics": { "rx-bytes": 1, "tx-bytes": 1 },
        }));
    }
    // A card without a cable has no `ip-addresses` at all.
    result.push(json!({ "name": "dummy0", "hardware-address": "7a:00:00:00:00:01" }));
    Ok(json!({ "result": result }))
}
