use serde_json::json;
use strata_framework::Harness;

use super::*;
use crate::lab_test::World;

fn wanted(node: &str) -> VirtualMachine {
    VirtualMachine {
        node: node.into(),
        host: "pve1".into(),
        name: Attr::Known(format!("home-{node}")),
        vm_id: Attr::Unknown,
        cores: Attr::Known(4),
        memory: Attr::Known(8192),
        pool: Attr::Null,
        on_boot: Attr::Known(true),
        clone: Attr::Null,
        disk: Attr::Known(Disk {
            storage: "local-lvm".into(),
            size: Attr::Known(40),
            import_from: Attr::Null,
        }),
        network: Attr::Known(Network {
            bridge: "vmbr0".into(),
            vlan: Attr::Null,
            mac: Attr::Unknown,
        }),
        agent: Attr::Known(false),
        protected: Attr::Known(false),
        id: Attr::Unknown,
        uuid: Attr::Unknown,
        owner: Attr::Unknown,
        status: Attr::Unknown,
        timeouts: Attr::Null,
    }
}

async fn machines(world: &World) -> Vec<serde_json::Value> {
    let estate = world.estate().await;
    estate["proxmox"]["vms"].as_array().unwrap().clone()
}

async fn read(process: &Harness<Strata>, state: &VirtualMachine) -> Option<VirtualMachine> {
    match VirtualMachine::read(&process.cx(), state.clone())
        .await
        .unwrap()
    {
        Found::Present(state) => Some(state),
        Found::Gone => None,
        Found::Unknown(found) => panic!("{found}"),
    }
}

#[tokio::test]
async fn a_machine_is_made_read_changed_and_deleted() {
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let state = VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap();
    assert_eq!(state.id, "pve1/100".into());
    assert_eq!(state.status, "stopped".into());
    assert_eq!(read(&process, &state).await.unwrap(), state);

    let mut planned = state.clone();
    planned.memory = Attr::Known(16384);
    planned.disk.known_mut().unwrap().size = Attr::Known(50);
    planned.network.known_mut().unwrap().vlan = Attr::Known(20);
    let changed = VirtualMachine::update(&process.cx(), planned.clone(), state, planned.clone())
        .await
        .unwrap();
    assert_eq!(changed, planned);
    assert_eq!(read(&process, &changed).await.unwrap(), changed);

    VirtualMachine::delete(&process.cx(), changed.clone())
        .await
        .unwrap();
    assert_eq!(machines(&world).await.len(), 0);
    assert_eq!(read(&process, &changed).await, None);
    VirtualMachine::delete(&process.cx(), changed)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_machine_is_made_once_whatever_is_lost() {
    let world = World::start().await;
    let create = "POST /api2/json/nodes/{node}/qemu";
    let resources = "GET /api2/json/cluster/resources";
    let locked =
        "{\"data\":null,\"message\":\"can't lock file '/var/lock/x.lck' - got timeout\\n\"}";
    for (target, fault) in [
        (create, serde_json::json!("lose_reply")),
        (create, serde_json::json!("disconnect")),
        (
            create,
            serde_json::json!({"status": {"code": 599, "body": ""}}),
        ),
        (
            create,
            serde_json::json!({"status": {"code": 500, "body": locked}}),
        ),
        (resources, serde_json::json!("lose_reply")),
        (
            "GET /api2/json/cluster/nextid",
            serde_json::json!("take_next_id"),
        ),
        (
            "GET /api2/json/nodes/{node}/tasks/{upid}/status",
            serde_json::json!({"status": {"code": 400, "body": "{\"message\":\"no such task\\n\"}"}}),
        ),
        (
            create,
            serde_json::json!({"task_warning": {"text": "clock is off"}}),
        ),
    ] {
        let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
        let before = machines(&world).await.len();
        world.fault("proxmox", target, fault.clone()).await;
        let state = VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
            .await
            .unwrap_or_else(|found| panic!("{fault}: {found}"));
        assert!(world.all_faults_happened().await, "{fault}");
        let others = usize::from(fault == "take_next_id");
        assert_eq!(machines(&world).await.len(), before + 1 + others, "{fault}");

        // A lost state: the marks are found, and nothing is made.
        let again = VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
            .await
            .unwrap();
        assert_eq!(again, state, "adopted");
        assert!(
            process
                .warnings()
                .to_string()
                .contains("Adopted Proxmox machine")
        );
        VirtualMachine::delete(&process.cx(), state).await.unwrap();
        assert_eq!(machines(&world).await.len(), before + others, "{fault}");
    }
}

#[tokio::test]
async fn a_task_that_fails_after_its_call_was_answered_is_told_with_its_log() {
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let text = "storage 'local-lvm' has no space left";
    let fault = serde_json::json!({"task_error": {"text": text}});
    world
        .fault("proxmox", "POST /api2/json/nodes/{node}/qemu", fault)
        .await;
    let error = VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains(text), "{error}");
    assert_eq!(machines(&world).await.len(), 0);
    VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap();
    assert_eq!(machines(&world).await.len(), 1);
}

