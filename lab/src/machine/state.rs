//! One machine: what it is and what it holds at the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::fault::Action;

use super::connection::{Connections, Link};
use super::file::Files;
use super::internet::Release;
use super::kubeadm::Member;
use super::nft::{Packet, Refusal, Ruleset, Verdict};
use super::rescue::Aside;
use super::{Others, Spec, World};

/// Flatcar's word that a reboot is due.
pub(crate) const REBOOT_REQUIRED: &str = "/run/reboot-required";

/// How far a machine is on its way to Flatcar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Ubuntu,
    Installer,
    Flatcar,
    /// The platform's rescue system.
    Rescue,
    /// Ignition failed or nothing boots: a shell on the console, no network login.
    Emergency,
}

/// What flatcar-install left on a disk.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) release: Release,
    /// The disk, by its name below `/dev/disk/by-id`.
    pub(crate) disk: String,
    /// `config.ign` on the OEM partition; used on the first boot only.
    pub(crate) ignition: Option<Vec<u8>>,
}

/// A loaded kernel.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) release: Release,
    pub(crate) first_boot: bool,
    /// `usr/share/oem/config.ign` of the initramfs.
    pub(crate) ignition: Option<Vec<u8>>,
}

/// What changes.
pub(crate) struct State {
    /// Cancelled when the power goes or the system reboots: everything that runs on the machine ends.
    pub(crate) power: CancellationToken,
    /// How often it was started.
    pub(crate) boots: u64,
    /// When update-engine had written a newer release to the other half of the disk, which a boot would start.
    pub(crate) update_waits: Option<Timestamp>,
    pub(crate) stage: Stage,
    pub(crate) network_up: bool,
    pub(crate) trouble: Option<String>,
    pub(crate) hostname: String,
    pub(crate) files: Files,
    pub(crate) release: Option<Release>,
    pub(crate) first_system_on_disk: bool,
    pub(crate) installation: Option<Installation>,
    /// Disks, by index, that were discarded and not written to since.
    pub(crate) discarded: BTreeSet<usize>,
    pub(crate) loaded_kernel: Option<Image>,
    pub(crate) enabled_units: BTreeSet<String>,
    pub(crate) failed_units: BTreeSet<String>,
    /// What the kubelet wrote since the last boot, in the lab's words.
    pub(crate) journal: Vec<String>,
    /// What is mounted where, besides what a boot mounts: folder, and what is seen in it.
    pub(crate) mounts: BTreeMap<String, String>,
    /// What the disks hold while the rescue system runs.
    pub(crate) aside: Option<Aside>,
    pub(crate) authorized_keys: Vec<String>,
    pub(crate) rules: Ruleset,
    pub(crate) connections: Connections,
    pub(crate) timers: BTreeMap<String, CancellationToken>,
    /// When each enabled timer fired last; on the disk, so that it outlives a boot.
    pub(crate) fired: BTreeMap<String, Timestamp>,
    /// Version of the Kubernetes extension that is merged into `/usr`.
    pub(crate) kubernetes: Option<String>,
    pub(crate) member: Member,
}

/// A simulated machine.
pub struct Machine {
    pub(crate) spec: Spec,
    pub(crate) world: World,
    pub(crate) others: Others,
    /// The lock under which the rescue system installs.
    pub(super) installing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

impl Machine {
    pub(crate) fn new(spec: Spec, world: World, others: Others) -> Arc<Self> {
        let state = State {
            power: CancellationToken::new(),
            boots: 0,
            update_waits: None,
            stage: Stage::Ubuntu,
            network_up: false,
            trouble: None,
            hostname: spec.hostname.clone(),
            files: Files::new(&[]),
            release: None,
            first_system_on_disk: !spec.bare,
            installation: None,
            discarded: BTreeSet::new(),
            loaded_kernel: None,
            enabled_units: BTreeSet::new(),
            failed_units: BTreeSet::new(),
            journal: Vec::new(),
            mounts: BTreeMap::new(),
            aside: None,
            authorized_keys: Vec::new(),
            rules: Ruleset::default(),
            connections: Connections::default(),
            timers: BTreeMap::new(),
            fired: BTreeMap::new(),
            kubernetes: None,
            member: Member::default(),
        };
        Arc::new(Self {
            spec,
            world,
            others,
            installing: tokio::sync::Mutex::new(()),
            state: Mutex::new(state),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while held")
    }

    pub(crate) fn now(&self) -> Duration {
        self.world.clock.elapsed()
    }

    /// Waits in the lab's time.
    pub(crate) async fn pass(&self, seconds: u64) {
        self.world.clock.sleep(Duration::from_secs(seconds)).await;
    }

    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.spec.ipv4 == address || self.spec.ipv6 == address
    }

    /// Its address of the same family as another.
    pub(crate) fn address_towards(&self, other: IpAddr) -> IpAddr {
        if other.is_ipv4() {
            self.spec.ipv4
        } else {
            self.spec.ipv6
        }
    }

    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.spec.name == name
            || self.spec.hostname == name
            || self.spec.server_id == name
            || self.state().hostname == name
    }

    /// The platform's id of the server.
    pub fn server_id(&self) -> &str {
        &self.spec.server_id
    }

    /// Where it is: `ubuntu`, `installer`, `flatcar`, `rescue` or `emergency`.
    pub fn stage(&self) -> &'static str {
        match self.state().stage {
            Stage::Ubuntu => "ubuntu",
            Stage::Installer => "installer",
            Stage::Flatcar => "flatcar",
            Stage::Rescue => "rescue",
            Stage::Emergency => "emergency",
        }
    }

    /// Why it does not go on, if it does not.
    pub fn trouble(&self) -> Option<String> {
        self.state().trouble.clone()
    }

