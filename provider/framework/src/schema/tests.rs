//! Schemas that contradict themselves, and what is said of each.

use super::{Attribute, Mode, Replace, Schema, Shape};
use crate::rule::Rule;
use crate::{Refinement, Type, Value};

fn attribute(name: &'static str, mode: Mode) -> Attribute {
    Attribute::new::<String>(name, "A text.", mode)
}

fn nested(attributes: Vec<Attribute>) -> &'static Schema {
    Box::leak(Box::new(Schema {
        attributes,
        ..Schema::default()
    }))
}

fn with_shape(shape: Shape) -> Attribute {
    Attribute {
        shape,
        ..attribute("a", Mode::Optional)
    }
}

fn block(shape: Shape) -> Attribute {
    Attribute {
        block: true,
        ..with_shape(shape)
    }
}

#[test]
fn every_contradiction_is_named() {
    let inside = || nested(vec![attribute("x", Mode::Optional)]);
    let dynamic = Attribute {
        shape: Shape::Plain(Type::Dynamic),
        ..attribute("x", Mode::Optional)
    };
    let cases: Vec<(Attribute, &str)> = vec![
        (
            attribute("Upper", Mode::Optional),
            "Upper: not an identifier",
        ),
        (
            attribute("count", Mode::Optional),
            "count: a name that Terraform reserves",
        ),
        (
            Attribute {
                default: Some(Value::Null),
                ..attribute("a", Mode::Optional)
            },
            "a: a default needs",
        ),
        (
            Attribute {
                write_only: true,
                ..attribute("a", Mode::Computed)
            },
            "a: write-only excludes",
        ),
        (
            Attribute {
                refinement: Some(Refinement::never_null()),
                ..attribute("a", Mode::Optional)
            },
            "a: only a computed value",
        ),
        (
            Attribute {
                fingerprint: Some("b"),
                ..attribute("a", Mode::Optional)
            },
            "a: only a write-only value",
        ),
        (
            Attribute {
                fingerprint: Some("b"),
                write_only: true,
                ..attribute("a", Mode::Optional)
            },
            "a: its fingerprint is no computed",
        ),
        (
            block(Shape::Plain(Type::String)),
            "a: a block holds nested objects",
        ),
        (
            Attribute {
                group: true,
                ..attribute("a", Mode::Optional)
            },
            "a: only blocks are groups",
        ),
        (
            Attribute {
                group: true,
                ..block(Shape::List(inside()))
            },
            "a: a group is one block",
        ),
        (
            Attribute {
                items: (1, 2),
                ..block(Shape::Single(inside()))
            },
            "a: only lists and sets",
        ),
        (
            Attribute {
                items: (3, 2),
                ..block(Shape::List(inside()))
            },
            "a: more blocks are required",
        ),
        (
            Attribute {
                mode: Mode::Computed,
                ..block(Shape::List(inside()))
            },
            "a: blocks are written",
        ),
        (
            Attribute {
                mode: Mode::Required,
                ..block(Shape::Map(inside()))
            },
            "a: core cannot require",
        ),
        (
            Attribute {
                mode: Mode::Required,
                group: true,
                ..block(Shape::Single(inside()))
            },
            "a: a group is there",
        ),
        (
            with_shape(Shape::Plain(Type::Set(Box::new(Type::Dynamic)))),
            "a: a set cannot hold dynamic",
        ),
        (
            with_shape(Shape::Plain(Type::List(Box::new(Type::Set(Box::new(
                Type::Dynamic,
            )))))),
            "a: a set cannot hold dynamic",
        ),
        (
            with_shape(Shape::Set(nested(vec![dynamic]))),
            "a: a set cannot hold dynamic",
        ),
        (
            with_shape(Shape::Set(nested(vec![Attribute {
                write_only: true,
                ..attribute("x", Mode::Optional)
            }]))),
            "a: a set cannot hold write-only",
        ),
        (
            with_shape(Shape::Set(nested(vec![Attribute {
                replace: Replace::If(|_, _| true),
                ..attribute("x", Mode::Optional)
            }]))),
            "a: x cannot be compared",
        ),
        (
            with_shape(Shape::List(nested(vec![Attribute {
                keep_prior: true,
                ..attribute("x", Mode::Computed)
            }]))),
            "a: x keeps its prior value",
        ),
        (
            with_shape(Shape::Single(nested(vec![block(Shape::List(inside()))]))),
            "a: a is a block inside an attribute",
        ),
        (
            with_shape(Shape::Single(nested(vec![attribute("No", Mode::Optional)]))),
            "a.No: not an identifier",
        ),
    ];
    for (attribute, expected) in cases {
        let schema = Schema {
            attributes: vec![attribute],
            ..Schema::default()
        };
        let faults = schema.faults(&["count"]);
        assert!(
            faults.iter().any(|fault| fault.starts_with(expected)),
            "expected {expected:?}, found {faults:?}"
        );
    }
}

#[test]
fn names_are_unique_and_rules_name_what_exists() {
    let schema = Schema {
        version: -1,
        attributes: vec![
            attribute("a", Mode::Optional),
            attribute("a", Mode::Optional),
        ],
        rules: vec![Rule::Exclusive(&["a", "b"])],
        ..Schema::default()
    };
    assert_eq!(
        schema.faults(&[]),
        [
            "version is negative",
            "a: declared twice",
            "b: a rule names it, but it does not exist"
        ]
    );
}
