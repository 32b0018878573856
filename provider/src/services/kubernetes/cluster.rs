//! `strata_kubernetes_cluster`: the cluster as a whole. Created last, when every node is Ready; destroyed first, which marks the tear-down (FN7).
//!
//! "Not ready in time" is a warning and `ready = false`, never an error: an error would taint the cluster, and destroying a tainted one would mark a
//! tear-down that nobody asked for. The next plan shows an update, which is the resumed wait.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Planned, Probe, Resource, Schema, Timeouts,
    WaitError, chain, wait,
};

use crate::absence;
use crate::access::Access;
use crate::claim::{self, State};
use crate::kubernetes::node::{self, Readiness};
use crate::kubernetes::{Client, Error};
use crate::provider::{Strata, store_failed};
use crate::services::attribute::Cluster;

/// A cluster of which every node is Ready.
///
/// Let it depend on everything that makes the cluster: created last, it waits until every node is Ready and cluster DNS serves. A wait that
/// does not end in time is a warning and `ready = false`, and the next apply goes on waiting.
///
/// Destroyed first, it marks the tear-down, under which the removal of nodes skips drain and quorum. Outside the lab the mark is written
/// only when `STRATA_TEARDOWN` holds the name of the cluster, which `./bootstrap.sh destroy` sets; without it the resource is forgotten with
/// a warning, and nodes leave one by one.
///
/// # Permissions
///
/// - In the store: read of the PKI and of the fingerprints' key, read and write of `claim/init`.
/// - At the Kubernetes API: none to grant. From the PKI the provider signs itself a client certificate of group `system:masters` that lives
///   one hour. It is used to read Nodes, the Deployment `coredns` in `kube-system`, and the version.
///
/// # Errors
///
/// - "Cluster ... is not ready yet" (warning): the message names what is missing. Run apply again, or raise `timeouts`.
/// - "Cannot find the store of ..." (warning; an error at destroy): the store lacks more than the claim, so it is another one or not there right
///   now. The state is kept.
/// - "... was forgotten, not marked for tear-down" (warning, at destroy): `STRATA_TEARDOWN` does not name the cluster.
///
/// # Import
///
/// Cannot be imported: there is nothing to take over. Creating it looks at the cluster and changes nothing.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "kubernetes_cluster", version = 0)]
pub struct KubernetesCluster {
    /// Name of the cluster, e.g. `home`. The object that is replaced is this resource, not the cluster.
    #[schema(required, replace)]
    pub name: Attr<String>,
    /// The cluster. Only `endpoint`, `port`, `pki` and `control_planes` are looked at.
    #[schema(required, recorded)]
    pub cluster: Attr<Cluster>,
    /// Names of all nodes that must be Ready, e.g. `["cp-1", "w-1"]`. A change waits again.
    #[schema(required)]
    pub nodes: Attr<BTreeSet<String>>,
    /// The name of the cluster.
    #[schema(computed, keep_prior)]
    pub id: Attr<String>,
    /// Whether every node was Ready and every check passed. While false, every plan shows an update: the wait goes on.
    #[schema(computed)]
    pub ready: Attr<bool>,
    /// Kubernetes version that the API reports, e.g. `v1.34.2`.
    #[schema(computed, keep_prior)]
    pub version: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

/// What is still missing, in words; empty when nothing is.
fn missing(wanted: &BTreeSet<String>, nodes: &[node::View]) -> Vec<String> {
    let mut missing = Vec::new();
    for name in wanted {
        match nodes
            .iter()
            .find(|view| view.name == *name)
            .map(|view| &view.readiness)
        {
            Some(Readiness::Ready) => {}
            Some(Readiness::NotReady(reason)) => {
                missing.push(format!("node {name} is not Ready ({reason})"));
            }
            Some(Readiness::Silent) => missing.push(format!("node {name} has not been heard of")),
            None => missing.push(format!("node {name} is not in the cluster")),
        }
    }
    missing
}

/// Cluster DNS serves; a cluster without it by choice passes.
async fn dns(client: &Client) -> Result<Option<String>, Error> {
    let api: Api<Deployment> = Api::namespaced(client.api(), "kube-system");
    let found = api
        .get_opt("coredns")
        .await
        .map_err(Error::during("read Deployment", "coredns"))?;
    let available = found.map(|deployment| {
        deployment
            .status
            .and_then(|status| status.available_replicas)
            .unwrap_or(0)
    });
    Ok((available == Some(0))
        .then(|| "cluster DNS (Deployment coredns) has no available replica".into()))
}

async fn check(client: &Client, wanted: &BTreeSet<String>) -> Result<Vec<String>, Error> {
    let mut found = missing(wanted, &node::list(client).await?);
    if found.is_empty() {
        found.extend(dns(client).await?);
    }
    Ok(found)
}

impl KubernetesCluster {
    async fn converge(cx: &Of<'_, Self>, mut planned: Self) -> Result<Self, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let name = planned.name.require("name")?.clone();
        let client = access.client(planned.cluster.require("cluster")?).await?;
        let wanted = planned.nodes.or_default();
        let policy = access.policy(
            format!("cluster {name} to be ready"),
            Duration::from_secs(3),
            Duration::from_secs(10),
        );
        let ready = wait(cx, &policy, async || match check(&client, &wanted).await {
            Ok(missing) if missing.is_empty() => Probe::Done(()),
            Ok(missing) => Probe::NotYet(missing.join("; ")),
            Err(error) if error.is_unreachable() => {
                client.try_again();
                Probe::NotYet(chain(&error))
            }
            Err(error) => Probe::Failed(error),
        })
        .await;
        planned.ready = Attr::Known(ready.is_ok());
        match ready {
            Ok(()) => {
                // A tear-down that was broken off and not gone through with is over.
                claim::set(access.store(), State::Initialised).await.map_err(|error| store_failed("write", claim::ENTRY, &error))?;
                let version = client.version().await.map_err(|error| Diagnostics::failed("observe", "cluster", &name, &error))?;
                planned.version.fill(version);
            }
            Err(WaitError::TimedOut(waited) | WaitError::Stopped(waited)) => cx.warn(
                Diagnostics::warning(format!("Cluster \"{name}\" is not ready yet"), waited.to_string())
                    .hint("Run apply again; it continues to wait. Raise `timeouts` if it only needs longer."),
            ),
            Err(WaitError::Failed(error)) => cx.warn(Diagnostics::failed("observe", "cluster", &name, &error)),
        }
        planned.version.fill(Attr::Null);
        planned.id.fill(name);
        Ok(planned)
    }
}

impl Resource for KubernetesCluster {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Kubernetes";
    const TIMEOUTS: Limit = Limit::minutes(15, 2, 15, 5);

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        // Unknown, not true: a wait that ends without result is no error, and its answer is then false.
        if let Some(prior) = change.prior() {
            let unfinished = prior.ready.known() != Some(&true);
            planned.state.ready = if unfinished || prior.nodes != planned.state.nodes {
                Attr::Unknown
            } else {
                prior.ready.clone()
            };
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        Self::converge(cx, planned).await
    }

