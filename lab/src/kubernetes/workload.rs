//! Workload controllers: DaemonSets, Deployments, ReplicaSets, StatefulSets, Jobs make pods; their status follows the pods.
//!
//! Pods of system workloads (kube-system, applied by `strata` or brought by kubeadm, and any CNI) count as running after a short while and carry
//! `strata.dev/simulated`. Everything else stays Pending: the lab runs no containers and says so.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::node::{self, condition_status, set_condition};
use super::objects::Write;
use super::ownership;
use super::plane::State;
use super::store::Key;

pub(super) const SIMULATED: &str = "strata.dev/simulated";

/// True for a workload whose pods are reported as running.
fn is_simulated(workload: &Value) -> bool {
    let system = workload["metadata"]["namespace"] == "kube-system";
    let ours = ownership::is_applied_by(workload, "strata")
        || ownership::is_applied_by(workload, "kubeadm");
    (system && ours) || (workload["kind"] == "DaemonSet" && node::is_cni(workload))
}

/// True when the pod template tolerates all hard taints of the node. DaemonSets tolerate the taints of node conditions by themselves.
fn tolerates(template: &Value, node: &Value, daemon: bool) -> bool {
    let tolerations = template["spec"]["tolerations"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let taints = node["spec"]["taints"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    taints
        .iter()
        .filter(|taint| taint["effect"] != "PreferNoSchedule")
        .all(|taint| {
            let key = taint["key"].as_str().unwrap_or_default();
            let by_nature = daemon
                && matches!(
                    key,
                    "node.kubernetes.io/not-ready"
                        | "node.kubernetes.io/unreachable"
                        | "node.kubernetes.io/unschedulable"
                        | "node.kubernetes.io/network-unavailable"
                );
            by_nature
                || tolerations.iter().any(|toleration| {
                    let same_key = toleration["key"] == key || toleration["key"].is_null();
                    let same_effect =
                        toleration["effect"].is_null() || toleration["effect"] == taint["effect"];
                    let exists = toleration["operator"] == "Exists";
                    same_key
                        && same_effect
                        && (exists
                            || toleration["value"].as_str().unwrap_or_default()
                                == taint["value"].as_str().unwrap_or_default())
                })
        })
}

fn selects(template: &Value, node: &Value) -> bool {
    let wanted = template["spec"]["nodeSelector"].as_object();
    wanted.is_none_or(|wanted| {
        wanted
            .iter()
            .all(|(key, value)| node["metadata"]["labels"][key] == *value)
    })
}

/// Ten letters that change with the template, as ReplicaSets are named.
fn template_hash(template: &Value) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    Sha256::digest(template.to_string())
        .iter()
        .take(10)
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

fn number(value: &Value, otherwise: u64) -> u64 {
    value.as_u64().unwrap_or(otherwise)
}

pub(super) fn is_deleting(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

pub(super) fn is_finished(pod: &Value) -> bool {
    matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    )
}

impl State {
    pub(super) fn reconcile_workloads(&mut self, now: Timestamp) {
        for (key, set) in self.all("apps", "daemonsets") {
            if !is_deleting(&set) {
                self.reconcile_daemon_set(key, set, now);
            }
        }
        for (key, deployment) in self.all("apps", "deployments") {
            if !is_deleting(&deployment) {
                self.reconcile_deployment(key, deployment, now);
            }
        }
        for plural in ["replicasets", "statefulsets"] {
            for (key, set) in self.all("apps", plural) {
                if !is_deleting(&set) {
                    self.reconcile_replicas(key, set, now);
                }
            }
        }
        for (key, job) in self.all("batch", "jobs") {
            if !is_deleting(&job) && self.pods_of(&job).is_empty() {
                self.create_pod(&job, &format!("{}-", key.name), None, false, now);
            }
        }
    }

    fn pods_of(&self, owner: &Value) -> Vec<(Key, Value)> {
        let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
        let pods = self.kind("", "pods").id();
        self.store
            .list(&pods, Some(namespace))
            .filter(|(_, pod)| {
                pod["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
            })
            .map(|(key, pod)| (key.clone(), (**pod).clone()))
            .collect()
    }

    fn create_pod(
        &mut self,
        owner: &Value,
        prefix: &str,
        node: Option<&str>,
        simulated: bool,
        now: Timestamp,
    ) {
        let template = &owner["spec"]["template"];
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]});
        if !pod["metadata"].is_object() {
            pod["metadata"] = json!({});
        }
        let namespace = owner["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let name = if prefix.ends_with('-') {
            format!("{prefix}{}", self.suffix())
        } else {
            prefix.to_owned()
        };
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["namespace"] = json!(namespace);
        pod["metadata"]["ownerReferences"] = json!([{"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}]);
        pod["metadata"]["annotations"]["strata.dev/template"] = json!(template_hash(template));
        if simulated {
            pod["metadata"]["annotations"][SIMULATED] = json!("true");
        }
        if let Some(node) = node {
            pod["spec"]["nodeName"] = json!(node);
        }
        pod["status"] = json!({"phase": "Pending"});
        let kind = self.kind("", "pods");
        if let Err(error) = self.create(&kind, &namespace, pod, &Write::internal(now, "")) {
            self.event(owner, "Warning", "FailedCreate", &error.message, now);
        }
    }

    fn reconcile_daemon_set(&mut self, key: Key, mut set: Value, now: Timestamp) {
        let simulated = is_simulated(&set);
        let hash = template_hash(&set["spec"]["template"]);
        let nodes = self.all("", "nodes");
        let wanted: Vec<String> = nodes
            .iter()
            .filter(|(_, node)| {
                selects(&set["spec"]["template"], node)
                    && tolerates(&set["spec"]["template"], node, true)
            })
            .map(|(key, _)| key.name.clone())
            .collect();
        let mut covered = Vec::new();
        for (pod_key, pod) in self.pods_of(&set) {
            let node = pod["spec"]["nodeName"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let current = pod["metadata"]["annotations"]["strata.dev/template"] == *hash;
            if wanted.contains(&node) && !covered.contains(&node) && current && !is_finished(&pod) {
                covered.push(node);
            } else {
                self.store.remove(&pod_key);
            }
        }
        for node in wanted.iter().filter(|node| !covered.contains(node)) {
            self.create_pod(&set, &format!("{}-", key.name), Some(node), simulated, now);
        }
        let ready = self
            .pods_of(&set)
            .iter()
            .filter(|(_, pod)| condition_status(pod, "Ready") == Some("True"))
            .count();
        let status = json!({"observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": wanted.len(),
            "currentNumberScheduled": wanted.len(), "updatedNumberScheduled": wanted.len(), "numberMisscheduled": 0, "numberReady": ready,
            "numberAvailable": ready, "numberUnavailable": wanted.len() - ready});
        set["status"] = status;
        mark(&mut set, simulated);
        self.put_changed(key, set);
    }

    fn reconcile_deployment(&mut self, key: Key, mut deployment: Value, now: Timestamp) {
        let simulated = is_simulated(&deployment);
        let template = deployment["spec"]["template"].clone();
        let hash = template_hash(&template);
        let wanted = number(&deployment["spec"]["replicas"], 1);
        let name = format!("{}-{hash}", key.name);
        let set_key = Key::new("apps", "replicasets", &key.namespace, &name);
        match self.store.get(&set_key).map(|set| (**set).clone()) {
            None => {
                let mut labels = template["metadata"]["labels"].clone();
                labels["pod-template-hash"] = json!(hash);
                let mut template = template.clone();
                template["metadata"]["labels"] = labels.clone();
                let mut selector = deployment["spec"]["selector"].clone();
                selector["matchLabels"]["pod-template-hash"] = json!(hash);
                let mut annotations = json!({"deployment.kubernetes.io/revision": "1"});
                if simulated {
                    annotations[SIMULATED] = json!("true");
                }
                let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name, "namespace": key.namespace, "labels": labels,
                    "annotations": annotations, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": key.name,
                        "uid": deployment["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}]},
                    "spec": {"replicas": wanted, "selector": selector, "template": template}});
                let kind = self.kind("apps", "replicasets");
                if let Err(error) =
                    self.create(&kind, &key.namespace, set, &Write::internal(now, ""))
                {
                    self.event(
                        &deployment,
                        "Warning",
                        "ReplicaSetCreateError",
                        &error.message,
                        now,
                    );
                }
            }
            Some(mut set) => {
                set["spec"]["replicas"] = json!(wanted);
                self.put_changed(set_key.clone(), set);
            }
        }
        // The old templates' sets go at once: nothing runs in them that could be rolled over gently.
        let owner = deployment["metadata"]["uid"].clone();
        for (other, set) in self.all("apps", "replicasets") {
            if set["metadata"]["ownerReferences"][0]["uid"] == owner && other != set_key {
                self.store.remove(&other);
            }
        }
        let (replicas, ready) = self.store.get(&set_key).map_or((0, 0), |set| {
            (
                number(&set["status"]["replicas"], 0),
                number(&set["status"]["readyReplicas"], 0),
            )
        });
        let conditions = deployment["status"]["conditions"].take();
        deployment["status"] = json!({"observedGeneration": deployment["metadata"]["generation"], "replicas": replicas, "updatedReplicas": replicas,
            "readyReplicas": ready, "availableReplicas": ready, "unavailableReplicas": wanted.saturating_sub(ready), "conditions": conditions});
        let done = ready >= wanted;
        if done {
            set_condition(
                &mut deployment,
                "Available",
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
                now,
            );
            let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
            set_condition(
                &mut deployment,
                "Progressing",
                "True",
                "NewReplicaSetAvailable",
                &message,
                now,
            );
        } else {
            set_condition(
                &mut deployment,
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
                now,
            );
            let message = format!("ReplicaSet \"{name}\" is progressing.");
            set_condition(
                &mut deployment,
                "Progressing",
                "True",
                "ReplicaSetUpdated",
                &message,
                now,
            );
        }
        mark(&mut deployment, simulated);
        self.put_changed(key, deployment);
    }

    fn reconcile_replicas(&mut self, key: Key, mut set: Value, now: Timestamp) {
        let stateful = set["kind"] == "StatefulSet";
        let simulated =
            is_simulated(&set) || set["metadata"]["annotations"][SIMULATED] == "true" && !stateful;
        let wanted = usize::try_from(number(&set["spec"]["replicas"], 1)).unwrap_or(usize::MAX);
        let hash = template_hash(&set["spec"]["template"]);
        let mut pods = self.pods_of(&set);
        pods.retain(|(key, pod)| {
            let current =
                !is_finished(pod) && pod["metadata"]["annotations"]["strata.dev/template"] == *hash;
            if !current {
                self.store.remove(key);
            }
            current && !is_deleting(pod)
        });
        for (pod, _) in pods.iter().skip(wanted) {
            self.store.remove(pod);
        }
        for index in pods.len()..wanted {
            // Only simulated pods get a node; the others wait for a scheduler that never comes.
            let node = if simulated {
                self.schedule(&set["spec"]["template"])
            } else {
                None
            };
            let prefix = if stateful {
                format!("{}-{index}", key.name)
            } else {
                format!("{}-", key.name)
            };
            self.create_pod(&set, &prefix, node.as_deref(), simulated, now);
        }
        let pods = self.pods_of(&set);
        let ready = pods
            .iter()
            .filter(|(_, pod)| condition_status(pod, "Ready") == Some("True"))
            .count();
        set["status"] = json!({"observedGeneration": set["metadata"]["generation"], "replicas": pods.len(), "fullyLabeledReplicas": pods.len(),
            "readyReplicas": ready, "availableReplicas": ready});
        if stateful {
            set["status"]["currentReplicas"] = json!(ready);
            set["status"]["updatedReplicas"] = json!(ready);
            set["status"]["currentRevision"] = json!(format!("{}-{hash}", key.name));
            set["status"]["updateRevision"] = json!(format!("{}-{hash}", key.name));
        }
        mark(&mut set, simulated);
        self.put_changed(key, set);
    }

    /// The ready node with the fewest pods that takes this template.
    pub(super) fn schedule(&self, template: &Value) -> Option<String> {
        let pods = self.all("", "pods");
        self.all("", "nodes")
            .into_iter()
            .filter(|(_, node)| {
                node::is_ready(node)
                    && node["spec"]["unschedulable"] != true
                    && selects(template, node)
                    && tolerates(template, node, false)
            })
            .map(|(key, _)| key.name)
            .min_by_key(|name| {
                pods.iter()
                    .filter(|(_, pod)| pod["spec"]["nodeName"] == **name)
                    .count()
            })
    }
}

fn mark(workload: &mut Value, simulated: bool) {
    if simulated {
        workload["metadata"]["annotations"][SIMULATED] = json!("true");
    }
}
