//! The cold start of Talos on Proxmox, as a toy would fail it: broken off at several moments, two at once, given back after a failure, with its state lost.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cold_start::{assert_only_reads, assert_ready};
use crate::harness::{Lab, Project, Ran, eventually};
use crate::loss::forget_state;
use crate::table::interrupt;
use crate::talos::{assert_one_etcd, cluster_text, vms};

/// A moment of a cold start, in the lab's truth.
type Moment = fn(&Value) -> bool;

fn any_machine(estate: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    estate["talos"]["machines"]
        .as_array()
        .unwrap()
        .iter()
        .any(holds)
}

/// In the order in which they come.
const MOMENTS: [(&str, Moment); 5] = [
    ("a machine is made", |estate| !vms(estate).is_empty()),
    ("a machine is started with its configuration", |estate| {
        any_machine(estate, |machine| machine["cidata"] == true)
    }),
    (
        "a machine answers with the cluster's certificate",
        |estate| any_machine(estate, |machine| machine["mode"] == "normal"),
    ),
    ("etcd is there", |estate| {
        any_machine(estate, |machine| machine["etcd_data"] == true)
    }),
    ("a node has registered", |estate| {
        estate["clusters"][0]["nodes"]
            .as_object()
            .is_some_and(|nodes| !nodes.is_empty())
    }),
];

fn numbers(lab: &Lab) -> Vec<(Value, Value)> {
    let vms = vms(&lab.estate());
    vms.iter()
        .map(|vm| (vm["name"].clone(), vm["vmid"].clone()))
        .collect()
}

#[test]
fn a_cold_start_of_talos_that_is_broken_off_again_and_again_makes_everything_once() {
    let project = Project::new();
    let name = "talos-broken";
    let text = cluster_text(name, &["cp-1", "cp-2", "cp-3", "w-1"]);
    // Slow enough that each moment is met.
    let text = text.replace("speed: 300", "speed: 60");
    let file = project.cluster_file(name, &text);
    let path = file.to_str().unwrap();
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let lab = project.lab(name);
    let mut broken_off = 0;
    for (what, moment) in MOMENTS {
        // Whoever is interrupted ends what is under way.
        if moment(&lab.estate()) {
            continue;
        }
        broken_off += 1;
        let run = project
            .command("./bootstrap.sh")
            .args(["-c", path, "--yes"])
            .spawn()
            .unwrap();
        eventually(what, Duration::from_mins(2), || moment(&lab.estate()));
        interrupt(&run, 1);
        let stopped = Ran::from(run.wait_with_output().unwrap());
        assert_eq!(stopped.code, 130, "{what}:\n{}", stopped.text());
        for (address, actions) in project.changes(name, &file, "01-infrastructure") {
            let removes = actions.contains(&"delete".to_owned());
            assert!(!removes, "{what}: {address}: {actions:?}");
        }
    }
    assert!(broken_off >= 3, "{broken_off} moments only");
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("4 of 4 Ready");
    assert_eq!(
        lab.estate()["proxmox"]["created"],
        4,
        "a machine was made twice"
    );
    assert_one_etcd(&lab.estate());
    assert_ready(&project, name, 4);
    lab.clear_calls();
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("no changes");
    assert_only_reads(&lab);
}

#[test]
fn two_runs_at_once_make_one_cluster_of_talos_whose_state_can_be_lost() {
    let project = Project::new();
    let name = "talos-twice";
    let file = project.cluster_file(name, &cluster_text(name, &["cp-1", "w-1"]));
    let path = file.to_str().unwrap();
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let lab = project.lab(name);
    let start = || {
        let run = project
            .command("./bootstrap.sh")
            .args(["-c", path, "--yes"])
            .spawn();
        run.unwrap()
    };
    let runs = [start(), start()];
    let ended: Vec<Ran> = runs
        .into_iter()
        .map(|run| run.wait_with_output().unwrap().into())
        .collect();
    let well = ended.iter().filter(|run| run.code == 0).count();
    assert!(well >= 1, "{}\n{}", ended[0].text(), ended[1].text());
    for lost in ended.iter().filter(|run| run.code != 0) {
        assert_eq!(lost.code, 1, "{}", lost.text());
    }
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_eq!(lab.estate()["proxmox"]["created"], 2);
    assert_one_etcd(&lab.estate());
    assert_ready(&project, name, 2);

    lost_state(&project, &lab, path);
    project
        .bootstrap(&["destroy", "-c", path, "--yes"])
        .expect_code(0);
    let estate = lab.estate();
    assert_eq!(vms(&estate), Vec::<Value>::new());
    assert_eq!(
        estate["proxmox"]["files"],
        json!([]),
        "the image was adopted"
    );
}

