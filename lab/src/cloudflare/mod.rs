//! The simulated Cloudflare v4: zones and DNS records, and the answers that machines and the proxy get for names.
//!
//! Written from contracts on the public API reference (<https://developers.cloudflare.com/api/resources/dns/>); the numbers of errors come from
//! public issue threads. Not here: accounts, tags, settings, any other product.

mod envelope;
mod filter;
mod record;
mod routes;

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::envelope::Fault;
use self::record::{Draft, Record};
use crate::clock::Clock;

pub use self::routes::router;

/// How many CNAMEs a resolver follows.
const CHAIN: usize = 8;
/// Where proxied names point: an edge that the lab does not have, so it is silent.
const EDGE: [u8; 4] = [104, 16, 0, 1];

/// The service; clones share it.
#[derive(Clone)]
pub struct Cloudflare(Arc<Inner>);

struct Inner {
    clock: Clock,
    token: String,
    zones: Mutex<Vec<Zone>>,
}

#[derive(Debug, Clone)]
struct Zone {
    id: String,
    name: String,
    records: Vec<Record>,
}

/// 32 hex digits that stay the same for a name.
fn stable_id(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    data_encoding::HEXLOWER.encode(&digest[..16])
}

impl Zone {
    fn view(&self) -> Value {
        let servers = ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"];
        json!({
            "account": { "id": stable_id("account"), "name": "Strata lab" },
            "id": self.id,
            "name": self.name,
            "name_servers": servers,
            "original_name_servers": [],
            "paused": false,
            "status": "active",
            "type": "full",
        })
    }

    /// True for the zone's own name and everything under it.
    fn covers(&self, name: &str) -> bool {
        name == self.name
            || name
                .strip_suffix(self.name.as_str())
                .is_some_and(|rest| rest.ends_with('.'))
    }
}

/// An out-of-band change that did not work.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// No zone of the lab covers the name.
    #[error("no zone of the lab covers {name}; zones: {zones}")]
    NoZone {
        /// The name asked for.
        name: String,
        /// Names of the zones.
        zones: String,
    },
    /// The API would refuse the record.
    #[error("the record is refused: {0}")]
    Refused(String),
}

impl Cloudflare {
    /// Empty zones of these names.
    pub fn new(clock: Clock, token: String, zones: &[String]) -> Self {
        let zones = zones.iter().map(|name| Zone {
            id: stable_id(name),
            name: name.to_lowercase(),
            records: Vec::new(),
        });
        Self(Arc::new(Inner {
            clock,
            token,
            zones: Mutex::new(zones.collect()),
        }))
    }

    /// The addresses of a name, CNAMEs followed; what `Network::resolve` asks.
    pub fn resolve(&self, name: &str) -> Vec<IpAddr> {
        let zones = self.0.zones.lock().expect("no panic while held");
        let mut name = name.trim_end_matches('.').to_lowercase();
        for _ in 0..CHAIN {
            let Some(zone) = zones
                .iter()
                .filter(|zone| zone.covers(&name))
                .max_by_key(|zone| zone.name.len())
            else {
                return Vec::new();
            };
            let mut records: Vec<&Record> = zone
                .records
                .iter()
                .filter(|record| record.name == name)
                .collect();
            if records.is_empty() {
                let wildcard = name
                    .split_once('.')
                    .map(|(_, parent)| format!("*.{parent}"));
                records = zone
                    .records
                    .iter()
                    .filter(|record| Some(&record.name) == wildcard.as_ref())
                    .collect();
            }
            if records.iter().any(|record| record.proxied) {
                return vec![EDGE.into()];
            }
            let Some(alias) = records.iter().find(|record| record.kind == "CNAME") else {
                let addresses = records
                    .iter()
                    .filter(|record| matches!(record.kind.as_str(), "A" | "AAAA"));
                return addresses
                    .filter_map(|record| record.content.parse().ok())
                    .collect();
            };
            name = alias.content.trim_end_matches('.').to_lowercase();
        }
        Vec::new()
    }

    /// All records for `GET /estate`, by zone, in an order that does not depend on time.
    pub fn estate(&self) -> Vec<Value> {
        let zones = self.0.zones.lock().expect("no panic while held");
        let mut records: Vec<(&Zone, &Record)> = zones
            .iter()
            .flat_map(|zone| zone.records.iter().map(move |record| (zone, record)))
            .collect();
        let key = |(zone, record): &(&Zone, &Record)| {
            (
                zone.name.clone(),
                record.name.clone(),
                record.kind.clone(),
                record.content.clone(),
                record.id.clone(),
            )
        };
        records.sort_by_key(key);
        let view = |(zone, record): (&Zone, &Record)| {
            json!({
                "comment": record.comment, "content": record.content, "id": record.id, "name": record.name,
                "proxied": record.proxied, "ttl": record.ttl, "type": record.kind, "zone": zone.name,
            })
        };
        records.into_iter().map(view).collect()
    }

    /// Adds a record behind everyone's back.
    pub fn plant(&self, record: Value) -> Result<(), ChangeError> {
        let now = self.0.clock.now();
        let mut zones = self.0.zones.lock().expect("no panic while held");
        let name = record["name"]
            .as_str()
            .unwrap_or_default()
            .trim_end_matches('.')
            .to_lowercase();
        let names = zones
            .iter()
            .map(|zone| zone.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let zone = zones
            .iter_mut()
            .find(|zone| zone.covers(&name))
            .ok_or(ChangeError::NoZone { name, zones: names })?;
        let refused = |fault: Fault| ChangeError::Refused(fault.to_string());
        let draft = Draft::parse(record).map_err(refused)?;
        zone.create(draft, now).map(drop).map_err(refused)
    }

    /// Deletes records behind everyone's back and says how many.
    pub fn uproot(&self, name: &str, kind: &str, content: Option<&str>) -> usize {
        let mut zones = self.0.zones.lock().expect("no panic while held");
        let name = name.trim_end_matches('.').to_lowercase();
        let mut removed = 0;
        for zone in zones.iter_mut() {
            let before = zone.records.len();
            zone.records.retain(|record| {
                !(record.name == name
                    && record.kind == kind
                    && content.is_none_or(|content| record.content == content))
            });
            removed += before - zone.records.len();
        }
        removed
    }
}
