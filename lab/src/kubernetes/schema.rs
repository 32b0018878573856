//! Structural schemas of custom resources: pruning, defaults, and the checks that catch mistakes.
//!
//! Not evaluated: `oneOf` and relatives, CEL rules, formats.

use serde_json::{Value, json};

use super::status::Cause;

fn preserves(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

/// Removes fields that the schema does not have and notes their paths.
pub(super) fn prune(schema: &Value, object: &mut Value, unknown: &mut Vec<String>) {
    prune_at(schema, object, "", unknown);
}

fn prune_at(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    let top = path.is_empty();
    let embedded = schema["x-kubernetes-embedded-resource"] == true;
    match value {
        Value::Object(map) => {
            let properties = &schema["properties"];
            let additional = &schema["additionalProperties"];
            map.retain(|name, value| {
                if (top || embedded) && matches!(name.as_str(), "apiVersion" | "kind" | "metadata")
                {
                    return true;
                }
                let below = if top {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                if let Some(schema) = properties.get(name) {
                    prune_at(schema, value, &below, unknown);
                    return true;
                }
                if additional.is_object() {
                    prune_at(additional, value, &below, unknown);
                    return true;
                }
                // A schema without any structure is one the lab was not given: keep everything.
                let keep = preserves(schema)
                    || *additional == true
                    || (properties.is_null() && schema["type"].is_null());
                if !keep {
                    unknown.push(below);
                }
                keep
            });
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                prune_at(&schema["items"], item, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Fills defaults from the schema, outside in.
pub(super) fn set_defaults(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, below) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(default) = below.get("default")
                    && !map.contains_key(name)
                {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(name) {
                    set_defaults(below, value);
                }
            }
            if schema["additionalProperties"].is_object() {
                map.values_mut()
                    .for_each(|value| set_defaults(&schema["additionalProperties"], value));
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| set_defaults(&schema["items"], item)),
        _ => {}
    }
}

fn cause(reason: &'static str, field: &str, message: String) -> Cause {
    Cause {
        reason,
        field: field.into(),
        message,
    }
}

/// Types, required fields, enumerations, patterns and bounds.
pub(super) fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() {
        return;
    }
    let wanted = schema["type"].as_str().unwrap_or_default();
    let fits = match wanted {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    if !fits && schema["x-kubernetes-int-or-string"] != true {
        let found = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            _ => "integer",
        };
        causes.push(cause(
            "FieldValueTypeInvalid",
            path,
            format!(
                "Invalid value: \"{found}\": {path} in body must be of type {wanted}: \"{found}\""
            ),
        ));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let list: Vec<String> = allowed.iter().map(Value::to_string).collect();
        causes.push(cause(
            "FieldValueNotSupported",
            path,
            format!(
                "Unsupported value: {value}: supported values: {}",
                list.join(", ")
            ),
        ));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && regex::Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(text))
    {
        causes.push(cause(
            "FieldValueInvalid",
            path,
            format!("Invalid value: {value}: {path} in body should match '{pattern}'"),
        ));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_f64(), value.as_f64())
        && number < least
    {
        causes.push(cause(
            "FieldValueInvalid",
            path,
            format!(
                "Invalid value: {value}: {path} in body should be greater than or equal to {least}"
            ),
        ));
    }
    match value {
        Value::Object(map) => {
            let join = |name: &str| {
                if path.is_empty() {
                    name.to_owned()
                } else {
                    format!("{path}.{name}")
                }
            };
            for name in schema["required"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
            {
                if map.get(name).is_none_or(Value::is_null) {
                    causes.push(cause(
                        "FieldValueRequired",
                        &join(name),
                        "Required value".into(),
                    ));
                }
            }
            for (name, value) in map {
                let below = schema["properties"].get(name).or_else(|| {
                    schema
                        .get("additionalProperties")
                        .filter(|below| below.is_object())
                });
                if let Some(below) = below.filter(|_| name != "metadata" || !path.is_empty()) {
                    check(below, value, &join(name), causes);
                }
            }
        }
        Value::Array(items) => {
            let schema = schema.get("items").cloned().unwrap_or_else(|| json!({}));
            for (index, item) in items.iter().enumerate() {
                check(&schema, item, &format!("{path}[{index}]"), causes);
            }
        }
        _ => {}
    }
}
