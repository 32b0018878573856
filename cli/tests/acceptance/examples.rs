//! The examples of the documentation, run with the real Terraform: what a reader copies is applied, plans nothing the second time, is
//! imported as its `import.sh` says, and goes away.
//!
//! All examples together are one configuration, since each refers to what others make. Only two things are supplied besides: `lab = true` in
//! the provider block, and Cilium's manifests, which people print with Helm.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use strata_framework::docs::{Sources, folder};

use crate::harness::{Project, Ran, binaries, checkout, eventually};

const CLUSTER: &str = "home";
/// An estate has one cluster, and all examples together are one estate: the one with kubeadm. Talos' examples are the business of `terraform_talos`.
const ANOTHER_CLUSTER: [&str; 2] = [
    "resources/strata_talos_cluster/",
    "resources/strata_talos_machine/",
];
const CILIUM: &str = "apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cilium, namespace: kube-system, labels: {k8s-app: cilium}}
spec:
  selector: {matchLabels: {k8s-app: cilium}}
  template:
    metadata: {labels: {k8s-app: cilium}}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists}]
      containers: [{name: cilium-agent, image: 'quay.io/cilium/cilium:v1.18.4'}]
";

/// A folder with every example, and a lab of its own.
struct World {
    project: Project,
    sources: Sources,
    lab: Child,
}

impl World {
    fn start() -> Self {
        let project = Project::new();
        let mut sources = folder::sources(&checkout()).expect("the examples can be read");
        let is_of_another = |path: &str| ANOTHER_CLUSTER.iter().any(|one| path.starts_with(one));
        sources.examples.retain(|path, _| !is_of_another(path));
        let root = project.path().join("world");
        fs::create_dir(&root).expect("a folder");
        for (path, text) in &sources.examples {
            let name = path.rsplit('/').next().unwrap_or(path);
            // How to import is tried below, with ids that exist.
            if name.starts_with("import") {
                continue;
            }
            // Terraform's files of all examples lie side by side; what they read lies beside them under its own name.
            let name = if name.contains(".tf") {
                path.replace('/', "-")
            } else {
                name.to_owned()
            };
            let file = root.join(&name);
            assert!(!file.exists(), "two examples have a file {name}");
            fs::write(file, text).expect("a file can be written");
        }
        fs::write(root.join("cilium.yaml"), CILIUM).expect("a file can be written");
        let state = project.path().join(format!(".strata/{CLUSTER}/lab"));
        let mut command = project.command(binaries().join("strata-lab").to_str().expect("UTF-8"));
        command
            .args(["run", "--speed", "600", "--state"])
            .arg(&state);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let lab = command.spawn().expect("the lab starts");
        let world = Self {
            project,
            sources,
            lab,
        };
        world.overlay("provider \"strata\" {\n  lab = true\n}\n");
        eventually("the lab says where it is", Duration::from_secs(20), || {
            state.join("lab.json").exists()
        });
        world.terraform(&["init", "-input=false"]).expect_code(0);
        world
    }

    fn root(&self) -> PathBuf {
        self.project.path().join("world")
    }

    /// What this test says otherwise than the examples, in Terraform's own way of overriding.
    fn overlay(&self, text: &str) {
        fs::write(self.root().join("override.tf"), text).expect("a file can be written");
    }

    fn terraform(&self, arguments: &[&str]) -> Ran {
        let mut command = self.project.command("terraform");
        command.current_dir(self.root()).args(arguments);
        command.envs(self.project.lab(CLUSTER).environment());
        command.env("TF_CLI_ARGS", "-no-color");
        command.output().expect("terraform starts").into()
    }

    fn apply(&self) -> Ran {
        self.terraform(&["apply", "-auto-approve", "-input=false"])
            .expect_code(0)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let shown = self.terraform(arguments).expect_code(0);
        serde_json::from_str(&shown.stdout).expect("terraform prints JSON")
    }

    /// What a plan would do, by address.
    fn changes(&self) -> BTreeMap<String, Value> {
        self.terraform(&["plan", "-input=false", "-out", "plan"])
            .expect_code(0);
        let plan = self.json(&["show", "-json", "plan"]);
        let changes = plan["resource_changes"].as_array().into_iter().flatten();
        changes
            .map(|change| {
                let address = change["address"].as_str().expect("an address");
                (address.to_owned(), change["change"]["actions"].clone())
            })
            .filter(|(_, actions)| *actions != serde_json::json!(["no-op"]))
            .collect()
    }

    /// The attributes of every managed resource in the state, by address.
    fn state(&self) -> BTreeMap<String, Value> {
        let state = self.json(&["show", "-json"]);
        let resources = state["values"]["root_module"]["resources"].as_array();
        resources
            .into_iter()
            .flatten()
            .map(|one| {
                let address = one["address"].as_str().expect("an address");
                (address.to_owned(), one["values"].clone())
            })
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.lab.kill();
        let _ = self.lab.wait();
        // It names a process that is gone, and the project would end whoever has its number now.
        let state = self.project.path().join(format!(".strata/{CLUSTER}/lab"));
        let _ = fs::remove_file(state.join("lab.json"));
    }
}

