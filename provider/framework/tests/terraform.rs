//! The example provider under the real Terraform: what core itself says of our protocol.
//!
//! Needs `terraform` 1.11 or newer on the PATH; a missing one is a failure, never a skip. Nothing is downloaded.

#![allow(clippy::unwrap_used, reason = "tests")]

mod workspace;

use std::time::Duration;

use workspace::Workspace;

const FULL: &str = r#"
ephemeral "example_password" "p" { purpose = "a" }
resource "example_thing" "a" {
  name      = "a"
  weight    = 3.14159265358979323846
  labels    = { b = "c" }
  tags      = ["x", "a"]
  extra     = { a = [1, "b", null, 9007199254740993] }
  parts     = [{ name = "leg" }, { name = "top", material = "stone" }]
  secret_wo = ephemeral.example_password.p.value
  timeouts  = { create = "90s" }
}
resource "example_thing" "b" {
  name   = "b"
  labels = { from = example_thing.a.id, revision = "is-${example_thing.a.revision}" }
  tags   = [example_thing.a.id, "z"]
}
data "example_shelf" "all" { depends_on = [example_thing.a, example_thing.b] }
output "names" { value = data.example_shelf.all.names }
output "greeting" { value = provider::example::greet("hello {name}", { name = "you" }) }
output "description" { value = provider::example::describe({ a = [1, 2.5, "x"] }).text }
"#;

#[test]
fn apply_then_nothing_then_drift_then_destroy() {
    let space = Workspace::new(FULL);
    space.run(&["apply", "-auto-approve"]).succeeds();
    let state = space.state();
    assert_eq!(
        state["outputs"]["names"]["value"],
        serde_json::json!(["a", "b"])
    );
    assert_eq!(state["outputs"]["greeting"]["value"], "hello you");
    assert_eq!(
        state["outputs"]["description"]["value"],
        "{\"a\":[1,2.5,\"x\"]}"
    );
    assert_eq!(space.plan().code, 0, "a second plan is empty");
    assert!(!space.file("a.lease").exists(), "the lease is closed");

    space.edit("b", "colour", "\"blue\"");
    let drift = space.plan().changes();
    assert!(
        drift.contains("\"blue\" -> \"grey\"")
            && drift.contains("0 to add, 1 to change, 0 to destroy"),
        "{drift}"
    );
    std::fs::remove_file(space.file("b.json")).unwrap();
    assert!(
        space
            .plan()
            .changes()
            .contains("example_thing.b will be created")
    );

    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(space.plan().code, 0);
    std::fs::remove_file(space.file("b.json")).unwrap();
    space
        .run(&["destroy", "-auto-approve", "-refresh=false"])
        .succeeds();
    assert!(!space.file("a.json").exists());
}

#[test]
fn secrets_are_nowhere() {
    let space = Workspace::new(FULL);
    space.run(&["plan", "-out=plan.bin"]).succeeds();
    space.run(&["apply", "plan.bin"]).succeeds();
    assert!(
        space.content("a").contains("hunter2-for-a"),
        "the thing has its secret"
    );
    for place in space.everything_written() {
        let bytes = std::fs::read(&place).unwrap();
        assert!(
            !String::from_utf8_lossy(&bytes).contains("hunter2"),
            "the secret is in {}",
            place.display()
        );
    }
    // Plan files are zip archives: look inside as core does.
    let shown = space.run(&["show", "-json", "plan.bin"]).succeeds();
    assert!(!shown.contains("hunter2"));
}

#[test]
fn a_changed_secret_is_an_update_and_a_changed_name_a_replacement() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n name = \"a\"\n secret_wo = \"first\"\n}\n",
    );
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(space.plan().code, 0);
    space.write("resource \"example_thing\" \"a\" {\n name = \"a\"\n secret_wo = \"second\"\n}\n");
    let changes = space.plan().changes();
    assert!(
        changes.contains("will be updated in-place") && changes.contains("fingerprint"),
        "{changes}"
    );
    // Something really changes, so the other computed values may move too.
    assert!(changes.contains("revision"), "{changes}");
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert!(space.content("a").contains("second"));
    assert_eq!(space.plan().code, 0);
    space.write(
        "resource \"example_thing\" \"a\" {\n name = \"other\"\n secret_wo = \"second\"\n}\n",
    );
    assert!(space.plan().changes().contains("forces replacement"));
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert!(space.file("other.json").exists() && !space.file("a.json").exists());
}

