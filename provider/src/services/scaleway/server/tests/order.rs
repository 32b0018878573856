//! Whatever is lost, said twice or asked for at the same moment, an order is one server.

use super::*;

#[tokio::test]
async fn lost_replies_and_outages_never_order_twice() {
    let faults = [
        json!("lose_reply"),
        json!("disconnect"),
        json!({"status": {"code": 500}}),
        json!({"status": {"code": 502, "body": "<html>bad gateway</html>"}}),
        json!({"status": {"code": 429, "retry_after": 3}}),
        json!({"status": {"code": 429, "body": "slow down"}}),
    ];
    let world = World::start().await;
    for (index, fault) in faults.into_iter().enumerate() {
        let process = process(&world, "estate-1").await;
        let config = keyed(&process, config(&format!("cp-{index}"))).await;
        world.fault("scaleway", ORDER, fault.clone()).await;
        let state = create(&process, &config)
            .await
            .unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert_eq!(state.ready, Attr::Known(true), "{fault}");
        assert!(world.all_faults_happened().await, "{fault}");
        let mine: Vec<Value> = servers(&world)
            .await
            .into_iter()
            .filter(|server| server["name"] == format!("home-cp-{index}"))
            .collect();
        assert_eq!(mine.len(), 1, "{fault}");
        assert_eq!(mine[0]["id"], state.id.text(), "{fault}");
    }
}

#[tokio::test]
async fn a_verdict_under_503_is_not_repeated_and_orders_nothing() {
    let world = World::start().await;
    let process = process(&world, "estate-1").await;
    let config = keyed(&process, config("cp-1")).await;
    world
        .fault(
            "scaleway",
            ORDER,
            json!({"status": {"code": 503, "body": "{\"message\": \"no such luck\"}"}}),
        )
        .await;
    let error = create(&process, &config).await.unwrap_err().to_string();
    assert!(
        error.contains("no such luck") && error.contains("No server was ordered."),
        "{error}"
    );
    assert!(servers(&world).await.is_empty());
}

#[tokio::test]
async fn two_operators_at_the_same_moment_end_with_one_server() {
    let world = World::start().await;
    let (first, second) = (
        process(&world, "estate-1").await,
        process(&world, "estate-1").await,
    );
    let config = keyed(&first, config("cp-1")).await;
    let (one, two) = tokio::join!(create(&first, &config), create(&second, &config));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.id, two.id);
    let left: Vec<Value> = servers(&world)
        .await
        .into_iter()
        .filter(|server| server["status"] != "deleting")
        .collect();
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn a_lost_state_is_adopted_and_another_estate_is_refused() {
    let world = World::start().await;
    let first = process(&world, "estate-1").await;
    let config = keyed(&first, config("cp-1")).await;
    let state = create(&first, &config).await.unwrap();
    let second = process(&world, "estate-1").await;
    let adopted = create(&second, &config).await.unwrap();
    assert_eq!(adopted, state);
    assert!(second.warnings().to_string().contains("Adopted server"));
    // A Delete of what this process adopted forgets it: create_before_destroy must not delete the new object.
    BaremetalServer::delete(&second.cx(), state.clone())
        .await
        .unwrap();
    assert_eq!(servers(&world).await.len(), 1);
    let stranger = process(&world, "estate-2").await;
    let error = create(&stranger, &config).await.unwrap_err().to_string();
    assert!(
        error.contains("estate-1") && error.contains("estate-2"),
        "{error}"
    );
    let mut other = config.clone();
    other.offer = "EM-B220E-NVME".into();
    let error = create(&process(&world, "estate-1").await, &other)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("EM-I215E-NVME"), "{error}");
    assert_eq!(servers(&world).await.len(), 1);
}

