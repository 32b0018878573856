//! The plan pipeline: what every plan does before a resource adds its own wishes.
//!
//! proposed -> defaults where the configuration is null -> write-only values nulled -> if anything differs from prior,
//! every computed value that the configuration leaves null becomes unknown, or the prior one with `keep_prior`.

mod element;

use crate::Value;
use crate::path::{Path, Step};
use crate::schema::{Attribute, Replace, Schema, Shape};
use element::{elements, rebuild};

/// Defaults and nulled write-only values.
pub(crate) fn with_defaults(schema: &Schema, config: &Value, proposed: &Value) -> Value {
    if !matches!(proposed, Value::Map(_)) {
        return proposed.clone();
    }
    let mut planned = std::collections::BTreeMap::new();
    for attribute in &schema.attributes {
        let (config, proposed) = (config.get(attribute.name), proposed.get(attribute.name));
        let value = match &attribute.default {
            _ if attribute.write_only => Value::Null,
            Some(default) if config.is_null() => default.clone(),
            _ => rebuild(
                attribute,
                config,
                &Value::Null,
                proposed,
                |nested, element| with_defaults(nested, element.config, element.planned),
            ),
        };
        planned.insert(attribute.name.to_owned(), value);
    }
    Value::Map(planned)
}

/// The same value with every attribute changed by a rule of its own, at every depth.
pub(crate) fn every(
    schema: &Schema,
    mut value: Value,
    change: &dyn Fn(&Attribute, &Value) -> Option<Value>,
) -> Value {
    change_each(schema, &mut value, change);
    value
}

fn change_each(
    schema: &Schema,
    value: &mut Value,
    change: &dyn Fn(&Attribute, &Value) -> Option<Value>,
) {
    let Value::Map(attributes) = value else {
        return;
    };
    for attribute in &schema.attributes {
        if !attributes.contains_key(attribute.name) {
            attributes.insert(attribute.name.to_owned(), Value::Null);
        }
        let Some(inner) = attributes.get_mut(attribute.name) else {
            continue;
        };
        if let Some(changed) = change(attribute, inner) {
            *inner = changed;
            continue;
        }
        let Some(nested) = attribute.nested() else {
            continue;
        };
        match (&attribute.shape, inner) {
            (Shape::Single(_), object) => change_each(nested, object, change),
            (Shape::List(_) | Shape::Set(_), Value::List(elements)) => {
                for element in elements {
                    change_each(nested, element, change);
                }
            }
            (Shape::Map(_), Value::Map(elements)) => {
                for element in elements.values_mut() {
                    change_each(nested, element, change);
                }
            }
            _ => {}
        }
    }
}

/// Fills null attributes that have a default: an import must not show what the user never set as a change.
pub(crate) fn filled_with_defaults(schema: &Schema, state: Value) -> Value {
    every(schema, state, &|attribute, value| {
        attribute.default.clone().filter(|_| value.is_null())
    })
}

/// The same value with every write-only attribute null.
pub(crate) fn without_write_only(schema: &Schema, value: Value) -> Value {
    every(schema, value, &|attribute, _| {
        attribute.write_only.then_some(Value::Null)
    })
}

/// No blocks are an empty collection, never null: for state from before a block was in the schema.
pub(crate) fn with_empty_blocks(schema: &Schema, value: Value) -> Value {
    every(schema, value, &|attribute, value| {
        (attribute.block && value.is_null()).then(|| attribute.absent())
    })
}

/// What the schema promises of unknown values, wherever nothing else is known of them.
pub(crate) fn refined(schema: &Schema, value: Value) -> Value {
    every(
        schema,
        value,
        &|attribute, value| match (value, &attribute.refinement) {
            (Value::Unknown(None), Some(refinement)) => {
                Some(Value::Unknown(Some(Box::new(refinement.clone()))))
            }
            _ => None,
        },
    )
}

/// Whether the plan asks for more than writing something down.
pub(crate) fn differs(schema: &Schema, planned: &Value, prior: &Value) -> bool {
    if planned.is_null() || prior.is_null() {
        return planned.is_null() != prior.is_null();
    }
    schema
        .attributes
        .iter()
        .filter(|attribute| !attribute.recorded)
        .any(|attribute| !attribute.equal(planned.get(attribute.name), prior.get(attribute.name)))
}

