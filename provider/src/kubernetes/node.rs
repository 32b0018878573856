//! Node objects: who is a member, whether it is ready, and moving the work away from one.

use std::collections::BTreeMap;

pub use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};

use super::{Client, Error, MANAGER};

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// Annotation of a node that is being upgraded: the version, and whether it was cordoned before.
const WORK: &str = "strata.dev/upgrade";
const CORDONED: &str = "cordoned";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What the node's Ready condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// `True`.
    Ready,
    /// `False`: the kubelet lives and says why not.
    NotReady(String),
    /// `Unknown` or absent: the kubelet has not been heard of.
    Silent,
}

/// A node as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Name of the Node object.
    pub name: String,
    /// Internal addresses.
    pub addresses: Vec<String>,
    /// By its role label.
    pub control_plane: bool,
    /// By its condition.
    pub readiness: Readiness,
    /// Version of its kubelet, like `v1.34.2`.
    pub kubelet: String,
    /// Another one after each boot.
    pub boot: String,
    /// It takes no new pods.
    pub cordoned: bool,
    /// The mark of an upgrade that works on it.
    pub work: Option<Work>,
}

/// The mark of an upgrade on the node that it works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The version it is going to.
    pub version: String,
    /// Somebody had cordoned the node before, so it stays cordoned.
    pub stays_cordoned: bool,
}

impl Work {
    fn parse(text: &str) -> Self {
        let (version, rest) = text.split_once(',').unwrap_or((text, ""));
        Self {
            version: version.into(),
            stays_cordoned: rest == CORDONED,
        }
    }

    fn text(&self) -> String {
        if self.stays_cordoned {
            format!("{},{CORDONED}", self.version)
        } else {
            self.version.clone()
        }
    }
}

impl View {
    fn of(node: &Node) -> Self {
        let status = node.status.as_ref();
        let addresses = status
            .and_then(|status| status.addresses.as_deref())
            .unwrap_or_default();
        let conditions = status
            .and_then(|status| status.conditions.as_deref())
            .unwrap_or_default();
        let readiness = match conditions
            .iter()
            .find(|condition| condition.type_ == "Ready")
        {
            Some(ready) if ready.status == "True" => Readiness::Ready,
            Some(ready) if ready.status == "False" => Readiness::NotReady(
                ready
                    .message
                    .clone()
                    .or_else(|| ready.reason.clone())
                    .unwrap_or_else(|| "no reason given".into()),
            ),
            _ => Readiness::Silent,
        };
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            addresses: addresses
                .iter()
                .filter(|address| address.type_ == "InternalIP")
                .map(|address| address.address.clone())
                .collect(),
            control_plane: node
                .metadata
                .labels
                .as_ref()
                .is_some_and(|labels| labels.contains_key(CONTROL_PLANE)),
            readiness,
            kubelet: status
                .and_then(|status| status.node_info.as_ref())
                .map(|info| info.kubelet_version.clone())
                .unwrap_or_default(),
            boot: status
                .and_then(|status| status.node_info.as_ref())
                .map(|info| info.boot_id.clone())
                .unwrap_or_default(),
            cordoned: node
                .spec
                .as_ref()
                .is_some_and(|spec| spec.unschedulable == Some(true)),
            work: node
                .metadata
                .annotations
                .as_ref()
                .and_then(|annotations| annotations.get(WORK))
                .map(|text| Work::parse(text)),
        }
    }

    /// Whether the Ready condition is true.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready
    }
}

/// All nodes.
pub async fn list(client: &Client) -> Result<Vec<View>, Error> {
    let nodes = Api::<Node>::all(client.api())
        .list(&ListParams::default())
        .await;
    Ok(nodes
        .map_err(Error::during("list", "the nodes"))?
        .iter()
        .map(View::of)
        .collect())
}

/// One node; `None` is the API's word that it does not exist.
pub async fn get(client: &Client, name: &str) -> Result<Option<View>, Error> {
    let node = Api::<Node>::all(client.api())
        .get_opt(name)
        .await
        .map_err(Error::during("read node", name))?;
    Ok(node.as_ref().map(View::of))
}