/// The id that an `import.sh` shows, with what this object has where the example has an id or address of nobody.
fn real(id: &str, attributes: &Value) -> String {
    let mut out = id.to_owned();
    for part in id.split([',', '/', '|']) {
        let attribute = if part.len() == 36 && part.split('-').count() == 5 {
            "id"
        } else if part.parse::<std::net::Ipv4Addr>().is_ok() {
            "address"
        } else {
            continue;
        };
        let own = attributes[attribute].as_str();
        out = out.replace(part, own.expect("the object has it"));
    }
    out
}

/// The addresses that an example declares.
fn declared(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let mut words = line.strip_prefix("resource ")?.split('"');
        Some(format!("{}.{}", words.nth(1)?, words.nth(1)?))
    })
}

#[test]
fn what_a_reader_copies_works() {
    let world = World::start();
    world.apply();
    let outputs = world.json(&["output", "-json"]);
    assert_eq!(
        outputs["control_planes"]["value"],
        serde_json::json!(["cp-1"])
    );
    assert_eq!(world.changes(), BTreeMap::new(), "the second plan");
    let lab = world.project.lab(CLUSTER);
    let servers = lab.servers();
    let expected = ["home-cp-1", "home-db-1"];
    assert_eq!(servers.keys().collect::<Vec<_>>(), expected);

    // A rotation reaches exactly its consumers, in the same apply.
    let update = serde_json::json!(["update"]);
    let lab_block = "provider \"strata\" {\n  lab = true\n}\n";
    world.overlay(&format!(
        "{lab_block}resource \"strata_secret\" \"sealing\" {{\n  rotation = \"2027-11\"\n}}\n"
    ));
    let rotated = [
        "strata_kubernetes_secret.sealing",
        "strata_sealed_secret.database",
        "strata_secret.sealing",
    ];
    let rotated = rotated.map(|address| (address.to_owned(), update.clone()));
    assert_eq!(world.changes(), BTreeMap::from(rotated));
    world.terraform(&["apply", "plan"]).expect_code(0);
    assert_eq!(world.changes(), BTreeMap::new(), "after the rotation");

    // Import, as each page says.
    let state = world.state();
    let imports = world.sources.imports();
    let addresses = imports.values().map(|(address, _)| address.as_str());
    let forget: Vec<&str> = ["state", "rm"].into_iter().chain(addresses).collect();
    world.terraform(&forget).expect_code(0);
    for (name, (address, id)) in &imports {
        assert!(address.starts_with(&format!("{name}.")), "{address}");
        world
            .terraform(&[
                "import",
                "-input=false",
                address,
                &real(id, &state[address]),
            ])
            .expect_code(0)
            .expect_text("Import successful!");
    }
    // What no service knows is recorded by the first apply; nothing else is to do, and nothing is made or replaced.
    let expected = [
        "strata_kubeadm_node.cp",
        "strata_proxmox_image.talos",
        "strata_proxmox_token.csi",
        "strata_proxmox_vm.controller",
        "strata_scaleway_baremetal_server.cp",
    ];
    let expected = expected.map(|address| (address.to_owned(), update.clone()));
    assert_eq!(
        world.changes(),
        BTreeMap::from(expected),
        "after the imports"
    );
    world.apply();
    assert_eq!(world.changes(), BTreeMap::new(), "after the first apply");
    assert_eq!(lab.servers(), servers, "no import changed a machine");

    // Away again: first refused, as the example of the PKI says, then all of it.
    world
        .terraform(&["destroy", "-auto-approve"])
        .expect_code(1)
        .expect_text("`deletion_protection` is true");
    assert_eq!(lab.servers(), servers, "a refused destroy touches nothing");
    world.overlay(&format!(
        "{lab_block}resource \"strata_secret\" \"pki\" {{\n  deletion_protection = false\n}}\n"
    ));
    world.apply();
    world
        .terraform(&["destroy", "-auto-approve"])
        .expect_code(0);
    let estate = lab.estate();
    for kind in ["servers", "ssh_keys", "dns_records"] {
        let left = estate[kind].as_array().expect("the estate lists its kinds");
        assert!(left.is_empty(), "{kind}: {left:?}");
    }

    // What a page calls not importable is refused in so many words. The state is empty now, so no address is in the way.
    let mut refused = 0;
    for (path, text) in &world.sources.examples {
        let Some(name) = path.strip_suffix("/resource.tf") else {
            continue;
        };
        if imports.contains_key(name.trim_start_matches("resources/")) {
            continue;
        }
        let address = declared(text)
            .next()
            .expect("an example declares something");
        world
            .terraform(&["import", "-input=false", &address, "x"])
            .expect_code(1)
            .expect_text("This resource does not support import");
        refused += 1;
    }
    assert_eq!(refused, 7, "resources that cannot be imported");
}
