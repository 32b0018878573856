//! What is there now, seen from where the user stands: nodes by the API, port 22 by a connection.

use std::fmt::Write as _;
use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
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
        let unseen = self
            .nodes
            .iter()
            .filter(|node| node.ready.is_none() || node.closed.is_none())
            .count();
        let mut text = format!(
            "{} of {all} Ready, 22 closed on {} of {all}",
            count(|node| node.ready),
            count(|node| node.closed)
        );
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
        self.nodes
            .iter()
            .any(|node| node.ready.is_none() || node.closed.is_none())
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
    let probes = nodes.keys().map(|name| {
        let address = addresses.get(name).cloned();
        let dialer = dialer.clone();
        tokio::spawn(async move { closed(&dialer, address?.as_str()).await })
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

/// Whether port 22 stays silent. Anything but an answer or silence is no evidence.
async fn closed(dialer: &Dialer, address: &str) -> Option<bool> {
    match dialer.dial(address, 22, PROBE).await {
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
        let observation = Observation {
            nodes: vec![seen(Some(true), Some(true)), seen(Some(true), None)],
            unreachable: None,
        };
        assert_eq!(
            observation.summary(),
            "2 of 2 Ready, 22 closed on 1 of 2, 1 not observed"
        );
        assert!(observation.is_partial());
    }
}
