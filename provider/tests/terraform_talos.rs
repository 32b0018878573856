//! A Talos cluster on Proxmox with the real Terraform and the lab, from the examples of the documentation as they stand: applied, planned again, changed from
//! outside, forgotten and imported, destroyed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use std::path::Path;

use serde_json::{Value, json};
use strata_lab::{Lab, Options};

use self::folder::{Folder, Ran};

const HEAD: &str = r#"provider "strata" {
  cluster = "home"
  root    = abspath(path.root)
  lab     = true
  owner   = "7c1f0000-0000-4000-8000-000000000000"
  store   = { kind = "file", path = "store" }
}
"#;

/// The examples that make a cluster together.
const EXAMPLES: [&str; 6] = [
    "functions/talos_machine_config/function.tf",
    "resources/strata_talos_schematic/resource.tf",
    "resources/strata_proxmox_image/resource.tf",
    "resources/strata_proxmox_vm/resource.tf",
    "resources/strata_talos_machine/resource.tf",
    "resources/strata_talos_cluster/resource.tf",
];

struct Workspace {
    folder: Folder,
    lab: Lab,
}

impl Workspace {
    async fn start() -> Self {
        let lab = Lab::start(Options {
            speed: 600.0,
            ..Options::default()
        });
        let lab = lab.await.unwrap();
        let folder = Folder::new(Some(lab.url().to_owned()));
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let texts = EXAMPLES.map(|name| std::fs::read_to_string(examples.join(name)).unwrap());
        folder.write(&format!("{HEAD}{}", texts.join("\n")));
        Self { folder, lab }
    }

    fn terraform(&self, arguments: &[&str]) -> Ran {
        // The lab lives in this runtime and has to go on meanwhile.
        tokio::task::block_in_place(|| self.folder.terraform(arguments))
    }

    fn state(&self, address: &str) -> Value {
        let shown = self.terraform(&["show", "-json"]).expect(0);
        let state: Value = serde_json::from_str(shown.stdout.trim()).unwrap();
        let resources = state["values"]["root_module"]["resources"].as_array();
        let found = resources
            .unwrap()
            .iter()
            .find(|one| one["address"] == address);
        found.unwrap()["values"].clone()
    }

    fn machines(&self) -> Vec<Value> {
        let estate = self.lab.talos().estate();
        estate["machines"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_make_a_cluster_that_plans_nothing_is_imported_and_goes_away() {
    let space = Workspace::start().await;
    space.terraform(&["apply", "-auto-approve"]).expect(0);
    let cluster = space.state("strata_talos_cluster.home");
    assert_eq!(cluster["ready"], true, "{cluster}");
    assert_eq!(cluster["members"], json!(["cp-9"]));
    let machine = space.state("strata_talos_machine.controller");
    assert_eq!(machine["version"], "v1.13.9");
    assert_eq!(machine["configuration_wo"], Value::Null);
    // The image with the secrets is out of the drive.
    assert_eq!(space.machines()[0]["cidata"], false);
    let unchanged = space.terraform(&["plan", "-detailed-exitcode"]).expect(0);
    unchanged.says("No changes.");

    // Nothing of the bundle is in the state.
    let shown = space.terraform(&["show", "-json"]).expect(0);
    assert!(!shown.stdout.contains("PRIVATE KEY") && !shown.stdout.contains("bootstraptoken"));

    // Forgotten and imported it plans no replacement and no removal, and after one apply nothing.
    space
        .terraform(&["state", "rm", "strata_talos_machine.controller"])
        .expect(0);
    let id = "cp-9,192.0.2.19,control-plane,talos";
    space
        .terraform(&["import", "strata_talos_machine.controller", id])
        .expect(0);
    space.terraform(&["plan", "-out", "plan"]).expect(0);
    let shown = space.terraform(&["show", "-json", "plan"]).expect(0);
    let plan: Value = serde_json::from_str(shown.stdout.trim()).unwrap();
    for change in plan["resource_changes"].as_array().unwrap() {
        let actions = &change["change"]["actions"];
        let harmless = [json!(["no-op"]), json!(["update"])].contains(actions);
        assert!(harmless, "{}: {actions}", change["address"]);
    }
    space.terraform(&["apply", "plan"]).expect(0);
    space.terraform(&["plan", "-detailed-exitcode"]).expect(0);

    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    assert!(space.machines().is_empty(), "{:?}", space.machines());
}
