//! Elastic Metal with the real Terraform and the lab: how many calls it takes, counted by the lab, and that nothing is left to do afterwards.
//!
//! The budgets are the product's (at most 8 calls to create one server and 130 for fifty, 6 to refresh fifty, ten pages for a thousand);
//! `make bench` prints what was counted.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "`make bench` prints the counts")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use strata_lab::{Lab, Options};
use strata_provider::environment::Environment;
use strata_provider::http::client::{Client, Settings};
use strata_provider::secret::Secret;

const HEAD: &str = r#"terraform {
  required_providers {
    strata = { source = "strata.internal/strata-iac/strata" }
  }
}
provider "strata" {
  cluster  = "home"
  root     = abspath(path.root)
  lab      = true
  owner    = "7c1f0000-0000-4000-8000-000000000000"
  store    = { kind = "file", path = "store" }
  scaleway = { zone = "fr-par-2" }
}
resource "strata_scaleway_ssh_key" "operator" {
  name       = "operator"
  public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"
}
"#;

/// Servers of the cheapest offers that are there, as many as `count`.
const SERVERS: &str = r#"
locals {
  offers = ["EM-A610R-NVME", "EM-B220E-NVME", "EM-I215E-NVME"]
  nodes  = { for i in range(COUNT) : "w-${i}" => local.offers[i % 3] }
}
resource "strata_scaleway_baremetal_server" "worker" {
  for_each    = local.nodes
  name        = "home-${each.key}"
  node        = each.key
  offer       = each.value
  os          = "Ubuntu 22.04"
  ssh_key_ids = [strata_scaleway_ssh_key.operator.id]
}
"#;

struct Workspace {
    folder: tempfile::TempDir,
    _lab: Lab,
    url: String,
    control: Client,
}

struct Ran {
    code: i32,
    text: String,
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }
}

impl Workspace {
    /// A lab in which an installation takes about `400 / speed` seconds, and a folder with the configuration.
    async fn start(speed: f64, configuration: &str) -> Self {
        let lab = Lab::start(Options {
            speed,
            ..Options::default()
        });
        let lab = lab.await.unwrap();
        let url = lab.url().to_owned();
        let settings = Settings {
            service: "control",
            base: url.clone(),
            header: http::header::AUTHORIZATION,
            token: Secret::new(String::new()),
            speed: 1.0,
        };
        let environment = Environment::lab_at(&url).await.unwrap();
        let control = Client::new(environment.dialer().clone(), settings).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let provider = PathBuf::from(env!("CARGO_BIN_EXE_terraform-provider-strata"));
        let rc = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"strata.internal/strata-iac/strata\" = \"{}\"\n  }}\n}}\n",
            provider.parent().unwrap().display()
        );
        fs::write(folder.path().join("terraform.rc"), rc).unwrap();
        let space = Self {
            folder,
            _lab: lab,
            url,
            control,
        };
        space.write(configuration);
        space
    }

    fn write(&self, configuration: &str) {
        let text = format!("{HEAD}{configuration}");
        fs::write(self.folder.path().join("main.tf"), text).unwrap();
    }

    async fn terraform(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new("terraform");
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path())
            .env(
                "TF_CLI_CONFIG_FILE",
                self.folder.path().join("terraform.rc"),
            )
            .env("TF_CLI_ARGS", "-no-color")
            .env("TF_IN_AUTOMATION", "1")
            .env("STRATA_LAB_URL", &self.url)
            .stdin(Stdio::null());
        // The lab lives in this runtime and has to go on meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output
            .await
            .unwrap()
            .expect("terraform 1.11 or newer is on the PATH");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            code: output.status.code().unwrap_or(-1),
            text: format!("{}\n{}", text(&output.stdout), text(&output.stderr)),
        }
    }

    /// The calls of Scaleway's API since the last time, by method and route.
    async fn calls(&self) -> BTreeMap<String, u64> {
        let all: BTreeMap<String, u64> = self.control.get("calls").send().await.unwrap();
        let _: Value = self.control.delete("calls").send().await.unwrap();
        all.into_iter()
            .filter_map(|(call, count)| Some((call.strip_prefix("scaleway ")?.to_owned(), count)))
            .collect()
    }

    async fn servers(&self) -> Vec<Value> {
        let estate: Value = self.control.get("estate").send().await.unwrap();
        estate["servers"].as_array().unwrap().clone()
    }
}

fn total(calls: &BTreeMap<String, u64>) -> u64 {
    calls.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_servers_cost_hardly_more_calls_than_their_orders() {
    let space = Workspace::start(40.0, "").await;
    space.terraform(&["apply", "-auto-approve"]).await.expect(0);

    // One: what the plan asks, and what the apply of that plan asks.
    space.write(&SERVERS.replace("COUNT", "1"));
    space.calls().await;
    space.terraform(&["plan", "-out", "plan"]).await.expect(0);
    let planning = space.calls().await;
    space.terraform(&["apply", "plan"]).await.expect(0);
    let one = space.calls().await;

    // Fifty: planning and applying together.
    space.write(&SERVERS.replace("COUNT", "51"));
    let many = ["apply", "-auto-approve", "-parallelism=200"];
    space.terraform(&many).await.expect(0);
    let fifty = space.calls().await;
    assert_eq!(space.servers().await.len(), 51);
    let unchanged = ["plan", "-detailed-exitcode", "-parallelism=200"];
    space.terraform(&unchanged).await.expect(0);
    let refresh = space.calls().await;

    println!(
        "\nCalls of Scaleway's API, as the lab counted them (the vendor's provider: recorded, and calculated from its recordings)"
    );
    println!("| what | strata | vendor's provider | target |");
    println!("| --- | --- | --- | --- |");
    println!(
        "| create 1 server: apply of a saved plan | {} | 84 | 8 |",
        total(&one)
    );
    println!(
        "| create 50 servers: plan and apply | {} | 4,200 to 16,850 | 130 |",
        total(&fifty)
    );
    println!(
        "| refresh 51 servers and a key | {} | 200 to 350 | 6 |",
        total(&refresh)
    );
    for (what, calls) in [
        ("plan 1", &planning),
        ("create 1", &one),
        ("create 50", &fifty),
        ("refresh", &refresh),
    ] {
        println!("{what}: {calls:?}");
    }
    assert!(total(&one) <= 8, "{one:?}");
    assert!(total(&fifty) <= 130, "{fifty:?}");
    assert!(total(&refresh) <= 6, "{refresh:?}");
    assert_eq!(
        fifty.get("POST /baremetal/v1/zones/{zone}/servers"),
        Some(&50)
    );

    space
        .terraform(&["destroy", "-auto-approve", "-parallelism=200"])
        .await
        .expect(0);
    assert!(space.servers().await.is_empty());
}
