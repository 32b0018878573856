//! What the example did, line by line, in the file that `EXAMPLE_JOURNAL` names: `<process> <kind> <what>`.
//!
//! Kinds are `ask`, `done`, `busy` and `fail` for the world (`world.rs`), and `lease` for ephemeral resources. One write per
//! line in append mode, so processes and threads can share the file.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Starts the journal if the environment asks for one.
pub(crate) fn open() {
    if let Some(path) = std::env::var_os("EXAMPLE_JOURNAL") {
        FILE.get_or_init(|| path.into());
    }
}

/// Writes one line.
pub(crate) fn note(kind: &str, what: &str) {
    let Some(path) = FILE.get() else { return };
    let line = format!("{} {kind} {what}\n", std::process::id());
    let file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path);
    // The journal is for whoever watches; a full disk is no reason to fail the operation.
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}
