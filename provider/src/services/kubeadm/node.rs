//! `strata_kubeadm_node`: a machine with Flatcar becomes a node. Init or join is decided inside Create by the claim in the store (FN7).
//!
//! Identity is the name. A change of role, address or machine replaces the node; everything in `cluster` counts only at creation and is otherwise recorded. Ready is not
//! awaited: that needs the CNI. Not handled: upgrades of Kubernetes (they belong to the cluster resource, and show no change here).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Resource, Schema, Timeouts,
};

use super::bring_up::Newcomer;
use super::config::{self, Taint};
use super::leave::Leaver;
use crate::access::{Access, UNSEEN};
use crate::kubernetes::node;
use crate::provider::Strata;
use crate::services::attribute::{Cluster, Ssh};

/// A node of a kubeadm cluster.
///
/// A machine that runs Flatcar with the Ignition of the function `ignition` becomes a control plane or a worker. Control planes are best one
/// resource with `for_each`: which of them runs `kubeadm init` is decided when they are created, by an exclusive claim in the store, and the
/// others join one at a time. Join tokens are minted for one join and revoked after it. Being Ready is not awaited here: that needs a CNI.
///
/// A node that is destroyed is drained (before a control plane goes, a snapshot of etcd is kept in the project), leaves etcd, is reset and deleted from the API. Under the tear-down that `strata_kubernetes_cluster`
/// marks, it is only forgotten.
///
/// # Permissions
///
/// - In the store: read of the PKI, the keys of `ssh` and the entry `claim/init`; write of `claim/init` and `nodes/<name>/member`.
/// - At the machine: SSH as `ssh.user`, who may run `/opt/strata/bin/strata-node` with `sudo`.
/// - At the Kubernetes API: none to grant. From the PKI the provider signs itself a client certificate of group `system:masters` that lives
///   one hour, so whoever can read the store entry can do everything in the cluster. It is used for Nodes (get, list, patch, delete), Pods
///   (list, evict; create, get, delete in `kube-system`), bootstrap tokens, and once for the binding of group `strata:operators`.
///
/// # Errors
///
/// - "Machine ... is not ready yet": `server_ready` was false, so nothing was done. Run apply again when it is.
/// - "The store says that estate ... initialised a cluster here": the store belongs to another estate; use another path or cluster name.
/// - "This cluster lives and its secrets are not in this store": restore the store that the cluster was built with.
/// - "The node that initialises the cluster failed in this run": mend that node's error and run apply again.
/// - "Removing it now would stop the cluster": etcd would lose its majority, or it is the last control plane.
/// - "Cannot adopt node": `STRATA_ADOPT` is set and the cluster has no such node.
/// - "... leaves without a snapshot of etcd before it" (warning): there is no CNI yet, or the snapshot could not be written.
/// - "... was removed with pods on it" (warning): eviction took longer than five minutes.
///
/// # Import
///
/// The id is `name,address,role`, with role `control-plane` or `worker`. The rest is not the cluster's to know: the first apply records
/// `server_id`, `cluster` and `ssh`, sets labels and taints, and replaces nothing.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "kubeadm_node", version = 0)]
pub struct KubeadmNode {
    /// Name of the node, e.g. `cp-1`: the same as `/etc/hostname` of the machine.
    #[schema(required, replace, pattern("[a-z0-9]([a-z0-9.-]*[a-z0-9])?"))]
    pub name: Attr<String>,
    /// What the node is for.
    #[schema(required, replace, one_of("control-plane", "worker"))]
    pub role: Attr<String>,
    /// Id of the machine, e.g. `strata_scaleway_baremetal_server.cp.id`. Another machine replaces the node.
    #[schema(required)]
    pub server_id: Attr<String>,
    /// Whether the machine is ready, e.g. `strata_scaleway_baremetal_server.cp.ready`. A machine that is not is refused when the node is created.
    #[schema(required, recorded)]
    pub server_ready: Attr<bool>,
    /// IP address of the node, the one that the other nodes and SSH use.
    #[schema(required, replace, validate = is_address)]
    pub address: Attr<String>,
    /// All IP addresses of the machine, for the firewalls of the other nodes. Without it: `address` alone.
    #[schema(optional, recorded)]
    pub addresses: Attr<BTreeSet<String>>,
    /// Labels of the Node object. Labels of others are left alone. Without it the node gets none.
    #[schema(optional)]
    pub labels: Attr<BTreeMap<String, String>>,
    /// Taints, `key=value:Effect` with effect `NoSchedule`, `PreferNoSchedule` or `NoExecute`, e.g. `gpu=yes:NoSchedule`. Taints of others, the
    /// control planes' own among them, are left alone. Without it the node gets none.
    #[schema(optional)]
    pub taints: Attr<Vec<String>>,
    /// The cluster. Counts when the node is created.
    #[schema(required, recorded)]
    pub cluster: Attr<Cluster>,
    /// How to log in to the machine.
    #[schema(required, recorded)]
    pub ssh: Attr<Ssh>,
    /// The name of the node.
    #[schema(computed, keep_prior)]
    pub id: Attr<String>,
    /// Whether this node initialised the cluster; false after an import.
    #[schema(computed, keep_prior)]
    pub initialised: Attr<bool>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

#[allow(clippy::ptr_arg, reason = "the framework passes the field's own type")]
fn is_address(text: &String) -> Result<(), String> {
    text.parse::<IpAddr>()
        .map(drop)
        .map_err(|_| format!("`{text}` is not an IP address."))
}

impl KubeadmNode {
    fn is_control_plane(&self) -> bool {
        self.role.text() == "control-plane"
    }

