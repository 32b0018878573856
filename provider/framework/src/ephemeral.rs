//! Ephemeral resources: values that never reach plan or state.
//!
//! Core opens them at plan and again at apply, and does not always close them: whatever is opened must expire by itself.
//! Leases still open at shutdown are closed by the framework.

use std::future::Future;
use std::time::Duration;

use crate::cx::{Cx, Private};
use crate::resource::Provider;
use crate::{Diagnostics, Model};

/// An ephemeral resource.
pub trait Ephemeral: Sized + Send + Sync + 'static {
    /// Name without the provider's prefix.
    const NAME: &'static str = <Self::Model as Model>::NAME;
    /// Under which heading the documentation lists it.
    const SUBCATEGORY: &'static str = "";
    /// How long one call may take.
    const LIMIT: Duration = Duration::from_mins(5);
    /// The provider it belongs to.
    type Provider: Provider;
    /// Its attributes. Often `Self`.
    type Model: Model;
    /// What renew and close need to know; `()` for nothing.
    type Lease: Private;

    /// Rules over several attributes. Unknown values pass.
    fn validate(_config: &Self::Model, _found: &mut Diagnostics) {}

    /// Gets the values: the configuration, which is wholly known, with what is computed filled in. Anything else is refused
    /// as the provider's mistake, and the lease closed.
    fn open(
        cx: &Cx<'_, Self::Provider>,
        config: Self::Model,
    ) -> impl Future<Output = Result<Opened<Self::Model, Self::Lease>, Diagnostics>> + Send;

    /// Prolongs the lease; the answer is how long it is good for from now. An error is told to the user when the lease is
    /// closed: Terraform hears it now, and loses it.
    fn renew(
        _cx: &Cx<'_, Self::Provider>,
        _lease: &mut Self::Lease,
    ) -> impl Future<Output = Result<Option<Duration>, Diagnostics>> + Send {
        async { Ok(None) }
    }

    /// Ends the lease, as `open` or the last `renew` left it.
    fn close(
        _cx: &Cx<'_, Self::Provider>,
        _lease: Self::Lease,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send {
        async { Ok(()) }
    }
}

/// What `open` returns.
#[derive(Clone, Debug)]
pub struct Opened<M, L> {
    pub(crate) result: M,
    pub(crate) lease: Option<L>,
    pub(crate) good_for: Option<Duration>,
}

impl<M, L> Opened<M, L> {
    /// Values that nothing needs to be closed for.
    pub fn new(result: M) -> Self {
        Self {
            result,
            lease: None,
            good_for: None,
        }
    }

    /// Something that close, or shutdown, must release.
    #[must_use]
    pub fn lease(mut self, lease: L) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How long the lease is good for, when it has to be renewed. The framework asks for a renewal well before the end, each
    /// time at another moment.
    #[must_use]
    pub fn good_for(mut self, time: Duration) -> Self {
        self.good_for = Some(time);
        self
    }

    /// The values.
    pub fn result(&self) -> &M {
        &self.result
    }
}
