//! Defaults that depend on other fields, filled into the normal form before any rule reads it.

use serde_json::json;

use super::Rules;
use crate::walk::Origin;

impl Rules<'_> {
    fn derive_virtual_machines(&mut self) {
        let nodes = self.network("/network/nodes");
        if let Some(first) = nodes.and_then(|net| net.hosts().next()) {
            self.fill(
                "network.gateway",
                "/network/gateway",
                json!(first.to_string()),
                "the first address of the nodes' network",
            );
        }
        let usual = [
            ("cores", json!(4)),
            ("memory", json!("8GiB")),
            ("size", json!("40GiB")),
        ];
        for node in self.node_names() {
            for (field, value) in &usual {
                self.fill(
                    &format!("nodes.{node}.{field}"),
                    &format!("/nodes/{node}/{field}"),
                    value.clone(),
                    "the usual size of a virtual machine",
                );
            }
        }
    }

    pub(super) fn derive(&mut self) {
        let lab = self.is_lab();
        let name = self.owned("/name").unwrap_or_default();
        let platform = self.owned("/platform/kind").unwrap_or_default();
        if platform == "scaleway" {
            self.fill(
                "platform.scaleway.protect",
                "/platform/scaleway/protect",
                json!(!lab),
                "true, and false in the lab",
            );
            if lab {
                self.fill(
                    "platform.scaleway.zone",
                    "/platform/scaleway/zone",
                    json!("fr-par-2"),
                    "the lab's zone",
                );
            }
            let zone = self
                .normal
                .pointer("/platform/scaleway/zone")
                .cloned()
                .unwrap_or_default();
            for node in self.node_names() {
                if !zone.is_null() {
                    self.fill(
                        &format!("nodes.{node}.zone"),
                        &format!("/nodes/{node}/zone"),
                        zone.clone(),
                        "the platform's zone",
                    );
                }
                if lab {
                    let offer = if self.normal["nodes"][&node]["role"] == "worker" {
                        "EM-I215E-NVME"
                    } else {
                        "EM-A610R-NVME"
                    };
                    self.fill(
                        &format!("nodes.{node}.offer"),
                        &format!("/nodes/{node}/offer"),
                        json!(offer),
                        "the lab's offer for the role",
                    );
                }
            }
        }
        if self.normal["distribution"].is_null() && !self.is_written("distribution") {
            let (kind, fields) = match platform.as_str() {
                "proxmox" | "aws" => (
                    "talos",
                    json!({"version": "v1.13.9", "kubernetes": "v1.36.3", "contract": "v1.13", "extensions": [], "patches": []}),
                ),
                "netboot" => ("k3s", json!({})),
                _ => (
                    "kubeadm",
                    json!({"version": "v1.34.2", "os_channel": "stable", "os_version": null, "audit": true}),
                ),
            };
            self.normal["distribution"] = json!({"kind": kind, kind: fields});
            self.origins.insert(
                "distribution".to_owned(),
                Origin::Derived("the platform's usual distribution"),
            );
        }
        let path = if lab {
            format!(".strata/{name}/store")
        } else {
            format!("clusters/{name}/store")
        };
        self.fill(
            "store.file.path",
            "/store/file/path",
            json!(path),
            "from the cluster's name",
        );
        for (kind, path) in [
            ("infisical", format!("/clusters/{name}")),
            ("vault", format!("clusters/{name}")),
        ] {
            self.fill(
                &format!("store.{kind}.path"),
                &format!("/store/{kind}/path"),
                json!(path),
                "from the cluster's name",
            );
        }
        let via = match (self.text("/dns/kind"), platform.as_str()) {
            (Some(kind), _) if kind != "none" => Some("dns"),
            (_, "proxmox" | "netboot") => Some("vip"),
            (_, "aws") => Some("lb"),
            _ if self.names_of("control-plane").len() == 1 => Some("node"),
            _ => None,
        };
        if let Some(via) = via {
            self.fill(
                "endpoint.via",
                "/endpoint/via",
                json!(via),
                "from dns, platform and the number of control planes",
            );
        }
        if self.text("/endpoint/via") == Some("vip")
            && let Some(address) = self.owned("/endpoint/address")
        {
            self.fill(
                "endpoint.name",
                "/endpoint/name",
                json!(address),
                "via vip: the address itself",
            );
        }
        if platform == "proxmox" {
            self.derive_virtual_machines();
        }
        if self.text("/endpoint/via") == Some("node") {
            self.fill(
                "endpoint.name",
                "/endpoint/name",
                json!(format!("api.{name}.internal")),
                "via node: a name that only the nodes and the kubeconfig know",
            );
        }
    }
}
