//! After the cold start: drift, a removed control plane, an added worker.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::cold_start::{assert_locked, assert_only_reads, assert_ready};
use crate::harness::{Lab, Project};

/// A cluster file with the given nodes, fast enough for tests.
pub(crate) fn cluster_text(name: &str, nodes: &[(&str, &str)]) -> String {
    use std::fmt::Write;
    let mut text = format!(
        "strata: 1\nname: {name}\nlab: {{speed: 300}}\nplatform: scaleway\ndns: {{cloudflare: {{zone: strata.test}}}}\nendpoint: {{name: api.{name}.strata.test}}\nnodes:\n"
    );
    for (node, role) in nodes {
        writeln!(text, "  {node}: {role}").unwrap();
    }
    text
}

/// The next plan of layer 01 names this one resource and deletes nothing.
fn assert_one_change(
    project: &Project,
    cluster: &str,
    file: &Path,
    change: &Value,
    resource: &str,
) {
    let changes = project.changes(cluster, file, "01-infrastructure");
    assert_eq!(changes.len(), 1, "{change}: {changes:#?}");
    let (address, actions) = changes.iter().next().unwrap();
    assert!(address.contains(resource), "{change}: {changes:#?}");
    assert!(
        !actions.contains(&"delete".to_owned()),
        "{change}: {changes:#?}"
    );
}

#[test]
fn every_change_from_outside_is_one_change_in_the_next_plan() {
    let project = Project::new();
    let name = "drift";
    let file = project.cluster_file(
        name,
        &cluster_text(name, &[("cp-1", "control-plane"), ("w-1", "worker")]),
    );
    let path = file.to_str().unwrap();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    let lab = project.lab(name);
    assert_eq!(
        project.changes(name, &file, "01-infrastructure").len(),
        0,
        "the plan after up is not empty"
    );

    // What is done to the world, and the one resource the next plan has to name.
    let cases = [
        (
            json!({"delete_record": {"name": "api.drift.strata.test", "type": "A"}}),
            "strata_dns_record",
        ),
        (
            json!({"add_tag": {"server": "drift-w-1", "tag": "foreign"}}),
            "strata_scaleway_baremetal_server",
        ),
        (
            json!({"open_port": {"node": "w-1", "port": 22}}),
            "strata_node_lockdown",
        ),
        // A locked machine has no door but its Node: the object is made again, and its kubelet takes it up.
        (json!({"delete_node": "w-1"}), "strata_kubeadm_node"),
    ];
    for (change, resource) in cases {
        lab.change(change.clone());
        assert_one_change(&project, name, &file, &change, resource);
        project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
        assert_eq!(
            project.changes(name, &file, "01-infrastructure").len(),
            0,
            "{change}: not healed by one run"
        );
    }

    // A server that is gone takes what stood on it along: one order, and nothing of any other machine.
    lab.change(json!({"delete_server": "drift-w-1"}));
    let changes = project.changes(name, &file, "01-infrastructure");
    let servers: Vec<_> = changes
        .iter()
        .filter(|(address, _)| address.contains("strata_scaleway_baremetal_server"))
        .collect();
    assert_eq!(servers.len(), 1, "{changes:#?}");
    assert_eq!(servers[0].1, &["create"], "{changes:#?}");
    for (address, actions) in &changes {
        assert!(
            address.contains("w-1") || actions == &["update"],
            "{address} of another machine: {actions:?}\n{changes:#?}"
        );
    }
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_ready(&project, name, 2);
    assert_locked(&project, name, "api.drift.strata.test");
}

