//! `as=Table`: the columns kubectl prints, made by the server.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::kind::Kind;

/// A column: name, priority (1 is shown with `-o wide` only), cell.
type Column = (&'static str, u8, fn(&Value, Timestamp) -> Value);

const NAME: Column = ("Name", 0, |object, _| object["metadata"]["name"].clone());
const AGE: Column = ("Age", 0, |object, now| {
    json!(age::since(
        object["metadata"]["creationTimestamp"].as_str(),
        now
    ))
});

/// A list or one object as a Table; `include` is the `includeObject` parameter.
pub(super) fn of(
    kind: &Kind,
    objects: &[&Value],
    list_metadata: &Value,
    include: &str,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| row(kind, object, include, now))
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata, "columnDefinitions": definitions(kind), "rows": rows})
}

fn definitions(kind: &Kind) -> Vec<Value> {
    let definition = |name: &str, kind: &str, priority: u8| {
        let format = if name == "Name" { "name" } else { "" };
        json!({"name": name, "type": kind, "format": format, "description": "", "priority": priority})
    };
    if !kind.columns.is_empty() {
        let mut all = vec![definition("Name", "string", 0)];
        all.extend(kind.columns.iter().map(|column| {
            let priority = u8::try_from(column["priority"].as_u64().unwrap_or(0)).unwrap_or(1);
            definition(
                column["name"].as_str().unwrap_or_default(),
                column["type"].as_str().unwrap_or("string"),
                priority,
            )
        }));
        return all;
    }
    columns(kind)
        .iter()
        .map(|(name, priority, _)| definition(name, "string", *priority))
        .collect()
}

fn row(kind: &Kind, object: &Value, include: &str, now: Timestamp) -> Value {
    let cells: Vec<Value> = if kind.columns.is_empty() {
        columns(kind)
            .iter()
            .map(|(_, _, cell)| cell(object, now))
            .collect()
    } else {
        std::iter::once(object["metadata"]["name"].clone())
            .chain(
                kind.columns
                    .iter()
                    .map(|column| custom(column, object, now)),
            )
            .collect()
    };
    let mut row = json!({"cells": cells});
    match include {
        "None" => {}
        "Object" => row["object"] = object.clone(),
        _ => {
            row["object"] = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
        }
    }
    row
}

/// A printer column of a CRD: plain paths and one `[?(@.type=="X")]` filter, which is what CRDs use.
fn custom(column: &Value, object: &Value, now: Timestamp) -> Value {
    let path = column["jsonPath"].as_str().unwrap_or_default();
    let mut value = object;
    for part in path
        .trim_start_matches('.')
        .split('.')
        .filter(|part| !part.is_empty())
    {
        value = match part.split_once("[?(@") {
            // The split at dots cuts `[?(@.type=="Ready")]` in two; the field comes with the next part.
            Some((field, _)) => &value[field],
            None => match part.split_once("==") {
                Some((field, wanted)) if wanted.ends_with(")]") => {
                    let wanted = wanted.trim_end_matches(")]").trim_matches(['"', '\'']);
                    value
                        .as_array()
                        .and_then(|all| all.iter().find(|item| item[field] == wanted))
                        .unwrap_or(&Value::Null)
                }
                _ => &value[part],
            },
        };
    }
    if column["type"] == "date" {
        json!(age::since(value.as_str(), now))
    } else {
        value.clone()
    }
}

