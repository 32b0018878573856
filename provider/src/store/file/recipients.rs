//! Who can read the store: adding a recipient encrypts every entry anew.
//!
//! Guarantees: an entry is readable at every moment, by everyone who could read it before: the old file stays until the new one takes its place by
//! a rename, under the lock that other writers take. Nobody loses access: an entry for more recipients than are known here stops it before anything
//! is written. Broken off, it is simply run again.
//!
//! Caveat: who is at work with an older list goes on writing for that list. Entries that appear meanwhile are done in further passes; what is
//! written after the last one is not, so the list belongs into the cluster file first.

use std::collections::HashSet;
use std::str::FromStr;

use age::x25519::Recipient;

use super::{Error, File, Inner, Name, Result, Store as _, nonce};

/// Each pass does what was written during the one before. A store is not written to that often.
const PASSES: usize = 20;

/// What [`File::share`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// How many files were written.
    pub written: usize,
    /// Everyone who can read every entry now: what the cluster file has to list.
    pub recipients: Vec<String>,
}

pub(super) fn parse(text: &str, location: &str) -> Result<Recipient> {
    Recipient::from_str(text).map_err(|reason| Error::Failed {
        verb: "use",
        name: "*".into(),
        location: location.into(),
        reason: format!("recipient `{text}` is not an age recipient ({reason}); it looks like `age1...`, printed by `age-keygen -y`"),
    })
}

impl File {
    /// Lets one more recipient (`age1...`) read every entry.
    pub async fn share(&self, recipient: &str) -> Result<Shared> {
        let more = parse(recipient, &self.describe().location)?;
        self.run(move |store| store.share(&more)).await
    }
}

impl Inner {
    fn share(&self, more: &Recipient) -> Result<Shared> {
        let names = self.list("")?;
        let mut everyone = match names.first() {
            Some(name) => self.everyone(&self.identity(name)?.to_public()),
            // Nothing to encrypt, and no reason to make an identity.
            None => self.recipients.clone(),
        };
        if !everyone
            .iter()
            .any(|one| one.to_string() == more.to_string())
        {
            everyone.push(more.clone());
        }
        // All of them before the first is written.
        for name in &names {
            self.nobody_loses(name, everyone.len())?;
        }
        let mut done = HashSet::new();
        for _ in 0..PASSES {
            let before = done.len();
            for name in self.list("")? {
                self.write_again(&name, &everyone, &mut done)?;
            }
            if done.len() == before {
                let recipients = everyone.iter().map(ToString::to_string).collect();
                return Ok(Shared {
                    written: before,
                    recipients,
                });
            }
        }
        Err(Error::Failed {
            verb: "write",
            name: "*".into(),
            location: self.path.display().to_string(),
            reason: "somebody keeps writing to the store; every entry can be read as before, but not every one by the new recipient. Run it again when it is quiet".into(),
        })
    }

    /// Encrypts one entry anew, unless this call did.
    fn write_again(
        &self,
        name: &Name,
        everyone: &[Recipient],
        done: &mut HashSet<String>,
    ) -> Result<()> {
        let _lock = self.lock("write", name)?;
        let Some(bytes) = self.read_file("read", name)? else {
            return Ok(());
        };
        if done.contains(&nonce(&bytes)) {
            return Ok(());
        }
        let entry = self.decrypt(name, &bytes, self.identity(name)?)?;
        let (file, written) = self.write_for(name, &entry.value, everyone)?;
        file.persist(self.file(name))
            .map_err(|error| self.sort("write", name, &error.error))?;
        self.sync_parent(name)?;
        done.insert(written);
        Ok(())
    }

    fn nobody_loses(&self, name: &Name, known: usize) -> Result<()> {
        let bytes = self.read_file("read", name)?.unwrap_or_default();
        let present = readers(&bytes);
        if present <= known {
            return Ok(());
        }
        Err(Error::Failed {
            verb: "share",
            name: name.to_string(),
            location: self.path.display().to_string(),
            reason: format!(
                "it is encrypted to {present} recipients and only {known} are known here, so somebody would lose access. \
                 Name all of them in the cluster file (store.file.recipients) first; nothing was changed"
            ),
        })
    }
}

/// How many recipients a file has. The header is text; who they are does not stand in it.
fn readers(bytes: &[u8]) -> usize {
    bytes
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.starts_with(b"---"))
        .filter(|line| line.starts_with(b"-> X25519 "))
        .count()
}
