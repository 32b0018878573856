//! Documentation from the code: a registry and the project's `examples/` in, pages in the layout of the Terraform registry out.
//!
//! One declaration per fact: what an attribute means stands in its doc comment, its rules (default, accepted values, replacement,
//! secrecy) are told from the schema, and so are the timeouts. The doc comment of a struct is the page: the first line is the title, what
//! follows until the first heading describes it, and every `# Heading` becomes a section. Two headings are required:
//!
//! - `# Permissions`: what the credentials must be allowed to do (resources, data sources, ephemeral resources);
//! - `# Import`: what the id looks like, or "Cannot be imported" and why (resources). With an id, `import.sh` shows it; with an identity,
//!   `import-by-identity.tf` does.
//!
//! Everything here is pure except [`folder`], which reads the examples, writes the pages and compares them.
//!
//! ```
//! # use strata_framework::*;
//! # #[derive(Schema, Clone)] pub struct Settings {}
//! # pub struct Cupboard;
//! # impl Provider for Cupboard { type Config = Settings; fn new(_: Settings) -> Result<Self, Diagnostics> { Ok(Self) } }
//! let registry = Registry::<Cupboard>::new("example");
//! let pages = registry.pages(&docs::Sources::default());
//! assert!(pages.keys().eq(["index.md"]));
//! ```

mod attribute;
mod complete;
mod example;
pub mod folder;
mod function;
mod page;
mod reference;
mod schema;
mod text;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::resource::{Limit, Provider};
use crate::{Model, Registry, Schema};

pub(crate) use self::attribute::meaning;
pub use self::example::Sources;

/// What kind of thing a page is about, with the registry's words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Resource,
    DataSource,
    Ephemeral,
    List,
}

impl Kind {
    /// Folder below `docs/` and below `examples/`.
    fn folder(self) -> &'static str {
        match self {
            Self::Resource => "resources",
            Self::DataSource => "data-sources",
            Self::Ephemeral => "ephemeral-resources",
            Self::List => "list-resources",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Resource => "Resource",
            Self::DataSource => "Data Source",
            Self::Ephemeral => "Ephemeral Resource",
            Self::List => "List Resource",
        }
    }

    /// The file of an example that shows the thing itself.
    fn example(self) -> &'static str {
        match self {
            Self::Resource => "resource.tf",
            Self::DataSource => "data-source.tf",
            Self::Ephemeral => "ephemeral-resource.tf",
            Self::List => "list-resource.tfquery.hcl",
        }
    }

    /// The word in messages, as in [`Registry::faults`].
    fn word(self) -> &'static str {
        match self {
            Self::Resource => "resource",
            Self::DataSource => "data source",
            Self::Ephemeral => "ephemeral resource",
            Self::List => "list resource",
        }
    }
}

/// One resource, data source or ephemeral resource, with what its page needs.
struct Item<'a> {
    kind: Kind,
    name: &'a str,
    subcategory: &'static str,
    schema: &'static Schema,
    /// What its objects are recognised by, if they have an identity.
    identity: Option<&'static Schema>,
    /// How long operations may take when the user says nothing.
    limit: Limit,
}

/// What every page needs.
struct Context<'a> {
    provider: &'a str,
    sources: &'a Sources,
    targets: Vec<reference::Target>,
}

impl Context<'_> {
    /// The section "Example Usage" of the page at `own`.
    fn example(&self, example: Option<&str>, own: &str, out: &mut String) {
        let Some(example) = example else { return };
        let _ = write!(out, "\n## Example Usage\n\n{example}\n");
        if let Some(sentence) = reference::sentence(example, own, &self.targets) {
            let _ = write!(out, "\n{sentence}\n");
        }
    }
}

/// One limit for the one operation there is.
fn each(limit: Duration) -> Limit {
    Limit {
        create: limit,
        read: limit,
        update: limit,
        delete: limit,
    }
}

impl<P: Provider> Registry<P> {
    fn items(&self) -> Vec<Item<'_>> {
        let resources = self.resources.iter().map(|(name, one)| Item {
            kind: Kind::Resource,
            name,
            subcategory: one.subcategory(),
            schema: one.schema(),
            identity: self.identities.get(name).map(|one| one.schema()),
            limit: one.timeouts(),
        });
        let sources = self.data_sources.iter().map(|(name, one)| Item {
            kind: Kind::DataSource,
            name,
            subcategory: one.subcategory(),
            schema: one.schema(),
            identity: None,
            limit: each(one.limit()),
        });
        let ephemerals = self.ephemerals.iter().map(|(name, one)| Item {
            kind: Kind::Ephemeral,
            name,
            subcategory: one.subcategory(),
            schema: one.schema(),
            identity: None,
            limit: each(one.limit()),
        });
        let lists = self.lists.iter().map(|(name, one)| Item {
            kind: Kind::List,
            name,
            subcategory: self.resources.get(name).map_or("", |of| of.subcategory()),
            schema: one.schema(),
            identity: None,
            limit: each(one.limit()),
        });
        let all = resources.chain(sources).chain(ephemerals).chain(lists);
        all.collect()
    }

    /// Every page by its path below `docs/`.
    pub fn pages(&self, sources: &Sources) -> BTreeMap<String, String> {
        let mut pages = BTreeMap::new();
        let items = self.items();
        let context = Context {
            provider: self.name,
            sources,
            targets: reference::targets(self.name, &items, self.functions.keys()),
        };
        for item in &items {
            pages.insert(page::path(self.name, item), page::page(&context, item));
        }
        for (name, function) in &self.functions {
            pages.insert(
                function::path(name),
                function::page(&context, name, &**function),
            );
        }
        let functions = self.functions.iter();
        let functions = functions.map(|(name, function)| (name.as_str(), function.summary()));
        let index = page::index(
            self.name,
            P::Config::schema(),
            &items,
            &functions.collect::<Vec<_>>(),
            sources,
        );
        pages.insert("index.md".to_owned(), index);
        pages
    }

    /// What a reader of the pages would miss. A unit test of the provider asserts that this is empty.
    pub fn undocumented(&self, sources: &Sources) -> Vec<String> {
        let mut missing = Vec::new();
        complete::provider(P::Config::schema(), sources, &mut missing);
        for item in self.items() {
            complete::item(&item, sources, &mut missing);
        }
        for (name, function) in &self.functions {
            complete::function(name, &**function, sources, &mut missing);
        }
        missing
    }
}

#[cfg(test)]
mod tests;
