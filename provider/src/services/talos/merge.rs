//! Talos' strategic merge of a patch into a machine configuration of one document: <https://docs.siderolabs.com/talos/>, "Configuration patches".
//!
//! Maps are merged key by key, a text or number replaces another unless it is empty or zero, lists are appended. The exceptions are data below.
//! A key with `$patch: delete` inside is removed first. Not handled: several documents, JSON 6902 operations, deleting elements of lists.
//! Appending does not look for what is there already: merge into the base, never into what was merged.

use serde_json::{Map, Value};

/// Lists that replace, by path.
const REPLACED: [&str; 2] = [
    "cluster.network.podSubnets",
    "cluster.network.serviceSubnets",
];
/// Maps that replace as a whole.
const WHOLE: [&str; 1] = ["cluster.apiServer.auditPolicy"];
/// Lists whose elements are matched by a key, by path; `*` is any element.
const KEYED: [(&str, &str); 3] = [
    ("machine.network.interfaces", "interface"),
    ("machine.network.interfaces.*.vlans", "vlanId"),
    ("cluster.apiServer.admissionControl", "name"),
];
/// A free map: what stands in it is replaced whole, lists included.
const FREE: &str = "extraArgs";

/// Why there is nothing merged. Names places, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No single document.
    #[error("{0} is not one JSON or YAML document with a mapping in it")]
    Document(&'static str),
    /// A list of operations.
    #[error(
        "the patch is a list of JSON 6902 operations; write it as a part of a machine configuration"
    )]
    Operations,
}

/// The configuration with the patch merged into it, as JSON.
pub fn merged(configuration: &str, patch: &str) -> Result<String, Error> {
    let mut base = document(configuration).ok_or(Error::Document("the machine configuration"))?;
    let patch = match serde_yaml_ng::from_str(patch) {
        Ok(Value::Object(patch)) => patch,
        Ok(Value::Array(_)) => return Err(Error::Operations),
        // An empty patch changes nothing.
        Ok(Value::Null) => Map::new(),
        _ => return Err(Error::Document("the patch")),
    };
    let mut patch = patch;
    delete(&mut base, &mut patch);
    merge(&mut base, patch, "");
    Ok(Value::Object(base).to_string())
}

fn document(text: &str) -> Option<Map<String, Value>> {
    // The parser refuses a stream of several documents.
    match serde_yaml_ng::from_str(text) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    }
}

/// All deletions come before anything is merged.
fn delete(base: &mut Map<String, Value>, patch: &mut Map<String, Value>) {
    patch.retain(|key, value| {
        let Value::Object(inner) = value else {
            return true;
        };
        if inner.get("$patch").and_then(Value::as_str) == Some("delete") {
            base.remove(key);
            return false;
        }
        if let Some(Value::Object(below)) = base.get_mut(key) {
            delete(below, inner);
        }
        true
    });
}

fn merge(base: &mut Map<String, Value>, patch: Map<String, Value>, path: &str) {
    for (key, value) in patch {
        let below = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        let free = path.rsplit('.').next() == Some(FREE);
        match (base.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new))
                if !free && !WHOLE.contains(&&*below) =>
            {
                merge(old, new, &below);
            }
            (Some(Value::Array(old)), Value::Array(new))
                if !free && !REPLACED.contains(&&*below) =>
            {
                append(old, new, &below);
            }
            (Some(_), new) if !free && is_zero(&new) => {}
            (_, new) => {
                base.insert(key, new);
            }
        }
    }
}

fn append(old: &mut Vec<Value>, new: Vec<Value>, path: &str) {
    let key = KEYED.iter().find(|(list, _)| *list == path);
    for value in new {
        let same = key.and_then(|(_, key)| {
            let wanted = value.get(key)?;
            old.iter_mut().find(|old| old.get(key) == Some(wanted))
        });
        match (same, value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                merge(old, new, &format!("{path}.*"));
            }
            (_, value) => old.push(value),
        }
    }
}

