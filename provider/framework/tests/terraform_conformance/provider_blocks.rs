//! Several configurations of one provider, and one that is known only after apply.

use crate::workspace::Workspace;

#[test]
fn two_aliases_are_two_providers() {
    let space = Workspace::new(
        r#"
provider "example" {
  alias  = "second"
  folder = "${var.folder}/second"
}
resource "example_thing" "first" { name = "a" }
resource "example_thing" "second" {
  provider = example.second
  name     = "a"
  colour   = "red"
}
data "example_shelf" "first" { depends_on = [example_thing.first, example_thing.second] }
data "example_shelf" "second" {
  provider   = example.second
  depends_on = [example_thing.first, example_thing.second]
}
output "shelves" { value = [data.example_shelf.first.names, data.example_shelf.second.names] }
"#,
    );
    std::fs::create_dir(space.file("second")).unwrap();
    space.apply().succeeds();
    let journal = space.journal_by_process();
    let mut writers: Vec<_> = journal
        .iter()
        .filter(|(_, line)| line == "done write a")
        .map(|(process, _)| process)
        .collect();
    writers.dedup();
    assert_eq!(writers.len(), 2, "a process for each: {journal:?}");
    assert!(
        space.content("a").contains("\"grey\"") && space.content("second/a").contains("\"red\"")
    );
    assert_eq!(
        space.state()["outputs"]["shelves"]["value"],
        serde_json::json!([["a"], ["a"]])
    );
    space.is_settled();
    space.run(&["destroy", "-auto-approve"]).succeeds();
    assert!(!space.file("a.json").exists() && !space.file("second/a.json").exists());
}

#[test]
fn a_provider_may_be_configured_by_what_apply_tells() {
    let config = |place: &str| {
        format!(
            r#"
resource "terraform_data" "place" {{ input = "${{var.folder}}/{place}" }}
provider "example" {{
  alias  = "later"
  folder = terraform_data.place.output
}}
resource "example_thing" "a" {{
  provider = example.later
  name     = "a"
}}
"#
        )
    };
    let shelf = r#"
data "example_shelf" "all" {
  provider   = example.later
  depends_on = [example_thing.a]
}
output "names" { value = data.example_shelf.all.names }
"#;
    let space = Workspace::new(&(config("one") + shelf));
    for folder in ["one", "two"] {
        std::fs::create_dir(space.file(folder)).unwrap();
    }
    space.apply().succeeds();
    assert!(space.file("one/a.json").exists());
    assert_eq!(
        space.state()["outputs"]["names"]["value"],
        serde_json::json!(["a"])
    );
    space.is_settled();

    // Unknown again while a thing exists: it cannot be looked at, so it is kept, and the plan says so.
    space.write(&config("two"));
    let changes = space.plan().changes();
    assert!(
        changes.contains("Warning: Cannot read things")
            && changes.contains("The provider's folder is known only after apply.")
            && changes.contains("0 to add, 1 to change, 0 to destroy"),
        "{changes}"
    );
    space.write(&(config("two") + shelf));
    let text = space.plan().fails();
    assert!(
        text.contains("Error: Cannot look at the world yet")
            && text.contains("with data.example_shelf.all,"),
        "a data source has nothing to keep: {text}"
    );
    // The next look finds the folder known, and the thing not in it.
    space.write(&config("two"));
    space.apply().succeeds();
    space.apply().succeeds();
    assert!(space.file("two/a.json").exists());
    space.is_settled();
}
