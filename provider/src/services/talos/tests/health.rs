//! A machine that is too small, or complains, is what a cluster waits for, and the wait says so.

use std::time::Duration;

use strata_framework::{Attr, Harness, Limits, Resource as _};

use super::site::{Site, alive};
use crate::services::talos::cluster::TalosCluster;

const WORKER: &str = "pve1/102";

/// What an apply of now waits for in vain.
async fn waits_for(site: &Site) -> String {
    let provider = site.world.provider("estate-1").await;
    let process = Harness::shared(std::sync::Arc::new(provider))
        .with(Limits::within(Duration::from_secs(15)));
    let made = TalosCluster::create(&process.cx(), site.cluster(), site.cluster())
        .await
        .unwrap();
    if made.ready == Attr::Known(true) {
        return String::new();
    }
    process.warnings().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_too_small_or_complains_is_not_well() {
    let (site, _, _) = alive(&["cp-1", "w-1"]).await;
    let talos = site.world.lab.talos();
    assert_eq!(waits_for(&site).await, "");
    assert!(talos.equip(WORKER, 512, 3 << 30));
    assert!(talos.complain(
        WORKER,
        "address-overlap",
        Some("host and pod CIDRs overlap")
    ));
    let warned = waits_for(&site).await;
    for part in [
        "machine w-1 has 512 MiB of memory; a worker needs 1024 MiB",
        "volume EPHEMERAL of machine w-1 has 1672 MiB",
        "machine w-1 complains: host and pod CIDRs overlap",
    ] {
        assert!(warned.contains(part), "`{part}` is not in {warned}");
    }
    assert!(talos.equip(WORKER, 4096, 40 << 30));
    assert!(talos.complain(WORKER, "address-overlap", None));
    assert_eq!(waits_for(&site).await, "");
}
