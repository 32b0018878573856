//! Label and field selectors.

use serde_json::Value;

use super::status::ApiError;

/// What a list or watch is restricted to.
#[derive(Debug, Clone, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Debug, Clone)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl Selector {
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = split_outside_parentheses(labels)
            .into_iter()
            .map(requirement)
            .collect::<Result<_, _>>()?;
        let fields = fields
            .split(',')
            .filter(|part| !part.is_empty())
            .map(field)
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels
            .iter()
            .all(|requirement| requirement.holds(labels))
            && self
                .fields
                .iter()
                .all(|(path, equal, wanted)| (value_text(object, path) == *wanted) == *equal)
    }

    /// The name a field selector asks for, which RBAC treats like a request for that one object.
    pub(super) fn name(&self) -> Option<&str> {
        self.fields
            .iter()
            .find(|(path, equal, _)| *equal && path == "metadata.name")
            .map(|(_, _, name)| name.as_str())
    }
}

/// True when a `LabelSelector` object (matchLabels, matchExpressions) covers these labels.
pub(super) fn covers(selector: &Value, labels: &Value) -> bool {
    let exact = selector["matchLabels"]
        .as_object()
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value));
    let expressions = selector["matchExpressions"].as_array().is_none_or(|all| {
        all.iter().all(|expression| {
            let key = expression["key"].as_str().unwrap_or_default().to_owned();
            let values = expression["values"]
                .as_array()
                .map(|all| all.iter().map(text).collect())
                .unwrap_or_default();
            match expression["operator"].as_str().unwrap_or_default() {
                "In" => Requirement::In(key, values).holds(labels),
                "NotIn" => Requirement::NotIn(key, values).holds(labels),
                "Exists" => Requirement::Exists(key).holds(labels),
                _ => Requirement::Absent(key).holds(labels),
            }
        })
    });
    exact && expressions
}

impl Requirement {
    fn holds(&self, labels: &Value) -> bool {
        let has = |key: &String, values: &[String]| {
            labels[key]
                .as_str()
                .is_some_and(|label| values.iter().any(|value| value == label))
        };
        match self {
            Self::In(key, values) => has(key, values),
            Self::NotIn(key, values) => !has(key, values),
            Self::Exists(key) => labels.get(key).is_some(),
            Self::Absent(key) => labels.get(key).is_none(),
        }
    }
}

fn requirement(part: &str) -> Result<Requirement, ApiError> {
    let list = |text: &str| -> Vec<String> {
        text.trim()
            .trim_start_matches('(')
            .trim_end_matches(')')
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect()
    };
    let part = part.trim();
    if let Some((key, values)) = part.split_once(" notin ") {
        return Ok(Requirement::NotIn(key.trim().into(), list(values)));
    }
    if let Some((key, values)) = part.split_once(" in ") {
        return Ok(Requirement::In(key.trim().into(), list(values)));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(
            key.trim().into(),
            vec![value.trim().into()],
        ));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.trim_start_matches('=').trim();
        return Ok(Requirement::In(key.trim().into(), vec![value.into()]));
    }
    if part.contains(char::is_whitespace) {
        return Err(ApiError::bad_request(format!(
            "unable to parse requirement: {part:?}"
        )));
    }
    Ok(match part.strip_prefix('!') {
        Some(key) => Requirement::Absent(key.trim().into()),
        None => Requirement::Exists(part.into()),
    })
}

fn field(part: &str) -> Result<(String, bool, String), ApiError> {
    if let Some((path, value)) = part.split_once("!=") {
        return Ok((path.into(), false, value.into()));
    }
    match part.split_once('=') {
        Some((path, value)) => Ok((path.into(), true, value.trim_start_matches('=').into())),
        None => Err(ApiError::bad_request(format!(
            "invalid field selector: {part:?}"
        ))),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field by dotted path, as text; absent is empty, as in the real API.
fn value_text(object: &Value, path: &str) -> String {
    let mut value = object;
    for part in path.split('.') {
        value = &value[part];
    }
    if path == "spec.unschedulable" && value.is_null() {
        return "false".into();
    }
    text(value)
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
        .into_iter()
        .filter(|part| !part.trim().is_empty())
        .collect()
}
