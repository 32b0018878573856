//! What core leaves to us in a configuration: nulls at required attributes inside nested objects, values at computed-only
//! ones, validators, and rules over several attributes.

use crate::path::{Path, Step};
use crate::plan::{Place, places};
use crate::schema::{Mode, Schema};
use crate::{Diagnostics, Type, Value};

/// Checks of the configuration that core leaves to us: nulls at required attributes inside nested objects, values at
/// computed-only ones, and the validators.
pub(crate) fn config(schema: &Schema, value: &Value, path: &Path, found: &mut Diagnostics) {
    for attribute in &schema.attributes {
        // A path costs memory, and most attributes have nothing to say.
        let path = || path.with(Step::Attribute(attribute.name.to_owned()));
        let value = value.get(attribute.name);
        match attribute.mode {
            Mode::Required if value.is_null() => {
                let path = path();
                found.merge(
                    Diagnostics::error(format!("Missing {path}"), "This attribute is required.")
                        .at(path),
                );
                continue;
            }
            Mode::Computed if !value.is_null() => {
                let path = path();
                let sentence =
                    "The provider sets this attribute; remove it from the configuration.";
                found.merge(Diagnostics::error(format!("Read-only {path}"), sentence).at(path));
                continue;
            }
            _ => {}
        }
        for validator in &attribute.validators {
            if let Err(inner) = validator.run(value) {
                for diagnostic in inner {
                    let mut place = path();
                    for step in diagnostic.attribute.iter().flat_map(Path::steps) {
                        place = place.with(step.clone());
                    }
                    if matches!(attribute.shape.value_type(), Type::Set(_)) {
                        place = path();
                    }
                    found.merge(Diagnostics::invalid(place, diagnostic.detail));
                }
            }
        }
        if let Some(nested) = attribute.nested() {
            let path = path();
            for place in places(&attribute.shape, value) {
                let mut inside = Diagnostics::none();
                let here = place.step().map_or(path.clone(), |step| path.with(step));
                config(nested, place.of(value), &here, &mut inside);
                // A set element has no address: the path ends at the set, and the words say the rest.
                if matches!(place, Place::Member(_)) {
                    inside = inside.at(path.clone());
                }
                found.merge(inside);
            }
        }
    }
    if !value.is_null() && !value.is_unknown() {
        for rule in &schema.rules {
            rule.check(value, path, found);
        }
    }
}
