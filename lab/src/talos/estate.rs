//! What `GET /estate` says about Talos machines: the truth, without secrets, and a journal of what happened.

use serde_json::{Value, json};
use std::sync::Arc;

use super::machine::{Machine, Mode};
use super::{Fleet, locked};

/// One thing that an observer would have seen.
pub(super) struct Entry {
    /// Simulated seconds since the lab started.
    pub(super) at: u64,
    pub(super) node: String,
    pub(super) what: String,
    /// Voting members of etcd and how many of them lived.
    pub(super) votes: Option<(usize, usize)>,
}

/// Machines by the hypervisor's id, and the journal.
pub(super) fn show(fleet: &Fleet) -> Value {
    let machines: Vec<Value> = fleet.all().iter().map(one).collect();
    let journal: Vec<Value> = locked(&fleet.journal).iter().map(entry).collect();
    json!({"machines": machines, "journal": journal})
}

fn entry(entry: &Entry) -> Value {
    let mut value = json!({"at": entry.at, "node": entry.node, "event": entry.what});
    if let Some((voters, alive)) = entry.votes {
        value["voters"] = json!(voters);
        value["voters_alive"] = json!(alive);
    }
    value
}

fn one(machine: &Arc<Machine>) -> Value {
    let (listening, name) = (machine.listening(), machine.name());
    let state = machine.state();
    let stored = state.disk.configuration.as_ref();
    let mut value = json!({
        "vm": machine.vm,
        "name": state.hardware.name,
        "node": name,
        "uuid": state.hardware.uuid,
        "on": state.run.is_some(),
        "role": stored.filter(|config| config.main().is_some()).map(|config| config.role()),
        "cidata": state.hardware.cidata.is_some(),
        "etcd_data": state.disk.etcd.is_some(),
        "listening": listening,
    });
    if let Some(run) = &state.run {
        value["stage"] = json!(run.stage.as_str_name().to_lowercase());
        value["mode"] = json!(match run.mode {
            Mode::Starting => "starting",
            Mode::Maintenance(_) => "maintenance",
            Mode::Normal(_) => "normal",
        });
        value["version"] = json!(run.image.version);
        value["schematic"] = json!(run.image.schematic);
        value["boot_id"] = json!(run.boot_id);
        value["addresses"] = json!(run.addresses);
        value["virtual_addresses"] = json!(run.virtual_addresses);
        value["vpn_addresses"] = json!(run.vpn);
        value["trouble"] = json!(run.trouble);
        value["staged"] = json!(run.active.is_some() && run.active.as_ref() != stored);
    }
    value
}
