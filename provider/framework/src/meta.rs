//! Provider meta: what a module says to its providers, `terraform { provider_meta "example" { .. } }`.
//!
//! Meant for modules that are published, which say who they are. It reaches planning, applying and reading, and is
//! the module's, not the user's: nothing in it should change what is made.

use std::any::Any;
use std::sync::Arc;

use crate::field::Source;
use crate::{Diagnostics, Model, Path, Schema, Value, check};

/// A decoded block, of the model that the registry was told.
pub(crate) type Meta = Arc<dyn Any + Send + Sync>;

/// The declared model, without its type.
#[derive(Clone, Copy)]
pub(crate) struct AnyMeta {
    pub(crate) schema: &'static Schema,
    decode: fn(&Value) -> Result<Meta, Diagnostics>,
}

impl AnyMeta {
    pub(crate) fn of<M: Model>() -> Self {
        Self {
            schema: M::schema(),
            decode: |value| Ok(Arc::new(M::decode_object(value, Source::Config)?)),
        }
    }

    /// From what core sent; null is a module without the block. No call checks it before, so this does.
    pub(crate) fn decode(&self, value: &Value) -> Result<Option<Meta>, Diagnostics> {
        if value.is_null() {
            return Ok(None);
        }
        let mut found = Diagnostics::none();
        check::config(self.schema, value, &Path::root(), &mut found);
        let decoded = found.into_result().and_then(|()| (self.decode)(value));
        // The paths are of another block than the one that core will point at.
        let decoded = decoded.map_err(|found| {
            let text = found
                .iter()
                .map(|one| format!("{}: {}", one.summary, one.detail));
            let text = text.collect::<Vec<_>>().join(" ");
            Diagnostics::error("Invalid provider_meta block in this module", text)
        });
        decoded.map(Some)
    }
}
