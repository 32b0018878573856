//! Programs on a machine: scripts run in the interpreter, commands are functions (module `command`).

use std::sync::Arc;

use crate::fault::Action;
use crate::kubernetes::agent::{Agent, PodOutcome};

use super::boot::Source;
use super::command;
use super::kubeadm;
use super::shell::{Running, Shell, Streams, System, lab_unknown};
use super::state::Machine;

/// Where the closed list of verbs lies.
const STRATA_NODE: &str = "/opt/strata/bin/strata-node";

/// A machine as scripts see it.
pub(crate) struct Root(pub(crate) Arc<Machine>);

impl System for Root {
    fn execute<'a>(
        &'a self,
        program: &'a str,
        arguments: Vec<String>,
        folder: &'a str,
        streams: &'a mut Streams,
    ) -> Running<'a> {
        Box::pin(async move {
            if program.contains('/') {
                let stdin = std::mem::take(&mut streams.stdin);
                let (code, done) = self.0.run_program(program, arguments, stdin).await;
                streams.stdin = done.stdin;
                streams.stdout.extend(done.stdout);
                streams.stderr.extend(done.stderr);
                return code;
            }
            command::run(self, program, &arguments, folder, streams).await
        })
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.0.state().files.read(path)
    }

    fn write(&self, path: &str, bytes: &[u8], append: bool) -> Result<(), String> {
        self.0.state().files.write(path, bytes, None, append)
    }

    fn is_file(&self, path: &str) -> bool {
        self.0.state().files.is_file(path)
    }

    fn is_directory(&self, path: &str) -> bool {
        self.0.state().files.is_directory(path)
    }
}

impl Machine {
    /// Runs a script's text.
    pub(crate) async fn run_text(
        self: &Arc<Self>,
        name: &str,
        text: &str,
        arguments: Vec<String>,
        stdin: Vec<u8>,
    ) -> (i32, Streams) {
        let root = Root(Arc::clone(self));
        let result = Shell::new(&root, name, arguments, stdin).run(text).await;
        drop(root);
        result
    }

    /// Runs a script file.
    pub(crate) async fn run_program(
        self: &Arc<Self>,
        path: &str,
        arguments: Vec<String>,
        stdin: Vec<u8>,
    ) -> (i32, Streams) {
        let failed = |code: i32, line: String| {
            let mut streams = Streams::default();
            streams.complain(&line);
            (code, streams)
        };
        let (bytes, mode) = {
            let state = self.state();
            (state.files.read(path), state.files.mode(path))
        };
        let Ok(bytes) = bytes else {
            return failed(127, format!("{path}: No such file or directory"));
        };
        if mode.unwrap_or_default() & 0o111 == 0 {
            return failed(126, format!("{path}: Permission denied"));
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if !matches!(
            text.lines().next(),
            Some("#!/bin/bash" | "#!/usr/bin/env bash")
        ) {
            return failed(
                127,
                lab_unknown(&format!("{path}, which is not a bash script")),
            );
        }
        self.run_text(path, &text, arguments, stdin).await
    }

    /// Runs a verb of the delivered `strata-node`, with the faults aimed at it. `None`: the machine went away meanwhile.
    pub(crate) async fn run_verb(
        self: &Arc<Self>,
        arguments: Vec<String>,
        stdin: Vec<u8>,
    ) -> Option<(i32, Streams)> {
        let verb = arguments.first().cloned().unwrap_or_default();
        let changed = self.mutate(&format!("verb:{verb}"), arguments.join(" "));
        let arguments: Vec<String> = changed
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        let stdin = match (verb.as_str(), arguments.get(2)) {
            ("put", Some(path)) => match String::from_utf8(stdin) {
                Ok(text) => self.mutate(&format!("file:{path}"), text).into_bytes(),
                Err(error) => error.into_bytes(),
            },
            _ => stdin,
        };
        let reboots = self
            .fault(
                |action| matches!(action, Action::RebootDuring { verb: wanted } if *wanted == verb),
            )
            .is_some();
        let power = self.state().power.clone();
        let machine = Arc::clone(self);
        // A task of its own: a verb goes on when the session that started it is cut, as on metal.
        let running = tokio::spawn(async move {
            // Dropping the script at any await is what a reboot does.
            tokio::select! {
                biased;
                () = power.cancelled() => None,
                result = machine.run_program(STRATA_NODE, arguments, stdin) => Some(result),
            }
        });
        if reboots {
            self.pass(5).await;
            self.power_cycle(Source::Disk);
            return None;
        }
        running.await.ok().flatten()
    }
}

impl Machine {
    /// Runs a verb the way the kubelet does for a one-shot pod (docs/delivery.md section 7).
    pub async fn door(self: &Arc<Self>, verb: Vec<String>) -> PodOutcome {
        let mut command: Vec<String> = NSENTER
            .iter()
            .chain(&[STRATA_NODE])
            .map(|word| (*word).to_owned())
            .collect();
        command.extend(verb);
        Kubelet(Arc::downgrade(self)).run(command).await
    }
}

/// What stands before the script in the pod's command (docs/delivery.md section 7); the API side may have taken it off already.
const NSENTER: [&str; 9] = [
    "nsenter", "--target", "1", "--mount", "--uts", "--ipc", "--net", "--pid", "--",
];

/// The kubelet of a machine.
pub(crate) struct Kubelet(pub(crate) std::sync::Weak<Machine>);

impl Agent for Kubelet {
    fn run(
        &self,
        command: Vec<String>,
    ) -> std::pin::Pin<Box<dyn Future<Output = PodOutcome> + Send + '_>> {
        Box::pin(async move {
            let gone = || PodOutcome {
                exit_code: 137,
                log: String::new(),
            };
            let Some(machine) = self.0.upgrade() else {
                return gone();
            };
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let inner = words.strip_prefix(&NSENTER[..]).unwrap_or(&words);
            let [STRATA_NODE, verb @ ..] = inner else {
                let log = lab_unknown(&format!("a pod with the command {}", command.join(" ")));
                return PodOutcome {
                    exit_code: 127,
                    log,
                };
            };
            let verb = verb.iter().map(|word| (*word).to_owned()).collect();
            match machine.run_verb(verb, Vec::new()).await {
                Some((exit_code, streams)) => {
                    let log = [streams.stdout, streams.stderr].concat();
                    PodOutcome {
                        exit_code,
                        log: String::from_utf8_lossy(&log).into_owned(),
                    }
                }
                None => gone(),
            }
        })
    }

    fn boot(&self) -> String {
        self.0
            .upgrade()
            .map(|machine| machine.boot_id())
            .unwrap_or_default()
    }

    fn is_alive(&self) -> bool {
        self.0
            .upgrade()
            .is_some_and(|machine| kubeadm::reaches_api(&machine))
    }

    fn votes(&self) -> bool {
        self.0.upgrade().is_some_and(|machine| {
            let state = machine.state();
            state.network_up && state.member.votes()
        })
    }
}
