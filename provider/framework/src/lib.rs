//! The provider framework: Terraform plugin protocol 6, from Rust structs and traits.
//!
//! # A resource
//!
//! ```
//! use strata_framework::*;
//!
//! /// A note.
//! ///
//! /// Kept in the cupboard. The first line is the title of the documentation page.
//! #[derive(Schema, Clone, Debug, PartialEq)]
//! #[schema(name = "note", version = 0)]
//! pub struct Note {
//!     /// Where it lies. A change replaces the note.
//!     #[schema(required, replace, pattern("[a-z]+"))]
//!     shelf: Attr<String>,
//!     /// How many copies.
//!     #[schema(default = 1, range(1..=9))]
//!     copies: Attr<u32>,
//!     /// The text. Never in state.
//!     #[schema(optional, write_only, sensitive)]
//!     text_wo: Attr<Secret<String>>,
//!     /// Fingerprint of the text.
//!     #[schema(computed, keep_prior)]
//!     fingerprint: Attr<String>,
//!     /// Name in the cupboard, the import id.
//!     #[schema(computed, keep_prior)]
//!     id: Attr<String>,
//!     /// How long things may take.
//!     #[schema(optional)]
//!     timeouts: Attr<Timeouts>,
//! }
//!
//! # #[derive(Schema, Clone)] pub struct Settings {}
//! # pub struct Cupboard;
//! # impl Provider for Cupboard { type Config = Settings; fn new(_: Settings) -> Result<Self, Diagnostics> { Ok(Self) } }
//! impl Resource for Note {
//!     type Provider = Cupboard;
//!     type Model = Self;
//!     type Private = ();
//!     const TIMEOUTS: Limit = Limit::minutes(20, 1, 20, 5);
//!
//!     // Only when the rules on the attributes do not say it all. Write-only values are in `change.config()`.
//!     async fn plan(_: &Of<'_, Self>, change: Change<'_, Self>, mut planned: Planned<Self>) -> Result<Planned<Self>, Diagnostics> {
//!         if let (Some(prior), Attr::Known(text)) = (change.prior(), &change.config().text_wo)
//!             && prior.fingerprint.known() != Some(&fingerprint(b"key of the store", text.expose().as_bytes()))
//!         {
//!             planned.state.fingerprint = Attr::Unknown; // never the value: the second plan might contradict it
//!         }
//!         Ok(planned)
//!     }
//!     async fn create(cx: &Of<'_, Self>, config: Self, mut planned: Self) -> Result<Self, Diagnostics> {
//!         planned.id.fill("note-1");
//!         cx.save(&planned); // it exists from here on
//!         let policy = Policy::new("note note-1 to dry");
//!         let _: u8 = wait(cx, &policy, async || Probe::<_, Diagnostics>::Done(1)).await?;
//!         planned.fingerprint.fill(fingerprint(b"key of the store", config.text_wo.or_empty().as_bytes()));
//!         Ok(planned)
//!     }
//!     async fn read(_: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
//!         Ok(Found::Present(prior)) // or Found::Gone, or Found::Unknown(diagnostics)
//!     }
//!     async fn update(_: &Of<'_, Self>, _config: Self, _prior: Self, planned: Self) -> Result<Self, Diagnostics> {
//!         Ok(planned)
//!     }
//!     async fn delete(_: &Of<'_, Self>, _prior: Self) -> Result<(), Diagnostics> {
//!         Ok(())
//!     }
//! }
//!
//! let registry = Registry::<Cupboard>::new("example").resource::<Note>(); // example_note
//! assert!(registry.faults().is_empty());
//! ```
//!
//! # Attributes of fields: `#[schema(...)]`
//!
//! | words | meaning |
//! | --- | --- |
//! | `required`, `optional`, `computed` | who sets it; `optional, computed` for "the user may, else the provider" |
//! | `default = <value>` | implies optional and computed |
//! | `replace`, `replace_if_configured` | a change replaces the object |
//! | `replace_if = path::to::decide` | `fn(prior: &Attr<T>, planned: &Attr<T>) -> bool` decides |
//! | `keep_prior` | an unknown planned value becomes the prior one ("UseStateForUnknown") |
//! | `never_null`, `begins = ".."` | what is promised of a computed value while it is unknown; core checks it after apply |
//! | `recorded` | a change is written down, `update` is not called and nothing else becomes unknown; `timeouts` always is |
//! | `sensitive`, `write_only`, `deprecated = ".."` | as in Terraform; write-only values are in `config` only |
//! | `required_for_import`, `optional_for_import` | in the identity of a resource, see [`Identified`] |
//! | `fingerprint = "other"` | a change of this write-only value is seen by its HMAC in the computed attribute `other`; the key is [`Provider::fingerprint_key`] |
//! | `block` | nested blocks: `Attr<Struct>` one, `Attr<Vec<Struct>>`, `Attr<Set<Struct>>`, `Attr<BTreeMap<String, Struct>>` with labels |
//! | `group` | one block that is there even when nobody writes it |
//! | `items(1..=3)`, `items(2..)` | how many blocks of a list or set there must and may be |
//! | `one_of("a", "b")`, `range(1..=9)`, `length(1..=63)`, `pattern("regex")` | checks of each known element; patterns match the whole text |
//! | `format = "cidr"` | a well-known form of text: `cidr`, `hostname`, `ip`, `ipv4`, `ipv6`, `rfc3339`, `url`, `uuid` |
//! | `validate = path::to::check` | `fn(&T) -> Result<(), String>` on the known value of `Attr<T>` |
//!
//! On the struct: `name`, `version`, `deprecated = ".."` for a whole resource or block, and rules over several attributes: `exclusive("a", "b")` (at most one), `exactly_one(..)`,
//! `at_least_one(..)`, `together(..)` (all or none).
//!
//! Field types are `Attr<T>` with T: `String`, `bool`, integers, [`Number`], `Vec<T>`, `Vec<Attr<T>>`, `BTreeSet<T>`,
//! `BTreeMap<String, T>`, tuples, [`Dynamic`], [`DurationText`], `Secret<String>`, or another struct with `#[derive(Schema)]` (a
//! nested object; in `Vec`, [`Set`] and `BTreeMap` nested collections). [`Object`] around a struct is the plain object type. A
//! plain `Vec<String>` with one unknown element is unknown as a whole; nothing is lost on the wire, since only the changes a
//! resource makes are applied to the plan.
//!
//! # Beside a resource
//!
//! [`Identified`] gives a resource an identity, which Terraform 1.12 and newer store and import by. It is a trait of its
//! own, registered beside the resource: `.resource::<Note>().identity::<Note>()`.
//!
//! [`List`] lets `terraform query` (1.14 and newer) find objects of such a resource: `.list::<Note>()`. Its documentation
//! has an example of both.
//!
//! [`Resource::upgrade`] reads state of an older version, [`Resource::moved`] that of another type. Configuration for an
//! import (1.14 and newer) is written by the framework, from the schema.
//!
//! # Beside resources
//!
//! [`DataSource`] looks, [`Ephemeral`] opens what never reaches plan or state and gives it back, [`Function`] calculates.
//! What a function's argument may be is said by its type: [`Argument`], [`Variadic`].
//!
//! `Registry::meta::<Module>()` declares what a module may say in `provider_meta`; [`Cx::meta`] is what it said.
//!
//! Not offered: actions, which change the world outside of any state, and state stores.
//!
//! # Tests
//!
//! [`Harness`] calls a resource without a server, [`list_all`] a listing; [`serve_local`] is a whole provider on one
//! connection in the same process.
//!
//! # Documentation
//!
//! [`docs`] makes the pages of the Terraform registry from all this: `registry.pages(&sources)`. Doc comments are Markdown, the
//! rules above are told by themselves, and `registry.undocumented(&sources)` lists what a reader would miss.
//!
//! # What the framework does by itself
//!
//! Required, read-only and validator checks; defaults; nulling write-only values; unknown for computed values on a
//! change; replacement paths; private state kept through every call; deadlines from `timeouts`; each operation in its own
//! task, so a lost connection or a panic never loses what [`Cx::save`] was given (but a second panic, in a `Drop` while the
//! first unwinds, ends the process: Rust's rule); checking plans and results against core's rules.

