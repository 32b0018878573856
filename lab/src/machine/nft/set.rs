//! Sets of addresses and ports as intervals, with nft's rules about overlap and time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

/// What a selector or a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ipv4,
    Ipv6,
    Port,
    Protocol,
    IcmpType,
    Icmpv6Type,
    Family,
}

impl Kind {
    /// The data type's name in a set declaration.
    pub(crate) fn from_type(name: &str) -> Option<Self> {
        Some(match name {
            "ipv4_addr" => Self::Ipv4,
            "ipv6_addr" => Self::Ipv6,
            "inet_service" => Self::Port,
            "inet_proto" => Self::Protocol,
            _ => return None,
        })
    }

    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4_addr",
            Self::Ipv6 => "ipv6_addr",
            Self::Port => "inet_service",
            Self::Protocol => "inet_proto",
            Self::IcmpType => "icmp_type",
            Self::Icmpv6Type => "icmpv6_type",
            Self::Family => "nf_proto",
        }
    }

    /// The words of nft's mismatch message.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4 address",
            Self::Ipv6 => "IPv6 address",
            Self::Port => "internet network service",
            Self::Protocol => "Internet protocol",
            Self::IcmpType => "ICMP type",
            Self::Icmpv6Type => "ICMPv6 type",
            Self::Family => "netfilter protocol",
        }
    }

    fn names(self) -> &'static [(&'static str, u128)] {
        match self {
            Self::Port => &[
                ("ssh", 22),
                ("domain", 53),
                ("http", 80),
                ("ntp", 123),
                ("https", 443),
                ("dhcpv6-client", 546),
                ("dhcpv6-server", 547),
            ],
            Self::Protocol => &[
                ("icmp", 1),
                ("tcp", 6),
                ("udp", 17),
                ("esp", 50),
                ("ah", 51),
                ("ipv6-icmp", 58),
                ("icmpv6", 58),
                ("sctp", 132),
            ],
            Self::IcmpType => &[
                ("echo-reply", 0),
                ("destination-unreachable", 3),
                ("echo-request", 8),
                ("router-advertisement", 9),
                ("router-solicitation", 10),
                ("time-exceeded", 11),
                ("parameter-problem", 12),
            ],
            Self::Icmpv6Type => &[
                ("destination-unreachable", 1),
                ("packet-too-big", 2),
                ("time-exceeded", 3),
                ("parameter-problem", 4),
                ("echo-request", 128),
                ("echo-reply", 129),
                ("mld-listener-query", 130),
                ("nd-router-solicit", 133),
                ("nd-router-advert", 134),
                ("nd-neighbor-solicit", 135),
                ("nd-neighbor-advert", 136),
                ("nd-redirect", 137),
            ],
            Self::Family => &[("ipv4", 2), ("ipv6", 10)],
            Self::Ipv4 | Self::Ipv6 => &[],
        }
    }

    fn one(self, text: &str) -> Result<u128, String> {
        match self {
            Self::Ipv4 | Self::Ipv6 => match (self, text.parse::<IpAddr>()) {
                (Self::Ipv4, Ok(IpAddr::V4(address))) => Ok(u128::from(u32::from(address))),
                (Self::Ipv6, Ok(IpAddr::V6(address))) => Ok(u128::from(address)),
                (_, Ok(_)) => Err(
                    "Could not resolve hostname: Address family for hostname not supported".into(),
                ),
                (_, Err(_)) => Err("Could not resolve hostname: Name or service not known".into()),
            },
            _ => {
                if let Some((_, number)) = self.names().iter().find(|(name, _)| *name == text) {
                    return Ok(*number);
                }
                let limit = if self == Self::Port { 65_535 } else { 255 };
                match text.parse::<u128>() {
                    Ok(number) if number <= limit => Ok(number),
                    Ok(_) => Err(format!("Value {text} exceeds valid range 0-{limit}")),
                    Err(_) if self == Self::Port => Err(
                        "Could not resolve service: Servname not supported for ai_socktype".into(),
                    ),
                    Err(_) => Err(format!("Could not parse {}", self.description())),
                }
            }
        }
    }

    /// Reads a literal, a prefix or a range as the interval it covers.
    pub(crate) fn interval(self, text: &str) -> Result<(u128, u128), String> {
        if matches!(self, Self::Ipv4 | Self::Ipv6)
            && let Some((address, length)) = text.split_once('/')
        {
            let low = self.one(address)?;
            let net: IpNet = format!("{address}/{length}")
                .parse()
                .map_err(|_| "Prefix length exceeds the address's width".to_owned())?;
            let _ = low;
            return Ok((number(net.network()), number(net.broadcast())));
        }
        // Names such as `echo-request` have hyphens too: whole words first.
        if let Ok(value) = self.one(text) {
            return Ok((value, value));
        }
        if let Some((low, high)) = text.split_once('-')
            && !matches!(self, Self::IcmpType | Self::Icmpv6Type | Self::Family)
        {
            let (low, high) = (self.one(low)?, self.one(high)?);
            return if low < high {
                Ok((low, high))
            } else {
                Err("Range negative size".into())
            };
        }
        self.one(text).map(|value| (value, value))
    }

    /// An interval in nft's words.
    pub(crate) fn show(self, (low, high): (u128, u128)) -> String {
        let one = |value: u128| match self {
            Self::Ipv4 => Ipv4Addr::from(u32::try_from(value).unwrap_or(u32::MAX)).to_string(),
            Self::Ipv6 => Ipv6Addr::from(value).to_string(),
            Self::Port => value.to_string(),
            _ => self
                .names()
                .iter()
                .find(|(_, number)| *number == value)
                .map_or_else(|| value.to_string(), |(name, _)| (*name).to_owned()),
        };
        if low == high {
            return one(low);
        }
        let width = match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
            _ => return format!("{}-{}", one(low), one(high)),
        };
        let span = low ^ high;
        if span & (span.wrapping_add(1)) == 0 && low & span == 0 {
            return format!("{}/{}", one(low), width - span.count_ones());
        }
        format!("{}-{}", one(low), one(high))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// One element.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Element {
    pub(crate) low: u128,
    pub(crate) high: u128,
    pub(crate) timeout: Option<Duration>,
    pub(crate) expires: Option<Duration>,
}

