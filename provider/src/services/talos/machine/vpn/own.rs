//! Which node of the VPN a machine is. Pure, but for the question what addresses it holds.

use std::collections::BTreeSet;

use super::note::Note;
use crate::headscale::Node;
use crate::services::talos::content::Content;
use crate::services::talos::patch::Document;
use crate::talos::{self, Client};

/// Whether two documents say the same.
pub(super) fn is_same(one: &Document, other: &Document) -> bool {
    let parts = |document: &Document| Content::of(vec![document.clone()]).parts();
    parts(one) == parts(other)
}

/// Whether the client of the VPN is part of the machine's system.
pub(super) async fn has_client(client: &Client) -> Result<bool, talos::Error> {
    let found = client
        .list("runtime", "ExtensionStatuses.runtime.talos.dev")
        .await?;
    Ok(found
        .iter()
        .any(|extension| extension["metadata"]["name"] == "tailscale"))
}

/// Addresses that the machine has, those of the VPN among them.
pub(super) async fn held(client: &Client) -> Result<BTreeSet<String>, talos::Error> {
    let found = client
        .get("network", "NodeAddresses.net.talos.dev", "current")
        .await?;
    let addresses = found
        .as_ref()
        .and_then(|found| found["addresses"].as_array());
    Ok(addresses
        .into_iter()
        .flatten()
        .filter_map(|address| Some(address.as_str()?.split('/').next()?.to_owned()))
        .collect())
}

/// The node of a machine that was in: as noted, else by an address that only it can hold. One whose registration is over is none.
pub(super) fn find<'a>(
    nodes: &'a [Node],
    note: &Note,
    state: Option<&String>,
    held: &BTreeSet<String>,
) -> Option<&'a Node> {
    of_notes(nodes, note, state)
        .into_iter()
        .chain(
            nodes
                .iter()
                .filter(|node| !node.addresses.is_disjoint(held)),
        )
        .find(|node| !node.has_ended())
}

/// Nodes that are ours by number, or by the key that they came with. A name proves nothing.
pub(super) fn of_notes<'a>(
    nodes: &'a [Node],
    note: &Note,
    state: Option<&String>,
) -> Vec<&'a Node> {
    let is_ours = |node: &&Node| {
        let by_key = |id: &String| note.keys.iter().any(|key| key.id.as_ref() == Some(id));
        note.node.as_ref() == Some(&node.id)
            || state == Some(&node.id)
            || node.key.as_ref().is_some_and(by_key)
    };
    nodes.iter().filter(is_ours).collect()
}

/// The node that came with one of these keys. Where the server does not tell keys: the one of this name that was not there before.
pub(super) fn registered<'a>(
    nodes: &'a [Node],
    before: &[Node],
    keys: &[String],
    name: &str,
) -> Option<&'a Node> {
    let came_with = |node: &&Node| node.key.as_ref().is_some_and(|key| keys.contains(key));
    let with_key = nodes.iter().find(came_with);
    let is_new = |node: &&Node| before.iter().all(|known| known.id != node.id);
    let is_named = |node: &&Node| node.name == name || node.given_name == name;
    with_key.or_else(|| {
        nodes
            .iter()
            .find(|node| node.key.is_none() && is_new(node) && is_named(node))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, name: &str, key: Option<&str>, address: &str) -> Node {
        Node {
            id: id.into(),
            name: name.into(),
            given_name: name.into(),
            addresses: [address.to_owned()].into(),
            key: key.map(str::to_owned),
            end: None,
        }
    }

    fn id(found: Option<&Node>) -> Option<&str> {
        found.map(|node| node.id.as_str())
    }

    #[test]
    fn who_came_with_the_key_is_the_one_else_who_came_under_the_name() {
        let foreign = node("1", "home-cp-1", None, "100.64.0.1");
        let before = [foreign.clone()];
        let keys = ["7".to_owned()];
        assert_eq!(id(registered(&before, &before, &keys, "home-cp-1")), None);
        let other = node("2", "home-cp-1", Some("6"), "100.64.0.2");
        let ours = node("3", "home-cp-1-a1", Some("7"), "100.64.0.3");
        let nodes = [foreign.clone(), other, ours];
        assert_eq!(
            id(registered(&nodes, &before, &keys, "home-cp-1")),
            Some("3")
        );
        let untold = [foreign, node("4", "home-cp-1", None, "100.64.0.4")];
        assert_eq!(
            id(registered(&untold, &before, &keys, "home-cp-1")),
            Some("4")
        );
    }

    #[test]
    fn a_name_proves_nothing_and_an_address_does() {
        let nodes = [
            node("1", "home-cp-1", None, "100.64.0.1"),
            node("2", "x", Some("6"), "100.64.0.2"),
        ];
        let nothing = BTreeSet::new();
        let empty = Note::default();
        assert_eq!(id(find(&nodes, &empty, None, &nothing)), None);
        let held: BTreeSet<String> = ["192.0.2.11".to_owned(), "100.64.0.2".to_owned()].into();
        assert_eq!(id(find(&nodes, &empty, None, &held)), Some("2"));
        let noted = Note {
            node: Some("1".into()),
            ..Note::default()
        };
        assert_eq!(id(find(&nodes, &noted, None, &held)), Some("1"));
        let keys = Note {
            keys: vec![super::super::note::Key {
                end: jiff::Timestamp::UNIX_EPOCH,
                id: Some("6".into()),
            }],
            ..Note::default()
        };
        assert_eq!(of_notes(&nodes, &keys, None).len(), 1);
        let over = Node {
            end: Some(jiff::Timestamp::UNIX_EPOCH),
            ..nodes[0].clone()
        };
        assert_eq!(id(find(&[over], &noted, None, &nothing)), None);
    }
}
