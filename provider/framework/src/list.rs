//! List resources: what `terraform query` finds (Terraform 1.14 and newer). Each result is an identity and a name for
//! people, and on demand the whole object, so that Terraform can write an import block and its configuration.
//!
//! A trait of its own beside [`Identified`], because a result is nothing without an identity.

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::cx::Of;
use crate::identity::Identified;
use crate::{Diagnostics, Model};

/// A resource whose objects can be listed. Registered by [`Registry::list`](crate::Registry::list).
///
/// ```
/// use strata_framework::*;
///
/// # #[derive(Schema, Clone)] pub struct Settings {}
/// # pub struct Cupboard;
/// # impl Provider for Cupboard { type Config = Settings; fn new(_: Settings) -> Result<Self, Diagnostics> { Ok(Self) } }
/// # /// A note.
/// # #[derive(Schema, Clone, Debug)]
/// # #[schema(name = "note")]
/// # pub struct Note {
/// #     /// Its name.
/// #     #[schema(required, replace)]
/// #     name: Attr<String>,
/// # }
/// # impl Resource for Note {
/// #     type Provider = Cupboard;
/// #     type Model = Self;
/// #     type Private = ();
/// #     async fn create(_: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> { Ok(planned) }
/// #     async fn read(_: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> { Ok(Found::Present(prior)) }
/// #     async fn update(_: &Of<'_, Self>, _: Self, _: Self, planned: Self) -> Result<Self, Diagnostics> { Ok(planned) }
/// #     async fn delete(_: &Of<'_, Self>, _: Self) -> Result<(), Diagnostics> { Ok(()) }
/// # }
/// /// Which note.
/// #[derive(Schema, Clone, Debug, PartialEq)]
/// #[schema(name = "note", version = 0)]
/// pub struct NoteIdentity {
///     /// Name of the note.
///     #[schema(required_for_import)]
///     name: Attr<String>,
/// }
///
/// impl Identified for Note {
///     type Identity = NoteIdentity;
///     fn identity(note: &Self) -> NoteIdentity {
///         NoteIdentity { name: note.name.clone() }
///     }
///     async fn from_identity(_: &Of<'_, Self>, identity: NoteIdentity) -> Result<Self, Diagnostics> {
///         Ok(Self { name: identity.name }) // `read` completes it
///     }
/// }
///
/// /// Which notes.
/// #[derive(Schema, Clone, Debug)]
/// #[schema(name = "note")]
/// pub struct Notes {
///     /// Only names that begin like this.
///     #[schema(default = "")]
///     prefix: Attr<String>,
/// }
///
/// impl List for Note {
///     type Filter = Notes;
///     async fn list(_: &Of<'_, Self>, filter: Notes, found: &Listing<Self>) -> Result<(), Diagnostics> {
///         for name in ["milk", "mail", "rent"] {
///             if name.starts_with(filter.prefix.text()) {
///                 let identity = NoteIdentity { name: name.into() };
///                 if found.send(Listed::new(identity, name)).await.is_break() {
///                     break;
///                 }
///             }
///         }
///         Ok(())
///     }
/// }
///
/// let registry = Registry::new("example").resource::<Note>().identity::<Note>().list::<Note>();
/// assert!(registry.faults().is_empty());
///
/// // A test of it:
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(async {
/// let cupboard = Harness::new(Cupboard);
/// let filter = Notes { prefix: "m".into() };
/// let found = list_all::<Note>(&cupboard.cx(), filter, 10).await.unwrap();
/// let names: Vec<_> = found.iter().map(Listed::name).collect();
/// assert_eq!(names, ["milk", "mail"]);
/// # });
/// ```
pub trait List: Identified {
    /// Model of the `config` block: what to look for.
    type Filter: Model;
    /// How long listing may take.
    const LIST_LIMIT: Duration = Duration::from_mins(5);

    /// Rules over several attributes of the filter. Unknown values pass.
    fn validate_filter(_filter: &Self::Filter, _found: &mut Diagnostics) {}

    /// Finds objects and hands each to `found`, best as they come, until that says break. On an error, what was handed
    /// over stays. There is no private state here.
    fn list(
        cx: &Of<'_, Self>,
        filter: Self::Filter,
        found: &Listing<Self>,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send;
}

/// One result.
#[derive(Debug)]
pub struct Listed<R: Identified> {
    pub(crate) identity: R::Identity,
    pub(crate) name: String,
    pub(crate) object: Option<R::Model>,
    pub(crate) warnings: Diagnostics,
}

impl<R: Identified> Listed<R> {
    /// An object that is there, with a name that a person recognises.
    pub fn new(identity: R::Identity, name: impl Into<String>) -> Self {
        Self {
            identity,
            name: name.into(),
            object: None,
            warnings: Diagnostics::none(),
        }
    }

    /// An object that the listing has shown whole.
    pub fn whole(object: &R::Model, name: impl Into<String>) -> Self {
        Self {
            object: Some(object.clone()),
            ..Self::new(R::identity(object), name)
        }
    }

    /// Tells the user something about this result.
    #[must_use]
    pub fn warning(mut self, warning: Diagnostics) -> Self {
        self.warnings.merge(warning.into_warnings());
        self
    }

    /// Which object.
    pub fn identity(&self) -> &R::Identity {
        &self.identity
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Where results go, and how many are wanted.
#[derive(Debug)]
pub struct Listing<R: Identified> {
    results: mpsc::Sender<Listed<R>>,
    limit: u64,
    sent: AtomicU64,
    wants_objects: bool,
}

/// Results on their way; a service's page is larger, so listing and reading overlap.
const ON_THE_WAY: usize = 16;

impl<R: Identified> Listing<R> {
    /// A listing and its other end. A limit of 0 is none: proto3 cannot tell it from one that was not sent.
    pub(crate) fn new(limit: u64, wants_objects: bool) -> (Self, mpsc::Receiver<Listed<R>>) {
        let (results, receiver) = mpsc::channel(ON_THE_WAY);
        let listing = Self {
            results,
            limit: if limit == 0 { u64::MAX } else { limit },
            sent: AtomicU64::new(0),
            wants_objects,
        };
        (listing, receiver)
    }

    /// Hands one result over. Break: nobody wants more, so return.
    pub async fn send(&self, result: Listed<R>) -> ControlFlow<()> {
        if self.left() == 0 || self.results.send(result).await.is_err() {
            return ControlFlow::Break(());
        }
        self.sent.fetch_add(1, Ordering::Relaxed);
        match self.left() {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// How many more are wanted: the size of a page to ask for.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.sent.load(Ordering::Relaxed))
    }

    /// Whether whole objects are wanted. Giving none is fine: the framework reads each, as after an import.
    pub fn wants_objects(&self) -> bool {
        self.wants_objects
    }
}

/// Lists without a server, for tests of resources.
///
/// # Errors
/// Whatever listing said.
pub async fn list_all<R: List>(
    cx: &Of<'_, R>,
    filter: R::Filter,
    limit: u64,
) -> Result<Vec<Listed<R>>, Diagnostics> {
    let (listing, mut receiver) = Listing::new(limit, false);
    let listing = async {
        let listing = listing;
        R::list(cx, filter, &listing).await
    };
    let receiving = async {
        let mut all = Vec::new();
        while let Some(one) = receiver.recv().await {
            all.push(one);
        }
        all
    };
    let (result, all) = futures::join!(listing, receiving);
    result.map(|()| all)
}
