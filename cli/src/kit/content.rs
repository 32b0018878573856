//! Gathers what goes into a kit. Reads only.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use data_encoding::BASE64;
use strata_provider::store::{self, file};

use super::{ClusterFile, Kit, Store, VERSION};
use crate::{
    cluster::Cluster,
    preflight::{open_store, store_folder},
    project::{Layer, Project},
    session::{Purpose, Session, World},
};

/// Everything, as it is now. States first: a store that knows more than a state is what a run that broke off leaves, the other way round is not.
pub(crate) async fn gather(session: &Session, world: &World) -> anyhow::Result<Kit> {
    let (project, cluster) = (&session.project, &session.cluster);
    let mut states = BTreeMap::new();
    for layer in Layer::ALL {
        if let Some(text) = state(session, world, layer).await? {
            states.insert(layer.name().to_owned(), text);
        }
    }
    let text = std::fs::read_to_string(&cluster.file)
        .with_context(|| format!("reading {}", cluster.file.display()))?;
    Ok(Kit {
        kit: VERSION,
        strata: env!("CARGO_PKG_VERSION").to_owned(),
        cluster: project.name.clone(),
        written_at: jiff::Timestamp::now(),
        cluster_file: ClusterFile {
            path: home_of(&project.root, &cluster.file),
            text,
        },
        set: cluster.set.clone(),
        store: entries(project, cluster).await?,
        states,
    })
}

/// A layer's state, from wherever it lives.
async fn state(session: &Session, world: &World, layer: Layer) -> anyhow::Result<Option<String>> {
    if session.project.backend(layer).is_some() {
        let terraform = session.terraform(world, Purpose::Build)?;
        return terraform.pull(layer).await;
    }
    let path = session.project.state(layer);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

async fn entries(project: &Project, cluster: &Cluster) -> anyhow::Result<Store> {
    let opened = open_store(project, cluster)?;
    let names = opened.list("").await.context("listing the store")?;
    let kind = opened.describe().kind;
    if kind == "file" {
        let folder = store_folder(project, cluster)?;
        let mut files = BTreeMap::new();
        for name in names {
            let path = folder.join(format!("{name}.age"));
            let bytes =
                std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            files.insert(name.to_string(), BASE64.encode(&bytes));
        }
        let path = file::identity_path(&project.root, &project.name, cluster.is_lab());
        let identity = match std::fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && files.is_empty() => None,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("reading the identity {}", path.display()));
            }
        };
        return Ok(Store::File { identity, files });
    }
    let mut entries = BTreeMap::new();
    for name in names {
        let entry = store::require(&*opened, &name).await?;
        entries.insert(name.to_string(), entry.value.expose().clone());
    }
    Ok(Store::Entries {
        kind: kind.to_owned(),
        entries,
    })
}

/// Where a restored cluster file goes: the same place below the project, or the project's own folder.
fn home_of(root: &Path, file: &Path) -> String {
    let below = file.strip_prefix(root).ok().and_then(Path::to_str);
    below
        .or_else(|| file.file_name()?.to_str())
        .unwrap_or("cluster.yaml")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_file_comes_back_below_the_project() {
        let home = |file: &str| home_of(Path::new("/p"), Path::new(file));
        assert_eq!(
            home("/p/examples/clusters/lab.yaml"),
            "examples/clusters/lab.yaml"
        );
        assert_eq!(home("/elsewhere/prod.yaml"), "prod.yaml");
    }
}
