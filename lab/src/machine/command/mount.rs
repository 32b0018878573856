//! What the rescue system does to run Flatcar's own installer: mounts, `chroot`, and the look for a program.

use super::{Call, disk};
use crate::machine::internet;
use crate::machine::state::Stage;

/// Programs of the platform's rescue system. Simulated: nobody has written down what the vendor's has.
const RESCUE: [&str; 15] = [
    "base64",
    "chroot",
    "cpio",
    "curl",
    "gzip",
    "grep",
    "ln",
    "lsblk",
    "mdadm",
    "mkdir",
    "mount",
    "sha512sum",
    "sync",
    "wipefs",
    "xargs",
];
/// Without these in its root the installer finds no disk, no name server and no scratch space.
const NEEDED: [&str; 6] = ["dev", "proc", "sys", "run", "etc", "tmp"];

pub(super) fn run(mut call: Call<'_>) -> i32 {
    match call.program {
        "mount" => mount(call),
        // Simulated: no array is ever assembled here.
        "mdadm" if call.words() == ["--stop", "--scan"] => 0,
        // What is written is there at once.
        "sync" if call.arguments.is_empty() => 0,
        "command" => look(call),
        _ => call.unknown(),
    }
}

/// `command -v PROGRAM`, in the rescue system.
fn look(mut call: Call<'_>) -> i32 {
    let ["-v", program] = call.words()[..] else {
        return call.unknown();
    };
    if call.root.0.state().stage != Stage::Rescue {
        return call.unknown();
    }
    if RESCUE.contains(&program) {
        call.streams.say(&format!("/usr/bin/{program}"));
        return 0;
    }
    1
}

/// `mount -t squashfs -o loop,ro FILE FOLDER`, `mount --bind FOLDER FOLDER`.
fn mount(mut call: Call<'_>) -> i32 {
    let (image, what, folder) = match call.words()[..] {
        ["-t", "squashfs", "-o", "loop,ro", file, folder] => (true, file, folder),
        ["--bind", from, folder] => (false, from, folder),
        _ => return call.unknown(),
    };
    let (what, folder) = (call.path(what), call.path(folder));
    if !call.root.0.state().files.is_directory(&folder) {
        return call.fail(32, &format!("{folder}: mount point does not exist."));
    }
    if !image {
        call.root.0.state().mounts.insert(folder, what);
        return 0;
    }
    let bytes = call.input(&what).unwrap_or_default();
    let Some(release) = internet::identify("usr", &bytes) else {
        return call.fail(
            32,
            &format!("{folder}: wrong fs type, bad option, bad superblock on {what}."),
        );
    };
    let mut state = call.root.0.state();
    let content = format!("FLATCAR_RELEASE_VERSION={}\n", release.version);
    let shown = state.files.put(
        &format!("{folder}/share/flatcar/release"),
        content.as_bytes(),
        0o644,
    );
    state.mounts.insert(folder, what);
    drop(state);
    shown.map_or_else(|error| call.fail(32, &error), |()| 0)
}

/// `chroot FOLDER flatcar-install ...` into Flatcar's own files.
pub(super) async fn chroot(mut call: Call<'_>) -> i32 {
    let [folder, "flatcar-install", ..] = call.words()[..] else {
        return call.unknown();
    };
    let folder = call.path(folder);
    let missing = {
        let state = call.root.0.state();
        let bound = |name: &&str| {
            state.mounts.get(&format!("{folder}/{name}")) == Some(&format!("/{name}"))
        };
        if state
            .files
            .is_file(&format!("{folder}/usr/share/flatcar/release"))
        {
            NEEDED.into_iter().find(|name| !bound(name))
        } else {
            Some("usr")
        }
    };
    if let Some(missing) = missing {
        return call.fail(
            127,
            &format!("flatcar-install in {folder}: nothing is at /{missing} there"),
        );
    }
    let arguments = call.arguments[2..].to_vec();
    let inside = Call {
        root: call.root,
        program: "flatcar-install",
        arguments: &arguments,
        folder: "/",
        streams: call.streams,
    };
    disk::flatcar_install(inside).await
}
