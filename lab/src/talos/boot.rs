//! From power to a node: where the configuration comes from, and what starts in which order (contracts/talos.md sections 8.1 and 8.2).
//!
//! Durations are the lab's; the order, and what waits for what, are Talos'.

use std::sync::Arc;
use std::time::Duration;

use strata_proto::talos::machine::machine_status_event::MachineStage as Stage;
use strata_proto::talos::machine::sequence_event::Action as Step;

use super::cidata;
use super::config::Config;
use super::machine::{Machine, Mode};
use super::member;
use super::pki::{Authority, Subject, server_names};
use super::{validate, vpn};
use crate::fault::Action;

/// Firmware, boot loader, kernel.
const FIRMWARE: u64 = 15;

/// Everything a machine does between two boots. Ends with its power only.
pub(super) async fn boot(machine: &Arc<Machine>) {
    machine.pass(FIRMWARE).await;
    if !load(machine) {
        return std::future::pending().await;
    }
    machine.note("boot");
    machine.events.sequence("", "initialize", Step::Start);
    machine.enter(Stage::Booting);
    platform(machine);
    let config = match configuration(machine) {
        Some(config) => config,
        None => maintenance(machine).await,
    };
    machine.events.sequence("", "initialize", Step::Stop);
    machine.events.sequence("", "boot", Step::Start);
    machine.activate(config);
    vpn::start(machine);
    trust(machine).await;
    machine.note("API up");
    machine.pass(4).await;
    machine.change(|run| run.cri = true);
    member::live(machine).await;
}

/// Chooses what boots. A version that does not come up falls back to the one before.
fn load(machine: &Machine) -> bool {
    let fresh = {
        let state = machine.state();
        state.disk.fresh && state.disk.previous.is_some()
    };
    let falls_back = |action: &Action| matches!(action, Action::UpgradeFallsBack);
    let broken = fresh && machine.fault("", falls_back).is_some();
    let mut state = machine.state();
    if broken {
        let previous = state.disk.previous.take();
        state.disk.previous = std::mem::replace(&mut state.disk.image, previous);
    }
    state.disk.fresh = false;
    let image = state.disk.image.clone();
    let file = state.hardware.image.clone();
    let Some(run) = &mut state.run else {
        return false;
    };
    let Some(image) = image else {
        let file = file.unwrap_or_else(|| "an empty disk".into());
        run.trouble = Some(format!("LAB-UNKNOWN: nothing boots from {file}"));
        return false;
    };
    run.image = image;
    true
}

/// Name and addresses that the platform gives, before there is a configuration.
fn platform(machine: &Arc<Machine>) {
    let (cidata, mac, vm) = {
        let state = machine.state();
        let hardware = &state.hardware;
        (
            hardware.cidata.clone(),
            hardware.mac.clone(),
            hardware.vm.clone(),
        )
    };
    let hostname = cidata
        .as_ref()
        .and_then(|cidata| cidata::hostname(&cidata.meta_data))
        .unwrap_or_else(|| format!("talos-{}", mac.to_lowercase().replace(':', "")));
    let wanted = cidata
        .map(|cidata| cidata::addresses(&cidata.network_config, &mac))
        .transpose();
    let mut addresses = match wanted {
        Ok(addresses) => addresses.unwrap_or_default(),
        Err(error) => {
            machine.change(|run| run.trouble = Some(error));
            Vec::new()
        }
    };
    let configured = machine
        .state()
        .disk
        .configuration
        .as_ref()
        .is_some_and(|config| !config.addresses().is_empty());
    if addresses.is_empty() && !configured {
        addresses.extend(machine.fleet.upgrade().map(|fleet| fleet.lease(&vm)));
    }
    machine.change(|run| run.hostname = hostname);
    machine.hold(addresses);
}

/// The configuration of the disk, else of the platform; a wrong one leaves the machine in maintenance.
fn configuration(machine: &Machine) -> Option<Arc<Config>> {
    let (stored, cidata) = {
        let state = machine.state();
        (
            state.disk.configuration.clone(),
            state.hardware.cidata.clone(),
        )
    };
    let stored = stored.filter(|config| config.main().is_some());
    if stored.is_some() {
        return stored;
    }
    let user_data = cidata?.user_data;
    if user_data.trim().is_empty() || user_data.starts_with("#cloud-config") {
        return None;
    }
    let judged = Config::parse(&user_data).and_then(|config| {
        validate::check(&config, &machine.image(), true)?;
        Ok(config)
    });
    match judged {
        Ok(config) => {
            let config = Arc::new(config);
            machine.state().disk.configuration = Some(Arc::clone(&config));
            Some(config)
        }
        Err(error) => {
            machine.events.configuration_error(&error);
            // The text of a configuration error may quote secrets; the estate shows none.
            machine.change(|run| {
                run.trouble = Some("the configuration of the platform is not valid".into());
            });
            None
        }
    }
}

