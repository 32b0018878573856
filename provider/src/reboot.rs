//! The reboot of one node, for an update that waits on its disk (FN12): emptied first, proven by a new boot id, given back.
//!
//! Guarantees: no reboot begins while another node is not Ready or a member of etcd cannot commit. Not handled: which node is next, and when; that is
//! kured's, or a person's.

use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, chain, wait};

use crate::access::{self, DoorError, through_door};
use crate::drain::drain;
use crate::kubernetes::node::{self, Readiness, View};
use crate::kubernetes::{Client, Error};
use crate::verb::Verb;

/// A server's firmware alone may take ten minutes.
const BACK: Duration = Duration::from_mins(25);

/// Reboots a node and waits until it is Ready again. `speed`: simulated seconds per second of the wall, 1 outside the lab. Returns whether the node
/// takes pods again: one that was cordoned before stays so.
///
/// # Errors
/// The rest of the cluster would not bear it, its pods did not leave, or it did not come back. What state it is in is said.
pub async fn reboot(
    limits: &Limits,
    client: &Client,
    speed: f64,
    name: &str,
) -> Result<bool, Diagnostics> {
    let failed = |error: &dyn std::error::Error| Diagnostics::failed("reboot", "node", name, error);
    let untouched = |found: Diagnostics| found.left("Nothing was changed.");
    let nodes = node::list(client)
        .await
        .map_err(|error| untouched(failed(&error)))?;
    let before = bearable(&nodes, name).map_err(|reason| {
        untouched(Diagnostics::error(
            format!("Cannot reboot node \"{name}\""),
            format!("{reason}."),
        ))
    })?;
    if before.control_plane
        && let Some(witness) = nodes
            .iter()
            .find(|view| view.control_plane && view.name != name)
    {
        through_door(limits, client, speed, &witness.name, &Verb::EtcdHealth)
            .await
            .map_err(|error| untouched(failed(&error)))?;
    }
    let cordoned = |found: Diagnostics| {
        found
            .left(&format!("Node {name} stays cordoned."))
            .hint(&format!(
                "Run it again when the cause is gone, or give the node back: kubectl uncordon {name}"
            ))
    };
    node::cordon(client, name)
        .await
        .map_err(|error| failed(&error))?;
    drain(limits, client, speed, name)
        .await
        .map_err(|error| cordoned(failed(&error)))?;
    match through_door(limits, client, speed, name, &Verb::Reboot).await {
        // The pod may die with the machine: only a new boot id tells.
        Ok(_) | Err(DoorError::Verb { .. } | DoorError::Unfinished(_)) => {}
        Err(error) => return Err(cordoned(failed(&error))),
    }
    let policy = access::policy(
        speed,
        format!("node {name} to come back"),
        Duration::from_secs(5),
        Duration::from_secs(15),
    )
    .at_most(access::pace(speed, BACK).max(Duration::from_secs(20)));
    let back = wait(limits, &policy, async || {
        match node::get(client, name).await {
            Ok(Some(view)) if view.boot == before.boot => {
                Probe::NotYet("it has not booted yet".into())
            }
            Ok(Some(view)) => match view.readiness {
                Readiness::Ready => Probe::Done(()),
                Readiness::NotReady(reason) => Probe::NotYet(reason),
                Readiness::Silent => Probe::NotYet("its kubelet is silent".into()),
            },
            Ok(None) => Probe::NotYet("the API has no such node".into()),
            Err(error) if error.is_unreachable() => {
                client.try_again();
                Probe::NotYet(chain(&error))
            }
            Err(error) => Probe::Failed::<_, Error>(error),
        }
    });
    back.await.map_err(|error| cordoned(failed(&error)))?;
    if before.cordoned {
        return Ok(false);
    }
    node::uncordon(client, name)
        .await
        .map_err(|error| cordoned(failed(&error)))?;
    Ok(true)
}

/// The node, unless the cluster would lose more than it.
fn bearable<'a>(nodes: &'a [View], name: &str) -> Result<&'a View, String> {
    let node = nodes
        .iter()
        .find(|view| view.name == name)
        .ok_or_else(|| "the API has no such node".to_owned())?;
    match nodes
        .iter()
        .find(|view| view.name != name && !view.is_ready())
    {
        Some(other) => Err(format!(
            "node {} is not Ready, and two at once are more than the cluster is made for",
            other.name
        )),
        None => Ok(node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_at_a_time() {
        let view = |name: &str, readiness| View {
            name: name.into(),
            addresses: vec![],
            control_plane: false,
            readiness,
            kubelet: "v1.34.2".into(),
            boot: "b".into(),
            cordoned: false,
            work: None,
        };
        let nodes = [view("a", Readiness::Ready), view("b", Readiness::Silent)];
        assert!(bearable(&nodes, "a").unwrap_err().contains("node b"));
        assert!(bearable(&nodes, "b").is_ok(), "it is the sick one itself");
        assert!(bearable(&nodes, "c").unwrap_err().contains("no such node"));
    }
}
