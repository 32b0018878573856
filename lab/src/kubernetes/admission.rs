//! What an object must satisfy before it is stored, and what the server adds to it.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::schema;
use super::status::{ApiError, Cause};

/// How unknown fields are treated, from the parameter `fieldValidation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Strict,
    Warn,
    Ignore,
}

impl FieldValidation {
    pub(super) fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "Strict" => Ok(Self::Strict),
            "" | "Warn" => Ok(Self::Warn),
            "Ignore" => Ok(Self::Ignore),
            other => Err(ApiError::new(
                422,
                "Invalid",
                format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                ),
            )),
        }
    }
}

/// Checks that the body is an object of this kind and has the identity of the URL.
pub(super) fn identify(
    kind: &Kind,
    object: &mut Value,
    namespace: &str,
    name: &str,
) -> Result<(), ApiError> {
    let map = object
        .as_object_mut()
        .ok_or_else(|| ApiError::bad_request("the body is not an object"))?;
    for (field, expected, label) in [
        ("apiVersion", kind.api_version(), "API version"),
        ("kind", kind.kind.clone(), "kind"),
    ] {
        match map.get(field).and_then(Value::as_str) {
            None | Some("") => {
                map.insert(field.into(), json!(expected));
            }
            Some(given) if given == expected => {}
            // Another served version of a custom resource is the same object.
            Some(given)
                if field == "apiVersion"
                    && kind.is_custom()
                    && given.starts_with(&format!("{}/", kind.group)) => {}
            Some(given) => {
                return Err(ApiError::bad_request(format!(
                    "the {label} in the data ({given}) does not match the expected {label} ({expected})"
                )));
            }
        }
    }
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if metadata.is_null() {
        *metadata = json!({});
    }
    let metadata = metadata
        .as_object_mut()
        .ok_or_else(|| ApiError::bad_request("metadata is not an object"))?;
    metadata.retain(|_, value| !value.is_null());
    for (field, expected, label) in [
        ("namespace", namespace, "namespace"),
        ("name", name, "name"),
    ] {
        let given = metadata
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if given.is_empty() && !expected.is_empty() {
            metadata.insert(field.into(), json!(expected));
        } else if !given.is_empty()
            && given != expected
            && !(field == "name" && expected.is_empty())
        {
            if field == "namespace" && !kind.namespaced {
                metadata.shift_remove("namespace");
                continue;
            }
            return Err(ApiError::bad_request(if field == "name" {
                format!(
                    "the name of the object ({given}) does not match the name on the URL ({expected})"
                )
            } else {
                format!(
                    "the {label} of the provided object does not match the {label} sent on the request"
                )
            }));
        }
    }
    Ok(())
}

/// Removes fields the kind does not have; returns them as warnings, or fails when validation is strict.
pub(super) fn unknown_fields(
    kind: &Kind,
    object: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, ApiError> {
    let mut unknown = Vec::new();
    if let Some(schema) = &kind.schema {
        schema::prune(schema, object, &mut unknown);
    } else if let (Some(known), Some(map)) = (known_fields(kind), object.as_object_mut()) {
        map.retain(|name, _| {
            let keep = known.contains(&name.as_str())
                || matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
            if !keep {
                unknown.push(name.clone());
            }
            keep
        });
    }
    let warnings: Vec<String> = unknown
        .iter()
        .map(|field| format!("unknown field \"{field}\""))
        .collect();
    match validation {
        FieldValidation::Strict if !warnings.is_empty() => {
            let prefix = if kind.is_custom() {
                String::new()
            } else {
                format!(
                    "{0} in version \"{1}\" cannot be handled as a {0}: ",
                    kind.kind, kind.version
                )
            };
            Err(ApiError::bad_request(format!(
                "{prefix}strict decoding error: {}",
                warnings.join(", ")
            )))
        }
        FieldValidation::Warn => Ok(warnings),
        _ => Ok(Vec::new()),
    }
}

/// Top-level fields of built-in kinds; `None` where the lab does not check.
fn known_fields(kind: &Kind) -> Option<&'static [&'static str]> {
    Some(match kind.plural.as_str() {
        "configmaps" => &["data", "binaryData", "immutable"],
        "secrets" => &["data", "stringData", "type", "immutable"],
        "serviceaccounts" => &[
            "secrets",
            "imagePullSecrets",
            "automountServiceAccountToken",
        ],
        "roles" => &["rules"],
        "clusterroles" => &["rules", "aggregationRule"],
        "rolebindings" | "clusterrolebindings" => &["subjects", "roleRef"],
        "endpoints" => &["subsets"],
        "endpointslices" => &["addressType", "endpoints", "ports"],
        "mutatingwebhookconfigurations" | "validatingwebhookconfigurations" => &["webhooks"],
        "priorityclasses" => &["value", "globalDefault", "description", "preemptionPolicy"],
        "storageclasses" => &[
            "provisioner",
            "parameters",
            "reclaimPolicy",
            "mountOptions",
            "allowVolumeExpansion",
            "volumeBindingMode",
            "allowedTopologies",
        ],
        "controllerrevisions" => &["data", "revision"],
        "events" => return None,
        _ => &["spec", "status"],
    })
}

