//! What a plan could not look at (FN22): one line for each API and not for each resource, at the end of a run that is otherwise done.

use std::collections::BTreeMap;

use crate::{console::Console, finding::counted, terraform::event::Diagnostic};

/// Words of the provider for a state that was kept because nobody could look.
const KEPT: [&str; 2] = ["was not observed", "state is kept"];

/// Warnings of reads that saw nothing, by what could not be asked.
#[derive(Debug, Default)]
pub(crate) struct Unseen(BTreeMap<String, Silence>);

#[derive(Debug)]
struct Silence {
    /// Of the first of them.
    cause: String,
    addresses: Vec<String>,
}

impl Unseen {
    /// Takes from a plan's diagnostics what was not observed.
    pub(crate) fn take(&mut self, diagnostics: &[Diagnostic]) {
        for warning in diagnostics.iter().filter(|warning| is_unseen(warning)) {
            let silence = self
                .0
                .entry(warning.summary.clone())
                .or_insert_with(|| Silence {
                    cause: warning.detail.lines().next().unwrap_or_default().to_owned(),
                    addresses: Vec::new(),
                });
            if !silence.addresses.contains(&warning.address) {
                silence.addresses.push(warning.address.clone());
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `not observed  Cannot observe cluster "api.prod...": ...`, then what depends on it.
    pub(crate) fn say(&self, console: Console) {
        for (summary, silence) in &self.0 {
            console.add("unseen", &format!("{summary}: {}", silence.cause));
            console.add(
                "",
                &format!(
                    "not observed, kept as it was: {} ({})",
                    counted(silence.addresses.len(), "resource"),
                    silence.addresses.join(", ")
                ),
            );
        }
    }
}

/// Whether a warning says that nobody could look.
pub(crate) fn is_unseen(diagnostic: &Diagnostic) -> bool {
    !diagnostic.is_error() && KEPT.iter().any(|words| diagnostic.detail.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_silence_for_each_api() {
        let warning = |summary: &str, detail: &str, address: &str| Diagnostic {
            severity: "warning".into(),
            summary: summary.into(),
            detail: detail.into(),
            address: address.into(),
        };
        let kept =
            "no answer\nWhat depends on its API was not observed; its state is kept as it was.";
        let mut unseen = Unseen::default();
        unseen.take(&[warning("a certificate ends soon", "renew it", "x")]);
        assert!(unseen.is_empty());
        unseen.take(&[
            warning("Cannot observe cluster \"a\"", kept, "node.w-1"),
            warning("Cannot observe cluster \"a\"", kept, "node.w-2"),
            warning("Cannot observe cluster \"a\"", kept, "node.w-2"),
            warning(
                "Cannot read record \"b\"",
                "503\nThe last known state is kept.",
                "record",
            ),
        ]);
        let addresses: Vec<_> = unseen
            .0
            .values()
            .map(|silence| silence.addresses.len())
            .collect();
        assert_eq!(addresses, [2, 1]);
        assert_eq!(unseen.0["Cannot observe cluster \"a\""].cause, "no answer");
    }
}
