//! Rules over address ranges: no overlap, room for every node, sizes that Kubernetes takes.

use ipnet::IpNet;

use super::Rules;

/// Addresses that exist only behind the lab (RFC 5737).
pub(super) const LAB_NETWORKS: [&str; 2] = ["192.0.2.0/24", "198.51.100.0/24"];

impl Rules<'_> {
    pub(super) fn network(&self, pointer: &str) -> Option<IpNet> {
        self.text(pointer).and_then(|text| text.parse().ok())
    }

    pub(super) fn networks(&mut self) {
        let mut ranges: Vec<(String, IpNet)> = Vec::new();
        for field in ["nodes", "pods", "services"] {
            if let Some(net) = self.network(&format!("/network/{field}")) {
                ranges.push((format!("network.{field}"), net));
            }
        }
        let own = ranges.len();
        let operators = self.normal["access"]["operators"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for (index, operator) in operators.iter().enumerate() {
            if let Some(net) = operator.as_str().and_then(|text| text.parse().ok()) {
                ranges.push((format!("access.operators[{index}]"), net));
            }
        }
        for later in 1..ranges.len() {
            for earlier in 0..later.min(own) {
                let ((first_path, first), (path, net)) = (&ranges[earlier], &ranges[later]);
                if overlap(first, net) {
                    // The finding names the range that was written; a default cannot be what is wrong.
                    let (path, net, other_path, other) =
                        if self.is_written(path) || path.ends_with(']') {
                            (path, net, first_path, first)
                        } else {
                            (first_path, first, path, net)
                        };
                    let (path, message) =
                        (path.clone(), format!("{net} overlaps {other_path} {other}"));
                    self.error("NET-01", &path, message, "choose ranges that share no address, for example pods 10.244.0.0/16 and services 10.96.0.0/12");
                }
            }
        }
        if self.is_lab() {
            for (path, net) in ranges.iter().take(own) {
                // The machines' own network is where they are, if the platform has one.
                if path == "network.nodes" {
                    continue;
                }
                if let Some(lab) = LAB_NETWORKS
                    .iter()
                    .find(|lab| lab.parse().is_ok_and(|lab: IpNet| overlap(&lab, net)))
                {
                    let path = path.clone();
                    self.error(
                        "NET-01",
                        &path,
                        format!("{net} overlaps {lab}, where the lab's machines are"),
                        "choose another range",
                    );
                }
            }
        }
        for field in ["pods", "services"] {
            if let Some(IpNet::V6(net)) = self.network(&format!("/network/{field}")) {
                self.error(
                    "CFG-08",
                    &format!("network.{field}"),
                    format!("{net}: IPv6 inside the cluster is not available yet in this release"),
                    "write an IPv4 network",
                );
            }
        }
        let nodes = self.node_names().len();
        if let Some(IpNet::V4(net)) = self.network("/network/pods") {
            // The controller manager gives each node a /24 and takes at most 16 bits of them.
            let room = if net.prefix_len() > 24 {
                0
            } else {
                1_usize << (24 - net.prefix_len())
            };
            if room < nodes {
                self.error(
                    "NET-03",
                    "network.pods",
                    format!("{net} has room for {room} nodes of a /24 each; there are {nodes}"),
                    "choose a larger range, for example a /16",
                );
            } else if net.prefix_len() < 8 {
                self.error(
                    "NET-03",
                    "network.pods",
                    format!("{net} is too large: Kubernetes takes at most a /8"),
                    "choose a smaller range, for example a /16",
                );
            }
        }
        if let Some(IpNet::V4(net)) = self.network("/network/services")
            && !(12..=28).contains(&net.prefix_len())
        {
            self.error(
                "NET-03",
                "network.services",
                format!("{net}: Kubernetes takes a /12 to a /28"),
                "choose for example 10.96.0.0/12",
            );
        }
    }
}

fn overlap(first: &IpNet, second: &IpNet) -> bool {
    first.contains(second) || second.contains(first)
}
