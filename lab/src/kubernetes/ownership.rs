//! Server-side apply and `metadata.managedFields` (contracts/kubernetes-gitops.md, section 1).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::age::stamp;
use super::field_set::{FieldSet, Step, path_text, remove_at, value_at};
use super::kind::Kind;
use super::shape::{Shapes, Treatment, key_of};
use super::status::{ApiError, Cause};

/// Who writes, in what way.
#[derive(Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) manager: &'a str,
    pub(super) subresource: &'a str,
    pub(super) now: Timestamp,
}

#[derive(Clone)]
struct Entry {
    manager: String,
    operation: String,
    api_version: String,
    subresource: String,
    time: String,
    fields: FieldSet,
}

impl Entry {
    fn is(&self, writer: &Writer, operation: &str, api_version: &str) -> bool {
        self.manager == writer.manager
            && self.operation == operation
            && self.subresource == writer.subresource
            && (operation == "Apply" || self.api_version == api_version)
    }
}

fn entries(object: &Value) -> Vec<Entry> {
    let all = object["metadata"]["managedFields"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|entry| Entry {
            manager: text(&entry["manager"]),
            operation: text(&entry["operation"]),
            api_version: text(&entry["apiVersion"]),
            subresource: text(&entry["subresource"]),
            time: text(&entry["time"]),
            fields: FieldSet::decode(&entry["fieldsV1"]),
        })
        .collect()
}

fn store(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    // The server lists Apply entries first, then by time.
    entries.sort_by(|a, b| {
        (&a.operation, &a.time, &a.manager).cmp(&(&b.operation, &b.time, &b.manager))
    });
    let list: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut wire = json!({"manager": entry.manager, "operation": entry.operation, "apiVersion": entry.api_version,
                "time": entry.time, "fieldsType": "FieldsV1", "fieldsV1": entry.fields.encode()});
            if !entry.subresource.is_empty() {
                wire["subresource"] = json!(entry.subresource);
            }
            wire
        })
        .collect();
    if list.is_empty() {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.shift_remove("managedFields");
        }
    } else {
        object["metadata"]["managedFields"] = Value::Array(list);
    }
}

/// Merges an applied configuration into the live object (or an empty one) and settles who owns what.
pub(super) fn apply(
    kind: &Kind,
    live: Option<&Value>,
    applied: &Value,
    writer: Writer,
    force: bool,
) -> Result<Value, ApiError> {
    let shapes = Shapes::of(kind);
    let api_version = kind.api_version();
    let mut applied = applied.clone();
    drop_nulls(&mut applied);
    let wanted = FieldSet::of(&applied, &shapes);
    let empty = json!({});
    let live = live.unwrap_or(&empty);
    let mut entries = entries(live);

    // 1. Conflicts: a field with another value that somebody else owns.
    let mut conflicts = Vec::new();
    for entry in entries
        .iter_mut()
        .filter(|entry| !entry.is(&writer, "Apply", &api_version))
    {
        let contested: Vec<_> = entry
            .fields
            .0
            .iter()
            .filter(|path| {
                !is_item(path)
                    && wanted.0.contains(*path)
                    && differ(value_at(live, path), value_at(&applied, path))
            })
            .cloned()
            .collect();
        for path in contested {
            if force {
                entry.fields.0.remove(&path);
            } else {
                conflicts.push((entry.clone(), path));
            }
        }
    }
    if !conflicts.is_empty() {
        return Err(conflict(
            &conflicts
                .iter()
                .map(|(entry, path)| (owner(entry), path_text(path)))
                .collect::<Vec<_>>(),
        ));
    }

    // 2. Merge, then drop what this manager applied before and now leaves out, unless somebody else owns it.
    let mut merged = merge(live, &applied, &shapes, &mut Vec::new());
    let mine = entries
        .iter()
        .position(|entry| entry.is(&writer, "Apply", &api_version));
    let before = mine
        .map(|index| entries[index].fields.clone())
        .unwrap_or_default();
    for path in &before.minus(&wanted).0 {
        let kept = entries
            .iter()
            .enumerate()
            .any(|(index, entry)| Some(index) != mine && entry.fields.touches(path));
        if !kept && !is_key_field(path) {
            remove_at(&mut merged, path);
        }
    }

    // A map that emptied by that is back when the configuration names it.
    let mut merged = merge(&merged, &applied, &shapes, &mut Vec::new());

    // 3. Ownership; the time moves only with the set, so that repeating an apply changes nothing.
    let unchanged = mine.is_some_and(|index| {
        entries[index].fields == wanted && entries[index].api_version == api_version
    });
    if !unchanged || force_changed(&entries, live) {
        let entry = Entry {
            manager: writer.manager.into(),
            operation: "Apply".into(),
            api_version,
            subresource: writer.subresource.into(),
            time: if unchanged {
                mine.map(|index| entries[index].time.clone())
                    .unwrap_or_default()
            } else {
                stamp(writer.now)
            },
            fields: wanted,
        };
        match mine {
            Some(index) => entries[index] = entry,
            None => entries.push(entry),
        }
    }
    store(&mut merged, entries);
    Ok(merged)
}

