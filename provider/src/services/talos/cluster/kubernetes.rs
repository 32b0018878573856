//! Another version of Kubernetes: the images in the configuration of one node after the other, first what control planes run, then every kubelet, since a
//! kubelet must not be newer than an API server that it may talk to.

use std::collections::BTreeMap;
use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, chain, wait};

use super::TalosCluster;
use super::health;
use crate::kubernetes::version::Version;
use crate::kubernetes::{self, node};
use crate::services::talos::content::{CONTROL_PLANE, KUBELET};
use crate::services::talos::look;
use crate::services::talos::ways::Ways;
use crate::talos::Error;
use crate::talos::client::Mode;

/// Images are pulled, static pods come up and the kubelet reports within this.
const SETTLE: Duration = Duration::from_mins(10);

/// An upgrade of Kubernetes.
pub(super) struct Roll<'a> {
    ways: &'a Ways<'a>,
    limits: Limits,
    cluster: &'a TalosCluster,
    kubernetes: kubernetes::Client,
}

/// What an upgrade changes on a node.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// What only control planes run.
    Server,
    /// The kubelet.
    Kubelet {
        /// It has to be so again.
        was_ready: bool,
    },
}

/// The same image with another tag.
fn tagged(image: &str, version: &str) -> String {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => format!("{repository}:{version}"),
        _ => format!("{name}:{version}"),
    }
}

/// Whether a version that runs is the wanted one; build metadata does not count.
fn is_same(running: &str, wanted: &str) -> bool {
    match (Version::parse(running), Version::parse(wanted)) {
        (Some(running), Some(wanted)) => running == wanted,
        _ => running == wanted,
    }
}

impl<'a> Roll<'a> {
    pub(super) async fn new(
        ways: &'a Ways<'a>,
        limits: Limits,
        cluster: &'a TalosCluster,
    ) -> Result<Self, Diagnostics> {
        let endpoint = cluster.endpoint.require("endpoint")?;
        let kubernetes = ways
            .kubernetes(endpoint, &cluster.control_planes.or_default())
            .await?;
        Ok(Self {
            ways,
            limits,
            cluster,
            kubernetes,
        })
    }

    fn wanted(&self) -> &str {
        self.cluster.kubernetes_version.text()
    }

    fn failed(name: &str, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("upgrade", "node", name, error)
    }

    /// Version of the API server of this control plane alone.
    async fn server(&self, name: &str, address: &str) -> Result<String, Diagnostics> {
        let alone = BTreeMap::from([(name.to_owned(), address.to_owned())]);
        let client = self
            .ways
            .kubernetes(self.cluster.endpoint.text(), &alone)
            .await?;
        client.try_again();
        client
            .version()
            .await
            .map_err(|error| Self::failed(name, &error))
    }

    /// Whether every API server and every kubelet is of the wanted version.
    pub(super) async fn is_done(&self) -> Result<bool, Diagnostics> {
        for (name, address) in self.cluster.control_planes.or_default() {
            if !is_same(&self.server(&name, &address).await?, self.wanted()) {
                return Ok(false);
            }
        }
        let views = node::list(&self.kubernetes).await.map_err(|error| {
            Diagnostics::failed("observe", "cluster", self.cluster.name.text(), &error)
        })?;
        let names: Vec<String> = self
            .cluster
            .nodes()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        Ok(views
            .iter()
            .filter(|view| names.contains(&view.name))
            .all(|view| is_same(&view.kubelet, self.wanted())))
    }

    /// Upgrades what is not there yet.
    pub(super) async fn run(&self) -> Result<(), Diagnostics> {
        if self.is_done().await? {
            return Ok(());
        }
        for (name, address) in self.cluster.control_planes.or_default() {
            tracing::info!(
                "upgrading the control plane on {name} to Kubernetes {}",
                self.wanted()
            );
            self.change(&name, &address, &CONTROL_PLANE).await?;
            self.settle(&name, &address, Part::Server).await?;
        }
        for (name, address) in self.cluster.nodes() {
            let before = node::get(&self.kubernetes, &name)
                .await
                .map_err(|error| Self::failed(&name, &error))?;
            let was_ready = before.is_some_and(|view| view.is_ready());
            tracing::info!("upgrading the kubelet of {name} to {}", self.wanted());
            self.change(&name, &address, &KUBELET).await?;
            self.settle(&name, &address, Part::Kubelet { was_ready })
                .await?;
        }
        Ok(())
    }

