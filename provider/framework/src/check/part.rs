//! Looking into values as core does: what is inside an unknown value is unknown, inside null it is null.

use crate::{Type, Value};

/// An attribute of an object.
pub(super) fn of<'a>(value: &'a Value, name: &str) -> &'a Value {
    const UNKNOWN: &Value = &Value::UNKNOWN;
    if value.is_unknown() {
        UNKNOWN
    } else {
        value.get(name)
    }
}

/// An element of a list.
pub(super) fn at(value: &Value, index: usize) -> &Value {
    const UNKNOWN: &Value = &Value::UNKNOWN;
    if value.is_unknown() {
        UNKNOWN
    } else {
        value.at(index)
    }
}

/// Whether there is no value: a null may carry a type, where the type is dynamic.
pub(crate) fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Dynamic(dynamic) => is_absent(&dynamic.value),
        _ => false,
    }
}

/// The type a value has where its declared type leaves it open. `Type::Dynamic` where it is still open.
pub(super) fn concrete(value: &Value, of: &Type) -> Type {
    let first = |elements: Option<&Value>, of: &Type| {
        Box::new(elements.map_or_else(|| of.clone(), |element| concrete(element, of)))
    };
    match (value, of) {
        (Value::Dynamic(dynamic), Type::Dynamic) => concrete(&dynamic.value, &dynamic.of),
        (Value::List(elements), Type::List(of)) => Type::List(first(elements.first(), of)),
        (Value::List(elements), Type::Set(of)) => Type::Set(first(elements.first(), of)),
        (Value::Map(elements), Type::Map(of)) => Type::Map(first(elements.values().next(), of)),
        (Value::List(elements), Type::Tuple(types)) if types.len() == elements.len() => {
            Type::Tuple(
                elements
                    .iter()
                    .zip(types)
                    .map(|(element, of)| concrete(element, of))
                    .collect(),
            )
        }
        (Value::Map(_), Type::Object(types)) => Type::Object(
            types
                .iter()
                .map(|(name, of)| (name.clone(), concrete(value.get(name), of)))
                .collect(),
        ),
        _ => of.clone(),
    }
}

/// Whether a value of type `given` can stand where `wanted` was planned; an open type takes anything.
pub(super) fn conforms(given: &Type, wanted: &Type) -> bool {
    match (given, wanted) {
        (_, Type::Dynamic) => true,
        (Type::List(given), Type::List(wanted))
        | (Type::Set(given), Type::Set(wanted))
        | (Type::Map(given), Type::Map(wanted)) => conforms(given, wanted),
        (Type::Tuple(given), Type::Tuple(wanted)) => {
            given.len() == wanted.len()
                && given
                    .iter()
                    .zip(wanted)
                    .all(|(given, wanted)| conforms(given, wanted))
        }
        (Type::Object(given), Type::Object(wanted)) => {
            given.keys().eq(wanted.keys())
                && given
                    .values()
                    .zip(wanted.values())
                    .all(|(given, wanted)| conforms(given, wanted))
        }
        (given, wanted) => given == wanted,
    }
}
