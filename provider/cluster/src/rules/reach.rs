//! Rules over how the cluster is reached: endpoint, records, access, and what the lab may touch.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::Rules;
use crate::{scalar, walk::join};

/// Zones that are nobody's: reserved by RFC 2606 and RFC 6761.
const RESERVED_ZONES: [&str; 6] = [
    "test",
    "example",
    "invalid",
    "example.org",
    "example.com",
    "example.net",
];

impl Rules<'_> {
    pub(super) fn endpoint(&mut self) {
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
            // By default, since nothing else carries the name; written out it is a finding of its own.
            Some("node") if planes == 1 && !self.is_written("endpoint.via") => self.error(
                "END-01",
                "endpoint",
                "nothing carries the API's name: `via: node` is not available yet in this release",
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

    pub(super) fn zone(&self) -> Option<String> {
        let kind = self.text("/dns/kind")?;
        self.owned(&format!("/dns/{kind}/zone"))
    }

    pub(super) fn dns(&mut self) {
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

    pub(super) fn access(&mut self) {
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
        self.api();
        self.talos_api();
        self.vpn();
        if self.text("/access/proof") == Some("teleport")
            && self.normal["access"]["teleport"].is_null()
        {
            self.error(
                "ACC-04",
                "access.proof",
                "nothing says where Teleport is",
                "add teleport: {proxy: teleport.example.org:443}, or write kubernetes",
            );
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

    fn words(&self, field: &str) -> Vec<String> {
        let list = self.normal["access"][field].as_array();
        list.into_iter()
            .flatten()
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    }

    fn vpn(&mut self) {
        if self.normal["access"]["vpn"].is_null() || self.is_lab() {
            return;
        }
        for (field, example) in [("url", "https://hs.example.org"), ("user", "k8s")] {
            let path = format!("access.vpn.headscale.{field}");
            if self
                .text(&format!("/access/vpn/headscale/{field}"))
                .is_none()
            {
                self.error(
                    "ACC-06",
                    &path,
                    format!("nothing says which {field} nodes log in with"),
                    format!("write for example headscale: {{{field}: {example}}}"),
                );
            }
        }
    }

    fn api(&mut self) {
        let (api, operators) = (self.words("api"), self.words("operators"));
        let reachable = api.iter().any(|word| match word.as_str() {
            "nodes" => false,
            // `auto` is an address of the moment, and rules on a node outlive the moment.
            "operators" => operators.iter().any(|operator| operator != "auto"),
            _ => true,
        });
        if !reachable && self.is_written("access.api") {
            self.error(
                "ACC-03",
                "access.api",
                "after lockdown nobody outside the cluster could reach the API, not even to unlock it",
                "add a network, or `operators` with networks in access.operators (`auto` is not one), or `any`",
            );
        }
    }

    /// Talos has no window and no rescue system: who is no operator in its rules never gets in again.
    fn talos_api(&mut self) {
        let locks = self.text("/distribution/kind") == Some("talos")
            && self.text("/access/lockdown") == Some("on");
        let networks = self.words("operators").iter().any(|word| word != "auto");
        if locks && !networks {
            self.error(
                "ACC-05",
                "access.operators",
                "after lockdown nobody could reach the API of Talos (50000): `auto` is an address of the moment, and the nodes' rules outlive it",
                "add your networks, for example [192.0.2.0/24]",
            );
        }
    }

    pub(super) fn lab(&mut self) {
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
        if self.text("/store/kind") == Some("keyring") {
            self.error(
                "LAB-02",
                "store",
                "the lab would write into your own keyring",
                "remove `store`, or choose `file`, or the lab's `infisical` or `vault`",
            );
        }
        if !self.normal["access"]["teleport"].is_null() {
            self.error(
                "LAB-04",
                "access.teleport",
                "the lab runs no Teleport that a cluster could use",
                "remove it",
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
            && name.parse::<IpAddr>().is_err()
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

pub(super) fn is_inside(name: &str, zone: &str) -> bool {
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