#[tokio::test]
async fn ten_servers_cost_hardly_more_looks_than_one() {
    let world = World::start().await;
    let shared = std::sync::Arc::new(world.provider("estate-1").await);
    let setup = Process::shared(shared.clone());
    let config = keyed(&setup, config("x")).await;
    world.calls("").await;
    let processes: Vec<Process> = (0..10).map(|_| Process::shared(shared.clone())).collect();
    let creations = processes.iter().enumerate().map(|(index, process)| {
        let config = BaremetalServer {
            node: Attr::Known(format!("w-{index}")),
            name: Attr::Known(format!("home-w-{index}")),
            ..config.clone()
        };
        async move { create(process, &config).await.unwrap() }
    });
    let states: Vec<BaremetalServer> = futures::future::join_all(creations).await;
    assert!(states.iter().all(|state| state.ready == Attr::Known(true)));
    // Per server: the order and the confirming get; the catalogue once; the rest is shared listings.
    let calls = world.calls("scaleway ").await;
    assert!(calls <= 10 * 2 + 2 + 20, "{calls} calls");
    let refresh = Process::shared(std::sync::Arc::new(world.provider("estate-1").await));
    for state in states {
        BaremetalServer::read(&refresh.cx(), state).await.unwrap();
    }
    assert_eq!(world.calls("scaleway ").await, 1);
}

#[tokio::test]
async fn while_a_lost_state_is_rebuilt_nothing_is_ordered() {
    let world = World::start().await;
    let adopting: Process = Harness::new(world.provider("estate-1").await.adopting());
    let config = keyed(&adopting, config("cp-1")).await;
    world.calls("").await;
    let error = create(&adopting, &config).await.unwrap_err().to_string();
    assert!(
        error.contains("Cannot adopt server") && error.contains("Nothing was ordered"),
        "{error}"
    );
    assert_eq!(world.calls(&format!("scaleway {ORDER}")).await, 0);
    let made = create(&process(&world, "estate-1").await, &config)
        .await
        .unwrap();
    world.calls("").await;
    let adopted = create(&adopting, &config).await.unwrap();
    assert_eq!((&adopted.id, &adopted.ready), (&made.id, &made.ready));
    assert!(adopting.warnings().to_string().contains("Adopted server"));
    assert_eq!(world.calls("scaleway POST").await, 0);
    // Another estate's server of the same node is nobody's to take.
    let stranger: Process = Harness::new(world.provider("estate-2").await.adopting());
    let error = create(&stranger, &config).await.unwrap_err().to_string();
    assert!(error.contains("another owner (estate-1"), "{error}");
}

