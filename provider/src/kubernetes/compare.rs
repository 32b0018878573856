//! Whether a live object still says what was applied.
//!
//! Compared is what our text says, field by field; what the API or a controller added does not matter. A dry-run apply would be exact but is a
//! write request, and refresh sends none. Therefore the few ways in which the API server rewrites what it is given are known here: empty values
//! that it drops, quantities that it normalises, lists that controllers extend.

use serde_json::{Map, Value};

/// The first field that differs, as a path like `spec.replicas`; `None` when the live object says all that the text says.
pub fn difference(desired: &Value, live: &Value) -> Option<String> {
    let mut path = Vec::new();
    differs(desired, live, &mut path).then(|| path.join("."))
}

fn differs(desired: &Value, live: &Value, path: &mut Vec<String>) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => map_differs(desired, live, path),
        (Value::Array(desired), Value::Array(live)) => list_differs(desired, live, path),
        (desired, live) => desired != live && !same_quantity(desired, live),
    }
}

fn map_differs(
    desired: &Map<String, Value>,
    live: &Map<String, Value>,
    path: &mut Vec<String>,
) -> bool {
    for (key, wanted) in desired {
        // `omitempty`: the server does not keep what equals nothing.
        if is_empty(wanted) && live.get(key).is_none_or(is_empty) {
            continue;
        }
        path.push(key.clone());
        if live
            .get(key)
            .is_none_or(|found| differs(wanted, found, path))
        {
            return true;
        }
        path.pop();
    }
    false
}

/// Entries with a name are looked up by it, since others may be added between them; all others must stand in place.
fn list_differs(desired: &[Value], live: &[Value], path: &mut Vec<String>) -> bool {
    for (index, wanted) in desired.iter().enumerate() {
        let name = wanted.get("name").and_then(Value::as_str);
        path.push(name.map_or_else(|| index.to_string(), str::to_owned));
        let named = name.and_then(|name| {
            live.iter()
                .find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))
        });
        let found = if name.is_some() {
            named
        } else {
            live.get(index)
        };
        if found.is_none_or(|found| differs(wanted, found, path)) {
            return true;
        }
        path.pop();
    }
    false
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// `1000m` is stored as `1`, `1024Mi` as `1Gi`, and a number may come back as text.
fn same_quantity(desired: &Value, live: &Value) -> bool {
    match (quantity(desired), quantity(live)) {
        (Some(desired), Some(live)) => {
            (desired - live).abs() <= f64::EPSILON * desired.abs().max(live.abs())
        }
        _ => false,
    }
}

fn quantity(value: &Value) -> Option<f64> {
    let text = match value {
        Value::Number(number) => return number.as_f64(),
        Value::String(text) => text,
        _ => return None,
    };
    let split = text
        .find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor)
}

#[cfg(test)]
mod tests {
    use super::difference;
    use serde_json::json;

    #[test]
    fn what_others_added_is_no_difference() {
        let desired = json!({ "spec": { "ports": [{ "name": "http", "port": 80 }], "args": ["a"], "empty": {}, "off": false, "cpu": "1000m", "memory": "1024Mi" } });
        let live = json!({
            "metadata": { "uid": "1" },
            "spec": { "ports": [{ "name": "extra", "port": 1 }, { "name": "http", "port": 80, "protocol": "TCP" }], "args": ["a", "b"], "cpu": "1", "memory": "1Gi" },
        });
        assert_eq!(difference(&desired, &live), None);
    }

    #[test]
    fn what_we_wrote_and_is_different_is_named() {
        let desired = json!({ "spec": { "template": { "containers": [{ "name": "a", "image": "x:1" }] }, "replicas": 2 } });
        let mut live = desired.clone();
        live["spec"]["template"]["containers"][0]["image"] = "x:2".into();
        assert_eq!(
            difference(&desired, &live).unwrap(),
            "spec.template.containers.a.image"
        );
        assert_eq!(
            difference(&desired, &json!({ "spec": { "replicas": 2 } })).unwrap(),
            "spec.template"
        );
        assert_eq!(
            difference(&json!({ "a": "1" }), &json!({ "a": "one" })).unwrap(),
            "a"
        );
        assert_eq!(
            difference(&json!({ "a": ["x", "y"] }), &json!({ "a": ["x"] })).unwrap(),
            "a.1"
        );
    }
}
