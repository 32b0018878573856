//! Nodes of Talos, closed by their own firewall: to whom they are open, nothing to do, found open, opened on purpose, and never closed to ourselves.

use crate::harness::{Lab, Project};

const NAME: &str = "lab-talos";
/// A control plane and two workers.
const NODES: [&str; 3] = ["192.0.2.11", "192.0.2.12", "192.0.2.21"];

/// Where the lab's operator sits, and somebody else.
const OPERATOR: &str = "203.0.113.5";
const STRANGER: &str = "198.51.100.77";

fn file(access: &str) -> String {
    format!(
        "strata: 1\nname: {NAME}\nlab: {{speed: 300}}\nplatform:\n  proxmox: {{url: \"https://pve1.strata.test:8006\"}}\nendpoint: {{address: 192.0.2.10}}\nnetwork: {{nodes: 192.0.2.0/24}}\n\
         access: {access}\nnodes:\n  cp-1: {{role: control-plane, host: pve1, address: 192.0.2.11/24}}\n  w-2: {{role: worker, host: pve1, address: 192.0.2.12/24}}\n  \
         w-1: {{role: worker, host: pve1, address: 192.0.2.21/24}}\n"
    )
}

fn assert_reach(lab: &Lab, from: &str, port: u16, expected: bool) {
    for node in NODES {
        assert_eq!(
            lab.connects(from, node, port),
            expected,
            "{from} to {node}:{port}"
        );
    }
}

#[test]
fn talos_closes_its_nodes_to_all_but_operators_and_never_to_ourselves() {
    let project = Project::new();
    let closed =
        file("{lockdown: on, operators: [203.0.113.0/24], api: [operators], public_ports: [443]}");
    let path = project.cluster_file(NAME, &closed);
    let path = path.to_str().unwrap();
    let up = |code| project.bootstrap(&["-c", path, "--yes"]).expect_code(code);
    up(0).expect_text("3 of 3 Ready, 10250 closed on 3 of 3");
    let lab = project.lab(NAME);
    for (from, talos) in [(OPERATOR, true), (STRANGER, false), (NODES[0], true)] {
        assert_reach(&lab, from, 50000, talos);
    }
    assert_reach(&lab, OPERATOR, 10250, false);
    assert_reach(&lab, NODES[1], 10250, true);
    assert!(lab.connects(OPERATOR, NODES[0], 6443) && !lab.connects(STRANGER, NODES[0], 6443));
    project
        .bootstrap(&["status", "-c", path])
        .expect_code(0)
        .expect_text("port 10250")
        .expect_text("closed");
    up(0).expect_text("no changes");

    // The operators of tomorrow are elsewhere, and this run with them: that is found out before anything is stored.
    let elsewhere = closed.replace("203.0.113.0/24", "198.51.100.0/24");
    project.cluster_file(NAME, &elsewhere);
    let refused = up(1);
    for part in [
        "Cannot close machine",
        "nobody gets in from here",
        "access.operators",
    ] {
        assert!(refused.text().contains(part), "{}", refused.text());
    }
    // The machine on which it was tried takes the rules back by itself, after five minutes of ours.
    lab.advance(300.0 * 300.0);
    assert_reach(&lab, OPERATOR, 50000, true);
    project.cluster_file(NAME, &closed);
    up(0);
    assert_reach(&lab, STRANGER, 50000, false);

    // Off opens them again.
    project.cluster_file(NAME, &file("{lockdown: off}"));
    let open = up(0).expect_text("3 of 3 Ready");
    assert!(!open.text().contains("10250"), "{}", open.text());
    assert_reach(&lab, STRANGER, 50000, true);
    assert_reach(&lab, OPERATOR, 10250, true);
    up(0).expect_text("no changes");
}
