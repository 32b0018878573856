//! `bench`: the framework beside Terraform's built-in resource and a provider on tf-provider, in one run.
//!
//! Contenders take turns within each round, so that whatever else the machine does hits all of them. Started as a
//! provider (by the environment, see `wrapper`), it is the scale between Terraform and the real one.

// The framework's tests speak to a started provider as core does, and so does this.
#[path = "../../../provider/framework/tests/caller/identity.rs"]
mod identity;
mod plugin;
mod report;
mod sample;
mod terraform;
mod wrapper;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::json;

use identity::Identity;
use report::{Row, Target};
use sample::Sample;
use terraform::{Contender, Run, Workspace};

const USAGE: &str = "\
Usage: bench --framework FILE --peer FILE [--strata FILE] --json FILE [--lives N] [--rounds N]

  --framework FILE  the framework's null provider
  --peer FILE       the null provider on tf-provider
  --strata FILE     a real provider on the framework; its process alone is measured
  --json FILE       where every sample goes
  --lives N         how often each process is started and ended (100)
  --rounds N        how often each plan is made; an apply takes a third as many rounds (9)";

fn main() -> anyhow::Result<ExitCode> {
    if let (Some(provider), Some(usage)) = (
        std::env::var_os(wrapper::WRAPPED),
        std::env::var_os(wrapper::USAGE),
    ) {
        return wrapper::run(Path::new(&provider), Path::new(&usage));
    }
    let options = Options::read(std::env::args().skip(1))?;
    let mut rows = processes(&options)?;
    for count in [1, 1000] {
        rows.extend(plans(&options, count)?);
    }
    rows.extend(weights(&options)?);
    println!("{}", report::table(&rows, report::has_cores_to_spare()));
    let machine = json!({
        "processor": processor(),
        "cores": std::thread::available_parallelism()?.get(),
        "terraform": version()?,
        "lives": options.lives,
        "rounds": options.rounds,
    });
    println!("{machine}");
    let text = serde_json::to_string_pretty(&report::json(&rows, &machine))?;
    std::fs::write(&options.json, text + "\n")
        .with_context(|| format!("writing {}", options.json.display()))?;
    println!("Every sample is in {}.", options.json.display());
    Ok(ExitCode::SUCCESS)
}

struct Options {
    framework: PathBuf,
    peer: PathBuf,
    strata: Option<PathBuf>,
    json: PathBuf,
    lives: usize,
    rounds: usize,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut given = HashMap::new();
        while let Some(name) = arguments.next() {
            let value = arguments.next();
            match (name.as_str(), value) {
                (
                    "--framework" | "--peer" | "--strata" | "--json" | "--lives" | "--rounds",
                    Some(value),
                ) => {
                    given.insert(name, value);
                }
                _ => bail!("unknown or incomplete option {name}\n\n{USAGE}"),
            }
        }
        let mut file = |name: &str| given.remove(name).map(PathBuf::from);
        let missing = |name: &str| format!("{name} is missing\n\n{USAGE}");
        let framework = file("--framework").with_context(|| missing("--framework"))?;
        let peer = file("--peer").with_context(|| missing("--peer"))?;
        let json = file("--json").with_context(|| missing("--json"))?;
        let strata = file("--strata");
        let mut number = |name: &str, default: usize| match given.remove(name) {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(number) if number > 0 => Ok(number),
                _ => bail!("{name} {text}: not a number from 1"),
            },
        };
        Ok(Self {
            // Terraform runs in another folder.
            framework: std::fs::canonicalize(&framework)
                .with_context(|| format!("no provider at {}", framework.display()))?,
            peer: std::fs::canonicalize(&peer)
                .with_context(|| format!("no provider at {}", peer.display()))?,
            strata,
            json,
            lives: number("--lives", 100)?,
            rounds: number("--rounds", 9)?,
        })
    }

    fn binary(&self, contender: Contender) -> Option<&Path> {
        match contender {
            Contender::Framework => Some(&self.framework),
            Contender::TerraformData => None,
            Contender::TfProvider => Some(&self.peer),
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "KiB of one process")]
fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}

/// The process alone, without Terraform: start to end.
fn processes(options: &Options) -> anyhow::Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let identity = Identity::generate().map_err(anyhow::Error::from_boxed)?;
    let mut handshake: [Sample; 4] = Default::default();
    let mut connect: [Sample; 4] = Default::default();
    let mut schema: [Sample; 4] = Default::default();
    let mut shutdown: [Sample; 4] = Default::default();
    let mut peak: [Sample; 4] = Default::default();
    let binaries = [
        (0, Some(options.framework.as_path())),
        (2, Some(options.peer.as_path())),
        (3, options.strata.as_deref()),
    ];
    eprintln!("{} lives of each provider's process", options.lives);
    for life in 0..=options.lives {
        for (column, binary) in binaries {
            let Some(binary) = binary else { continue };
            let lived = plugin::live(&runtime, &identity, binary)
                .with_context(|| format!("running {}", binary.display()))?;
            // The first brings the file into memory.
            if life > 0 {
                handshake[column].push(milliseconds(lived.handshake));
                connect[column].push(milliseconds(lived.connect));
                schema[column].push(milliseconds(lived.schema));
                shutdown[column].push(milliseconds(lived.shutdown));
                peak[column].push(mebibytes(lived.peak));
            }
        }
    }
    let tails = [&handshake, &shutdown].map(|samples| {
        let tail = |sample: &Sample| Sample(sample.p95().into_iter().collect());
        samples.each_ref().map(tail)
    });
    let [late_handshake, late_shutdown] = tails;
    let row = |what, unit, samples, target| Row {
        what,
        unit,
        samples,
        target,
    };
    Ok(vec![
        row(
            "exec to handshake",
            "ms",
            handshake,
            Some(Target::Below(5.0)),
        ),
        row("the same, 95th percentile", "ms", late_handshake, None),
        row("connection with mutual TLS", "ms", connect, None),
        row("GetProviderSchema", "ms", schema, None),
        row(
            "Shutdown to exit",
            "ms",
            shutdown,
            Some(Target::Below(20.0)),
        ),
        row("the same, 95th percentile", "ms", late_shutdown, None),
        row("peak memory after the schema", "MiB", peak, None),
    ])
}

