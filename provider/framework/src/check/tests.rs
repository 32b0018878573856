//! What the faults say: where, which law, which values, and what they hide. Whether they are right, the real Terraform
//! says in `tests/terraform_legality.rs`.

use std::collections::BTreeMap;

use super::{Fault, deleted, diagnostics, object, plan, replacements, result, stored};
use crate::{Attr, Field, Model, Path, Schema, Secret, Source, Value};

/// A crate of bottles.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "crate")]
struct Crate {
    /// A label.
    #[schema(required)]
    label: Attr<String>,
    /// A number that the provider gives.
    #[schema(computed)]
    number: Attr<i64>,
    /// What only the owner knows.
    #[schema(optional, sensitive)]
    vintage: Attr<String>,
    /// Never kept.
    #[schema(optional, write_only)]
    key_wo: Attr<Secret<String>>,
    /// Free words.
    #[schema(optional)]
    words: Attr<Vec<String>>,
    /// Bottles by name.
    #[schema(optional)]
    bottles: Attr<BTreeMap<String, Bottle>>,
    /// Whether it is open.
    #[schema(optional, block)]
    seals: Attr<Vec<Seal>>,
}

/// A bottle.
#[derive(Schema, Clone, Debug, PartialEq)]
struct Bottle {
    /// How much is left.
    #[schema(required)]
    litres: Attr<i64>,
    /// What is in it.
    #[schema(optional, sensitive)]
    content: Attr<String>,
}

