//! `strata_talos_cluster`: etcd is made once, every node is looked at, and versions are rolled. Reference: <https://docs.siderolabs.com/talos/>, "Upgrading Talos".
//!
//! Which control plane makes the cluster is decided by the claim in the store and by what every control plane says of etcd: two that did would be two
//! clusters. "Not well in time" is a warning and `ready = false`, never an error; the next plan shows an update, which is the resumed wait.

mod bootstrap;
mod equipment;
mod health;
mod kubernetes;
mod system;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Probe, Resource, Schema, Timeouts,
    WaitError, chain, wait,
};

use self::bootstrap::Bootstrap;
use super::look::control_planes;
use super::quorum;
use super::ways::{Ways, host_and_port};
use crate::absence;
use crate::claim::{self, State};
use crate::kubernetes::version;
use crate::provider::{Strata, store_failed};

/// An update may take longer, for an upgrade; the wait after it need not.
const READY: Duration = Duration::from_mins(20);

/// A Talos cluster: its etcd, and the versions that its nodes run.
///
/// Let it depend on all machines. Created, it makes etcd on one control plane, exactly once: an exclusive claim in the store says on which, and no other one
/// may know of members. Then it waits until etcd is healthy on every control plane, every machine has finished its boot and every kubelet has registered.
/// Nodes need not be Ready, since that takes a CNI: `strata_kubernetes_cluster` waits for it.
///
/// A change of `version` or `installer` upgrades Talos, one node at a time, control planes first: with etcd healthy before and after, the new system is
/// written, the node is emptied (disruption budgets are honoured), hands over the leadership of etcd, reboots, and has to prove version, schematic and
/// a new boot before it is given back. A node that fell back to the old version stops the upgrade. A change of `kubernetes_version` changes the images on
/// one node after the other: first what control planes run, then every kubelet. Machines show no change. An upgrade that was broken off goes on where it was.
///
/// Before an upgrade, and before the cluster is destroyed, a snapshot of etcd is kept in `clusters/<name>/snapshots` of the project, in the lab in
/// `.strata/<name>/snapshots`. Without one no upgrade begins.
///
/// Destroyed, it marks the tear-down, under which machines leave without drain and quorum; outside the lab only when `STRATA_TEARDOWN` holds the name of the
/// cluster, which `./bootstrap.sh destroy` sets.
///
/// # Permissions
///
/// - In the store: read of the secrets and of the fingerprints' key, read and write of `claim/init`.
/// - At the machines and at the Kubernetes API: none to grant. From the secrets the provider signs itself client certificates, of role `os:admin` and of group
///   `system:masters`, that live one hour.
///
/// # Errors
///
/// - "Cluster ... is not ready yet" (warning): the message names what is missing. Run apply again, or raise `timeouts`.
/// - "The store says that estate ...": the store belongs to another estate; use another path or cluster name.
/// - "... has etcd data of another cluster": a disk that was not wiped. Nothing was changed.
/// - "Cannot upgrade the cluster to ...": an older release, or more than one minor release ahead.
/// - "Cannot upgrade node ...": the step on it failed, it fell back, or did not become well. It stays cordoned, and the next apply goes on with it.
/// - "Cluster ... does not run ... everywhere" (warning): it was created over nodes of another version. The next apply upgrades them.
/// - "... was forgotten, not marked for tear-down" (warning, at destroy): `STRATA_TEARDOWN` does not name the cluster.
///
/// # Import
///
/// Cannot be imported: there is nothing to take over. Creating it over a cluster that lives looks at it and changes nothing.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "talos_cluster", version = 0)]
pub struct TalosCluster {
    /// Name of the cluster, e.g. `home`. The object that is replaced is this resource, not the cluster.
    #[schema(required, replace)]
    pub name: Attr<String>,
    /// Store entry with the cluster's secrets, e.g. `talos`: a `strata_secret` of kind `talos_secrets`.
    #[schema(required, recorded)]
    pub secrets: Attr<String>,
    /// The Kubernetes API as the machines' configurations have it, e.g. `https://192.0.2.10:6443`. It is dialled at the control planes.
    #[schema(required, recorded, validate = is_endpoint)]
    pub endpoint: Attr<String>,
    /// Version of Talos that every node runs, e.g. `v1.13.9`. A change is an upgrade: to a patch release, or to the next minor release.
    #[schema(required)]
    pub version: Attr<String>,
    /// Installer that upgrades come from, without its version, e.g. `factory.talos.dev/nocloud-installer/<schematic>`. Another schematic is an upgrade, too.
    #[schema(required)]
    pub installer: Attr<String>,
    /// Kubernetes version that every node runs, e.g. `v1.36.3`. A change is an upgrade: to a patch release, or to the next minor release.
    #[schema(required)]
    pub kubernetes_version: Attr<String>,
    /// IP addresses of the control planes by node name, e.g. `{ cp-1 = "192.0.2.11" }`. A change waits again.
    #[schema(required)]
    pub control_planes: Attr<BTreeMap<String, String>>,
    /// IP addresses of the workers by node name. Without it there are none. A change waits again.
    #[schema(optional)]
    pub workers: Attr<BTreeMap<String, String>>,
    /// The name of the cluster.
    #[schema(computed, keep_prior)]
    pub id: Attr<String>,
    /// Names of the control planes that vote in etcd.
    #[schema(computed, keep_prior)]
    pub members: Attr<BTreeSet<String>>,
    /// Whether every check passed. While false, every plan shows an update: the wait goes on.
    #[schema(computed)]
    pub ready: Attr<bool>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

#[allow(clippy::ptr_arg, reason = "the framework passes the field's own type")]
fn is_endpoint(text: &String) -> Result<(), String> {
    match host_and_port(text) {
        Some(_) => Ok(()),
        None => Err(format!(
            "`{text}` is not an address like https://192.0.2.10:6443."
        )),
    }
}

impl TalosCluster {
    /// Every node with its address, control planes first.
    fn nodes(&self) -> Vec<(String, String)> {
        let control_planes = self.control_planes.or_default().into_iter();
        control_planes.chain(self.workers.or_default()).collect()
    }

