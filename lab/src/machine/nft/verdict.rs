//! What the rules say to one packet.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::time::Duration;

use super::statement::{Expression, Selector, Values, number_of_priority};
use super::{Chain, Ruleset, Table};

/// An incoming packet, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    /// It came over `lo`.
    pub(crate) loopback: bool,
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) port: u16,
    pub(crate) udp: bool,
    /// Part of a known connection; else it is new.
    pub(crate) established: bool,
}

/// The rules' answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    Reject,
}

impl Ruleset {
    /// All base chains of the input hook must accept.
    pub(crate) fn verdict(&self, packet: &Packet, now: Duration) -> Verdict {
        let family = |name: &str| match name {
            "ip" => packet.from.is_ipv4(),
            "ip6" => packet.from.is_ipv6(),
            _ => true,
        };
        let mut chains: Vec<(&Table, &Chain)> = self
            .tables
            .iter()
            .filter(|((name, _), _)| family(name))
            .flat_map(|(_, table)| table.chains.iter().map(move |chain| (table, chain)))
            .filter(|(_, chain)| {
                chain
                    .hook
                    .as_ref()
                    .is_some_and(|hook| hook.place == "input")
            })
            .collect();
        let place = |chain: &Chain| {
            chain
                .hook
                .as_ref()
                .and_then(|hook| number_of_priority(&hook.priority))
                .unwrap_or_default()
        };
        chains.sort_by(|a, b| {
            place(a.1)
                .partial_cmp(&place(b.1))
                .unwrap_or(Ordering::Equal)
        });
        for (table, chain) in chains {
            match table.walk(chain, packet, now) {
                Verdict::Accept => {}
                other => return other,
            }
        }
        Verdict::Accept
    }
}

impl Table {
    fn walk(&self, chain: &Chain, packet: &Packet, now: Duration) -> Verdict {
        let policy = if chain.hook.as_ref().is_some_and(|hook| hook.drops) {
            Verdict::Drop
        } else {
            Verdict::Accept
        };
        for rule in &chain.rules {
            for expression in &rule.expressions {
                match expression {
                    Expression::Match {
                        selector,
                        negated,
                        values,
                    } => match self.compare(*selector, values, packet, now) {
                        Some(equal) if equal != *negated => {}
                        _ => break,
                    },
                    Expression::Counter | Expression::Log(_) => {}
                    Expression::Accept => return Verdict::Accept,
                    Expression::Drop => return Verdict::Drop,
                    Expression::Reject(_) => return Verdict::Reject,
                    Expression::Return => return policy,
                }
            }
        }
        policy
    }

    /// `None` when the packet has no such field: then the rule does not match, negated or not.
    fn compare(
        &self,
        selector: Selector,
        values: &Values,
        packet: &Packet,
        now: Duration,
    ) -> Option<bool> {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)),
            IpAddr::V6(address) => u128::from(address),
        };
        let word = match selector {
            Selector::Interface | Selector::InterfaceName => {
                Some(if packet.loopback { "lo" } else { "uplink" })
            }
            Selector::State => Some(if packet.established {
                "established"
            } else {
                "new"
            }),
            _ => None,
        };
        if let Some(word) = word {
            return match values {
                Values::Words(words, _) => Some(words.iter().any(|text| text == word)),
                _ => None,
            };
        }
        let value = match selector {
            Selector::Protocol => Some(if packet.udp { 17 } else { 6 }),
            Selector::IpProtocol => {
                packet
                    .from
                    .is_ipv4()
                    .then_some(if packet.udp { 17 } else { 6 })
            }
            Selector::NextHeader => {
                packet
                    .from
                    .is_ipv6()
                    .then_some(if packet.udp { 17 } else { 6 })
            }
            Selector::Family => Some(if packet.from.is_ipv4() { 2 } else { 10 }),
            Selector::Port { udp, source } if udp == packet.udp => {
                // Source ports in the lab are ephemeral; nothing delivered looks at them for TCP.
                Some(if source {
                    49_152
                } else {
                    u128::from(packet.port)
                })
            }
            Selector::Address { v6, source } if v6 == packet.from.is_ipv6() => {
                Some(number(if source { packet.from } else { packet.to }))
            }
            _ => None,
        }?;
        Some(match values {
            Values::Intervals(intervals, _) => intervals
                .iter()
                .any(|(low, high)| *low <= value && value <= *high),
            Values::Set(name) => self.sets.get(name)?.contains(value, now),
            Values::Words(..) => return None,
        })
    }
}
