//! One-shot privileged pods: the door into a locked node (docs/delivery.md, section 7).

use std::sync::Arc;

use serde_json::{Value, json};

use super::age::stamp;
use super::node::set_condition;
use super::plane::{ControlPlane, State};
use super::store::Key;

const ENTER: [&str; 9] = [
    "nsenter", "--target", "1", "--mount", "--uts", "--ipc", "--net", "--pid", "--",
];

/// True for a pod that asks to run a command in the namespaces of its node.
pub(super) fn is_host_pod(pod: &Value) -> bool {
    let spec = &pod["spec"];
    let containers = spec["containers"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let [container] = containers else {
        return false;
    };
    spec["nodeName"].is_string()
        && spec["hostPID"] == true
        && container["securityContext"]["privileged"] == true
        && command(pod).is_some()
}

/// What runs on the node, without the way into it.
fn command(pod: &Value) -> Option<Vec<String>> {
    let words = pod["spec"]["containers"][0]["command"].as_array()?;
    let words: Vec<String> = words
        .iter()
        .map(|word| word.as_str().unwrap_or_default().to_owned())
        .collect();
    let rest = words.strip_prefix(&ENTER.map(str::to_owned)[..])?;
    (!rest.is_empty()).then(|| rest.to_vec())
}

impl State {
    /// Why the node's kubelet does not start a host pod, as waiting reason and message.
    fn refusal(&self, pod: &Value) -> Option<(&'static str, String)> {
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if self.agents.get(node).is_none_or(|agent| !agent.is_alive()) {
            return Some((
                "NodeNotAlive",
                format!("node {node} does not run this pod: its kubelet does not answer"),
            ));
        }
        let image = pod["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap_or_default();
        let cilium = self
            .store
            .get(&Key::new("apps", "daemonsets", "kube-system", "cilium"));
        let containers = cilium
            .map(|set| set["spec"]["template"]["spec"]["containers"].clone())
            .unwrap_or_default();
        let present = containers
            .as_array()
            .is_some_and(|all| all.iter().any(|container| container["image"] == image));
        if present {
            return None;
        }
        Some((
            "ErrImageNeverPull",
            format!(
                "Container image \"{image}\" is not present with pull policy of Never: only the image of DaemonSet kube-system/cilium is on the lab's nodes"
            ),
        ))
    }

    fn update_pod(&mut self, key: &Key, uid: &Value, change: impl FnOnce(&mut Value)) {
        let Some(live) = self
            .store
            .get(key)
            .filter(|pod| pod["metadata"]["uid"] == *uid)
            .cloned()
        else {
            return;
        };
        let mut pod = (*live).clone();
        change(&mut pod);
        self.put_changed(key.clone(), pod);
    }
}

impl ControlPlane {
    /// Hands every host pod that can run to the agent of its node, once.
    pub(super) fn start_host_pods(self: &Arc<Self>) {
        let now = self.clock.now();
        let mut state = self.locked();
        if !state.has_quorum() {
            return;
        }
        for (key, pod) in state.all("", "pods") {
            let uid = pod["metadata"]["uid"].clone();
            let text = uid.as_str().unwrap_or_default().to_owned();
            let waits = pod["status"]["phase"] == "Pending"
                && pod["metadata"].get("deletionTimestamp").is_none();
            if !is_host_pod(&pod) || !waits || state.started.contains(&text) {
                continue;
            }
            let container = &pod["spec"]["containers"][0];
            let (name, image) = (container["name"].clone(), container["image"].clone());
            if let Some((reason, message)) = state.refusal(&pod) {
                state.event(&pod, "Warning", reason, &message, now);
                state.update_pod(&key, &uid, |pod| {
                    pod["status"]["containerStatuses"] = json!([{"name": name, "image": image, "imageID": "", "ready": false, "restartCount": 0,
                        "state": {"waiting": {"reason": reason, "message": message}}}]);
                });
                continue;
            }
            state.started.insert(text.clone());
            let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
            let address = state.node_address(node);
            let started = stamp(now);
            state.update_pod(&key, &uid, |pod| {
                pod["status"] = json!({"phase": "Running", "startTime": started, "hostIP": address, "podIP": address, "containerStatuses": [{"name": name,
                    "image": image, "imageID": "", "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": started}}}]});
                set_condition(pod, "PodScheduled", "True", "", "", now);
                set_condition(pod, "Ready", "True", "", "", now);
            });
            let agent = state
                .agents
                .get(node)
                .expect("an absent agent is a refusal")
                .clone();
            let command = command(&pod).expect("checked by is_host_pod");
            let plane = Arc::downgrade(self);
            tokio::spawn(async move {
                let outcome = agent.run(command).await;
                let Some(plane) = plane.upgrade() else { return };
                let now = plane.clock.now();
                {
                    let mut state = plane.locked();
                    state.logs.insert(text, outcome.log);
                    let (phase, reason) = if outcome.exit_code == 0 {
                        ("Succeeded", "Completed")
                    } else {
                        ("Failed", "Error")
                    };
                    state.update_pod(&key, &uid, |pod| {
                        pod["status"]["phase"] = json!(phase);
                        pod["status"]["containerStatuses"] = json!([{"name": name, "image": image, "imageID": "", "ready": false, "started": false,
                            "restartCount": 0, "state": {"terminated": {"exitCode": outcome.exit_code, "reason": reason, "startedAt": started, "finishedAt": stamp(now)}}}]);
                        set_condition(pod, "Ready", "False", "PodCompleted", "", now);
                    });
                }
                plane.reconcile();
            });
        }
        let revision = state.store.revision();
        drop(state);
        self.revision
            .send_if_modified(|seen| std::mem::replace(seen, revision) != revision);
    }
}
