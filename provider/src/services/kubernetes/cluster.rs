//! `strata_kubernetes_cluster`: the cluster as a whole, and the upgrade of its Kubernetes ([`super::upgrade`]). Created last, when every node is Ready; destroyed first, which marks the tear-down (FN7).
//!
//! "Not ready in time" is a warning and `ready = false`, never an error: an error would taint the cluster, and destroying a tainted one would mark a
//! tear-down that nobody asked for. The next plan shows an update, which is the resumed wait.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Probe, Resource, Schema, Timeouts,
    WaitError, chain, wait,
};

use super::upgrade::Upgrade;
use crate::absence;
use crate::access::Access;
use crate::claim::{self, State};
use crate::kubernetes::node::{self, Readiness};
use crate::kubernetes::{Client, Error, version};
use crate::provider::{Strata, store_failed};
use crate::services::attribute::Cluster;

/// An update may take longer, for an upgrade; the wait after it need not.
const READY: Duration = Duration::from_mins(15);

/// A cluster of which every node is Ready.
///
/// Let it depend on everything that makes the cluster: created last, it waits until every node is Ready and cluster DNS serves. A wait that
/// does not end in time is a warning and `ready = false`, and the next apply goes on waiting.
///
/// A change of `kubernetes_version` upgrades the cluster, one node at a time, control planes first: the node is emptied (disruption budgets are
/// honoured), gets the new extension, `kubeadm upgrade` and a new kubelet through its door, and is given back when it is Ready, the API
/// answers and every member of etcd is healthy. An upgrade that was broken off goes on with the node it was at. Machines and nodes show no change.
///
/// Before an upgrade and before the cluster is destroyed a snapshot of etcd is kept in `clusters/<name>/snapshots` of the project, in the lab in
/// `.strata/<name>/snapshots`. Without one no upgrade begins.
///
/// Destroyed first, it marks the tear-down, under which the removal of nodes skips drain and quorum. Outside the lab the mark is written
/// only when `STRATA_TEARDOWN` holds the name of the cluster, which `./bootstrap.sh destroy` sets; without it the resource is forgotten with
/// a warning, and nodes leave one by one.
///
/// # Permissions
///
/// - In the store: read of the PKI and of the fingerprints' key, read and write of `claim/init`.
/// - At the Kubernetes API: none to grant. From the PKI the provider signs itself a client certificate of group `system:masters` that lives
///   one hour. It is used to read Nodes, the Deployment `coredns` in `kube-system`, and the version; for an upgrade also to cordon and mark
///   Nodes, evict Pods, create one-shot Pods in `kube-system`, and read ConfigMap `kubeadm-config` and the API servers' Pods.
///
/// # Errors
///
/// - "Cluster ... is not ready yet" (warning): the message names what is missing. Run apply again, or raise `timeouts`.
/// - "Cannot upgrade the cluster to ...": an older release, more than one minor release ahead, or a node that is not Ready. At plan time where
///   the state tells.
/// - "Cannot upgrade node ...": its pods did not leave, the step on it failed or it did not come back. It stays cordoned, and the next apply goes on
///   with it.
/// - "Cluster ... does not run ... everywhere" (warning): it was created over nodes of another version. The next apply upgrades them.
/// - "Cannot find the store of ..." (warning; an error at destroy): the store lacks more than the claim, so it is another one or not there right
///   now. The state is kept.
/// - "Cluster ... goes without a last snapshot of etcd" (warning, at destroy): its API did not answer, or the snapshot could not be written.
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
    /// Kubernetes version that every node runs, e.g. `v1.35.1`. A change is an upgrade: to a patch release, or to the next minor release.
    /// Without it nothing is upgraded, nor is a cluster of Talos, which `strata_talos_cluster` upgrades.
    #[schema(optional)]
    pub kubernetes_version: Attr<String>,
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

/// What to do about nodes of another version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Otherwise {
    SaySo,
    Upgrade,
}

impl KubernetesCluster {
    /// Whether every node runs the wanted version; what does not is upgraded first, if that is asked for.
    async fn is_at_version(
        cx: &Of<'_, Self>,
        planned: &Self,
        otherwise: Otherwise,
    ) -> Result<bool, Diagnostics> {
        let Some(wanted) = planned.kubernetes_version.known() else {
            return Ok(true);
        };
        let access = Access::of(cx.provider).await?;
        let cluster = planned.cluster.require("cluster")?;
        let pki = access.pki(cluster.pki.require("cluster.pki")?).await?;
        if pki.is_talos() {
            return Ok(true);
        }
        let client = access.client_with(cluster, &pki)?;
        let upgrade = Upgrade {
            access: &access,
            limits: cx.limits(),
            client: &client,
            cluster,
            nodes: &planned.nodes.or_default(),
            wanted,
        };
        if upgrade.is_done().await? {
            return Ok(true);
        }
        if otherwise == Otherwise::SaySo {
            return Ok(false);
        }
        Self::snapshot(cx, &access, &client, cluster).await?;
        upgrade.run().await.map(|()| true)
    }

