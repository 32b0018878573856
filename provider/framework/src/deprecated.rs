//! Warnings where a configuration uses what is deprecated. Terraform up to 1.14 warns of references at most, not of what is
//! written, and knows no reason.

use crate::path::Step;
use crate::plan::{Place, places};
use crate::schema::Schema;
use crate::{Diagnostics, Path, Value};

/// Of a whole configuration: the resource itself, then what is written in it.
pub(crate) fn warn(schema: &Schema, config: &Value, found: &mut Diagnostics) {
    if let Some(reason) = schema.deprecated {
        let summary = format!("{} is deprecated", schema.name);
        found.merge(Diagnostics::warning(summary, reason));
    }
    written(schema, config, &Path::root(), found);
}

fn written(schema: &Schema, config: &Value, path: &Path, found: &mut Diagnostics) {
    for attribute in &schema.attributes {
        let value = config.get(attribute.name);
        if *value == attribute.absent() {
            continue;
        }
        let path = path.with(Step::Attribute(attribute.name.to_owned()));
        let of_block = attribute.nested().and_then(|nested| nested.deprecated);
        if let Some(reason) = attribute.deprecated.or(of_block) {
            let warning = Diagnostics::warning(format!("{path} is deprecated"), reason);
            found.merge(warning.at(path.clone()));
        }
        let Some(nested) = attribute.nested() else {
            continue;
        };
        for place in places(&attribute.shape, value) {
            let here = place.step().map_or(path.clone(), |step| path.with(step));
            let mut inside = Diagnostics::none();
            written(nested, place.of(value), &here, &mut inside);
            if matches!(place, Place::Member(_)) {
                inside = inside.at(path.clone());
            }
            found.merge(inside);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Attr, Diagnostics, Field, Model, Schema};

    /// A tap.
    #[derive(Schema, Clone, Default)]
    #[schema(name = "tap", deprecated = "Use a valve.")]
    struct Tap {
        /// Colour.
        #[schema(optional, deprecated = "All taps are grey.")]
        colour: Attr<String>,
        /// Size.
        #[schema(optional, deprecated = "All taps are small.")]
        size: Attr<u16>,
        /// Handles.
        #[schema(optional)]
        handles: Attr<Vec<Handle>>,
        /// Drips.
        #[schema(block)]
        drip: Attr<Vec<Drip>>,
    }

    /// A handle.
    #[derive(Schema, Clone, Default)]
    struct Handle {
        /// Length.
        #[schema(optional, deprecated = "They are all the same.")]
        length: Attr<u16>,
    }

    /// A drip.
    #[derive(Schema, Clone, Default)]
    #[schema(deprecated = "It is repaired.")]
    struct Drip {
        /// Of what.
        #[schema(optional)]
        of: Attr<String>,
    }

    fn said(tap: &Tap) -> Vec<String> {
        let mut found = Diagnostics::none();
        super::warn(Tap::schema(), &tap.encode(), &mut found);
        assert!(!found.has_errors());
        let one = |one: &crate::Diagnostic| format!("{}: {}", one.summary, one.detail);
        found.iter().map(one).collect()
    }

    #[test]
    fn only_what_is_written_is_told() {
        assert_eq!(said(&Tap::default()), ["tap is deprecated: Use a valve."]);
        let tap = Tap {
            colour: "red".into(),
            size: Attr::Null,
            handles: vec![Handle::default(), Handle { length: 3.into() }].into(),
            drip: vec![Drip::default()].into(),
        };
        assert_eq!(
            said(&tap),
            [
                "tap is deprecated: Use a valve.",
                "colour is deprecated: All taps are grey.",
                "handles[1].length is deprecated: They are all the same.",
                "drip is deprecated: It is repaired.",
            ]
        );
    }
}
