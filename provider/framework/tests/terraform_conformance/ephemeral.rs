//! Ephemeral resources: order of open, renew and close, in plan and in apply, and what happens to leases when it fails.

use std::time::Duration;

use crate::workspace::{Workspace, squeezed};

const PASSWORD: &str = r#"
ephemeral "example_password" "p" {
  purpose     = "p"
  renew_after = "200ms"
}
"#;

fn user(mood: &str) -> String {
    format!(
        "{PASSWORD}resource \"example_thing\" \"a\" {{\n  name = \"a\"\n  secret_wo = ephemeral.example_password.p.value\n  \
         mood = \"{mood}\"\n  timeouts = {{ create = \"1s\" }}\n}}\n"
    )
}

/// What each process did with leases and with thing `a`, in order.
fn by_process(space: &Workspace) -> Vec<Vec<String>> {
    let mut processes: Vec<(u32, Vec<String>)> = Vec::new();
    for (process, line) in space.journal_by_process() {
        let known = processes.iter_mut().find(|(known, _)| *known == process);
        match known {
            Some((_, lines)) => lines.push(line),
            None => processes.push((process, vec![line])),
        }
    }
    processes.into_iter().map(|(_, lines)| lines).collect()
}

#[test]
fn opened_renewed_and_closed_in_each_phase() {
    let space = Workspace::new(&user("time"));
    space.run(&["validate"]).succeeds();
    assert_eq!(space.journal(), [""; 0], "validate opens nothing");

    space.apply().succeeds();
    let processes = by_process(&space);
    let [plan, apply] = &processes[..] else {
        panic!("two processes have leases: {processes:?}");
    };
    assert_eq!(plan[0], "lease open p");
    assert_eq!(plan.last().unwrap(), "lease close p");
    assert_eq!(apply[0], "lease open p");
    assert_eq!(
        apply.last().unwrap(),
        "lease close p",
        "closed after the last use: {apply:?}"
    );
    let position = |line: &str| apply.iter().position(|one| one == line).unwrap();
    let renewals = apply.iter().filter(|line| *line == "lease renew p").count();
    assert!(
        renewals >= 2 && position("lease renew p") > position("done write a"),
        "renewed while the thing took its time: {apply:?}"
    );
    assert!(!space.file("p.lease").exists());
}

#[test]
fn each_closes_when_its_last_user_is_done() {
    let space = Workspace::new(&format!(
        r#"{PASSWORD}
ephemeral "example_password" "q" {{
  purpose = "q${{length(ephemeral.example_password.p.value)}}"
}}
resource "example_thing" "a" {{
  name      = "a"
  secret_wo = ephemeral.example_password.q.value
}}
"#
    ));
    space.apply().succeeds();
    let leases = |lines: &[String]| {
        let leases = lines
            .iter()
            .filter_map(|line| line.strip_prefix("lease "))
            .filter(|line| !line.starts_with("renew"));
        leases.map(str::to_owned).collect::<Vec<_>>()
    };
    for lines in by_process(&space) {
        let position = |line: &str| lines.iter().position(|one| one == line).unwrap();
        assert_eq!(leases(&lines)[..2], ["open p", "open q13"]);
        // The only user of p is q, so p may close as soon as q is open; q has to wait for the thing.
        assert!(
            position("lease close p") > position("lease open q13"),
            "{lines:?}"
        );
        if lines.contains(&"done write a".to_owned()) {
            assert!(
                position("lease close q13") > position("done write a"),
                "{lines:?}"
            );
        }
    }
    assert!(space.content("a").contains("hunter2-for-q13"));

    // Unknown at plan: opened at apply alone.
    space.write(
        r#"
resource "terraform_data" "later" { input = "later" }
ephemeral "example_password" "p" { purpose = terraform_data.later.output }
resource "example_thing" "b" {
  name      = "b"
  secret_wo = ephemeral.example_password.p.value
}
"#,
    );
    space.apply().succeeds();
    let opened: Vec<_> = by_process(&space)
        .into_iter()
        .map(|lines| leases(&lines))
        .filter(|leases| !leases.is_empty())
        .collect();
    assert_eq!(opened, [["open later", "close later"]]);
    assert!(space.content("b").contains("hunter2-for-later"));
}

#[test]
fn a_failing_consumer_or_a_stop_releases_the_lease_at_shutdown() {
    let journalled = [("EXAMPLE_JOURNAL_CALLS", "1")];
    let released = |space: &Workspace| {
        let processes = by_process(space);
        let lines = processes.last().unwrap();
        assert!(
            !lines.contains(&"call CloseEphemeralResource".to_owned()),
            "core does not close: {lines:?}"
        );
        let position = |line: &str| lines.iter().position(|one| one == line);
        assert!(
            position("call Shutdown").is_some()
                && position("call Shutdown") < position("lease close p"),
            "{lines:?}"
        );
        assert!(!space.file("p.lease").exists());
    };
    // At plan.
    let space = Workspace::new(&user("refuse"));
    let text = space.run_with(&["plan"], &journalled).fails();
    assert!(text.contains("It is in the mood to refuse."), "{text}");
    released(&space);
    // At apply.
    space.write(&user("fail"));
    let text = space
        .run_with(&["apply", "-auto-approve"], &journalled)
        .fails();
    assert!(text.contains("in the mood to fail"), "{text}");
    released(&space);
    // Ctrl-C.
    let space = Workspace::new(&user("time").replace("1s", "1m"));
    let running = space.start_with(&["apply", "-auto-approve"], &journalled);
    space.await_file("a.json", Duration::from_mins(1));
    running.interrupt().fails();
    released(&space);
}

#[test]
fn an_open_that_fails_points_at_its_argument() {
    let space = Workspace::new("ephemeral \"example_password\" \"p\" { purpose = \"nothing\" }\n");
    let text = squeezed(&space.run(&["plan"]).fails());
    for part in [
        "Error: Cannot open password \"nothing\"",
        "with ephemeral.example_password.p, on main.tf line 12, in ephemeral \"example_password\" \"p\":",
        "purpose = \"nothing\"",
        "There is no password for nothing.",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // And what is ephemeral goes nowhere where it would be kept.
    space.write(&format!(
        "{PASSWORD}resource \"example_thing\" \"a\" {{\n  name = \"a\"\n  labels = {{ leak = ephemeral.example_password.p.value }}\n}}\n"
    ));
    let text = space.run(&["plan"]).fails();
    assert!(text.contains("Ephemeral values are not valid"), "{text}");
}
