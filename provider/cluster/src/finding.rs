//! What is wrong with a cluster file, in the words a person reads: code, place, field, cause, remedy.

use std::fmt;

use crate::tree::Place;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted; the user should know.
    Warning,
}

/// One thing that is wrong or surprising in a cluster file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code, such as `CFG-02`.
    pub code: &'static str,
    /// Whether the file is refused because of it.
    pub severity: Severity,
    /// The file as it was named, or `--set KEY` when the value came from an override.
    pub path: String,
    /// Line in the file, from 1; 0 when the value came from `--set`.
    pub line: usize,
    /// Column in the file, from 1; 0 when the value came from `--set`.
    pub column: usize,
    /// Dotted path of the field.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<8}  {}", self.code, self.path)?;
        if self.line > 0 {
            write!(out, ":{}:{}", self.line, self.column)?;
        }
        write!(out, "  ")?;
        if !self.field.is_empty() {
            write!(out, "{}: ", self.field)?;
        }
        write!(out, "{}\n          fix: {}", self.message, self.fix)
    }
}

/// Collects findings of one file; all are kept, not only the first.
pub(crate) struct Findings {
    path: String,
    list: Vec<Finding>,
}

impl Findings {
    pub(crate) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            list: Vec::new(),
        }
    }

    pub(crate) fn error(
        &mut self,
        code: &'static str,
        at: &Place,
        field: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(Severity::Error, code, at, field, message.into(), fix.into());
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        at: &Place,
        field: &str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(
            Severity::Warning,
            code,
            at,
            field,
            message.into(),
            fix.into(),
        );
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: &Place,
        field: &str,
        message: String,
        fix: String,
    ) {
        let (path, line, column) = match at {
            Place::File { line, column } => (self.path.clone(), *line, *column),
            Place::Set(key) => (format!("--set {key}"), 0, 0),
        };
        // A role default that is wrong is read once for itself and once per node: report it once.
        let repeated = self.list.iter().any(|other| {
            other.code == code
                && other.path == path
                && (other.line, other.column) == (line, column)
                && other.message == message
        });
        if !repeated {
            self.list.push(Finding {
                code,
                severity,
                path,
                line,
                column,
                field: field.to_owned(),
                message,
                fix,
            });
        }
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// In the order of the file; overrides last.
    pub(crate) fn into_sorted(mut self) -> Vec<Finding> {
        self.list
            .sort_by_key(|finding| (finding.line == 0, finding.line, finding.column));
        self.list
    }
}
