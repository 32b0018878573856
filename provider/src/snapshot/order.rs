//! The order to restore: which snapshot the next cluster of this estate begins with (entry `restore` of the store).
//!
//! `strata restore` writes it after it saw that no API answers; the control plane that initialises carries it out, and it is removed when the
//! cluster lives. The snapshot itself stays where it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::seal;
use crate::pki::Pki;
use crate::secret::Secret;
use crate::store::{self, Condition, Name, Store};

/// Name of the entry.
pub const ENTRY: &str = "restore";

/// What the entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The sealed snapshot, as an absolute path.
    pub snapshot: PathBuf,
    /// SHA-256 of the sealed file: another one that lies there later is refused.
    pub sha256: String,
    /// Control planes that stood when it was written, with the ids of their machines at the platform: each is given back and ordered anew.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub replace: BTreeMap<String, String>,
}

impl Order {
    /// The snapshot, opened; or a sentence that says what is wrong with it.
    pub async fn open(&self, pki: &Pki) -> Result<Vec<u8>, String> {
        let path = self.snapshot.display();
        let sealed = tokio::fs::read(&self.snapshot)
            .await
            .map_err(|error| format!("{path} cannot be read: {error}."))?;
        if HEXLOWER.encode(&Sha256::digest(&sealed)) != self.sha256 {
            return Err(format!(
                "{path} is another file than the one that was ordered."
            ));
        }
        seal::open(&sealed, pki).map_err(|error| format!("{path} cannot be opened: {error}."))
    }
}

fn name() -> Name {
    Name::parse(ENTRY).expect("a constant that parses")
}

/// The order, if there is one.
pub async fn read(store: &dyn Store) -> Result<Option<Order>, store::Error> {
    let Some(entry) = store.get(&name()).await? else {
        return Ok(None);
    };
    let order = serde_json::from_str(entry.value.expose());
    order.map(Some).map_err(|_| store::Error::Malformed {
        name: ENTRY.into(),
        expected: "an order to restore (JSON with snapshot, sha256)",
    })
}

/// Writes the order.
pub async fn write(store: &dyn Store, order: &Order) -> Result<(), store::Error> {
    let text = Secret::new(serde_json::to_string(order).expect("plain fields"));
    store.put(&name(), &text).await.map(drop)
}

/// Removes it: carried out, or taken back.
pub async fn remove(store: &dyn Store) -> Result<(), store::Error> {
    store.delete(&name(), Condition::Any).await.map(drop)
}
