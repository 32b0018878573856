//! JSON patch, merge patch and strategic merge patch.

use serde_json::{Map, Value};

use super::kind::Kind;
use super::shape::{Shapes, Treatment, key_of};
use super::status::ApiError;

/// RFC 6902.
pub(super) fn json_patch(object: &mut Value, operations: &Value) -> Result<(), ApiError> {
    let operations = operations
        .as_array()
        .ok_or_else(|| ApiError::bad_request("a JSON patch is a list of operations"))?;
    for operation in operations {
        let path = operation["path"].as_str().unwrap_or_default();
        let missing = || {
            ApiError::new(
                422,
                "Invalid",
                format!("the server rejected our request due to an error in our request: {path}"),
            )
        };
        match operation["op"].as_str() {
            Some("add") => add(object, path, operation["value"].clone()).ok_or_else(missing)?,
            Some("replace") => {
                *object.pointer_mut(path).ok_or_else(missing)? = operation["value"].clone();
            }
            Some("remove") => {
                take(object, path).ok_or_else(missing)?;
            }
            Some("test") => {
                if object.pointer(path).unwrap_or(&Value::Null) != &operation["value"] {
                    return Err(missing());
                }
            }
            Some("move") => {
                let value = take(object, operation["from"].as_str().unwrap_or_default())
                    .ok_or_else(missing)?;
                add(object, path, value).ok_or_else(missing)?;
            }
            Some("copy") => {
                let value = object
                    .pointer(operation["from"].as_str().unwrap_or_default())
                    .cloned()
                    .ok_or_else(missing)?;
                add(object, path, value).ok_or_else(missing)?;
            }
            other => {
                return Err(ApiError::bad_request(format!(
                    "unknown JSON patch operation {other:?}"
                )));
            }
        }
    }
    Ok(())
}

fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(object: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *object = value;
        return Some(());
    }
    let (parent, last) = split(path)?;
    match object.pointer_mut(parent)? {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let index: usize = last.parse().ok().filter(|index| *index <= items.len())?;
            items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn take(object: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split(path)?;
    match object.pointer_mut(parent)? {
        Value::Object(map) => map.shift_remove(&last),
        Value::Array(items) => {
            let index: usize = last.parse().ok().filter(|index| *index < items.len())?;
            Some(items.remove(index))
        }
        _ => None,
    }
}

/// RFC 7386.
pub(super) fn merge_patch(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let map = object.as_object_mut().expect("made an object above");
    for (name, value) in patch {
        if value.is_null() {
            map.shift_remove(name);
        } else {
            merge_patch(map.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Kubernetes' own patch: keyed lists merge, `$patch` and its relatives direct.
pub(super) fn strategic(kind: &Kind, object: &mut Value, patch: &Value) {
    strategic_at(&Shapes::of(kind), object, patch, &mut Vec::new());
}

fn strategic_at<'v>(
    shapes: &Shapes,
    object: &mut Value,
    patch: &'v Value,
    fields: &mut Vec<&'v str>,
) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if patch
        .get("$patch")
        .is_some_and(|directive| directive == "replace")
        || !object.is_object()
    {
        *object = Value::Object(Map::new());
    }
    let map = object.as_object_mut().expect("made an object above");
    if let Some(Value::Array(keep)) = patch.get("$retainKeys") {
        map.retain(|name, _| keep.iter().any(|kept| kept == name.as_str()));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(items) = map.get_mut(list).and_then(Value::as_array_mut) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        // `$setElementOrder` only reorders; order has no meaning in the keyed lists here.
        if name.starts_with('$') {
            continue;
        }
        if value.is_null() {
            map.shift_remove(name);
            continue;
        }
        fields.push(name);
        match (value, shapes.treatment(fields, value)) {
            (Value::Object(_), _) => strategic_at(
                shapes,
                map.entry(name.clone()).or_insert(Value::Null),
                value,
                fields,
            ),
            (Value::Array(items), Treatment::Keyed(keys)) => {
                let live = map
                    .entry(name.clone())
                    .or_insert_with(|| Value::Array(Vec::new()));
                strategic_list(shapes, live, items, &keys[..1], fields);
            }
            (Value::Array(items), Treatment::Set) => {
                let live = map
                    .entry(name.clone())
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Some(live) = live.as_array_mut() {
                    let fresh: Vec<Value> = items
                        .iter()
                        .filter(|item| !live.contains(item))
                        .cloned()
                        .collect();
                    live.extend(fresh);
                }
            }
            _ => {
                map.insert(name.clone(), value.clone());
            }
        }
        fields.pop();
    }
}

fn strategic_list<'v>(
    shapes: &Shapes,
    live: &mut Value,
    items: &'v [Value],
    keys: &[String],
    fields: &mut Vec<&'v str>,
) {
    let Some(live) = live.as_array_mut() else {
        return;
    };
    if items.iter().any(|item| item["$patch"] == "replace") {
        live.clear();
    }
    for item in items.iter().filter(|item| item["$patch"] != "replace") {
        let found = live
            .iter()
            .position(|other| key_of(other, keys) == key_of(item, keys));
        match (found, item["$patch"] == "delete") {
            (Some(index), true) => {
                live.remove(index);
            }
            (None, true) => {}
            (Some(index), false) => strategic_at(shapes, &mut live[index], item, fields),
            (None, false) => live.push(item.clone()),
        }
    }
}
