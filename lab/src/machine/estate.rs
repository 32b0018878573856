//! What `GET /estate` says about machines: the truth, the same every time, without secrets.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ssh;
use super::state::Machine;

/// All machines, by name on the platform.
pub(crate) fn show(machines: &[Arc<Machine>]) -> Value {
    let mut names: Vec<&Arc<Machine>> = machines.iter().collect();
    names.sort_by(|a, b| (&a.spec.name, &a.spec.server_id).cmp(&(&b.spec.name, &b.spec.server_id)));
    Value::Array(names.iter().map(|machine| one(machine, &names)).collect())
}

fn one(machine: &Arc<Machine>, machines: &[&Arc<Machine>]) -> Value {
    let listening = machine.listening();
    let reaches = reaches(machine, machines);
    let host_key = if machine.is_up() {
        ssh::fingerprint(machine)
    } else {
        None
    };
    let stage = machine.stage();
    let disks = machine.disks();
    let state = machine.state();
    let (role, node) = state.member.describe();
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
        "disk": state.installation.as_ref().map(|installation| &installation.disk),
        "trouble": state.trouble,
        "failed_units": state.failed_units,
        "disks": disks,
        "timers": state.timers.keys().collect::<Vec<_>>(),
        "listening": listening,
        "firewall": {"rules": state.rules.list_table("inet", "strata", None), "sets": sets},
        "host_key": host_key,
        "kubeadm": {"role": role, "node": node},
        "reaches": reaches,
    })
}

/// Which ports of the other nodes of its cluster let this machine's traffic in, by their firewalls, whatever listens.
fn reaches(machine: &Arc<Machine>, machines: &[&Arc<Machine>]) -> Value {
    const PORTS: [(u16, bool, &str); 6] = [
        (2379, false, "2379"),
        (2380, false, "2380"),
        (4240, false, "4240"),
        (6443, false, "6443"),
        (8472, true, "8472/udp"),
        (10250, false, "10250"),
    ];
    let Some(own) = machine.state().member.cluster.clone() else {
        return json!({});
    };
    let same = |other: &Arc<Machine>| {
        other
            .state()
            .member
            .cluster
            .as_ref()
            .is_some_and(|theirs| Arc::ptr_eq(theirs, &own))
    };
    let others = machines
        .iter()
        .filter(|other| !Arc::ptr_eq(other, machine) && same(other));
    let open = |other: &Arc<Machine>| {
        PORTS
            .iter()
            .filter(|(port, udp, _)| other.admits(machine.spec.ipv4, *port, *udp))
            .map(|(_, _, name)| *name)
            .collect::<Vec<_>>()
    };
    let pairs = others.map(|other| {
        // On its own line: the lock must be free again when the firewall is asked.
        let name = other.state().hostname.clone();
        (name, json!(open(other)))
    });
    Value::Object(pairs.collect())
}
