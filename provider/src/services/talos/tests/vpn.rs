//! Machines that join a VPN, against the lab's Headscale.

use std::time::Duration;

use serde_json::{Value, json};
use strata_framework::{Attr, Change, Harness, Planned, Resource as _};
use strata_lab::talos::PowerOn;

use super::site::{Site, site_of};
use crate::services::talos::machine::{HeadscaleLogin, MachineVpn, TalosMachine};
use crate::store::Name;

/// Id that the factory gives to a schematic with the extension `tailscale`.
async fn schematic(site: &Site) -> String {
    let environment = site.world.environment().await;
    let settings = crate::http::client::Settings {
        service: "factory",
        base: environment.get("STRATA_TALOS_FACTORY").unwrap().to_owned(),
        header: http::header::AUTHORIZATION,
        token: crate::secret::Secret::new(String::new()),
        speed: 1.0,
    };
    let factory = crate::http::client::Client::new(environment.dialer().clone(), settings).unwrap();
    let text = "customization:\n    systemExtensions:\n        officialExtensions:\n            - siderolabs/tailscale\n";
    let made: Value = factory
        .post("schematics")
        .body("application/yaml", text)
        .send()
        .await
        .unwrap();
    made["id"].as_str().unwrap().to_owned()
}

/// Machines whose image has the extension.
async fn vpn_site(names: &[&str]) -> Site {
    let site = site_of(&[], "v1.13.9").await;
    let schematic = schematic(&site).await;
    site.with(names, &schematic, "v1.13.9").await
}

fn login(tags: &[&str]) -> Attr<MachineVpn> {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let headscale = HeadscaleLogin {
        url: Attr::Null,
        user: Attr::Null,
        tags: Attr::Known(tags),
    };
    MachineVpn {
        headscale: headscale.into(),
    }
    .into()
}

impl Site {
    fn in_vpn(&self, name: &str) -> TalosMachine {
        TalosMachine {
            vpn: login(&[]),
            ..self.wanted(name, &[])
        }
    }

    async fn join_with(
        &self,
        process: &Harness<crate::provider::Strata>,
        config: TalosMachine,
    ) -> TalosMachine {
        let planned = TalosMachine {
            configuration_wo: Attr::Null,
            ..config.clone()
        };
        TalosMachine::create(&process.cx(), config, planned)
            .await
            .unwrap()
    }

    async fn join(&self, name: &str) -> TalosMachine {
        self.join_with(&self.process, self.in_vpn(name)).await
    }

    /// The plan of a machine whose configuration did not change.
    async fn plan(&self, config: &TalosMachine, prior: &TalosMachine) -> TalosMachine {
        let change = Change::Update { config, prior };
        let state = TalosMachine {
            vpn: config.vpn.clone(),
            ..prior.clone()
        };
        let planned = Planned {
            state,
            replace: vec![],
        };
        TalosMachine::plan(&self.process.cx(), change, planned)
            .await
            .unwrap()
            .state
    }

    async fn again(&self, config: TalosMachine, prior: &TalosMachine) -> TalosMachine {
        let planned = self.plan(&config, prior).await;
        TalosMachine::update(&self.process.cx(), config, prior.clone(), planned)
            .await
            .unwrap()
    }

    fn vpn(&self) -> Value {
        self.world.lab.headscale().estate()
    }

    fn nodes(&self) -> Vec<String> {
        let nodes = self.vpn()["nodes"].clone();
        let name = |node: &Value| node["name"].as_str().unwrap().to_owned();
        nodes.as_array().unwrap().iter().map(name).collect()
    }

    fn usable_keys(&self) -> usize {
        self.vpn()["usable_keys"].as_array().unwrap().len()
    }

