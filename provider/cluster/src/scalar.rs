//! The kinds of single values that a field can hold: how each is read, named in an error, and written in a JSON schema.

use std::{net::IpAddr, sync::LazyLock};

use ipnet::IpNet;
use regex::Regex;
use serde_json::{Value, json};

/// A named form of text.
pub(crate) struct Pattern {
    /// What an error calls it.
    pub(crate) name: &'static str,
    /// A value that fits.
    pub(crate) example: &'static str,
    pub(crate) regex: LazyLock<Regex>,
}

macro_rules! patterns {
    ($($constant:ident: $name:literal, $example:literal, $regex:literal;)*) => {
        $(pub(crate) static $constant: Pattern = Pattern { name: $name, example: $example, regex: LazyLock::new(|| Regex::new($regex).expect("written here")) };)*
        #[cfg(test)]
        pub(crate) static ALL_PATTERNS: &[&Pattern] = &[$(&$constant),*];
    };
}

patterns! {
    CLUSTER_NAME: "a name of small letters, digits and inner hyphens, at most 30, beginning with a letter", "home", r"^[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?$";
    NODE_NAME: "a name of small letters, digits and inner hyphens, at most 41, beginning with a letter", "cp-1", r"^[a-z](?:[a-z0-9-]{0,39}[a-z0-9])?$";
    ZONE: "a zone", "fr-par-2", r"^[a-z]{2}-[a-z]{3}-[1-9]$";
    REGION: "a region", "eu-west-3", r"^[a-z]{2}(?:-[a-z]+)+-[0-9]$";
    WORD: "a word of letters, digits, `-`, `_` and `.`", "vmbr0", r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
    OFFER: "an offer's name", "EM-A610R-NVME", r"^[A-Za-z0-9][A-Za-z0-9._-]{2,62}$";
    KUBERNETES_VERSION: "a version with v and three numbers", "v1.34.2", r"^v1\.[1-9][0-9]?\.[0-9]{1,3}$";
    TALOS_VERSION: "a version with v and three numbers", "v1.13.9", r"^v1\.[0-9]{1,2}\.[0-9]{1,3}$";
    TALOS_CONTRACT: "a version with v and two numbers", "v1.13", r"^v1\.[0-9]{1,2}$";
    K3S_VERSION: "a k3s version", "v1.34.2+k3s1", r"^v1\.[0-9]{1,2}\.[0-9]{1,3}\+k3s[0-9]{1,2}$";
    FLATCAR_VERSION: "a Flatcar version", "4230.2.3", r"^[0-9]{4,5}\.[0-9]{1,3}\.[0-9]{1,3}$";
    CILIUM_VERSION: "a version without v and three numbers", "1.18.4", r"^1\.[0-9]{1,2}\.[0-9]{1,3}$";
    DISK: "a disk's name below /dev/disk/by-id", "nvme-SAMSUNG_MZ_S1", r"^(?:/dev/disk/by-id/)?[A-Za-z0-9][A-Za-z0-9._:+-]{2,200}$";
    MAC: "a MAC address", "52:54:00:12:34:56", r"^(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$";
    LABEL_KEY: "a label's key", "example.org/disk", r"^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$";
    LABEL_VALUE: "a label's value (at most 63 letters, digits, `-`, `_`, `.`)", "fast", r"^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$";
    TAINT: "a taint `key=value:Effect` with effect NoSchedule, PreferNoSchedule or NoExecute", "dedicated=storage:NoSchedule", r"^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?(?:=(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?)?:(?:NoSchedule|PreferNoSchedule|NoExecute)$";
    DOMAIN: "a domain name with at least two parts, in small letters", "api.home.example.org", r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])$";
    HOST: "a name or an IP", "k8s.example.org", r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$";
    HOST_PORT: "host:port", "teleport.example.org:443", r"^[a-z0-9][a-z0-9.-]{0,252}:[0-9]{1,5}$";
    VPN_TAG: "a tag", "tag:k8s", r"^tag:[a-z0-9-]{1,60}$";
    VPN_USER: "a user's name of letters, digits, `-`, `_`, `.` and at most one `@`", "k8s", r"^[A-Za-z0-9][A-Za-z0-9._-]{0,126}(?:@[A-Za-z0-9._-]{1,126})?$";
    RECORD_NAME: "a record's name relative to the zone (`@` is the zone itself)", "www", r"^(?:@|(?:\*|[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*)$";
    BUCKET: "a place in a bucket, s3://bucket/prefix", "s3://example-backup/prod", r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9][A-Za-z0-9._-]*)*$";
    URL: "a URL with http, https or ssh", "https://example.org", r"^(?:https?|ssh)://[^\s/]+\S*$";
    SSH_KEY: "an SSH public key", "ssh-ed25519 AAAAC3... name", r"^(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/=…]{8,}(?: [^\n]*)?$";
    RECIPIENT: "an age or SSH public key", "age1...", r"^(?:age1[a-z0-9]{8,}|ssh-(?:ed25519|rsa) [A-Za-z0-9+/=]{8,}(?: [^\n]*)?)$";
    UUID: "a UUID", "6d5f0c5e-0f0e-4a53-9f0e-3f3f7f1c2a10", r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
    DURATION: "a duration", "120m", r"^(?:[0-9]{1,6}[smhd]){1,4}$";
    SIZE: "a size", "40GiB", r"^[0-9]{1,6}(?:MB|GB|TB|MiB|GiB|TiB)$";
    MONEY: "an amount with its currency", "300 EUR", r"^[0-9]{1,7}(?:\.[0-9]{1,2})? [A-Z]{3}$";
    WINDOW: "a weekly window `Day HH:MM DURATION ZONE`", "Sun 03:00 2h UTC", r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:[01][0-9]|2[0-3]):[0-5][0-9] [0-9]{1,3}[mh] [A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*$";
    FINGERPRINT: "a SHA-256 fingerprint in hex", "AB:CD:...", r"^(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$";
    VALUE_NAME: "a dotted name of a chart value", "hubble.relay.enabled", r"^[A-Za-z0-9][A-Za-z0-9._\[\]/-]{0,200}$";
    RECORD_VALUE: "a record's value on one line", "192.0.2.80", r"^[^\x00-\x1f]{1,2048}$";
}

