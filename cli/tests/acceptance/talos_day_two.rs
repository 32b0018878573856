//! Talos after the cold start: patches for all nodes, one node at a time.

use std::fs;

use serde_json::{Value, json};

use crate::cold_start::assert_ready;
use crate::harness::Project;
use crate::talos::{assert_quorum, cluster_text, length, since};

const LAYER: &str = "01-infrastructure";

const FIVE: [&str; 5] = ["cp-1", "cp-2", "cp-3", "w-1", "w-2"];

/// Of a journal: which nodes took a configuration, in their order. Panics when one began before the one before was at work again.
fn one_at_a_time(events: &[Value], reboots: bool) -> Vec<String> {
    let begins = if reboots {
        "configuration applied with a reboot"
    } else {
        "configuration applied"
    };
    let mut order = Vec::new();
    let mut away: Option<String> = None;
    for event in events {
        let node = event["node"].as_str().unwrap().to_owned();
        match event["event"].as_str().unwrap() {
            begun if begun == begins => {
                assert_eq!(away, None, "{node} began meanwhile: {events:#?}");
                order.push(node.clone());
                away = reboots.then_some(node);
            }
            "running" if away.as_ref() == Some(&node) => away = None,
            "off" | "boot" => assert_eq!(away, Some(node), "{events:#?}"),
            _ => {}
        }
    }
    assert_eq!(away, None, "{events:#?}");
    order
}

#[test]
fn a_patch_for_all_nodes_changes_one_at_a_time_and_etcd_keeps_its_majority() {
    let project = Project::new();
    let name = "talos-patch";
    let text = cluster_text(name, &FIVE);
    let file = project.cluster_file(name, &text);
    let path = file.to_str().unwrap();
    let up = || project.bootstrap(&["-c", path, "--yes"]);
    up().expect_code(0);
    let lab = project.lab(name);
    let place = |name: &str, patch: &str| fs::write(project.path().join(name), patch).unwrap();
    place(
        "sysctls.yaml",
        "machine: {sysctls: {vm.max_map_count: \"262144\"}}\n",
    );
    place(
        "udev.yaml",
        "machine: {udev: {rules: [\"SUBSYSTEM==\\\"block\\\"\"]}}\n",
    );

    // What takes effect at once.
    project.cluster_file(
        name,
        &format!("{text}distribution: {{talos: {{patches: [sysctls.yaml]}}}}\n"),
    );
    let changes = project.changes(name, &file, LAYER);
    assert_eq!(changes.len(), FIVE.len(), "{changes:#?}");
    assert!(
        changes.values().all(|actions| actions == &["update"]),
        "{changes:#?}"
    );
    let at = length(&lab);
    up().expect_code(0);
    let mut nodes = one_at_a_time(&since(&lab.estate(), at), false);
    nodes.sort();
    assert_eq!(nodes, FIVE);
    assert_eq!(project.changes(name, &file, LAYER).len(), 0);

    // What takes a reboot, of which the plan warns: the voters are looked at at every moment. One reply is lost, and one machine reboots in the middle of the call.
    project.cluster_file(
        name,
        &format!("{text}distribution: {{talos: {{patches: [sysctls.yaml, udev.yaml]}}}}\n"),
    );
    let apply = "/machine.MachineService/ApplyConfiguration";
    lab.fault(json!({"place": "talos", "target": format!("cp-1 {apply}"), "action": "lose_reply", "times": 1}));
    lab.fault(json!({"place": "talos", "target": "w-1", "action": {"reboot_during": {"verb": "ApplyConfiguration"}}, "times": 1}));
    let at = length(&lab);
    up().expect_code(0).expect_text("machine.udev");
    assert_eq!(lab.faults(), Vec::<Value>::new());
    let events = since(&lab.estate(), at);
    let mut nodes = one_at_a_time(&events, true);
    nodes.sort();
    assert_eq!(nodes, FIVE);
    assert_quorum(&events);
    assert_eq!(project.changes(name, &file, LAYER).len(), 0);
    assert_ready(&project, name, 5);
}