    /// The claim is the proof that the cluster exists: it goes with the last node. Health is not drift: it moves by itself, and `status` shows it.
    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        let store = cx.provider.store()?;
        match claim::read(&*store).await {
            Ok(Some(_)) => Ok(Found::Present(prior)),
            Ok(None) => Ok(
                match absence::doubt(&*store, "cluster", prior.name.text()).await {
                    Some(found) => Found::Unknown(found),
                    None => Found::Gone,
                },
            ),
            Err(error) => Ok(Found::Unknown(store_failed("read", claim::ENTRY, &error))),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Self::converge(cx, planned).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        if !cx.provider.confirms_teardown() {
            let variable = crate::provider::TEARDOWN;
            cx.warn(
                Diagnostics::warning(
                    format!("Cluster \"{}\" was forgotten, not marked for tear-down", prior.name.text()),
                    format!("{variable} does not name it, so its nodes still leave one by one, drained and with quorum; the last control plane cannot leave."),
                )
                .hint(&format!("To destroy the whole cluster run ./bootstrap.sh destroy, or set {variable}={} first.", cx.provider.cluster())),
            );
            return Ok(());
        }
        let store = cx.provider.store()?;
        let failed = |verb| move |error| store_failed(verb, claim::ENTRY, &error);
        // Forgotten without the mark, its nodes could not leave.
        if claim::read(&*store)
            .await
            .map_err(failed("read"))?
            .is_none()
            && let Some(found) = absence::doubt(&*store, "cluster", prior.name.text()).await
        {
            return Err(found);
        }
        claim::set(&*store, State::Teardown)
            .await
            .map_err(failed("write"))
    }
}

#[cfg(test)]
mod tests {
    use strata_framework::Harness;

    use super::*;
    use crate::provider::tests::provider;

    #[tokio::test]
    async fn a_store_that_is_not_there_is_no_proof_that_the_cluster_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let harness = Harness::new(provider(folder.path()));
        let cluster = KubernetesCluster {
            name: "home".into(),
            nodes: Attr::Known(BTreeSet::new()),
            cluster: Attr::Null,
            id: "home".into(),
            ready: true.into(),
            version: Attr::Null,
            timeouts: Attr::Null,
        };
        let read = async || KubernetesCluster::read(&harness.cx(), cluster.clone()).await;
        let delete = async || KubernetesCluster::delete(&harness.cx(), cluster.clone()).await;
        assert!(matches!(read().await.unwrap(), Found::Unknown(_)));
        assert!(delete().await.is_err());
        // A store that served before, and has no claim: the last node took it along.
        let provider = harness.cx::<KubernetesCluster>().provider;
        provider.fingerprint(b"anything").await.unwrap();
        assert!(matches!(read().await.unwrap(), Found::Gone));
        delete().await.unwrap();
    }

    #[test]
    fn what_is_missing_is_named() {
        let view = |name: &str, readiness| node::View {
            name: name.into(),
            addresses: vec![],
            control_plane: false,
            readiness,
        };
        let nodes = [
            view("a", Readiness::Ready),
            view("b", Readiness::NotReady("no CNI".into())),
            view("c", Readiness::Silent),
        ];
        let wanted = ["a", "b", "c", "d"].map(String::from).into();
        assert_eq!(
            missing(&wanted, &nodes),
            [
                "node b is not Ready (no CNI)",
                "node c has not been heard of",
                "node d is not in the cluster"
            ]
        );
    }
}
