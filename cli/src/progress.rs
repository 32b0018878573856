//! From terraform's events to the lines a person reads. Pure: events and the time come in, lines go out.
//!
//! What happens within a second to things of one kind is one line. While something runs, there is a line at least every 30 s.

mod speech;

use std::fmt::Write as _;
use std::{collections::BTreeMap, time::Duration};

use self::speech::{SERVER, speech};
use crate::{
    console::{Line, duration},
    finding::counted,
    project::Layer,
    terraform::event::{Diagnostic, Event, Resource, Totals},
};

/// The resource of layers 01 to 03 that only carries preconditions.
const GUARD: &str = "terraform_data.guard";

/// Events of one kind that come within this time share a line.
const BATCH: Duration = Duration::from_secs(1);

/// A wait says at least this often what it waits for.
const HEARTBEAT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Begins,
    Created,
    Adopted,
    Kept,
    Updated,
    Deleted,
}

#[derive(Debug)]
struct Batch {
    kind: String,
    phase: Phase,
    since: Duration,
    names: Vec<String>,
    longest: u64,
}

#[derive(Debug)]
struct Running {
    kind: String,
    name: String,
    since: Duration,
}

/// The fold over one run of one layer.
#[derive(Debug)]
pub(crate) struct Progress {
    layer: Layer,
    running: BTreeMap<String, Running>,
    batches: Vec<Batch>,
    last_line: Duration,
    /// Addresses this run created, in order.
    pub(crate) created: Vec<String>,
    /// Addresses that failed.
    pub(crate) failed: Vec<String>,
    pub(crate) totals: Totals,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Whether this run only takes over what is there: then nothing is ordered, locked or made, whatever terraform calls it.
    adopting: bool,
    /// Whether the user asked to stop. Then a server whose creation returns was kept, not delivered.
    pub(crate) interrupted: bool,
}

impl Progress {
    pub(crate) fn new(layer: Layer, now: Duration) -> Self {
        Self {
            layer,
            running: BTreeMap::new(),
            batches: Vec::new(),
            last_line: now,
            created: Vec::new(),
            failed: Vec::new(),
            totals: Totals::default(),
            diagnostics: Vec::new(),
            adopting: false,
            interrupted: false,
        }
    }

    /// For a run that only takes over.
    pub(crate) fn adopting(self, adopting: bool) -> Self {
        Self { adopting, ..self }
    }

    /// Takes one event in.
    pub(crate) fn event(&mut self, now: Duration, event: &Event) -> Vec<Line> {
        match event {
            Event::Started { resource, action } => self.started(now, resource, action),
            Event::Completed {
                resource,
                action,
                seconds,
                ..
            } => self.completed(now, resource, action, *seconds),
            Event::Errored { resource, seconds } => return self.errored(now, resource, *seconds),
            Event::Summary(totals) => self.totals = *totals,
            Event::Diagnostic(diagnostic) => self.diagnostics.push(diagnostic.clone()),
            Event::Planned { .. } | Event::Progress { .. } => {}
        }
        Vec::new()
    }

    /// Lines that time alone makes due.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<Line> {
        self.flush(now, |batch| now.saturating_sub(batch.since) >= BATCH)
    }

    /// Lines that are left at the end.
    pub(crate) fn finish(&mut self, now: Duration) -> Vec<Line> {
        self.running.clear();
        self.flush(now, |_| true)
    }

    /// Errors, in the order they came.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
    }

    /// Warnings, in the order they came.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics
            .iter()
            .filter(|diagnostic| !diagnostic.is_error())
    }

    fn started(&mut self, now: Duration, resource: &Resource, action: &str) {
        self.running.insert(
            resource.addr.clone(),
            Running {
                kind: resource.resource_type.clone(),
                name: resource.name(),
                since: now,
            },
        );
        if action == "create" && !self.adopting {
            self.batch(now, resource, Phase::Begins, 0);
        }
    }

    fn completed(&mut self, now: Duration, resource: &Resource, action: &str, seconds: u64) {
        self.running.remove(&resource.addr);
        let phase = match action {
            "create" if self.interrupted && resource.resource_type == SERVER => Phase::Kept,
            "create" if self.adopting => Phase::Adopted,
            "create" => Phase::Created,
            "update" => Phase::Updated,
            "delete" => Phase::Deleted,
            _ => return,
        };
        if matches!(phase, Phase::Created | Phase::Kept) {
            self.created.push(resource.addr.clone());
        }
        self.batch(now, resource, phase, seconds);
    }

    fn errored(&mut self, now: Duration, resource: &Resource, seconds: u64) -> Vec<Line> {
        self.running.remove(&resource.addr);
        self.failed.push(resource.addr.clone());
        let mut lines = self.flush(now, |_| true);
        lines.push(Line::new(
            self.layer.name(),
            format!(
                "{}: FAILED after {}",
                resource.name(),
                duration(Duration::from_secs(seconds))
            ),
        ));
        let left: Vec<_> = self
            .running
            .values()
            .map(|running| running.name.as_str())
            .collect();
        if !left.is_empty() {
            lines.push(Line::new(
                self.layer.name(),
                format!("letting what runs finish: {}", left.join(" ")),
            ));
        }
        self.last_line = now;
        lines
    }

    fn batch(&mut self, now: Duration, resource: &Resource, phase: Phase, seconds: u64) {
        let Some(speech) = speech(&resource.resource_type) else {
            return;
        };
        if phase == Phase::Begins && speech.begins.is_none() {
            return;
        }
        let name = resource.name();
        if let Some(batch) = self
            .batches
            .iter_mut()
            .find(|batch| batch.kind == resource.resource_type && batch.phase == phase)
        {
            batch.names.push(name);
            batch.longest = batch.longest.max(seconds);
        } else {
            self.batches.push(Batch {
                kind: resource.resource_type.clone(),
                phase,
                since: now,
                names: vec![name],
                longest: seconds,
            });
        }
    }

    fn flush(&mut self, now: Duration, due: impl Fn(&Batch) -> bool) -> Vec<Line> {
        let (due, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.batches).into_iter().partition(due);
        self.batches = kept;
        let mut lines: Vec<_> = due
            .iter()
            .filter_map(|batch| Some(Line::new(self.layer.name(), say(batch)?)))
            .collect();
        if lines.is_empty()
            && !self.running.is_empty()
            && now.saturating_sub(self.last_line) >= HEARTBEAT
        {
            lines.push(Line::new(self.layer.name(), self.waiting(now)));
        }
        if !lines.is_empty() {
            self.last_line = now;
        }
        lines
    }

    /// `waiting for 5: delivery of cp-1 cp-2 (2m10s); ...`
    fn waiting(&self, now: Duration) -> String {
        let mut kinds: BTreeMap<&str, (Vec<&str>, Duration)> = BTreeMap::new();
        for running in self.running.values() {
            let (names, longest) = kinds.entry(&running.kind).or_default();
            names.push(&running.name);
            *longest = (*longest).max(now.saturating_sub(running.since));
        }
        let parts: Vec<_> = kinds
            .into_iter()
            .map(|(kind, (mut names, longest))| {
                names.sort_unstable();
                format!(
                    "{} {} ({})",
                    speech(kind).map_or(kind, |speech| speech.wait),
                    names.join(" "),
                    duration(longest)
                )
            })
            .collect();
        format!("waiting for {}: {}", self.running.len(), parts.join("; "))
    }
}

