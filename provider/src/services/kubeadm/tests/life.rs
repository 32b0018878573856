//! The whole life of a cluster without an accident.

use serde_json::json;
use strata_framework::{Attr, Resource};

use super::super::join_info::KubeadmJoinInfo;
use super::super::node::KubeadmNode;
use super::site::{CILIUM, put, refresh, replan, site};
use crate::claim::{self, State};
use crate::services::kubernetes::cluster::KubernetesCluster;
use crate::services::lockdown::NodeLockdown;
use crate::services::lockdown::probe::Seen;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_become_a_locked_cluster_and_are_let_go() {
    let site = site(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    let control_planes = site.join_all(&["cp-3", "cp-1", "cp-2"]).await;
    let initialised: Vec<&str> = control_planes
        .iter()
        .filter(|node| node.initialised == Attr::Known(true))
        .map(|node| node.name.text())
        .collect();
    assert_eq!(
        initialised,
        ["cp-1"],
        "the first by name, whose address the endpoint has"
    );
    let worker = site
        .join("w-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(site.claim().await, Some(State::Initialised));
    site.apply("cilium", CILIUM).await;

    let cluster = site.ready().await;
    assert_eq!(
        cluster.ready,
        Attr::Known(true),
        "{}",
        site.process.warnings()
    );
    assert!(
        site.process.warnings().is_empty(),
        "{}",
        site.process.warnings()
    );

    let names = ["cp-1", "cp-2", "cp-3", "w-1"];
    let locked = futures::future::join_all(names.iter().map(|name| site.lock(name))).await;
    let locked: Vec<NodeLockdown> = locked
        .into_iter()
        .map(|lockdown| lockdown.unwrap_or_else(|error| panic!("{error}")))
        .collect();
    let checks = locked.iter().map(async |lockdown| {
        assert_eq!(
            site.port22(lockdown.name.text()).await,
            Seen::Silent,
            "{}",
            lockdown.name.text()
        );
        assert_eq!(lockdown.observed.known().unwrap()["ipv4"], "closed");
        let refreshed = refresh(&site.process, lockdown).await.unwrap();
        let planned = replan(&site.process, &refreshed).await;
        assert_eq!(planned.state, *lockdown, "a second plan is empty");
    });
    futures::future::join_all(checks).await;
    for node in control_planes.iter().chain([&worker]) {
        assert_eq!(refresh(&site.process, node).await.as_ref(), Some(node));
    }

    // Destroy as Terraform orders it: the mark, then everything else without drain and quorum.
    KubernetesCluster::delete(&site.process.cx(), cluster)
        .await
        .unwrap();
    assert_eq!(site.claim().await, Some(State::Teardown));
    // At once, as Terraform does: the windows are short at this speed.
    let cx = site.process.cx();
    let opened = locked
        .into_iter()
        .map(|lockdown| NodeLockdown::delete(&cx, lockdown));
    for opened in futures::future::join_all(opened).await {
        opened.unwrap();
    }

    // Locked, and soon without an API: each is still reached, through the window that its lockdown left, and only one disk keeps something.
    site.world
        .fault("machine", "cp-2", json!("cannot_discard"))
        .await;
    let wiped = futures::future::join_all(names.iter().map(|name| site.wipe(name))).await;
    let reason = wiped[1].as_ref().unwrap_err();
    assert!(reason.contains("cannot discard /dev/nvme0n1"), "{reason}");
    assert!(
        wiped.iter().filter(|wiped| wiped.is_ok()).count() == 3,
        "{wiped:?}"
    );
    let estate = site.world.estate().await;
    for machine in estate["machines"].as_array().unwrap() {
        let kept = machine["hostname"] == "cp-2";
        let first = &machine["disks"]["/dev/nvme0n1"];
        assert_eq!(
            first,
            if kept { "data" } else { "discarded" },
            "{machine:#}"
        );
        assert_eq!(machine["disks"]["/dev/nvme1n1"], "discarded", "{machine:#}");
    }

    for node in control_planes.into_iter().chain([worker]) {
        KubeadmNode::delete(&site.process.cx(), node).await.unwrap();
    }
    assert_eq!(
        site.claim().await,
        None,
        "the claim goes with the last node"
    );
    assert!(
        site.process.warnings().is_empty(),
        "{}",
        site.process.warnings()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_joins_a_locked_cluster_and_a_control_plane_leaves_it() {
    let site = site(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    let control_planes = site.join_all(&["cp-1", "cp-2", "cp-3"]).await;
    site.apply("cilium", CILIUM).await;
    let lockdowns =
        futures::future::join_all(["cp-1", "cp-2", "cp-3"].map(|name| site.lock(name))).await;
    assert!(lockdowns.iter().all(Result::is_ok), "{lockdowns:?}");

    let worker = site
        .join("w-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(worker.initialised, Attr::Known(false));

    let info = KubeadmJoinInfo {
        name: "home".into(),
        cluster: site.cluster().into(),
        certificate_key: true.into(),
        ttl: Attr::Known("24h".into()),
        endpoint: Attr::Unknown,
        ca_hash: Attr::Unknown,
        expires_at: Attr::Unknown,
        certificate_key_expires_at: Attr::Unknown,
        timeouts: Attr::Null,
    };
    let info = KubeadmJoinInfo::create(&site.process.cx(), info.clone(), info)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(info.endpoint.text(), "api.home.strata.test:6443");
    // Two hours and a day: each is told apart.
    assert!(info.certificate_key_expires_at.text() < info.expires_at.text());
    assert_eq!(refresh(&site.process, &info).await.as_ref(), Some(&info));
    let store = site.provider().store().unwrap();
    assert_eq!(store.list("join/home/").await.unwrap().len(), 4);
    KubeadmJoinInfo::delete(&site.process.cx(), info)
        .await
        .unwrap();
    assert_eq!(store.list("join/home/").await.unwrap().len(), 0);

    // One leaves a living cluster: unlocked first, as Terraform orders it.
    let [first, ..] = <[NodeLockdown; 3]>::try_from(
        lockdowns
            .into_iter()
            .map(Result::unwrap)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    NodeLockdown::delete(&site.process.cx(), first)
        .await
        .unwrap();
    assert_eq!(site.port22("cp-1").await, Seen::Connects);
    let [first, second, _] = <[KubeadmNode; 3]>::try_from(control_planes).unwrap();
    KubeadmNode::delete(&site.process.cx(), first.clone())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(refresh(&site.process, &first).await, None);
    assert_eq!(
        refresh(&site.process, &second).await.as_ref(),
        Some(&second)
    );
    assert_eq!(site.claim().await, Some(State::Initialised));
    // What is left has no majority to lose.
    let last = KubeadmNode::delete(&site.process.cx(), second).await;
    assert!(last.is_ok(), "two members can become one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_estates_claim_and_a_machine_that_is_not_ready_are_refused() {
    let site = site(&["cp-1"]).await;
    let mut early = site.node("cp-1");
    early.server_ready = false.into();
    let error = KubeadmNode::create(&site.process.cx(), early.clone(), early)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("is not ready yet"), "{error}");
    put(&*site.provider().store().unwrap(), claim::ENTRY, &json!({ "owner": "estate-2", "node": "cp-9", "run": "x", "at": "2026-01-01T00:00:00Z", "state": "claimed" }).to_string()).await;
    let error = site.join("cp-1").await.unwrap_err().to_string();
    assert!(
        error.contains("estate estate-2") && error.contains("cp-9"),
        "{error}"
    );
}
