//! Core's own checks, made before core makes them: it would report them in Go terms, and taint what was created.
//!
//! Messages name attributes, never values: any of them may be a secret.

use crate::path::{Path, Step};
use crate::plan::{Place, places};
use crate::schema::{Mode, Schema, Shape};
use crate::{Diagnostics, Type, Value, equal};

/// Checks of the configuration that core leaves to us: nulls at required attributes inside nested objects, values at
/// computed-only ones, and the validators.
pub(crate) fn config(schema: &Schema, value: &Value, path: &Path, found: &mut Diagnostics) {
    for attribute in &schema.attributes {
        let path = path.with(Step::Attribute(attribute.name.to_owned()));
        let value = value.get(attribute.name);
        match attribute.mode {
            Mode::Required if value.is_null() => {
                found.merge(
                    Diagnostics::error(format!("Missing {path}"), "This attribute is required.")
                        .at(path),
                );
                continue;
            }
            Mode::Computed if !value.is_null() => {
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
                    let mut place = path.clone();
                    for step in diagnostic.attribute.iter().flat_map(Path::steps) {
                        place = place.with(step.clone());
                    }
                    if matches!(attribute.shape.value_type(), Type::Set(_)) {
                        place = path.clone();
                    }
                    found.merge(Diagnostics::invalid(place, diagnostic.detail));
                }
            }
        }
        if let Some(nested) = attribute.nested() {
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

/// Rules of a plan (contract 5.1): what is wrong, by path.
pub(crate) fn planned(
    schema: &Schema,
    config: &Value,
    prior: &Value,
    planned: &Value,
    path: &Path,
    faults: &mut Vec<String>,
) {
    for attribute in &schema.attributes {
        let (config, prior) = (config.get(attribute.name), prior.get(attribute.name));
        let value = planned.get(attribute.name);
        let path = path.with(Step::Attribute(attribute.name.to_owned()));
        let of = attribute.shape.value_type();
        let mut fault = |text: &str| faults.push(format!("{path}: {text}"));
        if attribute.write_only {
            if !value.is_null() {
                fault("a write-only value in the plan");
            }
        } else if config.is_null() {
            if !attribute.is_computed() && !attribute.block && !value.is_null() {
                fault("planned although the configuration does not set it and it is not computed");
            }
        } else if let Some(nested) = attribute.nested()
            && !config.is_unknown()
            && !matches!(attribute.shape, Shape::Set(_))
        {
            let here = places(&attribute.shape, config);
            if value.is_null() || value.is_unknown() {
                fault("planned null or unknown although configured");
            } else if here.len() != places(&attribute.shape, value).len()
                || here
                    .iter()
                    .any(|place| matches!(place, Place::Key(_)) && place.of(value).is_null())
            {
                fault("planned with other elements than configured");
            } else {
                for place in here {
                    let path = place.step().map_or(path.clone(), |step| path.with(step));
                    self::planned(
                        nested,
                        place.of(config),
                        place.of(prior),
                        place.of(value),
                        &path,
                        faults,
                    );
                }
            }
        } else if !equal(value, config, &of) && !equal(value, prior, &of) {
            fault("planned differently from both configuration and prior state");
        }
    }
}

/// Rules of a result (contract 5.3), with repair: where the result contradicts the plan, the plan stands, and an unknown
/// left over becomes null. A contradiction reported by core would taint the object, and a taint orders it again.
pub(crate) fn applied(
    planned: &Value,
    new: &Value,
    of: &Type,
    path: &Path,
    faults: &mut Vec<String>,
) -> Value {
    match (planned, new, of) {
        (Value::Unknown(_), new, _) => known(new, path, faults),
        (Value::Map(planned), Value::Map(new), Type::Object(types)) => {
            let one = |(name, of): (&String, &Type)| {
                let path = path.with(Step::Attribute(name.clone()));
                let (planned, new) = (planned.get(name), new.get(name));
                let value = applied(
                    planned.unwrap_or(&Value::Null),
                    new.unwrap_or(&Value::Null),
                    of,
                    &path,
                    faults,
                );
                (name.clone(), value)
            };
            Value::Map(types.iter().map(one).collect())
        }
        (Value::Map(planned), Value::Map(new), Type::Map(of)) if planned.keys().eq(new.keys()) => {
            let one = |((key, planned), new): ((&String, &Value), &Value)| {
                (
                    key.clone(),
                    applied(planned, new, of, &path.with(Step::Key(key.clone())), faults),
                )
            };
            Value::Map(planned.iter().zip(new.values()).map(one).collect())
        }
        (Value::List(planned), Value::List(new), Type::List(of)) if planned.len() == new.len() => {
            let one = |(index, (planned, new)): (i64, (&Value, &Value))| {
                applied(planned, new, of, &path.with(Step::Index(index)), faults)
            };
            Value::List((0..).zip(planned.iter().zip(new)).map(one).collect())
        }
        (planned, new, of) if equal(planned, new, of) => known(planned, path, faults),
        // A set with unknown elements, or a dynamic value that is partly unknown: core checks only what correlates.
        (planned, new, _) if !planned.is_wholly_known() && !new.is_null() => {
            known(new, path, faults)
        }
        (planned, _, _) => {
            faults.push(format!("{path}: the result differs from the plan"));
            known(planned, path, &mut Vec::new())
        }
    }
}

/// The value with every unknown turned to null.
pub(crate) fn known(value: &Value, path: &Path, faults: &mut Vec<String>) -> Value {
    match value {
        Value::Unknown(_) => {
            faults.push(format!("{path}: still unknown"));
            Value::Null
        }
        Value::List(elements) => Value::List(
            elements
                .iter()
                .map(|element| known(element, path, faults))
                .collect(),
        ),
        Value::Map(elements) => {
            let one = |(name, element): (&String, &Value)| {
                (
                    name.clone(),
                    known(element, &path.with(Step::Attribute(name.clone())), faults),
                )
            };
            Value::Map(elements.iter().map(one).collect())
        }
        Value::Dynamic(dynamic) if !dynamic.value.is_wholly_known() => {
            faults.push(format!("{path}: still unknown"));
            Value::Null
        }
        other => other.clone(),
    }
}
