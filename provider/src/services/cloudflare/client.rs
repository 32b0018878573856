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
    #[error(
        "the API token sees {count} zones named `{name}`; use a token of one account, or set CLOUDFLARE_ACCOUNT_ID"
    )]
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

/// What is known about the zone beforehand.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Id of a zone: a token for one zone may read it and not list zones.
    pub zone: Option<String>,
    /// Id of the account whose zones count.
    pub account: Option<String>,
}

/// One token's view of the API.
pub struct Client {
    http: Http,
    scope: Scope,
    zones: tokio::sync::Mutex<HashMap<String, String>>,
    snapshots: Mutex<HashMap<String, Slot>>,
}

impl Client {
    /// A client over the shared HTTP layer.
    pub fn new(http: Http) -> Self {
        Self {
            http,
            scope: Scope::default(),
            zones: tokio::sync::Mutex::default(),
            snapshots: Mutex::default(),
        }
    }

    /// The same, knowing more about the zone.
    #[must_use]
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The zone whose id is known, if it is the one of this name.
    async fn known_zone(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(id) = &self.scope.zone else {
            return Ok(None);
        };
        match self.http.get(format!("zones/{}", escape(id))).send().await {
            Ok(envelope) => {
                let zone: Zone = open(envelope)?;
                Ok((zone.name == name).then_some(zone.id))
            }
            // An id that the token does not know: the name decides.
            Err(error)
                if error
                    .status()
                    .is_some_and(|status| status.is_client_error()) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.into()),
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
        if let Some(id) = self.known_zone(name).await? {
            zones.insert(name.into(), id.clone());
            return Ok(id);
        }
        let account = self.scope.account.as_ref();
        let account = account.map(|id| format!("&account.id={}", escape(id)));
        let query = format!("&name={}{}", escape(name), account.unwrap_or_default());
        let mut found: Vec<Zone> = self.all("zones", &query, 50).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::Settings;
    use crate::lab_test::World;
    use crate::secret::Secret;

    async fn client(world: &World, scope: Scope) -> Client {
        let environment = world.environment().await;
        let settings = Settings {
            service: "cloudflare",
            base: environment.get("CLOUDFLARE_BASE_URL").unwrap().to_owned(),
            header: http::header::AUTHORIZATION,
            token: Secret::new(environment.get("CLOUDFLARE_API_TOKEN").unwrap().to_owned()),
            speed: environment.speed(),
        };
        let http = Http::new(environment.dialer().clone(), settings).unwrap();
        Client::new(http).within(scope)
    }

    #[tokio::test]
    async fn a_known_zone_is_not_listed_and_an_account_narrows_the_list() {
        let world = World::start().await;
        let anybody = client(&world, Scope::default()).await;
        let zones: Vec<Zone> = anybody.all("zones", "", 50).await.unwrap();
        let (id, zone) = (zones[0].id.clone(), zones[0].name.clone());
        world.calls("").await;

        let known = |id: &str| Scope {
            zone: Some(id.to_owned()),
            account: None,
        };
        let narrow = client(&world, known(&id)).await;
        assert_eq!(narrow.zone(&zone).await.unwrap(), id);
        let calls = world.all_calls().await;
        assert!(
            !calls.contains_key("cloudflare GET /client/v4/zones"),
            "{calls:?}"
        );
        // An id of nothing, or of another zone, leaves the decision to the name.
        let wrong = client(&world, known("0123456789abcdef0123456789abcdef")).await;
        assert_eq!(wrong.zone(&zone).await.unwrap(), id);
        assert!(matches!(
            narrow.zone("nowhere.test").await,
            Err(Error::NoZone(_))
        ));

        let elsewhere = Scope {
            zone: None,
            account: Some("0123456789abcdef0123456789abcdef".into()),
        };
        let other = client(&world, elsewhere).await;
        assert!(matches!(other.zone(&zone).await, Err(Error::NoZone(_))));
    }
}
