//! Between Terraform and the provider, to weigh it: Terraform collects its plugins' ends itself, and nobody else may ask
//! the kernel what a process took that is not its own child.
//!
//! Runs that measure wall time have no wrapper.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde_json::{Value as Json, json};

/// The provider to start.
pub(crate) const WRAPPED: &str = "BENCH_WRAPPED";
/// The file that gets a line per process.
pub(crate) const USAGE: &str = "BENCH_USAGE";

/// Runs the provider and writes down what it took.
pub(crate) fn run(provider: &Path, usage: &Path) -> anyhow::Result<ExitCode> {
    let status = Command::new(provider)
        .status()
        .with_context(|| format!("starting {}", provider.display()))?;
    let (own, wrapped) = (
        getrusage(UsageWho::RUSAGE_SELF)?,
        getrusage(UsageWho::RUSAGE_CHILDREN)?,
    );
    let line = json!({
        "provider": seconds(wrapped.user_time()) + seconds(wrapped.system_time()),
        "wrapper": seconds(own.user_time()) + seconds(own.system_time()),
        "peak": wrapped.max_rss(),
    });
    let mut file = OpenOptions::new().create(true).append(true).open(usage)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What all providers of one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time of the providers, in seconds.
    pub(crate) provider: f64,
    /// Processor time of the wrappers, in seconds.
    pub(crate) wrapper: f64,
    /// The largest resident memory of any of them, in KiB.
    pub(crate) peak: f64,
}

/// Reads the lines of one run, and removes them.
pub(crate) fn collect(file: &Path) -> anyhow::Result<Usage> {
    let text = std::fs::read_to_string(file).context("the wrapper wrote nothing")?;
    std::fs::remove_file(file)?;
    let mut all = Usage::default();
    for line in text.lines() {
        let line: Json = serde_json::from_str(line)?;
        let number = |key: &str| line[key].as_f64().unwrap_or_default();
        all.provider += number("provider");
        all.wrapper += number("wrapper");
        all.peak = all.peak.max(number("peak"));
    }
    Ok(all)
}

/// Processor time of every child that has ended, with its own children, in seconds.
pub(crate) fn children() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a few minutes")]
fn seconds(time: TimeVal) -> f64 {
    time.num_microseconds() as f64 / 1e6
}
