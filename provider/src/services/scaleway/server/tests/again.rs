//! Installing again: for an operator who moved, and never twice for one request.

use super::*;

/// How often an installation was asked for since the last question.
async fn installations(world: &World) -> u64 {
    world
        .calls("scaleway POST /baremetal/v1/zones/{zone}/servers/{id}/install")
        .await
}

/// A run that starts from this state, as after a kill of the one before.
async fn run(
    process: &Process,
    config: &BaremetalServer,
    state: &BaremetalServer,
) -> BaremetalServer {
    let (prior, mut planned) = plan(process, config, state).await;
    planned.state.reinstall = config.reinstall.clone();
    let cx = process.cx();
    let updated = Box::pin(BaremetalServer::update(
        &cx,
        config.clone(),
        prior,
        planned.state,
    ))
    .await;
    updated.unwrap_or_else(|error| panic!("{error}"))
}

async fn within(world: &World, limit: Duration) -> Process {
    Harness::new(world.provider("estate-1").await).with(Limits::within(limit))
}

#[tokio::test]
async fn a_machine_built_for_another_address_is_named_and_built_again_for_this_one() {
    let world = World::start().await;
    // Ordered from another address than the lab sees this machine under.
    let first = within(&world, Duration::from_secs(20)).await;
    let elsewhere = node_config_for(&first, "w-1", &["203.0.113.77/32"]).await;
    world.calls("").await;
    let state = create(&first, &elsewhere).await.unwrap();
    assert_eq!(state.ready, Attr::Known(false));
    let seen = state.last_seen.text();
    assert!(
        seen.contains("it was built for 203.0.113.77/32") && seen.contains("203.0.113.5 now"),
        "{seen}"
    );
    assert_eq!(installations(&world).await, 0, "it would be no better");

    // The next run is told the address of now, by the configuration that is made anew each time.
    let second = process(&world, "estate-1").await;
    let here = node_config_for(&second, "w-1", &["203.0.113.5/32"]).await;
    let next = run(&second, &here, &state).await;
    let warnings = second.warnings().to_string();
    assert_eq!(
        (&next.ready, &next.id),
        (&Attr::Known(true), &state.id),
        "{warnings}"
    );
    assert!(
        warnings.contains("Installing server") && warnings.contains("built for 203.0.113.77/32"),
        "{warnings}"
    );
    assert_eq!(installations(&world).await, 1);
    assert_eq!(servers(&world).await.len(), 1);
}

#[tokio::test]
async fn an_installation_that_a_killed_run_asked_for_is_not_asked_for_again() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = node_config(&first, "w-1").await;
    let state = create(&first, &config).await.unwrap();
    let with = |word: &str| BaremetalServer {
        reinstall: word.into(),
        ..config.clone()
    };
    // Each starts from the state before. The first is killed after the request, the second right before its state was saved.
    world.calls("").await;
    let once = with("once");
    let killed = within(&world, Duration::from_millis(150)).await;
    assert_eq!(run(&killed, &once, &state).await.ready, Attr::Known(false));
    for _ in 0..2 {
        let again = process(&world, "estate-1").await;
        let next = run(&again, &once, &state).await;
        assert_eq!(next.ready, Attr::Known(true), "{}", again.warnings());
    }
    assert_eq!(installations(&world).await, 1);
    // Another word is another installation.
    let other = process(&world, "estate-1").await;
    let next = run(&other, &with("twice"), &state).await;
    assert_eq!(next.ready, Attr::Known(true), "{}", other.warnings());
    assert_eq!(installations(&world).await, 1);
}

#[tokio::test]
async fn without_a_first_contact_a_running_installation_of_the_same_is_waited_for() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = keyed(&first, config("w-1")).await;
    let state = create(&first, &config).await.unwrap();
    let again = BaremetalServer {
        reinstall: "once".into(),
        ..config.clone()
    };
    world.calls("").await;
    let killed = within(&world, Duration::from_millis(50)).await;
    let begun = run(&killed, &again, &state).await;
    assert_eq!(begun.ready, Attr::Known(false), "{}", killed.warnings());
    let next = process(&world, "estate-1").await;
    let done = run(&next, &again, &state).await;
    assert_eq!(done.ready, Attr::Known(true), "{}", next.warnings());
    assert_eq!(installations(&world).await, 1);
}
