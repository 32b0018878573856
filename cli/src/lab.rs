//! The lab of one cluster: reused when it answers, started when it does not.
//!
//! A lab that was named by `STRATA_LAB_URL` wins: two checkouts can share one world. A lab's world ends with its process; what remembers an
//! ended world (state and store of that cluster) is set aside before a new one starts, because nothing in it exists any more.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde::Deserialize;
use strata_provider::environment::{Environment, LAB_URL};

use crate::{
    cluster::Cluster,
    console::Line,
    project::{Layer, Project, sibling},
};

/// A lab is up within a second; more than this is a fault.
const START: Duration = Duration::from_secs(30);

/// A running lab.
#[derive(Debug)]
pub(crate) struct Lab {
    /// Control API.
    pub(crate) url: String,
    /// Where its services are.
    pub(crate) environment: Environment,
    /// What to tell.
    pub(crate) lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Running {
    pid: u32,
    url: String,
}

/// Where the lab is, if somebody said so; whether it answers is not looked at.
pub(crate) fn url(project: &Project) -> Option<String> {
    std::env::var(LAB_URL)
        .ok()
        .filter(|url| !url.is_empty())
        .or_else(|| Some(read(project)?.url))
}

/// The lab that is already there, if any.
pub(crate) async fn find(project: &Project) -> Option<Lab> {
    if let Ok(url) = std::env::var(LAB_URL)
        && let Ok(environment) = Environment::lab_at(&url).await
    {
        let lines = vec![Line::new("lab", format!("using {url} ({LAB_URL})"))];
        return Some(Lab {
            url,
            environment,
            lines,
        });
    }
    let running = read(project)?;
    let environment = Environment::lab_at(&running.url).await.ok()?;
    let lines = vec![Line::new("lab", format!("running (pid {})", running.pid))];
    Some(Lab {
        url: running.url,
        environment,
        lines,
    })
}

/// The lab that is there, or a new one.
pub(crate) async fn ensure(project: &Project, cluster: &Cluster) -> anyhow::Result<Lab> {
    if let Some(lab) = find(project).await {
        return Ok(lab);
    }
    let mut lines: Vec<_> = set_aside(project, cluster)?.into_iter().collect();
    let folder = project.lab();
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let _ = fs::remove_file(folder.join("lab.json"));
    let log_path = folder.join("lab.log");
    let log =
        fs::File::create(&log_path).with_context(|| format!("making {}", log_path.display()))?;
    let speed = cluster.spec.lab.speed;
    let mut command = Command::new(sibling("strata-lab")?);
    command
        .arg("run")
        .arg("--state")
        .arg(&folder)
        .arg("--speed")
        .arg(speed.to_string())
        .arg("--seed")
        .arg(cluster.spec.lab.seed.to_string());
    if let Some(zone) = &cluster.spec.dns.zone {
        command.arg("--zone").arg(zone);
    }
    // A group of its own: the lab outlives this program and its terminal's Ctrl-C.
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("sharing the lab's log")?)
        .stderr(log)
        .spawn()
        .context("starting strata-lab")?;
    let waited = std::time::Instant::now();
    let (running, environment) = loop {
        if let Some(running) = read(project)
            && let Ok(environment) = Environment::lab_at(&running.url).await
        {
            break (running, environment);
        }
        if let Some(status) = child.try_wait().context("watching strata-lab")? {
            anyhow::bail!(
                "the lab ended at once ({status}); its log is {}:\n{}",
                log_path.display(),
                tail(&log_path)
            );
        }
        anyhow::ensure!(
            waited.elapsed() < START,
            "the lab did not answer within {} s; its log is {}",
            START.as_secs(),
            log_path.display()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    lines.push(Line::new(
        "lab",
        format!(
            "started (pid {}), {speed} x faster than life, control {}, log {}",
            running.pid,
            running.url,
            project.relative(&log_path)
        ),
    ));
    Ok(Lab {
        url: running.url,
        environment,
        lines,
    })
}

/// Stops the lab that this checkout started.
pub(crate) async fn stop(project: &Project) -> Option<Line> {
    let running = read(project)?;
    // Only if it answers is the pid surely the lab's and not a stranger's.
    Environment::lab_at(&running.url).await.ok()?;
    crate::terraform::signal::send_interrupt(running.pid).await;
    Some(Line::new("lab", format!("stopped (pid {})", running.pid)))
}

fn read(project: &Project) -> Option<Running> {
    serde_json::from_str(&fs::read_to_string(project.lab().join("lab.json")).ok()?).ok()
}

fn tail(path: &PathBuf) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Moves what remembers an ended world out of the way.
fn set_aside(project: &Project, cluster: &Cluster) -> anyhow::Result<Option<Line>> {
    let states = Layer::ALL
        .into_iter()
        .filter(|layer| project.has_state(*layer))
        .map(|layer| project.state(layer));
    let folders: Vec<_> = states
        .filter_map(|state| {
            Some((
                state.parent()?.to_path_buf(),
                state.parent()?.parent()?.parent()?.file_name()?.to_owned(),
            ))
        })
        .collect();
    if folders.is_empty() {
        return Ok(None);
    }
    let aside = project.local().join("earlier").join(
        jiff::Timestamp::now()
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string(),
    );
    fs::create_dir_all(&aside).with_context(|| format!("making {}", aside.display()))?;
    for (folder, layer) in folders {
        fs::rename(&folder, aside.join(layer))
            .with_context(|| format!("moving {}", folder.display()))?;
    }
    let line = Line::new(
        "lab",
        format!(
            "the earlier lab is gone and its world with it; state and store set aside in {}",
            project.relative(&aside)
        ),
    );
    let Some(path) = cluster
        .spec
        .store
        .path
        .as_ref()
        .filter(|_| cluster.spec.store.kind == "file")
    else {
        return Ok(Some(line));
    };
    let store = project.root.join(path);
    // Only a store that lives and dies with the lab.
    if store.starts_with(project.local()) && store.is_dir() {
        fs::rename(&store, aside.join("store"))
            .with_context(|| format!("moving {}", store.display()))?;
        let identity = project.local().join("identity.txt");
        if identity.is_file() {
            fs::rename(&identity, aside.join("identity.txt"))
                .with_context(|| format!("moving {}", identity.display()))?;
        }
    }
    Ok(Some(line))
}
