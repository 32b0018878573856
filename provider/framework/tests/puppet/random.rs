//! Schemas and configurations by chance.

use std::collections::BTreeMap;

use strata_framework::schema::{Attribute, Mode, Shape};
use strata_framework::{Dynamic, Number, Schema, Type, Value};

use super::answer::whole;
use super::dice::Dice;
use super::hcl::{PREFIX, Written};

/// Names that inner attributes take in turn.
const NAMES: [&str; 8] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta",
];
/// The same text in two normal forms is one text to core; the other values differ in length and order.
const TEXTS: [&str; 6] = [
    "a",
    "b",
    "",
    "caf\u{e9}",
    "cafe\u{301}",
    "quote \" and ${dollar}",
];
/// Whole, fractional, too long for a float, and equal ones written differently.
const NUMBERS: [&str; 7] = [
    "0",
    "1",
    "2",
    "-3",
    "0.5",
    "3.14159265358979323846",
    "12345678901234567890",
];
const KEYS: [&str; 4] = ["one", "two", "k 3", "four"];

/// What surrounds an attribute, and so what it may be.
#[derive(Clone, Copy)]
struct Around {
    depth: usize,
    /// Inside an attribute, where no blocks are possible.
    attribute: bool,
    /// Inside a set, where nothing dynamic or write-only is possible.
    set: bool,
    /// Inside something that repeats: all elements would need the same dynamic type.
    repeated: bool,
}

pub(crate) fn schema(dice: &mut Dice) -> &'static Schema {
    schema_in(
        dice,
        Around {
            depth: 0,
            attribute: false,
            set: false,
            repeated: false,
        },
    )
}

fn schema_in(dice: &mut Dice, around: Around) -> &'static Schema {
    let count = if around.depth == 0 {
        2 + dice.below(6)
    } else {
        1 + dice.below(3)
    };
    let attributes = NAMES
        .iter()
        .take(count)
        .map(|name| attribute(dice, name, around))
        .collect();
    Box::leak(Box::new(Schema {
        attributes,
        ..Schema::default()
    }))
}

fn attribute(dice: &mut Dice, name: &'static str, around: Around) -> Attribute {
    let modes = [
        Mode::Required,
        Mode::Optional,
        Mode::Optional,
        Mode::Computed,
        Mode::OptionalComputed,
    ];
    let mut made = Attribute::new::<String>(name, "", *dice.pick(&modes));
    made.sensitive = dice.percent(12);
    if around.depth < 2 && dice.percent(45) {
        made.block = !around.attribute && dice.percent(50);
        let kind = dice.below(4);
        let inside = Around {
            depth: around.depth + 1,
            attribute: !made.block,
            set: around.set || kind == 2,
            repeated: around.repeated || kind != 0,
        };
        let nested = schema_in(dice, inside);
        made.shape = match kind {
            0 => Shape::Single(nested),
            1 => Shape::List(nested),
            2 => Shape::Set(nested),
            _ => Shape::Map(nested),
        };
        if made.block {
            made.mode = Mode::Optional;
            made.sensitive = false;
            made.group = kind == 0 && dice.percent(50);
        }
        return made;
    }
    made.shape = Shape::Plain(plain(dice, 0, around.set || around.repeated));
    if !around.set && dice.percent(15) {
        made.write_only = true;
        made.mode = if dice.percent(50) {
            Mode::Optional
        } else {
            Mode::Required
        };
    }
    made
}

fn plain(dice: &mut Dice, depth: usize, no_dynamic: bool) -> Type {
    let inner = |dice: &mut Dice, no_dynamic| Box::new(plain(dice, depth + 1, no_dynamic));
    match dice.below(if depth < 2 { 12 } else { 4 }) {
        0 => Type::Bool,
        1 | 2 => Type::Number,
        3..=5 => Type::String,
        6 => Type::List(inner(dice, no_dynamic)),
        7 => Type::Set(inner(dice, true)),
        8 => Type::Map(inner(dice, no_dynamic)),
        9 => Type::Object(
            (0..=dice.below(2))
                .map(|index| (NAMES[index].to_owned(), *inner(dice, no_dynamic)))
                .collect(),
        ),
        10 => Type::Tuple(
            (0..=dice.below(2))
                .map(|_| *inner(dice, no_dynamic))
                .collect(),
        ),
        _ if no_dynamic || depth > 0 => Type::String,
        _ => Type::Dynamic,
    }
}

/// A known value of a type, now and then null inside.
pub(crate) fn known(dice: &mut Dice, of: &Type) -> Value {
    let element = |dice: &mut Dice, of: &Type| {
        if dice.percent(8) {
            Value::Null
        } else {
            known(dice, of)
        }
    };
    match of {
        Type::String => Value::String((*dice.pick(&TEXTS)).to_owned()),
        Type::Bool => Value::Bool(dice.percent(50)),
        Type::Number => Value::Number(Number::parse(dice.pick::<&str>(&NUMBERS)).expect("decimal")),
        Type::List(of) | Type::Set(of) => {
            Value::List((0..dice.below(4)).map(|_| element(dice, of)).collect())
        }
        Type::Map(of) => {
            let keys: Vec<_> = KEYS.iter().filter(|_| dice.percent(45)).collect();
            Value::Map(
                keys.into_iter()
                    .map(|key| ((*key).to_owned(), element(dice, of)))
                    .collect(),
            )
        }
        Type::Tuple(types) => Value::List(types.iter().map(|of| element(dice, of)).collect()),
        Type::Object(types) => Value::Map(
            types
                .iter()
                .map(|(name, of)| (name.clone(), element(dice, of)))
                .collect(),
        ),
        Type::Dynamic => {
            // The types that a literal has in the configuration.
            let of = match dice.below(5) {
                0 => Type::Number,
                1 => Type::Bool,
                2 => Type::Tuple(vec![Type::String, Type::Number]),
                3 => Type::Object(BTreeMap::from([("alpha".to_owned(), Type::String)])),
                _ => Type::String,
            };
            // A literal null has no type of its own: none inside dynamic values.
            let value = loop {
                let value = known(dice, &of);
                if !has_null(&value) {
                    break value;
                }
            };
            Value::Dynamic(Box::new(Dynamic { of, value }))
        }
    }
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::List(elements) => elements.iter().any(has_null),
        Value::Map(elements) => elements.values().any(has_null),
        _ => false,
    }
}

