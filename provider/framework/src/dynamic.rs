//! Dynamic values from and to JSON: how functions take and return objects of any shape.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use unicode_normalization::UnicodeNormalization as _;

use crate::{Dynamic, Number, Type, Value};

impl Dynamic {
    /// From JSON: arrays become tuples, objects become objects, so every element keeps its own type.
    pub fn from_json(json: &Json) -> Self {
        let (of, value) = typed(json);
        Self { of, value }
    }

    /// To JSON. `None` when something inside is unknown.
    pub fn to_json(&self) -> Option<Json> {
        json(&self.value)
    }
}

fn typed(json: &Json) -> (Type, Value) {
    match json {
        Json::Null => (Type::Dynamic, Value::Null),
        Json::Bool(value) => (Type::Bool, Value::Bool(*value)),
        Json::Number(number) => {
            let number = Number::parse(&number.to_string()).expect("JSON numbers are decimal");
            (Type::Number, Value::Number(number))
        }
        Json::String(text) => (Type::String, Value::String(text.clone())),
        Json::Array(elements) => {
            let (types, values) = elements.iter().map(typed).unzip();
            (Type::Tuple(types), Value::List(values))
        }
        Json::Object(attributes) => {
            let (mut types, mut values) = (BTreeMap::new(), BTreeMap::new());
            for (name, attribute) in attributes {
                let (of, value) = typed(attribute);
                // Core composes the names in the type and then misses those in the value that are not.
                let name: String = name.nfc().collect();
                types.insert(name.clone(), of);
                values.insert(name, value);
            }
            (Type::Object(types), Value::Map(values))
        }
    }
}

fn json(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Null => Json::Null,
        Value::Unknown(_) => return None,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(number) => Json::Number(number.text().parse().ok()?),
        Value::String(text) => Json::String(text.clone()),
        Value::List(elements) => Json::Array(elements.iter().map(json).collect::<Option<_>>()?),
        Value::Map(elements) => Json::Object(
            elements
                .iter()
                .map(|(key, value)| Some((key.clone(), json(value)?)))
                .collect::<Option<_>>()?,
        ),
        Value::Dynamic(dynamic) => json(&dynamic.value)?,
    })
}
