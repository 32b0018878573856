//! Secrets with the real Terraform and a real file store: every kind is made, planned again, forgotten, imported and planned again; a rotation
//! reaches exactly its consumers; a store that is not there is no reason to forget.

#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strata_lab::{Lab, Options};
use strata_provider::environment::Environment;
use strata_provider::http::client::{Client, Settings};
use strata_provider::secret::Secret;

use self::folder::{Folder, Ran};

const FILE: &str = r#"provider "strata" {
  cluster = "home"
  root    = abspath(path.root)
  store   = { kind = "file", path = "store" }
}
"#;
const VAULT: &str = r#"provider "strata" {
  cluster = "home"
  root    = abspath(path.root)
  lab     = true
  store   = { kind = "vault" }
}
"#;

/// A folder with a configuration, and a store and an identity of its own or a lab with the store.
struct Workspace {
    folder: Folder,
    provider: &'static str,
}

impl Workspace {
    fn new(configuration: &str) -> Self {
        Self::of(None, FILE, configuration)
    }

    /// With the Vault of the lab at this control address.
    fn in_lab(url: &str, configuration: &str) -> Self {
        Self::of(Some(url.to_owned()), VAULT, configuration)
    }

    fn of(lab: Option<String>, provider: &'static str, configuration: &str) -> Self {
        let folder = Folder::new(lab);
        let space = Self { folder, provider };
        space.write(configuration);
        space
    }

    fn write(&self, configuration: &str) {
        let provider = self.provider;
        self.folder.write(&format!("{provider}{configuration}"));
    }

    fn terraform(&self, arguments: &[&str]) -> Ran {
        self.folder.terraform(arguments)
    }

    #[track_caller]
    fn apply(&self) {
        self.terraform(&["apply", "-auto-approve"]).expect(0);
    }

    /// What a plan would do, by address; reads apart.
    #[track_caller]
    fn changes(&self) -> BTreeMap<String, Value> {
        self.terraform(&["plan", "-out", "plan"]).expect(0);
        let shown = self.terraform(&["show", "-json", "plan"]).expect(0);
        let plan: Value = serde_json::from_str(&shown.stdout).unwrap();
        let changes = plan["resource_changes"].as_array().into_iter().flatten();
        changes
            .map(|change| {
                let address = change["address"].as_str().unwrap().to_owned();
                (address, change["change"]["actions"].clone())
            })
            .filter(|(_, actions)| *actions != json!(["no-op"]))
            .collect()
    }

    /// The attributes of every managed resource, by address.
    fn state(&self) -> BTreeMap<String, Value> {
        let shown = self.terraform(&["show", "-json"]).expect(0);
        let state: Value = serde_json::from_str(&shown.stdout).unwrap();
        let resources = state["values"]["root_module"]["resources"].as_array();
        let resources = resources.into_iter().flatten();
        resources
            .map(|one| {
                (
                    one["address"].as_str().unwrap().to_owned(),
                    one["values"].clone(),
                )
            })
            .collect()
    }

