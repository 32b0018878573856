//! Upgrades, resets and snapshots: what they do to etcd.

use std::time::Duration;

use serde_json::Value;
use strata_lab::fault::Action;
use strata_proto::talos::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};
use strata_proto::talos::machine as wire;
use strata_proto::talos::machine::image_service_client::ImageServiceClient;
use strata_proto::talos::machine::lifecycle_service_install_progress::Response as Progress;
use tonic::Code;

use crate::world::{ADMIN, SCHEMATIC, World, machine};

const NODES: [(&str, &str); 3] = [
    ("cp-1", "192.0.2.11"),
    ("cp-2", "192.0.2.12"),
    ("cp-3", "192.0.2.13"),
];

async fn three(version: &'static str) -> World {
    let world = World::new(version);
    for (node, address) in NODES {
        world.start(node, address, true);
    }
    bootstrap(&world, NODES[0].1, false).await;
    world.running(&["cp-1", "cp-2", "cp-3"]).await;
    world
}

async fn bootstrap(world: &World, address: &str, recover_etcd: bool) {
    let mut client = world.admin(address).await;
    let order = wire::BootstrapRequest {
        recover_etcd,
        recover_skip_hash_check: false,
    };
    while let Err(status) = client.bootstrap(order).await {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn store() -> ContainerdInstance {
    ContainerdInstance {
        driver: ContainerDriver::Cri.into(),
        namespace: ContainerdNamespace::NsSystem.into(),
    }
}

fn installer(version: &str) -> String {
    format!("factory.talos.dev/nocloud-installer/{SCHEMATIC}:{version}")
}

async fn pull(world: &World, address: &str, image: &str) {
    let channel = world.wait_for(address, Some(&ADMIN)).await;
    let mut images = ImageServiceClient::new(channel);
    let request = wire::ImageServicePullRequest {
        containerd: Some(store()),
        image_ref: image.into(),
    };
    let mut stream = images.pull(request).await.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
}

/// The last exit code of an upgrade.
async fn upgrade(world: &World, address: &str, image: &str) -> i32 {
    let request = wire::LifecycleServiceUpgradeRequest {
        containerd: Some(store()),
        source: Some(wire::InstallArtifactsSource {
            image_name: image.into(),
        }),
    };
    let mut client = world.lifecycle(address).await;
    let mut stream = client.upgrade(request).await.unwrap().into_inner();
    let mut code = -1;
    while let Some(part) = stream.message().await.unwrap() {
        if let Some(Progress::ExitCode(last)) = part.progress.and_then(|part| part.response) {
            code = last;
        }
    }
    code
}

async fn reboot(world: &World, (node, address): (&str, &str)) -> Value {
    let before = machine(&world.machines.estate(), node)["boot_id"].clone();
    let mut client = world.admin(address).await;
    client.reboot(wire::RebootRequest::default()).await.unwrap();
    let estate = world
        .until("it runs again", |estate| {
            let now = machine(estate, node);
            now["stage"] == "running" && now["boot_id"] != before
        })
        .await;
    machine(&estate, node).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_one_by_one_keeps_quorum() {
    let world = three("v1.13.9").await;
    let image = installer("v1.14.0");
    let mut client = world.lifecycle(NODES[0].1).await;
    let request = wire::LifecycleServiceUpgradeRequest {
        containerd: Some(store()),
        source: Some(wire::InstallArtifactsSource {
            image_name: image.clone(),
        }),
    };
    // Not pulled yet.
    let error = client.upgrade(request).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);

    world.fault("cp-1", Action::InstallerExit { code: 6 }, Some(1));
    pull(&world, NODES[0].1, &image).await;
    assert_eq!(upgrade(&world, NODES[0].1, &image).await, 6);
    // Four minors up: the stream ends well, the exit code says that it is not supported.
    let far = installer("v1.17.0");
    pull(&world, NODES[0].1, &far).await;
    assert_eq!(upgrade(&world, NODES[0].1, &far).await, 3);
    world.fault("cp-1", Action::UpgradeFallsBack, Some(1));
    assert_eq!(upgrade(&world, NODES[0].1, &image).await, 0);
    let now = reboot(&world, NODES[0]).await;
    assert_eq!(now["version"], "v1.13.9");

    for node in NODES {
        pull(&world, node.1, &image).await;
        assert_eq!(upgrade(&world, node.1, &image).await, 0);
        assert_eq!(reboot(&world, node).await["version"], "v1.14.0");
    }
    let plane = world.machines.clusters()[0].estate();
    assert_eq!(plane["quorum_losses"], 0);
    let estate = world.machines.estate();
    let journal = estate["journal"].as_array().unwrap();
    // From the moment that all three vote.
    let complete = journal
        .iter()
        .position(|entry| entry["voters"] == 3 && entry["voters_alive"] == 3)
        .unwrap();
    let with_etcd = journal[complete..]
        .iter()
        .filter(|entry| !entry["voters"].is_null());
    let mut moments = 0;
    for entry in with_etcd {
        moments += 1;
        let (voters, alive) = (&entry["voters"], &entry["voters_alive"]);
        assert!(
            alive.as_u64() > voters.as_u64().map(|voters| voters / 2),
            "{entry}"
        );
    }
    assert!(moments > 12, "{estate:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_1_12_upgrades_by_the_old_call() {
    let world = three("v1.12.4").await;
    let mut lifecycle = world.lifecycle(NODES[0].1).await;
    let error = lifecycle
        .upgrade(wire::LifecycleServiceUpgradeRequest::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    let mut client = world.admin(NODES[1].1).await;
    let answer = client
        .upgrade(wire::UpgradeRequest {
            image: installer("v1.13.9"),
            ..wire::UpgradeRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert!(!answer.messages[0].actor_id.is_empty());
    world
        .until("it runs the new version", |estate| {
            let now = machine(estate, "cp-2");
            now["version"] == "v1.13.9" && now["stage"] == "running"
        })
        .await;
    assert_eq!(world.machines.clusters()[0].estate()["quorum_losses"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_reset_leaves_etcd_and_the_last_member_cannot() {
    let world = three("v1.13.9").await;
    let request = || wire::ResetRequest {
        graceful: true,
        reboot: true,
        system_partitions_to_wipe: ["STATE", "EPHEMERAL"]
            .map(|label| wire::ResetPartitionSpec {
                label: label.into(),
                wipe: true,
            })
            .to_vec(),
        ..wire::ResetRequest::default()
    };
    world.machines.eject("pve1/cp-3");
    let mut client = world.admin(NODES[2].1).await;
    client.reset(request()).await.unwrap();
    world
        .until("it is back in maintenance", |estate| {
            let machines = estate["machines"].as_array().unwrap();
            machines
                .iter()
                .any(|machine| machine["vm"] == "pve1/cp-3" && machine["mode"] == "maintenance")
        })
        .await;
    let members = || world.machines.clusters()[0].estate()["members"].clone();
    assert_eq!(members().as_array().map(Vec::len), Some(2));

    let mut client = world.admin(NODES[1].1).await;
    client
        .etcd_leave_cluster(wire::EtcdLeaveClusterRequest {})
        .await
        .unwrap();
    let mut first = world.admin(NODES[0].1).await;
    let actor = first.reset(request()).await.unwrap().into_inner();
    let actor = actor.messages[0].actor_id.clone();
    world.clock.advance(Duration::from_secs(400));
    let mut events = first
        .events(wire::EventsRequest {
            tail_events: -1,
            with_actor_id: actor.clone(),
            ..wire::EventsRequest::default()
        })
        .await
        .unwrap()
        .into_inner();
    let hello = events.message().await.unwrap().unwrap();
    assert!(hello.data.is_none());
    loop {
        let event = events.message().await.unwrap().unwrap();
        assert_eq!(event.actor_id, actor);
        let data = event.data.unwrap();
        assert_eq!(data.type_url, "talos/runtime/machine.SequenceEvent");
        let event: wire::SequenceEvent = prost::Message::decode(data.value.as_slice()).unwrap();
        if let Some(error) = event.error {
            assert!(error.message.contains("failed to leave etcd"), "{error:?}");
            break;
        }
    }
    assert_eq!(members().as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_brings_the_cluster_back_on_an_empty_disk() {
    let world = World::new("v1.13.9");
    let (node, address) = NODES[0];
    world.start(node, address, true);
    bootstrap(&world, address, false).await;
    world.running(&[node]).await;
    let mut client = world.admin(address).await;
    let request = wire::EtcdSnapshotRequest {};
    let mut stream = client.etcd_snapshot(request).await.unwrap().into_inner();
    let mut snapshot = Vec::new();
    while let Some(part) = stream.message().await.unwrap() {
        snapshot.push(part);
    }
    world.machines.remove("pve1/cp-1");
    assert_eq!(world.machines.clusters().len(), 0);

    world.start(node, address, true);
    let mut client = world.admin(address).await;
    client
        .etcd_recover(futures::stream::iter(snapshot))
        .await
        .unwrap();
    bootstrap(&world, address, true).await;
    world.running(&[node]).await;
    let estate = world.machines.clusters()[0].estate();
    assert_eq!(estate["nodes"]["cp-1"]["ready"], true, "{estate:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_on_and_failed_sequences_tell_it() {
    let world = three("v1.13.9").await;
    let mut client = world.admin(NODES[0].1).await;
    let status = client.etcd_status(()).await.unwrap().into_inner();
    let leader = status.messages[0].member_status.as_ref().unwrap().leader;
    let members = client
        .etcd_member_list(wire::EtcdMemberListRequest::default())
        .await
        .unwrap()
        .into_inner();
    let leads = members.messages[0]
        .members
        .iter()
        .find(|member| member.id == leader)
        .unwrap();
    let address = NODES
        .iter()
        .find(|node| node.0 == leads.hostname)
        .unwrap()
        .1;
    let mut leads = world.admin(address).await;
    let forfeit = wire::EtcdForfeitLeadershipRequest {};
    let answer = leads
        .etcd_forfeit_leadership(forfeit)
        .await
        .unwrap()
        .into_inner();
    assert!(!answer.messages[0].member.is_empty());
    let again = leads.etcd_forfeit_leadership(forfeit).await.unwrap();
    assert!(again.into_inner().messages[0].member.is_empty());
    let status = client.etcd_status(()).await.unwrap().into_inner();
    assert_ne!(
        status.messages[0].member_status.as_ref().unwrap().leader,
        leader
    );

    let sequence = "shutdown".to_owned();
    world.fault("cp-2", Action::SequenceFail { sequence }, Some(1));
    let mut second = world.admin(NODES[1].1).await;
    second
        .shutdown(wire::ShutdownRequest::default())
        .await
        .unwrap();
    world.clock.sleep(Duration::from_secs(30)).await;
    assert!(world.machines.is_on("pve1/cp-2"));
    second
        .shutdown(wire::ShutdownRequest::default())
        .await
        .unwrap();
    world
        .until("it switches itself off", |estate| {
            let machines = estate["machines"].as_array().unwrap();
            machines
                .iter()
                .any(|machine| machine["vm"] == "pve1/cp-2" && machine["on"] == false)
        })
        .await;
    assert!(!world.machines.is_on("pve1/cp-2"));
    // Without a second member nothing can be asked any more.
    world.machines.power_off("pve1/cp-3");
    let request = wire::EtcdMemberListRequest::default();
    let error = client.etcd_member_list(request).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(world.machines.clusters()[0].estate()["quorum_losses"], 1);
}