    async fn last_snapshot(cx: &Of<'_, Self>, cluster: &Cluster) -> Result<(), Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let pki = access.pki(cluster.pki.require("cluster.pki")?).await?;
        // `strata_talos_cluster` goes after this one, and keeps one.
        if pki.is_talos() {
            return Ok(());
        }
        let client = access.client_with(cluster, &pki)?;
        client
            .ready()
            .await
            .map_err(|error| Diagnostics::failed("reach", "cluster", client.endpoint(), &error))?;
        Self::snapshot(cx, &access, &client, cluster).await
    }

    /// A snapshot of what is about to change, kept beside the cluster file.
    async fn snapshot(
        cx: &Of<'_, Self>,
        access: &Access<'_>,
        client: &Client,
        cluster: &Cluster,
    ) -> Result<(), Diagnostics> {
        let pki = access.pki(cluster.pki.require("cluster.pki")?).await?;
        let kept = access.snapshot(&cx.limits(), client, &pki).await?;
        tracing::info!("snapshot of etcd before the change: {}", kept.place);
        Ok(())
    }

    async fn converge(cx: &Of<'_, Self>, mut planned: Self) -> Result<Self, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let name = planned.name.require("name")?.clone();
        let client = access.client(planned.cluster.require("cluster")?).await?;
        let wanted = planned.nodes.or_default();
        let policy = access
            .policy(
                format!("cluster {name} to be ready"),
                Duration::from_secs(3),
                Duration::from_secs(10),
            )
            .at_most(READY);
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
    const TIMEOUTS: Limit = Limit::minutes(15, 2, 180, 5);

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        // Unknown, not true: a wait that ends without result is no error, and its answer is then false.
        if let Some(prior) = change.prior() {
            let unfinished = prior.ready.known() != Some(&true);
            let upgrade = prior.kubernetes_version != planned.state.kubernetes_version;
            if let (Some(from), Some(to)) = (
                prior.kubernetes_version.known(),
                planned.state.kubernetes_version.known(),
            ) && upgrade
            {
                version::allowed(from, to).map_err(|reason| {
                    Diagnostics::invalid(
                        Path::of("kubernetes_version"),
                        format!("Cannot upgrade the cluster to {to}: {reason}."),
                    )
                })?;
            }
            planned.state.ready = if unfinished || upgrade || prior.nodes != planned.state.nodes {
                Attr::Unknown
            } else {
                prior.ready.clone()
            };
            // Whatever goes on now may end at another version than the one that was seen last.
            if planned.state.ready.is_unknown() {
                planned.state.version = Attr::Unknown;
            }
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        let mut created = Self::converge(cx, planned).await?;
        if created.ready == Attr::Known(true)
            && !Self::is_at_version(cx, &created, Otherwise::SaySo).await?
        {
            created.ready = false.into();
            cx.warn(
                Diagnostics::warning(
                    format!(
                        "Cluster \"{}\" does not run {} everywhere",
                        created.name.text(),
                        created.kubernetes_version.text()
                    ),
                    "Creating this resource looks at the cluster and changes nothing.",
                )
                .hint("Run apply again: it upgrades the nodes."),
            );
        }
        Ok(created)
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
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        if prior.kubernetes_version != planned.kubernetes_version {
            // Broken off, it is neither what it was nor what is wanted: the next plan shows an update, which goes on.
            cx.save(&Self {
                ready: false.into(),
                kubernetes_version: prior.kubernetes_version.clone(),
                version: prior.version.clone(),
                ..planned.clone()
            });
            Self::is_at_version(cx, &planned, Otherwise::Upgrade).await?;
            return Self::converge(cx, planned).await;
        }
        let seen = Self::converge(cx, planned.clone()).await?;
        if seen.ready != Attr::Known(true)
            || Self::is_at_version(cx, &planned, Otherwise::SaySo).await?
        {
            return Ok(seen);
        }
        Self::is_at_version(cx, &planned, Otherwise::Upgrade).await?;
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
        if let Some(cluster) = prior.cluster.known()
            && let Err(found) = Self::last_snapshot(cx, cluster).await
        {
            cx.warn(
                Diagnostics::warning(
                    format!(
                        "Cluster \"{}\" goes without a last snapshot of etcd",
                        prior.name.text()
                    ),
                    found.to_string(),
                )
                .left("What it held can only come back from an earlier one."),
            );
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
            kubernetes_version: Attr::Null,
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
            kubelet: "v1.34.2".into(),
            boot: String::new(),
            cordoned: false,
            work: None,
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
