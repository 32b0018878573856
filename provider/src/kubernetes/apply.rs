//! Objects of any kind: parsed from YAML texts, ordered, applied server-side, read back, deleted.
//!
//! The kind's path comes from the API's own discovery, asked once per group and process. Not handled: objects with `generateName`
//! (server-side apply needs a name).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PropagationPolicy};
use kube::core::GroupVersion;
use kube::discovery::{self, Scope};
use serde::Deserialize as _;
use serde_json::Value;

use super::{Client, Error, MANAGER};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// What names an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// `apps/v1`.
    pub api_version: String,
    /// `DaemonSet`.
    pub kind: String,
    /// Empty for objects of the whole cluster.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{}/{}/{}",
            self.api_version, self.kind, self.namespace, self.name
        )
    }
}

impl Id {
    /// Reads what [`fmt::Display`] writes. The API version may have a slash of its own, so the last three parts are split off.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(4, '/');
        let (name, namespace, kind, api_version) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let id = Self {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        (!id.api_version.is_empty() && !id.kind.is_empty() && !id.name.is_empty()).then_some(id)
    }
}

/// An object as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its name.
    pub id: Id,
    /// The whole of it.
    pub value: Value,
}

type Group = Vec<(ApiResource, Scope)>;

/// The kinds that the API serves, by `apiVersion`, as far as asked. Held while asking, so that many who need one group ask once.
#[derive(Clone, Default)]
pub(super) struct Kinds(Arc<tokio::sync::Mutex<HashMap<String, Group>>>);

/// Reads all objects of several YAML texts, each of one or more documents; `List` objects are taken apart.
pub fn parse(texts: &[String]) -> Result<Vec<Object>, Error> {
    let mut objects = Vec::new();
    let mut number = 0;
    for text in texts {
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            number += 1;
            let broken = |reason: String| Error::Document { number, reason };
            let value = Value::deserialize(document).map_err(|error| broken(error.to_string()))?;
            match value {
                // `---` at the end, or a document of comments alone.
                Value::Null => {}
                Value::Object(ref map)
                    if map
                        .get("kind")
                        .and_then(Value::as_str)
                        .is_some_and(|kind| kind.ends_with("List")) =>
                {
                    for item in map
                        .get("items")
                        .and_then(Value::as_array)
                        .into_iter()
                        .flatten()
                    {
                        objects.push(object(item.clone()).map_err(broken)?);
                    }
                }
                value => objects.push(object(value).map_err(broken)?),
            }
        }
    }
    Ok(objects)
}

fn object(mut value: Value) -> Result<Object, String> {
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let id = Id {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
    };
    for (field, found) in [
        ("apiVersion", &id.api_version),
        ("kind", &id.kind),
        ("metadata.name", &id.name),
    ] {
        if found.is_empty() {
            return Err(format!("it has no {field}"));
        }
    }
    // `status` is the cluster's to write, and server-side apply of null timestamps is refused by some kinds.
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
    }
    drop_nulls(&mut value);
    Ok(Object { id, value })
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Namespaces and CustomResourceDefinitions first, then accounts and roles, then the rest as written; webhooks last, because one without its
/// server refuses everything after it.
pub fn order(objects: &mut [Object]) {
    objects.sort_by_key(|object| match object.id.kind.as_str() {
        "Namespace" => 0,
        "CustomResourceDefinition" => 1,
        "ServiceAccount" | "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding"
        | "ConfigMap" | "Secret" => 2,
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => 4,
        _ => 3,
    });
}

impl Client {
    async fn kind(&self, id: &Id) -> Result<(ApiResource, Scope), Error> {
        let mut groups = self.kinds.0.lock().await;
        let find = |group: &Group| {
            group
                .iter()
                .find(|(resource, _)| resource.kind == id.kind)
                .cloned()
        };
        if let Some(found) = groups.get(&id.api_version).and_then(find) {
            return Ok(found);
        }
        // Also when the group is known but not the kind: its definition may be a moment old.
        let group = self.group(&id.api_version).await?;
        let found = find(&group);
        groups.insert(id.api_version.clone(), group);
        found.ok_or_else(|| Error::UnknownKind {
            api_version: id.api_version.clone(),
            kind: id.kind.clone(),
        })
    }