/// The state alone is gone: nothing is made beside what is there, and it is taken over without being touched.
fn lost_state(project: &Project, lab: &Lab, path: &str) {
    let before = numbers(lab);
    forget_state(project, "talos-twice");
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(2)
        .expect_text("OWN-03")
        .expect_text("adopt");
    project
        .bootstrap(&["destroy", "-c", path, "--all", "--yes"])
        .expect_code(2)
        .expect_text("OWN-03");
    lab.clear_calls();
    let boots = lab.estate()["talos"]["journal"].as_array().unwrap().len();
    project
        .bootstrap(&["adopt", "-c", path])
        .expect_code(0)
        .expect_text("4 layers, no changes");
    // What users and roles may do is written again as it is.
    let harm: Vec<String> = lab
        .calls()
        .into_keys()
        .filter(|call| {
            let asks = ["Bootstrap", "ApplyConfiguration", "Reset", "Reboot"];
            let writes = [" POST ", " DELETE ", " PUT "];
            let of_proxmox =
                call.starts_with("proxmox ") && !call.contains("PUT /api2/json/access");
            asks.iter().any(|ask| call.contains(ask))
                || (of_proxmox && writes.iter().any(|write| call.contains(write)))
        })
        .collect();
    assert!(harm.is_empty(), "adopting wrote: {harm:?}");
    assert_eq!(numbers(lab), before);
    let journal = lab.estate()["talos"]["journal"].as_array().unwrap().len();
    assert_eq!(journal, boots, "something happened to a machine");
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("no changes");
}

#[test]
fn a_failed_run_of_talos_gives_back_what_it_made_and_leaves_what_serves() {
    let project = Project::new();
    let name = "talos-back";
    let file = project.cluster_file(name, &cluster_text(name, &["cp-1"]));
    let path = file.to_str().unwrap();
    let fail = || {
        project
            .bootstrap(&["-c", path, "--yes", "--on-failure", "rollback"])
            .expect_code(1)
    };
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let lab = project.lab(name);

    // A cold start that fails near its end: nothing is left, neither machine nor image nor claim.
    lab.fault(json!({"place": "kubernetes", "target": "PATCH /apis/apps/v1/namespaces/*/daemonsets/*", "action": {"status": {"code": 403}}}));
    fail().expect_text("layer 00 (PKI, keys) is kept");
    lab.clear_faults();
    let proxmox = lab.estate()["proxmox"].clone();
    assert_eq!(
        (&proxmox["vms"], &proxmox["files"]),
        (&json!([]), &json!([]))
    );
    let left = project
        .bootstrap(&["store", "list", "-c", path])
        .expect_code(0);
    let of_machines = |name: &&str| {
        ["claim/", "join/", "nodes/"]
            .iter()
            .any(|folder| name.starts_with(folder))
    };
    assert_eq!(left.stdout.lines().find(of_machines), None);
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_ready(&project, name, 1);

    // A node for a cluster that serves: nothing of the cluster goes, and the next run goes on.
    let serving = numbers(&lab);
    project.cluster_file(name, &cluster_text(name, &["cp-1", "w-1"]));
    lab.fault(json!({"place": "proxmox", "target": "POST /api2/json/nodes/*/qemu/*/status/start", "action": {"task_error": {"text": "start failed: QEMU exited with code 1"}}, "times": 1}));
    fail().expect_text("QEMU exited with code 1");
    assert!(numbers(&lab).starts_with(&serving));
    let ready = ["wait", "--for=condition=Ready", "node/cp-1", "--timeout=5s"];
    project.kubectl(name, &ready).expect_code(0);
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_ready(&project, name, 2);
}
