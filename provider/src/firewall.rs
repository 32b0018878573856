//! A node's firewall as one nft file (docs/delivery.md section 6): the same table before and after lockdown, but for the way to port 22.
//!
//! The file declares, deletes and declares the table again, which nft applies atomically and which leaves the tables of Cilium and kubelet alone. The
//! rules for 22 stand before the one for established connections, so that a session ends with its permission. Pure: [`Rules::render`].

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Who may reach port 22.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ssh {
    /// First boot, nobody knows from where the operator comes: everyone.
    Everyone,
    /// First boot: these.
    From(Vec<IpNet>),
    /// After lockdown: nobody, until `ssh-open` adds an address with a timeout.
    Nobody,
}

/// Who may reach port 6443 of control planes. Nodes and pods always may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Api {
    /// Everyone.
    Any,
    /// These, besides nodes and pods.
    From(Vec<IpNet>),
}

/// Everything the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether 6443 and etcd listen here.
    pub control_plane: bool,
    /// Addresses of all nodes, as far as known.
    pub nodes: BTreeSet<IpAddr>,
    /// Port 22.
    pub ssh: Ssh,
    /// Port 6443.
    pub api: Api,
    /// CIDRs of the pods.
    pub pods: Vec<IpNet>,
    /// TCP ports open to everyone on workers.
    pub public_ports: BTreeSet<u16>,
}

impl Rules {
    /// The file.
    pub fn render(&self) -> String {
        let operators = match &self.ssh {
            Ssh::From(networks) => networks.as_slice(),
            Ssh::Everyone | Ssh::Nobody => &[],
        };
        let (operators4, operators6) = split(operators);
        let (pods4, _) = split(&self.pods);
        let nodes4: Vec<String> = self
            .nodes
            .iter()
            .filter(|address| address.is_ipv4())
            .map(ToString::to_string)
            .collect();
        let nodes6: Vec<String> = self
            .nodes
            .iter()
            .filter(|address| address.is_ipv6())
            .map(ToString::to_string)
            .collect();
        let sets = [
            set("nodes4", "ipv4_addr", "interval", &nodes4),
            set("nodes6", "ipv6_addr", "interval", &nodes6),
            set("operator4", "ipv4_addr", "interval,timeout", &operators4),
            set("operator6", "ipv6_addr", "interval,timeout", &operators6),
            set("pods4", "ipv4_addr", "interval", &pods4),
        ];
        let mut file =
            String::from("table inet strata\ndelete table inet strata\ntable inet strata {\n");
        for line in sets {
            let _infallible = writeln!(file, "  {line}");
        }
        file.push_str(
            "  chain input {\n    type filter hook input priority filter; policy drop;\n",
        );
        for line in self.lines() {
            let _infallible = writeln!(file, "    {line}");
        }
        file.push_str("  }\n}\n");
        file
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = vec!["iif lo accept".into()];
        let mut say = |text: &str| lines.push(text.to_owned());
        if self.ssh == Ssh::Everyone {
            say("tcp dport 22 accept");
        } else {
            say("tcp dport 22 ip saddr @operator4 accept");
            say("tcp dport 22 ip6 saddr @operator6 accept");
            say("tcp dport 22 drop");
        }
        say("ct state established,related accept");
        say("ct state invalid drop");
        say("meta l4proto { icmp, ipv6-icmp } accept");
        // Answers to DHCPv6 match no connection that the kernel knows.
        say("ip6 saddr fe80::/10 udp dport 546 accept");
        let from_nodes = if self.control_plane {
            "2379-2380, 4240, 10250"
        } else {
            "4240, 10250"
        };
        if self.control_plane {
            match &self.api {
                Api::Any => say("tcp dport 6443 accept"),
                Api::From(networks) => {
                    let (v4, v6) = split(networks);
                    say("ip saddr @nodes4 tcp dport 6443 accept");
                    say("ip6 saddr @nodes6 tcp dport 6443 accept");
                    if !v4.is_empty() {
                        say(&format!(
                            "ip saddr {{ {} }} tcp dport 6443 accept",
                            v4.join(", ")
                        ));
                    }
                    if !v6.is_empty() {
                        say(&format!(
                            "ip6 saddr {{ {} }} tcp dport 6443 accept",
                            v6.join(", ")
                        ));
                    }
                    say("ip saddr @pods4 tcp dport 6443 accept");
                }
            }
        }
        say(&format!(
            "ip saddr @nodes4 tcp dport {{ {from_nodes} }} accept"
        ));
        say(&format!(
            "ip6 saddr @nodes6 tcp dport {{ {from_nodes} }} accept"
        ));
        say("ip saddr @nodes4 udp dport 8472 accept");
        say("ip6 saddr @nodes6 udp dport 8472 accept");
        // Metrics and host services, seen by pods through the node's address.
        say("ip saddr @pods4 tcp dport 10250 accept");
        if !self.control_plane && !self.public_ports.is_empty() {
            let ports: Vec<String> = self.public_ports.iter().map(ToString::to_string).collect();
            say(&format!("tcp dport {{ {} }} accept", ports.join(", ")));
        }
        lines
    }
}

