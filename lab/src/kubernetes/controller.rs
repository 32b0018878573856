//! The controllers, run to a fixed point after every change and on every tick of the lab's clock.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::cluster_info::{Token, sign};
use super::deletion::DeleteOptions;
use super::kind;
use super::node::set_condition;
use super::objects::Write;
use super::plane::{ControlPlane, State};
use super::store::Key;

/// Names of a CustomResourceDefinition are accepted after this long, so that clients learn to wait.
const ESTABLISHING: SignedDuration = SignedDuration::from_secs(1);
/// More rounds than this mean two controllers fight; stop rather than spin.
const ROUNDS: usize = 20;

impl ControlPlane {
    /// Runs all controllers until nothing changes, then wakes the watches. Without quorum nothing can be written and nothing is.
    pub(super) fn reconcile(self: &ControlPlane) {
        let now = self.clock.now();
        let revision = {
            let mut state = self.locked();
            if state.has_quorum() {
                for _ in 0..ROUNDS {
                    let before = state.store.revision();
                    state.reconcile_definitions(now);
                    state.reconcile_namespaces(now, &self.bootstrap.ca_crt);
                    state.reconcile_tokens(now);
                    state.collect_garbage();
                    state.reconcile_workloads(now);
                    state.reconcile_pods(now);
                    state.reconcile_nodes(now);
                    if state.store.revision() == before {
                        break;
                    }
                }
            }
            state.store.revision()
        };
        self.revision
            .send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
    }

    /// Reconciles and starts one-shot pods that are ready to run.
    pub(super) fn settle(self: &Arc<Self>) {
        self.reconcile();
        self.start_host_pods();
    }
}

impl State {
    /// Objects of a built-in kind, copied for a controller to work on.
    pub(super) fn all(&self, group: &str, plural: &str) -> Vec<(Key, Value)> {
        let id = self.kind(group, plural).id();
        self.store
            .list(&id, None)
            .map(|(key, object)| (key.clone(), (**object).clone()))
            .collect()
    }

    /// Stores a controller's version of an object if it differs.
    pub(super) fn put_changed(&mut self, key: Key, object: Value) {
        if self.store.get(&key).is_none_or(|live| **live != object) {
            self.store.put(key, object);
        }
    }

    fn reconcile_definitions(&mut self, now: Timestamp) {
        let id = self
            .kind("apiextensions.k8s.io", "customresourcedefinitions")
            .id();
        let seen: Vec<(String, Value)> = self
            .store
            .list(&id, None)
            .map(|(key, object)| {
                (
                    key.name.clone(),
                    object["metadata"]["resourceVersion"].clone(),
                )
            })
            .collect();
        // Definitions are large and rarely change; a waiting one is looked at again on every tick.
        if self.definitions == seen && !self.establishing {
            return;
        }
        self.establishing = false;
        let mut kinds = kind::built_in();
        for (key, mut definition) in self.all("apiextensions.k8s.io", "customresourcedefinitions") {
            definition["status"]["acceptedNames"] = definition["spec"]["names"].clone();
            let versions = definition["spec"]["versions"]
                .as_array()
                .into_iter()
                .flatten();
            let stored = versions
                .filter(|version| version["storage"] == true)
                .map(|version| version["name"].clone())
                .collect();
            definition["status"]["storedVersions"] = Value::Array(stored);
            let (names, established) = ("NamesAccepted", "Established");
            set_condition(
                &mut definition,
                names,
                "True",
                "NoConflicts",
                "no conflicts found",
                now,
            );
            if age(&definition, now) >= ESTABLISHING {
                let message = "the initial names have been accepted";
                set_condition(
                    &mut definition,
                    established,
                    "True",
                    "InitialNamesAccepted",
                    message,
                    now,
                );
                kinds.extend(kind::of_definition(&definition));
            } else {
                let message = "the initial names have not been accepted yet";
                set_condition(
                    &mut definition,
                    established,
                    "False",
                    "Installing",
                    message,
                    now,
                );
                self.establishing = true;
            }
            self.put_changed(key, definition);
        }
        self.kinds = kinds;
        self.definitions = self
            .store
            .list(&id, None)
            .map(|(key, object)| {
                (
                    key.name.clone(),
                    object["metadata"]["resourceVersion"].clone(),
                )
            })
            .collect();
    }

    fn reconcile_namespaces(&mut self, now: Timestamp, ca_crt: &str) {
        for (key, namespace) in self.all("", "namespaces") {
            if namespace["metadata"].get("deletionTimestamp").is_some() {
                self.empty_namespace(&key, &namespace, now);
                continue;
            }
            for (plural, name, object) in [
                (
                    "serviceaccounts",
                    "default",
                    json!({"apiVersion": "v1", "kind": "ServiceAccount"}),
                ),
                (
                    "configmaps",
                    "kube-root-ca.crt",
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ca.crt": ca_crt}}),
                ),
            ] {
                if self
                    .store
                    .get(&Key::new("", plural, &key.name, name))
                    .is_none()
                {
                    let (kind, mut object) = (self.kind("", plural), object);
                    object["metadata"] = json!({"name": name, "namespace": key.name});
                    self.create(&kind, &key.name, object, &Write::internal(now, ""))
                        .expect("an object of the lab is valid");
                }
            }
        }
    }

