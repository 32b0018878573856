//! Rebooting, shutting down, resetting, and the upgrade of 1.12 and before (contracts/talos.md sections 8.7 and 8.8).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use strata_proto::talos::common::Code;
use strata_proto::talos::machine as wire;
use strata_proto::talos::machine::machine_status_event::MachineStage as Stage;
use strata_proto::talos::machine::reset_request::WipeMode;
use strata_proto::talos::machine::sequence_event::Action as Step;
use tonic::Status;
use uuid::Uuid;

use super::apid::Api;
use super::image::Image;
use super::machine::Machine;
use super::{etcd, lifecycle};
use crate::fault::Action;

/// Services and pods stop.
const STOP: u64 = 6;
/// How long a machine tries to leave etcd.
const LEAVE: u64 = 300;

/// Where a sequence ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Reboot,
    Off,
}

fn actor() -> String {
    Uuid::new_v4().to_string()
}

/// Runs a sequence that ends with the machine going down, apart from the call that asked for it.
fn go_down(
    machine: &Arc<Machine>,
    actor: &str,
    sequence: &'static str,
    stage: Stage,
    end: End,
    work: impl Future<Output = Result<(), String>> + Send + 'static,
) {
    let (machine, actor) = (Arc::clone(machine), actor.to_owned());
    let Some(power) = machine.with(|run| run.power.clone()) else {
        return;
    };
    tokio::spawn(async move {
        let fails = |action: &Action| matches!(action, Action::SequenceFail { sequence: wanted } if wanted == sequence);
        if machine.fault("", fails).is_some() {
            let text = "the lab was told to fail this sequence";
            machine.events.failed(&actor, sequence, Code::Fatal, text);
            return;
        }
        machine.events.sequence(&actor, sequence, Step::Start);
        let before = machine.with(|run| run.stage).unwrap_or_default();
        machine.enter(stage);
        // Both arms may be dropped: without power nothing is finished.
        let done = tokio::select! {
            biased;
            () = power.cancelled() => return,
            done = work => done,
        };
        if let Err(error) = done {
            machine.events.failed(&actor, sequence, Code::Fatal, &error);
            machine.enter(before);
            return;
        }
        machine.note(sequence);
        machine.kubelet.store(false, Ordering::Release);
        machine.etcd.store(false, Ordering::Release);
        machine.change(|run| run.api = None);
        // Both arms may be dropped, as above.
        tokio::select! {
            biased;
            () = power.cancelled() => return,
            () = machine.pass(STOP) => {}
        }
        machine.events.task(&actor, "stopEverything");
        machine.events.sequence(&actor, sequence, Step::Stop);
        if machine.switch_off() && end == End::Reboot {
            machine.switch_on();
        }
    });
}

/// Reboots; gives back the id by which its events can be followed.
pub(super) fn reboot(machine: &Arc<Machine>) -> String {
    let actor = actor();
    let nothing = std::future::ready(Ok(()));
    go_down(
        machine,
        &actor,
        "reboot",
        Stage::Rebooting,
        End::Reboot,
        nothing,
    );
    actor
}

pub(super) fn shutdown(machine: &Arc<Machine>) -> String {
    let actor = actor();
    let nothing = std::future::ready(Ok(()));
    let stage = Stage::ShuttingDown;
    go_down(machine, &actor, "shutdown", stage, End::Off, nothing);
    actor
}

/// Boots the other entry.
pub(super) fn rollback(machine: &Arc<Machine>) -> Result<(), Status> {
    {
        let mut state = machine.state();
        let previous = state
            .disk
            .previous
            .take()
            .ok_or_else(|| Status::failed_precondition("no previous installation to boot"))?;
        state.disk.previous = state.disk.image.replace(previous);
        state.disk.fresh = false;
    }
    reboot(machine);
    Ok(())
}

/// What a reset wipes.
#[derive(Debug, Clone, Copy, Default)]
struct Wipe {
    everything: bool,
    configuration: bool,
    data: bool,
}