/// An empty set has no `elements` line: one with nothing in it is a syntax error.
fn set(name: &str, kind: &str, flags: &str, elements: &[String]) -> String {
    let elements = if elements.is_empty() {
        String::new()
    } else {
        format!(" elements = {{ {} }}", elements.join(", "))
    };
    format!("set {name} {{ type {kind}; flags {flags};{elements} }}")
}

/// By family, sorted, without overlaps: an interval set refuses a network inside another.
fn split(networks: &[IpNet]) -> (Vec<String>, Vec<String>) {
    let v4: Vec<Ipv4Net> = networks
        .iter()
        .filter_map(|network| {
            if let IpNet::V4(network) = network {
                Some(*network)
            } else {
                None
            }
        })
        .collect();
    let v6: Vec<Ipv6Net> = networks
        .iter()
        .filter_map(|network| {
            if let IpNet::V6(network) = network {
                Some(*network)
            } else {
                None
            }
        })
        .collect();
    (
        Ipv4Net::aggregate(&v4)
            .iter()
            .map(ToString::to_string)
            .collect(),
        Ipv6Net::aggregate(&v6)
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

/// The addresses that `nft list table` shows in a set.
pub fn elements(listing: &str, name: &str) -> BTreeSet<IpAddr> {
    let Some(set) = listing.split(&format!("set {name} {{")).nth(1) else {
        return BTreeSet::new();
    };
    // The set ends where the next one or a chain begins.
    let end = [" set ", "\tset ", " chain ", "\tchain "]
        .iter()
        .filter_map(|word| set.find(word))
        .min()
        .unwrap_or(set.len());
    let Some(elements) = set[..end]
        .split("elements = {")
        .nth(1)
        .and_then(|rest| rest.split('}').next())
    else {
        return BTreeSet::new();
    };
    elements
        .split(',')
        .filter_map(|element| element.split_whitespace().next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod nft_test;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(control_plane: bool, ssh: Ssh, api: Api) -> Rules {
        Rules {
            control_plane,
            nodes: ["198.51.100.11", "198.51.100.10", "2001:db8::10"]
                .map(|address| address.parse().unwrap())
                .into(),
            ssh,
            api,
            pods: vec!["10.244.0.0/16".parse().unwrap()],
            public_ports: [80, 443].into(),
        }
    }

    #[test]
    fn a_locked_control_plane() {
        insta::assert_snapshot!(rules(true, Ssh::Nobody, Api::Any).render());
    }

    #[test]
    fn an_open_worker() {
        let operators = vec![
            "203.0.113.0/28".parse().unwrap(),
            "203.0.113.7/32".parse().unwrap(),
            "2001:db8:77::/48".parse().unwrap(),
        ];
        insta::assert_snapshot!(rules(false, Ssh::From(operators), Api::Any).render());
    }

    #[test]
    fn lockdown_removes_no_line_but_the_way_to_port_22() {
        let open = rules(true, Ssh::Everyone, Api::Any).render();
        let locked = rules(true, Ssh::Nobody, Api::Any).render();
        assert!(
            open.contains("tcp dport 22 accept\n") && !locked.contains("tcp dport 22 accept\n")
        );
        let without_ssh = |text: &str| {
            text.lines()
                .filter(|line| !line.contains("dport 22"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(without_ssh(&open), without_ssh(&locked));
    }

    #[test]
    fn a_closed_api_still_admits_nodes_and_pods() {
        let text = rules(
            true,
            Ssh::Nobody,
            Api::From(vec!["203.0.113.0/28".parse().unwrap()]),
        )
        .render();
        assert!(!text.contains("\n    tcp dport 6443 accept"));
        for line in [
            "ip saddr @nodes4 tcp dport 6443 accept",
            "ip saddr { 203.0.113.0/28 } tcp dport 6443 accept",
            "ip saddr @pods4 tcp dport 6443 accept",
        ] {
            assert!(text.contains(line), "{line}");
        }
    }

    #[test]
    fn elements_are_read_from_a_listing() {
        let text = rules(true, Ssh::Nobody, Api::Any).render();
        assert_eq!(elements(&text, "nodes4").len(), 2);
        assert_eq!(elements(&text, "operator4").len(), 0);
        let listed = "table inet strata {\n\tset nodes4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { 198.51.100.10,\n\t\t\t     198.51.100.11 }\n\t}\n\n\tset nodes6 {\n";
        assert_eq!(elements(listed, "nodes4").len(), 2);
    }
}