/// Deletes the Node object; gone is success.
pub async fn delete(client: &Client, name: &str) -> Result<(), Error> {
    let deleted = Api::<Node>::all(client.api())
        .delete(name, &DeleteParams::default())
        .await
        .map(drop);
    match deleted.map_err(Error::during("delete node", name)) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Makes the Node object anew after somebody deleted it. A kubelet that still runs does not register by itself, but reports to an object that is there.
pub async fn readmit(
    client: &Client,
    name: &str,
    control_plane: bool,
    taints: &[Taint],
) -> Result<(), Error> {
    let mut labels = BTreeMap::from([
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
    ]);
    let mut taints = taints.to_vec();
    if control_plane {
        labels.insert(CONTROL_PLANE, "");
        taints.push(Taint {
            key: CONTROL_PLANE.into(),
            effect: "NoSchedule".into(),
            value: None,
            time_added: None,
        });
    }
    let node = serde_json::json!({ "metadata": { "name": name, "labels": labels }, "spec": { "taints": taints } });
    let node: Node = serde_json::from_value(node).expect("a Node");
    let made = Api::<Node>::all(client.api())
        .create(&PostParams::default(), &node)
        .await;
    match made.map(drop).map_err(Error::during("create node", name)) {
        Err(error) if !error.is_conflict() => Err(error),
        _ => Ok(()),
    }
}

/// Makes these our labels of the node; ours from before that are not among them go.
pub async fn set_labels(
    client: &Client,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let node = serde_json::json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name, "labels": labels } });
    let api = Api::<Node>::all(client.api());
    let applied = api
        .patch(
            name,
            &PatchParams::apply(MANAGER).force(),
            &Patch::Apply(&node),
        )
        .await;
    applied.map(drop).map_err(Error::during("label node", name))
}

/// Replaces some of the node's taints by others; those of controllers stay.
pub async fn change_taints(
    client: &Client,
    name: &str,
    remove: &[Taint],
    add: &[Taint],
) -> Result<(), Error> {
    let api = Api::<Node>::all(client.api());
    let node = api
        .get(name)
        .await
        .map_err(Error::during("read node", name))?;
    let mut taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
    let same = |a: &Taint, b: &Taint| a.key == b.key && a.effect == b.effect;
    taints.retain(|taint| !remove.iter().chain(add).any(|other| same(taint, other)));
    taints.extend(add.iter().cloned());
    // With the version that was read: a controller's taint that came in between is not lost.
    let patch = serde_json::json!({ "metadata": { "resourceVersion": node.metadata.resource_version }, "spec": { "taints": taints } });
    let patched = api
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    patched
        .map(drop)
        .map_err(Error::during("change the taints of node", name))
}

/// Marks the node as not schedulable.
pub async fn cordon(client: &Client, name: &str) -> Result<(), Error> {
    Api::<Node>::all(client.api())
        .cordon(name)
        .await
        .map(drop)
        .map_err(Error::during("cordon node", name))
}

/// Lets pods onto the node again.
pub async fn uncordon(client: &Client, name: &str) -> Result<(), Error> {
    Api::<Node>::all(client.api())
        .uncordon(name)
        .await
        .map(drop)
        .map_err(Error::during("uncordon node", name))
}

/// Marks the node as worked on and cordons it, in one write. A mark that is there keeps what it says about before.
pub async fn begin_work(client: &Client, name: &str, version: &str) -> Result<(), Error> {
    let api = Api::<Node>::all(client.api());
    let node = api
        .get(name)
        .await
        .map_err(Error::during("read node", name))?;
    let before = View::of(&node);
    let work = Work {
        version: version.into(),
        stays_cordoned: before
            .work
            .map_or(before.cordoned, |work| work.stays_cordoned),
    };
    let patch = serde_json::json!({
        "metadata": { "annotations": { WORK: work.text() } },
        "spec": { "unschedulable": true },
    });
    patch_node(&api, name, &patch).await
}

/// Takes the mark off, and uncordons the node unless somebody else had cordoned it.
pub async fn end_work(client: &Client, name: &str, stays_cordoned: bool) -> Result<(), Error> {
    let mut patch = serde_json::json!({ "metadata": { "annotations": { WORK: null } } });
    if !stays_cordoned {
        patch["spec"] = serde_json::json!({ "unschedulable": null });
    }
    patch_node(&Api::<Node>::all(client.api()), name, &patch).await
}

