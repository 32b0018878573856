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
        let folder = cx.provider.world()?.folder;
        let entries = std::fs::read_dir(&folder)
            .map_err(|error| Diagnostics::failed("list", "things", "", &error))?;
        let mut names: Vec<_> = entries
            .filter_map(|entry| {
                Some(
                    entry
                        .ok()?
                        .file_name()
                        .to_str()?
                        .strip_suffix(".json")?
                        .to_owned(),
                )
            })
            .filter(|name| name.starts_with(config.prefix.text()))
            .collect();
        names.sort();
        config.names = names.into();
        Ok(config)
    }
}