fn say(batch: &Batch) -> Option<String> {
    let speech = speech(&batch.kind)?;
    let template = match batch.phase {
        Phase::Begins => speech.begins?,
        Phase::Created => speech.created,
        Phase::Adopted => speech.adopted,
        Phase::Kept => "kept as it is, the next run goes on waiting: {}",
        Phase::Updated => speech.updated,
        Phase::Deleted => speech.deleted,
    };
    let mut names = batch.names.clone();
    names.sort_unstable();
    let mut text = template.replace("{}", &names.join(" "));
    // Short work needs no time behind it.
    if batch.longest >= 2 {
        let _ = write!(text, " ({})", duration(Duration::from_secs(batch.longest)));
    }
    Some(text)
}

/// `31 to create, 1 to update, 2 to destroy`, or `no changes`.
pub(crate) fn totals(totals: Totals) -> String {
    let parts: Vec<_> = [
        (totals.add, "create"),
        (totals.change, "update"),
        (totals.remove, "destroy"),
        (totals.import, "import"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, verb)| format!("{count} to {verb}"))
    .collect();
    if parts.is_empty() {
        "no changes".to_owned()
    } else {
        parts.join(", ")
    }
}

/// One planned change.
#[derive(Debug)]
struct Change {
    address: String,
    kind: String,
    name: String,
    action: String,
}

/// What a plan does to things that cost money: `no server is replaced` or the list of what is.
#[derive(Debug, Default)]
pub(crate) struct PlannedChanges {
    pub(crate) totals: Totals,
    changes: Vec<Change>,
    guards: u64,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl PlannedChanges {
    /// Takes one event in.
    pub(crate) fn event(&mut self, event: &Event) {
        match event {
            // Bookkeeping of ours, not something a person would count.
            Event::Planned { resource, .. } if resource.addr == GUARD => self.guards += 1,
            Event::Planned { resource, action } => self.changes.push(Change {
                address: resource.addr.clone(),
                kind: resource.resource_type.clone(),
                name: resource.name(),
                action: action.clone(),
            }),
            Event::Summary(totals) => {
                self.totals = Totals {
                    add: totals.add.saturating_sub(self.guards),
                    ..*totals
                }
            }
            Event::Diagnostic(diagnostic) => self.diagnostics.push(diagnostic.clone()),
            _ => {}
        }
    }

    /// Addresses that would go, or go and come back.
    pub(crate) fn removals(&self) -> Vec<&str> {
        self.changes
            .iter()
            .filter(|change| matches!(change.action.as_str(), "delete" | "replace"))
            .map(|change| change.address.as_str())
            .collect()
    }

    /// How many servers would be ordered.
    pub(crate) fn orders(&self) -> usize {
        self.servers(&["create"]).len()
    }

    /// Servers that would go.
    pub(crate) fn losses(&self) -> Vec<&str> {
        self.servers(&["delete", "replace"])
    }

    fn servers(&self, actions: &[&str]) -> Vec<&str> {
        self.changes
            .iter()
            .filter(|change| change.kind == SERVER && actions.contains(&change.action.as_str()))
            .map(|change| change.name.as_str())
            .collect()
    }

    /// Addresses that the plan changes in any way and that are not among `known`.
    pub(crate) fn beyond(&self, known: &[String]) -> Vec<&str> {
        self.changes
            .iter()
            .map(|change| change.address.as_str())
            .filter(|address| !known.iter().any(|known| known == address))
            .collect()
    }

    /// The counts, and what they mean for servers.
    pub(crate) fn sentence(&self) -> String {
        let mut text = totals(self.totals);
        let orders = self.orders();
        if orders > 0 {
            let _ = write!(text, "; {} ordered", counted(orders, "server"));
        }
        let losses = self.losses();
        if losses.is_empty() {
            if self.totals.change > 0 {
                text.push_str("; no server is replaced");
            }
        } else {
            let _ = write!(text, "; given back: {}", losses.join(" "));
        }
        text
    }
}

#[cfg(test)]
mod tests;
