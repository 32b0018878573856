//! The Vault store against the lab's Vault.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::environment::Environment;
use crate::lab_test::World;
use crate::store::promises;
use crate::store::race::{self, Race};

fn settings(mount: &str) -> strata_cluster::Store {
    strata_cluster::Store {
        kind: "vault".into(),
        mount: Some(mount.into()),
        ..strata_cluster::Store::default()
    }
}

async fn open(world: &World) -> Vault {
    let environment = OnDemand::of(world.environment().await);
    Vault::new(&settings("secret"), "home", environment)
}

/// The store with other variables than the lab's.
async fn open_with(world: &World, changes: &[(&str, &str)], mount: &str) -> Vault {
    let environment = world.environment().await.with(changes);
    Vault::new(&settings(mount), "home", OnDemand::of(environment))
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test]
async fn the_promises_of_a_store_are_kept() {
    let world = World::start().await;
    promises::are_kept(&open(&world).await, &open(&world).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_processes_wins_whatever_goes_wrong() {
    if let Some(lab) = race::invited() {
        let environment = OnDemand::of(Environment::lab_at(&lab).await.unwrap());
        return race::take_part(&Vault::new(&settings("secret"), "home", environment)).await;
    }
    let world = World::start().await;
    let mut faults = race::usual_faults();
    faults.extend([
        json!({ "status": { "code": 412 } }),
        json!({ "redirect": {} }),
    ]);
    let test = "store::vault::tests::one_of_two_processes_wins_whatever_goes_wrong";
    let race = Race::start(test, world.lab.url(), Arc::new(open(&world).await)).await;
    race.run_with(&world, "vault", &faults).await;
}

#[tokio::test]
async fn a_version_1_engine_is_named_before_anything_is_written() {
    let world = World::start().await;
    let store = open_with(&world, &[], "legacy").await;
    let error = store.put(&name("x"), &secret("v")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`legacy` is a KV version 1 engine") && text.contains("enable-versioning"),
        "{text}"
    );
}

#[tokio::test]
async fn a_bad_token_and_a_narrow_policy_are_told_apart() {
    let world = World::start().await;
    let store = open_with(&world, &[("VAULT_TOKEN", "hvs.nobody")], "secret").await;
    let error = store.get(&name("x")).await.unwrap_err();
    assert!(error.is_denied(), "{error}");
    assert!(error.to_string().contains("vault login"), "{error}");
    assert!(!error.to_string().contains("hvs.nobody"), "{error}");

    let root = open(&world).await;
    let session = root.session().await.unwrap();
    let policy = r#"path "secret/data/clusters/home/*" { capabilities = ["read"] }"#;
    let answer: Value = session
        .http
        .post("sys/policies/acl/reader")
        .json(&json!({ "policy": policy }))
        .send()
        .await
        .unwrap();
    assert_eq!(answer, Value::Null);
    let made: Value = session
        .http
        .post("auth/token/create")
        .json(&json!({ "policies": ["reader"], "ttl": "30m" }))
        .send()
        .await
        .unwrap();
    let token = made["auth"]["client_token"].as_str().unwrap();
    let reader = open_with(&world, &[("VAULT_TOKEN", token)], "secret").await;
    assert!(reader.get(&name("x")).await.unwrap().is_none());
    let error = reader.put(&name("x"), &secret("v")).await.unwrap_err();
    assert!(error.is_denied(), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("the token is valid")
            && text.contains("reader")
            && text.contains("secret/data/clusters/home/*"),
        "{text}"
    );
    // The token had less than an hour left, so the store asked for more.
    assert!(world.calls("vault POST /v1/auth/token/renew-self").await > 0);
}

#[tokio::test]
async fn without_a_token_the_message_names_both_places() {
    let world = World::start().await;
    let store = open_with(&world, &[("VAULT_TOKEN", "")], "secret").await;
    let error = store.get(&name("x")).await.unwrap_err();
    assert!(
        error.to_string().contains("VAULT_TOKEN") && error.to_string().contains("~/.vault-token"),
        "{error}"
    );
}

#[tokio::test]
async fn a_sealed_vault_is_neither_absence_nor_denial() {
    let world = World::start().await;
    let store = open(&world).await;
    store.put(&name("x"), &secret("v")).await.unwrap();
    world.fault("vault", "*", json!("sealed")).await;
    let error = store.get(&name("x")).await.unwrap_err();
    assert!(
        matches!(error, Error::Failed { .. }) && error.to_string().contains("unseal"),
        "{error}"
    );
    assert!(store.get(&name("x")).await.unwrap().is_some());
}

#[tokio::test]
async fn what_a_person_wrote_is_read_and_other_forms_are_named() {
    let world = World::start().await;
    let store = open(&world).await;
    let session = store.session().await.unwrap();
    let write = async |key: &str, data: Value| {
        let route = session.target.route("data", key);
        let body = json!({ "data": data });
        session
            .http
            .post(route)
            .json(&body)
            .send::<Value>()
            .await
            .unwrap();
    };
    write("cloudflare/api-token", json!({ "value": "by hand" })).await;
    let entry = store
        .get(&name("cloudflare/api-token"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(entry.value.expose(), "by hand");
    write(
        "cloudflare/api-token",
        json!({ "value": "by hand", "nonce": "x" }),
    )
    .await;
    let stale = store
        .delete(
            &name("cloudflare/api-token"),
            Condition::Nonce(&entry.nonce),
        )
        .await;
    assert_eq!(stale.unwrap(), Deleted::Changed);
    write("other", json!({ "token": "t0p" })).await;
    let error = store.get(&name("other")).await.unwrap_err();
    assert!(
        error.to_string().contains("`value`") && !error.to_string().contains("t0p"),
        "{error}"
    );
}

#[test]
fn the_route_of_an_entry_is_escaped_word_by_word() {
    let target = Target::new(
        &strata_cluster::Store {
            mount: Some("kv/team a/".into()),
            path: Some("/clusters/home/".into()),
            ..settings("x")
        },
        "home",
    );
    assert_eq!(
        target.route("data", "ssh/operator"),
        "kv/team%20a/data/clusters/home/ssh/operator"
    );
    assert_eq!(
        Target::new(&settings("secret"), "home").route("metadata", ""),
        "secret/metadata/clusters/home"
    );
}
