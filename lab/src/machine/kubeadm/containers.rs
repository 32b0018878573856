//! The static pods' containers, as `crictl` names and stops them; the kubelet starts what was stopped.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use crate::machine::connection::Link;
use crate::machine::state::Machine;

use super::{control_plane, pki};

/// All but etcd, which is asked for more often.
pub(super) const OTHERS: [&str; 3] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Simulated seconds until a stopped container is gone, and until the kubelet has started it again.
const STOP: u64 = 2;
const START: u64 = 10;

/// What `crictl ps` calls the container.
pub(super) fn id(name: &str) -> String {
    format!("{:0<64}", HEXLOWER.encode(name.as_bytes()))
}

/// Whether the container runs on the machine.
pub(super) fn runs(machine: &Machine, name: &str) -> bool {
    let state = machine.state();
    if name == "kube-apiserver" {
        return state.member.serves();
    }
    state.member.listens(10257, true)
}

/// The container that has this id and runs.
pub(super) fn named(machine: &Machine, wanted: &str) -> Option<&'static str> {
    OTHERS
        .into_iter()
        .find(|name| id(name) == wanted && runs(machine, name))
}

/// Stops the container; it starts again by itself, with what lies on the disk then.
pub(super) async fn restart(machine: &Arc<Machine>, name: &'static str) {
    let power = {
        let mut state = machine.state();
        match name {
            "etcd" => state.member.replacing.etcd = true,
            "kube-apiserver" => {
                state.member.replacing.api = true;
                for connection in state.connections.alive() {
                    if connection.packet.port == 6443 {
                        connection.set(Link::Closed);
                    }
                }
            }
            _ => {}
        }
        state.power.clone()
    };
    machine.pass(STOP).await;
    let machine = Arc::clone(machine);
    tokio::spawn(async move {
        // Both arms are cancel-safe.
        tokio::select! {
            biased;
            () = power.cancelled() => return,
            () = machine.pass(START) => {}
        }
        start(&machine, name);
    });
}

/// After a boot too: the API server reads its certificate when it starts.
pub(super) fn start(machine: &Arc<Machine>, name: &str) {
    if name == "etcd" {
        machine.state().member.replacing.etcd = false;
        return;
    }
    if name != "kube-apiserver" {
        return;
    }
    let (cluster, node, serving) = {
        let mut state = machine.state();
        state.member.replacing.api = false;
        let read = |ending: &str| {
            state
                .files
                .text(&format!("{}/apiserver.{ending}", pki::FOLDER))
        };
        (
            state.member.cluster.clone(),
            state.member.node.clone(),
            read("crt").zip(read("key")),
        )
    };
    if let (Some(cluster), Some(node), Some(serving)) = (cluster, node, serving)
        && let Err(error) = control_plane::serve(machine, &cluster, &node.name, &serving)
    {
        tracing::warn!(machine = %machine.spec.name, "the API server does not start again: {}", error.text());
    }
}
