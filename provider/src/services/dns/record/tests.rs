//! Names and values in their one form.

use super::*;

#[test]
fn names_become_whole_and_values_plain() {
    for (name, whole) in [
        ("api", "api.x.test"),
        ("API.x.test.", "api.x.test"),
        ("@", "x.test"),
        ("x.test", "x.test"),
        ("a.b", "a.b.x.test"),
    ] {
        assert_eq!(whole_name(name, "x.test"), whole, "{name}");
    }
    assert_eq!(
        plain("AAAA", "2001:0db8::0001"),
        plain("AAAA", "2001:db8::1")
    );
    assert_eq!(plain("TXT", "\"a b\""), "a b");
    assert_eq!(plain("CNAME", "Web.X.test."), "web.x.test");
}

#[test]
fn a_zone_names_its_backend() {
    assert!(check_zone(&"cloudflare/x.test".to_owned()).is_ok());
    for bad in ["x.test", "route53/x.test", "cloudflare/", "cloudflare"] {
        assert!(check_zone(&bad.to_owned()).is_err(), "{bad}");
    }
}

use serde_json::json;
use strata_framework::Harness;

use crate::lab_test::World;

fn record(name: &str, kind: &str, values: &[&str]) -> Record {
    Record {
        zone: "cloudflare/strata.test".into(),
        name: name.into(),
        r#type: kind.into(),
        values: Attr::Known(values.iter().map(|value| (*value).to_owned()).collect()),
        ttl: Attr::Known(300),
        purpose: "endpoint".into(),
        id: Attr::Unknown,
        record_ids: Attr::Unknown,
        timeouts: Attr::Null,
    }
}

type Process = Harness<Strata>;

async fn process(world: &World) -> Process {
    Harness::new(world.provider("estate-1").await)
}

async fn create(process: &Process, record: &Record) -> Result<Record, Diagnostics> {
    Record::create(&process.cx(), record.clone(), record.clone()).await
}

async fn read(world: &World, state: &Record) -> Option<Record> {
    match Record::read(&process(world).await.cx(), state.clone())
        .await
        .unwrap()
    {
        Found::Present(state) => Some(state),
        Found::Gone => None,
        Found::Unknown(found) => panic!("{found}"),
    }
}

async fn count(world: &World) -> usize {
    world.estate().await["dns_records"]
        .as_array()
        .map_or(0, Vec::len)
}

#[tokio::test]
async fn records_are_made_read_changed_imported_and_removed() {
    let world = World::start().await;
    let before = count(&world).await;
    let process = process(&world).await;
    let state = create(
        &process,
        &record("api.home", "A", &["192.0.2.1", "192.0.2.2"]),
    )
    .await
    .unwrap();
    assert_eq!(
        state.id.text(),
        "cloudflare/strata.test|api.home.strata.test|A"
    );
    assert_eq!(read(&world, &state).await.unwrap(), state);
    // Another resource may own other values of the same name.
    let other = Record {
        purpose: "endpoint-cp-9".into(),
        ..record("api.home.strata.test", "A", &["192.0.2.9"])
    };
    let other = create(&process, &other).await.unwrap();
    let wanted = Record {
        values: Attr::Known(BTreeSet::from(["192.0.2.2".into(), "192.0.2.3".into()])),
        ..state.clone()
    };
    let next = Record::update(&process.cx(), wanted.clone(), state.clone(), wanted)
        .await
        .unwrap();
    // The value that went was rewritten into the one that came: its record kept its id.
    assert_eq!(
        next.record_ids.or_default()["192.0.2.3"],
        state.record_ids.or_default()["192.0.2.1"]
    );
    assert_eq!(read(&world, &next).await.unwrap(), next);
    assert_eq!(read(&world, &other).await.unwrap(), other);
    let imported = Record::import(
        &process.cx(),
        "cloudflare/strata.test|api.home.strata.test|A",
    )
    .await
    .unwrap();
    assert_eq!(
        read(&world, &imported)
            .await
            .unwrap()
            .values
            .or_default()
            .len(),
        3
    );
    // Where a name is shared, the purpose tells whose: the plan after the import is empty.
    let imported = Record::import(
        &process.cx(),
        "cloudflare/strata.test|api.home.strata.test|A|endpoint-cp-9",
    )
    .await
    .unwrap();
    assert_eq!(read(&world, &imported).await.unwrap(), other);
    for state in [&next, &other, &next] {
        Record::delete(&process.cx(), (*state).clone())
            .await
            .unwrap();
    }
    assert!(read(&world, &next).await.is_none());
    assert_eq!(count(&world).await, before);
}

