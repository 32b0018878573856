//! The real `terraform`: finding it, its environment, running it with `-json` and handing on its events.
//!
//! The provider is found through dev_overrides, so no registry is asked and no lock file is written; `terraform get` fetches the modules.

pub(crate) mod environment;
pub(crate) mod event;
pub(crate) mod signal;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use strata_provider::provider::ADOPT;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use self::{event::Event, signal::Interrupt};
use crate::project::{Layer, Project};

/// Ephemeral resources and write-only attributes are used throughout.
const MINIMUM: (u32, u32) = (1, 11);

/// How often whoever listens is asked whether time alone is worth a line.
const TICK: Duration = Duration::from_millis(500);

/// What hears the events of one run.
pub(crate) trait Listener {
    /// Something happened.
    fn event(&mut self, event: &Event);
    /// Time passed.
    fn tick(&mut self);
}

/// How one run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Exit code 0.
    Clean,
    /// Exit code 2 of `plan -detailed-exitcode`: there are changes.
    Changes,
    /// Anything else.
    Failed,
}

/// Runs terraform for one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Terraform {
    project: Project,
    environment: BTreeMap<OsString, OsString>,
    interrupt: Interrupt,
}

impl Terraform {
    pub(crate) fn new(
        project: Project,
        environment: BTreeMap<OsString, OsString>,
        interrupt: Interrupt,
    ) -> Self {
        Self {
            project,
            environment,
            interrupt,
        }
    }

