//! A newcomer's folder: a copy of the project with its own HOME, lab, state and store, driven only through `bootstrap.sh` and `terraform`.
//!
//! Guarantees: nothing outside the folder is read or written (except the built binaries), and the lab of the folder ends with it.
//! The binaries are the ones the workspace built; `STRATA_BIN` tells `bootstrap.sh` where they lie, so no test builds twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A project folder with nothing in it that was not in the clone.
pub(crate) struct Project {
    directory: tempfile::TempDir,
    extra: BTreeMap<String, String>,
}

/// What a command said and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Both streams, for messages and searches.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Panics with everything the command said unless it ended with `code`.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "exit code {} instead of {code}:\n{}",
            self.code,
            self.text()
        );
        self
    }

    #[track_caller]
    pub(crate) fn expect_text(self, part: &str) -> Self {
        assert!(
            self.text().contains(part),
            "`{part}` is not in:\n{}",
            self.text()
        );
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The folder of this checkout.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("cli lies in the workspace")
        .to_owned()
}

/// Where the workspace's binaries are: beside the one cargo names for this package.
pub(crate) fn binaries() -> PathBuf {
    let cli = PathBuf::from(env!("CARGO_BIN_EXE_strata"));
    let folder = cli.parent().expect("a binary lies in a folder").to_owned();
    for name in ["terraform-provider-strata", "strata-lab"] {
        assert!(
            folder.join(name).exists(),
            "{name} is not built: run `make build` first (make test does)"
        );
    }
    folder
}

/// Terraform's name of this machine's platform.
fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}_{architecture}", std::env::consts::OS)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder can be made");
    for entry in fs::read_dir(from).expect("folder can be read") {
        let entry = entry.expect("entry can be read");
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text == ".terraform"
            || text.starts_with("terraform.tfstate")
            || text == ".terraform.lock.hcl"
        {
            continue;
        }
        if entry.file_type().expect("type is known").is_dir() {
            copy(&entry.path(), &to.join(&name));
        } else {
            fs::copy(entry.path(), to.join(&name)).expect("file can be copied");
        }
    }
}

impl Project {
    /// A fresh copy of what a clone holds that a run needs.
    pub(crate) fn new() -> Self {
        assert!(
            Command::new("terraform")
                .arg("version")
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
            "terraform 1.11 or newer is not on the PATH: the acceptance tests need the real one"
        );
        let directory = tempfile::Builder::new()
            .prefix("strata-accept-")
            .tempdir()
            .expect("a temporary folder");
        let root = checkout();
        for folder in ["terraform", "examples"] {
            copy(&root.join(folder), &directory.path().join(folder));
        }
        fs::copy(
            root.join("bootstrap.sh"),
            directory.path().join("bootstrap.sh"),
        )
        .expect("bootstrap.sh can be copied");
        let project = Self {
            directory,
            extra: BTreeMap::new(),
        };
        // What `make install` does: by hand, terraform finds the provider in the plugin folder of HOME.
        let plugins = project
            .path()
            .join("home/.terraform.d/plugins/strata.internal/strata-iac/strata/0.1.0")
            .join(platform());
        fs::create_dir_all(&plugins).expect("the plugin folder can be made");
        std::os::unix::fs::symlink(
            binaries().join("terraform-provider-strata"),
            plugins.join("terraform-provider-strata_v0.1.0"),
        )
        .expect("the provider can be linked");
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Sets a variable for every later command.
    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.extra.insert(name.into(), value.into());
    }

