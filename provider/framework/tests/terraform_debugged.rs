//! `--debug`: one process for many runs of Terraform.

#![allow(clippy::unwrap_used, reason = "tests")]

mod workspace;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use workspace::Workspace;

/// A provider started with `--debug`.
struct Debugged {
    process: Child,
    /// Value of `TF_REATTACH_PROVIDERS`, as the shell reads the printed line.
    attach: String,
}

impl Debugged {
    fn start() -> Self {
        let mut process = Command::new(workspace::provider())
            .arg("--debug")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let script = format!("{line}printf %s \"$TF_REATTACH_PROVIDERS\"");
        let shell = Command::new("sh").args(["-c", &script]).output().unwrap();
        let attach = String::from_utf8(shell.stdout).unwrap();
        Self { process, attach }
    }

    fn socket(&self) -> PathBuf {
        let json: serde_json::Value = serde_json::from_str(&self.attach).unwrap();
        json["strata.internal/strata-iac/example"]["Addr"]["String"]
            .as_str()
            .unwrap()
            .into()
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The exit status and what was printed besides the line.
    fn end(mut self) -> (bool, String) {
        let (mut out, mut errors) = (String::new(), String::new());
        self.process
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut errors)
            .unwrap();
        assert_eq!(out, "", "one line on stdout");
        (self.process.wait().unwrap().success(), errors)
    }
}

#[test]
fn the_socket_is_ours_alone_and_goes_with_the_process() {
    for ending in ["-INT", "-TERM", "-HUP"] {
        let debugged = Debugged::start();
        let socket = debugged.socket();
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(socket.parent().unwrap()), 0o700);
        debugged.signal(ending);
        let (success, errors) = debugged.end();
        assert!(
            success && !socket.parent().unwrap().exists(),
            "{ending}: {errors}"
        );
        assert!(errors.starts_with("Paste this line"), "{errors}");
    }
}

#[test]
fn plan_apply_and_destroy_through_one_process() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" { name = \"a\" }\nephemeral \"example_password\" \"p\" { purpose = \"p\" }\n",
    );
    let debugged = Debugged::start();
    let attach = [("TF_REATTACH_PROVIDERS", debugged.attach.as_str())];
    // Nothing but the address leads to the provider.
    std::fs::remove_file(space.file("../bin/terraform-provider-example")).unwrap();
    space
        .run_with(&["plan", "-out=plan.bin"], &attach)
        .succeeds();
    space.run_with(&["apply", "plan.bin"], &attach).succeeds();
    assert!(space.file("a.json").exists());
    let again = space.run_with(&["plan", "-detailed-exitcode"], &attach);
    assert_eq!(again.code, 0, "{}", again.text);
    // Another configuration of the provider replaces the one before.
    let elsewhere = Workspace::new("resource \"example_thing\" \"b\" { name = \"b\" }\n");
    elsewhere
        .run_with(&["apply", "-auto-approve"], &attach)
        .succeeds();
    assert!(elsewhere.file("b.json").exists() && !space.file("b.json").exists());
    space
        .run_with(&["destroy", "-auto-approve"], &attach)
        .succeeds();
    assert!(!space.file("a.json").exists() && elsewhere.file("b.json").exists());
    assert!(!space.file("p.lease").exists(), "the lease is closed");
    debugged.signal("-INT");
    assert!(debugged.end().0);
}

#[test]
fn an_interrupted_run_does_not_stop_the_next() {
    let config = "resource \"example_thing\" \"a\" {\n name = \"a\"\n mood = \"time\"\n}\n";
    let space = Workspace::new(config);
    let debugged = Debugged::start();
    let attach = [("TF_REATTACH_PROVIDERS", debugged.attach.as_str())];
    let running = space.start_with(&["apply", "-auto-approve"], &attach);
    space.await_file("a.json", Duration::from_mins(1));
    let ended = running.interrupt();
    assert!(
        ended.text.contains("Stopped while waiting for thing a"),
        "{}",
        ended.text
    );
    // `time` again: a token that is still cancelled would end the wait at once instead of at its limit.
    space.write(&config.replace(
        "mood = \"time\"",
        "mood = \"time\"\n timeouts = { create = \"2s\", update = \"2s\" }",
    ));
    let text = space
        .run_with(&["apply", "-auto-approve"], &attach)
        .succeeds();
    assert!(text.contains("Timed out waiting for thing a"), "{text}");
    debugged.signal("-INT");
    assert!(debugged.end().0);
}
