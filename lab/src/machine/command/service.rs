//! Commands of the system manager and of OpenSSH: systemctl, systemd-run, journalctl, ssh-keygen.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Call;
use crate::machine::boot::Source;
use crate::machine::kubeadm;
use crate::machine::shell::UNKNOWN;
use crate::machine::ssh;

/// Simulated seconds until a requested reboot cuts the power: the caller still gets its answer.
const SHUTDOWN: u64 = 3;

pub(super) fn systemctl(mut call: Call<'_>) -> i32 {
    let words = call.words();
    match words.as_slice() {
        ["reboot"] => {
            leave(&call, None);
            0
        }
        ["kexec"] => {
            let Some(image) = call.root.0.state().loaded_kernel.clone() else {
                call.streams.complain("No kexec kernel loaded");
                return 1;
            };
            leave(&call, Some(image));
            0
        }
        // sshd starts for each connection and reads its key then; units are read whenever they are needed.
        ["restart", "sshd.socket"] | ["daemon-reload"] => 0,
        ["restart", "kubelet.service"] => {
            kubeadm::resume(&call.root.0);
            0
        }
        ["stop", unit] => {
            let unit = (*unit).to_owned();
            let Some(name) = unit.strip_suffix(".timer") else {
                return call.unknown();
            };
            let timer = call.root.0.state().timers.remove(name);
            if let Some(timer) = timer {
                timer.cancel();
                0
            } else {
                call.streams
                    .complain(&format!("Failed to stop {unit}: Unit {unit} not loaded."));
                5
            }
        }
        _ => call.unknown(),
    }
}

fn leave(call: &Call<'_>, image: Option<crate::machine::state::Image>) {
    let machine = Arc::clone(&call.root.0);
    let power = machine.state().power.clone();
    tokio::spawn(async move {
        // Both arms are cancel-safe.
        tokio::select! {
            biased;
            () = power.cancelled() => return,
            () = machine.pass(SHUTDOWN) => {}
        }
        machine.power_cycle(image.map_or(Source::Disk, |image| Source::Memory(Box::new(image))));
    });
}

/// `systemd-run --collect --on-active=SECONDS --unit=NAME PROGRAM ARGUMENT...`.
pub(super) fn run_later(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["--collect", after, unit, program, arguments @ ..] = words.as_slice() else {
        return call.unknown();
    };
    let (Some(after), Some(unit)) = (
        after.strip_prefix("--on-active="),
        unit.strip_prefix("--unit="),
    ) else {
        return call.unknown();
    };
    let (after, unit, program) = (after.to_owned(), unit.to_owned(), (*program).to_owned());
    let arguments: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    if program.starts_with('-') || !program.starts_with('/') {
        return call.unknown();
    }
    let Ok(seconds) = after.trim_end_matches('s').parse::<u64>() else {
        call.streams
            .complain(&format!("Failed to parse timer value: {after}"));
        return 1;
    };
    let machine = Arc::clone(&call.root.0);
    let timer = CancellationToken::new();
    let power = {
        let mut state = machine.state();
        if state.timers.contains_key(&unit) {
            drop(state);
            call.streams.complain(&format!("Failed to start transient timer unit: Unit {unit}.timer was already loaded or has a fragment file."));
            return 1;
        }
        state.timers.insert(unit.clone(), timer.clone());
        state.power.clone()
    };
    call.streams
        .complain(&format!("Running timer as unit: {unit}.timer"));
    call.streams
        .complain(&format!("Will run service as unit: {unit}.service"));
    tokio::spawn(async move {
        // Cancel-safe: a cancelled timer runs nothing.
        tokio::select! {
            biased;
            () = power.cancelled() => return,
            () = timer.cancelled() => return,
            () = machine.pass(seconds) => {}
        }
        machine.state().timers.remove(&unit);
        // Dropping the script at any await is what a reboot does.
        tokio::select! {
            biased;
            () = power.cancelled() => {}
            (code, streams) = machine.run_program(&program, arguments, Vec::new()) => {
                if code != 0 {
                    tracing::warn!(unit, code, stderr = %String::from_utf8_lossy(&streams.stderr), "timer's service failed");
                    machine.state().failed_units.insert(format!("{unit}.service"));
                }
            }
        }
    });
    0
}

/// `journalctl --no-pager --lines=50 --unit=kubelet`.
pub(super) fn journal(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["--no-pager", "--lines=50", "--unit=kubelet"] = words.as_slice() else {
        return call.unknown();
    };
    let machine = call.root.0.clone();
    let configured = machine
        .state()
        .files
        .is_file("/var/lib/kubelet/config.yaml");
    // The extension starts the kubelet at boot, and until kubeadm has configured it, it ends at once, again and again.
    if machine.kubernetes_version().is_some() && !configured {
        machine.note("command failed: failed to load kubelet config file, path: /var/lib/kubelet/config.yaml: no such file or directory");
    }
    let lines = machine.state().journal.clone();
    if lines.is_empty() {
        call.streams.say("-- No entries --");
    }
    for line in &lines[lines.len().saturating_sub(50)..] {
        call.streams.say(line);
    }
    0
}

/// `systemd-sysext refresh`: merges what the links point to now.
pub(super) fn extensions(mut call: Call<'_>) -> i32 {
    if call.words() != ["refresh"] {
        return call.unknown();
    }
    call.root.0.merge_extensions();
    if call.root.0.kubernetes_version().is_none() {
        return call.fail(
            1,
            "Failed to read metadata for image kubernetes: No medium found",
        );
    }
    call.streams
        .complain("Using extensions 'kubernetes.raw'.\nMerged extensions into '/usr'.");
    0
}

/// `ssh-keygen -q -t ed25519 -N "" -C COMMENT -f FILE`.
pub(super) fn keygen(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path] = words.as_slice() else {
        return call.unknown();
    };
    let path = call.path(path);
    if call.root.0.state().files.exists(&path) {
        // It asks whether to overwrite, and there is nobody to answer.
        call.streams.say(&format!("{path} already exists."));
        return 1;
    }
    let Some((private, public)) = ssh::new_key(comment) else {
        return UNKNOWN;
    };
    let mut state = call.root.0.state();
    let written = state
        .files
        .write(&path, private.as_bytes(), Some(0o600), false)
        .and_then(|()| {
            state.files.write(
                &format!("{path}.pub"),
                public.as_bytes(),
                Some(0o644),
                false,
            )
        });
    drop(state);
    match written {
        Ok(()) => 0,
        Err(error) => {
            call.streams
                .complain(&format!("Saving key \"{path}\" failed: {error}"));
            1
        }
    }
}
