//! When the certificates of the control planes end, asked of the nodes themselves (FN15): the API knows nothing of them, and when they end it is
//! dead.

use serde_json::Value;
use strata_provider::{expiry, verb::Verb};

use super::ask::ask;
use crate::{
    expiry::Expiry,
    session::{Session, World},
};

/// What renews them.
const RENEWAL: &str = "a timer on the node, in their last 60 days";

/// A row for each control plane: the first certificate to end.
pub(super) async fn rows(session: &Session, world: &World, machines: &Value) -> Vec<Expiry> {
    let control_planes = session.cluster.spec.control_planes.iter();
    ask(session, world, machines, control_planes, Verb::Certs)
        .await
        .into_iter()
        .map(|(name, log)| {
            let read = log.and_then(|log| expiry::parse(&log).ok());
            row(&name, read.and_then(earliest))
        })
        .collect()
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
