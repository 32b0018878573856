//! The Infisical store against the lab's Infisical.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::environment::Environment;
use crate::lab_test::World;
use crate::store::promises;
use crate::store::race::{self, Race};

const LOGIN: &str = "infisical POST /api/v1/auth/universal-auth/login";
const RENEW: &str = "infisical POST /api/v1/auth/token/renew";

fn settings() -> strata_cluster::Store {
    strata_cluster::Store {
        kind: "infisical".into(),
        ..strata_cluster::Store::default()
    }
}

async fn open(world: &World) -> Infisical {
    open_with(world, &[], settings()).await
}

/// The store with other variables than the lab's.
async fn open_with(
    world: &World,
    changes: &[(&str, &str)],
    settings: strata_cluster::Store,
) -> Infisical {
    let environment = world.environment().await.with(changes);
    Infisical::new(&settings, "home", OnDemand::of(environment))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn the_promises_of_a_store_are_kept_with_one_login_each() {
    let world = World::start().await;
    promises::are_kept(&open(&world).await, &open(&world).await).await;
    assert_eq!(world.calls(LOGIN).await, 2);
}

#[tokio::test]
async fn an_old_server_keeps_them_too() {
    let world = World::start().await;
    world
        .fault_for_ever("infisical", "*", json!("old_server"))
        .await;
    promises::are_kept(&open(&world).await, &open(&world).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_processes_wins_whatever_goes_wrong() {
    if let Some(lab) = race::invited() {
        let environment = OnDemand::of(Environment::lab_at(&lab).await.unwrap());
        return race::take_part(&Infisical::new(&settings(), "home", environment)).await;
    }
    let world = World::start().await;
    let mut faults = race::usual_faults();
    faults.push(json!("approval_pending"));
    let test = "store::infisical::tests::one_of_two_processes_wins_whatever_goes_wrong";
    let race = Race::start(test, world.lab.url(), Arc::new(open(&world).await)).await;
    race.run_with(&world, "infisical", &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_creations_that_both_succeed_one_counts_for_everybody() {
    let world = World::start().await;
    // 40 ms between look and insert, and nobody decides before 200 ms have passed.
    let slowly = json!({ "slow_insert": { "seconds": 60 } });
    let patient = async || Infisical {
        settle: std::time::Duration::from_mins(5),
        ..open(&world).await
    };
    let stores: [Arc<dyn Store>; 2] = [Arc::new(patient().await), Arc::new(patient().await)];
    // Folder and logins are there, so that nothing but the creations takes time.
    for store in &stores {
        store.put(&name("claim/other"), &secret("x")).await.unwrap();
    }
    world
        .fault_for_ever("infisical", "POST /api/v4/secrets/{name}", slowly)
        .await;
    for round in 0..8 {
        let entry = name(&format!("claim/{round}"));
        let puts = race::both(|writer| {
            let (store, entry) = (stores[writer].clone(), entry.clone());
            async move {
                let value = secret(&format!("writer {writer}"));
                store.put_if_absent(&entry, &value).await.unwrap()
            }
        })
        .await;
        let read = stores[0].get(&entry).await.unwrap().unwrap();
        let winners: Vec<usize> = (0..2)
            .filter(|writer| matches!(puts[*writer], Put::Written(_)))
            .collect();
        assert_eq!(winners.len(), 1, "round {round}: {puts:?}");
        assert_eq!(
            *read.value.expose(),
            format!("writer {}", winners[0]),
            "round {round}"
        );
        if let Put::Exists(found) = &puts[1 - winners[0]] {
            assert_eq!(found.value.expose(), read.value.expose());
        }
    }
    let twice = world.estate().await["infisical"]["secrets"]
        .as_array()
        .unwrap()
        .len();
    assert!(twice > 9, "no two creations ever succeeded: {twice}");
}

#[tokio::test]
async fn keys_stand_where_people_look_for_them() {
    let world = World::start().await;
    let store = open(&world).await;
    for entry in ["join/K8S_JOIN_TOKEN", "nodes/cp-1/host-key"] {
        store.put(&name(entry), &secret("v")).await.unwrap();
    }
    let estate = world.estate().await;
    let found: Vec<String> = estate["infisical"]["secrets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|secret| {
            format!(
                "{}:{}/{}",
                secret["environment"], secret["path"], secret["key"]
            )
            .replace('"', "")
        })
        .collect();
    assert_eq!(
        found,
        [
            "prod:/clusters/home/join/K8S_JOIN_TOKEN",
            "prod:/clusters/home/nodes/cp-1/host-key"
        ]
    );
}

#[tokio::test]
async fn what_waits_for_approval_was_not_written() {
    let world = World::start().await;
    let store = open(&world).await;
    store.put(&name("x"), &secret("old")).await.unwrap();
    for entry in ["x", "new"] {
        world
            .fault("infisical", "*", json!("approval_pending"))
            .await;
        let error = store.put(&name(entry), &secret("v")).await.unwrap_err();
        assert!(error.is_pending(), "{error}");
        assert!(error.to_string().contains("was not written"), "{error}");
    }
    let read = store.get(&name("x")).await.unwrap().unwrap();
    assert_eq!(read.value.expose(), "old");
    assert!(store.get(&name("new")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again() {
    let world = World::start().await;
    let wrong = [("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET", "st.wrong")];
    let store = open_with(&world, &wrong, settings()).await;
    for _ in 0..4 {
        let error = store.get(&name("x")).await.unwrap_err();
        assert!(error.is_denied(), "{error}");
        assert!(error.to_string().contains("Invalid credentials"), "{error}");
        assert!(!error.to_string().contains("st.wrong"), "{error}");
    }
    assert_eq!(
        world.calls(LOGIN).await,
        1,
        "a second try would count towards the lockout"
    );
}

#[tokio::test]
async fn a_login_that_ends_is_renewed_while_it_can_be_and_repeated_after() {
    let world = World::start().await;
    // 1500 times faster than the wall: 90 s of the lab are 60 ms, and the store stops using a login 60 s before its end.
    let login = json!({ "access_token_ttl": 90, "access_token_max_ttl": 100_000 });
    world.change(json!({ "set_up_login": login })).await;
    let store = open(&world).await;
    assert!(store.get(&name("x")).await.unwrap().is_none());
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    assert!(store.get(&name("x")).await.unwrap().is_none());
    let renewed = world.calls(RENEW).await;
    assert!(renewed > 0, "not renewed");

    // Where the longest life is no longer than one login, a renewal would end it.
    let world = World::start().await;
    let login = json!({ "access_token_ttl": 90, "access_token_max_ttl": 90 });
    world.change(json!({ "set_up_login": login })).await;
    let store = open(&world).await;
    for _ in 0..3 {
        assert!(store.get(&name("x")).await.unwrap().is_none());
        tokio::time::sleep(std::time::Duration::from_millis(70)).await;
    }
    let calls = world.all_calls().await;
    assert_eq!(calls.get(RENEW), None);
    assert!(
        calls.get(LOGIN).is_some_and(|count| *count >= 2),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_value_that_may_not_be_seen_is_denied_and_never_the_mask() {
    let world = World::start().await;
    let store = open(&world).await;
    store.put(&name("x"), &secret("v")).await.unwrap();
    let denial = json!([{ "deny": ["read_value"] }]);
    world.change(json!({ "restrict_identity": denial })).await;
    let error = store.get(&name("x")).await.unwrap_err();
    assert!(error.is_denied(), "{error}");
    let error = store
        .put_if_absent(&name("x"), &secret("w"))
        .await
        .unwrap_err();
    assert!(error.is_denied(), "{error}");
    assert_eq!(store.list("").await.unwrap(), [name("x")]);
}

#[tokio::test]
async fn a_wrong_environment_is_not_an_empty_one() {
    let world = World::start().await;
    let wrong = strata_cluster::Store {
        environment: Some("production".into()),
        ..settings()
    };
    let store = open_with(&world, &[], wrong).await;
    let error = store.get(&name("x")).await.unwrap_err();
    assert!(
        error.to_string().contains("no environment `production`"),
        "{error}"
    );
}

#[tokio::test]
async fn listing_is_one_call() {
    let world = World::start().await;
    let store = open(&world).await;
    for index in 0..5 {
        let entry = name(&format!("nodes/n-{index}/host-key"));
        store.put(&entry, &secret("v")).await.unwrap();
    }
    world.calls("").await;
    assert_eq!(store.list("nodes/").await.unwrap().len(), 5);
    let calls = world.all_calls().await;
    let secrets: Vec<(&String, &u64)> = calls
        .iter()
        .filter(|(call, _)| call.starts_with("infisical"))
        .collect();
    assert_eq!(secrets, [(&"infisical GET /api/v4/secrets".to_owned(), &1)]);
}

#[tokio::test]
async fn what_a_person_noted_beside_a_secret_stays() {
    let world = World::start().await;
    let store = open(&world).await;
    let session = store.session().await.unwrap();
    let note = json!({ "key": "team", "value": "platform" });
    store.put(&name("x"), &secret("v")).await.unwrap();
    let noted: Option<Found> = session
        .update("/clusters/home", "x", "v", json!([note.clone()]))
        .await
        .unwrap();
    assert_eq!(noted.unwrap().nonce(), None);
    store.put(&name("x"), &secret("w")).await.unwrap();
    let found = session
        .secret("/clusters/home", "x")
        .await
        .unwrap()
        .unwrap();
    let metadata: Value = found.metadata("n");
    assert_eq!(metadata[0], note);
}
