//! Rules that look at more than one field. They run even when single fields were wrong: what did not fit is null and skipped.
//!
//! Defaults that depend on other fields (the lab's offers, `endpoint.via`) are worked out here too, into the normal form.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::{
    finding::Findings,
    scalar,
    tree::Place,
    walk::{Origin, join},
};

/// Addresses that exist only behind the lab (RFC 5737).
const LAB_NETWORKS: [&str; 2] = ["192.0.2.0/24", "198.51.100.0/24"];
/// Zones that are nobody's: reserved by RFC 2606 and RFC 6761.
const RESERVED_ZONES: [&str; 6] = [
    "test",
    "example",
    "invalid",
    "example.org",
    "example.com",
    "example.net",
];
/// What each platform can run.
const MATRIX: [(&str, &[&str]); 4] = [
    ("scaleway", &["kubeadm", "talos"]),
    ("proxmox", &["talos", "kubeadm"]),
    ("aws", &["talos"]),
    ("netboot", &["k3s", "talos"]),
];

pub(crate) struct Rules<'a> {
    pub(crate) normal: &'a mut Value,
    pub(crate) origins: &'a mut BTreeMap<String, Origin>,
    pub(crate) findings: &'a mut Findings,
}

impl Rules<'_> {
    pub(crate) fn run(&mut self) {
        self.derive();
        self.platform();
        self.nodes();
        self.networks();
        self.endpoint();
        self.dns();
        self.access();
        self.timeouts();
        self.lab();
        if self.text("/cni/kind") == Some("none") {
            let place = self.place("cni");
            self.findings.warning(
                "CNI-01",
                &place,
                "cni",
                "without a pod network nodes stay NotReady until you install one",
                "remove `cni`, or apply your own through `manifests`",
            );
        }
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.normal.pointer(pointer).and_then(Value::as_str)
    }

    fn owned(&self, pointer: &str) -> Option<String> {
        self.text(pointer).map(str::to_owned)
    }

    fn is_lab(&self) -> bool {
        self.normal.pointer("/lab/enabled") == Some(&json!(true))
    }

    /// The place of a field, or of the nearest field around it that is written.
    fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(Origin::Written(place)) = self.origins.get(path) {
                return place.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Place::start(),
            }
        }
    }

    fn error(
        &mut self,
        code: &'static str,
        path: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let place = self.place(path);
        self.findings.error(code, &place, path, message, fix);
    }

    fn is_written(&self, path: &str) -> bool {
        matches!(self.origins.get(path), Some(Origin::Written(_)))
    }

    /// Fills a null field whose default depends on others.
    fn fill(&mut self, path: &str, pointer: &str, value: Value, how: &'static str) {
        if let Some(slot) = self.normal.pointer_mut(pointer)
            && slot.is_null()
            && !self
                .origins
                .get(path)
                .is_some_and(|origin| matches!(origin, Origin::Written(_)))
        {
            *slot = value;
            self.origins.insert(path.to_owned(), Origin::Derived(how));
        }
    }

    fn node_names(&self) -> Vec<String> {
        self.normal["nodes"]
            .as_object()
            .map(|nodes| nodes.keys().cloned().collect())
            .unwrap_or_default()
    }

    fn names_of(&self, role: &str) -> Vec<String> {
        self.node_names()
            .into_iter()
            .filter(|name| self.normal["nodes"][name]["role"] == role)
            .collect()
    }

    fn derive(&mut self) {
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
                "proxmox" | "aws" => ("talos", json!({})),
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
        if self.text("/endpoint/via") == Some("node") {
            self.fill(
                "endpoint.name",
                "/endpoint/name",
                json!(format!("api.{name}.internal")),
                "via node: a name that only the nodes and the kubeconfig know",
            );
        }
    }

    fn platform(&mut self) {
        let Some(platform) = self.owned("/platform/kind") else {
            return;
        };
        if let Some(distribution) = self.owned("/distribution/kind") {
            let runs = MATRIX
                .iter()
                .find(|(name, _)| *name == platform)
                .map_or(&[] as &[&str], |(_, runs)| runs);
            if !runs.contains(&distribution.as_str()) {
                self.error(
                    "CFG-06",
                    "distribution",
                    format!("{distribution} does not run on {platform}"),
                    format!("choose {}", runs.join(" or ")),
                );
            }
        }
        for (path, fields) in crate::declaration::fields_with_platform() {
            let parents: Vec<String> = match path.strip_prefix("nodes.*.") {
                Some(_) => self
                    .node_names()
                    .into_iter()
                    .map(|node| format!("nodes.{node}"))
                    .collect(),
                None => vec![
                    path.rsplit_once('.')
                        .map_or("", |(parent, _)| parent)
                        .to_owned(),
                ],
            };
            let field = path.rsplit('.').next().unwrap_or_default();
            for parent in parents {
                let path = join(&parent, field);
                if self.is_written(&path) && !fields.contains(&platform.as_str()) {
                    self.error(
                        "CFG-06",
                        &path,
                        format!(
                            "this belongs to platform {}, not {platform}",
                            fields.join(" or ")
                        ),
                        "remove it",
                    );
                }
            }
        }
        let required: &[&str] = match platform.as_str() {
            "scaleway" => &["offer", "zone"],
            "proxmox" => &["address", "host"],
            "aws" => &["type"],
            _ => &["mac"],
        };
        for node in self.node_names() {
            for field in required {
                let path = format!("nodes.{node}.{field}");
                if self.normal["nodes"][&node][field].is_null() && !self.is_written(&path) {
                    let fix = match *field {
                        "offer" => "add `offer`, or set it once for the role in `defaults`; for example EM-I215E-NVME".to_owned(),
                        "zone" => "set platform.scaleway.zone, for example fr-par-2, or export SCW_DEFAULT_ZONE and use ./bootstrap.sh".to_owned(),
                        other => format!("add `{other}`"),
                    };
                    self.error(
                        "CFG-03",
                        &path,
                        format!("required on {platform} and missing"),
                        fix,
                    );
                }
            }
        }
        if ["proxmox", "netboot"].contains(&platform.as_str())
            && self.normal["network"]["nodes"].is_null()
        {
            self.error(
                "CFG-03",
                "network.nodes",
                format!("required on {platform} and missing"),
                "add the network of the nodes, for example 192.0.2.0/24",
            );
        }
        if let Some(version) = self.owned("/distribution/kubeadm/version") {
            let minor: u32 = version
                .split('.')
                .nth(1)
                .and_then(|minor| minor.parse().ok())
                .unwrap_or(0);
            if minor < 31 {
                let message = format!(
                    "{version} is too old: the configuration kubeadm.k8s.io/v1beta4 needs v1.31 or newer"
                );
                self.error(
                    "CFG-04",
                    "distribution.kubeadm.version",
                    message,
                    "write v1.34.2",
                );
            }
        }
    }

    fn nodes(&mut self) {
        let names = self.node_names();
        let planes = self.names_of("control-plane");
        // A node whose role is misspelt may be the one that makes the count right.
        if names
            .iter()
            .all(|name| self.normal["nodes"][name]["role"].is_string())
            && self.normal["nodes"].is_object()
        {
            let count = planes.len();
            if count == 0 {
                self.error(
                    "NODES-01",
                    "nodes",
                    "no node is a control plane",
                    "give 1, 3 or 5 nodes the role control-plane",
                );
            } else if count.is_multiple_of(2) || count > 5 {
                // The one written last is the one to talk about.
                let last = planes
                    .iter()
                    .max_by_key(|name| position(&self.place(&format!("nodes.{name}"))))
                    .cloned()
                    .unwrap_or_default();
                let (message, fix) = if count > 5 {
                    (
                        format!(
                            "{count} control planes make etcd slower, not safer; 1, 3 or 5 are allowed"
                        ),
                        format!("make {last} a worker"),
                    )
                } else {
                    (
                        format!(
                            "{count} control planes tolerate as many failures as {}",
                            count - 1
                        ),
                        format!("make {last} a worker, or add one more control plane"),
                    )
                };
                self.error("NODES-02", &format!("nodes.{last}"), message, fix);
            }
        }
        for name in names {
            let path = format!("nodes.{name}");
            if self.normal["nodes"][&name]["disk"].is_object() {
                let place = self.place(&format!("{path}.disk"));
                self.findings.error(
                    "CFG-08",
                    &place,
                    &format!("{path}.disk"),
                    "a disk by size or type is not available yet in this release",
                    "name the disk as it stands below /dev/disk/by-id",
                );
            }
            let labels: Vec<String> = self.normal["nodes"][&name]["labels"]
                .as_object()
                .map(|labels| labels.keys().cloned().collect())
                .unwrap_or_default();
            for label in labels.iter().filter(|label| is_reserved_label(label)) {
                let path = join(&format!("{path}.labels"), label);
                self.error(
                    "NODES-04",
                    &path,
                    "Kubernetes keeps this label for itself: a kubelet refuses to start with it",
                    "use a label below your own domain, or node.kubernetes.io/",
                );
            }
        }
    }

    fn network(&self, pointer: &str) -> Option<IpNet> {
        self.text(pointer).and_then(|text| text.parse().ok())
    }

    fn networks(&mut self) {
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

    fn endpoint(&mut self) {
        let via = self.owned("/endpoint/via");
        let planes = self.names_of("control-plane").len();
        let platform = self.owned("/platform/kind").unwrap_or_default();
        let has_dns = self.text("/dns/kind").is_some_and(|kind| kind != "none");
        match via.as_deref() {
            // What was written and did not fit is a finding already.
            None if planes > 1
                && !self.is_written("endpoint.via")
                && !self.normal["dns"]["kind"].is_null() => self.error(
                "END-01",
                "endpoint",
                format!("{planes} control planes need one name that leads to all of them, and nothing carries it"),
                "set `dns`, for example dns: {cloudflare: {zone: example.org}}",
            ),
            Some("node") if planes > 1 => self.error("END-01", "endpoint.via", format!("`node` leads to one node; there are {planes} control planes"), "use via: dns"),
            Some("dns") if !has_dns && self.text("/dns/kind").is_some() => self.error("END-01", "endpoint.via", "`dns` needs to know who serves the zone", "set `dns`, for example dns: {cloudflare: {zone: example.org}}"),
            Some("vip") if platform == "scaleway" || platform == "aws" => self.error("CFG-06", "endpoint.via", format!("`vip` needs a network of your own, not {platform}"), "use via: dns"),
            Some("vip" | "external") if self.normal["endpoint"]["address"].is_null() && !self.is_written("endpoint.address") => {
                self.error("CFG-03", "endpoint.address", "required with vip and external, and missing", "add the address");
            }
            _ => {}
        }
        if self.normal["endpoint"]["name"].is_null()
            && !self.is_written("endpoint.name")
            && via.as_deref() != Some("node")
        {
            self.error(
                "CFG-03",
                "endpoint.name",
                "required field is missing: the API's DNS name, for life",
                "add `name`, for example api.home.example.org",
            );
        }
        if !matches!(via.as_deref(), None | Some("vip" | "external"))
            && self.is_written("endpoint.address")
            && !self.normal["endpoint"]["address"].is_null()
        {
            self.error(
                "END-02",
                "endpoint.address",
                "only vip and external take an address",
                "remove it",
            );
        }
        if let (Some("dns"), Some(name), Some(zone)) =
            (via.as_deref(), self.owned("/endpoint/name"), self.zone())
            && (!is_inside(&name, &zone) || name == zone)
        {
            self.error(
                "END-02",
                "endpoint.name",
                format!("`{name}` is not inside the zone `{zone}`"),
                format!("write a name that ends in .{zone}"),
            );
        }
    }

    fn zone(&self) -> Option<String> {
        let kind = self.text("/dns/kind")?;
        self.owned(&format!("/dns/{kind}/zone"))
    }

    fn dns(&mut self) {
        let records = self.normal["dns"]["records"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let without_zone = self.text("/dns/kind") == Some("none");
        if without_zone && !records.is_empty() {
            self.error(
                "DNS-01",
                "dns.records",
                "there are records and nobody who serves them",
                "add for example cloudflare: {zone: example.org}",
            );
        }
        if without_zone && self.normal["dns"]["nodes"] == json!(true) {
            self.error(
                "DNS-01",
                "dns.nodes",
                "there is nobody who serves the nodes' names",
                "add for example cloudflare: {zone: example.org}",
            );
        }
        let zone = self.zone().unwrap_or_default();
        let endpoint = self.owned("/endpoint/name").unwrap_or_default();
        for (name, record) in records {
            let path = join("dns.records", &name);
            let full = if name == "@" {
                zone.clone()
            } else {
                format!("{name}.{zone}")
            };
            if full == endpoint {
                self.error(
                    "DNS-02",
                    &path,
                    format!("`{full}` is the endpoint of the API, which layer 01 writes"),
                    "choose another name",
                );
            }
            let kind = record["type"].as_str().unwrap_or_default();
            let values: Vec<&str> = record["values"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            if record["values"].as_array().is_some_and(Vec::is_empty)
                && self.is_written(&format!("{path}.values"))
            {
                self.error(
                    "DNS-03",
                    &path,
                    "a record needs at least one value",
                    "add a value, or remove the record",
                );
            }
            for value in &values {
                let fits = match (kind, value.parse::<IpAddr>()) {
                    ("A", parsed) => matches!(parsed, Ok(IpAddr::V4(_))),
                    ("AAAA", parsed) => matches!(parsed, Ok(IpAddr::V6(_))),
                    ("CNAME", _) => {
                        values.len() == 1
                            && scalar::HOST.regex.is_match(value.trim_end_matches('.'))
                    }
                    _ => true,
                };
                if !fits {
                    let message = format!("`{value}` is no value of a record of type {kind}");
                    self.error(
                        "DNS-03",
                        &path,
                        message,
                        "A takes IPv4 addresses, AAAA takes IPv6 addresses, CNAME takes one name",
                    );
                }
            }
        }
    }

    fn access(&mut self) {
        let ports = self.normal["access"]["public_ports"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for (index, port) in ports.iter().enumerate() {
            if let Some(port @ (22 | 2379 | 2380 | 6443 | 10250)) = port.as_u64() {
                self.error(
                    "ACC-01",
                    &format!("access.public_ports[{index}]"),
                    format!("port {port} is what the lockdown protects"),
                    "remove it",
                );
            }
        }
        if self.normal["access"]["operators"]
            .as_array()
            .is_some_and(Vec::is_empty)
        {
            self.error(
                "ACC-02",
                "access.operators",
                "nobody could reach the nodes to set them up",
                "write [auto] or your network",
            );
        }
    }

    fn timeouts(&mut self) {
        let fields: Vec<(String, String)> = self.normal["timeouts"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        for (name, text) in fields {
            let fits =
                scalar::seconds(&text).is_some_and(|seconds| (1..=7 * 86_400).contains(&seconds));
            if !fits {
                self.error(
                    "CFG-04",
                    &format!("timeouts.{name}"),
                    format!("`{text}` is not between 1s and 7d"),
                    "write for example 20m",
                );
            }
        }
    }

    fn lab(&mut self) {
        if !self.is_lab() {
            return;
        }
        if self.text("/state/kind").is_some_and(|kind| kind != "local") {
            self.error(
                "LAB-01",
                "state",
                "the lab keeps its state on this machine only",
                "remove `state`",
            );
        }
        if self.text("/store/kind").is_some_and(|kind| kind != "file") {
            self.error(
                "LAB-02",
                "store",
                "the lab uses no real store",
                "remove `store`",
            );
        }
        if let Some(zone) = self.zone()
            && !is_reserved_zone(&zone)
        {
            let kind = self.owned("/dns/kind").unwrap_or_default();
            self.error(
                "LAB-03",
                &format!("dns.{kind}.zone"),
                format!("`{zone}` may be a real zone; the lab takes only zones that are nobody's"),
                "write a zone that ends in .test or .example",
            );
        }
        if let Some(name) = self.owned("/endpoint/name")
            && !is_reserved_zone(&name)
            && !is_inside(&name, "internal")
        {
            self.error(
                "LAB-03",
                "endpoint.name",
                format!("`{name}` may be a real name; the lab takes only names that are nobody's"),
                "write a name that ends in .test or .example",
            );
        }
    }
}

fn position(place: &Place) -> (usize, usize) {
    match place {
        Place::File { line, column } => (*line, *column),
        Place::Set(_) => (usize::MAX, 0),
    }
}

fn overlap(first: &IpNet, second: &IpNet) -> bool {
    first.contains(second) || second.contains(first)
}

fn is_inside(name: &str, zone: &str) -> bool {
    name == zone
        || name
            .strip_suffix(zone)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn is_reserved_zone(zone: &str) -> bool {
    RESERVED_ZONES
        .iter()
        .any(|reserved| is_inside(zone, reserved))
}

/// Labels that the admission plugin NodeRestriction and the kubelet itself refuse.
fn is_reserved_label(label: &str) -> bool {
    let Some((domain, name)) = label.split_once('/') else {
        return false;
    };
    let reserved = ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|zone| is_inside(domain, zone));
    let free = ["node.kubernetes.io", "kubelet.kubernetes.io"]
        .iter()
        .any(|zone| is_inside(domain, zone))
        || (domain == "topology.kubernetes.io" && ["region", "zone"].contains(&name));
    reserved && !free
}
