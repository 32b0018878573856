use strata_framework::{Attr, Change, Found, Planned, Resource as _};

use super::site::{SCHEMATIC, alive, site};
use crate::claim::{self, State};
use crate::services::talos::cluster::TalosCluster;
use crate::services::talos::content;
use crate::services::talos::machine::{MachineFirewall, TalosMachine};
use crate::talos::client::Mode;

#[tokio::test(flavor = "multi_thread")]
async fn machines_in_maintenance_become_a_cluster_that_does_not_differ_from_its_plan() {
    let (site, machines, cluster) = alive(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    for machine in machines.values() {
        assert_eq!(machine.ready, Attr::Known(true));
        assert_eq!(machine.version.text(), "v1.13.9");
        assert_eq!(machine.schematic.text(), SCHEMATIC);
        assert!(machine.uuid.text().starts_with("00000000-"));
        let own = machine.address.text().to_owned();
        assert!(machine.addresses.known().unwrap().contains(&own));
        assert_eq!(site.read(machine).await, *machine, "no drift");
    }
    let members: Vec<String> = cluster.members.or_default().into_iter().collect();
    assert_eq!(members, ["cp-1", "cp-2", "cp-3"]);
    let store = site.provider().store().unwrap();
    let (claim, _) = claim::read(&*store).await.unwrap().unwrap();
    assert_eq!(
        (claim.state, claim.node.as_str()),
        (State::Initialised, "cp-1")
    );
    // etcd was made once, whatever a second run says.
    let bootstraps = site
        .world
        .calls("talos CALL /machine.MachineService/Bootstrap")
        .await;
    let again = TalosCluster::create(&site.process.cx(), site.cluster(), site.cluster())
        .await
        .unwrap();
    assert_eq!(again, cluster);
    assert_eq!(
        site.world
            .calls("talos CALL /machine.MachineService/Bootstrap")
            .await,
        0,
        "{bootstraps} before"
    );
    // Values of the configuration are nowhere in what the state holds.
    let state = format!("{machines:?}");
    let token = site.configuration("cp-1", &[]);
    let token = token
        .expose()
        .lines()
        .find_map(|line| line.trim().strip_prefix("token: "))
        .unwrap()
        .to_owned();
    assert!(!state.contains(&token));
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_named_by_its_path_and_a_change_goes_to_the_machine() {
    let (site, machines, _) = alive(&["cp-1"]).await;
    let machine = &machines["cp-1"];
    let client = site.client("cp-1").await;
    let other = site.configuration(
        "cp-1",
        &["machine: {sysctls: {net.core.somaxconn: '4096'}}"],
    );
    client.apply(&other, Mode::NoReboot, false).await.unwrap();
    let seen = site.read(machine).await;
    let paths = |one: &TalosMachine| one.configuration_paths.or_default();
    assert_eq!(
        content::changed(&paths(machine), &paths(&seen)),
        ["machine.sysctls.net.core.somaxconn"]
    );
    // The plan shows the way back, and the apply goes it.
    let config = site.wanted("cp-1", &[]);
    let change = Change::Update {
        config: &config,
        prior: &seen,
    };
    let planned = Planned {
        state: seen.clone(),
        replace: vec![],
    };
    let planned = TalosMachine::plan(&site.process.cx(), change, planned)
        .await
        .unwrap();
    assert_eq!(paths(&planned.state), paths(machine));
    assert!(planned.replace.is_empty());
    let mended = site.update(&seen, &[]).await.unwrap();
    assert_eq!(site.read(&mended).await, *machine);
    // Something that takes a reboot reboots, and says so in the plan.
    let before = site.machine("cp-1")["boot_id"].clone();
    let files = ["machine: {files: [{path: /var/x, permissions: 0o600, op: create, content: x}]}"];
    let config = site.wanted("cp-1", &files);
    let change = Change::Update {
        config: &config,
        prior: machine,
    };
    let planned = Planned {
        state: machine.clone(),
        replace: vec![],
    };
    TalosMachine::plan(&site.process.cx(), change, planned)
        .await
        .unwrap();
    assert!(
        site.process
            .warnings()
            .to_string()
            .contains("machine.files")
    );
    let changed = site.update(machine, &files).await.unwrap();
    assert_ne!(site.machine("cp-1")["boot_id"], before);
    assert_eq!(
        site.read(&changed).await.configuration_paths,
        changed.configuration_paths
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_can_wait_for_the_next_reboot_or_bring_one() {
    let (site, machines, _) = alive(&["cp-1"]).await;
    let apply = async |mode: &str, patches: &[&str], prior: &TalosMachine| {
        let mut config = site.wanted("cp-1", patches);
        config.apply_mode = mode.into();
        let planned = TalosMachine {
            apply_mode: mode.into(),
            configuration_paths: Attr::Unknown,
            ..prior.clone()
        };
        TalosMachine::update(&site.process.cx(), config, prior.clone(), planned)
            .await
            .unwrap()
    };
    let first = site.machine("cp-1")["boot_id"].clone();
    let sysctls = ["machine: {sysctls: {net.core.somaxconn: '4096'}}"];
    let staged = apply("staged", &sysctls, &machines["cp-1"]).await;
    let machine = site.machine("cp-1");
    assert_eq!(
        (&machine["boot_id"], &machine["staged"]),
        (&first, &true.into()),
        "it is stored and not in force"
    );
    assert_eq!(site.read(&staged).await, staged, "no drift meanwhile");
    let rebooted = apply("reboot", &[], &staged).await;
    let machine = site.machine("cp-1");
    assert_ne!(machine["boot_id"], first);
    assert_eq!(machine["staged"], false);
    assert_eq!(site.read(&rebooted).await, rebooted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_of_a_living_machine_stays() {
    let site = site(&["cp-1"], "v1.13.9").await;
    let machine = site.create("cp-1").await.unwrap();
    let mut config = site.wanted("cp-1", &[]);
    config.contract = "v1.14".into();
    let plan = async |config: &TalosMachine| {
        let change = Change::Update {
            config,
            prior: &machine,
        };
        let state = TalosMachine {
            configuration_paths: machine.configuration_paths.clone(),
            ..config.clone()
        };
        TalosMachine::plan(
            &site.process.cx(),
            change,
            Planned {
                state,
                replace: vec![],
            },
        )
        .await
    };
    let refused = plan(&config).await.unwrap_err().to_string();
    assert!(refused.contains("allow_contract_change"), "{refused}");
    config.allow_contract_change = true.into();
    plan(&config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_leaves_while_the_rest_keeps_its_majority_and_the_whole_goes_under_tear_down()
 {
    let (site, machines, cluster) = alive(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    let delete =
        async |name: &str| TalosMachine::delete(&site.process.cx(), machines[name].clone()).await;
    delete("cp-3").await.unwrap();
    let members = site.client("cp-1").await.members(false).await.unwrap();
    assert_eq!(members.len(), 2, "{members:?}");
    assert_eq!(site.machine("cp-3")["mode"], "maintenance");
    // Gone already is success.
    delete("cp-3").await.unwrap();
    // With one of two silent, the other must not go.
    site.world.lab.talos().power_off("pve1/102");
    let refused = delete("cp-1").await.unwrap_err().to_string();
    assert!(refused.contains("Cannot remove machine"), "{refused}");
    TalosCluster::delete(&site.process.cx(), cluster)
        .await
        .unwrap();
    for name in ["w-1", "cp-1", "cp-2"] {
        delete(name).await.unwrap();
    }
    let store = site.provider().store().unwrap();
    assert!(
        claim::read(&*store).await.unwrap().is_none(),
        "the last one takes the claim along"
    );
    let read = TalosCluster::read(&site.process.cx(), site.cluster())
        .await
        .unwrap();
    assert!(matches!(read, Found::Gone));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_is_stored_when_we_still_get_in_and_taken_back_when_not() {
    let (site, machines, _) = alive(&["cp-1", "w-1"]).await;
    let set = |texts: &[&str]| Attr::Known(texts.iter().map(|text| (*text).to_owned()).collect());
    let rules = |operators: &[&str]| MachineFirewall {
        nodes: set(&["192.0.2.0/24"]),
        operators: set(operators),
        api: Attr::Null,
        public_ports: Attr::Null,
    };
    let close = async |name: &str, operators: &[&str]| {
        let config = site.wanted(name, &[]);
        let planned = TalosMachine {
            firewall: rules(operators).into(),
            ..machines[name].clone()
        };
        TalosMachine::update(&site.process.cx(), config, machines[name].clone(), planned).await
    };
    let closed = close("w-1", &["0.0.0.0/0"]).await.unwrap();
    assert_eq!(site.read(&closed).await, closed, "no drift");
    let stored = site
        .client("w-1")
        .await
        .configuration(true)
        .await
        .unwrap()
        .unwrap();
    assert!(stored.expose().contains("strata-talos"));
    // Somebody opens it: the plan shows the firewall again.
    let open = site.configuration("w-1", &[]);
    site.client("w-1")
        .await
        .apply(&open, Mode::NoReboot, false)
        .await
        .unwrap();
    assert_eq!(site.read(&closed).await.firewall, Attr::Null);
    // The operator of the lab is at 203.0.113.5. Rules that lock us out are not stored.
    let refused = close("w-1", &["198.51.100.0/28"])
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("Cannot close machine"), "{refused}");
    // Five minutes on this machine's clock are some days on the lab's.
    site.world.advance(5 * 60 * 1500 + 60).await;
    let seen = site.read(&machines["w-1"]).await;
    assert_eq!(seen, machines["w-1"], "it has taken the rules back");

    // No rules are wanted any more: ours go.
    let closed = close("w-1", &["203.0.113.0/24"]).await.unwrap();
    let config = site.wanted("w-1", &[]);
    let open = TalosMachine::update(&site.process.cx(), config, closed, machines["w-1"].clone())
        .await
        .unwrap();
    assert_eq!(open.firewall, Attr::Null);
    let stored = site.client("w-1").await.configuration(true).await;
    let stored = stored.unwrap().unwrap();
    assert!(!stored.expose().contains("strata-talos"));
    assert!(!stored.expose().contains("NetworkDefaultActionConfig"));
}
