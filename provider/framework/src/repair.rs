//! Repair of results that contradict their plan: the planned values stand.
//!
//! A contradiction that core finds taints what was created, and a taint orders it again; so the state is made to agree
//! with the plan, the author's mistake is told as a warning, and the next plan shows the real values.

use crate::check::{fits, is_absent, needs_elements};
use crate::schema::{Schema, Shape};
use crate::{Dynamic, Type, Value};

/// The result where it completes the plan, else the plan; nothing unknown is left. Only what the plan promised of an
/// unknown value cannot be made up: there the result stays, and core will refuse it.
pub(crate) fn toward_plan(schema: &Schema, planned: &Value, new: &Value) -> Value {
    let mut value = new.clone();
    fill_gaps(schema, &mut value);
    value = completed(planned, &value, schema.value_type());
    fill_gaps(schema, &mut value);
    value
}

fn completed(planned: &Value, new: &Value, of: &Type) -> Value {
    match (planned, new, of) {
        (planned, new, of) if new.is_wholly_known() && fits(planned, new, of) => new.clone(),
        (Value::Unknown(refinement), new, of) => {
            let known = nulled(new.clone());
            match refinement {
                Some(promise)
                    if !promise.admits(&known, of) && promise.admits(&Value::Null, of) =>
                {
                    Value::Null
                }
                _ => known,
            }
        }
        (Value::Map(planned), Value::Map(new), Type::Object(types)) => {
            let one = |(name, of): (&String, &Type)| {
                let (planned, new) = (planned.get(name), new.get(name));
                (
                    name.clone(),
                    completed(
                        planned.unwrap_or(&Value::Null),
                        new.unwrap_or(&Value::Null),
                        of,
                    ),
                )
            };
            Value::Map(types.iter().map(one).collect())
        }
        (Value::Map(planned), new, Type::Map(of)) if !is_absent(new) => {
            let one = |(key, planned): (&String, &Value)| {
                (key.clone(), completed(planned, new.get(key), of))
            };
            Value::Map(planned.iter().map(one).collect())
        }
        (Value::List(planned), new, Type::List(of)) if !is_absent(new) => {
            let one = |(index, planned): (usize, &Value)| completed(planned, new.at(index), of);
            Value::List(planned.iter().enumerate().map(one).collect())
        }
        (Value::List(planned), new, Type::Tuple(types))
            if !is_absent(new) && planned.len() == types.len() =>
        {
            let one = |(index, (planned, of)): (usize, (&Value, &Type))| {
                completed(planned, new.at(index), of)
            };
            Value::List(planned.iter().zip(types).enumerate().map(one).collect())
        }
        (Value::List(planned), Value::List(new), Type::Set(of)) => {
            Value::List(set(planned, new, of))
        }
        (Value::Dynamic(planned), new, Type::Dynamic) => {
            let inside = match new {
                Value::Dynamic(new) if new.of == planned.of => &new.value,
                _ => &Value::UNKNOWN,
            };
            let value = completed(&planned.value, inside, &planned.of);
            Value::Dynamic(Box::new(Dynamic {
                of: planned.of.clone(),
                value,
            }))
        }
        (planned, _, _) => nulled(planned.clone()),
    }
}

/// The planned elements that are known, and for those that are not, what the result has for them.
fn set(planned: &[Value], new: &[Value], of: &Type) -> Vec<Value> {
    let mut spare: Vec<&Value> = new.iter().filter(|new| new.is_wholly_known()).collect();
    let mut elements = Vec::new();
    for planned in planned {
        let found = spare.iter().position(|new| fits(planned, new, of));
        elements.push(match found {
            Some(position) => spare.remove(position).clone(),
            None => nulled(planned.clone()),
        });
    }
    elements
}

/// An answer as it can be stored: nothing unknown, and no element that crashes core.
pub(crate) fn known(schema: &Schema, mut value: Value) -> Value {
    fill_gaps(schema, &mut value);
    nulled(value)
}

