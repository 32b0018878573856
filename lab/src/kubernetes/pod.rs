//! The life of pods: simulated ones start, terminated ones go, all others say why they wait.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::age::stamp;
use super::controller::age;
use super::host_pod;
use super::node::{self, set_condition};
use super::objects::Write;
use super::plane::State;
use super::store::Key;
use super::workload::{SIMULATED, is_deleting, is_finished};

/// A simulated container needs this long to start.
const STARTING: SignedDuration = SignedDuration::from_secs(10);
/// A node is silent for this long before its pods stop counting as ready.
const GRACE: SignedDuration = SignedDuration::from_secs(40);
const NO_CONTAINERS: &str = "the lab runs no containers";

impl State {
    /// Progress of pods: simulated ones start, terminated ones go, all others say why they wait.
    pub(super) fn reconcile_pods(&mut self, now: Timestamp) {
        let nodes: Vec<String> = self
            .all("", "nodes")
            .into_iter()
            .map(|(key, _)| key.name)
            .collect();
        for (key, mut pod) in self.all("", "pods") {
            let node = pod["spec"]["nodeName"].as_str().map(str::to_owned);
            let alive = node
                .as_ref()
                .is_some_and(|name| self.agents.get(name).is_some_and(|agent| agent.is_alive()));
            if node.as_ref().is_some_and(|name| !nodes.contains(name)) {
                // The node object is gone: the pod garbage collector removes its pods.
                self.store.remove(&key);
                continue;
            }
            if is_deleting(&pod) {
                let since = pod["metadata"]["deletionTimestamp"]
                    .as_str()
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(now);
                // A pod of the lab ends within two seconds; on a dead node it stays until it is forced.
                if alive && now.duration_since(since) >= SignedDuration::from_secs(2)
                    || node.is_none()
                    || is_finished(&pod)
                {
                    self.store.remove(&key);
                }
                continue;
            }
            if pod["metadata"]["annotations"][SIMULATED] == "true" {
                self.advance_simulated(&key, &mut pod, node.as_deref(), alive, now);
            } else if pod["status"]["phase"].is_null() {
                pod["status"] = json!({"phase": "Pending", "qosClass": "BestEffort"});
            }
            let waits =
                pod["status"]["phase"] == "Pending" && pod["status"]["conditions"].is_null();
            if waits
                && pod["metadata"]["annotations"][SIMULATED].is_null()
                && !host_pod::is_host_pod(&pod)
            {
                set_condition(
                    &mut pod,
                    "PodScheduled",
                    "False",
                    "LabRunsNoContainers",
                    NO_CONTAINERS,
                    now,
                );
                self.event(&pod, "Warning", "LabRunsNoContainers", NO_CONTAINERS, now);
            }
            self.put_changed(key, pod);
        }
    }

