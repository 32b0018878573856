//! Tasks: what runs after a call was answered. Their identifiers have the real grammar, their time is the lab's.

use std::time::Duration;

use serde_json::{Value, json};

use super::Proxmox;
use super::answer::Refusal;
use super::call::Call;
use crate::fault::Action;

/// A worker that was started.
#[derive(Debug, Clone)]
pub(super) struct Task {
    upid: String,
    node: String,
    pid: u32,
    pstart: u32,
    start: i64,
    kind: &'static str,
    id: String,
    /// User, or user and token.
    owner: String,
    /// How it ended.
    exit: Option<String>,
    log: Vec<String>,
}

/// What a worker shall do.
pub(super) struct Work {
    pub(super) node: String,
    /// Type in the identifier.
    pub(super) kind: &'static str,
    /// Number of the VM, or name of the storage.
    pub(super) id: String,
    /// How long it takes, in simulated seconds.
    pub(super) seconds: u64,
}

/// How long it takes until the effect of a worker is there, in simulated seconds. Invented.
pub(super) mod pace {
    pub(in super::super) const CREATE: u64 = 3;
    pub(in super::super) const IMPORT: u64 = 20;
    pub(in super::super) const DOWNLOAD: u64 = 30;
    pub(in super::super) const START: u64 = 2;
    pub(in super::super) const OTHER: u64 = 1;
}

impl Task {
    fn status(&self) -> Value {
        let (user, token) = self
            .owner
            .split_once('!')
            .map_or((self.owner.as_str(), None), |(user, token)| {
                (user, Some(token))
            });
        let mut status = json!({
            "upid": self.upid, "node": self.node, "pid": self.pid, "pstart": self.pstart, "starttime": self.start,
            "type": self.kind, "id": self.id, "user": user, "status": "running",
        });
        if let Some(token) = token {
            status["tokenid"] = json!(token);
        }
        if let Some(exit) = &self.exit {
            status["status"] = json!("stopped");
            status["exitstatus"] = json!(exit);
        }
        status
    }
}

impl Proxmox {
    /// Starts a worker: `effect` happens after its time, and says what stands in the log; `undo` is called when it ends in an error.
    pub(super) fn fork(
        &self,
        call: &Call,
        work: Work,
        effect: impl FnOnce(&Self) -> Result<Vec<String>, String> + Send + 'static,
        undo: impl FnOnce(&Self) + Send + 'static,
    ) -> Value {
        let fault = self.0.faults.take("proxmox", &call.target, |action| {
            matches!(
                action,
                Action::TaskError { .. } | Action::TaskWarning { .. } | Action::TaskStuck
            )
        });
        let start = self.0.clock.now().as_second();
        let mut state = self.state();
        state.workers += 1;
        let pid = 40_000 + state.workers;
        let pstart = 0x00C3_D4E5 + state.workers * 100;
        let owner = call.caller.id();
        let upid = format!(
            "UPID:{}:{pid:08X}:{pstart:08X}:{start:08X}:{}:{}:{owner}:",
            work.node, work.kind, work.id
        );
        let task = Task {
            upid: upid.clone(),
            node: work.node,
            pid,
            pstart,
            start,
            kind: work.kind,
            id: work.id,
            owner,
            exit: None,
            log: Vec::new(),
        };
        state.tasks.insert(upid.clone(), task);
        drop(state);
        let (proxmox, name) = (self.clone(), upid.clone());
        tokio::spawn(async move {
            proxmox
                .0
                .clock
                .sleep(Duration::from_secs(work.seconds))
                .await;
            let (exit, log) = match fault {
                Some(Action::TaskStuck) => return,
                Some(Action::TaskError { text }) => (Err(text), Vec::new()),
                fault => match effect(&proxmox) {
                    Err(error) => (Err(error), Vec::new()),
                    Ok(log) => match fault {
                        Some(Action::TaskWarning { text }) => (Ok(Some(text)), log),
                        _ => (Ok(None), log),
                    },
                },
            };
            if exit.is_err() {
                undo(&proxmox);
            }
            proxmox.end(&name, exit, log);
        });
        json!(upid)
    }