/// What Go's zero value looks like here; `false` is no zero, since a patch may switch something off.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merge(base: &Value, patch: &Value) -> Value {
        let text = merged(&base.to_string(), &patch.to_string()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_patch_of_a_node_manager_is_merged() {
        let base = json!({
            "machine": { "install": { "disk": "/dev/sda", "wipe": true }, "kubelet": { "image": "x" }, "certSANs": ["a"] },
            "cluster": { "network": { "podSubnets": ["10.244.0.0/16"] } },
        });
        let patch = json!({
            "machine": {
                "install": { "disk": "/dev/xvda", "wipe": false, "image": "" },
                "kubelet": { "extraArgs": { "rotate-server-certificates": "true" } },
                "sysctls": { "net.core.somaxconn": "65535" },
                "certSANs": ["b"],
            },
            "cluster": { "network": { "podSubnets": ["10.0.0.0/8"] } },
        });
        let merged = merge(&base, &patch);
        assert_eq!(
            merged,
            json!({
                "machine": {
                    "install": { "disk": "/dev/xvda", "wipe": false, "image": "" },
                    "kubelet": { "image": "x", "extraArgs": { "rotate-server-certificates": "true" } },
                    "certSANs": ["a", "b"],
                    "sysctls": { "net.core.somaxconn": "65535" },
                },
                "cluster": { "network": { "podSubnets": ["10.0.0.0/8"] } },
            })
        );
        // What is there is not overwritten with nothing.
        let empty = json!({ "machine": { "install": { "disk": "" }, "kubelet": null } });
        assert_eq!(merge(&base, &empty), base);
        assert_eq!(merge(&base, &Value::Null), base);
    }

    #[test]
    fn lists_with_a_key_are_matched_and_free_maps_replaced() {
        let base = json!({
            "machine": { "network": { "interfaces": [{ "interface": "eth0", "mtu": 1500, "vlans": [{ "vlanId": 7, "mtu": 1 }] }] } },
            "cluster": { "apiServer": { "extraArgs": { "v": ["1"] }, "auditPolicy": { "rules": ["a"] } } },
        });
        let patch = json!({
            "machine": { "network": { "interfaces": [
                { "interface": "eth0", "dhcp": true, "vlans": [{ "vlanId": 7, "mtu": 2 }, { "vlanId": 8 }] }, { "interface": "eth1" },
            ] } },
            "cluster": { "apiServer": { "extraArgs": { "v": ["2"] }, "auditPolicy": { "kind": "Policy" } } },
        });
        let merged = merge(&base, &patch);
        let interfaces = &merged["machine"]["network"]["interfaces"];
        assert_eq!(
            interfaces,
            &json!([
                { "interface": "eth0", "mtu": 1500, "vlans": [{ "vlanId": 7, "mtu": 2 }, { "vlanId": 8 }], "dhcp": true },
                { "interface": "eth1" },
            ])
        );
        let server = &merged["cluster"]["apiServer"];
        assert_eq!(
            server,
            &json!({ "extraArgs": { "v": ["2"] }, "auditPolicy": { "kind": "Policy" } })
        );
    }

    #[test]
    fn what_is_deleted_goes_before_the_rest_is_merged() {
        let base = json!({ "machine": { "sysctls": { "a": "1" }, "kubelet": { "image": "x", "extraArgs": {} } } });
        let patch = json!({ "machine": { "sysctls": { "$patch": "delete" }, "kubelet": { "extraArgs": { "$patch": "delete" } } } });
        assert_eq!(
            merge(&base, &patch),
            json!({ "machine": { "kubelet": { "image": "x" } } })
        );
    }

    #[test]
    fn what_is_no_single_document_is_refused_without_quoting_it() {
        for (base, patch, expected) in [
            (
                "a: 1\n---\nb: hunter2\n",
                "{}",
                Error::Document("the machine configuration"),
            ),
            (
                "hunter2",
                "{}",
                Error::Document("the machine configuration"),
            ),
            ("{}", "hunter2", Error::Document("the patch")),
            ("{}", "[{\"op\": \"add\"}]", Error::Operations),
        ] {
            let error = merged(base, patch).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
            assert_eq!(error, expected);
        }
    }
}
