//! Whether a Talos cluster is well, by named checks, as far as that is possible without a CNI.

use std::collections::BTreeSet;

use futures::future::join_all;
use strata_framework::chain;

use super::TalosCluster;
use super::equipment::{self, Equipment};
use crate::kubernetes::{self, node};
use crate::services::talos::look::control_planes;
use crate::services::talos::quorum;
use crate::services::talos::ways::Ways;
use crate::talos::client::Service;
use crate::talos::resource::MachineStatus;
use crate::talos::{Client, Error};

/// A condition that takes a CNI.
const NODE_READY: &str = "nodeReady";

/// What a machine says of itself.
#[derive(Debug)]
struct Machine {
    status: MachineStatus,
    services: Vec<Service>,
    equipment: Equipment,
}

async fn machine(client: &Client) -> Result<Machine, Error> {
    Ok(Machine {
        status: client.machine_status().await?,
        services: client.services().await?,
        equipment: equipment::look(client).await?,
    })
}

/// What keeps a machine from being well, in words.
fn troubles(name: &str, machine: &Machine) -> Option<String> {
    if let Some(sentence) = unwell(&machine.status) {
        return Some(format!(
            "machine {name} has not finished its boot ({sentence})"
        ));
    }
    let kubelet = machine
        .services
        .iter()
        .find(|service| service.id == "kubelet");
    match kubelet {
        Some(service) if service.state == "Running" && service.healthy => None,
        Some(service) => Some(format!(
            "the kubelet of {name} is not healthy ({})",
            service.state
        )),
        None => Some(format!("machine {name} has no kubelet")),
    }
}

/// Why a machine is not well, in its own words; that its Node is not Ready does not count.
pub(super) fn unwell(status: &MachineStatus) -> Option<String> {
    let unmet: Vec<&String> = status
        .unmet
        .iter()
        .filter(|condition| !condition.starts_with(NODE_READY))
        .collect();
    let only_waits_for_a_cni = !status.ready && unmet.is_empty() && !status.unmet.is_empty();
    let is_well = status.stage == "running" && (status.ready || only_waits_for_a_cni);
    (!is_well).then(|| status.sentence())
}

/// Everything that is missing; empty when nothing is.
pub(super) async fn look(
    ways: &Ways<'_>,
    cluster: &TalosCluster,
    kubernetes: &kubernetes::Client,
) -> Vec<String> {
    let mut missing = etcd(ways, cluster).await;
    let nodes = cluster.nodes();
    let control_planes = &cluster.control_planes.or_default();
    let machines = join_all(nodes.iter().map(|(name, address)| async move {
        let seen = match ways.node(address).await {
            Ok(client) => machine(&client).await,
            Err(error) => Err(error),
        };
        match seen {
            Ok(machine) => {
                let is_control_plane = control_planes.contains_key(name);
                let found = equipment::troubles(name, is_control_plane, &machine.equipment);
                troubles(name, &machine).into_iter().chain(found).collect()
            }
            Err(error) => vec![format!("machine {name}: {}", chain(&error))],
        }
    }));
    missing.extend(machines.await.into_iter().flatten());
    if missing.is_empty() {
        match node::list(kubernetes).await {
            Ok(views) => {
                let there: BTreeSet<String> = views.into_iter().map(|view| view.name).collect();
                let absent = nodes.iter().filter(|(name, _)| !there.contains(name));
                missing
                    .extend(absent.map(|(name, _)| format!("node {name} is not in the cluster")));
            }
            Err(error) => missing.push(chain(&error)),
        }
    }
    missing
}

/// What keeps etcd from being healthy.
pub(super) async fn etcd(ways: &Ways<'_>, cluster: &TalosCluster) -> Vec<String> {
    let seen = control_planes(ways, &cluster.control_planes.or_default()).await;
    quorum::troubles(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(stage: &str, ready: bool, unmet: &[&str]) -> MachineStatus {
        MachineStatus {
            stage: stage.into(),
            ready,
            unmet: unmet.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn a_node_that_only_waits_for_a_cni_is_well() {
        assert_eq!(unwell(&status("running", true, &[])), None);
        assert_eq!(
            unwell(&status(
                "running",
                false,
                &["nodeReady: node \"cp-1\" is not ready"]
            )),
            None
        );
        assert!(unwell(&status("running", false, &[])).is_some());
        assert!(
            unwell(&status(
                "running",
                false,
                &["nodeReady: x", "services: etcd"]
            ))
            .is_some()
        );
        assert!(unwell(&status("booting", false, &["nodeReady: x"])).is_some());
    }

    #[test]
    fn a_kubelet_that_is_not_healthy_is_named() {
        let service = |state: &str, healthy| Service {
            id: "kubelet".into(),
            state: state.into(),
            healthy,
        };
        let machine = |services| Machine {
            status: status("running", true, &[]),
            services,
            equipment: Equipment::default(),
        };
        assert_eq!(
            troubles("cp-1", &machine(vec![service("Running", true)])),
            None
        );
        assert!(
            troubles("cp-1", &machine(vec![service("Waiting", false)]))
                .unwrap()
                .contains("cp-1")
        );
        assert!(
            troubles("cp-1", &machine(vec![]))
                .unwrap()
                .contains("no kubelet")
        );
    }
}
