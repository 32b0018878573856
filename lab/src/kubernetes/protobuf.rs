//! Bodies in `application/vnd.kubernetes.protobuf`, which kubectl sends for `create`, `drain` and `auth`.
//!
//! Field numbers are those of the published `generated.proto` files, for the kinds those commands write. A field or kind that is not
//! in the table is refused, never dropped. Answers are always JSON, which every client accepts beside protobuf.

use data_encoding::BASE64;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy)]
enum Type {
    Text,
    Bytes,
    Number,
    Bool,
    Message(&'static str),
    TextMap,
    BytesMap,
    Time,
    /// A struct that is always written, also when it says nothing; dropped.
    Dropped,
}

/// Number, JSON name, type, repeated.
type Field = (u64, &'static str, Type, bool);

const ONE: bool = false;
const MANY: bool = true;

fn fields(message: &str) -> Option<&'static [Field]> {
    use Type::{Bool, Bytes, BytesMap, Dropped, Message, Number, Text, TextMap, Time};
    Some(match message {
        "ObjectMeta" => &[
            (1, "name", Text, ONE),
            (2, "generateName", Text, ONE),
            (3, "namespace", Text, ONE),
            (4, "selfLink", Text, ONE),
            (5, "uid", Text, ONE),
            (6, "resourceVersion", Text, ONE),
            (7, "generation", Number, ONE),
            (8, "creationTimestamp", Time, ONE),
            (9, "deletionTimestamp", Time, ONE),
            (10, "deletionGracePeriodSeconds", Number, ONE),
            (11, "labels", TextMap, ONE),
            (12, "annotations", TextMap, ONE),
            (14, "finalizers", Text, MANY),
        ],
        "Namespace" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "spec", Message("NamespaceSpec"), ONE),
            (3, "status", Dropped, ONE),
        ],
        "NamespaceSpec" => &[(1, "finalizers", Text, MANY)],
        "Secret" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "data", BytesMap, ONE),
            (3, "type", Text, ONE),
            (4, "stringData", TextMap, ONE),
            (5, "immutable", Bool, ONE),
        ],
        "ConfigMap" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "data", TextMap, ONE),
            (3, "binaryData", BytesMap, ONE),
            (4, "immutable", Bool, ONE),
        ],
        "ServiceAccount" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (4, "automountServiceAccountToken", Bool, ONE),
        ],
        "Eviction" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "deleteOptions", Message("DeleteOptions"), ONE),
        ],
        "DeleteOptions" => &[
            (1, "gracePeriodSeconds", Number, ONE),
            (2, "preconditions", Message("Preconditions"), ONE),
            (3, "orphanDependents", Bool, ONE),
            (4, "propagationPolicy", Text, ONE),
            (5, "dryRun", Text, MANY),
        ],
        "Preconditions" => &[(1, "uid", Text, ONE), (2, "resourceVersion", Text, ONE)],
        "ClusterRole" | "Role" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "rules", Message("PolicyRule"), MANY),
        ],
        "PolicyRule" => &[
            (1, "verbs", Text, MANY),
            (2, "apiGroups", Text, MANY),
            (3, "resources", Text, MANY),
            (4, "resourceNames", Text, MANY),
            (5, "nonResourceURLs", Text, MANY),
        ],
        "ClusterRoleBinding" | "RoleBinding" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "subjects", Message("Subject"), MANY),
            (3, "roleRef", Message("RoleRef"), ONE),
        ],
        "Subject" => &[
            (1, "kind", Text, ONE),
            (2, "apiGroup", Text, ONE),
            (3, "name", Text, ONE),
            (4, "namespace", Text, ONE),
        ],
        "RoleRef" => &[
            (1, "apiGroup", Text, ONE),
            (2, "kind", Text, ONE),
            (3, "name", Text, ONE),
        ],
        "SelfSubjectReview" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "status", Dropped, ONE),
        ],
        "SelfSubjectAccessReview" => &[
            (1, "metadata", Message("ObjectMeta"), ONE),
            (2, "spec", Message("AccessSpec"), ONE),
            (3, "status", Dropped, ONE),
        ],
        "AccessSpec" => &[
            (1, "resourceAttributes", Message("ResourceAttributes"), ONE),
            (2, "nonResourceAttributes", Message("PathAttributes"), ONE),
        ],
        "ResourceAttributes" => &[
            (1, "namespace", Text, ONE),
            (2, "verb", Text, ONE),
            (3, "group", Text, ONE),
            (4, "version", Text, ONE),
            (5, "resource", Text, ONE),
            (6, "subresource", Text, ONE),
            (7, "name", Text, ONE),
        ],
        "PathAttributes" => &[(1, "path", Text, ONE), (2, "verb", Text, ONE)],
        "TextEntry" => &[(1, "key", Text, ONE), (2, "value", Text, ONE)],
        "BytesEntry" => &[(1, "key", Text, ONE), (2, "value", Bytes, ONE)],
        "Seconds" => &[(1, "seconds", Number, ONE), (2, "nanos", Number, ONE)],
        "Unknown" => &[
            (1, "typeMeta", Message("TypeMeta"), ONE),
            (2, "raw", Bytes, ONE),
            (3, "contentEncoding", Text, ONE),
            (4, "contentType", Text, ONE),
        ],
        "TypeMeta" => &[(1, "apiVersion", Text, ONE), (2, "kind", Text, ONE)],
        _ => return None,
    })
}

