//! The door of a locked node (FN1, docs/delivery.md section 7): a one-shot privileged pod that runs one verb of `strata-node`.
//!
//! The image is the one of DaemonSet `cilium`, which is on every node, so nothing is pulled. Verbs with standard input cannot pass.
//! [`open`] starts it, [`poll`] is asked until it answers, [`close`] removes it; the waiting is the caller's.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use rand::RngExt as _;

use super::{Client, Error, MANAGER};
use crate::verb::{SCRIPT, Verb};

const NAMESPACE: &str = "kube-system";
const CNI: &str = "cilium";
const CONTAINER: &str = "strata-node";

/// A pod on its way.
#[derive(Debug, Clone)]
pub struct Door {
    pod: String,
    /// Where it runs.
    pub node: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Not finished; the text says how far it is.
    Running(String),
    /// The verb ended.
    Ended {
        /// 0 is success.
        code: i32,
        /// Standard output and error as the container log has them.
        log: String,
    },
}

/// The image that is on every node; `None` while the CNI is not installed, and then there is no door.
pub async fn image(client: &Client) -> Result<Option<String>, Error> {
    let api: Api<DaemonSet> = Api::namespaced(client.api(), NAMESPACE);
    let set = api
        .get_opt(CNI)
        .await
        .map_err(Error::during("read DaemonSet", CNI))?;
    let containers = set
        .and_then(|set| set.spec)
        .and_then(|spec| spec.template.spec)
        .map(|pod| pod.containers);
    Ok(containers
        .into_iter()
        .flatten()
        .next()
        .and_then(|container| container.image))
}

/// Starts a verb on a node.
pub async fn open(client: &Client, node: &str, image: &str, verb: &Verb) -> Result<Door, Error> {
    let pod = pod(node, image, verb)?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client.api(), NAMESPACE);
    api.create(&PostParams::default(), &pod)
        .await
        .map_err(Error::during("create pod", &name))?;
    Ok(Door {
        pod: name,
        node: node.into(),
    })
}

/// Looks whether the verb ended.
pub async fn poll(client: &Client, door: &Door) -> Result<Outcome, Error> {
    let api: Api<Pod> = Api::namespaced(client.api(), NAMESPACE);
    let pod = api
        .get(&door.pod)
        .await
        .map_err(Error::during("read pod", &door.pod))?;
    let status = pod.status.unwrap_or_default();
    let phase = status.phase.unwrap_or_else(|| "Pending".into());
    if !matches!(phase.as_str(), "Succeeded" | "Failed") {
        let waiting = status
            .container_statuses
            .iter()
            .flatten()
            .filter_map(|container| container.state.as_ref()?.waiting.as_ref());
        let reason = waiting
            .into_iter()
            .find_map(|waiting| waiting.reason.clone());
        return Ok(Outcome::Running(reason.map_or_else(
            || phase.clone(),
            |reason| format!("{phase} ({reason})"),
        )));
    }
    let ended = status
        .container_statuses
        .iter()
        .flatten()
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref());
    let code = ended
        .map(|ended| ended.exit_code)
        .next()
        .unwrap_or(i32::from(phase != "Succeeded"));
    let log = api
        .logs(&door.pod, &LogParams::default())
        .await
        .map_err(Error::during("read the log of pod", &door.pod))?;
    Ok(Outcome::Ended { code, log })
}

/// Removes the pod; gone is success.
pub async fn close(client: &Client, door: &Door) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(client.api(), NAMESPACE);
    let deleted = api
        .delete(&door.pod, &DeleteParams::default().grace_period(0))
        .await
        .map(drop);
    match deleted.map_err(Error::during("delete pod", &door.pod)) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Removes doors that a broken-off run left on a node.
pub async fn sweep(client: &Client, node: &str) -> Result<(), Error> {
    let ours = ListParams::default()
        .labels("strata.dev/verb")
        .fields(&format!("spec.nodeName={node}"));
    let api: Api<Pod> = Api::namespaced(client.api(), NAMESPACE);
    for pod in api
        .list(&ours)
        .await
        .map_err(Error::during("list the doors of node", node))?
    {
        let pod = pod.metadata.name.unwrap_or_default();
        close(
            client,
            &Door {
                pod,
                node: node.into(),
            },
        )
        .await?;
    }
    Ok(())
}

fn pod(node: &str, image: &str, verb: &Verb) -> Result<Pod, Error> {
    let mut command: Vec<String> = [
        "nsenter", "--target", "1", "--mount", "--uts", "--ipc", "--net", "--pid", "--", SCRIPT,
    ]
    .map(String::from)
    .into();
    command.extend(verb.words()?);
    let suffix: u32 = rand::rng().random();
    let value = serde_json::json!({
        "metadata": {
            "name": format!("strata-{}-{suffix:08x}", verb.name()),
            "namespace": NAMESPACE,
            "labels": { "strata.dev/verb": verb.name(), "app.kubernetes.io/managed-by": MANAGER },
        },
        "spec": {
            "nodeName": node,
            "hostPID": true,
            "restartPolicy": "Never",
            "tolerations": [{ "operator": "Exists" }],
            "containers": [{
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "Never",
                "command": command,
                "securityContext": { "privileged": true },
            }],
        },
    });
    Ok(serde_json::from_value(value).expect("a Pod"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_the_one_of_the_delivery_agreement() {
        let pod = pod(
            "cp-1",
            "quay.io/cilium/cilium:v1",
            &Verb::Peers(vec!["198.51.100.10".parse().unwrap()]),
        )
        .unwrap();
        let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
        assert_eq!(spec["nodeName"], "cp-1");
        assert_eq!(spec["hostPID"], true);
        assert_eq!(spec["containers"][0]["imagePullPolicy"], "Never");
        let command: Vec<&str> = spec["containers"][0]["command"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|word| word.as_str())
            .collect();
        assert_eq!(
            command.join(" "),
            format!(
                "nsenter --target 1 --mount --uts --ipc --net --pid -- {SCRIPT} peers 198.51.100.10"
            )
        );
        assert_eq!(pod.metadata.labels.unwrap()["strata.dev/verb"], "peers");
    }
}
