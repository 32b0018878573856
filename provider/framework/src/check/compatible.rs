//! Whether one value completes another (contract: tfplugin6, sections 5.2 and 5.3): what was known stays, what was unknown
//! becomes something of its type that keeps what was promised of it.

use super::fault::{Found, Law};
use super::part;
use crate::path::{Path, Step};
use crate::schema::{Attribute, Schema, Shape};
use crate::value::distinct;
use crate::{Type, Value, equal};

/// Whether a value completes a planned one.
pub(crate) fn fits(planned: &Value, new: &Value, of: &Type) -> bool {
    let mut found = Found::default();
    typed(planned, new, of, &Path::root(), &mut found);
    found.is_empty()
}

/// An object or a block.
pub(super) fn object(
    schema: &Schema,
    planned: &Value,
    new: &Value,
    path: &Path,
    found: &mut Found,
) {
    match (planned.is_null(), new.is_null()) {
        (true, true) => {}
        (true, false) => found.add(
            path,
            Law::Appeared,
            &[("planned", planned), ("returned", new)],
        ),
        (false, true) => found.add(
            path,
            Law::Vanished,
            &[("planned", planned), ("returned", new)],
        ),
        (false, false) => {
            for attribute in &schema.attributes {
                let (planned, new) = (
                    part::of(planned, attribute.name),
                    part::of(new, attribute.name),
                );
                // The same and known: nothing to complete.
                if planned == new && planned.is_wholly_known() {
                    continue;
                }
                let path = path.with(Step::Attribute(attribute.name.to_owned()));
                if attribute.block {
                    blocks(attribute, planned, new, &path, found);
                } else {
                    typed(planned, new, &attribute.shape.value_type(), &path, found);
                }
            }
        }
    }
}

fn blocks(attribute: &Attribute, planned: &Value, new: &Value, path: &Path, found: &mut Found) {
    let Some(nested) = attribute.nested() else {
        return;
    };
    let values = [("planned", planned), ("returned", new)];
    match (&attribute.shape, planned, new) {
        // Unknown blocks may turn out to be none.
        (Shape::Single(_), planned, Value::Null) if planned.is_unknown() => {}
        (Shape::Single(_), _, _) => object(nested, planned, new, path, found),
        (Shape::List(_), Value::List(before), Value::List(after)) => {
            if before.len() != after.len() {
                return found.add(path, Law::ChangedCount, &values);
            }
            for (index, (planned, new)) in before.iter().zip(after).enumerate() {
                object(nested, planned, new, &path.clone().index(index), found);
            }
        }
        (Shape::Map(_), Value::Map(before), Value::Map(after)) => {
            if before.len() != after.len() {
                return found.add(path, Law::ChangedCount, &values);
            }
            // Core looks only at the keys that stayed.
            for (key, planned) in before {
                if let Some(new) = after.get(key) {
                    object(nested, planned, new, &path.clone().key(key), found);
                }
            }
        }
        (Shape::Set(_), Value::List(before), Value::List(after)) => {
            members(
                before,
                after,
                nested.value_type(),
                path,
                found,
                |planned, new| {
                    let mut inside = Found::default();
                    object(nested, planned, new, path, &mut inside);
                    inside.is_empty()
                },
            );
        }
        _ => {}
    }
}

/// A value whose type may be open: first the types must fit, as a whole, then the values.
pub(super) fn typed(planned: &Value, new: &Value, of: &Type, path: &Path, found: &mut Found) {
    let (was, is) = (part::concrete(planned, of), part::concrete(new, of));
    if was == Type::Dynamic {
        return;
    }
    if part::conforms(&is, &was) {
        value(planned, new, of, path, found);
    } else {
        found.add(
            path,
            Law::ChangedType,
            &[("planned", planned), ("returned", new)],
        );
    }
}

