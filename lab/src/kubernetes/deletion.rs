//! Deleting objects: preconditions, grace, finalizers, propagation.

use serde_json::{Value, json};

use super::age::stamp;
use super::kind::Kind;
use super::objects::Write;
use super::plane::State;
use super::status::{ApiError, deleted};
use super::store::Key;

/// What a deletion asks for.
#[derive(Default)]
pub(super) struct DeleteOptions {
    pub(super) propagation: String,
    pub(super) grace: Option<i64>,
    pub(super) uid: String,
    pub(super) resource_version: String,
}

impl State {
    /// Removes an object that waits for its finalizers only, once they are gone.
    pub(super) fn finish_deletion(&mut self, key: &Key) {
        let gone = self.store.get(key).is_some_and(|object| {
            let finalizers = object["metadata"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty);
            let held = matches!(key.resource.plural.as_str(), "namespaces" | "pods")
                && key.resource.group.is_empty();
            object["metadata"].get("deletionTimestamp").is_some() && finalizers && !held
        });
        if gone {
            self.store.remove(key);
        }
    }

    /// Deletes; the answer is the object while something still holds it, else a Status.
    pub(super) fn delete(
        &mut self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
        write: &Write,
    ) -> Result<Value, ApiError> {
        let key = Key::of(kind, namespace, name);
        let live = self
            .store
            .get(&key)
            .cloned()
            .ok_or_else(|| ApiError::not_found(kind, name))?;
        for (field, wanted) in [
            ("uid", &options.uid),
            ("resourceVersion", &options.resource_version),
        ] {
            let found = live["metadata"][field].as_str().unwrap_or_default();
            if !wanted.is_empty() && found != wanted {
                let label = if field == "uid" {
                    "UID"
                } else {
                    "ResourceVersion"
                };
                let text = format!(
                    "Precondition failed: {label} in precondition: {wanted}, {label} in object meta: {found}"
                );
                return Err(ApiError::conflict(kind, name, &text));
            }
        }
        if write.dry_run {
            return Ok(deleted(kind, &live));
        }
        let mut object = (*live).clone();
        let deleting = object["metadata"].get("deletionTimestamp").is_some();
        let mut finalizers: Vec<Value> = object["metadata"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if options.propagation == "Foreground" && !finalizers.contains(&json!("foregroundDeletion"))
        {
            finalizers.push(json!("foregroundDeletion"));
        }
        if options.propagation == "Orphan" {
            self.orphan_dependents(object["metadata"]["uid"].as_str().unwrap_or_default());
        }
        let grace = self.grace(kind, &object, options.grace);
        let holds = !finalizers.is_empty() || kind.is("", "namespaces") || grace > 0;
        if !holds {
            self.store.remove(&key);
            return Ok(deleted(kind, &live));
        }
        if deleting
            && grace
                >= object["metadata"]["deletionGracePeriodSeconds"]
                    .as_i64()
                    .unwrap_or(0)
        {
            return Ok(object);
        }
        if !finalizers.is_empty() {
            object["metadata"]["finalizers"] = Value::Array(finalizers);
        }
        if !deleting {
            object["metadata"]["deletionTimestamp"] = json!(stamp(write.now));
        }
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        if kind.is("", "namespaces") {
            object["status"]["phase"] = json!("Terminating");
        }
        Ok((*self.store.put(key, object)).clone())
    }

    /// Pods that run on a node get their grace period, everything else goes at once.
    fn grace(&self, kind: &Kind, object: &Value, asked: Option<i64>) -> i64 {
        let runs = kind.is("", "pods")
            && object["spec"]["nodeName"].is_string()
            && !matches!(
                object["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            );
        let known = object["spec"]["nodeName"]
            .as_str()
            .is_some_and(|name| self.agents.contains_key(name));
        if runs && known {
            asked.unwrap_or_else(|| {
                object["spec"]["terminationGracePeriodSeconds"]
                    .as_i64()
                    .unwrap_or(30)
            })
        } else {
            0
        }
    }

    fn orphan_dependents(&mut self, uid: &str) {
        let dependents: Vec<(Key, Value)> = self
            .store
            .everything()
            .filter(|(_, object)| {
                object["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
            })
            .map(|(key, object)| (key.clone(), (**object).clone()))
            .collect();
        for (key, mut object) in dependents {
            if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                owners.retain(|owner| owner["uid"] != *uid);
            }
            self.store.put(key, object);
        }
    }
}
