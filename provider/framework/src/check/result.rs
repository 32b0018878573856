//! Rules of what apply, read, import, upgrade, data sources and ephemeral resources return (contract: tfplugin6, sections
//! 5.3 and 5.4), and of a second plan (5.2).

use super::compatible;
use super::fault::{Fault, Found, Law};
use super::marks::marks;
use crate::path::{Path, Step};
use crate::schema::Schema;
use crate::{Type, Value};

/// What core would refuse in the result of a create or update that reports no error.
pub(crate) fn result(schema: &Schema, planned: &Value, new: &Value) -> Vec<Fault> {
    let faults = stored(schema, new);
    // Core goes on to compare only what could be stored.
    if !faults.is_empty() {
        return faults;
    }
    let mut found = Found::default();
    compatible::object(schema, planned, new, &Path::root(), &mut found);
    found.into_faults(schema)
}

/// What core would refuse in the result of a delete that reports no error.
pub(crate) fn deleted(schema: &Schema, new: &Value) -> Vec<Fault> {
    let mut found = Found::default();
    if !new.is_null() {
        found.add(&Path::root(), Law::StillThere, &[]);
    }
    found.into_faults(schema)
}

/// What core would refuse in a second plan, made when the configuration was known: it must not take back the first.
pub(crate) fn second_plan(schema: &Schema, first: &Value, second: &Value) -> Vec<Fault> {
    let mut found = Found::default();
    compatible::object(schema, first, second, &Path::root(), &mut found);
    found.into_faults(schema)
}

/// What core would refuse in any object that goes into state: unknown and write-only values.
pub(crate) fn stored(schema: &Schema, new: &Value) -> Vec<Fault> {
    let mut found = Found::default();
    marks(schema, new, &Path::root(), &mut found);
    if found.is_empty() && !new.is_wholly_known() {
        unknowns(new, schema.value_type(), &Path::root(), &mut found);
    }
    found.into_faults(schema)
}

/// The same, where there must be an object: data sources, imports, moved and upgraded states.
pub(crate) fn object(schema: &Schema, new: &Value) -> Vec<Fault> {
    if new.is_null() {
        let mut found = Found::default();
        found.add(&Path::root(), Law::NoObject, &[]);
        return found.into_faults(schema);
    }
    stored(schema, new)
}

/// What core would refuse in an opened ephemeral resource: like a plan of something new, it must echo what is configured.
pub(crate) fn opened(schema: &Schema, config: &Value, result: &Value) -> Vec<Fault> {
    super::plan(schema, config, &Value::Null, result)
}

fn unknowns(value: &Value, of: &Type, path: &Path, found: &mut Found) {
    match (value, of) {
        (value, _) if value.is_unknown() => found.add(path, Law::Unknown, &[]),
        // A set element has no address.
        (Value::List(_), Type::Set(_)) if !value.is_wholly_known() => {
            found.add(path, Law::Unknown, &[]);
        }
        (Value::List(elements), Type::List(of)) => {
            for (index, element) in elements.iter().enumerate() {
                unknowns(element, of, &path.clone().index(index), found);
            }
        }
        (Value::List(elements), Type::Tuple(types)) => {
            for (index, (element, of)) in elements.iter().zip(types).enumerate() {
                unknowns(element, of, &path.clone().index(index), found);
            }
        }
        (Value::Map(elements), Type::Map(of)) => {
            for (key, element) in elements {
                unknowns(element, of, &path.clone().key(key), found);
            }
        }
        (Value::Map(elements), Type::Object(types)) => {
            for (name, element) in elements {
                let of = types.get(name).unwrap_or(&Type::Dynamic);
                unknowns(
                    element,
                    of,
                    &path.with(Step::Attribute(name.clone())),
                    found,
                );
            }
        }
        (Value::Dynamic(dynamic), _) => unknowns(&dynamic.value, &dynamic.of, path, found),
        _ => {}
    }
}
