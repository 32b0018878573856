//! `terraform test`, `terraform console` and the machine-readable output.

use serde_json::Value as Json;

use crate::workspace::Workspace;

#[test]
fn terraform_test_runs_plans_applies_and_expects_failures() {
    let space = Workspace::new(
        r#"
variable "colour" {
  type    = string
  default = "grey"
  validation {
    condition     = var.colour != "pink"
    error_message = "Not pink."
  }
}
resource "example_thing" "a" {
  name   = "a"
  colour = var.colour
  lifecycle {
    precondition {
      condition     = var.colour != "blue"
      error_message = "Not blue."
    }
  }
}
data "example_shelf" "all" { depends_on = [example_thing.a] }
check "shelf" {
  assert {
    condition     = var.colour != "red"
    error_message = "There is something red."
  }
}
"#,
    );
    std::fs::create_dir(space.source("tests")).unwrap();
    std::fs::write(
        space.source("tests/thing.tftest.hcl"),
        r#"
run "planned" {
  command = plan
  assert {
    condition     = example_thing.a.colour == "grey"
    error_message = "The default is planned."
  }
}
run "applied" {
  assert {
    condition     = example_thing.a.revision == 1 && data.example_shelf.all.names == tolist(["a"])
    error_message = "What apply tells is known."
  }
}
run "changed" {
  variables { colour = "red" }
  expect_failures = [check.shelf]
}
run "counted" {
  variables { colour = "grey" }
  assert {
    condition     = example_thing.a.revision == 3
    error_message = "State lives from run to run."
  }
}
run "refused" {
  command = plan
  variables { colour = "pink" }
  expect_failures = [var.colour]
}
run "unwanted" {
  command = plan
  variables { colour = "blue" }
  expect_failures = [example_thing.a]
}
"#,
    )
    .unwrap();
    std::fs::write(
        space.source("tests/mocked.tftest.hcl"),
        r#"
mock_provider "example" {
  mock_resource "example_thing" {
    defaults = { revision = 41 }
  }
}
run "mocked" {
  assert {
    condition     = example_thing.a.revision == 41 && length(example_thing.a.id) > 0
    error_message = "Our schema is enough to make things up."
  }
}
"#,
    )
    .unwrap();
    let text = space.run(&["test"]).succeeds();
    assert!(text.contains("7 passed, 0 failed"), "{text}");
    assert!(!space.file("a.json").exists(), "it cleans up after itself");

    // A wrong expectation fails, with our values in the text.
    std::fs::remove_file(space.source("tests/mocked.tftest.hcl")).unwrap();
    std::fs::write(
        space.source("tests/thing.tftest.hcl"),
        "run \"wrong\" {\n  assert {\n    condition     = example_thing.a.colour == \"red\"\n    error_message = \"It is ${example_thing.a.colour}.\"\n  }\n}\n",
    )
    .unwrap();
    let text = space.run(&["test"]).fails();
    assert!(
        text.contains("0 passed, 1 failed") && text.contains("It is grey."),
        "{text}"
    );
    assert!(!space.file("a.json").exists());
}

#[test]
fn the_console_knows_values_and_functions() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n  name = \"a\"\n  extra = [1, \"b\"]\n  secret_wo = \"hidden\"\n}\n",
    );
    space.apply().succeeds();
    let answer = |question: &str| {
        let text = space.run_on(&["console"], question).succeeds();
        text.lines().last().unwrap_or_default().to_owned()
    };
    for (question, expected) in [
        (
            "jsonencode([example_thing.a.revision, example_thing.a.extra])",
            r#""[1,[1,\"b\"]]""#,
        ),
        ("example_thing.a.secret_wo", "(sensitive value)"),
        (
            "provider::example::greet(\"hello {name}\", { name = \"you\" })",
            "\"hello you\"",
        ),
        ("provider::example::describe([1, 2.5]).text", "\"[1,2.5]\""),
    ] {
        assert_eq!(answer(&format!("{question}\n")), expected);
    }
    let text = space.run_on(&["console"], "provider::example::greet(\"hello\", {})\n");
    assert!(
        text.text.contains("There is no name in it."),
        "{}",
        text.text
    );
}

#[test]
fn machine_readable_output_has_our_paths() {
    let space = Workspace::new(
        r#"resource "example_thing" "a" {
  name   = "No Capitals"
  colour = "green"
  labels = { ok = "yes" }
  size = 12
  timeouts = {
    create = "1m"
    delete = "soon"
  }
}
"#,
    );
    let json: Json = serde_json::from_str(&space.run_out(&["validate", "-json"])).unwrap();
    assert_eq!(json["valid"], false);
    let mut lines: Vec<_> = json["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["severity"] == "error")
        .map(|one| {
            (
                one["range"]["start"]["line"].as_u64().unwrap() - 11,
                one["detail"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    lines.sort();
    // Line by line: each points into its attribute, also inside lists and objects.
    let expected = [
        (2, "Must match [a-z0-9-]+."),
        (3, "Must be one of \"grey\", \"red\", \"blue\"."),
        (5, "Must be from 1 to 9."),
        (6, "At timeouts.delete: Must be a duration"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for ((line, detail), (expected_line, sentence)) in lines.iter().zip(expected) {
        assert!(
            *line == expected_line && detail.starts_with(sentence),
            "{lines:?}"
        );
    }

    // Plan and apply: a stream of objects, with changes, warnings and errors.
    space.write("resource \"example_thing\" \"a\" {\n  name = \"a\"\n  mood = \"fail\"\n}\n");
    let stream = |arguments: &[&str]| {
        let text = space.run_out(arguments);
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str::<Json>(line).unwrap())
            .collect::<Vec<_>>()
    };
    let lines = stream(&["plan", "-json"]);
    let planned = lines.iter().find(|line| line["type"] == "planned_change");
    let change = &planned.unwrap()["change"];
    assert_eq!(
        (&change["action"], &change["resource"]["addr"]),
        (&"create".into(), &"example_thing.a".into())
    );
    let lines = stream(&["apply", "-auto-approve", "-json"]);
    let error = lines
        .iter()
        .find(|line| line["type"] == "diagnostic" && line["@level"] == "error")
        .unwrap();
    let diagnostic = &error["diagnostic"];
    assert_eq!(diagnostic["summary"], "Cannot finish thing \"a\"");
    assert_eq!(diagnostic["range"]["start"]["line"], 14);
    assert_eq!(diagnostic["snippet"]["code"], "  mood = \"fail\"");
}
