//! Talos on Proxmox: up, nothing to do, one node at a time, upgrades with quorum at every moment, a control plane less, and gone.

use serde_json::{Value, json};

use crate::cold_start::{assert_only_reads, assert_ready};
use crate::harness::{Lab, Project};

const NAME: &str = "lab-talos";

/// The shipped example, which the test then edits as a person would.
fn example(project: &Project) -> String {
    let file = project.path().join("examples/clusters/lab-talos.yaml");
    std::fs::read_to_string(file).unwrap()
}

/// A cluster of three control planes at most and workers, by name, fast enough for tests.
pub(crate) fn cluster_text(name: &str, nodes: &[&str]) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "strata: 1\nname: {name}\nlab: {{speed: 300}}\nplatform: {{proxmox: {{url: \"https://pve1.strata.test:8006\"}}}}\nendpoint: {{address: 192.0.2.10}}\nnetwork: {{nodes: 192.0.2.0/24}}\nnodes:\n"
    );
    for node in nodes {
        let (role, number) = match node.split_once('-') {
            Some(("cp", number)) => ("control-plane", format!("1{number}")),
            Some((_, number)) => ("worker", format!("2{number}")),
            None => panic!("{node} has no number"),
        };
        writeln!(
            text,
            "  {node}: {{role: {role}, host: pve1, address: 192.0.2.{number}/24}}"
        )
        .unwrap();
    }
    text
}

/// The virtual machines that there are.
pub(crate) fn vms(estate: &Value) -> Vec<Value> {
    estate["proxmox"]["vms"].as_array().unwrap().clone()
}

pub(crate) fn machine<'a>(estate: &'a Value, node: &str) -> &'a Value {
    let machines = estate["talos"]["machines"].as_array().unwrap();
    machines
        .iter()
        .find(|machine| machine["node"] == node)
        .unwrap_or_else(|| panic!("no machine is {node}: {estate:#}"))
}

