//! From the rescue system: the same node at the end, ordered once and written once whatever breaks off in between.

use super::*;
use crate::services::scaleway::order::UNUSED;

const REBOOT: &str = "POST /baremetal/v1/zones/{zone}/servers/{id}/reboot";
const CURRENT: &str = "nodes/w-1/host-key-current";

/// Somebody boots the machine into the rescue system, past the provider.
async fn boot_into_rescue(process: &Process, config: &BaremetalServer, state: &BaremetalServer) {
    let cx = process.cx::<BaremetalServer>();
    let scaleway = cx.provider.scaleway().await.unwrap();
    let keys = config.ssh_key_ids.known().unwrap();
    let keys: Vec<String> = keys.iter().cloned().collect();
    scaleway
        .client
        .reboot_server("fr-par-2", state.id.text(), "rescue", &keys)
        .await
        .unwrap();
}

/// The configuration as the layers write it with `install: rescue`, for a port 22 that admits these addresses alone.
async fn by_rescue(process: &Process, operators: &[&str]) -> BaremetalServer {
    use crate::functions::flatcar_install_script::FlatcarInstallScript;
    use crate::functions::ignition::Ignition;
    use strata_framework::{Dynamic, Function};

    let mut config = node_config_for(process, "w-1", operators).await;
    let cx = process.cx::<BaremetalServer>();
    let entry = async |name: &str| cx.provider.entry(name).await.unwrap().expose().clone();
    let public = |private: &str| {
        let key = russh::keys::PrivateKey::from_openssh(private).unwrap();
        key.public_key().to_openssh().unwrap()
    };
    let (operator, host) = (
        entry("ssh/operator").await,
        entry("nodes/w-1/host-key").await,
    );
    let scaleway = cx.provider.scaleway().await.unwrap();
    let project = scaleway.project(None).unwrap();
    let key = scaleway
        .client
        .create_ssh_key(&project, "operator", &public(&operator))
        .await
        .unwrap();
    let node = json!({
        "name": "w-1", "role": "worker", "ssh_public_key": public(&operator), "host_public_key": public(&host), "host_private_key": host,
        "kubernetes_version": "1.34.2", "os": {"channel": "stable", "version": null, "updates": "auto"},
        "open_rules": {"operators": operators}, "pods": "10.244.0.0/16", "public_ports": []
    });
    let ignition = Ignition::call((Dynamic::from_json(&node),)).unwrap();
    let install = json!({
        "node_ignition": ignition, "channel": "stable", "version": null, "disk_like": {"min": 100_000_000_000_u64, "type": "NVMe"}, "wipe": "all",
        "admits": operators, "from": "rescue"
    });
    let script = FlatcarInstallScript::call((Dynamic::from_json(&install),)).unwrap();
    config.rescue_script_wo = Attr::Known(Secret::new(script));
    config.ssh_key_ids = Attr::Known(BTreeSet::from([key.id]));
    (config.os, config.user_data_wo) = (Attr::Null, Attr::Null);
    config.install = "rescue".into();
    config
}

/// What the framework plans for it.
async fn order(
    process: &Process,
    config: &BaremetalServer,
) -> Result<BaremetalServer, Diagnostics> {
    let mut planned = planned(config);
    planned.rescue_script_wo = Attr::Null;
    Box::pin(BaremetalServer::create(
        &process.cx(),
        config.clone(),
        planned,
    ))
    .await
}

