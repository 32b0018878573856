//! Faults are inputs: what shall go wrong, where, how often.
//!
//! `POST /faults` adds one, `DELETE /faults` removes all. A service or machine asks `Faults::take(place, matches)` at the points where it
//! could fail; a fault with `times` left matches and is counted down.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

/// One fault as `POST /faults` takes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Where: `scaleway`, `cloudflare`, `infisical`, `vault`, `kubernetes`, `proxmox`, `factory` (HTTP services), `machine`, `talos`.
    pub place: String,
    /// Which: for HTTP services `METHOD /route/template` with `*` for any part; for machines a node name or `*`; for calls of
    /// the Talos API `NODE /machine.MachineService/Bootstrap`.
    #[serde(default = "any")]
    pub target: String,
    /// What happens.
    pub action: Action,
    /// How often; absent means always.
    #[serde(default)]
    pub times: Option<u32>,
}

fn any() -> String {
    "*".into()
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Answer with this status and body instead of doing anything.
    Status {
        /// HTTP status.
        code: u16,
        /// Body as text, HTML for one; absent means an error in the service's own words.
        #[serde(default)]
        body: Option<String>,
        /// `Retry-After` in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
    },
    /// Do the work, then answer with this status all the same, as a gateway does that gave up on a slow answer.
    LateStatus {
        /// HTTP status.
        code: u16,
    },
    /// Do the work, then cut the body of the answer in half: whole HTTP, broken JSON.
    Truncate,
    /// Do the work, then drop the connection without an answer.
    LoseReply,
    /// Drop the connection without doing the work.
    Disconnect,
    /// Wait this many simulated seconds first.
    Delay {
        /// Simulated seconds.
        seconds: u64,
    },
    /// Answer 307 instead of doing anything, as a standby does.
    Redirect {
        /// `Location`; absent means the address that was asked, so that a redirect for ever is a loop.
        #[serde(default)]
        location: Option<String>,
    },
    /// Vault is sealed: 503 everywhere, and its health says so.
    Sealed,
    /// Infisical's change policy captures the write: 200 with `approval`, nothing is written.
    ApprovalPending,
    /// Infisical as it was before v4: no such routes, `mode` of a batch is ignored, a folder that exists is 400, missing parents are 404. Proxmox
    /// before 9: other privileges, a token's value cannot be made anew.
    OldServer,
    /// The worker that Proxmox starts for the call ends in this error after its time, and what it was to do is not done.
    TaskError {
        /// What its status and its log say.
        text: String,
    },
    /// The worker does its work and warns.
    TaskWarning {
        /// What its log says.
        text: String,
    },
    /// The worker never ends.
    TaskStuck,
    /// Of the number that Proxmox calls free somebody else makes a machine first.
    TakeNextId,
    /// Infisical waits between its look for an existing key and the insert, so that two creations of one key both succeed.
    SlowInsert {
        /// Simulated seconds.
        seconds: u64,
    },
    /// Infisical reads from a replica that has not caught up: each secret as it was one version ago, new ones not at all.
    StaleRead,
    /// Installation of the machine's system ends in `error` after this many simulated seconds.
    InstallError {
        /// Simulated seconds after the order.
        after: u64,
    },
    /// Installation never ends.
    InstallStuck,
    /// The delivery of the machine ends in `locked`, `error` or `out_of_stock` after this many simulated seconds.
    DeliveryEnd {
        /// The status.
        status: DeliveryEnd,
        /// Simulated seconds after the order.
        after: u64,
    },
    /// The offer is out of stock.
    OutOfStock,
    /// In what is delivered to the machine, replace text before it acts on it.
    Mutate {
        /// `stub`, `installer`, `ignition` (decoded text of each), `rescue` (the script that installs from there), `file:/path` (uploaded or written by Ignition) or `verb:NAME` (its arguments).
        where_: String,
        /// Literal text to find; must occur, else the fault stays unused.
        from: String,
        /// Its replacement.
        to: String,
    },
    /// A disk of the machine cannot discard: `blkdiscard` fails.
    CannotDiscard,
    /// The machine reboots in the middle of this verb of `strata-node`, or of the installation from the rescue system (`rescue`). A Talos machine does what this call asks for and reboots before it answers.
    RebootDuring {
        /// The verb, or the method's name.
        verb: String,
    },
    /// `kubeadm` fails after its named phase, with files written so far left behind.
    KubeadmFail {
        /// Phase name of contracts/kubeadm-flatcar.md section 6.
        phase: String,
    },
    /// A call of the Talos API is answered with this status instead of being done.
    Grpc {
        /// Name of the code: `failed_precondition`.
        code: String,
        /// Its text.
        message: String,
    },
    /// Packets to a Talos machine are dropped.
    Unreachable,
    /// The installer of a Talos machine ends with this code, and the stream of LifecycleService with OK.
    InstallerExit {
        /// 1 unknown, 2 invalid input, 3 unsupported, 4 environment, 5 dependency, 6 I/O, 7 install.
        code: i32,
    },
    /// A Talos machine does not come up with its new version and boots the one before.
    UpgradeFallsBack,
    /// A sequence of a Talos machine (`reboot`, `shutdown`, `reset`, `upgrade`) fails at its beginning; only its events tell.
    SequenceFail {
        /// Its name.
        sequence: String,
    },
}

/// How a delivery ends that does not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryEnd {
    /// A matter of the account.
    Locked,
    /// Nobody says why.
    Error,
    /// Somebody was faster.
    OutOfStock,
}

/// The list of active faults; clones share it.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Adds a fault behind the others.
    pub fn add(&self, fault: Fault) {
        self.0.lock().expect("no panic while held").push(fault);
    }

    /// Removes all.
    pub fn clear(&self) {
        self.0.lock().expect("no panic while held").clear();
    }

    /// The faults still active.
    pub fn list(&self) -> Vec<Fault> {
        self.0.lock().expect("no panic while held").clone()
    }

    /// The first active fault of `place` whose target covers `target` and that `matches`, counted down.
    pub fn take(
        &self,
        place: &str,
        target: &str,
        matches: impl Fn(&Action) -> bool,
    ) -> Option<Action> {
        let mut faults = self.0.lock().expect("no panic while held");
        let index = faults.iter().position(|fault| {
            fault.place == place && covers(&fault.target, target) && matches(&fault.action)
        })?;
        let action = faults[index].action.clone();
        if let Some(times) = &mut faults[index].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                faults.remove(index);
            }
        }
        Some(action)
    }
}

/// `*` covers everything; otherwise word by word and segment by segment, `*` standing for one segment.
fn covers(pattern: &str, target: &str) -> bool {
    if pattern == "*" || pattern == target {
        return true;
    }
    let split = |text: &str| {
        text.split([' ', '/'])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (pattern, target) = (split(pattern), split(target));
    pattern.len() == target.len() && pattern.iter().zip(&target).all(|(p, t)| p == "*" || p == t)
}