    fn end(&self, upid: &str, exit: Result<Option<String>, String>, mut log: Vec<String>) {
        let mut state = self.state();
        let Some(task) = state.tasks.get_mut(upid) else {
            return;
        };
        if task.exit.is_some() {
            return;
        }
        let status = match exit {
            Ok(None) => {
                log.push("TASK OK".into());
                "OK".to_owned()
            }
            Ok(Some(warning)) => {
                log.push(format!("WARN: {warning}"));
                log.push("TASK WARNINGS: 1".into());
                "WARNINGS: 1".to_owned()
            }
            Err(error) => {
                log.push(format!("TASK ERROR: {error}"));
                error.replace('\n', " ")
            }
        };
        task.exit = Some(status);
        task.log.extend(log);
    }

    fn task(&self, call: &Call) -> Result<Task, Refusal> {
        let upid = call.path("upid");
        let parts: Vec<&str> = upid.split(':').collect();
        if parts.len() != 9 || parts[0] != "UPID" || !parts[8].is_empty() {
            return Err(Refusal::bad(format!(
                "unable to parse worker upid '{upid}'"
            )));
        }
        let task = self.state().tasks.get(upid).cloned();
        let task = task.ok_or_else(|| Refusal::bad("no such task"))?;
        if task.owner != call.caller.id() {
            let path = format!("/nodes/{}", task.node);
            self.allow(call, &path, &["Sys.Audit"])?;
        }
        Ok(task)
    }
}

/// `GET /nodes/{node}/tasks/{upid}/status`.
pub(super) fn status(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    Ok(proxmox.task(call)?.status())
}

/// `GET /nodes/{node}/tasks/{upid}/log`.
pub(super) fn log(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let start = call.number::<usize>("start")?.unwrap_or(0);
    let limit = call.number::<usize>("limit")?.unwrap_or(50);
    call.finish()?;
    let task = proxmox.task(call)?;
    let lines = task.log.iter().enumerate().skip(start).take(limit);
    Ok(lines
        .map(|(index, text)| json!({ "n": index + 1, "t": text }))
        .collect())
}

/// `GET /nodes/{node}/tasks`: finished ones unless asked otherwise, and one's own unless one may see all.
pub(super) fn list(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    let node = call.path("node").to_owned();
    let vmid = call.take("vmid");
    let source = call.take("source").unwrap_or_else(|| "archive".into());
    call.finish()?;
    if !["archive", "active", "all"].contains(&source.as_str()) {
        let error = format!(
            "value '{source}' does not have a value in the enumeration 'archive, active, all'"
        );
        return Err(Refusal::parameter("source", error));
    }
    let sees_all = proxmox
        .allow(call, &format!("/nodes/{node}"), &["Sys.Audit"])
        .is_ok();
    let owner = call.caller.id();
    let state = proxmox.state();
    let tasks = state.tasks.values().filter(|task| task.node == node);
    let tasks = tasks.filter(|task| vmid.as_ref().is_none_or(|vmid| *vmid == task.id));
    let tasks = tasks.filter(|task| source == "all" || task.exit.is_none() == (source == "active"));
    let tasks = tasks.filter(|task| sees_all || task.owner == owner);
    Ok(tasks.map(Task::status).collect())
}

/// `DELETE /nodes/{node}/tasks/{upid}`: the worker is stopped; what it was to do is not done.
pub(super) fn stop(proxmox: &Proxmox, call: &mut Call) -> Result<Value, Refusal> {
    call.finish()?;
    let task = proxmox.task(call)?;
    proxmox.end(&task.upid, Err("interrupted by signal".into()), Vec::new());
    Ok(Value::Null)
}
