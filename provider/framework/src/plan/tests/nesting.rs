//! Nested objects in every nesting: attributes and blocks, alone, in lists, sets and maps.

use std::collections::BTreeMap;

use crate::field::Source;
use crate::path::Path;
use crate::plan::{
    differs, filled_with_defaults, refined, replacements, with_defaults, with_empty_blocks,
    with_unknowns,
};
use crate::{
    Attr, Diagnostics, Field, Model, Object, Refinement, Schema, Set, Value, check, equal,
};

/// A resource with every nesting.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "nests", exclusive("one", "plain"))]
struct Nests {
    /// Known to begin so.
    #[schema(computed, begins = "nest-")]
    id: Attr<String>,
    /// One nested object.
    #[schema(optional)]
    one: Attr<Inner>,
    /// Nested objects without order.
    #[schema(optional)]
    set: Attr<Set<Inner>>,
    /// The same type without rules inside.
    #[schema(optional, replace_if = grows)]
    plain: Attr<Vec<Object<Inner>>>,
    /// One block.
    #[schema(block)]
    single: Attr<Inner>,
    /// A block that is always there.
    #[schema(group)]
    group: Attr<Outer>,
    /// Blocks in order.
    #[schema(required, block, items(1..=3))]
    list: Attr<Vec<Outer>>,
    /// Blocks without order.
    #[schema(block)]
    bag: Attr<Set<Inner>>,
    /// Blocks by label.
    #[schema(block)]
    map: Attr<BTreeMap<String, Inner>>,
}

/// A nested object.
#[derive(Schema, Clone, Debug, PartialEq)]
struct Inner {
    /// A name; another one replaces the resource.
    #[schema(required, replace)]
    name: Attr<String>,
    /// What it is made of.
    #[schema(default = "wood")]
    material: Attr<String>,
    /// The provider's number.
    #[schema(computed)]
    number: Attr<i64>,
}

/// A block with a block inside.
#[derive(Schema, Clone, Debug, PartialEq)]
struct Outer {
    /// A title.
    #[schema(optional)]
    title: Attr<String>,
    /// Blocks inside the block.
    #[schema(block)]
    inner: Attr<Vec<Inner>>,
}

fn grows(prior: &Attr<Vec<Object<Inner>>>, planned: &Attr<Vec<Object<Inner>>>) -> bool {
    match (prior, planned) {
        (Attr::Known(prior), Attr::Known(planned)) => planned.len() > prior.len(),
        _ => false,
    }
}

fn inner(name: &str, material: Attr<String>, number: Attr<i64>) -> Inner {
    Inner {
        name: name.into(),
        material,
        number,
    }
}

fn written(name: &str) -> Inner {
    inner(name, Attr::Null, Attr::Null)
}

fn nests() -> Nests {
    Nests {
        id: Attr::Null,
        one: Attr::Null,
        set: Attr::Null,
        plain: Attr::Null,
        single: Attr::Null,
        group: Attr::Null,
        list: Attr::Null,
        bag: Attr::Null,
        map: Attr::Null,
    }
}

fn schema() -> &'static Schema {
    Nests::schema()
}

fn told(config: &Nests) -> Vec<String> {
    let mut found = Diagnostics::none();
    check::config(schema(), &config.encode(), &Path::root(), &mut found);
    let one = |told: &crate::Diagnostic| {
        let place = told.attribute.as_ref().map(ToString::to_string);
        format!("{}: {}", place.unwrap_or_default(), told.detail)
    };
    found.iter().map(one).collect()
}

#[test]
fn the_schema_is_one_that_core_takes() {
    assert_eq!(schema().faults(&[]), Vec::<String>::new());
}

#[test]
fn no_blocks_are_empty_and_a_group_is_always_there() {
    let value = nests().encode();
    assert!(value.get("single").is_null());
    assert_eq!(*value.get("list"), Value::List(vec![]));
    assert_eq!(*value.get("bag"), Value::List(vec![]));
    assert_eq!(*value.get("map"), Value::Map(BTreeMap::new()));
    assert!(value.get("group").get("title").is_null());
    assert_eq!(*value.get("group").get("inner"), Value::List(vec![]));
    // State from before the blocks were in the schema has null there.
    let Value::Map(mut old) = value.clone() else {
        panic!("an object")
    };
    for name in ["list", "bag", "map", "group"] {
        old.insert(name.to_owned(), Value::Null);
    }
    assert_eq!(with_empty_blocks(schema(), Value::Map(old)), value);
}

