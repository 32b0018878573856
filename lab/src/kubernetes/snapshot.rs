//! Snapshots of the lab's etcd: every object as it is, the revision, and a hash at the end as etcd has one.
//!
//! The bytes are the lab's own (an etcd would not read them), and say so; what is in them is real.

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::store::{Key, Store};

/// How a snapshot begins.
const MARK: &str = "Strata lab: simulated snapshot of etcd\n";

#[derive(Serialize, Deserialize)]
struct Content {
    revision: u64,
    /// Group, plural, namespace, name and the object.
    objects: Vec<(String, String, String, String, Value)>,
}

/// Writes a snapshot.
pub(super) fn save(store: &Store) -> Vec<u8> {
    let objects = store.everything().map(|(key, object)| {
        let resource = &key.resource;
        (
            resource.group.clone(),
            resource.plural.clone(),
            key.namespace.clone(),
            key.name.clone(),
            (**object).clone(),
        )
    });
    write(&Content {
        revision: store.revision(),
        objects: objects.collect(),
    })
}

fn write(content: &Content) -> Vec<u8> {
    let text = serde_json::to_string(content).expect("values serialise");
    let hash = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    format!("{MARK}{text}\n{hash}").into_bytes()
}

fn read(bytes: &[u8]) -> Result<Content, String> {
    let no_snapshot = || "snapshot file is not one of the lab's etcd".to_owned();
    let text = std::str::from_utf8(bytes).map_err(|_| no_snapshot())?;
    let text = text.strip_prefix(MARK).ok_or_else(no_snapshot)?;
    let (text, hash) = text.rsplit_once('\n').ok_or_else(no_snapshot)?;
    let actual = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    if actual != hash {
        return Err(format!("expected sha256 [{hash}], got [{actual}]"));
    }
    serde_json::from_str(text).map_err(|error| format!("{}: {error}", no_snapshot()))
}

/// What `etcdutl snapshot restore` makes of one: the same objects, the revision that much further.
pub(crate) fn bumped(bytes: &[u8], by: u64) -> Result<Vec<u8>, String> {
    let mut content = read(bytes)?;
    content.revision += by;
    Ok(write(&content))
}

/// The store of an etcd that starts with this data.
pub(super) fn load(bytes: &[u8]) -> Result<Store, String> {
    let content = read(bytes)?;
    let objects = content
        .objects
        .into_iter()
        .map(|(group, plural, namespace, name, object)| {
            (Key::new(&group, &plural, &namespace, &name), object)
        });
    Ok(Store::at(content.revision, objects))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_and_revision_come_back_and_damage_is_seen() {
        let mut store = Store::default();
        let key = Key::new("", "configmaps", "default", "hello");
        store.put(
            key.clone(),
            json!({"metadata": {"name": "hello"}, "data": {"a": "b"}}),
        );
        let bytes = save(&store);
        let restored = load(&bumped(&bytes, 1000).expect("whole")).expect("whole");
        assert_eq!(restored.revision(), 1001);
        assert_eq!(restored.get(&key).expect("there")["data"]["a"], "b");
        // Whoever watched before is told to list again.
        assert!(restored.since(5).is_err());
        let mut damaged = bytes.clone();
        let at = damaged.len() / 2;
        damaged[at] ^= 1;
        assert!(load(&damaged).is_err());
        assert!(load(b"simulated\n").is_err());
    }
}
