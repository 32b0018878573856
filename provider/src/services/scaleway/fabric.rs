//! Private networks of servers (baremetal v3) and the addresses that they have there (ipam v1): wire forms and calls.
//!
//! The API calls an attachment "server private network". It exists in the fabric alone: the system needs a VLAN interface of its own.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::client::Client;
use crate::http::client::{Error, escape};

/// A server in a private network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Id of the attachment.
    pub id: String,
    /// The server.
    pub server_id: String,
    /// The network.
    pub private_network_id: String,
    /// Number of the VLAN, known at once.
    pub vlan: Option<u32>,
    /// `attaching`, `attached`, `detaching`, `error`, `locked`.
    pub status: String,
    /// Its addresses; empty while detaching.
    pub ipam_ip_ids: BTreeSet<String>,
}

impl Attachment {
    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.status == "detaching"
    }

    /// Whether it is still on its way in or out.
    pub fn is_moving(&self) -> bool {
        self.is_leaving() || self.status == "attaching"
    }
}

/// An address in a private network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Address {
    /// Id.
    pub id: String,
    /// With the length of the prefix, like `172.16.4.2/22`.
    pub address: String,
    /// What has it.
    pub resource: Option<Owner>,
}

/// What has an address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// The attachment.
    pub id: String,
    /// Of the machine.
    pub mac_address: Option<String>,
}

/// All attachments of a zone, and the addresses of its region.
#[derive(Debug, Default)]
pub struct Fabric {
    /// Attachments of every server.
    pub attachments: Vec<Attachment>,
    /// Addresses of servers.
    pub addresses: Vec<Address>,
}

impl Fabric {
    /// The attachments of a server, without those on their way out.
    pub fn of<'a>(&'a self, server: &'a str) -> impl Iterator<Item = &'a Attachment> {
        self.attachments
            .iter()
            .filter(move |one| one.server_id == server && !one.is_leaving())
    }

    /// The addresses of an attachment.
    pub fn addresses<'a>(&'a self, attachment: &'a str) -> impl Iterator<Item = &'a Address> {
        self.addresses.iter().filter(move |address| {
            let owner = address.resource.as_ref();
            owner.is_some_and(|owner| owner.id == attachment)
        })
    }
}

/// An id without the region that other tools put before it: `fr-par/<id>`.
pub fn bare(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, id)| id)
}

/// `fr-par-2` lies in `fr-par`.
fn region(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

#[derive(Serialize)]
struct Whole<'a> {
    per_private_network_ipam_ip_ids: &'a BTreeMap<String, BTreeSet<String>>,
}

impl Client {
    /// Attachments of a zone and addresses of its region. Without the permission to read addresses there are none.
    pub async fn fabric(&self, zone: &str) -> Result<Fabric, Error> {
        let path = format!("ipam/v1/regions/{}/ips", region(zone));
        let query = "&resource_type=baremetal_private_nic";
        let addresses = match self.all(&path, "ips", query).await {
            Err(error) if error.status() == Some(http::StatusCode::FORBIDDEN) => {
                tracing::warn!(%error, "no permission to read private addresses; they are left out");
                Vec::new()
            }
            addresses => addresses?,
        };
        Ok(Fabric {
            attachments: self.attachments(zone, "").await?,
            addresses,
        })
    }

    /// The attachments of one server.
    pub async fn attachments_of(&self, zone: &str, server: &str) -> Result<Vec<Attachment>, Error> {
        let query = format!("&server_id={}", escape(server));
        self.attachments(zone, &query).await
    }

    async fn attachments(&self, zone: &str, query: &str) -> Result<Vec<Attachment>, Error> {
        let path = format!("baremetal/v3/zones/{zone}/server-private-networks");
        self.all(&path, "server_private_networks", query).await
    }

    /// Says in which networks a server is, and with which addresses (none: the next free ones). Whatever is not named it leaves.
    pub async fn attach(
        &self,
        zone: &str,
        server: &str,
        wanted: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<(), Error> {
        let path = format!("baremetal/v3/zones/{zone}/servers/{server}/private-networks");
        let body = Whole {
            per_private_network_ipam_ip_ids: wanted,
        };
        let answer = self.http.put(path).json(&body).send::<serde_json::Value>();
        answer.await.map(drop)
    }
}
