//! Schemas that core refuses (contract: tfplugin6, section 2.5): each as a provider of its own, all in one configuration,
//! and our faults beside them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use strata_framework::schema::{Attribute, Mode, Shape};
use strata_framework::{Dynamic, Field as _, Schema, inside};
use strata_proto::tfplugin6 as wire;

use crate::puppet::{Script, Stage, empty_schema};

fn leaked(attributes: Vec<Attribute>) -> &'static Schema {
    Box::leak(Box::new(Schema {
        attributes,
        ..Schema::default()
    }))
}

fn one(name: &'static str) -> Attribute {
    Attribute::new::<String>(name, "", Mode::Optional)
}

fn with(attribute: Attribute) -> Schema {
    Schema {
        attributes: vec![attribute],
        ..Schema::default()
    }
}

/// Core's phrase, ours, and the schema that both refuse.
fn refused() -> Vec<(&'static str, &'static str, Schema)> {
    let dynamic = || {
        leaked(vec![Attribute {
            shape: Dynamic::shape(),
            ..one("any")
        }])
    };
    let secret = || {
        leaked(vec![Attribute {
            write_only: true,
            ..one("secret_wo")
        }])
    };
    let text = || leaked(vec![one("a")]);
    let attribute = |shape| Attribute {
        shape,
        ..one("field")
    };
    let block = |shape| Attribute {
        block: true,
        ..attribute(shape)
    };
    vec![
        (
            "field: name defined as both attribute and child block type",
            "field: declared twice",
            Schema {
                attributes: vec![one("field"), block(Shape::Single(text()))],
                ..Schema::default()
            },
        ),
        (
            "Field: name may contain only lowercase letters, digits and underscores",
            "Field: not an identifier",
            with(Attribute {
                name: "Field",
                ..block(Shape::List(text()))
            }),
        ),
        (
            "field: NestingSet attributes may not contain attributes of cty.DynamicPseudoType",
            "field: a set cannot hold dynamic values",
            with(attribute(Shape::Set(dynamic()))),
        ),
        (
            "field: NestingSet blocks may not contain attributes of cty.DynamicPseudoType",
            "field: a set cannot hold dynamic values",
            with(block(Shape::Set(dynamic()))),
        ),
        (
            "field: NestingSet attributes may not contain WriteOnly attributes",
            "field: a set cannot hold write-only values",
            with(attribute(Shape::Set(secret()))),
        ),
        (
            "field: NestingSet blocks may not contain WriteOnly attributes",
            "field: a set cannot hold write-only values",
            with(block(Shape::Set(secret()))),
        ),
        (
            "field: MinItems must be less than or equal to MaxItems in NestingList mode",
            "field: more blocks are required than allowed",
            with(Attribute {
                items: (3, 2),
                ..block(Shape::List(text()))
            }),
        ),
        (
            "invalid negative schema version",
            "version is negative",
            Schema {
                version: -1,
                ..with(one("field"))
            },
        ),
    ]
}

/// Core's phrase and a message that our types cannot say.
fn unsayable() -> Vec<(&'static str, wire::Schema)> {
    let attribute = |change: &dyn Fn(&mut wire::schema::Attribute)| {
        let mut schema = inside::schema(&with(one("field")));
        let block = schema.block.as_mut().unwrap();
        change(&mut block.attributes[0]);
        schema
    };
    let block = |change: &dyn Fn(&mut wire::schema::NestedBlock)| {
        let nested = Attribute {
            block: true,
            shape: Shape::Map(leaked(vec![one("a")])),
            ..one("field")
        };
        let mut schema = inside::schema(&with(nested));
        let block = schema.block.as_mut().unwrap();
        change(&mut block.block_types[0]);
        schema
    };
    vec![
        (
            "field: must set Optional, Required or Computed",
            attribute(&|one| one.optional = false),
        ),
        (
            "field: cannot set both Optional and Required",
            attribute(&|one| one.required = true),
        ),
        (
            "field: cannot set both Computed and Required",
            attribute(&|one| (one.optional, one.required, one.computed) = (false, true, true)),
        ),
        (
            "field: Type and NestedType cannot both be set",
            attribute(&|one| {
                one.nested_type = Some(wire::schema::Object {
                    attributes: Vec::new(),
                    nesting: wire::schema::object::NestingMode::Single.into(),
                });
            }),
        ),
        (
            "field: MinItems and MaxItems must both be 0 in NestingMap mode",
            block(&|one| one.min_items = 1),
        ),
        (
            "field: MinItems and MaxItems must match in NestingSingle mode",
            block(&|one| {
                one.nesting = wire::schema::nested_block::NestingMode::Single.into();
                one.max_items = 1;
            }),
        ),
        (
            "field: MinItems and MaxItems cannot be used in NestingGroup mode",
            block(&|one| {
                one.nesting = wire::schema::nested_block::NestingMode::Group.into();
                one.max_items = 1;
            }),
        ),
        (
            "field: MinItems and MaxItems must both be greater than zero",
            block(&|one| one.min_items = -1),
        ),
    ]
}

#[test]
fn every_law_of_schemas() {
    let refused = refused();
    let unsayable = unsayable();
    let sent = refused
        .iter()
        .map(|(core, _, schema)| (*core, inside::schema(schema)));
    let sent: Vec<_> = sent.chain(unsayable).collect();
    let mut scripts = BTreeMap::new();
    let mut configuration = String::new();
    for (number, (_, schema)) in sent.iter().enumerate() {
        let response = wire::get_provider_schema::Response {
            resource_schemas: [(format!("s{number}_thing"), schema.clone())].into(),
            ..empty_schema()
        };
        scripts.insert(format!("s{number}"), Script::with_schema(&response));
        let _ = writeln!(configuration, "resource \"s{number}_thing\" \"x\" {{}}");
    }
    let stage = Stage::new(&scripts);
    stage.configure(&configuration);
    let ran = stage.run(&["validate", "-json"]);
    for (number, (core, _)) in sent.iter().enumerate() {
        // All refusals are one message, a line for each provider.
        let about = format!("puppets/s{number}");
        let lines: Vec<_> = ran
            .text
            .split("strata.internal/")
            .filter(|line| line.starts_with(&about))
            .collect();
        let said = lines
            .iter()
            .any(|line| line[about.len()..].starts_with([' ', ':']) && line.contains(core));
        assert!(
            said,
            "core does not say of s{number}: {core}\n{lines:#?}\n{}",
            ran.text
        );
    }
    for (core, ours, schema) in &refused {
        let faults = schema.faults(&[]);
        assert!(
            faults.iter().any(|fault| fault.starts_with(ours)),
            "{core}: we say {faults:?}, not {ours}"
        );
    }
    // Core takes this one, but sends such blocks as a tuple with a type of its own, which we cannot decode.
    let dynamic = leaked(vec![Attribute {
        shape: Dynamic::shape(),
        ..one("any")
    }]);
    let faults = with(Attribute {
        block: true,
        shape: Shape::List(dynamic),
        ..one("field")
    })
    .faults(&[]);
    assert_eq!(
        faults,
        ["field: blocks in a list or map cannot hold dynamic values"]
    );
}