#[tokio::test]
async fn machines_of_other_owners_and_protected_ones_are_left_alone() {
    let world = World::start().await;
    let ours: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let theirs: Harness<Strata> = Harness::new(world.provider("estate-2").await);
    let state = VirtualMachine::create(&ours.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap();

    let error = VirtualMachine::create(&theirs.cx(), wanted("cp-2"), wanted("cp-2"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("another owner"), "{error}");
    let error = VirtualMachine::delete(&theirs.cx(), state.clone())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("with owner estate-1"), "{error}");
    let taken = VirtualMachine {
        vm_id: Attr::Known(100),
        ..wanted("cp-3")
    };
    let error = VirtualMachine::create(&ours.cx(), taken.clone(), taken)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is taken by a machine without our marks"),
        "{error}"
    );

    let mut protected = state.clone();
    protected.protected = Attr::Known(true);
    let protected = VirtualMachine::update(&ours.cx(), protected.clone(), state, protected)
        .await
        .unwrap();
    let error = VirtualMachine::delete(&ours.cx(), protected)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("protected = false"), "{error}");
    assert_eq!(machines(&world).await.len(), 1);
}

#[tokio::test]
async fn what_others_change_is_seen_and_an_outage_is_no_end() {
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let state = VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap();
    let change = serde_json::json!({"change_vm": {"vmid": 100, "option": "cores", "value": "2"}});
    world.change(change).await;
    let seen = read(&process, &state).await.unwrap();
    assert_eq!(seen.cores, Attr::Known(2));
    VirtualMachine::update(&process.cx(), state.clone(), seen, state.clone())
        .await
        .unwrap();
    assert_eq!(read(&process, &state).await.unwrap(), state);

    // The certificate is renewed, and the CA is the same.
    world.change(serde_json::json!("renew_certificate")).await;
    let next: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    assert_eq!(read(&next, &state).await.unwrap(), state);
    world
        .change(serde_json::json!({"connect_host": {"host": "pve1", "online": false}}))
        .await;
    let cut = VirtualMachine::read(&next.cx(), state.clone())
        .await
        .unwrap();
    assert!(matches!(cut, Found::Unknown(_)));
    world
        .change(serde_json::json!({"connect_host": {"host": "pve1", "online": true}}))
        .await;
    world.change(serde_json::json!({"delete_vm": 100})).await;
    let last: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    assert_eq!(read(&last, &state).await, None);
}

#[tokio::test]
async fn marks_that_were_taken_away_are_drift_and_come_back() {
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let state = VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap();
    assert_eq!(state.owner, "estate-1".into());
    let change =
        serde_json::json!({"change_vm": {"vmid": 100, "option": "tags", "value": "backup"}});
    world.change(change).await;
    let seen = read(&process, &state).await.unwrap();
    assert_eq!(seen.owner, Attr::Null);
    let planned = VirtualMachine {
        owner: Attr::Unknown,
        ..state.clone()
    };
    let mended = VirtualMachine::update(&process.cx(), planned.clone(), seen, planned)
        .await
        .unwrap();
    assert_eq!(mended, state);
    assert_eq!(read(&process, &state).await.unwrap(), state);
    let tags = machines(&world).await[0]["options"]["tags"].clone();
    assert!(tags.as_str().unwrap().contains("backup"), "{tags}");
}