/// A seal.
#[derive(Schema, Clone, Debug, PartialEq)]
struct Seal {
    /// Its colour.
    #[schema(optional)]
    colour: Attr<String>,
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn with(base: &Value, name: &str, value: Value) -> Value {
    let Value::Map(mut object) = base.clone() else {
        unreachable!("an object")
    };
    assert!(
        object.insert(name.to_owned(), value).is_some(),
        "{name} is an attribute"
    );
    Value::Map(object)
}

fn config() -> Value {
    let nothing = Value::Map(
        Crate::schema()
            .attributes
            .iter()
            .map(|one| (one.name.to_owned(), Value::Null))
            .collect(),
    );
    let bottle = Value::object([
        ("litres", Value::Number(3.into())),
        ("content", text("port")),
    ]);
    let base = with(&nothing, "label", text("a"));
    let base = with(&base, "vintage", text("1911"));
    let base = with(&base, "bottles", Value::object([("red", bottle)]));
    let base = with(
        &base,
        "seals",
        Value::List(vec![Value::object([("colour", text("blue"))])]),
    );
    assert!(
        Crate::decode_object(&base, Source::Config)
            .expect("decodes")
            .encode()
            == base
    );
    base
}

fn planned() -> Value {
    with(&config(), "number", Value::UNKNOWN)
}

#[track_caller]
fn says(faults: &[Fault], expected: &str) {
    let all: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(all, [expected]);
}

#[test]
fn a_plan_names_attribute_law_and_values() {
    let judge = |name: &str, value: Value| {
        plan(
            Crate::schema(),
            &config(),
            &Value::Null,
            &with(&planned(), name, value),
        )
    };
    assert!(plan(Crate::schema(), &config(), &Value::Null, &planned()).is_empty());
    says(
        &judge("label", text("b")),
        r#"label: planned differently from both configuration and prior state (planned: "b", configured: "a")"#,
    );
    says(
        &judge("words", Value::List(vec![text("x"), Value::UNKNOWN])),
        r#"words: planned although the configuration does not set it and it is not computed (planned: ["x", (unknown)], configured: null)"#,
    );
    says(
        &judge("seals", Value::List(vec![])),
        r#"seals: planned with another number of elements than configured (planned: [], configured: [{colour = "blue"}])"#,
    );
    let prior = with(&planned(), "label", text("c"));
    says(
        &plan(
            Crate::schema(),
            &config(),
            &prior,
            &with(&planned(), "label", Value::Null),
        ),
        r#"label: planned differently from both configuration and prior state (planned: null, configured: "a", prior: "c")"#,
    );
    let moved = replacements(
        Crate::schema(),
        &prior,
        &planned(),
        &[Path::of("label"), Path::of("lid")],
    );
    says(
        &moved,
        "lid: a change here is to replace the object, but neither prior state nor plan has this place",
    );
}

#[test]
fn secrets_are_not_shown() {
    let judge = |name: &str, value: Value| {
        plan(
            Crate::schema(),
            &config(),
            &Value::Null,
            &with(&planned(), name, value),
        )
    };
    says(
        &judge("vintage", text("1912")),
        "vintage: planned differently from both configuration and prior state (planned: (sensitive), configured: (sensitive))",
    );
    // Not even inside what is not a secret itself.
    says(
        &judge("bottles", Value::Map(BTreeMap::new())),
        "bottles: planned with another number of elements than configured (planned: (sensitive), configured: (sensitive))",
    );
    says(
        &judge("key_wo", text("hush")),
        "key_wo: a write-only value is in the answer, where it would be kept",
    );
    let new = with(
        &with(&planned(), "number", Value::Null),
        "vintage",
        text("1912"),
    );
    says(
        &result(Crate::schema(), &planned(), &new),
        "vintage: the result differs from the plan (planned: (sensitive), returned: (sensitive))",
    );
}

#[test]
fn long_values_are_cut() {
    let long = with(&planned(), "label", text(&"long".repeat(100)));
    let faults = plan(Crate::schema(), &config(), &Value::Null, &long);
    let told = faults[0].to_string();
    assert!(
        told.contains("longlon…, configured: \"a\"") && told.len() < 200,
        "{told}"
    );
}

#[test]
fn a_result_names_the_place_inside() {
    let new = |name: &str, value: Value| {
        with(
            &with(&planned(), "number", Value::Number(1.into())),
            name,
            value,
        )
    };
    let judge = |name: &str, value: Value| result(Crate::schema(), &planned(), &new(name, value));
    assert!(judge("label", text("a")).is_empty());
    let bottle = Value::object([
        ("litres", Value::Number(2.into())),
        ("content", text("port")),
    ]);
    says(
        &judge("bottles", Value::object([("red", bottle)])),
        r#"bottles["red"].litres: the result differs from the plan (planned: 3, returned: 2)"#,
    );
    says(
        &judge(
            "seals",
            Value::List(vec![Value::object([("colour", Value::Null)])]),
        ),
        r#"seals[0].colour: the result differs from the plan (planned: "blue", returned: null)"#,
    );
    says(&judge("number", Value::UNKNOWN), "number: still unknown");
    says(
        &result(Crate::schema(), &planned(), &Value::Null),
        "planned, but gone from the result (planned: (sensitive), returned: (sensitive))",
    );
    says(
        &deleted(Crate::schema(), &planned()),
        "deleted, but still an object",
    );
    says(&object(Crate::schema(), &Value::Null), "there is no object");
    says(
        &stored(Crate::schema(), &planned()),
        "number: still unknown",
    );
}

#[test]
fn the_message_blames_the_provider_and_points_at_a_single_attribute() {
    let bad = with(&planned(), "label", text("b"));
    let one = diagnostics(
        "The plan of crate",
        &plan(Crate::schema(), &config(), &Value::Null, &bad),
    );
    let told = one.iter().next().expect("a diagnostic");
    assert_eq!(told.summary, "This is a bug in the provider");
    assert!(
        told.detail
            .starts_with("The plan of crate breaks Terraform's rules:\n  - label: planned "),
        "{}",
        told.detail
    );
    assert_eq!(told.attribute, Some(Path::of("label")));
    let words = Value::List((0..30).map(|_| text("x")).collect());
    let many = with(
        &with(&planned(), "number", Value::Null),
        "words",
        words.clone(),
    );
    let planned = with(&planned(), "words", Value::List(vec![]));
    let all = diagnostics("The result", &result(Crate::schema(), &planned, &many));
    let told = all.iter().next().expect("a diagnostic");
    assert!(
        told.detail.ends_with("\n  - and 10 more") && told.attribute.is_none(),
        "{}",
        told.detail
    );
}