/// What a fault at the order or the delivery comes to.
enum Comes {
    /// A server that is ready.
    Ready,
    /// A server that is kept, not ready, with these words.
    Kept(&'static str),
    /// An error with these words and no server.
    Refused(&'static str),
}

#[tokio::test]
async fn whatever_fails_there_is_one_server_or_none() {
    let burst = json!({"status": {"code": 403, "body": "{\"message\": \"forbidden\"}"}});
    let typed = json!({"status": {"code": 403, "body": "{\"type\": \"permissions_denied\", \"message\": \"insufficient permissions\"}"}});
    let quota = json!({"status": {"code": 403, "body": "{\"type\": \"quotas_exceeded\", \"message\": \"quota(s) exceeded\"}"}});
    let end = |status: &str| json!({"delivery_end": {"status": status, "after": 3}});
    let list = "GET /baremetal/v1/zones/{zone}/servers";
    let rows = [
        (
            "a burst of 403 at the order",
            "scaleway",
            ORDER,
            burst.clone(),
            2,
            "keep",
            Comes::Ready,
        ),
        (
            "a burst of 403 while looking",
            "scaleway",
            list,
            burst,
            3,
            "keep",
            Comes::Ready,
        ),
        (
            "a permission that is missing",
            "scaleway",
            ORDER,
            typed,
            1,
            "keep",
            Comes::Refused("insufficient permissions"),
        ),
        (
            "a quota",
            "scaleway",
            ORDER,
            quota,
            1,
            "keep",
            Comes::Refused("quota(s) exceeded"),
        ),
        (
            "500 twice",
            "scaleway",
            ORDER,
            json!({"status": {"code": 500}}),
            2,
            "keep",
            Comes::Ready,
        ),
        (
            "502 after the effect",
            "scaleway",
            ORDER,
            json!({"late_status": {"code": 502}}),
            1,
            "keep",
            Comes::Ready,
        ),
        (
            "half an answer",
            "scaleway",
            ORDER,
            json!("truncate"),
            1,
            "keep",
            Comes::Ready,
        ),
        (
            "no machine left",
            "scaleway",
            ORDER,
            json!("out_of_stock"),
            1,
            "keep",
            Comes::Refused("out of stock"),
        ),
        (
            "lists that fail for a while",
            "scaleway",
            list,
            json!({"status": {"code": 502}}),
            4,
            "keep",
            Comes::Ready,
        ),
        (
            "locked",
            "machine",
            "*",
            end("locked"),
            1,
            "retry",
            Comes::Kept("its status is `locked`"),
        ),
        (
            "a delivery that fails",
            "machine",
            "*",
            end("error"),
            1,
            "keep",
            Comes::Kept("its status is `error`"),
        ),
        (
            "somebody was faster",
            "machine",
            "*",
            end("out_of_stock"),
            1,
            "delete",
            Comes::Refused("the deletion was observed"),
        ),
        (
            "two failed installations",
            "machine",
            "*",
            json!({"install_error": {"after": 200}}),
            2,
            "retry",
            Comes::Kept("ended in `error`"),
        ),
    ];
    for (what, place, target, action, times, policy, comes) in rows {
        let world = World::start().await;
        let process = process(&world, "estate-1").await;
        let mut config = keyed(&process, config("cp-1")).await;
        config.on_create_failure = policy.into();
        for _ in 0..times {
            world.fault(place, target, action.clone()).await;
        }
        let outcome = create(&process, &config).await;
        assert!(world.all_faults_happened().await, "{what}");
        let there = servers(&world).await;
        match (comes, outcome) {
            (Comes::Ready, Ok(state)) => {
                assert_eq!(
                    (&state.ready, there.len()),
                    (&Attr::Known(true), 1),
                    "{what}"
                );
                assert_eq!(there[0]["id"], state.id.text(), "{what}");
            }
            (Comes::Kept(words), Ok(state)) => {
                assert_eq!(
                    (&state.ready, there.len()),
                    (&Attr::Known(false), 1),
                    "{what}"
                );
                assert!(
                    state.last_seen.text().contains(words),
                    "{what}: {:?}",
                    state.last_seen
                );
                let (_, planned) = plan(&process, &config, &state).await;
                assert!(
                    planned.replace.is_empty(),
                    "{what}: a paid server is never replaced"
                );
            }
            (Comes::Refused(words), Err(error)) => {
                assert!(error.to_string().contains(words), "{what}: {error}");
                assert_eq!(there.len(), 0, "{what}");
                assert!(
                    process.saved::<BaremetalServer>().is_none(),
                    "{what}: nothing to taint"
                );
            }
            (_, Ok(state)) => panic!("{what}: {state:?}"),
            (_, Err(error)) => panic!("{what}: {error}"),
        }
    }
}

#[tokio::test]
async fn creations_at_the_same_moment_that_answer_500_are_ordered_once_each() {
    let world = World::start().await;
    let shared = std::sync::Arc::new(world.provider("estate-1").await);
    let setup = Process::shared(shared.clone());
    let config = keyed(&setup, config("x")).await;
    for _ in 0..3 {
        world
            .fault("scaleway", ORDER, json!({"status": {"code": 500}}))
            .await;
    }
    let processes: Vec<Process> = (0..6).map(|_| Process::shared(shared.clone())).collect();
    let creations = processes.iter().enumerate().map(|(index, process)| {
        let config = BaremetalServer {
            node: Attr::Known(format!("w-{index}")),
            name: Attr::Known(format!("home-w-{index}")),
            ..config.clone()
        };
        async move { create(process, &config).await.unwrap() }
    });
    let states: Vec<BaremetalServer> = futures::future::join_all(creations).await;
    assert!(world.all_faults_happened().await);
    assert!(states.iter().all(|state| state.ready == Attr::Known(true)));
    assert_eq!(servers(&world).await.len(), 6);
}