fn invalid(field: &str, value: &Value, text: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid",
        field: field.into(),
        message: format!("Invalid value: {value}: {text}"),
    }
}

fn required(field: &str, text: &str) -> Cause {
    let message = if text.is_empty() {
        "Required value".to_owned()
    } else {
        format!("Required value: {text}")
    };
    Cause {
        reason: "FieldValueRequired",
        field: field.into(),
        message,
    }
}

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn name_causes(kind: &Kind, name: &Value) -> Vec<Cause> {
    let text = name.as_str().unwrap_or_default();
    if text.is_empty() {
        return vec![required(
            "metadata.name",
            "name or generateName is required",
        )];
    }
    if kind.group == "rbac.authorization.k8s.io" {
        let bad = text.contains(['/', '%']) || text == "." || text == "..";
        return if bad {
            vec![invalid("metadata.name", name, "may not contain '/' or '%'")]
        } else {
            Vec::new()
        };
    }
    if matches!(kind.plural.as_str(), "namespaces" | "services") {
        return if is_label(text) {
            Vec::new()
        } else {
            vec![invalid("metadata.name", name, LABEL)]
        };
    }
    let fine = text.len() <= 253 && text.split('.').all(is_label);
    if fine {
        Vec::new()
    } else {
        vec![invalid("metadata.name", name, SUBDOMAIN)]
    }
}

/// Checks a new or changed object; `live` is what it replaces.
pub(super) fn validate(kind: &Kind, live: Option<&Value>, object: &Value) -> Result<(), ApiError> {
    let name = &object["metadata"]["name"];
    let mut causes = name_causes(kind, name);
    if let Some(schema) = &kind.schema {
        schema::check(schema, object, "", &mut causes);
    }
    if kind.group == "apps"
        && matches!(
            kind.plural.as_str(),
            "deployments" | "daemonsets" | "statefulsets" | "replicasets"
        )
    {
        workload(object, &mut causes);
    }
    if kind.is("", "pods")
        && object["spec"]["containers"]
            .as_array()
            .is_none_or(Vec::is_empty)
    {
        causes.push(required("spec.containers", ""));
    }
    if kind.is("apiextensions.k8s.io", "customresourcedefinitions") {
        let expected = format!(
            "{}.{}",
            object["spec"]["names"]["plural"]
                .as_str()
                .unwrap_or_default(),
            object["spec"]["group"].as_str().unwrap_or_default()
        );
        if *name != *expected {
            causes.push(invalid(
                "metadata.name",
                name,
                "must be spec.names.plural+\".\"+spec.group",
            ));
        }
    }
    if let Some(live) = live {
        immutable(kind, live, object, &mut causes);
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(
            kind,
            name.as_str().unwrap_or_default(),
            &causes,
        ))
    }
}

