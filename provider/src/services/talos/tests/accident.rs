use std::time::Duration;

use serde_json::json;
use strata_framework::{Attr, Harness, Limits, Resource as _};

use super::site::{SCHEMATIC, alive, site};
use crate::services::talos::cluster::TalosCluster;
use crate::services::talos::machine::{MachineTrust, TalosMachine};
use crate::talos::Trust;

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_not_the_pinned_one_gets_nothing() {
    let site = site(&["cp-1"], "v1.13.9").await;
    let ask = |fingerprint: &str| {
        let mut config = site.wanted("cp-1", &[]);
        config.trust = MachineTrust {
            fingerprint: fingerprint.into(),
            first_use: Attr::Null,
        }
        .into();
        let planned = TalosMachine {
            configuration_wo: Attr::Null,
            ..config.clone()
        };
        (config, planned)
    };
    let (config, planned) = ask("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let refused = TalosMachine::create(&site.process.cx(), config, planned)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("is not the expected one"), "{refused}");
    assert_eq!(site.machine("cp-1")["mode"], "maintenance");
    let dialer = site
        .provider()
        .environment()
        .await
        .unwrap()
        .dialer()
        .clone();
    let (_, seen) =
        crate::talos::Client::maintenance(&dialer, &site.addresses["cp-1"], &Trust::FirstUse)
            .await
            .unwrap();
    let (config, planned) = ask(&seen);
    let made = TalosMachine::create(&site.process.cx(), config, planned)
        .await
        .unwrap();
    assert_eq!(made.ready, Attr::Known(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_not_reached_in_time_is_no_error_and_the_next_apply_goes_on() {
    let site = site(&["cp-1"], "v1.13.9").await;
    site.world.lab.talos().power_off("pve1/101");
    let hasty = Harness::shared(std::sync::Arc::clone(
        site.process.cx::<TalosMachine>().provider,
    ))
    .with(Limits::within(Duration::from_secs(2)));
    let config = site.wanted("cp-1", &[]);
    let planned = TalosMachine {
        configuration_wo: Attr::Null,
        ..config.clone()
    };
    let made = TalosMachine::create(&hasty.cx(), config, planned)
        .await
        .unwrap();
    assert_eq!(made.ready, Attr::Known(false));
    assert!(hasty.warnings().to_string().contains("is not ready yet"));
    // A refresh in between changes nothing.
    assert_eq!(site.read(&made).await, made);
    site.world.lab.talos().restart("pve1/101");
    site.world.lab.talos().power_on(strata_lab::talos::PowerOn {
        vm: "pve1/101".into(),
        name: "cp-1".into(),
        uuid: "00000000-0000-4000-8000-000000000000".into(),
        mac: "BC:24:11:00:00:00".into(),
        memory_mib: 4096,
        disk_bytes: 40 << 30,
        image: None,
        cidata: None,
    });
    let config = site.wanted("cp-1", &[]);
    let mut planned = TalosMachine {
        configuration_wo: Attr::Null,
        ..config.clone()
    };
    planned.id = "cp-1".into();
    let mended = TalosMachine::update(&site.process.cx(), config, made, planned)
        .await
        .unwrap();
    assert_eq!(mended.ready, Attr::Known(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_is_made_once_also_when_the_reply_is_lost_or_the_node_reboots_over_it() {
    let site = site(&["cp-1", "cp-2", "cp-3"], "v1.13.9").await;
    site.create_all().await;
    let call = "cp-1 /machine.MachineService/Bootstrap";
    site.world.fault("talos", call, json!({ "grpc": { "code": "failed_precondition", "message": "bootstrap is not available yet" } })).await;
    site.world.fault("talos", call, json!("lose_reply")).await;
    let made = site.create_cluster().await.unwrap();
    assert_eq!(made.ready, Attr::Known(true), "{}", site.process.warnings());
    assert!(site.world.all_faults_happened().await);
    assert_eq!(made.members.or_default().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_while_a_control_plane_is_silent() {
    let site = site(&["cp-1", "cp-2"], "v1.13.9").await;
    site.create_all().await;
    site.world.lab.talos().power_off("pve1/102");
    let hasty = Harness::shared(std::sync::Arc::clone(
        site.process.cx::<TalosMachine>().provider,
    ))
    .with(Limits::within(Duration::from_secs(8)));
    let waited = TalosCluster::create(&hasty.cx(), site.cluster(), site.cluster())
        .await
        .unwrap();
    assert_eq!(waited.ready, Attr::Known(false));
    let said = hasty.warnings().to_string();
    assert!(
        said.contains("cp-2 does not say whether it has members"),
        "{said}"
    );
    assert_eq!(site.machine("cp-1")["etcd_data"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_whose_reply_is_lost_is_told_again_until_it_is_there_and_no_more() {
    let (site, machines, _) = alive(&["cp-1"]).await;
    let call = "cp-1 /machine.MachineService/ApplyConfiguration";
    // The first one is not done, the second one is; nobody says which.
    site.world.fault("talos", call, json!("disconnect")).await;
    site.world.fault("talos", call, json!("lose_reply")).await;
    let files = ["machine: {files: [{path: /var/x, permissions: 0o600, op: create, content: x}]}"];
    let changed = site.update(&machines["cp-1"], &files).await.unwrap();
    assert!(site.world.all_faults_happened().await);
    assert_eq!(
        site.read(&changed).await.configuration_paths,
        changed.configuration_paths
    );
    let applied = site.journal();
    let applied = applied
        .iter()
        .filter(|entry| entry["event"] == "configuration applied with a reboot");
    assert_eq!(applied.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_has_not_read_its_image_is_told_and_gets_nothing() {
    let site = site(&["cp-1"], "v1.13.9").await;
    let mut config = site.wanted("cp-1", &[]);
    config.trust = Attr::Null;
    let planned = TalosMachine {
        configuration_wo: Attr::Null,
        ..config.clone()
    };
    let begun = std::time::Instant::now();
    let told = TalosMachine::create(&site.process.cx(), config, planned)
        .await
        .unwrap_err()
        .to_string();
    for part in ["in maintenance", "v1.13.9", SCHEMATIC, "00000000-"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(begun.elapsed() < Duration::from_mins(1));
    assert_eq!(site.machine("cp-1")["mode"], "maintenance");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_silent_is_named_soon_and_the_others_are_changed() {
    let (site, machines, _) = alive(&["cp-1", "w-1"]).await;
    site.world.lab.talos().power_off("pve1/102");
    let patches = ["machine: {sysctls: {net.core.somaxconn: '4096'}}"];
    let begun = std::time::Instant::now();
    let told = site.update(&machines["w-1"], &patches).await.unwrap_err();
    let told = told.to_string();
    for part in [
        "Cannot change machine \"w-1\"",
        "192.0.2.",
        "keeps the configuration",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(begun.elapsed() < Duration::from_mins(1));
    let changed = site.update(&machines["cp-1"], &patches).await.unwrap();
    assert_eq!(changed.ready, Attr::Known(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_etcds_stop_everything() {
    let site = site(&["cp-1", "cp-2"], "v1.13.9").await;
    site.create_all().await;
    // Somebody's hand, on both before either has begun.
    for name in ["cp-1", "cp-2"] {
        let client = site.client(name).await;
        let made = client.bootstrap(false).await;
        made.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let told = site.create_cluster().await.unwrap_err().to_string();
    assert!(told.contains("two etcds"), "{told}");
}
