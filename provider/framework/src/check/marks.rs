//! Where core looks for sensitive and write-only values in an answer, and what it must not find there.
//!
//! Write-only values are in the configuration only: an answer that holds one would put it into a plan or a state. And
//! Terraform 1.11 crashes on a null element among nested attributes that have a sensitive or write-only one inside.

use super::fault::{Found, Law};
use super::part;
use crate::Value;
use crate::path::{Path, Step};
use crate::plan::{Place, places};
use crate::schema::{Attribute, Schema};

/// Every write-only value that is not null, and every null element that crashes core.
pub(super) fn marks(schema: &Schema, value: &Value, path: &Path, found: &mut Found) {
    for attribute in &schema.attributes {
        let here = value.get(attribute.name);
        // A path costs memory, and most attributes have nothing to say.
        let path = || path.with(Step::Attribute(attribute.name.to_owned()));
        if attribute.write_only {
            if !part::is_absent(here) {
                found.add(&path(), Law::WriteOnly, &[]);
            }
        } else if let Some(nested) = attribute.nested() {
            let path = path();
            for place in places(&attribute.shape, here) {
                let element = place.of(here);
                let path = place.step().map_or(path.clone(), |step| path.with(step));
                if !matches!(place, Place::Whole) && element.is_null() && needs_elements(attribute)
                {
                    found.add(&path, Law::NullElement, &[]);
                }
                marks(nested, element, &path, found);
            }
        }
    }
}

/// Whether core looks into every element of a collection, even into one that is null.
pub(crate) fn needs_elements(attribute: &Attribute) -> bool {
    let marked = |one: &Attribute| one.sensitive || one.write_only;
    !attribute.block && attribute.nested().is_some_and(|nested| nested.any(&marked))
}
