//! The resource against the lab's API server and a file store.

use strata_framework::Harness;

use super::*;
use crate::environment::Environment;
use crate::kubernetes::tests::{Cluster as World, ENDPOINT, cluster};
use crate::provider::tests::configuration;
use crate::store::Name;

async fn world() -> (World, tempfile::TempDir, Harness<Strata>) {
    let (world, folder) = (cluster().await, tempfile::tempdir().unwrap());
    let provider = Strata::in_environment(
        configuration(folder.path(), "estate-1"),
        Environment::loopback(),
    );
    let harness = Harness::new(provider);
    put(&harness, "pki", world.pki.to_text().expose()).await;
    put(
        &harness,
        "pair",
        r#"{"tls.key": "first key", "tls.crt": "crt"}"#,
    )
    .await;
    put(&harness, "database", "first value").await;
    (world, folder, harness)
}

async fn put(harness: &Harness<Strata>, name: &str, value: &str) {
    let store = harness.cx::<KubernetesSecret>().provider.store().unwrap();
    let value = Secret::new(value.to_owned());
    store
        .put(&Name::parse(name).unwrap(), &value)
        .await
        .unwrap();
}

fn source(entry: &str, part: Option<&str>) -> SecretSource {
    SecretSource {
        entry: entry.into(),
        part: part.map(str::to_owned).into(),
        fingerprint: Attr::Null,
    }
}

fn secret(world: &World) -> KubernetesSecret {
    let cluster = Cluster {
        name: Attr::Null,
        endpoint: ENDPOINT.into(),
        port: world.address.port().into(),
        kubernetes_version: Attr::Null,
        pod_subnet: Attr::Null,
        service_subnet: Attr::Null,
        dns_domain: Attr::Null,
        audit: Attr::Null,
        extra_sans: Attr::Null,
        pki: "pki".into(),
        control_planes: Attr::Known([("cp-1".to_owned(), "127.0.0.1".to_owned())].into()),
        peers: Attr::Null,
    };
    let data = [
        ("password".to_owned(), source("database", None)),
        ("key".to_owned(), source("pair", Some("tls.key"))),
    ];
    KubernetesSecret {
        name: "db".into(),
        namespace: "kube-system".into(),
        r#type: "Opaque".into(),
        labels: Attr::Known([("app".to_owned(), "db".to_owned())].into()),
        data: Attr::Known(data.into()),
        cluster: Attr::Known(cluster),
        id: Attr::Unknown,
        fingerprint: Attr::Unknown,
        timeouts: Attr::Null,
    }
}

async fn create(harness: &Harness<Strata>, config: &KubernetesSecret) -> KubernetesSecret {
    KubernetesSecret::create(&harness.cx(), config.clone(), config.clone())
        .await
        .unwrap()
}

async fn read(harness: &Harness<Strata>, state: &KubernetesSecret) -> KubernetesSecret {
    let found = KubernetesSecret::read(&harness.cx(), state.clone()).await;
    match found.unwrap() {
        Found::Present(state) => state,
        other => panic!("expected to be there, found {other:?}"),
    }
}

/// What a plan with the state's own configuration would reach.
async fn plan(harness: &Harness<Strata>, prior: &KubernetesSecret) -> KubernetesSecret {
    let planned = Planned {
        state: prior.clone(),
        replace: Vec::new(),
    };
    let change = Change::Update {
        config: prior,
        prior,
    };
    let planned = KubernetesSecret::plan(&harness.cx(), change, planned).await;
    planned.unwrap().state
}

async fn value(world: &World, key: &str) -> String {
    let live = world.client().fetch(&secret(world).id()).await.unwrap();
    let text = live.unwrap()["data"][key].as_str().unwrap().to_owned();
    String::from_utf8(BASE64.decode(text.as_bytes()).unwrap()).unwrap()
}

#[tokio::test]
async fn values_come_from_the_store_and_follow_it() {
    let (world, _folder, harness) = world().await;
    let state = create(&harness, &secret(&world)).await;
    assert_eq!(value(&world, "password").await, "first value");
    assert_eq!(value(&world, "key").await, "first key");
    assert!(!format!("{state:?}").contains("first value"));
    assert_eq!(read(&harness, &state).await, state);
    assert_eq!(
        plan(&harness, &state).await,
        state,
        "the second plan is empty"
    );

    put(&harness, "database", "second value").await;
    assert_eq!(
        read(&harness, &state).await,
        state,
        "the cluster is as it was"
    );
    let planned = plan(&harness, &state).await;
    assert!(planned.fingerprint.is_unknown());
    let next = KubernetesSecret::update(&harness.cx(), planned.clone(), state, planned).await;
    let next = next.unwrap();
    assert_eq!(value(&world, "password").await, "second value");
    assert_eq!(plan(&harness, &next).await, next);
}

