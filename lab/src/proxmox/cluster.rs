//! The cluster: version, hosts, what is on them, free numbers, pools.

use serde_json::{Value, json};

use super::answer::Refusal;
use super::call::Call;
use super::power;
use super::storage::{DISKS, FILES};
use super::vm::Vm;
use super::{HOSTS, IDS, Proxmox};
use crate::fault::Action;

/// `GET /version`.
pub(super) fn version(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    Ok(if proxmox.is_old() {
        json!({ "version": "8.4.14", "release": "8.4", "repoid": "1a2b3c4d" })
    } else {
        json!({ "version": "9.1.2", "release": "9.1", "repoid": "5e6f7a8b" })
    })
}

/// `GET /nodes`.
pub(super) fn nodes(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let sees = proxmox.allow(call, "/nodes", &["Sys.Audit"]).is_ok();
    let fingerprint = proxmox.fingerprint();
    let offline = proxmox.state().offline.clone();
    let one = |host: &str| {
        let online = !offline.contains(host);
        let mut view = json!({
            "node": host, "id": format!("node/{host}"), "type": "node", "level": "",
            "status": if online { "online" } else { "offline" }, "ssl_fingerprint": fingerprint,
        });
        if sees && online {
            for (name, value) in [
                ("maxcpu", 32_u64),
                ("maxmem", 128 << 30),
                ("mem", 8 << 30),
                ("uptime", 86_400),
            ] {
                view[name] = json!(value);
            }
        }
        view
    };
    Ok(HOSTS.iter().map(|host| one(host)).collect())
}

/// `GET /nodes/{node}/status`.
pub(super) fn node_status(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let node = proxmox.node(call.path("node"))?;
    proxmox.allow(call, &format!("/nodes/{node}"), &["Sys.Audit"])?;
    Ok(json!({
        "uptime": 86_400, "pveversion": "pve-manager/9.1.2/5e6f7a8b", "cpuinfo": { "cpus": 32 },
        "memory": { "total": 128_u64 << 30, "used": 8_u64 << 30, "free": 120_u64 << 30 },
    }))
}

/// `GET /nodes/{node}/certificates/info`.
pub(super) fn certificates(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    proxmox.node(call.path("node"))?;
    Ok(
        json!([{ "filename": "pve-ssl.pem", "fingerprint": proxmox.fingerprint(), "subject": "/CN=pve1.lab.strata.test",
        "issuer": "/CN=Proxmox Virtual Environment", "san": ["127.0.0.1", "localhost"] }]),
    )
}

/// `GET /cluster/status`.
pub(super) fn status(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let offline = proxmox.state().offline.clone();
    let mut all = vec![
        json!({ "type": "cluster", "id": "cluster", "name": "lab", "nodes": HOSTS.len(), "quorate": 1, "version": 3 }),
    ];
    all.extend(HOSTS.iter().enumerate().map(|(index, host)| {
        json!({ "type": "node", "id": format!("node/{host}"), "name": host, "nodeid": index + 1,
            "online": u8::from(!offline.contains(*host)), "local": u8::from(index == 0) })
    }));
    Ok(json!(all))
}

/// `GET /cluster/resources`.
pub(super) fn resources(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let kind = call.take("type");
    call.finish()?;
    let wants = |one: &str| kind.as_deref().is_none_or(|kind| kind == one);
    let mut all = Vec::new();
    proxmox.look_at_power();
    let vms = proxmox.state().vms.clone();
    for (vmid, vm) in vms.iter().filter(|_| wants("vm")) {
        if proxmox
            .allow_vm(call, *vmid, vm.pool.as_deref(), "VM.Audit")
            .is_ok()
        {
            all.push(vm_line(*vmid, vm));
        }
    }
    for host in HOSTS.iter().filter(|_| wants("node")) {
        all.push(json!({ "id": format!("node/{host}"), "type": "node", "node": host, "status": "online", "maxcpu": 32 }));
    }
    for host in HOSTS.iter().filter(|_| wants("storage")) {
        for storage in [FILES, DISKS] {
            all.push(json!({ "id": format!("storage/{host}/{storage}"), "type": "storage", "node": host, "storage": storage, "status": "available" }));
        }
    }
    Ok(json!(all))
}

fn vm_line(vmid: u32, vm: &Vm) -> Value {
    let mut line = power::view(vmid, vm);
    line["id"] = json!(format!("qemu/{vmid}"));
    line["type"] = json!("qemu");
    line["node"] = json!(vm.node);
    line["maxcpu"] = line["cpus"].take();
    if let Some(pool) = &vm.pool {
        line["pool"] = json!(pool);
    }
    line
}

