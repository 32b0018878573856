//! Proxmox with the real Terraform and the lab: a machine's whole life, what others do to it meanwhile, and how many calls it takes.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "`make bench` prints the counts")]

mod folder;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use strata_lab::{Lab, Options};
use strata_provider::environment::Environment;
use strata_provider::http::client::{Client, Settings};
use strata_provider::secret::Secret;

use self::folder::{Folder, Ran};

const HEAD: &str = r#"provider "strata" {
  cluster = "home"
  root    = abspath(path.root)
  lab     = true
  owner   = "7c1f0000-0000-4000-8000-000000000000"
  store   = { kind = "file", path = "store" }
}
"#;

/// An image on each of two hosts, and as many machines as `COUNT`, half of them on either.
const MACHINES: &str = r#"
resource "strata_talos_schematic" "this" {
  extensions = ["qemu-guest-agent"]
}
resource "strata_proxmox_image" "talos" {
  for_each  = toset(["pve1", "pve2"])
  host      = each.key
  url       = "https://factory.talos.dev/image/${strata_talos_schematic.this.id}/v1.13.9/nocloud-amd64.qcow2"
  file_name = "talos-${strata_talos_schematic.this.id}-v1.13.9-7c1f0000-0000-4000-8000-000000000000.qcow2"
}
resource "strata_proxmox_vm" "node" {
  for_each = { for i in range(COUNT) : "w-${i}" => i % 2 == 0 ? "pve1" : "pve2" }
  node     = each.key
  host     = each.value
  name     = "home-${each.key}"
  cores    = CORES
  memory   = 4096
  disk     = { storage = "local-lvm", size = 20, import_from = strata_proxmox_image.talos[each.value].volume }
  network  = { bridge = "vmbr0" }
  agent    = true
}
"#;

/// What layer 00 makes for the CSI driver.
const ACCESS: &str = r#"
resource "strata_proxmox_role" "csi" {
  name       = "CSI"
  privileges = ["VM.Audit", "VM.Config.Disk", "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.Audit"]
}
resource "strata_proxmox_user" "csi" {
  name    = "kubernetes-csi@pve"
  comment = "driver"
}
resource "strata_proxmox_acl" "csi" {
  path = "/"
  role = strata_proxmox_role.csi.name
  user = strata_proxmox_user.csi.name
}
resource "strata_proxmox_token" "csi" {
  user                 = strata_proxmox_user.csi.name
  name                 = "csi"
  privilege_separation = false
}
"#;

struct Workspace {
    folder: Folder,
    _lab: Lab,
    control: Client,
}

impl Workspace {
    async fn start() -> Self {
        Self::at(300.0).await
    }

    /// At this speed a clone takes `20 / speed` seconds.
    async fn at(speed: f64) -> Self {
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
        Self {
            folder: Folder::new(Some(url)),
            _lab: lab,
            control,
        }
    }

    fn write(&self, configuration: &str) {
        self.folder.write(&format!("{HEAD}{configuration}"));
    }

    fn terraform(&self, arguments: &[&str]) -> Ran {
        // The lab lives in this runtime and has to go on meanwhile.
        tokio::task::block_in_place(|| self.folder.terraform(arguments))
    }

    fn apply(&self) {
        self.terraform(&["apply", "-auto-approve"]).expect(0);
    }

    /// Nothing is left to do.
    #[track_caller]
    fn is_settled(&self) {
        self.terraform(&["plan", "-detailed-exitcode"]).expect(0);
    }

    async fn estate(&self) -> Value {
        let estate: Value = self.control.get("estate").send().await.unwrap();
        estate["proxmox"].clone()
    }

    async fn change(&self, change: Value) {
        let _: Value = self
            .control
            .post("estate")
            .json(&change)
            .send()
            .await
            .unwrap();
    }

    async fn fault(&self, target: &str, action: Value) {
        let fault = json!({ "place": "proxmox", "target": target, "action": action, "times": 1 });
        let _: Value = self
            .control
            .post("faults")
            .json(&fault)
            .send()
            .await
            .unwrap();
    }

    /// The calls of Proxmox's API since the last time, by method and route.
    async fn calls(&self) -> BTreeMap<String, u64> {
        let all: BTreeMap<String, u64> = self.control.get("calls").send().await.unwrap();
        let _: Value = self.control.delete("calls").send().await.unwrap();
        all.into_iter()
            .filter_map(|(call, count)| Some((call.strip_prefix("proxmox ")?.to_owned(), count)))
            .collect()
    }
}

