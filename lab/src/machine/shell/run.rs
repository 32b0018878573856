//! Runs parsed commands: control flow, `set -e`, redirections, builtins. Programs are the `System`'s.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::parse::{AndOr, Command, List, Parser, Pipeline, Redirection, assignment, bare};
use super::token::Word;
use super::{Streams, System, Trouble, UNKNOWN, absolute, lab_unknown};

/// Why the normal order of commands ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Flow {
    /// The shell ends with this code.
    Exit(i32),
    /// The function ends with this code.
    Return(i32),
}

type Stepping<'a> = Pin<Box<dyn Future<Output = Result<i32, Flow>> + Send + 'a>>;

/// One running shell.
pub(crate) struct Shell<'s> {
    pub(super) system: &'s dyn System,
    /// Name in messages, `$0`.
    name: String,
    /// `$1`...
    pub(super) parameters: Vec<String>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) functions: BTreeMap<String, Arc<List>>,
    /// Values that `local` hid, per running function.
    pub(super) hidden: Vec<Vec<(String, Option<String>)>>,
    pub(super) folder: String,
    pub(super) status: i32,
    pub(super) errexit: bool,
    pub(super) nounset: bool,
    pub(super) pipefail: bool,
    /// Above zero where a failure is only a condition.
    conditions: u32,
    pub(super) streams: Streams,
}

impl<'s> Shell<'s> {
    /// A fresh shell in `/`.
    pub(crate) fn new(
        system: &'s dyn System,
        name: &str,
        parameters: Vec<String>,
        stdin: Vec<u8>,
    ) -> Self {
        Self {
            system,
            name: name.to_owned(),
            parameters,
            variables: BTreeMap::new(),
            functions: BTreeMap::new(),
            hidden: Vec::new(),
            folder: "/".into(),
            status: 0,
            errexit: false,
            nounset: false,
            pipefail: false,
            conditions: 0,
            streams: Streams::with_input(stdin),
        }
    }

    /// Runs a whole script; the answer is its exit code and streams.
    pub(crate) async fn run(mut self, source: &str) -> (i32, Streams) {
        let code = self.script(source).await;
        (code, self.streams)
    }

    fn script<'a>(&'a mut self, source: &'a str) -> Pin<Box<dyn Future<Output = i32> + Send + 'a>> {
        Box::pin(async move {
            let mut parser = Parser::new(source);
            loop {
                match parser.next() {
                    Ok(None) => return self.status,
                    Ok(Some(command)) => match self.and_or(&command).await {
                        Ok(status) => self.status = status,
                        Err(Flow::Exit(code) | Flow::Return(code)) => return code,
                    },
                    Err(Trouble::Syntax(message)) => {
                        self.complain(&message);
                        return 2;
                    }
                    Err(Trouble::Unknown(what)) => {
                        self.streams.complain(&lab_unknown(&what));
                        return UNKNOWN;
                    }
                }
            }
        })
    }

    pub(super) fn complain(&mut self, message: &str) {
        let line = format!("{}: {message}", self.name);
        self.streams.complain(&line);
    }

    /// Ends the script with a refusal.
    pub(super) fn unknown(&mut self, what: &str) -> Flow {
        Flow::Exit(self.streams.refuse(what))
    }

    /// Ends the script as `set -u` does.
    pub(super) fn unbound(&mut self, name: &str) -> Flow {
        let shown = if name.starts_with(|c: char| c.is_ascii_digit()) {
            format!("${name}")
        } else {
            name.to_owned()
        };
        self.complain(&format!("{shown}: unbound variable"));
        Flow::Exit(1)
    }

