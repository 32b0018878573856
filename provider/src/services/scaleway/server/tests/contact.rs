//! The first contact: the machine proves itself with a key that only it has.

use super::*;

#[tokio::test]
async fn ready_means_reached_with_a_key_that_only_the_machine_has() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = node_config(&first, "w-1").await;
    let state = create(&first, &config).await.unwrap();
    assert_eq!(state.ready, Attr::Known(true), "{}", first.warnings());
    assert!(
        !has_user_data(&first, &state).await,
        "the user data was burned"
    );
    let cx = first.cx::<BaremetalServer>();
    let current = cx
        .provider
        .entry("nodes/w-1/host-key-current")
        .await
        .unwrap();
    assert!(current.expose().ends_with(state.id.text()));
    // A lost state: the contact is not made again, since the node may be locked by now.
    world.calls("").await;
    let second = process(&world, "estate-1").await;
    assert_eq!(create(&second, &config).await.unwrap(), state);
    assert_eq!(world.calls("ssh").await, 0);
    BaremetalServer::delete(&first.cx(), state).await.unwrap();
    assert!(
        cx.provider
            .entry("nodes/w-1/host-key-current")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_host_key_lost_with_its_run_is_made_again_by_a_reinstallation() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = node_config(&first, "w-1").await;
    let mut state = create(&first, &config).await.unwrap();
    // What a run leaves that died between the verb and the store.
    let store = first.cx::<BaremetalServer>().provider.store().unwrap();
    let asked = Secret::new(format!("asked {}", state.id.text()));
    store
        .put(&Name::parse("nodes/w-1/host-key-current").unwrap(), &asked)
        .await
        .unwrap();
    state.ready = Attr::Known(false);
    let second = process(&world, "estate-1").await;
    let (prior, planned) = plan(&second, &config, &state).await;
    let next = Box::pin(BaremetalServer::update(
        &second.cx(),
        config.clone(),
        prior,
        planned.state,
    ))
    .await
    .unwrap();
    assert_eq!(
        (next.ready, &next.id),
        (Attr::Known(true), &state.id),
        "{}",
        second.warnings()
    );
    assert!(second.warnings().to_string().contains("again"));
    assert_eq!(servers(&world).await.len(), 1);
}

#[tokio::test]
async fn a_machine_whose_host_key_nobody_has_is_neither_contacted_nor_installed_again() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = keyed(&first, config("cp-1")).await;
    create(&first, &config).await.unwrap();
    let adopting: Process = Harness::new(world.provider("estate-1").await.adopting());
    let with_contact = BaremetalServer {
        first_contact: Attr::Known(FirstContact {
            user: "core".into(),
            private_key: "ssh/operator".into(),
            host_key: "nodes/cp-1/host-key".into(),
            host_key_current: "nodes/cp-1/host-key-current".into(),
        }),
        ..config
    };
    world.calls("").await;
    let state = create(&adopting, &with_contact).await.unwrap();
    assert_eq!(state.ready, Attr::Known(false));
    assert!(
        state
            .last_seen
            .text()
            .contains("no host key of this machine"),
        "{state:?}"
    );
    assert_eq!(world.calls("scaleway POST").await, 0);
}