#[test]
fn cp_1_removed_from_the_file_leaves_alone_and_a_late_worker_is_let_in() {
    let project = Project::new();
    let name = "day2";
    let all = [
        ("cp-1", "control-plane"),
        ("cp-2", "control-plane"),
        ("cp-3", "control-plane"),
        ("w-1", "worker"),
    ];
    let file = project.cluster_file(name, &cluster_text(name, &all));
    let path = file.to_str().unwrap();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    let lab = project.lab(name);
    let before = lab.servers();

    // A worker joins a cluster whose nodes are locked already, by the word for it: one line in the file, and `up`.
    let comment = "# what somebody wrote beside it\n";
    project.cluster_file(name, &(cluster_text(name, &all) + comment));
    let node = |arguments: &[&str]| {
        project.bootstrap(&[&["node"], arguments, &["-c", path, "--yes"]].concat())
    };
    node(&["add", "w-2", "--role", "worker"])
        .expect_code(0)
        .expect_text("+   w-2: worker");
    let more = [all.as_slice(), &[("w-2", "worker")]].concat();
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        cluster_text(name, &more) + comment
    );
    assert_ready(&project, name, 5);
    assert_locked(&project, name, "api.day2.strata.test");
    for old in ["cp-1", "cp-2", "cp-3", "w-1"] {
        assert!(
            lab.connects("w-2", old, 10250),
            "{old} drops the new worker's traffic"
        );
        assert!(
            !lab.connects("203.0.113.5", old, 10250),
            "{old} accepts kubelet traffic from outside"
        );
    }
    for (server, was) in &before {
        assert_eq!(
            was["id"],
            lab.servers()[server]["id"],
            "{server} was ordered again"
        );
    }

    // The first control plane by name goes, and cp-2, cp-3 and the workers stay what they are. Two control planes remain only on the way
    // to three: cp-4 comes in the same edit, since even counts are refused.
    let fewer = [
        ("cp-2", "control-plane"),
        ("cp-3", "control-plane"),
        ("cp-4", "control-plane"),
        ("w-1", "worker"),
        ("w-2", "worker"),
    ];
    project.cluster_file(name, &cluster_text(name, &fewer));
    let changes = project.changes(name, &file, "01-infrastructure");
    for (address, actions) in &changes {
        let other = !address.contains("cp-1") && !address.contains("cp-4");
        // The endpoint's first record moves to the next control plane; that is no machine's.
        let of_a_machine = [
            "baremetal_server",
            "kubeadm_node",
            "node_lockdown",
            "strata_secret",
        ]
        .iter()
        .any(|kind| address.contains(kind));
        assert!(
            !(other && of_a_machine) || actions == &["update"],
            "{address}: {actions:?}\n{changes:#?}"
        );
        assert!(
            !(other && address.contains("baremetal_server")),
            "{address} is touched: {actions:?}"
        );
    }
    let before = lab.servers();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    let after = lab.servers();
    assert!(!after.contains_key("day2-cp-1") && after.contains_key("day2-cp-4"));
    for server in ["day2-cp-2", "day2-cp-3", "day2-w-1", "day2-w-2"] {
        assert_eq!(
            before[server]["id"], after[server]["id"],
            "{server} was touched"
        );
    }
    assert_ready(&project, name, 5);
    assert_locked(&project, name, "api.day2.strata.test");

    an_upgrade(&project, name, &cluster_text(name, &fewer));
    one_word_for_one_node(&project, path, &lab);
}

/// Another version is one change of one resource. Broken off on the second control plane, it goes on there, and etcd never loses its majority.
fn an_upgrade(project: &Project, name: &str, text: &str) {
    let wanted =
        |version: &str| format!("{text}distribution: {{kubeadm: {{version: {version}}}}}\n");
    let file = project.cluster_file(name, &wanted("v1.36.0"));
    let path = file.to_str().unwrap();
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(1)
        .expect_text("Go to v1.35.x first");
    project.cluster_file(name, &wanted("v1.35.1"));
    let change = json!("another version");
    assert_one_change(project, name, &file, &change, "strata_kubernetes_cluster");
    let lab = project.lab(name);
    lab.fault(json!({"place": "machine", "target": "cp-3", "action": {"kubeadm_fail": {"phase": "control-plane"}}, "times": 1}));
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(1)
        .expect_text("cp-3");
    let version = |lab: &crate::harness::Lab, node: &str| {
        lab.estate()["clusters"][0]["nodes"][node]["kubelet"].clone()
    };
    assert_eq!(version(&lab, "cp-2"), "v1.35.1+lab");
    assert_eq!(version(&lab, "cp-4"), "v1.34.2+lab");
    assert_one_change(project, name, &file, &change, "strata_kubernetes_cluster");
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    for node in ["cp-2", "cp-3", "cp-4", "w-1", "w-2"] {
        assert_eq!(version(&lab, node), "v1.35.1+lab", "{node}");
    }
    let cluster = lab.estate()["clusters"][0].clone();
    assert_eq!(cluster["quorum_losses"], 0, "{cluster:#}");
    assert_eq!(project.changes(name, &file, "01-infrastructure").len(), 0);
    assert_ready(project, name, 5);
}

