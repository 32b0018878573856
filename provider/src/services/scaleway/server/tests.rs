//! The server resource against the lab: ordered once whatever is lost, never an error once it exists, found again by its marks.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use strata_framework::{Harness, Limits, Secret};
use tokio_util::sync::CancellationToken;

use super::model::FirstContact;
use super::*;
use crate::lab_test::World;

const ORDER: &str = "POST /baremetal/v1/zones/{zone}/servers";

fn config(node: &str) -> BaremetalServer {
    BaremetalServer {
        name: Attr::Known(format!("home-{node}")),
        node: node.into(),
        zone: "fr-par-2".into(),
        offer: "EM-I215E-NVME".into(),
        os: "Ubuntu 22.04".into(),
        ssh_key_ids: Attr::Known(BTreeSet::from(["a-key".to_owned()])),
        user_data_wo: Attr::Known(Secret::new("#!/bin/bash\n".into())),
        protected: Attr::Known(false),
        monthly: Attr::Known(false),
        on_create_failure: "keep".into(),
        ..BaremetalServer::default()
    }
}

/// What the framework plans for a creation: computed unknown, write-only null.
fn planned(config: &BaremetalServer) -> BaremetalServer {
    let mut planned = config.clone();
    planned.user_data_wo = Attr::Null;
    for attribute in [
        &mut planned.id,
        &mut planned.ipv4,
        &mut planned.ipv6,
        &mut planned.status,
        &mut planned.install_status,
    ] {
        *attribute = Attr::Unknown;
    }
    for attribute in [
        &mut planned.last_seen,
        &mut planned.offer_id,
        &mut planned.os_id,
        &mut planned.owner,
        &mut planned.project_id,
        &mut planned.domain,
        &mut planned.reverse_ipv4,
        &mut planned.reverse_ipv6,
        &mut planned.mac,
    ] {
        *attribute = Attr::Unknown;
    }
    planned.ready = Attr::Unknown;
    planned.private_network_attachments = Attr::Unknown;
    planned
}

type Process = Harness<Strata, Private>;

/// A provider process with one registered key.
async fn process(world: &World, owner: &str) -> Process {
    Harness::new(world.provider(owner).await)
}

/// The configuration with a key of the project, which Linux needs.
async fn keyed(process: &Process, mut config: BaremetalServer) -> BaremetalServer {
    let cx = process.cx::<BaremetalServer>();
    let scaleway = cx.provider.scaleway().await.unwrap();
    let project = scaleway.project(None).unwrap();
    let keys = scaleway.client.ssh_keys(&project).await.unwrap();
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let key = match keys.into_iter().next() {
        Some(key) => key,
        None => scaleway
            .client
            .create_ssh_key(&project, "operator", line)
            .await
            .unwrap(),
    };
    config.ssh_key_ids = Attr::Known(BTreeSet::from([key.id]));
    config
}

async fn create(
    process: &Process,
    config: &BaremetalServer,
) -> Result<BaremetalServer, Diagnostics> {
    Box::pin(BaremetalServer::create(
        &process.cx(),
        config.clone(),
        planned(config),
    ))
    .await
}

/// Refresh and plan of an unchanged configuration, as one `terraform plan`.
async fn plan(
    process: &Process,
    config: &BaremetalServer,
    state: &BaremetalServer,
) -> (BaremetalServer, Planned<BaremetalServer>) {
    let Found::Present(prior) = BaremetalServer::read(&process.cx(), state.clone())
        .await
        .unwrap()
    else {
        panic!("gone")
    };
    let mut next = prior.clone();
    next.tags = config.tags.clone();
    next.name = config.name.clone();
    next.protected = config.protected.clone();
    let planned = Planned {
        state: next,
        replace: Vec::new(),
    };
    let planned = BaremetalServer::plan(
        &process.cx(),
        Change::Update {
            config,
            prior: &prior,
        },
        planned,
    )
    .await
    .unwrap();
    (prior, planned)
}

async fn servers(world: &World) -> Vec<Value> {
    world.estate().await["servers"].as_array().unwrap().clone()
}

