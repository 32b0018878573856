//! Answers by chance: ones that core accepts, and the same with something changed.

use strata_framework::schema::{Attribute, Mode, Shape};
use strata_framework::{Bound, Number, Refinement, Schema, Type, Value};

use super::dice::Dice;
use super::random::{Any as _, known};

/// A known object as it might be in state: what is configured, or something else; write-only values null.
pub(crate) fn prior(dice: &mut Dice, schema: &Schema, config: &Value) -> Value {
    let one = |attribute: &Attribute, dice: &mut Dice| {
        let configured = config.get(attribute.name);
        if attribute.write_only {
            return Value::Null;
        }
        let Some(nested) = attribute.nested() else {
            return match dice.below(5) {
                0 => Value::Null,
                1 => known(dice, &attribute.shape.value_type()),
                _ if configured.is_null() => known(dice, &attribute.shape.value_type()),
                _ => configured.clone(),
            };
        };
        if !attribute.block && (configured.is_null() || dice.percent(15)) {
            return Value::Null;
        }
        each(configured, &attribute.shape, &mut |element| {
            prior(dice, nested, element)
        })
    };
    Value::Map(
        schema
            .attributes
            .iter()
            .map(|attribute| (attribute.name.to_owned(), one(attribute, dice)))
            .collect(),
    )
}

/// The nested objects of a value changed, each by itself.
fn each(value: &Value, shape: &Shape, change: &mut dyn FnMut(&Value) -> Value) -> Value {
    let mut object = |element: &Value| {
        if matches!(element, Value::Map(_)) {
            change(element)
        } else {
            element.clone()
        }
    };
    match (shape, value) {
        (Shape::Single(_), Value::Map(_)) => object(value),
        (Shape::List(_) | Shape::Set(_), Value::List(elements)) => {
            Value::List(elements.iter().map(object).collect())
        }
        (Shape::Map(_), Value::Map(elements)) => Value::Map(
            elements
                .iter()
                .map(|(key, element)| (key.clone(), object(element)))
                .collect(),
        ),
        _ => value.clone(),
    }
}

/// A plan that core accepts for this configuration and prior state.
pub(crate) fn legal_plan(dice: &mut Dice, schema: &Schema, config: &Value, prior: &Value) -> Value {
    let one = |attribute: &Attribute, dice: &mut Dice| {
        let (config, prior) = (config.get(attribute.name), prior.get(attribute.name));
        let of = attribute.shape.value_type();
        if attribute.write_only {
            return Value::Null;
        }
        if attribute.block {
            let nested = attribute.nested().expect("blocks are nested");
            return each_with(config, prior, &attribute.shape, &mut |config, prior| {
                legal_plan(dice, nested, config, prior)
            });
        }
        if attribute.is_computed() && config.is_null() {
            return match dice.below(4) {
                0 => Value::Null,
                1 => prior.clone(),
                2 => without_write_only(&attribute.shape, &whole(dice, attribute)),
                _ => unknown(dice, &of),
            };
        }
        if !prior.is_null() && !config.is_null() && dice.percent(15) {
            return prior.clone();
        }
        match attribute.nested() {
            Some(nested) => each_with(config, prior, &attribute.shape, &mut |config, prior| {
                legal_plan(dice, nested, config, prior)
            }),
            None => config.clone(),
        }
    };
    Value::Map(
        schema
            .attributes
            .iter()
            .map(|attribute| (attribute.name.to_owned(), one(attribute, dice)))
            .collect(),
    )
}

/// Unknown, now and then with a promise.
fn unknown(dice: &mut Dice, of: &Type) -> Value {
    let refinement = match (dice.below(6), of) {
        (0, Type::String | Type::Number | Type::Bool) => Refinement::never_null(),
        (1, Type::String) => Refinement::begins("ca"),
        (1, Type::Number) => {
            let bound = |text: &str, inclusive| {
                Some(Bound {
                    at: Number::parse(text).expect("decimal"),
                    inclusive,
                })
            };
            Refinement {
                lower: bound("0", dice.percent(50)),
                upper: bound("2", dice.percent(50)),
                ..Refinement::never_null()
            }
        }
        (1, Type::List(_) | Type::Map(_) | Type::Set(_)) => Refinement {
            shortest: Some(1),
            longest: Some(2),
            ..Refinement::never_null()
        },
        _ => return Value::UNKNOWN,
    };
    Value::Unknown(Some(Box::new(refinement)))
}