fn machines(count: usize, cores: usize) -> String {
    let text = MACHINES.replace("COUNT", &count.to_string());
    text.replace("CORES", &cores.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_live_and_die_with_their_configuration() {
    let space = Workspace::start().await;
    space.write(&machines(3, 2));
    space
        .fault("GET /api2/json/cluster/nextid", json!("take_next_id"))
        .await;
    space.apply();
    space.is_settled();
    let estate = space.estate().await;
    let vms = estate["vms"].as_array().unwrap();
    assert_eq!(
        vms.len(),
        4,
        "three, and the one of somebody who was faster: {vms:?}"
    );
    assert_eq!(estate["files"].as_array().unwrap().len(), 2);
    let first = vms.iter().find(|vm| vm["name"] == "home-w-0").unwrap();
    assert_eq!(
        first["running"], false,
        "whoever delivers its configuration starts it"
    );
    let disk = first["options"]["scsi0"].as_str().unwrap();
    assert!(disk.ends_with("size=20G"), "{disk}");
    let number = first["vmid"].clone();

    // A refresh of many costs one listing, and one look at each.
    space.calls().await;
    space.is_settled();
    let refresh = space.calls().await;
    let written = refresh.keys().filter(|call| !call.starts_with("GET "));
    assert_eq!(written.count(), 0, "a plan only reads: {refresh:?}");
    assert_eq!(
        refresh["GET /api2/json/cluster/resources"], 1,
        "{refresh:?}"
    );
    assert_eq!(refresh.values().sum::<u64>(), 1 + 3 + 2, "{refresh:?}");

    // Drift shows and goes; what others add stays.
    let drift = json!({"change_vm": {"vmid": number, "option": "memory", "value": "2048"}});
    space.change(drift).await;
    let tags = first["options"]["tags"].as_str().unwrap();
    let more =
        json!({"change_vm": {"vmid": number, "option": "tags", "value": format!("{tags};backup")}});
    space.change(more).await;
    space.terraform(&["plan", "-detailed-exitcode"]).expect(2);
    space.write(&machines(3, 4));
    let changed = space.terraform(&["apply", "-auto-approve"]).expect(0);
    changed.says("0 added, 3 changed, 0 destroyed");
    space.is_settled();
    let estate = space.estate().await;
    let vms = estate["vms"].as_array().unwrap();
    let first = vms.iter().find(|vm| vm["name"] == "home-w-0").unwrap();
    assert_eq!(first["options"]["memory"], "4096");
    assert_eq!(first["options"]["cores"], 4);
    assert!(
        first["options"]["tags"]
            .as_str()
            .unwrap()
            .contains("backup")
    );

    // The state is lost: everything is found by its marks, and nothing is made.
    std::fs::remove_file(space.folder.path().join("terraform.tfstate")).unwrap();
    let made = estate["created"].clone();
    let adopted = space.terraform(&["apply", "-auto-approve"]).expect(0);
    adopted.says("Adopted Proxmox machine");
    space.is_settled();
    assert_eq!(space.estate().await["created"], made);

    // Import reads back what there is.
    let address = "strata_proxmox_vm.node[\"w-0\"]";
    space.terraform(&["state", "rm", address]).expect(0);
    space
        .terraform(&["import", address, &format!("pve1/{number}")])
        .expect(0);
    let plan = space.terraform(&["plan"]).expect(0);
    plan.says("0 to add, 1 to change, 0 to destroy");
    space.apply();
    space.is_settled();
    assert_eq!(space.estate().await["created"], made);

    // Somebody deletes one: it is made again, and the others are left alone.
    space.change(json!({"delete_vm": number})).await;
    let again = space.terraform(&["apply", "-auto-approve"]).expect(0);
    again.says("1 added, 0 changed, 0 destroyed");

    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    let left = space.estate().await;
    let names: Vec<&Value> = left["vms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vm| &vm["name"])
        .collect();
    assert_eq!(names.len(), 1, "only somebody else's is left: {names:?}");
    // They were adopted after the state was lost, and are the estate's all the same.
    assert_eq!(left["files"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_cloned_from_a_template() {
    let space = Workspace::start().await;
    let clone = |full: &str, size: usize| {
        format!(
            r#"
resource "strata_proxmox_vm" "node" {{
  node    = "w-1"
  host    = "pve1"
  name    = "home-w-1"
  cores   = 2
  memory  = 4096
  clone   = {{ vm_id = 9000{full} }}
  disk    = {{ storage = "local-lvm", size = {size} }}
  network = {{ bridge = "vmbr0" }}
}}
"#
        )
    };
    space.write(&clone("", 20));
    let none = space.terraform(&["plan"]).expect(1);
    none.says("Machine 9000 cannot be cloned as \"home-w-1\"");
    let template = json!({"make_template": {"vmid": 9000, "host": "pve1"}});
    space.change(template).await;

    // The clone is made, and the run ends before it has tags.
    let set = "PUT /api2/json/nodes/{node}/qemu/{vmid}/config";
    space.fault(set, json!({"status": {"code": 403}})).await;
    space.terraform(&["apply", "-auto-approve"]).expect(1);
    let again = space.terraform(&["apply", "-auto-approve"]).expect(0);
    again.says("1 added, 0 changed, 0 destroyed");
    space.is_settled();
    assert_eq!(space.estate().await["created"], 1, "cloned once");

    // Another way to clone would have mattered then: it is written down, and nothing is made again.
    space.write(&clone(", full = false", 30));
    let grown = space.terraform(&["apply", "-auto-approve"]).expect(0);
    grown.says("0 added, 1 changed, 0 destroyed");
    space.is_settled();
    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    let left = space.estate().await;
    let left = left["vms"].as_array().unwrap();
    assert_eq!(left.len(), 1, "the template: {left:?}");
}

/// A clone of machine 9000, with these lines more.
fn clone(lines: &str) -> String {
    format!(
        r#"
resource "strata_proxmox_vm" "node" {{
  node    = "w-1"
  host    = "pve1"
  name    = "home-w-1"
  cores   = 2
  memory  = 4096
  clone   = {{ vm_id = 9000 }}
  disk    = {{ storage = "local-lvm", size = 20 }}
  network = {{ bridge = "vmbr0" }}
  {lines}
}}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_in_the_middle_of_a_clone_clones_nothing_again() {
    let space = Workspace::at(20.0).await;
    let template = json!({"make_template": {"vmid": 9000, "host": "pve1"}});
    space.change(template).await;
    space.write(&clone(""));
    let mut run = space.folder.command(&["apply", "-auto-approve"]);
    // The provider belongs to the group, and dies with it.
    let mut run = run
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_cloning = async || {
        let estate = space.estate().await;
        let vms = estate["vms"].as_array().unwrap();
        vms.iter().any(|vm| vm["lock"] == "clone")
    };
    let limit = tokio::time::Instant::now() + Duration::from_mins(1);
    while !is_cloning().await {
        assert!(tokio::time::Instant::now() < limit, "it never clones");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let group = format!("-{}", run.id());
    let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
    assert!(killed.unwrap().success());
    run.wait().unwrap();
    assert!(is_cloning().await, "the host goes on, and shows no name");

    let again = space.terraform(&["apply", "-auto-approve"]).expect(0);
    again.says("Adopted Proxmox machine");
    again.says("1 added, 0 changed, 0 destroyed");
    space.is_settled();
    let estate = space.estate().await;
    assert_eq!(estate["created"], 1, "cloned once");
    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    assert_eq!(space.estate().await["vms"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_a_clone_there_is_one_and_others_are_left_alone() {
    let space = Workspace::start().await;
    let template = json!({"make_template": {"vmid": 9000, "host": "pve1"}});
    space.change(template).await;
    let call = "POST /api2/json/nodes/{node}/qemu/{vmid}/clone";
    let names = async || {
        let estate = space.estate().await;
        let vms = estate["vms"].as_array().unwrap().iter();
        let mut names: Vec<String> = vms.map(|vm| vm["name"].to_string()).collect();
        names.sort();
        names
    };

    // What the host says is told, and nothing is left.
    space.write(&clone(""));
    let full = json!({"task_error": {"text": "no space left on device"}});
    space.fault(call, full).await;
    let failed = space.terraform(&["apply", "-auto-approve"]).expect(1);
    failed.says("no space left on device");
    assert_eq!(names().await, ["\"base\""]);

    // The answer is lost, and the machine is not.
    space.fault(call, json!("lose_reply")).await;
    space.apply();
    space.is_settled();
    assert_eq!(names().await, ["\"base\"", "\"home-w-1\""]);

    // Another number does not move a machine; another node gets one of its own.
    let elsewhere = clone("vm_id = 9000");
    space.write(&elsewhere);
    let moved = space.terraform(&["plan"]).expect(1);
    moved.says("Its number is 100 for life, not 9000");
    space.write(&elsewhere.replace("w-1", "w-2"));
    let other = space.terraform(&["plan"]).expect(0);
    other.says("1 to add, 0 to change, 1 to destroy");

    // Without it in the configuration it goes. Under the number that is asked for there is somebody else's.
    space.write("");
    space.apply();
    space.write(&elsewhere);
    let taken = space.terraform(&["apply", "-auto-approve"]).expect(1);
    taken.says("the number 9000 is taken by a machine without our marks");
    assert_eq!(names().await, ["\"base\""]);

    // A number that is free until somebody else is faster.
    space.write(&clone(""));
    space
        .fault("GET /api2/json/cluster/nextid", json!("take_next_id"))
        .await;
    space.apply();
    space.is_settled();
    let all = names().await;
    assert_eq!(all.len(), 3, "{all:?}");
    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    let left = names().await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(!left.contains(&"\"home-w-1\"".to_owned()), "{left:?}");

    // What contradicts itself is told before anything is asked.
    space.write(&clone("").replace(
        "vm_id = 9000",
        "vm_id = 9000, full = false, format = \"qcow2\"",
    ));
    let refused = space.terraform(&["validate"]).expect(1);
    refused.says("A linked clone copies nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_machines_cost_few_calls() {
    let space = Workspace::start().await;
    let many = ["apply", "-auto-approve", "-parallelism=100"];
    // The images are downloaded before anything is counted.
    space.write(&machines(0, 2));
    space.terraform(&many).expect(0);
    space.write(&machines(1, 2));
    space.calls().await;
    space.terraform(&["plan", "-out", "plan"]).expect(0);
    space.calls().await;
    space.terraform(&["apply", "plan"]).expect(0);
    let one = space.calls().await;
    space.write(&machines(51, 2));
    space.terraform(&many).expect(0);
    let fifty = space.calls().await;
    assert_eq!(space.estate().await["vms"].as_array().unwrap().len(), 51);
    let unchanged = ["plan", "-detailed-exitcode", "-parallelism=100"];
    space.terraform(&unchanged).expect(0);
    let refresh = space.calls().await;

    let total = |calls: &BTreeMap<String, u64>| calls.values().sum::<u64>();
    println!("\nCalls of Proxmox's API, as the lab counted them");
    println!("| what | strata |");
    println!("| --- | --- |");
    for (what, calls) in [
        ("create 1 machine: apply of a saved plan", &one),
        ("create 50 machines: plan and apply", &fifty),
        ("refresh 51 machines and 2 images", &refresh),
    ] {
        println!("| {what} | {} |", total(calls));
    }
    for (what, calls) in [
        ("create 1", &one),
        ("create 50", &fifty),
        ("refresh", &refresh),
    ] {
        println!("{what}: {calls:?}");
    }
    assert_eq!(fifty.get("POST /api2/json/nodes/{node}/qemu"), Some(&50));
    assert_eq!(fifty.get("GET /api2/json/cluster/nextid"), Some(&50));
    // One listing, and one look at each.
    assert_eq!(total(&refresh), 1 + 51 + 2, "{refresh:?}");
    let destroy = ["destroy", "-auto-approve", "-parallelism=100"];
    space.terraform(&destroy).expect(0);
}

/// An image with this name.
fn image(file: &str) -> String {
    format!(
        r#"
resource "strata_talos_schematic" "this" {{
  extensions = ["qemu-guest-agent"]
}}
resource "strata_proxmox_image" "talos" {{
  host      = "pve1"
  url       = "https://factory.talos.dev/image/${{strata_talos_schematic.this.id}}/v1.13.9/nocloud-amd64.qcow2"
  file_name = "{file}"
}}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_with_the_estate_that_had_it_downloaded() {
    let space = Workspace::start().await;
    let files = async || space.estate().await["files"].as_array().unwrap().len();

    // Downloaded, and Terraform never hears of it.
    space.write(&image(
        "talos-v1.13.9-7c1f0000-0000-4000-8000-000000000000.qcow2",
    ));
    let status = "GET /api2/json/nodes/{node}/tasks/{upid}/status";
    space.fault(status, json!({"status": {"code": 403}})).await;
    space.terraform(&["apply", "-auto-approve"]).expect(1);
    while files().await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let again = space.terraform(&["apply", "-auto-approve"]).expect(0);
    again.says("its name says that it is this estate's");
    space.is_settled();
    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    assert_eq!(files().await, 0, "nobody else needs it");

    // Somebody else's is taken as it is, and stays.
    space.write(&image("talos-v1.13.9.qcow2"));
    space.apply();
    let state = space.folder.path().join("terraform.tfstate");
    std::fs::remove_file(state).unwrap();
    let found = space.terraform(&["apply", "-auto-approve"]).expect(0);
    found.says("it stays when this resource is destroyed");
    let kept = space.terraform(&["destroy", "-auto-approve"]).expect(0);
    kept.says("Kept Proxmox image");
    assert_eq!(files().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_after_an_order_orders_nothing_again() {
    let space = Workspace::start().await;
    space.write(&machines(1, 2));
    // The machine is made, and Terraform never hears of it.
    let config = "GET /api2/json/nodes/{node}/qemu/{vmid}/config";
    space.fault(config, json!({"status": {"code": 403}})).await;
    space.terraform(&["apply", "-auto-approve"]).expect(1);
    assert_eq!(space.estate().await["created"], 1);
    let again = space.terraform(&["apply", "-auto-approve"]).expect(0);
    again.says("1 added, 0 changed, 0 destroyed");
    space.is_settled();
    let estate = space.estate().await;
    assert_eq!(estate["created"], 1);
    assert_eq!(estate["vms"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_once_and_its_value_is_in_the_store_alone() {
    let space = Workspace::start().await;
    space.write(ACCESS);
    // The answer with the value is lost: nobody knows it, so the token is made again.
    let create = "POST /api2/json/access/users/{user}/token/{token}";
    space.fault(create, json!("lose_reply")).await;
    space.apply();
    space.is_settled();
    let estate = space.estate().await;
    let grants = estate["acl"].as_array().unwrap();
    assert_eq!(grants.len(), 1, "{grants:?}");
    let state = std::fs::read_to_string(space.folder.path().join("terraform.tfstate")).unwrap();
    assert!(
        state.contains("proxmox/kubernetes-csi-at-pve/csi"),
        "the entry's name"
    );
    assert!(
        !state.contains("kubernetes-csi@pve!csi="),
        "never the value"
    );

    // The entry is lost: the token is as good as gone, and made again.
    let entry = space
        .folder
        .path()
        .join("store/proxmox/kubernetes-csi-at-pve/csi.age");
    std::fs::remove_file(&entry).unwrap();
    let again = space.terraform(&["apply", "-auto-approve"]).expect(0);
    again.says("1 added, 0 changed, 0 destroyed");
    assert!(entry.exists());
    space.is_settled();

    // The state is lost: the token and its value are both there, so it keeps it.
    let value = std::fs::read(&entry).unwrap();
    let token = "strata_proxmox_token.csi";
    space.terraform(&["state", "rm", token]).expect(0);
    let adopted = space.terraform(&["apply", "-auto-approve"]).expect(0);
    adopted.says("Adopted Proxmox token");
    assert_eq!(std::fs::read(&entry).unwrap(), value);
    space.is_settled();

    // Imported, with another form of the entry: the same token goes on.
    space.terraform(&["state", "rm", token]).expect(0);
    let import = ["import", token, "kubernetes-csi@pve!csi"];
    space.terraform(&import).expect(0);
    let form = "  privilege_separation = false\n  store_format = \"value\"\n";
    space.write(&ACCESS.replace("  privilege_separation = false\n", form));
    let changed = space.terraform(&["apply", "-auto-approve"]).expect(0);
    changed.says("0 added, 1 changed, 0 destroyed");
    assert_ne!(std::fs::read(&entry).unwrap(), value);
    space.is_settled();

    space.terraform(&["destroy", "-auto-approve"]).expect(0);
    let left = space.estate().await;
    for kind in ["acl", "roles"] {
        assert_eq!(left[kind].as_array().unwrap().len(), 0, "{kind}");
    }
    let users = left["users"].as_array().unwrap();
    assert_eq!(users.len(), 1, "root alone: {users:?}");
    assert!(!entry.exists());
}
