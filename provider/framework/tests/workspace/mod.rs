//! A folder with a configuration, a CLI file with dev_overrides, and a folder of things: one per test.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

const HEAD: &str = r#"terraform {
  required_providers {
    example = { source = "strata.internal/strata-iac/example" }
  }
}
variable "folder" {
  type = string
}
provider "example" {
  folder = var.folder
}
"#;

/// The example provider's binary, which cargo builds beside the tests.
pub(crate) fn provider() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/terraform-provider-example");
    assert!(
        built.exists(),
        "{} is missing: cargo build -p strata-framework --examples",
        built.display()
    );
    built
}

/// Text with every run of blanks as one: how Terraform aligns things is its own business.
pub(crate) fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) struct Workspace {
    root: TempDir,
}

/// What a run of Terraform left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!(self.code, 0, "{}", self.text);
        self.text
    }
    #[track_caller]
    pub(crate) fn fails(self) -> String {
        assert_eq!(self.code, 1, "{}", self.text);
        self.text
    }
    /// The text of a plan that is not empty.
    #[track_caller]
    pub(crate) fn changes(self) -> String {
        assert_eq!(self.code, 2, "{}", self.text);
        self.text
    }
}

impl Workspace {
    pub(crate) fn new(config: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let binaries = root.path().join("bin");
        for folder in ["bin", "configuration", "things"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(provider(), binaries.join("terraform-provider-example"))
            .unwrap();
        let rc = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"strata.internal/strata-iac/example\" = \"{}\"\n  }}\n}}\n",
            binaries.display()
        );
        std::fs::write(root.path().join("terraform.rc"), rc).unwrap();
        let space = Self { root };
        space.write(config);
        space
    }

    fn configuration(&self) -> PathBuf {
        self.root.path().join("configuration")
    }

    pub(crate) fn write(&self, config: &str) {
        std::fs::write(
            self.configuration().join("main.tf"),
            format!("{HEAD}{config}"),
        )
        .unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("things").join(name)
    }

    pub(crate) fn content(&self, thing: &str) -> String {
        std::fs::read_to_string(self.file(&format!("{thing}.json"))).unwrap()
    }

    /// Changes a thing behind Terraform's back.
    pub(crate) fn edit(&self, thing: &str, key: &str, value: &str) {
        let mut json: Json = serde_json::from_str(&self.content(thing)).unwrap();
        json[key] = serde_json::from_str(value).unwrap();
        std::fs::write(self.file(&format!("{thing}.json")), json.to_string()).unwrap();
    }

    /// Makes a thing behind Terraform's back, as `example_thing` writes it.
    pub(crate) fn make(&self, thing: &str) {
        let json = serde_json::json!({
            "colour": "red", "weight": null, "size": 3, "labels": {"by": "hand"}, "tags": null,
            "extra": null, "parts": null, "secret": "", "ready": true, "revision": 7,
        });
        std::fs::write(self.file(&format!("{thing}.json")), json.to_string()).unwrap();
    }

    pub(crate) fn hide_things(&self) {
        std::fs::rename(
            self.root.path().join("things"),
            self.root.path().join("hidden"),
        )
        .unwrap();
    }

    pub(crate) fn state(&self) -> Json {
        let text = std::fs::read(self.configuration().join("terraform.tfstate")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    pub(crate) fn put_state(&self, state: &Json) {
        std::fs::write(
            self.configuration().join("terraform.tfstate"),
            state.to_string(),
        )
        .unwrap();
    }

    /// A file of the configuration's folder.
    pub(crate) fn source(&self, name: &str) -> PathBuf {
        self.configuration().join(name)
    }

    /// The instances of a resource in the state: `example_thing.a`. Empty when there is none.
    pub(crate) fn instances(&self, address: &str) -> Vec<Json> {
        let (of, name) = address.split_once('.').unwrap();
        let state = self.state();
        let resources = state["resources"].as_array().unwrap().iter();
        let ours = resources.filter(|one| one["type"] == of && one["name"] == name);
        ours.flat_map(|one| one["instances"].as_array().unwrap().clone())
            .collect()
    }

    /// The attributes of the only instance.
    #[track_caller]
    pub(crate) fn attributes(&self, address: &str) -> Json {
        let instances = self.instances(address);
        assert_eq!(instances.len(), 1, "instances of {address}");
        instances[0]["attributes"].clone()
    }

    /// What the example wrote into its journal since the last call.
    pub(crate) fn journal(&self) -> Vec<String> {
        let lines = self.journal_by_process().into_iter();
        lines.map(|(_, line)| line).collect()
    }

    /// The same with the number of the process that wrote it.
    pub(crate) fn journal_by_process(&self) -> Vec<(u32, String)> {
        let path = self.root.path().join("journal");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let _ = std::fs::remove_file(path);
        let one = |line: &str| {
            let (process, line) = line.split_once(' ').unwrap();
            (process.parse().unwrap(), line.to_owned())
        };
        text.lines().map(one).collect()
    }

    /// Every file that Terraform wrote, except the configuration.
    pub(crate) fn everything_written(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.configuration()).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && !path.ends_with("main.tf"))
            .collect()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command
            .current_dir(self.configuration())
            .args(arguments)
            .env("TF_CLI_CONFIG_FILE", self.root.path().join("terraform.rc"))
            .env("TF_VAR_folder", self.root.path().join("things"))
            .env("EXAMPLE_JOURNAL", self.root.path().join("journal"))
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_CLI_ARGS", "-no-color")
            .env("CHECKPOINT_DISABLE", "1")
            .env_remove("TF_LOG")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    pub(crate) fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
        let output = self
            .command(arguments)
            .envs(environment.iter().copied())
            .output()
            .expect("terraform 1.11 or newer is on the PATH");
        Ran::from(&output)
    }

