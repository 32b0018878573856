//! What the user is told: errors and warnings, each with a summary, a detail and a place.
//!
//! Summary: `Cannot <verb> <noun> "<identity>"`, at most 80 characters. Detail: the cause on one line, then what state
//! is left, then a hint that says what to do. Nothing here may hold a secret: core filters nothing.

use std::error::Error;
use std::fmt;

use crate::Schema;
use crate::path::{Path, Step};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The operation failed.
    Error,
    /// It succeeded with a surprise.
    Warning,
}

/// One message to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// One line: what could not be done.
    pub summary: String,
    /// The cause, what is left, what to do.
    pub detail: String,
    /// Where in the configuration.
    pub attribute: Option<Path>,
}

/// Everything one call has to say. The error type of the framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "diagnostics that nobody returns are lost"]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Nothing to say.
    pub fn none() -> Self {
        Self::default()
    }

    fn one(severity: Severity, summary: impl Into<String>, detail: impl Into<String>) -> Self {
        let (summary, detail) = (summary.into(), detail.into());
        Self(vec![Diagnostic {
            severity,
            summary,
            detail,
            attribute: None,
        }])
    }

    /// An error with its own words.
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::one(Severity::Error, summary, detail)
    }

    /// A warning: success with a surprise. A failed step is never a warning.
    pub fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::one(Severity::Warning, summary, detail)
    }

    /// A failed step: summary `Cannot create server "x"`, detail the chain of causes on one line.
    pub fn failed(verb: &str, noun: &str, identity: &str, error: &dyn Error) -> Self {
        let summary = if identity.is_empty() {
            format!("Cannot {verb} {noun}")
        } else {
            format!("Cannot {verb} {noun} \"{identity}\"")
        };
        Self::error(summary, chain(error))
    }

    /// Wrong input at an attribute. The sentence says which values are accepted.
    pub fn invalid(path: Path, sentence: impl Into<String>) -> Self {
        Self::error(format!("Invalid value of {path}"), sentence).at(path)
    }

    /// Our own fault: the facts, without a secret.
    pub fn bug(facts: impl Into<String>) -> Self {
        Self::error("This is a bug in the provider", facts)
    }

    /// Something this resource does not offer.
    pub fn unsupported(what: &str) -> Self {
        Self::error(
            format!("This resource does not support {what}"),
            "Nothing was changed.",
        )
    }

    /// Adds to the detail what state is left: "The server was not created."
    pub fn left(self, sentence: &str) -> Self {
        self.also(sentence)
    }

    /// Adds to the detail what to do, as an imperative sentence that names the attribute, variable or command.
    pub fn hint(self, sentence: &str) -> Self {
        self.also(sentence)
    }

    fn also(mut self, sentence: &str) -> Self {
        for diagnostic in &mut self.0 {
            if !diagnostic.detail.is_empty() {
                diagnostic.detail.push('\n');
            }
            diagnostic.detail.push_str(sentence);
        }
        self
    }

    /// Points at an attribute.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers build the path in place"
    )]
    pub fn at(mut self, path: Path) -> Self {
        for diagnostic in &mut self.0 {
            diagnostic.attribute = Some(path.clone());
        }
        self
    }

    /// Adds all of another. Equal ones are kept once.
    pub fn merge(&mut self, other: Self) {
        for diagnostic in other.0 {
            if !self.0.contains(&diagnostic) {
                self.0.push(diagnostic);
            }
        }
    }

    /// Adds those of another that point where nothing is said yet.
    pub(crate) fn merge_elsewhere(&mut self, other: Self) {
        let said: Vec<_> = self.0.iter().map(|one| one.attribute.clone()).collect();
        let new = other.0.into_iter();
        self.merge(Self(
            new.filter(|one| !said.contains(&one.attribute)).collect(),
        ));
    }

    /// The value, with the diagnostics of a failure added here.
    pub fn take<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(diagnostics) => {
                self.merge(diagnostics);
                None
            }
        }
    }

    /// Errors become warnings: for a step whose failure leaves the result whole.
    pub fn into_warnings(mut self) -> Self {
        for diagnostic in &mut self.0 {
            diagnostic.severity = Severity::Warning;
        }
        self
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything is an error.
    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// `Err` when anything is an error; warnings alone are dropped, so keep them elsewhere first.
    pub fn into_result(self) -> Result<(), Self> {
        if self.has_errors() { Err(self) } else { Ok(()) }
    }

    /// Each in turn.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Points less deep where Terraform cannot follow; the text then says which attribute is meant.
    pub(crate) fn placed(mut self, schema: &Schema) -> Self {
        for diagnostic in &mut self.0 {
            let Some(path) = diagnostic.attribute.take() else {
                continue;
            };
            let reached = schema.reach(&path);
            let place = path.to_string();
            let is_said = diagnostic.summary.contains(&place) || diagnostic.detail.contains(&place);
            if reached != path && !is_said {
                diagnostic.detail = format!("At {place}: {}", diagnostic.detail);
            }
            diagnostic.attribute = Some(reached);
        }
        self
    }

    pub(crate) fn without_path(mut self) -> Self {
        for diagnostic in &mut self.0 {
            diagnostic.attribute = None;
        }
        self
    }

    pub(crate) fn under(mut self, step: &Step) -> Self {
        for diagnostic in &mut self.0 {
            diagnostic
                .attribute
                .get_or_insert_default()
                .prepend(step.clone());
        }
        self
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, diagnostic) in self.0.iter().enumerate() {
            if position > 0 {
                out.write_str("; ")?;
            }
            write!(out, "{}: {}", diagnostic.summary, diagnostic.detail)?;
            if let Some(path) = &diagnostic.attribute {
                write!(out, " (at {path})")?;
            }
        }
        Ok(())
    }
}

impl Error for Diagnostics {}

/// The error and its sources on one line, without repeating a source that the outer text already ends with.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::Diagnostics;
    use crate::Path;

    #[derive(Debug, thiserror::Error)]
    #[error("put zone")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_names_verb_noun_identity_and_chain() {
        let error = Outer(std::io::Error::other("refused"));
        let found = Diagnostics::failed("create", "zone", "a.test", &error)
            .left("The zone was not created.")
            .hint("Set zone.")
            .at(Path::of("zone"));
        let one = found.iter().next().expect("one diagnostic");
        assert_eq!(one.summary, "Cannot create zone \"a.test\"");
        assert_eq!(
            one.detail,
            "put zone: refused\nThe zone was not created.\nSet zone."
        );
        assert_eq!(
            one.attribute.as_ref().map(ToString::to_string).as_deref(),
            Some("zone")
        );
    }
}
