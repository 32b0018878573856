//! Watches: the store's log as a stream of newline-separated events.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::answer::Form;
use super::kind::Kind;
use super::plane::ControlPlane;
use super::selector::Selector;
use super::status::ApiError;
use super::store::Event;

/// Bookmarks come this often (wall time: they keep idle connections known to be alive).
const BOOKMARKS: Duration = Duration::from_secs(30);

/// One watch.
pub(super) struct Subscription {
    pub(super) kind: Kind,
    /// `None` watches all namespaces.
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
    pub(super) form: Form,
    /// Events after this revision are sent.
    pub(super) from: u64,
    /// Objects to start with, as ADDED.
    pub(super) initial: Vec<Arc<Value>>,
    pub(super) bookmarks: bool,
    /// The client wants the mark after the initial objects (`sendInitialEvents`).
    pub(super) mark_initial: bool,
    pub(super) timeout: Duration,
}

impl Subscription {
    /// Sends events until the client goes, the timeout passes or the log no longer reaches back.
    pub(super) async fn run(mut self, plane: Arc<ControlPlane>, sender: mpsc::Sender<Bytes>) {
        let end = tokio::time::Instant::now() + self.timeout;
        let mut revision = plane.revision.subscribe();
        for object in std::mem::take(&mut self.initial) {
            if sender
                .send(self.line("ADDED", &object, &plane))
                .await
                .is_err()
            {
                return;
            }
        }
        if self.mark_initial && sender.send(self.bookmark(true)).await.is_err() {
            return;
        }
        loop {
            revision.mark_unchanged();
            let events = plane.locked().store.since(self.from);
            let events = match events {
                Ok(events) => events,
                Err(oldest) => {
                    let error = ApiError::expired(self.from, oldest).status();
                    let _ = sender
                        .send(encode(&json!({"type": "ERROR", "object": error})))
                        .await;
                    return;
                }
            };
            for event in events {
                self.from = event.revision;
                let Some((kind, object)) = self.translate(&event) else {
                    continue;
                };
                if sender.send(self.line(kind, &object, &plane)).await.is_err() {
                    return;
                }
            }
            // All arms are cancel-safe: a watch, a closed channel, timers.
            tokio::select! {
                changed = revision.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
                () = tokio::time::sleep_until(end) => return,
                () = tokio::time::sleep(BOOKMARKS) => {
                    if self.bookmarks && sender.send(self.bookmark(false)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// What an event means to this watch; an object that leaves the selection is deleted for it.
    fn translate(&self, event: &Event) -> Option<(&'static str, Arc<Value>)> {
        if event.resource != self.kind.id() {
            return None;
        }
        let matches = |object: &Option<Arc<Value>>| {
            object.as_ref().is_some_and(|object| {
                let here = self
                    .namespace
                    .as_ref()
                    .is_none_or(|namespace| object["metadata"]["namespace"] == **namespace);
                here && self.selector.matches(object)
            })
        };
        match (matches(&event.before), matches(&event.after)) {
            (false, true) => Some(("ADDED", event.after.clone()?)),
            (true, true) => Some(("MODIFIED", event.after.clone()?)),
            (true, false) => Some((
                "DELETED",
                event.after.clone().or_else(|| event.before.clone())?,
            )),
            (false, false) => None,
        }
    }

    fn line(&self, kind: &str, object: &Value, plane: &ControlPlane) -> Bytes {
        encode(
            &json!({"type": kind, "object": self.form.object(&self.kind, object, plane.clock.now())}),
        )
    }

    fn bookmark(&self, initial: bool) -> Bytes {
        let mut metadata =
            json!({"resourceVersion": self.from.to_string(), "creationTimestamp": null});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        encode(
            &json!({"type": "BOOKMARK", "object": {"kind": self.kind.kind, "apiVersion": self.kind.api_version(), "metadata": metadata}}),
        )
    }
}

fn encode(event: &Value) -> Bytes {
    let mut line = event.to_string();
    line.push('\n');
    line.into()
}