    /// The kinds of one `apiVersion`; none when the API does not serve it.
    async fn group(&self, api_version: &str) -> Result<Group, Error> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let wanted = GroupVersion::gv(group, version);
        let found = match discovery::pinned_group(&self.api, &wanted).await {
            Ok(found) => found,
            Err(kube::Error::Discovery(_)) => return Ok(Group::new()),
            Err(error) => match Error::during("discover the kinds of", api_version)(error) {
                error if error.is_not_found() => return Ok(Group::new()),
                error => return Err(error),
            },
        };
        let resources = found.versioned_resources(version).into_iter();
        Ok(resources
            .map(|(resource, capabilities)| (resource, capabilities.scope))
            .collect())
    }

    async fn dynamic(&self, id: &Id) -> Result<Api<DynamicObject>, Error> {
        let (resource, scope) = self.kind(id).await?;
        Ok(match scope {
            Scope::Cluster => Api::all_with(self.api(), &resource),
            Scope::Namespaced => {
                let namespace = if id.namespace.is_empty() {
                    "default"
                } else {
                    &id.namespace
                };
                Api::namespaced_with(self.api(), namespace, &resource)
            }
        })
    }

    /// Applies one object. Fields that somebody else set are taken over: what the cluster file says wins.
    pub async fn apply(&self, object: &Object) -> Result<Value, Error> {
        let mut value = object.value.clone();
        // A chart's own label stays: Helm takes objects over only when it finds its name there (FN16).
        let labels = &mut value["metadata"]["labels"];
        if labels[MANAGED_BY].is_null() {
            labels[MANAGED_BY] = MANAGER.into();
        }
        let label = object.id.to_string();
        let api = self.dynamic(&object.id).await?;
        let applied = api
            .patch(
                &object.id.name,
                &PatchParams::apply(MANAGER).force(),
                &Patch::Apply(&value),
            )
            .await;
        let applied = applied.map_err(Error::during("apply", &label))?;
        Ok(serde_json::to_value(applied).expect("came from JSON"))
    }

    /// Reads one object; `None` is the API's word that it, or its kind, does not exist.
    pub async fn fetch(&self, id: &Id) -> Result<Option<Value>, Error> {
        let api = match self.dynamic(id).await {
            Err(error) if error.is_not_found() => return Ok(None),
            api => api?,
        };
        let found = api
            .get_opt(&id.name)
            .await
            .map_err(Error::during("read", &id.to_string()))?;
        Ok(found.map(|object| serde_json::to_value(object).expect("came from JSON")))
    }

    /// Deletes one object and what it owns; gone is success.
    pub async fn delete(&self, id: &Id) -> Result<(), Error> {
        let api = match self.dynamic(id).await {
            Err(error) if error.is_not_found() => return Ok(()),
            api => api?,
        };
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        match api
            .delete(&id.name, &parameters)
            .await
            .map(drop)
            .map_err(Error::during("delete", &id.to_string()))
        {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(texts: &[&str]) -> Vec<String> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        let mut objects = parse(&texts).unwrap();
        order(&mut objects);
        objects.iter().map(|object| object.id.to_string()).collect()
    }

    #[test]
    fn texts_are_taken_apart_and_ordered() {
        let texts = [
            "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: cilium, namespace: kube-system}\n---\n# nothing\n---\n",
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: b}}\n\
             - {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n",
        ];
        assert_eq!(
            ids(&texts),
            [
                "v1/Namespace//b",
                "v1/ConfigMap/b/a",
                "apps/v1/DaemonSet/kube-system/cilium"
            ]
        );
    }

    #[test]
    fn a_text_that_is_no_object_is_refused_with_its_position() {
        for (text, reason) in [
            ("kind: A", "it has no apiVersion"),
            ("apiVersion: v1\nkind: A", "it has no metadata.name"),
            ("- 1", "it has no apiVersion"),
        ] {
            let error = parse(&[
                "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}".into(),
                text.into(),
            ])
            .unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("document 2 is not a Kubernetes object: {reason}")
            );
        }
        assert!(parse(&["a: [".into()]).is_err());
    }

    #[test]
    fn an_id_survives_the_state() {
        for text in ["apps/v1/DaemonSet/kube-system/cilium", "v1/Namespace//b"] {
            assert_eq!(Id::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Id::parse("v1/Namespace"), None);
    }

    #[test]
    fn status_and_nulls_are_not_applied() {
        let object = parse(&[
            "apiVersion: v1\nkind: A\nmetadata: {name: a, creationTimestamp: null}\nstatus: {x: 1}"
                .into(),
        ])
        .unwrap()
        .remove(0);
        assert_eq!(
            object.value,
            serde_json::json!({ "apiVersion": "v1", "kind": "A", "metadata": { "name": "a" } })
        );
    }
}
