//! Puts a kit back. Everything is looked at before anything is written: what differs is refused, or moved aside when that was asked for.
//!
//! Guarantees: a refusal changes nothing; every file appears whole, by a rename; what is replaced stays in `.strata/<name>/earlier`. Broken off
//! in the middle, the same command goes on: what is there already and equal is left alone.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Component, Path, PathBuf},
};

use anyhow::Context as _;
use data_encoding::BASE64;
use strata_provider::{
    secret::Secret,
    store::{Name, Put, file},
};

use super::{Kit, Store};
use crate::{
    cluster::Cluster,
    preflight::{open_store, store_folder},
    project::{Layer, Project},
};

/// A file of the kit and where it goes.
pub(crate) struct Piece {
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
}

/// What is there already.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    /// Files and entries of another content.
    pub(crate) differing: Vec<String>,
    /// How many are there and equal.
    pub(crate) equal: usize,
}

/// A kit on its way back.
pub(crate) struct Restoration<'a> {
    kit: &'a Kit,
    project: &'a Project,
    cluster: &'a Cluster,
    pieces: Vec<Piece>,
}

/// Where the kit's cluster file goes when nobody says so. Paths that leave the project are refused: a kit is made by whoever knows the passphrase.
pub(crate) fn cluster_file(root: &Path, kit: &Kit) -> anyhow::Result<PathBuf> {
    let path = Path::new(&kit.cluster_file.path);
    let stays = path
        .components()
        .all(|component| matches!(component, Component::Normal(_)));
    anyhow::ensure!(
        stays && path.file_name().is_some(),
        "the kit wants its cluster file at {}, outside the project; say where with -c FILE",
        kit.cluster_file.path
    );
    Ok(root.join(path))
}

impl<'a> Restoration<'a> {
    /// Decides where everything goes. Touches nothing.
    pub(crate) fn new(
        kit: &'a Kit,
        project: &'a Project,
        cluster: &'a Cluster,
    ) -> anyhow::Result<Self> {
        let mut pieces = Vec::new();
        let mut add =
            |path: PathBuf, bytes: Vec<u8>, mode| pieces.push(Piece { path, bytes, mode });
        if let Store::File { identity, files } = &kit.store {
            if let Some(identity) = identity {
                let path = file::identity_path(&project.root, &project.name, cluster.is_lab());
                add(path, identity.clone().into_bytes(), 0o600);
            }
            let folder = store_folder(project, cluster)?;
            for (name, text) in files {
                let name = Name::parse(name).context("reading the kit's store")?;
                let bytes = BASE64
                    .decode(text.as_bytes())
                    .context("reading the kit's store")?;
                add(folder.join(format!("{name}.age")), bytes, 0o600);
            }
        }
        for layer in Layer::ALL {
            if let Some(state) = kit.states.get(layer.name())
                && project.backend(layer).is_none()
            {
                add(project.state(layer), state.clone().into_bytes(), 0o600);
            }
        }
        // Last: while it is missing, nobody takes the folder for the cluster's.
        let text = kit.cluster_file.text.clone();
        add(cluster.file.clone(), text.into_bytes(), 0o644);
        Ok(Self {
            kit,
            project,
            cluster,
            pieces,
        })
    }

    /// Looks at what is there.
    pub(crate) async fn differences(&self) -> anyhow::Result<Differences> {
        let mut found = compare(&self.pieces)?;
        for name in &mut found.differing {
            *name = self.project.relative(Path::new(name));
        }
        if let Store::Entries { entries, .. } = &self.kit.store {
            let store = open_store(self.project, self.cluster)?;
            for (name, value) in entries {
                match store.get(&Name::parse(name)?).await? {
                    Some(entry) if entry.value.expose() == value => found.equal += 1,
                    Some(_) => found.differing.push(format!("store entry {name}")),
                    None => {}
                }
            }
        }
        Ok(found)
    }

    /// Writes what is missing, and what differs when that was asked for. Gives the folder to which the replaced ones went.
    pub(crate) async fn write(&self, overwrite: bool) -> anyhow::Result<Option<PathBuf>> {
        if let Store::Entries { entries, .. } = &self.kit.store {
            self.put(entries, overwrite).await?;
        }
        let aside = self.project.local().join("earlier").join(
            jiff::Timestamp::now()
                .strftime("kit-%Y%m%dT%H%M%SZ")
                .to_string(),
        );
        write(&self.pieces, &self.project.root, &aside, overwrite)
    }

