//! Both layouts in the lab's Vault, files, and what is missing.

use serde_json::json;
use strata_framework::Harness;

use super::*;
use crate::http::client::{Client, Settings};
use crate::lab_test::World;

fn about() -> Value {
    json!({
        "block_device_gb": "50", "block_device_name": "/dev/xvda", "block_device_type": "gp3", "domain": "example.org", "image_id": "ami-1",
        "instance_type": "m5.large", "placement_group_name": "", "subnet_id": "subnet-1",
    })
}

fn inputs(role: &str, mount: Option<&str>) -> EphemeralNodeInputs {
    EphemeralNodeInputs {
        cluster: Attr::Null,
        role: role.into(),
        cloud: Attr::Null,
        mount: mount.map(str::to_owned).into(),
        config_file: Attr::Null,
        patch_file: Attr::Null,
        node_file: Attr::Null,
        config: Attr::Unknown,
        patch: Attr::Unknown,
        merged: Attr::Unknown,
        node: Attr::Unknown,
        layout: Attr::Unknown,
    }
}

/// Writes a secret as a person does.
async fn write(harness: &Harness<Strata>, name: &str, data: &Value) {
    let provider = harness.cx::<()>().provider;
    let environment = provider.environment().await.unwrap();
    let settings = Settings {
        service: "vault",
        base: format!("{}/v1", environment.get("VAULT_ADDR").unwrap()),
        header: http::HeaderName::from_static("x-vault-token"),
        token: Secret::new(environment.get("VAULT_TOKEN").unwrap().to_owned()),
        speed: 1.0,
    };
    let client = Client::new(environment.dialer().clone(), settings).unwrap();
    let route = format!("secret/data/{name}");
    let request = client.post(route.as_str()).json(&json!({ "data": data }));
    request.send::<Value>().await.unwrap();
}

async fn open(
    harness: &Harness<Strata>,
    config: EphemeralNodeInputs,
) -> Result<EphemeralNodeInputs, String> {
    match EphemeralNodeInputs::open(&harness.cx(), config).await {
        Ok(opened) => Ok(opened.result().clone()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn both_layouts_are_read_and_what_is_missing_is_named() {
    let world = World::start().await;
    let harness = Harness::new(world.provider("estate-1").await);
    let machine =
        json!({ "machine": { "install": { "disk": "/dev/sda" }, "token": "hunter2.hunter2" } });
    let patch = json!({ "machine": { "install": { "disk": "/dev/xvda" } } });

    let nothing = open(&harness, inputs("worker", Some("secret")))
        .await
        .unwrap_err();
    let both = "Neither secret/cluster-home-worker nor secret/cluster-home-machine-worker exists";
    assert!(nothing.contains(both), "{nothing}");

    for (kind, document) in [("machine", &machine), ("patch", &patch), ("node", &about())] {
        write(&harness, &format!("cluster-home-{kind}-worker"), document).await;
    }
    let older = open(&harness, inputs("worker", Some("secret")))
        .await
        .unwrap();
    assert_eq!(older.layout, "older".into());

    let current = json!({
        "config.yaml": serde_yaml_ng::to_string(&machine).unwrap(), "patch.yaml": patch.to_string(),
        "node-aws.yaml": serde_yaml_ng::to_string(&about()).unwrap(),
    });
    write(&harness, "cluster-home-worker", &current).await;
    let newer = open(&harness, inputs("worker", Some("secret")))
        .await
        .unwrap();
    assert_eq!(newer.layout, "current".into());
    for found in [&older, &newer] {
        assert_eq!(found.node.or_default()["block_device_gb"], "50");
        let merged = found.merged.known().unwrap().expose();
        let merged: Value = serde_json::from_str(merged).unwrap();
        assert_eq!(merged["machine"]["install"]["disk"], "/dev/xvda");
        assert_eq!(merged["machine"]["token"], "hunter2.hunter2");
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    // A key that is not there is named, with those that are; no value is quoted.
    let mut lacking = current.clone();
    lacking.as_object_mut().unwrap().remove("patch.yaml");
    write(&harness, "cluster-home-controlplane", &lacking).await;
    let error = open(&harness, inputs("controlplane", Some("secret"))).await;
    let error = error.unwrap_err();
    let named = "secret/cluster-home-controlplane has no key `patch.yaml`. It has: config.yaml, node-aws.yaml";
    assert!(error.contains(named), "{error}");
    assert!(!error.contains("hunter2"));
}

#[tokio::test]
async fn files_come_first_and_without_a_mount_nobody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // No lab runs: whoever is asked does not answer.
    let harness = Harness::new(crate::provider::tests::provider(root));
    for (name, text) in [
        ("config.json", json!({ "machine": {} }).to_string()),
        (
            "patch.json",
            json!({ "machine": { "sysctls": { "a": "1" } } }).to_string(),
        ),
        ("node.json", about().to_string()),
    ] {
        std::fs::write(root.join(name), text).unwrap();
    }
    let mut config = inputs("worker", None);
    config.config_file = "config.json".into();
    config.patch_file = "patch.json".into();
    let error = open(&harness, config.clone()).await.unwrap_err();
    let named = "Nothing says where the cloud node information comes from";
    assert!(error.contains(named), "{error}");
    config.node_file = "node.json".into();
    let opened = open(&harness, config.clone()).await.unwrap();
    assert_eq!(opened.layout, Attr::Null);
    let merged = opened.merged.known().unwrap().expose();
    assert_eq!(merged, r#"{"machine":{"sysctls":{"a":"1"}}}"#);

    config.node_file = "absent.json".into();
    let error = open(&harness, config).await.unwrap_err();
    assert!(error.contains("absent.json"), "{error}");
}

#[test]
fn every_fact_about_the_node_is_asked_for() {
    for key in NODE_KEYS {
        let mut lacking = about();
        lacking.as_object_mut().unwrap().remove(key);
        let error = node(&lacking.to_string()).unwrap_err().to_string();
        assert!(error.contains(&format!("has no key `{key}`")), "{error}");
    }
    for (key, value, named) in [
        (
            "image",
            json!("ami-1"),
            "a key `image` that nothing is known about",
        ),
        ("block_device_gb", json!("fifty"), "`block_device_gb`"),
        (
            "image_id",
            json!(""),
            "`image_id` of the cloud node information is empty",
        ),
        ("domain", json!(["hunter2"]), "`domain`"),
    ] {
        let mut wrong = about();
        wrong[key] = value;
        let error = node(&wrong.to_string()).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
        assert!(!error.contains("hunter2"));
    }
    let mut number = about();
    number["block_device_gb"] = json!(50);
    number["placement_group_name"] = Value::Null;
    assert!(node(&number.to_string()).is_ok());
}
