//! Store `vault`: a path of a KV version 2 engine of Vault or OpenBao. API: <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2>
//!
//! - Entry `ssh/operator` is the secret `<mount>/<path>/ssh/operator` with the keys `value` and `nonce`;
//!   `vault kv get -field=value secret/clusters/home/ssh/operator` shows the value itself. Without `nonce` it was written by a person.
//! - Every write is check-and-set against the version that was read, so put-if-absent holds between all who use the Vault.
//! - A conditional delete names the version, so a newer one stays. Deletes are Vault's soft ones: `vault kv undelete` brings a version back.
//! - The nonce of an entry is the nonce of its put and the version, so a change by hand is a change, too.

mod api;
mod session;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use self::api::{Slot, Write};
use self::session::{Session, Target};
use super::{Condition, Deleted, Description, Ending, Entry, Error, Name, Put, Result, Store};
use crate::environment::OnDemand;
use crate::http::client::Error as HttpError;
use crate::secret::Secret;

/// Looks and writes of one put before it gives up: each round was lost to another writer or to the network.
const ROUNDS: usize = 3;
/// Entries looked at at the same time.
const CONCURRENT: usize = 8;

/// A path of a KV engine.
pub struct Vault {
    target: Target,
    environment: OnDemand,
    session: OnceCell<Session>,
}

impl Vault {
    /// The store that cluster file or provider block describe. Contacts nobody.
    pub fn new(settings: &strata_cluster::Store, cluster: &str, environment: OnDemand) -> Self {
        Self {
            target: Target::new(settings, cluster),
            environment,
            session: OnceCell::new(),
        }
    }

    /// All keys of a secret, which need not be an entry of ours; `None` is proven absence.
    pub async fn keys(&self, name: &Name) -> Result<Option<Map<String, Value>>> {
        let session = self.session().await?;
        match session.read(name).await {
            Ok(Slot::Empty { .. }) => Ok(None),
            Ok(Slot::Live { data, .. }) => Ok(Some(data)),
            Err(error) => Err(session.sort("read", name, error).await),
        }
    }

    async fn session(&self) -> Result<&Session> {
        self.session
            .get_or_try_init(|| Session::open(&self.target, &self.environment))
            .await
    }

    /// Puts `value` when `may` allows what is there; `Err(entry)`: it does not.
    async fn write(
        &self,
        name: &Name,
        value: &Secret<String>,
        replace: bool,
    ) -> Result<std::result::Result<String, Entry>> {
        let session = self.session().await?;
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let mut last = None;
        for _ in 0..ROUNDS {
            let version = match session.read(name).await {
                Ok(Slot::Empty { version }) => version,
                Ok(Slot::Live { version, data }) => {
                    // An earlier round of ours took effect although its reply was lost.
                    if data.get("nonce").and_then(Value::as_str) == Some(&nonce) {
                        return Ok(Ok(tag(Some(&nonce), version)));
                    }
                    if !replace {
                        return Ok(Err(entry(name, version, &data)?));
                    }
                    version
                }
                Err(error) => return Err(session.sort("read", name, error).await),
            };
            match session.write(name, version, value, &nonce).await {
                Ok(Write::Done { version }) => return Ok(Ok(tag(Some(&nonce), version))),
                Ok(Write::Mismatch) => {}
                Err(error) if error.is_lost() => last = Some(error),
                Err(error) => return Err(session.sort("write", name, error).await),
            }
        }
        Err(match last {
            Some(error) => session.sort("write", name, error).await,
            None => Error::Failed {
                verb: "write",
                name: name.to_string(),
                location: self.target.to_string(),
                reason: format!("others changed it {ROUNDS} times meanwhile"),
            },
        })
    }
}

#[async_trait]
impl Store for Vault {
    fn describe(&self) -> Description {
        Description {
            kind: "vault",
            location: self.target.to_string(),
            exclusive_across_machines: true,
        }
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let session = self.session().await?;
        match session.read(name).await {
            Ok(Slot::Empty { .. }) => Ok(None),
            Ok(Slot::Live { version, data }) => entry(name, version, &data).map(Some),
            Err(error) => Err(session.sort("read", name, error).await),
        }
    }

