//! `strata-lab`: the lab as a program.
//!
//! `run` starts it and stays; `env` prints what points clients at it; `facts` lists what it cannot prove. Data goes to stdout, the log to stderr.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use strata_lab::facts::{NOT_REHEARSED, UNSEEN};
use strata_lab::{Lab, Options};
use tokio::signal::unix::{SignalKind, signal};

/// The outside world on your machine: simulated services and machines.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts the lab and stays until interrupted.
    Run {
        /// Folder for `lab.json`.
        #[arg(long, env = "STRATA_LAB_STATE", default_value = ".strata/lab/lab")]
        state: PathBuf,
        /// Simulated seconds per second.
        #[arg(long, default_value_t = 60.0)]
        speed: f64,
        /// Decides spreads and shuffles.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Port of the control API; 0 lets the system choose.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// DNS zone of the account; may be given several times.
        #[arg(long = "zone", default_values_t = ["strata.test".to_owned(), "example.org".to_owned()])]
        zones: Vec<String>,
    },
    /// Prints `export` lines that point clients at a running lab.
    Env {
        /// Folder with `lab.json`.
        #[arg(long, env = "STRATA_LAB_STATE", default_value = ".strata/lab/lab")]
        state: PathBuf,
    },
    /// Says whether a lab runs with this state; fails when none does.
    Status {
        /// Folder with `lab.json`.
        #[arg(long, env = "STRATA_LAB_STATE", default_value = ".strata/lab/lab")]
        state: PathBuf,
    },
    /// Lists what the lab invents and what no run in it proves.
    Facts,
}

/// What `lab.json` holds.
#[derive(Serialize, Deserialize)]
struct Running {
    pid: u32,
    url: String,
    speed: f64,
    env: BTreeMap<String, String>,
}

fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STRATA_LAB_LOG")
        .unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match Arguments::parse().command {
        Command::Run {
            state,
            speed,
            seed,
            port,
            zones,
        } => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .context("starting the runtime")?;
            runtime.block_on(run(
                &state,
                Options {
                    speed,
                    seed,
                    port,
                    zones,
                },
            ))
        }
        Command::Env { state } => print_environment(&state),
        Command::Status { state } => print_status(&state),
        Command::Facts => print_facts(),
    }
}

async fn run(state: &Path, options: Options) -> anyhow::Result<()> {
    let path = state.join("lab.json");
    if let Ok(running) = read(&path)
        && tokio::net::TcpStream::connect(running.url.trim_start_matches("http://"))
            .await
            .is_ok()
    {
        bail!(
            "a lab (pid {}) already runs with this state at {}; stop it or choose another --state",
            running.pid,
            running.url
        );
    }
    // Before the file appears: whoever reads it may send the signal at once.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let speed = options.speed;
    let lab = Lab::start(options).await?;
    let running = Running {
        pid: std::process::id(),
        url: lab.url().to_owned(),
        speed,
        env: lab.env().clone(),
    };
    write(&path, &running)?;
    tracing::info!(
        url = lab.url(),
        speed,
        "the lab runs; variables: strata-lab env --state {}",
        state.display()
    );
    // Both arms are cancel-safe: signals.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; everything in the lab is gone with it");
    std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
}

/// Written beside and renamed, so that a reader sees all or nothing; for the owner only, because credentials are in it.
fn write(path: &Path, running: &Running) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let beside = path.with_extension(format!("json.{}", running.pid));
    let mut text = serde_json::to_string_pretty(running).context("writing lab.json")?;
    text.push('\n');
    let mut opening = std::fs::OpenOptions::new();
    opening.write(true).create(true).truncate(true).mode(0o600);
    let mut file = opening
        .open(&beside)
        .with_context(|| format!("opening {}", beside.display()))?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("writing {}", beside.display()))?;
    std::fs::rename(&beside, path).with_context(|| format!("renaming to {}", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Running> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "reading {}; is a lab running? Start one: strata-lab run",
            path.display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))
}

fn print_environment(state: &Path) -> anyhow::Result<()> {
    let running = read(&state.join("lab.json"))?;
    let mut out = std::io::stdout().lock();
    for (name, value) in &running.env {
        writeln!(out, "export {name}='{value}'").context("writing to stdout")?;
    }
    Ok(())
}

fn print_status(state: &Path) -> anyhow::Result<()> {
    let running = read(&state.join("lab.json"))?;
    let Running {
        pid, url, speed, ..
    } = running;
    let address = url.trim_start_matches("http://");
    std::net::TcpStream::connect(address).with_context(|| format!("connecting to {url}; the lab (pid {pid}) ended without tidying up, start another: strata-lab run"))?;
    writeln!(
        std::io::stdout(),
        "running: pid {pid}, control API {url}, {speed} simulated seconds per second"
    )
    .context("writing to stdout")
}

fn print_facts() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Never seen in recordings; the lab does it like this:")?;
    for unseen in &UNSEEN {
        writeln!(out, "  {:<11} {}", unseen.service, unseen.behaviour)?;
    }
    writeln!(out, "\nNot rehearsed here:")?;
    for thing in &NOT_REHEARSED {
        writeln!(out, "  {thing}")?;
    }
    Ok(())
}
