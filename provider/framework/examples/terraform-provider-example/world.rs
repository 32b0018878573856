//! The outside world: a folder of JSON files, which can be too busy to answer and can refuse to delete.
//!
//! `NAME.json` is an object; a file `NAME.stuck` beside it makes its deletion fail, as something still in use would.
//! "Too busy" is decided by a hash of seed, request and attempt: at random, yet the same in every run.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use strata_framework::{Bounded, Diagnostics, Policy, Probe, wait};

use crate::journal::note;

/// How long a busy world asks to be left alone.
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    /// How many of 100 requests are answered "too many requests".
    pub(crate) busy: u16,
    pub(crate) seed: i64,
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    /// Whether there is a world at all.
    pub(crate) fn exists(&self) -> bool {
        self.folder.exists()
    }

    /// The text of an object; `None` when there is none.
    pub(crate) async fn read(
        &self,
        cx: &impl Bounded,
        name: &str,
    ) -> Result<Option<String>, Diagnostics> {
        self.ask(cx, "read", name, || {
            found(std::fs::read_to_string(self.path(name)))
        })
        .await
    }

    /// The names that begin like this, sorted.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>, Diagnostics> {
        let entries = std::fs::read_dir(&self.folder)
            .map_err(|error| Diagnostics::failed("list", "things", "", &error))?;
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            let name = entry.ok()?.file_name();
            Some(name.to_str()?.strip_suffix(".json")?.to_owned())
        };
        let mut names: Vec<_> = entries
            .filter_map(name)
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Makes or replaces an object. Never half: it is written beside and moved.
    pub(crate) async fn write(
        &self,
        cx: &impl Bounded,
        name: &str,
        text: &str,
    ) -> Result<(), Diagnostics> {
        let write = || {
            let beside = self.folder.join(format!("{name}.new"));
            std::fs::write(&beside, text)?;
            std::fs::rename(&beside, self.path(name))
        };
        let written = self.ask(cx, "write", name, write).await;
        written.map_err(|error| error.left("It is as it was."))
    }

    /// Removes an object. Gone already is success.
    pub(crate) async fn delete(&self, cx: &impl Bounded, name: &str) -> Result<(), Diagnostics> {
        let delete = || {
            if self.folder.join(format!("{name}.stuck")).exists() {
                return Err(Error::other("it is in use"));
            }
            found(std::fs::remove_file(self.path(name))).map(|_| ())
        };
        let deleted = self.ask(cx, "delete", name, delete).await;
        deleted.map_err(|error| error.left("It still exists."))
    }

    /// One request, again and again while the world is busy, within the operation's deadline.
    async fn ask<T>(
        &self,
        cx: &impl Bounded,
        verb: &str,
        name: &str,
        request: impl Fn() -> Result<T, Error>,
    ) -> Result<T, Diagnostics> {
        let what = format!("{verb} {name}");
        note("ask", &what);
        let mut attempt = 0;
        let policy = Policy::new(format!("the world to {what}"))
            .every(Duration::from_millis(10), Duration::from_millis(200));
        let answer = wait(cx, &policy, || {
            attempt += 1;
            std::future::ready(if self.is_busy(&what, attempt) {
                note("busy", &what);
                Probe::NotBefore("too many requests".to_owned(), RETRY_AFTER)
            } else {
                match request() {
                    Ok(answer) => Probe::Done(answer),
                    Err(error) => Probe::Failed(Diagnostics::failed(verb, "thing", name, &error)),
                }
            })
        })
        .await;
        note(if answer.is_ok() { "done" } else { "fail" }, &what);
        answer.map_err(Diagnostics::from)
    }

    fn is_busy(&self, what: &str, attempt: u32) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.seed, what, attempt).hash(&mut hasher);
        hasher.finish() % 100 < u64::from(self.busy)
    }
}

fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
