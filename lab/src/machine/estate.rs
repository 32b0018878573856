//! What `GET /estate` says about machines: the truth, the same every time, without secrets.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ssh;
use super::state::Machine;

/// All machines, by name on the platform.
pub(crate) fn show(machines: &[Arc<Machine>]) -> Value {
    let mut names: Vec<&Arc<Machine>> = machines.iter().collect();
    names.sort_by(|a, b| (&a.spec.name, &a.spec.server_id).cmp(&(&b.spec.name, &b.spec.server_id)));
    Value::Array(names.into_iter().map(|machine| one(machine)).collect())
}

fn one(machine: &Arc<Machine>) -> Value {
    let listening = machine.listening();
    let host_key = if machine.is_up() {
        ssh::fingerprint(machine)
    } else {
        None
    };
    let stage = machine.stage();
    let state = machine.state();
    let sets: Map<String, Value> = state
        .rules
        .sets("inet", "strata")
        .into_iter()
        .map(|(name, elements)| (name, json!(elements)))
        .collect();
    json!({
        "name": machine.spec.name,
        "server_id": machine.spec.server_id,
        "stage": stage,
        "up": state.network_up,
        "hostname": state.hostname,
        "addresses": [machine.spec.ipv4, machine.spec.ipv6],
        "release": state.release.as_ref().map(|release| format!("{} {}", release.channel, release.version)),
        "trouble": state.trouble,
        "failed_units": state.failed_units,
        "timers": state.timers.keys().collect::<Vec<_>>(),
        "listening": listening,
        "firewall": {"rules": state.rules.list_table("inet", "strata", None), "sets": sets},
        "host_key": host_key,
    })
}
