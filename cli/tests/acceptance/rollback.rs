//! `--on-failure rollback`: a run that failed gives back what it made, and nothing that was there before.

use serde_json::json;

use crate::cold_start::{assert_locked, assert_ready};
use crate::day_two::cluster_text;
use crate::harness::{Lab, Project};

fn kubeadm_breaks_off(lab: &Lab, node: &str) {
    lab.fault(json!({"place": "machine", "target": node, "action": {"kubeadm_fail": {"phase": "kubelet-start"}}, "times": 1}));
}

#[test]
fn a_failed_run_gives_back_what_it_made_and_leaves_what_serves() {
    let project = Project::new();
    let name = "back";
    let mut nodes = vec![("cp-1", "control-plane")];
    let file = project.cluster_file(name, &cluster_text(name, &nodes));
    let path = file.to_str().unwrap();
    let fail = || {
        project
            .bootstrap(&["-c", path, "--yes", "--on-failure", "rollback"])
            .expect_code(1)
            .expect_text("kubeadm-")
    };
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let lab = project.lab(name);

    // A cold start that fails near its end: nothing was there before, so nothing is left but the keys. Records, stored join values and the
    // claim go as well.
    let forbidden = json!({"place": "kubernetes", "target": "PATCH /apis/apps/v1/namespaces/*/daemonsets/*", "action": {"status": {"code": 403}}});
    lab.fault(forbidden);
    let rollback = ["-c", path, "--yes", "--on-failure", "rollback"];
    project
        .bootstrap(&rollback)
        .expect_code(1)
        .expect_text("join information stored")
        .expect_text("record published")
        .expect_text("layer 00 (PKI, keys) is kept");
    lab.clear_faults();
    assert_eq!(lab.servers().len(), 0, "{:#?}", lab.servers());
    assert_eq!(lab.estate()["dns_records"], json!([]));
    let left = project
        .bootstrap(&["store", "list", "-c", path])
        .expect_code(0);
    let of_machines = |name: &&str| {
        ["claim/", "join/", "nodes/"]
            .iter()
            .any(|folder| name.starts_with(folder))
    };
    assert_eq!(left.stdout.lines().find(of_machines), None);
    let pki = project.path().join(".strata/back/store/pki.age");
    let before = std::fs::read(&pki).unwrap();

    // What cannot be proven closed runs and stays open, whatever was asked for.
    let closes_too_much = json!({"place": "machine", "action": {"mutate": {"where_": "file:/etc/strata/nft/locked.nft", "from": "tcp dport 6443 accept", "to": "tcp dport 6444 accept"}}, "times": 1});
    lab.fault(closes_too_much);
    project
        .bootstrap(&rollback)
        .expect_code(1)
        .expect_text("they run and stay open");
    let running = lab.servers()["back-cp-1"]["id"].clone();
    assert!(lab.connects("operator", "cp-1", 22));
    lab.clear_faults();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_eq!(lab.servers()["back-cp-1"]["id"], running);
    assert_eq!(
        std::fs::read(&pki).unwrap(),
        before,
        "the PKI was made anew"
    );
    assert_ready(&project, name, 1);

    // A node for a cluster that serves: Terraform would take the others along with it, so nothing goes.
    let serving = lab.servers()["back-cp-1"].clone();
    nodes.push(("w-1", "worker"));
    project.cluster_file(name, &cluster_text(name, &nodes));
    kubeadm_breaks_off(&lab, "w-1");
    fail().expect_text("it would take along what this run did not make: module.");
    assert_eq!(lab.servers()["back-cp-1"], serving);
    let ready = ["wait", "--for=condition=Ready", "node/cp-1", "--timeout=5s"];
    project.kubectl(name, &ready).expect_code(0);
    let added = lab.servers()["back-w-1"]["id"].clone();

    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_ready(&project, name, 2);
    assert_locked(&project, name, "api.back.strata.test");
    assert_eq!(lab.servers()["back-w-1"]["id"], added, "ordered twice");
}