#[tokio::test]
async fn a_change_in_the_cluster_is_a_change_in_the_plan_and_what_others_added_is_not() {
    let (world, _folder, harness) = world().await;
    let state = create(&harness, &secret(&world)).await;
    let change = |values: Value, labels: Value| Object {
        id: state.id(),
        value: json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db", "namespace": "kube-system", "labels": labels }, "data": values }),
    };
    let edit = async |object: Object| {
        use kube::api::{Patch, PatchParams};
        let api: kube::Api<k8s_openapi::api::core::v1::Secret> =
            kube::Api::namespaced(world.client().api(), "kube-system");
        let patch = Patch::Merge(&object.value);
        api.patch("db", &PatchParams::default(), &patch)
            .await
            .unwrap();
    };
    edit(change(json!({ "more": "eA==" }), json!({ "theirs": "x" }))).await;
    assert_eq!(read(&harness, &state).await, state);

    edit(change(
        json!({ "password": "eA==" }),
        json!({ "app": "other" }),
    ))
    .await;
    let drifted = read(&harness, &state).await;
    assert_ne!(drifted.fingerprint, state.fingerprint);
    assert_eq!(drifted.labels.or_default()["app"], "other");
    let planned = plan(&harness, &drifted).await;
    assert!(planned.fingerprint.is_unknown());
    let planned = KubernetesSecret {
        labels: state.labels.clone(),
        ..planned
    };
    let healed = KubernetesSecret::update(&harness.cx(), planned.clone(), drifted, planned).await;
    assert_eq!(healed.unwrap(), state);
    assert_eq!(value(&world, "more").await, "x", "what is not ours stays");
}

#[tokio::test]
async fn a_fingerprint_makes_it_wait_and_refuses_another_value() {
    let (world, _folder, harness) = world().await;
    let mut config = secret(&world);
    let with = |fingerprint: Attr<String>| SecretSource {
        fingerprint,
        ..source("database", None)
    };
    let provider = harness.cx::<KubernetesSecret>().provider;
    let right = provider.fingerprint(b"first value").await.unwrap();
    config.data = Attr::Known([("a".to_owned(), with(right.into()))].into());
    let state = create(&harness, &config).await;
    // While a rotation is planned, its consumers are planned to change.
    let mut rotating = state.clone();
    rotating.data = Attr::Known([("a".to_owned(), with(Attr::Unknown))].into());
    assert!(plan(&harness, &rotating).await.fingerprint.is_unknown());

    put(&harness, "database", "changed by somebody").await;
    let error = KubernetesSecret::create(&harness.cx(), config.clone(), config).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("changed meanwhile"), "{error}");
    assert!(!error.contains("changed by somebody"));
    assert_eq!(plan(&harness, &state).await, state, "a plan only warns");
    assert!(!harness.warnings().is_empty());
}

#[tokio::test]
async fn a_foreign_secret_is_left_alone_unless_it_says_the_same() {
    let (world, _folder, harness) = world().await;
    let client = world.client();
    let mut foreign = secret(&world).object(&Values::new());
    foreign.value["metadata"]["labels"] = json!({ MANAGED_BY: "Helm" });
    foreign.value["data"] = json!({ "password": BASE64.encode(b"theirs") });
    client.apply(&foreign).await.unwrap();
    let config = secret(&world);
    let error = KubernetesSecret::create(&harness.cx(), config.clone(), config.clone()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("somebody else made"), "{error}");
    assert_eq!(value(&world, "password").await, "theirs");

    foreign.value["data"] =
        json!({ "password": BASE64.encode(b"first value"), "key": BASE64.encode(b"first key") });
    client.apply(&foreign).await.unwrap();
    create(&harness, &config).await;
}

#[tokio::test]
async fn gone_is_seen_deleting_twice_is_fine_and_a_lost_store_keeps_the_state() {
    let (world, folder, harness) = world().await;
    let state = create(&harness, &secret(&world)).await;
    std::fs::write(folder.path().join("store/database.age"), b"torn").unwrap();
    assert_eq!(plan(&harness, &state).await, state);
    std::fs::write(folder.path().join("store/pki.age"), b"torn").unwrap();
    let found = KubernetesSecret::read(&harness.cx(), state.clone()).await;
    assert!(matches!(found.unwrap(), Found::Unknown(_)));
    assert!(
        KubernetesSecret::delete(&harness.cx(), state.clone())
            .await
            .is_err()
    );

    put(&harness, "pki", world.pki.to_text().expose()).await;
    for _ in 0..2 {
        KubernetesSecret::delete(&harness.cx(), state.clone())
            .await
            .unwrap();
    }
    let found = KubernetesSecret::read(&harness.cx(), state).await;
    assert!(matches!(found.unwrap(), Found::Gone));
}
