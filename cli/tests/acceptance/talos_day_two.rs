//! Talos after the cold start: what others do to the machines behind our back, patches for all nodes, and control planes that may not go.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cold_start::assert_ready;
use crate::harness::{Lab, Project, eventually};
use crate::talos::{assert_quorum, cluster_text, length, machine, since, vms};

const LAYER: &str = "01-infrastructure";

/// Number of a node's machine.
fn number(lab: &Lab, cluster: &str, node: &str) -> u64 {
    let estate = lab.estate();
    let title = format!("{cluster}-{node}");
    let vms = vms(&estate);
    let vm = vms.iter().find(|vm| vm["name"] == *title);
    vm.unwrap_or_else(|| panic!("no machine is {title}: {vms:#?}"))["vmid"]
        .as_u64()
        .unwrap()
}

fn option(lab: &Lab, number: u64, name: &str) -> Value {
    let vms = vms(&lab.estate());
    let vm = vms.iter().find(|vm| vm["vmid"] == number).unwrap();
    vm["options"][name].clone()
}

fn meddle(lab: &Lab, number: u64, option: &str, value: &str) {
    lab.change(json!({"change_vm": {"vmid": number, "option": option, "value": value}}));
}

/// The next plan of layer 01 updates this one resource and nothing else.
#[track_caller]
fn assert_one_update(project: &Project, cluster: &str, file: &Path, address: &str) {
    let changes = project.changes(cluster, file, LAYER);
    let updated: Vec<_> = changes.iter().collect();
    let [(found, actions)] = updated[..] else {
        panic!("{address}: {changes:#?}");
    };
    assert_eq!(found, address);
    assert_eq!(actions, &["update"], "{address}");
}

#[test]
fn what_others_do_to_machines_of_talos_is_seen_and_mended() {
    let project = Project::new();
    let name = "talos-drift";
    let file = project.cluster_file(name, &cluster_text(name, &["cp-1", "w-1"]));
    let path = file.to_str().unwrap();
    let up = || project.bootstrap(&["-c", path, "--yes"]);
    up().expect_code(0);
    let lab = project.lab(name);
    let worker = number(&lab, name, "w-1");
    let vm = "module.virtual_machine[\"w-1\"].strata_proxmox_vm.this";
    let node = "module.talos_machine[\"w-1\"].strata_talos_machine.this";

    // Marks are what a lost reply is found by: without them the next accident would make a second machine. Plain terraform puts them back, the run does not begin.
    let tags = option(&lab, worker, "tags");
    meddle(&lab, worker, "tags", "");
    up().expect_code(2)
        .expect_text("PVE-05")
        .expect_text(tags.as_str().unwrap())
        .expect_text("Nothing was changed");
    assert_one_update(&project, name, &file, vm);
    project
        .terraform(
            name,
            &file,
            LAYER,
            &["apply", "-auto-approve", "-input=false"],
        )
        .expect_code(0);
    assert_eq!(option(&lab, worker, "tags"), tags);
    assert_eq!(project.changes(name, &file, LAYER).len(), 0);

    meddle(&lab, worker, "cores", "1");
    assert_one_update(&project, name, &file, vm);
    up().expect_code(0);
    assert_ne!(option(&lab, worker, "cores"), json!("1"));

    // A disk that grew cannot shrink: the file has to follow.
    let disk = option(&lab, worker, "scsi0").as_str().unwrap().to_owned();
    let size = disk
        .rsplit_once("size=")
        .unwrap()
        .1
        .split(',')
        .next()
        .unwrap();
    let grown = disk.replace(&format!("size={size}"), "size=900G");
    meddle(&lab, worker, "scsi0", &grown);
    up().expect_code(1)
        .expect_text("The disk has 900 GiB and cannot shrink");
    meddle(&lab, worker, "scsi0", &disk);

    switched_off(&project, &lab, &file, worker, node);
    configured_behind_our_back(&project, &lab, &file, node);

    // A machine that is gone is made anew, and joins; etcd is not asked for anything.
    let before = number(&lab, name, "cp-1");
    lab.change(json!({ "delete_vm": worker }));
    let changes = project.changes(name, &file, LAYER);
    assert_eq!(changes.get(vm).map(Vec::len), Some(1), "{changes:#?}");
    assert!(
        changes.keys().all(|address| !address.contains("cp-1")),
        "{changes:#?}"
    );
    up().expect_code(4).expect_text("2 of 2 Ready");
    up().expect_code(0).expect_text("no changes");
    assert_ready(&project, name, 2);
    assert_eq!(number(&lab, name, "cp-1"), before);
    assert_eq!(vms(&lab.estate()).len(), 2);
}