    /// True while the system runs and its network is up.
    pub fn is_up(&self) -> bool {
        self.state().network_up
    }

    /// Another one after each boot.
    pub(crate) fn boot_id(&self) -> String {
        format!("{}-{}", self.spec.server_id, self.state().boots)
    }

    /// update-engine fetches a newer release, as it does some minutes after Flatcar published one. False where it does not run.
    pub(crate) fn fetch_update(&self) -> bool {
        let now = self.world.clock.now();
        let mut state = self.state();
        let disabled = state
            .files
            .text("/etc/flatcar/update.conf")
            .is_some_and(|text| text.lines().any(|line| line == "SERVER=disabled"));
        if state.stage != Stage::Flatcar || disabled {
            return false;
        }
        state.update_waits = Some(now);
        state.files.put(REBOOT_REQUIRED, b"", 0o644).is_ok()
    }

    /// The kernel's name: by bus, counted on each. Simulated: metal may count in another order at every boot.
    pub(crate) fn kernel_name(&self, index: usize) -> String {
        let on_sata = |index: &usize| {
            let name = self.spec.disks[*index].0.as_str();
            name.trim_start_matches("/dev/disk/by-id/")
                .starts_with("ata-")
        };
        let before = (0..index)
            .filter(|other| on_sata(other) == on_sata(&index))
            .count();
        if on_sata(&index) {
            let letter = char::from(b'a' + u8::try_from(before).unwrap_or(25).min(25));
            format!("/dev/sd{letter}")
        } else {
            format!("/dev/nvme{before}n1")
        }
    }

    /// What is on each disk, by the kernel's name: `data`, or `discarded`.
    pub(crate) fn disks(&self) -> BTreeMap<String, &'static str> {
        let state = self.state();
        (0..self.spec.disks.len())
            .map(|index| {
                let discarded = state.discarded.contains(&index);
                let content = if discarded { "discarded" } else { "data" };
                (self.kernel_name(index), content)
            })
            .collect()
    }

    /// A line of the kubelet's, as its journal shows it.
    pub(crate) fn note(&self, text: &str) {
        let at = self
            .world
            .clock
            .now()
            .strftime("%b %d %H:%M:%S")
            .to_string();
        let mut state = self.state();
        let line = format!("{at} {} kubelet[1]: {text} (simulated)", state.hostname);
        state.journal.push(line);
    }

    /// Names a fault may aim at: the hostname, and the platform's name with and without the cluster before it.
    fn targets(&self) -> Vec<String> {
        let mut names = vec![
            self.state().hostname.clone(),
            self.spec.hostname.clone(),
            self.spec.name.clone(),
        ];
        for (at, _) in self.spec.name.match_indices('-') {
            names.push(self.spec.name[at + 1..].to_owned());
        }
        names
    }

    /// Applies the `Mutate` faults for `place` to a text before the machine acts on it, each once.
    pub(crate) fn mutate(&self, place: &str, mut text: String) -> String {
        let mut applied: Vec<(String, String)> = Vec::new();
        for name in self.targets() {
            loop {
                let fits = |action: &Action| {
                    matches!(action, Action::Mutate { where_, from, to }
                        if where_ == place && text.contains(from.as_str()) && !applied.iter().any(|(f, t)| f == from && t == to))
                };
                let Some(Action::Mutate { from, to, .. }) =
                    self.world.faults.take("machine", &name, fits)
                else {
                    break;
                };
                text = text.replace(&from, &to);
                applied.push((from, to));
            }
        }
        text
    }

    /// Takes a fault of place `machine` aimed at this machine.
    pub(crate) fn fault(&self, matches: impl Fn(&Action) -> bool) -> Option<Action> {
        self.targets()
            .iter()
            .find_map(|name| self.world.faults.take("machine", name, &matches))
    }

    /// What the firewall says to a packet.
    pub(crate) fn filter(&self, packet: &Packet) -> Verdict {
        self.state().rules.verdict(packet, self.now())
    }

    /// Changes the rules; open connections feel it at once, timeouts of elements later.
    pub(crate) fn change_rules(
        self: &Arc<Self>,
        text: &str,
        check_only: bool,
    ) -> Result<(), Refusal> {
        let now = self.now();
        if check_only {
            return self.state().rules.clone().apply(text, now);
        }
        self.state().rules.apply(text, now)?;
        self.filter_connections();
        Ok(())
    }

    /// Silences what the rules drop now, and comes back when the next element runs out.
    pub(crate) fn filter_connections(self: &Arc<Self>) {
        let now = self.now();
        let (next, power) = {
            let mut state = self.state();
            state.rules.expire(now);
            for connection in state.connections.alive() {
                let silent = state.rules.verdict(&connection.packet, now) != Verdict::Accept;
                connection.set(if silent { Link::Silent } else { Link::Open });
            }
            (state.rules.next_expiry(), state.power.clone())
        };
        if let Some(next) = next {
            let machine = Arc::downgrade(self);
            let clock = self.world.clock.clone();
            tokio::spawn(async move {
                // Both arms are cancel-safe.
                tokio::select! {
                    biased;
                    () = power.cancelled() => {}
                    () = clock.sleep(next.saturating_sub(now)) => {
                        if let Some(machine) = machine.upgrade() {
                            machine.filter_connections();
                        }
                    }
                }
            });
        }
    }

    pub(crate) fn open_port(self: &Arc<Self>, port: u16) -> bool {
        let done = self.state().rules.open_port("inet", "strata", port);
        self.filter_connections();
        done
    }

    /// Ends established connections to a local port, as `ss --kill` does.
    pub(crate) fn kill_connections(&self, port: u16) {
        for connection in self.state().connections.alive() {
            if connection.packet.port == port {
                connection.set(Link::Closed);
            }
        }
    }
}
