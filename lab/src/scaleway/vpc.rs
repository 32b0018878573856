//! Private networks, the addresses in them, and the attachments of servers to them (contract section 6): the state and its wire forms.
//!
//! The fabric carries no packet here: what an attachment gives is a VLAN number and addresses, as the API tells them.

use std::net::Ipv6Addr;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::error::Refusal;

/// From asked for to attached, and from asked off to gone.
const ATTACHED_AFTER: Duration = Duration::from_secs(10);
const DETACHED_AFTER: Duration = Duration::from_secs(7);

/// A private network of a region.
#[derive(Debug, Clone)]
pub(super) struct Network {
    pub(super) id: String,
    pub(super) region: String,
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) tags: Vec<String>,
    pub(super) created_at: String,
    /// Position among all networks ever made: decides its subnets and its VLAN.
    pub(super) number: u8,
}

/// An address in a private network.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) id: String,
    pub(super) network_id: String,
    /// With the length of its prefix, as `172.16.4.2/22`.
    pub(super) cidr: String,
    pub(super) is_ipv6: bool,
    pub(super) tags: Vec<String>,
    /// The attachment that has it.
    pub(super) attachment_id: Option<String>,
    /// Chosen by Scaleway for an attachment, and gone with it.
    pub(super) automatic: bool,
    pub(super) created_at: String,
}