fn force_changed(current: &[Entry], live: &Value) -> bool {
    entries(live)
        .iter()
        .zip(current)
        .any(|(before, after)| before.fields != after.fields)
}

/// An empty map owns itself, not what others put into it.
fn differ(live: Option<&Value>, applied: Option<&Value>) -> bool {
    match (live, applied) {
        (Some(Value::Object(live)), Some(Value::Object(applied)))
            if live.is_empty() || applied.is_empty() =>
        {
            false
        }
        _ => live != applied,
    }
}

fn is_item(path: &[Step]) -> bool {
    matches!(path.last(), Some(Step::Key(_) | Step::Member(_)))
}

/// A key field of a list item goes with its item, never alone.
fn is_key_field(path: &[Step]) -> bool {
    match path {
        [.., Step::Key(key), Step::Field(name)] => {
            serde_json::from_str::<Map<String, Value>>(key).is_ok_and(|key| key.contains_key(name))
        }
        _ => false,
    }
}

/// Records a write that is not an apply: changed fields become the writer's alone.
pub(super) fn update(kind: &Kind, live: Option<&Value>, written: &mut Value, writer: Writer) {
    let shapes = Shapes::of(kind);
    let api_version = kind.api_version();
    let empty = json!({});
    let before = live.unwrap_or(&empty);
    // `managedFields: [{}]` resets; anything else the client sends is replaced by what the server knows.
    let reset = written["metadata"]["managedFields"] == json!([{}]);
    let mut entries = if reset { Vec::new() } else { entries(before) };
    let (old, new) = (
        FieldSet::of(before, &shapes),
        FieldSet::of(written, &shapes),
    );
    let changed = FieldSet(
        new.0
            .iter()
            .filter(|path| {
                value_at(before, path) != value_at(written, path)
                    && !(is_item(path) && old.0.contains(*path))
            })
            .cloned()
            .collect(),
    );
    let removed = old.minus(&new);
    for entry in &mut entries {
        let same = entry.is(&writer, "Update", &api_version);
        entry.fields = entry.fields.minus(&removed);
        if !same {
            entry
                .fields
                .0
                .retain(|path| is_item(path) || !changed.0.contains(path));
        }
    }
    if !changed.is_empty() && !reset {
        let time = stamp(writer.now);
        match entries
            .iter_mut()
            .find(|entry| entry.is(&writer, "Update", &api_version))
        {
            Some(entry) => {
                entry.fields = entry.fields.plus(&changed);
                entry.time = time;
            }
            None => entries.push(Entry {
                manager: writer.manager.into(),
                operation: "Update".into(),
                api_version,
                subresource: writer.subresource.into(),
                time,
                fields: changed,
            }),
        }
    }
    store(written, entries);
}

/// True when a manager owns anything of the object by server-side apply.
pub(super) fn is_applied_by(object: &Value, manager: &str) -> bool {
    let all = object["metadata"]["managedFields"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter().any(|entry| entry["manager"] == manager)
}

fn owner(entry: &Entry) -> String {
    let subresource = match entry.subresource.as_str() {
        "" => String::new(),
        subresource => format!(" with subresource \"{subresource}\""),
    };
    let version = match entry.operation.as_str() {
        "Update" => format!(" using {} at {}", entry.api_version, entry.time),
        _ => String::new(),
    };
    format!("\"{}\"{subresource}{version}", entry.manager)
}

fn conflict(conflicts: &[(String, String)]) -> ApiError {
    let causes: Vec<Cause> = conflicts
        .iter()
        .map(|(owner, field)| Cause {
            reason: "FieldManagerConflict",
            field: field.clone(),
            message: format!("conflict with {owner}"),
        })
        .collect();
    let message = if let [(owner, field)] = conflicts {
        format!("Apply failed with 1 conflict: conflict with {owner}: {field}")
    } else {
        let mut owners: Vec<&String> = conflicts.iter().map(|(owner, _)| owner).collect();
        owners.sort();
        owners.dedup();
        let groups: Vec<String> = owners
            .into_iter()
            .map(|each| {
                let fields: Vec<String> = conflicts
                    .iter()
                    .filter(|(owner, _)| owner == each)
                    .map(|(_, field)| format!("- {field}"))
                    .collect();
                format!("conflicts with {each}:\n{}", fields.join("\n"))
            })
            .collect();
        format!(
            "Apply failed with {} conflicts: {}",
            conflicts.len(),
            groups.join("\n")
        )
    };
    ApiError::new(409, "Conflict", message).causes(&causes)
}

pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn merge<'v>(
    live: &'v Value,
    applied: &'v Value,
    shapes: &Shapes,
    fields: &mut Vec<&'v str>,
) -> Value {
    let treatment = if fields.is_empty() {
        Treatment::Granular
    } else {
        shapes.treatment(fields, applied)
    };
    match (live, applied, treatment) {
        (Value::Object(live), Value::Object(applied), Treatment::Granular) => {
            Value::Object(merge_maps(live, applied, shapes, fields))
        }
        (Value::Array(live), Value::Array(applied), Treatment::Keyed(keys)) => {
            let mut merged: Vec<Value> = live
                .iter()
                .map(|item| {
                    let key = key_of(item, &keys);
                    match (
                        item,
                        applied.iter().find(|other| key_of(other, &keys) == key),
                    ) {
                        (Value::Object(item), Some(Value::Object(other))) => {
                            Value::Object(merge_maps(item, other, shapes, fields))
                        }
                        (item, _) => item.clone(),
                    }
                })
                .collect();
            for item in applied {
                let key = key_of(item, &keys);
                if !merged.iter().any(|other| key_of(other, &keys) == key) {
                    merged.push(item.clone());
                }
            }
            Value::Array(merged)
        }
        (Value::Array(live), Value::Array(applied), Treatment::Set) => {
            let fresh = applied.iter().filter(|item| !live.contains(item)).cloned();
            Value::Array(live.iter().cloned().chain(fresh).collect())
        }
        _ => applied.clone(),
    }
}

