//! The provider's functions: thin, pure, one file each. What they compute lives in `strata-cluster`, `sealed`, `services/flatcar` and
//! `services/talos`.

pub mod cluster;
pub mod flatcar_install_script;
pub mod ignition;
pub mod seal;
pub mod talos_machine_config;
pub mod talos_patch;

use serde_json::Value;
use strata_framework::{Dynamic, FunctionError};

/// An argument of any shape as a struct. The parser's text may quote a value, and values here are keys, so only the field and the expectation
/// are told.
fn object<T: serde::de::DeserializeOwned>(
    argument: &Dynamic,
    expected: &str,
) -> Result<T, FunctionError> {
    let json = argument
        .to_json()
        .ok_or_else(|| FunctionError::at(0, "Must be wholly known."))?;
    serde_json::from_value(without_nulls(json)).map_err(|error| {
        let text = error.to_string();
        // `unknown field`, `missing field` name fields only; a type error quotes the value.
        let safe = if text.starts_with("unknown field") || text.starts_with("missing field") {
            text
        } else {
            "an attribute has the wrong type".into()
        };
        FunctionError::at(
            0,
            format!("Not the object that is needed ({safe}). It has: {expected}."),
        )
    })
}

/// An attribute that is null is one that was left out: typed objects of modules have all attributes.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key, without_nulls(value)))
            .collect(),
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