#[tokio::test]
async fn a_number_that_was_handed_out_again_is_somebody_elses_machine() {
    let world = World::start().await;
    let ours: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let theirs: Harness<Strata> = Harness::new(world.provider("estate-2").await);
    let state = VirtualMachine::create(&ours.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap();
    world.change(serde_json::json!({"delete_vm": 100})).await;
    let other = VirtualMachine::create(&theirs.cx(), wanted("cp-9"), wanted("cp-9"))
        .await
        .unwrap();
    assert_eq!(other.id, state.id);
    let before = machines(&world).await;
    let later: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    assert_eq!(read(&later, &state).await, None);
    let refused = VirtualMachine::update(&later.cx(), state.clone(), state.clone(), state)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("is another one"), "{refused}");
    assert_eq!(machines(&world).await, before);
}

#[tokio::test]
async fn what_counts_at_creation_only_never_replaces_a_machine() {
    let prior = VirtualMachine {
        id: "pve1/100".into(),
        vm_id: Attr::Known(100),
        ..wanted("cp-1")
    };
    let refused = |change: fn(&mut VirtualMachine)| {
        let mut next = prior.clone();
        change(&mut next);
        next.check_against(&prior).is_err()
    };
    assert!(refused(|next| next.host = "pve2".into()));
    assert!(refused(|next| next.vm_id = Attr::Known(101)));
    assert!(refused(
        |next| next.disk.known_mut().unwrap().size = Attr::Known(30)
    ));
    assert!(refused(
        |next| next.disk.known_mut().unwrap().storage = "ceph".into()
    ));
    assert!(!refused(
        |next| next.disk.known_mut().unwrap().size = Attr::Known(50)
    ));
    assert!(!refused(|next| next
        .disk
        .known_mut()
        .unwrap()
        .import_from =
        "local:import/x.raw".into()));
    // It was migrated by hand, and the configuration follows.
    let migrated = VirtualMachine {
        id: "pve2/100".into(),
        ..prior.clone()
    };
    let next = VirtualMachine {
        host: "pve2".into(),
        ..migrated.clone()
    };
    assert!(next.check_against(&migrated).is_ok());
}

#[tokio::test]
async fn a_configuration_is_delivered_once_and_withdrawn_without_a_trace() {
    use crate::proxmox::{Cidata, Delivered};
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let state = VirtualMachine::create(&process.cx(), wanted("cp-1"), wanted("cp-1"))
        .await
        .unwrap();
    let proxmox = process.cx::<()>().provider.proxmox().await.unwrap();
    let marks = state.marks(process.cx::<()>().provider).unwrap();
    let guest = Guest {
        marks: &marks,
        host: "pve1",
        vm_id: 100,
        images: "local",
    };
    let cidata = |user_data: &str| Cidata {
        meta_data: "instance-id: cp-1\n".into(),
        network_config: "version: 2\n".into(),
        user_data: strata_framework::Secret::new(user_data.into()),
    };
    let upload = "POST /api2/json/nodes/{node}/storage/{storage}/upload";
    let start = "POST /api2/json/nodes/{node}/qemu/{vmid}/status/start";
    // An interrupted run leaves an image that nobody uses.
    world
        .fault(
            "proxmox",
            start,
            serde_json::json!({"task_error": {"text": "no memory"}}),
        )
        .await;
    proxmox
        .deliver(&process.cx::<()>(), &guest, &cidata("old"))
        .await
        .unwrap_err();
    world
        .fault("proxmox", upload, serde_json::json!("lose_reply"))
        .await;
    world
        .fault("proxmox", start, serde_json::json!("lose_reply"))
        .await;
    let delivered = proxmox
        .deliver(&process.cx::<()>(), &guest, &cidata("machine: {}\n"))
        .await;
    assert_eq!(delivered.unwrap(), Delivered::Started);
    assert!(world.all_faults_happened().await);
    let estate = world.estate().await;
    let medium = serde_json::json!({"label": "cidata", "files": ["meta-data", "network-config", "user-data"]});
    assert_eq!(estate["proxmox"]["vms"][0]["medium"], medium);
    assert_eq!(estate["proxmox"]["vms"][0]["running"], true);
    assert_eq!(estate["proxmox"]["files"].as_array().unwrap().len(), 1);
    let again = proxmox
        .deliver(&process.cx::<()>(), &guest, &cidata("other"))
        .await
        .unwrap();
    assert_eq!(again, Delivered::Running { ours: true });

    for _ in 0..2 {
        proxmox.withdraw(&process.cx::<()>(), &guest).await.unwrap();
        let estate = world.estate().await;
        assert_eq!(estate["proxmox"]["files"].as_array().unwrap().len(), 0);
        assert_eq!(
            estate["proxmox"]["vms"][0]["medium"],
            serde_json::Value::Null
        );
        assert_eq!(estate["proxmox"]["vms"][0]["running"], true);
    }
    let again = proxmox
        .deliver(&process.cx::<()>(), &guest, &cidata("other"))
        .await
        .unwrap();
    assert_eq!(again, Delivered::Running { ours: false });
    let theirs = Marks {
        owner: "estate-2".into(),
        ..marks.clone()
    };
    let theirs = Guest {
        marks: &theirs,
        ..guest.clone()
    };
    proxmox
        .deliver(&process.cx::<()>(), &theirs, &cidata("x"))
        .await
        .unwrap_err();
    VirtualMachine::delete(&process.cx(), state).await.unwrap();
    assert_eq!(machines(&world).await.len(), 0);
}

