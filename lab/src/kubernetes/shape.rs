//! How the parts of an object merge: which lists are keyed, which are sets, which parts have one owner.
//!
//! Custom resources say so in their schema; for built-in kinds the field's name decides, which is exact for the kinds served here.

use serde_json::{Map, Value};

use super::kind::Kind;

/// How one list or map merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Treatment {
    /// One owner for the whole value.
    Atomic,
    /// A map or struct whose fields have owners.
    Granular,
    /// A list of distinct scalars.
    Set,
    /// A list keyed by these fields.
    Keyed(Vec<String>),
}

/// The merge rules of one kind.
pub(super) struct Shapes<'a> {
    kind: &'a Kind,
}

impl<'a> Shapes<'a> {
    pub(super) fn of(kind: &'a Kind) -> Self {
        Self { kind }
    }

    /// The treatment of the value at these field names; list items add nothing to the path.
    pub(super) fn treatment(&self, fields: &[&str], value: &Value) -> Treatment {
        let in_metadata = fields.first() == Some(&"metadata") && fields.len() == 2;
        let schema = if in_metadata {
            None
        } else {
            self.kind.schema.as_deref()
        };
        match (schema, value) {
            (Some(schema), Value::Array(_)) => custom_list(find(schema, fields)),
            (Some(schema), Value::Object(_)) => {
                let atomic = find(schema, fields)
                    .is_some_and(|schema| schema["x-kubernetes-map-type"] == "atomic");
                if atomic {
                    Treatment::Atomic
                } else {
                    Treatment::Granular
                }
            }
            (None, Value::Array(_)) => self.built_in_list(fields),
            (None, Value::Object(_)) => built_in_map(fields),
            _ => Treatment::Atomic,
        }
    }

    fn built_in_list(&self, fields: &[&str]) -> Treatment {
        let keyed =
            |keys: &[&str]| Treatment::Keyed(keys.iter().map(ToString::to_string).collect());
        let last = fields.last().copied().unwrap_or_default();
        let parent = fields.iter().rev().nth(1).copied().unwrap_or_default();
        match last {
            "containers"
            | "initContainers"
            | "ephemeralContainers"
            | "volumes"
            | "env"
            | "imagePullSecrets"
            | "webhooks"
            | "resourceClaims"
            | "matchConditions" => keyed(&["name"]),
            "secrets" if self.kind.is("", "serviceaccounts") => keyed(&["name"]),
            "volumeMounts" => keyed(&["mountPath"]),
            "volumeDevices" => keyed(&["devicePath"]),
            "hostAliases" => keyed(&["ip"]),
            "topologySpreadConstraints" => keyed(&["topologyKey", "whenUnsatisfiable"]),
            "ownerReferences" => keyed(&["uid"]),
            "conditions" => keyed(&["type"]),
            "addresses" if self.kind.is("", "nodes") => keyed(&["type"]),
            "ports" if self.kind.is("", "services") && parent == "spec" => {
                keyed(&["port", "protocol"])
            }
            "ports" if parent.to_lowercase().ends_with("containers") => {
                keyed(&["containerPort", "protocol"])
            }
            "finalizers" | "podCIDRs" => Treatment::Set,
            _ => Treatment::Atomic,
        }
    }
}

fn built_in_map(fields: &[&str]) -> Treatment {
    match fields.last().copied().unwrap_or_default() {
        "selector" | "labelSelector" | "namespaceSelector" | "podSelector" | "objectSelector"
        | "nodeSelector" | "secretKeyRef" | "configMapKeyRef" | "fieldRef" | "resourceFieldRef"
        | "roleRef" | "claimRef" | "secretRef" => Treatment::Atomic,
        _ => Treatment::Granular,
    }
}

fn custom_list(schema: Option<&Value>) -> Treatment {
    let Some(schema) = schema else {
        return Treatment::Atomic;
    };
    match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Treatment::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            Treatment::Keyed(
                keys.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            )
        }
        _ => Treatment::Atomic,
    }
}

/// The schema below a path of field names.
fn find<'s>(schema: &'s Value, fields: &[&str]) -> Option<&'s Value> {
    let mut schema = schema;
    for field in fields {
        while let Some(items) = schema.get("items") {
            schema = items;
        }
        schema = schema["properties"].get(field).or_else(|| {
            schema
                .get("additionalProperties")
                .filter(|schema| schema.is_object())
        })?;
    }
    Some(schema)
}

/// The key of an item of a keyed list; `protocol` defaults to TCP as in the schema of Kubernetes.
pub(super) fn key_of(item: &Value, keys: &[String]) -> Value {
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort();
    let mut key = Map::new();
    for name in sorted {
        let value = match item.get(name) {
            None if name == "protocol" => Value::from("TCP"),
            None => Value::Null,
            Some(value) => value.clone(),
        };
        key.insert(name.clone(), value);
    }
    Value::Object(key)
}