/// Answers anyone until a whole configuration has been handed over.
async fn maintenance(machine: &Arc<Machine>) -> Arc<Config> {
    let leaf = Authority::throw_away().and_then(|authority| {
        let addresses = machine.addresses();
        let hostname = machine.name();
        authority.issue(&Subject {
            common_name: Some("maintenance-service.talos.dev"),
            names: server_names(&hostname, &addresses, &["::1".to_owned()]),
            server: true,
            ..Subject::default()
        })
    });
    match leaf {
        Ok(leaf) => machine.change(|run| run.mode = Mode::Maintenance(Arc::new(leaf))),
        Err(error) => machine.change(|run| run.trouble = Some(error)),
    }
    machine.enter(Stage::Maintenance);
    machine.note("maintenance");
    let mut changes = machine.changes.subscribe();
    loop {
        changes.borrow_and_update();
        let stored = machine.state().disk.configuration.clone();
        if let Some(config) = stored.filter(|config| config.main().is_some()) {
            // The answer to whoever handed it over leaves first.
            machine.pass(1).await;
            machine.change(|run| {
                run.mode = Mode::Starting;
                run.cut();
            });
            machine.enter(Stage::Booting);
            machine.pass(3).await;
            return config;
        }
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Waits until the API has a certificate: a control plane signs its own, a worker asks trustd on one.
async fn trust(machine: &Arc<Machine>) {
    loop {
        let Some(config) = machine.config() else {
            return;
        };
        match authority(machine, &config) {
            Ok(Some(authority)) => {
                machine.change(|run| {
                    run.mode = Mode::Normal(Arc::new(authority));
                    run.trouble = None;
                });
                return;
            }
            Ok(None) => {}
            Err(error) => machine.change(|run| run.trouble = Some(error)),
        }
        machine.rest().await;
    }
}

fn authority(machine: &Machine, config: &Config) -> Result<Option<Authority>, String> {
    let own = config.os_ca()?;
    if config.is_control_plane() {
        let key = own.key.ok_or("machine.ca.key is required")?;
        return Authority::load(&own.certificate, &key).map(Some);
    }
    let (Some(fleet), Some(from)) = (machine.fleet.upgrade(), machine.address()) else {
        return Ok(None);
    };
    let trusts = |other: &Arc<Machine>| {
        let theirs = other.config()?;
        let pair = theirs.os_ca().ok()?;
        let same = theirs.is_control_plane()
            && pair.certificate.trim() == own.certificate.trim()
            && theirs.trust_token() == config.trust_token();
        let to = other.address()?;
        let open = same && other.is_normal() && machine.reaches(from, to, 50001);
        open.then_some(pair)
    };
    let Some(pair) = fleet.all().iter().find_map(trusts) else {
        return Ok(None);
    };
    Authority::load(&pair.certificate, &pair.key.unwrap_or_default()).map(Some)
}

impl Machine {
    /// Puts a configuration in force: name and addresses change at once.
    pub(super) fn activate(self: &Arc<Self>, config: Arc<Config>) {
        let addresses = config.addresses();
        self.change(|run| {
            if let Some(hostname) = config.hostname() {
                run.hostname = hostname;
            }
            run.active = Some(config);
        });
        if !addresses.is_empty() {
            self.hold(addresses);
        }
    }

    /// Reverts to the configuration before a trial when its time is over.
    pub(super) fn revert_after(self: &Arc<Self>, limit: Duration) {
        let Some((trial, power)) = self
            .with(|run| {
                let (_, trial) = run.before_trial.as_ref()?;
                Some((trial.clone(), run.power.clone()))
            })
            .flatten()
        else {
            return;
        };
        let machine = Arc::clone(self);
        tokio::spawn(async move {
            // All arms are cancel-safe.
            tokio::select! {
                biased;
                () = power.cancelled() => return,
                () = trial.cancelled() => return,
                () = machine.world.clock.sleep(limit) => {}
            }
            let before = machine.with(|run| run.before_trial.take()).flatten();
            if let Some((before, _)) = before {
                machine.note("trial reverted");
                machine.activate(before);
            }
        });
    }
}