    /// Writes a cluster file and returns its path.
    pub(crate) fn cluster_file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(format!("{name}.yaml"));
        fs::write(&path, text).expect("cluster file can be written");
        path
    }

    /// A command in the folder with a clean environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").expect("PATH is set"))
            .env("HOME", self.path().join("home"))
            .env("STRATA_BIN", binaries())
            .env("CHECKPOINT_DISABLE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.envs(&self.extra);
        command
    }

    pub(crate) fn bootstrap(&self, arguments: &[&str]) -> Ran {
        self.command("./bootstrap.sh")
            .args(arguments)
            .output()
            .expect("bootstrap.sh starts")
            .into()
    }

    /// Terraform in a layer, with exactly what the by-hand loop of the README exports.
    pub(crate) fn terraform(
        &self,
        cluster: &str,
        cluster_file: &Path,
        layer: &str,
        arguments: &[&str],
    ) -> Ran {
        let data = self.path().join("by-hand").join(layer);
        let run = |arguments: &[&str]| -> Ran {
            let mut command = self.command("terraform");
            command
                .arg(format!("-chdir=terraform/{layer}"))
                .args(arguments);
            command
                .env("TF_VAR_cluster_file", cluster_file)
                .env("TF_WORKSPACE", cluster);
            // bootstrap.sh keeps its own folder of modules and plugins for each cluster; so do we.
            command.env("TF_DATA_DIR", &data);
            if let Some(lab) = self.try_lab(cluster) {
                command.envs(lab.environment());
            }
            command.output().expect("terraform starts").into()
        };
        if !data.exists() {
            run(&["init", "-input=false"]).expect_code(0);
        }
        run(arguments)
    }

    /// The resource changes (not no-ops, not reads) of a plan of one layer: address -> actions.
    pub(crate) fn changes(
        &self,
        cluster: &str,
        cluster_file: &Path,
        layer: &str,
    ) -> BTreeMap<String, Vec<String>> {
        let plan = self.path().join(format!("{layer}.tfplan"));
        let plan = plan.to_str().expect("UTF-8 path");
        self.terraform(
            cluster,
            cluster_file,
            layer,
            &["plan", "-input=false", "-out", plan],
        )
        .expect_code(0);
        let shown = self
            .terraform(cluster, cluster_file, layer, &["show", "-json", plan])
            .expect_code(0);
        let shown: Value = serde_json::from_str(&shown.stdout).expect("terraform show prints JSON");
        let mut changes = BTreeMap::new();
        for change in shown["resource_changes"].as_array().into_iter().flatten() {
            let actions: Vec<String> = serde_json::from_value(change["change"]["actions"].clone())
                .expect("actions are texts");
            if actions != ["no-op"] && actions != ["read"] {
                changes.insert(
                    change["address"].as_str().expect("an address").to_owned(),
                    actions,
                );
            }
        }
        changes
    }

    pub(crate) fn state(&self, cluster: &str, layer: &str) -> Value {
        let path = self.path().join(format!(
            "terraform/{layer}/terraform.tfstate.d/{cluster}/terraform.tfstate"
        ));
        serde_json::from_slice(
            &fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        )
        .expect("state is JSON")
    }

    fn try_lab(&self, cluster: &str) -> Option<Lab> {
        let file = self.path().join(format!(".strata/{cluster}/lab/lab.json"));
        let text = fs::read(file).ok()?;
        let description: Value = serde_json::from_slice(&text).ok()?;
        Some(Lab { description })
    }

    pub(crate) fn has_lab(&self, cluster: &str) -> bool {
        self.try_lab(cluster).is_some()
    }

    /// The lab that bootstrap.sh started for a cluster.
    pub(crate) fn lab(&self, cluster: &str) -> Lab {
        self.try_lab(cluster)
            .expect("bootstrap.sh started a lab and left lab.json")
    }

    /// The cluster's store, opened with the project's own identity.
    pub(crate) fn store(&self, cluster: &str) -> impl strata_provider::store::Store + use<> {
        use strata_provider::store::file;
        let identity = file::identity_path(self.path(), cluster, true);
        file::File::new(
            self.path().join(format!(".strata/{cluster}/store")),
            identity,
            &[],
        )
        .expect("a store in the folder")
    }

    pub(crate) fn kubectl(&self, cluster: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command("kubectl");
        command
            .env(
                "KUBECONFIG",
                self.path().join(format!(".strata/{cluster}/kubeconfig")),
            )
            .args(arguments);
        command.output().expect("kubectl starts").into()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let Ok(clusters) = fs::read_dir(self.path().join(".strata")) else {
            return;
        };
        for cluster in clusters.flatten() {
            if let Some(lab) = self.try_lab(&cluster.file_name().to_string_lossy()) {
                lab.stop();
            }
        }
        if std::env::var_os("STRATA_KEEP").is_some() {
            let kept = std::env::temp_dir().join(format!("strata-kept-{}", std::process::id()));
            let _ = fs::rename(self.path(), &kept);
        }
    }
}

/// The control side of a running lab.
pub(crate) struct Lab {
    description: Value,
}

