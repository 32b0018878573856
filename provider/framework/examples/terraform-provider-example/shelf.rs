//! `example_shelf`: which things there are.

use strata_framework::{Attr, Cx, DataSource, Diagnostics, Schema};

use crate::Example;

/// The things on the shelf.
#[derive(Schema, Clone, Debug)]
#[schema(name = "shelf")]
pub(crate) struct Shelf {
    /// Only names that begin like this.
    #[schema(default = "")]
    prefix: Attr<String>,
    /// Their names, sorted.
    #[schema(computed)]
    names: Attr<Vec<String>>,
}

impl DataSource for Shelf {
    type Provider = Example;
    type Model = Self;

    async fn read(cx: &Cx<'_, Example>, mut config: Self) -> Result<Self, Diagnostics> {
        let names = cx.provider.world()?.names(config.prefix.text())?;
        config.names = names.into();
        Ok(config)
    }
}
