//! Checks 5 to 7 of Talos' own health check: memory, disk, and what a node finds wrong with itself.

use crate::talos::equipment::Diagnostic;
use crate::talos::{Client, Error};

const MIB: u64 = 1024 * 1024;
/// What the kernel keeps of the memory before anybody can count it.
const KERNEL: u64 = 150 * MIB;
/// The least that Talos runs with: a control plane, a worker, the disk.
const CONTROL_PLANE: u64 = 1848 * MIB - KERNEL;
const WORKER: u64 = 1024 * MIB - KERNEL;
const DISK: u64 = 6 * 1024 * MIB;
/// What the system takes of the disk.
const SYSTEM: u64 = 1400 * MIB;

/// What a machine says of itself.
#[derive(Debug, Default)]
pub(super) struct Equipment {
    /// In bytes.
    memory: u64,
    /// Size of volume EPHEMERAL in bytes, where it is said.
    ephemeral: Option<u64>,
    diagnostics: Vec<Diagnostic>,
}

pub(super) async fn look(client: &Client) -> Result<Equipment, Error> {
    Ok(Equipment {
        memory: client.memory().await?,
        ephemeral: client.ephemeral().await?,
        diagnostics: client.diagnostics().await?,
    })
}

/// What is too small or wrong, in words.
pub(super) fn troubles(name: &str, is_control_plane: bool, seen: &Equipment) -> Vec<String> {
    let mut found = Vec::new();
    let (least, role, advised) = if is_control_plane {
        (CONTROL_PLANE, "control plane", 4)
    } else {
        (WORKER, "worker", 2)
    };
    if seen.memory < least {
        found.push(format!(
            "machine {name} has {} MiB of memory; a {role} needs {} MiB, and {advised} GiB are advised",
            seen.memory / MIB,
            (least + KERNEL) / MIB
        ));
    }
    if let Some(size) = seen.ephemeral.filter(|size| *size < DISK - SYSTEM) {
        found.push(format!(
            "volume EPHEMERAL of machine {name} has {} MiB; it needs {} MiB, a disk of {} GiB",
            size / MIB,
            (DISK - SYSTEM) / MIB,
            DISK / MIB / 1024
        ));
    }
    found.extend(seen.diagnostics.iter().map(|diagnostic| {
        let details = diagnostic.details.join("; ");
        let details = if details.is_empty() {
            details
        } else {
            format!(" ({details})")
        };
        format!("machine {name} complains: {}{details}", diagnostic.message)
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_small_is_named_by_role_and_size() {
        let seen = |memory: u64, ephemeral| Equipment {
            memory: memory * MIB,
            ephemeral,
            diagnostics: vec![],
        };
        let enough = seen(1698, Some(DISK - SYSTEM));
        assert_eq!(troubles("cp-1", true, &enough), Vec::<String>::new());
        let found = troubles("cp-1", true, &seen(1697, Some(DISK - SYSTEM - 1)));
        assert!(
            found[0].contains("1697 MiB of memory; a control plane needs 1848 MiB")
                && found[1].contains("EPHEMERAL of machine cp-1"),
            "{found:?}"
        );
        assert_eq!(
            troubles("w-1", false, &seen(874, None)),
            Vec::<String>::new()
        );
        assert!(troubles("w-1", false, &seen(873, None))[0].contains("a worker needs 1024 MiB"));
    }

    #[test]
    fn complaints_are_repeated_in_the_words_of_the_node() {
        let complaint = |details: &[&str]| Equipment {
            memory: u64::MAX,
            ephemeral: None,
            diagnostics: vec![Diagnostic {
                message: "pod CIDR overlaps".into(),
                details: details.iter().map(|text| (*text).to_owned()).collect(),
            }],
        };
        assert_eq!(
            troubles("w-1", false, &complaint(&["10.0.0.0/8", "eth0"])),
            ["machine w-1 complains: pod CIDR overlaps (10.0.0.0/8; eth0)"]
        );
        assert_eq!(
            troubles("w-1", false, &complaint(&[])),
            ["machine w-1 complains: pod CIDR overlaps"]
        );
    }
}