#[test]
fn private_state_lives_through_every_call() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    let writes = || {
        let private = space.state()["resources"][0]["instances"][0]["private"].clone();
        let bytes = data_encoding::BASE64
            .decode(private.as_str().unwrap().as_bytes())
            .unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        json["value"]["writes"].clone()
    };
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(writes(), 1);
    space
        .run(&["apply", "-refresh-only", "-auto-approve"])
        .succeeds();
    assert_eq!(writes(), 1);
    space.write("resource \"example_thing\" \"a\" {\n name = \"a\"\n colour = \"red\"\n}\n");
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(writes(), 2);
}

#[test]
fn a_recorded_change_touches_nothing() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    space.run(&["apply", "-auto-approve"]).succeeds();
    let before = space.content("a");
    space.write(
        "resource \"example_thing\" \"a\" {\n name = \"a\"\n timeouts = { create = \"5m\" }\n}\n",
    );
    let changes = space.plan().changes();
    assert!(
        changes.contains("timeouts") && !changes.contains("known after apply"),
        "{changes}"
    );
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(space.content("a"), before);
    assert_eq!(space.plan().code, 0);
}

#[test]
fn imports_are_complete() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n name = \"a\"\n parts = [{ name = \"leg\" }]\n extra = [1, 2]\n}\n",
    );
    space.run(&["apply", "-auto-approve"]).succeeds();
    space.run(&["state", "rm", "example_thing.a"]).succeeds();
    let missing = space.run(&["import", "example_thing.a", "nobody"]).fails();
    assert!(
        missing.contains("Cannot import thing \"nobody\""),
        "{missing}"
    );
    space.run(&["import", "example_thing.a", "a"]).succeeds();
    let plan = space.plan();
    assert_eq!(plan.code, 0, "{}", plan.text);
}

#[test]
fn wrong_input_points_at_the_attribute() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n  name   = \"No Capitals\"\n  colour = \"green\"\n  size   = 12\n  \
         timeouts = { create = \"soon\" }\n}\n",
    );
    let text = space.run(&["validate"]).fails();
    for part in [
        "Must match [a-z0-9-]+.",
        "Must be one of \"grey\", \"red\", \"blue\".",
        "Must be from 1 to 9.",
        "on main.tf line 14",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    space.write("resource \"example_thing\" \"a\" {\n  name = \"a\"\n  timeouts = { create = \"soon\" }\n}\n");
    assert!(
        space
            .run(&["validate"])
            .fails()
            .contains("Must be a duration")
    );
    space.write(
        "resource \"example_thing\" \"a\" {\n  name = \"a\"\n  colour = \"red\"\n  size = 9\n}\n",
    );
    assert!(
        space
            .run(&["validate"])
            .fails()
            .contains("Red things are at most 8.")
    );
    space.write(
        "output \"x\" { value = provider::example::greet(\"hello {name}\", { other = \"x\" }) }\n",
    );
    let text = space.run(&["plan"]).fails();
    assert!(
        text.contains("There is no name in it.") && text.contains("\"words\""),
        "{text}"
    );
}

#[test]
fn a_failed_create_keeps_what_exists() {
    for (mood, message) in [
        ("fail", "in the mood to fail"),
        ("panic", "ApplyResourceChange of example_thing panicked"),
    ] {
        let space = Workspace::new(&format!(
            "resource \"example_thing\" \"a\" {{\n name = \"a\"\n mood = \"{mood}\"\n}}\n"
        ));
        let text = space.run(&["apply", "-auto-approve"]).fails();
        assert!(text.contains(message), "{text}");
        let instance = &space.state()["resources"][0]["instances"][0];
        assert_eq!(
            instance["attributes"]["id"], "a",
            "the thing is tracked after {mood}"
        );
        assert_eq!(instance["status"], "tainted");
    }
}

#[test]
fn a_deletion_can_be_refused_at_plan() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n name = \"a\"\n labels = { keep = \"yes\" }\n}\n",
    );
    space.run(&["apply", "-auto-approve"]).succeeds();
    let text = space.run(&["plan", "-destroy"]).fails();
    assert!(text.contains("Its label says keep."), "{text}");
}

