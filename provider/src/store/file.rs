//! Store `file`: one age file per secret, encrypted to several recipients, made to be committed.
//!
//! - Entry `ssh/operator` is `<path>/ssh/operator.age`; `age -d -i <identity>` shows the value itself.
//! - Writes go to a temporary file in the same directory, are synced and then renamed; a reader sees the old entry, the new one or none.
//! - Put-if-absent is a rename that refuses to replace, decided by the file system, so it also holds between processes.
//!   It does not hold between machines: [`Description::exclusive_across_machines`] is false.
//! - The nonce is the hash of the ciphertext: age encrypts every put under a fresh key, so no two puts share it, and a writer knows its own.
//! - The identity (an x25519 key, mode 0600) is made by the first put into a store without entries, never later: a missing identity beside
//!   existing entries is a denial, not a reason for a new key.

#[cfg(test)]
mod kill_test;
mod recipients;

use std::fs::{self, File as OsFile, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

pub use self::recipients::Shared;
use super::{Condition, Deleted, Description, Entry, Error, Name, Put, Result, Store};
use crate::secret::Secret;

/// Environment variable that names another identity file.
pub const IDENTITY_VARIABLE: &str = "STRATA_IDENTITY";

/// Where the identity of a cluster lives: `STRATA_IDENTITY`, else `<root>/.strata/<cluster>/identity.txt` in the lab (thrown away with
/// it), else `~/.config/strata/<cluster>.agekey` (outside the repository, so that store and key are not committed together).
pub fn identity_path(root: &Path, cluster: &str, lab: bool) -> PathBuf {
    if let Some(path) = std::env::var_os(IDENTITY_VARIABLE).filter(|path| !path.is_empty()) {
        return path.into();
    }
    if lab {
        return root.join(".strata").join(cluster).join("identity.txt");
    }
    let configuration = std::env::var_os("XDG_CONFIG_HOME")
        .filter(|path| !path.is_empty())
        .map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".config"),
            PathBuf::from,
        );
    configuration
        .join("strata")
        .join(format!("{cluster}.agekey"))
}

/// A folder of age files; clones share it.
#[derive(Clone)]
pub struct File(Arc<Inner>);

struct Inner {
    path: PathBuf,
    identity_path: PathBuf,
    recipients: Vec<Recipient>,
    identity: OnceLock<Identity>,
}

impl File {
    /// A store in the folder `path`. Touches nothing; `recipients` (`age1...`) are added to the identity's own.
    pub fn new(path: PathBuf, identity_path: PathBuf, recipients: &[String]) -> Result<Self> {
        let location = path.display().to_string();
        let parse = |text: &String| recipients::parse(text, &location);
        let recipients = recipients.iter().map(parse).collect::<Result<_>>()?;
        Ok(Self(Arc::new(Inner {
            path,
            identity_path,
            recipients,
            identity: OnceLock::new(),
        })))
    }

    /// Runs file work where blocking is allowed.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .expect("file work does not panic")
    }
}

#[async_trait]
impl Store for File {
    fn describe(&self) -> Description {
        Description {
            kind: "file",
            location: self.0.path.display().to_string(),
            exclusive_across_machines: false,
        }
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let name = name.clone();
        self.run(move |store| store.get(&name)).await
    }

    async fn put_if_absent(&self, name: &Name, value: &Secret<String>) -> Result<Put> {
        let (name, value) = (name.clone(), value.clone());
        self.run(move |store| store.put_if_absent(&name, &value))
            .await
    }