/// A known value of an attribute, without null elements: those crash Terraform where something is write-only.
pub(super) fn whole(dice: &mut Dice, attribute: &Attribute) -> Value {
    loop {
        let value = known(dice, &attribute.shape.value_type());
        if !crashes(
            &Schema {
                attributes: vec![attribute.clone()],
                ..Schema::default()
            },
            &Value::object([(attribute.name, value.clone())]),
        ) {
            return value;
        }
    }
}

fn without_write_only(shape: &Shape, value: &Value) -> Value {
    let (Shape::Single(nested) | Shape::List(nested) | Shape::Set(nested) | Shape::Map(nested)) =
        shape
    else {
        return value.clone();
    };
    each(value, shape, &mut |element| {
        let one = |inner: &Attribute| {
            let value = element.get(inner.name);
            let value = if inner.write_only {
                Value::Null
            } else {
                without_write_only(&inner.shape, value)
            };
            (inner.name.to_owned(), value)
        };
        Value::Map(nested.attributes.iter().map(one).collect())
    })
}

fn each_with(
    value: &Value,
    prior: &Value,
    shape: &Shape,
    change: &mut dyn FnMut(&Value, &Value) -> Value,
) -> Value {
    const NULL: &Value = &Value::Null;
    match (shape, value, prior) {
        (Shape::Single(_), Value::Map(_), _) => change(value, prior),
        (Shape::List(_), Value::List(elements), Value::List(before)) => {
            let one = |(index, element): (usize, &Value)| {
                change(element, before.get(index).unwrap_or(NULL))
            };
            Value::List(elements.iter().enumerate().map(one).collect())
        }
        (Shape::Map(_), Value::Map(elements), before) => Value::Map(
            elements
                .iter()
                .map(|(key, element)| (key.clone(), change(element, before.get(key))))
                .collect(),
        ),
        _ => each(value, shape, &mut |element| change(element, NULL)),
    }
}

/// A second plan that core accepts after the first: the configuration is known now.
pub(crate) fn legal_second(
    dice: &mut Dice,
    schema: &Schema,
    config: &Value,
    prior: &Value,
    first: &Value,
) -> Value {
    let one = |attribute: &Attribute, dice: &mut Dice| {
        let (config, prior) = (config.get(attribute.name), prior.get(attribute.name));
        let first = first.get(attribute.name);
        if attribute.write_only {
            return Value::Null;
        }
        let Some(nested) = attribute.nested() else {
            // What only the provider sets may be anything; what the user set is known now.
            let stays =
                config.is_null() || attribute.mode == Mode::Computed || first.is_wholly_known();
            return if stays { first.clone() } else { config.clone() };
        };
        if first.is_unknown() && !config.is_null() {
            // The whole came from elsewhere: a plan of its own.
            return each_with(config, prior, &attribute.shape, &mut |config, prior| {
                legal_plan(dice, nested, config, prior)
            });
        }
        if first.is_wholly_known() || config.is_null() {
            return first.clone();
        }
        match (&attribute.shape, config, first) {
            (Shape::Single(_), _, Value::Map(_)) => {
                legal_second(dice, nested, config, prior, first)
            }
            (Shape::List(_) | Shape::Set(_), Value::List(wanted), Value::List(planned))
                if wanted.len() == planned.len() =>
            {
                let one = |(config, first): (&Value, &Value)| {
                    legal_second(dice, nested, config, &Value::Null, first)
                };
                Value::List(wanted.iter().zip(planned).map(one).collect())
            }
            (Shape::Map(_), Value::Map(wanted), Value::Map(_)) => {
                let one = |(key, config): (&String, &Value)| {
                    (
                        key.clone(),
                        legal_second(dice, nested, config, prior.get(key), first.get(key)),
                    )
                };
                Value::Map(wanted.iter().map(one).collect())
            }
            _ => first.clone(),
        }
    };
    Value::Map(
        schema
            .attributes
            .iter()
            .map(|attribute| (attribute.name.to_owned(), one(attribute, dice)))
            .collect(),
    )
}

/// A result that core accepts after this plan: every unknown is filled.
pub(crate) fn legal_result(dice: &mut Dice, schema: &Schema, planned: &Value) -> Value {
    loop {
        let result = filled(dice, planned, schema.value_type());
        let result = without_write_only_in(schema, &result);
        if !crashes(schema, &result) {
            return result;
        }
    }
}

fn without_write_only_in(schema: &Schema, value: &Value) -> Value {
    let one = |inner: &Attribute| {
        let value = value.get(inner.name);
        let value = if inner.write_only {
            Value::Null
        } else {
            without_write_only(&inner.shape, value)
        };
        (inner.name.to_owned(), value)
    };
    Value::Map(schema.attributes.iter().map(one).collect())
}

