//! The values the server fills in where an object is silent.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::kind::Kind;
use super::{schema, seed};

fn default(object: &mut Value, field: &str, value: Value) {
    if let Some(map) = object.as_object_mut() {
        map.entry(field).or_insert(value);
    }
}

/// Fills what the server fills. `number` is a running number for service addresses.
pub(super) fn set_defaults(kind: &Kind, object: &mut Value, service_subnet: &str, number: u32) {
    if let Some(schema) = &kind.schema {
        schema::set_defaults(schema, object);
        return;
    }
    let name = object["metadata"]["name"].clone();
    match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "namespaces") => {
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            default(object, "spec", json!({"finalizers": ["kubernetes"]}));
            default(object, "status", json!({"phase": "Active"}));
        }
        ("", "secrets") => {
            if let Some(Value::Object(plain)) = object
                .as_object_mut()
                .and_then(|map| map.shift_remove("stringData"))
            {
                for (key, value) in plain {
                    let encoded = BASE64.encode(value.as_str().unwrap_or_default().as_bytes());
                    object["data"][key] = json!(encoded);
                }
            }
            default(object, "type", json!("Opaque"));
        }
        ("", "services") => {
            default(object, "spec", json!({}));
            let spec = &mut object["spec"];
            default(spec, "type", json!("ClusterIP"));
            default(spec, "sessionAffinity", json!("None"));
            if spec["type"] != "ExternalName" {
                default(
                    spec,
                    "clusterIP",
                    json!(seed::service_address(service_subnet, 20 + number)),
                );
                let address = spec["clusterIP"].clone();
                default(spec, "clusterIPs", json!([address]));
            }
            for port in items(spec, "ports") {
                default(port, "protocol", json!("TCP"));
                let number = port["port"].clone();
                default(port, "targetPort", number);
            }
        }
        ("", "pods") => {
            if let Some(spec) = object.get_mut("spec") {
                pod_defaults(spec);
            }
        }
        ("apps", plural) => {
            let Some(spec) = object.get_mut("spec") else {
                return;
            };
            match plural {
                "deployments" => {
                    default(spec, "replicas", json!(1));
                    default(spec, "revisionHistoryLimit", json!(10));
                    default(spec, "progressDeadlineSeconds", json!(600));
                    default(
                        spec,
                        "strategy",
                        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
                    );
                }
                "daemonsets" => {
                    default(spec, "revisionHistoryLimit", json!(10));
                    default(
                        spec,
                        "updateStrategy",
                        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
                    );
                }
                "statefulsets" => {
                    default(spec, "replicas", json!(1));
                    default(spec, "podManagementPolicy", json!("OrderedReady"));
                    default(
                        spec,
                        "updateStrategy",
                        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
                    );
                }
                "replicasets" => default(spec, "replicas", json!(1)),
                _ => return,
            }
            if let Some(pod) = spec.pointer_mut("/template/spec") {
                pod_defaults(pod);
            }
        }
        _ => {}
    }
}

fn pod_defaults(spec: &mut Value) {
    for (field, value) in [
        ("restartPolicy", json!("Always")),
        ("dnsPolicy", json!("ClusterFirst")),
        ("schedulerName", json!("default-scheduler")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("securityContext", json!({})),
    ] {
        default(spec, field, value);
    }
    for list in ["containers", "initContainers"] {
        for container in items(spec, list) {
            let latest = container["image"]
                .as_str()
                .is_none_or(|image| image.ends_with(":latest") || !image.contains(':'));
            default(
                container,
                "imagePullPolicy",
                json!(if latest { "Always" } else { "IfNotPresent" }),
            );
            default(
                container,
                "terminationMessagePath",
                json!("/dev/termination-log"),
            );
            default(container, "terminationMessagePolicy", json!("File"));
            for port in items(container, "ports") {
                default(port, "protocol", json!("TCP"));
            }
        }
    }
}

/// The items of a list field, if there is one.
fn items<'v>(object: &'v mut Value, field: &str) -> impl Iterator<Item = &'v mut Value> {
    object
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}