/// A named set.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    pub(crate) kind: Kind,
    pub(crate) interval: bool,
    pub(crate) timed: bool,
    pub(crate) auto_merge: bool,
    /// `timeout` of the set: the elements' default.
    pub(crate) timeout: Option<Duration>,
    /// Sorted.
    pub(crate) elements: Vec<Element>,
}

impl Set {
    /// Adds elements; one that is there already is left alone, as the kernel does.
    pub(crate) fn add(
        &mut self,
        elements: &[(String, Option<Duration>)],
        now: Duration,
    ) -> Result<(), String> {
        for (text, timeout) in elements {
            let (low, high) = self.kind.interval(text)?;
            if low != high && !self.interval {
                return Err("You must add 'flags interval' to your set declaration if you want to add prefix elements".into());
            }
            if timeout.is_some() && !self.timed {
                return Err("Could not process rule: Invalid argument".into());
            }
            if self
                .elements
                .iter()
                .any(|element| element.low == low && element.high == high)
            {
                continue;
            }
            if self
                .elements
                .iter()
                .any(|element| element.low <= high && low <= element.high)
                && !self.auto_merge
            {
                return Err("interval overlaps with an existing one".into());
            }
            let timeout = timeout.or(self.timeout);
            self.elements.push(Element {
                low,
                high,
                timeout,
                expires: timeout.map(|timeout| now + timeout),
            });
        }
        self.elements.sort_by_key(|element| element.low);
        if self.auto_merge {
            self.merge();
        }
        Ok(())
    }

    fn merge(&mut self) {
        let mut merged: Vec<Element> = Vec::new();
        for element in self.elements.drain(..) {
            match merged.last_mut() {
                Some(last) if element.low <= last.high.saturating_add(1) => {
                    last.high = last.high.max(element.high);
                }
                _ => merged.push(element),
            }
        }
        self.elements = merged;
    }

    /// Removes exactly these elements.
    pub(crate) fn delete(&mut self, elements: &[(String, Option<Duration>)]) -> Result<(), String> {
        for (text, _) in elements {
            let (low, high) = self.kind.interval(text)?;
            let before = self.elements.len();
            self.elements
                .retain(|element| (element.low, element.high) != (low, high));
            if self.elements.len() == before {
                return Err("Could not process rule: No such file or directory".into());
            }
        }
        Ok(())
    }

    pub(crate) fn contains(&self, value: u128, now: Duration) -> bool {
        self.elements.iter().any(|element| {
            element.low <= value
                && value <= element.high
                && element.expires.is_none_or(|at| at > now)
        })
    }

    pub(crate) fn expire(&mut self, now: Duration) {
        self.elements
            .retain(|element| element.expires.is_none_or(|at| at > now));
    }

    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.elements
            .iter()
            .filter_map(|element| element.expires)
            .min()
    }
}