fn value(planned: &Value, new: &Value, of: &Type, path: &Path, found: &mut Found) {
    let values = [("planned", planned), ("returned", new)];
    match (planned, new) {
        (Value::Unknown(None), _) => {}
        (Value::Unknown(Some(refinement)), new) => {
            if !refinement.admits(new, of) {
                found.add(path, Law::Promise, &values);
            }
        }
        (Value::Dynamic(before), new) if *of == Type::Dynamic => match new {
            Value::Dynamic(after) => value(&before.value, &after.value, &before.of, path, found),
            new => value(&before.value, new, &before.of, path, found),
        },
        // Types were compared before: here only null and unknown stand for the whole.
        (Value::Null, Value::Dynamic(after))
            if *of == Type::Dynamic && part::is_absent(&after.value) => {}
        (planned, new) if part::is_absent(planned) && part::is_absent(new) => {}
        (planned, new) if part::is_absent(planned) || part::is_absent(new) => {
            found.add(path, Law::Changed, &values);
        }
        (_, new) if new.is_unknown() => found.add(path, Law::Forgotten, &values),
        (Value::List(before), Value::List(after)) => match of {
            Type::Set(of) => members(before, after, of, path, found, |planned, new| {
                fits(planned, new, of)
            }),
            Type::Tuple(types) => list(before, after, |index| types.get(index), path, found),
            Type::List(of) => list(before, after, |_| Some(of), path, found),
            _ => {}
        },
        (Value::Map(before), Value::Map(after)) => match of {
            Type::Object(types) => {
                for (name, of) in types {
                    let path = path.with(Step::Attribute(name.clone()));
                    typed(planned.get(name), new.get(name), of, &path, found);
                }
            }
            Type::Map(of) => {
                for (key, planned) in before {
                    let path = path.clone().key(key);
                    match after.get(key) {
                        Some(new) => typed(planned, new, of, &path, found),
                        None => found.add(&path, Law::Vanished, &[("planned", planned)]),
                    }
                }
                for (key, new) in after.iter().filter(|(key, _)| !before.contains_key(*key)) {
                    found.add(&path.clone().key(key), Law::Appeared, &[("returned", new)]);
                }
            }
            _ => {}
        },
        (planned, new) => {
            if !equal(planned, new, of) {
                found.add(path, Law::Changed, &values);
            }
        }
    }
}

fn list<'a>(
    before: &[Value],
    after: &[Value],
    of: impl Fn(usize) -> Option<&'a Type>,
    path: &Path,
    found: &mut Found,
) {
    for index in 0..before.len().max(after.len()) {
        let path = path.clone().index(index);
        match (before.get(index), after.get(index), of(index)) {
            (Some(planned), Some(new), Some(of)) => typed(planned, new, of, &path, found),
            (Some(planned), _, _) => found.add(&path, Law::Vanished, &[("planned", planned)]),
            (None, Some(new), _) => found.add(&path, Law::Appeared, &[("returned", new)]),
            (None, None, _) => {}
        }
    }
}

/// Sets: every element must have a counterpart in the other set, and there may be fewer of them, since unknown ones may
/// turn out equal, but never more.
fn members(
    before: &[Value],
    after: &[Value],
    of: &Type,
    path: &Path,
    found: &mut Found,
    agree: impl Fn(&Value, &Value) -> bool,
) {
    let (before, after) = (distinct(before, of), distinct(after, of));
    let (mut matched_before, mut matched_after) =
        (vec![false; before.len()], vec![false; after.len()]);
    for (first, planned) in before.iter().enumerate() {
        for (second, new) in after.iter().enumerate() {
            if !(matched_before[first] && matched_after[second]) && agree(planned, new) {
                matched_before[first] = true;
                matched_after[second] = true;
            }
        }
    }
    if let Some(lost) = matched_before.iter().position(|matched| !matched) {
        found.add(path, Law::ChangedMember, &[("planned", before[lost])]);
    } else if let Some(extra) = matched_after.iter().position(|matched| !matched) {
        found.add(path, Law::ChangedMember, &[("returned", after[extra])]);
    }
    if after.len() > before.len() {
        found.add(path, Law::Grown, &[]);
    }
}