/// What Proxmox knows to be off is not merely "not observed": the next run starts it, with what its disk held.
fn switched_off(project: &Project, lab: &Lab, file: &Path, number: u64, address: &str) {
    let name = "talos-drift";
    let path = file.to_str().unwrap();
    lab.proxmox("POST", &format!("nodes/pve1/qemu/{number}/status/stop"));
    let running = || vms(&lab.estate()).iter().all(|vm| vm["running"] == true);
    eventually("it is off", std::time::Duration::from_secs(20), || {
        !running()
    });
    assert_one_update(project, name, file, address);
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("2 of 2 Ready");
    assert!(running());
    assert_eq!(machine(&lab.estate(), "w-1")["cidata"], false);
    assert_eq!(project.changes(name, file, LAYER).len(), 0);
}

/// Another clone of the project changed a node, and this one's state knows nothing of it.
fn configured_behind_our_back(project: &Project, lab: &Lab, file: &Path, address: &str) {
    let name = "talos-drift";
    let path = file.to_str().unwrap();
    let state = project.path().join(format!(
        "terraform/{LAYER}/terraform.tfstate.d/{name}/terraform.tfstate"
    ));
    let before = fs::read(&state).unwrap();
    let text = fs::read_to_string(file).unwrap();
    let patch = "machine: {sysctls: {vm.max_map_count: \"262144\"}}\n";
    fs::write(project.path().join("sysctls.yaml"), patch).unwrap();
    let theirs = text.replace(
        "w-1: {role: worker,",
        "w-1: {role: worker, patches: [sysctls.yaml],",
    );
    assert_ne!(theirs, text);
    project.cluster_file(name, &theirs);
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    fs::write(&state, before).unwrap();
    project.cluster_file(name, &text);
    assert_one_update(project, name, file, address);
    let at = length(lab);
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_eq!(project.changes(name, file, LAYER).len(), 0);
    let events = since(&lab.estate(), at);
    let applied = events
        .iter()
        .filter(|event| event["event"] == "configuration applied");
    let nodes: Vec<&Value> = applied.map(|event| &event["node"]).collect();
    assert_eq!(nodes, ["w-1"], "{events:#?}");
}

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

