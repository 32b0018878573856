//! Talos in a VPN: every node registers with a key of its own, a second run has nothing to do, and `destroy` leaves nothing at Headscale.

use serde_json::{Value, json};

use crate::cold_start::{assert_only_reads, assert_ready};
use crate::harness::Project;

const NAME: &str = "lab-talos";

fn names(vpn: &Value) -> Vec<&str> {
    let nodes = vpn["nodes"].as_array().unwrap();
    let mut names: Vec<&str> = nodes
        .iter()
        .map(|node| node["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn five_nodes_are_in_the_vpn_until_they_go() {
    let project = Project::new();
    let example = project.path().join("examples/clusters/lab-talos.yaml");
    let text = std::fs::read_to_string(example).unwrap() + "access: {vpn: headscale}\n";
    let file = project.cluster_file(NAME, &text);
    let path = file.to_str().unwrap();
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("5 of 5 Ready");
    assert_ready(&project, NAME, 5);
    let lab = project.lab(NAME);
    let vpn = lab.estate()["headscale"].clone();
    let wanted = ["cp-1", "cp-2", "cp-3", "w-1", "w-2"].map(|node| format!("{NAME}-{node}"));
    assert_eq!(names(&vpn), wanted, "{vpn:#}");
    assert_eq!(vpn["usable_keys"], json!([]), "{vpn:#}");
    let outputs = project.state(NAME, "01-infrastructure")["outputs"].clone();
    let addresses = outputs["vpn_addresses"]["value"].as_object().unwrap();
    assert_eq!(addresses.len(), 5, "{addresses:?}");

    lab.clear_calls();
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("no changes");
    assert_only_reads(&lab);
    assert_eq!(lab.estate()["headscale"], vpn);

    let status = project
        .bootstrap(&["status", "-c", path])
        .expect_code(0)
        .expect_text("Headscale API key");
    assert!(!status.stdout.contains("not observed"), "{}", status.stdout);

    // A user who is gone is found before anything is done.
    lab.change(json!({ "delete_vpn_user": "strata" }));
    project
        .bootstrap(&["preflight", "-c", path])
        .expect_code(2)
        .expect_text("VPN-04")
        .expect_text("headscale users create strata");

    project
        .bootstrap(&["destroy", "-c", path, "--yes"])
        .expect_code(0);
    let left = lab.estate()["headscale"].clone();
    assert_eq!(
        (&left["nodes"], &left["usable_keys"]),
        (&json!([]), &json!([])),
        "{left:#}"
    );
}