    /// The installer of the wanted version.
    fn image(&self) -> String {
        let installer = self.installer.text();
        let name = installer.rsplit('/').next().unwrap_or_default();
        if name.contains([':', '@']) {
            installer.to_owned()
        } else {
            format!("{installer}:{}", self.version.text())
        }
    }

    /// The schematic of the installer, if it is one of an Image Factory.
    fn schematic(&self) -> Option<String> {
        let name = self.installer.text().rsplit('/').next()?;
        let id = name.split([':', '@']).next()?;
        let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_id.then(|| id.to_owned())
    }

    /// Makes etcd if nobody has, and waits until the cluster is well.
    async fn converge(cx: &Of<'_, Self>, mut planned: Self) -> Result<Self, Diagnostics> {
        let name = planned.name.require("name")?.clone();
        let ways = Ways::of(cx.provider, planned.secrets.require("secrets")?).await?;
        let bootstrap = Bootstrap {
            provider: cx.provider,
            ways: &ways,
            limits: cx.limits(),
            control_planes: &planned.control_planes.or_default(),
            cluster: &name,
            secrets: planned.secrets.text(),
        };
        planned.id.fill(name.clone());
        let well = match bootstrap.run().await? {
            Ok(()) => Self::wait_until_well(cx, &ways, &planned).await?,
            Err(waited) => Err(waited),
        };
        planned.ready = well.is_ok().into();
        match well {
            Ok(()) => {
                let seen = control_planes(&ways, &planned.control_planes.or_default()).await;
                let all = quorum::members(&seen).unwrap_or_default();
                let votes = |one: &&quorum::Seen| {
                    all.iter()
                        .any(|member| !member.is_learner && member.is_at(&one.address))
                };
                let members: BTreeSet<String> = seen
                    .iter()
                    .filter(votes)
                    .map(|one| one.name.clone())
                    .collect();
                planned.members = members.into();
            }
            Err(waited) => {
                planned.members.fill(Attr::Null);
                cx.warn(
                    Diagnostics::warning(format!("Cluster \"{name}\" is not ready yet"), waited)
                        .hint("Run apply again; it continues to wait. Raise `timeouts` if it only needs longer."),
                );
            }
        }
        Ok(planned)
    }

    async fn wait_until_well(
        cx: &Of<'_, Self>,
        ways: &Ways<'_>,
        planned: &Self,
    ) -> Result<Result<(), String>, Diagnostics> {
        let name = planned.name.text();
        let endpoint = planned.endpoint.require("endpoint")?;
        let kubernetes = ways
            .kubernetes(endpoint, &planned.control_planes.or_default())
            .await?;
        let policy = ways
            .access
            .policy(
                format!("cluster {name} to be well"),
                Duration::from_secs(2),
                Duration::from_secs(5),
            )
            .at_most(READY);
        let well = wait(cx, &policy, async || {
            kubernetes.try_again();
            let missing = health::look(ways, planned, &kubernetes).await;
            if missing.is_empty() {
                Probe::<(), Diagnostics>::Done(())
            } else {
                Probe::NotYet(missing.join("; "))
            }
        });
        match well.await {
            Ok(()) => Ok(Ok(())),
            Err(WaitError::Failed(found)) => Err(found),
            Err(WaitError::TimedOut(waited) | WaitError::Stopped(waited)) => {
                Ok(Err(waited.to_string()))
            }
        }
    }