/// One kind of single value.
#[derive(Clone, Copy)]
pub(crate) enum Scalar {
    Bool,
    Int(i64, i64),
    /// A number above zero.
    Positive,
    /// Any text on one line; the only kind that is searched for random tokens.
    Text,
    Form(&'static Pattern),
    OneOf(&'static [&'static str]),
    Ip,
    /// A network; the address has no bits beyond the prefix.
    Network,
    /// An address with its prefix length.
    Interface,
    /// One of the words, or a network, or one address.
    Peer(&'static [&'static str]),
    /// A file or folder, relative to the cluster file or absolute.
    File,
}

impl Scalar {
    /// Reads a value. The error says what would have been accepted.
    pub(crate) fn read(self, text: &str, plain: bool) -> Result<Value, String> {
        let fits = match self {
            Scalar::Bool => match (plain, text) {
                (true, "true" | "True" | "TRUE") => Some(json!(true)),
                (true, "false" | "False" | "FALSE") => Some(json!(false)),
                _ => None,
            },
            Scalar::Int(min, max) => text
                .parse::<i64>()
                .ok()
                .filter(|number| plain && (min..=max).contains(number))
                .map(|number| json!(number)),
            Scalar::Positive => text
                .parse::<f64>()
                .ok()
                .filter(|number| {
                    plain && number.is_finite() && (0.001..=1_000_000.0).contains(number)
                })
                .map(number),
            Scalar::Text => {
                (!text.is_empty() && text.len() <= 1024 && !text.chars().any(char::is_control))
                    .then(|| json!(text))
            }
            Scalar::Form(pattern) => {
                (text.len() <= 4096 && pattern.regex.is_match(text)).then(|| json!(text))
            }
            Scalar::OneOf(words) => words.contains(&text).then(|| json!(text)),
            Scalar::Ip => text.parse::<IpAddr>().ok().map(|ip| json!(ip.to_string())),
            Scalar::Network => return network(text).map(|net| json!(net.to_string())),
            Scalar::Interface => text.parse::<IpNet>().ok().map(|net| json!(net.to_string())),
            Scalar::Peer(words) if words.contains(&text) => Some(json!(text)),
            Scalar::Peer(_) => match text.parse::<IpAddr>() {
                Ok(ip) => Some(json!(IpNet::from(ip).to_string())),
                Err(_) => {
                    return network(text)
                        .map(|net| json!(net.to_string()))
                        .map_err(|_| self.expected());
                }
            },
            Scalar::File => {
                (!text.is_empty() && text.len() <= 1024 && !text.chars().any(char::is_control))
                    .then(|| json!(text))
            }
        };
        fits.ok_or_else(|| self.expected())
    }