/// Objects of nulls for elements that are null or unknown, where core looks into every element.
fn fill_gaps(schema: &Schema, value: &mut Value) {
    let Value::Map(attributes) = value else {
        return;
    };
    for attribute in &schema.attributes {
        let Some((nested, value)) = attribute.nested().zip(attributes.get_mut(attribute.name))
        else {
            continue;
        };
        let fills = needs_elements(attribute);
        let fill = |element: &mut Value| match element {
            Value::Null | Value::Unknown(_) if fills => *element = nested.empty(),
            element => fill_gaps(nested, element),
        };
        match (&attribute.shape, value) {
            (Shape::List(_) | Shape::Set(_), Value::List(elements)) => {
                elements.iter_mut().for_each(fill);
            }
            (Shape::Map(_), Value::Map(elements)) => elements.values_mut().for_each(fill),
            (Shape::Single(_), object) => fill_gaps(nested, object),
            _ => {}
        }
    }
}

/// The value with every unknown turned to null.
fn nulled(mut value: Value) -> Value {
    null_unknowns(&mut value);
    value
}

fn null_unknowns(value: &mut Value) {
    match value {
        Value::Unknown(_) => *value = Value::Null,
        Value::List(elements) => elements.iter_mut().for_each(null_unknowns),
        Value::Map(elements) => elements.values_mut().for_each(null_unknowns),
        Value::Dynamic(dynamic) => null_unknowns(&mut dynamic.value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::completed;
    use crate::check::fits;
    use crate::{Dynamic, Type, Value};

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    fn texts(values: &[&str]) -> Value {
        Value::List(values.iter().map(|value| text(value)).collect())
    }

    fn typed(of: Type, value: Value) -> Value {
        Value::Dynamic(Box::new(Dynamic { of, value }))
    }

    #[test]
    fn the_plan_stands_and_what_it_left_open_is_taken() {
        let list = Type::List(Box::new(Type::String));
        let set = Type::Set(Box::new(Type::String));
        let map = Type::Map(Box::new(Type::String));
        let open = Value::List(vec![text("a"), Value::UNKNOWN]);
        let table = [
            (Type::String, text("a"), text("b"), text("a")),
            (Type::String, text("a"), Value::Null, text("a")),
            (Type::String, Value::UNKNOWN, text("b"), text("b")),
            (Type::String, Value::UNKNOWN, Value::UNKNOWN, Value::Null),
            (Type::String, Value::Null, text("b"), Value::Null),
            (
                list.clone(),
                open.clone(),
                texts(&["c", "b"]),
                texts(&["a", "b"]),
            ),
            (
                list.clone(),
                open.clone(),
                texts(&["a", "b", "c"]),
                texts(&["a", "b"]),
            ),
            (
                list,
                open.clone(),
                Value::Null,
                Value::List(vec![text("a"), Value::Null]),
            ),
            (
                set.clone(),
                open.clone(),
                texts(&["b", "a"]),
                texts(&["b", "a"]),
            ),
            (
                set.clone(),
                open.clone(),
                texts(&["b", "c"]),
                texts(&["a", "b"]),
            ),
            (
                set,
                open,
                texts(&[]),
                Value::List(vec![text("a"), Value::Null]),
            ),
            (
                map.clone(),
                Value::object([("k", text("a"))]),
                Value::object([("l", text("a"))]),
                Value::object([("k", text("a"))]),
            ),
            (
                map,
                Value::object([("k", Value::UNKNOWN)]),
                Value::object([("k", text("b")), ("l", text("a"))]),
                Value::object([("k", text("b"))]),
            ),
            (
                Type::Dynamic,
                typed(Type::String, Value::UNKNOWN),
                typed(Type::Bool, Value::Bool(true)),
                typed(Type::String, Value::Null),
            ),
            (
                Type::Dynamic,
                Value::UNKNOWN,
                typed(Type::Bool, Value::Bool(true)),
                typed(Type::Bool, Value::Bool(true)),
            ),
        ];
        for (of, planned, new, expected) in table {
            let repaired = completed(&planned, &new, &of);
            assert_eq!(repaired, expected, "{planned:?} {new:?}");
            assert!(
                fits(&planned, &repaired, &of) && repaired.is_wholly_known(),
                "{repaired:?}"
            );
        }
    }
}
