//! Storages and addresses that virtual machines need: looked at before the first is made (FN26).

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use strata_provider::environment::Environment;
use tokio::task::JoinSet;

use super::Preflight;
use crate::{cluster::Cluster, finding::Finding, platform::proxmox::Proxmox};

/// Long enough for anything in the network of the nodes, and short for many.
const PROBE: Duration = Duration::from_millis(1500);
/// Talos' API, SSH, and that of Kubernetes: who has an address answers at one of them, if only with a refusal.
const PORTS: [u16; 3] = [50000, 22, 6443];

pub(super) async fn check(
    proxmox: &Proxmox,
    cluster: &Cluster,
    environment: &Environment,
    owner: Option<&str>,
    preflight: &mut Preflight,
) {
    storages(proxmox, cluster, preflight).await;
    let stripped = stripped(proxmox, owner, preflight).await;
    let mut wanted: Vec<(String, IpAddr)> = proxmox
        .addresses()
        .iter()
        .filter(|(name, _)| preflight.missing.contains(name))
        .filter(|(name, _)| !stripped.contains(name) && !preflight.replaced.contains(name))
        .map(|(name, address)| (format!("nodes.{name}.address"), *address))
        .collect();
    // Once a control plane is there, it may have the address of all.
    if preflight.missing.len() == cluster.spec.nodes.len()
        && preflight.replaced.is_empty()
        && let Some(address) = &cluster.spec.endpoint.address
        && let Ok(address) = address.parse()
    {
        wanted.push(("endpoint.address".to_owned(), address));
    }
    for result in taken(environment, wanted).await {
        preflight.report.check(result);
    }
}

/// PVE-03, PVE-04: each host's storages take what is put there.
async fn storages(proxmox: &Proxmox, cluster: &Cluster, preflight: &mut Preflight) {
    let Some(settings) = &cluster.spec.platform.proxmox else {
        return;
    };
    let nodes = cluster.spec.nodes.values();
    let hosts: BTreeSet<&str> = nodes.filter_map(|node| node.host.as_deref()).collect();
    for host in hosts {
        for (storage, content, field) in [
            (&settings.storage, "images", "storage"),
            (&settings.images, "import", "images"),
            (&settings.images, "iso", "images"),
        ] {
            let result = match proxmox.storages(host, content).await {
                Ok(found) if found.iter().any(|found| found.storage == *storage) => None,
                Ok(found) => {
                    let names: Vec<_> = found.iter().map(|found| found.storage.as_str()).collect();
                    Some(Finding::error(
                        "PVE-04",
                        format!("storage {storage} of {host} does not take content `{content}`"),
                        if names.is_empty() {
                            format!(
                                "allow `{content}` there: Datacenter, Storage, {storage}, Content"
                            )
                        } else {
                            format!(
                                "allow `{content}` there (Datacenter, Storage, {storage}, Content), or set platform.proxmox.{field} to {}",
                                names.join(" or ")
                            )
                        },
                    ))
                }
                Err(error) => Some(Finding::error(
                    "PVE-03",
                    format!("host {host} cannot be asked for its storages: {error:#}"),
                    "check `host` of the nodes, that it is online, and that the token may see storages (Datastore.Audit)",
                )),
            };
            preflight.report.check(result);
        }
    }
}

/// PVE-05: machines whose tags somebody took away. Whoever looks for them would make a second one. Gives the nodes.
async fn stripped(
    proxmox: &Proxmox,
    owner: Option<&str>,
    preflight: &mut Preflight,
) -> Vec<String> {
    let mut found = Vec::new();
    // Without an owner nothing was ever made.
    let Some(owner) = owner else {
        return found;
    };
    for node in preflight.missing.clone() {
        // A listing that fails is PVE-02's.
        if let Ok(Some(machine)) = proxmox.unmarked(&node).await {
            preflight.report.find(Finding::error(
                "PVE-05",
                format!(
                    "machine {} on {} is called {} and does not carry the tags of node {node}",
                    machine.vmid, machine.node, machine.name
                ),
                format!(
                    "if it is ours, give it the tags {} again; if not, rename it",
                    proxmox.tags(owner, &node)
                ),
            ));
            found.push(node);
        }
    }
    found
}

/// NET-06: an address that somebody has already. Two of one address are a cluster that fails by turns.
async fn taken(environment: &Environment, wanted: Vec<(String, IpAddr)>) -> Vec<Option<Finding>> {
    let mut probes = JoinSet::new();
    for (field, address) in wanted {
        let dialer = environment.dialer().clone();
        probes.spawn(async move {
            let mut answers = false;
            for port in PORTS {
                answers |= match dialer.dial(&address.to_string(), port, PROBE).await {
                    Ok(_) => true,
                    Err(error) => error.is_refused(),
                };
            }
            answers.then(|| {
                Finding::error(
                    "NET-06",
                    format!("{field}: somebody answers at {address} already"),
                    "choose a free address, or turn that machine off",
                )
            })
        });
    }
    probes.join_all().await
}
