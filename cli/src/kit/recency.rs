//! Whether what would be lost with this machine is safe: STORE-03 until a kit is newer than the last change, or store and state are shared.

use std::path::PathBuf;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strata_provider::store::{Description, Store};

use crate::{
    cluster::Cluster,
    finding::Finding,
    project::{Layer, Project},
    session,
};

/// Note of the last kit, `.strata/<name>/kit.json`. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    written_at: Timestamp,
    /// Of what went into it.
    digest: String,
}

/// STORE-03, if it holds. A store that cannot be read has a finding of its own.
pub(crate) async fn finding(
    project: &Project,
    cluster: &Cluster,
    store: &dyn Store,
) -> Option<Finding> {
    if cluster.is_lab() {
        return None;
    }
    let states_are_shared = Layer::ALL
        .into_iter()
        .all(|layer| project.backend(layer).is_some());
    let digest = digest(project, cluster, store).await.ok()?;
    let store = store.describe();
    let sentence = sentence(&store, states_are_shared, read(project).as_ref(), &digest)?;
    let fix = format!(
        "{} --to FILE, and keep FILE off this machine",
        session::again(project, cluster, "kit")
    );
    Some(Finding::warning(
        "STORE-03",
        format!("{sentence}; {}", store.promise()),
        fix,
    ))
}

fn sentence(
    store: &Description,
    states_are_shared: bool,
    record: Option<&Record>,
    digest: &str,
) -> Option<String> {
    let kind = store.kind;
    let store_is_shared = matches!(kind, "vault" | "infisical");
    let what = match (store_is_shared, states_are_shared) {
        (true, true) => return None,
        (true, false) => "state local lives".to_owned(),
        (false, true) => format!("store {kind} lives"),
        (false, false) => format!("store {kind} and state local live"),
    };
    match record {
        Some(record) if record.digest == digest => None,
        Some(record) => Some(format!(
            "{what} only on this machine, and the recovery kit of {:.0} is older than the last change",
            record.written_at
        )),
        None => Some(format!(
            "{what} only on this machine, and no recovery kit was ever written"
        )),
    }
}

fn path(project: &Project) -> PathBuf {
    project.local().join("kit.json")
}

fn read(project: &Project) -> Option<Record> {
    serde_json::from_str(&std::fs::read_to_string(path(project)).ok()?).ok()
}

/// Notes that a kit of what is there now exists.
pub(crate) async fn note(
    project: &Project,
    cluster: &Cluster,
    store: &dyn Store,
    written_at: Timestamp,
) -> anyhow::Result<()> {
    let record = Record {
        written_at,
        digest: digest(project, cluster, store).await?,
    };
    let (path, text) = (path(project), serde_json::to_string(&record)?);
    std::fs::create_dir_all(project.local()).context("making the cluster's folder")?;
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

/// One number over everything that a kit takes along: it changes when any of it does. Entries count by the nonce of their last put.
async fn digest(project: &Project, cluster: &Cluster, store: &dyn Store) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        digest.update(format!("{name} {}\n", content.len()));
        digest.update(content);
    };
    add("cluster", &std::fs::read(&cluster.file).unwrap_or_default());
    for layer in Layer::ALL {
        add(
            layer.name(),
            &std::fs::read(project.state(layer)).unwrap_or_default(),
        );
    }
    for name in store.list("").await? {
        if let Some(entry) = store.get(&name).await? {
            add(name.as_str(), entry.nonce.as_bytes());
        }
    }
    Ok(data_encoding::HEXLOWER.encode(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_current_kit_or_sharing_both_is_enough() {
        let record = Record {
            written_at: "2026-11-20T08:00:00Z".parse().unwrap(),
            digest: "now".into(),
        };
        let ask = |kind, states, record: Option<&Record>, digest: &str| {
            let store = Description {
                kind,
                location: String::new(),
                exclusive_across_machines: kind == "vault",
            };
            sentence(&store, states, record, digest)
        };
        let never = ask("file", false, None, "now").unwrap();
        assert!(
            never.starts_with("store file and state local live")
                && never.contains("no recovery kit was ever written"),
            "{never}"
        );
        assert!(
            ask("vault", false, None, "now")
                .unwrap()
                .starts_with("state local lives")
        );
        assert!(
            ask("keyring", true, None, "now")
                .unwrap()
                .starts_with("store keyring lives")
        );
        assert_eq!(ask("vault", true, None, "now"), None);
        assert_eq!(ask("file", false, Some(&record), "now"), None);
        let stale = ask("file", false, Some(&record), "later").unwrap();
        assert!(
            stale.contains("2026-11-20T08:00:00Z is older than the last change"),
            "{stale}"
        );
    }
}
