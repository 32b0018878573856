//! The upgrade of a living cluster, broken off in the middle and gone on with.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strata_framework::{Attr, Change, Planned, Resource};

use super::site::{CILIUM, Site, refresh, replan, site};
use crate::services::kubernetes::cluster::KubernetesCluster;

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