    /// What it writes on its standard output, whatever its exit code.
    pub(crate) fn run_out(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output();
        let output = output.expect("terraform 1.11 or newer is on the PATH");
        String::from_utf8(output.stdout).unwrap()
    }

    /// With lines on its standard input.
    pub(crate) fn run_on(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("terraform 1.11 or newer is on the PATH");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        Ran::from(&child.wait_with_output().unwrap())
    }

    /// `apply` without questions.
    pub(crate) fn apply(&self) -> Ran {
        self.run(&["apply", "-auto-approve"])
    }

    /// The plan is empty.
    #[track_caller]
    pub(crate) fn is_settled(&self) {
        let plan = self.plan();
        assert_eq!(plan.code, 0, "a plan that is not empty: {}", plan.text);
    }

    /// Code 0: nothing to do, 2: changes.
    pub(crate) fn plan(&self) -> Ran {
        self.run(&["plan", "-detailed-exitcode"])
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(arguments, &[])
    }

    pub(crate) fn start_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        // A group of its own, so that the interrupt reaches Terraform and the plugin, as from a terminal.
        use std::os::unix::process::CommandExt as _;
        let child = self
            .command(arguments)
            .envs(environment.iter().copied())
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Running(child.expect("terraform 1.11 or newer is on the PATH"))
    }

    pub(crate) fn await_file(&self, name: &str, limit: Duration) {
        let file = self.file(name);
        eventually(&format!("{name} appears"), limit, || file.exists());
    }

    /// Waits for a line of the example's journal, without taking it.
    pub(crate) fn await_journal(&self, line: &str) {
        let path = self.root.path().join("journal");
        let written = || std::fs::read_to_string(&path).unwrap_or_default();
        eventually(line, Duration::from_mins(1), || {
            written().lines().any(|one| one.ends_with(line))
        });
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, limit: Duration, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) struct Running(Child);

impl Running {
    /// The `/proc` entries of its child processes.
    pub(crate) fn children(&self) -> Vec<PathBuf> {
        let parent = format!("PPid:\t{}", self.0.id());
        let processes = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| Some(entry.ok()?.path()));
        let status =
            |process: &PathBuf| std::fs::read_to_string(process.join("status")).unwrap_or_default();
        processes
            .filter(|process| status(process).lines().any(|line| line == parent))
            .collect()
    }

    /// SIGKILL, to Terraform alone.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Ctrl-C: to the whole group.
    pub(crate) fn interrupt(self) -> Ran {
        self.press_control_c();
        self.ended()
    }

    /// The same, without waiting for the end.
    pub(crate) fn press_control_c(&self) {
        signal("INT", &format!("-{}", self.0.id()));
    }

    /// SIGTERM to Terraform alone, as a supervisor sends it.
    pub(crate) fn terminate(&self) {
        signal("TERM", &self.0.id().to_string());
    }

    /// SIGTERM to the whole group, as a machine sends it that shuts down.
    pub(crate) fn terminate_all(&self) {
        signal("TERM", &format!("-{}", self.0.id()));
    }

    pub(crate) fn ended(self) -> Ran {
        Ran::from(&self.0.wait_with_output().unwrap())
    }
}

/// Sends a signal to a process, or to a group when the number is negative.
pub(crate) fn signal(name: &str, to: &str) {
    let sent = Command::new("kill").args(["-s", name, "--", to]).status();
    assert!(sent.unwrap().success(), "{name} to {to}");
}

impl From<&std::process::Output> for Ran {
    fn from(output: &std::process::Output) -> Self {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        // Core draws a frame around diagnostics and wraps nothing when there is no terminal.
        Self {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }
}