    async fn stored(&self, name: &str) -> String {
        let stored = self.client(name).await.configuration(true).await.unwrap();
        stored.unwrap().expose().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_registers_once_and_keeps_no_key_in_every_release() {
    let site = vpn_site(&["cp-1", "cp-2", "cp-3"]).await;
    for (name, version) in [("cp-1", "0.26"), ("cp-2", "0.28"), ("cp-3", "0.30")] {
        site.world
            .change(json!({"set_headscale_version": version}))
            .await;
        let made = site.join(name).await;
        let warnings = site.process.warnings().to_string();
        assert!(!made.vpn_node_id.is_null(), "{version}: {warnings}");
        assert!(
            made.vpn_addresses
                .or_default()
                .iter()
                .any(|one| one.starts_with("100.64.")),
            "{made:?}"
        );
        assert_eq!(site.usable_keys(), 0, "{version}: {}", site.vpn());
        let stored = site.stored(name).await;
        assert!(
            stored.contains("TS_HOSTNAME=home-") && !stored.contains("TS_AUTHKEY"),
            "{version}"
        );
        // Neither drift nor another plan, and a run that has something else to do makes no key.
        assert_eq!(site.read(&made).await, made, "{version}");
        let keys = site.vpn()["keys_made"].clone();
        let config = site.in_vpn(name);
        let planned = site.plan(&config, &made).await;
        assert_eq!(planned, made, "{version}");
        let same = site.again(config, &made).await;
        assert_eq!(
            (same, site.vpn()["keys_made"].clone()),
            (made, keys),
            "{version}"
        );
    }
    assert_eq!(site.nodes(), ["home-cp-1", "home-cp-2", "home-cp-3"]);
    // No key is in the store either.
    let store = site.provider().store().unwrap();
    let note = store
        .get(&Name::parse("nodes/cp-1/vpn").unwrap())
        .await
        .unwrap();
    assert!(!note.unwrap().value.expose().contains("hskey"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_needs_no_key_and_a_wiped_machine_gets_one_and_takes_its_own_place() {
    let site = vpn_site(&["cp-1"]).await;
    let made = site.join("cp-1").await;
    let id = made.vpn_node_id.text().to_owned();
    site.world.lab.talos().restart(&site.vm("cp-1"));
    let same = site.again(site.in_vpn("cp-1"), &made).await;
    assert_eq!(same.vpn_node_id.text(), id);
    // Its disk is new: what the server knows of it is of no use any more.
    site.world.lab.talos().remove(&site.vm("cp-1"));
    site.power_on("cp-1").await;
    let seen = site.read(&made).await;
    assert_eq!(seen.ready, Attr::Known(false));
    let anew = site.again(site.in_vpn("cp-1"), &seen).await;
    assert_eq!(anew.ready, Attr::Known(true), "{}", site.process.warnings());
    assert_ne!(anew.vpn_node_id.text(), id);
    assert_eq!(
        site.vpn()["nodes"].as_array().unwrap().len(),
        1,
        "{}",
        site.vpn()
    );
    assert_eq!(site.usable_keys(), 0);
    // It goes, and with it what the server knows.
    TalosMachine::delete(&site.process.cx(), anew)
        .await
        .unwrap();
    assert_eq!(site.nodes(), Vec::<String>::new());
    let store = site.provider().store().unwrap();
    let note = store
        .get(&Name::parse("nodes/cp-1/vpn").unwrap())
        .await
        .unwrap();
    assert!(note.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_elses_entry_of_the_name_stays() {
    let site = vpn_site(&["cp-1"]).await;
    site.world
        .change(json!({"add_vpn_node": "home-cp-1"}))
        .await;
    let made = site.join("cp-1").await;
    assert_ne!(made.vpn_node_id.text(), "1", "the foreign one");
    assert_eq!(site.nodes().len(), 2);
    // It is taken away behind our back: the next plan shows it, and the next run mends it.
    let own = site
        .nodes()
        .into_iter()
        .find(|name| name != "home-cp-1")
        .unwrap();
    site.world.change(json!({"delete_vpn_node": own})).await;
    let process = site.restarted().await;
    let seen = site.read_with(&process, &made).await;
    assert_eq!(seen.vpn_node_id, Attr::Null);
    let planned = site.plan(&site.in_vpn("cp-1"), &seen).await;
    assert_eq!(planned.vpn_node_id, Attr::Unknown);
    let mended = site.again(site.in_vpn("cp-1"), &seen).await;
    assert!(!mended.vpn_node_id.is_null(), "{}", site.process.warnings());
    TalosMachine::delete(&site.process.cx(), mended)
        .await
        .unwrap();
    assert_eq!(site.nodes(), ["home-cp-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_left_is_found_and_ended() {
    let site = vpn_site(&["cp-1"]).await;
    // The reply that has the key is lost: nobody will ever know it.
    let call = "POST /api/v1/preauthkey";
    site.world
        .fault("headscale", call, json!("lose_reply"))
        .await;
    let made = site.join("cp-1").await;
    assert!(site.world.all_faults_happened().await);
    assert_eq!(made.vpn_node_id, Attr::Null, "{made:?}");
    assert!(
        site.process
            .warnings()
            .to_string()
            .contains("is not in the VPN yet")
    );
    assert_eq!(site.usable_keys(), 1, "{}", site.vpn());
    let mended = site.again(site.in_vpn("cp-1"), &made).await;
    assert!(!mended.vpn_node_id.is_null(), "{}", site.process.warnings());
    assert_eq!(site.usable_keys(), 0, "{}", site.vpn());
    assert_eq!(site.nodes(), ["home-cp-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_without_the_extension_is_a_node_that_is_not_in() {
    let site = site_of(&["cp-1"], "v1.13.9").await;
    let made = site.join("cp-1").await;
    assert_eq!(
        (made.ready, made.vpn_node_id),
        (Attr::Known(true), Attr::Null)
    );
    let said = site.process.warnings().to_string();
    assert!(said.contains("siderolabs/tailscale"), "{said}");
    assert_eq!(site.vpn()["keys_made"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_does_not_come_in_time_has_no_key_that_works() {
    let site = vpn_site(&["cp-1"]).await;
    let call = "POST /machine/register";
    let silence = json!({"status": {"code": 503}});
    site.world.fault_for_ever("headscale", call, silence).await;
    let hasty = site.hasty(Duration::from_secs(8));
    let made = site.join_with(&hasty, site.in_vpn("cp-1")).await;
    assert_eq!(made.vpn_node_id, Attr::Null);
    let said = hasty.warnings().to_string();
    assert!(said.contains("ext-tailscale"), "{said}");
    assert_eq!(site.usable_keys(), 0, "nobody comes with it any more");
    site.world.no_faults().await;
    let mended = site.again(site.in_vpn("cp-1"), &made).await;
    assert!(!mended.vpn_node_id.is_null(), "{}", site.process.warnings());
    assert!(!site.stored("cp-1").await.contains("TS_AUTHKEY"));
    assert_eq!(site.nodes(), ["home-cp-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_user_and_a_refused_key_are_said_and_taint_nothing() {
    let site = vpn_site(&["cp-1", "cp-2"]).await;
    site.world
        .change(json!({"delete_vpn_user": "strata"}))
        .await;
    let made = site.join("cp-1").await;
    assert_eq!(
        (made.ready.clone(), made.vpn_node_id.clone()),
        (Attr::Known(true), Attr::Null)
    );
    let said = site.process.warnings().to_string();
    assert!(said.contains("headscale users create strata"), "{said}");
    // On a machine that is known already it is an error, which taints nothing.
    let config = site.in_vpn("cp-1");
    let planned = site.plan(&config, &made).await;
    let refused = TalosMachine::update(&site.process.cx(), config, made, planned)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("Cannot join VPN of machine"), "{refused}");
    site.world.change(json!("expire_vpn_api_key")).await;
    let other = site.join("cp-2").await;
    assert_eq!(other.vpn_node_id, Attr::Null);
    let said = site.process.warnings().to_string();
    assert!(said.contains("headscale apikeys create"), "{said}");
    assert_eq!(site.usable_keys(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_keeps_nothing_from_being_seen_changed_or_destroyed() {
    let site = vpn_site(&["cp-1"]).await;
    let made = site.join("cp-1").await;
    let gone = json!({"status": {"code": 503}});
    site.world.fault_for_ever("headscale", "*", gone).await;
    let process = site.restarted().await;
    assert_eq!(
        site.read_with(&process, &made).await,
        made,
        "kept as it was"
    );
    let said = process.warnings().to_string();
    assert!(said.contains("was not observed"), "{said}");
    // Another change goes through: the machine is in.
    let patch = "machine: {sysctls: {net.core.somaxconn: '4096'}}";
    let config = TalosMachine {
        vpn: login(&[]),
        ..site.wanted("cp-1", &[patch])
    };
    let changed = site.again(config, &made).await;
    assert_eq!(changed.vpn_node_id, made.vpn_node_id);
    assert!(site.stored("cp-1").await.contains("somaxconn"));
    TalosMachine::delete(&process.cx(), changed).await.unwrap();
    let said = process.warnings().to_string();
    assert!(
        said.contains("is still known to the VPN") && said.contains("headscale nodes delete"),
        "{said}"
    );
    assert_eq!(site.nodes(), ["home-cp-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_leaves_the_vpn_when_it_is_not_wanted_any_more() {
    let site = vpn_site(&["cp-1"]).await;
    let config = TalosMachine {
        vpn: login(&["tag:k8s"]),
        ..site.wanted("cp-1", &[])
    };
    let made = site.join_with(&site.process, config).await;
    assert_eq!(site.vpn()["nodes"][0]["tags"], json!(["tag:k8s"]));
    let left = site.again(site.wanted("cp-1", &[]), &made).await;
    assert_eq!(
        (left.vpn_node_id, left.vpn_addresses),
        (Attr::Null, Attr::Null)
    );
    assert_eq!(site.nodes(), Vec::<String>::new());
    assert!(!site.stored("cp-1").await.contains("tailscale"));
}

/// What a hypervisor starts a machine with.
pub(super) fn hardware(vm: &str, index: usize, name: &str, image: String) -> PowerOn {
    PowerOn {
        vm: vm.to_owned(),
        name: name.to_owned(),
        uuid: format!("00000000-0000-4000-8000-{index:012}"),
        mac: format!("BC:24:11:00:00:{index:02X}"),
        memory_mib: 4096,
        disk_bytes: 40 << 30,
        image: Some(image),
        cidata: None,
    }
}
