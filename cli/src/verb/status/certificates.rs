//! When the certificates of the control planes end, asked of the nodes themselves (FN15): the API knows nothing of them, and when they end it is
//! dead. One short pod on each control plane, as every verb of a locked node.

use std::time::Duration;

use serde_json::Value;
use strata_framework::Limits;
use strata_provider::{access::through_door, expiry, kubernetes::Client, verb::Verb};

use crate::{
    expiry::Expiry,
    observe,
    session::{Session, World},
};

/// Beyond this a node counts as not observed.
const PATIENCE: Duration = Duration::from_mins(1);

/// What renews them.
const RENEWAL: &str = "a timer on the node, in their last 60 days";

/// A row for each control plane: the first certificate to end.
pub(super) async fn rows(session: &Session, world: &World, machines: &Value) -> Vec<Expiry> {
    let addresses = observe::addresses(machines);
    let client = observe::client(session, world.environment.dialer(), &addresses)
        .await
        .ok();
    let speed = world.environment.speed();
    let asked: Vec<_> = session
        .cluster
        .spec
        .control_planes
        .iter()
        .map(|name| {
            let (name, client) = (name.clone(), client.clone());
            tokio::spawn(async move {
                let first = match &client {
                    Some(client) => first(client, speed, &name).await,
                    None => None,
                };
                (name, first)
            })
        })
        .collect();
    let mut rows = Vec::new();
    for asked in asked {
        if let Ok((name, first)) = asked.await {
            rows.push(row(&name, first));
        }
    }
    rows
}

async fn first(client: &Client, speed: f64, node: &str) -> Option<expiry::Expiry> {
    let log = through_door(&Limits::within(PATIENCE), client, speed, node, &Verb::Certs)
        .await
        .ok()?;
    earliest(expiry::parse(&log).ok()?)
}

/// Authorities live ten years and are nobody's to renew here.
fn earliest(certificates: Vec<expiry::Expiry>) -> Option<expiry::Expiry> {
    certificates
        .into_iter()
        .filter(|certificate| !certificate.authority)
        .min_by_key(|certificate| certificate.at)
}

fn row(node: &str, first: Option<expiry::Expiry>) -> Expiry {
    Expiry {
        what: first.as_ref().map_or_else(
            || format!("certificates of {node}"),
            |first| format!("{} of {node}", first.name),
        ),
        at: first.map(|first| first.at),
        renewal: RENEWAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_nodes_certificates_counts() {
        let certificate = |name: &str, at: &str, authority| expiry::Expiry {
            name: name.into(),
            at: at.parse().unwrap(),
            authority,
        };
        let certificates = vec![
            certificate("ca", "2026-01-01T00:00:00Z", true),
            certificate("apiserver", "2027-02-01T00:00:00Z", false),
            certificate("admin.conf", "2027-01-01T00:00:00Z", false),
        ];
        let first = row("cp-1", earliest(certificates));
        assert_eq!(first.what, "admin.conf of cp-1");
        assert_eq!(first.at, Some("2027-01-01T00:00:00Z".parse().unwrap()));
        let unseen = row("cp-1", earliest(Vec::new()));
        assert_eq!(
            (unseen.what.as_str(), unseen.at),
            ("certificates of cp-1", None)
        );
    }
}
