//! One list call for everyone who waits, and one snapshot for everyone who refreshes.
//!
//! - [`Poll::fresh`]: the listing of a zone taken not much before a wished moment. Waiters that accept a listing taken up to half an
//!   interval early, and count their next look from it, fall into step: fifty of them cost one call a round.
//! - [`Poll::snapshot`]: the listing that serves every refresh of the process, dropped at the first write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::wire::Server;
use crate::http::client::Error;

/// All servers of a zone as one listing showed them.
#[derive(Debug)]
pub struct Listing {
    /// When the call began: nothing older is in it.
    pub taken: Instant,
    servers: HashMap<String, Server>,
}

impl Listing {
    /// One server of the listing. Absence is a hint, not a proof: confirm by a get.
    pub fn server(&self, id: &str) -> Option<&Server> {
        self.servers.get(id)
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Listing>>>>;

/// Listings per zone.
#[derive(Default)]
pub struct Poll {
    fresh: Mutex<HashMap<String, Slot>>,
    snapshots: Mutex<HashMap<String, Slot>>,
}

impl Poll {
    fn slot(of: &Mutex<HashMap<String, Slot>>, zone: &str) -> Slot {
        of.lock()
            .expect("no panic while held")
            .entry(zone.to_owned())
            .or_default()
            .clone()
    }

    /// A listing that began at `not_before` or later; made by whoever comes first, shared by the rest.
    pub async fn fresh(
        &self,
        client: &Client,
        zone: &str,
        not_before: Instant,
    ) -> Result<Arc<Listing>, Error> {
        let slot = Self::slot(&self.fresh, zone);
        let mut slot = slot.lock().await;
        if let Some(listing) = slot.as_ref().filter(|listing| listing.taken >= not_before) {
            return Ok(listing.clone());
        }
        let listing = list(client, zone).await?;
        *slot = Some(listing.clone());
        Ok(listing)
    }

    /// The process's snapshot of a zone.
    pub async fn snapshot(&self, client: &Client, zone: &str) -> Result<Arc<Listing>, Error> {
        let slot = Self::slot(&self.snapshots, zone);
        let mut slot = slot.lock().await;
        if let Some(listing) = slot.as_ref() {
            return Ok(listing.clone());
        }
        let listing = list(client, zone).await?;
        *slot = Some(listing.clone());
        Ok(listing)
    }

    /// Forgets the snapshots: something is about to be written.
    pub fn drop_snapshots(&self) {
        self.snapshots.lock().expect("no panic while held").clear();
    }
}

async fn list(client: &Client, zone: &str) -> Result<Arc<Listing>, Error> {
    let taken = Instant::now();
    let servers = client.servers(zone, &[]).await?;
    Ok(Arc::new(Listing {
        taken,
        servers: servers
            .into_iter()
            .map(|server| (server.id.clone(), server))
            .collect(),
    }))
}

/// How a wait for an installation ended.
#[derive(Debug)]
pub enum Waited {
    /// The OS is installed, as a get confirmed.
    Installed(Server),
    /// Not finished when told to stop; the last thing seen.
    Unfinished(Option<Server>),
    /// A verdict: it will not finish by itself.
    Failed {
        /// The server as last seen.
        server: Server,
        /// What was seen.
        reason: String,
    },
    /// It does not exist any more.
    Gone,
}

/// What is known of an installation before the first look.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The offer installs within minutes.
    pub fast: bool,
    /// The order was placed just now; otherwise it may be done at any moment.
    pub fresh: bool,
}

/// Nothing completes earlier after an order.
const FEWEST: Duration = Duration::from_secs(270);
/// A listing may be this much older than the moment somebody wants one for, so that waiters fall into step.
const SHARED: Duration = Duration::from_secs(15);
/// For so long after an order a 404 may only mean that not every part of the API knows of it yet.
const UNSETTLED: Duration = Duration::from_secs(30);

/// How long after the last write until the next look, by time since the order (contract: nothing completes before 270 s).
pub fn interval(since_order: Duration, server: Option<&Server>, usual: Duration) -> Duration {
    const FIRST: Duration = Duration::from_secs(5);
    const CALM: Duration = Duration::from_secs(30);
    const NEAR: Duration = Duration::from_secs(10);
    let delivered = server.is_some_and(|server| server.status == "ready");
    if since_order < FIRST {
        FIRST
    } else if delivered && since_order < FEWEST {
        FEWEST.saturating_sub(since_order).max(CALM)
    } else if since_order + CALM >= usual {
        NEAR
    } else {
        CALM
    }
}

/// The usual length of an installation: the medians of the contract's table, fast and slow family.
pub fn usual(fast: bool) -> Duration {
    Duration::from_secs(if fast { 350 } else { 1700 })
}

/// Waits until the server's OS is installed, or `stop` resolves. Failures to list are waited out: an outage of the API decides nothing.
pub async fn wait_installed(
    client: &Client,
    poll: &Poll,
    zone: &str,
    id: &str,
    pace: Pace,
    stop: impl Future<Output = ()>,
) -> Result<Waited, Error> {
    tokio::pin!(stop);
    let started = Instant::now();
    // What `scaled` divides is the API's time; the wall's time since the start is multiplied back.
    let speed = 1.0 / client.scaled(Duration::from_secs(1)).as_secs_f64();
    let before = if pace.fresh { Duration::ZERO } else { FEWEST };
    let mut looked = started;
    let mut last: Option<Server> = None;
    let mut first = true;
    loop {
        let since_order = before + started.elapsed().mul_f64(speed);
        let pause = client.scaled(interval(since_order, last.as_ref(), usual(pace.fast)));
        // In the lab the clock can be advanced by hand, so no pause is long there.
        let pause = if speed > 1.0 {
            pause.min(Duration::from_secs(5))
        } else {
            pause
        };
        let due = if first { looked } else { looked + pause };
        first = false;
        // Both arms are cancel-safe: a timer and the caller's signal.
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = &mut stop => return Ok(Waited::Unfinished(last)),
        }
        let early = (pause / 2).min(client.scaled(SHARED));
        let look = async {
            let listing = poll
                .fresh(client, zone, due.checked_sub(early).unwrap_or(due))
                .await?;
            let seen = match listing.server(id) {
                Some(server) if verdict(server).is_none() => Some(server.clone()),
                // The list may lag behind: anything that ends the wait is confirmed by a get.
                _ => client.server(zone, id).await?,
            };
            Ok((listing.taken, seen))
        };
        let seen = match look.await {
            Ok((taken, seen)) => {
                looked = taken;
                seen
            }
            Err(error) if Error::is_transient(&error) => {
                tracing::warn!(zone, id, %error, "cannot look at the server; waiting");
                looked = Instant::now();
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(server) = seen else {
            if pace.fresh && since_order < UNSETTLED {
                continue;
            }
            return Ok(Waited::Gone);
        };
        tracing::info!(
            zone,
            id,
            status = server.status,
            install = server.install_status(),
            waited_seconds = started.elapsed().as_secs(),
            "waiting for the server"
        );
        match verdict(&server) {
            Some(Ok(())) => return Ok(Waited::Installed(server)),
            Some(Err(reason)) => return Ok(Waited::Failed { server, reason }),
            None => last = Some(server),
        }
    }
}

/// Installed, failed, or neither yet.
pub fn verdict(server: &Server) -> Option<Result<(), String>> {
    match (server.status.as_str(), server.install_status()) {
        (_, "error") => Some(Err(
            "the installation ended in `error`; Scaleway gives no reason".into(),
        )),
        ("error" | "locked" | "out_of_stock" | "unknown" | "deleting" | "stopped", _) => {
            Some(Err(format!("its status is `{}`", server.status)))
        }
        ("ready", "completed") => Some(Ok(())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status: &str, install: &str) -> Server {
        serde_json::from_value(serde_json::json!({"id": "a", "name": "n", "status": status, "install": {"status": install}})).unwrap()
    }

    #[test]
    fn delivery_and_installation_are_two_clocks() {
        assert_eq!(verdict(&server("ready", "installing")), None);
        assert_eq!(verdict(&server("ordered", "to_install")), None);
        assert_eq!(verdict(&server("a new word", "to_install")), None);
        assert_eq!(verdict(&server("ready", "completed")), Some(Ok(())));
        for (status, install) in [
            ("ready", "error"),
            ("locked", "to_install"),
            ("out_of_stock", "to_install"),
            ("deleting", "completed"),
        ] {
            assert!(
                verdict(&server(status, install)).unwrap().is_err(),
                "{status} {install}"
            );
        }
    }

    #[test]
    fn looks_are_rare_until_an_installation_can_be_done() {
        let seconds = Duration::from_secs;
        let ready = server("ready", "installing");
        assert_eq!(interval(seconds(0), None, usual(true)), seconds(5));
        assert_eq!(interval(seconds(5), None, usual(true)), seconds(30));
        assert_eq!(
            interval(seconds(5), Some(&ready), usual(true)),
            seconds(265)
        );
        assert_eq!(
            interval(seconds(330), Some(&ready), usual(true)),
            seconds(10)
        );
        assert_eq!(
            interval(seconds(400), Some(&ready), usual(false)),
            seconds(30)
        );
    }
}
