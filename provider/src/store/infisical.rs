//! Store `infisical`: a folder of one environment of an Infisical project, reached as a machine identity (universal auth).
//!
//! - Entry `nodes/cp-1/host-key` is the key `host-key` in the folder `<path>/nodes/cp-1`. Its value stands there as people read it ([`value`]).
//! - Put-if-absent is the creation of a key, which Infisical refuses when it exists. It looks before it inserts, and no more, so two creations at
//!   the same moment may both succeed. Therefore a creator looks again after [`SETTLE`]: of several secrets of one key all take the same for the
//!   first, and whoever made another one writes the first's content over it. So it holds between all who use the project.
//! - The nonce of a put is in the secret's metadata (`strata-nonce`), and callers see it with the version, so a change by hand is a change, too.
//!   Servers that keep no metadata are served as well; there a lost reply of a creation is taken for somebody else's win.
//! - Infisical has no conditional delete. Ours looks first, and what is put between look and delete is deleted with it: a window of one call.
//! - Where an approval policy keeps a change back, nothing was written: [`Error::Pending`].

mod api;
mod name;
mod session;
mod value;

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::api::{Created, Secret as Found, View};
use self::session::{Fault, Session, Target};
use super::{Condition, Deleted, Description, Entry, Error, Name, Put, Result, Store};
use crate::environment::OnDemand;
use crate::secret::Secret;

/// Rounds of one put before it gives up: each was lost to somebody who made or deleted the same meanwhile.
const ROUNDS: usize = 5;

/// Longer than Infisical takes between looking for a key and inserting it.
const SETTLE: Duration = Duration::from_secs(1);

/// A folder of an Infisical project.
pub(super) struct Infisical {
    target: Target,
    settle: Duration,
    environment: OnDemand,
    session: OnceCell<Session>,
}

impl Infisical {
    /// The store that cluster file or provider block describe. Contacts nobody.
    pub(super) fn new(
        settings: &strata_cluster::Store,
        cluster: &str,
        environment: OnDemand,
    ) -> Self {
        Self {
            target: Target::new(settings, cluster),
            settle: SETTLE,
            environment,
            session: OnceCell::new(),
        }
    }

    async fn session(&self) -> Result<&Session> {
        self.session
            .get_or_try_init(|| Session::open(&self.target, &self.environment))
            .await
    }

    async fn read(&self, verb: &'static str, entry: &Name) -> Result<Option<Found>> {
        let session = self.session().await?;
        let (folder, key) = name::place(&self.target.path, entry);
        session
            .secret(&folder, &key)
            .await
            .map_err(|fault| fault.of(verb, entry, &self.target))
    }

    fn entry(&self, name: &Name, found: &Found) -> Result<Entry> {
        let text = found.text().ok_or_else(|| {
            Fault::Denied("the machine identity may know that it is there and not see it; give its role the right to read values".into())
                .of("read", name, &self.target)
        })?;
        let value = value::decode(text).ok_or_else(|| Error::Malformed {
            name: name.to_string(),
            expected: "what a store wrote: its base64 is broken",
        })?;
        Ok(Entry {
            value: Secret::new(value),
            nonce: found.tag(),
        })
    }

    /// Makes the entry, and its folders where they are missing. `None`: the key exists.
    async fn create(&self, entry: &Name, text: &str, nonce: &str) -> Result<Option<String>> {
        let session = self.session().await?;
        let failed = |fault: Fault| fault.of("write", entry, &self.target);
        let (folder, key) = name::place(&self.target.path, entry);
        let mut created = session.create(&folder, &key, text, nonce).await;
        if matches!(created, Ok(Created::NoFolder)) {
            session.forget_folders();
            session.make_folder(&folder).await.map_err(failed)?;
            created = session.create(&folder, &key, text, nonce).await;
        }
        match created {
            Ok(Created::Done(found)) if found.nonce() == Some(nonce) => Ok(Some(found.tag())),
            // The answer leaves our nonce out: what a reader will see counts.
            Ok(Created::Done(found)) => {
                let read = self.read("read", entry).await?;
                Ok(Some(read.unwrap_or(found).tag()))
            }
            Ok(Created::Exists) => Ok(None),
            Ok(Created::NoFolder) => Err(Error::Failed {
                verb: "write",
                name: entry.to_string(),
                location: self.target.to_string(),
                reason: format!("the folder {folder} was made and is not there"),
            }),
            // Perhaps it took effect; then it carries our nonce.
            Err(fault) if fault.is_lost() => match self.read("read", entry).await? {
                Some(found) if found.nonce() == Some(nonce) => Ok(Some(found.tag())),
                Some(_) => Ok(None),
                None => Err(failed(fault)),
            },
            Err(fault) => Err(failed(fault)),
        }
    }

