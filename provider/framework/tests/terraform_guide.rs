//! Follows `docs/guides/provider-author.md`: its code is the example's, and its commands print what it says.
//!
//! Needs `terraform` on the PATH.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The fenced blocks of the guide in one language.
fn blocks(language: &str) -> Vec<String> {
    let guide = std::fs::read_to_string(root().join("docs/guides/provider-author.md")).unwrap();
    let fence = format!("```{language}\n");
    let parts = guide.split(&fence).skip(1);
    parts
        .map(|part| part.split("\n```").next().unwrap().to_owned())
        .collect()
}

/// One command of the guide, and the lines it promises.
struct Step {
    command: String,
    promised: Vec<String>,
}

fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in blocks("console").iter().flat_map(|block| block.lines()) {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push(Step {
                command: command.to_owned(),
                promised: Vec::new(),
            }),
            None => steps.last_mut().unwrap().promised.push(line.to_owned()),
        }
    }
    steps
}

/// Spaces do not count: Terraform aligns and indents.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn its_code_is_the_example() {
    let path = root().join("provider/framework/examples/terraform-provider-note/main.rs");
    let example = std::fs::read_to_string(path).unwrap();
    let code = blocks("rust").join("\n\n") + "\n";
    for (number, (guide, file)) in code.lines().zip(example.lines()).enumerate() {
        assert_eq!(guide, file, "line {} of the example", number + 1);
    }
    assert_eq!(code.lines().count(), example.lines().count());
}

#[test]
fn its_commands_print_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().unwrap().parent().unwrap().join("examples");
    let program = folder.path().join("terraform-provider-cupboard");
    std::os::unix::fs::symlink(built.join("terraform-provider-note"), program).unwrap();
    for file in blocks("hcl") {
        let name = file.lines().next().unwrap().strip_prefix("# ").unwrap();
        let here = folder.path().display().to_string();
        let text = file.replace("/path/to/the/folder/of/the/program", &here);
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut count = 0;
    for step in steps() {
        // The program is built from the checkout, the rest is typed beside it.
        let place = if step.command.starts_with("cargo ") {
            root()
        } else {
            folder.path().to_owned()
        };
        let mut shell = Command::new("bash");
        // A reader's shell has none of what cargo tells its tests; ring is built anew wherever that differs.
        for (name, _) in std::env::vars_os() {
            let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "NEXTEST"];
            if told
                .iter()
                .any(|told| name.to_string_lossy().starts_with(told))
            {
                shell.env_remove(name);
            }
        }
        let output = shell
            .args(["-euc", &step.command])
            .current_dir(place)
            .env("TF_CLI_CONFIG_FILE", folder.path().join("cupboard.tfrc"))
            .env("TF_CLI_ARGS", "-no-color")
            .env("CHECKPOINT_DISABLE", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat())
            .into_owned();
        assert!(output.status.success(), "$ {}\n{text}", step.command);
        for line in &step.promised {
            let found = squeezed(&text).contains(&squeezed(line));
            assert!(found, "$ {}\nno {line:?} in\n{text}", step.command);
        }
        count += 1;
    }
    assert!(count > 12, "the guide has its commands");
}
