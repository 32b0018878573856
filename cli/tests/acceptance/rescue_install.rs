//! `platform.scaleway.install: rescue`: a whole cluster whose machines were ordered bare, and one whose run was killed while they were written.

use std::time::Duration;

use serde_json::json;

use crate::cold_start::{assert_locked, assert_only_reads, assert_ready};
use crate::day_two::cluster_text;
use crate::harness::{Lab, Project, eventually};

fn by_rescue(name: &str, nodes: &[(&str, &str)]) -> String {
    let text = cluster_text(name, nodes);
    let with = text.replace(
        "platform: scaleway\n",
        "platform: {scaleway: {install: rescue}}\n",
    );
    assert_ne!(with, text, "the platform stands otherwise:\n{text}");
    with
}

/// Calls since the last question that end like this.
fn calls(lab: &Lab, end: &str) -> u64 {
    let calls = lab.calls();
    let these = calls.iter().filter(|(call, _)| call.ends_with(end));
    these.map(|(_, count)| count).sum()
}

fn nothing_of_the_installation_is_left(lab: &Lab) {
    for (name, server) in &lab.servers() {
        let tags = server["tags"].to_string();
        assert!(!tags.contains("strata-install"), "{name}: {tags}");
        assert_eq!(server["user_data"], "no", "{name}");
        assert_eq!(server["install_status"], json!(null), "{name}");
    }
}

#[test]
fn a_cluster_of_bare_machines_comes_up_from_the_rescue_system_and_stays() {
    let project = Project::new();
    let name = "bare";
    let nodes = [("cp-1", "control-plane"), ("w-1", "worker")];
    let file = project.cluster_file(name, &by_rescue(name, &nodes));
    let path = file.to_str().unwrap();
    project
        .bootstrap(&["preflight", "-c", path])
        .expect_code(0)
        .expect_text("trusted on first use");
    let lab = project.lab(name);
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(0)
        .expect_text("trusted on first use");
    assert_ready(&project, name, 2);
    assert_locked(&project, name, "api.bare.strata.test");
    assert_eq!(
        calls(&lab, " /baremetal/v1/zones/{zone}/servers/{id}/install"),
        0
    );
    assert_eq!(calls(&lab, "EXEC install"), 2);
    nothing_of_the_installation_is_left(&lab);

    lab.clear_calls();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_only_reads(&lab);
}

#[test]
fn a_run_killed_while_the_rescue_system_installs_is_taken_up_by_the_next() {
    let project = Project::new();
    let name = "halfway";
    let text = by_rescue(name, &[("cp-1", "control-plane")]).replace("speed: 300", "speed: 60");
    let file = project.cluster_file(name, &text);
    let path = file.to_str().unwrap();
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let lab = project.lab(name);
    let mut command = project.command("./bootstrap.sh");
    // A group of its own, so that the whole of it can be killed: shell, command line, Terraform and provider.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut run = command.args(["-c", path, "--yes"]).spawn().unwrap();
    eventually("the script runs", Duration::from_mins(2), || {
        calls(&lab, "EXEC install") > 0
    });
    let ordered = lab.servers()["halfway-cp-1"]["id"].clone();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", run.id())])
        .status()
        .unwrap();
    assert!(killed.success());
    run.wait().unwrap();

    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_eq!(
        lab.servers()["halfway-cp-1"]["id"],
        ordered,
        "ordered twice"
    );
    assert_eq!(lab.servers().len(), 1);
    nothing_of_the_installation_is_left(&lab);
    assert_ready(&project, name, 1);
}
