//! Who is let in, in maintenance and afterwards.

use strata_lab::fault::Action;
use strata_proto::talos::machine as wire;
use strata_proto::talos::machine::apply_configuration_request::Mode;
use strata_proto::talos::machine::machine_service_client::MachineServiceClient;
use tonic::{Code, Request};

use crate::world::{ADMIN, Identity, READER, World, machine};

/// Where DHCP puts the first machine that has no address.
const LEASE: &str = "192.0.2.200";

fn apply(text: &str, mode: Mode, dry_run: bool) -> wire::ApplyConfigurationRequest {
    wire::ApplyConfigurationRequest {
        data: text.as_bytes().to_vec(),
        mode: mode.into(),
        dry_run,
        try_mode_timeout: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_takes_a_configuration_from_anyone_and_ends() {
    let world = World::new("v1.13.9");
    world.power_on("cp-1", None);
    let mut stranger = MachineServiceClient::new(world.wait_for(LEASE, None).await);
    let version = stranger.version(()).await.unwrap().into_inner();
    assert!(version.messages[0].features.is_none());
    for refused in [
        stranger
            .bootstrap(wire::BootstrapRequest::default())
            .await
            .unwrap_err(),
        stranger
            .reboot(wire::RebootRequest::default())
            .await
            .unwrap_err(),
    ] {
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    }
    let system = (
        "hardware",
        "SystemInformations.hardware.talos.dev",
        "systeminformation",
    );
    let system = world.resource(LEASE, None, system).await.unwrap();
    assert_eq!(system["uuid"], "11111111-2222-4333-8444-555555555555");
    let secret = ("config", "MachineConfigs.config.talos.dev", "persistent");
    let denied = world.resource(LEASE, None, secret).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);

    let text = world.configuration("cp-1", "192.0.2.11", true);
    let wrong = text.replace("  clusterName: home", "  clusterName: home\n  oops: 1");
    let error = stranger
        .apply_configuration(apply(&wrong, Mode::Auto, false))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("cluster.oops: 1"), "{error}");
    stranger
        .apply_configuration(apply(&text, Mode::Auto, true))
        .await
        .unwrap();
    assert_eq!(
        machine(&world.machines.estate(), "talos-bc2411000083")["role"],
        serde_json::Value::Null
    );
    stranger
        .apply_configuration(apply(&text, Mode::Auto, false))
        .await
        .unwrap();
    // The connection ends, and strangers are no longer answered.
    let mut admin = world.admin("192.0.2.11").await;
    assert!(stranger.version(()).await.is_err());
    let hostname = admin.hostname(()).await.unwrap().into_inner();
    assert_eq!(hostname.messages[0].hostname, "cp-1");
    assert!(
        world.channel("192.0.2.11", None).await.is_err() || {
            let channel = world.channel("192.0.2.11", None).await;
            match channel {
                Ok(channel) => MachineServiceClient::new(channel)
                    .version(())
                    .await
                    .is_err(),
                Err(_) => true,
            }
        }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_need_one_usage_and_roles_decide() {
    let world = World::new("v1.13.9");
    world.start("cp-1", "192.0.2.11", true);
    let address = "192.0.2.11";
    let mut admin = world.admin(address).await;

    let both = Identity {
        role: "os:admin",
        serves_too: true,
    };
    let refused = match world.channel(address, Some(&both)).await {
        Ok(channel) => MachineServiceClient::new(channel)
            .version(())
            .await
            .is_err(),
        Err(_) => true,
    };
    assert!(refused);

    let channel = world.wait_for(address, Some(&READER)).await;
    let mut reader = MachineServiceClient::new(channel);
    assert!(reader.version(()).await.is_ok());
    let denied = reader
        .reboot(wire::RebootRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (denied.code(), denied.message()),
        (Code::PermissionDenied, "not authorized")
    );
    let secret = ("config", "MachineConfigs.config.talos.dev", "v1alpha1");
    let denied = world.resource(address, Some(&READER), secret).await;
    assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    let active = world.resource(address, Some(&ADMIN), secret).await.unwrap();
    assert!(
        active
            .as_str()
            .is_some_and(|text| text.contains("kind: HostnameConfig"))
    );
    for (kind, code) in [
        ("members", Code::PermissionDenied),
        // Of 1.14 only.
        ("BootIDs.runtime.talos.dev", Code::PermissionDenied),
        ("Services.v1alpha1.talos.dev", Code::NotFound),
    ] {
        let absent = ("runtime", kind, "nothing");
        let error = world.resource(address, Some(&ADMIN), absent).await;
        assert_eq!(error.unwrap_err().code(), code, "{kind}");
    }

    let mut two = Request::new(());
    two.metadata_mut()
        .append("node", "192.0.2.11".parse().unwrap());
    two.metadata_mut()
        .append("node", "192.0.2.12".parse().unwrap());
    let error = admin.version(two).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let mut several = Request::new(());
    several
        .metadata_mut()
        .insert("nodes", "192.0.2.11".parse().unwrap());
    let error = admin.version(several).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let request = |seconds| wire::GenerateClientConfigurationRequest {
        roles: vec!["os:reader".into()],
        crt_ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
    };
    let error = admin
        .generate_client_configuration(request(0))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let made = admin
        .generate_client_configuration(request(600))
        .await
        .unwrap()
        .into_inner()
        .messages
        .remove(0);
    assert_eq!(made.ca, world.secrets.os.certificate.as_bytes());
    assert!(made.key.starts_with(b"-----BEGIN ED25519 PRIVATE KEY-----"));
    let talosconfig = String::from_utf8(made.talosconfig).unwrap();
    assert!(
        talosconfig.contains("context: reader@home\n"),
        "{talosconfig}"
    );
    let mut other = Request::new(());
    other
        .metadata_mut()
        .insert("node", "192.0.2.12".parse().unwrap());
    let error = admin.version(other).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_refuse_lose_replies_and_hide_machines() {
    let world = World::new("v1.13.9");
    world.start("cp-1", "192.0.2.11", true);
    let address = "192.0.2.11";
    let mut admin = world.admin(address).await;
    let call = "cp-1 /machine.MachineService/Bootstrap";
    let refusal = Action::Grpc {
        code: "failed_precondition".into(),
        message: "time is not in sync yet".into(),
    };
    world.fault(call, refusal, Some(2));
    for _ in 0..2 {
        let error = admin.bootstrap(wire::BootstrapRequest::default()).await;
        let error = error.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (Code::FailedPrecondition, "time is not in sync yet")
        );
    }
    while world.machines.estate()["journal"]
        .as_array()
        .unwrap()
        .iter()
        .all(|entry| entry["event"] != "API up")
    {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // The container runtime follows the API by a few seconds.
    world.clock.sleep(std::time::Duration::from_mins(10)).await;
    world.fault(call, Action::LoseReply, Some(1));
    assert!(
        admin
            .bootstrap(wire::BootstrapRequest::default())
            .await
            .is_err()
    );
    // It was done all the same.
    world.running(&["cp-1"]).await;
    let mut admin = world.admin(address).await;
    let again = admin.bootstrap(wire::BootstrapRequest::default()).await;
    assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);

    world.fault("cp-1", Action::Unreachable, None);
    assert!(world.channel(address, Some(&ADMIN)).await.is_err());
    world.faults.clear();
    assert!(world.channel(address, Some(&ADMIN)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn maintenance_of_1_12_knows_little() {
    let world = World::new("v1.12.4");
    world.power_on("cp-1", None);
    let mut stranger = MachineServiceClient::new(world.wait_for(LEASE, None).await);
    let error = stranger.version(()).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let error = stranger.bootstrap(wire::BootstrapRequest::default()).await;
    assert_eq!(error.unwrap_err().code(), Code::Unimplemented);
    let text = world.configuration("cp-1", "192.0.2.11", true);
    let error = stranger
        .apply_configuration(apply(&text, Mode::Staged, false))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    stranger
        .apply_configuration(apply(&text, Mode::Auto, false))
        .await
        .unwrap();
    world.admin("192.0.2.11").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_begins_with_what_is_there_and_tells_what_changes() {
    use strata_proto::talos::cosi::resource::state_client::StateClient;
    use strata_proto::talos::cosi::resource::{EventType, WatchOptions, WatchRequest};

    let world = World::new("v1.13.9");
    world.start("cp-1", "192.0.2.11", true);
    let mut admin = world.admin("192.0.2.11").await;
    let channel = world.wait_for("192.0.2.11", Some(&READER)).await;
    let mut state = StateClient::new(channel);
    let mut watch = state
        .watch(WatchRequest {
            namespace: "runtime".into(),
            r#type: "MachineStatuses.runtime.talos.dev".into(),
            id: None,
            options: Some(WatchOptions {
                bootstrap_contents: true,
                ..WatchOptions::default()
            }),
            api_version: 1,
        })
        .await
        .unwrap()
        .into_inner();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let message = watch.message().await.unwrap().unwrap();
        let event = message.event.first();
        seen.push(event.map(strata_proto::talos::cosi::resource::Event::event_type));
        if seen.len() == 3 {
            // Its stage or its services move on when it is told to begin.
            while admin
                .bootstrap(wire::BootstrapRequest::default())
                .await
                .is_err()
            {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
    assert_eq!(
        seen,
        [
            None,
            Some(EventType::Created),
            Some(EventType::Bootstrapped),
            Some(EventType::Updated)
        ]
    );
}
