//! Terraform's types and their JSON text.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// The type of a value, as core knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// Text.
    String,
    /// Truth value.
    Bool,
    /// Number of any size.
    Number,
    /// Decided by the value.
    Dynamic,
    /// Ordered, one element type.
    List(Box<Type>),
    /// Unordered, without repeats, one element type.
    Set(Box<Type>),
    /// String keys, one element type.
    Map(Box<Type>),
    /// Ordered, one type per element.
    Tuple(Vec<Type>),
    /// Named attributes.
    Object(BTreeMap<String, Type>),
}

impl Type {
    /// The type constraint as JSON: `"string"`, `["list","string"]`, `["object",{...}]`.
    pub fn to_json(&self) -> Json {
        match self {
            Self::String => json!("string"),
            Self::Bool => json!("bool"),
            Self::Number => json!("number"),
            Self::Dynamic => json!("dynamic"),
            Self::List(element) => json!(["list", element.to_json()]),
            Self::Set(element) => json!(["set", element.to_json()]),
            Self::Map(element) => json!(["map", element.to_json()]),
            Self::Tuple(elements) => json!([
                "tuple",
                elements.iter().map(Self::to_json).collect::<Vec<_>>()
            ]),
            Self::Object(attributes) => {
                let attributes: serde_json::Map<_, _> = attributes
                    .iter()
                    .map(|(name, of)| (name.clone(), of.to_json()))
                    .collect();
                json!(["object", attributes])
            }
        }
    }

    /// Reads a type constraint. Optional attributes of objects (a third element) are accepted and forgotten.
    pub fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::String(name) => match name.as_str() {
                "string" => Some(Self::String),
                "bool" => Some(Self::Bool),
                "number" => Some(Self::Number),
                "dynamic" => Some(Self::Dynamic),
                _ => None,
            },
            Json::Array(parts) => {
                let inner = parts.get(1)?;
                let element = || Self::from_json(inner).map(Box::new);
                match parts.first()?.as_str()? {
                    "list" => element().map(Self::List),
                    "set" => element().map(Self::Set),
                    "map" => element().map(Self::Map),
                    "tuple" => inner
                        .as_array()?
                        .iter()
                        .map(Self::from_json)
                        .collect::<Option<_>>()
                        .map(Self::Tuple),
                    "object" => {
                        let attributes = inner.as_object()?.iter();
                        let attributes =
                            attributes.map(|(name, of)| Some((name.clone(), Self::from_json(of)?)));
                        attributes.collect::<Option<_>>().map(Self::Object)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The name a person would use.
    pub fn friendly(&self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Bool => "a bool",
            Self::Number => "a number",
            Self::Dynamic => "any value",
            Self::List(_) => "a list",
            Self::Set(_) => "a set",
            Self::Map(_) => "a map",
            Self::Tuple(_) => "a tuple",
            Self::Object(_) => "an object",
        }
    }
}
