//! Fingerprints of secrets: HMAC-SHA-256 under a key that lives in the store, so that state holds nothing that could be guessed offline.

use std::fmt::Write;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

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
    /// The fingerprint of `content`, lower-case hexadecimal.
    pub fn of(&self, content: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        mac.update(content);
        mac.finalize()
            .into_bytes()
            .iter()
            .fold(String::new(), |mut text, byte| {
                let _infallible = write!(text, "{byte:02x}");
                text
            })
    }
}
