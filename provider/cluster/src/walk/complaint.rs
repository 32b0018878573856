//! The findings that the walk makes, in their words.

use super::{Walk, join};
use crate::{
    secret,
    tree::{Branch, Entry, Place},
};

impl Walk<'_> {
    pub(super) fn not_available(&mut self, at: &Place, path: &str, what: &str) {
        self.findings.error(
            "CFG-08",
            at,
            path,
            format!("{what} is not available yet in this release"),
            "remove it, so that the default holds",
        );
    }

    pub(super) fn unknown_key<'n>(
        &mut self,
        entry: &Entry,
        path: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        if let Some(what) = secret::suspected(&entry.key) {
            self.secret(&entry.at, path, what);
            return;
        }
        let names: Vec<&str> = names.collect();
        let field = join(path, &entry.key);
        if !self.secret_name(entry, &field) {
            let fix = match nearest(&entry.key, names.iter().copied()) {
                Some(name) => format!("write `{name}`"),
                None if names.is_empty() => "remove it: nothing stands here".to_owned(),
                None => format!("remove it; known here: {}", names.join(", ")),
            };
            self.findings.error(
                "CFG-02",
                &entry.at,
                &field,
                format!("unknown field {}", secret::shown(&entry.key)),
                fix,
            );
        }
        // What stands under a misspelt key may be a secret all the same.
        self.any(&entry.value, &field);
    }

    pub(super) fn not_a_kind<'n>(
        &mut self,
        entry: &Entry,
        path: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        if let Some(what) = secret::suspected(&entry.key) {
            self.secret(&entry.at, path, what);
            return;
        }
        let names: Vec<&str> = names.collect();
        let fix = nearest(&entry.key, names.iter().copied()).map_or_else(
            || format!("write one of {}", names.join(", ")),
            |name| format!("write `{name}`"),
        );
        self.findings.error(
            "CFG-04",
            &entry.at,
            path,
            format!(
                "{} is none of {}",
                secret::shown(&entry.key),
                names.join(", ")
            ),
            fix,
        );
    }

    /// A field such as `password` with a value: reported as a secret whatever the value looks like.
    pub(super) fn secret_name(&mut self, entry: &Entry, path: &str) -> bool {
        let asks = secret::names_a_secret(&entry.key)
            && entry.value.text().is_some_and(|text| !text.is_empty())
            && !entry.value.is_null();
        if asks {
            self.secret(&entry.value.at, path, "a secret (by the field's name)");
        }
        asks
    }

    pub(super) fn secret(&mut self, at: &Place, path: &str, what: &str) {
        self.findings.error(
            "CFG-07",
            at,
            path,
            format!("the value looks like {what}; a cluster file never holds secrets"),
            "remove it and put it into the store or the environment; if the file was ever shared, replace the secret",
        );
    }

    pub(super) fn wrong(&mut self, at: &Place, path: &str, found: &Branch, expected: &str) {
        let found = match found {
            Branch::Scalar { text, .. } => match secret::suspected(text) {
                Some(what) => return self.secret(at, path, what),
                None => secret::shown(text),
            },
            Branch::List(_) => "a list".to_owned(),
            Branch::Map(_) => "a mapping".to_owned(),
        };
        self.findings.error(
            "CFG-04",
            at,
            path,
            format!("{found} is not {expected}"),
            format!("write {expected}"),
        );
    }
}

/// The known word that was probably meant.
pub(super) fn nearest<'n>(text: &str, words: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = text.to_lowercase();
    words
        .map(|word| (strsim::jaro_winkler(&lower, word), word))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}