#[tokio::test]
async fn one_order_one_server_and_an_empty_second_plan() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = keyed(&first, config("cp-1")).await;
    world.calls("").await;
    let state = create(&first, &config).await.unwrap();
    assert_eq!(
        (
            state.ready.clone(),
            state.status.text(),
            state.install_status.text()
        ),
        (Attr::Known(true), "ready", "completed")
    );
    assert!(
        state.ipv4.text().parse::<std::net::Ipv4Addr>().is_ok()
            && state.ipv6.text().parse::<std::net::Ipv6Addr>().is_ok()
    );
    assert_eq!(state.owner.text(), "estate-1");
    assert!(first.warnings().is_empty(), "{}", first.warnings());
    assert_eq!(world.calls(&format!("scaleway {ORDER}")).await, 1);
    let second = process(&world, "estate-1").await;
    let (prior, planned) = plan(&second, &config, &state).await;
    assert_eq!(
        (&prior, planned.state, planned.replace.len()),
        (&state, state.clone(), 0)
    );
    assert_eq!(
        world.calls("scaleway ").await,
        1,
        "a refresh is one list call"
    );
    BaremetalServer::delete(&second.cx(), prior.clone())
        .await
        .unwrap();
    assert!(servers(&world).await.is_empty());
    BaremetalServer::delete(&second.cx(), prior.clone())
        .await
        .unwrap();
    let third = process(&world, "estate-1").await;
    assert!(matches!(
        BaremetalServer::read(&third.cx(), prior).await.unwrap(),
        Found::Gone
    ));
}

#[tokio::test]
async fn stopping_a_run_keeps_the_server_and_the_next_apply_goes_on() {
    let world = World::start().await;
    let setup = process(&world, "estate-1").await;
    let config = keyed(&setup, config("cp-1")).await;
    world.fault("machine", "*", json!("install_stuck")).await;
    let limits = Limits {
        cancel: CancellationToken::new(),
        deadline: tokio::time::Instant::now() + Duration::from_mins(1),
    };
    let cancel = limits.cancel.clone();
    let first = Harness::new(world.provider("estate-1").await).with(limits);
    let stop = async {
        while servers(&world).await.is_empty() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (state, ()) = tokio::join!(create(&first, &config), stop);
    let state = state.unwrap();
    assert_eq!(state.ready, Attr::Known(false));
    assert!(!state.last_seen.text().is_empty());
    assert!(first.warnings().to_string().contains("not ready yet"));
    let second = process(&world, "estate-1").await;
    let (prior, planned) = plan(&second, &config, &state).await;
    assert!(
        planned.state.ready.is_unknown() && planned.replace.is_empty(),
        "the plan is the resumed wait"
    );
    // The stuck installation ends with a reinstallation by hand; here the stop came before the fault was taken or after.
    assert_eq!(prior.id, state.id);
    let limits = Limits::within(Duration::from_secs(3));
    let third = Harness::new(world.provider("estate-1").await).with(limits);
    let resumed = Box::pin(BaremetalServer::update(
        &third.cx(),
        config.clone(),
        prior,
        planned.state,
    ))
    .await
    .unwrap();
    assert_eq!(resumed.id, state.id);
    assert_eq!(servers(&world).await.len(), 1);
}

#[tokio::test]
async fn a_failed_installation_is_kept_retried_or_deleted_as_asked() {
    let world = World::start().await;
    for (policy, node) in [("keep", "cp-1"), ("retry", "cp-2"), ("delete", "cp-3")] {
        let process = process(&world, "estate-1").await;
        let mut config = keyed(&process, config(node)).await;
        config.on_create_failure = policy.into();
        world
            .fault("machine", "*", json!({"install_error": {"after": 200}}))
            .await;
        let outcome = create(&process, &config).await;
        world.no_faults().await;
        let mine = servers(&world)
            .await
            .into_iter()
            .filter(|server| server["name"] == format!("home-{node}"))
            .count();
        match policy {
            "keep" => {
                let state = outcome.unwrap();
                assert_eq!(
                    (&state.ready, state.install_status.text(), mine),
                    (&Attr::Known(false), "error", 1)
                );
                // The next run installs it again and orders nothing.
                let next = self::process(&world, "estate-1").await;
                let (prior, planned) = plan(&next, &config, &state).await;
                let resumed = Box::pin(BaremetalServer::update(
                    &next.cx(),
                    config.clone(),
                    prior,
                    planned.state,
                ))
                .await
                .unwrap();
                assert_eq!((resumed.ready, resumed.id), (Attr::Known(true), state.id));
            }
            "retry" => {
                let state = outcome.unwrap();
                assert_eq!(
                    (state.ready, state.install_status.text(), mine),
                    (Attr::Known(true), "completed", 1)
                );
            }
            _ => {
                let error = outcome.unwrap_err().to_string();
                assert!(error.contains("the deletion was observed"), "{error}");
                assert!(
                    process.saved::<BaremetalServer>().is_none(),
                    "nothing left to taint"
                );
                assert_eq!(mine, 0);
            }
        }
    }
}

#[tokio::test]
async fn foreign_tags_are_drift_and_are_removed_in_place() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let mut config = keyed(&first, config("cp-1")).await;
    config.tags = Attr::Known(BTreeSet::from(["mine".to_owned()]));
    let state = create(&first, &config).await.unwrap();
    world
        .change(json!({"add_tag": {"server": "home-cp-1", "tag": "theirs"}}))
        .await;
    world
        .change(json!({"add_tag": {"server": "home-cp-1", "tag": "PrivateNetwork"}}))
        .await;
    let second = process(&world, "estate-1").await;
    let (prior, planned) = plan(&second, &config, &state).await;
    assert_eq!(
        prior.tags,
        Attr::Known(BTreeSet::from(["mine".to_owned(), "theirs".to_owned()]))
    );
    let next = Box::pin(BaremetalServer::update(
        &second.cx(),
        config.clone(),
        prior,
        planned.state,
    ))
    .await
    .unwrap();
    assert_eq!(next.ready, Attr::Known(true));
    let third = process(&world, "estate-1").await;
    let (prior, planned) = plan(&third, &config, &next).await;
    assert_eq!(prior, planned.state);
}