    async fn put(&self, entries: &BTreeMap<String, String>, overwrite: bool) -> anyhow::Result<()> {
        let store = open_store(self.project, self.cluster)?;
        for (name, value) in entries {
            let (name, value) = (Name::parse(name)?, Secret::new(value.clone()));
            match store.put_if_absent(&name, &value).await? {
                Put::Exists(entry) if entry.value.expose() != value.expose() => {
                    anyhow::ensure!(
                        overwrite,
                        "somebody wrote store entry {name} meanwhile; it was left as it is"
                    );
                    store.put(&name, &value).await?;
                }
                Put::Exists(_) | Put::Written(_) => {}
            }
        }
        Ok(())
    }
}

fn compare(pieces: &[Piece]) -> anyhow::Result<Differences> {
    let mut found = Differences::default();
    for piece in pieces {
        match fs::read(&piece.path) {
            Ok(bytes) if bytes == piece.bytes => found.equal += 1,
            Ok(_) => found.differing.push(piece.path.display().to_string()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("reading {}", piece.path.display()));
            }
        }
    }
    Ok(found)
}

/// All files are written and synced beside their places first; only then does the first one appear.
fn write(
    pieces: &[Piece],
    root: &Path,
    aside: &Path,
    overwrite: bool,
) -> anyhow::Result<Option<PathBuf>> {
    let mut staged = Vec::new();
    for piece in pieces {
        let present = fs::read(&piece.path).ok();
        if present.as_ref() == Some(&piece.bytes) {
            continue;
        }
        let folder = piece.path.parent().context("a file lies in a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mut file = tempfile::Builder::new()
            .prefix(".kit-")
            .tempfile_in(folder)
            .with_context(|| format!("writing into {}", folder.display()))?;
        file.write_all(&piece.bytes)
            .and_then(|()| {
                file.as_file()
                    .set_permissions(fs::Permissions::from_mode(piece.mode))
            })
            .and_then(|()| file.as_file().sync_all())
            .with_context(|| format!("writing into {}", folder.display()))?;
        staged.push((piece, file, present.is_some()));
    }
    let mut replaced = None;
    for (piece, file, exists) in staged {
        if exists && overwrite {
            let name = piece.path.strip_prefix(root).map_or_else(
                |_| PathBuf::from(piece.path.file_name().unwrap_or_default()),
                Path::to_path_buf,
            );
            let kept = aside.join(name);
            let folder = kept.parent().unwrap_or(aside);
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
            fs::copy(&piece.path, &kept)
                .with_context(|| format!("keeping {}", piece.path.display()))?;
            replaced = Some(aside.to_path_buf());
        }
        let placed = if overwrite {
            file.persist(&piece.path)
        } else {
            file.persist_noclobber(&piece.path)
        };
        placed
            .map_err(|error| error.error)
            .with_context(|| format!("placing {}", piece.path.display()))?;
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(folder: &Path, name: &str, text: &str) -> Piece {
        Piece {
            path: folder.join(name),
            bytes: text.into(),
            mode: 0o600,
        }
    }

    #[test]
    fn what_differs_stays_until_it_is_asked_for_and_is_kept_even_then() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let aside = root.join("aside");
        fs::create_dir(root.join("b")).unwrap();
        fs::write(root.join("same"), "same").unwrap();
        fs::write(root.join("b/other"), "mine").unwrap();
        let pieces = [
            piece(root, "a/new", "new"),
            piece(root, "same", "same"),
            piece(root, "b/other", "kit's"),
        ];
        let found = compare(&pieces).unwrap();
        assert_eq!(found.equal, 1);
        assert_eq!(
            found.differing,
            [root.join("b/other").display().to_string()]
        );
        // Even if nobody had looked: nothing is replaced without being told.
        assert!(write(&pieces, root, &aside, false).is_err());
        assert_eq!(fs::read_to_string(root.join("b/other")).unwrap(), "mine");
        let kept = write(&pieces, root, &aside, true).unwrap();
        assert_eq!(kept.as_deref(), Some(aside.as_path()));
        assert_eq!(fs::read_to_string(root.join("b/other")).unwrap(), "kit's");
        assert_eq!(fs::read_to_string(aside.join("b/other")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(root.join("a/new")).unwrap(), "new");
        let mode = fs::metadata(root.join("a/new"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(compare(&pieces).unwrap().equal, 3);
        assert_eq!(write(&pieces, root, &aside, false).unwrap(), None);
        // Nothing half-made is left beside.
        let left = |folder: &str| fs::read_dir(root.join(folder)).unwrap().count();
        assert_eq!((left("a"), left("b")), (1, 1));
    }

    #[test]
    fn a_place_that_cannot_be_written_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("file"), "a file, no folder").unwrap();
        let pieces = [piece(root, "first", "x"), piece(root, "file/second", "y")];
        assert!(write(&pieces, root, &root.join("aside"), true).is_err());
        let left: Vec<_> = fs::read_dir(root)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["file"]);
    }
}
