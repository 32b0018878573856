//! Functions, sensitive values, numbers and text of any form: what the language does with our values.

use serde_json::Value as Json;

use crate::workspace::Workspace;

/// The errors of `validate -json`.
fn errors(space: &Workspace) -> Vec<Json> {
    let json: Json = serde_json::from_str(&space.run_out(&["validate", "-json"])).unwrap();
    let all = json["diagnostics"].as_array().unwrap().iter();
    let errors = all.filter(|one| one["severity"] == "error");
    errors.cloned().collect()
}

/// The configuration from the place on that a diagnostic points at, to the end of the line.
fn pointed_at(diagnostic: &Json) -> &str {
    let snippet = &diagnostic["snippet"];
    let offset = snippet["highlight_start_offset"].as_u64().unwrap();
    &snippet["code"].as_str().unwrap()[usize::try_from(offset).unwrap()..]
}

#[test]
fn function_errors_point_at_the_argument() {
    let output = |call: &str| format!("output \"x\" {{\n  value = provider::example::{call}\n}}\n");
    let space = Workspace::new("");
    for (call, argument, sentence) in [
        (
            "greet(\"hello {name}\", { other = \"x\" })",
            "{ other = \"x\" }",
            "There is no name in it.",
        ),
        ("greet(null, { name = \"x\" })", "null", "must not be null"),
        (
            "greet(\"hello\", [\"no map\"])",
            "[\"no map\"]",
            "map of string required",
        ),
        (
            "list_of(null, \"a\", trimspace(\" \"), \"c\")",
            "trimspace",
            "A name must not be empty",
        ),
        ("list_of(\"x\", \"a\", null)", "null", "must not be null"),
    ] {
        space.write(&output(call));
        let found = errors(&space);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(pointed_at(&found[0]).starts_with(argument), "{found:?}");
        let detail = found[0]["detail"].as_str().unwrap();
        assert!(
            detail.contains(sentence) && !detail.ends_with(".."),
            "{detail}"
        );
    }
    // A null that is allowed, and any number of the last argument.
    for (call, expected) in [
        ("list_of(null)", ""),
        ("list_of(null, \"a\")", "a"),
        ("list_of(\"two\", \"a\", 5)", "two: a, 5"),
    ] {
        space.write(&output(call));
        space.apply().succeeds();
        assert_eq!(space.state()["outputs"]["x"]["value"], expected);
    }
    // Too few arguments never reach us, and what is unknown is not computed.
    space.write(&output("greet(\"hello\")"));
    assert!(
        errors(&space)[0]["detail"]
            .as_str()
            .unwrap()
            .contains("\"words\"")
    );
    space.write(&format!(
        "resource \"terraform_data\" \"later\" {{ input = \"you\" }}\n{}",
        output("greet(\"hello {name}\", { name = terraform_data.later.output })")
    ));
    let changes = space.plan().changes();
    assert!(
        changes.contains("x = \"two: a, 5\" -> (known after apply)"),
        "{changes}"
    );
    space.apply().succeeds();
    assert_eq!(space.state()["outputs"]["x"]["value"], "hello you");
    space.is_settled();
}

#[test]
fn numbers_keep_every_digit() {
    let numbers = [
        "123456789012345678901234567890.123456789",
        "-0.000000000000000000000000000001",
        "9007199254740993",
        "1e30",
        "18446744073709551616",
        "0.1",
    ];
    let space = Workspace::new(&format!(
        r#"
locals {{ numbers = [{}] }}
resource "example_thing" "a" {{
  count  = length(local.numbers)
  name   = "a-${{count.index}}"
  weight = local.numbers[count.index]
  extra  = [local.numbers[count.index]]
}}
resource "terraform_data" "later" {{ input = local.numbers }}
resource "example_thing" "b" {{
  count  = length(local.numbers)
  name   = "b-${{count.index}}"
  weight = terraform_data.later.output[count.index]
  extra  = {{ number = terraform_data.later.output[count.index] }}
}}
output "same" {{
  value = [for index, number in local.numbers : number == example_thing.a[index].weight &&
    number == example_thing.a[index].extra[0] && number == example_thing.b[index].weight &&
    number == example_thing.b[index].extra.number]
}}
output "described" {{ value = provider::example::describe(local.numbers[0]).value }}
"#,
        numbers.join(", ")
    ));
    space.apply().succeeds();
    space.is_settled();
    let state = space.state();
    assert_eq!(
        state["outputs"]["same"]["value"],
        Json::from(vec![true; numbers.len()])
    );
    assert_eq!(
        state["outputs"]["described"]["value"].to_string(),
        numbers[0]
    );
    let attributes = &space.instances("example_thing.a")[0]["attributes"];
    assert_eq!(attributes["weight"].to_string(), numbers[0]);
    assert!(
        space.content("a-0").contains(numbers[0]),
        "the world has it too"
    );
    // One digit more, one digit less.
    let text = std::fs::read_to_string(space.source("main.tf")).unwrap();
    let changed = text.replace("123456789.123456789", "123456789.123456788");
    std::fs::write(
        space.source("main.tf"),
        changed.replace("34567890.123456789", "34567890.12345678"),
    )
    .unwrap();
    assert!(
        space
            .run(&["plan", "-target=example_thing.a[0]"])
            .succeeds()
            .contains("123456789012345678901234567890.123456789 -> 123456789012345678901234567890.12345678")
    );
}

