//! What a lockdown comes to, decided before anything is touched: the rules, their hash, and the steps from what there is. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use data_encoding::HEXLOWER;
use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::firewall::{Api, Rules, Ssh};

/// The steps from what there is to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Put the rules, prove them, make them permanent. Begins over SSH, or by opening the door to it.
    Lock,
    /// The rules stand; only the addresses of the nodes changed.
    Peers,
    /// Back to the open rules.
    Unlock,
    /// Nothing on the node.
    Nothing,
}

/// What is known of a node's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock<'a> {
    /// Whether port 22 is closed.
    pub locked: bool,
    /// Hash of the rules, if there is one.
    pub rules: Option<&'a str>,
}

/// Decides what an update does.
pub fn step(prior: Lock<'_>, enabled: bool, rules: &str, peers_changed: bool) -> Step {
    match (enabled, prior.locked) {
        (false, true) => Step::Unlock,
        (true, false) => Step::Lock,
        (true, true) if prior.rules != Some(rules) => Step::Lock,
        (true, true) if peers_changed => Step::Peers,
        (true, true) | (false, false) => Step::Nothing,
    }
}

/// Who reaches 6443, from the words of the cluster file: `any`, `operators`, `nodes`, or CIDRs.
pub fn api(words: &BTreeSet<String>, operators: &[IpNet]) -> Result<Api, String> {
    if words.is_empty() || words.contains("any") {
        return Ok(Api::Any);
    }
    let mut networks = Vec::new();
    for word in words {
        match word.as_str() {
            "operators" => networks.extend_from_slice(operators),
            // Nodes and pods always may.
            "nodes" => {}
            other => {
                networks.push(network(other).map_err(|_| {
                    format!("`{other}` is not `any`, `operators`, `nodes` or a CIDR.")
                })?);
            }
        }
    }
    Ok(Api::From(networks))
}

/// A CIDR, or an address that stands for itself.
pub fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_| format!("`{text}` is not a CIDR like 203.0.113.0/28."))
}

/// The rules after lockdown.
pub fn locked(
    control_plane: bool,
    nodes: BTreeSet<IpAddr>,
    api: Api,
    pods: Vec<IpNet>,
    public_ports: BTreeSet<u16>,
) -> Rules {
    Rules {
        control_plane,
        nodes,
        ssh: Ssh::Nobody,
        api,
        pods,
        public_ports,
    }
}

/// The hash that tells whether the rules changed. Node addresses do not count: they are told to the running table and need no new rules.
pub fn hash(rules: &Rules) -> String {
    let without_nodes = Rules {
        nodes: BTreeSet::new(),
        ..rules.clone()
    };
    HEXLOWER.encode(&Sha256::digest(without_nodes.render()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_steps() {
        let lock = |locked, rules| Lock { locked, rules };
        assert_eq!(step(lock(true, Some("a")), true, "a", false), Step::Nothing);
        assert_eq!(step(lock(true, Some("a")), true, "a", true), Step::Peers);
        assert_eq!(step(lock(true, Some("a")), true, "b", true), Step::Lock);
        assert_eq!(step(lock(true, None), true, "a", false), Step::Lock);
        // Somebody opened it.
        assert_eq!(step(lock(false, Some("a")), true, "a", false), Step::Lock);
        assert_eq!(step(lock(true, Some("a")), false, "a", true), Step::Unlock);
        assert_eq!(step(lock(false, None), false, "a", false), Step::Nothing);
    }

    #[test]
    fn the_words_for_the_api() {
        let operators = [network("203.0.113.0/28").unwrap()];
        let words = |words: &[&str]| {
            words
                .iter()
                .map(ToString::to_string)
                .collect::<BTreeSet<_>>()
        };
        assert_eq!(api(&words(&[]), &operators).unwrap(), Api::Any);
        assert_eq!(
            api(&words(&["nodes", "any"]), &operators).unwrap(),
            Api::Any
        );
        assert_eq!(
            api(&words(&["nodes"]), &operators).unwrap(),
            Api::From(vec![])
        );
        let both = api(&words(&["operators", "192.0.2.7"]), &operators).unwrap();
        assert_eq!(
            both,
            Api::From(vec!["192.0.2.7/32".parse().unwrap(), operators[0]])
        );
        assert!(
            api(&words(&["everyone"]), &operators)
                .unwrap_err()
                .contains("everyone")
        );
    }

    #[test]
    fn a_new_node_changes_no_rules() {
        let with = |nodes: &[&str]| {
            let nodes = nodes
                .iter()
                .map(|address| address.parse().unwrap())
                .collect();
            hash(&locked(
                true,
                nodes,
                Api::Any,
                vec![network("10.244.0.0/16").unwrap()],
                BTreeSet::new(),
            ))
        };
        assert_eq!(
            with(&["198.51.100.1"]),
            with(&["198.51.100.1", "198.51.100.2"])
        );
    }
}
