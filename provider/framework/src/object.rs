//! Types without rules of their own inside: `Object<M>` and tuples.
//!
//! A struct in an attribute is a nested object, whose attributes have defaults, validators and replacements. `Object<M>` is the
//! plain object type: one value, as in `object({ name = string })`. Use it in functions and wherever a value is passed on.

use std::ops::{Deref, DerefMut};

use crate::field::{Field, Model, Source, mismatch, nested};
use crate::path::Step;
use crate::schema::Shape;
use crate::{Attr, Diagnostics, Type, Value};

/// A struct as a plain object type.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object<M>(pub M);

impl<M> Deref for Object<M> {
    type Target = M;
    fn deref(&self) -> &M {
        &self.0
    }
}

impl<M> DerefMut for Object<M> {
    fn deref_mut(&mut self) -> &mut M {
        &mut self.0
    }
}

impl<M: Model> Field for Object<M> {
    const SECRET: bool = M::SECRET;
    fn shape() -> Shape {
        Shape::Plain(M::schema().value_type().clone())
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        Ok(nested::<M>(value, source)?.map(Self))
    }
    fn encode(&self) -> Value {
        self.0.encode()
    }
}

/// One element of a tuple; `None` when it is unknown, so that the whole is.
fn element<F: Field>(
    values: &[Value],
    index: usize,
    source: Source,
    found: &mut Diagnostics,
) -> Option<Attr<F>> {
    let step = Step::Index(i64::try_from(index).unwrap_or(i64::MAX));
    match F::decode(values.get(index).unwrap_or(&Value::Null), source) {
        Ok(Attr::Null) => {
            found.merge(Diagnostics::error("Invalid value", "Must not be null.").under(&step));
            None
        }
        Ok(known) => Some(known),
        Err(inner) => {
            found.merge(inner.under(&step));
            None
        }
    }
}

macro_rules! tuple {
    ($count:literal: $($field:ident $index:tt),*) => {
        impl<$($field: Field),*> Field for ($($field,)*) {
            const SECRET: bool = $($field::SECRET ||)* false;
            fn shape() -> Shape {
                Shape::Plain(Type::Tuple(vec![$($field::shape().value_type()),*]))
            }
            fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
                let values = match value {
                    Value::Null => return Ok(Attr::Null),
                    Value::Unknown(_) => return Ok(Attr::Unknown),
                    Value::List(values) if values.len() == $count => values,
                    other => return Err(mismatch(concat!("a tuple of ", $count), other)),
                };
                let mut found = Diagnostics::none();
                let decoded = ($(element::<$field>(values, $index, source, &mut found),)*);
                found.into_result()?;
                // Without an error every element was decoded; one that is not known makes the whole unknown.
                Ok(match ($(decoded.$index.and_then(Attr::into_known),)*) {
                    ($(Some($field),)*) => Attr::Known(($($field,)*)),
                    _ => Attr::Unknown,
                })
            }
            fn encode(&self) -> Value {
                Value::List(vec![$(self.$index.encode()),*])
            }
        }
    };
}
#[allow(non_snake_case, reason = "the macro names each value like its type")]
mod tuples {
    use super::{Attr, Diagnostics, Field, Shape, Source, Type, Value, element, mismatch};
    tuple!(1: A 0);
    tuple!(2: A 0, B 1);
    tuple!(3: A 0, B 1, C 2);
    tuple!(4: A 0, B 1, C 2, D 3);
}

#[cfg(test)]
mod tests {
    use crate::field::{Field, Source};
    use crate::{Attr, Type, Value};

    type Pair = (String, Attr<i64>);

    #[test]
    fn a_tuple_keeps_a_type_for_each_element() {
        assert_eq!(
            Pair::shape().value_type(),
            Type::Tuple(vec![Type::String, Type::Number])
        );
        let pair: Pair = ("a".to_owned(), Attr::Null);
        let value = pair.encode();
        assert_eq!(Pair::decode(&value, Source::Config), Ok(Attr::Known(pair)));
        let unknown = Value::List(vec![Value::UNKNOWN, Value::Null]);
        assert_eq!(Pair::decode(&unknown, Source::Config), Ok(Attr::Unknown));
    }

    #[test]
    fn what_is_wrong_inside_is_named() {
        let wrong = Value::List(vec![Value::Null, Value::Bool(true)]);
        let found = Pair::decode(&wrong, Source::Config).expect_err("wrong twice");
        let places: Vec<_> = found
            .iter()
            .map(|one| one.attribute.as_ref().map(ToString::to_string))
            .collect();
        assert_eq!(places, [Some("[0]".to_owned()), Some("[1]".to_owned())]);
        assert!(Pair::decode(&Value::List(vec![]), Source::Config).is_err());
    }
}
