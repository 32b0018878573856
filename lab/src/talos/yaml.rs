//! Values as YAML. serde's way from one to the other trips over numbers, which `serde_json` keeps as text here.

use serde_json::Value;
use serde_yaml_ng::{Mapping, Number, Value as Yaml};

fn converted(value: &Value) -> Yaml {
    match value {
        Value::Null => Yaml::Null,
        Value::Bool(yes) => Yaml::Bool(*yes),
        Value::String(text) => Yaml::String(text.clone()),
        Value::Number(number) => Yaml::Number(if let Some(number) = number.as_u64() {
            Number::from(number)
        } else if let Some(number) = number.as_i64() {
            Number::from(number)
        } else {
            Number::from(number.as_f64().unwrap_or_default())
        }),
        Value::Array(list) => Yaml::Sequence(list.iter().map(converted).collect()),
        Value::Object(fields) => {
            let pairs = fields.iter();
            let pairs = pairs.map(|(key, value)| (Yaml::String(key.clone()), converted(value)));
            Yaml::Mapping(pairs.collect::<Mapping>())
        }
    }
}

/// The text of a value.
pub(super) fn text(value: &Value) -> String {
    serde_yaml_ng::to_string(&converted(value)).unwrap_or_default()
}
