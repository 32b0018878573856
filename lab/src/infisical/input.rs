//! Bodies and queries, read field by field: unknown fields are ignored, as the real API strips them; wrong ones become the issues of a 422.

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use super::error::Refusal;

/// The fields of one object and what was wrong with them so far.
#[derive(Debug)]
pub(super) struct Fields {
    object: Map<String, Value>,
    at: Vec<Value>,
    issues: Vec<Value>,
}

impl Fields {
    /// From a body. No body at all is a wrong body.
    pub(super) fn of_body(body: &Bytes) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Err(Refusal::invalid(vec![json!({
                "code": "invalid_type", "expected": "object", "received": "undefined", "path": [], "message": "Required",
            })]));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(Self::of_object(object, Vec::new())),
            Ok(other) => Err(Refusal::invalid(vec![json!({
                "code": "invalid_type", "expected": "object", "received": kind(&other), "path": [],
                "message": format!("Expected object, received {}", kind(&other)),
            })])),
            Err(_) => Err(Refusal::bad("Body is not valid JSON")),
        }
    }

    /// From a query; the last of repeated keys counts.
    pub(super) fn of_query(pairs: Vec<(String, String)>) -> Self {
        let object = pairs.into_iter().map(|(key, value)| (key, value.into()));
        Self::of_object(object.collect(), Vec::new())
    }

    fn of_object(object: Map<String, Value>, at: Vec<Value>) -> Self {
        Self {
            object,
            at,
            issues: Vec::new(),
        }
    }

    /// Adds an issue about a field.
    pub(super) fn issue(&mut self, key: &str, message: &str) {
        let path = self.path(key);
        self.issues
            .push(json!({ "code": "custom", "message": message, "path": path }));
    }

    fn path(&self, key: &str) -> Vec<Value> {
        let mut path = self.at.clone();
        path.push(key.into());
        path
    }

    fn wrong_type(&mut self, key: &str, expected: &str) {
        let received = self.object.get(key).map_or("undefined", kind);
        let message = match received {
            "undefined" => "Required".to_owned(),
            other => format!("Expected {expected}, received {other}"),
        };
        let path = self.path(key);
        self.issues.push(
            json!({ "code": "invalid_type", "expected": expected, "received": received, "path": path, "message": message }),
        );
    }

    /// Whether the field is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.object.contains_key(key)
    }

    /// Text; `None` when absent.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.object.get(key) {
            None => None,
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => {
                self.wrong_type(key, "string");
                None
            }
        }
    }

    /// Text that may be null.
    pub(super) fn nullable_text(&mut self, key: &str) -> Option<String> {
        match self.object.get(key) {
            Some(Value::Null) => None,
            _ => self.text(key),
        }
    }

    /// Text that must be there, trimmed.
    pub(super) fn required(&mut self, key: &str) -> String {
        if !self.has(key) {
            self.wrong_type(key, "string");
        }
        self.text(key).unwrap_or_default().trim().to_owned()
    }

    /// A truth value; null counts as absent.
    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => {
                self.wrong_type(key, "boolean");
                None
            }
        }
    }

    /// A number; null counts as absent.
    pub(super) fn number(&mut self, key: &str) -> Option<i64> {
        match self.object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) if text.parse::<i64>().is_ok() => text.parse().ok(),
            Some(_) => {
                self.wrong_type(key, "number");
                None
            }
        }
    }

    /// `true` or `false` as text and nothing else, the way the secret routes take truth values in queries.
    pub(super) fn word(&mut self, key: &str, default: bool) -> bool {
        self.one_of(key, &["true", "false"])
            .map_or(default, |word| word == "true")
    }

    /// The way the folder routes take truth values: anything but nothing, 0 and `false` is true.
    pub(super) fn loose_flag(&self, key: &str) -> bool {
        match self.object.get(key) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => {
                let text = text.trim();
                !text.is_empty() && text != "0" && !text.eq_ignore_ascii_case("false")
            }
            _ => false,
        }
    }

    /// One of some words; `None` when absent.
    pub(super) fn one_of(&mut self, key: &str, accepted: &[&str]) -> Option<String> {
        let text = self.text(key)?;
        if accepted.contains(&text.as_str()) {
            return Some(text);
        }
        let quoted: Vec<String> = accepted.iter().map(|word| format!("'{word}'")).collect();
        let message = format!(
            "Invalid enum value. Expected {}, received '{text}'",
            quoted.join(" | ")
        );
        let path = self.path(key);
        self.issues.push(
            json!({ "received": text, "code": "invalid_enum_value", "options": accepted, "path": path, "message": message }),
        );
        None
    }

    /// A list of objects with at least one in it.
    pub(super) fn objects(&mut self, key: &str) -> Vec<Fields> {
        let Some(Value::Array(items)) = self.object.get(key).cloned() else {
            self.wrong_type(key, "array");
            return Vec::new();
        };
        if items.is_empty() {
            let path = self.path(key);
            let message = "Array must contain at least 1 element(s)";
            self.issues.push(json!({
                "code": "too_small", "minimum": 1, "type": "array", "inclusive": true, "exact": false, "message": message, "path": path,
            }));
        }
        let mut fields = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let mut at = self.path(key);
            at.push(index.into());
            match item {
                Value::Object(object) => fields.push(Self::of_object(object, at)),
                other => self.issues.push(json!({
                    "code": "invalid_type", "expected": "object", "received": kind(&other), "path": at,
                    "message": format!("Expected object, received {}", kind(&other)),
                })),
            }
        }
        fields
    }

    /// An object inside; its issues belong to this one after `take_issues`.
    pub(super) fn object(&mut self, key: &str) -> Fields {
        let at = self.path(key);
        if let Some(Value::Object(object)) = self.object.get(key) {
            return Self::of_object(object.clone(), at);
        }
        self.wrong_type(key, "object");
        Self::of_object(Map::new(), at)
    }

    /// The raw value.
    pub(super) fn raw(&self, key: &str) -> Option<&Value> {
        self.object.get(key)
    }

    /// Takes over what was wrong with inner fields.
    pub(super) fn take_issues(&mut self, inner: Fields) {
        self.issues.extend(inner.issues);
    }

    /// Refuses when anything was wrong.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.issues.is_empty() {
            Ok(())
        } else {
            Err(Refusal::invalid(self.issues.clone()))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
