//! The config contract: which generation of Talos a machine configuration is written for. It is pinned apart from the version that runs, since a
//! newer Talos reads older configurations, and a generated text that changes with the release would be a change on every node.

use std::fmt;

/// A contract that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contract(u8);

/// The oldest and the newest.
const KNOWN: std::ops::RangeInclusive<u8> = 12..=15;

impl Contract {
    /// Reads `v1.13`.
    pub fn parse(text: &str) -> Option<Self> {
        let minor = text.strip_prefix("v1.")?;
        let number: u8 = minor.parse().ok()?;
        (KNOWN.contains(&number) && number.to_string() == minor).then_some(Self(number))
    }

    /// The ones that can be written, in words.
    pub fn known() -> String {
        let names: Vec<String> = KNOWN.map(|minor| Self(minor).to_string()).collect();
        names.join(", ")
    }

    /// From 1.14 on what concerns Kubernetes stands in documents of its own.
    pub(super) fn has_kinds(self) -> bool {
        self.0 >= 14
    }

    /// From 1.15 on the health of disks is read, since a document asks for it (<https://github.com/siderolabs/talos/pull/13726>).
    pub(super) fn has_smart(self) -> bool {
        self.0 >= 15
    }

    /// 1.12 still writes an empty `machine.network`.
    pub(super) fn has_empty_network(self) -> bool {
        self.0 == 12
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1.{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_is_a_minor_version_that_can_be_written() {
        for text in ["v1.12", "v1.13", "v1.14", "v1.15"] {
            assert_eq!(Contract::parse(text).unwrap().to_string(), text);
        }
        for text in ["v1.11", "v1.16", "1.13", "v1.13.9", "v1.013", "v2.13", ""] {
            assert_eq!(Contract::parse(text), None, "{text}");
        }
        assert_eq!(Contract::known(), "v1.12, v1.13, v1.14, v1.15");
    }
}
