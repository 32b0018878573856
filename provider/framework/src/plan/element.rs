//! Nested objects inside an attribute, with what belongs to each in the configuration and in the prior state.
//!
//! Lists go by index and maps by key. A set has neither: an element of the plan belongs to the element of the configuration
//! that it was made from, which is the one whose written values it has.

use std::collections::BTreeMap;

use crate::Value;
use crate::path::Step;
use crate::schema::{Attribute, Schema, Shape};

/// One nested object.
pub(super) struct Element<'a> {
    /// Its step below the attribute; an object alone and an element of a set have none.
    pub(super) step: Option<Step>,
    pub(super) config: &'a Value,
    pub(super) prior: &'a Value,
    pub(super) planned: &'a Value,
}

const NULL: &Value = &Value::Null;

/// The nested objects of a planned value. Elements that are null or unknown as a whole are objects of nothing.
pub(super) fn elements<'a>(
    shape: &Shape,
    config: &'a Value,
    prior: &'a Value,
    planned: &'a Value,
) -> Vec<Element<'a>> {
    match (shape, planned) {
        (Shape::Single(_), Value::Map(_)) => vec![Element {
            step: None,
            config,
            prior,
            planned,
        }],
        (Shape::List(_), Value::List(list)) => list
            .iter()
            .enumerate()
            .map(|(index, planned)| Element {
                step: Some(Step::Index(i64::try_from(index).unwrap_or(i64::MAX))),
                config: config.at(index),
                prior: prior.at(index),
                planned,
            })
            .collect(),
        (Shape::Map(_), Value::Map(map)) => map
            .iter()
            .map(|(key, planned)| Element {
                step: Some(Step::Key(key.clone())),
                config: config.get(key),
                prior: prior.get(key),
                planned,
            })
            .collect(),
        (Shape::Set(nested), Value::List(list)) => {
            let mut written = Pool::new(config);
            let mut before = Pool::new(prior);
            list.iter()
                .map(|planned| {
                    let config = written.take(|config| fits(nested, config, planned));
                    let prior = before.take(|prior| fits(nested, config, prior));
                    Element {
                        step: None,
                        config,
                        prior,
                        planned,
                    }
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Rebuilds an attribute with each nested object changed; anything else is copied.
pub(super) fn rebuild(
    attribute: &Attribute,
    config: &Value,
    prior: &Value,
    planned: &Value,
    mut change: impl FnMut(&Schema, &Element<'_>) -> Value,
) -> Value {
    let Some(nested) = attribute.nested() else {
        return planned.clone();
    };
    let mut one = |element: &Element<'_>| match element.planned {
        Value::Map(_) => change(nested, element),
        other => other.clone(),
    };
    let all = elements(&attribute.shape, config, prior, planned);
    match (&attribute.shape, planned) {
        (Shape::Single(_), Value::Map(_)) => one(&all[0]),
        (Shape::List(_) | Shape::Set(_), Value::List(_)) => {
            Value::List(all.iter().map(one).collect())
        }
        (Shape::Map(_), Value::Map(map)) => {
            let values = all.iter().map(one);
            Value::Map(map.keys().cloned().zip(values).collect::<BTreeMap<_, _>>())
        }
        _ => planned.clone(),
    }
}

/// Elements of a set of which each can be taken once.
struct Pool<'a>(Vec<&'a Value>);

impl<'a> Pool<'a> {
    fn new(set: &'a Value) -> Self {
        match set {
            Value::List(elements) => Self(elements.iter().collect()),
            _ => Self(Vec::new()),
        }
    }

    fn take(&mut self, fits: impl Fn(&Value) -> bool) -> &'a Value {
        match self.0.iter().position(|one| fits(one)) {
            Some(at) => self.0.remove(at),
            None => NULL,
        }
    }
}

/// Whether an object can have been made from this configuration: it has every value that is written there.
fn fits(schema: &Schema, config: &Value, made: &Value) -> bool {
    if config.is_null() || made.is_null() {
        return config.is_null() && made.is_null();
    }
    schema.attributes.iter().all(|attribute| {
        let (config, made) = (config.get(attribute.name), made.get(attribute.name));
        if config.is_null() {
            return attribute.is_computed() || made.is_null();
        }
        if attribute.equal(config, made) {
            return true;
        }
        let Some(nested) = attribute.nested() else {
            return false;
        };
        let pairs = elements(&attribute.shape, config, NULL, made);
        let same_count = match (config, made) {
            (Value::List(left), Value::List(right)) => left.len() == right.len(),
            (Value::Map(left), Value::Map(right)) => {
                matches!(attribute.shape, Shape::Single(_)) || left.len() == right.len()
            }
            _ => false,
        };
        same_count
            && pairs
                .iter()
                .all(|pair| fits(nested, pair.config, pair.planned))
    })
}