    /// Whether the user asked to stop.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupt.asked()
    }

    /// Fetches the layer's modules; writes nothing outside `.strata/`.
    pub(crate) async fn get(&self, layer: Layer) -> anyhow::Result<()> {
        let output = self
            .command(layer, &["get", "-no-color"])
            .output()
            .await
            .context("running terraform get")?;
        anyhow::ensure!(
            output.status.success(),
            "terraform get failed in {}: {}",
            layer.name(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Whether this run only takes over.
    pub(crate) fn adopts(&self) -> bool {
        self.environment.contains_key(std::ffi::OsStr::new(ADOPT))
    }

    /// Takes an object that exists into the layer's state.
    pub(crate) async fn import(&self, layer: Layer, address: &str, id: &str) -> anyhow::Result<()> {
        self.get(layer).await?;
        let arguments = [
            "import",
            "-no-color",
            "-input=false",
            "-lock-timeout=30s",
            address,
            id,
        ];
        let output = self
            .command(layer, &arguments)
            .output()
            .await
            .context("running terraform import")?;
        anyhow::ensure!(
            output.status.success(),
            "terraform import failed in {}: {}",
            layer.name(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// The text of the layer's state, from its backend; nothing when there is none.
    pub(crate) async fn pull(&self, layer: Layer) -> anyhow::Result<Option<String>> {
        let output = self
            .command(layer, &["state", "pull"])
            .output()
            .await
            .context("running terraform state pull")?;
        anyhow::ensure!(
            output.status.success(),
            "terraform state pull failed in {}: {}",
            layer.name(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let text = String::from_utf8(output.stdout).context("reading a state")?;
        Ok(Some(text).filter(|text| !text.trim().is_empty()))
    }

    /// The layer's outputs from its state; empty when there is none.
    pub(crate) async fn outputs(&self, layer: Layer) -> anyhow::Result<serde_json::Value> {
        let output = self
            .command(layer, &["output", "-json", "-no-color"])
            .output()
            .await
            .context("running terraform output")?;
        anyhow::ensure!(
            output.status.success(),
            "terraform output failed in {}: {}",
            layer.name(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let outputs: serde_json::Value =
            serde_json::from_slice(&output.stdout).context("reading terraform's outputs")?;
        let plain = outputs
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, output)| (name.clone(), output["value"].clone()))
            .collect();
        Ok(serde_json::Value::Object(plain))
    }

    /// Runs one command with `-json`, writes every line to the log, hands events to the listener.
    pub(crate) async fn stream(
        &self,
        layer: Layer,
        operation: &str,
        arguments: &[&str],
        listener: &mut impl Listener,
    ) -> anyhow::Result<Ended> {
        let log = self.project.logs().join(format!(
            "{}-{}-{operation}.jsonl",
            jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"),
            layer.name()
        ));
        std::fs::create_dir_all(self.project.logs()).context("making the folder of logs")?;
        let mut file = tokio::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .await
            .with_context(|| format!("opening {}", log.display()))?;
        let mut command = self.command(layer, arguments);
        let standard_error = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log.with_extension("stderr"))
            .context("opening the log of errors")?;
        // A group of its own: Ctrl-C reaches only this program, which passes it on exactly once.
        let mut child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::from(standard_error))
            .spawn()
            .context("starting terraform")?;
        let pid = child.id();
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped above")).lines();
        let mut ticks = tokio::time::interval(TICK);
        let mut passed_on = 0;
        loop {
            // Every arm is cancel-safe: a line reader keeps what it read, an interval and a watch lose nothing.
            tokio::select! {
                line = lines.next_line() => {
                    let Some(line) = line.context("reading from terraform")? else { break };
                    file.write_all(line.as_bytes()).await.context("writing the log")?;
                    file.write_all(b"\n").await.context("writing the log")?;
                    if let Some(event) = event::parse(&line) {
                        listener.event(&event);
                    }
                }
                _ = ticks.tick() => listener.tick(),
                count = self.interrupt.after(passed_on) => {
                    passed_on = count;
                    if let Some(pid) = pid {
                        signal::send_interrupt(pid).await;
                    }
                }
            }
        }
        listener.tick();
        file.flush().await.context("writing the log")?;
        let status = child.wait().await.context("waiting for terraform")?;
        let standard_error = log.with_extension("stderr");
        if std::fs::metadata(&standard_error).is_ok_and(|metadata| metadata.len() == 0) {
            let _ = std::fs::remove_file(&standard_error);
        }
        Ok(match status.code() {
            Some(0) => Ended::Clean,
            Some(2) => Ended::Changes,
            _ => Ended::Failed,
        })
    }

    fn command(&self, layer: Layer, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command
            .arg(format!("-chdir={}", self.project.layer(layer).display()))
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .env("TF_DATA_DIR", self.project.data_dir(layer))
            .stdin(Stdio::null())
            .kill_on_drop(false);
        command
    }
}

/// The installed version, or why it does not do. The pair is (sentence, remedy).
pub(crate) async fn version() -> Result<String, (String, String)> {
    let remedy = || {
        "install Terraform 1.11 or newer (https://developer.hashicorp.com/terraform/install) and put it on PATH".to_owned()
    };
    let output = Command::new("terraform")
        .args(["version", "-json"])
        .env("CHECKPOINT_DISABLE", "1")
        .env_remove("TF_CLI_CONFIG_FILE")
        .env_remove("TF_CLI_ARGS")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| (format!("terraform cannot be started: {error}"), remedy()))?;
    let version = serde_json::from_slice::<serde_json::Value>(&output.stdout)
        .ok()
        .and_then(|value| value["terraform_version"].as_str().map(str::to_owned))
        .ok_or_else(|| {
            (
                "`terraform version -json` did not answer with a version".to_owned(),
                remedy(),
            )
        })?;
    if is_new_enough(&version) {
        Ok(version)
    } else {
        Err((
            format!(
                "terraform is {version}; {}.{} or newer is needed",
                MINIMUM.0, MINIMUM.1
            ),
            remedy(),
        ))
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= MINIMUM,
        _ => false,
    }
}

/// Writes the CLI configuration that finds the provider without a registry, and returns its path.
pub(crate) fn write_configuration(project: &Project, provider: &Path) -> anyhow::Result<PathBuf> {
    let folder = project.local().join("provider");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let link = folder.join("terraform-provider-strata");
    // Linked anew each time: the checkout may have moved.
    let beside = folder.join(format!(".link.{}", std::process::id()));
    std::os::unix::fs::symlink(provider, &beside)
        .with_context(|| format!("linking {}", beside.display()))?;
    std::fs::rename(&beside, &link).with_context(|| format!("linking {}", link.display()))?;
    let path = project.local().join("terraform.rc");
    let text = format!(
        "# Written by strata. Finds the provider that was built here; no registry is asked.\ndisable_checkpoint = true\n\nprovider_installation {{\n  dev_overrides {{\n    \"strata.internal/strata-iac/strata\" = \"{}\"\n  }}\n}}\n",
        folder.display()
    );
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_odd_versions_are_refused() {
        assert!(is_new_enough("1.11.4"));
        assert!(is_new_enough("2.0.0-beta1"));
        assert!(!is_new_enough("1.10.9"));
        assert!(!is_new_enough("one"));
    }
}
