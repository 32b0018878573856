//! The platform's rescue system: a Linux in memory beside whatever the disks hold, with a host key of its own that nobody knows beforehand. Flatcar's root can be
//! mounted in it.
//!
//! Understood over SSH, as root or with `sudo`: mounting the file system labelled `ROOT` at `/mnt`, `rm --force` of a file below it, unmounting. Anything else is
//! `LAB-UNKNOWN`, but for a script on the standard input of one `bash -s` under a lock, which runs in the lab's shell. Not simulated: the password that the platform shows; keys alone are taken.

use std::sync::Arc;

use super::boot::Source;
use super::file::Files;
use super::kubeadm::Member;
use super::shell::Streams;
use super::ssh;
use super::state::{Machine, Stage, State};
use crate::fault::Action;

/// Who logs in.
pub(crate) const USER: &str = "rescue";
/// Simulated seconds until it answers.
const BOOT: u64 = 90;
const ROOT: &str = "/dev/disk/by-label/ROOT";

/// What stays on the disks while another system runs.
pub(crate) struct Aside {
    files: Files,
    authorized_keys: Vec<String>,
    hostname: String,
    mounted: bool,
}

impl Machine {
    pub(super) async fn boot_rescue(self: &Arc<Self>, keys: Vec<String>) {
        {
            let mut state = self.state();
            let files = std::mem::replace(
                &mut state.files,
                Files::new(&["/etc/ssh", "/mnt", "/opt", "/run", "/tmp"]),
            );
            let aside = Aside {
                files,
                authorized_keys: std::mem::take(&mut state.authorized_keys),
                hostname: std::mem::replace(&mut state.hostname, "rescue".into()),
                mounted: false,
            };
            // From one rescue system into the next the disks stay what they were.
            state.aside.get_or_insert(aside).mounted = false;
            state.stage = Stage::Rescue;
            state.release = None;
            state.authorized_keys = keys;
        }
        self.pass(BOOT).await;
        ssh::ensure_host_key(self);
        self.state().network_up = true;
    }

    /// Whether Flatcar's root, which is on this disk, is mounted in the rescue system.
    pub(crate) fn has_root_of(&self, disk: usize) -> bool {
        let name = self.spec.disks[disk]
            .0
            .trim_start_matches("/dev/disk/by-id/");
        let state = self.state();
        let mounted = state.aside.as_ref().is_some_and(|aside| aside.mounted);
        let here = state.installation.as_ref();
        mounted && here.is_some_and(|installation| installation.disk == name)
    }

    /// Runs a script as root, one at a time. `None`: the machine went away meanwhile.
    pub(crate) async fn run_in_rescue(self: &Arc<Self>, script: Vec<u8>) -> Option<(i32, Streams)> {
        let script = self.mutate("rescue", String::from_utf8_lossy(&script).into_owned());
        let is_due =
            |action: &Action| matches!(action, Action::RebootDuring { verb } if verb == "rescue");
        let reboots = self.fault(is_due).is_some();
        let power = self.state().power.clone();
        let machine = Arc::clone(self);
        // A task of its own: it goes on when the session that started it is cut, as on metal.
        let running = tokio::spawn(async move {
            let locked = async {
                let _one_at_a_time = machine.installing.lock().await;
                machine
                    .run_text("bash", &script, Vec::new(), Vec::new())
                    .await
            };
            // Dropping the script at any await is what a power cut does.
            tokio::select! {
                biased;
                () = power.cancelled() => None,
                result = locked => Some(result),
            }
        });
        if reboots {
            self.pass(5).await;
            let keys = self.state().authorized_keys.clone();
            self.power_cycle(Source::Rescue(keys));
            return None;
        }
        running.await.ok().flatten()
    }

    /// The disks are what runs again.
    pub(super) fn leave_rescue(&self) {
        let mut state = self.state();
        if let Some(aside) = state.aside.take() {
            state.files = aside.files;
            state.authorized_keys = aside.authorized_keys;
            state.hostname = aside.hostname;
        }
    }
}

impl State {
    /// What was on the disks before a system is written onto them.
    pub(crate) fn forget_disk(&mut self) {
        if let Some(aside) = &mut self.aside {
            aside.files = Files::new(&[]);
            aside.authorized_keys.clear();
        }
        self.member.stop();
        self.member = Member::default();
        self.enabled_units.clear();
        self.fired.clear();
    }
}

/// Runs a command of the rescue system. `None`: not one that the lab knows.
pub(crate) fn run(machine: &Machine, words: &[&str], streams: &mut Streams) -> Option<i32> {
    let mut state = machine.state();
    let has_flatcar = state.installation.is_some();
    let aside = state.aside.as_mut()?;
    let mut fail = |code, text: &str| {
        streams.complain(text);
        Some(code)
    };
    match words {
        ["sudo", "mount", ROOT, "/mnt"] => {
            if !has_flatcar {
                return fail(
                    32,
                    &format!("mount: /mnt: special device {ROOT} does not exist."),
                );
            }
            if aside.mounted {
                return fail(32, &format!("mount: /mnt: {ROOT} already mounted on /mnt."));
            }
            aside.mounted = true;
        }
        ["sudo", "umount", "/mnt"] => {
            if !aside.mounted {
                return fail(32, "umount: /mnt: not mounted.");
            }
            aside.mounted = false;
        }
        ["sudo", "rm", "--force", path] => {
            let path = path.strip_prefix("/mnt")?;
            if aside.mounted && aside.files.is_file(path) {
                aside.files.remove_all(path);
            }
        }
        _ => return None,
    }
    Some(0)
}
