//! The place that `backup.etcd.to` names: a folder beside the cluster file, or a bucket.
//!
//! A bucket gets sealed snapshots only, and of those of this cluster the newest `keep` stay; a folder keeps all. What cannot be put into the bucket is
//! not thrown away: it lies in the folder, and the error says so.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use strata_framework::{Diagnostics, chain};

use crate::environment::Environment;
use crate::private_file;
use crate::s3::{self, Bucket, Location};
use crate::store::Store;

/// The word of the cluster file for the folder.
pub const FOLDER: &str = "folder";

const ENDING: &str = ".etcd.age";
const MOMENT: &str = "%Y%m%dT%H%M%SZ";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wish {
    /// `folder` or `s3://bucket/prefix`.
    pub to: String,
    /// How many stay in a bucket.
    pub keep: usize,
    /// Name of the cluster.
    pub cluster: String,
    /// The folder.
    pub folder: PathBuf,
}

/// A snapshot that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its file name.
    pub name: String,
    /// Path or address.
    pub place: String,
    /// In bytes.
    pub size: u64,
}

/// The place.
pub struct Place {
    wish: Wish,
    to: To,
}

enum To {
    Folder,
    Bucket(Box<Bucket>),
    /// There is no way to the bucket.
    Nowhere(s3::Error),
}

/// The folder of a cluster's snapshots, below the project's root: made to be committed or copied away, in the lab to be thrown away.
pub fn folder(root: &Path, cluster: &str, lab: bool) -> PathBuf {
    if lab {
        root.join(".strata").join(cluster).join("snapshots")
    } else {
        root.join("clusters").join(cluster).join("snapshots")
    }
}

/// When a snapshot of this cluster was taken, by its name; `None` for what is none of its snapshots.
pub fn moment(cluster: &str, name: &str) -> Option<Timestamp> {
    let text = name
        .strip_prefix(cluster)?
        .strip_prefix('-')?
        .strip_suffix(ENDING)?;
    let moment = DateTime::strptime(MOMENT, text).ok()?;
    Some(moment.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Those that are too many, the oldest first. What is not this cluster's is nobody's to delete.
fn surplus<'a>(names: &'a [String], cluster: &str, keep: usize) -> Vec<&'a str> {
    let mut ours: Vec<(Timestamp, &str)> = names
        .iter()
        .filter_map(|name| Some((moment(cluster, name)?, name.as_str())))
        .collect();
    ours.sort();
    let many = ours.len().saturating_sub(keep.max(1));
    ours.into_iter().take(many).map(|(_, name)| name).collect()
}

impl Place {
    /// Looks for the way to the place. Nothing is contacted but the store.
    pub async fn open(wish: Wish, environment: &Environment, store: &dyn Store) -> Self {
        let to = match Location::parse(&wish.to) {
            None => To::Folder,
            Some(location) => match Bucket::open(environment, store, location).await {
                Ok(bucket) => To::Bucket(Box::new(bucket)),
                Err(error) => To::Nowhere(error),
            },
        };
        Self { wish, to }
    }

    /// The bucket, where snapshots go into one; or why there is no way to it.
    pub fn bucket(&self) -> Option<Result<&Bucket, &s3::Error>> {
        match &self.to {
            To::Folder => None,
            To::Bucket(bucket) => Some(Ok(bucket)),
            To::Nowhere(error) => Some(Err(error)),
        }
    }

    /// The folder, which also takes what the bucket does not.
    pub fn folder(&self) -> &Path {
        &self.wish.folder
    }

    /// In words of the cluster file.
    pub fn text(&self) -> &str {
        &self.wish.to
    }

    /// Keeps a sealed snapshot under a new name.
    pub(super) async fn put(&self, sealed: Vec<u8>) -> Result<Kept, Diagnostics> {
        let cluster = &self.wish.cluster;
        let name = format!("{cluster}-{}{ENDING}", Timestamp::now().strftime(MOMENT));
        let size = sealed.len() as u64;
        let bucket = match &self.to {
            To::Folder => {
                let place = self.write(&name, &sealed)?;
                return Ok(Kept { name, place, size });
            }
            To::Bucket(bucket) => bucket,
            To::Nowhere(error) => return Err(self.aside(&name, &sealed, error)),
        };
        if let Err(error) = bucket.put(&name, sealed.clone()).await {
            return Err(self.aside(&name, &sealed, &error));
        }
        if let Err(error) = self.prune(bucket).await {
            tracing::warn!(
                "old snapshots of {cluster} were not deleted: {}",
                chain(&error)
            );
        }
        let place = bucket.location().below(&name);
        Ok(Kept { name, place, size })
    }

