//! The identity of a thing, and the list of things: for Terraform 1.12 and 1.14. An older one asks for neither.

use strata_framework::{
    Attr, Diagnostics, Identified, List, Listed, Listing, Of, Resource, Schema,
};

use super::Thing;

/// Which thing.
#[derive(Schema, Clone, Debug)]
#[schema(name = "thing", version = 0)]
pub(crate) struct ThingIdentity {
    /// Name of its file.
    #[schema(required_for_import, pattern("[a-z0-9-]+"))]
    name: Attr<String>,
}

impl Identified for Thing {
    type Identity = ThingIdentity;

    fn identity(thing: &Self) -> ThingIdentity {
        ThingIdentity {
            name: thing.name.clone(),
        }
    }

    async fn from_identity(
        cx: &Of<'_, Self>,
        identity: ThingIdentity,
    ) -> Result<Self, Diagnostics> {
        Self::import(cx, identity.name.text()).await
    }
}

/// Which things.
#[derive(Schema, Clone, Debug)]
#[schema(name = "thing")]
pub(crate) struct Things {
    /// Only names that begin like this.
    #[schema(optional)]
    prefix: Attr<String>,
}

impl List for Thing {
    type Filter = Things;

    async fn list(
        cx: &Of<'_, Self>,
        filter: Things,
        found: &Listing<Self>,
    ) -> Result<(), Diagnostics> {
        for name in cx.provider.world()?.names(filter.prefix.text())? {
            let identity = ThingIdentity {
                name: name.as_str().into(),
            };
            // The framework reads each thing that is wanted whole.
            if found.send(Listed::new(identity, name)).await.is_break() {
                break;
            }
        }
        Ok(())
    }
}