#[test]
fn an_unreachable_world_keeps_the_state() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    space.run(&["apply", "-auto-approve"]).succeeds();
    space.hide_things();
    let plan = space.plan();
    assert_eq!(plan.code, 0, "{}", plan.text);
    assert!(
        plan.text.contains("Warning: Cannot read things"),
        "{}",
        plan.text
    );
}

#[test]
fn an_interrupt_keeps_the_unfinished_thing_untainted() {
    let config = "resource \"example_thing\" \"a\" {\n name = \"a\"\n mood = \"time\"\n}\n";
    let space = Workspace::new(config);
    let running = space.start(&["apply", "-auto-approve"]);
    space.await_file("a.json", Duration::from_mins(1));
    let ended = running.interrupt();
    assert!(
        ended
            .text
            .contains("Stopped while waiting for thing a to finish"),
        "{}",
        ended.text
    );
    let instance = space.state()["resources"][0]["instances"][0].clone();
    assert_eq!(instance["attributes"]["ready"], false);
    assert!(
        instance.get("status").is_none(),
        "it is not tainted: {instance}"
    );
    // The next apply goes on where this one stopped.
    space.write(&config.replace("time", "work"));
    let changes = space.plan().changes();
    assert!(
        changes.contains("0 to add, 1 to change, 0 to destroy"),
        "{changes}"
    );
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(space.plan().code, 0);
}

#[test]
fn the_plugin_ends_when_terraform_is_killed() {
    let space =
        Workspace::new("resource \"example_thing\" \"a\" {\n name = \"a\"\n mood = \"time\"\n}\n");
    let running = space.start(&["apply", "-auto-approve"]);
    space.await_file("a.json", Duration::from_mins(1));
    let plugins = running.children();
    assert_eq!(plugins.len(), 1, "one plugin runs the apply");
    running.kill();
    let start = std::time::Instant::now();
    while plugins.iter().any(|plugin| plugin.exists()) {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "the plugin lives on"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_timeout_is_a_warning_with_the_facts() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n name = \"a\"\n mood = \"time\"\n timeouts = { create = \"1s\" }\n}\n",
    );
    let text = space.run(&["apply", "-auto-approve"]).succeeds();
    assert!(
        text.contains("Warning: Timed out waiting for thing a to finish"),
        "{text}"
    );
    assert!(text.contains("last seen: still in the mood"), "{text}");
}

#[test]
fn logs_are_lines_that_core_reads() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    let log = space.file("../log.txt");
    space
        .run_with(
            &["apply", "-auto-approve"],
            &[("TF_LOG", "TRACE"), ("TF_LOG_PATH", log.to_str().unwrap())],
        )
        .succeeds();
    let text = std::fs::read_to_string(log).unwrap();
    let line = text
        .lines()
        .find(|line| line.contains("Served request") && line.contains("ApplyResourceChange"));
    let line = line.expect("a line for the apply");
    assert!(
        line.contains("[TRACE] provider.terraform-provider-example: Served request"),
        "{line}"
    );
    assert!(
        line.contains("tf_resource_type=example_thing") && line.contains("tf_req_duration_ms="),
        "{line}"
    );
    assert!(
        !text.contains("unexpected data"),
        "nothing is sent on the output stream"
    );
    assert!(
        !text.contains("failed to exit gracefully"),
        "the process ends by itself"
    );
}

#[test]
fn old_state_is_upgraded() {
    let space =
        Workspace::new("resource \"example_thing\" \"a\" {\n name = \"a\"\n colour = \"red\"\n}\n");
    space.run(&["apply", "-auto-approve"]).succeeds();
    let mut state = space.state();
    let instance = &mut state["resources"][0]["instances"][0];
    instance["schema_version"] = 0.into();
    let attributes = instance["attributes"].as_object_mut().unwrap();
    let colour = attributes.remove("colour").unwrap();
    attributes.insert("color".to_owned(), colour);
    attributes.insert("of_old".to_owned(), "dropped".into());
    space.put_state(&state);
    let plan = space.plan();
    assert_eq!(plan.code, 0, "{}", plan.text);
}

#[test]
fn it_works_without_tls_too() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    space
        .run_with(
            &["apply", "-auto-approve"],
            &[("TF_DISABLE_PLUGIN_TLS", "1")],
        )
        .succeeds();
}

#[test]
fn run_by_hand_it_says_what_it_is() {
    let output = std::process::Command::new(workspace::provider())
        .output()
        .unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Terraform and OpenTofu start it"));
}