/// One etcd: made on one machine, and never again once it had a member. Until then a machine may take the same order twice, when a reply was lost.
pub(crate) fn assert_one_etcd(estate: &Value) {
    let clusters = estate["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 1, "{clusters:#?}");
    let journal = estate["talos"]["journal"].as_array().unwrap();
    let (mut makers, mut is_made) = (std::collections::BTreeSet::new(), false);
    for event in journal {
        is_made |= event["event"] == "etcd member";
        if event["event"] == "bootstrap" {
            assert!(!is_made, "etcd was made again: {journal:#?}");
            makers.insert(event["node"].as_str().unwrap());
        }
    }
    assert_eq!(makers.len(), 1, "{makers:?}");
}

/// What happened since an entry of the journal.
pub(crate) fn since(estate: &Value, from: usize) -> Vec<Value> {
    estate["talos"]["journal"].as_array().unwrap()[from..].to_vec()
}

pub(crate) fn length(lab: &Lab) -> usize {
    lab.estate()["talos"]["journal"].as_array().unwrap().len()
}

/// Of every moment that the lab wrote down: more than half of the voters lived.
pub(crate) fn assert_quorum(events: &[Value]) {
    let mut seen = 0;
    for event in events {
        let (Some(voters), Some(alive)) =
            (event["voters"].as_u64(), event["voters_alive"].as_u64())
        else {
            continue;
        };
        seen += 1;
        assert!(2 * alive > voters, "quorum was lost: {event}");
    }
    assert!(seen > 0, "no moment was looked at: {events:?}");
}

#[test]
fn five_nodes_of_talos_come_up_change_one_at_a_time_and_go() {
    let project = Project::new();
    let text = example(&project);
    let file = project.cluster_file(NAME, &text);
    let path = file.to_str().unwrap();
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("5 of 5 Ready");
    assert_ready(&project, NAME, 5);
    let lab = project.lab(NAME);
    // The kubeconfig names the virtual address, which nobody configured by hand (T47, T48).
    project
        .kubectl(
            NAME,
            &[
                "config",
                "view",
                "-o",
                "jsonpath={.clusters[0].cluster.server}",
            ],
        )
        .expect_code(0)
        .expect_text("https://192.0.2.10:6443");
    let estate = lab.estate();
    for node in ["cp-1", "cp-2", "cp-3", "w-1", "w-2"] {
        let machine = machine(&estate, node);
        assert_eq!(
            (&machine["mode"], &machine["cidata"]),
            (&json!("normal"), &json!(false)),
            "{machine:#}"
        );
    }

    // What opens sealed values is there before its controller, and what the CSI driver needs is sealed for it (T22, T23).
    project
        .kubectl(
            NAME,
            &["get", "secret", "-n", "kube-system", "sealed-secrets-key"],
        )
        .expect_code(0);
    let outputs = project.state(NAME, "01-infrastructure")["outputs"].clone();
    let sealed = outputs["csi_secret"]["value"].as_str().unwrap();
    assert!(
        sealed.contains("kind: SealedSecret") && sealed.contains("config.yaml"),
        "{sealed}"
    );

    lab.clear_calls();
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("no changes");
    assert_only_reads(&lab);

    let status = project.bootstrap(&["status", "-c", path]).expect_code(0);
    assert!(!status.stdout.contains("not observed"), "{}", status.stdout);
    // What works inside nodes has no way into these, and says so.
    for verb in [&["node", "reboot", "w-1"], &["node", "ssh-open", "w-1"]] {
        project
            .bootstrap(&[verb.as_slice(), &["-c", path]].concat())
            .expect_code(3)
            .expect_text("nodes of Talos have no shell");
    }

    one_patch(&project, &text);
    upgrade(&project, &text);
    fewer_control_planes(&project, &text);

    project
        .bootstrap(&["destroy", "-c", path, "--all", "--yes"])
        .expect_code(0)
        .expect_text("no server of lab-talos is left");
}

/// A changed patch is an update of each machine, one after the other, and of nothing else.
fn one_patch(project: &Project, text: &str) {
    let lab = project.lab(NAME);
    std::fs::write(
        project.path().join("sysctls.yaml"),
        "machine: {sysctls: {vm.max_map_count: \"262144\"}}\n",
    )
    .unwrap();
    let patched = text.replace(
        "w-1: {role: worker,",
        "w-1: {role: worker, patches: [sysctls.yaml],",
    );
    assert_ne!(patched, text);
    let file = project.cluster_file(NAME, &patched);
    let changes = project.changes(NAME, &file, "01-infrastructure");
    assert_eq!(changes.len(), 1, "{changes:?}");
    let before = length(&lab);
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
    assert_quorum_if_any(&since(&lab.estate(), before));
    assert_eq!(project.changes(NAME, &file, "01-infrastructure").len(), 0);
    // And back.
    project.cluster_file(NAME, text);
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
}

/// A worker's change is no event of etcd's.
fn assert_quorum_if_any(events: &[Value]) {
    for event in events {
        if let (Some(voters), Some(alive)) =
            (event["voters"].as_u64(), event["voters_alive"].as_u64())
        {
            assert!(2 * alive > voters, "quorum was lost: {event}");
        }
    }
}

/// Another version of Talos rolls through all nodes with quorum at every moment.
fn upgrade(project: &Project, text: &str) {
    let lab = project.lab(NAME);
    let wanted = format!("{text}distribution: {{talos: {{version: v1.14.0, contract: v1.13}}}}\n");
    let file = project.cluster_file(NAME, &wanted);
    let before = length(&lab);
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
    let estate = lab.estate();
    for node in ["cp-1", "cp-2", "cp-3", "w-1", "w-2"] {
        assert_eq!(machine(&estate, node)["version"], "v1.14.0", "{node}");
    }
    assert_quorum(&since(&estate, before));
    assert_eq!(project.changes(NAME, &file, "01-infrastructure").len(), 0);
    assert_ready(project, NAME, 5);
}

/// Two control planes leave, one after the other, and the rest has quorum at every moment.
fn fewer_control_planes(project: &Project, text: &str) {
    let lab = project.lab(NAME);
    let fewer: Vec<&str> = text
        .lines()
        .filter(|line| !line.contains("cp-1:") && !line.contains("cp-2:"))
        .collect();
    let fewer = fewer.join("\n") + "\n";
    let wanted = format!("{fewer}distribution: {{talos: {{version: v1.14.0, contract: v1.13}}}}\n");
    let file = project.cluster_file(NAME, &wanted);
    let before = length(&lab);
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
    assert_quorum(&since(&lab.estate(), before));
    assert_ready(project, NAME, 3);
}

/// Every machine burned: with a snapshot and the store the next run brings back what the cluster held.
#[test]
fn burned_machines_of_talos_come_back_with_what_etcd_held() {
    let project = Project::new();
    let one: Vec<String> = example(&project)
        .lines()
        .filter(|line| !line.contains("cp-2:") && !line.contains("cp-3:") && !line.contains("w-2:"))
        .map(str::to_owned)
        .collect();
    let text = one.join("\n") + "\n";
    let file = project.cluster_file(NAME, &text);
    let path = file.to_str().unwrap();
    let up = || project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    up();
    project
        .kubectl(NAME, &["create", "configmap", "kept", "--from-literal=a=b"])
        .expect_code(0);
    // An upgrade keeps a snapshot of what was before.
    project.cluster_file(
        NAME,
        &format!("{text}distribution: {{talos: {{version: v1.13.10}}}}\n"),
    );
    up();
    let folder = project.path().join(".strata").join(NAME).join("snapshots");
    let kept = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    let snapshot = kept.path();
    let snapshot = snapshot.to_str().unwrap();
    project
        .bootstrap(&["restore", snapshot, "-c", path])
        .expect_code(3)
        .expect_text("the API answers at one of cp-1");

    let lab = project.lab(NAME);
    for machine in lab.estate()["talos"]["machines"].as_array().unwrap() {
        let (_, id) = machine["vm"].as_str().unwrap().split_once('/').unwrap();
        lab.change(json!({ "delete_vm": id.parse::<u32>().unwrap() }));
    }
    project
        .bootstrap(&["restore", snapshot, "-c", path])
        .expect_code(0);
    // What was burned could not be observed, and that is said (FN22); the run after it has nothing to do.
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(4)
        .expect_text("2 of 2 Ready");
    up().expect_text("no changes");
    assert_ready(&project, NAME, 2);
    project
        .kubectl(
            NAME,
            &["get", "configmap", "kept", "-o", "jsonpath={.data.a}"],
        )
        .expect_code(0)
        .expect_text("b");
    project
        .bootstrap(&["destroy", "-c", path, "--all", "--yes"])
        .expect_code(0);
}
