//! `strata`: what `bootstrap.sh` calls. One match from verb to function; every verb is a file in `verb/`.
//!
//! Exit codes: 0 done, 1 stopped and resumable, 2 preflight, 3 refused or not confirmed, 4 done but partly unobserved, 130 interrupted.

mod archive;
mod arguments;
mod cluster;
mod console;
mod expiry;
mod finding;
mod kit;
mod lab;
mod layers;
mod observe;
mod outcome;
mod passphrase;
mod platform;
mod preflight;
mod price;
mod progress;
mod project;
mod question;
mod session;
mod terraform;
mod unseen;
mod verb;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    arguments::{Arguments, Verb},
    outcome::Outcome,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting the runtime: {error}");
            return ExitCode::from(Outcome::Stopped.code());
        }
    };
    let outcome = runtime.block_on(run(arguments)).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Outcome::Stopped
    });
    ExitCode::from(outcome.code())
}

async fn run(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.verb {
        Verb::Up(options) => verb::up::run(&options).await,
        Verb::Plan(options) => verb::plan::run(&options).await,
        Verb::Preflight(options) => verb::preflight::run(&options).await,
        Verb::Status(options) => verb::status::run(&options).await,
        Verb::Node(options) => verb::node::run(&options).await,
        Verb::Destroy(options) => verb::destroy::run(&options).await,
        Verb::Kubeconfig(options) => verb::kubeconfig::run(&options).await,
        Verb::Capture(options) => verb::capture::run(&options).await,
        Verb::Backup(options) => verb::backup::run(&options).await,
        Verb::Restore(options) => verb::restore::run(&options).await,
        Verb::Kit(options) => verb::kit::run(&options).await,
        Verb::Adopt(options) => verb::adopt::run(&options).await,
        Verb::Store(options) => verb::store::run(&options).await,
        Verb::Unlock(options) => verb::unlock::run(&options).await,
        Verb::Cluster(options) => verb::cluster::run(&options),
        Verb::Explain(options) => verb::cluster::explain(&options),
    }
}
