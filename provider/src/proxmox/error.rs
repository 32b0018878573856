//! Why something failed on Proxmox, and what its words mean.
//!
//! Almost everything is a 500 whose reason phrase says what is wrong, so texts are read here and nowhere else. The fragments are those of the public source
//! (pve-common, qemu-server, pve-access-control, pve-storage; 8.x and 9.x).

use http::StatusCode;

use crate::http::client::Error as HttpError;

/// What a failure means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The thing is not there.
    NotFound,
    /// Something of that name or number is there already.
    Conflict,
    /// Something else is being done with it; later it may work.
    Busy,
    /// Nobody knows whether it was done.
    Lost,
    /// The host that it concerns cannot be reached from the one that was asked. It was not done.
    Unreachable,
    /// A decision.
    Refused,
}

/// Why something failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request failed.
    #[error(transparent)]
    Api(#[from] HttpError),
    /// The call was answered, and the task that it started ended in an error.
    #[error("task {kind} on {node} failed: {exit}{}", tail(.log))]
    Task {
        /// What it was to do, in Proxmox's word.
        kind: String,
        /// Host.
        node: String,
        /// How it ended.
        exit: String,
        /// Last lines of its log.
        log: Vec<String>,
    },
    /// A task goes on without us.
    #[error("task {upid} was not finished: {why}")]
    Unfinished {
        /// Its identifier.
        upid: String,
        /// Time is up, or the user stopped.
        why: String,
    },
    /// A worker that an earlier run started makes a machine that shows nothing yet.
    #[error(
        "machine {vmid} is still being made by {upid}, which this token started, and may turn out to be this one; \
         wait for that task or stop it in Proxmox"
    )]
    InTheMaking {
        /// Its number.
        vmid: u32,
        /// The worker.
        upid: String,
    },
    /// The machine does not exist.
    #[error("there is no machine {0} on this cluster")]
    NoMachine(u32),
    /// The machine carries somebody else's marks, or none.
    #[error("machine {vmid} ({name}) {found}; nothing was changed")]
    NotOurs {
        /// Number.
        vmid: u32,
        /// Name.
        name: String,
        /// What was seen.
        found: String,
    },
    /// The answer to a call lacks what was asked for.
    #[error("Proxmox answered {0} with something unexpected")]
    Unexpected(&'static str),
}

/// The log behind a failed task, without the line that says the same again.
fn tail(log: &[String]) -> String {
    let lines: Vec<&str> = log
        .iter()
        .map(String::as_str)
        .filter(|line| !line.starts_with("TASK ") && !line.is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(5)..].join(" | ");
    if last.is_empty() {
        last
    } else {
        format!(" (log: {last})")
    }
}

const NOT_FOUND: [&str; 6] = [
    "does not exist",
    "no such user",
    "no such token",
    "No such storage",
    "no such cluster node",
    "hostname lookup '",
];
const BUSY: [&str; 5] = [
    "is locked (",
    "got timeout",
    "can't lock file",
    "start worker failed",
    "cluster not ready - no quorum?",
];

/// What a text says.
fn said(text: &str) -> Class {
    let has = |fragments: &[&str]| fragments.iter().any(|fragment| text.contains(fragment));
    // "pool 'x' does not exist" under 403 is a matter of rights, so statuses are looked at before.
    if has(&["already exists"]) {
        Class::Conflict
    } else if has(&BUSY) {
        Class::Busy
    } else if has(&NOT_FOUND) {
        Class::NotFound
    } else {
        Class::Refused
    }
}

/// What an answer with an error status means.
pub(super) fn verdict(status: StatusCode, body: &str) -> Class {
    match status.as_u16() {
        400 | 500 if !body.trim().is_empty() => said(body),
        // AnyEvent::HTTP's own: no connection to the other host; sent to it, and nothing came back.
        595 => Class::Unreachable,
        500 | 502..=504 | 596..=599 => Class::Lost,
        _ => Class::Refused,
    }
}

/// Whether an answer is a decision, so that asking again brings the same.
pub fn is_decision(status: StatusCode, body: &str) -> bool {
    // What is busy is waited for by the client, longer than a lost reply is.
    verdict(status, body) != Class::Lost
}

impl Error {
    /// What it means.
    pub fn class(&self) -> Class {
        match self {
            Self::Api(HttpError::Status { status, body, .. }) => verdict(*status, body),
            Self::Api(HttpError::Unreachable { .. }) => Class::Unreachable,
            Self::Api(_) | Self::Unfinished { .. } | Self::InTheMaking { .. } => Class::Lost,
            Self::Task { exit, .. } => match exit.as_str() {
                // Killed, or the host went down: what it had done by then only a look can tell.
                "unexpected status" => Class::Lost,
                exit => said(exit),
            },
            Self::NoMachine(_) => Class::NotFound,
            Self::NotOurs { .. } | Self::Unexpected(_) => Class::Refused,
        }
    }

    /// The thing is not there.
    pub fn is_not_found(&self) -> bool {
        self.class() == Class::NotFound
    }

    /// Nothing was decided: the last known state is kept.
    pub fn is_transient(&self) -> bool {
        matches!(self.class(), Class::Lost | Class::Unreachable | Class::Busy)
    }

    /// It may have been done although no verdict came.
    pub fn is_lost(&self) -> bool {
        self.class() == Class::Lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_source_are_understood() {
        let class = |status: u16, text: &str| verdict(StatusCode::from_u16(status).unwrap(), text);
        for (status, text, expected) in [
            (
                500,
                "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
                Class::NotFound,
            ),
            (500, "no such user ('x@pve')", Class::NotFound),
            (400, "No such storage.", Class::NotFound),
            (
                500,
                "unable to create VM 100 - VM 100 already exists on node 'pve1'",
                Class::Conflict,
            ),
            (
                400,
                "{\"errors\":{\"tokenid\":\"Token already exists.\"}}",
                Class::Conflict,
            ),
            (500, "VM is locked (clone)", Class::Busy),
            (
                500,
                "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout",
                Class::Busy,
            ),
            (500, "", Class::Lost),
            (595, "", Class::Unreachable),
            (596, "", Class::Lost),
            (
                403,
                "Permission check failed (pool 'x' does not exist)",
                Class::Refused,
            ),
            (
                500,
                "can't remove VM 120 - protection mode enabled",
                Class::Refused,
            ),
        ] {
            assert_eq!(class(status, text), expected, "{status} {text}");
        }
    }

    #[test]
    fn a_failed_task_tells_the_end_of_its_log_once() {
        let log = ["importing", "TASK ERROR: no space"]
            .map(str::to_owned)
            .to_vec();
        let error = Error::Task {
            kind: "qmcreate".into(),
            node: "pve1".into(),
            exit: "no space".into(),
            log,
        };
        assert_eq!(
            error.to_string(),
            "task qmcreate on pve1 failed: no space (log: importing)"
        );
    }
}
