//! `node rescue` when it is broken off, and when answers are lost: the node is never left in the rescue system.

use std::time::Duration;

use serde_json::json;

use crate::cold_start::assert_ready;
use crate::day_two::cluster_text;
use crate::harness::{Project, Ran, eventually};

const REBOOT: &str = "POST /baremetal/v1/zones/{zone}/servers/{id}/reboot";

#[test]
fn a_node_is_brought_back_from_the_rescue_system_after_ctrl_c_and_lost_answers() {
    let project = Project::new();
    let name = "adrift";
    let file = project.cluster_file(name, &cluster_text(name, &[("cp-1", "control-plane")]));
    let path = file.to_str().unwrap();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    let lab = project.lab(name);
    let stage = || lab.estate()["machines"][0]["stage"].clone();
    let rescue = ["node", "rescue", "cp-1", "--yes", "-c", path];

    // The API shows nothing more once it runs, so that the wait for it goes on until somebody breaks it off.
    lab.fault(json!({"place": "scaleway", "target": "GET /baremetal/v1/zones/{zone}/servers/{id}", "action": {"status": {"code": 500}}}));
    let mut command = project.command("./bootstrap.sh");
    let run = command.args(rescue).spawn().unwrap();
    eventually("the rescue system runs", Duration::from_mins(1), || {
        stage() == "rescue"
    });
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &run.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    let stopped = Ran::from(run.wait_with_output().unwrap());
    stopped
        .expect_code(130)
        .expect_text("boots its own system again");
    lab.clear_faults();
    eventually("Flatcar is back", Duration::from_mins(1), || {
        stage() == "flatcar"
    });
    assert!(
        !lab.connects("operator", "cp-1", 22),
        "it was not let in yet"
    );
    assert_ready(&project, name, 1);

    // Done and unheard the first time, neither heard nor done the second: it gets there and back all the same.
    for action in ["lose_reply", "disconnect"] {
        lab.fault(json!({"place": "scaleway", "target": REBOOT, "action": action, "times": 1}));
    }
    project
        .bootstrap(&rescue)
        .expect_code(0)
        .expect_text("cp-1 lets you in on port 22");
    assert_eq!(lab.faults(), Vec::<serde_json::Value>::new());
    assert_eq!(stage(), "flatcar");
    assert!(lab.connects("operator", "cp-1", 22));
}
