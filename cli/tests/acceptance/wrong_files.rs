//! A wrong cluster file is refused by preflight and by the first plan, naming line and field, before any call is made.

use std::fs;

use crate::cold_start::assert_only_reads;
use crate::harness::{Lab, Project};

/// What is wrong, the file, the line and the field the finding must name.
type Wrong = (&'static str, &'static str, usize, &'static str);

const WRONG: &[Wrong] = &[
    (
        "unknown field",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\nendpont: {name: api.wrong.strata.test}\nnodes:\n  cp-1: control-plane\n",
        5,
        "endpont",
    ),
    (
        "bad role",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\nendpoint: {name: api.wrong.strata.test}\nnodes:\n  cp-1: control-plane\n  w-1: wroker\n",
        8,
        "w-1",
    ),
    (
        "even control planes",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\ndns: {cloudflare: {zone: strata.test}}\nendpoint: {name: api.wrong.strata.test}\nnodes:\n  cp-1: control-plane\n  cp-2: control-plane\n",
        9,
        "nodes.cp-2",
    ),
    (
        "overlapping networks",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\ndns: {cloudflare: {zone: strata.test}}\nendpoint: {name: api.wrong.strata.test}\nnetwork:\n  pods: 10.96.0.0/16\nnodes:\n  cp-1: control-plane\n",
        8,
        "network.pods",
    ),
    (
        "a secret",
        "strata: 1\nname: wrong\nlab: true\nplatform: scaleway\ndns: {cloudflare: {zone: strata.test}}\nendpoint: {name: api.wrong.strata.test}\nnodes:\n  cp-1:\n    role: control-plane\n    labels: {example.org/token: AGE-SECRET-KEY-1QQPQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ}\n",
        10,
        "nodes.cp-1.labels",
    ),
];

/// The same of Talos on Proxmox.
const WRONG_OF_PROXMOX: &[Wrong] = &[
    (
        "a node without a host",
        "strata: 1\nname: wrong\nlab: true\nplatform: {proxmox: {url: \"https://pve1.strata.test:8006\"}}\nendpoint: {address: 192.0.2.10}\nnetwork: {nodes: 192.0.2.0/24}\nnodes:\n  cp-1: {role: control-plane, address: 192.0.2.11/24}\n",
        8,
        "nodes.cp-1",
    ),
    (
        "a node without an address",
        "strata: 1\nname: wrong\nlab: true\nplatform: {proxmox: {url: \"https://pve1.strata.test:8006\"}}\nendpoint: {address: 192.0.2.10}\nnetwork: {nodes: 192.0.2.0/24}\nnodes:\n  cp-1: {role: control-plane, host: pve1}\n",
        8,
        "nodes.cp-1",
    ),
    (
        "an address outside the nodes' network",
        "strata: 1\nname: wrong\nlab: true\nplatform: {proxmox: {url: \"https://pve1.strata.test:8006\"}}\nendpoint: {address: 192.0.2.10}\nnetwork: {nodes: 192.0.2.0/24}\nnodes:\n  cp-1: {role: control-plane, host: pve1, address: 198.51.100.11/24}\n",
        8,
        "nodes.cp-1.address",
    ),
    (
        "the virtual address of a node",
        "strata: 1\nname: wrong\nlab: true\nplatform: {proxmox: {url: \"https://pve1.strata.test:8006\"}}\nendpoint: {address: 192.0.2.11}\nnetwork: {nodes: 192.0.2.0/24}\nnodes:\n  cp-1: {role: control-plane, host: pve1, address: 192.0.2.11/24}\n",
        8,
        "nodes.cp-1.address",
    ),
    (
        "two nodes with one address",
        "strata: 1\nname: wrong\nlab: true\nplatform: {proxmox: {url: \"https://pve1.strata.test:8006\"}}\nendpoint: {address: 192.0.2.10}\nnetwork: {nodes: 192.0.2.0/24}\nnodes:\n  cp-1: {role: control-plane, host: pve1, address: 192.0.2.11/24}\n  w-1: {role: worker, host: pve1, address: 192.0.2.11/24}\n",
        9,
        "nodes.w-1.address",
    ),
    (
        "a version of Talos that is none",
        "strata: 1\nname: wrong\nlab: true\nplatform: {proxmox: {url: \"https://pve1.strata.test:8006\"}}\nendpoint: {address: 192.0.2.10}\nnetwork: {nodes: 192.0.2.0/24}\ndistribution: {talos: {version: latest}}\nnodes:\n  cp-1: {role: control-plane, host: pve1, address: 192.0.2.11/24}\n",
        7,
        "distribution.talos.version",
    ),
    (
        "even control planes",
        "strata: 1\nname: wrong\nlab: true\nplatform: {proxmox: {url: \"https://pve1.strata.test:8006\"}}\nendpoint: {address: 192.0.2.10}\nnetwork: {nodes: 192.0.2.0/24}\nnodes:\n  cp-1: {role: control-plane, host: pve1, address: 192.0.2.11/24}\n  cp-2: {role: control-plane, host: pve1, address: 192.0.2.12/24}\n",
        9,
        "nodes.cp-2",
    ),
];

#[test]
fn a_wrong_cluster_file_is_refused_before_any_call() {
    let project = Project::new();
    // A lab of a good cluster runs, so that a call would have somewhere to go and be counted.
    let good = project.cluster_file("wrong-good", "strata: 1\nname: wrong\nlab: {speed: 300}\nplatform: scaleway\nendpoint: {name: api.wrong.strata.test}\ndns: {cloudflare: {zone: strata.test}}\nnodes:\n  cp-1: control-plane\n");
    project
        .bootstrap(&["preflight", "-c", good.to_str().unwrap()])
        .expect_code(0);
    let lab = project.lab("wrong");
    for wrong in WRONG.iter().chain(WRONG_OF_PROXMOX) {
        refused(&project, &lab, wrong);
    }

    // A budget is a hard stop before anything is ordered, also with --yes.
    let dear = fs::read_to_string(&good).unwrap() + "budget: {max_per_month: 1 EUR}\n";
    let file = project.cluster_file("wrong", &dear);
    lab.clear_calls();
    project
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(2)
        .expect_text("BUDGET-01")
        .expect_text("may cost 1 EUR");
    assert_only_reads(&lab);
}

/// By preflight and by the first plan, with line and field, without a call and without quoting a secret.
fn refused(project: &Project, lab: &Lab, (what, text, line, field): &Wrong) {
    let file = project.cluster_file("wrong", text);
    lab.clear_calls();
    let refused = project.bootstrap(&["preflight", "-c", file.to_str().unwrap()]);
    assert_eq!(refused.code, 2, "{what}: {}", refused.text());
    let place = format!("wrong.yaml:{line}:");
    assert!(
        refused.text().contains(&place) && refused.text().contains(field),
        "{what}: {place} and {field} are not in\n{}",
        refused.text()
    );
    assert!(
        !refused.text().contains("AGE-SECRET-KEY-1QQ"),
        "{what}: the value is quoted"
    );

    let refused = project.terraform("wrong", &file, "00-auth", &["plan", "-input=false"]);
    assert_eq!(refused.code, 1, "{what}: {}", refused.text());
    // Terraform wraps its error texts: compare without line breaks and frames.
    let folded: String = refused
        .text()
        .chars()
        .filter(|character| !character.is_whitespace() && *character != '│')
        .collect();
    assert!(
        folded.contains(&place) && folded.contains(field),
        "{what}: {place} and {field} are not in\n{}",
        refused.text()
    );
    assert!(
        !folded.contains("AGE-SECRET-KEY-1QQ"),
        "{what}: the value is quoted"
    );
    assert_eq!(
        lab.calls(),
        std::collections::BTreeMap::new(),
        "{what}: calls were made"
    );
}
