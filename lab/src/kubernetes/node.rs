//! Node objects and the node controllers: heartbeat, readiness, taints.
//!
//! A node is Ready when its machine answers and a CNI pod runs on it; both are facts of the lab, not of a container runtime.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::age::stamp;
use super::agent::{NodeSpec, Taint};
use super::plane::State;
use super::store::Key;

/// A node whose kubelet is silent for this long becomes Unknown (`node-monitor-grace-period`).
const GRACE: SignedDuration = SignedDuration::from_secs(40);
const NO_CNI: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
const SILENT: &str = "Kubelet stopped posting node status.";

/// The object as a kubelet registers it.
pub(super) fn object(spec: &NodeSpec, now: Timestamp) -> Value {
    let mut labels = json!({"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64"});
    let mut taints = vec![json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})];
    if spec.control_plane {
        labels["node-role.kubernetes.io/control-plane"] = json!("");
        labels["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
    }
    for (name, value) in &spec.labels {
        labels[name] = json!(value);
    }
    match &spec.taints {
        None if spec.control_plane => taints.insert(
            0,
            json!({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}),
        ),
        None => {}
        Some(own) => taints.splice(0..0, own.iter().map(taint)).for_each(drop),
    }
    let kubelet = if spec.version.contains('+') {
        spec.version.clone()
    } else {
        format!("{}+lab", spec.version)
    };
    let resources =
        json!({"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "200Gi"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels, "annotations": {"strata.dev/simulated": "true",
            "kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/containerd/containerd.sock"}},
        "spec": {"taints": taints},
        "status": {
            "addresses": [{"type": "InternalIP", "address": spec.address}, {"type": "Hostname", "address": spec.name}],
            "capacity": resources, "allocatable": resources,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"kubeletVersion": kubelet, "kubeProxyVersion": "", "osImage": spec.os_image, "operatingSystem": "linux", "architecture": "amd64",
                "kernelVersion": "6.6.0-simulated", "containerRuntimeVersion": "containerd://0.0.0-simulated",
                "machineID": "", "systemUUID": "", "bootID": ""},
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available", now),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure", now),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available", now),
                condition("Ready", "False", "KubeletNotReady", NO_CNI, now),
            ],
        },
    })
}

fn taint(taint: &Taint) -> Value {
    let mut value = json!({"key": taint.key, "effect": taint.effect});
    if !taint.value.is_empty() {
        value["value"] = json!(taint.value);
    }
    value
}

fn condition(kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": stamp(now), "lastTransitionTime": stamp(now)})
}

/// Sets a condition; its times move only when it changes, so that a quiet cluster makes no events.
pub(super) fn set_condition(
    object: &mut Value,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let all = object["status"]["conditions"]
        .as_array_mut()
        .expect("made one above");
    match all.iter_mut().find(|each| each["type"] == kind) {
        Some(found) if found["status"] == status && found["reason"] == reason => {
            found["message"] = json!(message);
        }
        Some(found) => *found = condition(kind, status, reason, message, now),
        None => all.push(condition(kind, status, reason, message, now)),
    }
}

pub(super) fn condition_status<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|each| each["type"] == kind)?["status"]
        .as_str()
}

pub(super) fn is_ready(node: &Value) -> bool {
    condition_status(node, "Ready") == Some("True")
}