/// The same as a clone of machine 9000.
fn cloned(node: &str) -> VirtualMachine {
    VirtualMachine {
        clone: Attr::Known(Original {
            vm_id: Attr::Known(9000),
            full: Attr::Known(true),
            format: Attr::Null,
        }),
        ..wanted(node)
    }
}

async fn create(
    process: &Harness<Strata>,
    wanted: VirtualMachine,
) -> Result<VirtualMachine, Diagnostics> {
    Box::pin(VirtualMachine::create(
        &process.cx(),
        wanted.clone(),
        wanted,
    ))
    .await
}

#[tokio::test]
async fn a_clone_keeps_what_is_not_said_and_gets_marks_of_its_own() {
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    world
        .change(json!({"make_template": {"vmid": 9000, "host": "pve1"}}))
        .await;
    let state = create(&process, cloned("cp-1")).await.unwrap();
    assert_eq!(read(&process, &state).await.unwrap(), state);
    assert_eq!(state.owner, "estate-1".into());
    let vms = machines(&world).await;
    assert_eq!(vms.len(), 2, "{vms:?}");
    let made = vms.iter().find(|vm| vm["vmid"] != 9000).unwrap();
    let option = |name: &str| made["options"][name].to_string();
    assert!(option("tags").contains("golden"), "{made}");
    assert!(option("tags").contains("strata-node-cp-1"), "{made}");
    assert!(option("scsi0").contains("size=40G"), "{made}");
    assert!(option("ide2").contains("none,media=cdrom"), "{made}");
    assert_eq!(option("memory"), "\"8192\"");

    // A linked one, which the template's storage has room for at once.
    let mut linked = cloned("cp-2");
    linked.clone.known_mut().unwrap().full = Attr::Known(false);
    let linked = create(&process, linked).await.unwrap();
    assert_ne!(linked.uuid, state.uuid);
    for state in [state, linked] {
        VirtualMachine::delete(&process.cx(), state).await.unwrap();
    }
    let left = machines(&world).await;
    assert_eq!(left.len(), 1, "the template stays: {left:?}");
}

