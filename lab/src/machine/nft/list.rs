//! Listings in nft's own format.

use std::fmt::Write as _;
use std::time::Duration;

use super::set::{Kind, Set};
use super::statement::{Expression, Rule, Selector, Values};
use super::{Ruleset, Table};

impl Ruleset {
    /// `nft list table FAMILY NAME`. Without `now` the remaining time of elements is left out, so that the text is the same every time.
    pub(crate) fn list_table(
        &self,
        family: &str,
        name: &str,
        now: Option<Duration>,
    ) -> Option<String> {
        let table = self.tables.get(&(family.to_owned(), name.to_owned()))?;
        Some(table.list(family, name, now))
    }

    /// `nft list ruleset`.
    pub(crate) fn list(&self, now: Option<Duration>) -> String {
        self.tables
            .iter()
            .map(|((family, name), table)| table.list(family, name, now))
            .collect()
    }

    /// `nft list set FAMILY TABLE NAME`.
    pub(crate) fn list_set(
        &self,
        family: &str,
        table: &str,
        name: &str,
        now: Option<Duration>,
    ) -> Option<String> {
        let set = self
            .tables
            .get(&(family.to_owned(), table.to_owned()))?
            .sets
            .get(name)?;
        Some(format!(
            "table {family} {table} {{\n{}}}\n",
            set.list(name, now)
        ))
    }

    /// The sets of a table and their elements, for `GET /estate`.
    pub(crate) fn sets(&self, family: &str, name: &str) -> Vec<(String, Vec<String>)> {
        let Some(table) = self.tables.get(&(family.to_owned(), name.to_owned())) else {
            return Vec::new();
        };
        let show = |set: &Set| {
            set.elements
                .iter()
                .map(|element| set.kind.show((element.low, element.high)))
                .collect()
        };
        table
            .sets
            .iter()
            .map(|(name, set)| (name.clone(), show(set)))
            .collect()
    }
}

impl Table {
    fn list(&self, family: &str, name: &str, now: Option<Duration>) -> String {
        let mut blocks: Vec<String> = self
            .sets
            .iter()
            .map(|(name, set)| set.list(name, now))
            .collect();
        for chain in &self.chains {
            let mut text = format!("\tchain {} {{\n", chain.name);
            if let Some(hook) = &chain.hook {
                let policy = if hook.drops { "drop" } else { "accept" };
                let _ = writeln!(
                    text,
                    "\t\ttype filter hook {} priority {}; policy {policy};",
                    hook.place, hook.priority
                );
            }
            for rule in &chain.rules {
                let _ = writeln!(text, "\t\t{}", rule.show());
            }
            text.push_str("\t}\n");
            blocks.push(text);
        }
        format!("table {family} {name} {{\n{}}}\n", blocks.join("\n"))
    }
}

impl Set {
    fn list(&self, name: &str, now: Option<Duration>) -> String {
        let mut text = format!("\tset {name} {{\n\t\ttype {}\n", self.kind.type_name());
        let flags: Vec<&str> = [(self.interval, "interval"), (self.timed, "timeout")]
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, flag)| flag)
            .collect();
        if !flags.is_empty() {
            let _ = writeln!(text, "\t\tflags {}", flags.join(","));
        }
        if let Some(timeout) = self.timeout {
            let _ = writeln!(text, "\t\ttimeout {}", show_time(timeout));
        }
        if self.auto_merge {
            text.push_str("\t\tauto-merge\n");
        }
        if !self.elements.is_empty() {
            let elements: Vec<String> = self
                .elements
                .iter()
                .map(|element| {
                    let mut shown = self.kind.show((element.low, element.high));
                    if let Some(timeout) = element.timeout {
                        let _ = write!(shown, " timeout {}", show_time(timeout));
                    }
                    if let (Some(expires), Some(now)) = (element.expires, now) {
                        let _ =
                            write!(shown, " expires {}", show_time(expires.saturating_sub(now)));
                    }
                    shown
                })
                .collect();
            let per_line = if self.kind == Kind::Ipv4 { 2 } else { 1 };
            let lines: Vec<String> = elements
                .chunks(per_line)
                .map(|chunk| chunk.join(", "))
                .collect();
            let _ = writeln!(
                text,
                "\t\telements = {{ {} }}",
                lines.join(",\n\t\t\t     ")
            );
        }
        text.push_str("\t}\n");
        text
    }
}

impl Rule {
    fn show(&self) -> String {
        let mut words: Vec<String> = self.expressions.iter().map(Expression::show).collect();
        if let Some(comment) = &self.comment {
            words.push(format!("comment \"{comment}\""));
        }
        words.join(" ")
    }
}

impl Expression {
    fn show(&self) -> String {
        match self {
            Self::Counter => "counter packets 0 bytes 0".into(),
            Self::Log(None) => "log".into(),
            Self::Log(Some(prefix)) => format!("log prefix \"{prefix}\""),
            Self::Accept => "accept".into(),
            Self::Drop => "drop".into(),
            Self::Reject(with) => format!("reject{with}"),
            Self::Return => "return".into(),
            Self::Match {
                selector,
                negated,
                values,
            } => {
                let name = match selector {
                    Selector::Interface => "iif",
                    Selector::InterfaceName => "iifname",
                    Selector::State => "ct state",
                    Selector::Protocol => "meta l4proto",
                    Selector::IpProtocol => "ip protocol",
                    Selector::NextHeader => "ip6 nexthdr",
                    Selector::Family => "meta nfproto",
                    Selector::Port {
                        udp: false,
                        source: false,
                    } => "tcp dport",
                    Selector::Port {
                        udp: false,
                        source: true,
                    } => "tcp sport",
                    Selector::Port {
                        udp: true,
                        source: false,
                    } => "udp dport",
                    Selector::Port {
                        udp: true,
                        source: true,
                    } => "udp sport",
                    Selector::Address {
                        v6: false,
                        source: true,
                    } => "ip saddr",
                    Selector::Address {
                        v6: false,
                        source: false,
                    } => "ip daddr",
                    Selector::Address {
                        v6: true,
                        source: true,
                    } => "ip6 saddr",
                    Selector::Address {
                        v6: true,
                        source: false,
                    } => "ip6 daddr",
                    Selector::Icmp => "icmp type",
                    Selector::Icmpv6 => "icmpv6 type",
                };
                let operator = if *negated { " !=" } else { "" };
                let values = match values {
                    Values::Set(set) => format!("@{set}"),
                    Values::Words(words, braces) => {
                        let quoted = |word: &String| {
                            if *selector == Selector::State {
                                word.clone()
                            } else {
                                format!("\"{word}\"")
                            }
                        };
                        let words: Vec<String> = words.iter().map(quoted).collect();
                        if *braces {
                            format!("{{ {} }}", words.join(", "))
                        } else {
                            words.join(",")
                        }
                    }
                    Values::Intervals(intervals, braces) => {
                        let kind = selector.kind().unwrap_or(Kind::Port);
                        let shown: Vec<String> = intervals
                            .iter()
                            .map(|interval| kind.show(*interval))
                            .collect();
                        if *braces {
                            format!("{{ {} }}", shown.join(", "))
                        } else {
                            shown.join(", ")
                        }
                    }
                };
                format!("{name}{operator} {values}")
            }
        }
    }
}

fn show_time(time: Duration) -> String {
    let mut left = time.as_secs();
    let mut text = String::new();
    for (unit, size) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if left >= size {
            let _ = write!(text, "{}{unit}", left / size);
            left %= size;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}
