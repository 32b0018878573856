//! The upgrade of a living cluster, broken off in the middle and gone on with.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use strata_framework::{Attr, Change, Harness, Limits, Planned, Resource};
use tokio_util::sync::CancellationToken;

use super::site::{CILIUM, Site, refresh, replan, site};
use crate::services::kubernetes::cluster::KubernetesCluster;
use crate::services::kubernetes::manifests::KubernetesManifests;

const OLD: &str = "v1.34.2";
const NEW: &str = "v1.35.0";

/// Kubelet and, on control planes, static pods of every node.
async fn versions(site: &Site) -> BTreeMap<String, (String, Value)> {
    let estate = site.world.estate().await;
    let nodes = estate["clusters"][0]["nodes"].as_object().unwrap().clone();
    let version = |node: &Value| node["kubelet"].as_str().unwrap().to_owned();
    nodes
        .into_iter()
        .map(|(name, node)| (name, (version(&node), node["components"].clone())))
        .collect()
}

async fn plan(
    site: &Site,
    prior: &KubernetesCluster,
    version: &str,
) -> Result<KubernetesCluster, String> {
    let mut config = prior.clone();
    config.kubernetes_version = version.into();
    let planned = Planned {
        state: config.clone(),
        replace: Vec::new(),
    };
    let change = Change::Update {
        config: &config,
        prior,
    };
    let planned = KubernetesCluster::plan(&site.process.cx(), change, planned).await;
    planned
        .map(|planned| planned.state)
        .map_err(|found| found.to_string())
}

