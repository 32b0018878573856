//! Where snapshots are kept, and keeping one.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use strata_framework::{Bounded, Diagnostics, chain};

use super::{seal, take};
use crate::access::through_door;
use crate::kubernetes::{Client, node};
use crate::pki::Pki;
use crate::private_file;

const ENDING: &str = ".etcd.age";

/// The folder of a cluster's snapshots, below the project's root: made to be committed or copied away, in the lab to be thrown away.
pub fn folder(root: &Path, cluster: &str, lab: bool) -> PathBuf {
    if lab {
        root.join(".strata").join(cluster).join("snapshots")
    } else {
        root.join("clusters").join(cluster).join("snapshots")
    }
}

/// Takes a snapshot on the first control plane that is Ready, and keeps it in `folder`. The path of the file.
pub async fn keep(
    cx: &impl Bounded,
    client: &Client,
    speed: f64,
    pki: &Pki,
    folder: &Path,
    cluster: &str,
) -> Result<PathBuf, Diagnostics> {
    let failed = |error: &dyn std::error::Error| {
        Diagnostics::failed("take", "snapshot of etcd of", cluster, error)
    };
    let nodes = node::list(client).await.map_err(|error| failed(&error))?;
    let mut witnesses: Vec<_> = nodes
        .into_iter()
        .filter(|view| view.control_plane && view.is_ready())
        .map(|view| view.name)
        .collect();
    witnesses.sort();
    let Some(witness) = witnesses.first() else {
        return Err(Diagnostics::error(
            format!("Cannot take a snapshot of etcd of \"{cluster}\""),
            "No control plane is Ready.",
        ));
    };
    let taken =
        take(|verb| async move { through_door(cx, client, speed, witness, &verb).await }).await;
    let bytes = taken.map_err(|error| failed(&error))?;
    sealed(&bytes, pki, folder, cluster)
}

/// Keeps a snapshot that was taken, in `folder`. The path of the file.
pub fn sealed(
    bytes: &[u8],
    pki: &Pki,
    folder: &Path,
    cluster: &str,
) -> Result<PathBuf, Diagnostics> {
    let sealed = seal::seal(bytes, pki)
        .map_err(|error| Diagnostics::failed("seal", "snapshot of etcd of", cluster, &error))?;
    place(folder, cluster, &sealed).map_err(|error| {
        Diagnostics::error(
            format!("Cannot write the snapshot of \"{cluster}\""),
            format!("{}: {}", folder.display(), chain(&error)),
        )
    })
}

/// The snapshots that are kept in a folder, the oldest first. A folder that cannot be read has none.
pub fn list(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = found
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(ENDING))
        .collect();
    paths.sort();
    paths
}

fn place(folder: &Path, cluster: &str, sealed: &[u8]) -> std::io::Result<PathBuf> {
    let moment = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let path = folder.join(format!("{cluster}-{moment}{ENDING}"));
    private_file::write(&path, sealed)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_snapshot_is_its_owners_alone() {
        use std::fs;
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path(), "home", false);
        assert!(folder.ends_with("clusters/home/snapshots"));
        let path = place(&folder, "home", b"sealed").unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            name.starts_with("home-2") && name.ends_with("Z.etcd.age"),
            "{name}"
        );
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(list(&folder), [path]);
        assert!(list(root.path()).is_empty());
    }
}
