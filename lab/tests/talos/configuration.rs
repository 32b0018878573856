//! Modes of ApplyConfiguration, by version.

use std::time::Duration;

use strata_lab::fault::Action;
use strata_proto::talos::machine as wire;
use strata_proto::talos::machine::apply_configuration_request::Mode;
use strata_proto::talos::machine::machine_service_client::MachineServiceClient;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::world::{ADMIN, World, machine};

const ADDRESS: &str = "192.0.2.11";
/// How long a trial lasts, in simulated seconds: a minute of the wall, which no busy machine uses up.
const TRIAL: i64 = 36_000;

async fn apply(
    client: &mut MachineServiceClient<Channel>,
    text: &str,
    mode: Mode,
    seconds: i64,
) -> Result<wire::ApplyConfiguration, Status> {
    let request = wire::ApplyConfigurationRequest {
        data: text.as_bytes().to_vec(),
        mode: mode.into(),
        dry_run: seconds < 0,
        try_mode_timeout: (seconds > 0).then_some(prost_types::Duration { seconds, nanos: 0 }),
    };
    let mut answer = client.apply_configuration(request).await?.into_inner();
    Ok(answer.messages.remove(0))
}

async fn start(version: &'static str) -> (World, MachineServiceClient<Channel>, String) {
    let world = World::new(version);
    world.start("cp-1", ADDRESS, true);
    let admin = world.admin(ADDRESS).await;
    let text = world.configuration("cp-1", ADDRESS, true);
    (world, admin, text)
}

fn boot_id(world: &World) -> String {
    machine(&world.machines.estate(), "cp-1")["boot_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_1_14_a_change_may_need_a_reboot() {
    let (world, mut admin, text) = start("v1.13.9").await;
    let before = boot_id(&world);
    let live = text.replace(
        "persist: true\nmachine:\n",
        "persist: true\nmachine:\n  sysctls: {a.b: '1'}\n",
    );
    let files = text.replace(
        "persist: true\nmachine:\n",
        "persist: true\nmachine:\n  files: [{content: x, path: /var/x, permissions: 0o600, op: create}]\n",
    );
    let dry = apply(&mut admin, &files, Mode::Auto, -1).await.unwrap();
    assert_eq!(dry.mode(), Mode::Reboot);
    // The trap: what a dry run shows quotes the configuration.
    assert!(
        dry.mode_details.contains("path: /var/x"),
        "{}",
        dry.mode_details
    );
    let same = apply(&mut admin, &text, Mode::Auto, -1).await.unwrap();
    assert!(same.mode_details.contains("No changes."));
    let refused = apply(&mut admin, &files, Mode::NoReboot, 0)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let done = apply(&mut admin, &live, Mode::Auto, 0).await.unwrap();
    assert_eq!(done.mode(), Mode::NoReboot);
    assert_eq!(boot_id(&world), before);

    apply(&mut admin, &files, Mode::Staged, 0).await.unwrap();
    assert_eq!(machine(&world.machines.estate(), "cp-1")["staged"], true);
    let done = apply(&mut admin, &files, Mode::Auto, 0).await.unwrap();
    assert_eq!(done.mode(), Mode::Reboot);
    world
        .until("it has booted", |estate| {
            let now = machine(estate, "cp-1");
            now["boot_id"] != *before && now["mode"] == "normal"
        })
        .await;
    assert_eq!(machine(&world.machines.estate(), "cp-1")["staged"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_1_14_on_nothing_reboots_by_itself() {
    let (world, mut admin, text) = start("v1.14.0").await;
    let before = boot_id(&world);
    let files = text.replace(
        "persist: true\nmachine:\n",
        "persist: true\nmachine:\n  files: [{content: x, path: /var/x, permissions: 0o600, op: create}]\n",
    );
    let error = apply(&mut admin, &files, Mode::Reboot, 0)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    let done = apply(&mut admin, &files, Mode::Auto, 0).await.unwrap();
    assert_eq!(done.mode(), Mode::NoReboot);
    assert_eq!(boot_id(&world), before);
    let boot = ("runtime", "BootIDs.runtime.talos.dev", "boot-id");
    let boot = world.resource(ADDRESS, Some(&ADMIN), boot).await.unwrap();
    assert_eq!(boot["bootID"], before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_closes_ports_and_is_taken_back() {
    let (world, mut admin, text) = start("v1.13.9").await;
    let closed = format!(
        "{text}---\napiVersion: v1alpha1\nkind: NetworkDefaultActionConfig\ningress: block\n---\napiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: apid\nportSelector: {{ports: [50000], protocol: tcp}}\ningress: [{{subnet: 192.0.2.0/24}}]\n"
    );
    let dial = |from: &str| {
        let (from, to) = (from.parse().unwrap(), ADDRESS.parse().unwrap());
        world.network.dial(from, to, 50000).is_ok()
    };
    apply(&mut admin, &closed, Mode::Try, TRIAL).await.unwrap();
    assert!(!dial("203.0.113.5") && dial("192.0.2.99"));
    // The connection that is open stays open.
    assert!(admin.hostname(()).await.is_ok());
    world
        .clock
        .advance(Duration::from_secs(TRIAL.unsigned_abs() + 10));
    for _ in 0..100 {
        if dial("203.0.113.5") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(dial("203.0.113.5"));

    apply(&mut admin, &closed, Mode::Try, TRIAL).await.unwrap();
    // A dry run in another mode lets the trial stand for good.
    apply(&mut admin, &closed, Mode::Auto, -1).await.unwrap();
    world
        .clock
        .advance(Duration::from_secs(TRIAL.unsigned_abs() + 10));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!dial("203.0.113.5"));
    // In force, and not stored.
    assert_eq!(machine(&world.machines.estate(), "cp-1")["staged"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reboot_in_mid_apply_loses_the_reply_and_keeps_the_configuration() {
    let (world, mut admin, text) = start("v1.13.9").await;
    let before = boot_id(&world);
    let verb = "ApplyConfiguration".to_owned();
    world.fault("cp-1", Action::RebootDuring { verb }, Some(1));
    let live = text.replace(
        "persist: true\nmachine:\n",
        "persist: true\nmachine:\n  sysctls: {a.b: '1'}\n",
    );
    assert!(apply(&mut admin, &live, Mode::Auto, 0).await.is_err());
    world.admin(ADDRESS).await;
    assert_ne!(boot_id(&world), before);
    let stored = ("config", "MachineConfigs.config.talos.dev", "persistent");
    let stored = world.resource(ADDRESS, Some(&ADMIN), stored).await.unwrap();
    assert!(stored.as_str().is_some_and(|text| text.contains("sysctls")));
}
