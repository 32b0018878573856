//! Where secrets live: a small trait and its backends. Terraform sees names and fingerprints, never values (DESIGN.md section 5).
//!
//! Three things are never mixed up: *absent* (`Ok(None)`: proven by the store), *denied* ([`Error::Denied`]: there, but not for us) and
//! *failed* ([`Error::Failed`]: nobody knows). Every put carries a nonce, so that a writer recognises its own entry after a lost reply.
//!
//! ```text
//! Name::parse("ssh/operator")?                                  checked against traversal
//! store.get(&name)                     -> Result<Option<Entry>>  Entry { value: Secret<String>, nonce }
//! store.put_if_absent(&name, &value)   -> Result<Put>            Put::Written(nonce) | Put::Exists(Entry)
//! store.put(&name, &value)             -> Result<nonce>          replaces
//! store.delete(&name, Condition)       -> Result<Deleted>        Condition::Any | Condition::Nonce("..")
//! store.list("nodes/")                 -> Result<Vec<Name>>      sorted, prefix is a text prefix
//! store.describe()                     -> Description            what it is and what it promises across operators
//! open(Opening {..})                   -> Result<Arc<dyn Store>> the one way to a store, for provider and command line
//! fingerprint::key_or_make(store)      -> Result<Key>            for strata_framework::fingerprint(key.expose(), content); `key` never writes
//! ```

pub mod file;
pub mod fingerprint;
mod infisical;
mod keyring;
pub mod part;
#[cfg(test)]
mod promises;
#[cfg(test)]
mod race;
pub mod vault;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::environment::OnDemand;
use crate::secret::Secret;

/// The name of an entry: words of `[A-Za-z0-9._-]` separated by `/`, none of which starts with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// A name that no store accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{name}` is not a store entry name: {reason}; use words of letters, digits, `.`, `_`, `-` separated by `/`, like `ssh/operator`"
)]
pub struct BadName {
    name: String,
    reason: &'static str,
}

impl Name {
    /// Checks a name.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let bad = |reason| {
            Err(BadName {
                name: text.into(),
                reason,
            })
        };
        if text.is_empty() || text.len() > 200 {
            return bad("it is empty or longer than 200 characters");
        }
        for word in text.split('/') {
            if word.is_empty() {
                return bad("it has an empty word (no leading, trailing or double `/`)");
            }
            if word.starts_with('.') {
                return bad("a word starts with a dot");
            }
            if !word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            {
                return bad("it has a character outside letters, digits, `.`, `_`, `-`");
            }
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::parse(text)
    }
}

/// An entry as it was read.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The secret. All kinds are text.
    pub value: Secret<String>,
    /// Differs for every put, also of an equal value.
    pub nonce: String,
}

/// What a put-if-absent came to.
#[derive(Debug)]
pub enum Put {
    /// Our value is there now; its nonce.
    Written(String),
    /// Someone else's was there before; it is unchanged.
    Exists(Entry),
}

/// When a delete may happen.
#[derive(Debug, Clone, Copy)]
pub enum Condition<'a> {
    /// Whatever is there.
    Any,
    /// Only the entry of this put.
    Nonce(&'a str),
}

/// What a delete came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It was there and is gone.
    Removed,
    /// It was not there.
    Absent,
    /// Another put's entry is there; it stays.
    Changed,
}

/// What a store is and what it can promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Backend, like `file`.
    pub kind: &'static str,
    /// Where, for messages.
    pub location: String,
    /// Whether put-if-absent holds between operators on different machines (FN3).
    pub exclusive_across_machines: bool,
}

impl Description {
    /// What happens when several people work on one cluster at once, as half a sentence.
    pub fn promise(&self) -> &'static str {
        if self.exclusive_across_machines {
            "of several operators, on whatever machines, the store lets exactly one initialise the cluster"
        } else {
            "the store keeps operators apart on this machine only, between machines the marks of the servers alone do"
        }
    }
}

/// A credential and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What it is called, like `Vault token`.
    pub what: &'static str,
    /// From then on it opens nothing.
    pub at: Timestamp,
}