/// Computed values that the configuration leaves null become unknown, or stay with `keep_prior`.
pub(crate) fn with_unknowns(
    schema: &Schema,
    config: &Value,
    prior: &Value,
    planned: &Value,
) -> Value {
    if !matches!(planned, Value::Map(_)) {
        return planned.clone();
    }
    let mut out = std::collections::BTreeMap::new();
    for attribute in &schema.attributes {
        let name = attribute.name;
        let (config, planned) = (config.get(name), planned.get(name));
        let value = if config.is_null() && attribute.is_computed() && attribute.default.is_none() {
            // Inside a nested object that is new, `prior` is null and there is nothing to keep.
            if attribute.keep_prior && !prior.is_null() {
                prior.get(name).clone()
            } else {
                Value::UNKNOWN
            }
        } else {
            let prior = prior.get(name);
            rebuild(attribute, config, prior, planned, |nested, element| {
                with_unknowns(nested, element.config, element.prior, element.planned)
            })
        };
        out.insert(name.to_owned(), value);
    }
    Value::Map(out)
}

/// Paths whose change replaces the object. None when it does not exist yet.
pub(crate) fn replacements(
    schema: &Schema,
    config: &Value,
    prior: &Value,
    planned: &Value,
) -> Vec<Path> {
    let mut found = Vec::new();
    if !prior.is_null() {
        collect_replacements(schema, config, prior, planned, &Path::root(), &mut found);
    }
    found
}

fn collect_replacements(
    schema: &Schema,
    config: &Value,
    prior: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Vec<Path>,
) {
    for attribute in &schema.attributes {
        let (config, prior) = (config.get(attribute.name), prior.get(attribute.name));
        let planned = planned.get(attribute.name);
        let path = path.with(Step::Attribute(attribute.name.to_owned()));
        let forces = || match attribute.replace {
            Replace::Never => false,
            Replace::Changed => true,
            Replace::ChangedAndConfigured => !config.is_null(),
            Replace::If(decide) => decide(prior, planned),
        };
        if !attribute.equal(planned, prior) && forces() {
            found.push(path);
        } else if let Shape::Set(nested) = attribute.shape {
            // An element has no address and no counterpart: the set replaces when what replaces in its elements differs.
            if decisive(nested, planned) != decisive(nested, prior) {
                found.push(path);
            }
        } else if let Some(nested) = attribute.nested() {
            for element in elements(&attribute.shape, config, prior, planned) {
                let path = element.step.map_or(path.clone(), |step| path.with(step));
                collect_replacements(
                    nested,
                    element.config,
                    element.prior,
                    element.planned,
                    &path,
                    found,
                );
            }
        }
    }
}

/// The elements of a set reduced to what replaces when it changes, in an order of their own.
fn decisive(schema: &Schema, set: &Value) -> Vec<Vec<Value>> {
    let forcing: Vec<_> = schema
        .attributes
        .iter()
        .filter(|attribute| !matches!(attribute.replace, Replace::Never))
        .collect();
    let Value::List(elements) = set else {
        return Vec::new();
    };
    if forcing.is_empty() {
        return Vec::new();
    }
    let reduced = |element: &Value| {
        let values = forcing.iter().map(|attribute| element.get(attribute.name));
        values.cloned().collect::<Vec<_>>()
    };
    let mut all: Vec<_> = elements.iter().map(reduced).collect();
    all.sort();
    all
}

/// Where a nested object sits inside its attribute.
pub(crate) enum Place {
    Whole,
    Index(usize),
    Key(String),
    /// A set element: it has a position in this value, and no address.
    Member(usize),
}

impl Place {
    pub(crate) fn of<'a>(&self, value: &'a Value) -> &'a Value {
        match self {
            Self::Whole => value,
            Self::Index(index) | Self::Member(index) => value.at(*index),
            Self::Key(key) => value.get(key),
        }
    }

    pub(crate) fn step(&self) -> Option<Step> {
        match self {
            Self::Whole | Self::Member(_) => None,
            Self::Index(index) => Some(Step::Index(i64::try_from(*index).unwrap_or(i64::MAX))),
            Self::Key(key) => Some(Step::Key(key.clone())),
        }
    }
}

/// The nested objects of one value.
pub(crate) fn places(shape: &Shape, value: &Value) -> Vec<Place> {
    match (shape, value) {
        (Shape::Single(_), Value::Map(_)) => vec![Place::Whole],
        (Shape::List(_), Value::List(elements)) => (0..elements.len()).map(Place::Index).collect(),
        (Shape::Set(_), Value::List(elements)) => (0..elements.len()).map(Place::Member).collect(),
        (Shape::Map(_), Value::Map(elements)) => elements.keys().cloned().map(Place::Key).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
