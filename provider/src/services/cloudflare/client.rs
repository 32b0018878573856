//! Client of the Cloudflare API v4, zones and DNS records: <https://developers.cloudflare.com/api/resources/dns/>.
//!
//! Covered: finding a zone by name; listing a zone's records (once per process until the first write, or by exact name); creating,
//! changing and deleting one record. Filters are exact, since a loose one also finds `node-10` when asked for `node-1`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::http::client::{Client as Http, Error as HttpError, escape};

/// Codes of "an identical record exists", refined from a 400.
const IDENTICAL: [i64; 2] = [81057, 81058];

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// HTTP or an error status.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The token sees no such zone.
    #[error(
        "the API token sees no zone `{0}`; check the zone's name and the token's rights (Zone:Read, DNS:Edit)"
    )]
    NoZone(String),
    /// The token sees several.
    #[error("the API token sees {count} zones named `{name}`; use a token of one account")]
    AmbiguousZone {
        /// Zone.
        name: String,
        /// How many.
        count: usize,
    },
    /// A 200 with `success: false`.
    #[error("cloudflare refused: {0}")]
    Refused(String),
}

impl Error {
    /// Another record with the same name, type and content exists.
    pub fn is_identical(&self) -> bool {
        let Self::Http(HttpError::Status { body, .. }) = self else {
            return false;
        };
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        body["errors"].as_array().is_some_and(|errors| {
            errors.iter().any(|error| {
                error["code"]
                    .as_i64()
                    .is_some_and(|code| IDENTICAL.contains(&code))
            })
        })
    }

    /// Whether the request may have taken effect without an answer.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_lost())
    }

    /// Whether waiting may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_transient())
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<serde_json::Value>,
    result: Option<T>,
    #[serde(default)]
    result_info: Option<PageInfo>,
}

#[derive(Deserialize)]
struct PageInfo {
    #[serde(default)]
    total_pages: usize,
}

#[derive(Deserialize)]
struct Zone {
    id: String,
    name: String,
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Record {
    /// Id.
    pub id: String,
    /// FQDN without final dot, lower case.
    pub name: String,
    /// `A`, `AAAA`, `CNAME`, `TXT` ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Value.
    pub content: String,
    /// Seconds; 1 is "automatic".
    #[serde(default)]
    pub ttl: u32,
    /// Free text; ours carries the mark.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A record to be made.
#[derive(Debug, Clone, Serialize)]
pub struct NewRecord {
    /// FQDN.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Value.
    pub content: String,
    /// Seconds.
    pub ttl: u32,
    /// Never proxied: the names point at machines.
    pub proxied: bool,
    /// The mark.
    pub comment: String,
}

/// A change of a record; absent keys keep their value.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Patch {
    /// Value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// The mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<Vec<Record>>>>>;

/// One token's view of the API.
pub struct Client {
    http: Http,
    zones: tokio::sync::Mutex<HashMap<String, String>>,
    snapshots: Mutex<HashMap<String, Slot>>,
}

impl Client {
    /// A client over the shared HTTP layer.
    pub fn new(http: Http) -> Self {
        Self {
            http,
            zones: tokio::sync::Mutex::default(),
            snapshots: Mutex::default(),
        }
    }

    async fn all<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
        per_page: u32,
    ) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        for page in 1.. {
            let envelope: Envelope<Vec<T>> = self
                .http
                .get(format!("{path}?page={page}&per_page={per_page}{query}"))
                .send()
                .await?;
            let pages = envelope
                .result_info
                .as_ref()
                .map_or(1, |info| info.total_pages);
            let list = open(envelope)?;
            let count = list.len();
            items.extend(list);
            if count == 0 || page >= pages {
                break;
            }
        }
        Ok(items)
    }

    /// The id of a zone, looked up once per process.
    pub async fn zone(&self, name: &str) -> Result<String, Error> {
        let mut zones = self.zones.lock().await;
        if let Some(id) = zones.get(name) {
            return Ok(id.clone());
        }
        let mut found: Vec<Zone> = self
            .all("zones", &format!("&name={}", escape(name)), 50)
            .await?;
        found.retain(|zone| zone.name == name);
        match found.as_slice() {
            [] => Err(Error::NoZone(name.into())),
            [zone] => {
                zones.insert(name.into(), zone.id.clone());
                Ok(zone.id.clone())
            }
            several => Err(Error::AmbiguousZone {
                name: name.into(),
                count: several.len(),
            }),
        }
    }

    /// All records of one name, fresh.
    pub async fn records(&self, zone: &str, name: &str) -> Result<Vec<Record>, Error> {
        let zone = self.zone(zone).await?;
        let mut records: Vec<Record> = self
            .all(
                &format!("zones/{zone}/dns_records"),
                &format!("&name={}", escape(name)),
                100,
            )
            .await?;
        records.retain(|record| record.name == name);
        Ok(records)
    }

    /// All records of a zone, from the process's snapshot.
    pub async fn snapshot(&self, zone: &str) -> Result<Arc<Vec<Record>>, Error> {
        let slot = self
            .snapshots
            .lock()
            .expect("no panic while held")
            .entry(zone.to_owned())
            .or_default()
            .clone();
        let mut slot = slot.lock().await;
        if let Some(records) = slot.as_ref() {
            return Ok(records.clone());
        }
        let id = self.zone(zone).await?;
        let records = Arc::new(
            self.all(&format!("zones/{id}/dns_records"), "", 100)
                .await?,
        );
        *slot = Some(records.clone());
        Ok(records)
    }

    fn drop_snapshots(&self) {
        self.snapshots.lock().expect("no panic while held").clear();
    }

    /// Makes a record. Sent once; after a lost reply list by name, type and content.
    pub async fn create_record(&self, zone: &str, record: &NewRecord) -> Result<Record, Error> {
        let zone = self.zone(zone).await?;
        self.drop_snapshots();
        open(
            self.http
                .post(format!("zones/{zone}/dns_records"))
                .json(record)
                .send()
                .await?,
        )
    }

    /// Changes a record. Sets values, so sending it twice is harmless. `None`: it does not exist.
    pub async fn patch_record(
        &self,
        zone: &str,
        id: &str,
        patch: &Patch,
    ) -> Result<Option<Record>, Error> {
        let zone = self.zone(zone).await?;
        self.drop_snapshots();
        match self
            .http
            .patch(format!("zones/{zone}/dns_records/{id}"))
            .json(patch)
            .repeatable()
            .send()
            .await
        {
            Ok(envelope) => open(envelope).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes a record; gone already is success.
    pub async fn delete_record(&self, zone: &str, id: &str) -> Result<(), Error> {
        let zone = self.zone(zone).await?;
        self.drop_snapshots();
        match self
            .http
            .delete(format!("zones/{zone}/dns_records/{id}"))
            .send::<serde_json::Value>()
            .await
        {
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn open<T>(envelope: Envelope<T>) -> Result<T, Error> {
    let texts = || {
        envelope
            .errors
            .iter()
            .map(|error| {
                format!(
                    "{} (code {})",
                    error["message"].as_str().unwrap_or("no message"),
                    error["code"]
                )
            })
            .collect::<Vec<_>>()
            .join("; ")
    };
    if !envelope.success {
        return Err(Error::Refused(texts()));
    }
    envelope
        .result
        .ok_or_else(|| Error::Refused("the answer has no result".into()))
}
