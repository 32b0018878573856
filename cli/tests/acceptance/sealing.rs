//! The keys of the sealed-secrets controller: in the store, in the cluster, and those that a controller made by itself.

use std::fs;

use serde_json::{Value, json};
use strata_provider::sealed::KeyPair;
use strata_provider::store::{Name, Store as _};

use crate::harness::Project;

/// The key pair of the store.
pub(crate) fn stored(project: &Project, cluster: &str) -> KeyPair {
    let store = project.store(cluster);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let name = Name::parse("sealed-secrets").unwrap();
    let entry = runtime.block_on(store.get(&name)).unwrap();
    KeyPair::parse(entry.expect("layer 00 made it").value.expose()).unwrap()
}

/// The cluster has exactly these keys where the controller looks, which are those of the store.
pub(crate) fn assert_restored(project: &Project, cluster: &str, names: &[&str]) {
    let label = "sealedsecrets.bitnami.com/sealed-secrets-key=active";
    let listed = project
        .kubectl(
            cluster,
            &[
                "-n",
                "kube-system",
                "get",
                "secret",
                "-l",
                label,
                "-o",
                "json",
            ],
        )
        .expect_code(0);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let pair = stored(project, cluster);
    let mut keys = vec![(pair.certificate().to_owned(), pair.key().into_exposed())];
    keys.extend(
        pair.older()
            .iter()
            .map(|older| (older.certificate.clone(), older.key.clone())),
    );
    assert_eq!(keys.len(), names.len());
    for (name, (certificate, key)) in names.iter().zip(keys) {
        let items = listed["items"].as_array().unwrap();
        let found = items.iter().find(|item| item["metadata"]["name"] == *name);
        let found = found.unwrap_or_else(|| panic!("{name} is not in the cluster"));
        assert_eq!(found["type"], "kubernetes.io/tls");
        for (part, expected) in [("tls.crt", certificate), ("tls.key", key)] {
            let value = found["data"][part].as_str().unwrap();
            let value = data_encoding::BASE64.decode(value.as_bytes()).unwrap();
            assert!(
                value == expected.into_bytes(),
                "{name}: {part} is another one"
            );
        }
    }
}

/// A controller that started without a key of ours made one; it is captured, and the next run gives it a place that outlives the cluster.
pub(crate) fn capture_the_controllers_own(project: &Project, cluster: &str) {
    let capture = || project.bootstrap(&["capture"]).expect_code(0);
    capture().expect_text("has all keys of the sealed-secrets controller already");
    let own = KeyPair::generate().unwrap();
    let encode = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "name": "sealed-secrets-keyx7k2p", "namespace": "kube-system",
            "labels": { "sealedsecrets.bitnami.com/sealed-secrets-key": "active" },
        },
        "data": { "tls.crt": encode(own.certificate()), "tls.key": encode(own.key().expose()) },
    });
    let file = project.path().join("own-key.json");
    fs::write(&file, object.to_string()).unwrap();
    project
        .kubectl(cluster, &["create", "-f", file.to_str().unwrap()])
        .expect_code(0);
    fs::remove_file(file).unwrap();
    let before = stored(project, cluster);
    capture().expect_text("1 key of the sealed-secrets controller added");
    let after = stored(project, cluster);
    assert_eq!(
        after.certificate(),
        before.certificate(),
        "ours goes on sealing"
    );
    assert!(after.older()[0].key == *own.key().expose());
    project.bootstrap(&["--yes"]).expect_code(0);
}
