//! Ordering a server at most once, whatever happens to the replies (DESIGN.md section 6, FN3).
//!
//! The API has no idempotency key, so every order carries marks: cluster, owner, node. [`place`] looks for them first, orders, and looks
//! several times after a lost reply before it asks again. [`settle`] lists once more a little later: of two servers with the same marks
//! the older stays, and whoever made the younger deletes it. All looks are shared listings of the zone: fifty orders at the same moment cost
//! a handful of them.

use std::time::Duration;

use tokio::time::Instant;

use super::catalogue::Offer;
use super::client::{Client, is_unexplained_denial};
use super::poll::{FIRST, Poll};
use super::wire::{NewServer, Server, ServerPatch};
use crate::http::client::Error as HttpError;

/// When to look for the marks after a lost reply, in seconds after it: over 30 s, because a list may lag behind.
const LOOKS: [u64; 6] = [0, 2, 5, 10, 20, 32];
/// Orders sent at most; each further one only after the marks were not found.
const ORDERS: u32 = 3;

/// Who a server belongs to. On the server these are the tags `strata-cluster=`, `strata-owner=`, `strata-node=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marks {
    /// Name of the cluster.
    pub cluster: String,
    /// Id of the estate.
    pub owner: String,
    /// Name of the node.
    pub node: String,
}

impl Marks {
    /// The tags that carry the marks.
    pub fn tags(&self) -> [String; 3] {
        [
            format!("strata-cluster={}", self.cluster),
            format!("strata-owner={}", self.owner),
            self.node_tag(),
        ]
    }

    fn node_tag(&self) -> String {
        format!("strata-node={}", self.node)
    }

    /// The marks on a server, if it carries a cluster's.
    pub fn of(server: &Server) -> Option<Self> {
        let value = |key: &str| {
            server
                .tags
                .iter()
                .find_map(|tag| tag.strip_prefix(key))
                .map(str::to_owned)
        };
        Some(Self {
            cluster: value("strata-cluster=")?,
            owner: value("strata-owner=").unwrap_or_default(),
            node: value("strata-node=").unwrap_or_default(),
        })
    }
}

/// A mark that goes again: the server was ordered bare, and no system of ours has run on it. It is the proof that nothing is lost when its disks are written, and
/// comes with the order itself, so that a run that broke off behind it leaves no server that nobody dares to touch.
pub const UNUSED: &str = "strata-install=rescue";

/// Whether a tag is one of the marks.
pub fn is_mark(tag: &str) -> bool {
    [
        "strata-cluster=",
        "strata-owner=",
        "strata-node=",
        "strata-install=",
    ]
    .iter()
    .any(|mark| tag.starts_with(mark))
}

/// What [`place`] came to.
#[derive(Debug)]
pub enum Placed {
    /// This call ordered it, and the answer came at this moment.
    Made(Server, Instant),
    /// It was there already, with our marks.
    Adopted(Server),
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster's name is taken by another estate.
    #[error(
        "server {id} ({name}) belongs to a cluster of the same name with another owner ({owner}, ours is {ours}); \
         nothing was ordered. Rename this cluster, or take the other one over with its store: \
         ./bootstrap.sh kit restore FILE, then ./bootstrap.sh adopt"
    )]
    OtherOwner {
        /// Their server.
        id: String,
        /// Its name.
        name: String,
        /// Their owner id.
        owner: String,
        /// Ours.
        ours: String,
    },
    /// Ours, but of another kind than planned.
    #[error(
        "server {id} carries our marks for node {node} but is {found}, not {wanted}; delete it or change the offer"
    )]
    Different {
        /// Id of the server.
        id: String,
        /// Node.
        node: String,
        /// What it is.
        found: String,
        /// What was planned.
        wanted: String,
    },
    /// The order's fate is not known, even after looking for it.
    #[error(
        "{orders} orders got no verdict and no server with our marks appeared; the last answer: {last}"
    )]
    NoVerdict {
        /// Orders sent.
        orders: u32,
        /// The last failure.
        last: HttpError,
    },
    /// The API refused or could not be asked.
    #[error(transparent)]
    Api(#[from] HttpError),
}

/// A zone of the API and the listings of it that everyone shares.
#[derive(Clone, Copy)]
pub struct Zone<'a> {
    /// The API.
    pub client: &'a Client,
    /// Shared listings.
    pub poll: &'a Poll,
    /// Name of the zone.
    pub name: &'a str,
}

/// Finds the server with our marks, or orders it. Costs money.
pub async fn place(
    zone: Zone<'_>,
    marks: &Marks,
    new: &NewServer,
    offer: &Offer,
) -> Result<Placed, Error> {
    if let Some(server) = oldest(look(zone, marks).await?) {
        return adopt(server, marks, offer).map(Placed::Adopted);
    }
    let mut orders = 0;
    loop {
        orders += 1;
        match zone.client.create_server(zone.name, new).await {
            Ok(server) => return Ok(Placed::Made(server, Instant::now())),
            // A denial that names no permission is IAM catching up with a new key, gateway by gateway.
            Err(error) if !error.is_lost() && !is_unexplained_denial(&error) => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::warn!(node = marks.node, %error, "the order got no verdict; looking for the server by its marks");
                if let Some(server) = look_for_lost(zone, marks).await? {
                    return Ok(Placed::Made(server, Instant::now()));
                }
                if orders >= ORDERS {
                    return Err(Error::NoVerdict {
                        orders,
                        last: error,
                    });
                }
            }
        }
    }
}