/// `node replace`, `node remove`, and what they refuse.
fn one_word_for_one_node(project: &Project, path: &str, lab: &Lab) {
    let name = "day2";
    let text = || std::fs::read_to_string(path).unwrap();
    let written = text();
    let node =
        |arguments: &[&str]| project.bootstrap(&[&["node"], arguments, &["-c", path]].concat());
    lab.clear_calls();
    node(&["remove", "cp-2", "cp-3", "cp-4", "--yes"])
        .expect_code(3)
        .expect_text("there is no control plane left");
    node(&["remove", "cp-2", "--yes"])
        .expect_code(2)
        .expect_text("NODES-02");
    node(&["add", "w-1", "--role", "worker", "--yes"])
        .expect_code(3)
        .expect_text("already");
    node(&["replace", "cp-9", "--yes"])
        .expect_code(3)
        .expect_text("there are cp-2 cp-3 cp-4 w-1 w-2");
    node(&["replace", "cp-3"])
        .expect_code(3)
        .expect_text("To go on: ./bootstrap.sh node replace cp-3 -c day2.yaml --yes");
    assert_eq!(text(), written, "a refusal changed the file");
    assert_only_reads(lab);

    // The endpoint's record goes before the machine and comes back behind the member; nobody else is touched.
    let before = lab.servers();
    node(&["replace", "cp-3", "--yes"]).expect_code(0);
    let after = lab.servers();
    for (server, was) in &before {
        let same = was["id"] == after[server]["id"];
        assert_eq!(same, server != "day2-cp-3", "{server}");
    }
    assert_ready(project, name, 5);
    assert_locked(project, name, "api.day2.strata.test");

    // A control plane burned meanwhile, and with it the API server and the etcd member on it: the same run removes the worker, takes the dead
    // member out and orders the machine anew.
    lab.change(json!({"delete_server": "day2-cp-2"}));
    node(&["remove", "w-2", "--yes"])
        .expect_code(0)
        .expect_text("-   w-2: worker");
    assert_eq!(text(), written.replace("  w-2: worker\n", ""));
    assert!(!lab.servers().contains_key("day2-w-2"));
    assert_ne!(lab.servers()["day2-cp-2"]["id"], after["day2-cp-2"]["id"]);
    assert_ready(project, name, 4);
    // A window opens for one address and closes by itself; what ssh needs lies there, for the owner's eyes only.
    node(&["ssh-open", "cp-4", "--for", "5h"]).expect_code(2);
    let opened = node(&["ssh-open", "cp-4", "--for", "20m"])
        .expect_code(0)
        .expect_text("lets 203.0.113.5 in on port 22 for 20m00s");
    assert!(lab.connects("operator", "cp-4", 22), "{}", opened.text());
    assert!(!lab.connects("203.0.113.77", "cp-4", 22));
    assert!(!lab.connects("operator", "cp-2", 22));
    let ssh = project.path().join(".strata/day2/ssh");
    let known = std::fs::read_to_string(ssh.join("known_hosts")).unwrap();
    assert!(known.contains(" ssh-ed25519 "), "{known}");
    let mode = std::fs::metadata(ssh.join("operator"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    lab.advance(1300.0);
    assert!(
        !lab.connects("operator", "cp-4", 22),
        "the window did not close"
    );
    node(&["rescue", "cp-4", "--print"])
        .expect_code(0)
        .expect_text("\"boot_type\":\"rescue\"")
        .expect_text(lab.servers()["day2-cp-4"]["id"].as_str().unwrap());
    node(&["rescue", "cp-4"])
        .expect_code(3)
        .expect_text("To go on: ./bootstrap.sh node rescue cp-4 -c day2.yaml --yes");
    assert!(!lab.connects("operator", "cp-4", 22));
    // Through the rescue system: its own door opens, its disks are what they were, and the next run locks it again.
    node(&["rescue", "cp-4", "--yes"])
        .expect_code(0)
        .expect_text("trusted on first use")
        .expect_text("cp-4 lets you in on port 22");
    assert!(lab.connects("operator", "cp-4", 22));
    assert_ready(project, name, 4);
    project
        .bootstrap(&["up", "-c", path, "--yes"])
        .expect_code(0);
    assert_locked(project, name, "api.day2.strata.test");

    an_update_waits_for_its_reboot(project, path, lab);

    node(&["list"])
        .expect_code(0)
        .expect_text("4 of 4 Ready, 22 closed on 4 of 4");
    let status = project.bootstrap(&["status", "-c", path]).expect_code(0);
    for row in [
        "Scaleway API key ",
        "Cloudflare API token ",
        "kubeconfig ",
        "join token ",
        "sealed-secrets certificate ",
        " of cp-2 ",
        " of cp-3 ",
        " of cp-4 ",
    ] {
        let ends = |line: &&str| line.contains(row) && line.contains(" UTC ");
        assert!(
            status.stdout.lines().any(|line| ends(&line)),
            "{row}: {}",
            status.stdout
        );
    }
}

/// Two control planes fetch an update in the same minute. Nobody reboots by himself, `status` says who waits since when, and one word reboots one node.
fn an_update_waits_for_its_reboot(project: &Project, path: &str, lab: &Lab) {
    let losses = || lab.estate()["clusters"][0]["quorum_losses"].clone();
    let before = losses();
    let status = || {
        project
            .bootstrap(&["status", "-c", path])
            .expect_code(0)
            .stdout
    };
    assert!(!status().contains("reboot pending"));
    lab.change(json!({"fetch_update": "cp-3"}));
    lab.change(json!({"fetch_update": "cp-4"}));
    lab.advance(7200.0);
    let waiting = |text: &str, node: &str| {
        text.lines().any(|line| {
            line.starts_with("reboot pending since 20") && line.ends_with(&format!(": {node}"))
        })
    };
    let text = status();
    assert!(waiting(&text, "cp-3") && waiting(&text, "cp-4"), "{text}");
    assert!(
        text.contains("./bootstrap.sh node reboot NAME -c day2.yaml"),
        "{text}"
    );
    project
        .bootstrap(&["node", "reboot", "cp-9", "-c", path])
        .expect_code(3);
    project
        .bootstrap(&["node", "reboot", "cp-3", "-c", path])
        .expect_code(0)
        .expect_text("cp-3 has rebooted, is Ready and takes pods again");
    let text = status();
    assert!(!waiting(&text, "cp-3") && waiting(&text, "cp-4"), "{text}");
    assert_eq!(losses(), before, "etcd lost its majority meanwhile");
    assert_ne!(
        lab.estate()["clusters"][0]["nodes"]["cp-3"]["unschedulable"],
        true
    );
}
