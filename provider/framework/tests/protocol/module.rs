//! What a module says to the library, and a data source that repeats it.

use strata_framework::{Attr, Cx, DataSource, Diagnostics, Schema};

use crate::world::Library;

/// What a module says.
#[derive(Schema, Clone)]
pub(crate) struct Module {
    /// Name of the module.
    #[schema(required, pattern("[a-z]+"))]
    pub(crate) name: Attr<String>,
}

/// Warns of the module, so that an answer shows it.
pub(crate) fn notice<S, V>(cx: &Cx<'_, Library, S, V>) {
    if let Some(module) = cx.meta::<Module>() {
        cx.warn(Diagnostics::warning("A module speaks", module.name.text()));
    }
}

/// Who asks.
#[derive(Schema, Clone)]
#[schema(name = "stamp", deprecated = "Nobody stamps any more.")]
pub(crate) struct Stamp {
    /// The module, empty when it says nothing.
    #[schema(computed)]
    module: Attr<String>,
}

impl DataSource for Stamp {
    type Provider = Library;
    type Model = Self;
    async fn read(cx: &Cx<'_, Library>, mut config: Self) -> Result<Self, Diagnostics> {
        let module = cx.meta::<Module>();
        config.module = module.map_or("", |module| module.name.text()).into();
        Ok(config)
    }
}
