//! A small interpreter for the scripts that are delivered to machines: they run as they arrived, byte for byte.
//!
//! The language is what docs/delivery.md names and strata-node.sh uses, with bash's meaning (`set -euo pipefail`, word splitting, `case`
//! patterns, functions with `local`). Everything else is refused with `LAB-UNKNOWN`. All streams are buffered: stdout and stderr come at the end.

mod builtin;
mod expand;
pub(crate) mod parse;
mod run;
#[cfg(test)]
mod tests;
pub(crate) mod token;

use std::future::Future;
use std::pin::Pin;

pub(crate) use run::Shell;

/// Exit code of whatever the lab cannot run; bash gives it to commands that do not exist.
pub(crate) const UNKNOWN: i32 = 127;

/// The sentence of a refusal (DESIGN.md section 8).
pub(crate) fn lab_unknown(what: &str) -> String {
    format!("LAB-UNKNOWN: the lab cannot run {what}; on metal it might work")
}

/// Why a script cannot go on as text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Trouble {
    /// Bash would refuse it too.
    Syntax(String),
    /// Bash might run it.
    Unknown(String),
}

/// The streams of a command.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// What is left to read.
    pub(crate) stdin: Vec<u8>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Streams {
    /// Streams with this input.
    pub(crate) fn with_input(stdin: Vec<u8>) -> Self {
        Self {
            stdin,
            ..Self::default()
        }
    }

    /// A line on stdout.
    pub(crate) fn say(&mut self, line: &str) {
        self.stdout.extend_from_slice(line.as_bytes());
        self.stdout.push(b'\n');
    }

    /// A line on stderr.
    pub(crate) fn complain(&mut self, line: &str) {
        self.stderr.extend_from_slice(line.as_bytes());
        self.stderr.push(b'\n');
    }

    /// A refusal on stderr, with its exit code.
    pub(crate) fn refuse(&mut self, what: &str) -> i32 {
        self.complain(&lab_unknown(what));
        UNKNOWN
    }
}

/// A command's result while it runs.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = i32> + Send + 'a>>;

/// What the scripts run on: the machine's files and programs.
pub(crate) trait System: Send + Sync {
    /// Runs a program with its arguments.
    fn execute<'a>(
        &'a self,
        program: &'a str,
        arguments: Vec<String>,
        folder: &'a str,
        streams: &'a mut Streams,
    ) -> Running<'a>;
    /// Reads a file; the error is the system's sentence ("No such file or directory").
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// Writes or appends to a file.
    fn write(&self, path: &str, bytes: &[u8], append: bool) -> Result<(), String>;
    /// True for a regular file (links followed).
    fn is_file(&self, path: &str) -> bool;
    /// True for a directory.
    fn is_directory(&self, path: &str) -> bool;
}

/// Joins a path to the folder a script is in.
pub(crate) fn absolute(folder: &str, path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{}/{path}", folder.trim_end_matches('/'))
    }
}
