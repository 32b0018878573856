//! `Cx`: what every operation that does I/O gets: the provider, the deadline, the stop signal, private state, and the
//! ways to warn and to save partial state.
//!
//! One operation has one `Cx`; its deadline comes from the resource's timeouts and is never reset on the way down.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::meta::Meta;
use crate::{Diagnostics, Field, Resource, Value};

/// Private state of a resource or lease of an ephemeral resource: facts that users need not see. Never a secret: state
/// files hold it in the clear. `()` for none.
pub trait Private: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static {}
impl<T: Serialize + DeserializeOwned + Default + Clone + Send + Sync + 'static> Private for T {}

/// The context of one operation.
pub struct Cx<'a, P, S = (), V = ()> {
    /// The configured provider. `Arc`, so that a spawned task can hold it.
    pub provider: &'a Arc<P>,
    /// Cancelled when the user pressed Ctrl-C: finish or undo the write in flight, begin no other, return the state.
    pub cancel: CancellationToken,
    /// When the operation should be over.
    pub deadline: Instant,
    pub(crate) private: &'a Mutex<V>,
    pub(crate) sink: &'a Sink,
    pub(crate) meta: Option<&'a (dyn Any + Send + Sync)>,
    pub(crate) state: std::marker::PhantomData<fn(&S)>,
}

/// The context of a resource's operations.
pub type Of<'a, R> =
    Cx<'a, <R as Resource>::Provider, <R as Resource>::Model, <R as Resource>::Private>;

/// Warnings and partial state of one operation, readable from outside when it panics.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    pub(crate) warnings: Mutex<Diagnostics>,
    pub(crate) saved: Mutex<Option<Value>>,
}

impl<P, S: Field, V> Cx<'_, P, S, V> {
    /// Keeps this as the state, whatever happens next: on an error, a panic or a stop it is what Terraform gets. Call it
    /// the moment something exists outside, with unknown attributes left unknown.
    pub fn save(&self, partial: &S) {
        *lock(&self.sink.saved) = Some(partial.encode());
    }
}

impl<P, S, V> Cx<'_, P, S, V> {
    /// Takes back what [`Cx::save`] was given: the object was removed again, as an answer of the service proved, so that an
    /// error leaves no state and nothing to taint.
    pub fn forget(&self) {
        *lock(&self.sink.saved) = None;
    }

    /// Tells the user something about a success.
    pub fn warn(&self, mut diagnostics: Diagnostics) {
        diagnostics = diagnostics.into_warnings();
        lock(&self.sink.warnings).merge(diagnostics);
    }

    /// Private state, read and written in place. Never hold the guard across an `.await`.
    pub fn private(&self) -> MutexGuard<'_, V> {
        lock(self.private)
    }

    /// What the module said in `provider_meta`, of the model that `Registry::meta` declared. None in an import, a list,
    /// an ephemeral resource, and in a module that says nothing.
    pub fn meta<M: 'static>(&self) -> Option<&M> {
        self.meta.and_then(|meta| meta.downcast_ref())
    }

    /// Time left until the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Deadline and stop signal alone, for clients, which know nothing of Terraform.
    pub fn limits(&self) -> Limits {
        Limits {
            cancel: self.cancel.clone(),
            deadline: self.deadline,
        }
    }
}

/// A deadline and a stop signal.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Cancelled when the user pressed Ctrl-C.
    pub cancel: CancellationToken,
    /// When the operation should be over.
    pub deadline: Instant,
}

impl Limits {
    /// A limit for tests and tools: no stop signal.
    pub fn within(duration: Duration) -> Self {
        Self {
            cancel: CancellationToken::new(),
            deadline: Instant::now() + duration,
        }
    }

    /// The same limits with an earlier deadline; a later one is not granted.
    #[must_use]
    pub fn at_most(&self, duration: Duration) -> Self {
        Self {
            cancel: self.cancel.clone(),
            deadline: self.deadline.min(Instant::now() + duration),
        }
    }
}

/// Anything that bounds an operation in time: a [`Cx`] or [`Limits`].
pub trait Bounded: Sync {
    /// When to give up.
    fn deadline(&self) -> Instant;
    /// The stop signal.
    fn cancel(&self) -> &CancellationToken;
}

impl Bounded for Limits {
    fn deadline(&self) -> Instant {
        self.deadline
    }
    fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }
}

impl<P: Send + Sync, S, V: Send> Bounded for Cx<'_, P, S, V> {
    fn deadline(&self) -> Instant {
        self.deadline
    }
    fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }
}

/// A lock that outlives a panic of its holder: the value is replaced as a whole, so it is never half written.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Owns what a [`Cx`] borrows, for tests of resources without a server.
pub struct Harness<P, V = ()> {
    provider: Arc<P>,
    private: Mutex<V>,
    sink: Sink,
    limits: Limits,
    meta: Option<Meta>,
}

impl<P, V: Default> Harness<P, V> {
    /// A context around this provider, with two minutes of time.
    pub fn new(provider: P) -> Self {
        Self::shared(Arc::new(provider))
    }

    /// The same around a provider that is shared.
    pub fn shared(provider: Arc<P>) -> Self {
        let limits = Limits::within(Duration::from_mins(2));
        Self {
            provider,
            private: Mutex::default(),
            sink: Sink::default(),
            limits,
            meta: None,
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same in a module that says this in `provider_meta`.
    #[must_use]
    pub fn with_meta<M: Send + Sync + 'static>(mut self, meta: M) -> Self {
        self.meta = Some(Arc::new(meta));
        self
    }

    /// The context to pass to an operation.
    pub fn cx<S>(&self) -> Cx<'_, P, S, V> {
        Cx {
            provider: &self.provider,
            cancel: self.limits.cancel.clone(),
            deadline: self.limits.deadline,
            private: &self.private,
            sink: &self.sink,
            meta: self.meta.as_deref(),
            state: std::marker::PhantomData,
        }
    }

    /// The warnings given so far.
    pub fn warnings(&self) -> Diagnostics {
        lock(&self.sink.warnings).clone()
    }

    /// The state saved last.
    pub fn saved<S: crate::Model>(&self) -> Option<S> {
        let saved = lock(&self.sink.saved).clone()?;
        S::decode_object(&saved, crate::Source::State).ok()
    }
}