    async fn put(&self, name: &Name, value: &Secret<String>) -> Result<String> {
        let (name, value) = (name.clone(), value.clone());
        self.run(move |store| {
            let _lock = store.lock("write", &name)?;
            let (file, nonce) = store.write(&name, &value)?;
            file.persist(store.file(&name))
                .map_err(|error| store.sort("write", &name, &error.error))?;
            store.sync_parent(&name)?;
            Ok(nonce)
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>> {
        let prefix = prefix.to_owned();
        self.run(move |store| store.list(&prefix)).await
    }

    async fn delete(&self, name: &Name, condition: Condition<'_>) -> Result<Deleted> {
        let name = name.clone();
        let nonce = match condition {
            Condition::Any => None,
            Condition::Nonce(nonce) => Some(nonce.to_owned()),
        };
        self.run(move |store| store.delete(&name, nonce.as_deref()))
            .await
    }
}

impl Inner {
    fn file(&self, name: &Name) -> PathBuf {
        self.path.join(format!("{name}.age"))
    }

    fn sort(&self, verb: &'static str, name: &Name, error: &io::Error) -> Error {
        let (name, location, reason) = (
            name.to_string(),
            self.path.display().to_string(),
            error.to_string(),
        );
        match error.kind() {
            io::ErrorKind::PermissionDenied => Error::Denied {
                name,
                location,
                reason: format!("{reason}; check the owner and mode of the file"),
            },
            _ => Error::Failed {
                verb,
                name,
                location,
                reason,
            },
        }
    }

    fn read_file(&self, verb: &'static str, name: &Name) -> Result<Option<Vec<u8>>> {
        match fs::read(self.file(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            // A word of the name that is a file, or no such file: proven absence. Anything else is not.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(self.sort(verb, name, &error)),
        }
    }

    fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let Some(bytes) = self.read_file("read", name)? else {
            return Ok(None);
        };
        let identity = self.identity(name)?;
        self.decrypt(name, &bytes, identity).map(Some)
    }

    fn decrypt(&self, name: &Name, bytes: &[u8], identity: &Identity) -> Result<Entry> {
        let location = || self.file(name).display().to_string();
        let plain = age::decrypt(identity, bytes).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => Error::Denied {
                name: name.to_string(),
                location: location(),
                reason: format!(
                    "it is not encrypted to {}; let someone who can read it add your recipient, or point {IDENTITY_VARIABLE} at the right identity",
                    self.identity_path.display()
                ),
            },
            other => Error::Failed { verb: "read", name: name.to_string(), location: location(), reason: other.to_string() },
        })?;
        let value = String::from_utf8(plain).map_err(|_| Error::Malformed {
            name: name.to_string(),
            expected: "text",
        })?;
        Ok(Entry {
            value: Secret::new(value),
            nonce: nonce(bytes),
        })
    }

    fn put_if_absent(&self, name: &Name, value: &Secret<String>) -> Result<Put> {
        if let Some(entry) = self.get(name)? {
            return Ok(Put::Exists(entry));
        }
        loop {
            let (file, ours) = self.write(name, value)?;
            match file.persist_noclobber(self.file(name)) {
                Ok(_) => {
                    self.sync_parent(name)?;
                    return Ok(Put::Written(ours));
                }
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    if let Some(entry) = self.get(name)? {
                        return Ok(Put::Exists(entry));
                    }
                    // It was deleted between the two looks: try again.
                }
                Err(error) => return Err(self.sort("write", name, &error.error)),
            }
        }
    }