#[test]
fn everything_decodes_to_what_it_was() {
    let full = Nests {
        id: "nest-1".into(),
        one: inner("a", "iron".into(), 1.into()).into(),
        set: Set::from(vec![inner("b", "tin".into(), 2.into()), written("c")]).into(),
        plain: Attr::Null,
        single: written("d").into(),
        group: Outer {
            title: "t".into(),
            inner: vec![written("e")].into(),
        }
        .into(),
        list: vec![Outer {
            title: Attr::Null,
            inner: Vec::new().into(),
        }]
        .into(),
        bag: Set::from(vec![inner("f", Attr::Unknown, Attr::Unknown)]).into(),
        map: BTreeMap::from([("k".to_owned(), written("g"))]).into(),
    };
    let decoded = Nests::decode_object(&full.encode(), Source::State).expect("our own encoding");
    assert_eq!(decoded, full);
}

#[test]
fn defaults_and_unknowns_reach_the_right_element_of_a_set() {
    let config = Nests {
        set: Set::from(vec![inner("b", "tin".into(), Attr::Null), written("a")]).into(),
        ..nests()
    }
    .encode();
    // Core proposes the prior numbers, in an order of its own.
    let proposed = Nests {
        set: Set::from(vec![
            inner("a", Attr::Null, 1.into()),
            inner("b", "tin".into(), 2.into()),
        ])
        .into(),
        ..nests()
    }
    .encode();
    let planned = with_defaults(schema(), &config, &proposed);
    let expected = Nests {
        set: Set::from(vec![
            inner("a", "wood".into(), 1.into()),
            inner("b", "tin".into(), 2.into()),
        ])
        .into(),
        ..nests()
    };
    assert_eq!(planned, expected.encode());
    // Nothing differs from what is, so nothing moves.
    let prior = Nests {
        set: Set::from(vec![
            inner("b", "tin".into(), 2.into()),
            inner("a", "wood".into(), 1.into()),
        ])
        .into(),
        ..nests()
    }
    .encode();
    assert!(!differs(schema(), &planned, &prior));
    let moved = with_unknowns(schema(), &config, &prior, &planned);
    let numbers = Nests::decode_object(&moved, Source::State)
        .expect("a model")
        .set;
    for element in &numbers.into_known().expect("a set") {
        assert_eq!(element.number, Attr::Unknown, "{}", element.name.text());
    }
}

#[test]
fn a_set_replaces_when_what_replaces_inside_differs() {
    let of = |names: &[&str], material: &str| {
        let elements = names
            .iter()
            .map(|name| inner(name, material.into(), 1.into()));
        Nests {
            set: elements.collect::<Set<_>>().into(),
            ..nests()
        }
        .encode()
    };
    let prior = of(&["a", "b"], "wood");
    let paths = |planned: &Value| replacements(schema(), planned, &prior, planned);
    assert_eq!(paths(&of(&["b", "a"], "iron")), Vec::<Path>::new());
    assert_eq!(paths(&of(&["a", "c"], "wood")), [Path::of("set")]);
}

#[test]
fn a_function_decides_on_a_replacement() {
    let of = |count: usize| {
        let elements = vec![Object(written("a")); count];
        Nests {
            plain: elements.into(),
            ..nests()
        }
        .encode()
    };
    let paths = |prior: usize, planned: usize| {
        let planned = of(planned);
        replacements(schema(), &planned, &of(prior), &planned)
    };
    assert_eq!(paths(1, 2), [Path::of("plain")]);
    assert_eq!(paths(2, 1), Vec::<Path>::new());
}

#[test]
fn what_is_known_of_an_unknown_value_is_said() {
    let planned = Nests {
        id: Attr::Unknown,
        ..nests()
    }
    .encode();
    let refined = refined(schema(), planned.clone());
    let expected = Value::Unknown(Some(Box::new(Refinement::begins("nest-"))));
    assert_eq!(*refined.get("id"), expected);
    assert!(equal(&refined, &planned, schema().value_type()));
}

#[test]
fn wrong_input_is_told_where_it_is() {
    let missing = Inner {
        name: Attr::Null,
        ..written("")
    };
    let config = Nests {
        one: written("x").into(),
        plain: vec![Object(written("y"))].into(),
        set: Set::from(vec![missing.clone()]).into(),
        map: BTreeMap::from([("k".to_owned(), missing)]).into(),
        ..nests()
    };
    assert_eq!(
        told(&config),
        [
            "set: This attribute is required.",
            "map[\"k\"].name: This attribute is required.",
            "plain: Set at most one of \"one\", \"plain\". Set now: \"one\", \"plain\".",
        ]
    );
}

#[test]
fn an_import_is_filled_with_defaults_inside_too() {
    let imported = Nests {
        one: written("a").into(),
        ..nests()
    }
    .encode();
    let filled = filled_with_defaults(schema(), imported);
    assert_eq!(
        *filled.get("one").get("material"),
        Value::String("wood".to_owned())
    );
}
