//! Locking, the timer that unlocks, timed windows: docs/delivery.md sections 5 and 6.

use std::time::Duration;

use strata_lab::fault::{Action, Fault};

use crate::delivery::rules;
use crate::world::World;

async fn locked_rules(world: &World) {
    assert_eq!(
        world
            .put(
                10,
                "600",
                "/etc/strata/nft/locked.nft",
                &rules(None, "198.51.100.10")
            )
            .await
            .code,
        Some(0)
    );
    let output = world.verb(10, "lock-check").await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn arming_cuts_the_session_and_the_timer_opens_again() {
    let world = World::new();
    let machine = world.install(10, &world.delivery("cp-1"));
    world.flatcar(&machine).await;
    locked_rules(&world).await;
    let idle = world.login(10).await.expect("login");
    let output = world.verb(10, "lock-arm 600").await;
    assert_eq!(
        output.code, None,
        "the session that arms is cut before its answer"
    );
    assert_eq!(idle.exec("true", b"").await.code, None, "and every other");
    assert!(
        world
            .login(10)
            .await
            .err()
            .expect("closed")
            .contains("no answer")
    );
    assert_eq!(
        world.machines.estate()[0]["timers"],
        serde_json::json!(["strata-restore"])
    );
    world.clock.advance(Duration::from_mins(10));
    world
        .until("the timer restores", || {
            world.machines.estate()[0]["timers"] == serde_json::json!([])
        })
        .await;
    // The timer is gone when it elapses; what it starts takes a moment to load the rules.
    world.admitted(10).await;
    assert_eq!(world.verb(10, "version").await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn confirmed_stays_locked_over_a_reboot_and_peers_are_kept() {
    let world = World::new();
    let machine = world.install(10, &world.delivery("cp-1"));
    world.flatcar(&machine).await;
    locked_rules(&world).await;
    assert_eq!(
        world
            .verb(10, "peers 198.51.100.10 198.51.100.11 2001:db8::11")
            .await
            .code,
        Some(0)
    );
    assert_eq!(world.verb(10, "lock-arm 600").await.code, None);
    let door = |words: &[&str]| machine.door(words.iter().map(|word| (*word).to_owned()).collect());
    let outcome = door(&["confirm"]).await;
    assert_eq!((outcome.exit_code, outcome.log.as_str()), (0, ""));
    world.clock.advance(Duration::from_secs(700));
    world.machines.reboot("server-10");
    world.until("down", || !machine.is_up()).await;
    world.flatcar(&machine).await;
    let estate = world.machines.estate();
    assert_eq!(
        estate[0]["firewall"]["sets"]["nodes4"],
        serde_json::json!(["198.51.100.10", "198.51.100.11"])
    );
    assert_eq!(
        estate[0]["firewall"]["sets"]["nodes6"],
        serde_json::json!(["2001:db8::11"])
    );
    assert!(world.login(10).await.is_err());
    // A window for an operator, which closes by itself and silences the session in it.
    assert_eq!(
        door(&["ssh-open", "203.0.113.7", "99999"]).await.exit_code,
        64
    );
    assert_eq!(
        door(&["ssh-open", "203.0.113.7", "14400"]).await.exit_code,
        0
    );
    let session = world.login(10).await.expect("window");
    assert_eq!(session.exec("true", b"").await.code, Some(0));
    world.clock.advance(Duration::from_hours(4));
    assert!(world.login(10).await.is_err());
    world.silenced(&session).await;
    // By hand, out of band.
    assert!(world.machines.open_port("cp-1", 22));
    assert_eq!(world.verb(10, "version").await.code, Some(0));
    assert!(
        world
            .verb(10, "rules")
            .await
            .stdout
            .contains("tcp dport 22 accept")
    );
    assert_eq!(door(&["unlock"]).await.exit_code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_with_a_mistake_is_not_armed() {
    let world = World::new();
    let machine = world.install(10, &world.delivery("cp-1"));
    world.flatcar(&machine).await;
    world.mutate(
        "file:/etc/strata/nft/locked.nft",
        "type ipv4_addr; flags interval; elements = { 198.51.100.10 }",
        "type ipv4_addr; flags interval; elements = { }",
    );
    assert_eq!(
        world
            .put(
                10,
                "600",
                "/etc/strata/nft/locked.nft",
                &rules(None, "198.51.100.10")
            )
            .await
            .code,
        Some(0)
    );
    let output = world.verb(10, "lock-arm 600").await;
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("syntax error, unexpected '}'"),
        "{output:?}"
    );
    assert_eq!(world.machines.estate()[0]["timers"], serde_json::json!([]));
    assert_eq!(world.verb(10, "version").await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_in_the_middle_cuts_the_session() {
    let world = World::new();
    let machine = world.install(10, &world.delivery("cp-1"));
    world.flatcar(&machine).await;
    world.faults.add(Fault {
        place: "machine".into(),
        target: "cp-1".into(),
        action: Action::RebootDuring {
            verb: "peers".into(),
        },
        times: Some(1),
    });
    assert_eq!(world.verb(10, "peers 198.51.100.10").await.code, None);
    world.flatcar(&machine).await;
    assert_eq!(world.verb(10, "peers 198.51.100.10").await.code, Some(0));
}
