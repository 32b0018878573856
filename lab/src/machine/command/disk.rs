//! Commands on disks and kernels: kexec, wipefs, blkdiscard, lsblk, flatcar-install.

use super::Call;
use crate::fault::Action;
use crate::machine::archive;
use crate::machine::internet;
use crate::machine::state::{Image, Installation, Machine, Stage};

/// Simulated seconds of writing the image.
const INSTALL: u64 = 90;
const SMALLEST: u64 = 10_000_000_000;

pub(super) fn run(mut call: Call<'_>) -> i32 {
    match call.program {
        "kexec" => load(call),
        "wipefs" => wipe(call),
        "blkdiscard" => discard(call),
        "lsblk" => list(call),
        _ => call.unknown(),
    }
}

/// `lsblk` in the forms of the installer: all disks by name, or one property of one of them.
fn list(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let machine = std::sync::Arc::clone(&call.root.0);
    let (column, path) = match words.as_slice() {
        ["--nodeps", "--noheadings", "--paths", "--output", "NAME"] => {
            for index in 0..machine.spec.disks.len() {
                call.streams.say(&machine.kernel_name(index));
            }
            return 0;
        }
        [
            "--nodeps",
            "--noheadings",
            "--raw",
            "--bytes",
            "--output",
            column @ "SIZE",
            path,
        ]
        | [
            "--nodeps",
            "--noheadings",
            "--raw",
            "--output",
            column @ "ROTA",
            path,
        ]
        | [
            "--noheadings",
            "--raw",
            "--output",
            column @ "MOUNTPOINTS",
            path,
        ] => ((*column).to_owned(), (*path).to_owned()),
        _ => return call.unknown(),
    };
    let Some(index) = disk(&machine, &path) else {
        return call.fail(32, &format!("{path}: not a block device"));
    };
    let line = match column.as_str() {
        "SIZE" => machine.spec.disks[index].1.to_string(),
        "ROTA" => u8::from(machine.spec.disks[index].0.contains("HDD")).to_string(),
        // The platform's first system is a mirror over all disks; in memory nothing is mounted from them.
        _ if machine.state().stage == Stage::Ubuntu => "/".to_owned(),
        _ if machine.has_root_of(index) => "/mnt".to_owned(),
        _ => String::new(),
    };
    call.streams.say(&line);
    0
}

/// The disk a path names: the kernel's name, or the by-id link.
fn disk(machine: &Machine, path: &str) -> Option<usize> {
    let disks = &machine.spec.disks;
    (0..disks.len()).find(|index| {
        let name = disks[*index].0.trim_start_matches("/dev/disk/by-id/");
        path == machine.kernel_name(*index)
            || path == disks[*index].0
            || path == format!("/dev/disk/by-id/{name}")
    })
}

/// `kexec -l KERNEL --initrd=FILE --command-line=TEXT`.
fn load(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["-l", kernel, options @ ..] = words.as_slice() else {
        return call.unknown();
    };
    let kernel = (*kernel).to_owned();
    let (mut initrd, mut command_line) = (None, String::new());
    for option in options {
        if let Some(path) = option.strip_prefix("--initrd=") {
            initrd = Some(path.to_owned());
        } else if let Some(text) = option.strip_prefix("--command-line=") {
            text.clone_into(&mut command_line);
        } else {
            return call.unknown();
        }
    }
    let Some(initrd) = initrd else {
        return call.unknown();
    };
    let bytes = match call.input(&kernel) {
        Ok(bytes) => bytes,
        Err(error) => {
            call.streams
                .complain(&format!("Cannot open `{kernel}': {error}"));
            return 255;
        }
    };
    let Some(release) = internet::identify("vmlinuz", &bytes) else {
        call.streams
            .complain(&format!("Cannot determine the file type of {kernel}"));
        return 255;
    };
    let members = match call.input(&initrd) {
        Ok(bytes) => archive::unpack_initrd(&bytes),
        Err(error) => {
            call.streams
                .complain(&format!("Cannot open `{initrd}': {error}"));
            return 255;
        }
    };
    let file = |path: &str| {
        members
            .iter()
            .flatten()
            .rev()
            .find(|(name, content)| name == path && content.is_some())
            .and_then(|(_, content)| content.clone())
    };
    // A root that the kernel cannot unpack, or of another release, shows only after the jump; here it is said at once.
    let root = file("etc/strata-lab-release").and_then(|bytes| internet::identify("root", &bytes));
    if root.as_ref() != Some(&release) {
        return call.streams.refuse(
            "a kernel with an initrd that is not the PXE image of the same Flatcar release",
        );
    }
    let known = |word: &str| {
        let key = word.split('=').next().unwrap_or_default();
        matches!(
            key,
            "flatcar.first_boot"
                | "flatcar.autologin"
                | "console"
                | "ignition.platform.id"
                | "flatcar.oem.id"
                | "quiet"
        )
    };
    if let Some(word) = command_line.split_whitespace().find(|word| !known(word)) {
        return call.streams.refuse(&format!("the kernel argument {word}"));
    }
    let first_boot = command_line
        .split_whitespace()
        .any(|word| matches!(word, "flatcar.first_boot=1" | "flatcar.first_boot"));
    let image = Image {
        release,
        first_boot,
        ignition: file("usr/share/oem/config.ign"),
    };
    call.root.0.state().loaded_kernel = Some(image);
    0
}