#[tokio::test]
async fn a_clone_is_made_once_whatever_is_lost() {
    let world = World::start().await;
    world
        .change(json!({"make_template": {"vmid": 9000, "host": "pve1"}}))
        .await;
    let clone = "POST /api2/json/nodes/{node}/qemu/{vmid}/clone";
    let set = "PUT /api2/json/nodes/{node}/qemu/{vmid}/config";
    let status = "GET /api2/json/nodes/{node}/tasks/{upid}/status";
    let locked = "{\"data\":null,\"message\":\"VM is locked (backup)\\n\"}";
    for (target, fault, comes_by_itself) in [
        (clone, json!("lose_reply"), true),
        (clone, json!("disconnect"), true),
        (
            clone,
            json!({"status": {"code": 500, "body": locked}}),
            true,
        ),
        ("GET /api2/json/cluster/nextid", json!("take_next_id"), true),
        // A run that ends before the clone has its tags.
        (set, json!({"status": {"code": 403}}), false),
        (status, json!({"status": {"code": 403}}), false),
    ] {
        let what = format!("{target} {fault}");
        let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
        let before = machines(&world).await.len();
        world.fault("proxmox", target, fault.clone()).await;
        let first = create(&process, cloned("cp-1")).await;
        assert!(world.all_faults_happened().await, "{what}");
        assert_eq!(first.is_ok(), comes_by_itself, "{what}: {first:?}");
        let state = match first {
            Ok(state) => state,
            Err(_) => create(&process, cloned("cp-1")).await.unwrap(),
        };
        let others = usize::from(fault == "take_next_id");
        assert_eq!(machines(&world).await.len(), before + 1 + others, "{what}");
        assert_eq!(read(&process, &state).await.unwrap(), state, "{what}");
        VirtualMachine::delete(&process.cx(), state).await.unwrap();
    }

    // What the worker says is in the error, and nothing is left of it.
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let before = machines(&world).await.len();
    let full = json!({"task_error": {"text": "no space left on device"}});
    world.fault("proxmox", clone, full).await;
    let refused = create(&process, cloned("cp-1")).await.unwrap_err();
    assert!(refused.to_string().contains("no space left"), "{refused}");
    assert_eq!(machines(&world).await.len(), before);
}