#[tokio::test]
async fn lost_replies_leave_one_record() {
    let world = World::start().await;
    let before = count(&world).await;
    let process = process(&world).await;
    for (index, fault) in [
        json!("lose_reply"),
        json!("disconnect"),
        json!({"status": {"code": 500}}),
        json!({"status": {"code": 429, "retry_after": 1}}),
    ]
    .into_iter()
    .enumerate()
    {
        world
            .fault(
                "cloudflare",
                "POST /client/v4/zones/{zone}/dns_records",
                fault.clone(),
            )
            .await;
        let state = create(&process, &record(&format!("n{index}"), "A", &["192.0.2.1"]))
            .await
            .unwrap_or_else(|error| panic!("{fault}: {error}"));
        assert_eq!(state.record_ids.or_default().len(), 1);
        assert!(world.all_faults_happened().await, "{fault}");
        assert_eq!(count(&world).await, before + index + 1, "{fault}");
    }
    // A lost state is adopted by its mark.
    create(&process, &record("n0", "A", &["192.0.2.1"]))
        .await
        .unwrap();
    assert!(
        process
            .warnings()
            .to_string()
            .contains("Adopted DNS record")
    );
}

#[tokio::test]
async fn what_others_made_is_neither_taken_nor_hidden() {
    let world = World::start().await;
    let process = process(&world).await;
    world
        .change(
            json!({"add_record": {"name": "web.strata.test", "type": "A", "content": "192.0.2.5"}}),
        )
        .await;
    let error = create(&process, &record("web", "A", &["192.0.2.5"]))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not carry the mark"), "{error}");
    let error = create(&process, &record("web", "CNAME", &["api.strata.test"]))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("192.0.2.5") && error.contains("CNAME"),
        "{error}"
    );
    let state = create(&process, &record("web", "A", &["192.0.2.6", "192.0.2.7"]))
        .await
        .unwrap();
    world.change(json!({"delete_record": {"name": "web.strata.test", "type": "A", "content": "192.0.2.7"}})).await;
    let drifted = read(&world, &state).await.unwrap();
    assert_eq!(
        drifted.values.or_default(),
        BTreeSet::from(["192.0.2.6".to_owned()])
    );
    let repaired = Record::update(&process.cx(), state.clone(), drifted, state.clone())
        .await
        .unwrap();
    assert_eq!(repaired.values, state.values);
    assert_eq!(read(&world, &repaired).await.unwrap(), repaired);
}

#[tokio::test]
async fn a_value_moves_between_two_resources_in_either_order() {
    for delete_first in [true, false] {
        let world = World::start().await;
        let process = process(&world).await;
        let first = create(&process, &record("api", "A", &["192.0.2.11"]))
            .await
            .unwrap();
        let other = Record {
            purpose: "endpoint-cp-2".into(),
            ..record("api", "A", &["192.0.2.12"])
        };
        let other = create(&process, &other).await.unwrap();
        let moved = Record {
            values: other.values.clone(),
            record_ids: Attr::Unknown,
            ..first.clone()
        };
        if delete_first {
            Record::delete(&process.cx(), other.clone()).await.unwrap();
        }
        let moved = Record::update(&process.cx(), moved.clone(), first, moved)
            .await
            .unwrap();
        if !delete_first {
            Record::delete(&process.cx(), other).await.unwrap();
        }
        assert_eq!(count(&world).await, 1, "delete first: {delete_first}");
        assert_eq!(read(&world, &moved).await.unwrap(), moved);
    }
}