fn wipe(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let ["--all", "--force", devices @ ..] = words.as_slice() else {
        return call.unknown();
    };
    let devices: Vec<String> = devices.iter().map(|device| (*device).to_owned()).collect();
    let mut code = 0;
    for device in devices {
        if disk(&call.root.0, &device).is_none() {
            code = call.fail(
                1,
                &format!(
                    "error: {device}: probing initialization failed: No such file or directory"
                ),
            );
            continue;
        }
        let mut state = call.root.0.state();
        // The platform's first system is a mirror over all disks: one signature less and it does not start.
        state.first_system_on_disk = false;
        state.installation = None;
    }
    code
}

/// `blkdiscard --force DEVICE`: also a disk that is in use. What runs goes on from memory; after a reboot nothing does.
fn discard(mut call: Call<'_>) -> i32 {
    let ["--force", device] = call.words()[..] else {
        return call.unknown();
    };
    let Some(index) = disk(&call.root.0, device) else {
        return call.fail(
            1,
            &format!("cannot open {device}: No such file or directory"),
        );
    };
    let unable = |action: &Action| matches!(action, Action::CannotDiscard);
    if call.root.0.fault(unable).is_some() {
        return call.fail(
            1,
            &format!("{device}: BLKDISCARD ioctl failed: Operation not supported"),
        );
    }
    let mut state = call.root.0.state();
    state.discarded.insert(index);
    state.first_system_on_disk = false;
    let name = call.root.0.spec.disks[index]
        .0
        .trim_start_matches("/dev/disk/by-id/");
    if state
        .installation
        .as_ref()
        .is_some_and(|installed| installed.disk == name)
    {
        state.installation = None;
    }
    0
}

/// `flatcar-install (-d DEVICE | -s) -C CHANNEL -V VERSION -i FILE`.
pub(super) async fn flatcar_install(mut call: Call<'_>) -> i32 {
    let words = call.words();
    let (mut device, mut smallest, mut channel, mut version, mut config) =
        (None, false, "stable".to_owned(), "current".to_owned(), None);
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        if *word == "-s" {
            smallest = true;
            continue;
        }
        let Some(value) = rest.next().map(|value| (*value).to_owned()) else {
            return call.unknown();
        };
        match *word {
            "-d" => device = Some(value),
            "-C" => channel = value,
            "-V" => version = value,
            "-i" => config = Some(value),
            _ => return call.unknown(),
        }
    }
    if smallest == device.is_some() {
        return call.fail(1, "No target block device provided, -d or -s is required.");
    }
    let target = match &device {
        Some(path) => disk(&call.root.0, path),
        None => call
            .root
            .0
            .spec
            .disks
            .iter()
            .enumerate()
            .filter(|(_, (_, size))| *size >= SMALLEST)
            .min_by_key(|(_, (_, size))| *size)
            .map(|(index, _)| index),
    };
    let Some(target) = target else {
        let name = device.unwrap_or_else(|| "(smallest)".into());
        return call.fail(
            1,
            &format!("Target block device ({name}) is not a full disk."),
        );
    };
    let ignition = match config {
        Some(path) => match call.input(&path) {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                return call.fail(1, &format!("Ignition config file ({path}) does not exist."));
            }
        },
        None => None,
    };
    let url = format!(
        "https://{channel}.release.flatcar-linux.net/amd64-usr/{version}/flatcar_production_image.bin.bz2"
    );
    let release = match internet::fetch(&url) {
        internet::Download::Found(_) => internet::release(&channel, &version),
        _ => None,
    };
    let Some(release) = release else {
        return call.fail(1, &format!("Image URL unavailable: {url}"));
    };
    let machine = &call.root.0;
    machine.pass(INSTALL).await;
    let mut state = machine.state();
    if !matches!(state.stage, Stage::Installer | Stage::Rescue) {
        return 1;
    }
    state.forget_disk();
    state.first_system_on_disk = false;
    state.discarded.remove(&target);
    let name = &machine.spec.disks[target].0;
    let disk = name.trim_start_matches("/dev/disk/by-id/").to_owned();
    state.installation = Some(Installation {
        release,
        disk,
        ignition,
    });
    drop(state);
    call.streams
        .say("Success! Flatcar Container Linux is installed (simulated)");
    0
}