/// Types that the decoder of the real server refuses before validation.
pub(super) fn decodable(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let refused = |text: String| {
        ApiError::bad_request(format!(
            "{0} in version \"{1}\" cannot be handled as a {0}: {text}",
            kind.kind, kind.version
        ))
    };
    let structs = [
        "/spec",
        "/status",
        "/data",
        "/stringData",
        "/spec/selector",
        "/spec/selector/matchLabels",
        "/spec/template",
        "/spec/template/spec",
        "/spec/template/metadata",
        "/spec/template/metadata/labels",
        "/spec/template/metadata/annotations",
    ];
    for path in structs.into_iter().filter(|_| !kind.is_custom()) {
        if object
            .pointer(path)
            .is_some_and(|value| !value.is_object() && !value.is_null())
        {
            let field = path.trim_start_matches('/').replace('/', ".");
            return Err(refused(format!(
                "json: cannot unmarshal into Go struct field {}.{field}",
                kind.kind
            )));
        }
    }
    for path in ["/spec/containers", "/spec/template/spec/containers"] {
        let items = object.pointer(path).filter(|_| !kind.is_custom());
        let items = items.and_then(Value::as_array).into_iter().flatten();
        if items.clone().any(|item| !item.is_object()) {
            let field = path.trim_start_matches('/').replace('/', ".");
            return Err(refused(format!(
                "json: cannot unmarshal into Go struct field {}.{field} of type v1.Container",
                kind.kind
            )));
        }
    }
    if kind.is("", "configmaps") || kind.is("", "secrets") {
        for (name, value) in object["data"].as_object().into_iter().flatten() {
            let Some(text) = value.as_str() else {
                let found = if value.is_number() {
                    "number"
                } else if value.is_boolean() {
                    "bool"
                } else {
                    "object"
                };
                return Err(refused(format!(
                    "json: cannot unmarshal {found} into Go struct field {}.data of type string",
                    kind.kind
                )));
            };
            // The text of the error names the key only: the value is a secret.
            if kind.plural == "secrets" && BASE64.decode(text.replace('\n', "").as_bytes()).is_err()
            {
                return Err(refused(format!("illegal base64 data in key {name:?}")));
            }
        }
    }
    for field in ["labels", "annotations"] {
        let map = &object["metadata"][field];
        let strings = map
            .as_object()
            .is_some_and(|map| map.values().all(Value::is_string));
        if !map.is_null() && !strings {
            return Err(refused(format!(
                "json: cannot unmarshal into Go struct field ObjectMeta.metadata.{field} of type string"
            )));
        }
    }
    Ok(())
}

fn workload(object: &Value, causes: &mut Vec<Cause>) {
    let (spec, template) = (&object["spec"], &object["spec"]["template"]);
    if spec["selector"].as_object().is_none_or(Map::is_empty) {
        causes.push(required("spec.selector", ""));
    } else if !super::selector::covers(&spec["selector"], &template["metadata"]["labels"]) {
        causes.push(invalid(
            "spec.template.metadata.labels",
            &template["metadata"]["labels"],
            "`selector` does not match template `labels`",
        ));
    }
    if template["spec"]["containers"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        causes.push(required("spec.template.spec.containers", ""));
    }
}

fn immutable(kind: &Kind, live: &Value, object: &Value, causes: &mut Vec<Cause>) {
    let fields: &[&str] = match (kind.group.as_str(), kind.plural.as_str()) {
        ("apps", "deployments" | "daemonsets" | "replicasets") => &["/spec/selector"],
        ("apps", "statefulsets") => &["/spec/selector", "/spec/serviceName"],
        ("batch", "jobs") => &["/spec/template", "/spec/selector"],
        ("", "secrets") => &["/type"],
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => &["/roleRef"],
        ("", "services") => &["/spec/clusterIP"],
        ("", "persistentvolumeclaims") => &[
            "/spec/accessModes",
            "/spec/storageClassName",
            "/spec/volumeName",
        ],
        ("storage.k8s.io", "storageclasses") => &[
            "/provisioner",
            "/parameters",
            "/reclaimPolicy",
            "/volumeBindingMode",
        ],
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            &["/spec/scope", "/spec/names/plural"]
        }
        ("", "pods") => &["/spec/nodeName", "/spec/hostPID", "/spec/restartPolicy"],
        _ => &[],
    };
    for path in fields {
        let (before, after) = (live.pointer(path), object.pointer(path));
        let may_set = kind.is("", "persistentvolumeclaims") || kind.is("", "pods");
        if before != after && !(may_set && before.is_none_or(Value::is_null)) {
            let field = path.trim_start_matches('/').replace('/', ".");
            let text = if *path == "/roleRef" {
                "cannot change roleRef"
            } else {
                "field is immutable"
            };
            causes.push(invalid(&field, after.unwrap_or(&Value::Null), text));
        }
    }
    let sealed = live["immutable"] == true && (kind.is("", "secrets") || kind.is("", "configmaps"));
    if sealed && (live["data"] != object["data"] || object["immutable"] != true) {
        causes.push(Cause {
            reason: "FieldValueForbidden",
            field: "data".into(),
            message: "Forbidden: field is immutable when `immutable` is set".into(),
        });
    }
}
