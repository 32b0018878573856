//! Ctrl-C once and twice, SIGTERM, and the sudden death of the provider or of Terraform: what is in the state afterwards, and
//! that the next run goes on.

use std::path::PathBuf;
use std::time::Duration;

use crate::workspace::{Running, Workspace, eventually, signal};

const MINUTE: Duration = Duration::from_mins(1);

fn thing(mood: &str, more: &str) -> String {
    format!("resource \"example_thing\" \"a\" {{\n  name = \"a\"\n  mood = \"{mood}\"\n{more}}}\n")
}

/// Process numbers of the plugins of a run, from its `/proc` entries.
fn plugins(running: &Running) -> Vec<PathBuf> {
    let plugins = running.children();
    assert_eq!(plugins.len(), 1, "one plugin runs the apply");
    plugins
}

fn are_gone(plugins: &[PathBuf], limit: Duration) {
    eventually("the plugin ends", limit, || {
        !plugins.iter().any(|plugin| plugin.exists())
    });
}

#[test]
fn one_interrupt_finishes_what_runs_and_begins_nothing() {
    let dependent =
        "resource \"example_thing\" \"b\" {\n  name = \"b\"\n  depends_on = [example_thing.a]\n}\n";
    let space = Workspace::new(&(thing("time", "") + dependent));
    for stop in [
        Running::press_control_c,
        Running::terminate,
        Running::terminate_all,
    ] {
        let running = space.start(&["apply", "-auto-approve"]);
        space.await_file("a.json", MINUTE);
        let plugins = plugins(&running);
        stop(&running);
        let text = running.ended().fails();
        assert!(
            text.contains("Stopped while waiting for thing a to finish")
                && text.contains("execution halted"),
            "{text}"
        );
        assert!(plugins.iter().all(|plugin| !plugin.exists()));
        assert_eq!(space.attributes("example_thing.a")["ready"], false);
        assert!(space.instances("example_thing.b").is_empty() && !space.file("b.json").exists());
        // Once more from the start, for the next signal.
        std::fs::remove_file(space.file("a.json")).unwrap();
    }
    space.write(&(thing("work", "") + dependent));
    space.apply().succeeds();
    space.is_settled();
}

#[test]
fn two_interrupts_end_it_and_the_next_run_takes_up_what_exists() {
    let space = Workspace::new(&thing("deaf", ""));
    let running = space.start_with(
        &["apply", "-auto-approve"],
        &[("EXAMPLE_JOURNAL_CALLS", "1")],
    );
    space.await_file("a.json", MINUTE);
    let plugins = plugins(&running);
    running.press_control_c();
    space.await_journal("call StopProvider");
    assert!(
        plugins[0].exists(),
        "one interrupt alone leaves a deaf operation running"
    );
    running.press_control_c();
    let text = running.ended().fails();
    assert!(text.contains("Two interrupts received"), "{text}");
    are_gone(&plugins, Duration::from_secs(10));
    assert!(
        !space.source("terraform.tfstate").exists()
            || space.instances("example_thing.a").is_empty(),
        "the object in flight is not in the state"
    );
    // It exists all the same, and creating is idempotent.
    assert!(space.content("a").contains("\"ready\": false"));
    space.write(&thing("work", ""));
    space.apply().succeeds();
    assert_eq!(
        space.attributes("example_thing.a")["revision"],
        2,
        "it was taken up, not made anew"
    );
    space.is_settled();
}

#[test]
fn a_killed_provider_loses_no_object_that_was_in_state() {
    let space = Workspace::new(&thing("deaf", ""));
    let kill = |more: &str, seen: &str| {
        space.write(&thing("deaf", more));
        let running = space.start(&["apply", "-auto-approve"]);
        eventually(seen, MINUTE, || {
            space.file("a.json").exists() && space.content("a").contains(seen)
        });
        for plugin in plugins(&running) {
            signal("KILL", plugin.file_name().unwrap().to_str().unwrap());
        }
        let text = running.ended().fails();
        // Which of the two depends on whether core's transport or its call notices first.
        let told = ["Plugin did not respond", "Request cancelled"];
        assert!(told.iter().any(|words| text.contains(words)), "{text}");
    };
    // In create: not in state, but the next run takes it up.
    kill("", "\"grey\"");
    assert!(space.instances("example_thing.a").is_empty());
    std::fs::write(space.file("a.wake"), "").unwrap();
    space.apply().succeeds();
    assert_eq!(space.attributes("example_thing.a")["colour"], "grey");
    std::fs::remove_file(space.file("a.wake")).unwrap();

    // In update: the prior object is in state, and the next run sees what became of it.
    kill("  colour = \"red\"\n", "\"red\"");
    assert_eq!(space.attributes("example_thing.a")["colour"], "grey");
    std::fs::write(space.file("a.wake"), "").unwrap();
    space.apply().succeeds();
    let attributes = space.attributes("example_thing.a");
    assert_eq!(
        (&attributes["colour"], &attributes["ready"]),
        (&"red".into(), &true.into())
    );
    space.is_settled();
}

#[test]
fn a_killed_terraform_leaves_a_plugin_that_finishes_its_write() {
    let space = Workspace::new(&thing("deaf", ""));
    let running = space.start(&["apply", "-auto-approve"]);
    space.await_file("a.json", MINUTE);
    let plugins = plugins(&running);
    running.kill();
    std::fs::write(space.file("a.wake"), "").unwrap();
    are_gone(&plugins, Duration::from_secs(10));
    assert!(
        space.content("a").contains("\"ready\": true"),
        "the operation in flight came to its end"
    );
    // The state does not have it, the lock's note is left over; neither stops the next run.
    let state = std::fs::read_to_string(space.source("terraform.tfstate")).unwrap_or_default();
    assert!(!state.contains("example_thing"), "{state}");
    assert!(space.source(".terraform.tfstate.lock.info").exists());
    space.apply().succeeds();
    assert_eq!(space.attributes("example_thing.a")["ready"], true);
    space.is_settled();
}
