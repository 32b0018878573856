//! `kubeadm upgrade apply` and `kubeadm upgrade node`: static pods one after the other, then the cluster's configuration.
//!
//! The refusals are kubeadm's own; a downgrade, which kubeadm allows by one minor version, is not simulated.

use std::sync::Arc;

use crate::machine::connection::Link;
use crate::machine::shell::Streams;
use crate::machine::state::Machine;

use super::{Cluster, Failure, control_plane, ends, preflight, reaches_api};

/// Simulated seconds without etcd, without an API server, and until the other two run.
const ETCD: u64 = 8;
const API_SERVER: u64 = 15;
const REST: u64 = 6;

/// Upgrades the first control plane and the cluster's configuration.
pub(super) async fn apply(
    machine: &Arc<Machine>,
    version: &str,
    streams: &mut Streams,
) -> Result<(), Failure> {
    let (name, cluster) = member(machine)?;
    streams.say("[upgrade] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"...");
    machine.pass(3).await;
    let installed = machine.kubernetes_version().unwrap_or_default();
    allowed(&cluster.plane.version(), &installed, version)?;
    let nodes = cluster.plane.estate();
    let sick: Vec<&String> = nodes["nodes"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, node)| {
            let roles = node["roles"].as_array();
            roles.is_some_and(|roles| roles.contains(&"control-plane".into()))
                && node["ready"] != true
        })
        .map(|(name, _)| name)
        .collect();
    if !sick.is_empty() {
        let text = format!("there are NotReady control-planes in the cluster: {sick:?}");
        return Err(Failure::Preflight(vec![(
            "ControlPlaneNodesReady".into(),
            text,
        )]));
    }
    ends(machine, "preflight")?;
    components(machine, &cluster, &name, version, streams).await?;
    ends(machine, "control-plane")?;
    cluster
        .plane
        .configure_version(version)
        .map_err(|error| Failure::Phase("upload-config", error))?;
    finish(
        machine,
        &[
            "upload-config",
            "kubelet-config",
            "bootstrap-token",
            "addon",
            "post-upgrade",
        ],
        streams,
    )
    .await?;
    streams.say(&format!(
        "\n[upgrade] SUCCESS! A control plane node of your cluster was upgraded to {version:?}.\n"
    ));
    streams.say("[upgrade] Now please proceed with upgrading the rest of the nodes by following the right order.");
    Ok(())
}

