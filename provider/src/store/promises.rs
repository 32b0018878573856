//! What every store promises, asked of each of them.

use super::{Condition, Deleted, Name, Put, Store};
use crate::secret::Secret;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// Values that have met a service that trims, expands or counts lines.
const VALUES: [&str; 6] = [
    "abcdef.0123456789abcdef",
    "-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n",
    " leading, trailing \n\n",
    "${NOT_A_REFERENCE} $HOME",
    "{\"value\": \"ä\", \"nonce\": null}",
    "strata-base64:eA==",
];

/// `writer` and `reader` are two openings of the same empty store.
pub(super) async fn are_kept(writer: &dyn Store, reader: &dyn Store) {
    let entry = name("nodes/cp.1_2E/host-key");
    assert!(reader.get(&entry).await.unwrap().is_none());
    assert!(reader.list("").await.unwrap().is_empty());
    let absent = writer.delete(&entry, Condition::Nonce("none")).await;
    assert_eq!(absent.unwrap(), Deleted::Absent);

    for value in VALUES {
        let nonce = writer.put(&entry, &secret(value)).await.unwrap();
        let read = reader.get(&entry).await.unwrap().unwrap();
        assert_eq!((read.value.expose().as_str(), &read.nonce), (value, &nonce));
    }
    let first = writer.put(&entry, &secret("same")).await.unwrap();
    let second = writer.put(&entry, &secret("same")).await.unwrap();
    assert_ne!(first, second, "every put has a nonce of its own");

    let Put::Exists(found) = reader.put_if_absent(&entry, &secret("late")).await.unwrap() else {
        panic!("an entry was overwritten")
    };
    assert_eq!(
        (found.value.expose().as_str(), &found.nonce),
        ("same", &second)
    );
    let stale = reader.delete(&entry, Condition::Nonce(&first)).await;
    assert_eq!(stale.unwrap(), Deleted::Changed);
    let gone = reader.delete(&entry, Condition::Nonce(&second)).await;
    assert_eq!(gone.unwrap(), Deleted::Removed);
    assert!(writer.get(&entry).await.unwrap().is_none());

    // What was deleted can be made again, and is somebody's again.
    let Put::Written(nonce) = reader
        .put_if_absent(&entry, &secret("again"))
        .await
        .unwrap()
    else {
        panic!("a deleted entry is in the way")
    };
    let read = writer.get(&entry).await.unwrap().unwrap();
    assert_eq!(
        (read.value.expose().as_str(), &read.nonce),
        ("again", &nonce)
    );

    for other in ["nodes/cp-2/host-key", "nodes-of-old", "pki"] {
        writer.put(&name(other), &secret("x")).await.unwrap();
    }
    let list = async |prefix: &str| -> Vec<String> {
        let names = reader.list(prefix).await.unwrap();
        names.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        list("").await,
        [
            "nodes-of-old",
            "nodes/cp-2/host-key",
            "nodes/cp.1_2E/host-key",
            "pki"
        ]
    );
    assert_eq!(
        list("nodes/").await,
        ["nodes/cp-2/host-key", "nodes/cp.1_2E/host-key"]
    );
    assert_eq!(list("nodes/cp-").await, ["nodes/cp-2/host-key"]);
    assert_eq!(list("nodes/cp-2").await, ["nodes/cp-2/host-key"]);
    assert!(list("nowhere/").await.is_empty());

    let any = writer.delete(&name("pki"), Condition::Any).await;
    assert_eq!(any.unwrap(), Deleted::Removed);
    let none = writer.delete(&name("pki"), Condition::Any).await;
    assert_eq!(none.unwrap(), Deleted::Absent);
    assert_eq!(list("pki").await, [""; 0]);
}

#[tokio::test]
async fn by_the_file_store() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let (path, identity) = (
            folder.path().join("store"),
            folder.path().join("identity.txt"),
        );
        super::file::File::new(path, identity, &[]).unwrap()
    };
    are_kept(&open(), &open()).await;
}

#[tokio::test]
async fn by_the_keyring_store() {
    let session = super::keyring::tests::Session::start();
    are_kept(&session.store(), &session.store()).await;
}
