//! Which process wrote a claim, and whether it still runs.
//!
//! A claim is held by the provider's process that initialises. It is proven dead only from the machine that it ran on: its pid is gone or used by
//! a process that started at another time, or the machine has been restarted since. From anywhere else nothing is proven, and a person has to say
//! so (`strata unlock --run`). Reads `/proc` (proc(5)); where there is none, claims carry no process.

use std::fs;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A process, so that no other one on any machine is taken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Name of the machine, for people.
    pub host: String,
    /// Hash of the machine's id, which itself is to stay on the machine (machine-id(5)).
    pub machine: String,
    /// The kernel's id of this boot.
    pub boot: String,
    /// Namespace in which the pid counts: containers of one host share its boot.
    pub namespace: String,
    /// Process id.
    pub pid: u32,
    /// When it started, in clock ticks since the boot: a pid is used again, a pid with its start is not.
    pub started: u64,
}

/// What is known about the process that wrote a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It runs.
    Alive,
    /// It does not run any more; the sentence says how that is known.
    Dead(String),
    /// Not to be known from here; the sentence says why.
    Unknown(String),
}

/// What stands under a pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A process that started then.
    Started(u64),
    /// None.
    Gone,
    /// Other people's processes are hidden here.
    Hidden,
}

impl Process {
    /// This very process; nothing where there is no `/proc`.
    pub fn here() -> Option<Self> {
        let text = |path: &str| Some(fs::read_to_string(path).ok()?.trim().to_owned());
        let pid = std::process::id();
        let Seen::Started(started) = look(pid) else {
            return None;
        };
        let machine = text("/etc/machine-id").unwrap_or_default();
        let digest = Sha256::digest(format!("strata claim {machine}"));
        Some(Self {
            host: text("/proc/sys/kernel/hostname")?,
            machine: if machine.is_empty() {
                String::new()
            } else {
                data_encoding::HEXLOWER.encode(&digest[..8])
            },
            boot: text("/proc/sys/kernel/random/boot_id")?,
            namespace: fs::read_link("/proc/self/ns/pid")
                .ok()?
                .display()
                .to_string(),
            pid,
            started,
        })
    }
}

/// Looks under a pid of this machine.
pub fn look(pid: u32) -> Seen {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => started(&stat).map_or(Seen::Gone, Seen::Started),
        // With `hidepid` even the first process is invisible.
        Err(_) if fs::metadata("/proc/1").is_err() => Seen::Hidden,
        Err(_) => Seen::Gone,
    }
}

/// Field 22 of `/proc/<pid>/stat`; nothing for a process that has ended and was not waited for.
fn started(stat: &str) -> Option<u64> {
    // The second field is the name, in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// Judges the process of a claim from `here`. `look` is [`look`].
pub fn standing(
    holder: Option<&Process>,
    here: Option<&Process>,
    look: impl Fn(u32) -> Seen,
) -> Standing {
    let Some(holder) = holder else {
        return Standing::Unknown("the claim does not say which process wrote it".into());
    };
    let Some(here) = here else {
        return Standing::Unknown(format!(
            "it ran on {}, and this machine cannot tell one process from another",
            holder.host
        ));
    };
    if holder.boot == here.boot {
        if holder.namespace != here.namespace {
            return Standing::Unknown(format!("it ran in another container of {}", holder.host));
        }
        return match look(holder.pid) {
            Seen::Started(started) if started == holder.started => Standing::Alive,
            Seen::Started(_) => Standing::Dead(format!(
                "its process {} on this machine has ended, and the number is another's",
                holder.pid
            )),
            Seen::Gone => Standing::Dead(format!(
                "its process {} on this machine has ended",
                holder.pid
            )),
            Seen::Hidden => {
                Standing::Unknown("this machine hides the processes of other users".into())
            }
        };
    }
    // A cloned machine has its master's id, so the name must be the same, too.
    if !holder.machine.is_empty() && holder.machine == here.machine && holder.host == here.host {
        return Standing::Dead("this machine has been restarted since".into());
    }
    Standing::Unknown(format!("it ran on another machine, {}", holder.host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Process {
        Process {
            host: "laptop".into(),
            machine: "m".into(),
            boot: "b".into(),
            namespace: "pid:[1]".into(),
            pid: 7,
            started: 100,
        }
    }

    #[test]
    fn death_is_proven_only_on_the_machine_itself() {
        let here = process();
        let judge = |holder: &Process, seen| standing(Some(holder), Some(&here), |_| seen);
        let is_dead = |standing| matches!(standing, Standing::Dead(_));
        let is_unknown = |standing| matches!(standing, Standing::Unknown(_));
        assert_eq!(judge(&process(), Seen::Started(100)), Standing::Alive);
        assert!(is_dead(judge(&process(), Seen::Started(101))));
        assert!(is_dead(judge(&process(), Seen::Gone)));
        assert!(is_unknown(judge(&process(), Seen::Hidden)));
        let other = |change: fn(&mut Process)| {
            let mut other = process();
            change(&mut other);
            judge(&other, Seen::Gone)
        };
        assert!(is_unknown(other(|it| it.namespace = "pid:[2]".into())));
        assert!(is_dead(other(|it| it.boot = "earlier".into())));
        assert!(is_unknown(other(
            |it| (it.boot, it.machine) = ("x".into(), "other".into())
        )));
        assert!(is_unknown(other(
            |it| (it.boot, it.host) = ("x".into(), "clone".into())
        )));
        assert!(is_unknown(other(
            |it| (it.boot, it.machine) = ("x".into(), String::new())
        )));
        assert!(is_unknown(standing(None, Some(&here), |_| Seen::Gone)));
        assert!(is_unknown(standing(Some(&process()), None, |_| Seen::Gone)));
    }

    #[test]
    fn a_name_with_parentheses_and_an_ended_process_do_not_confuse() {
        let stat = |state: &str| format!("7 (a) b (c) {state} {} 4242 rest", ["0"; 18].join(" "));
        assert_eq!(started(&stat("S")), Some(4242));
        assert_eq!(started(&stat("Z")), None);
        assert_eq!(started(""), None);
    }

    #[test]
    fn this_process_is_alive_and_a_child_that_ended_is_not() {
        let Some(here) = Process::here() else {
            return; // no /proc, no proof
        };
        assert_eq!(standing(Some(&here), Some(&here), look), Standing::Alive);
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let Seen::Started(started) = look(child.id()) else {
            panic!("the child is not seen")
        };
        let holder = Process {
            pid: child.id(),
            started,
            ..here.clone()
        };
        assert_eq!(standing(Some(&holder), Some(&here), look), Standing::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(
            standing(Some(&holder), Some(&here), look),
            Standing::Dead(_)
        ));
    }
}
