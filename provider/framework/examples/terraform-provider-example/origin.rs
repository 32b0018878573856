//! What a module says in `provider_meta`, and `example_origin`, which repeats it.

use strata_framework::{Attr, Cx, DataSource, Diagnostics, Schema};

use crate::Example;

/// What a module says.
#[derive(Schema, Clone, Debug)]
pub(crate) struct Module {
    /// Name of the module.
    #[schema(required, pattern("[a-z-]+"))]
    name: Attr<String>,
}

/// Where a configuration comes from.
#[derive(Schema, Clone, Debug)]
#[schema(name = "origin", deprecated = "Ask the author.")]
pub(crate) struct Origin {
    /// The module it is in, null when that says nothing.
    #[schema(computed)]
    module: Attr<String>,
}

impl DataSource for Origin {
    type Provider = Example;
    type Model = Self;

    async fn read(cx: &Cx<'_, Example>, mut config: Self) -> Result<Self, Diagnostics> {
        let module = cx.meta::<Module>();
        config.module = module.map_or(Attr::Null, |module| module.name.clone());
        Ok(config)
    }
}