impl Lab {
    fn url(&self) -> &str {
        self.description["url"]
            .as_str()
            .expect("lab.json has the url")
    }

    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.description["env"].clone()).expect("lab.json has the variables")
    }

    fn request(&self, method: &str, path: &str, body: Option<Value>) -> Vec<u8> {
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--max-time",
            "30",
            "--noproxy",
            "*",
            "-X",
            method,
        ]);
        if let Some(body) = body {
            command.args([
                "-H",
                "Content-Type: application/json",
                "--data",
                &body.to_string(),
            ]);
        }
        let output = command
            .arg(format!("{}{path}", self.url()))
            .output()
            .expect("curl starts");
        assert!(
            output.status.success(),
            "{method} {path}: {} {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// The truth, byte for byte.
    pub(crate) fn estate_bytes(&self) -> Vec<u8> {
        self.request("GET", "/estate", None)
    }

    pub(crate) fn estate(&self) -> Value {
        serde_json::from_slice(&self.estate_bytes()).expect("the estate is JSON")
    }

    /// Changes the world behind everybody's back.
    pub(crate) fn change(&self, change: Value) {
        self.request("POST", "/estate", Some(change));
    }

    pub(crate) fn fault(&self, fault: Value) {
        self.request("POST", "/faults", Some(fault));
    }

    /// Faults that are still there.
    pub(crate) fn faults(&self) -> Vec<Value> {
        serde_json::from_slice(&self.request("GET", "/faults", None)).expect("faults are a list")
    }

    pub(crate) fn clear_faults(&self) {
        self.request("DELETE", "/faults", None);
    }

    /// Moves the clock of the simulated world.
    pub(crate) fn advance(&self, seconds: f64) {
        self.request("POST", "/clock/advance", Some(json!({"seconds": seconds})));
    }

    /// A call of the user's own to the simulated Scaleway, below the zone.
    pub(crate) fn scaleway(&self, method: &str, path: &str) -> Vec<u8> {
        let variables = self.environment();
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--noproxy",
                "*",
                "-X",
                method,
            ])
            .args([
                "-H",
                &format!("X-Auth-Token: {}", variables["SCW_SECRET_KEY"]),
            ])
            .arg(format!(
                "{}/baremetal/v1/zones/{}/{path}",
                variables["SCW_API_URL"], variables["SCW_DEFAULT_ZONE"]
            ))
            .output()
            .expect("curl starts");
        assert!(
            output.status.success(),
            "{method} {path}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        output.stdout
    }

    /// A call of the user's own to the simulated Proxmox, below `/api2/json`, with the certificate unlooked at.
    pub(crate) fn proxmox(&self, method: &str, path: &str) -> Value {
        let variables = self.environment();
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--insecure"])
            .args(["--max-time", "30", "--noproxy", "*", "-X", method])
            .args([
                "-H",
                &format!(
                    "Authorization: PVEAPIToken={}",
                    variables["PROXMOX_VE_API_TOKEN"]
                ),
            ])
            .arg(format!(
                "{}/api2/json/{path}",
                variables["PROXMOX_VE_ENDPOINT"]
            ))
            .output()
            .expect("curl starts");
        assert!(
            output.status.success(),
            "{method} {path}: {} {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let answer: Value = serde_json::from_slice(&output.stdout).expect("Proxmox answers JSON");
        answer["data"].clone()
    }

    pub(crate) fn calls(&self) -> BTreeMap<String, u64> {
        serde_json::from_slice(&self.request("GET", "/calls", None))
            .expect("calls are counted by text")
    }

    pub(crate) fn clear_calls(&self) {
        self.request("DELETE", "/calls", None);
    }

    /// Whether a new TCP connection inside the lab's network comes about.
    pub(crate) fn connects(&self, from: &str, to: &str, port: u16) -> bool {
        let answer = self.request(
            "POST",
            "/probe",
            Some(json!({"from": from, "to": to, "port": port})),
        );
        let answer: Value = serde_json::from_slice(&answer).expect("the probe answers JSON");
        answer["connected"]
            .as_bool()
            .expect("connected is a truth value")
    }

    /// Servers of the estate by name.
    pub(crate) fn servers(&self) -> BTreeMap<String, Value> {
        let estate = self.estate();
        let servers = estate["servers"].as_array().cloned().unwrap_or_default();
        servers
            .into_iter()
            .map(|server| (server["name"].as_str().expect("a name").to_owned(), server))
            .collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(
            self.description["pid"]
                .as_u64()
                .expect("lab.json has the pid"),
        )
        .expect("a pid")
    }

    fn stop(&self) {
        let _ = Command::new("kill")
            .arg(self.pid().to_string())
            .stderr(Stdio::null())
            .status();
    }
}

/// Waits until a condition holds; panics with its name after `limit`.
#[track_caller]
pub(crate) fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
