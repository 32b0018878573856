use strata_framework::{Attr, Resource as _};

use super::site::{SCHEMATIC, Site, alive, alive_with};
use crate::services::talos::cluster::TalosCluster;

fn versions(site: &Site) -> Vec<String> {
    let machines = site.machines();
    machines
        .iter()
        .map(|machine| machine["version"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// Whether a majority of etcd lived at every moment since it had that many voters.
fn majority_was_kept(site: &Site, voters: u64) -> bool {
    let journal = site.journal();
    let full = journal
        .iter()
        .skip_while(|entry| entry["voters"].as_u64() < Some(voters));
    full.filter_map(|entry| Some((entry["voters"].as_u64()?, entry["voters_alive"].as_u64()?)))
        .all(|(all, alive)| alive > all / 2)
}

#[tokio::test(flavor = "multi_thread")]
async fn talos_and_kubernetes_are_upgraded_one_node_at_a_time_and_etcd_keeps_its_majority() {
    let (site, machines, cluster) = alive(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    let planned = TalosCluster {
        version: "v1.14.0".into(),
        kubernetes_version: "v1.37.0".into(),
        ready: Attr::Unknown,
        members: Attr::Unknown,
        ..cluster.clone()
    };
    let upgraded = TalosCluster::update(
        &site.process.cx(),
        planned.clone(),
        cluster.clone(),
        planned,
    )
    .await
    .unwrap();
    assert_eq!(
        upgraded.ready,
        Attr::Known(true),
        "{}",
        site.process.warnings()
    );
    assert_eq!(versions(&site), ["v1.14.0"; 4]);
    assert!(majority_was_kept(&site, 3), "{:#?}", site.journal());
    // The machines show the version and no other change.
    for machine in machines.values() {
        let seen = site.read(machine).await;
        assert_eq!(seen.version.text(), "v1.14.0");
        assert_eq!(seen.configuration_paths, machine.configuration_paths);
    }
    let kubelets = site.world.lab.talos().clusters()[0].estate()["nodes"].clone();
    assert!(kubelets.to_string().contains("v1.37.0"), "{kubelets}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installer_that_fails_and_a_node_that_falls_back_stop_the_upgrade_and_the_next_run_goes_on()
 {
    let (site, _, cluster) = alive(&["cp-1", "w-1"]).await;
    let planned = TalosCluster {
        version: "v1.13.10".into(),
        ready: Attr::Unknown,
        members: Attr::Unknown,
        ..cluster.clone()
    };
    let upgrade = async || {
        TalosCluster::update(
            &site.process.cx(),
            planned.clone(),
            cluster.clone(),
            planned.clone(),
        )
        .await
    };
    site.world
        .fault(
            "talos",
            "cp-1",
            serde_json::json!({ "installer_exit": { "code": 7 } }),
        )
        .await;
    let failed = upgrade().await.unwrap_err().to_string();
    assert!(failed.contains("code 7"), "{failed}");
    assert_eq!(versions(&site), ["v1.13.9"; 2]);
    site.world
        .fault("talos", "cp-1", serde_json::json!("upgrade_falls_back"))
        .await;
    let failed = upgrade().await.unwrap_err().to_string();
    assert!(failed.contains("fell back"), "{failed}");
    assert!(site.world.all_faults_happened().await);
    let upgraded = upgrade().await.unwrap();
    assert_eq!(
        upgraded.ready,
        Attr::Known(true),
        "{}",
        site.process.warnings()
    );
    assert_eq!(versions(&site), ["v1.13.10"; 2]);
    let schematics: Vec<_> = site
        .machines()
        .iter()
        .map(|machine| machine["schematic"].clone())
        .collect();
    assert_eq!(schematics, [SCHEMATIC, SCHEMATIC]);
}

/// Talos 1.12 knows one call, which pulls, writes and reboots by itself.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_call_upgrades_one_node_at_a_time_as_well() {
    let (site, _, cluster) = alive_with(&["cp-1", "cp-2", "cp-3", "w-1"], "v1.12.6").await;
    let planned = TalosCluster {
        version: "v1.12.7".into(),
        ready: Attr::Unknown,
        members: Attr::Unknown,
        ..cluster.clone()
    };
    let upgraded = TalosCluster::update(&site.process.cx(), planned.clone(), cluster, planned)
        .await
        .unwrap();
    assert_eq!(
        upgraded.ready,
        Attr::Known(true),
        "{}",
        site.process.warnings()
    );
    assert_eq!(versions(&site), ["v1.12.7"; 4]);
    assert!(majority_was_kept(&site, 3), "{:#?}", site.journal());
    let of_old = "talos CALL /machine.MachineService/Upgrade";
    assert_eq!(site.world.calls(of_old).await, 4);
    let by_steps = "talos CALL /machine.LifecycleService/Upgrade";
    assert_eq!(site.world.calls(by_steps).await, 0);
}