fn columns(kind: &Kind) -> Vec<Column> {
    let middle: &[Column] = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "nodes") => return NODE.to_vec(),
        ("", "pods") => return POD.to_vec(),
        ("", "events") => return EVENT.to_vec(),
        ("", "namespaces") => &[("Status", 0, |object, _| object["status"]["phase"].clone())],
        ("", "secrets") => &[
            ("Type", 0, |object, _| object["type"].clone()),
            ("Data", 0, |object, _| count(&object["data"])),
        ],
        ("", "configmaps") => &[("Data", 0, |object, _| count(&object["data"]))],
        ("", "services") => SERVICE,
        ("apps", "deployments") => DEPLOYMENT,
        ("apps", "daemonsets") => DAEMON_SET,
        ("apps", "statefulsets") => &[("Ready", 0, |object, _| ready_of_wanted(object))],
        ("apps", "replicasets") => REPLICA_SET,
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            return vec![
                NAME,
                ("Created At", 0, |object, _| {
                    object["metadata"]["creationTimestamp"].clone()
                }),
            ];
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            &[("Role", 0, |object, _| {
                let text = |name: &str| {
                    object["roleRef"][name]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                };
                json!(format!("{}/{}", text("kind"), text("name")))
            })]
        }
        ("coordination.k8s.io", "leases") => &[("Holder", 0, |object, _| {
            object["spec"]["holderIdentity"].clone()
        })],
        ("batch", "jobs") => &[("Status", 0, |object, _| {
            json!(if holds(object, "Complete") {
                "Complete"
            } else {
                "Running"
            })
        })],
        _ => &[],
    };
    std::iter::once(NAME)
        .chain(middle.iter().copied())
        .chain([AGE])
        .collect()
}

fn count(value: &Value) -> Value {
    json!(value.as_object().map_or(0, serde_json::Map::len))
}

fn number(value: &Value) -> Value {
    json!(value.as_u64().unwrap_or(0))
}

fn text_or<'a>(value: &'a Value, otherwise: &'a str) -> Value {
    json!(
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .unwrap_or(otherwise)
    )
}

