//! `Field`: a Rust type that an attribute can have, and `Model`: a struct of fields.
//!
//! Decoding may lose what Rust has no word for (the refinement of an unknown, which element of a list is unknown, the
//! written form of a number). Nothing is lost on the wire all the same: the framework applies a model's *changes* to the
//! value it was decoded from ([`carry_over`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::path::Step;
use crate::schema::{Schema, Shape};
use crate::{Attr, Diagnostics, Dynamic, Number, Type, Value};

/// Where a value comes from. Rules on what is well formed apply to configuration only: a rule that became stricter must
/// not make old state undecodable, or even destroy would fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// What the user wrote.
    Config,
    /// What we stored or planned.
    State,
}

/// A type that an attribute can have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type that an attribute can have",
    label = "not a field",
    note = "fields are `Attr<T>` with T: String, bool, integers, Number, Vec, Set, BTreeSet, BTreeMap<String, _>, tuples, Dynamic, DurationText, \
            Secret<String>, Object<M>, or a struct with #[derive(Schema)]"
)]
pub trait Field: Clone + Send + Sync + 'static {
    /// Whether a value is a secret: sensitive, and refused wherever it would reach state.
    const SECRET: bool = false;
    /// Whether the type itself has words for null and unknown.
    const OPEN: bool = false;
    /// Its shape in the schema.
    fn shape() -> Shape;
    /// From a value; the error's paths are relative to the value.
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics>;
    /// To a value.
    fn encode(&self) -> Value;
}

/// A struct of fields. Derived, never written by hand.
pub trait Model: Field {
    /// Name without the provider's prefix; empty for nested objects.
    const NAME: &'static str;
    /// Attributes and documentation.
    fn schema() -> &'static Schema;
    /// From the attributes of an object; missing ones are null.
    fn decode_object(value: &Value, source: Source) -> Result<Self, Diagnostics>;
}

/// The type inside an `Attr`, for the functions that a rule names.
#[diagnostic::on_unimplemented(
    message = "the field must be an `Attr<T>`, not `{Self}`",
    label = "not an `Attr<T>`"
)]
pub trait Inner {
    /// T of `Attr<T>`.
    type Of: Field;
}

impl<T: Field> Inner for Attr<T> {
    type Of = T;
}

/// A value of the wrong kind.
pub(crate) fn mismatch(expected: &str, value: &Value) -> Diagnostics {
    Diagnostics::error(
        "Invalid value",
        format!("Expected {expected}, found {}.", value.kind()),
    )
}

impl<T: Field> Field for Attr<T> {
    const SECRET: bool = T::SECRET;
    const OPEN: bool = true;
    fn shape() -> Shape {
        T::shape()
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        T::decode(value, source).map(Attr::Known)
    }
    fn encode(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Unknown => Value::UNKNOWN,
            Self::Known(value) => value.encode(),
        }
    }
}

macro_rules! scalar {
    ($rust:ty, $of:expr, $variant:ident, $expected:literal) => {
        impl Field for $rust {
            fn shape() -> Shape {
                Shape::Plain($of)
            }
            fn decode(value: &Value, _: Source) -> Result<Attr<Self>, Diagnostics> {
                match value {
                    Value::Null => Ok(Attr::Null),
                    Value::Unknown(_) => Ok(Attr::Unknown),
                    Value::$variant(known) => Ok(Attr::Known(known.clone())),
                    other => Err(mismatch($expected, other)),
                }
            }
            fn encode(&self) -> Value {
                Value::$variant(self.clone())
            }
        }
    };
}
scalar!(String, Type::String, String, "a string");
scalar!(bool, Type::Bool, Bool, "a bool");
scalar!(Number, Type::Number, Number, "a number");

