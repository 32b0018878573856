//! One operation on one object: what it starts from, and what it leaves, whatever happens.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cx::{Cx, Private, Sink, lock};
use crate::meta::Meta;
use crate::{Diagnostics, Limit, Value};

/// Key of the framework's own version mark in private state.
pub(crate) const PRIVATE_VERSION: &str = ".strata";

/// What an operation starts from.
pub(crate) struct Operation<P> {
    pub(crate) provider: Arc<P>,
    pub(crate) cancel: CancellationToken,
    /// Shared with the server, which reads it when the operation panics.
    pub(crate) sink: Arc<Sink>,
    pub(crate) private: Vec<u8>,
    /// What the module said.
    pub(crate) meta: Option<Meta>,
}

/// What an operation leaves.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The new state; `None` for "as it was": the caller knows the prior one.
    pub(crate) state: Option<Value>,
    pub(crate) private: Vec<u8>,
    pub(crate) diagnostics: Diagnostics,
}

impl Outcome {
    pub(crate) fn failed(private: Vec<u8>, diagnostics: Diagnostics) -> Self {
        Self {
            state: None,
            private,
            diagnostics,
        }
    }
}

/// Which timeout applies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Create,
    Read,
    Update,
    Delete,
}

/// The time an operation has: the user's `timeouts`, else the resource's default.
pub(crate) fn limit(kind: Kind, defaults: Limit, state: &Value) -> Duration {
    let (name, default) = match kind {
        Kind::Create => ("create", defaults.create),
        Kind::Read => ("read", defaults.read),
        Kind::Update => ("update", defaults.update),
        Kind::Delete => ("delete", defaults.delete),
    };
    match state.get("timeouts").get(name) {
        Value::String(text) => crate::DurationText::parse(text)
            .and_then(|written| written.get())
            .unwrap_or(default),
        _ => default,
    }
}

impl<P> Operation<P> {
    /// The private state as its type. What another program wrote is as good as none.
    pub(crate) fn private<V: Private>(&self) -> Mutex<V> {
        Mutex::new(decode_private(&self.private))
    }

    pub(crate) fn cx<'a, S, V>(
        &'a self,
        private: &'a Mutex<V>,
        limit: Duration,
    ) -> Cx<'a, P, S, V> {
        Cx {
            provider: &self.provider,
            // Each operation holds a child: it may cancel its own parts without stopping the others.
            cancel: self.cancel.child_token(),
            deadline: Instant::now() + limit,
            private,
            sink: &self.sink,
            meta: self.meta.as_deref(),
            state: PhantomData,
        }
    }

    /// Whether the object was imported and not written since.
    pub(crate) fn is_imported(&self) -> bool {
        is_imported(&self.private)
    }

    /// The warnings given, to which the diagnostics of a failure are added.
    pub(crate) fn diagnostics(&self, error: Option<Diagnostics>) -> Diagnostics {
        let mut all = lock(&self.sink.warnings).clone();
        if let Some(error) = error {
            all.merge(error);
        }
        all
    }
}

/// Private state as the framework writes it, around what the resource keeps there.
#[derive(Default)]
struct Stored {
    /// The resource's own; null for none.
    value: Json,
    /// Whether the object was imported and not written since.
    imported: bool,
}

/// Key of what the resource keeps.
const VALUE: &str = "value";
/// Key of the mark that an import leaves until the object is written for the first time.
const IMPORTED: &str = "imported";

impl Stored {
    /// What another program wrote is as good as none.
    fn read(bytes: &[u8]) -> Self {
        let json: Json = serde_json::from_slice(bytes).unwrap_or_default();
        if json.get(PRIVATE_VERSION).is_none() {
            return Self::default();
        }
        Self {
            value: json.get(VALUE).cloned().unwrap_or_default(),
            imported: json.get(IMPORTED) == Some(&Json::Bool(true)),
        }
    }

    /// Nothing to keep is no bytes at all.
    fn bytes(&self) -> Vec<u8> {
        if self.value.is_null() && !self.imported {
            return Vec::new();
        }
        let mut json = json!({PRIVATE_VERSION: 1, VALUE: self.value});
        if self.imported {
            json[IMPORTED] = true.into();
        }
        json.to_string().into_bytes()
    }
}

/// Marks the private state of an object that was just imported.
pub(crate) fn marked_imported(private: &[u8]) -> Vec<u8> {
    let mut stored = Stored::read(private);
    stored.imported = true;
    stored.bytes()
}

fn is_imported(private: &[u8]) -> bool {
    Stored::read(private).imported
}

/// The private state after a read or plan, which keep the mark.
pub(crate) fn kept_private<V: Private>(private: &Mutex<V>, before: &[u8]) -> Vec<u8> {
    let bytes = encode_private(private, before.to_vec());
    if is_imported(before) {
        marked_imported(&bytes)
    } else {
        bytes
    }
}

/// The private state after a write, which ends the time since the import.
pub(crate) fn written_private<V: Private>(private: &Mutex<V>, before: &[u8]) -> Vec<u8> {
    let mut stored = Stored::read(before);
    let before = if stored.imported {
        stored.imported = false;
        stored.bytes()
    } else {
        before.to_vec()
    };
    encode_private(private, before)
}

pub(crate) fn decode_private<V: Private>(bytes: &[u8]) -> V {
    serde_json::from_value(Stored::read(bytes).value).unwrap_or_default()
}

/// Private state as bytes: `()` is none at all, and then what was there stays.
pub(crate) fn encode_private<V: Private>(private: &Mutex<V>, before: Vec<u8>) -> Vec<u8> {
    match serde_json::to_value(&*lock(private)) {
        Ok(Json::Null) | Err(_) => before,
        Ok(value) => private_bytes(&value),
    }
}

pub(crate) fn private_bytes(value: &Json) -> Vec<u8> {
    json!({PRIVATE_VERSION: 1, VALUE: value})
        .to_string()
        .into_bytes()
}
