//! Discovery and the little OpenAPI that clients need to find kinds and to trust server-side validation.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::kind::Kind;
use super::scale;

/// Kinds that exist only as answers to a POST.
const REVIEWS: &[(&str, &str, &str)] = &[
    (
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
    ),
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
    ),
];

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Versions by group, the preferred first; the core group is not among them.
fn groups(kinds: &[Kind]) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| !kind.group.is_empty()) {
        let versions = groups.entry(kind.group.clone()).or_default();
        if !versions.contains(&kind.version) {
            versions.push(kind.version.clone());
        }
    }
    for (group, _, _) in REVIEWS {
        groups.insert((*group).into(), vec!["v1".into()]);
    }
    groups
}

fn group_object(group: &str, versions: &[String]) -> Value {
    let version = |version: &String| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    json!({"name": group, "versions": versions.iter().map(version).collect::<Vec<_>>(), "preferredVersion": version(&versions[0])})
}

/// Subresources with the group, version and kind of their bodies.
fn subresources(kind: &Kind) -> Vec<(String, Value, Vec<&'static str>)> {
    let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let mut all = Vec::new();
    if kind.has_status {
        all.push((
            "status".to_owned(),
            own.clone(),
            vec!["get", "patch", "update"],
        ));
    }
    if scale::has_scale(&kind.group, &kind.plural) {
        let body = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
        all.push(("scale".into(), body, vec!["get", "patch", "update"]));
    }
    if kind.is("", "pods") {
        all.push((
            "eviction".into(),
            json!({"group": "policy", "version": "v1", "kind": "Eviction"}),
            vec!["create"],
        ));
        all.push(("log".into(), own, vec!["get"]));
    }
    all
}

/// `/api`, `/apis`, `/apis/GROUP`, `/api/v1`, `/apis/GROUP/VERSION`.
pub(super) fn answer(path: &str, accept: &str, kinds: &[Kind]) -> Option<Value> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let aggregated = accept
        .split(',')
        .next()
        .is_some_and(|first| first.contains("as=APIGroupDiscoveryList") && first.contains("v=v2;"));
    match parts.as_slice() {
        ["api"] if aggregated => Some(aggregate(kinds, true)),
        ["apis"] if aggregated => Some(aggregate(kinds, false)),
        ["api"] => Some(
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ),
        ["apis"] => {
            let groups: Vec<Value> = groups(kinds)
                .iter()
                .map(|(group, versions)| group_object(group, versions))
                .collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", group] => {
            let mut object = group_object(group, groups(kinds).get(*group)?);
            object["kind"] = json!("APIGroup");
            object["apiVersion"] = json!("v1");
            Some(object)
        }
        ["api", version] => resources("", version, kinds),
        ["apis", group, version] => resources(group, version, kinds),
        _ => None,
    }
}

/// True when the answer is in the aggregated form, which has its own content type.
pub(super) fn is_aggregated(answer: &Value) -> bool {
    answer["kind"] == "APIGroupDiscoveryList"
}

fn resources(group: &str, version: &str, kinds: &[Kind]) -> Option<Value> {
    let mut list = Vec::new();
    for kind in kinds
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
    {
        let mut resource = json!({"name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": VERBS, "storageVersionHash": "lab"});
        if !kind.short_names.is_empty() {
            resource["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        list.push(resource);
        for (name, body, verbs) in subresources(kind) {
            let mut resource = json!({"name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": body["kind"], "verbs": verbs});
            if body["group"] != *kind.group {
                resource["group"] = body["group"].clone();
                resource["version"] = body["version"].clone();
            }
            list.push(resource);
        }
    }
    for (_, plural, kind) in REVIEWS
        .iter()
        .filter(|(review, _, _)| *review == group && version == "v1")
    {
        list.push(json!({"name": plural, "singularName": "", "namespaced": false, "kind": kind, "verbs": ["create"]}));
    }
    if list.is_empty() {
        return None;
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Some(
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
    )
}

fn aggregate(kinds: &[Kind], core: bool) -> Value {
    let groups = if core {
        BTreeMap::from([(String::new(), vec!["v1".to_owned()])])
    } else {
        groups(kinds)
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| aggregate_version(group, version, kinds))
                .collect();
            let metadata = if core {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregate_version(group: &str, version: &str, kinds: &[Kind]) -> Value {
    let scope = |namespaced| if namespaced { "Namespaced" } else { "Cluster" };
    let mut list = Vec::new();
    for kind in kinds
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
    {
        let mut resource = json!({"resource": kind.plural, "singularResource": kind.singular, "scope": scope(kind.namespaced), "verbs": VERBS,
            "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind}});
        if !kind.short_names.is_empty() {
            resource["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        let below: Vec<Value> = subresources(kind)
            .into_iter()
            .map(|(name, body, verbs)| json!({"subresource": name, "responseKind": body, "verbs": verbs}))
            .collect();
        if !below.is_empty() {
            resource["subresources"] = Value::Array(below);
        }
        list.push(resource);
    }
    for (_, plural, kind) in REVIEWS.iter().filter(|(review, _, _)| *review == group) {
        list.push(json!({"resource": plural, "singularResource": "", "scope": "Cluster", "verbs": ["create"],
            "responseKind": {"group": group, "version": "v1", "kind": kind}}));
    }
    json!({"version": version, "resources": list, "freshness": "Current"})
}

/// `/openapi/v3` and its documents: enough to say that PATCH takes `fieldValidation` and `dryRun`, so that kubectl leaves validation to us.
pub(super) fn open_api_v3(path: &str, kinds: &[Kind]) -> Option<Value> {
    let path = path
        .trim_matches('/')
        .strip_prefix("openapi/v3")?
        .trim_start_matches('/');
    if path.is_empty() {
        let mut paths = Map::new();
        for kind in kinds {
            let root = root(kind);
            let url = format!("/openapi/v3/{root}?hash={:X}", kinds.len());
            paths.insert(root, json!({"serverRelativeURL": url}));
        }
        return Some(json!({"paths": paths}));
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for kind in kinds.iter().filter(|kind| root(kind) == path) {
        let scope = if kind.namespaced {
            "namespaces/{namespace}/"
        } else {
            ""
        };
        let identity = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
        let parameters = [
            parameter("dryRun"),
            parameter("fieldManager"),
            parameter("fieldValidation"),
            parameter("force"),
        ];
        paths.insert(
            format!("/{path}/{scope}{}/{{name}}", kind.plural),
            json!({"patch": {"parameters": parameters, "x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": identity,
                "responses": {"200": {"description": "OK"}}}}),
        );
        let mut schema = kind.schema.as_ref().map_or_else(
            || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            |schema| (**schema).clone(),
        );
        if !schema.is_object() {
            schema = json!({"type": "object"});
        }
        schema["x-kubernetes-group-version-kind"] = json!([identity]);
        schemas.insert(
            format!("lab.{}.{}.{}", kind.group, kind.version, kind.kind),
            schema,
        );
    }
    if paths.is_empty() {
        return None;
    }
    Some(
        json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "lab"}, "paths": paths, "components": {"schemas": schemas}}),
    )
}

fn root(kind: &Kind) -> String {
    if kind.group.is_empty() {
        format!("api/{}", kind.version)
    } else {
        format!("apis/{}", kind.api_version())
    }
}