macro_rules! integer {
    ($($rust:ty),*) => {$(
        impl Field for $rust {
            fn shape() -> Shape {
                Shape::Plain(Type::Number)
            }
            fn decode(value: &Value, _: Source) -> Result<Attr<Self>, Diagnostics> {
                match value {
                    Value::Null => Ok(Attr::Null),
                    Value::Unknown(_) => Ok(Attr::Unknown),
                    Value::Number(number) => number.text().parse().map(Attr::Known).map_err(|_| {
                        let (low, high) = (<$rust>::MIN, <$rust>::MAX);
                        Diagnostics::error("Invalid value", format!("Must be a whole number from {low} to {high}."))
                    }),
                    other => Err(mismatch("a number", other)),
                }
            }
            fn encode(&self) -> Value {
                Value::Number(Number::from(*self))
            }
        }
    )*};
}
integer!(i64, i32, u8, u16, u32, u64);

/// Decodes elements that must be known; one unknown element makes the collection unknown.
pub(crate) fn elements<T: Field>(
    values: impl Iterator<Item = (Step, impl std::borrow::Borrow<Value>)>,
    source: Source,
) -> Result<Attr<Vec<T>>, Diagnostics> {
    let (mut known, mut unknown, mut found) = (Vec::new(), false, Diagnostics::none());
    for (step, value) in values {
        match T::decode(value.borrow(), source) {
            Ok(Attr::Known(element)) => known.push(element),
            Ok(Attr::Unknown) => unknown = true,
            Ok(Attr::Null) => {
                found.merge(Diagnostics::error("Invalid value", "Must not be null.").under(&step));
            }
            Err(inner) => found.merge(inner.under(&step)),
        }
    }
    found.into_result()?;
    Ok(if unknown {
        Attr::Unknown
    } else {
        Attr::Known(known)
    })
}

impl<T: Field> Field for Vec<T> {
    const SECRET: bool = T::SECRET;
    fn shape() -> Shape {
        T::shape().list_of()
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        match value {
            Value::Null => Ok(Attr::Null),
            Value::Unknown(_) => Ok(Attr::Unknown),
            Value::List(values) => elements((0..).map(Step::Index).zip(values), source),
            other => Err(mismatch("a list", other)),
        }
    }
    fn encode(&self) -> Value {
        Value::List(self.iter().map(Field::encode).collect())
    }
}

