//! What goes wrong on the way, and what the next try makes of it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use strata_framework::{Attr, Harness, Limits, Resource};
use tokio_util::sync::CancellationToken;

use super::super::node::KubeadmNode;
use super::site::{CILIUM, Site, key, public, refresh, replan, site};
use crate::access::{Access, host_key_entry};
use crate::claim::{self, State};
use crate::marker::{self, Marker};
use crate::services::lockdown::NodeLockdown;
use crate::services::lockdown::probe::Seen;
use crate::verb::{LONGEST_WINDOW, Verb};

impl Site {
    /// Another run of Terraform: nothing is left of the first process but the store and the world.
    pub(super) async fn next_run(&mut self) {
        let provider = self.world.provider("estate-1").await;
        self.process = Harness::new(provider).with(Limits::within(Duration::from_mins(5)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_init_stops_those_who_wait_and_is_done_again_by_the_next_run() {
    let mut site = site(&["cp-1", "cp-2", "w-1"]).await;
    site.world
        .fault(
            "machine",
            "cp-1",
            json!({ "kubeadm_fail": { "phase": "control-plane" } }),
        )
        .await;
    let (first, second) = tokio::join!(site.join("cp-1"), site.join("cp-2"));
    let (first, second) = (
        first.unwrap_err().to_string(),
        second.unwrap_err().to_string(),
    );
    assert!(
        first.contains("kubeadm-init")
            && first.contains("error execution phase control-plane")
            && first.contains("The kubelet's last lines:\n")
            && first.contains("failed to load kubelet config file"),
        "{first}"
    );
    assert!(second.contains("failed in this run"), "{second}");
    assert!(site.world.all_faults_happened().await);
    assert_eq!(site.claim().await, Some(State::Claimed));

    site.next_run().await;
    site.join_all(&["cp-1", "cp-2"]).await;
    assert_eq!(site.claim().await, Some(State::Initialised));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn reboots_in_the_middle_of_kubeadm_are_outlived() {
    let site = site(&["cp-1", "cp-2", "w-1"]).await;
    for (node, verb) in [
        ("cp-1", "kubeadm-init"),
        ("cp-2", "kubeadm-join"),
        ("w-1", "kubeadm-join"),
    ] {
        site.world
            .fault(
                "machine",
                node,
                json!({ "reboot_during": { "verb": verb } }),
            )
            .await;
    }
    site.join_all(&["cp-1", "cp-2"]).await;
    site.join_all(&["w-1"]).await;
    assert!(site.world.all_faults_happened().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_join_that_left_a_learner_behind_is_cleaned_up() {
    let site = site(&["cp-1", "cp-2", "cp-3"]).await;
    site.join_all(&["cp-1"]).await;
    site.world
        .fault(
            "machine",
            "cp-2",
            json!({ "kubeadm_fail": { "phase": "etcd-join" } }),
        )
        .await;
    let error = site.join("cp-2").await.unwrap_err().to_string();
    assert!(error.contains("etcd-join"), "{error}");
    site.join_all(&["cp-3", "cp-2"]).await;
    let estate = site.world.estate().await;
    assert!(site.world.all_faults_happened().await, "{estate}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_leaves_nothing_half_done_that_the_next_run_cannot_finish() {
    let mut site = site(&["cp-1", "w-1"]).await;
    site.join_all(&["cp-1"]).await;
    for pause in [50, 300, 600] {
        let cancel = CancellationToken::new();
        let limits = Limits {
            cancel: cancel.clone(),
            ..Limits::within(Duration::from_mins(5))
        };
        let stopped = Harness::new(site.world.provider("estate-1").await).with(limits);
        let cx = stopped.cx();
        let (joined, ()) = tokio::join!(
            KubeadmNode::create(&cx, site.node("w-1"), site.node("w-1")),
            async {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                cancel.cancel();
            }
        );
        drop(joined);
    }
    site.next_run().await;
    site.join_all(&["w-1"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rules_that_close_too_much_or_too_little_are_taken_back() {
    let site = site(&["cp-1"]).await;
    site.join_all(&["cp-1"]).await;
    site.apply("cilium", CILIUM).await;
    for (from, to, expected) in [
        (
            "tcp dport 6443 accept",
            "tcp dport 6444 accept",
            "its API does not answer",
        ),
        (
            "tcp dport 22 drop",
            "tcp dport 22 accept",
            "still answers on port 22",
        ),
    ] {
        site.world.fault("machine", "cp-1", json!({ "mutate": { "where_": "file:/etc/strata/nft/locked.nft", "from": from, "to": to } })).await;
        let error = site.lock("cp-1").await.unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("not locked"),
            "{error}"
        );
        assert_eq!(site.port22("cp-1").await, Seen::Connects);
        assert!(site.world.all_faults_happened().await);
    }
    assert_eq!(
        site.lock("cp-1")
            .await
            .unwrap_or_else(|error| panic!("{error}"))
            .locked,
        Attr::Known(true)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_opened_port_is_drift_and_is_closed_again() {
    let site = site(&["cp-1"]).await;
    let node = site.join_all(&["cp-1"]).await.remove(0);
    site.apply("cilium", CILIUM).await;
    let locked = site
        .lock("cp-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    site.world
        .change(json!({ "open_port": { "node": "cp-1", "port": 22 } }))
        .await;
    // Not while a window lasts that somebody opened on purpose.
    let store = site.provider().store().unwrap();
    let moment = |seconds| Timestamp::now() + SignedDuration::from_secs(seconds);
    marker::window(&*store, "cp-1", moment(600)).await.unwrap();
    assert_eq!(
        refresh(&site.process, &locked).await.as_ref(),
        Some(&locked)
    );
    let warned = site.process.warnings().to_string();
    assert!(warned.contains("has a window for SSH"), "{warned}");
    let member = marker::read(&*store, "cp-1").await.unwrap().unwrap();
    let over = Marker {
        window: Some(moment(-1)),
        ..member
    };
    marker::write(&*store, "cp-1", &over).await.unwrap();
    let seen = refresh(&site.process, &locked).await.unwrap();
    assert_eq!(seen.locked, Attr::Known(false));
    let planned = replan(&site.process, &seen).await.state;
    assert_eq!(planned.locked, Attr::Known(true));
    let again = NodeLockdown::update(&site.process.cx(), planned.clone(), seen, planned)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.locked, Attr::Known(true));
    let member = marker::read(&*store, "cp-1").await.unwrap().unwrap();
    assert_eq!(member.window, None, "new rules have no windows");
    assert_eq!(site.port22("cp-1").await, Seen::Silent);
    // Telling a locked node about its peers goes through the door and opens nothing.
    let more = NodeLockdown {
        peers: Attr::Known(["192.0.2.77".to_owned(), site.machines["cp-1"].1.to_string()].into()),
        ..again.clone()
    };
    NodeLockdown::update(&site.process.cx(), more.clone(), again, more)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(site.port22("cp-1").await, Seen::Silent);
    site.world.change(json!({ "delete_node": "cp-1" })).await;
    site.provider().shared().forget_nodes();
    assert_eq!(
        refresh(&site.process, &node).await,
        None,
        "the API's word that it is gone"
    );
    // It is locked, so nobody can log in; its kubelet still runs.
    site.join_all(&["cp-1"]).await;
    assert_eq!(site.port22("cp-1").await, Seen::Silent);
    // A key of nobody's is taken while a window says so.
    let glass = key();
    site.knock(
        "cp-1",
        Verb::SshOpen {
            address: "203.0.113.5".parse().unwrap(),
            seconds: LONGEST_WINDOW,
        },
    )
    .await;
    assert!(site.log_in("cp-1", &glass).await.is_err());
    let lines = vec![public(&glass)];
    site.knock(
        "cp-1",
        Verb::SshKeys {
            seconds: LONGEST_WINDOW,
            lines,
        },
    )
    .await;
    site.log_in("cp-1", &glass)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    site.knock(
        "cp-1",
        Verb::SshKeys {
            seconds: 0,
            lines: Vec::new(),
        },
    )
    .await;
    assert!(site.log_in("cp-1", &glass).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tear_down_that_took_every_control_plane_leaves_room_for_a_new_cluster() {
    let site = site(&["cp-1", "w-1"]).await;
    let control_plane = site.join_all(&["cp-1"]).await.remove(0);
    site.join_all(&["w-1"]).await;
    let store = site.provider().store().unwrap();
    claim::set(&*store, State::Teardown).await.unwrap();
    // Alive still: it is joined as it is, without a second init.
    let again = site.join_all(&["cp-1"]).await.remove(0);
    assert_eq!(again.initialised, Attr::Known(false));
    KubeadmNode::delete(&site.process.cx(), control_plane)
        .await
        .unwrap();
    assert_eq!(
        site.claim().await,
        Some(State::Teardown),
        "the worker is still a member"
    );
    // The machine goes with its node; one that comes again under the same name is empty.
    let access = Access::of(site.provider()).await.unwrap();
    let (entry, address) = (host_key_entry("cp-1"), site.machines["cp-1"].1.to_string());
    let Ok(session) = access.session(&Site::ssh("cp-1"), &entry, &address).await else {
        panic!("no way to cp-1")
    };
    session.run(&Verb::KubeadmReset, b"").await.unwrap();
    let new = site.join_all(&["cp-1"]).await.remove(0);
    assert_eq!(new.initialised, Attr::Known(true));
    assert_eq!(site.claim().await, Some(State::Initialised));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_lost_state_is_taken_over_without_a_touch() {
    let mut site = site(&["cp-1", "w-1"]).await;
    site.join_all(&["cp-1"]).await;
    site.apply("cilium", CILIUM).await;
    let locked = site
        .lock("cp-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let provider = site.world.provider("estate-1").await.adopting();
    site.process = Harness::new(provider).with(Limits::within(Duration::from_mins(5)));
    site.world.calls("").await;
    let node = site
        .join("cp-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(node.initialised, Attr::Known(true));
    let taken = site
        .lock("cp-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(taken, locked, "its rules, and what was seen of them");
    assert_eq!(site.port22("cp-1").await, Seen::Silent);
    assert!(
        site.process
            .warnings()
            .to_string()
            .contains("Adopted the lockdown")
    );
    // A machine that is no member stays none.
    let error = site.join("w-1").await.unwrap_err().to_string();
    assert!(
        error.contains("Cannot adopt node") && error.contains("no node of this name"),
        "{error}"
    );
    assert_eq!(site.world.calls("ssh").await, 0);
}
