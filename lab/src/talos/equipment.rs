//! What a machine has and what it complains about, as far as health checks look: the volume for data, and diagnostics.

use serde_json::{Value, json};

use super::machine::Machine;
use super::{TalosMachines, locked};

/// What Talos takes of the disk for itself.
const SYSTEM: u64 = 1400 << 20;

/// The volume for data, as its status shows it.
pub(super) fn ephemeral(disk_bytes: u64) -> Value {
    let size = disk_bytes.saturating_sub(SYSTEM);
    json!({"phase": "ready", "type": "partition", "location": "/dev/sda6", "parentLocation": "/dev/sda", "size": size,
        "prettySize": format!("{} MB", size / 1_000_000), "filesystem": "xfs", "mountLocation": "/var"})
}

/// What a machine complains about: id and what its resource says.
pub(super) fn diagnostics(machine: &Machine) -> Vec<(String, Value)> {
    let complaints = locked(&machine.complaints);
    let view = |(id, message): (&String, &String)| {
        let details = json!([format!("simulated: {id}")]);
        (id.clone(), json!({"message": message, "details": details}))
    };
    complaints.iter().map(view).collect()
}

impl TalosMachines {
    /// Has a machine complain from now on, or with no message no more. Whether there is such a machine.
    pub fn complain(&self, vm: &str, id: &str, message: Option<&str>) -> bool {
        let Some(machine) = self.get(vm) else {
            return false;
        };
        match message {
            Some(message) => locked(&machine.complaints).insert(id.to_owned(), message.to_owned()),
            None => locked(&machine.complaints).remove(id),
        };
        machine.touch();
        true
    }

    /// Gives a machine other memory and another disk while it runs. Whether there is such a machine.
    pub fn equip(&self, vm: &str, memory_mib: u64, disk_bytes: u64) -> bool {
        let Some(machine) = self.get(vm) else {
            return false;
        };
        {
            let mut state = machine.state();
            state.hardware.memory_mib = memory_mib;
            state.hardware.disk_bytes = disk_bytes;
        }
        machine.touch();
        true
    }
}