    /// Whether every node runs what is wanted.
    async fn is_at_version(cx: &Of<'_, Self>, planned: &Self) -> Result<bool, Diagnostics> {
        let ways = Ways::of(cx.provider, planned.secrets.require("secrets")?).await?;
        let system = system::Roll::new(&ways, cx.limits(), planned).await?;
        let kubernetes = kubernetes::Roll::new(&ways, cx.limits(), planned).await?;
        Ok(system.is_done().await? && kubernetes.is_done().await?)
    }

    /// Upgrades what does not run what is wanted: Talos first, since it decides which versions of Kubernetes it runs.
    async fn roll(cx: &Of<'_, Self>, planned: &Self) -> Result<(), Diagnostics> {
        let ways = Ways::of(cx.provider, planned.secrets.require("secrets")?).await?;
        let system = system::Roll::new(&ways, cx.limits(), planned).await?;
        let kubernetes = kubernetes::Roll::new(&ways, cx.limits(), planned).await?;
        if system.is_done().await? && kubernetes.is_done().await? {
            return Ok(());
        }
        let kept = super::snapshot::keep(
            &ways,
            planned.secrets.text(),
            &planned.control_planes.or_default(),
        )
        .await?;
        tracing::info!("snapshot of etcd before the change: {}", kept.place);
        let _serial = ways.lock(&cx.limits(), planned.name.text()).await?;
        system.run().await?;
        kubernetes.run().await
    }
}

/// Whether Talos may go from one version to another: one minor release at a time, and not back.
fn allowed(from: &str, to: &str) -> Result<(), String> {
    let parse = |text: &str| version::Version::parse(text.split('-').next().unwrap_or_default());
    let Some(wanted) = parse(to) else {
        return Err(format!("`{to}` is not a release like v1.13.9"));
    };
    let Some(current) = parse(from) else {
        return Ok(());
    };
    if wanted < current {
        return Err(format!(
            "the cluster runs {from}; going back to {to} is done by hand, one node at a time (talosctl rollback)"
        ));
    }
    let next = current.minor + 1;
    if wanted.major != current.major || wanted.minor > next {
        return Err(format!(
            "from {from} to {to} is more than one minor release. Go to v{}.{next}.x first",
            current.major
        ));
    }
    Ok(())
}

impl Resource for TalosCluster {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Talos";
    const TIMEOUTS: Limit = Limit::minutes(30, 2, 180, 5);

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        let Some(prior) = change.prior() else {
            return Ok(planned);
        };
        let step = |attribute: &str,
                    from: &Attr<String>,
                    to: &Attr<String>,
                    rule: fn(&str, &str) -> Result<(), String>| match (
            from.known(),
            to.known(),
        ) {
            (Some(from), Some(to)) if from != to => rule(from, to).map_err(|reason| {
                Diagnostics::invalid(
                    Path::of(attribute),
                    format!("Cannot upgrade the cluster to {to}: {reason}."),
                )
            }),
            _ => Ok(()),
        };
        let next = &planned.state;
        step("version", &prior.version, &next.version, allowed)?;
        step(
            "kubernetes_version",
            &prior.kubernetes_version,
            &next.kubernetes_version,
            version::allowed,
        )?;
        let is_same = prior.version == next.version
            && prior.installer == next.installer
            && prior.kubernetes_version == next.kubernetes_version
            && prior.control_planes == next.control_planes
            && prior.workers == next.workers;
        // Unknown, not true: a wait that ends without result is no error, and its answer is then false.
        planned.state.ready = if is_same && prior.ready.known() == Some(&true) {
            prior.ready.clone()
        } else {
            Attr::Unknown
        };
        if planned.state.ready.is_unknown() {
            planned.state.members = Attr::Unknown;
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        let mut created = Self::converge(cx, planned).await?;
        if created.ready == Attr::Known(true) && !Self::is_at_version(cx, &created).await? {
            created.ready = false.into();
            cx.warn(
                Diagnostics::warning(
                    format!(
                        "Cluster \"{}\" does not run Talos {} and Kubernetes {} everywhere",
                        created.name.text(),
                        created.version.text(),
                        created.kubernetes_version.text()
                    ),
                    "Creating this resource makes etcd and upgrades nothing.",
                )
                .hint("Run apply again: it upgrades the nodes."),
            );
        }
        Ok(created)
    }