    /// What is still missing of a part, as an answer or as an error.
    async fn missing(
        &self,
        name: &str,
        address: &str,
        part: Part,
    ) -> Result<Option<String>, String> {
        match part {
            Part::Server => {
                let runs = self.server(name, address).await;
                let runs = runs.map_err(|found| found.to_string())?;
                Ok((!is_same(&runs, self.wanted())).then(|| format!("it runs {runs}")))
            }
            Part::Kubelet { was_ready } => {
                let view = node::get(&self.kubernetes, name)
                    .await
                    .map_err(|error| chain(&error))?;
                Ok(match view {
                    None => Some("its Node is gone".into()),
                    Some(view) if !is_same(&view.kubelet, self.wanted()) => {
                        Some(format!("it runs {}", view.kubelet))
                    }
                    Some(view) if was_ready && !view.is_ready() => {
                        Some("the node is not Ready".into())
                    }
                    Some(_) => None,
                })
            }
        }
    }

    /// Changes the images at these places, if they are not the wanted ones.
    async fn change(&self, name: &str, address: &str, places: &[&str]) -> Result<(), Diagnostics> {
        let changed = async {
            let client = self.ways.node(address).await?;
            let Some(content) = look::stored(&client).await? else {
                return Ok(());
            };
            let wanted = content.with_image(places, |image| tagged(image, self.wanted()));
            let is_there = places
                .iter()
                .all(|place| content.word(place) == wanted.word(place));
            if is_there {
                return Ok(());
            }
            client
                .apply(&wanted.text(), Mode::NoReboot, false)
                .await
                .map(drop)
        };
        changed.await.map_err(|error: Error| {
            Self::failed(name, &error)
                .left("The other nodes run as before or as wanted.")
                .hint("Run apply again: it goes on with this node.")
        })
    }

    /// Waits until nothing is missing, etcd included.
    async fn settle(&self, name: &str, address: &str, part: Part) -> Result<(), Diagnostics> {
        let what = match part {
            Part::Server => format!("the API server of {name} to run {}", self.wanted()),
            Part::Kubelet { .. } => format!("the kubelet of {name} to run {}", self.wanted()),
        };
        let policy = self
            .ways
            .access
            .policy(what, Duration::from_secs(2), Duration::from_secs(5))
            .at_most(self.ways.access.pace(SETTLE).max(Duration::from_secs(20)));
        let settled = wait(&self.limits, &policy, async || {
            self.kubernetes.try_again();
            match self.missing(name, address, part).await {
                Ok(None) => {
                    let etcd = health::etcd(self.ways, self.cluster).await;
                    if etcd.is_empty() {
                        Probe::<(), Error>::Done(())
                    } else {
                        Probe::NotYet(etcd.join("; "))
                    }
                }
                Ok(Some(reason)) | Err(reason) => Probe::NotYet(reason),
            }
        });
        settled.await.map_err(|error| {
            Self::failed(name, &error)
                .left("The other nodes run as before or as wanted.")
                .hint("Run apply again: it goes on with this node.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_gets_another_tag_and_loses_a_digest() {
        let tag = |image| tagged(image, "v1.37.0");
        assert_eq!(
            tag("ghcr.io/siderolabs/kubelet:v1.36.3"),
            "ghcr.io/siderolabs/kubelet:v1.37.0"
        );
        assert_eq!(
            tag("registry.example.org:5000/kubelet"),
            "registry.example.org:5000/kubelet:v1.37.0"
        );
        assert_eq!(tag("a/b:v1.36.3@sha256:00"), "a/b:v1.37.0");
    }

    #[test]
    fn build_metadata_is_no_other_version() {
        assert!(is_same("v1.36.3+lab", "v1.36.3"));
        assert!(!is_same("v1.36.2", "v1.36.3"));
        assert!(is_same("odd", "odd"));
    }
}
