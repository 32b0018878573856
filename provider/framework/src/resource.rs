//! What a resource author writes: `Provider`, `Resource`, `DataSource`.
//!
//! Trait methods are `impl Future + Send` so that the erased twins in the server can box them; implementations write
//! plain `async fn`.

use std::future::Future;
use std::time::Duration;

use serde_json::Value as Json;

use crate::cx::{Cx, Limits, Of, Private};
use crate::{Attr, Diagnostics, DurationText, Model, Path, Schema, Secret};

/// The provider: its configuration and the shared clients.
pub trait Provider: Send + Sync + Sized + 'static {
    /// Model of the `provider` block.
    type Config: Model;
    /// Rules over several attributes. Unknown values pass.
    fn validate(_config: &Self::Config, _found: &mut Diagnostics) {}
    /// From the configuration, in which anything may be unknown at plan. No I/O: clients are made on first use.
    fn new(config: Self::Config) -> Result<Self, Diagnostics>;
    /// The key for fingerprints of write-only values (rule `fingerprint`). `None`: there is no key, so nothing can be compared
    /// and a configured value is delivered by every apply that changes the resource. An error keeps what is, with a warning.
    fn fingerprint_key(
        &self,
        _purpose: Purpose,
        _limits: &Limits,
    ) -> impl Future<Output = Result<Option<Secret<Vec<u8>>>, Diagnostics>> + Send {
        async { Ok(None) }
    }
}

/// What a key for fingerprints is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To compare, in a plan: nothing may be written, a key that does not exist is not made.
    Compare,
    /// To record what was delivered: the key is made if there is none.
    Record,
}

/// What a plan is for.
#[derive(Debug)]
pub enum Change<'a, M> {
    /// The object does not exist, or is being replaced.
    Create {
        /// What the user wrote, write-only values included.
        config: &'a M,
    },
    /// The object exists.
    Update {
        /// What the user wrote, write-only values included.
        config: &'a M,
        /// What there is.
        prior: &'a M,
    },
}

impl<'a, M> Change<'a, M> {
    /// What the user wrote.
    pub fn config(&self) -> &'a M {
        match self {
            Self::Create { config } | Self::Update { config, .. } => config,
        }
    }

    /// What there is, if anything.
    pub fn prior(&self) -> Option<&'a M> {
        match self {
            Self::Create { .. } => None,
            Self::Update { prior, .. } => Some(prior),
        }
    }
}

/// A plan: the state to reach and the attributes that force a replacement, besides those marked `replace`.
#[derive(Clone, Debug)]
pub struct Planned<M> {
    /// The state to reach. Write-only values are null; unknown means "apply will tell".
    pub state: M,
    /// Paths whose change replaces the object.
    pub replace: Vec<Path>,
}

/// What a read saw.
#[derive(Debug)]
pub enum Found<M> {
    /// It is there, like this.
    Present(M),
    /// It is gone, proven by an answer of the service.
    Gone,
    /// Nobody can tell: the state is kept and these become warnings.
    Unknown(Diagnostics),
}

/// How long operations may take when the user's `timeouts` say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Create.
    pub create: Duration,
    /// Read, import and the reads of data sources.
    pub read: Duration,
    /// Update.
    pub update: Duration,
    /// Delete.
    pub delete: Duration,
}

impl Limit {
    /// 20 minutes for writes, 5 for reads.
    pub const DEFAULT: Self = Self::minutes(20, 5, 20, 20);

    /// The four in minutes.
    pub const fn minutes(create: u64, read: u64, update: u64, delete: u64) -> Self {
        Self {
            create: Duration::from_secs(create * 60),
            read: Duration::from_secs(read * 60),
            update: Duration::from_secs(update * 60),
            delete: Duration::from_secs(delete * 60),
        }
    }
}

/// The reusable model of `timeouts = { ... }`. The framework reads the attribute named `timeouts` of any resource.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Timeouts {
    /// How long creating may take, e.g. `"120m"`.
    #[schema(optional)]
    pub create: Attr<DurationText>,
    /// How long reading may take, e.g. `"5m"`.
    #[schema(optional)]
    pub read: Attr<DurationText>,
    /// How long updating may take, e.g. `"20m"`.
    #[schema(optional)]
    pub update: Attr<DurationText>,
    /// How long deleting may take, e.g. `"20m"`.
    #[schema(optional)]
    pub delete: Attr<DurationText>,
}