/// Why the store could not answer. Absence is not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The entry or the store is there, but not for us.
    #[error("access to store entry `{name}` ({location}) is denied: {reason}")]
    Denied {
        /// Entry.
        name: String,
        /// File or address.
        location: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The store failed; whether the entry exists is not known.
    #[error("cannot {verb} store entry `{name}` ({location}): {reason}")]
    Failed {
        /// What was tried: `read`, `write`, `delete`, `list`.
        verb: &'static str,
        /// Entry.
        name: String,
        /// File or address.
        location: String,
        /// The cause.
        reason: String,
    },
    /// An entry that must be there is not.
    #[error("store entry `{name}` does not exist in {location}")]
    Missing {
        /// Entry.
        name: String,
        /// The store.
        location: String,
    },
    /// The entry is not what its name promises.
    #[error("store entry `{name}` is not {expected}")]
    Malformed {
        /// Entry.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The name itself is refused.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The store took the change down and waits for a person: nothing was written.
    #[error(
        "store entry `{name}` was not written: {location} keeps the change back until somebody approves it; approve it there, or exempt this identity from the approval policy, and run again"
    )]
    Pending {
        /// Entry.
        name: String,
        /// The store.
        location: String,
    },
    /// The store as a whole cannot be used as it is configured.
    #[error("cannot use the store {location}: {reason}")]
    Unusable {
        /// The store.
        location: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl Error {
    /// There, but not for us.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }

    /// The change waits for approval and did not happen.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending { .. })
    }

    /// A required entry does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// Result of a store call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A store of secrets.
#[async_trait]
pub trait Store: Send + Sync {
    /// What it is.
    fn describe(&self) -> Description;

    /// Reads an entry; `None` is proven absence.
    async fn get(&self, name: &Name) -> Result<Option<Entry>>;

    /// Writes unless an entry is there. Of several writers exactly one gets [`Put::Written`].
    async fn put_if_absent(&self, name: &Name, value: &Secret<String>) -> Result<Put>;

    /// Writes, replacing what is there; returns the nonce.
    async fn put(&self, name: &Name, value: &Secret<String>) -> Result<String>;

    /// Names that start with `prefix`, sorted.
    async fn list(&self, prefix: &str) -> Result<Vec<Name>>;

    /// Deletes under a condition. Absence is success of its own kind.
    async fn delete(&self, name: &Name, condition: Condition<'_>) -> Result<Deleted>;

    /// When the credential ends that opens the store; `None` where it does not end, where none is needed, and where nobody tells.
    async fn credential_end(&self) -> Result<Option<Ending>> {
        Ok(None)
    }
}

/// What it takes to open a store.
pub struct Opening<'a> {
    /// Kind and place, as cluster file and provider block say.
    pub settings: &'a strata_cluster::Store,
    /// Name of the cluster: folder of the store, name of its identity.
    pub cluster: &'a str,
    /// Folder that a relative path starts from.
    pub root: &'a Path,
    /// Where addresses and credentials come from; looked for when the store is first used.
    pub environment: OnDemand,
}

/// Opens a store. Touches nothing and contacts nobody.
pub fn open(opening: Opening<'_>) -> Result<Arc<dyn Store>> {
    let Opening {
        settings,
        cluster,
        root,
        environment,
    } = opening;
    match settings.kind.as_str() {
        "file" => {
            let path = settings.path.as_deref().ok_or_else(|| Error::Unusable {
                location: "file".into(),
                reason: "it has no `path`; set the folder, like `clusters/home/store`".into(),
            })?;
            let identity = file::identity_path(root, cluster, environment.is_lab());
            let recipients = settings.recipients.as_deref().unwrap_or_default();
            Ok(Arc::new(file::File::new(
                root.join(path),
                identity,
                recipients,
            )?))
        }
        "infisical" => Ok(Arc::new(infisical::Infisical::new(
            settings,
            cluster,
            environment,
        ))),
        "vault" => Ok(Arc::new(vault::Vault::new(settings, cluster, environment))),
        "keyring" if environment.is_lab() => Err(Error::Unusable {
            location: "keyring".into(),
            reason: "the cluster is in the lab, and the lab does not write into your own keyring; choose file, infisical or vault".into(),
        }),
        "keyring" => Ok(Arc::new(keyring::Keyring::new(cluster))),
        other => Err(Error::Unusable {
            location: format!("`{other}`"),
            reason: "there is no such kind of store; use file, keyring, infisical or vault".into(),
        }),
    }
}

/// Reads an entry that must be there.
pub async fn require(store: &dyn Store, name: &Name) -> Result<Entry> {
    let missing = || Error::Missing {
        name: name.to_string(),
        location: store.describe().location,
    };
    store.get(name).await?.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_is_refused_before_it_is_used() {
        let refusal = |kind: &str, environment: OnDemand| {
            let settings = strata_cluster::Store {
                kind: kind.into(),
                ..strata_cluster::Store::default()
            };
            let opened = open(Opening {
                settings: &settings,
                cluster: "home",
                root: Path::new("/"),
                environment,
            });
            opened.err().map(|error| error.to_string())
        };
        let in_the_lab = refusal("keyring", OnDemand::lab(None)).unwrap();
        assert!(in_the_lab.contains("your own keyring"), "{in_the_lab}");
        assert!(
            refusal("file", OnDemand::real())
                .unwrap()
                .contains("`path`")
        );
        assert!(
            refusal("etcd", OnDemand::real())
                .unwrap()
                .contains("no such kind")
        );
        // Opening contacts nobody, so these cannot fail yet.
        for kind in ["keyring", "infisical", "vault"] {
            assert_eq!(refusal(kind, OnDemand::real()), None, "{kind}");
        }
    }

    #[test]
    fn names_that_leave_the_store_are_refused() {
        for good in [
            "pki",
            "ssh/operator",
            "nodes/cp-1/host-key-current",
            "a.b_c-d",
        ] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".hidden",
            "a/.b",
            "a b",
            "a\\b",
            "ä",
            "a\0b",
        ] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Name::parse(&"a".repeat(201)).is_err());
    }
}