/// The object in a body; the error says what the lab does not know.
pub(super) fn decode(body: &[u8]) -> Result<Value, String> {
    let envelope = body
        .strip_prefix(b"k8s\0")
        .ok_or("the body does not start with the mark of Kubernetes' protobuf")?;
    let envelope = message("Unknown", envelope)?;
    let kind = envelope["typeMeta"]["kind"].as_str().unwrap_or_default();
    let raw = BASE64
        .decode(envelope["raw"].as_str().unwrap_or_default().as_bytes())
        .map_err(|error| error.to_string())?;
    let mut object = json!({"apiVersion": envelope["typeMeta"]["apiVersion"], "kind": kind});
    if let Value::Object(fields) = message(kind, &raw)? {
        object
            .as_object_mut()
            .expect("made as an object")
            .extend(fields);
    }
    Ok(object)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn message(name: &str, mut bytes: &[u8]) -> Result<Value, String> {
    let known = fields(name).ok_or_else(|| format!("{name} as protobuf; send JSON"))?;
    let broken = || format!("a broken protobuf message {name}");
    let mut object = Map::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes).ok_or_else(broken)?;
        let (number, wire) = (tag >> 3, tag & 7);
        let (scalar, content) = match wire {
            0 => (varint(&mut bytes).ok_or_else(broken)?, &[][..]),
            2 => {
                let length = varint(&mut bytes)
                    .and_then(|length| usize::try_from(length).ok())
                    .ok_or_else(broken)?;
                let (content, rest) = bytes.split_at_checked(length).ok_or_else(broken)?;
                bytes = rest;
                (0, content)
            }
            _ => return Err(broken()),
        };
        let (_, field, kind, repeated) = known
            .iter()
            .find(|(known, ..)| *known == number)
            .ok_or_else(|| format!("field {number} of {name} as protobuf; send JSON"))?;
        let value = match kind {
            Type::Text => json!(String::from_utf8_lossy(content)),
            Type::Bytes => json!(BASE64.encode(content)),
            Type::Number => json!(scalar.cast_signed()),
            Type::Bool => json!(scalar != 0),
            Type::Message(name) => message(name, content)?,
            Type::Time => {
                let seconds = message("Seconds", content)?["seconds"].as_i64();
                match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
                    Some(time) => json!(time.to_string()),
                    None => continue,
                }
            }
            Type::Dropped => continue,
            Type::TextMap | Type::BytesMap => {
                let entry = message(
                    if matches!(kind, Type::TextMap) {
                        "TextEntry"
                    } else {
                        "BytesEntry"
                    },
                    content,
                )?;
                let key = entry["key"].as_str().unwrap_or_default().to_owned();
                object.entry(*field).or_insert_with(|| json!({}))[key] =
                    entry.get("value").cloned().unwrap_or_else(|| json!(""));
                continue;
            }
        };
        if *repeated {
            object
                .entry(*field)
                .or_insert_with(|| json!([]))
                .as_array_mut()
                .expect("repeated fields are lists")
                .push(value);
        } else if value != "" || name.ends_with("Entry") {
            // Go writes empty strings of required fields; absent means the same.
            object.insert((*field).into(), value);
        }
    }
    Ok(Value::Object(object))
}