#[tokio::test]
async fn a_vanished_server_is_gone_and_an_outage_is_not() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = keyed(&first, config("cp-1")).await;
    let state = create(&first, &config).await.unwrap();
    for _ in 0..5 {
        world
            .fault("scaleway", "*", json!({"status": {"code": 502}}))
            .await;
    }
    let second = process(&world, "estate-1").await;
    assert!(matches!(
        BaremetalServer::read(&second.cx(), state.clone())
            .await
            .unwrap(),
        Found::Unknown(_)
    ));
    world.no_faults().await;
    world.change(json!({"delete_server": "home-cp-1"})).await;
    let third = process(&world, "estate-1").await;
    assert!(matches!(
        BaremetalServer::read(&third.cx(), state).await.unwrap(),
        Found::Gone
    ));
}

#[tokio::test]
async fn only_a_protection_of_ours_is_lifted() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let mut config = keyed(&first, config("cp-1")).await;
    config.protected = Attr::Known(true);
    let state = create(&first, &config).await.unwrap();
    // Another process knows nothing of who set it: private state travels with the state, and this harness starts empty.
    let stranger = process(&world, "estate-1").await;
    let error = BaremetalServer::delete(&stranger.cx(), state.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("protected"), "{error}");
    BaremetalServer::delete(&first.cx(), state).await.unwrap();
    assert!(servers(&world).await.is_empty());
}

#[tokio::test]
async fn offer_system_and_user_data_are_checked_at_plan() {
    let world = World::start().await;
    let process = process(&world, "estate-1").await;
    let plan = async |config: &BaremetalServer| {
        let planned = Planned {
            state: planned(config),
            replace: Vec::new(),
        };
        BaremetalServer::plan(&process.cx(), Change::Create { config }, planned)
            .await
            .map(drop)
            .map_err(|found| found.to_string())
    };
    plan(&config("cp-1")).await.unwrap();
    let mut wrong = config("cp-1");
    wrong.offer = "EM-NOTHING".into();
    assert!(plan(&wrong).await.unwrap_err().contains("EM-I215E-NVME"));
    wrong = config("cp-1");
    wrong.os = "Ubuntu 4".into();
    assert!(plan(&wrong).await.unwrap_err().contains("Ubuntu 22.04"));
    for (change, says) in [
        (
            (|wrong| wrong.offer = "EM-B320E-NVME".into()) as fn(&mut BaremetalServer),
            "is out of stock in zone fr-par-2",
        ),
        (
            |wrong| {
                let none = super::options::ServerOption::default();
                let options = std::collections::BTreeMap::from([("Coffee".to_owned(), none)]);
                wrong.options = Attr::Known(options);
            },
            "has no option `Coffee`. It has: Private Network",
        ),
        (
            |wrong| {
                let layout = json!({
                    "disks": [{"device": "/dev/sda", "partitions": [{"label": "root", "number": 1, "size": 1}]}],
                    "filesystems": [{"device": "/dev/sda1", "format": "ext4", "mountpoint": "/"}],
                });
                wrong.partitioning = Attr::Known(layout.to_string());
            },
            "Scaleway refuses it",
        ),
    ] {
        let mut wrong = config("cp-1");
        change(&mut wrong);
        let error = plan(&wrong).await.unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    assert!(servers(&world).await.is_empty());
    assert_eq!(world.calls(&format!("scaleway {ORDER}")).await, 0);
}

#[tokio::test]
async fn an_import_reads_what_the_configuration_says() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = keyed(&first, config("cp-1")).await;
    let state = create(&first, &config).await.unwrap();
    let imported = BaremetalServer::import(&first.cx(), &format!("fr-par-2/{}", state.id.text()))
        .await
        .unwrap();
    let second = process(&world, "estate-1").await;
    let Found::Present(read) = BaremetalServer::read(&second.cx(), imported).await.unwrap() else {
        panic!("gone")
    };
    for (imported, created) in [
        (&read.name, &state.name),
        (&read.node, &state.node),
        (&read.offer, &state.offer),
        (&read.os, &state.os),
    ] {
        assert_eq!(imported, created);
    }
    assert_eq!(
        (&read.ready, &read.ssh_key_ids, &read.protected),
        (&Attr::Known(true), &state.ssh_key_ids, &state.protected)
    );
    assert!(
        BaremetalServer::import(&first.cx(), "nonsense")
            .await
            .is_err()
    );
}

