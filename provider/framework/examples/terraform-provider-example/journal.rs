//! What the example did, line by line, in the file that `EXAMPLE_JOURNAL` names: `<process> <kind> <what>`.
//!
//! Kinds are `ask`, `done`, `busy` and `fail` for the world (`world.rs`), and `lease` for ephemeral resources. With
//! `EXAMPLE_JOURNAL_CALLS` set, `call` is each call that Terraform makes; the framework's own log is off then. One write per
//! line in append mode, so processes and threads can share the file.

use std::fmt::Debug;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Starts the journal if the environment asks for one.
pub(crate) fn open() {
    if let Some(path) = std::env::var_os("EXAMPLE_JOURNAL") {
        FILE.get_or_init(|| path.into());
    }
    if std::env::var_os("EXAMPLE_JOURNAL_CALLS").is_some() {
        tracing_subscriber::registry().with(Calls).init();
    }
}

/// Picks the framework's line for each call out of its log.
struct Calls;

impl<S: Subscriber> Layer<S> for Calls {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        if line.message == "Called" {
            note("call", &line.call);
        }
    }
}

#[derive(Default)]
struct Line {
    message: String,
    call: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "tf_rpc" {
            value.clone_into(&mut self.call);
        }
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
