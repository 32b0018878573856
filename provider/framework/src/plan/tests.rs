//! Tables of the plan pipeline and of core's rules, over one schema that has every kind of attribute.

mod nesting;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    differs, filled_with_defaults, replacements, with_defaults, with_unknowns, without_write_only,
};
use crate::field::carry_over;
use crate::path::Path;
use crate::{Attr, Field, Model, Schema, Source, Value, check, repair};

/// A resource with one attribute of each kind.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "kinds")]
struct Kinds {
    /// Forces a replacement.
    #[schema(required, replace)]
    name: Attr<String>,
    /// Has a default.
    #[schema(default = "grey")]
    colour: Attr<String>,
    /// User or provider.
    #[schema(optional, computed, replace_if_configured)]
    address: Attr<String>,
    /// Provider only, moves with every change.
    #[schema(computed)]
    revision: Attr<i64>,
    /// Provider only, stays.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// In the configuration only.
    #[schema(optional, write_only)]
    secret_wo: Attr<String>,
    /// A list.
    #[schema(optional)]
    list: Attr<Vec<String>>,
    /// Written down.
    #[schema(optional, recorded)]
    note: Attr<String>,
    /// Nested objects.
    #[schema(optional)]
    parts: Attr<BTreeMap<String, Part>>,
}