fn wipe(request: &wire::ResetRequest) -> Result<Wipe, Status> {
    let labels = &request.system_partitions_to_wipe;
    match request.mode() {
        WipeMode::UserDisks if !labels.is_empty() => {
            return Err(Status::invalid_argument(
                "reset failed: invalid input, wipe mode USER_DISKS doesn't support SystemPartitionsToWipe",
            ));
        }
        WipeMode::SystemDisk if !request.user_disks_to_wipe.is_empty() => {
            return Err(Status::invalid_argument(
                "reset failed: invalid input, wipe mode SYSTEM_DISK doesn't support UserDisksToWipe",
            ));
        }
        WipeMode::UserDisks => return Ok(Wipe::default()),
        _ => {}
    }
    if labels.is_empty() {
        return Ok(Wipe {
            everything: true,
            configuration: true,
            data: true,
        });
    }
    let mut wipe = Wipe::default();
    for label in labels.iter().filter(|label| label.wipe) {
        match label.label.as_str() {
            "STATE" => wipe.configuration = true,
            "EPHEMERAL" | "ETCD" => wipe.data = true,
            "META" => {}
            other => {
                return Err(Status::invalid_argument(format!(
                    "LAB-UNKNOWN: wiping the partition {other:?}"
                )));
            }
        }
    }
    Ok(wipe)
}

/// Wipes; a graceful one leaves etcd first and does nothing if that fails.
pub(super) fn reset(api: &Api, request: &wire::ResetRequest) -> Result<String, Status> {
    let (machine, actor) = (Arc::clone(&api.machine), actor());
    let (wipe, graceful) = (wipe(request)?, request.graceful);
    let end = if request.reboot {
        End::Reboot
    } else {
        End::Off
    };
    let work = {
        let machine = Arc::clone(&machine);
        async move {
            if graceful {
                let until = machine.world.clock.elapsed().as_secs() + LEAVE;
                while let Err(error) = etcd::leave_cluster(&machine) {
                    if machine.world.clock.elapsed().as_secs() >= until {
                        return Err(format!("failed to leave etcd cluster: {error}"));
                    }
                    machine.pass(10).await;
                }
            }
            machine.pass(STOP).await;
            let mut state = machine.state();
            if wipe.everything {
                state.disk.image = None;
                state.disk.previous = None;
            }
            if wipe.configuration {
                state.disk.configuration = None;
            }
            if wipe.data {
                state.disk.etcd = None;
                state.disk.vpn = None;
            }
            Ok(())
        }
    };
    go_down(&machine, &actor, "reset", Stage::Resetting, end, work);
    Ok(actor)
}

/// The upgrade of 1.12 and before: the machine pulls, looks at etcd, installs and reboots by itself.
pub(super) async fn upgrade(api: &Api, request: wire::UpgradeRequest) -> Result<String, Status> {
    let machine = &api.machine;
    let target = Image::of_installer(&request.image).map_err(Status::unknown)?;
    machine.pass(lifecycle::PULL).await;
    if !target.installs_on(&machine.image()) {
        return Err(Status::failed_precondition(format!(
            "error validating installer image: host version {} is not compatible with {}",
            machine.image().version,
            target.version
        )));
    }
    if let Ok((cluster, _)) = etcd::cluster(api, "upgrade")
        && !request.force
        && !request.preserve
    {
        let members = cluster.plane.members();
        if members.len() == 2 {
            return Err(Status::failed_precondition(
                "error validating etcd for upgrade: upgrade not supported with 2 etcd members",
            ));
        }
        if members.iter().any(|member| member.learner || !member.alive) {
            return Err(Status::failed_precondition(
                "error validating etcd for upgrade: etcd member is not healthy",
            ));
        }
    }
    let actor = actor();
    let work = {
        let machine = Arc::clone(machine);
        async move {
            machine.pass(lifecycle::INSTALL).await;
            lifecycle::write(&machine, &target);
            Ok(())
        }
    };
    if request.stage {
        work.await.map_err(Status::internal)?;
    } else {
        go_down(
            machine,
            &actor,
            "upgrade",
            Stage::Upgrading,
            End::Reboot,
            work,
        );
    }
    Ok(actor)
}