/// A run that starts from this state.
async fn run(
    process: &Process,
    config: &BaremetalServer,
    state: &BaremetalServer,
) -> BaremetalServer {
    let (prior, mut planned) = plan(process, config, state).await;
    planned.state.reinstall = config.reinstall.clone();
    planned.state.ssh_key_ids = config.ssh_key_ids.clone();
    let cx = process.cx();
    let updated = BaremetalServer::update(&cx, config.clone(), prior, planned.state);
    Box::pin(updated)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn entry(process: &Process) -> String {
    let cx = process.cx::<BaremetalServer>();
    cx.provider.entry(CURRENT).await.unwrap().expose().clone()
}

async fn note(process: &Process, text: String) {
    let store = process.cx::<BaremetalServer>().provider.store().unwrap();
    let name = Name::parse(CURRENT).unwrap();
    store.put(&name, &Secret::new(text)).await.unwrap();
}

/// Stage of the one machine, and its host key is its own.
async fn stage(world: &World) -> String {
    let machines = world.estate().await["machines"].clone();
    assert_eq!(machines.as_array().unwrap().len(), 1, "{machines}");
    machines[0]["stage"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn from_the_rescue_system_a_bare_machine_becomes_the_same_node() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = by_rescue(&first, &[]).await;
    world.calls("").await;
    let state = order(&first, &config).await.unwrap();
    let warnings = first.warnings().to_string();
    assert_eq!(state.ready, Attr::Known(true), "{warnings}");
    assert!(
        warnings.contains("trusted on first use") && warnings.contains("SHA256:"),
        "{warnings}"
    );
    let calls = world.all_calls().await;
    let count = |call: &str| calls.get(call).copied().unwrap_or_default();
    assert_eq!(
        (
            count(&format!("scaleway {ORDER}")),
            count("ssh EXEC install")
        ),
        (1, 1),
        "{calls:?}"
    );
    assert_eq!(
        count(&format!("scaleway {REBOOT}")),
        2,
        "into it and out of it: {calls:?}"
    );
    assert_eq!(stage(&world).await, "flatcar");
    assert!(entry(&first).await.starts_with("ssh-ed25519 "));
    let server = &servers(&world).await[0];
    assert!(!server["tags"].to_string().contains(UNUSED), "{server}");
    assert_eq!(
        (state.install_status.clone(), state.os_id.clone()),
        (Attr::Null, Attr::Null)
    );

    let second = process(&world, "estate-1").await;
    let (prior, planned) = plan(&second, &config, &state).await;
    assert_eq!(
        (&prior, planned.state, planned.replace.len()),
        (&state, state.clone(), 0)
    );
    // A lost state: adopted, and nobody knocks at a machine that may be locked.
    world.calls("").await;
    let third = process(&world, "estate-1").await;
    assert_eq!(order(&third, &config).await.unwrap(), state);
    let calls = world.all_calls().await;
    assert!(
        !calls
            .keys()
            .any(|call| call.starts_with("ssh") || call.contains("reboot")),
        "{calls:?}"
    );

    // A lost store as well: it may be a node, so it is left alone, and the operator's word is what installs it.
    let store = second.cx::<BaremetalServer>().provider.store().unwrap();
    store
        .delete(&Name::parse(CURRENT).unwrap(), Condition::Any)
        .await
        .unwrap();
    let unknown = BaremetalServer {
        ready: Attr::Known(false),
        ..state.clone()
    };
    let next = run(&second, &config, &unknown).await;
    assert_eq!(next.ready, Attr::Known(false));
    assert!(
        next.last_seen.text().contains("it was left alone"),
        "{}",
        next.last_seen.text()
    );
    let again = BaremetalServer {
        reinstall: "once".into(),
        ..config
    };
    let next = run(&third, &again, &next).await;
    assert_eq!(next.ready, Attr::Known(true), "{}", third.warnings());
    assert_eq!(
        (servers(&world).await.len(), stage(&world).await.as_str()),
        (1, "flatcar")
    );
}

#[tokio::test]
async fn killed_anywhere_the_next_run_goes_on() {
    let world = World::start().await;
    let setup = process(&world, "estate-1").await;
    let config = by_rescue(&setup, &[]).await;
    world.calls("").await;
    let (mut entries, mut state) = (BTreeSet::new(), None);
    // Each run is dropped where it stands, a little later every time; what it had saved is what the next one starts from.
    for run in 0..200_u64 {
        let process = process(&world, "estate-1").await;
        let limit = Duration::from_millis(20 + run * 3);
        let done = match &state {
            None => tokio::time::timeout(limit, order(&process, &config))
                .await
                .map(Result::unwrap),
            Some(state) => tokio::time::timeout(limit, self::run(&process, &config, state)).await,
        };
        if let Ok(text) = process
            .cx::<BaremetalServer>()
            .provider
            .entry(CURRENT)
            .await
        {
            let word = text
                .expose()
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            entries.insert(word);
        }
        if let Ok(done) = done {
            state = Some(done);
            break;
        }
        // Every other time the state is lost as well.
        state = process
            .saved::<BaremetalServer>()
            .filter(|_| run % 2 == 0)
            .or(state);
    }
    let state = state.unwrap();
    assert_eq!(state.ready, Attr::Known(true), "{}", state.last_seen.text());
    assert!(
        entries.contains("installing") && entries.contains("ssh-ed25519"),
        "{entries:?}"
    );
    // What was on its way when its sender was killed may have come to nothing; a second server would have been deleted.
    let calls = world.all_calls().await;
    assert!(
        !calls.keys().any(|call| call.starts_with("scaleway DELETE")),
        "{calls:?}"
    );
    assert_eq!(
        (servers(&world).await.len(), stage(&world).await.as_str()),
        (1, "flatcar")
    );
}

#[tokio::test]
async fn what_a_broken_run_wrote_is_started_and_not_written_again() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = by_rescue(&first, &[]).await;
    // Written, but its start was asked for in vain: the run is over before anybody tries again.
    world
        .fault(
            "machine",
            "*",
            json!({"reboot_during": {"verb": "host-key"}}),
        )
        .await;
    let state = order(&first, &config).await.unwrap();
    assert!(world.all_faults_happened().await);
    assert_eq!(state.ready, Attr::Known(true), "{}", first.warnings());

    // A run that ended between the note and the start.
    let again = BaremetalServer {
        reinstall: "once".into(),
        ..config.clone()
    };
    world
        .fault_for_ever("scaleway", REBOOT, json!({"status": {"code": 500}}))
        .await;
    let broken = Harness::new(world.provider("estate-1").await)
        .with(Limits::within(Duration::from_millis(300)));
    let begun = run(&broken, &again, &state).await;
    assert_eq!(begun.ready, Attr::Known(false));
    world.no_faults().await;
    let asked = entry(&broken).await;
    let name = asked.split_whitespace().nth(2).unwrap().to_owned();
    boot_into_rescue(&first, &config, &state).await;
    note(&broken, format!("written {} {name}", state.id.text())).await;
    world.calls("").await;
    let limits = Limits::within(Duration::from_secs(1));
    let next = Harness::new(world.provider("estate-1").await).with(limits);
    let resumed = run(&next, &again, &begun).await;
    let calls = world.all_calls().await;
    assert_eq!(calls.get("ssh EXEC install"), None, "{calls:?}");
    assert_eq!(
        calls.get(&format!("scaleway {REBOOT}")),
        Some(&1),
        "{calls:?}"
    );
    // What the note claims was not so here: the machine has the key of the installation before, and that is not the one that was delivered.
    assert_eq!(resumed.ready, Attr::Known(false));
}

#[tokio::test]
async fn a_failed_installation_from_the_rescue_system_is_kept_retried_or_deleted_as_asked() {
    for policy in ["keep", "retry", "delete"] {
        let world = World::start().await;
        let process = process(&world, "estate-1").await;
        let mut config = by_rescue(&process, &[]).await;
        config.on_create_failure = policy.into();
        let breaks = json!({"mutate": {"where_": "rescue", "from": "'^/dev/(nvme)'", "to": "'^/dev/(tape)'"}});
        world.fault("machine", "*", breaks).await;
        let outcome = order(&process, &config).await;
        assert!(world.all_faults_happened().await, "{policy}");
        if policy == "delete" {
            let error = outcome.unwrap_err().to_string();
            assert!(
                error.contains("the deletion was observed") && error.contains("no disk fits"),
                "{error}"
            );
            assert!(
                process.saved::<BaremetalServer>().is_none() && servers(&world).await.is_empty()
            );
            continue;
        }
        let state = outcome.unwrap();
        let is_kept = policy == "keep";
        assert_eq!(state.ready, Attr::Known(!is_kept), "{}", process.warnings());
        if is_kept {
            assert!(
                state.last_seen.text().contains("no disk fits"),
                "{}",
                state.last_seen.text()
            );
            let next = self::process(&world, "estate-1").await;
            let resumed = run(&next, &config, &state).await;
            assert_eq!(
                (resumed.ready, resumed.id),
                (Attr::Known(true), state.id),
                "{}",
                next.warnings()
            );
        }
        assert_eq!(servers(&world).await.len(), 1);
    }
}

#[tokio::test]
async fn lost_answers_and_lost_connections_are_waited_out() {
    let world = World::start().await;
    let process = process(&world, "estate-1").await;
    let config = by_rescue(&process, &[]).await;
    world.fault("scaleway", REBOOT, json!("lose_reply")).await;
    world.fault("scaleway", REBOOT, json!("disconnect")).await;
    world
        .fault("machine", "*", json!({"reboot_during": {"verb": "rescue"}}))
        .await;
    let state = order(&process, &config).await.unwrap();
    assert_eq!(state.ready, Attr::Known(true), "{}", process.warnings());
    assert!(world.all_faults_happened().await);
    assert_eq!(
        (servers(&world).await.len(), stage(&world).await.as_str()),
        (1, "flatcar")
    );
}

#[tokio::test]
async fn a_disk_in_use_is_not_written() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = by_rescue(&first, &[]).await;
    let state = order(&first, &config).await.unwrap();
    assert_eq!(state.ready, Attr::Known(true), "{}", first.warnings());
    // Somebody looks at the node's disk in the rescue system while it is to be installed again.
    let cx = first.cx::<BaremetalServer>();
    boot_into_rescue(&first, &config, &state).await;
    let guest = crate::ssh::rescue::Guest {
        address: state.ipv4.text().to_owned(),
        user: "rescue".into(),
        private_key: cx.provider.entry("ssh/operator").await.unwrap(),
    };
    let dialer = cx.provider.environment().await.unwrap().dialer().clone();
    let session = loop {
        match crate::ssh::rescue::connect(&dialer, &guest).await {
            Ok((session, _)) => break session,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    crate::ssh::rescue::run(&session, crate::ssh::rescue::Step::Mount)
        .await
        .unwrap();
    let again = BaremetalServer {
        reinstall: "once".into(),
        ..config
    };
    let second = process(&world, "estate-1").await;
    let refused = run(&second, &again, &state).await;
    assert!(
        refused.last_seen.text().contains("is mounted: /mnt"),
        "{}",
        refused.last_seen.text()
    );
    crate::ssh::rescue::run(&session, crate::ssh::rescue::Step::Unmount)
        .await
        .unwrap();
    let third = process(&world, "estate-1").await;
    let done = run(&third, &again, &refused).await;
    assert_eq!(
        (done.ready, &done.id),
        (Attr::Known(true), &state.id),
        "{}",
        third.warnings()
    );
}

#[tokio::test]
async fn from_the_rescue_system_too_a_machine_is_built_again_for_an_operator_who_moved() {
    let world = World::start().await;
    let limits = Limits::within(Duration::from_secs(20));
    let first = Harness::new(world.provider("estate-1").await).with(limits);
    let elsewhere = by_rescue(&first, &["203.0.113.77/32"]).await;
    let state = order(&first, &elsewhere).await.unwrap();
    let seen = state.last_seen.text();
    assert!(seen.contains("it was built for 203.0.113.77/32"), "{seen}");
    let second = process(&world, "estate-1").await;
    let here = by_rescue(&second, &["203.0.113.5/32"]).await;
    let next = run(&second, &here, &state).await;
    let warnings = second.warnings().to_string();
    assert_eq!(
        (&next.ready, &next.id),
        (&Attr::Known(true), &state.id),
        "{warnings}"
    );
    assert!(warnings.contains("built for 203.0.113.77/32"), "{warnings}");
    assert_eq!(servers(&world).await.len(), 1);
}

#[tokio::test]
async fn what_goes_with_one_way_to_install_is_refused_with_the_other() {
    let world = World::start().await;
    let process = process(&world, "estate-1").await;
    let config = by_rescue(&process, &[]).await;
    let says = |change: fn(&mut BaremetalServer)| {
        let (mut config, mut found) = (config.clone(), Diagnostics::default());
        change(&mut config);
        BaremetalServer::validate(&config, &mut found);
        found.to_string()
    };
    assert_eq!(says(|_| {}), "");
    assert!(says(|config| config.os = "Ubuntu 22.04".into()).contains("Scaleway's installer's"));
    assert!(
        says(|config| config.first_contact = Attr::Null).contains("the rescue system is entered")
    );
    assert!(
        says(|config| config.rescue_script_wo = Attr::Null).contains("nothing else would install")
    );
    assert!(says(|config| config.install = "cloud-init".into()).contains("Needed with"));
    let no_keys = BaremetalServer {
        ssh_key_ids: Attr::Known(BTreeSet::new()),
        ..config.clone()
    };
    let error = order(&process, &no_keys).await.unwrap_err().to_string();
    assert!(
        error.contains("The rescue system needs an SSH key"),
        "{error}"
    );
    assert!(servers(&world).await.is_empty());
    // What goes over a link that nobody can vouch for.
    let script = config.rescue_script_wo.known().unwrap().expose();
    assert!(script.len() < 60_000 && script.starts_with("#!/bin/bash\n"));
}
