//! `import`, `moved`, `removed` and the `lifecycle` block.

use crate::workspace::{Workspace, squeezed};

#[test]
fn an_import_block_writes_its_configuration() {
    let space = Workspace::new("import {\n  to = example_thing.a\n  id = \"a\"\n}\n");
    space.make("a");
    let text = space
        .run(&["plan", "-generate-config-out=generated.tf"])
        .succeeds();
    assert!(
        text.contains("1 to import, 0 to add, 0 to change, 0 to destroy"),
        "{text}"
    );
    let generated = squeezed(&std::fs::read_to_string(space.source("generated.tf")).unwrap());
    for line in [
        "resource \"example_thing\" \"a\"",
        "name = \"a\"",
        "colour = \"red\"",
        "size = 3",
        "by = \"hand\"",
        "secret_wo = null # sensitive",
    ] {
        assert!(generated.contains(line), "no {line:?} in {generated}");
    }
    for computed in ["revision", "fingerprint", " id "] {
        assert!(
            !generated.contains(computed),
            "{computed} is not for the user to set: {generated}"
        );
    }

    let before = space.content("a");
    space.apply().succeeds();
    assert_eq!(space.content("a"), before, "importing writes nothing");
    assert_eq!(space.attributes("example_thing.a")["revision"], 7);
    space.is_settled();

    // An id that nothing answers to is refused before anything is planned.
    space.write("import {\n  to = example_thing.b\n  id = \"nobody\"\n}\n");
    let text = space.run(&["plan", "-generate-config-out=more.tf"]).fails();
    assert!(text.contains("Cannot import thing \"nobody\""), "{text}");
}

#[test]
fn a_moved_resource_is_not_touched() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    space.apply().succeeds();
    space.journal();
    space.write(
        "resource \"example_thing\" \"b\" { name = \"a\" }\nmoved {\n  from = example_thing.a\n  to = example_thing.b\n}\n",
    );
    let text = space.apply().succeeds();
    assert!(
        text.contains("example_thing.a has moved to example_thing.b"),
        "{text}"
    );
    assert!(
        space.instances("example_thing.a").is_empty()
            && space.instances("example_thing.b").len() == 1
    );
    let journal = space.journal();
    assert!(
        journal.iter().all(|line| line.ends_with("read a")),
        "only reads: {journal:?}"
    );
    space.is_settled();
}

#[test]
fn a_resource_moves_to_another_type_if_that_takes_it() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    space.apply().succeeds();
    let private = space.instances("example_thing.a")[0]["private"].clone();
    assert!(private.is_string());
    space.journal();
    space.write(
        "resource \"example_sampler\" \"b\" {\n  name = \"a\"\n  text = \"new\"\n}\n\
         moved {\n  from = example_thing.a\n  to = example_sampler.b\n}\n",
    );
    let text = space.apply().succeeds();
    assert!(
        text.contains("0 added, 1 changed, 0 destroyed"),
        "it is taken over, not made anew: {text}"
    );
    let journal = space.journal();
    assert!(
        !journal.contains(&"done delete a".to_owned()),
        "{journal:?}"
    );
    assert_eq!(space.attributes("example_sampler.b")["text"], "new");
    space.is_settled();

    // A type that nobody announced is refused in words.
    let space = Workspace::new("resource \"terraform_data\" \"a\" { input = \"a\" }\n");
    space.apply().succeeds();
    space.write(
        "resource \"example_sampler\" \"a\" { name = \"a\" }\n\
         moved {\n  from = terraform_data.a\n  to = example_sampler.a\n}\n",
    );
    let text = squeezed(&space.plan().fails());
    assert!(
        text.contains("Cannot move terraform_data to sampler")
            && text.contains("Remove the moved block and import the object instead."),
        "{text}"
    );
}