    fn entries(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path().join("store"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }
}

const KINDS: &str = r#"
locals {
  kinds = toset([
    "ssh_keypair", "ssh_host_keypair", "kubeadm_pki", "talos_secrets", "sealed_secrets_keypair", "k3s_token",
  ])
}
resource "strata_secret" "made" {
  for_each = local.kinds
  name     = each.key
  kind     = each.key
}
resource "strata_secret" "password" {
  name     = "password"
  kind     = "password"
  length   = 40
  rotation = "2026-11"
}
resource "strata_secret" "value" {
  name     = "value"
  kind     = "value"
  value_wo = "what a person supplied"
}
"#;

#[test]
fn every_kind_is_made_imported_and_nothing_is_left_to_do() {
    let space = Workspace::new(KINDS);
    space.apply();
    assert_eq!(space.changes(), BTreeMap::new(), "the second plan");
    let before = space.state();
    assert_eq!(before.len(), 8, "a secret of each kind");

    for (address, values) in &before {
        space.terraform(&["state", "rm", address]).expect(0);
        let (kind, name) = (
            values["kind"].as_str().unwrap(),
            values["name"].as_str().unwrap(),
        );
        let rotation = values["rotation"].as_str();
        let rotation = rotation.map(|text| format!("@{text}")).unwrap_or_default();
        let id = format!("{kind}:{name}{rotation}");
        space.terraform(&["import", address, &id]).expect(0);
    }
    assert_eq!(
        space.changes(),
        BTreeMap::new(),
        "the plan after the imports"
    );
    assert_eq!(space.state(), before, "an import sees what was made");

    // Without a kind it is recognised, where it can be.
    let address = "strata_secret.made[\"sealed_secrets_keypair\"]";
    space.terraform(&["state", "rm", address]).expect(0);
    space
        .terraform(&["import", address, "sealed_secrets_keypair"])
        .expect(0);
    assert_eq!(space.changes(), BTreeMap::new());
    space.terraform(&["state", "rm", address]).expect(0);
    space
        .terraform(&["import", address, "talos_secrets:sealed_secrets_keypair"])
        .expect(1)
        .says("does not hold Talos' secrets");
    space
        .terraform(&["import", address, "tls:sealed_secrets_keypair"])
        .expect(1)
        .says("`tls` is no kind of secret");
    space
        .terraform(&["import", address, "sealed_secrets_keypair"])
        .expect(0);

    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    assert_eq!(space.entries(), ["fingerprint-key.age"]);
}

/// Each copy is a consumer: what it writes comes from an ephemeral that takes the fingerprint of its source.
fn chain(rotation: &str) -> String {
    let link = |name: &str, rotation: &str| {
        format!(
            r#"
resource "strata_secret" "{name}" {{
  name     = "{name}"
  kind     = "password"
  rotation = "{rotation}"
}}
ephemeral "strata_secret" "{name}" {{
  name        = strata_secret.{name}.name
  fingerprint = strata_secret.{name}.fingerprint
}}
resource "strata_secret" "copy_of_{name}" {{
  name     = "copies/{name}"
  kind     = "value"
  value_wo = ephemeral.strata_secret.{name}.value
}}
"#
        )
    };
    link("left", rotation) + &link("right", "1")
}

#[test]
fn a_rotation_reaches_exactly_its_consumers_in_the_same_apply() {
    let space = Workspace::new(&chain("1"));
    space.apply();
    assert_eq!(space.changes(), BTreeMap::new(), "the second plan");
    let before = space.state();

    space.write(&chain("2"));
    let update = json!(["update"]);
    let expected = ["strata_secret.copy_of_left", "strata_secret.left"];
    let expected = expected.map(|address| (address.to_owned(), update.clone()));
    assert_eq!(space.changes(), BTreeMap::from(expected));
    space.terraform(&["apply", "plan"]).expect(0);
    assert_eq!(
        space.changes(),
        BTreeMap::new(),
        "the plan after the rotation"
    );

    let after = space.state();
    for (address, values) in &after {
        let same = before[address]["fingerprint"] == values["fingerprint"];
        assert_eq!(same, address.ends_with("right"), "{address}");
    }
    // Equal texts have equal fingerprints: the copy is of the new value.
    for name in ["left", "right"] {
        let copy = &after[&format!("strata_secret.copy_of_{name}")];
        assert_eq!(
            copy["fingerprint"],
            after[&format!("strata_secret.{name}")]["fingerprint"]
        );
    }
}

#[test]
fn the_renewed_certificate_is_of_the_same_key() {
    let pair = |rotation| {
        format!(
            "resource \"strata_secret\" \"pair\" {{\n  name = \"pair\"\n  kind = \"sealed_secrets_keypair\"\n  rotation = {rotation}\n}}\n"
        )
    };
    let space = Workspace::new(&pair("null"));
    space.apply();
    let before = space.state()["strata_secret.pair"]["public"].clone();
    space.write(&pair("\"2027\""));
    space.apply();
    assert_eq!(space.changes(), BTreeMap::new());
    let after = space.state()["strata_secret.pair"]["public"].clone();
    assert_eq!(after["key_fingerprint"], before["key_fingerprint"]);
    assert_ne!(after["certificate_pem"], before["certificate_pem"]);
}

#[test]
fn a_store_that_is_not_there_is_no_reason_to_forget() {
    let space = Workspace::new(&chain("1"));
    space.apply();
    let (before, entries) = (space.state(), space.entries());
    let (store, aside) = (
        space.folder.path().join("store"),
        space.folder.path().join("aside"),
    );
    fs::rename(&store, &aside).unwrap();
    // Once nothing is at its place, as when a disk is not mounted, and once something that is no folder.
    for unreadable in [false, true] {
        if unreadable {
            fs::write(&store, "in the way").unwrap();
        }
        let start = Instant::now();
        space.terraform(&["destroy", "-auto-approve"]).expect(1);
        assert!(start.elapsed() < Duration::from_mins(1), "it does not hang");
        assert_eq!(space.state(), before, "nothing is forgotten");
    }
    fs::remove_file(&store).unwrap();
    fs::rename(&aside, &store).unwrap();
    assert_eq!(space.entries(), entries);
    assert_eq!(space.changes(), BTreeMap::new(), "all is as it was");
    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    assert_eq!(space.state(), BTreeMap::new());
}

/// What can go wrong at the control address of a lab: adds a fault that lasts, or removes all.
async fn fault(url: &str, action: Option<Value>) {
    let environment = Environment::lab_at(url).await.unwrap();
    let settings = Settings {
        service: "control",
        base: url.to_owned(),
        header: http::header::AUTHORIZATION,
        token: Secret::new(String::new()),
        speed: 1.0,
    };
    let client = Client::new(environment.dialer().clone(), settings).unwrap();
    let answer: Result<Value, _> = match action {
        Some(action) => {
            let fault = json!({ "place": "vault", "action": action });
            client.post("faults").json(&fault).send().await
        }
        None => client.delete("faults").send().await,
    };
    answer.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_fails_neither_hangs_a_destroy_nor_makes_it_forget() {
    let lab = Lab::start(Options {
        speed: 600.0,
        ..Options::default()
    });
    let lab = lab.await.unwrap();
    let url = lab.url().to_owned();
    let space = Workspace::in_lab(&url, &chain("1"));
    tokio::task::block_in_place(|| {
        space.apply();
        assert_eq!(space.changes(), BTreeMap::new(), "the second plan");
    });
    let before = tokio::task::block_in_place(|| space.state());
    // The last one takes every request and answers none.
    for (action, told) in [
        (json!("sealed"), "Vault is sealed"),
        (json!("disconnect"), "vault"),
        (
            json!({ "delay": { "seconds": 10_000_000 } }),
            "answers nothing",
        ),
    ] {
        fault(&url, Some(action)).await;
        tokio::task::block_in_place(|| {
            let start = Instant::now();
            let ran = space.terraform(&["destroy", "-auto-approve"]);
            ran.expect(1).says(told);
            assert!(start.elapsed() < Duration::from_mins(2), "it does not hang");
            assert_eq!(space.state(), before, "nothing is forgotten");
        });
        fault(&url, None).await;
    }
    tokio::task::block_in_place(|| {
        assert_eq!(space.changes(), BTreeMap::new(), "all is as it was");
        let ran = space.terraform(&["destroy", "-auto-approve"]);
        ran.expect(0);
    });
}

#[test]
fn what_is_sealed_is_the_same_at_plan_and_apply_and_stays_so() {
    let space = Workspace::new(
        r#"
resource "strata_secret" "pair" {
  name = "pair"
  kind = "sealed_secrets_keypair"
}
resource "terraform_data" "sealed" {
  input = provider::strata::seal({
    certificate = strata_secret.pair.public["certificate_pem"]
    namespace   = "shop"
    name        = "database"
    data        = { password = "hunter2-hunter2" }
    key         = "a password of the store"
  })
}
"#,
    );
    space.apply();
    assert_eq!(space.changes(), BTreeMap::new(), "the second plan");
    let sealed = &space.state()["terraform_data.sealed"]["output"];
    let sealed = sealed.as_str().unwrap();
    assert!(sealed.contains("kind: SealedSecret") && !sealed.contains("hunter2"));
}

/// The values are ephemeral, the sealed text is not; it is made anew for another value and for nothing else.
#[test]
fn what_is_sealed_from_ephemeral_values_stays_until_they_change() {
    let configuration = |rotation: &str, certificate: &str| {
        format!(
            r#"
resource "strata_secret" "pair" {{
  name     = "pair"
  kind     = "sealed_secrets_keypair"
  rotation = "{certificate}"
}}
resource "strata_secret" "password" {{
  name     = "password"
  kind     = "password"
  rotation = "{rotation}"
}}
ephemeral "strata_secret" "password" {{
  name        = strata_secret.password.name
  fingerprint = strata_secret.password.fingerprint
}}
resource "strata_sealed_secret" "database" {{
  name        = "database"
  namespace   = "shop"
  certificate = strata_secret.pair.public["certificate_pem"]
  data_wo     = {{ "config.yaml" = "password: ${{ephemeral.strata_secret.password.value}}" }}
}}
output "sealed" {{
  value = strata_sealed_secret.database.manifest
}}
"#
        )
    };
    let space = Workspace::new(&configuration("1", "1"));
    let text = |space: &Workspace| {
        space.state()["strata_sealed_secret.database"]["manifest"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    space.apply();
    assert_eq!(space.changes(), BTreeMap::new(), "the second plan");
    let first = text(&space);
    assert!(first.contains("kind: SealedSecret") && first.contains("config.yaml"));

    space.write(&configuration("1", "2"));
    space.apply();
    assert_eq!(text(&space), first, "a renewed certificate of the same key");
    assert_eq!(space.changes(), BTreeMap::new());

    space.write(&configuration("2", "2"));
    space.apply();
    assert_ne!(text(&space), first, "another value");
    assert_eq!(space.changes(), BTreeMap::new());
    space.terraform(&["destroy", "-auto-approve"]).expect(0);
}
