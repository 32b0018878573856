//! Formats of text that many attributes have: addresses, names, times. A format is a word in `#[schema(format = "cidr")]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A format: its word, what is accepted in words for the documentation, and the check.
pub(super) struct Format {
    pub(super) name: &'static str,
    pub(super) accepts: &'static str,
    pub(super) check: fn(&str) -> bool,
}

/// All formats. The derive knows the words too, so that a wrong one does not compile.
const FORMATS: [Format; 8] = [
    Format {
        name: "cidr",
        accepts: "a network in CIDR form such as `192.0.2.0/24` or `2001:db8::/32`",
        check: cidr,
    },
    Format {
        name: "hostname",
        accepts: "a DNS name such as `api.example.org`",
        check: hostname,
    },
    Format {
        name: "ip",
        accepts: "an IP address such as `192.0.2.1` or `2001:db8::1`",
        check: |text| text.parse::<IpAddr>().is_ok(),
    },
    Format {
        name: "ipv4",
        accepts: "an IPv4 address such as `192.0.2.1`",
        check: |text| text.parse::<Ipv4Addr>().is_ok(),
    },
    Format {
        name: "ipv6",
        accepts: "an IPv6 address such as `2001:db8::1`",
        check: |text| text.parse::<Ipv6Addr>().is_ok(),
    },
    Format {
        name: "rfc3339",
        accepts: "a time such as `2026-01-31T12:00:00Z`",
        check: |text| text.parse::<jiff::Timestamp>().is_ok(),
    },
    Format {
        name: "url",
        accepts: "a URL such as `https://api.example.org:6443`",
        check: url,
    },
    Format {
        name: "uuid",
        accepts: "a UUID such as `6d5f0c5e-0f0e-4a53-9f0e-3f3f7f1c2a10`",
        check: uuid,
    },
];

/// The format with this name.
pub(super) fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    // `parse` would take "+8" and "08".
    length == "0"
        || (!length.starts_with(['0', '+'])
            && length.parse::<u8>().is_ok_and(|length| length <= most))
}

/// RFC 1123: labels of letters, digits and inner hyphens, 63 at most, 253 in all; a final dot is accepted.
fn hostname(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// `http` or `https`, a host, and nothing that is not printable ASCII.
fn url(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

fn uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let lengths: Vec<_> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::{FORMATS, named};

    #[test]
    fn each_format_takes_its_own_and_refuses_others() {
        for (name, good, wrong) in [
            (
                "cidr",
                &["192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0"][..],
                &[
                    "192.0.2.0",
                    "192.0.2.0/33",
                    "192.0.2.0/08",
                    "::/+1",
                    "x/8",
                    "",
                ][..],
            ),
            (
                "hostname",
                &["a", "api.example.org", "x-1.example.", "1.example"],
                &["", "-a.b", "a-.b", "a..b", "a_b", "ä.example"],
            ),
            (
                "ip",
                &["192.0.2.1", "2001:db8::1"],
                &["192.0.2", "192.0.2.1/24", "host"],
            ),
            ("ipv4", &["192.0.2.1"], &["2001:db8::1", "1.2.3.04"]),
            ("ipv6", &["2001:db8::1", "::"], &["192.0.2.1"]),
            (
                "rfc3339",
                &["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.5+01:00"],
                &["2026-01-31", "12:00", "yesterday"],
            ),
            (
                "url",
                &["https://a.example", "http://192.0.2.1:8080/x?y#z"],
                &[
                    "a.example",
                    "ftp://a",
                    "https://",
                    "https:///x",
                    "https://a b",
                ],
            ),
            (
                "uuid",
                &["6d5f0c5e-0f0e-4a53-9f0e-3f3f7f1c2a10"],
                &["6d5f0c5e", "6d5f0c5e-0f0e-4a53-9f0e-3f3f7f1c2a1g"],
            ),
        ] {
            let format = named(name).expect(name);
            for text in good {
                assert!((format.check)(text), "{name} takes {text:?}");
            }
            for text in wrong {
                assert!(!(format.check)(text), "{name} refuses {text:?}");
            }
        }
        assert_eq!(FORMATS.len(), 8, "each format has a row above");
    }
}