#[test]
fn every_kind_of_attribute_and_block_is_imported_and_generated() {
    let config = r#"
resource "example_sampler" "a" {
  name     = "a"
  truth    = true
  number   = 123456789012345678901234567890.5
  integer  = -7
  text     = "text"
  hidden   = "hidden"
  list     = ["b", "a", "b"]
  holes    = [1, null]
  set      = ["b", "a"]
  map      = { k = "v" }
  lists    = { a = ["x"], b = [] }
  tuple    = ["t", 2]
  object   = { x = 1, y = null }
  anything = { deep = [1, "b", null, { more = [true] }] }
  cell     = { label = "one", legs = 4 }
  cells    = [{ label = "one" }, { label = "two", note = "seen" }]
  cell_set = [{ label = "one" }, { label = "two", legs = 0 }]
  cell_map = { a = { label = "one" } }
  row { label = "one" }
  corner { x = 1 }
  rows { label = "one" }
  rows { label = "two" }
  row_set { label = "one" }
  row_map "a" { label = "one" }
}
"#;
    let space = Workspace::new(config);
    let text = squeezed(&space.apply().succeeds());
    assert!(text.contains("+ hidden = (sensitive value)"), "{text}");
    space.is_settled();
    let before = space.attributes("example_sampler.a");
    // By command: everything is as it was.
    space.run(&["state", "rm", "example_sampler.a"]).succeeds();
    space.run(&["import", "example_sampler.a", "a"]).succeeds();
    assert_eq!(space.attributes("example_sampler.a"), before);
    space.is_settled();
    // By block: the generated configuration describes what is there, but for what is not to be seen.
    space.run(&["state", "rm", "example_sampler.a"]).succeeds();
    space.write("import {\n  to = example_sampler.a\n  id = \"a\"\n}\n");
    let text = space
        .run(&["plan", "-generate-config-out=generated.tf"])
        .succeeds();
    assert!(
        text.contains("1 to import, 0 to add, 1 to change"),
        "{text}"
    );
    let path = space.source("generated.tf");
    let generated = std::fs::read_to_string(&path).unwrap();
    assert!(
        squeezed(&generated).contains("hidden = null # sensitive"),
        "{generated}"
    );
    let completed = generated.replace("null # sensitive", "\"hidden\"");
    std::fs::write(path, completed).unwrap();
    let text = space.apply().succeeds();
    assert!(text.contains("1 imported, 0 added, 0 changed"), "{text}");
    assert_eq!(space.attributes("example_sampler.a"), before);
    space.is_settled();
}

#[test]
fn a_removed_block_forgets_or_destroys() {
    let removed = |destroy: bool| {
        format!(
            "removed {{\n  from = example_thing.a\n  lifecycle {{\n    destroy = {destroy}\n  }}\n}}\n"
        )
    };
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    space.apply().succeeds();
    space.journal();
    space.write(&removed(false));
    let text = space.apply().succeeds();
    assert!(
        text.contains("will no longer be managed by Terraform"),
        "{text}"
    );
    assert_eq!(space.journal(), [""; 0], "it is not even looked at");
    assert!(space.instances("example_thing.a").is_empty() && space.file("a.json").exists());

    space.write("resource \"example_thing\" \"a\" { name = \"a\" }\nimport {\n  to = example_thing.a\n  id = \"a\"\n}\n");
    space.apply().succeeds();
    space.write(&removed(true));
    let text = space.apply().succeeds();
    assert!(text.contains("1 destroyed"), "{text}");
    assert!(!space.file("a.json").exists());
}

