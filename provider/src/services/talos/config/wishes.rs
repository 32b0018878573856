//! What a cluster of Strata wants beyond the generated configuration, as parts of documents. Where a contract has two places for a wish, this is
//! where it is decided which.

use serde_json::{Value, json};

use super::kinds::kind;
use super::{Error, Machine, Network, Role};

/// The parts, in turn.
pub(super) fn parts(machine: &Machine) -> Result<Vec<Value>, Error> {
    let options = &machine.options;
    let control_plane = machine.role() == Role::ControlPlane;
    let mut parts = Vec::new();
    if control_plane {
        parts.extend(cni(machine)?);
        if !options.kube_proxy {
            parts.push(if machine.contract.has_kinds() {
                kind("KubeProxyConfig", json!({ "enabled": false }))
            } else {
                json!({ "cluster": { "proxy": { "disabled": true } } })
            });
        }
    }
    if let Some(name) = &options.hostname {
        parts.push(kind(
            "HostnameConfig",
            json!({ "auto": "off", "hostname": name }),
        ));
    }
    if let Some(network) = &options.network {
        parts.extend(address(network));
    }
    if let Some(vip) = options.vip.as_ref().filter(|_| control_plane) {
        parts.push(kind(
            "Layer2VIPConfig",
            json!({ "name": vip.address, "link": vip.link }),
        ));
    }
    if !options.node_networks.is_empty() {
        let networks = json!(options.node_networks);
        parts.push(if machine.contract.has_kinds() {
            kind(
                "KubeNodeConfig",
                json!({ "nodeIP": { "validSubnets": networks } }),
            )
        } else {
            json!({ "machine": { "kubelet": { "nodeIP": { "validSubnets": networks } } } })
        });
        if control_plane {
            parts.push(json!({ "cluster": { "etcd": { "advertisedSubnets": networks } } }));
        }
    }
    if !options.labels.is_empty() {
        parts.push(if machine.contract.has_kinds() {
            kind("KubeNodeConfig", json!({ "labels": options.labels }))
        } else {
            json!({ "machine": { "nodeLabels": options.labels } })
        });
    }
    if !options.taints.is_empty() {
        let taints = taints(&options.taints)?;
        parts.push(if machine.contract.has_kinds() {
            kind("KubeNodeConfig", json!({ "taints": taints }))
        } else {
            json!({ "machine": { "nodeTaints": taints } })
        });
    }
    Ok(parts)
}

/// `key=value:Effect` as Talos has it: `value:Effect` below its key.
fn taints(taints: &[String]) -> Result<Value, Error> {
    taints
        .iter()
        .map(|taint| {
            taint
                .split_once('=')
                .filter(|(key, rest)| !key.is_empty() && rest.contains(':'))
                .map(|(key, rest)| (key.to_owned(), json!(rest)))
                .ok_or_else(|| Error::Option {
                    option: "taints",
                    expected: "texts like `example.org/gpu=yes:NoSchedule`".into(),
                })
        })
        .collect::<Result<serde_json::Map<_, _>, _>>()
        .map(Value::Object)
}

/// Flannel is what is there without a wish.
fn cni(machine: &Machine) -> Result<Vec<Value>, Error> {
    let word = machine.options.cni.as_deref().unwrap_or("flannel");
    let gone = || kind("KubeFlannelCNIConfig", json!({ "$patch": "delete" }));
    let kinds = machine.contract.has_kinds();
    match word {
        "flannel" => Ok(Vec::new()),
        "none" if kinds => Ok(vec![gone()]),
        "none" => Ok(vec![
            json!({ "cluster": { "network": { "cni": { "name": "none" } } } }),
        ]),
        url if url.starts_with("https://") && kinds => Ok(vec![
            gone(),
            kind(
                "KubeExternalManifestConfig",
                json!({ "name": "custom-cni", "url": url }),
            ),
        ]),
        url if url.starts_with("https://") => Ok(vec![
            json!({ "cluster": { "network": { "cni": { "name": "custom", "urls": [url] } } } }),
        ]),
        _ => Err(Error::Option {
            option: "cni",
            expected: "`flannel`, `none` or an address that begins with https://".into(),
        }),
    }
}

/// A link that is configured gets no DHCP: two ways to an address would make two nodes of one (T74).
fn address(network: &Network) -> Vec<Value> {
    let mut link =
        json!({ "name": network.link, "up": true, "addresses": [{ "address": network.address }] });
    if let Some(gateway) = network.gateway {
        link["routes"] = json!([{ "gateway": gateway }]);
    }
    let mut parts = vec![kind("LinkConfig", link)];
    if !network.nameservers.is_empty() {
        let servers: Vec<Value> = network
            .nameservers
            .iter()
            .map(|address| json!({ "address": address }))
            .collect();
        parts.push(kind("ResolverConfig", json!({ "nameservers": servers })));
    }
    if !network.ntp.is_empty() {
        parts.push(kind(
            "TimeSyncConfig",
            json!({ "ntp": { "servers": network.ntp } }),
        ));
    }
    parts
}
