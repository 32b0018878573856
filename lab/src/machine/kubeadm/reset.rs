//! `kubeadm reset --force`: best effort, as contracts/kubeadm-flatcar.md 4.7 says.

use std::sync::Arc;

use crate::machine::connection::Link;
use crate::machine::shell::Streams;
use crate::machine::state::Machine;

use super::Member;

/// The phase `remove-etcd-member`, which asks the other members and deletes etcd's data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Membership {
    Leave,
    /// `--skip-phases=remove-etcd-member`
    Keep,
}

/// Undoes init or join on this machine.
pub(super) async fn reset(machine: &Arc<Machine>, membership: Membership, streams: &mut Streams) {
    streams.say("[preflight] Running pre-flight checks");
    let (node, cluster) = {
        let state = machine.state();
        (state.member.node.clone(), state.member.cluster.clone())
    };
    if membership == Membership::Leave
        && let (Some(node), Some(cluster)) = (&node, &cluster)
        && node.control_plane
    {
        let members = cluster.plane.members();
        let own = members.iter().find(|member| machine.has(member.peer));
        match own {
            // kubeadm leaves the last member alone: there is nobody to tell.
            Some(own) if members.len() > 1 => {
                if let Err(error) = cluster.plane.remove_member(own.id) {
                    streams.complain(&format!("W [reset] Failed to remove etcd member: {error}, please manually remove this etcd member using etcdctl"));
                }
            }
            _ => {}
        }
    }
    machine.pass(5).await;
    streams.say("[reset] Stopping the kubelet service");
    streams.say("[reset] Deleting contents of directories: [/etc/kubernetes/manifests /var/lib/kubelet /etc/kubernetes/pki]");
    let mut state = machine.state();
    for folder in [
        "/etc/kubernetes/manifests",
        "/var/lib/kubelet",
        "/etc/kubernetes/pki",
    ] {
        state.files.remove_all(folder);
    }
    if membership == Membership::Leave {
        state.files.remove_all("/var/lib/etcd");
    }
    for file in [
        "admin.conf",
        "super-admin.conf",
        "kubelet.conf",
        "bootstrap-kubelet.conf",
        "controller-manager.conf",
        "scheduler.conf",
    ] {
        let _ = state.files.remove(&format!("/etc/kubernetes/{file}"));
    }
    state.member = Member::default();
    for connection in state.connections.alive() {
        if connection.packet.port != 22 {
            connection.set(Link::Closed);
        }
    }
    drop(state);
    streams.say("\nThe reset process does not perform cleanup of CNI plugin configuration,\nnetwork filtering rules and kubeconfig files.\n");
}
