//! Moving the work away from a node: eviction, which honours disruption budgets, for as long as it is worth waiting.

use std::time::Duration;

use strata_framework::{Bounded, Probe, WaitError, chain, wait};

use crate::access;
use crate::kubernetes::{Client, Error, node};

/// Pods that have not moved by then are held by something that a longer wait does not change.
const LIMIT: Duration = Duration::from_mins(5);

/// Evicts until nothing is left that moves. The node should be cordoned. `speed`: simulated seconds per second of the wall, 1 outside the lab.
///
/// # Errors
/// Unfinished: pods are still there; the text names them, and the disruption budgets that hold them.
pub async fn drain(
    cx: &impl Bounded,
    client: &Client,
    speed: f64,
    name: &str,
) -> Result<(), WaitError<Error>> {
    let policy = access::policy(
        speed,
        format!("pods to leave node {name}"),
        Duration::from_secs(2),
        Duration::from_secs(10),
    )
    .at_most(access::pace(speed, LIMIT).max(Duration::from_secs(5)));
    wait(cx, &policy, async || {
        match node::evict(client, name).await {
            Ok(remaining) if remaining.is_empty() => Probe::Done(()),
            Ok(remaining) => Probe::NotYet(format!(
                "{} still there: {}",
                remaining.len(),
                remaining.join(", ")
            )),
            Err(error) if error.is_unreachable() => Probe::NotYet(chain(&error)),
            Err(error) => Probe::Failed(error),
        }
    })
    .await
}
