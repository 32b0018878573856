//! Store `keyring`: the Secret Service of the desktop session (GNOME Keyring, KWallet, KeePassXC):
//! <https://specifications.freedesktop.org/secret-service-spec/latest/>
//!
//! - Entry `ssh/operator` of cluster `home` is the item with the attributes `strata-cluster=home` and `strata-entry=ssh/operator`, in the default
//!   collection. Both ways by hand:
//!   `secret-tool lookup strata-cluster home strata-entry ssh/operator`,
//!   `printf %s "$value" | secret-tool store --label='strata home: ssh/operator' strata-cluster home strata-entry ssh/operator`.
//! - A third attribute, `strata-nonce`, tells puts apart; what a person stored has none. Callers see it with the time of the last change.
//! - The Secret Service has no compare-and-set. A lock file in the session's runtime folder puts all stores of this user on this machine in line;
//!   it binds neither other machines nor programs that do not ask for it, `secret-tool` among them.
//! - A locked keyring is asked to unlock, which shows the desktop's prompt. Nothing waits longer than [`LIMIT`].

mod lock;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use secret_service::{Collection, EncryptionType, Item, SecretService};
use tokio::sync::OnceCell;

use self::lock::Line;
use super::{Condition, Deleted, Description, Entry, Error, Name, Put, Result, Store};
use crate::secret::Secret;

/// Attribute with the cluster's name.
const CLUSTER: &str = "strata-cluster";
/// Attribute with the entry's name.
const ENTRY: &str = "strata-entry";
/// Attribute with the nonce of the put.
const NONCE: &str = "strata-nonce";
/// As long as a person may take to answer a prompt.
const LIMIT: Duration = Duration::from_mins(1);
const TEXT: &str = "text/plain";

/// The items of one cluster.
pub(super) struct Keyring {
    cluster: String,
    /// Address of the bus; `None`: the session's.
    bus: Option<String>,
    /// Alias of the collection that new items go to.
    collection: &'static str,
    limit: Duration,
    line: Line,
    service: OnceCell<SecretService<'static>>,
}

/// Why the keyring did not do it.
type Fault = secret_service::Error;

/// An item and what was read of it.
struct Found<'a> {
    item: Item<'a>,
    nonce: Option<String>,
    modified: u64,
}

impl Found<'_> {
    fn tag(&self) -> String {
        let nonce = self.nonce.as_deref().unwrap_or_default();
        format!("{nonce}.{}", self.modified)
    }
}

impl Keyring {
    /// The keyring of this session. Contacts nobody.
    pub(super) fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            bus: None,
            collection: "default",
            limit: LIMIT,
            line: Line::new(&lock::folder(), cluster),
            service: OnceCell::new(),
        }
    }

    async fn service(&self) -> Result<&SecretService<'static>, Fault> {
        let connect = async || {
            let bus = match &self.bus {
                Some(address) => {
                    zbus::connection::Builder::address(address.as_str())?
                        .build()
                        .await
                }
                None => zbus::Connection::session().await,
            };
            // The secrets are encrypted on the bus, too.
            SecretService::connect_with_existing(EncryptionType::Dh, bus?).await
        };
        self.service
            .get_or_try_init(connect)
            .await
            .map_err(|fault: Fault| {
                tracing::debug!(%fault, "the Secret Service cannot be reached");
                Fault::Unavailable
            })
    }

    /// Does `work` in turn and in time.
    async fn within<T>(
        &self,
        verb: &'static str,
        name: &str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T> {
        let failed = |reason: String| Error::Failed {
            verb,
            name: name.to_owned(),
            location: "keyring".into(),
            reason,
        };
        let in_turn = async {
            let _turn = self
                .line
                .turn()
                .await
                .map_err(|error| failed(format!("its lock file: {error}")))?;
            work.await.map_err(|fault| sort(verb, name, &fault))
        };
        tokio::time::timeout(self.limit, in_turn)
            .await
            .unwrap_or_else(|_| {
                Err(failed(format!(
                    "no answer within {} s; is a prompt of the keyring waiting? Unlock the keyring and run again",
                    self.limit.as_secs_f32()
                )))
            })
    }

    /// The items of an entry, the newest first, unlocked. More than one only when a person made the others.
    async fn find(&self, name: &Name) -> Result<Vec<Found<'_>>, Fault> {
        let wanted = HashMap::from([(CLUSTER, self.cluster.as_str()), (ENTRY, name.as_str())]);
        let service = self.service().await?;
        let items = service.search_items(wanted).await?;
        for locked in &items.locked {
            locked.unlock().await?;
        }
        let mut found = Vec::new();
        for item in items.unlocked.into_iter().chain(items.locked) {
            let nonce = item.get_attributes().await?.remove(NONCE);
            let modified = item.get_modified().await?;
            found.push(Found {
                item,
                nonce,
                modified,
            });
        }
        found.sort_by_key(|found| std::cmp::Reverse(found.modified));
        Ok(found)
    }

    async fn collection(&self) -> Result<Collection<'_>, Fault> {
        let collection = self
            .service()
            .await?
            .get_collection_by_alias(self.collection)
            .await?;
        if collection.is_locked().await? {
            collection.unlock().await?;
        }
        Ok(collection)
    }

    async fn make(&self, name: &Name, value: &Secret<String>) -> Result<String, Fault> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        let attributes = HashMap::from([
            (CLUSTER, self.cluster.as_str()),
            (ENTRY, name.as_str()),
            (NONCE, nonce.as_str()),
        ]);
        let collection = self.collection().await?;
        let label = format!("strata {}: {name}", self.cluster);
        let item = collection
            .create_item(&label, attributes, value.expose().as_bytes(), false, TEXT)
            .await?;
        let modified = item.get_modified().await?;
        Ok(format!("{nonce}.{modified}"))
    }

    async fn replace(
        &self,
        name: &Name,
        found: &Found<'_>,
        value: &Secret<String>,
    ) -> Result<String, Fault> {
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        // First the nonce: whoever reads between the two sees the old value under a nonce that nobody has.
        let attributes = HashMap::from([
            (CLUSTER, self.cluster.as_str()),
            (ENTRY, name.as_str()),
            (NONCE, nonce.as_str()),
        ]);
        found.item.set_attributes(attributes).await?;
        found
            .item
            .set_secret(value.expose().as_bytes(), TEXT)
            .await?;
        let modified = found.item.get_modified().await?;
        Ok(format!("{nonce}.{modified}"))
    }
}