/// Looks once more, a little after an order was `answered` or at once when told to `hurry`: two processes may have ordered at the same moment.
pub async fn settle(
    zone: Zone<'_>,
    marks: &Marks,
    made: Server,
    answered: Instant,
    offer: &Offer,
    hurry: impl Future<Output = ()>,
) -> Result<Placed, Error> {
    // Both arms are cancel-safe: a timer and the caller's signal.
    tokio::select! {
        () = tokio::time::sleep_until(answered + zone.client.scaled(FIRST)) => {}
        () = hurry => {}
    }
    match oldest(look_since(zone, marks, answered).await?) {
        Some(first) if first.id != made.id => {
            tracing::warn!(
                kept = first.id,
                deleted = made.id,
                "two servers have the same marks; deleting the younger, which this run ordered"
            );
            withdraw(zone.client, zone.name, &made).await?;
            adopt(first, marks, offer).map(Placed::Adopted)
        }
        // A list that does not show it yet is no reason to doubt the answer.
        found => Ok(Placed::Made(found.unwrap_or(made), answered)),
    }
}

/// Finds the server with our marks. Orders nothing.
pub async fn find(zone: Zone<'_>, marks: &Marks, offer: &Offer) -> Result<Option<Server>, Error> {
    let found = oldest(look(zone, marks).await?);
    found.map(|server| adopt(server, marks, offer)).transpose()
}

fn adopt(server: Server, marks: &Marks, offer: &Offer) -> Result<Server, Error> {
    // The other billing of the same machine is no other machine.
    if offer.id == server.offer_id || offer.name == server.offer_name {
        return Ok(server);
    }
    Err(Error::Different {
        node: marks.node.clone(),
        found: format!("of offer {} ({})", server.offer_name, server.offer_id),
        wanted: format!("of offer {}", offer.name),
        id: server.id,
    })
}

/// The older of two: order time, then id, so that every process picks the same one.
fn oldest(servers: Vec<Server>) -> Option<Server> {
    servers
        .into_iter()
        .min_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)))
}

/// Our servers for the node, as of now.
async fn look(zone: Zone<'_>, marks: &Marks) -> Result<Vec<Server>, Error> {
    look_since(zone, marks, Instant::now()).await
}

/// Our servers for the node in a listing that is not older than this. A server of the cluster's name under another owner stops everything.
async fn look_since(zone: Zone<'_>, marks: &Marks, since: Instant) -> Result<Vec<Server>, Error> {
    let listing = zone.poll.fresh(zone.client, zone.name, since).await?;
    let mut ours = Vec::new();
    for server in listing.servers().filter(|server| !server.is_leaving()) {
        let Some(found) = Marks::of(server).filter(|found| found.cluster == marks.cluster) else {
            continue;
        };
        if found.owner != marks.owner {
            return Err(Error::OtherOwner {
                id: server.id.clone(),
                name: server.name.clone(),
                owner: found.owner,
                ours: marks.owner.clone(),
            });
        }
        if found.node == marks.node {
            ours.push(server.clone());
        }
    }
    Ok(ours)
}

async fn look_for_lost(zone: Zone<'_>, marks: &Marks) -> Result<Option<Server>, Error> {
    let mut before = 0;
    for at in LOOKS {
        tokio::time::sleep(zone.client.scaled(Duration::from_secs(at - before))).await;
        before = at;
        if let Some(server) = oldest(look(zone, marks).await?) {
            return Ok(Some(server));
        }
    }
    Ok(None)
}

/// Deletes a server that this process ordered.
pub async fn withdraw(client: &Client, zone: &str, server: &Server) -> Result<(), HttpError> {
    if server.protected {
        client
            .patch_server(
                zone,
                &server.id,
                &ServerPatch {
                    protected: Some(false),
                    ..ServerPatch::default()
                },
            )
            .await?;
    }
    client.delete_server(zone, &server.id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: &str, created_at: &str) -> Server {
        serde_json::from_value(serde_json::json!({
            "id": id, "name": "n", "status": "ready", "created_at": created_at,
            "tags": ["strata-cluster=home", "strata-owner=o-1", "strata-node=cp-1", "PrivateNetwork"]
        }))
        .unwrap()
    }

    #[test]
    fn marks_survive_the_way_through_tags() {
        let marks = Marks {
            cluster: "home".into(),
            owner: "o-1".into(),
            node: "cp-1".into(),
        };
        assert_eq!(Marks::of(&server("a", "")).unwrap(), marks);
        assert!(marks.tags().iter().all(|tag| is_mark(tag)));
        assert!(!is_mark("strata"));
    }

    #[test]
    fn every_process_picks_the_same_of_two() {
        let (older, younger) = (
            server("b", "2026-01-01T00:00:00.1Z"),
            server("a", "2026-01-01T00:00:00.2Z"),
        );
        assert_eq!(
            oldest(vec![younger.clone(), older.clone()]).unwrap().id,
            "b"
        );
        let twin = server("a", "2026-01-01T00:00:00.1Z");
        assert_eq!(oldest(vec![older.clone(), twin.clone()]).unwrap().id, "a");
        assert_eq!(oldest(vec![twin, older]).unwrap().id, "a");
    }
}
