//! The plan pipeline: what every plan does before a resource adds its own wishes.
//!
//! proposed -> defaults where the configuration is null -> write-only values nulled -> if anything differs from prior,
//! every computed value that the configuration leaves null becomes unknown, or the prior one with `keep_prior`.

use std::collections::BTreeMap;

use crate::path::{Path, Step};
use crate::schema::{Attribute, Replace, Schema, Shape};
use crate::{Value, equal};

/// Defaults and nulled write-only values.
pub(crate) fn with_defaults(schema: &Schema, config: &Value, proposed: &Value) -> Value {
    let Value::Map(attributes) = proposed else {
        return proposed.clone();
    };
    let mut planned = attributes.clone();
    for attribute in &schema.attributes {
        let (config, proposed) = (config.get(attribute.name), proposed.get(attribute.name));
        let value = match &attribute.default {
            _ if attribute.write_only => Value::Null,
            Some(default) if config.is_null() => default.clone(),
            _ => descend(attribute, proposed, |nested, place| {
                with_defaults(nested, place.of(config), place.of(proposed))
            }),
        };
        planned.insert(attribute.name.to_owned(), value);
    }
    Value::Map(planned)
}

/// Fills null attributes that have a default: an import must not show what the user never set as a change.
pub(crate) fn filled_with_defaults(schema: &Schema, state: &Value) -> Value {
    let Value::Map(attributes) = state else {
        return state.clone();
    };
    let mut filled = attributes.clone();
    for Attribute { name, default, .. } in &schema.attributes {
        if let Some(default) = default
            && state.get(name).is_null()
        {
            filled.insert((*name).to_owned(), default.clone());
        }
    }
    Value::Map(filled)
}

/// The same value with every write-only attribute null.
pub(crate) fn without_write_only(schema: &Schema, value: &Value) -> Value {
    let Value::Map(attributes) = value else {
        return value.clone();
    };
    let mut out = attributes.clone();
    for attribute in &schema.attributes {
        let inner = value.get(attribute.name);
        let value = if attribute.write_only {
            Value::Null
        } else {
            descend(attribute, inner, |nested, place| {
                without_write_only(nested, place.of(inner))
            })
        };
        out.insert(attribute.name.to_owned(), value);
    }
    Value::Map(out)
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
        .any(|attribute| {
            !equal(
                planned.get(attribute.name),
                prior.get(attribute.name),
                &attribute.shape.value_type(),
            )
        })
}

/// Computed values that the configuration leaves null become unknown, or stay with `keep_prior`.
pub(crate) fn with_unknowns(
    schema: &Schema,
    config: &Value,
    prior: &Value,
    planned: &Value,
) -> Value {
    let Value::Map(attributes) = planned else {
        return planned.clone();
    };
    let mut out = attributes.clone();
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
            descend(attribute, planned, |nested, place| {
                with_unknowns(nested, place.of(config), place.of(prior), place.of(planned))
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
        let forces = match attribute.replace {
            Replace::Never => false,
            Replace::Changed => true,
            Replace::ChangedAndConfigured => !config.is_null(),
        };
        if forces && !equal(planned, prior, &attribute.shape.value_type()) {
            found.push(path);
        } else if let Some(nested) = attribute.nested() {
            for place in places(&attribute.shape, planned) {
                let path = place.step().map_or(path.clone(), |step| path.with(step));
                collect_replacements(
                    nested,
                    place.of(config),
                    place.of(prior),
                    place.of(planned),
                    &path,
                    found,
                );
            }
        }
    }
}

/// Where a nested object sits inside its attribute.
pub(crate) enum Place {
    Whole,
    Index(usize),
    Key(String),
}

impl Place {
    pub(crate) fn of<'a>(&self, value: &'a Value) -> &'a Value {
        match self {
            Self::Whole => value,
            Self::Index(index) => value.at(*index),
            Self::Key(key) => value.get(key),
        }
    }

    pub(crate) fn step(&self) -> Option<Step> {
        match self {
            Self::Whole => None,
            Self::Index(index) => Some(Step::Index(i64::try_from(*index).unwrap_or(i64::MAX))),
            Self::Key(key) => Some(Step::Key(key.clone())),
        }
    }
}

/// The nested objects of a value.
pub(crate) fn places(shape: &Shape, value: &Value) -> Vec<Place> {
    match (shape, value) {
        (Shape::Single(_), Value::Map(_)) => vec![Place::Whole],
        (Shape::List(_), Value::List(elements)) => (0..elements.len()).map(Place::Index).collect(),
        (Shape::Map(_), Value::Map(elements)) => elements.keys().cloned().map(Place::Key).collect(),
        _ => Vec::new(),
    }
}

/// Rebuilds an attribute with each nested object changed; anything else is copied.
fn descend(
    attribute: &Attribute,
    value: &Value,
    mut change: impl FnMut(&Schema, &Place) -> Value,
) -> Value {
    match (&attribute.shape, value) {
        (Shape::Single(nested), Value::Map(_)) => change(nested, &Place::Whole),
        (Shape::List(nested), Value::List(elements)) => {
            let one = |(index, element): (usize, &Value)| match element {
                Value::Map(_) => change(nested, &Place::Index(index)),
                other => other.clone(),
            };
            Value::List(elements.iter().enumerate().map(one).collect())
        }
        (Shape::Map(nested), Value::Map(elements)) => {
            let mut out = BTreeMap::new();
            for (key, element) in elements {
                let element = match element {
                    Value::Map(_) => change(nested, &Place::Key(key.clone())),
                    other => other.clone(),
                };
                out.insert(key.clone(), element);
            }
            Value::Map(out)
        }
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests;
