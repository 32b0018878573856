//! The server object (contract section 4) and its wire form.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

use super::bmc::Session;
use super::catalogue::{Catalogue, Offer};
use super::life::Step;
use super::option::{self, ServerOption};

/// One allocated address.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) id: String,
    /// Set by the user; without it the domain of the server.
    pub(super) reverse: Option<String>,
    pub(super) reverse_status: &'static str,
}

/// What was asked of the installer, and how far it is.
#[derive(Debug, Clone)]
pub(super) struct Install {
    pub(super) os_id: String,
    pub(super) hostname: String,
    pub(super) ssh_key_ids: Vec<String>,
    /// Key lines as they were when the installation was ordered: keys act at installation time.
    pub(super) ssh_public_keys: Vec<String>,
    pub(super) user: String,
    pub(super) partitioning: Value,
    pub(super) status: &'static str,
}

/// The rescue system of a server.
#[derive(Debug, Clone)]
pub(super) struct Rescue {
    /// Shown while it runs; the lab's machines take keys alone.
    pub(super) password: String,
    /// Key lines of the keys that were named when it was asked for.
    pub(super) keys: Vec<String>,
}

/// One server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) id: String,
    pub(super) zone: String,
    pub(super) project_id: String,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) offer_id: String,
    pub(super) status: &'static str,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) ipv4: Ipv4Addr,
    pub(super) ipv6: Ipv6Addr,
    /// Addresses are chosen at the order and shown from allocation on.
    pub(super) allocated: bool,
    /// The order of the two is fixed per server and random between servers.
    pub(super) ipv6_first: bool,
    pub(super) addresses: [Address; 2],
    pub(super) domain: String,
    pub(super) install: Option<Install>,
    pub(super) ping_status: &'static str,
    /// The rescue system that runs, or is about to.
    pub(super) rescue: Option<Rescue>,
    pub(super) protected: bool,
    pub(super) options: Vec<ServerOption>,
    /// The session with its BMC, the one that was asked for last.
    pub(super) bmc: Option<Session>,
    /// Base64 as sent.
    pub(super) user_data: Option<String>,
    /// What will happen, by simulated time since the lab's start; sorted.
    pub(super) pending: Vec<(Duration, Step)>,
}

impl Server {
    /// Puts a step into the future of this server, behind others of the same moment.
    pub(super) fn schedule(&mut self, at: Duration, step: Step) {
        let index = self.pending.partition_point(|(other, _)| *other <= at);
        self.pending.insert(index, (at, step));
    }

    /// The names a test or a person may call this server by: its name, its hostname, its node tag, its id.
    pub(super) fn answers_to(&self, name: &str) -> bool {
        self.id == name
            || self.name == name
            || self
                .install
                .as_ref()
                .is_some_and(|install| install.hostname == name)
            || self
                .tags
                .iter()
                .any(|tag| tag.strip_prefix("strata-node=") == Some(name))
    }

    /// Its tags and the labels that the API adds by itself while options are on.
    fn shown_tags(&self) -> Vec<String> {
        let mut tags = self.tags.clone();
        for label in option::labels(self) {
            if !tags.iter().any(|tag| tag == label) {
                tags.push(label.to_owned());
            }
        }
        tags
    }

    /// `status` of the installation, for the estate.
    pub(super) fn install_status(&self) -> Option<&'static str> {
        self.install.as_ref().map(|install| install.status)
    }

    fn ips(&self) -> Vec<Value> {
        if !self.allocated {
            return Vec::new();
        }
        let addresses = [
            (self.ipv4.to_string(), "IPv4"),
            (self.ipv6.to_string(), "IPv6"),
        ];
        let mut ips: Vec<Value> = addresses
            .iter()
            .zip(&self.addresses)
            .map(|((address, version), ip)| {
                json!({
                    "address": address,
                    "id": ip.id,
                    "reverse": ip.reverse.as_ref().unwrap_or(&self.domain),
                    "reverse_status": ip.reverse_status,
                    "reverse_status_message": "",
                    "version": version,
                })
            })
            .collect();
        if self.ipv6_first {
            ips.reverse();
        }
        ips
    }

    /// The wire form; `ssh_key_ids` in changing order, because the API does not keep it.
    pub(super) fn view(&self, offer: &Offer, organization_id: &str, shuffle: &mut StdRng) -> Value {
        let install = self.install.as_ref().map(|install| {
            let mut ssh_key_ids = install.ssh_key_ids.clone();
            ssh_key_ids.shuffle(shuffle);
            json!({
                "hostname": install.hostname,
                "os_id": install.os_id,
                "partitioning_schema": install.partitioning,
                "service_url": "",
                "service_user": "",
                "ssh_key_ids": ssh_key_ids,
                "status": install.status,
                "user": install.user,
            })
        });
        json!({
            "boot_type": if self.rescue.is_some() { "rescue" } else { "normal" },
            "created_at": format!("{:.6}", self.created_at),
            "description": self.description,
            "domain": self.domain,
            "id": self.id,
            "install": install,
            "ips": self.ips(),
            "name": self.name,
            "offer_id": self.offer_id,
            "offer_name": offer.name,
            // A server on its way out shows its options as such until it is gone.
            "options": self.options.iter().map(|option| option.view(self.status == "deleting")).collect::<Vec<_>>(),
            "organization_id": organization_id,
            "ping_status": self.ping_status,
            "project_id": self.project_id,
            "protected": self.protected,
            "rescue_server": self.rescue.as_ref().map(|rescue| json!({ "user": "rescue", "password": rescue.password })),
            "status": self.status,
            "tags": self.shown_tags(),
            "updated_at": format!("{:.6}", self.updated_at),
            "user_data": self.user_data,
            "zone": self.zone,
        })
    }

    /// The truth for `GET /estate`: what a plan could depend on, and nothing that moves by itself.
    pub(super) fn estate(&self, catalogue: &Catalogue) -> Value {
        let offer = catalogue.offer(&self.offer_id);
        json!({
            "id": self.id,
            "install_status": self.install_status(),
            "ips": if self.allocated { json!([self.ipv4, self.ipv6]) } else { json!([]) },
            "monthly": offer.is_some_and(|offer| offer.monthly),
            "name": self.name,
            "offer": offer.map(|offer| offer.name.as_str()),
            "options": self.options.iter().map(|option| option.name.as_str()).collect::<Vec<_>>(),
            "protected": self.protected,
            "status": self.status,
            "tags": self.tags,
            "user_data": if self.user_data.is_some() { "yes" } else { "no" },
            "zone": self.zone,
        })
    }
}
