//! Rules over virtual machines on Proxmox: each has its own fixed address, and so has the API (FN26).

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde_json::json;

use super::{Rules, network::LAB_NETWORKS};

impl Rules<'_> {
    pub(super) fn virtual_machines(&mut self) {
        if self.text("/platform/kind") != Some("proxmox") {
            return;
        }
        if let Some(net) = self.network("/network/nodes") {
            self.fixed_addresses(net);
            if self.is_lab()
                && !LAB_NETWORKS
                    .iter()
                    .any(|lab| lab.parse().is_ok_and(|lab: IpNet| lab.contains(&net)))
            {
                self.error(
                    "LAB-05",
                    "network.nodes",
                    format!("{net} may be a real network; the lab takes only addresses that are nobody's"),
                    format!("write {}", LAB_NETWORKS.join(" or ")),
                );
            }
        }
        self.hosts();
    }

    /// Addresses that each have one owner: nodes, the virtual address, the gateway.
    fn fixed_addresses(&mut self, net: IpNet) {
        let mut owners: BTreeMap<IpAddr, String> = BTreeMap::new();
        let named = [
            ("network.gateway", "/network/gateway"),
            ("endpoint.address", "/endpoint/address"),
        ];
        let mut wanted: Vec<(String, IpAddr)> = named
            .iter()
            .filter_map(|(path, pointer)| {
                Some(((*path).to_owned(), self.text(pointer)?.parse().ok()?))
            })
            .collect();
        for node in self.node_names() {
            let path = format!("nodes.{node}.address");
            let Some(interface) = self.network(&format!("/nodes/{node}/address")) else {
                continue;
            };
            if interface.prefix_len() != net.prefix_len() {
                let length = net.prefix_len();
                self.error(
                    "NET-04",
                    &path,
                    format!("{interface} has another prefix than network.nodes {net}"),
                    format!("write {}/{length}", interface.addr()),
                );
            }
            wanted.push((path, interface.addr()));
        }
        for (path, address) in wanted {
            if !net.contains(&address) {
                self.error(
                    "NET-04",
                    &path,
                    format!("{address} is outside network.nodes {net}"),
                    "choose an address of that network",
                );
            } else if address == net.network() || address == net.broadcast() {
                self.error(
                    "NET-04",
                    &path,
                    format!("{address} is no address of a machine in {net}"),
                    "choose another one",
                );
            }
            if let Some(owner) = owners.insert(address, path.clone()) {
                self.error(
                    "NET-05",
                    &path,
                    format!("{address} belongs to {owner} already"),
                    "give each its own address",
                );
            }
        }
    }

    /// Several control planes on one host fail together.
    fn hosts(&mut self) {
        let planes = self.names_of("control-plane");
        let host = |name: &String| self.normal["nodes"][name]["host"].clone();
        let hosts: Vec<_> = planes.iter().map(host).collect();
        if planes.len() > 1
            && hosts[0] != json!(null)
            && hosts.iter().all(|host| *host == hosts[0])
            && !self.is_lab()
        {
            let path = format!("nodes.{}.host", planes[0]);
            let place = self.place(&path);
            self.findings.warning(
                "NODES-05",
                &place,
                &path,
                format!("all control planes are on {}: they fail together", hosts[0]),
                "spread them over three hosts where there are three",
            );
        }
    }
}