pub(super) fn address(node: &Value) -> Value {
    let all = node["status"]["addresses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter()
        .find(|address| address["type"] == "InternalIP")
        .map_or(Value::Null, |address| address["address"].clone())
}

/// True for a DaemonSet that brings the network: Cilium, or one of kube-system that mounts `/etc/cni/net.d`.
pub(super) fn is_cni(daemon_set: &Value) -> bool {
    if daemon_set["metadata"]["namespace"] != "kube-system" {
        return false;
    }
    let template = &daemon_set["spec"]["template"];
    let cilium = [
        &daemon_set["metadata"]["labels"],
        &template["metadata"]["labels"],
    ]
    .iter()
    .any(|labels| labels["k8s-app"] == "cilium");
    let volumes = template["spec"]["volumes"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    cilium
        || volumes.iter().any(|volume| {
            volume["hostPath"]["path"]
                .as_str()
                .is_some_and(|path| path.starts_with("/etc/cni"))
        })
}

impl State {
    /// Brings conditions and taints of all nodes in line with the machines.
    pub(super) fn reconcile_nodes(&mut self, now: Timestamp) {
        let nodes: Vec<(Key, Value)> = self
            .store
            .list(&self.kind("", "nodes").id(), None)
            .map(|(key, node)| (key.clone(), (**node).clone()))
            .collect();
        for (key, before) in nodes {
            let mut node = before.clone();
            let alive = self
                .agents
                .get(&key.name)
                .is_some_and(|agent| agent.is_alive());
            if alive {
                self.silent_since.remove(&key.name);
                self.living_node(&mut node, &key.name, now);
            } else {
                let since = *self.silent_since.entry(key.name.clone()).or_insert(now);
                if now.duration_since(since) >= GRACE {
                    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
                        set_condition(&mut node, kind, "Unknown", "NodeStatusUnknown", SILENT, now);
                    }
                }
            }
            let status = condition_status(&node, "Ready")
                .unwrap_or("Unknown")
                .to_owned();
            let cordoned = node["spec"]["unschedulable"] == true;
            set_taint(
                &mut node,
                "node.kubernetes.io/not-ready",
                &["NoSchedule", "NoExecute"],
                status == "False",
                now,
            );
            set_taint(
                &mut node,
                "node.kubernetes.io/unreachable",
                &["NoSchedule", "NoExecute"],
                status == "Unknown",
                now,
            );
            set_taint(
                &mut node,
                "node.kubernetes.io/unschedulable",
                &["NoSchedule"],
                cordoned,
                now,
            );
            if node != before {
                self.store.put(key, node);
            }
        }
    }

    fn living_node(&self, node: &mut Value, name: &str, now: Timestamp) {
        if node["status"]["addresses"].is_null()
            && let Some(reported) = self.reported.get(name)
        {
            for field in [
                "addresses",
                "capacity",
                "allocatable",
                "daemonEndpoints",
                "nodeInfo",
            ] {
                node["status"][field] = reported[field].clone();
            }
        }
        let cni = self.cni_on(name);
        for (kind, reason, message) in [
            (
                "MemoryPressure",
                "KubeletHasSufficientMemory",
                "kubelet has sufficient memory available",
            ),
            (
                "DiskPressure",
                "KubeletHasNoDiskPressure",
                "kubelet has no disk pressure",
            ),
            (
                "PIDPressure",
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
            ),
        ] {
            set_condition(node, kind, "False", reason, message, now);
        }
        match cni {
            Some(true) => set_condition(
                node,
                "NetworkUnavailable",
                "False",
                "CiliumIsUp",
                "Cilium is running on this node",
                now,
            ),
            // Once up, the network stays while Cilium's pod is replaced.
            _ if condition_status(node, "NetworkUnavailable") == Some("False") => {}
            Some(false) => {}
            None if is_ready(node) => {}
            None => {
                set_condition(node, "Ready", "False", "KubeletNotReady", NO_CNI, now);
                return;
            }
        }
        set_condition(
            node,
            "Ready",
            "True",
            "KubeletReady",
            "kubelet is posting ready status (simulated by the Strata lab)",
            now,
        );
    }

    /// Whether a CNI pod runs on the node, and whether it is Cilium's.
    fn cni_on(&self, node: &str) -> Option<bool> {
        let sets = self.kind("apps", "daemonsets").id();
        let pods = self.kind("", "pods").id();
        self.store
            .list(&sets, Some("kube-system"))
            .filter(|(_, set)| is_cni(set))
            .find_map(|(_, set)| {
                let uid = &set["metadata"]["uid"];
                let runs = self.store.list(&pods, Some("kube-system")).any(|(_, pod)| {
                    pod["spec"]["nodeName"] == *node
                        && pod["metadata"]["ownerReferences"][0]["uid"] == *uid
                        && condition_status(pod, "Ready") == Some("True")
                });
                let labels = [
                    &set["metadata"]["labels"],
                    &set["spec"]["template"]["metadata"]["labels"],
                ];
                runs.then(|| labels.iter().any(|labels| labels["k8s-app"] == "cilium"))
            })
    }
}

fn set_taint(node: &mut Value, key: &str, effects: &[&str], wanted: bool, now: Timestamp) {
    let mut taints: Vec<Value> = node["spec"]["taints"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for effect in effects {
        let found = taints
            .iter()
            .position(|taint| taint["key"] == key && taint["effect"] == *effect);
        match (found, wanted) {
            (None, true) => {
                taints.push(json!({"key": key, "effect": effect, "timeAdded": stamp(now)}));
            }
            (Some(index), false) => {
                taints.remove(index);
            }
            _ => {}
        }
    }
    if !node["spec"].is_object() {
        node["spec"] = json!({});
    }
    let spec = node["spec"].as_object_mut().expect("made one above");
    if taints.is_empty() {
        spec.shift_remove("taints");
    } else {
        spec.insert("taints".into(), Value::Array(taints));
    }
}