    /// What the field takes, as an error says it.
    pub(crate) fn expected(self) -> String {
        match self {
            Scalar::Bool => "true or false".to_owned(),
            Scalar::Int(min, max) => format!("a whole number from {min} to {max}"),
            Scalar::Positive => "a number above 0".to_owned(),
            Scalar::Text => "text on one line".to_owned(),
            Scalar::Form(pattern) => format!("{}, for example {}", pattern.name, pattern.example),
            Scalar::OneOf(words) => words.join(" or "),
            Scalar::Ip => "an IP address, for example 192.0.2.10".to_owned(),
            Scalar::Network => "a network, for example 10.244.0.0/16".to_owned(),
            Scalar::Interface => "an address with its prefix, for example 192.0.2.21/24".to_owned(),
            Scalar::Peer(words) => {
                format!("{} or a network such as 203.0.113.0/28", words.join(", "))
            }
            Scalar::File => "the path of a file or folder".to_owned(),
        }
    }

    /// Short name for tables.
    pub(crate) fn name(self) -> String {
        match self {
            Scalar::Bool => "bool".to_owned(),
            Scalar::Int(..) => "int".to_owned(),
            Scalar::Positive => "number".to_owned(),
            Scalar::OneOf(words) => words.join(" \\| "),
            Scalar::Ip => "IP".to_owned(),
            Scalar::Network => "CIDR".to_owned(),
            Scalar::Interface => "IP/prefix".to_owned(),
            Scalar::Peer(words) => format!("{} \\| CIDR", words.join(" \\| ")),
            Scalar::File => "path".to_owned(),
            Scalar::Text | Scalar::Form(_) => "string".to_owned(),
        }
    }

    pub(crate) fn json_schema(self) -> Value {
        match self {
            Scalar::Bool => json!({"type": "boolean"}),
            Scalar::Int(min, max) => json!({"type": "integer", "minimum": min, "maximum": max}),
            Scalar::Positive => json!({"type": "number", "exclusiveMinimum": 0}),
            Scalar::Form(pattern) => {
                json!({"type": "string", "pattern": pattern.regex.as_str(), "examples": [pattern.example]})
            }
            Scalar::OneOf(words) => json!({"enum": words}),
            _ => json!({"type": "string", "description": self.expected()}),
        }
    }

    /// Whether a value that fits may still be a secret.
    pub(crate) fn is_free_text(self) -> bool {
        match self {
            Scalar::Text | Scalar::File => true,
            Scalar::Form(pattern) => [&URL, &WORD, &VPN_USER, &OFFER, &LABEL_VALUE]
                .iter()
                .any(|free| std::ptr::eq(*free, pattern)),
            _ => false,
        }
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| Scalar::Network.expected())?;
    if net.addr() == net.network() {
        Ok(net)
    } else {
        Err(format!("the network itself: {}", net.trunc()))
    }
}

/// Whole numbers are written without a fraction, so that 60 stays 60.
#[allow(clippy::cast_possible_truncation)] // in range: read() admits up to a million
fn number(number: f64) -> Value {
    if number.fract() == 0.0 {
        json!(number as i64)
    } else {
        json!(number)
    }
}

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// A size that fits `SIZE`, in bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let units = [
        ("MiB", MIB),
        ("GiB", GIB),
        ("TiB", 1 << 40),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let (digits, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A duration that fits `DURATION`, in seconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut total = 0_u64;
    let mut digits = String::new();
    for letter in text.chars() {
        let unit = match letter {
            '0'..='9' => {
                digits.push(letter);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(digits.parse::<u64>().ok()?.checked_mul(unit)?)?;
        digits.clear();
    }
    (digits.is_empty() && total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_its_example_fits() {
        for pattern in ALL_PATTERNS {
            let regex = &pattern.regex;
            assert!(
                pattern.example.contains("...") || regex.is_match(pattern.example),
                "{}: {}",
                pattern.name,
                pattern.example
            );
        }
    }

    #[test]
    fn durations_are_seconds() {
        for (text, expected) in [
            ("120m", Some(7200)),
            ("1h30m", Some(5400)),
            ("7d", Some(604_800)),
            ("0s", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn a_network_with_host_bits_names_the_network() {
        assert_eq!(
            Scalar::Network.read("10.244.1.0/16", true),
            Err("the network itself: 10.244.0.0/16".to_owned())
        );
    }
}