#[tokio::test]
async fn what_cannot_become_the_machine_is_not_cloned() {
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    world
        .change(json!({"make_template": {"vmid": 9000, "host": "pve1"}}))
        .await;
    let node = create(&process, wanted("cp-1")).await.unwrap();
    let before = machines(&world).await.len();
    let from = |vm_id: u32, full: bool| {
        let mut wanted = cloned("cp-2");
        wanted.clone = Attr::Known(Original {
            vm_id: Attr::Known(vm_id),
            full: Attr::Known(full),
            format: Attr::Null,
        });
        wanted
    };
    let mut small = from(9000, true);
    small.disk.known_mut().unwrap().size = Attr::Known(8);
    let mut elsewhere = from(9000, false);
    elsewhere.disk.known_mut().unwrap().storage = "ceph".into();
    for (wanted, words) in [
        (from(9001, true), "There is no such machine"),
        (
            from(*node.vm_id.known().unwrap(), true),
            "It is node cp-1 of cluster",
        ),
        (small, "Its disk has 10 GiB and cannot shrink to 8"),
        (elsewhere, "which is local-lvm and not ceph"),
    ] {
        let planned = Planned {
            state: wanted.clone(),
            replace: Vec::new(),
        };
        let change = Change::Create { config: &wanted };
        let at_plan = VirtualMachine::plan(&process.cx(), change, planned).await;
        let at_plan = at_plan.unwrap_err().to_string();
        assert!(at_plan.contains(words), "{at_plan}");
        let refused = create(&process, wanted).await.unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
    world
        .change(json!({"change_vm": {"vmid": 9000, "option": "scsi0", "value": ""}}))
        .await;
    let refused = create(&process, from(9000, true)).await.unwrap_err();
    assert!(
        refused.to_string().contains("has no disk scsi0"),
        "{refused}"
    );
    world.change(json!({"delete_vm": 9000})).await;
    let option = json!({"vmid": node.vm_id.known().unwrap(), "option": "tags", "value": "golden"});
    world.change(json!({"change_vm": option})).await;
    let linked = from(*node.vm_id.known().unwrap(), false);
    let refused = create(&process, linked).await.unwrap_err().to_string();
    assert!(
        refused.contains("linked clones are made of templates only"),
        "{refused}"
    );
    assert_eq!(machines(&world).await.len(), before - 1, "nothing was made");

    let mut both = cloned("cp-2");
    both.disk.known_mut().unwrap().import_from = "local:import/x.qcow2".into();
    let mut found = Diagnostics::default();
    VirtualMachine::validate(&both, &mut found);
    assert!(
        found.to_string().contains("`clone` or `import_from`"),
        "{found}"
    );

    let mut formatted = from(9000, false);
    formatted.clone.known_mut().unwrap().format = "qcow2".into();
    let mut found = Diagnostics::default();
    VirtualMachine::validate(&formatted, &mut found);
    assert!(
        found.to_string().contains("A linked clone copies nothing"),
        "{found}"
    );
}

#[tokio::test]
async fn a_source_that_is_held_is_waited_for_and_its_clone_keeps_the_format() {
    let world = World::start().await;
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    world
        .change(json!({"make_template": {"vmid": 9000, "host": "pve1"}}))
        .await;
    let hold = |lock: &str| json!({"change_vm": {"vmid": 9000, "option": "lock", "value": lock}});
    world.change(hold("backup")).await;
    let mut wanted = cloned("cp-1");
    wanted.clone.known_mut().unwrap().format = "raw".into();
    let clone = create(&process, wanted);
    let backup = async {
        // Longer than three orders without a verdict would take.
        let proxmox = process.cx::<()>().provider.proxmox().await.unwrap();
        let long = proxmox.client.scaled(std::time::Duration::from_mins(5));
        tokio::time::sleep(long).await;
        assert_eq!(machines(&world).await.len(), 1, "nothing yet");
        world.change(hold("")).await;
    };
    let (made, ()) = tokio::join!(clone, backup);
    let made = made.unwrap();
    assert_eq!(read(&process, &made).await.unwrap(), made);
    assert_eq!(machines(&world).await.len(), 2);

    // Not for ever: the time of the operation ends it.
    world.change(hold("backup")).await;
    let limits = strata_framework::Limits::within(std::time::Duration::from_secs(1));
    let hasty: Harness<Strata> = Harness::new(world.provider("estate-1").await).with(limits);
    let held = create(&hasty, cloned("cp-2"))
        .await
        .unwrap_err()
        .to_string();
    assert!(held.contains("it is locked (backup)"), "{held}");
    assert!(held.contains("No machine was made."), "{held}");
    assert_eq!(machines(&world).await.len(), 2);
}

#[tokio::test]
async fn a_clone_that_takes_for_ever_is_not_begun_again_while_its_worker_lives() {
    let world = World::start().await;
    world
        .change(json!({"make_template": {"vmid": 9000, "host": "pve1"}}))
        .await;
    let clone = "POST /api2/json/nodes/{node}/qemu/{vmid}/clone";
    world.fault("proxmox", clone, json!("task_stuck")).await;
    let within = async |milliseconds: u64| {
        let limits =
            strata_framework::Limits::within(std::time::Duration::from_millis(milliseconds));
        let process: Harness<Strata> = Harness::new(world.provider("estate-1").await).with(limits);
        create(&process, cloned("cp-1")).await
    };
    // A run that did not live to see the end of it, and the next one.
    assert!(within(300).await.is_err());
    assert_eq!(machines(&world).await.len(), 2);
    let refused = within(2_000).await.unwrap_err().to_string();
    assert!(
        refused.contains("is still being made by UPID:pve1:"),
        "{refused}"
    );
    assert_eq!(machines(&world).await.len(), 2, "not cloned again");

    // The host goes down, and nobody works under the lock any more.
    let process: Harness<Strata> = Harness::new(world.provider("estate-1").await);
    let proxmox = process.cx::<()>().provider.proxmox().await.unwrap();
    let worker = proxmox.client.maker("pve1").await.unwrap().unwrap();
    let worker = crate::http::client::escape(&worker);
    let path = format!("nodes/pve1/tasks/{worker}");
    proxmox.client.delete(&path).await.unwrap();
    assert_eq!(proxmox.client.maker("pve1").await.unwrap(), None);
    let made = create(&process, cloned("cp-1")).await.unwrap();
    assert_eq!(read(&process, &made).await.unwrap(), made);
}