async fn entry(name: &Name, found: &Found<'_>) -> Result<Result<Entry>, Fault> {
    let nonce = found.tag();
    let text = String::from_utf8(found.item.get_secret().await?);
    Ok(match text {
        Ok(text) => Ok(Entry {
            value: Secret::new(text),
            nonce,
        }),
        Err(_) => Err(Error::Malformed {
            name: name.to_string(),
            expected: "text",
        }),
    })
}

/// A fault in the words of the store.
fn sort(verb: &'static str, name: &str, fault: &Fault) -> Error {
    let (name, location) = (name.to_owned(), String::from("keyring"));
    match fault {
        Fault::Locked | Fault::Prompt | Fault::PromptDisconnected => Error::Denied {
            name,
            location,
            reason: "the keyring is locked, and was not unlocked when asked; unlock it (on a desktop: log in, or open the password manager) and run again".into(),
        },
        Fault::NoResult => Error::Unusable {
            location,
            reason: "there is no default keyring; make one in the desktop's password manager and set it as default".into(),
        },
        Fault::Unavailable => Error::Unusable {
            location,
            reason: "no Secret Service answers on the session bus; run it in a desktop session, start one with `dbus-run-session` and gnome-keyring-daemon, or choose another store".into(),
        },
        other => Error::Failed {
            verb,
            name,
            location,
            reason: strata_framework::chain(other),
        },
    }
}

#[async_trait]
impl Store for Keyring {
    fn describe(&self) -> Description {
        Description {
            kind: "keyring",
            location: format!("keyring (strata-cluster={})", self.cluster),
            exclusive_across_machines: false,
        }
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let read = async {
            match self.find(name).await?.first() {
                Some(found) => entry(name, found).await.map(Some),
                None => Ok(None),
            }
        };
        self.within("read", name.as_str(), read).await?.transpose()
    }

    async fn put_if_absent(&self, name: &Name, value: &Secret<String>) -> Result<Put> {
        let put = async {
            match self.find(name).await?.first() {
                Some(found) => Ok(entry(name, found).await?.map(Put::Exists)),
                None => self.make(name, value).await.map(Put::Written).map(Ok),
            }
        };
        self.within("write", name.as_str(), put).await?
    }

    async fn put(&self, name: &Name, value: &Secret<String>) -> Result<String> {
        let put = async {
            match self.find(name).await?.split_first() {
                Some((found, others)) => {
                    let nonce = self.replace(name, found, value).await?;
                    for other in others {
                        other.item.delete().await?;
                    }
                    Ok(nonce)
                }
                None => self.make(name, value).await,
            }
        };
        self.within("write", name.as_str(), put).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>> {
        let list = async {
            let wanted = HashMap::from([(CLUSTER, self.cluster.as_str())]);
            let items = self.service().await?.search_items(wanted).await?;
            let mut names = Vec::new();
            for item in items.unlocked.iter().chain(&items.locked) {
                let entry = item.get_attributes().await?.remove(ENTRY);
                names.extend(entry.and_then(|entry| Name::parse(&entry).ok()));
            }
            Ok(names)
        };
        let everything = format!("{prefix}*");
        let mut names = self.within("list", &everything, list).await?;
        names.retain(|name| name.as_str().starts_with(prefix));
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn delete(&self, name: &Name, condition: Condition<'_>) -> Result<Deleted> {
        let delete = async {
            let found = self.find(name).await?;
            let Some(newest) = found.first() else {
                return Ok(Deleted::Absent);
            };
            if matches!(condition, Condition::Nonce(nonce) if nonce != newest.tag()) {
                return Ok(Deleted::Changed);
            }
            for found in &found {
                found.item.delete().await?;
            }
            Ok(Deleted::Removed)
        };
        self.within("delete", name.as_str(), delete).await
    }
}

#[cfg(test)]
pub(super) mod tests;