/// Values that are not known before apply, for the attributes of the source.
pub(crate) struct Sources(pub(crate) Vec<(Type, Value)>);

/// What a user might write for a schema.
pub(crate) fn written(dice: &mut Dice, schema: &Schema, sources: &mut Sources) -> Written {
    let mut out = BTreeMap::new();
    for attribute in &schema.attributes {
        let value = if attribute.block {
            written_blocks(dice, attribute, sources)
        } else {
            written_attribute(dice, attribute, sources)
        };
        out.insert(attribute.name.to_owned(), value);
    }
    Written::Map(out)
}

fn later(dice: &mut Dice, of: &Type, sources: &mut Sources) -> Option<Written> {
    if !dice.percent(12) || (has_dynamic(of) && *of != Type::Dynamic) {
        return None;
    }
    let value = known(dice, of);
    let number = sources.0.len();
    sources.0.push((of.clone(), value.clone()));
    match value {
        Value::String(text) if dice.percent(30) => {
            Some(Written::Prefixed(number, format!("{PREFIX}{text}")))
        }
        value => Some(Written::Later(number, value)),
    }
}

fn has_dynamic(of: &Type) -> bool {
    of.to_json().to_string().contains("\"dynamic\"")
}

fn written_attribute(dice: &mut Dice, attribute: &Attribute, sources: &mut Sources) -> Written {
    let of = attribute.shape.value_type();
    match attribute.mode {
        Mode::Computed => return Written::Known(Value::Null),
        Mode::Optional | Mode::OptionalComputed if dice.percent(35) => {
            return Written::Known(Value::Null);
        }
        _ => {}
    }
    let Some(nested) = attribute.nested() else {
        return later(dice, &of, sources).unwrap_or_else(|| written_plain(dice, &of, sources));
    };
    // A whole nested value that comes from elsewhere must not bring values for what only the provider sets.
    if !nested.any_computed() && !has_dynamic(&of) && dice.percent(12) {
        let value = whole(dice, attribute);
        sources.0.push((of, value.clone()));
        return Written::Later(sources.0.len() - 1, value);
    }
    nested_of(dice, &attribute.shape, nested, sources)
}

fn written_plain(dice: &mut Dice, of: &Type, sources: &mut Sources) -> Written {
    match of {
        Type::List(inner) | Type::Set(inner) => {
            let one = |dice: &mut Dice, sources: &mut Sources| {
                later(dice, inner, sources).unwrap_or_else(|| written_plain(dice, inner, sources))
            };
            Written::List((0..dice.below(4)).map(|_| one(dice, sources)).collect())
        }
        Type::Object(types) => {
            let one = |(name, of): (&String, &Type)| {
                (
                    name.clone(),
                    later(dice, of, sources).unwrap_or_else(|| written_plain(dice, of, sources)),
                )
            };
            Written::Map(types.iter().map(one).collect())
        }
        Type::Map(inner) if dice.percent(50) => {
            let value =
                later(dice, inner, sources).unwrap_or_else(|| written_plain(dice, inner, sources));
            Written::Map(BTreeMap::from([("one".to_owned(), value)]))
        }
        of => Written::Known(known(dice, of)),
    }
}

fn nested_of(dice: &mut Dice, shape: &Shape, nested: &Schema, sources: &mut Sources) -> Written {
    match shape {
        Shape::List(_) | Shape::Set(_) => Written::List(
            (0..dice.below(4))
                .map(|_| written(dice, nested, sources))
                .collect(),
        ),
        Shape::Map(_) => {
            let keys: Vec<_> = KEYS.iter().filter(|_| dice.percent(45)).collect();
            Written::Map(
                keys.into_iter()
                    .map(|key| ((*key).to_owned(), written(dice, nested, sources)))
                    .collect(),
            )
        }
        _ => written(dice, nested, sources),
    }
}

fn written_blocks(dice: &mut Dice, attribute: &Attribute, sources: &mut Sources) -> Written {
    let nested = attribute.nested().expect("blocks are nested");
    match &attribute.shape {
        // A group is always there: nobody can leave out what is required in it.
        Shape::Single(_) if !attribute.group && dice.percent(35) => Written::Known(Value::Null),
        shape => nested_of(dice, shape, nested, sources),
    }
}

/// What is said of a schema that generators need and nobody else.
pub(super) trait Any {
    fn any_computed(&self) -> bool;
    fn any_marked(&self) -> bool;
}

impl Any for Schema {
    fn any_marked(&self) -> bool {
        let inside = |one: &Attribute| {
            one.write_only || one.sensitive || one.nested().is_some_and(Any::any_marked)
        };
        self.attributes.iter().any(inside)
    }
    fn any_computed(&self) -> bool {
        let inside =
            |one: &Attribute| one.is_computed() || one.nested().is_some_and(Any::any_computed);
        self.attributes.iter().any(inside)
    }
}
