//! ApplyConfiguration: the table of modes by version, trials, dry runs (contracts/talos.md section 8.6).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use strata_proto::talos::machine::apply_configuration_request::Mode;
use strata_proto::talos::machine::{ApplyConfiguration, ApplyConfigurationRequest};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::apid::Api;
use super::config::Config;
use super::image::Image;
use super::machine::{Machine, NextBoot};
use super::{power, validate};

/// How long a trial lasts that names no time.
const TRIAL: Duration = Duration::from_mins(1);

/// Sections of the first document that 1.13 and before change without a reboot.
const LIVE: [&str; 25] = [
    "/debug",
    "/cluster",
    "/machine/ca",
    "/machine/acceptedCAs",
    "/machine/time",
    "/machine/certSANs",
    "/machine/install",
    "/machine/network",
    "/machine/sysfs",
    "/machine/sysctls",
    "/machine/logging",
    "/machine/controlPlane",
    "/machine/kubelet",
    "/machine/kernel",
    "/machine/registries",
    "/machine/pods",
    "/machine/seccompProfiles",
    "/machine/nodeAnnotations",
    "/machine/nodeLabels",
    "/machine/nodeTaints",
    "/machine/features/kubePrism",
    "/machine/features/hostDNS",
    "/machine/features/kubernetesTalosAPIAccess",
    "/machine/features/imageCache",
    "/machine/features/nodeAddressSortAlgorithm",
];

fn without_live(document: Option<&Value>) -> Option<Value> {
    let mut document = document?.clone();
    for path in LIVE {
        let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(section) = document.pointer_mut(parent).and_then(Value::as_object_mut) {
            section.remove(key);
        }
    }
    Some(document)
}

/// Whether 1.13 and before would reboot for the difference. Other documents than the first are never compared.
fn needs_reboot(before: &Config, after: &Config) -> bool {
    without_live(before.main()) != without_live(after.main())
}

/// Lines that go and lines that come. It quotes secrets, as Talos' own does.
fn difference(before: &Config, after: &Config) -> String {
    if before.documents == after.documents {
        return "No changes.".into();
    }
    let lines =
        |config: &Config| -> Vec<String> { config.text.lines().map(str::to_owned).collect() };
    let (old, new) = (lines(before), lines(after));
    let gone = old.iter().filter(|line| !new.contains(line));
    let come = new.iter().filter(|line| !old.contains(line));
    let gone = gone.map(|line| format!("-{line}"));
    let come = come.map(|line| format!("+{line}"));
    let all: Vec<String> = gone.chain(come).collect();
    format!("Config diff:\n\n{}\n", all.join("\n"))
}

/// What a call will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Handover,
    Live,
    Staged,
    Trial,
    Reboot,
}

fn effect(
    image: &Image,
    mode: Mode,
    maintenance: bool,
    reboot: impl Fn() -> bool,
) -> Result<(Effect, Mode), Status> {
    let (old, new) = (image.minor() < 13, image.minor() >= 14);
    let unsupported = |text: &str| {
        Status::unimplemented(format!(
            "apply configuration --mode='{}' is not supported {text}",
            mode.as_str_name().to_lowercase().replace('_', "-")
        ))
    };
    if maintenance {
        return match mode {
            Mode::NoReboot | Mode::Staged if old => Err(unsupported("in maintenance mode")),
            Mode::Staged => Err(unsupported("in maintenance mode")),
            _ if new => Ok((Effect::Handover, Mode::NoReboot)),
            _ => Ok((Effect::Handover, mode)),
        };
    }
    match mode {
        Mode::Reboot if new => Err(unsupported("by this version")),
        Mode::Reboot => Ok((Effect::Reboot, Mode::Reboot)),
        Mode::Staged => Ok((Effect::Staged, Mode::Staged)),
        Mode::Auto if !new && reboot() => Ok((Effect::Reboot, Mode::Reboot)),
        Mode::NoReboot | Mode::Try if !new && reboot() => Err(Status::invalid_argument(
            "this config change can't be applied in immediate mode",
        )),
        Mode::Try => Ok((Effect::Trial, Mode::Try)),
        Mode::Auto | Mode::NoReboot => Ok((Effect::Live, Mode::NoReboot)),
    }
}

