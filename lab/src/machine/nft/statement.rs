//! Statements, rules and what they are made of.

use std::time::Duration;

use super::set::Kind;

/// An element as written: text and timeout.
pub(super) type Raw = (String, Option<Duration>);

/// One statement of a transaction.
#[derive(Debug, Clone)]
pub(super) enum Statement {
    AddTable(String, String),
    DeleteTable {
        family: String,
        table: String,
        must_exist: bool,
    },
    FlushTable(String, String),
    FlushRuleset,
    AddSet {
        family: String,
        table: String,
        name: String,
        set: Declaration,
    },
    AddChain {
        family: String,
        table: String,
        name: String,
        hook: Option<Hook>,
        rules: Vec<Rule>,
    },
    AddElements {
        family: String,
        table: String,
        set: String,
        elements: Vec<Raw>,
    },
    DeleteElements {
        family: String,
        table: String,
        set: String,
        elements: Vec<Raw>,
    },
    FlushSet {
        family: String,
        table: String,
        set: String,
    },
}

/// A set's declaration.
#[derive(Debug, Clone)]
pub(super) struct Declaration {
    pub(super) kind: Kind,
    pub(super) interval: bool,
    pub(super) timed: bool,
    pub(super) auto_merge: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) elements: Vec<Raw>,
}

/// `type filter hook input priority filter; policy drop;`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hook {
    pub(super) place: String,
    pub(super) priority: String,
    pub(super) drops: bool,
}

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selector {
    Interface,
    InterfaceName,
    State,
    Protocol,
    IpProtocol,
    NextHeader,
    Family,
    Port { udp: bool, source: bool },
    Address { v6: bool, source: bool },
    Icmp,
    Icmpv6,
}

/// What it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Intervals; true when written in braces.
    Intervals(Vec<(u128, u128)>, bool),
    /// Words: interface names, connection states.
    Words(Vec<String>, bool),
    Set(String),
}

/// A part of a rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Match {
        selector: Selector,
        negated: bool,
        values: Values,
    },
    Counter,
    Log(Option<String>),
    Accept,
    Drop,
    Reject(String),
    Return,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    pub(super) expressions: Vec<Expression>,
    pub(super) comment: Option<String>,
}

impl Selector {
    /// The type of its values, where they are numbers.
    pub(super) fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Interface | Self::InterfaceName | Self::State => return None,
            Self::Protocol | Self::IpProtocol | Self::NextHeader => Kind::Protocol,
            Self::Family => Kind::Family,
            Self::Port { .. } => Kind::Port,
            Self::Address { v6: false, .. } => Kind::Ipv4,
            Self::Address { v6: true, .. } => Kind::Ipv6,
            Self::Icmp => Kind::IcmpType,
            Self::Icmpv6 => Kind::Icmpv6Type,
        })
    }
}

/// The place of a base chain: smaller runs earlier.
pub(super) fn number_of_priority(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let base = match first {
        "raw" => -300,
        "mangle" => -150,
        "filter" => 0,
        "security" => 50,
        number => number.parse().ok()?,
    };
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Some(base),
        (Some("+"), Some(number), None) => Some(base + number.parse::<i64>().ok()?),
        (Some("-"), Some(number), None) => Some(base - number.parse::<i64>().ok()?),
        _ => None,
    }
}
