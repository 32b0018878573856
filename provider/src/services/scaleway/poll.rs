//! One list call for everyone who waits, and one snapshot for everyone who refreshes.
//!
//! - [`Poll::fresh`]: the listing of a zone taken not much before a wished moment. Waiters that accept a listing taken up to half an
//!   interval early, and count their next look from it, fall into step: fifty of them cost one call a round.
//! - [`Poll::snapshot`]: the listing that serves every refresh of the process, dropped at the first write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::catalogue::Once;
use super::client::Client;
use super::fabric::Fabric;
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
    /// All servers of the zone.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

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
    fabrics: Mutex<Arc<Once<Fabric>>>,
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

    /// The process's snapshot of the private networks of a zone.
    pub async fn fabric(&self, client: &Client, zone: &str) -> Result<Arc<Fabric>, Error> {
        let fabrics = self.fabrics.lock().expect("no panic while held").clone();
        fabrics.get(zone, client.fabric(zone)).await
    }

    /// Forgets the snapshots: something is about to be written.
    pub fn drop_snapshots(&self) {
        *self.fabrics.lock().expect("no panic while held") = Arc::default();
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
    /// When nine of ten installations of the offer are over, counted from the order.
    pub usual: Duration,
    /// When this process placed the order. Without it the installation may be done at any moment.
    pub ordered: Option<Instant>,
    /// Whether a get confirms what a listing calls installed. Not needed where the machine itself is asked next, and was never installed before.
    pub confirm: bool,
}

/// A listing may be this much older than the moment somebody wants one for, so that waiters fall into step.
const SHARED: Duration = Duration::from_secs(15);
/// For so long after an order a 404 may only mean that not every part of the API knows of it yet.
const UNSETTLED: Duration = Duration::from_secs(30);
/// When to look first after an order: most deliveries are made by then, and lists have caught up.
pub const FIRST: Duration = Duration::from_secs(5);

/// How long after the last look until the next one, by time since the order: one look half-way, so that a failure is not found only at the
/// end, then one when it should be over, then often, then less often.
pub fn interval(since_order: Duration, usual: Duration) -> Duration {
    const NEAR: Duration = Duration::from_secs(15);
    const CALM: Duration = Duration::from_secs(30);
    const LONGEST: Duration = Duration::from_mins(5);
    const LATE: Duration = Duration::from_mins(2);
    if since_order < FIRST {
        FIRST
    } else if since_order + SHARED < usual / 2 {
        (usual / 2).saturating_sub(since_order).min(LONGEST)
    } else if since_order + SHARED < usual {
        usual.saturating_sub(since_order).min(LONGEST)
    } else if since_order < usual + LATE {
        NEAR
    } else {
        CALM
    }
}

/// When a bare machine should be delivered, counted from the order.
pub fn usual_delivery(fast: bool) -> Duration {
    Duration::from_secs(if fast { 10 } else { 300 })
}

/// When an installation should be over, counted from the order: nine of ten recorded ones of the offer were, or of its family.
pub fn usual(offer: &str, fast: bool) -> Duration {
    Duration::from_secs(match offer {
        "EM-I215E-NVME" => 400,
        "EM-A115X-SSD" => 420,
        "EM-B220E-NVME" => 375,
        "EM-A610R-NVME" | "EM-B420E-NVME" => 345,
        _ if fast => 400,
        _ => 2000,
    })
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
    // What `scaled` divides is the API's time; the wall's time since the order is multiplied back.
    let speed = 1.0 / client.scaled(Duration::from_secs(1)).as_secs_f64();
    let since_order = || match pace.ordered {
        Some(ordered) => ordered.elapsed().mul_f64(speed),
        None => pace.usual + started.elapsed().mul_f64(speed),
    };
    let mut looked = started;
    let mut last: Option<Server> = None;
    let mut at_once = pace.ordered.is_none();
    loop {
        let pause = client.scaled(interval(since_order(), pace.usual));
        // In the lab the clock can be advanced by hand, so no pause is long there.
        let pause = if speed > 1.0 {
            pause.min(Duration::from_secs(5))
        } else {
            pause
        };
        let due = if at_once { looked } else { looked + pause };
        at_once = false;
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
                Some(server) if !needs_proof(server, pace.confirm) => Some(server.clone()),
                // The list may lag behind: what ends the wait is confirmed by a get.
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
            if pace.ordered.is_some() && since_order() < UNSETTLED {
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

fn needs_proof(server: &Server, confirm: bool) -> bool {
    match verdict(server) {
        None => false,
        Some(Ok(())) => confirm,
        Some(Err(_)) => true,
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
        // Ordered bare: it is ours, and there is nothing more to wait for.
        ("ready", _) if server.install.is_none() => Some(Ok(())),
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
        let bare = |status| Server {
            install: None,
            ..server(status, "")
        };
        assert_eq!(verdict(&bare("ordered")), None);
        assert_eq!(verdict(&bare("ready")), Some(Ok(())));
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
        let fast = usual("EM-I215E-NVME", true);
        let mut looks = Vec::new();
        let mut at = seconds(0);
        while at < seconds(700) {
            at += interval(at, fast);
            looks.push(at.as_secs());
        }
        assert_eq!(looks[..6], [5, 200, 400, 415, 430, 445]);
        assert_eq!(looks.last(), Some(&700), "{looks:?}");
        let slow = usual("EM-B112X-SSD", false);
        assert_eq!(
            interval(seconds(5), slow),
            seconds(300),
            "failures show within five minutes"
        );
        // A look that somebody else made a little early is no reason for one more.
        assert_eq!(interval(seconds(190), fast), seconds(210));
        assert_eq!(interval(seconds(386), fast), seconds(15));
    }

    #[test]
    fn only_what_ends_a_wait_needs_proof() {
        assert!(!needs_proof(&server("ready", "installing"), true));
        assert!(needs_proof(&server("ready", "completed"), true));
        assert!(!needs_proof(&server("ready", "completed"), false));
        assert!(needs_proof(&server("ready", "error"), false));
    }
}