    /// Whether the secret that we just made is the one that counts. Where another one of its key counts, ours becomes what that one is.
    async fn is_first(&self, entry: &Name, nonce: &str) -> Result<bool> {
        let session = self.session().await?;
        let failed = |fault: Fault| fault.of("write", entry, &self.target);
        let (folder, key) = name::place(&self.target.path, entry);
        tokio::time::sleep(session.scaled(self.settle)).await;
        let same = async |view: View| -> Result<Vec<Found>> {
            let mut found = session.secrets(&folder, view).await.map_err(failed)?;
            found.retain(|found| found.place().1 == key);
            Ok(found)
        };
        let found = same(View::Names).await?;
        let first = found.iter().min_by_key(|found| found.rank());
        if found.len() < 2 || first.is_some_and(|first| first.nonce() == Some(nonce)) {
            return Ok(true);
        }
        tracing::warn!(entry = %entry, "somebody made this entry of the store at the same moment; theirs counts");
        // Only what is read by name can be written by name, so there is nothing to do when that is the first already.
        let read = self.read("read", entry).await?;
        if read.is_some_and(|read| read.nonce() == Some(nonce)) {
            let found = same(View::Values).await?;
            let first = found.iter().min_by_key(|found| found.rank());
            if let Some((text, mark)) =
                first.and_then(|first| Some((first.text()?, first.nonce()?)))
            {
                let metadata = serde_json::json!([{ "key": api::NONCE, "value": mark }]);
                session
                    .update(&folder, &key, text, metadata)
                    .await
                    .map_err(failed)?;
            }
        }
        Ok(false)
    }

    fn gave_up(&self, entry: &Name) -> Error {
        Error::Failed {
            verb: "write",
            name: entry.to_string(),
            location: self.target.to_string(),
            reason: format!("others made and deleted it {ROUNDS} times meanwhile"),
        }
    }
}

fn fresh() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[async_trait]
impl Store for Infisical {
    fn describe(&self) -> Description {
        Description {
            kind: "infisical",
            location: self.target.to_string(),
            exclusive_across_machines: true,
        }
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let found = self.read("read", name).await?;
        found.map(|found| self.entry(name, &found)).transpose()
    }

    async fn put_if_absent(&self, name: &Name, value: &Secret<String>) -> Result<Put> {
        let (text, nonce) = (value::encode(value.expose()), fresh());
        for _ in 0..ROUNDS {
            if let Some(tag) = self.create(name, &text, &nonce).await?
                && self.is_first(name, &nonce).await?
            {
                return Ok(Put::Written(tag));
            }
            match self.read("read", name).await? {
                // A try of ours took effect although its reply was lost.
                Some(found) if found.nonce() == Some(&nonce) => {
                    return Ok(Put::Written(found.tag()));
                }
                Some(found) => return self.entry(name, &found).map(Put::Exists),
                // Deleted between the two looks: try again.
                None => {}
            }
        }
        Err(self.gave_up(name))
    }

    async fn put(&self, name: &Name, value: &Secret<String>) -> Result<String> {
        let session = self.session().await?;
        let (text, nonce) = (value::encode(value.expose()), fresh());
        let (folder, key) = name::place(&self.target.path, name);
        for _ in 0..ROUNDS {
            let Some(found) = self.read("write", name).await? else {
                match self.create(name, &text, &nonce).await? {
                    Some(tag) => return Ok(tag),
                    None => continue,
                }
            };
            if found.nonce() == Some(&nonce) {
                return Ok(found.tag());
            }
            match session
                .update(&folder, &key, &text, found.metadata(&nonce))
                .await
            {
                Ok(Some(found)) if found.nonce() == Some(&nonce) => return Ok(found.tag()),
                Ok(Some(found)) => {
                    let read = self.read("read", name).await?;
                    return Ok(read.unwrap_or(found).tag());
                }
                Ok(None) => {}
                Err(fault) => return Err(fault.of("write", name, &self.target)),
            }
        }
        Err(self.gave_up(name))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>> {
        let session = self.session().await?;
        let base = &self.target.path;
        let found = session
            .secrets(base, View::NamesBelow)
            .await
            .map_err(|fault| fault.of_all("list", &format!("{prefix}*"), &self.target))?;
        let mut names: Vec<Name> = found
            .iter()
            .filter_map(|found| {
                let (folder, key) = found.place();
                name::name(base, folder.unwrap_or(base), key)
            })
            .filter(|name| name.as_str().starts_with(prefix))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    async fn delete(&self, name: &Name, condition: Condition<'_>) -> Result<Deleted> {
        let session = self.session().await?;
        let Some(found) = self.read("delete", name).await? else {
            return Ok(Deleted::Absent);
        };
        if matches!(condition, Condition::Nonce(nonce) if nonce != found.tag()) {
            return Ok(Deleted::Changed);
        }
        let (folder, key) = name::place(&self.target.path, name);
        match session.remove(&folder, &key).await {
            // Gone between look and delete, or by a try of ours whose reply was lost: it was there, and is not any more.
            Ok(_) => Ok(Deleted::Removed),
            Err(fault) => Err(fault.of("delete", name, &self.target)),
        }
    }
}

#[cfg(test)]
mod tests;
