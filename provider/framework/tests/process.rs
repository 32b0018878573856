//! The process: how it starts, what it prints, whom it talks to, and how it ends.

#![allow(clippy::unwrap_used, reason = "tests")]

mod workspace;

use std::process::Command;

fn by_hand(arguments: &[&str]) -> std::process::Output {
    Command::new(workspace::provider())
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn help_and_version_are_one_line_each() {
    for (argument, part) in [
        ("--help", "is a Terraform provider"),
        ("--version", "terraform-provider-example v0.1.0"),
    ] {
        let output = by_hand(&[argument]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(text.contains(part) && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn an_unknown_argument_is_named_with_the_known_ones() {
    let output = by_hand(&["plan"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert_eq!(
        text,
        "terraform-provider-example: unknown argument \"plan\"; it knows --debug, --help and --version.\n"
    );
}