/// Upgrades what runs on this node to the cluster's version.
pub(super) async fn node(machine: &Arc<Machine>, streams: &mut Streams) -> Result<(), Failure> {
    let (name, cluster) = member(machine)?;
    streams.say("[upgrade] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"...");
    machine.pass(3).await;
    let version = cluster.plane.version();
    let installed = machine.kubernetes_version().unwrap_or_default();
    if preflight::minor(&installed) < preflight::minor(&version) {
        return Err(Failure::General(format!(
            "this version of kubeadm only supports deploying clusters with the control plane version <= {installed}. Current version: {version}"
        )));
    }
    ends(machine, "preflight")?;
    let control_plane = {
        let state = machine.state();
        state
            .member
            .node
            .as_ref()
            .is_some_and(|node| node.control_plane)
    };
    if control_plane {
        components(machine, &cluster, &name, &version, streams).await?;
        ends(machine, "control-plane")?;
    } else {
        streams.say("[upgrade/control-plane] Skipping phase. Not a control plane node.");
    }
    finish(
        machine,
        &["kubelet-config", "addon", "post-upgrade"],
        streams,
    )
    .await
}

async fn finish(
    machine: &Machine,
    phases: &[&'static str],
    streams: &mut Streams,
) -> Result<(), Failure> {
    for phase in phases {
        streams.say(&format!("[upgrade/{phase}] done (simulated)"));
        machine.pass(1).await;
        ends(machine, phase)?;
    }
    Ok(())
}

fn member(machine: &Machine) -> Result<(String, Arc<Cluster>), Failure> {
    let found = {
        let state = machine.state();
        state
            .member
            .node
            .as_ref()
            .map(|node| node.name.clone())
            .zip(state.member.cluster.clone())
    };
    let Some(found) = found else {
        return Err(Failure::General("couldn't create a Kubernetes client from file \"/etc/kubernetes/kubelet.conf\": failed to load admin kubeconfig: open /etc/kubernetes/kubelet.conf: no such file or directory".into()));
    };
    if !reaches_api(machine) {
        return Err(Failure::General(
            "failed to get config map: Get \"https://kubeadm-config\": dial tcp: i/o timeout"
                .into(),
        ));
    }
    Ok(found)
}

/// kubeadm's rules: at most its own version, at most one minor version further.
fn allowed(cluster: &str, installed: &str, wanted: &str) -> Result<(), Failure> {
    let parse = |text: &str| -> Option<(u32, u32, u32)> {
        let (major, minor) = preflight::minor(text)?;
        Some((major, minor, text.rsplit('.').next()?.parse().ok()?))
    };
    let (Some(from), Some(own), Some(to)) = (parse(cluster), parse(installed), parse(wanted))
    else {
        return Err(Failure::General(format!(
            "couldn't parse version {wanted:?}"
        )));
    };
    let refused = |why: String| {
        Err(Failure::General(format!(
            "[upgrade/version] FATAL: the --version argument is invalid due to these errors:\n\n\t- {why}\n\nCan be bypassed if you pass the --force flag"
        )))
    };
    if to < from {
        return Err(Failure::Unknown(format!(
            "`kubeadm upgrade apply {wanted}` in a cluster of {cluster}, which is a downgrade"
        )));
    }
    if (to.0, to.1) > (from.0, from.1 + 1) {
        return refused(format!(
            "Specified version to upgrade to {wanted:?} is too high; kubeadm can upgrade only 1 minor version at a time"
        ));
    }
    if to > own {
        return refused(format!(
            "Specified version to upgrade to {wanted:?} is higher than the kubeadm version {installed:?}. Upgrade kubeadm first using the tool you used to install kubeadm"
        ));
    }
    if (to.0, to.1) != (own.0, own.1) {
        return refused(format!(
            "Kubeadm version {installed} can only be used to upgrade to Kubernetes version {}.{}",
            own.0, own.1
        ));
    }
    Ok(())
}

/// Replaces the static pods: etcd is away for a moment, then the API server.
async fn components(
    machine: &Arc<Machine>,
    cluster: &Arc<Cluster>,
    name: &str,
    version: &str,
    streams: &mut Streams,
) -> Result<(), Failure> {
    let failed = |error: String| Failure::Phase("control-plane", error);
    let (authorities, advertise) = {
        let state = machine.state();
        let authorities = control_plane::authorities(&state.files, machine.world.clock.now());
        let address = state.member.node.as_ref().map(|node| node.address);
        (
            authorities.map_err(|errors| failed(errors.join("; ")))?,
            address.unwrap_or(machine.spec.ipv4),
        )
    };
    streams.say("[upgrade/staticpods] Renewing certificates and writing new manifests (simulated)");
    let serving = control_plane::certificates(
        machine,
        &authorities,
        &cluster.configuration,
        name,
        advertise,
    )
    .map_err(failed)?;
    machine.state().member.replacing.etcd = true;
    machine.pass(ETCD).await;
    machine.state().member.replacing.etcd = false;
    machine.state().member.replacing.api = true;
    cut(machine, 6443);
    machine.pass(API_SERVER).await;
    machine.state().member.replacing.api = false;
    control_plane::serve(machine, cluster, name, &serving)?;
    machine.pass(REST).await;
    cluster.plane.replace_components(name, version);
    streams.say("[upgrade/staticpods] Component \"kube-apiserver\" upgraded successfully!");
    Ok(())
}

/// Whoever talks to a process that ends loses the connection.
fn cut(machine: &Machine, port: u16) {
    for connection in machine.state().connections.alive() {
        if connection.packet.port == port {
            connection.set(Link::Closed);
        }
    }
}