    async fn put_if_absent(&self, name: &Name, value: &Secret<String>) -> Result<Put> {
        Ok(match self.write(name, value, false).await? {
            Ok(nonce) => Put::Written(nonce),
            Err(entry) => Put::Exists(entry),
        })
    }

    async fn put(&self, name: &Name, value: &Secret<String>) -> Result<String> {
        self.write(name, value, true)
            .await?
            .map_err(|_| unreachable!("a replacing write meets nothing that stops it"))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>> {
        let session = self.session().await?;
        let everything = || format!("{prefix}*");
        let failed = async |error: HttpError| session.sort_all("list", &everything(), error).await;
        let mut names = Vec::new();
        // The folder that the prefix ends in, and what lies below.
        let start = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut folders = vec![start.to_owned()];
        while let Some(folder) = folders.pop() {
            let keys = match session.list(&folder).await {
                Ok(keys) => keys,
                Err(error) => return Err(failed(error).await),
            };
            for key in keys {
                let path = if folder.is_empty() {
                    key
                } else {
                    format!("{folder}/{key}")
                };
                if let Some(deeper) = path.strip_suffix('/') {
                    if path.starts_with(prefix) || prefix.starts_with(&path) {
                        folders.push(deeper.to_owned());
                    }
                } else if path.starts_with(prefix) {
                    names.extend(Name::parse(&path));
                }
            }
        }
        // Vault lists what was deleted softly, too.
        let live = futures::stream::iter(names)
            .map(|name| async move {
                match session.read(&name).await {
                    Ok(Slot::Live { .. }) => Ok(Some(name)),
                    Ok(Slot::Empty { .. }) => Ok(None),
                    Err(error) => Err(session.sort("list", &name, error).await),
                }
            })
            .buffer_unordered(CONCURRENT);
        let mut names: Vec<Name> = live
            .try_filter_map(async |name| Ok(name))
            .try_collect()
            .await?;
        names.sort();
        Ok(names)
    }

    async fn delete(&self, name: &Name, condition: Condition<'_>) -> Result<Deleted> {
        let session = self.session().await?;
        let (version, data) = match session.read(name).await {
            Ok(Slot::Empty { .. }) => return Ok(Deleted::Absent),
            Ok(Slot::Live { version, data }) => (version, data),
            Err(error) => return Err(session.sort("read", name, error).await),
        };
        let deleted = match condition {
            Condition::Any => session.delete_latest(name).await,
            Condition::Nonce(nonce) if nonce == tag(mark(&data), version) => {
                session.delete_version(name, version).await
            }
            Condition::Nonce(_) => return Ok(Deleted::Changed),
        };
        match deleted {
            Ok(()) => Ok(Deleted::Removed),
            Err(error) => Err(session.sort("delete", name, error).await),
        }
    }

    async fn credential_end(&self) -> Result<Option<Ending>> {
        let session = self.session().await?;
        match session.token().await {
            Ok(token) => Ok(token.expire_time.map(|at| Ending {
                what: "Vault token",
                at,
            })),
            Err(error) => Err(session.sort_all("read", "*", error).await),
        }
    }
}

fn mark(data: &Map<String, Value>) -> Option<&str> {
    data.get("nonce").and_then(Value::as_str)
}

/// The nonce that callers see.
fn tag(nonce: Option<&str>, version: u64) -> String {
    format!("{}.{version}", nonce.unwrap_or_default())
}

fn entry(name: &Name, version: u64, data: &Map<String, Value>) -> Result<Entry> {
    let value = data
        .get("value")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Malformed {
            name: name.to_string(),
            expected: "a secret with a text under the key `value`",
        })?;
    Ok(Entry {
        value: Secret::new(value.to_owned()),
        nonce: tag(mark(data), version),
    })
}

#[cfg(test)]
mod tests;