/// `GET /cluster/nextid`: reserves nothing.
pub(super) fn next_id(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let wanted = call.number::<u32>("vmid")?;
    call.finish()?;
    let mut state = proxmox.state();
    let Some(wanted) = wanted else {
        let free = IDS.clone().find(|id| !state.vms.contains_key(id));
        let free = free.ok_or_else(|| Refusal::died("unable to get any free VMID"))?;
        let taken = proxmox.0.faults.take("proxmox", &call.target, |action| {
            *action == Action::TakeNextId
        });
        if taken.is_some() {
            // Somebody else was faster with it.
            let other = Vm {
                node: HOSTS[0].to_owned(),
                options: [("name".to_owned(), format!("other-{free}"))].into(),
                ..Vm::default()
            };
            state.vms.insert(free, other);
        }
        return Ok(json!(free.to_string()));
    };
    if state.vms.contains_key(&wanted) {
        return Err(Refusal::parameter(
            "vmid",
            format!("VM {wanted} already exists"),
        ));
    }
    Ok(json!(wanted.to_string()))
}

/// `GET /pools`.
pub(super) fn pools(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let wanted = call.take("poolid");
    call.finish()?;
    let state = proxmox.state();
    let pools = state
        .pools
        .iter()
        .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name));
    let view = |(name, comment): (&String, &String)| {
        let mut view = json!({ "poolid": name, "comment": comment });
        if wanted.is_some() {
            let members = state
                .vms
                .iter()
                .filter(|(_, vm)| vm.pool.as_ref() == Some(name));
            view["members"] = members.map(|(id, vm)| vm_line(*id, vm)).collect();
        }
        view
    };
    let found: Vec<Value> = pools.map(view).collect();
    match wanted {
        Some(name) if found.is_empty() => {
            Err(Refusal::died(format!("pool '{name}' does not exist")))
        }
        _ => Ok(json!(found)),
    }
}

/// `POST /pools`.
pub(super) fn create_pool(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let name = call.need("poolid")?;
    proxmox.allow(call, &format!("/pool/{name}"), &["Pool.Allocate"])?;
    let comment = call.take("comment").unwrap_or_default();
    call.finish()?;
    let mut state = proxmox.state();
    if state.pools.contains_key(&name) {
        return Err(Refusal::died(format!("pool '{name}' already exists")));
    }
    state.pools.insert(name, comment);
    Ok(Value::Null)
}

/// `PUT /pools`: puts machines in and takes them out.
pub(super) fn change_pool(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let name = call.need("poolid")?;
    proxmox.allow(call, &format!("/pool/{name}"), &["Pool.Allocate"])?;
    let vms = call.list("vms").unwrap_or_default();
    let delete = call.flag("delete")?.unwrap_or(false);
    let moves = call.flag("allow-move")?.unwrap_or(false);
    let comment = call.take("comment");
    call.finish()?;
    let mut state = proxmox.state();
    let Some(kept) = state.pools.get_mut(&name) else {
        return Err(Refusal::died(format!("pool '{name}' does not exist")));
    };
    if let Some(comment) = comment {
        *kept = comment;
    }
    for id in vms {
        let vm = id.parse().ok().and_then(|id: u32| state.vms.get_mut(&id));
        let vm = vm.ok_or_else(|| Refusal::died(format!("VM {id} does not exist")))?;
        match (&vm.pool, delete) {
            (Some(pool), true) if *pool == name => vm.pool = None,
            (_, true) => return Err(Refusal::died(format!("VM {id} is not a pool member"))),
            (Some(pool), false) if *pool == name => {
                return Err(Refusal::died(format!("VM {id} is already a pool member")));
            }
            (Some(pool), false) if !moves => {
                return Err(Refusal::died(format!(
                    "VM {id} belongs already to pool '{pool}'"
                )));
            }
            (_, false) => vm.pool = Some(name.clone()),
        }
    }
    Ok(Value::Null)
}

/// `DELETE /pools`.
pub(super) fn delete_pool(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let name = call.need("poolid")?;
    proxmox.allow(call, &format!("/pool/{name}"), &["Pool.Allocate"])?;
    call.finish()?;
    let mut state = proxmox.state();
    if let Some((id, _)) = state
        .vms
        .iter()
        .find(|(_, vm)| vm.pool.as_ref() == Some(&name))
    {
        return Err(Refusal::died(format!(
            "pool '{name}' is not empty (contains VM {id})"
        )));
    }
    state.pools.remove(&name);
    Ok(Value::Null)
}
