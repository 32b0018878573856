//! Two of three control planes burned, then all of them: a snapshot, new machines, the same cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use strata_framework::Limits;

use super::site::{CILIUM, Site, site};
use crate::access::Access;
use crate::claim::{self, State};
use crate::kubernetes::apply::Id;
use crate::kubernetes::node;
use crate::marker;
use crate::snapshot::order::{self, Order};

const CONTROL_PLANES: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

fn config_map(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{a: b}}\n"
    )
}

async fn has(site: &Site, name: &str) -> bool {
    let access = Access::of(site.provider()).await.unwrap();
    let client = access.client(&site.cluster()).await.unwrap();
    let id = Id {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        namespace: "default".into(),
        name: name.into(),
    };
    client.try_again();
    client.fetch(&id).await.unwrap().is_some()
}

/// What `strata restore` leaves in the store once no control plane stands any more.
async fn ordered(site: &Site, order: &Order) {
    let store = site.provider().store().unwrap();
    order::write(&*store, order).await.unwrap();
    for name in CONTROL_PLANES {
        marker::remove(&*store, name).await.unwrap();
    }
    let (_, nonce) = claim::read(&*store).await.unwrap().unwrap();
    assert!(claim::drop_if(&*store, &nonce).await.unwrap());
}

async fn burn(site: &Site, names: &[&str]) {
    for name in names {
        let server = format!("home-{name}");
        site.world
            .change(serde_json::json!({ "delete_server": server }))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_brings_the_cluster_back_and_the_workers_that_stand_find_it() {
    let mut site = site(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    site.join_all(&CONTROL_PLANES).await;
    site.join("w-1").await.unwrap();
    site.apply("cilium", CILIUM).await;
    site.apply("before", &config_map("before")).await;
    site.ready().await;
    let limits = Limits::within(Duration::from_mins(2));
    let (path, pki) = {
        let access = Access::of(site.provider()).await.unwrap();
        let client = access.client(&site.cluster()).await.unwrap();
        let pki = access.pki("pki").await.unwrap();
        let kept = access.snapshot(&limits, &client, &pki).await;
        let kept = kept.unwrap_or_else(|error| panic!("{error}"));
        (std::path::PathBuf::from(kept.place), pki)
    };
    let sealed = std::fs::read(&path).unwrap();
    let hash = data_encoding::HEXLOWER.encode(&<sha2::Sha256 as sha2::Digest>::digest(&sealed));
    let order = Order {
        snapshot: path.clone(),
        replace: BTreeMap::new(),
        sha256: hash,
    };
    site.apply("after", &config_map("after")).await;

    // Two burn, the majority with them; the third is taken away by hand.
    burn(&site, &["cp-2", "cp-3"]).await;
    let access = Access::of(site.provider()).await.unwrap();
    let client = access.client(&site.cluster()).await.unwrap();
    assert!(client.probe().await.is_err());
    drop(access);
    burn(&site, &["cp-1"]).await;
    let wrong = Order {
        sha256: "0".repeat(64),
        ..order.clone()
    };
    ordered(&site, &wrong).await;
    site.again(&CONTROL_PLANES).await;
    let error = site.join("cp-1").await.unwrap_err().to_string();
    assert!(error.contains("another file"), "{error}");
    order::write(&*site.provider().store().unwrap(), &order)
        .await
        .unwrap();
    // Another run: in the one that failed, nobody waits for a cluster any more.
    site.next_run().await;
    site.join_all(&CONTROL_PLANES).await;
    assert!(has(&site, "before").await && !has(&site, "after").await);
    let store = site.provider().store().unwrap();
    assert_eq!(site.claim().await, Some(State::Initialised));
    assert_eq!(order::read(&*store).await.unwrap(), None, "carried out");
    let access = Access::of(site.provider()).await.unwrap();
    assert_eq!(
        access.pki("pki").await.unwrap().ca_hash().unwrap(),
        pki.ca_hash().unwrap()
    );
    site.ready().await;
    let client = access.client(&site.cluster()).await.unwrap();
    let nodes = node::list(&client).await.unwrap();
    assert_eq!(nodes.len(), 4);
    assert!(nodes.iter().all(node::View::is_ready), "{nodes:?}");
    let estate = site.world.estate().await;
    assert_eq!(
        estate["clusters"][0]["members"].as_array().unwrap().len(),
        3
    );
}
