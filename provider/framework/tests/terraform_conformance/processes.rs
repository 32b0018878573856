//! How many processes and calls a command costs (contract: tfplugin6, section 4.1), and in which order the calls come.

use crate::workspace::Workspace;

/// What core opens in the background in every process, whenever it comes to it.
const PLUMBING: [&str; 2] = ["StreamStdio", "StartStream"];

/// The calls of each process, in order, written as one line each. Every process is told to end.
#[track_caller]
fn calls(space: &Workspace, arguments: &[&str]) -> Vec<String> {
    space.journal();
    space
        .run_with(arguments, &[("EXAMPLE_JOURNAL_CALLS", "1")])
        .succeeds();
    let mut processes: Vec<(u32, Vec<String>)> = Vec::new();
    for (process, line) in space.journal_by_process() {
        let call = line.strip_prefix("call ");
        let Some(call) = call.filter(|call| !PLUMBING.contains(call)) else {
            continue;
        };
        match processes.iter_mut().find(|(known, _)| *known == process) {
            Some((_, calls)) => calls.push(call.to_owned()),
            None => processes.push((process, vec![call.to_owned()])),
        }
    }
    let one = |(_, mut calls): (u32, Vec<String>)| {
        assert_eq!(calls.pop().as_deref(), Some("Shutdown"));
        calls.join(" ")
    };
    processes.into_iter().map(one).collect()
}

#[test]
fn each_command_costs_what_the_contract_says() {
    const SCHEMA: &str = "GetProviderSchema";
    const VALIDATE: &str = "ValidateProviderConfig ValidateResourceConfig";
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    let costs = |arguments: &[&str], expected: &[&str]| {
        assert_eq!(calls(&space, arguments), expected, "{arguments:?}");
    };
    costs(&["validate"], &[SCHEMA, VALIDATE]);
    costs(
        &["plan", "-out=plan.bin"],
        &[
            SCHEMA,
            VALIDATE,
            "ValidateProviderConfig ConfigureProvider ValidateResourceConfig PlanResourceChange",
        ],
    );
    let apply = "ValidateProviderConfig ConfigureProvider ValidateResourceConfig PlanResourceChange ApplyResourceChange";
    costs(&["apply", "plan.bin"], &[SCHEMA, apply]);
    let looked = "ValidateProviderConfig ConfigureProvider UpgradeResourceState ReadResource";
    let planned = format!("{looked} ValidateResourceConfig PlanResourceChange");
    costs(&["plan"], &[SCHEMA, VALIDATE, &planned]);
    costs(
        &["plan", "-refresh=false"],
        &[
            SCHEMA,
            VALIDATE,
            "ValidateProviderConfig ConfigureProvider UpgradeResourceState ValidateResourceConfig PlanResourceChange",
        ],
    );
    costs(&["plan", "-refresh-only"], &[SCHEMA, VALIDATE, looked]);
    // Nothing changes, so nothing is planned again and nothing reaches apply, but for the configuration.
    costs(
        &["apply", "-auto-approve"],
        &[
            SCHEMA,
            VALIDATE,
            &planned,
            "ValidateProviderConfig ConfigureProvider",
        ],
    );
    space.write("resource \"example_thing\" \"a\" {\n name = \"a\"\n colour = \"red\"\n}\n");
    costs(
        &["apply", "-auto-approve"],
        &[
            SCHEMA,
            VALIDATE,
            &planned,
            "ValidateProviderConfig ConfigureProvider UpgradeResourceState ValidateResourceConfig PlanResourceChange ApplyResourceChange",
        ],
    );
    costs(&["show"], &[SCHEMA]);
    costs(&["output"], &[]);
    costs(&["state", "list"], &[]);
    costs(
        &["destroy", "-auto-approve"],
        &[
            SCHEMA,
            VALIDATE,
            &planned,
            "ValidateProviderConfig ConfigureProvider UpgradeResourceState PlanResourceChange",
            "ValidateProviderConfig ConfigureProvider UpgradeResourceState ApplyResourceChange",
        ],
    );
    space.make("b");
    space.write("resource \"example_thing\" \"b\" { name = \"b\" }\n");
    costs(
        &["import", "example_thing.b", "b"],
        &[
            SCHEMA,
            "ValidateProviderConfig ConfigureProvider ImportResourceState ReadResource",
        ],
    );
}

#[test]
fn what_is_printed_to_stdout_is_in_the_log_and_blocks_nothing() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n  name = \"a\"\n  mood = \"chatty\"\n}\n",
    );
    let log = space.source("log");
    // More than a pipe holds, in lines longer than core's reader takes.
    space
        .run_with(
            &["apply", "-auto-approve"],
            &[
                ("TF_LOG_PROVIDER", "DEBUG"),
                ("TF_LOG_PATH", log.to_str().unwrap()),
            ],
        )
        .succeeds();
    assert_eq!(space.attributes("example_thing.a")["ready"], true);
    let text = std::fs::read_to_string(log).unwrap();
    for word in ["first", "second"] {
        let line = text
            .lines()
            .find(|line| line.contains(&format!("the {word} word")));
        let line = line.unwrap_or_else(|| panic!("nothing of the {word} word:\n{text}"));
        assert!(
            line.contains("Printed to stdout, a very long line: the"),
            "{line}"
        );
    }
}