fn filled(dice: &mut Dice, planned: &Value, of: &Type) -> Value {
    match (planned, of) {
        (Value::Unknown(promise), of) => loop {
            let value = if dice.percent(20) {
                Value::Null
            } else {
                known(dice, of)
            };
            if promise
                .as_ref()
                .is_none_or(|promise| promise.admits(&value, of))
            {
                break value;
            }
        },
        (Value::List(elements), Type::List(of) | Type::Set(of)) => Value::List(
            elements
                .iter()
                .map(|element| filled(dice, element, of))
                .collect(),
        ),
        (Value::List(elements), Type::Tuple(types)) => Value::List(
            elements
                .iter()
                .zip(types)
                .map(|(element, of)| filled(dice, element, of))
                .collect(),
        ),
        (Value::Map(elements), Type::Map(of)) => Value::Map(
            elements
                .iter()
                .map(|(key, element)| (key.clone(), filled(dice, element, of)))
                .collect(),
        ),
        (Value::Map(elements), Type::Object(types)) => {
            let one = |(name, element): (&String, &Value)| {
                (name.clone(), filled(dice, element, &types[name]))
            };
            Value::Map(elements.iter().map(one).collect())
        }
        (other, _) => other.clone(),
    }
}

/// The same answer with something changed somewhere, still a value of its type, and none that crashes Terraform.
pub(crate) fn changed(dice: &mut Dice, schema: &Schema, value: &Value, of: &Type) -> Value {
    loop {
        let changed = mutated(dice, value, of);
        if !crashes(schema, &changed) {
            return changed;
        }
    }
}

/// Whether an element is null, or unknown and so null after apply, among nested attributes with a sensitive or write-only
/// one inside: Terraform 1.11 looks into it.
fn crashes(schema: &Schema, value: &Value) -> bool {
    let one = |attribute: &Attribute| {
        let value = value.get(attribute.name);
        let Some(nested) = attribute.nested() else {
            return false;
        };
        let elements: Vec<&Value> = match (&attribute.shape, value) {
            (Shape::List(_) | Shape::Set(_), Value::List(elements)) => elements.iter().collect(),
            (Shape::Map(_), Value::Map(elements)) => elements.values().collect(),
            (Shape::Single(_), Value::Map(_)) => return crashes(nested, value),
            _ => return false,
        };
        let needed = !attribute.block && nested.any_marked();
        let gap = |element: &Value| element.is_null() || element.is_unknown();
        elements
            .into_iter()
            .any(|element| (needed && gap(element)) || crashes(nested, element))
    };
    schema.attributes.iter().any(one)
}

fn mutated(dice: &mut Dice, value: &Value, of: &Type) -> Value {
    let deeper = dice.percent(70);
    match (value, of) {
        (Value::Map(elements), Type::Object(types)) if deeper && !elements.is_empty() => {
            let name = (*dice.pick(&elements.keys().collect::<Vec<_>>())).clone();
            let mut changed = elements.clone();
            changed.insert(name.clone(), mutated(dice, &elements[&name], &types[&name]));
            Value::Map(changed)
        }
        (Value::Map(elements), Type::Map(of)) if deeper && !elements.is_empty() => {
            let key = (*dice.pick(&elements.keys().collect::<Vec<_>>())).clone();
            let mut changed = elements.clone();
            let value = changed.remove(&key).expect("a key of it");
            match dice.below(4) {
                0 => {}
                1 => {
                    changed.insert("other".to_owned(), value);
                }
                2 => {
                    changed.insert("other".to_owned(), value.clone());
                    changed.insert(key, value);
                }
                _ => {
                    let value = mutated(dice, &value, of);
                    changed.insert(key, value);
                }
            }
            Value::Map(changed)
        }
        (Value::List(elements), Type::List(of) | Type::Set(of))
            if deeper && !elements.is_empty() =>
        {
            let index = dice.below(elements.len());
            let mut changed = elements.clone();
            match dice.below(4) {
                0 => {
                    changed.remove(index);
                }
                1 => changed.push(elements[index].clone()),
                2 => changed.swap(0, index),
                _ => changed[index] = mutated(dice, &elements[index], of),
            }
            Value::List(changed)
        }
        (Value::List(elements), Type::Tuple(types)) if deeper => {
            let index = dice.below(types.len());
            let mut changed = elements.clone();
            changed[index] = mutated(dice, &elements[index], &types[index]);
            Value::List(changed)
        }
        (_, of) => match dice.below(4) {
            0 => Value::Null,
            1 => Value::UNKNOWN,
            _ => known(dice, of),
        },
    }
}
