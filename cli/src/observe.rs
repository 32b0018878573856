//! What is there now, seen from where the user stands: nodes by the API, the port that a lockdown closes by a connection.

use std::fmt::Write as _;
use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use strata_cluster::Cluster;
use strata_provider::{
    http::dial::Dialer,
    kubernetes::{Client, Reach, node},
};

use crate::{
    outcome::Outcome,
    session::{Session, World},
    verb::kubeconfig,
};

/// How long a silent port may take to count as closed.
const PROBE: Duration = Duration::from_secs(3);

/// One node as it was seen. `None`: not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) address: Option<String>,
    pub(crate) ready: Option<bool>,
    pub(crate) closed: Option<bool>,
}

/// All nodes of the cluster file.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) nodes: Vec<Seen>,
    /// The port that tells whether a node is closed. `None`: nothing is closed on purpose, and no port was tried.
    pub(crate) port: Option<u16>,
    /// Why the API could not be asked.
    pub(crate) unreachable: Option<String>,
}

impl Observation {
    /// `5 of 5 Ready, 22 closed on 5 of 5`.
    pub(crate) fn summary(&self) -> String {
        let all = self.nodes.len();
        let count = |fact: fn(&Seen) -> Option<bool>| {
            self.nodes
                .iter()
                .filter(|node| fact(node) == Some(true))
                .count()
        };
        let unseen = self.nodes.iter().filter(|node| self.unseen(node)).count();
        let mut text = format!("{} of {all} Ready", count(|node| node.ready));
        if let Some(port) = self.port {
            let _ = write!(
                text,
                ", {port} closed on {} of {all}",
                count(|node| node.closed)
            );
        }
        if unseen > 0 {
            let _ = write!(text, ", {unseen} not observed");
        }
        text
    }

    /// Done, or partly unobserved.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.is_partial() {
            Outcome::Unobserved
        } else {
            Outcome::Done
        }
    }

    /// Whether something could not be seen.
    pub(crate) fn is_partial(&self) -> bool {
        self.nodes.iter().any(|node| self.unseen(node))
    }

    fn unseen(&self, node: &Seen) -> bool {
        node.ready.is_none() || (self.port.is_some() && node.closed.is_none())
    }
}

/// The port whose silence shows that a node is closed. Nodes of Talos have no SSH: there it is the kubelet's, where their firewall is ours.
fn port(cluster: &Cluster) -> Option<u16> {
    match (&cluster.distribution.talos, cluster.access.lockdown) {
        (None, _) => Some(22),
        (Some(_), true) => Some(10250),
        (Some(_), false) => None,
    }
}

/// Looks. `machines` is the output of layer 01: address by node.
pub(crate) async fn observe(session: &Session, world: &World, machines: &Value) -> Observation {
    let addresses = addresses(machines);
    let dialer = world.environment.dialer();
    let (readiness, unreachable) = match readiness(session, dialer, &addresses).await {
        Ok(readiness) => (readiness, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let nodes = &session.cluster.spec.nodes;
    let port = port(&session.cluster.spec);
    let probes = nodes.keys().map(|name| {
        let address = addresses.get(name).cloned();
        let dialer = dialer.clone();
        tokio::spawn(async move { closed(&dialer, address?.as_str(), port?).await })
    });
    let probes: Vec<_> = probes.collect();
    let mut seen = Vec::new();
    for ((name, node), probe) in nodes.iter().zip(probes) {
        let closed = probe.await.unwrap_or_default();
        let ready = readiness
            .as_ref()
            .map(|readiness| readiness.get(name).copied().unwrap_or(false));
        seen.push(Seen {
            name: name.clone(),
            role: node.role.clone(),
            address: addresses.get(name).cloned(),
            ready,
            closed,
        });
    }
    Observation {
        nodes: seen,
        port,
        unreachable,
    }
}

/// Address by node, from the output `machines` of layer 01.
pub(crate) fn addresses(machines: &Value) -> BTreeMap<String, String> {
    let machines = machines.as_object().into_iter().flatten();
    machines
        .filter_map(|(name, machine)| Some((name.clone(), machine["address"].as_str()?.to_owned())))
        .collect()
}

/// The cluster's API at the control planes of the cluster file. Nothing is dialled yet.
pub(crate) async fn client(
    session: &Session,
    dialer: &Dialer,
    addresses: &BTreeMap<String, String>,
) -> anyhow::Result<Client> {
    let control_planes: Vec<String> = session
        .cluster
        .spec
        .control_planes
        .iter()
        .filter_map(|name| addresses.get(name).cloned())
        .collect();
    anyhow::ensure!(!control_planes.is_empty(), "no control plane is known");
    let pki = kubeconfig::pki(session).await?;
    let endpoint = &session.cluster.spec.endpoint;
    Ok(Client::new(&Reach {
        dialer,
        endpoint: &endpoint.name,
        port: endpoint.port,
        addresses: control_planes,
        pki: &pki,
    })?)
}

async fn readiness(
    session: &Session,
    dialer: &Dialer,
    addresses: &BTreeMap<String, String>,
) -> anyhow::Result<Option<BTreeMap<String, bool>>> {
    let client = client(session, dialer, addresses).await?;
    let nodes = node::list(&client).await?;
    Ok(Some(
        nodes
            .iter()
            .map(|node| (node.name.clone(), node.is_ready()))
            .collect(),
    ))
}

/// Whether a port stays silent. Anything but an answer or silence is no evidence.
async fn closed(dialer: &Dialer, address: &str, port: u16) -> Option<bool> {
    match dialer.dial(address, port, PROBE).await {
        Ok(_) => Some(false),
        Err(error) if error.is_timeout() || error.is_refused() => Some(true),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_not_counted_as_closed() {
        let seen = |ready, closed| Seen {
            name: "a".into(),
            role: "worker".into(),
            address: None,
            ready,
            closed,
        };
        let mut observation = Observation {
            nodes: vec![seen(Some(true), Some(true)), seen(Some(true), None)],
            port: Some(22),
            unreachable: None,
        };
        assert_eq!(
            observation.summary(),
            "2 of 2 Ready, 22 closed on 1 of 2, 1 not observed"
        );
        assert!(observation.is_partial());
        observation.port = None;
        assert_eq!(observation.summary(), "2 of 2 Ready");
        assert!(!observation.is_partial());
    }
}