/// Wall time of Terraform with so many resources.
fn plans(options: &Options, count: usize) -> anyhow::Result<Vec<Row>> {
    let spaces = workspaces(options, count)?;
    let mut new: [Sample; 4] = Default::default();
    let mut apply: [Sample; 4] = Default::default();
    let mut unchanged: [Sample; 4] = Default::default();
    eprintln!(
        "{count} resources: plan and apply, {} rounds",
        options.rounds.div_ceil(3)
    );
    for _ in 0..options.rounds.div_ceil(3) {
        for (column, (space, _)) in spaces.iter().enumerate() {
            space.forget()?;
            new[column].push(space.plan(true, false)?.wall);
        }
        for (column, (space, _)) in spaces.iter().enumerate() {
            apply[column].push(space.apply(false)?.wall);
        }
    }
    eprintln!(
        "{count} resources: plan without changes, {} rounds",
        options.rounds
    );
    for _ in 0..options.rounds {
        for (column, (space, _)) in spaces.iter().enumerate() {
            unchanged[column].push(space.plan(false, false)?.wall);
        }
    }
    let names = if count == 1 {
        [
            "plan of 1 new resource",
            "apply of 1 resource",
            "plan of 1 unchanged resource",
        ]
    } else {
        [
            "plan of 1,000 new resources",
            "apply of 1,000 resources",
            "plan of 1,000 unchanged resources",
        ]
    };
    let target = (count == 1000).then_some(Target::TimesBuiltIn(1.2));
    let rows = names
        .into_iter()
        .zip([(new, None), (apply, None), (unchanged, target)]);
    Ok(rows
        .map(|(what, (samples, target))| Row {
            what,
            unit: "s",
            samples,
            target,
        })
        .collect())
}

/// Processor time and memory with 1,000 resources; wrapped, hence apart from wall time.
fn weights(options: &Options) -> anyhow::Result<Vec<Row>> {
    let spaces = workspaces(options, 1000)?;
    let mut terraform: [Sample; 4] = Default::default();
    let mut provider: [Sample; 4] = Default::default();
    let mut both: [Sample; 4] = Default::default();
    let mut share: [Sample; 4] = Default::default();
    let mut peak: [Sample; 4] = Default::default();
    let mut weigh = |column: usize, contender, run: &Run, is_plan: bool| {
        let Some((own, usage)) = run.usage else {
            return;
        };
        if is_plan {
            terraform[column].push(own);
            both[column].push(own + usage.provider);
        }
        if contender == Contender::TerraformData {
            return;
        }
        if is_plan {
            provider[column].push(usage.provider);
            share[column].push(usage.provider / own * 100.0);
        }
        peak[column].push(usage.peak / 1024.0);
    };
    eprintln!(
        "1,000 resources: processor time and memory, {} rounds",
        options.rounds
    );
    for (column, (space, contender)) in spaces.iter().enumerate() {
        weigh(column, *contender, &space.apply(true)?, false);
    }
    for _ in 0..options.rounds {
        for (column, (space, contender)) in spaces.iter().enumerate() {
            weigh(column, *contender, &space.plan(false, true)?, true);
        }
    }
    let largest = peak.map(|sample| Sample(sample.largest().into_iter().collect()));
    let row = |what, unit, samples, target| Row {
        what,
        unit,
        samples,
        target,
    };
    Ok(vec![
        row(
            "terraform's processor time in that plan",
            "s",
            terraform,
            None,
        ),
        row("provider's processor time in it", "s", provider, None),
        row(
            "the same, of terraform's",
            "%",
            share,
            Some(Target::Below(25.0)),
        ),
        row(
            "terraform's and the provider's together",
            "s",
            both,
            Some(Target::TogetherTimesBuiltIn(1.35)),
        ),
        row(
            "provider's peak memory, 1,000 resources",
            "MiB",
            largest,
            Some(Target::Below(20.0)),
        ),
    ])
}

fn workspaces(options: &Options, count: usize) -> anyhow::Result<Vec<(Workspace, Contender)>> {
    let make = |contender| {
        let space = Workspace::new(contender, count, options.binary(contender))?;
        Ok((space, contender))
    };
    Contender::ALL.into_iter().map(make).collect()
}

fn version() -> anyhow::Result<String> {
    let output = Command::new("terraform")
        .arg("version")
        .env("CHECKPOINT_DISABLE", "1")
        .env("TF_CLI_CONFIG_FILE", "/dev/null")
        .output()
        .context("terraform must be on the PATH")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn processor() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = facts.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown")
        .to_owned()
}