pub(super) async fn apply(
    api: &Api,
    request: ApplyConfigurationRequest,
) -> Result<ApplyConfiguration, Status> {
    let machine = &api.machine;
    let wanted = Mode::try_from(request.mode)
        .map_err(|_| Status::invalid_argument(format!("unknown mode {}", request.mode)))?;
    let image = machine.image();
    let text = String::from_utf8(request.data)
        .map_err(|_| Status::invalid_argument("configuration is not UTF-8"))?;
    let after = Config::parse(&text).map_err(Status::invalid_argument)?;
    let before = machine.config();
    let maintenance = machine.is_maintenance();
    if after.main().is_none() && !maintenance {
        return Err(Status::invalid_argument(
            "the applied machine configuration doesn't contain v1alpha1 config, did you mean to patch the machine config instead?",
        ));
    }
    let warnings = validate::check(&after, &image, after.main().is_some())
        .map_err(Status::invalid_argument)?;
    if machine
        .with(|run| run.next_boot == NextBoot::Awaited)
        .unwrap_or_default()
    {
        return Err(Status::failed_precondition(
            "configuration was already applied and waits for a reboot",
        ));
    }
    let reboot = || {
        before
            .as_ref()
            .is_some_and(|before| needs_reboot(before, &after))
    };
    let (effect, mode) = effect(&image, wanted, maintenance, reboot)?;
    if wanted != Mode::Try {
        // Whatever is tried stays in force and is no longer taken back, dry runs included.
        let trial = machine.with(|run| run.before_trial.take()).flatten();
        if let Some((_, trial)) = trial {
            trial.cancel();
        }
    }
    let empty = Config {
        text: String::new(),
        documents: Vec::new(),
    };
    let mode_details = if request.dry_run {
        format!(
            "Dry run summary:\n{}",
            difference(before.as_deref().unwrap_or(&empty), &after)
        )
    } else {
        let limit = request
            .try_mode_timeout
            .and_then(|limit| Duration::try_from(limit).ok())
            .filter(|limit| !limit.is_zero())
            .unwrap_or(TRIAL);
        machine.pass(1).await;
        if effect == Effect::Live && reboot() {
            machine.change(|run| run.next_boot = NextBoot::Wanted);
        }
        act(machine, effect, Arc::new(after), limit)
    };
    Ok(ApplyConfiguration {
        metadata: None,
        warnings,
        mode: mode.into(),
        mode_details,
    })
}

fn act(machine: &Arc<Machine>, effect: Effect, after: Arc<Config>, limit: Duration) -> String {
    let persist = |config: &Arc<Config>| {
        machine.state().disk.configuration = Some(Arc::clone(config));
    };
    match effect {
        Effect::Handover => {
            if after.main().is_none() {
                machine.activate(Arc::clone(&after));
            }
            persist(&after);
            machine.note("configuration handed over");
            machine.touch();
            "The configuration is applied".into()
        }
        Effect::Live => {
            persist(&after);
            machine.activate(after);
            machine.note("configuration applied");
            "Applied configuration without a reboot".into()
        }
        Effect::Staged => {
            persist(&after);
            machine.note("configuration staged");
            machine.touch();
            "Staged configuration to be applied after the next reboot".into()
        }
        Effect::Trial => {
            let trial = CancellationToken::new();
            machine.change(|run| {
                let first = run.before_trial.take();
                if let Some((_, pending)) = &first {
                    pending.cancel();
                }
                let before = first
                    .map(|(before, _)| before)
                    .or_else(|| run.active.clone());
                run.before_trial = before.map(|before| (before, trial));
            });
            machine.activate(after);
            machine.note("configuration tried");
            machine.revert_after(limit);
            format!(
                "Applied configuration in try mode, it will be reverted in {} s",
                limit.as_secs()
            )
        }
        Effect::Reboot => {
            persist(&after);
            machine.change(|run| run.next_boot = NextBoot::Awaited);
            machine.note("configuration applied with a reboot");
            power::reboot(machine);
            "Applied configuration with a reboot".into()
        }
    }
}
