//! Authorisation: roles and bindings as stored, evaluated like the real RBAC authorizer.

use serde_json::Value;

use super::identity::Identity;
use super::kind::{Kind, ResourceId};
use super::request::Target;
use super::status::ApiError;
use super::store::{Key, Store};

const GROUP: &str = "rbac.authorization.k8s.io";

/// What is asked for.
pub(super) enum Action<'a> {
    /// A verb on objects.
    Resource(&'a str, &'a Target),
    /// A verb on a path that is not about objects.
    Path(&'a str, &'a str),
}

/// Decides, in the words of the real server when the answer is no.
pub(super) fn authorize(
    store: &Store,
    identity: &Identity,
    action: &Action,
) -> Result<(), ApiError> {
    if is_allowed(store, identity, action) {
        return Ok(());
    }
    let user = &identity.user;
    Err(match action {
        Action::Resource(verb, target) => {
            let Kind { group, plural, .. } = &target.kind;
            let resource = if target.subresource.is_empty() {
                plural.clone()
            } else {
                format!("{plural}/{}", target.subresource)
            };
            let scope = if target.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace \"{}\"", target.namespace)
            };
            let text = format!(
                "User \"{user}\" cannot {verb} resource \"{resource}\" in API group \"{group}\" {scope}"
            );
            ApiError::forbidden(&target.kind, &target.name, &text)
        }
        Action::Path(verb, path) => ApiError::new(
            403,
            "Forbidden",
            format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\""),
        ),
    })
}

/// The bare decision, for reviews.
pub(super) fn is_allowed(store: &Store, identity: &Identity, action: &Action) -> bool {
    if identity
        .groups
        .iter()
        .any(|group| group == "system:masters")
    {
        return true;
    }
    let bindings = |plural: &str| ResourceId {
        group: GROUP.into(),
        plural: plural.into(),
    };
    let cluster_wide = store
        .list(&bindings("clusterrolebindings"), None)
        .any(|(_, binding)| {
            binds(binding, identity, "") && role_allows(store, binding, "", action)
        });
    if cluster_wide {
        return true;
    }
    let Action::Resource(_, target) = action else {
        return false;
    };
    !target.namespace.is_empty()
        && store
            .list(&bindings("rolebindings"), Some(&target.namespace))
            .any(|(key, binding)| {
                binds(binding, identity, &key.namespace)
                    && role_allows(store, binding, &key.namespace, action)
            })
}

fn binds(binding: &Value, identity: &Identity, namespace: &str) -> bool {
    let subjects = binding["subjects"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    subjects.iter().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => name == identity.user,
            Some("Group") => identity.groups.iter().any(|group| group == name),
            Some("ServiceAccount") => {
                let namespace = subject["namespace"].as_str().unwrap_or(namespace);
                identity.user == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

fn role_allows(store: &Store, binding: &Value, namespace: &str, action: &Action) -> bool {
    let name = binding["roleRef"]["name"].as_str().unwrap_or_default();
    let key = match binding["roleRef"]["kind"].as_str() {
        Some("Role") => Key::new(GROUP, "roles", namespace, name),
        _ => Key::new(GROUP, "clusterroles", "", name),
    };
    let rules = store
        .get(&key)
        .and_then(|role| role["rules"].as_array().cloned())
        .unwrap_or_default();
    rules.iter().any(|rule| rule_allows(rule, action))
}

fn rule_allows(rule: &Value, action: &Action) -> bool {
    let list = |name: &str| rule[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |name: &str, wanted: &str| {
        list(name)
            .iter()
            .any(|value| value == "*" || value == wanted)
    };
    match action {
        Action::Path(verb, path) => {
            has("verbs", verb)
                && list("nonResourceURLs")
                    .iter()
                    .filter_map(Value::as_str)
                    .any(|pattern| {
                        pattern
                            .strip_suffix('*')
                            .map_or(pattern == *path, |prefix| path.starts_with(prefix))
                    })
        }
        Action::Resource(verb, target) => {
            let plural = &target.kind.plural;
            let resource = if target.subresource.is_empty() {
                plural.clone()
            } else {
                format!("{plural}/{}", target.subresource)
            };
            let any_of = format!("*/{}", target.subresource);
            let named = list("resourceNames");
            has("verbs", verb)
                && has("apiGroups", &target.kind.group)
                && (has("resources", &resource)
                    || (!target.subresource.is_empty() && has("resources", &any_of)))
                && (named.is_empty() || named.iter().any(|name| *name == *target.name))
        }
    }
}
