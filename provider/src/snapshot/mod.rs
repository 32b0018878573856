//! Snapshots of etcd: taken on a control plane, fetched in parts through its door, sealed, and kept beside the cluster file or in a bucket.
//!
//! Guarantees: what is written is what the node saved (SHA-256 per part and of the whole), readable with the cluster's PKI alone, and there whole or
//! not at all. Nothing secret leaves the node in the clear: a pod's log is read over the API's TLS, and the file is sealed in memory. The node
//! itself never gets credentials of any place where snapshots are kept.

pub mod keep;
pub mod order;
pub mod place;
pub mod seal;

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::verb::Verb;

/// Bytes per part. As base64 it stays below the 10 MiB at which a kubelet rotates a container's log.
pub const PART: usize = 4 * 1024 * 1024;

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The node did not do it.
    #[error(transparent)]
    Node(E),
    /// The output is not what `strata-node` prints.
    #[error("the node's answer to `{verb}` cannot be read: {reason}")]
    Answer {
        /// What ran.
        verb: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes were lost or changed on the way, or somebody else took a snapshot meanwhile.
    #[error(
        "{what} is not what the node has: its SHA-256 differs. Somebody else may have taken a snapshot meanwhile; try again"
    )]
    Differs {
        /// Which part.
        what: String,
    },
}

/// What verb `snapshot` says of the file it left.
#[derive(Debug, PartialEq, Eq)]
struct Receipt {
    size: usize,
    sha256: String,
}

fn receipt(log: &str) -> Option<Receipt> {
    let size = log.lines().find_map(|line| line.trim().parse().ok())?;
    Some(Receipt {
        size,
        sha256: hash(log)?,
    })
}

/// The hash that `sha256sum` printed.
fn hash(log: &str) -> Option<String> {
    let line = log.lines().find_map(|line| line.split_once("  "))?;
    let is_hash = line.0.len() == 64 && line.0.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| line.0.to_ascii_lowercase())
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// A part from its log: lines of base64, then the hash.
fn part(log: &str) -> Option<(Vec<u8>, String)> {
    let expected = hash(log)?;
    let text: String = log
        .lines()
        .take_while(|line| !line.contains("  "))
        .collect();
    Some((BASE64.decode(text.trim().as_bytes()).ok()?, expected))
}

/// Takes a snapshot and fetches it. `run` runs a verb on one and the same control plane.
pub async fn take<E, Running>(run: impl Fn(Verb) -> Running) -> Result<Vec<u8>, Error<E>>
where
    E: std::error::Error + 'static,
    Running: Future<Output = Result<String, E>>,
{
    let unreadable = |verb, reason| Error::Answer { verb, reason };
    let log = run(Verb::Snapshot).await.map_err(Error::Node)?;
    let receipt =
        receipt(&log).ok_or_else(|| unreadable("snapshot", "no size and no hash in it"))?;
    let mut bytes = Vec::with_capacity(receipt.size);
    for number in 0..receipt.size.div_ceil(PART) {
        let log = run(Verb::SnapshotPart { number })
            .await
            .map_err(Error::Node)?;
        let (found, expected) =
            part(&log).ok_or_else(|| unreadable("snapshot-part", "no base64 with a hash"))?;
        if sha256(&found) != expected {
            return Err(Error::Differs {
                what: format!("part {number} of the snapshot"),
            });
        }
        bytes.extend(found);
    }
    if bytes.len() != receipt.size || sha256(&bytes) != receipt.sha256 {
        return Err(Error::Differs {
            what: "the snapshot".into(),
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no such verb")]
    struct NoSuchVerb;

    /// A node with this file.
    fn answer(file: &[u8], verb: &Verb) -> Result<String, NoSuchVerb> {
        match verb {
            Verb::Snapshot => Ok(format!(
                "Snapshot saved at /var/lib/etcd/operator.db\n{}\n{}  /var/lib/strata/snapshots/operator.db\n",
                file.len(),
                sha256(file)
            )),
            Verb::SnapshotPart { number } => {
                let end = file.len().min((number + 1) * PART);
                let part = &file[number * PART..end];
                let text = BASE64.encode(part);
                let lines: Vec<&str> = text
                    .as_bytes()
                    .chunks(1024)
                    .map(|line| std::str::from_utf8(line).unwrap())
                    .collect();
                Ok(format!("{}\n{}  -\n", lines.join("\n"), sha256(part)))
            }
            _ => Err(NoSuchVerb),
        }
    }

    #[tokio::test]
    async fn a_snapshot_of_several_parts_arrives_whole_or_not_at_all() {
        let file: Vec<u8> = (0..=250).cycle().take(PART * 2 + 1000).collect();
        let taken = take(|verb| ready(answer(&file, &verb))).await.unwrap();
        assert_eq!(taken, file);
        // The node's file changes between two parts.
        let mut other = file.clone();
        other[PART + 5] ^= 1;
        let changed = take(|verb| {
            ready(match verb {
                Verb::SnapshotPart { number: 1 } => answer(&other, &verb),
                _ => answer(&file, &verb),
            })
        });
        assert!(matches!(changed.await, Err(Error::Differs { what }) if what == "the snapshot"));
        // A part is damaged on the way.
        let damaged = take(|verb| {
            let log = answer(&file, &verb);
            ready(log.map(|log| match verb {
                Verb::SnapshotPart { number: 2 } => log.replacen('A', "B", 1),
                _ => log,
            }))
        });
        assert!(matches!(damaged.await, Err(Error::Differs { what }) if what.contains("part 2")));
        let silent = take(|_| ready(Ok::<_, NoSuchVerb>("nothing".to_owned())));
        assert!(matches!(silent.await, Err(Error::Answer { .. })));
    }
}