/// A nested object.
#[derive(Schema, Clone, Debug, PartialEq)]
struct Part {
    /// What it is made of.
    #[schema(default = "wood")]
    material: Attr<String>,
    /// Number that the provider gives it.
    #[schema(computed, keep_prior)]
    number: Attr<i64>,
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

/// An object of the schema: the given attributes, null for the rest.
fn kinds(given: &[(&str, Value)]) -> Value {
    let schema = Kinds::schema();
    let mut object: BTreeMap<String, Value> = schema
        .attributes
        .iter()
        .map(|attribute| (attribute.name.to_owned(), Value::Null))
        .collect();
    for (name, value) in given {
        assert!(
            object.insert((*name).to_owned(), value.clone()).is_some(),
            "{name} is an attribute"
        );
    }
    Value::Map(object)
}

fn with(base: &Value, given: &[(&str, Value)]) -> Value {
    let Value::Map(mut object) = base.clone() else {
        unreachable!("an object")
    };
    for (name, value) in given {
        object.insert((*name).to_owned(), value.clone());
    }
    Value::Map(object)
}

/// What core proposes: the configuration, computed nulls from prior.
fn proposed(config: &Value, prior: &Value) -> Value {
    let Value::Map(object) = config.clone() else {
        unreachable!("an object")
    };
    let one = |(name, value): (String, Value)| {
        let computed = Kinds::schema()
            .attribute(&name)
            .is_some_and(super::Attribute::is_computed);
        let value = if value.is_null() && computed {
            prior.get(&name).clone()
        } else {
            value
        };
        (name, value)
    };
    Value::Map(object.into_iter().map(one).collect())
}

/// The whole pipeline without a resource's own wishes.
fn plan(config: &Value, prior: &Value) -> Value {
    let base = with_defaults(Kinds::schema(), config, &proposed(config, prior));
    let planned = if differs(Kinds::schema(), &base, prior) {
        with_unknowns(Kinds::schema(), config, prior, &base)
    } else {
        base
    };
    let faults = check::plan(Kinds::schema(), config, prior, &planned);
    assert!(faults.is_empty(), "{faults:?}");
    planned
}

fn config() -> Value {
    kinds(&[("name", text("a")), ("secret_wo", text("hush"))])
}

fn prior() -> Value {
    let one = |number: i64| Value::Number(number.into());
    kinds(&[
        ("name", text("a")),
        ("colour", text("grey")),
        ("address", text("192.0.2.1")),
        ("revision", one(3)),
        ("id", text("id-a")),
    ])
}

#[test]
fn a_create_leaves_computed_values_unknown_and_takes_defaults() {
    let planned = plan(&config(), &Value::Null);
    for name in ["address", "revision", "id"] {
        assert!(planned.get(name).is_unknown(), "{name}");
    }
    assert_eq!(*planned.get("colour"), text("grey"));
    assert!(
        planned.get("secret_wo").is_null(),
        "write-only values never reach a plan"
    );
    assert!(replacements(Kinds::schema(), &config(), &Value::Null, &planned).is_empty());
}

#[test]
fn nothing_changed_is_nothing_planned() {
    assert_eq!(plan(&config(), &prior()), prior());
}

#[test]
fn a_change_unsettles_what_does_not_keep_its_value() {
    let config = with(&config(), &[("colour", text("red"))]);
    let planned = plan(&config, &prior());
    assert!(planned.get("revision").is_unknown() && planned.get("address").is_unknown());
    assert_eq!(*planned.get("id"), text("id-a"));
}

#[test]
fn a_recorded_change_unsettles_nothing() {
    let config = with(&config(), &[("note", text("new"))]);
    assert_eq!(
        plan(&config, &prior()),
        with(&prior(), &[("note", text("new"))])
    );
}

#[test]
fn a_default_comes_back_when_the_configuration_drops_the_value() {
    let planned = plan(&config(), &with(&prior(), &[("colour", text("red"))]));
    assert_eq!(*planned.get("colour"), text("grey"));
}

#[test]
fn renaming_replaces() {
    let config = with(&config(), &[("name", text("b"))]);
    let planned = plan(&config, &prior());
    assert_eq!(
        replacements(Kinds::schema(), &config, &prior(), &planned),
        [Path::of("name")]
    );
}

#[test]
fn an_address_replaces_only_when_configured() {
    let config = with(&config(), &[("colour", text("red"))]);
    let planned = plan(&config, &prior());
    assert!(planned.get("address").is_unknown());
    assert!(replacements(Kinds::schema(), &config, &prior(), &planned).is_empty());
    let config = with(&config, &[("address", text("192.0.2.9"))]);
    let planned = plan(&config, &prior());
    assert_eq!(
        replacements(Kinds::schema(), &config, &prior(), &planned),
        [Path::of("address")]
    );
}

#[test]
fn nested_objects_have_defaults_and_keep_their_own_values() {
    let part = |material: Value, number: Value| {
        Value::object([("material", material), ("number", number)])
    };
    let map = |parts: [(&str, Value); 2]| Value::object(parts);
    let null = Value::Null;
    let config = with(
        &config(),
        &[(
            "parts",
            map([
                ("old", part(text("stone"), null.clone())),
                ("new", part(null.clone(), null)),
            ]),
        )],
    );
    let seven = Value::Number(7.into());
    let prior = with(
        &prior(),
        &[(
            "parts",
            Value::object([("old", part(text("wood"), seven.clone()))]),
        )],
    );
    let planned = plan(&config, &prior);
    let expected = map([
        ("old", part(text("stone"), seven)),
        ("new", part(text("wood"), Value::UNKNOWN)),
    ]);
    assert_eq!(*planned.get("parts"), expected);
}

#[test]
fn an_unknown_configuration_stays_unknown() {
    let config = with(
        &config(),
        &[
            ("list", Value::List(vec![Value::UNKNOWN])),
            ("parts", Value::UNKNOWN),
        ],
    );
    let planned = plan(&config, &prior());
    assert_eq!(planned.get("list"), config.get("list"));
    assert!(planned.get("parts").is_unknown());
}

#[test]
fn an_import_takes_defaults_but_nothing_else() {
    let imported = kinds(&[("name", text("a"))]);
    assert_eq!(
        filled_with_defaults(Kinds::schema(), imported.clone()),
        with(&imported, &[("colour", text("grey"))])
    );
}

#[test]
fn configurations_are_checked_where_core_does_not_look() {
    let mut found = crate::Diagnostics::none();
    let bad = with(&config(), &[("name", Value::Null), ("id", text("mine"))]);
    check::config(Kinds::schema(), &bad, &Path::root(), &mut found);
    let summaries: Vec<_> = found.iter().map(|one| one.summary.as_str()).collect();
    assert_eq!(summaries, ["Missing name", "Read-only id"]);
}

#[test]
fn a_collection_with_an_unknown_element_is_unknown_but_not_lost() {
    let given = with(
        &prior(),
        &[("list", Value::List(vec![text("x"), Value::UNKNOWN]))],
    );
    let mut model = Kinds::decode_object(&given, Source::State).expect("decodes");
    assert!(model.list.is_unknown());
    let before = model.encode();
    model.note = "changed".into();
    let after = carry_over(&given, &before, model.encode());
    assert_eq!(after, with(&given, &[("note", text("changed"))]));
}

#[test]
fn schemas_that_core_would_refuse_are_found() {
    /// Everything wrong.
    #[derive(Schema, Clone)]
    struct Wrong {
        /// Reserved.
        #[schema(optional)]
        count: Attr<String>,
        /// Keeps a value inside a list.
        #[schema(optional)]
        parts: Attr<Vec<Part>>,
        /// Write-only and computed.
        #[schema(optional, computed, write_only)]
        secret_wo: Attr<String>,
    }
    let faults = Wrong::schema().faults(&["count"]);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(Kinds::schema().faults(&["count"]).is_empty());
}

fn attr<T: Clone + std::fmt::Debug>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = Attr<T>> {
    prop_oneof![
        Just(Attr::Null),
        Just(Attr::Unknown),
        of.prop_map(Attr::Known)
    ]
}

proptest! {
    #[test]
    fn encode_after_decode_gives_the_model_back(
        name in attr(".*"), revision in attr(any::<i64>()), list in attr(prop::collection::vec(".*", 0..3)),
        parts in attr(prop::collection::btree_map("[a-z]+", attr("[a-z]+"), 0..3)),
    ) {
        let parts = parts.map(|parts| {
            parts.into_iter().map(|(key, material)| (key, Part { material, number: Attr::Null })).collect()
        });
        let model = Kinds {
            name, revision, list, parts, colour: Attr::Null, address: Attr::Unknown, id: Attr::Null,
            secret_wo: Attr::Null, note: Attr::Null,
        };
        let value = model.encode();
        let again = Kinds::decode_object(&value, Source::Config).expect("our own value");
        prop_assert_eq!(&again, &model);
        prop_assert_eq!(again.encode(), value);
    }

    #[test]
    fn any_plan_over_any_two_configurations_is_legal(
        first in attr("[ab]"), second in attr("[ab]"), address in attr("[ab]"), list in attr(prop::collection::vec("[a-z]", 0..3)),
    ) {
        let configured = |colour: &Attr<String>| {
            let list = list.encode();
            with(&config(), &[("colour", colour.encode()), ("address", address.encode()), ("list", list)])
        };
        // What apply would make of the first plan.
        let planned = plan(&configured(&first), &Value::Null);
        let known = repair::known(Kinds::schema(), planned.clone());
        prop_assert!(without_write_only(Kinds::schema(), known.clone()) == known);
        let _ = plan(&configured(&second), &known);
    }
}
