//! How a machine comes up: Ubuntu with cloud-init, Flatcar in memory, Flatcar from disk (docs/delivery.md section 1).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection::Link;
use super::file::Files;
use super::ignition;
use super::internet;
use super::shell::lab_unknown;
use super::state::{Image, Machine, REBOOT_REQUIRED, Stage};
use super::{kubeadm, ssh, unit};

/// What the machine starts from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The platform's freshly installed system, with cloud-init's first run.
    FirstSystem,
    /// A kernel that is in memory already.
    Memory(Box<Image>),
    /// Whatever the disk holds.
    Disk,
    /// The platform's rescue system, for these keys.
    Rescue(Vec<String>),
}

// Simulated durations in seconds, from experience with such machines.
const UBUNTU_BOOT: u64 = 60;
const KEXEC: u64 = 40;
const FLATCAR_BOOT: u64 = 60;
const EXTENSION_DOWNLOAD: u64 = 20;

impl Machine {
    /// Stops everything and starts again. What was in memory is lost.
    pub(crate) fn power_cycle(self: &Arc<Self>, source: Source) {
        self.halt();
        let power = CancellationToken::new();
        {
            let mut state = self.state();
            state.power = power.clone();
            state.boots += 1;
            state.update_waits = None;
            state.files.remove_all("/run/strata");
            let _ = state.files.remove(REBOOT_REQUIRED);
            state.trouble = None;
            state.failed_units.clear();
            state.journal.clear();
            state.rules = super::nft::Ruleset::default();
            state.loaded_kernel = None;
            state.mounts.clear();
            state.kubernetes = None;
            state.member.stop();
        }
        let machine = Arc::clone(self);
        tokio::spawn(async move {
            // Dropping the boot at any await is what a power cut does.
            tokio::select! {
                biased;
                () = power.cancelled() => {}
                () = machine.boot(source) => {}
            }
        });
    }

    async fn boot(self: &Arc<Self>, source: Source) {
        if !matches!(source, Source::Rescue(_)) {
            self.leave_rescue();
        }
        match source {
            Source::Rescue(keys) => self.boot_rescue(keys).await,
            Source::FirstSystem => self.boot_ubuntu(true).await,
            Source::Memory(image) => self.boot_memory(*image).await,
            Source::Disk => {
                let (installed, ubuntu) = {
                    let state = self.state();
                    (state.installation.is_some(), state.first_system_on_disk)
                };
                if installed {
                    self.boot_flatcar().await;
                } else if ubuntu {
                    self.boot_ubuntu(false).await;
                } else {
                    self.emergency("no bootable disk");
                }
            }
        }
    }

    /// Stops where a console would show an error and no network comes up.
    fn emergency(&self, why: &str) {
        tracing::warn!(machine = %self.spec.name, why, "machine does not boot");
        let mut state = self.state();
        state.stage = Stage::Emergency;
        state.network_up = false;
        state.trouble = Some(why.to_owned());
    }

    async fn boot_ubuntu(self: &Arc<Self>, first: bool) {
        {
            let mut state = self.state();
            state.stage = Stage::Ubuntu;
            state.release = None;
            state.hostname.clone_from(&self.spec.hostname);
            state.authorized_keys.clone_from(&self.spec.ssh_public_keys);
            state.files = Files::new(&[
                "/etc/ssh",
                "/run",
                "/tmp",
                "/opt",
                "/usr/bin",
                "/var/lib",
                "/root",
                "/home/ubuntu",
                "/dev/disk/by-id",
            ]);
        }
        self.pass(UBUNTU_BOOT).await;
        ssh::ensure_host_key(self);
        self.state().network_up = true;
        if !first {
            return;
        }
        let Some(user_data) = self.spec.user_data.clone().filter(|data| !data.is_empty()) else {
            return;
        };
        if let Err(why) = self.cloud_init(user_data).await {
            tracing::warn!(machine = %self.spec.name, why, "cloud-init failed");
            self.state().trouble = Some(why);
        }
    }