fn merge_maps<'v>(
    live: &'v Map<String, Value>,
    applied: &'v Map<String, Value>,
    shapes: &Shapes,
    fields: &mut Vec<&'v str>,
) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, value) in applied {
        fields.push(name);
        let value = live
            .get(name)
            .map_or_else(|| value.clone(), |live| merge(live, value, shapes, fields));
        fields.pop();
        merged.insert(name.clone(), value);
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::kind::built_in;

    fn kind(plural: &str) -> Kind {
        built_in()
            .into_iter()
            .find(|kind| kind.plural == plural)
            .unwrap()
    }

    fn by(manager: &str) -> Writer<'_> {
        Writer {
            manager,
            subresource: "",
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    fn deployment(containers: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"a": "b"}},
            "spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn repeating_an_apply_is_a_no_op_and_leaving_out_removes() {
        let kind = kind("deployments");
        let both = deployment(&json!([
            {"name": "web", "image": "one", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "ports": [{"containerPort": 80}]},
            {"name": "side", "image": "two"}]));
        let first = apply(&kind, None, &both, by("strata"), false).unwrap();
        assert_eq!(
            apply(&kind, Some(&first), &both, by("strata"), false).unwrap(),
            first
        );
        let less = deployment(
            &json!([{"name": "web", "image": "one", "env": [{"name": "B", "value": "2"}]}]),
        );
        let second = apply(&kind, Some(&first), &less, by("strata"), false).unwrap();
        assert_eq!(
            second["spec"]["template"]["spec"]["containers"],
            json!([{"name": "web", "image": "one", "env": [{"name": "B", "value": "2"}]}])
        );
    }

    #[test]
    fn an_update_takes_the_field_and_a_later_apply_conflicts() {
        let kind = kind("deployments");
        let wanted = deployment(&json!([{"name": "web", "image": "one"}]));
        let live = apply(&kind, None, &wanted, by("strata"), false).unwrap();
        let mut edited = live.clone();
        edited["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
        update(&kind, Some(&live), &mut edited, by("kubectl-edit"));
        let error = apply(&kind, Some(&edited), &wanted, by("strata"), false).unwrap_err();
        assert_eq!(
            error.message,
            "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using apps/v1 at 2026-01-02T03:04:05Z: \
             .spec.template.spec.containers[name=\"web\"].image"
        );
        let forced = apply(&kind, Some(&edited), &wanted, by("strata"), true).unwrap();
        assert_eq!(
            forced["spec"]["template"]["spec"]["containers"][0]["image"],
            "one"
        );
        assert_eq!(
            entries(&forced).len(),
            1,
            "the loser owns nothing and is gone"
        );
    }

    #[test]
    fn a_field_two_managers_agree_on_stays_until_both_leave() {
        let kind = kind("configmaps");
        let map = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data});
        let shared = map(json!({"a": "1"}));
        let live = apply(&kind, None, &shared, by("one"), false).unwrap();
        let live = apply(&kind, Some(&live), &shared, by("two"), false).unwrap();
        let live = apply(&kind, Some(&live), &map(json!({})), by("one"), false).unwrap();
        assert_eq!(live["data"], json!({"a": "1"}));
        let live = apply(&kind, Some(&live), &map(json!({})), by("two"), false).unwrap();
        assert_eq!(live["data"].get("a"), None);
    }

    #[test]
    fn field_sets_survive_the_wire() {
        let kind = kind("deployments");
        let object = deployment(&json!([{"name": "web", "ports": [{"containerPort": 80}]}]));
        let set = FieldSet::of(&object, &Shapes::of(&kind));
        let wire = set.encode();
        let item = &wire["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"];
        assert_eq!(item["."], json!({}), "{wire}");
        assert!(
            item["f:ports"]
                .get("k:{\"containerPort\":80,\"protocol\":\"TCP\"}")
                .is_some(),
            "{wire}"
        );
        assert_eq!(FieldSet::decode(&wire), set);
    }
}
