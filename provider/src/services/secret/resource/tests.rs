//! The secret resource against a real file store.

use strata_framework::Harness;

use super::*;
use crate::provider::tests::provider;

fn secret(name: &str, kind: &str) -> StoreSecret {
    StoreSecret {
        name: name.into(),
        kind: kind.into(),
        value_wo: Attr::Null,
        value_wo_version: Attr::Null,
        rotation: Attr::Null,
        length: Attr::Known(32),
        deletion_protection: Attr::Known(false),
        keep_on_destroy: Attr::Known(false),
        id: Attr::Unknown,
        fingerprint: Attr::Unknown,
        public: Attr::Unknown,
        timeouts: Attr::Null,
    }
}

fn present(found: Found<StoreSecret>) -> StoreSecret {
    match found {
        Found::Present(state) => state,
        other => panic!("expected to be there, found {other:?}"),
    }
}

#[tokio::test]
async fn a_crash_after_the_put_is_an_adoption() {
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::new(provider(folder.path()));
    let config = secret("ssh/operator", "ssh_keypair");
    let first = StoreSecret::create(&harness.cx(), config.clone(), config.clone())
        .await
        .unwrap();
    assert!(harness.warnings().is_empty());
    let second = StoreSecret::create(&harness.cx(), config.clone(), config.clone())
        .await
        .unwrap();
    assert_eq!(first, second);
    assert!(!harness.warnings().is_empty());
    let read = present(
        StoreSecret::read(&harness.cx(), first.clone())
            .await
            .unwrap(),
    );
    assert_eq!(read, first);
    let imported = StoreSecret::import(&harness.cx(), "ssh/operator")
        .await
        .unwrap();
    assert_eq!(
        present(StoreSecret::read(&harness.cx(), imported).await.unwrap()),
        first
    );
    assert!(!format!("{first:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn an_entry_of_another_kind_or_value_is_not_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::new(provider(folder.path()));
    let mut config = secret("x", "value");
    config.value_wo = Attr::Known(Secret::new("first value".into()));
    StoreSecret::create(&harness.cx(), config.clone(), secret("x", "value"))
        .await
        .unwrap();
    StoreSecret::create(&harness.cx(), config.clone(), secret("x", "value"))
        .await
        .unwrap();
    config.value_wo = Attr::Known(Secret::new("quite other".into()));
    let error = StoreSecret::create(&harness.cx(), config, secret("x", "value"))
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("quite other"));
    let other = secret("x", "kubeadm_pki");
    assert!(
        StoreSecret::create(&harness.cx(), other.clone(), other)
            .await
            .is_err()
    );
    assert_eq!(harness_entry(&harness).await, "first value");
}

async fn harness_entry(harness: &Harness<Strata>) -> String {
    harness
        .cx::<StoreSecret>()
        .provider
        .entry("x")
        .await
        .unwrap()
        .expose()
        .clone()
}

async fn planned(
    harness: &Harness<Strata>,
    config: &StoreSecret,
    prior: &StoreSecret,
) -> StoreSecret {
    let state = StoreSecret {
        value_wo: Attr::Null,
        id: prior.id.clone(),
        fingerprint: prior.fingerprint.clone(),
        public: prior.public.clone(),
        ..config.clone()
    };
    let planned = Planned {
        state,
        replace: Vec::new(),
    };
    StoreSecret::plan(&harness.cx(), Change::Update { config, prior }, planned)
        .await
        .unwrap()
        .state
}

#[tokio::test]
async fn a_changed_value_or_rotation_is_written_and_an_unchanged_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::new(provider(folder.path()));
    let mut config = secret("x", "value");
    config.value_wo = Attr::Known(Secret::new("first value".into()));
    let prior = StoreSecret::create(&harness.cx(), config.clone(), secret("x", "value"))
        .await
        .unwrap();
    assert_eq!(planned(&harness, &config, &prior).await, prior);
    config.value_wo = Attr::Known(Secret::new("second value".into()));
    let plan = planned(&harness, &config, &prior).await;
    assert!(plan.fingerprint.is_unknown());
    let next = StoreSecret::update(&harness.cx(), config.clone(), prior.clone(), plan)
        .await
        .unwrap();
    assert_ne!(next.fingerprint, prior.fingerprint);
    assert_eq!(harness_entry(&harness).await, "second value");
    assert_eq!(planned(&harness, &config, &next).await, next);
}

#[tokio::test]
async fn rotation_makes_another_password_of_the_asked_length() {
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::new(provider(folder.path()));
    let mut config = secret("x", "password");
    config.length = Attr::Known(20);
    let prior = StoreSecret::create(&harness.cx(), config.clone(), config.clone())
        .await
        .unwrap();
    let before = harness_entry(&harness).await;
    assert_eq!(before.len(), 20);
    config.rotation = "2".into();
    let plan = planned(&harness, &config, &prior).await;
    StoreSecret::update(&harness.cx(), config, prior, plan)
        .await
        .unwrap();
    assert_ne!(harness_entry(&harness).await, before);
}

#[tokio::test]
async fn protection_and_keeping_hold_at_destroy() {
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::new(provider(folder.path()));
    let config = secret("x", "password");
    let mut state = StoreSecret::create(&harness.cx(), config.clone(), config)
        .await
        .unwrap();
    state.deletion_protection = Attr::Known(true);
    assert!(
        StoreSecret::plan_delete(&harness.cx(), &state)
            .await
            .is_err()
    );
    assert!(
        StoreSecret::delete(&harness.cx(), state.clone())
            .await
            .is_err()
    );
    state.deletion_protection = Attr::Known(false);
    state.keep_on_destroy = Attr::Known(true);
    StoreSecret::delete(&harness.cx(), state.clone())
        .await
        .unwrap();
    assert!(!harness_entry(&harness).await.is_empty());
    state.keep_on_destroy = Attr::Known(false);
    StoreSecret::delete(&harness.cx(), state.clone())
        .await
        .unwrap();
    StoreSecret::delete(&harness.cx(), state.clone())
        .await
        .unwrap();
    assert!(matches!(
        StoreSecret::read(&harness.cx(), state).await.unwrap(),
        Found::Gone
    ));
}

#[tokio::test]
async fn an_unreadable_store_keeps_the_state() {
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::new(provider(folder.path()));
    let config = secret("x", "password");
    let state = StoreSecret::create(&harness.cx(), config.clone(), config)
        .await
        .unwrap();
    std::fs::write(folder.path().join("store/x.age"), b"torn").unwrap();
    assert!(matches!(
        StoreSecret::read(&harness.cx(), state).await.unwrap(),
        Found::Unknown(_)
    ));
}

#[tokio::test]
async fn while_a_lost_state_is_rebuilt_nothing_is_generated() {
    let folder = tempfile::tempdir().unwrap();
    let adopting = Harness::new(provider(folder.path()).adopting());
    let config = secret("pki", "kubeadm_pki");
    let error = StoreSecret::create(&adopting.cx(), config.clone(), config.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Cannot adopt secret") && error.contains("kit restore"),
        "{error}"
    );
    let made = Harness::new(provider(folder.path()));
    let made = StoreSecret::create(&made.cx(), config.clone(), config.clone())
        .await
        .unwrap();
    let adopted = StoreSecret::create(&adopting.cx(), config.clone(), config)
        .await
        .unwrap();
    assert_eq!(adopted, made);
}