/// A server in a private network.
#[derive(Debug, Clone)]
pub(super) struct Attachment {
    pub(super) id: String,
    pub(super) server_id: String,
    pub(super) zone: String,
    pub(super) network_id: String,
    pub(super) status: &'static str,
    pub(super) created_at: String,
    pub(super) updated_at: String,
    due: Duration,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Vpc {
    pub(super) networks: Vec<Network>,
    pub(super) addresses: Vec<Address>,
    pub(super) attachments: Vec<Attachment>,
    made: u8,
    /// Addresses given out per network so far; the first host is the gateway.
    given: u16,
}

/// `fr-par-2` lies in `fr-par`.
pub(super) fn region(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

/// One MAC address per server, of the locally administered kind.
fn mac(server_id: &str) -> String {
    let digits: Vec<char> = server_id.chars().filter(char::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).take(5);
    let bytes: Vec<String> = pairs.map(|pair| pair.iter().collect()).collect();
    format!("02:{}", bytes.join(":"))
}

impl Network {
    fn subnets(&self) -> [String; 2] {
        [
            format!("172.16.{}.0/22", u16::from(self.number) * 4),
            format!("fd5f:519c:6d46:{:x}::/64", self.number),
        ]
    }

    pub(super) fn vlan(&self) -> u16 {
        1500 + u16::from(self.number)
    }

    pub(super) fn view(&self) -> Value {
        let subnet = |(index, subnet): (usize, &String)| {
            json!({
                "created_at": self.created_at, "id": self.subnet_id(index == 1), "private_network_id": self.id, "project_id": self.project_id,
                "subnet": subnet, "updated_at": self.created_at, "vpc_id": Self::vpc_id(),
            })
        };
        json!({
            "created_at": self.created_at,
            "default_route_propagation_enabled": false,
            "dhcp_enabled": true,
            "id": self.id,
            "name": self.name,
            "organization_id": self.project_id,
            "project_id": self.project_id,
            "region": self.region,
            "subnets": self.subnets().iter().enumerate().map(subnet).collect::<Vec<_>>(),
            "tags": self.tags,
            "updated_at": self.created_at,
            "vpc_id": Self::vpc_id(),
        })
    }

    fn subnet_id(&self, is_ipv6: bool) -> String {
        let base = Uuid::parse_str(&self.id).map_or(0, |id| id.as_u128());
        Uuid::from_u128(base ^ if is_ipv6 { 6 } else { 4 }).to_string()
    }

    fn vpc_id() -> String {
        Uuid::from_u128(0x7670_6300_0000_4000_8000_0000_0000_0001).to_string()
    }
}

impl Vpc {
    /// Makes a network.
    pub(super) fn make(
        &mut self,
        region: &str,
        name: String,
        project_id: String,
        tags: Vec<String>,
        at: String,
    ) -> &Network {
        self.made += 1;
        self.networks.push(Network {
            id: Uuid::new_v4().to_string(),
            region: region.to_owned(),
            name,
            project_id,
            tags,
            created_at: at,
            number: self.made,
        });
        self.networks.last().expect("pushed just now")
    }

    /// A network of a region.
    pub(super) fn network(&self, region: &str, id: &str) -> Result<&Network, Refusal> {
        self.networks
            .iter()
            .find(|network| network.region == region && network.id == id)
            .ok_or_else(|| Refusal::not_found("private_network", id))
    }

    /// The next free address of a network.
    pub(super) fn give(
        &mut self,
        network: &Network,
        is_ipv6: bool,
        automatic: bool,
        at: &str,
    ) -> &Address {
        self.given += 1;
        let host = self.given + 1;
        let address = if is_ipv6 {
            let base = Ipv6Addr::new(0xfd5f, 0x519c, 0x6d46, network.number.into(), 0, 0, 0, host);
            format!("{base}/64")
        } else {
            let (high, low) = (host / 256, host % 256);
            format!(
                "172.16.{}.{low}/22",
                u16::from(network.number) * 4 + high % 4
            )
        };
        self.addresses.push(Address {
            id: Uuid::new_v4().to_string(),
            network_id: network.id.clone(),
            cidr: address,
            is_ipv6,
            tags: Vec::new(),
            attachment_id: None,
            automatic,
            created_at: at.to_owned(),
        });
        self.addresses.last().expect("pushed just now")
    }

    /// Whether a server is in any network.
    pub(super) fn is_attached(&self, server_id: &str) -> bool {
        let there = |one: &&Attachment| one.server_id == server_id && one.status != "detaching";
        self.attachments.iter().any(|one| there(&one))
    }

    /// Puts a server into a network with these addresses (`[]`: the next free ones), or changes the addresses it has there.
    pub(super) fn attach(
        &mut self,
        server: (&str, &str),
        network: &Network,
        wanted: &[String],
        now: (Duration, &str),
    ) -> Result<(), Refusal> {
        let ((zone, server_id), (at, date)) = (server, now);
        let present = self
            .attachments
            .iter_mut()
            .find(|one| one.server_id == server_id && one.network_id == network.id);
        let id = if let Some(one) = present {
            if one.status == "detaching" {
                return Err(Refusal::transient(&one.id, "detaching"));
            }
            one.id.clone()
        } else {
            let id = Uuid::new_v4().to_string();
            self.attachments.push(Attachment {
                id: id.clone(),
                server_id: server_id.to_owned(),
                zone: zone.to_owned(),
                network_id: network.id.clone(),
                status: "attaching",
                created_at: date.to_owned(),
                updated_at: date.to_owned(),
                due: at + ATTACHED_AFTER,
            });
            id
        };
        for wanted in wanted {
            let address = self.addresses.iter().find(|address| address.id == *wanted);
            let free = address.is_some_and(|address| {
                address.network_id == network.id
                    && address
                        .attachment_id
                        .as_ref()
                        .is_none_or(|owner| *owner == id)
            });
            if !free {
                return Err(Refusal::not_found("ipam_ip", wanted));
            }
        }
        let has_some = self
            .addresses
            .iter()
            .any(|address| address.attachment_id.as_ref() == Some(&id));
        if wanted.is_empty() && !has_some {
            for is_ipv6 in [false, true] {
                let given = self.give(network, is_ipv6, true, date).id.clone();
                self.hand(&given, Some(&id));
            }
        } else if !wanted.is_empty() {
            self.release(&id, wanted);
            for given in wanted {
                self.hand(given, Some(&id));
            }
        }
        Ok(())
    }

    fn hand(&mut self, address_id: &str, attachment_id: Option<&String>) {
        if let Some(address) = self
            .addresses
            .iter_mut()
            .find(|address| address.id == address_id)
        {
            address.attachment_id = attachment_id.cloned();
        }
    }

    /// Takes the addresses away that are not kept; automatic ones are gone.
    fn release(&mut self, attachment_id: &str, kept: &[String]) {
        let leaves = |address: &Address| {
            address.attachment_id.as_deref() == Some(attachment_id) && !kept.contains(&address.id)
        };
        self.addresses
            .retain(|address| !(leaves(address) && address.automatic));
        for address in &mut self.addresses {
            if leaves(address) {
                address.attachment_id = None;
            }
        }
    }

    /// Begins to take a server out of a network. Says whether it was there.
    pub(super) fn detach(
        &mut self,
        server_id: &str,
        network_id: &str,
        now: (Duration, &str),
    ) -> bool {
        let Some(one) = self.attachments.iter_mut().find(|one| {
            one.server_id == server_id && one.network_id == network_id && one.status != "detaching"
        }) else {
            return false;
        };
        (one.status, one.due) = ("detaching", now.0 + DETACHED_AFTER);
        now.1.clone_into(&mut one.updated_at);
        let id = one.id.clone();
        self.release(&id, &[]);
        true
    }

    /// Moves attachments on; those of servers that are gone go with them.
    pub(super) fn settle(&mut self, now: Duration, lives: impl Fn(&str) -> bool) {
        for one in &mut self.attachments {
            if one.status == "attaching" && one.due <= now {
                one.status = "attached";
            }
        }
        let gone = |one: &Attachment| {
            !lives(&one.server_id) || (one.status == "detaching" && one.due <= now)
        };
        let leaving: Vec<String> = self
            .attachments
            .iter()
            .filter(|one| gone(one))
            .map(|one| one.id.clone())
            .collect();
        for id in leaving {
            self.release(&id, &[]);
            self.attachments.retain(|one| one.id != id);
        }
    }

    /// The wire form of an attachment.
    pub(super) fn attachment_view(&self, one: &Attachment) -> Value {
        let network = self
            .networks
            .iter()
            .find(|network| network.id == one.network_id);
        let addresses = self
            .addresses
            .iter()
            .filter(|address| address.attachment_id.as_ref() == Some(&one.id));
        json!({
            "created_at": one.created_at,
            "id": one.id,
            "ipam_ip_ids": addresses.map(|address| address.id.as_str()).collect::<Vec<_>>(),
            "private_network_id": one.network_id,
            "project_id": network.map(|network| network.project_id.as_str()),
            "server_id": one.server_id,
            "status": one.status,
            "updated_at": one.updated_at,
            "vlan": network.map(Network::vlan),
        })
    }

    /// The wire form of an address.
    pub(super) fn address_view(&self, address: &Address) -> Value {
        let network = self
            .networks
            .iter()
            .find(|network| network.id == address.network_id);
        let owner = address
            .attachment_id
            .as_ref()
            .and_then(|id| self.attachments.iter().find(|one| one.id == *id));
        let resource = owner.map(|one| {
            json!({ "id": one.id, "mac_address": mac(&one.server_id), "name": one.server_id, "type": "baremetal_private_nic" })
        });
        json!({
            "address": address.cidr,
            "created_at": address.created_at,
            "id": address.id,
            "is_ipv6": address.is_ipv6,
            "project_id": network.map(|network| network.project_id.as_str()),
            "region": network.map(|network| network.region.as_str()),
            "resource": resource,
            "reverses": [],
            "source": { "subnet_id": network.map(|network| network.subnet_id(address.is_ipv6)) },
            "tags": address.tags,
            "updated_at": address.created_at,
            "zone": null,
        })
    }
}