#[test]
fn replace_triggered_by_and_ignore_changes() {
    let config = |colour: &str, label: &str| {
        format!(
            r#"
resource "example_thing" "cause" {{
  name   = "cause"
  colour = "{colour}"
}}
resource "example_thing" "effect" {{
  name   = "effect"
  labels = {{ mine = "{label}", theirs = "{label}" }}
  size   = 3
  lifecycle {{
    replace_triggered_by = [example_thing.cause.colour]
    ignore_changes       = [labels["theirs"], size]
  }}
}}
"#
        )
    };
    let space = Workspace::new(&config("grey", "one"));
    space.apply().succeeds();

    // Ignored in the configuration and in the world.
    space.edit("effect", "size", "5");
    space.write(&config("grey", "two"));
    let changes = space.plan().changes();
    assert!(
        changes.contains("\"mine\"   = \"one\" -> \"two\"")
            && changes.contains("0 to add, 1 to change"),
        "{changes}"
    );
    space.apply().succeeds();
    let labels = &space.attributes("example_thing.effect")["labels"];
    assert_eq!(labels, &serde_json::json!({"mine": "two", "theirs": "one"}));
    assert_eq!(space.attributes("example_thing.effect")["size"], 5);
    space.is_settled();
    space.journal();

    // A change of the cause replaces the effect, although nothing in it changes.
    space.write(&config("blue", "two"));
    let text = space.apply().succeeds();
    assert!(
        text.contains(
            "example_thing.effect will be replaced due to changes in replace_triggered_by"
        ),
        "{text}"
    );
    let journal = space.journal();
    let position = |line: &str| journal.iter().position(|one| one == line);
    assert!(
        position("done delete effect").is_some()
            && position("done delete effect") < position("done write effect")
            && position("done write cause") < position("done write effect"),
        "{journal:?}"
    );
    space.is_settled();
}

#[test]
fn ignoring_all_changes_still_lets_drift_through_to_state() {
    let config = |colour: &str| {
        format!(
            "resource \"example_thing\" \"a\" {{\n name = \"a\"\n colour = \"{colour}\"\n lifecycle {{ ignore_changes = all }}\n}}\n"
        )
    };
    let space = Workspace::new(&config("grey"));
    space.apply().succeeds();
    space.write(&config("red"));
    space.edit("a", "size", "4");
    space.is_settled();
    space
        .run(&["apply", "-refresh-only", "-auto-approve"])
        .succeeds();
    let attributes = space.attributes("example_thing.a");
    assert_eq!(
        (&attributes["colour"], &attributes["size"]),
        (&"grey".into(), &4.into())
    );
}

#[test]
fn a_deposed_object_stays_until_it_can_be_deleted() {
    let config = |name: &str| {
        format!(
            "resource \"example_thing\" \"a\" {{\n name = \"{name}\"\n lifecycle {{ create_before_destroy = true }}\n}}\n"
        )
    };
    let space = Workspace::new(&config("old"));
    space.apply().succeeds();
    std::fs::write(space.file("old.stuck"), "").unwrap();
    space.journal();

    space.write(&config("new"));
    let text = space.apply().fails();
    assert!(
        text.contains("Cannot delete thing \"old\"") && text.contains("It still exists."),
        "{text}"
    );
    let journal = space.journal();
    let position = |line: &str| journal.iter().position(|one| one == line).unwrap();
    assert!(
        position("done write new") < position("fail delete old"),
        "{journal:?}"
    );
    let instances = space.instances("example_thing.a");
    assert_eq!(instances.len(), 2);
    let deposed = instances.iter().find(|one| one["deposed"].is_string());
    assert_eq!(deposed.unwrap()["attributes"]["name"], "old");

    // The next plan deletes it and nothing else.
    let changes = space.plan().changes();
    assert!(
        changes.contains("(deposed object")
            && changes.contains("0 to add, 0 to change, 1 to destroy"),
        "{changes}"
    );
    std::fs::remove_file(space.file("old.stuck")).unwrap();
    space.apply().succeeds();
    assert!(!space.file("old.json").exists() && space.file("new.json").exists());
    assert_eq!(space.instances("example_thing.a").len(), 1);
    space.is_settled();
}

#[test]
fn prevent_destroy_refuses_destroy_and_replacement() {
    let config = |name: &str| {
        format!(
            "resource \"example_thing\" \"a\" {{\n name = \"{name}\"\n lifecycle {{ prevent_destroy = true }}\n}}\n"
        )
    };
    let space = Workspace::new(&config("a"));
    space.apply().succeeds();
    for text in [space.run(&["destroy", "-auto-approve"]).fails(), {
        space.write(&config("b"));
        space.apply().fails()
    }] {
        assert!(text.contains("Instance cannot be destroyed"), "{text}");
    }
    assert!(space.file("a.json").exists() && !space.file("b.json").exists());
}
