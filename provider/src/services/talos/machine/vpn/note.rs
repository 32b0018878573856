//! What the store knows of a node in the VPN: entry `nodes/<node>/vpn`. No key, only what tells which keys and which node are ours.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strata_framework::Diagnostics;

use crate::headscale;
use crate::provider::store_failed;
use crate::secret::Secret;
use crate::store::{Condition, Name, Store};

/// The note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Server.
    pub(super) url: String,
    /// User there.
    pub(super) user: String,
    /// Number of the node.
    pub(super) node: Option<String>,
    /// Keys that were made, or were about to be.
    pub(super) keys: Vec<Key>,
}

/// A key: by its end before it has a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) end: Timestamp,
    pub(super) id: Option<String>,
}

fn entry(node: &str) -> (String, Result<Name, crate::store::Error>) {
    let text = format!("nodes/{node}/vpn");
    let name = Name::parse(&text).map_err(Into::into);
    (text, name)
}

impl Note {
    /// The note of a node; an empty one when there is none, or somebody wrote something else.
    pub(super) async fn read(store: &dyn Store, node: &str) -> Result<Self, Diagnostics> {
        let (text, name) = entry(node);
        let read = async { store.get(&name?).await };
        let found = read
            .await
            .map_err(|error| store_failed("read", &text, &error))?;
        let note = found.and_then(|entry| serde_json::from_str(entry.value.expose()).ok());
        Ok(note.unwrap_or_default())
    }

    pub(super) async fn write(&self, store: &dyn Store, node: &str) -> Result<(), Diagnostics> {
        let (text, name) = entry(node);
        let value = Secret::new(serde_json::to_string(self).expect("plain fields"));
        let written = async { store.put(&name?, &value).await };
        written
            .await
            .map(drop)
            .map_err(|error| store_failed("write", &text, &error))
    }

    pub(super) async fn remove(store: &dyn Store, node: &str) -> Result<(), Diagnostics> {
        let (text, name) = entry(node);
        let removed = async { store.delete(&name?, Condition::Any).await };
        removed
            .await
            .map(drop)
            .map_err(|error| store_failed("delete", &text, &error))
    }

    /// The same without the node.
    pub(super) fn without_node(&self) -> Self {
        Self {
            node: None,
            ..self.clone()
        }
    }

    /// Whether a key of the list is one of these. A number decides; without one, the end that no other has.
    pub(super) fn knows(&self, key: &headscale::Key) -> bool {
        let micros = |at: Timestamp| at.as_microsecond();
        self.keys.iter().any(|known| match &known.id {
            Some(id) => *id == key.id,
            None => key.end.map(micros) == Some(micros(known.end)),
        })
    }
}
