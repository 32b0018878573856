//! What preflight finds: a code, a sentence, the command that fixes it.

use std::fmt;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// `up` refuses to go on.
    Error,
    /// `up` goes on; the user should know.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Stable code, such as `SCW-07`.
    pub(crate) code: String,
    pub(crate) severity: Severity,
    /// What is wrong, with its place when it has one.
    pub(crate) message: String,
    /// What to do.
    pub(crate) fix: String,
}

impl Finding {
    pub(crate) fn error(code: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            severity: Severity::Error,
            message: message.into(),
            fix: fix.into(),
        }
    }

    pub(crate) fn warning(code: &str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message, fix)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:<8}  {}\n          fix: {}",
            self.code, self.message, self.fix
        )
    }
}

/// The result of all checks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    findings: Vec<Finding>,
}

impl Report {
    /// One check that found nothing.
    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// One check that found something.
    pub(crate) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// One check by its result.
    pub(crate) fn check(&mut self, finding: Option<Finding>) {
        match finding {
            Some(finding) => self.find(finding),
            None => self.pass(),
        }
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether `up` must not go on.
    pub(crate) fn refuses(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// `27 checks, 24 passed, 3 findings (1 error SCW-07, 2 warnings)`.
    pub(crate) fn summary(&self) -> String {
        if self.findings.is_empty() {
            return format!("{} checks passed, 0 warnings", self.passed);
        }
        let errors: Vec<_> = self
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.code.as_str())
            .collect();
        let warnings = self.findings.len() - errors.len();
        let mut parts = Vec::new();
        if !errors.is_empty() {
            parts.push(format!(
                "{} {}",
                counted(errors.len(), "error"),
                errors.join(" ")
            ));
        }
        if warnings > 0 {
            parts.push(counted(warnings, "warning"));
        }
        format!(
            "{} checks, {} passed, {} ({})",
            self.passed + self.findings.len(),
            self.passed,
            counted(self.findings.len(), "finding"),
            parts.join(", ")
        )
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_and_names_errors() {
        let mut report = Report::default();
        report.pass();
        assert_eq!(report.summary(), "1 checks passed, 0 warnings");
        report.find(Finding::error("SCW-07", "no stock", "another offer"));
        report.find(Finding::warning("NODES-02", "even", "odd"));
        assert_eq!(
            report.summary(),
            "3 checks, 1 passed, 2 findings (1 error SCW-07, 1 warning)"
        );
        assert!(report.refuses());
    }

    #[test]
    fn a_finding_shows_its_remedy() {
        let finding = Finding::error("TF-01", "terraform was not found", "install it");
        assert_eq!(
            finding.to_string(),
            "TF-01     terraform was not found\n          fix: install it"
        );
    }
}