async fn update(site: &Site, prior: &KubernetesCluster) -> Result<KubernetesCluster, String> {
    let planned = plan(site, prior, NEW).await?;
    let cx = site.process.cx();
    KubernetesCluster::update(&cx, planned.clone(), prior.clone(), planned)
        .await
        .map_err(|found| found.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_upgrade_goes_node_by_node_and_on_from_where_it_broke_off() {
    let site = site(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    site.join_all(&["cp-1", "cp-2", "cp-3"]).await;
    site.join("w-1").await.unwrap();
    site.apply("cilium", CILIUM).await;
    let cluster = site.ready().await;
    assert_eq!(cluster.ready, Attr::Known(true));
    for (version, why) in [
        ("v1.36.0", "v1.35.x first"),
        ("v1.33.9", "does not go back"),
    ] {
        let refused = plan(&site, &cluster, version).await.unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }

    site.world
        .fault(
            "machine",
            "cp-2",
            json!({ "kubeadm_fail": { "phase": "control-plane" } }),
        )
        .await;
    let error = update(&site, &cluster).await.unwrap_err();
    assert!(
        error.contains("cp-2") && error.contains("goes on with this node"),
        "{error}"
    );
    let left: KubernetesCluster = site.process.saved().unwrap();
    assert_eq!(
        (left.ready.clone(), left.kubernetes_version.text()),
        (Attr::Known(false), OLD)
    );
    let found = versions(&site).await;
    assert_eq!(found["cp-1"].0, format!("{NEW}+lab"), "{found:?}");
    assert_eq!(found["cp-3"].0, format!("{OLD}+lab"), "{found:?}");
    let cordoned =
        |estate: &Value, name: &str| estate["clusters"][0]["nodes"][name]["unschedulable"] == true;
    let estate = site.world.estate().await;
    assert!(cordoned(&estate, "cp-2") && !cordoned(&estate, "cp-1"));

    let upgraded = update(&site, &left)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(upgraded.ready, Attr::Known(true));
    assert_eq!(upgraded.version.text(), format!("{NEW}+lab"));
    for (name, (kubelet, components)) in versions(&site).await {
        assert_eq!(kubelet, format!("{NEW}+lab"), "{name}");
        let expected = if name.starts_with("cp") {
            json!(NEW)
        } else {
            Value::Null
        };
        assert_eq!(components, expected, "{name}");
    }
    let estate = site.world.estate().await;
    assert!(
        ["cp-1", "cp-2", "cp-3", "w-1"]
            .iter()
            .all(|name| !cordoned(&estate, name))
    );
    assert_eq!(estate["clusters"][0]["quorum_losses"], 0);
    let refreshed = refresh(&site.process, &upgraded).await.unwrap();
    assert_eq!(replan(&site.process, &refreshed).await.state, upgraded);
}

/// A machine brings the version it was made for; the cluster's counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_of_another_version_joins_at_the_clusters_and_a_single_control_plane_upgrades() {
    let site = site(&["cp-1", "w-1"]).await;
    site.join("cp-1").await.unwrap();
    site.apply("cilium", CILIUM).await;
    let mut cluster = site.ready_with(&["cp-1"]).await;
    cluster = update(&site, &cluster)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cluster.version.text(), format!("{NEW}+lab"));
    // The machine was installed with the old one.
    site.join("w-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let found = versions(&site).await;
    assert_eq!(found["w-1"].0, format!("{NEW}+lab"), "{found:?}");
}

/// coredns has two replicas; with this budget neither may be evicted.
const BUDGET: &str = "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: dns, namespace: kube-system}
spec: {minAvailable: 2, selector: {matchLabels: {k8s-app: kube-dns}}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_budget_that_keeps_a_node_from_being_emptied_is_named_and_the_upgrade_goes_on_without_it()
{
    let site = site(&["cp-1", "w-1"]).await;
    site.join_all(&["cp-1"]).await;
    site.join("w-1").await.unwrap();
    site.apply("cilium", CILIUM).await;
    let cluster = site.ready().await;
    let budget = site.apply("budget", BUDGET).await;
    let error = update(&site, &cluster).await.unwrap_err();
    assert!(
        error.contains("Cannot upgrade node")
            && error.contains("kube-system/coredns")
            && error.contains("The disruption budget dns needs 2 healthy pods and has 2 currently")
            && error.contains("stays cordoned")
            && error.contains("goes on with this node"),
        "{error}"
    );
    let left: KubernetesCluster = site.process.saved().unwrap();
    KubernetesManifests::delete(&site.process.cx(), budget)
        .await
        .unwrap();
    let upgraded = update(&site, &left)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(upgraded.version.text(), format!("{NEW}+lab"));
    for (name, (kubelet, _)) in versions(&site).await {
        assert_eq!(kubelet, format!("{NEW}+lab"), "{name}");
    }
}

/// Ctrl-C at any moment, and a power cut in the middle of the step: the next run goes on, no node stays cordoned, and etcd keeps its majority.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_and_a_reboot_in_the_middle_of_an_upgrade_are_outlived() {
    let mut site = site(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    site.join_all(&["cp-1", "cp-2", "cp-3"]).await;
    site.join("w-1").await.unwrap();
    site.apply("cilium", CILIUM).await;
    let ready = site.ready().await;
    assert_eq!(ready.ready, Attr::Known(true));
    let cut = json!({ "reboot_during": { "verb": "kubernetes" } });
    site.world.fault("machine", "cp-2", cut).await;
    let error = update(&site, &ready).await.unwrap_err();
    assert!(error.contains("cp-2"), "{error}");
    assert!(site.world.all_faults_happened().await);
    let mut left: KubernetesCluster = site.process.saved().unwrap();
    let mut stopped = 0;
    for pause in [30, 200, 500] {
        let cancel = CancellationToken::new();
        let limits = Limits {
            cancel: cancel.clone(),
            ..Limits::within(Duration::from_mins(5))
        };
        site.process = Harness::new(site.world.provider("estate-1").await).with(limits);
        let (updated, ()) = tokio::join!(update(&site, &left), async {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            cancel.cancel();
        });
        if let Ok(done) = updated {
            left = done;
        } else {
            stopped += 1;
            left = site.process.saved().unwrap_or(left);
        }
    }
    assert!(stopped > 0, "no stop came in time, so nothing was tried");
    site.next_run().await;
    let upgraded = update(&site, &left)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(upgraded.version.text(), format!("{NEW}+lab"));
    let estate = site.world.estate().await;
    for (name, node) in estate["clusters"][0]["nodes"].as_object().unwrap() {
        assert_eq!(node["kubelet"], format!("{NEW}+lab"), "{name}");
        assert_ne!(node["unschedulable"], true, "{name}");
    }
    assert_eq!(estate["clusters"][0]["quorum_losses"], 0);
}
