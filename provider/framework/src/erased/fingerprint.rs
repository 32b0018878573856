//! Write-only values by their fingerprints: the rule `fingerprint = "..."` of a write-only attribute.
//!
//! Core keeps nothing of a write-only value, so a change is seen by comparing an HMAC of the value with the one in state, under a
//! key that the provider has from its store. A changed one is planned unknown, never as the value computed now: the value may
//! come from an ephemeral resource and differ again at apply.

use std::collections::BTreeMap;

use crate::operation::Operation;
use crate::resource::{Provider, Purpose};
use crate::schema::Schema;
use crate::{Diagnostics, Limits, Value, fingerprint};

/// Planned or final values of fingerprint attributes, by name.
pub(super) type Fingerprints = BTreeMap<&'static str, Value>;

/// Write-only attributes with a fingerprint, and where it is kept.
fn pairs(schema: &Schema) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    let one = |attribute: &crate::schema::Attribute| Some((attribute.name, attribute.fingerprint?));
    schema.attributes.iter().filter_map(one)
}

/// Whether anything here is known by its fingerprint.
pub(super) fn has_any(schema: &Schema) -> bool {
    pairs(schema).next().is_some()
}

/// What a value is hashed as: the text itself; anything else in its canonical form.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.as_bytes().to_vec(),
        other => format!("{other:?}").into_bytes(),
    }
}

/// The planned fingerprints. Plans never write, so a key that does not exist yet is not made.
pub(super) async fn planned<P: Provider>(
    operation: &Operation<P>,
    limits: &Limits,
    schema: &Schema,
    config: &Value,
    prior: &Value,
) -> (Fingerprints, Diagnostics) {
    let (mut all, mut warnings) = (Fingerprints::new(), Diagnostics::none());
    for (secret, name) in pairs(schema) {
        let (value, before) = (config.get(secret), prior.get(name));
        let planned = match value {
            Value::Null => Value::Null,
            value if prior.is_null() || !value.is_wholly_known() => Value::UNKNOWN,
            // Nothing is known of what an import found: no reason to change it.
            _ if before.is_null() && operation.is_imported() => Value::Null,
            value => match operation
                .provider
                .fingerprint_key(Purpose::Compare, limits)
                .await
            {
                Ok(Some(key)) => {
                    let now = Value::String(fingerprint(key.expose(), &bytes(value)));
                    if now == *before { now } else { Value::UNKNOWN }
                }
                Ok(None) => Value::UNKNOWN,
                Err(error) => {
                    let note =
                        format!("It is not known whether {secret} changed; it is left as it is.");
                    warnings.merge(error.left(&note).into_warnings());
                    before.clone()
                }
            },
        };
        all.insert(name, planned);
    }
    (all, warnings)
}

/// The planned fingerprints of an update that happens anyway: it delivers what an import could not compare.
pub(super) fn in_update(
    schema: &Schema,
    config: &Value,
    mut planned: Fingerprints,
) -> Fingerprints {
    for (secret, name) in pairs(schema) {
        if let Some(value) = planned.get_mut(name)
            && value.is_null()
            && !config.get(secret).is_null()
        {
            *value = Value::UNKNOWN;
        }
    }
    planned
}

/// The fingerprints of what was just delivered.
pub(super) async fn delivered<P: Provider>(
    operation: &Operation<P>,
    limits: &Limits,
    schema: &Schema,
    config: &Value,
) -> (Fingerprints, Diagnostics) {
    let (mut all, mut warnings) = (Fingerprints::new(), Diagnostics::none());
    for (secret, name) in pairs(schema) {
        let value = config.get(secret);
        let made = match value {
            Value::Null => Value::Null,
            value => match operation
                .provider
                .fingerprint_key(Purpose::Record, limits)
                .await
            {
                Ok(Some(key)) => Value::String(fingerprint(key.expose(), &bytes(value))),
                Ok(None) => Value::Null,
                // Without a fingerprint the next plan delivers it again, which is safe.
                Err(error) => {
                    let note = format!("{secret} was delivered; the next apply delivers it again.");
                    warnings.merge(error.left(&note).into_warnings());
                    Value::Null
                }
            },
        };
        all.insert(name, made);
    }
    (all, warnings)
}

/// The value with these attributes set.
pub(super) fn laid_over(value: Value, fingerprints: &Fingerprints) -> Value {
    match value {
        Value::Map(mut attributes) => {
            for (name, value) in fingerprints {
                attributes.insert((*name).to_owned(), value.clone());
            }
            Value::Map(attributes)
        }
        other => other,
    }
}

/// The same, only where the resource left the fingerprint to the framework.
pub(super) fn filled_in(value: Value, fingerprints: Fingerprints) -> Value {
    let open: Fingerprints = fingerprints
        .into_iter()
        .filter(|(name, _)| value.get(name).is_unknown())
        .collect();
    laid_over(value, &open)
}