    async fn cloud_init(self: &Arc<Self>, user_data: Vec<u8>) -> Result<(), String> {
        let text =
            String::from_utf8(user_data).map_err(|_| lab_unknown("user data that is not text"))?;
        if !text.starts_with("#!") {
            return Err(lab_unknown(
                "user data that is not a script (its first line starts with `#!`)",
            ));
        }
        let script = self.mutate("stub", text);
        let (code, streams) = self
            .run_text(
                "/var/lib/cloud/instance/scripts/part-001",
                &script,
                Vec::new(),
                Vec::new(),
            )
            .await;
        if code == 0 {
            return Ok(());
        }
        Err(format!(
            "the stub failed with exit code {code}: {}",
            String::from_utf8_lossy(&streams.stderr).trim()
        ))
    }

    fn flatcar_files() -> Files {
        let mut files = Files::new(&[
            "/etc/ssh",
            "/etc/systemd/system",
            "/run",
            "/tmp",
            "/opt",
            "/usr/bin",
            "/usr/share/oem",
            "/var/lib",
            "/root",
            "/home/core",
            "/dev/disk/by-id",
        ]);
        files
            .put("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n", 0o644)
            .expect("a fresh tree takes files");
        files.protect("/usr");
        files
    }

    async fn boot_memory(self: &Arc<Self>, image: Image) {
        self.pass(KEXEC).await;
        {
            let mut state = self.state();
            state.stage = Stage::Installer;
            state.hostname = "localhost".into();
            state.authorized_keys.clear();
            state.files = Self::flatcar_files();
            state.enabled_units.clear();
            state.release = Some(image.release);
        }
        match image.ignition {
            Some(config) if image.first_boot => {
                if let Err(why) = self.ignite("installer", config).await {
                    return self.emergency(&format!("Ignition failed in the installer: {why}"));
                }
            }
            _ => self.state().trouble = Some("Ignition did not run: no usr/share/oem/config.ign in the initrd, or no flatcar.first_boot=1".into()),
        }
        self.start_units().await;
    }

    async fn boot_flatcar(self: &Arc<Self>) {
        self.pass(FLATCAR_BOOT).await;
        let ignition = {
            let mut state = self.state();
            state.stage = Stage::Flatcar;
            let installation = state.installation.clone().expect("checked by the caller");
            state.release = Some(installation.release);
            installation.ignition
        };
        if let Some(config) = ignition {
            {
                let mut state = self.state();
                state.hostname = "localhost".into();
                state.authorized_keys.clear();
                state.enabled_units.clear();
                state.files = Self::flatcar_files();
            }
            if let Err(why) = self.ignite("ignition", config).await {
                return self.emergency(&format!("Ignition failed on the node: {why}"));
            }
            if let Some(installation) = &mut self.state().installation {
                installation.ignition = None;
            }
        } else {
            let mut state = self.state();
            for folder in ["/run", "/tmp"] {
                state.files.remove_all(folder);
                state
                    .files
                    .make_directories(folder)
                    .expect("the root takes folders");
            }
        }
        self.start_units().await;
    }

