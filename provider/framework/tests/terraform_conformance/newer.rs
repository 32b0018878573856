//! What newer versions of Terraform ask for does not disturb an older one; and what a module and a deprecation say.

use crate::workspace::Workspace;

/// The example has an identity, a list and generated configuration; 1.11 knows none of them.
#[test]
fn identities_lists_and_generated_configuration_are_ignored_by_older_ones() {
    let space = Workspace::new("resource \"example_thing\" \"a\" { name = \"a\" }\n");
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(space.plan().code, 0);
    let schema = space.run(&["providers", "schema", "-json"]).succeeds();
    assert!(schema.contains("example_thing"), "{schema}");
    space.run(&["state", "rm", "example_thing.a"]).succeeds();
    space.run(&["import", "example_thing.a", "a"]).succeeds();
    let plan = space.plan();
    assert_eq!(plan.code, 0, "{}", plan.text);
    space.run(&["destroy", "-auto-approve"]).succeeds();
    assert!(!space.file("a.json").exists());
}

#[test]
fn a_module_speaks_to_the_provider_and_is_told_when_it_speaks_wrongly() {
    let origin = "data \"example_origin\" \"here\" {}\n\
                  output \"module\" { value = data.example_origin.here.module }\n";
    let speaking = |name: &str| {
        format!("terraform {{\n  provider_meta \"example\" {{ name = \"{name}\" }}\n}}\n{origin}")
    };
    let space = Workspace::new(origin);
    let text = space.run(&["apply", "-auto-approve"]).succeeds();
    assert!(
        text.contains("Warning: origin is deprecated") && text.contains("Ask the author."),
        "{text}"
    );
    let said = || space.state()["outputs"]["module"]["value"].clone();
    assert!(said().is_null());
    space.write(&speaking("shop"));
    space.run(&["apply", "-auto-approve"]).succeeds();
    assert_eq!(said(), "shop");
    space.write(&speaking("Shop 1"));
    let text = space.run(&["plan"]).fails();
    assert!(
        text.contains("Invalid provider_meta block in this module")
            && text.contains("Must match [a-z-]+."),
        "{text}"
    );
}