// The derive names this crate by its own name, inside it too.
extern crate self as strata_framework;

mod attr;
mod check;
mod cx;
mod deprecated;
mod diagnostics;
pub mod docs;
mod duration;
mod dynamic;
mod ephemeral;
mod erased;
pub mod field;
mod function;
mod generate;
mod identity;
mod json;
mod list;
mod mask;
mod meta;
mod msgpack;
mod number;
mod object;
mod operation;
mod path;
mod plan;
mod refinement;
mod registry;
mod repair;
mod resource;
mod rule;
pub mod schema;
mod secret;
mod server;
mod set;
mod types;
mod validate;
mod value;
mod wait;

pub use attr::Attr;
pub use cx::{Bounded, Cx, Harness, Limits, Of, Private};
pub use diagnostics::{Diagnostic, Diagnostics, Severity, chain};
pub use duration::DurationText;
pub use ephemeral::{Ephemeral, Opened};
pub use field::{Field, Model, Source};
pub use function::{
    Argument, Arguments, Function, FunctionError, LastArgument, Parameter, Takes, Variadic,
};
pub use identity::Identified;
pub use list::{List, Listed, Listing, list_all};
pub use mask::{mask, masked};
pub use number::Number;
pub use object::Object;
pub use path::{Path, Step};
pub use refinement::{Bound, Refinement};
pub use registry::Registry;
pub use resource::{
    Change, DataSource, Found, Limit, MoveSource, Planned, Provider, Purpose, Resource, Timeouts,
};
pub use rule::Rule;
pub use schema::Schema;
pub use secret::{Secret, fingerprint};
#[doc(hidden)]
pub use server::inside;
pub use server::{serve, serve_local};
pub use set::Set;
pub use strata_derive::Schema;
pub use types::Type;
pub use validate::Validator;
pub use value::{Dynamic, Value, equal};
pub use wait::{Policy, Probe, WaitError, Waited, spell, wait};

/// What derived code needs. Not for people.
#[doc(hidden)]
pub mod derive {
    pub use crate::schema::{Attribute, Mode, Replace, Shape, default_of};
    pub use crate::{
        Attr, Diagnostics, Field, Model, Refinement, Rule, Schema, Source, Validator, Value, field,
    };
}
