//! Configuration from a state: what a user would have written to get this object (Terraform 1.14 and newer, for imports
//! and queries that generate configuration; older ones guess by themselves).
//!
//! Left out is what nobody can or should write: what only the provider sets, what is write-only, what is deprecated, and
//! what the default says anyway.

use crate::Value;
use crate::plan::every;
use crate::rule::Rule;
use crate::schema::{Attribute, Mode, Schema, Shape};

/// The configuration of an object.
pub(crate) fn config(schema: &Schema, state: &Value) -> Value {
    let written = every(schema, state.clone(), &|attribute, value| {
        is_left_out(attribute, value).then(|| attribute.absent())
    });
    one_of_many(schema, written)
}

fn is_left_out(attribute: &Attribute, value: &Value) -> bool {
    let is_default = attribute
        .default
        .as_ref()
        .is_some_and(|default| attribute.equal(default, value));
    // Without a required attribute the configuration would be refused, deprecated or not.
    let is_deprecated = attribute.deprecated.is_some() && attribute.mode != Mode::Required;
    // An object of which the provider chose everything.
    let is_chosen = match (&attribute.shape, value) {
        (Shape::Single(nested), Value::Map(_)) if attribute.is_computed() => {
            let absent = nested.attributes.iter().map(Attribute::absent);
            let written = config(nested, value);
            let names = nested.attributes.iter().map(|one| one.name);
            names
                .zip(absent)
                .all(|(name, absent)| *written.get(name) == absent)
        }
        _ => false,
    };
    attribute.write_only
        || attribute.mode == Mode::Computed
        || is_default
        || is_deprecated
        || is_chosen
}

/// Of attributes that exclude each other a state may hold all: one was written and the provider filled in the others. Which
/// one is not told, so the first it is.
fn one_of_many(schema: &Schema, written: Value) -> Value {
    let Value::Map(mut attributes) = written else {
        return written;
    };
    for rule in &schema.rules {
        let (Rule::Exclusive(names) | Rule::ExactlyOne(names)) = rule else {
            continue;
        };
        let is_set = |name: &&&str| attributes.get(**name).is_some_and(|value| !value.is_null());
        let others: Vec<_> = names.iter().filter(is_set).skip(1).copied().collect();
        for name in others {
            if let Some(attribute) = schema.attribute(name).filter(|one| one.is_computed()) {
                attributes.insert(name.to_owned(), attribute.absent());
            }
        }
    }
    Value::Map(attributes)
}

#[cfg(test)]
mod tests {
    use super::config;
    use crate::{Attr, Field, Model, Schema, Value};

    /// A box.
    #[derive(Schema, Clone, Default)]
    #[schema(name = "box", exclusive("size", "volume"))]
    struct Crate {
        /// Name.
        #[schema(required)]
        name: Attr<String>,
        /// Colour.
        #[schema(default = "grey")]
        colour: Attr<String>,
        /// Old name of the colour.
        #[schema(optional, computed, deprecated = "use colour")]
        color: Attr<String>,
        /// Old name of the name.
        #[schema(required, deprecated = "use name")]
        title: Attr<String>,
        /// Secret.
        #[schema(optional, write_only)]
        secret_wo: Attr<String>,
        /// Number.
        #[schema(computed)]
        id: Attr<String>,
        /// Size, else ours.
        #[schema(optional, computed)]
        size: Attr<u16>,
        /// The same as volume, else ours.
        #[schema(optional, computed)]
        volume: Attr<u16>,
        /// Things inside.
        #[schema(optional)]
        things: Attr<Vec<Thing>>,
        /// The lock; ours when left out.
        #[schema(optional, computed)]
        lock: Attr<Thing>,
        /// Labels.
        #[schema(block)]
        label: Attr<Vec<Thing>>,
    }

    /// A thing.
    #[derive(Schema, Clone, Default)]
    struct Thing {
        /// Kind of thing.
        #[schema(optional)]
        kind: Attr<String>,
        /// Number.
        #[schema(computed)]
        id: Attr<String>,
    }

    #[test]
    fn only_what_a_user_would_write_is_left() {
        let thing = |kind: &str| Thing {
            kind: Attr::from((!kind.is_empty()).then(|| kind.to_owned())),
            id: "7".into(),
        };
        let state = Crate {
            name: "a".into(),
            colour: "grey".into(),
            color: "grey".into(),
            title: "a".into(),
            secret_wo: Attr::Null,
            id: "1".into(),
            size: 3.into(),
            volume: 27.into(),
            things: vec![thing("cup"), thing("")].into(),
            lock: thing("").into(),
            label: Attr::Null,
        };
        let written = config(Crate::schema(), &state.encode());
        let inner = |kind: Value| Value::object([("kind", kind), ("id", Value::Null)]);
        let text = |text: &str| Value::String(text.to_owned());
        let expected = Value::object([
            ("name", text("a")),
            ("colour", Value::Null),
            ("color", Value::Null),
            ("title", text("a")),
            ("secret_wo", Value::Null),
            ("id", Value::Null),
            ("size", 3_u16.encode()),
            ("volume", Value::Null),
            (
                "things",
                Value::List(vec![inner(text("cup")), inner(Value::Null)]),
            ),
            ("lock", Value::Null),
            ("label", Value::List(vec![])),
        ]);
        assert_eq!(written, expected);
    }

    #[test]
    fn another_value_than_the_default_is_written() {
        let state = Crate {
            colour: "red".into(),
            ..Crate::default()
        };
        let written = config(Crate::schema(), &state.encode());
        assert_eq!(*written.get("colour"), Value::String("red".to_owned()));
    }
}