    /// Deletes what a terminating namespace holds; the namespace goes when it is empty and its own finalizers are gone.
    fn empty_namespace(&mut self, key: &Key, namespace: &Value, now: Timestamp) {
        let content: Vec<(Key, bool)> = self
            .store
            .everything()
            .filter(|(other, _)| other.namespace == key.name)
            .map(|(other, object)| {
                (
                    other.clone(),
                    object["metadata"].get("deletionTimestamp").is_some(),
                )
            })
            .collect();
        if content.is_empty() {
            if namespace["metadata"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty)
            {
                self.store.remove(key);
            }
            return;
        }
        for (other, deleting) in &content {
            if !deleting
                && let Some(kind) = self
                    .kinds
                    .iter()
                    .find(|kind| kind.id() == other.resource)
                    .cloned()
            {
                // A finalizer may hold an object; then the namespace waits as the real one does.
                let _ = self.delete(
                    &kind,
                    &other.namespace,
                    &other.name,
                    &DeleteOptions::default(),
                    &Write::internal(now, ""),
                );
            }
        }
        let left: Vec<String> = self
            .store
            .everything()
            .filter(|(other, _)| other.namespace == key.name)
            .map(|(other, _)| format!("{} {}", other.resource.plural, other.name))
            .collect();
        if !left.is_empty() {
            let mut namespace = namespace.clone();
            let message = format!("Some resources are remaining: {}", left.join(", "));
            set_condition(
                &mut namespace,
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                &message,
                now,
            );
            self.put_changed(key.clone(), namespace);
        }
    }

    /// Token cleaner and cluster-info signer.
    fn reconcile_tokens(&mut self, now: Timestamp) {
        let wall = Timestamp::now();
        let mut signers = Vec::new();
        for (key, secret) in self.all("", "secrets") {
            if key.namespace != "kube-system" {
                continue;
            }
            let Some(token) = Token::of_secret(&secret) else {
                continue;
            };
            if let Some(expiration) = token.expiration {
                let uid = secret["metadata"]["uid"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                // An expiry that is over by the lab's clock when it is written but not by the wall's comes from a machine with the wall's time: the
                // token keeps its life. Judged once per expiry, since both clocks run on; a later change of the expiry counts.
                let judged = self.token_ends.get(&uid).copied();
                let end = match judged {
                    Some((stated, end)) if stated == expiration => end,
                    _ if expiration <= now && expiration > wall => {
                        now + expiration.duration_since(wall)
                    }
                    _ => expiration,
                };
                self.token_ends.insert(uid, (expiration, end));
                if end <= now {
                    self.store.remove(&key);
                    continue;
                }
            }
            if token.signs {
                signers.push(token);
            }
        }
        let key = Key::new("", "configmaps", "kube-public", "cluster-info");
        let Some(mut info) = self.store.get(&key).map(|info| (**info).clone()) else {
            return;
        };
        let Some(payload) = info["data"]["kubeconfig"].as_str().map(str::to_owned) else {
            return;
        };
        let data = info["data"].as_object_mut().expect("it has a kubeconfig");
        data.retain(|name, _| !name.starts_with("jws-kubeconfig-"));
        for token in signers {
            data.insert(
                format!("jws-kubeconfig-{}", token.id),
                json!(sign(&token.id, &token.secret, &payload)),
            );
        }
        self.put_changed(key, info);
    }

    /// Deletes objects all of whose owners are gone, and owners that waited for their dependents (Foreground).
    fn collect_garbage(&mut self) {
        let uids: std::collections::BTreeSet<String> = self
            .store
            .everything()
            .filter_map(|(_, object)| object["metadata"]["uid"].as_str().map(str::to_owned))
            .collect();
        let terminating: std::collections::BTreeSet<String> = self
            .store
            .everything()
            .filter(|(_, object)| {
                object["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|all| all.contains(&json!("foregroundDeletion")))
            })
            .filter_map(|(_, object)| object["metadata"]["uid"].as_str().map(str::to_owned))
            .collect();
        let orphans: Vec<Key> = self
            .store
            .everything()
            .filter(|(_, object)| object["metadata"].get("deletionTimestamp").is_none())
            .filter(|(_, object)| {
                object["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|owners| {
                        let alive = |owner: &Value| {
                            owner["uid"]
                                .as_str()
                                .is_some_and(|uid| uids.contains(uid) && !terminating.contains(uid))
                        };
                        !owners.is_empty() && !owners.iter().any(alive)
                    })
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in orphans {
            if let Some(kind) = self
                .kinds
                .iter()
                .find(|kind| kind.id() == key.resource)
                .cloned()
            {
                // Finalizers may hold it; the next round looks again.
                let options = DeleteOptions {
                    propagation: if terminating.is_empty() {
                        String::new()
                    } else {
                        "Foreground".into()
                    },
                    ..DeleteOptions::default()
                };
                let _ = self.delete(
                    &kind,
                    &key.namespace,
                    &key.name,
                    &options,
                    &Write::internal(Timestamp::now(), ""),
                );
            }
        }
        let waiting: Vec<(Key, Value)> = self
            .store
            .everything()
            .filter(|(_, object)| {
                object["metadata"]["uid"]
                    .as_str()
                    .is_some_and(|uid| terminating.contains(uid))
            })
            .map(|(key, object)| (key.clone(), (**object).clone()))
            .collect();
        for (key, mut object) in waiting {
            let uid = object["metadata"]["uid"].clone();
            let blocked = self.store.everything().any(|(_, other)| {
                other["metadata"]["ownerReferences"]
                    .as_array()
                    .is_some_and(|owners| {
                        owners
                            .iter()
                            .any(|owner| owner["uid"] == uid && owner["blockOwnerDeletion"] == true)
                    })
            });
            if !blocked && let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
                finalizers.retain(|finalizer| finalizer != "foregroundDeletion");
                self.store.put(key.clone(), object);
                self.finish_deletion(&key);
            }
        }
    }
}

/// How long an object has existed.
pub(super) fn age(object: &Value, now: Timestamp) -> SignedDuration {
    let created = object["metadata"]["creationTimestamp"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(now);
    now.duration_since(created)
}