    /// Runs Ignition and puts its results on the disk.
    async fn ignite(self: &Arc<Self>, place: &str, config: Vec<u8>) -> Result<(), String> {
        let text =
            String::from_utf8(config).map_err(|_| "config is not valid: not UTF-8".to_owned())?;
        let outcome = ignition::run(&self.mutate(place, text))?;
        if outcome.downloaded {
            self.pass(EXTENSION_DOWNLOAD).await;
        }
        let mut files = Vec::new();
        for (path, bytes, mode) in outcome.files {
            let bytes = match String::from_utf8(bytes) {
                Ok(text) => self.mutate(&format!("file:{path}"), text).into_bytes(),
                Err(error) => error.into_bytes(),
            };
            files.push((path, bytes, mode));
        }
        let mut state = self.state();
        for directory in outcome.directories {
            state
                .files
                .make_directories(&directory)
                .map_err(|error| format!("creating {directory}: {error}"))?;
        }
        for (path, bytes, mode) in files {
            state
                .files
                .put(&path, &bytes, mode)
                .map_err(|error| format!("writing {path}: {error}"))?;
        }
        for (path, target) in outcome.links {
            state
                .files
                .link(&path, &target)
                .map_err(|error| format!("linking {path}: {error}"))?;
        }
        state.authorized_keys = outcome.keys;
        for unit in outcome.units {
            let path = format!("/etc/systemd/system/{}", unit.name);
            if unit.masked {
                state
                    .files
                    .link(&path, "/dev/null")
                    .map_err(|error| format!("masking {}: {error}", unit.name))?;
            } else if let Some(contents) = &unit.contents {
                let installable = if unit::is_timer(&unit.name) {
                    unit::timer(&unit.name, contents)?.installable
                } else {
                    unit::service(&unit.name, contents)?.installable
                };
                state
                    .files
                    .put(&path, contents.as_bytes(), 0o644)
                    .map_err(|error| format!("writing {path}: {error}"))?;
                if unit.enabled && installable {
                    state.enabled_units.insert(unit.name);
                }
            } else if unit.enabled && unit.name == "systemd-sysupdate.timer" {
                return Err(lab_unknown("an enabled systemd-sysupdate.timer"));
            }
        }
        Ok(())
    }

    /// What systemd does: hostname, early units, network, sshd, the other units, kubelet.
    async fn start_units(self: &Arc<Self>) {
        self.merge_extensions();
        let services = {
            let mut state = self.state();
            if let Some(name) = state
                .files
                .text("/etc/hostname")
                .map(|text| text.trim().to_owned())
                .filter(|name| !name.is_empty())
            {
                state.hostname = name;
            }
            let names: Vec<String> = state.enabled_units.iter().cloned().collect();
            names
                .into_iter()
                .filter(|name| !unit::is_timer(name))
                .filter_map(|name| {
                    let text = state.files.text(&format!("/etc/systemd/system/{name}"))?;
                    let service = unit::service(&name, &text).ok()?;
                    Some((name, service))
                })
                .collect::<Vec<_>>()
        };
        ssh::ensure_host_key(self);
        for (name, service) in services.iter().filter(|(_, service)| service.early) {
            self.start(name, service).await;
        }
        {
            let mut state = self.state();
            state.network_up = true;
            for connection in state.connections.alive() {
                connection.set(Link::Closed);
            }
        }
        kubeadm::resume(self);
        self.arm_timers();
        for (name, service) in services.iter().filter(|(_, service)| !service.early) {
            self.start(name, service).await;
        }
    }

    pub(super) async fn start(self: &Arc<Self>, name: &str, service: &unit::Service) {
        if let Some(path) = &service.condition
            && !self.state().files.exists(path)
        {
            return;
        }
        for words in &service.start {
            let Some((program, arguments)) = words.split_first() else {
                continue;
            };
            let (code, streams) = self
                .run_program(program, arguments.to_vec(), Vec::new())
                .await;
            if code != 0 {
                let why = format!(
                    "{name} failed with exit code {code}: {}",
                    String::from_utf8_lossy(&streams.stderr).trim()
                );
                tracing::warn!(machine = %self.spec.name, why, "unit failed");
                let mut state = self.state();
                state.failed_units.insert(name.to_owned());
                state.trouble = Some(why);
                return;
            }
        }
    }

    /// Merges the linked system extensions, as a boot and `systemd-sysext refresh` do.
    pub(crate) fn merge_extensions(&self) {
        let mut state = self.state();
        state.kubernetes = if state.stage == Stage::Flatcar {
            state
                .files
                .below("/etc/extensions")
                .into_iter()
                .filter(|(path, _)| path.ends_with("/kubernetes.raw"))
                .find_map(|(path, _)| internet::extension_version(&state.files.read(&path).ok()?))
        } else {
            None
        };
    }

    /// The Kubernetes version of the merged system extension, if one is merged.
    pub(crate) fn kubernetes_version(&self) -> Option<String> {
        self.state().kubernetes.clone()
    }
}
