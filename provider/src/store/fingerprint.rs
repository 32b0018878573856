//! The key of fingerprints (`strata_framework::fingerprint`, HMAC-SHA-256): it lives in the store, so that state holds nothing that could be
//! guessed offline.

use data_encoding::BASE64;

use super::{Error, Name, Put, Result, Store};
use crate::secret::Secret;

/// The entry that holds the key.
pub const KEY: &str = "fingerprint-key";

/// The key of a store.
#[derive(Debug, Clone)]
pub struct Key(Secret<Vec<u8>>);

fn name() -> Name {
    Name::parse(KEY).expect("a constant that parses")
}

fn decode(text: &Secret<String>) -> Result<Key> {
    let malformed = || Error::Malformed {
        name: KEY.into(),
        expected: "32 bytes in base64",
    };
    let bytes = BASE64
        .decode(text.expose().trim().as_bytes())
        .map_err(|_| malformed())?;
    if bytes.len() == 32 {
        Ok(Key(Secret::new(bytes)))
    } else {
        Err(malformed())
    }
}

/// The key, if it was made already. For plan and refresh, which never write.
pub async fn key(store: &dyn Store) -> Result<Option<Key>> {
    store
        .get(&name())
        .await?
        .map(|entry| decode(&entry.value))
        .transpose()
}

/// The key; made on first use.
pub async fn key_or_make(store: &dyn Store) -> Result<Key> {
    if let Some(key) = key(store).await? {
        return Ok(key);
    }
    let fresh = Secret::new(BASE64.encode(&rand::random::<[u8; 32]>()));
    match store.put_if_absent(&name(), &fresh).await? {
        Put::Written(_) => decode(&fresh),
        Put::Exists(entry) => decode(&entry.value),
    }
}

impl Key {
    /// The key's bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }
}