#[test]
fn with_one_control_plane_away_no_other_one_goes_or_reboots() {
    let project = Project::new();
    let name = "talos-quorum";
    let nodes = &FIVE[..3];
    let text = cluster_text(name, nodes);
    let file = project.cluster_file(name, &text);
    let path = file.to_str().unwrap();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    let lab = project.lab(name);
    let without = |nodes: &[&str]| {
        let lines = text.lines().filter(|line| {
            let line = line.trim_start();
            !nodes
                .iter()
                .any(|node| line.starts_with(&format!("{node}:")))
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    };
    // Two voters are no better than one: the file is refused before anything is asked.
    project.cluster_file(name, &without(&["cp-3"]));
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(2)
        .expect_text("Nothing was changed");

    lab.fault(json!({"place": "talos", "target": "cp-2", "action": "unreachable"}));
    project.cluster_file(name, &without(&["cp-1", "cp-3"]));
    let at = length(&lab);
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(1)
        .expect_text("Removing it now would stop the cluster")
        .expect_text("1 of 2 members of etcd would be healthy");
    let quiet = |at: usize| {
        let events = since(&lab.estate(), at);
        let loud = ["left etcd", "member removed", "reset", "off"];
        let happened = events
            .iter()
            .find(|event| loud.contains(&event["event"].as_str().unwrap()));
        assert_eq!(happened, None, "{events:#?}");
    };
    quiet(at);
    assert_eq!(vms(&lab.estate()).len(), nodes.len());

    // A patch that takes a reboot waits a moment, and then refuses.
    let udev = "machine: {udev: {rules: [\"SUBSYSTEM==\\\"block\\\"\"]}}\n";
    fs::write(project.path().join("udev.yaml"), udev).unwrap();
    let patched = text.replace(
        "cp-1: {role: control-plane,",
        "cp-1: {role: control-plane, patches: [udev.yaml],",
    );
    assert_ne!(patched, text);
    project.cluster_file(name, &patched);
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(1)
        .expect_text("It would reboot")
        .expect_text("1 of 3 members of etcd are healthy");
    quiet(at);
    lab.clear_faults();
    project.cluster_file(name, &text);
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_ready(&project, name, nodes.len());
}

/// Without a majority what the last control plane holds cannot be had: its machine goes with what is in it, and etcd begins with the snapshot.
#[test]
fn a_control_plane_left_without_majority_goes_for_a_snapshot() {
    let project = Project::new();
    let name = "talos-half";
    let nodes = ["cp-1", "cp-2", "cp-3", "w-1"];
    let file = project.cluster_file(name, &cluster_text(name, &nodes));
    let path = file.to_str().unwrap();
    let run = |arguments: &[&str]| project.bootstrap(&[arguments, &["-c", path]].concat());
    let note = |text: &str| {
        let made = project.kubectl(name, &["create", "configmap", text]);
        made.expect_code(0);
    };
    run(&["--yes"]).expect_code(0);
    note("before");
    run(&["backup"]).expect_code(0).expect_text("sealed");
    note("after");
    let folder = project.path().join(format!(".strata/{name}/snapshots"));
    let kept = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let snapshot = kept.max().unwrap();
    let snapshot = snapshot.to_str().unwrap();
    let lab = project.lab(name);

    run(&["restore", snapshot])
        .expect_code(3)
        .expect_text("the API answers at one of cp-1 cp-2 cp-3");
    for node in ["cp-2", "cp-3"] {
        lab.change(json!({ "delete_vm": number(&lab, name, node) }));
    }
    run(&["restore", snapshot])
        .expect_code(3)
        .expect_text("1 of 3 control planes left: cp-1")
        .expect_text("--yes");
    let uuid = |node: &str| option(&lab, number(&lab, name, node), "smbios1");
    let (left, worker) = (uuid("cp-1"), uuid("w-1"));
    run(&["restore", snapshot, "--yes"])
        .expect_code(0)
        .expect_text("the machine of cp-1, by the next up")
        .expect_text("w-1 find the API again");
    assert_eq!(uuid("cp-1"), left, "nothing is destroyed before `up`");

    // Broken off after the machine was given up, and taken up again: no second machine, no second etcd.
    lab.fault(json!({"place": "proxmox", "target": "POST /api2/json/nodes/{node}/qemu", "action": {"status": {"code": 403}}}));
    run(&["--yes"]).expect_code(1);
    lab.clear_faults();
    let up = run(&["--yes"]);
    assert!(matches!(up.code, 0 | 4), "{}", up.text());
    run(&["--yes"]).expect_code(0).expect_text("no changes");
    assert_ready(&project, name, 4);
    assert_ne!(uuid("cp-1"), left);
    assert_eq!(uuid("w-1"), worker, "the worker stood all the time");
    assert_eq!(vms(&lab.estate()).len(), 4);
    let maps = project.kubectl(name, &["get", "configmap", "--output", "name"]);
    let maps = maps.expect_code(0);
    assert!(maps.stdout.contains("configmap/before"), "{}", maps.stdout);
    assert!(!maps.stdout.contains("configmap/after"), "{}", maps.stdout);
}
