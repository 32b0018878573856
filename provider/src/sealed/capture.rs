//! A controller that made its keys by itself: they are taken into the store, so that what was sealed for it opens after a rebuild.
//!
//! Nothing is taken away: a pair that the store has keeps sealing, and the controller's keys join it as keys that open. Done again, it
//! changes nothing. Not handled: Secrets outside one namespace.

use k8s_openapi::api::core::v1::Secret as Object;
use kube::Api;
use kube::api::ListParams;

use super::{Certificate, KEY_LABEL, KeyPair, Older};
use crate::kubernetes::{self, Client};
use crate::store::{self, Name, Put, Store};

/// The one Secret that the controller loads without the label.
const UNLABELLED: &str = "sealed-secrets-key";

/// Why nothing was captured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API.
    #[error(transparent)]
    Api(#[from] kubernetes::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A Secret of the controller that is no key pair.
    #[error("Secret {name}: {source}")]
    Secret {
        /// Its name.
        name: String,
        /// What is wrong.
        source: super::Error,
    },
    /// The entry of the store.
    #[error("store entry `{name}`: {source}")]
    Entry {
        /// Its name.
        name: String,
        /// What is wrong.
        source: super::Error,
    },
    /// Somebody else writes to the entry.
    #[error("store entry `{0}` was made meanwhile by somebody else; run this again")]
    Raced(String),
}

/// What a capture came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// The controller has no key.
    Nothing,
    /// The store had no pair; now it has the controller's, with so many keys.
    Taken(usize),
    /// So many keys were new to the store's pair. None: it has them all.
    Added(usize),
}

/// The keys of a controller.
pub async fn read(client: &Client, namespace: &str) -> Result<Vec<Older>, Error> {
    let api: Api<Object> = Api::namespaced(client.api(), namespace);
    let what = "the keys of the sealed-secrets controller";
    let found = api.list(&ListParams::default().labels(KEY_LABEL)).await;
    let mut objects = found
        .map_err(kubernetes::Error::during("list", what))?
        .items;
    let unlabelled = api.get_opt(UNLABELLED).await;
    objects.extend(unlabelled.map_err(kubernetes::Error::during("read", what))?);
    let mut keys: Vec<Older> = Vec::new();
    for object in objects {
        let name = object.metadata.name.clone().unwrap_or_default();
        let key = pair(&object).ok_or(Error::Secret {
            name,
            source: super::Error::Shape,
        })?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn pair(object: &Object) -> Option<Older> {
    let data = object.data.as_ref()?;
    let text = |key| String::from_utf8(data.get(key)?.0.clone()).ok();
    Some(Older {
        certificate: text("tls.crt")?,
        key: text("tls.key")?,
    })
}

/// Puts them into the store entry.
pub async fn adopt(store: &dyn Store, name: &Name, keys: Vec<Older>) -> Result<Captured, Error> {
    let wrong = |source| Error::Entry {
        name: name.to_string(),
        source,
    };
    let Some(fresh) = KeyPair::of_controller(keys.clone()).map_err(wrong)? else {
        return Ok(Captured::Nothing);
    };
    let Some(entry) = store.get(name).await? else {
        return match store.put_if_absent(name, &fresh.to_text()).await? {
            Put::Written(_) => Ok(Captured::Taken(1 + fresh.older().len())),
            Put::Exists(_) => Err(Error::Raced(name.to_string())),
        };
    };
    let stored = KeyPair::parse(entry.value.expose()).map_err(wrong)?;
    let (merged, added) = stored.with(keys).map_err(wrong)?;
    if added > 0 {
        store.put(name, &merged.to_text()).await?;
    }
    Ok(Captured::Added(added))
}

impl KeyPair {
    /// The pair with further keys that open, and how many of them it did not have.
    fn with(&self, keys: Vec<Older>) -> Result<(Self, usize), super::Error> {
        let mut all = self.clone();
        let mut added = 0;
        for key in keys {
            let new = super::key_pair::check(&key.certificate, &key.key)?;
            let mut known = vec![Certificate::parse(all.certificate())?];
            for older in all.older() {
                known.push(Certificate::parse(&older.certificate)?);
            }
            if known.iter().all(|one| one.fingerprint != new.fingerprint) {
                all.add(key);
                added += 1;
            }
        }
        Ok((all, added))
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;
    use crate::kubernetes::tests::cluster;
    use crate::provider::tests::provider;

    fn key(pem: &str) -> Older {
        let pair = KeyPair::of_key(pem);
        Older {
            certificate: pair.certificate().into(),
            key: pair.key().into_exposed(),
        }
    }

    async fn put(client: &Client, name: &str, labels: serde_json::Value, key: &Older) {
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": name, "namespace": "kube-system", "labels": labels },
            "data": { "tls.crt": BASE64.encode(key.certificate.as_bytes()), "tls.key": BASE64.encode(key.key.as_bytes()) },
        });
        let mut objects = kubernetes::apply::parse(&[object.to_string()]).unwrap();
        client.apply(&objects.remove(0)).await.unwrap();
    }

    #[tokio::test]
    async fn the_keys_of_a_controller_are_taken_once_and_none_is_lost() {
        let first = key(include_str!("key_pair/tls.key"));
        let second = key(crate::rsa_key::tests::PKCS1);
        let (cluster, folder) = (cluster().await, tempfile::tempdir().unwrap());
        let (client, store) = (cluster.client(), provider(folder.path()).store().unwrap());
        let name = Name::parse("sealed-secrets").unwrap();
        let adopt = async || {
            let keys = read(&client, crate::sealed::NAMESPACE).await.unwrap();
            super::adopt(&*store, &name, keys).await.unwrap()
        };
        let stored = async || {
            let entry = store.get(&name).await.unwrap().unwrap();
            KeyPair::parse(entry.value.expose()).unwrap()
        };
        assert_eq!(adopt().await, Captured::Nothing);

        // Once with the label and once by the name that needs none; and a Secret that is none of its keys.
        let active = serde_json::json!({ KEY_LABEL: "active" });
        put(&client, "sealed-secrets-keyx7k2p", active.clone(), &first).await;
        put(&client, UNLABELLED, serde_json::json!({}), &first).await;
        put(&client, "other-tls", serde_json::json!({}), &second).await;
        assert_eq!(adopt().await, Captured::Taken(1));
        assert_eq!(adopt().await, Captured::Added(0));
        let before = stored().await;
        assert_eq!(before.key().expose(), &first.key);

        // It renews: the store's pair goes on sealing, the new key joins it.
        put(&client, "sealed-secrets-keyaaaaa", active, &second).await;
        assert_eq!(adopt().await, Captured::Added(1));
        let after = stored().await;
        assert_eq!(after.certificate(), before.certificate());
        assert!(after.older() == [second]);
    }
}