async fn patch_node(api: &Api<Node>, name: &str, patch: &serde_json::Value) -> Result<(), Error> {
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map(drop)
        .map_err(Error::during("mark node", name))
}

/// Asks every evictable pod of the node to leave and returns those that are still there, with what holds them. Call it until the list is empty.
pub async fn evict(client: &Client, name: &str) -> Result<Vec<String>, Error> {
    let on_node = ListParams::default().fields(&format!("spec.nodeName={name}"));
    let pods = Api::<Pod>::all(client.api())
        .list(&on_node)
        .await
        .map_err(Error::during("list the pods of node", name))?;
    let mut remaining = Vec::new();
    for pod in pods.items.into_iter().filter(is_evictable) {
        let namespace = pod.metadata.namespace.unwrap_or_default();
        let pod = pod.metadata.name.unwrap_or_default();
        let label = format!("{namespace}/{pod}");
        let api: Api<Pod> = Api::namespaced(client.api(), &namespace);
        match api
            .evict(&pod, &EvictParams::default())
            .await
            .map(drop)
            .map_err(Error::during("evict pod", &label))
        {
            Err(error) if error.is_not_found() => {}
            // A disruption budget says "later", and which one.
            Err(Error::Refused {
                code: 429, message, ..
            }) => remaining.push(format!("{label} ({})", message.trim_end_matches('.'))),
            Err(error) => return Err(error),
            // Accepted: it is still there for a while.
            Ok(()) => remaining.push(label),
        }
    }
    Ok(remaining)
}

/// A DaemonSet's pod comes back at once, a static pod is not the API's, a finished one does not matter.
fn is_evictable(pod: &Pod) -> bool {
    let owned_by_daemon_set = pod
        .metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.kind == "DaemonSet");
    let mirror = pod
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|annotations| annotations.contains_key(MIRROR));
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    !owned_by_daemon_set && !mirror && !matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(conditions: &serde_json::Value) -> View {
        let node = serde_json::json!({
            "metadata": { "name": "cp-1", "labels": { CONTROL_PLANE: "" } },
            "status": { "conditions": conditions, "addresses": [
                { "type": "Hostname", "address": "cp-1" }, { "type": "InternalIP", "address": "198.51.100.10" },
            ]},
        });
        View::of(&serde_json::from_value(node).unwrap())
    }

    #[test]
    fn readiness_tells_a_node_that_complains_from_one_that_is_silent() {
        let ready = view(&serde_json::json!([{ "type": "Ready", "status": "True" }]));
        assert!(ready.is_ready() && ready.control_plane);
        assert_eq!(ready.addresses, ["198.51.100.10"]);
        let complaining =
            view(&serde_json::json!([{ "type": "Ready", "status": "False", "message": "no CNI" }]));
        assert_eq!(complaining.readiness, Readiness::NotReady("no CNI".into()));
        assert_eq!(
            view(&serde_json::json!([{ "type": "Ready", "status": "Unknown" }])).readiness,
            Readiness::Silent
        );
        assert_eq!(view(&serde_json::json!([])).readiness, Readiness::Silent);
    }

    #[test]
    fn the_mark_of_an_upgrade_remembers_who_cordoned() {
        for (text, stays_cordoned) in [("v1.35.0", false), ("v1.35.0,cordoned", true)] {
            let work = Work::parse(text);
            assert_eq!(
                (work.version.as_str(), work.stays_cordoned),
                ("v1.35.0", stays_cordoned)
            );
            assert_eq!(work.text(), text);
        }
    }

    #[test]
    fn only_pods_that_would_move_are_evicted() {
        let pod = |value| serde_json::from_value::<Pod>(value).unwrap();
        let owner = serde_json::json!([{ "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "cilium", "uid": "1" }]);
        assert!(is_evictable(&pod(
            serde_json::json!({ "metadata": { "name": "web" } })
        )));
        assert!(!is_evictable(&pod(
            serde_json::json!({ "metadata": { "name": "cilium-x", "ownerReferences": owner } })
        )));
        assert!(!is_evictable(&pod(
            serde_json::json!({ "metadata": { "name": "etcd", "annotations": { MIRROR: "x" } } })
        )));
        assert!(!is_evictable(&pod(
            serde_json::json!({ "metadata": { "name": "job" }, "status": { "phase": "Succeeded" } })
        )));
    }
}