#[test]
fn composed_and_decomposed_text_is_the_same() {
    let (composed, decomposed) = ("caf\u{e9}", "cafe\u{301}");
    let config = |text: &str| {
        format!(
            "resource \"example_thing\" \"a\" {{\n  name = \"a\"\n  labels = {{ \"{text}\" = \"{text}\" }}\n  tags = [\"{text}\"]\n  \
             extra = [\"{text}\", {{ \"{text}\" = 1 }}]\n  parts = [{{ name = \"{text}\" }}]\n}}\n"
        )
    };
    let space = Workspace::new(&config(decomposed));
    space.apply().succeeds();
    space.is_settled();
    let attributes = space.attributes("example_thing.a");
    assert_eq!(attributes["labels"][composed], composed, "core composes it");
    space.write(&config(composed));
    space.is_settled();
    // The world may answer in the other form: nothing has changed.
    let text = space.content("a").replace(composed, decomposed);
    std::fs::write(space.file("a.json"), &text).unwrap();
    assert!(text.contains(decomposed) && !text.contains(composed));
    space.is_settled();
    space
        .run(&["apply", "-refresh-only", "-auto-approve"])
        .succeeds();
    space.is_settled();
    assert_eq!(space.content("a"), text);
}

#[test]
fn sensitive_values_are_shown_to_nobody() {
    let config = |output: &str| {
        format!(
            r#"
variable "secret" {{
  type      = string
  sensitive = true
  default   = "s3cret"
}}
resource "example_thing" "a" {{
  name   = "a"
  labels = {{ open = "open", closed = var.secret }}
  extra  = [var.secret, {{ inside = var.secret }}]
  parts  = [{{ name = var.secret }}]
}}
output "x" {{
  value     = {output}
  sensitive = true
}}
"#
        )
    };
    let space = Workspace::new(&config("example_thing.a.parts[0].name"));
    let text = space.apply().succeeds();
    assert!(
        text.contains("(sensitive value)") && !text.contains("s3cret"),
        "{text}"
    );
    space.is_settled();
    let instance = &space.instances("example_thing.a")[0];
    assert_eq!(instance["attributes"]["labels"]["closed"], "s3cret");
    let paths = instance["sensitive_attributes"].to_string();
    for name in ["labels", "extra", "parts", "secret_wo"] {
        assert!(
            paths.contains(&format!("\"{name}\"")),
            "no {name} in {paths}"
        );
    }
    // A change of it is told, its value is not; neither is it when it is wrong.
    space.edit("a", "labels", r#"{"open": "open", "closed": "drifted"}"#);
    let text = space.plan().changes();
    assert!(
        text.contains("labels") && !text.contains("s3cret") && !text.contains("drifted"),
        "{text}"
    );
    space.write(&config("1").replace("name   = \"a\"", "name = \"S3CRET ${var.secret}\""));
    let text = space.run(&["plan"]).fails();
    assert!(
        text.contains("Must match [a-z0-9-]+.") && !text.contains("s3cret"),
        "{text}"
    );
    space.write(&config("1").replace("sensitive = true\n}\n\"", "").replace(
        "value     = 1\n  sensitive = true",
        "value = example_thing.a.labels",
    ));
    let text = space.run(&["plan"]).fails();
    assert!(text.contains("Output refers to sensitive values"), "{text}");
}