    /// The value of a parameter; unset is `None` only where `set -u` minds.
    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        let value = match name {
            "@" | "*" => Some(self.parameters.join(" ")),
            "#" => Some(self.parameters.len().to_string()),
            "?" => Some(self.status.to_string()),
            "0" => Some(self.name.clone()),
            _ => match name.parse::<usize>() {
                Ok(index) => self.parameters.get(index.wrapping_sub(1)).cloned(),
                Err(_) => self.variables.get(name).cloned(),
            },
        };
        if self.nounset {
            value
        } else {
            value.or_else(|| Some(String::new()))
        }
    }

    /// A copy for a subshell: it may change everything and nothing comes back but streams and status.
    fn fork(&self, stdin: Vec<u8>) -> Shell<'s> {
        Shell {
            system: self.system,
            name: self.name.clone(),
            parameters: self.parameters.clone(),
            variables: self.variables.clone(),
            functions: self.functions.clone(),
            hidden: self.hidden.clone(),
            folder: self.folder.clone(),
            status: self.status,
            errexit: self.errexit,
            nounset: self.nounset,
            pipefail: self.pipefail,
            conditions: self.conditions,
            streams: Streams::with_input(stdin),
        }
    }

    /// `$(...)`. Bash switches `set -e` off inside; trailing newlines go.
    pub(super) async fn substitute(&mut self, source: &str) -> Result<String, Flow> {
        let stdin = std::mem::take(&mut self.streams.stdin);
        let mut child = self.fork(stdin);
        child.errexit = false;
        self.status = child.script(source).await;
        self.streams.stdin = child.streams.stdin;
        self.streams.stderr.extend(child.streams.stderr);
        if self.status == UNKNOWN
            && self
                .streams
                .stderr
                .windows(12)
                .any(|window| window == b"LAB-UNKNOWN:")
        {
            // The lab never goes on after something it did not understand.
            return Err(Flow::Exit(UNKNOWN));
        }
        let mut bytes = child.streams.stdout;
        while bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(super) async fn list(&mut self, list: &List) -> Result<i32, Flow> {
        for command in list {
            self.status = self.and_or(command).await?;
        }
        Ok(self.status)
    }

    async fn condition(&mut self, list: &List) -> Result<i32, Flow> {
        self.conditions += 1;
        let result = self.list(list).await;
        self.conditions -= 1;
        result
    }

    async fn and_or(&mut self, command: &AndOr) -> Result<i32, Flow> {
        let mut pipelines = vec![(true, &command.first)];
        pipelines.extend(command.rest.iter().map(|(and, pipeline)| (*and, pipeline)));
        let last = pipelines.len() - 1;
        let mut status = 0;
        for (index, (and, pipeline)) in pipelines.into_iter().enumerate() {
            if index > 0 && and != (status == 0) {
                continue;
            }
            let only_condition = index < last || pipeline.negated;
            self.conditions += u32::from(only_condition);
            let result = self.pipeline(pipeline).await;
            self.conditions -= u32::from(only_condition);
            status = result?;
            self.status = status;
            // A compound command fails only through a failure inside that was a condition, and that one does not count.
            let counts =
                !matches!(pipeline.commands.as_slice(), [command] if command.is_compound());
            if status != 0
                && counts
                && index == last
                && !pipeline.negated
                && self.errexit
                && self.conditions == 0
            {
                return Err(Flow::Exit(status));
            }
        }
        Ok(status)
    }

    async fn pipeline(&mut self, pipeline: &Pipeline) -> Result<i32, Flow> {
        let status = if let [command] = pipeline.commands.as_slice() {
            self.command(command).await?
        } else {
            let (mut input, mut status) = (std::mem::take(&mut self.streams.stdin), 0);
            let last = pipeline.commands.len() - 1;
            for (index, command) in pipeline.commands.iter().enumerate() {
                let mut child = self.fork(input);
                let code = match child.command(command).await {
                    Ok(code) | Err(Flow::Exit(code) | Flow::Return(code)) => code,
                };
                if self.pipefail {
                    status = if code == 0 { status } else { code };
                } else if index == last {
                    status = code;
                }
                self.streams.stderr.extend(child.streams.stderr);
                input = child.streams.stdout;
            }
            self.streams.stdout.extend(input);
            status
        };
        Ok(if pipeline.negated {
            i32::from(status == 0)
        } else {
            status
        })
    }

    fn command<'a>(&'a mut self, command: &'a Command) -> Stepping<'a> {
        Box::pin(async move {
            match command {
                Command::Simple {
                    assignments,
                    words,
                    redirections,
                } => self.simple(assignments, words, redirections).await,
                Command::Group(body) => self.list(body).await,
                Command::Function { name, body } => {
                    self.functions.insert(name.clone(), Arc::clone(body));
                    Ok(0)
                }
                Command::If {
                    branches,
                    otherwise,
                } => {
                    for (condition, body) in branches {
                        if self.condition(condition).await? == 0 {
                            return self.list(body).await;
                        }
                    }
                    match otherwise {
                        Some(body) => self.list(body).await,
                        None => Ok(0),
                    }
                }
                Command::For { name, words, body } => {
                    let mut status = 0;
                    for value in self.fields(words).await? {
                        self.variables.insert(name.clone(), value);
                        status = self.list(body).await?;
                    }
                    Ok(status)
                }
                Command::Case { subject, arms } => {
                    let subject = self.text(subject).await?;
                    for (patterns, body) in arms {
                        for pattern in patterns {
                            if self.covers(pattern, &subject).await? {
                                self.status = 0;
                                return self.list(body).await;
                            }
                        }
                    }
                    Ok(0)
                }
            }
        })
    }

    async fn simple(
        &mut self,
        assignments: &[(String, Word)],
        words: &[Word],
        redirections: &[Redirection],
    ) -> Result<i32, Flow> {
        // The status of `x=$(false)` is that of the substitution.
        if words.is_empty() {
            self.status = 0;
        }
        let arguments = match words.first().map(bare) {
            Some(Some("local")) => {
                let mut arguments = vec!["local".to_owned()];
                for word in &words[1..] {
                    arguments.push(match assignment(word) {
                        Some((name, value)) => format!("{name}={}", self.text(&value).await?),
                        None => self.text(word).await?,
                    });
                }
                arguments
            }
            _ => self.fields(words).await?,
        };
        if !arguments.is_empty() && !assignments.is_empty() {
            return Err(self.unknown("an assignment before a command"));
        }
        for (name, value) in assignments {
            let value = self.text(value).await?;
            self.variables.insert(name.clone(), value);
        }
        let mut plumbing = match self.plumb(redirections).await? {
            Ok(plumbing) => plumbing,
            Err(message) => {
                self.complain(&message);
                return Ok(1);
            }
        };
        let Some((program, rest)) = arguments.split_first() else {
            let status = self.status;
            return Ok(self.drain(plumbing, status));
        };
        let outer = Streams::with_input(
            plumbing
                .input
                .take()
                .unwrap_or_else(|| std::mem::take(&mut self.streams.stdin)),
        );
        let outer = std::mem::replace(&mut self.streams, outer);
        let result = self.invoke(program, rest.to_vec()).await;
        plumbing.produced = std::mem::replace(&mut self.streams, outer);
        if !plumbing.own_input {
            self.streams.stdin = std::mem::take(&mut plumbing.produced.stdin);
        }
        let (code, flow) = match result {
            Ok(code) => (code, None),
            Err(flow @ (Flow::Exit(code) | Flow::Return(code))) => (code, Some(flow)),
        };
        let refused = code == UNKNOWN
            && plumbing
                .produced
                .stderr
                .windows(12)
                .any(|window| window == b"LAB-UNKNOWN:");
        let code = self.drain(plumbing, code);
        match flow {
            Some(flow) => Err(flow),
            // `|| true` must not hide a refusal: the lab never goes on after something it did not understand.
            None if refused => Err(Flow::Exit(UNKNOWN)),
            None => Ok(code),
        }
    }

    async fn plumb(
        &mut self,
        redirections: &[Redirection],
    ) -> Result<Result<Plumbing, String>, Flow> {
        let mut plumbing = Plumbing::default();
        for redirection in redirections {
            match redirection {
                Redirection::Text(text) => {
                    plumbing.input = Some(text.clone().into_bytes());
                    plumbing.own_input = true;
                }
                Redirection::Read(word) => {
                    let path = self.text(word).await?;
                    let bytes = if path == "/dev/null" {
                        Ok(Vec::new())
                    } else {
                        self.system.read(&absolute(&self.folder, &path))
                    };
                    match bytes {
                        Ok(bytes) => plumbing.input = Some(bytes),
                        Err(error) => return Ok(Err(format!("{path}: {error}"))),
                    }
                    plumbing.own_input = true;
                }
                Redirection::Write {
                    descriptor,
                    target,
                    append,
                } => {
                    let path = self.text(target).await?;
                    let to = match path.as_str() {
                        "/dev/null" => To::Nowhere,
                        "/dev/stdout" => To::Stdout,
                        "/dev/stderr" => To::Stderr,
                        _ => {
                            let path = absolute(&self.folder, &path);
                            // Bash opens, and thereby empties or makes, the file before the command runs.
                            if let Err(error) = self.system.write(&path, b"", *append) {
                                return Ok(Err(format!("{path}: {error}")));
                            }
                            To::File(path)
                        }
                    };
                    *plumbing.slot(*descriptor) = to;
                }
                Redirection::Copy { descriptor, from } => {
                    let to = plumbing.slot(*from).clone();
                    *plumbing.slot(*descriptor) = to;
                }
            }
        }
        Ok(Ok(plumbing))
    }

    /// Sends what a command wrote where its redirections say.
    fn drain(&mut self, plumbing: Plumbing, status: i32) -> i32 {
        let Plumbing {
            produced,
            stdout,
            stderr,
            ..
        } = plumbing;
        for (bytes, to) in [(produced.stdout, stdout), (produced.stderr, stderr)] {
            match to {
                To::Nowhere => {}
                To::Stdout => self.streams.stdout.extend(bytes),
                To::Stderr => self.streams.stderr.extend(bytes),
                To::File(path) => {
                    if let Err(error) = self.system.write(&path, &bytes, true) {
                        self.complain(&format!("{path}: {error}"));
                        return 1;
                    }
                }
            }
        }
        status
    }
}

/// Where the streams of one command go.
struct Plumbing {
    input: Option<Vec<u8>>,
    own_input: bool,
    produced: Streams,
    stdout: To,
    stderr: To,
}

/// A place to write to.
#[derive(Clone)]
enum To {
    Stdout,
    Stderr,
    Nowhere,
    File(String),
}

impl Default for Plumbing {
    fn default() -> Self {
        Self {
            input: None,
            own_input: false,
            produced: Streams::default(),
            stdout: To::Stdout,
            stderr: To::Stderr,
        }
    }
}

impl Plumbing {
    fn slot(&mut self, descriptor: u8) -> &mut To {
        if descriptor == 2 {
            &mut self.stderr
        } else {
            &mut self.stdout
        }
    }
}
