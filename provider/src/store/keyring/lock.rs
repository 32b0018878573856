//! One at a time: tasks of this process by a mutex, processes of this user by a lock on a file without content.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// The system call that waits cannot be cancelled, so it is asked again and again instead.
const PAUSE: Duration = Duration::from_millis(1);

/// Where the turns of one cluster are given.
pub(super) struct Line {
    file: PathBuf,
    here: Mutex<()>,
}

/// Ours until it is dropped; the operating system ends it with the process.
pub(super) struct Turn<'a> {
    _file: File,
    _here: MutexGuard<'a, ()>,
}

/// The folder of lock files: the session's runtime folder, else the user's cache.
pub(super) fn folder() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_RUNTIME_DIR")
        .or_else(|| set("XDG_CACHE_HOME"))
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
}

impl Line {
    pub(super) fn new(folder: &Path, cluster: &str) -> Self {
        Self {
            file: folder.join(format!("strata-keyring-{cluster}.lock")),
            here: Mutex::new(()),
        }
    }

    pub(super) async fn turn(&self) -> io::Result<Turn<'_>> {
        let here = self.here.lock().await;
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.file)?;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    return Ok(Turn {
                        _file: file,
                        _here: here,
                    });
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}