    fn advance_simulated(
        &mut self,
        key: &Key,
        pod: &mut Value,
        node: Option<&str>,
        alive: bool,
        now: Timestamp,
    ) {
        let Some(node) = node else {
            if let Some(node) = self.schedule(pod) {
                pod["spec"]["nodeName"] = json!(node);
                set_condition(pod, "PodScheduled", "True", "", "", now);
            } else {
                set_condition(
                    pod,
                    "PodScheduled",
                    "False",
                    "Unschedulable",
                    "no node is ready and tolerated",
                    now,
                );
            }
            return;
        };
        let silent = self
            .silent_since
            .get(node)
            .is_some_and(|since| now.duration_since(*since) >= GRACE);
        if !alive && pod["status"]["phase"] == "Running" && silent {
            set_condition(pod, "Ready", "False", "NodeNotReady", "", now);
        }
        if !alive || age(pod, now) < STARTING {
            return;
        }
        if pod["status"]["phase"] != "Running" {
            let containers = pod["spec"]["containers"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let statuses: Vec<Value> = containers
                .iter()
                .map(|container| {
                    json!({"name": container["name"], "image": container["image"], "imageID": "", "containerID": "containerd://simulated", "ready": true,
                        "started": true, "restartCount": 0, "state": {"running": {"startedAt": stamp(now)}}})
                })
                .collect();
            pod["status"] = json!({"phase": "Running", "startTime": stamp(now), "containerStatuses": statuses, "conditions": pod["status"]["conditions"],
                "hostIP": self.node_address(node), "podIP": self.node_address(node), "qosClass": "BestEffort", "message": format!("simulated: {key}", key = key.name)});
        }
        for kind in ["PodScheduled", "Initialized", "ContainersReady", "Ready"] {
            set_condition(pod, kind, "True", "", "", now);
        }
    }

    /// The mirror pods of kubeadm's static manifests.
    pub(super) fn create_static_pods(&mut self, node: &str, version: &str, write: &Write) {
        let uid = self
            .store
            .get(&Key::new("", "nodes", "", node))
            .map_or(Value::Null, |node| node["metadata"]["uid"].clone());
        let kind = self.kind("", "pods");
        for component in [
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ] {
            let name = format!("{component}-{node}");
            let tag = if component == "etcd" {
                "3.6.5-0"
            } else {
                version
            };
            let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&name)[..16]);
            let pod = json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "kube-system", "labels": {"component": component, "tier": "control-plane"},
                    "annotations": {"kubernetes.io/config.mirror": hash, "kubernetes.io/config.hash": hash,
                        "kubernetes.io/config.source": "file", SIMULATED: "true"},
                    "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "controller": true}]},
                "spec": {"nodeName": node, "hostNetwork": true, "priorityClassName": "system-node-critical",
                    "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
                    "containers": [{"name": component, "image": format!("registry.k8s.io/{component}:{tag}")}]},
                "status": {"phase": "Pending"}});
            // A kubelet that registers again finds its mirror pods in place.
            let _ = self.create(&kind, "kube-system", pod, write);
        }
    }

    /// The kubelet starts the static pods of another version in place of the old ones.
    pub(super) fn set_components(&mut self, node: &str, version: &str) {
        self.components.insert(node.to_owned(), version.to_owned());
        for component in [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ] {
            let key = Key::new("", "pods", "kube-system", &format!("{component}-{node}"));
            let Some(live) = self.store.get(&key).cloned() else {
                continue;
            };
            let mut pod = (*live).clone();
            let image = json!(format!("registry.k8s.io/{component}:{version}"));
            pod["spec"]["containers"][0]["image"] = image.clone();
            if pod["status"]["containerStatuses"].is_array() {
                pod["status"]["containerStatuses"][0]["image"] = image;
            }
            self.put_changed(key, pod);
        }
    }

    pub(super) fn node_address(&self, node: &str) -> Value {
        self.store
            .get(&Key::new("", "nodes", "", node))
            .map_or(Value::Null, |node| node::address(node))
    }

    /// Records an event about an object, once per reason.
    pub(super) fn event(
        &mut self,
        about: &Value,
        severity: &str,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        let namespace = about["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default")
            .to_owned();
        let digest = Sha256::digest(format!("{}{reason}", about["metadata"]["uid"]));
        let name = format!(
            "{}.{}",
            about["metadata"]["name"].as_str().unwrap_or_default(),
            data_encoding::HEXLOWER.encode(&digest[..8])
        );
        if self
            .store
            .get(&Key::new("", "events", &namespace, &name))
            .is_some()
        {
            return;
        }
        let metadata = &about["metadata"];
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": namespace}, "type": severity, "reason": reason,
            "message": message, "count": 1, "firstTimestamp": stamp(now), "lastTimestamp": stamp(now), "source": {"component": "strata-lab"},
            "reportingComponent": "strata-lab", "involvedObject": {"apiVersion": about["apiVersion"], "kind": about["kind"], "name": metadata["name"],
                "namespace": namespace, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}});
        let kind = self.kind("", "events");
        // A namespace that is going takes its events along; nothing to tell then.
        let _ = self.create(&kind, &namespace, event, &Write::internal(now, ""));
    }
}