/// A node's configuration as the layers write it, its keys already in the store.
async fn node_config(process: &Process, node: &str) -> BaremetalServer {
    node_config_for(process, node, &[]).await
}

/// The same with a port 22 that admits these addresses alone.
async fn node_config_for(process: &Process, node: &str, operators: &[&str]) -> BaremetalServer {
    use crate::functions::flatcar_install_script::FlatcarInstallScript;
    use crate::functions::ignition::Ignition;
    use crate::services::secret::kind::Kind;
    use strata_framework::{Dynamic, Function};

    let mut config = keyed(process, config(node)).await;
    let store = process.cx::<BaremetalServer>().provider.store().unwrap();
    let host_key_name = format!("nodes/{node}/host-key");
    let keys = [
        ("ssh/operator", Kind::SshKeypair),
        (host_key_name.as_str(), Kind::SshHostKeypair),
    ]
    .map(|(name, kind)| {
        let key = kind.generate(name, 0).unwrap();
        (
            Name::parse(name).unwrap(),
            kind.public(&key).unwrap()["public_key"].clone(),
            key,
        )
    });
    for (name, _, key) in &keys {
        store.put(name, key).await.unwrap();
    }
    let [(_, operator, _), (_, host_public, host_private)] = keys;
    let node_object = json!({
        "name": node, "role": "worker", "ssh_public_key": operator, "host_public_key": host_public, "host_private_key": host_private.expose(),
        "kubernetes_version": "1.34.2", "os": {"channel": "stable", "version": null, "updates": "auto"},
        "open_rules": {"operators": operators}, "pods": "10.244.0.0/16", "public_ports": []
    });
    let ignition = Ignition::call((Dynamic::from_json(&node_object),)).unwrap();
    let install = json!({"node_ignition": ignition, "channel": "stable", "version": null, "disk": null, "wipe": "all", "admits": operators});
    config.user_data_wo = Attr::Known(Secret::new(
        FlatcarInstallScript::call((Dynamic::from_json(&install),)).unwrap(),
    ));
    config.first_contact = Attr::Known(FirstContact {
        user: "core".into(),
        private_key: "ssh/operator".into(),
        host_key: Attr::Known(host_key_name),
        host_key_current: Attr::Known(format!("nodes/{node}/host-key-current")),
    });
    config
}

async fn has_user_data(process: &Process, state: &BaremetalServer) -> bool {
    let cx = process.cx::<BaremetalServer>();
    let scaleway = cx.provider.scaleway().await.unwrap();
    scaleway
        .client
        .server("fr-par-2", state.id.text())
        .await
        .unwrap()
        .unwrap()
        .user_data
        .is_there
}

#[path = "tests/again.rs"]
mod again;

#[path = "tests/contact.rs"]
mod contact;

#[path = "tests/order.rs"]
mod order;

#[path = "tests/rescue.rs"]
mod rescue;

#[path = "tests/thousand.rs"]
mod thousand;