/// A managed resource.
pub trait Resource: Sized + Send + Sync + 'static {
    /// Name without the provider's prefix.
    const NAME: &'static str = <Self::Model as Model>::NAME;
    /// Under which heading the documentation lists it.
    const SUBCATEGORY: &'static str = "";
    /// Timeouts when the user sets none.
    const TIMEOUTS: Limit = Limit::DEFAULT;
    /// The provider it belongs to.
    type Provider: Provider;
    /// Its attributes. Often `Self`.
    type Model: Model;
    /// Its private state, mostly `()`.
    type Private: Private;

    /// Rules over several attributes. Pure; runs unconfigured; unknown values pass.
    fn validate(_config: &Self::Model, _found: &mut Diagnostics) {}

    /// Changes the plan that the attribute rules made. Reads only. Runs again at apply with more known: a value planned
    /// known must then be the same.
    fn plan(
        _cx: &Of<'_, Self>,
        _change: Change<'_, Self::Model>,
        planned: Planned<Self::Model>,
    ) -> impl Future<Output = Result<Planned<Self::Model>, Diagnostics>> + Send {
        async { Ok(planned) }
    }

    /// Refuses a destroy already at plan.
    fn plan_delete(
        _cx: &Of<'_, Self>,
        _prior: &Self::Model,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send {
        async { Ok(()) }
    }

    /// Makes it. Returns `planned` with every unknown filled; an unknown left over becomes null with a warning in debug
    /// builds of core. On an error Terraform keeps what [`Cx::save`] was given last and taints it.
    fn create(
        cx: &Of<'_, Self>,
        config: Self::Model,
        planned: Self::Model,
    ) -> impl Future<Output = Result<Self::Model, Diagnostics>> + Send;

    /// Looks at the real thing. There is no configuration here. After an import, `prior` is what `import` returned.
    fn read(
        cx: &Of<'_, Self>,
        prior: Self::Model,
    ) -> impl Future<Output = Result<Found<Self::Model>, Diagnostics>> + Send;

    /// Changes it in place.
    fn update(
        cx: &Of<'_, Self>,
        config: Self::Model,
        prior: Self::Model,
        planned: Self::Model,
    ) -> impl Future<Output = Result<Self::Model, Diagnostics>> + Send;

    /// Removes it. Gone already is success.
    fn delete(
        cx: &Of<'_, Self>,
        prior: Self::Model,
    ) -> impl Future<Output = Result<(), Diagnostics>> + Send;

    /// From the id a user typed to a model that `read` can complete. A parse error shows the expected form.
    fn import(
        _cx: &Of<'_, Self>,
        _id: &str,
    ) -> impl Future<Output = Result<Self::Model, Diagnostics>> + Send {
        async { Err(Diagnostics::unsupported("import")) }
    }

    /// Brings state of an older version to the present one.
    fn upgrade(_from: i64, _raw: Json) -> Result<Json, Diagnostics> {
        Err(Diagnostics::unsupported("upgrading this old state"))
    }

    /// Takes over the state of another resource type (`moved`), as far as `read` needs it to go on. `None`: not one that
    /// this resource knows. Private state begins empty; what the source had is in `source`.
    fn moved(
        _source: &MoveSource,
        _private: &mut Self::Private,
    ) -> Option<Result<Self::Model, Diagnostics>> {
        None
    }
}

/// The state that a `moved` block points at.
#[derive(Clone, Debug)]
pub struct MoveSource {
    /// Address of the provider it comes from: `example.org/acme/null` (host, namespace, type).
    pub provider: String,
    /// Type it comes from: `null_resource`.
    pub resource: String,
    /// Its schema version.
    pub version: i64,
    /// Its state.
    pub state: Json,
    /// Its private state, in whatever form its provider keeps it.
    pub private: Vec<u8>,
    /// Its identity, null without one.
    pub identity: Json,
    /// Version of the identity. No Terraform up to 1.16 fills it in.
    pub identity_version: i64,
}

impl MoveSource {
    /// Private state that a resource of this framework kept, as its type; anything else is as good as none.
    pub fn private_as<V: Private>(&self) -> V {
        crate::operation::decode_private(&self.private)
    }
}

/// A data source: looked at, never changed.
pub trait DataSource: Sized + Send + Sync + 'static {
    /// Name without the provider's prefix.
    const NAME: &'static str = <Self::Model as Model>::NAME;
    /// Under which heading the documentation lists it.
    const SUBCATEGORY: &'static str = "";
    /// How long a read may take.
    const LIMIT: Duration = Duration::from_mins(5);
    /// The provider it belongs to.
    type Provider: Provider;
    /// Its attributes. Often `Self`.
    type Model: Model;
    /// Rules over several attributes. Unknown values pass.
    fn validate(_config: &Self::Model, _found: &mut Diagnostics) {}
    /// The configuration with everything computed filled in.
    fn read(
        cx: &Cx<'_, Self::Provider>,
        config: Self::Model,
    ) -> impl Future<Output = Result<Self::Model, Diagnostics>> + Send;
}