    fn delete(&self, name: &Name, expected: Option<&str>) -> Result<Deleted> {
        let _lock = self.lock("delete", name)?;
        let Some(bytes) = self.read_file("delete", name)? else {
            return Ok(Deleted::Absent);
        };
        if expected.is_some_and(|expected| expected != nonce(&bytes)) {
            return Ok(Deleted::Changed);
        }
        match fs::remove_file(self.file(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Deleted::Absent),
            Err(error) => return Err(self.sort("delete", name, &error)),
        }
        self.sync_parent(name)?;
        // Folders that this left empty go too; one that is not empty refuses, and that is the end of it.
        let mut folder = self.file(name);
        while folder.pop()
            && folder != self.path
            && folder.starts_with(&self.path)
            && fs::remove_dir(&folder).is_ok()
        {}
        Ok(Deleted::Removed)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Name>> {
        let mut names = Vec::new();
        let mut folders = vec![self.path.clone()];
        let failed = |folder: &Path, error: &io::Error| {
            let location = folder.display().to_string();
            match error.kind() {
                io::ErrorKind::PermissionDenied => Error::Denied {
                    name: format!("{prefix}*"),
                    location,
                    reason: error.to_string(),
                },
                _ => Error::Failed {
                    verb: "list",
                    name: format!("{prefix}*"),
                    location,
                    reason: error.to_string(),
                },
            }
        };
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&folder, &error)),
            };
            for entry in entries {
                let path = entry.map_err(|error| failed(&folder, &error))?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let relative = path.strip_prefix(&self.path).ok().and_then(Path::to_str);
                let name = relative
                    .and_then(|text| text.strip_suffix(".age"))
                    .and_then(|text| Name::parse(text).ok());
                names.extend(name.filter(|name| name.as_str().starts_with(prefix)));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Encrypts for everyone into a synced temporary file beside the entry; persisting it is the caller's.
    fn write(&self, name: &Name, value: &Secret<String>) -> Result<(NamedTempFile, String)> {
        let own = self.identity_or_make(name)?.to_public();
        self.write_for(name, value, &self.everyone(&own))
    }

    /// The recipients that are configured, and the identity's own.
    fn everyone(&self, own: &Recipient) -> Vec<Recipient> {
        let mut everyone = self.recipients.clone();
        if !everyone
            .iter()
            .any(|one| one.to_string() == own.to_string())
        {
            everyone.push(own.clone());
        }
        everyone
    }

    fn write_for(
        &self,
        name: &Name,
        value: &Secret<String>,
        everyone: &[Recipient],
    ) -> Result<(NamedTempFile, String)> {
        let failed = |error: &io::Error| self.sort("write", name, error);
        let location = || self.path.display().to_string();
        let encrypting = |reason: String| Error::Failed {
            verb: "write",
            name: name.to_string(),
            location: location(),
            reason,
        };
        let recipients = everyone.iter().map(|one| one as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients)
            .map_err(|error| encrypting(error.to_string()))?;
        let mut bytes = Vec::new();
        let mut stream = encryptor
            .wrap_output(&mut bytes)
            .map_err(|error| failed(&error))?;
        stream
            .write_all(value.expose().as_bytes())
            .and_then(|()| stream.finish().map(|_| ()))
            .map_err(|error| failed(&error))?;
        let entry = self.file(name);
        let folder = entry.parent().expect("an entry lies in the store's folder");
        // A delete in another process may remove an empty folder between the two steps: make it again.
        let mut file = (0..10)
            .find_map(|_| {
                let made = fs::create_dir_all(folder)
                    .and_then(|()| tempfile::Builder::new().prefix(".put-").tempfile_in(folder));
                (!matches!(&made, Err(error) if error.kind() == io::ErrorKind::NotFound))
                    .then_some(made)
            })
            .unwrap_or_else(|| Err(io::Error::other("its folder keeps disappearing")))
            .map_err(|error| failed(&error))?;
        file.write_all(&bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(|error| failed(&error))?;
        Ok((file, nonce(&bytes)))
    }

    /// A rename is durable once its folder is synced.
    fn sync_parent(&self, name: &Name) -> Result<()> {
        let entry = self.file(name);
        let folder = entry.parent().expect("an entry lies in the store's folder");
        match OsFile::open(folder).and_then(|folder| folder.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.sort("write", name, &error))
            }
            _ => Ok(()),
        }
    }

    /// Serialises replace and delete between processes. The lock file has no content and never goes.
    fn lock(&self, verb: &'static str, name: &Name) -> Result<OsFile> {
        let open = || {
            fs::create_dir_all(&self.path)?;
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(self.path.join(".lock"))?;
            lock.lock()?;
            Ok(lock)
        };
        open().map_err(|error: io::Error| self.sort(verb, name, &error))
    }

    fn identity(&self, name: &Name) -> Result<&Identity> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        let denied = |reason: String| Error::Denied {
            name: name.to_string(),
            location: self.path.display().to_string(),
            reason,
        };
        let path = self.identity_path.display();
        let text = fs::read_to_string(&self.identity_path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => denied(format!(
                "the store has entries but there is no identity at {path}; restore it from your kit or backup, or point {IDENTITY_VARIABLE} at it"
            )),
            _ => denied(format!("the identity at {path} cannot be read ({error})")),
        })?;
        // The format of age-keygen: comments, then the key.
        let line = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .unwrap_or_default();
        let identity = Identity::from_str(line)
            .map_err(|error| denied(format!("{path} is not an age identity ({error})")))?;
        Ok(self.identity.get_or_init(|| identity))
    }

    fn identity_or_make(&self, name: &Name) -> Result<&Identity> {
        if self.identity.get().is_some()
            || self.identity_path.exists()
            || !self.list("")?.is_empty()
        {
            return self.identity(name);
        }
        let failed = |error: &io::Error| Error::Failed {
            verb: "write",
            name: name.to_string(),
            location: self.identity_path.display().to_string(),
            reason: format!("cannot make the identity: {error}"),
        };
        let folder = self.identity_path.parent().unwrap_or(Path::new("."));
        let fresh = Identity::generate();
        let mut file = fs::create_dir_all(folder)
            // NamedTempFile is made with mode 0600, which is what an identity needs.
            .and_then(|()| NamedTempFile::new_in(folder))
            .map_err(|error| failed(&error))?;
        let text = format!(
            "# public key: {}\n{}\n",
            fresh.to_public(),
            fresh.to_string().expose_secret()
        );
        file.write_all(text.as_bytes())
            .and_then(|()| file.as_file().sync_all())
            .map_err(|error| failed(&error))?;
        match file.persist_noclobber(&self.identity_path) {
            Ok(_) => {}
            // Another process made one first: use that.
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&error.error)),
        }
        // No entry may outlive the key that opens it, so the key is on the disk before the first one.
        OsFile::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| failed(&error))?;
        self.identity(name)
    }
}

fn nonce(ciphertext: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(ciphertext)[..16])
}

#[cfg(test)]
#[path = "file/tests.rs"]
mod tests;
