//! A year and more goes by: certificates of a control plane end, or are renewed in time.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use strata_framework::Limits;

use super::site::{CILIUM, Site, site_in};
use crate::access::Access;
use crate::expiry;
use crate::lab_test::World;
use crate::verb::Verb;

const DAY: u64 = 86_400;

async fn control_plane(world: World) -> Site {
    let site = site_in(world, &["cp-1"]).await;
    site.join("cp-1").await.unwrap();
    site.apply("cilium", CILIUM).await;
    site.ready().await;
    site
}

/// When the API server's certificate ends, asked through the door by a process of that day. `None`: the API does not answer.
async fn end(site: &Site) -> Option<Timestamp> {
    let provider = site.world.provider("estate-1").await;
    let access = Access::of(&provider).await.unwrap();
    let client = access.client(&site.cluster()).await.unwrap();
    client.probe().await.ok()?;
    let limits = Limits::within(Duration::from_mins(1));
    let log = access
        .through_door(&limits, &client, "cp-1", &Verb::Certs)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let all = expiry::parse(&log).unwrap_or_else(|error| panic!("{error}: {log}"));
    assert_eq!(all.iter().filter(|expiry| expiry.authority).count(), 3);
    Some(expiry::first(&all).unwrap().at)
}

async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_timer_renews_what_ends_soon() {
    let site = control_plane(World::start().await).await;
    let first = end(&site).await.unwrap();
    // More than 60 days are left: the monthly look changes nothing.
    site.world.advance(200 * DAY).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(end(&site).await, Some(first));
    site.world.advance(140 * DAY).await;
    eventually("renewed in its last 60 days", async || {
        end(&site).await.is_some_and(|end| end > first)
    })
    .await;
    site.world.advance(60 * DAY).await;
    eventually("400 days later it serves", async || {
        end(&site).await.is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_timer_the_api_ends_and_the_verb_brings_it_back() {
    let world = World::start().await;
    let idle = json!({ "mutate": { "where_": "ignition", "from": "strata-node certs-renew", "to": "strata-node version" } });
    world.fault("machine", "cp-1", idle).await;
    let site = control_plane(world).await;
    assert!(site.world.all_faults_happened().await);
    let first = end(&site).await.unwrap();
    site.world.advance(400 * DAY).await;
    assert_eq!(end(&site).await, None, "the certificate has ended");
    let provider = site.provider();
    let access = Access::of(provider).await.unwrap();
    let address = site.machines["cp-1"].1.to_string();
    let session = access
        .session(&Site::ssh("cp-1"), "nodes/cp-1/host-key-current", &address)
        .await
        .unwrap();
    session.run(&Verb::CertsRenew, b"").await.unwrap();
    eventually("the API is back with a new certificate", async || {
        end(&site).await.is_some_and(|end| end > first)
    })
    .await;
}