    /// The claim is the proof that the cluster exists: it goes with the last node. Health is not drift: it moves by itself.
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
        // Broken off, it is neither what it was nor what is wanted: the next plan shows an update, which goes on.
        cx.save(&Self {
            ready: false.into(),
            version: prior.version.clone(),
            installer: prior.installer.clone(),
            kubernetes_version: prior.kubernetes_version.clone(),
            members: prior.members.clone(),
            ..planned.clone()
        });
        let seen = Self::converge(cx, planned.clone()).await?;
        if seen.ready != Attr::Known(true) || Self::is_at_version(cx, &planned).await? {
            return Ok(seen);
        }
        Self::roll(cx, &planned).await?;
        Self::converge(cx, planned).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let name = prior.name.text();
        if !cx.provider.confirms_teardown() {
            let variable = crate::provider::TEARDOWN;
            cx.warn(
                Diagnostics::warning(
                    format!("Cluster \"{name}\" was forgotten, not marked for tear-down"),
                    format!("{variable} does not name it, so its machines still leave one by one, drained and with quorum."),
                )
                .hint(&format!("To destroy the whole cluster run ./bootstrap.sh destroy, or set {variable}={} first.", cx.provider.cluster())),
            );
            return Ok(());
        }
        let store = cx.provider.store()?;
        let failed = |verb| move |error| store_failed(verb, claim::ENTRY, &error);
        if claim::read(&*store)
            .await
            .map_err(failed("read"))?
            .is_none()
        {
            // Forgotten without the mark, its machines could not leave.
            return match absence::doubt(&*store, "cluster", name).await {
                Some(found) => Err(found),
                None => Ok(()),
            };
        }
        let kept = async {
            let ways = Ways::of(cx.provider, prior.secrets.text()).await?;
            super::snapshot::keep(
                &ways,
                prior.secrets.text(),
                &prior.control_planes.or_default(),
            )
            .await
        };
        if let Err(found) = kept.await {
            cx.warn(
                Diagnostics::warning(
                    format!("Cluster \"{name}\" goes without a last snapshot of etcd"),
                    chain(&found),
                )
                .left("What it held can only come back from an earlier one."),
            );
        }
        // `strata_kubernetes_cluster` may have marked it before.
        claim::set(&*store, State::Teardown)
            .await
            .map_err(failed("write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(installer: &str) -> TalosCluster {
        TalosCluster {
            name: "home".into(),
            secrets: "talos".into(),
            endpoint: "https://192.0.2.10:6443".into(),
            version: "v1.13.9".into(),
            installer: installer.into(),
            kubernetes_version: "v1.36.3".into(),
            control_planes: BTreeMap::from([("cp-1".to_owned(), "192.0.2.11".to_owned())]).into(),
            workers: Attr::Null,
            id: Attr::Null,
            members: Attr::Null,
            ready: Attr::Null,
            timeouts: Attr::Null,
        }
    }

    #[test]
    fn the_installer_gets_the_version_and_tells_its_schematic() {
        let id = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";
        let factory = cluster(&format!("factory.talos.dev/nocloud-installer/{id}"));
        assert_eq!(
            factory.image(),
            format!("factory.talos.dev/nocloud-installer/{id}:v1.13.9")
        );
        assert_eq!(factory.schematic().as_deref(), Some(id));
        let plain = cluster("registry.example.org:5000/siderolabs/installer");
        assert_eq!(
            plain.image(),
            "registry.example.org:5000/siderolabs/installer:v1.13.9"
        );
        assert_eq!(plain.schematic(), None);
        let pinned = cluster("ghcr.io/siderolabs/installer:v1.13.8");
        assert_eq!(pinned.image(), "ghcr.io/siderolabs/installer:v1.13.8");
    }

    #[test]
    fn talos_goes_one_minor_release_ahead_and_not_back() {
        assert_eq!(allowed("v1.13.8", "v1.13.9"), Ok(()));
        assert_eq!(allowed("v1.13.9", "v1.14.0"), Ok(()));
        assert!(
            allowed("v1.12.3", "v1.14.0")
                .unwrap_err()
                .contains("v1.13.x")
        );
        assert!(
            allowed("v1.14.0", "v1.13.9")
                .unwrap_err()
                .contains("rollback")
        );
        assert!(
            allowed("v1.13.9", "latest")
                .unwrap_err()
                .contains("not a release")
        );
    }
}