impl<T: Field + Ord> Field for BTreeSet<T> {
    const SECRET: bool = T::SECRET;
    fn shape() -> Shape {
        Shape::Plain(Type::Set(Box::new(T::shape().value_type())))
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        match value {
            Value::Null => Ok(Attr::Null),
            Value::Unknown(_) => Ok(Attr::Unknown),
            Value::List(values) => {
                let all = elements((0..).map(Step::Index).zip(values), source);
                // A set element has no address: the path ends at the set.
                all.map(|all| all.map(|all| all.into_iter().collect()))
                    .map_err(Diagnostics::without_path)
            }
            other => Err(mismatch("a set", other)),
        }
    }
    fn encode(&self) -> Value {
        Value::List(self.iter().map(Field::encode).collect())
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    const SECRET: bool = T::SECRET;
    fn shape() -> Shape {
        T::shape().map_of()
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        match value {
            Value::Null => Ok(Attr::Null),
            Value::Unknown(_) => Ok(Attr::Unknown),
            Value::Map(values) => {
                let steps = values
                    .iter()
                    .map(|(key, value)| (Step::Key(key.clone()), value));
                Ok(elements(steps, source)?.map(|all| values.keys().cloned().zip(all).collect()))
            }
            other => Err(mismatch("a map", other)),
        }
    }
    fn encode(&self) -> Value {
        Value::Map(
            self.iter()
                .map(|(key, value)| (key.clone(), value.encode()))
                .collect(),
        )
    }
}

impl Field for Dynamic {
    fn shape() -> Shape {
        Shape::Plain(Type::Dynamic)
    }
    fn decode(value: &Value, _: Source) -> Result<Attr<Self>, Diagnostics> {
        match value {
            Value::Null => Ok(Attr::Null),
            value if value.is_unknown() => Ok(Attr::Unknown),
            Value::Dynamic(dynamic) if dynamic.value.is_null() => Ok(Attr::Null),
            Value::Dynamic(dynamic) => Ok(Attr::Known((**dynamic).clone())),
            other => Err(mismatch("a value with its type", other)),
        }
    }
    fn encode(&self) -> Value {
        Value::Dynamic(Box::new(self.clone()))
    }
}

/// Decodes one attribute of an object, collecting diagnostics: the derive calls it.
pub fn attribute<F: Field>(
    object: &Value,
    name: &str,
    source: Source,
    found: &mut Diagnostics,
) -> Option<F> {
    match F::decode(object.get(name), source) {
        Ok(Attr::Known(field)) => Some(field),
        Ok(_) => {
            let step = Step::Attribute(name.to_owned());
            found.merge(Diagnostics::error("Invalid value", "Must be set and known.").under(&step));
            None
        }
        Err(inner) => {
            found.merge(inner.under(&Step::Attribute(name.to_owned())));
            None
        }
    }
}

/// Decodes a nested object: the derive calls it for the `Field` of a model.
pub fn nested<M: Model>(value: &Value, source: Source) -> Result<Attr<M>, Diagnostics> {
    match value {
        Value::Null => Ok(Attr::Null),
        Value::Unknown(_) => Ok(Attr::Unknown),
        Value::Map(_) => M::decode_object(value, source).map(Attr::Known),
        other => Err(mismatch("an object", other)),
    }
}

/// Applies what a model changed to the value it was decoded from.
///
/// `given` was decoded to a model whose encoding is `before`; the model was changed and encodes to `after`. Wherever
/// `after` equals `before`, the given value stays, with all that the model could not hold.
pub(crate) fn carry_over(given: &Value, before: &Value, after: Value) -> Value {
    if *before == after {
        return given.clone();
    }
    match (given, before, after) {
        (Value::Map(given), Value::Map(before), Value::Map(after)) => {
            let one = |(key, after): (String, Value)| {
                let value = match (given.get(&key), before.get(&key)) {
                    (Some(given), Some(before)) => carry_over(given, before, after),
                    _ => after,
                };
                (key, value)
            };
            Value::Map(after.into_iter().map(one).collect())
        }
        // Plain elements lose nothing in a model, and a set of them may have been sorted: no index may be trusted.
        (Value::List(given), Value::List(before), Value::List(after))
            if given.len() == before.len()
                && before.len() == after.len()
                && !given.iter().all(is_plain) =>
        {
            let pairs = given.iter().zip(before).zip(after);
            Value::List(
                pairs
                    .map(|((given, before), after)| carry_over(given, before, after))
                    .collect(),
            )
        }
        (_, _, after) => after,
    }
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}

/// Encodes nested blocks: none at all are an empty collection, never null, and a group is always there. The derive calls it.
pub fn block<F: Field>(blocks: &Attr<F>, group: bool) -> Value {
    match (blocks, F::shape()) {
        (Attr::Null, Shape::Single(nested)) if group => nested.empty(),
        (Attr::Null, Shape::List(_) | Shape::Set(_)) => Value::List(Vec::new()),
        (Attr::Null, Shape::Map(_)) => Value::Map(BTreeMap::new()),
        _ => blocks.encode(),
    }
}

/// The function of `replace_if` on values. The derive calls it.
pub fn compared<F: Field>(
    prior: &Value,
    planned: &Value,
    decide: fn(&Attr<F>, &Attr<F>) -> bool,
) -> bool {
    match (
        F::decode(prior, Source::State),
        F::decode(planned, Source::State),
    ) {
        (Ok(prior), Ok(planned)) => decide(&prior, &planned),
        // What does not decode is told by whoever decodes the whole; replacing on a doubt would destroy something.
        _ => false,
    }
}