    fn write(&self, name: &str, sealed: &[u8]) -> Result<String, Diagnostics> {
        let path = self.wish.folder.join(name);
        private_file::write(&path, sealed).map_err(|error| {
            Diagnostics::error(
                format!("Cannot write the snapshot of \"{}\"", self.wish.cluster),
                format!("{}: {}", path.display(), chain(&error)),
            )
        })?;
        Ok(path.display().to_string())
    }

    /// The snapshot that the bucket did not get, kept in the folder; what remains is the error.
    fn aside(&self, name: &str, sealed: &[u8], error: &s3::Error) -> Diagnostics {
        let left = match self.write(name, sealed) {
            Ok(path) => format!("It was kept in {path} instead."),
            Err(found) => format!("Nor could it be kept beside the cluster file: {found}."),
        };
        self.failed("keep", error).left(&left).hint(error.hint())
    }

    fn failed(&self, verb: &str, error: &s3::Error) -> Diagnostics {
        Diagnostics::failed(verb, "snapshots of etcd of", &self.wish.cluster, error)
    }

    async fn prune(&self, bucket: &Bucket) -> Result<(), s3::Error> {
        let names: Vec<String> = bucket
            .list()
            .await?
            .into_iter()
            .map(|object| object.name)
            .collect();
        for name in surplus(&names, &self.wish.cluster, self.wish.keep) {
            bucket.delete(name).await?;
            tracing::info!(
                "deleted {}, which was too old",
                bucket.location().below(name)
            );
        }
        Ok(())
    }

    /// This cluster's snapshots, the oldest first. A folder that cannot be read has none.
    pub async fn list(&self) -> Result<Vec<Kept>, Diagnostics> {
        let failed = |error: &s3::Error| self.failed("list", error).hint(error.hint());
        let mut kept = match &self.to {
            To::Folder => self.in_folder(),
            To::Nowhere(error) => return Err(failed(error)),
            To::Bucket(bucket) => {
                let objects = bucket.list().await.map_err(|error| failed(&error))?;
                let kept = objects.into_iter().map(|object| Kept {
                    place: bucket.location().below(&object.name),
                    name: object.name,
                    size: object.size,
                });
                kept.collect()
            }
        };
        kept.retain(|kept| moment(&self.wish.cluster, &kept.name).is_some());
        kept.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(kept)
    }

    /// When the newest was taken.
    pub fn newest(&self, kept: &[Kept]) -> Option<Timestamp> {
        let moments = kept
            .iter()
            .map(|kept| moment(&self.wish.cluster, &kept.name));
        moments.flatten().max()
    }

    fn in_folder(&self) -> Vec<Kept> {
        let found = std::fs::read_dir(&self.wish.folder)
            .into_iter()
            .flatten()
            .flatten();
        let view = |entry: std::fs::DirEntry| Kept {
            name: entry.file_name().to_string_lossy().into_owned(),
            place: entry.path().display().to_string(),
            size: entry.metadata().map_or(0, |metadata| metadata.len()),
        };
        found.map(view).collect()
    }

    /// Fetches a sealed snapshot of the bucket into the folder, where the run that restores it finds it.
    pub async fn fetch(&self, bucket: &Bucket, name: &str) -> Result<PathBuf, Diagnostics> {
        let sealed = bucket
            .get(name)
            .await
            .map_err(|error| self.failed("read", &error).hint(error.hint()))?;
        self.write(name, &sealed).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_and_when() {
        let at = moment("home", "home-20261126T100000Z.etcd.age").unwrap();
        assert_eq!(at.to_string(), "2026-11-26T10:00:00Z");
        for name in [
            "home-20261126T100000Z.etcd",
            "home-2-20261126T100000Z.etcd.age",
            "prod-20261126T100000Z.etcd.age",
            "home-20261326T100000Z.etcd.age",
            "home-.etcd.age",
            "readme.md",
        ] {
            assert_eq!(moment("home", name), None, "{name}");
        }
    }

    #[test]
    fn the_oldest_go_and_nothing_of_others() {
        let names: Vec<String> = [
            "home-20261126T120000Z.etcd.age",
            "home-20261126T100000Z.etcd.age",
            "home-20261126T110000Z.etcd.age",
            "home-2-20200101T000000Z.etcd.age",
            "notes.txt",
        ]
        .map(String::from)
        .into();
        assert_eq!(
            surplus(&names, "home", 1),
            [
                "home-20261126T100000Z.etcd.age",
                "home-20261126T110000Z.etcd.age"
            ]
        );
        assert_eq!(surplus(&names, "home", 3), Vec::<&str>::new());
        // What was just written stays, whatever the file says.
        assert_eq!(surplus(&names, "home", 0).len(), 2);
    }
}
