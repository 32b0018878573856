//! The marks of members in the store: entry `nodes/<node>/member`, one per node that is part of the cluster.
//!
//! They say which names were ever ours (etcd members are judged by that), what each node's firewall was last told, how it was locked, and, under
//! tear-down, which node is the last to go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::store::{self, Condition, Name, Store};

/// What is known of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// `control-plane` or `worker`.
    pub role: String,
    /// Its address.
    pub address: IpAddr,
    /// Addresses that its firewall knows as nodes.
    pub peers: BTreeSet<IpAddr>,
    /// How it was locked and proven to be. Not whether it still is: that is for a look at port 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Lock>,
    /// Until when a window for SSH is open, by the clock of who opened it: an open port is no drift while it was opened on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Timestamp>,
}

/// A lockdown that was proven from outside and confirmed by the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Hash of the rules, node addresses left out.
    pub rules_sha256: String,
    /// What was seen, by address family.
    pub observed: BTreeMap<String, String>,
}

fn name(node: &str) -> Result<Name, store::Error> {
    Ok(Name::parse(&format!("nodes/{node}/member"))?)
}

/// The mark of one node; also `None` when it was written by somebody who wrote something else.
pub async fn read(store: &dyn Store, node: &str) -> Result<Option<Marker>, store::Error> {
    let entry = store.get(&name(node)?).await?;
    Ok(entry.and_then(|entry| serde_json::from_str(entry.value.expose()).ok()))
}

/// Writes the mark of a node.
pub async fn write(store: &dyn Store, node: &str, marker: &Marker) -> Result<(), store::Error> {
    let text = Secret::new(serde_json::to_string(marker).expect("plain fields"));
    store.put(&name(node)?, &text).await.map(drop)
}

/// Notes what a node's firewall was told, if the node is a member.
pub async fn told(
    store: &dyn Store,
    node: &str,
    peers: &BTreeSet<IpAddr>,
) -> Result<(), store::Error> {
    let Some(marker) = read(store, node).await? else {
        return Ok(());
    };
    if marker.peers == *peers {
        return Ok(());
    }
    write(
        store,
        node,
        &Marker {
            peers: peers.clone(),
            ..marker
        },
    )
    .await
}

/// Notes how a node is locked, or that it is open, if the node is a member.
pub async fn locked(store: &dyn Store, node: &str, lock: Option<Lock>) -> Result<(), store::Error> {
    match read(store, node).await? {
        // New rules have no windows.
        Some(marker) if marker.lock != lock || marker.window.is_some() => {
            let window = None;
            write(
                store,
                node,
                &Marker {
                    lock,
                    window,
                    ..marker
                },
            )
            .await
        }
        _ => Ok(()),
    }
}

/// Notes that a window for SSH is open until then, if the node is a member.
pub async fn window(store: &dyn Store, node: &str, until: Timestamp) -> Result<(), store::Error> {
    let Some(marker) = read(store, node).await? else {
        return Ok(());
    };
    // A shorter one may have been opened for somebody else.
    let window = Some(marker.window.map_or(until, |other| other.max(until)));
    write(store, node, &Marker { window, ..marker }).await
}

/// Removes the mark of a node and returns how many members are left.
pub async fn remove(store: &dyn Store, node: &str) -> Result<usize, store::Error> {
    store.delete(&name(node)?, Condition::Any).await?;
    Ok(names(store).await?.len())
}

/// The names of all members.
pub async fn names(store: &dyn Store) -> Result<Vec<String>, store::Error> {
    let entries = store.list("nodes/").await?;
    let node = |entry: &Name| {
        Some(
            entry
                .as_str()
                .strip_prefix("nodes/")?
                .strip_suffix("/member")?
                .to_owned(),
        )
    };
    Ok(entries.iter().filter_map(node).collect())
}