    fn taints(&self) -> Vec<Taint> {
        self.taints
            .or_default()
            .iter()
            .filter_map(|text| Taint::parse(text))
            .collect()
    }

    fn addresses(&self) -> BTreeSet<IpAddr> {
        let all = self.addresses.or_default();
        all.iter()
            .chain(self.address.known())
            .filter_map(|text| text.parse().ok())
            .collect()
    }
}

impl Resource for KubeadmNode {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Kubernetes";
    const TIMEOUTS: Limit = Limit::minutes(30, 2, 10, 20);

    fn validate(config: &Self, found: &mut Diagnostics) {
        for text in config.taints.known().into_iter().flatten() {
            if Taint::parse(text).is_none() {
                found.merge(Diagnostics::invalid(Path::of("taints"), format!("`{text}` is not `key=value:Effect` with effect NoSchedule, PreferNoSchedule or NoExecute.")));
            }
        }
    }

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        // Not `replace` in the schema: after an import the machine is not known yet, and learning it must not replace a serving node.
        if let Some(prior) = change.prior()
            && !prior.server_id.is_null()
            && prior.server_id != planned.state.server_id
        {
            planned.replace.push(Path::of("server_id"));
        }
        // The version is the machine's on the day it was made. Its upgrade is the cluster's, and no change of any node.
        let before = change.prior().and_then(|prior| prior.cluster.known());
        if let (Some(before), Attr::Known(cluster)) = (before, &mut planned.state.cluster)
            && !before.kubernetes_version.is_null()
        {
            cluster.kubernetes_version = before.kubernetes_version.clone();
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        let name = planned.name.require("name")?.clone();
        if !*planned.server_ready.require("server_ready")? {
            return Err(Diagnostics::error(
                format!("Cannot create node \"{name}\""),
                format!(
                    "Machine {} is not ready yet, so nothing was done. Run apply again when it is: it continues by itself.",
                    planned.server_id.text()
                ),
            ));
        }
        let access = Access::of(cx.provider).await?;
        let newcomer = Newcomer {
            access: &access,
            limits: cx.limits(),
            owner: cx.provider.owner()?,
            cluster: planned.cluster.require("cluster")?,
            ssh: planned.ssh.require("ssh")?,
            name: &name,
            control_plane: planned.is_control_plane(),
            address: planned
                .address
                .require("address")?
                .parse()
                .expect("checked by the schema"),
            addresses: planned.addresses(),
            labels: planned.labels.or_default(),
            taints: planned.taints(),
        };
        let initialised = if cx.provider.only_adopts() {
            newcomer.adopt().await?
        } else {
            newcomer.bring_up().await?
        };
        planned.id.fill(name);
        planned.initialised.fill(initialised);
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        // Straight after an import the cluster is not known; the next apply records it.
        let Some(cluster) = prior.cluster.known() else {
            return Ok(Found::Present(prior));
        };
        let access = Access::of(cx.provider).await?;
        let client = match access.client(cluster).await {
            Ok(client) => client,
            Err(found) => return Ok(Found::Unknown(found.left(UNSEEN))),
        };
        match cx.provider.shared().nodes(&client).await {
            Ok(nodes) if nodes.iter().any(|node| node.name == prior.name.text()) => {
                Ok(Found::Present(prior))
            }
            Ok(_) => Ok(Found::Gone),
            Err(error) => Ok(Found::Unknown(
                Diagnostics::failed("observe", "cluster", client.endpoint(), &error).left(UNSEEN),
            )),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        prior: Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let name = planned.name.require("name")?.clone();
        let client = access.client(planned.cluster.require("cluster")?).await?;
        let failed = |error| Diagnostics::failed("update", "node", &name, &error);
        if prior.labels != planned.labels {
            node::set_labels(&client, &name, &planned.labels.or_default())
                .await
                .map_err(failed)?;
        }
        if prior.taints != planned.taints {
            let (remove, add) = (
                config::api_taints(&prior.taints()),
                config::api_taints(&planned.taints()),
            );
            node::change_taints(&client, &name, &remove, &add)
                .await
                .map_err(failed)?;
        }
        planned.id.fill(name);
        planned.initialised.fill(false);
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let leaver = Leaver {
            access: &access,
            limits: cx.limits(),
            cluster: prior.cluster.require("cluster")?,
            ssh: prior.ssh.require("ssh")?,
            name: prior.name.require("name")?,
            control_plane: prior.is_control_plane(),
            address: prior.address.text(),
        };
        let warnings = leaver.leave().await?;
        if !warnings.is_empty() {
            cx.warn(warnings);
        }
        Ok(())
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let parts: Vec<&str> = id.split(',').collect();
        let [name, address, role @ ("control-plane" | "worker")] = parts[..] else {
            return Err(Diagnostics::error(
                "Cannot import node",
                format!(
                    "`{id}` is not `name,address,role`, like `cp-1,198.51.100.10,control-plane`."
                ),
            ));
        };
        Ok(Self {
            name: name.into(),
            role: role.into(),
            address: address.into(),
            id: name.into(),
            initialised: false.into(),
            server_id: Attr::Null,
            server_ready: Attr::Null,
            addresses: Attr::Null,
            labels: Attr::Null,
            taints: Attr::Null,
            cluster: Attr::Null,
            ssh: Attr::Null,
            timeouts: Attr::Null,
        })
    }
}
