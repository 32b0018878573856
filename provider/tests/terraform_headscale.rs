//! A machine of Talos in a VPN with the real Terraform and the lab: registered once, planned again, forgotten by the server and registered anew, destroyed.

#![allow(clippy::unwrap_used, reason = "tests")]

mod folder;

use serde_json::{Value, json};
use strata_lab::{Lab, Options};

use self::folder::{Folder, Ran};

const CONFIGURATION: &str = r#"
provider "strata" {
  cluster = "home"
  root    = abspath(path.root)
  lab     = true
  owner   = "7c1f0000-0000-4000-8000-000000000000"
  store   = { kind = "file", path = "store" }
}

resource "strata_secret" "talos" {
  name = "talos"
  kind = "talos_secrets"
}

ephemeral "strata_secret" "talos" {
  name        = strata_secret.talos.name
  fingerprint = strata_secret.talos.fingerprint
}

resource "strata_talos_schematic" "this" {
  extensions = ["tailscale"]
}

resource "strata_proxmox_image" "this" {
  host      = "pve1"
  url       = "https://factory.talos.dev/image/${strata_talos_schematic.this.id}/v1.13.9/nocloud-amd64.qcow2"
  file_name = "talos-${substr(strata_talos_schematic.this.id, 0, 12)}-v1.13.9-nocloud-amd64.qcow2"
}

resource "strata_proxmox_vm" "this" {
  node   = "cp-9"
  host   = "pve1"
  name   = "home-cp-9"
  cores  = 4
  memory = 8192

  disk    = { storage = "local-lvm", size = 40, import_from = strata_proxmox_image.this.volume }
  network = { bridge = "vmbr0" }
}

resource "strata_talos_machine" "this" {
  node           = "cp-9"
  address        = "192.0.2.19"
  role           = "control-plane"
  cluster        = "home"
  secrets        = strata_secret.talos.name
  contract       = "v1.13"
  control_planes = { cp-9 = "192.0.2.19" }

  configuration_wo = provider::strata::talos_machine_config({
    cluster            = "home"
    endpoint           = "https://192.0.2.10:6443"
    role               = "control-plane"
    contract           = "v1.13"
    kubernetes_version = "v1.36.3"
    hostname           = "cp-9"
    network            = { link = "eth0", address = "192.0.2.19/24", gateway = "192.0.2.1" }
    vip                = { address = "192.0.2.10", link = "eth0" }
  }, ephemeral.strata_secret.talos.value)

  vpn = { headscale = { url = "https://hs.strata.test", user = "k8s" } }

  proxmox = {
    host   = strata_proxmox_vm.this.host
    vm_id  = strata_proxmox_vm.this.vm_id
    images = "local"
  }
}
"#;

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
        folder.write(CONFIGURATION);
        Self { folder, lab }
    }

    fn terraform(&self, arguments: &[&str]) -> Ran {
        // The lab lives in this runtime and has to go on meanwhile.
        tokio::task::block_in_place(|| self.folder.terraform(arguments))
    }

    fn state(&self) -> String {
        self.terraform(&["show", "-json"]).expect(0).stdout
    }

    fn machine(&self) -> Value {
        let state: Value = serde_json::from_str(self.state().trim()).unwrap();
        let resources = state["values"]["root_module"]["resources"].as_array();
        let found = resources
            .unwrap()
            .iter()
            .find(|one| one["address"] == "strata_talos_machine.this");
        found.unwrap()["values"].clone()
    }

    fn vpn(&self) -> Value {
        self.lab.headscale().estate()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_in_the_vpn_from_apply_to_destroy_and_its_key_nowhere() {
    let space = Workspace::start().await;
    space.terraform(&["apply", "-auto-approve"]).expect(0);
    let machine = space.machine();
    let vpn = space.vpn();
    assert_eq!(vpn["nodes"][0]["name"], "home-cp-9", "{vpn}");
    assert_eq!(
        machine["vpn_node_id"],
        json!(vpn["nodes"][0]["id"].to_string())
    );
    assert_eq!(vpn["usable_keys"], json!([]));
    assert!(!space.state().contains("hskey-auth"));
    let unchanged = space.terraform(&["plan", "-detailed-exitcode"]).expect(0);
    unchanged.says("No changes.");

    // The server forgets it: an update in place, and a new key.
    assert!(space.lab.headscale().delete_node("home-cp-9"));
    let planned = space.terraform(&["plan", "-detailed-exitcode"]).expect(2);
    planned.says("will be updated in-place");
    space.terraform(&["apply", "-auto-approve"]).expect(0);
    assert_eq!(space.vpn()["nodes"].as_array().unwrap().len(), 1);
    assert_eq!(space.vpn()["usable_keys"], json!([]));
    space.terraform(&["plan", "-detailed-exitcode"]).expect(0);

    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    let left = space.vpn();
    assert_eq!(
        (&left["nodes"], &left["usable_keys"]),
        (&json!([]), &json!([]))
    );
}
