//! A model of nftables: rule files in, verdicts and listings out (docs/delivery.md section 6, contracts/kubeadm-flatcar.md 12).
//!
//! A file is one transaction: all of it applies or nothing. What nft refuses is refused with nft's sentence; what nft knows and this model
//! does not is `LAB-UNKNOWN`. Only the input hook decides anything here: the lab has no forwarded or outgoing traffic to filter.

mod apply;
mod list;
mod parse;
mod rule;
mod set;
mod statement;
#[cfg(test)]
mod tests;
mod token;
mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) use verdict::{Packet, Verdict};

use set::Set;
use statement::{Hook, Rule};

/// All tables of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ruleset {
    tables: BTreeMap<(String, String), Table>,
}

#[derive(Debug, Clone, Default)]
struct Table {
    sets: BTreeMap<String, Set>,
    /// In order of declaration, as nft lists them.
    chains: Vec<Chain>,
}

#[derive(Debug, Clone)]
struct Chain {
    name: String,
    hook: Option<Hook>,
    rules: Vec<Rule>,
}

/// Why nft did not do it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Refusal {
    /// nft says so too; the line it points at.
    Error { line: usize, text: String },
    /// nft might do it.
    Unknown(String),
}

impl Ruleset {
    /// Applies a text as one transaction. `now` is the lab's time, for element timeouts.
    pub(crate) fn apply(&mut self, text: &str, now: Duration) -> Result<(), Refusal> {
        let mut next = self.clone();
        next.expire(now);
        for (line, statement) in parse::parse(text)? {
            next.execute(statement, now).map_err(|error| match error {
                apply::Problem::Error(text) => Refusal::Error { line, text },
                apply::Problem::Unknown(what) => Refusal::Unknown(what),
            })?;
        }
        *self = next;
        Ok(())
    }

    /// Removes elements whose time is over.
    pub(crate) fn expire(&mut self, now: Duration) {
        for table in self.tables.values_mut() {
            for set in table.sets.values_mut() {
                set.expire(now);
            }
        }
    }

    /// When the next element runs out.
    pub(crate) fn next_expiry(&self) -> Option<Duration> {
        self.tables
            .values()
            .flat_map(|table| table.sets.values())
            .filter_map(Set::next_expiry)
            .min()
    }

    /// Puts an accept rule for a TCP port at the top of a table's input chains: someone opened it by hand.
    pub(crate) fn open_port(&mut self, family: &str, table: &str, port: u16) -> bool {
        let Some(table) = self.tables.get_mut(&(family.to_owned(), table.to_owned())) else {
            return false;
        };
        let Ok(rule) = parse::rule(&format!("tcp dport {port} accept")) else {
            return false;
        };
        let mut found = false;
        for chain in table.chains.iter_mut().filter(|chain| {
            chain
                .hook
                .as_ref()
                .is_some_and(|hook| hook.place == "input")
        }) {
            chain.rules.insert(0, rule.clone());
            found = true;
        }
        found
    }
}
