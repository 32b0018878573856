//! State: drift, saved plans, older and newer schema versions, files written by hand.

use serde_json::json;

use crate::workspace::{Workspace, squeezed};

const THING: &str = "resource \"example_thing\" \"a\" {\n  name = \"a\"\n  weight = 2.5\n  tags = [\"x\", \"y\"]\n}\n";

#[test]
fn drift_goes_into_state_alone_when_asked_so() {
    let space = Workspace::new(THING);
    space.apply().succeeds();
    space.edit("a", "colour", "\"blue\"");
    space.edit("a", "size", "8");
    let world = space.content("a");

    let changes = space
        .run(&["plan", "-refresh-only", "-detailed-exitcode"])
        .changes();
    assert!(
        changes.contains("Objects have changed outside of Terraform")
            && changes.contains("\"grey\" -> \"blue\""),
        "{changes}"
    );
    space
        .run(&["apply", "-refresh-only", "-auto-approve"])
        .succeeds();
    let attributes = space.attributes("example_thing.a");
    assert_eq!(
        (&attributes["colour"], &attributes["size"]),
        (&"blue".into(), &8.into())
    );
    assert_eq!(space.content("a"), world, "nothing was written outside");
    let nothing = space.run(&["plan", "-refresh-only", "-detailed-exitcode"]);
    assert_eq!(nothing.code, 0, "{}", nothing.text);

    // What is configured or has a default goes back; what is gone is made again.
    let changes = space.plan().changes();
    assert!(
        changes.contains("\"blue\" -> \"grey\"") && changes.contains("- size"),
        "{changes}"
    );
    std::fs::remove_file(space.file("a.json")).unwrap();
    space
        .run(&["apply", "-refresh-only", "-auto-approve"])
        .succeeds();
    assert!(space.instances("example_thing.a").is_empty());
    assert!(
        space
            .plan()
            .changes()
            .contains("1 to add, 0 to change, 0 to destroy")
    );
}

#[test]
fn a_saved_plan_is_applied_once() {
    let space = Workspace::new(THING);
    space.run(&["plan", "-out=first.bin"]).succeeds();
    space.run(&["plan", "-out=second.bin"]).succeeds();
    assert!(!space.file("a.json").exists());
    // Later, and with a configuration that has moved on: the plan is what counts.
    space.write(&THING.replace("2.5", "7"));
    space.run(&["apply", "first.bin"]).succeeds();
    assert_eq!(
        space.attributes("example_thing.a")["weight"].to_string(),
        "2.5"
    );
    for plan in ["first.bin", "second.bin"] {
        let text = space.run(&["apply", plan]).fails();
        assert!(text.contains("Saved plan is stale"), "{text}");
    }
    assert_eq!(space.attributes("example_thing.a")["revision"], 1);
    assert!(
        space
            .plan()
            .changes()
            .contains("0 to add, 1 to change, 0 to destroy")
    );
}

#[test]
fn state_of_every_older_version_is_read_and_of_a_newer_one_refused() {
    let space = Workspace::new(THING);
    space.apply().succeeds();
    let present = space.state();
    let put = |version: i64| {
        let mut state = present.clone();
        let instance = &mut state["resources"][0]["instances"][0];
        instance["schema_version"] = version.into();
        let attributes = instance["attributes"].as_object_mut().unwrap();
        attributes.insert("of_old".to_owned(), json!({"dropped": [1]}));
        if version < 3 {
            attributes["tags"] = "x,y".into();
        }
        if version < 2 {
            attributes.remove("weight");
            attributes.insert("grams".to_owned(), 2500.into());
        }
        if version < 1 {
            let colour = attributes.remove("colour").unwrap();
            attributes.insert("color".to_owned(), colour);
        }
        space.put_state(&state);
    };
    for version in 0..=3 {
        put(version);
        // Without a look at the world, which would hide a value that was lost.
        let plan = space.run(&["plan", "-refresh=false", "-detailed-exitcode"]);
        assert_eq!(plan.code, 0, "version {version}: {}", plan.text);
        space.is_settled();
    }
    put(1);
    space
        .run(&["apply", "-refresh-only", "-auto-approve"])
        .succeeds();
    put(0);
    space.write(&THING.replace("2.5", "3"));
    space.apply().succeeds();
    let instance = &space.instances("example_thing.a")[0];
    assert_eq!(
        instance["schema_version"], 3,
        "the next write is in the new form"
    );
    assert_eq!(instance["attributes"]["colour"], "grey");
    assert_eq!(instance["attributes"].get("of_old"), None);

    put(4);
    let text = space.run(&["plan"]).fails();
    assert!(
        text.contains("Resource instance managed by newer provider version"),
        "{text}"
    );
    // Old state can also simply be destroyed.
    put(0);
    space.run(&["destroy", "-auto-approve"]).succeeds();
    assert!(!space.file("a.json").exists());
}

#[test]
fn state_written_by_hand_is_read_generously() {
    let space = Workspace::new(
        "resource \"example_thing\" \"a\" {\n  name = \"a\"\n  colour = \"red\"\n  size = 3\n  labels = { by = \"5\" }\n}\n",
    );
    space.make("a");
    space.edit("a", "labels", "{\"by\": \"5\"}");
    std::fs::write(
        space.source("terraform.tfstate"),
        r#"
{ "version": 4,   "serial": 1, "lineage": "by-hand", "terraform_version": "1.11.4",
  "resources": [ { "mode": "managed", "type": "example_thing", "name": "a",
      "provider": "provider[\"strata.internal/strata-iac/example\"]",
      "instances": [ { "schema_version": 3, "attributes": {
          "name":     "a",
          "id"   :   "a" ,

          "colour":"red",
          "size": "3",	"revision": "7", "ready": "true",
          "labels": { "by": 5 },
          "of_old": { "nobody": ["knows", 1, null] }
      } } ] } ] }
"#,
    )
    .unwrap();
    // The default of an attribute that is missing altogether is written down; nothing else changes.
    let plan = space.run(&["plan", "-refresh=false", "-detailed-exitcode"]);
    let changes = squeezed(&plan.changes());
    assert!(
        changes.contains("~ resource \"example_thing\" \"a\" { id = \"a\" + mood = \"work\" name = \"a\" # (6 unchanged")
            && changes.contains("0 to add, 1 to change, 0 to destroy"),
        "{changes}"
    );
    space.apply().succeeds();
    let attributes = space.attributes("example_thing.a");
    assert_eq!(
        (
            &attributes["size"],
            &attributes["revision"],
            &attributes["mood"]
        ),
        (&3.into(), &7.into(), &"work".into())
    );
    space.is_settled();

    // What cannot be read says where.
    let mut state = space.state();
    state["resources"][0]["instances"][0]["attributes"]["size"] = "three".into();
    space.put_state(&state);
    let text = space.run(&["plan"]).fails();
    assert!(
        text.contains("Cannot read the stored state of thing"),
        "{text}"
    );
}
