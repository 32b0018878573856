//! The platform's rescue system: a Linux in memory beside whatever the disks hold, with a host key of its own that nobody knows beforehand. Flatcar's root can be
//! mounted in it.
//!
//! Understood over SSH, as root or with `sudo`: mounting the file system labelled `ROOT` at `/mnt`, `rm --force` of a file below it, unmounting. Anything else is
//! `LAB-UNKNOWN`. Not simulated: the password that the platform shows; keys alone are taken.

use std::sync::Arc;

use super::file::Files;
use super::shell::Streams;
use super::ssh;
use super::state::{Machine, Stage};

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
            let files = std::mem::replace(&mut state.files, Files::new(&["/etc/ssh", "/mnt"]));
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