fn holds(object: &Value, condition: &str) -> bool {
    let all = object["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter()
        .any(|each| each["type"] == condition && each["status"] == "True")
}

fn ready_of_wanted(object: &Value) -> Value {
    json!(format!(
        "{}/{}",
        number(&object["status"]["readyReplicas"]),
        object["spec"]["replicas"].as_u64().unwrap_or(1)
    ))
}

fn labels_text(labels: &Value) -> Value {
    let all: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    json!(if all.is_empty() {
        "<none>".to_owned()
    } else {
        all.join(",")
    })
}

fn containers(object: &Value, field: &str) -> Value {
    let all = object["spec"]["template"]["spec"]["containers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    json!(
        all.iter()
            .filter_map(|container| container[field].as_str())
            .collect::<Vec<_>>()
            .join(",")
    )
}

/// Roles of a node from its labels, sorted.
pub(super) fn roles(node: &Value) -> Vec<String> {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter_map(
            |(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
                Some(role) if !role.is_empty() => Some(role.to_owned()),
                _ if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
                _ => None,
            },
        )
        .collect();
    roles.sort();
    roles
}

fn node_status(object: &Value, _: Timestamp) -> Value {
    let conditions = object["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .map(|condition| condition["status"].clone());
    let mut status = match ready.as_ref().and_then(Value::as_str) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".into(),
        None => "Unknown".into(),
    };
    if object["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    json!(status)
}

fn node_address(object: &Value, kind: &str) -> Value {
    let all = object["status"]["addresses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter()
        .find(|address| address["type"] == kind)
        .map_or_else(|| json!("<none>"), |address| address["address"].clone())
}

const NODE: &[Column] = &[
    NAME,
    ("Status", 0, node_status),
    ("Roles", 0, |object, _| {
        let roles = roles(object);
        json!(if roles.is_empty() {
            "<none>".to_owned()
        } else {
            roles.join(",")
        })
    }),
    AGE,
    ("Version", 0, |object, _| {
        object["status"]["nodeInfo"]["kubeletVersion"].clone()
    }),
    ("Internal-IP", 1, |object, _| {
        node_address(object, "InternalIP")
    }),
    ("External-IP", 1, |object, _| {
        node_address(object, "ExternalIP")
    }),
    ("OS-Image", 1, |object, _| {
        object["status"]["nodeInfo"]["osImage"].clone()
    }),
    ("Kernel-Version", 1, |object, _| {
        object["status"]["nodeInfo"]["kernelVersion"].clone()
    }),
    ("Container-Runtime", 1, |object, _| {
        object["status"]["nodeInfo"]["containerRuntimeVersion"].clone()
    }),
];

fn pod_status(object: &Value, _: Timestamp) -> Value {
    if object["metadata"].get("deletionTimestamp").is_some() {
        return json!("Terminating");
    }
    match object["status"]["phase"].as_str() {
        Some("Succeeded") => json!("Completed"),
        Some("Failed") => json!("Error"),
        Some(phase) => json!(phase),
        None => json!("Unknown"),
    }
}

const POD: &[Column] = &[
    NAME,
    ("Ready", 0, |object, _| {
        let all = object["spec"]["containers"].as_array().map_or(0, Vec::len);
        let statuses = object["status"]["containerStatuses"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        json!(format!(
            "{}/{all}",
            statuses
                .iter()
                .filter(|status| status["ready"] == true)
                .count()
        ))
    }),
    ("Status", 0, pod_status),
    ("Restarts", 0, |_, _| json!(0)),
    AGE,
    ("IP", 1, |object, _| {
        text_or(&object["status"]["podIP"], "<none>")
    }),
    ("Node", 1, |object, _| {
        text_or(&object["spec"]["nodeName"], "<none>")
    }),
    ("Nominated Node", 1, |_, _| json!("<none>")),
    ("Readiness Gates", 1, |_, _| json!("<none>")),
];

const EVENT: &[Column] = &[
    ("Last Seen", 0, |object, now| {
        json!(age::since(object["lastTimestamp"].as_str(), now))
    }),
    ("Type", 0, |object, _| object["type"].clone()),
    ("Reason", 0, |object, _| object["reason"].clone()),
    ("Object", 0, |object, _| {
        let about = &object["involvedObject"];
        json!(format!(
            "{}/{}",
            about["kind"].as_str().unwrap_or_default().to_lowercase(),
            about["name"].as_str().unwrap_or_default()
        ))
    }),
    ("Message", 0, |object, _| object["message"].clone()),
];

const SERVICE: &[Column] = &[
    ("Type", 0, |object, _| {
        text_or(&object["spec"]["type"], "ClusterIP")
    }),
    ("Cluster-IP", 0, |object, _| {
        text_or(&object["spec"]["clusterIP"], "<none>")
    }),
    ("External-IP", 0, |object, _| {
        json!(if object["spec"]["type"] == "LoadBalancer" {
            "<pending>"
        } else {
            "<none>"
        })
    }),
    ("Port(s)", 0, |object, _| {
        let ports = object["spec"]["ports"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let port = |port: &Value| {
            format!(
                "{}/{}",
                port["port"],
                port["protocol"].as_str().unwrap_or("TCP")
            )
        };
        json!(ports.iter().map(port).collect::<Vec<_>>().join(","))
    }),
];

const DEPLOYMENT: &[Column] = &[
    ("Ready", 0, |object, _| ready_of_wanted(object)),
    ("Up-to-date", 0, |object, _| {
        number(&object["status"]["updatedReplicas"])
    }),
    ("Available", 0, |object, _| {
        number(&object["status"]["availableReplicas"])
    }),
    ("Containers", 1, |object, _| containers(object, "name")),
    ("Images", 1, |object, _| containers(object, "image")),
];

const REPLICA_SET: &[Column] = &[
    ("Desired", 0, |object, _| {
        number(&object["spec"]["replicas"])
    }),
    ("Current", 0, |object, _| {
        number(&object["status"]["replicas"])
    }),
    ("Ready", 0, |object, _| {
        number(&object["status"]["readyReplicas"])
    }),
];

const DAEMON_SET: &[Column] = &[
    ("Desired", 0, |object, _| {
        number(&object["status"]["desiredNumberScheduled"])
    }),
    ("Current", 0, |object, _| {
        number(&object["status"]["currentNumberScheduled"])
    }),
    ("Ready", 0, |object, _| {
        number(&object["status"]["numberReady"])
    }),
    ("Up-to-date", 0, |object, _| {
        number(&object["status"]["updatedNumberScheduled"])
    }),
    ("Available", 0, |object, _| {
        number(&object["status"]["numberAvailable"])
    }),
    ("Node Selector", 0, |object, _| {
        labels_text(&object["spec"]["template"]["spec"]["nodeSelector"])
    }),
    ("Containers", 1, |object, _| containers(object, "name")),
    ("Images", 1, |object, _| containers(object, "image")),
];
