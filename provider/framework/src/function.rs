//! Provider functions: pure by type, since they get no context. Core checks that equal arguments give equal results.

use crate::field::{Field, Source};
use crate::{Attr, Diagnostics, Type, Value};

/// A function, called as `provider::strata::<name>(...)`.
pub trait Function: Send + Sync + 'static {
    /// Name.
    const NAME: &'static str;
    /// Under which heading the documentation lists it.
    const SUBCATEGORY: &'static str = "";
    /// One line of documentation.
    const SUMMARY: &'static str;
    /// Documentation, in Markdown.
    const DESCRIPTION: &'static str;
    /// Names and documentation of the arguments, in order.
    const PARAMETERS: &'static [Parameter];
    /// Why not to use it any more.
    const DEPRECATED: Option<&'static str> = None;
    /// A tuple: `(String, BTreeMap<String, String>, Dynamic)`. What each argument may be is said by its type, see
    /// [`Argument`]; the last may be [`Variadic`].
    type Arguments: Arguments;
    /// A field; `Dynamic` for any shape.
    type Return: Field;
    /// The result. No clock, no network, no randomness.
    fn call(arguments: Self::Arguments) -> Result<Self::Return, FunctionError>;
}

/// Name and documentation of one argument.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name, for documentation and messages.
    pub name: &'static str,
    /// What it is, in Markdown.
    pub description: &'static str,
}

/// Why a function has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FunctionError {
    /// Sentences for the user.
    pub text: String,
    /// Index of the argument at fault.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// An error of no argument in particular.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: None,
        }
    }

    /// An error of the argument with this index.
    pub fn at(argument: usize, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            argument: Some(argument),
        }
    }
}

/// Functions know no diagnostics; what would be one is the error's text.
impl From<Diagnostics> for FunctionError {
    fn from(found: Diagnostics) -> Self {
        Self::new(found.to_string())
    }
}

/// What an argument's type says about it.
#[derive(Clone, Debug)]
pub struct Takes {
    /// Terraform's type.
    pub of: Type,
    /// Whether null is passed to the function. Else Terraform refuses it.
    pub null: bool,
    /// Whether an unknown value is passed to the function. Else its result is unknown without a call.
    pub unknown: bool,
    /// Whether it stands for any number of arguments.
    pub variadic: bool,
}

/// The type of one argument.
///
/// | type | null | unknown |
/// | --- | --- | --- |
/// | a field: `String`, `Dynamic`, a model | refused | the result is unknown, without a call |
/// | `Option<String>` | `None` | the result is unknown, without a call |
/// | `Attr<String>` | `Attr::Null` | `Attr::Unknown`; return an `Attr` to answer with unknown |
pub trait Argument: Sized + Send {
    /// What it may be.
    fn takes() -> Takes;
    /// From a value. `Ok(None)`: it is unknown, so the result is.
    fn decode(value: &Value, index: usize) -> Result<Option<Self>, FunctionError>;
}

impl<F: Field> Argument for F {
    fn takes() -> Takes {
        Takes {
            of: F::shape().value_type(),
            null: F::OPEN,
            unknown: F::OPEN,
            variadic: false,
        }
    }
    fn decode(value: &Value, index: usize) -> Result<Option<Self>, FunctionError> {
        match field(value, index)? {
            Attr::Known(value) => Ok(Some(value)),
            Attr::Unknown => Ok(None),
            Attr::Null => Err(FunctionError::at(index, "Must not be null.")),
        }
    }
}

impl<F: Field> Argument for Option<F> {
    fn takes() -> Takes {
        Takes {
            null: true,
            ..<F as Argument>::takes()
        }
    }
    fn decode(value: &Value, index: usize) -> Result<Option<Self>, FunctionError> {
        match field(value, index)? {
            Attr::Known(value) => Ok(Some(Some(value))),
            Attr::Unknown => Ok(None),
            Attr::Null => Ok(Some(None)),
        }
    }
}

fn field<F: Field>(value: &Value, index: usize) -> Result<Attr<F>, FunctionError> {
    F::decode(value, Source::Config).map_err(|found| {
        let text = found.iter().map(|one| match &one.attribute {
            Some(path) => format!("{path}: {}", one.detail),
            None => one.detail.clone(),
        });
        FunctionError::at(index, text.collect::<Vec<_>>().join(" "))
    })
}

/// Any number of arguments, at the end. An error points at one of them by its index among all arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variadic<A>(pub Vec<A>);

/// The last argument: any other, or [`Variadic`].
pub trait LastArgument: Sized + Send {
    /// What it may be.
    fn takes() -> Takes;
    /// From the values that are left, the first of which has this index.
    fn decode(values: &[Value], index: usize) -> Result<Option<Self>, FunctionError>;
}

impl<A: Argument> LastArgument for A {
    fn takes() -> Takes {
        A::takes()
    }
    fn decode(values: &[Value], index: usize) -> Result<Option<Self>, FunctionError> {
        A::decode(values.first().unwrap_or(&Value::Null), index)
    }
}

impl<A: Argument> LastArgument for Variadic<A> {
    fn takes() -> Takes {
        Takes {
            variadic: true,
            ..<A as Argument>::takes()
        }
    }
    fn decode(values: &[Value], index: usize) -> Result<Option<Self>, FunctionError> {
        // All are decoded, so that a wrong one is told even beside an unknown one.
        let all: Vec<Option<A>> = (index..)
            .zip(values)
            .map(|(index, value)| A::decode(value, index))
            .collect::<Result<_, _>>()?;
        Ok(all.into_iter().collect::<Option<Vec<A>>>().map(Variadic))
    }
}

/// A tuple of arguments.
pub trait Arguments: Sized + Send {
    /// What each may be, in order.
    fn takes() -> Vec<Takes>;
    /// From values. `Ok(None)`: something is unknown, so the result is.
    fn decode(values: &[Value]) -> Result<Option<Self>, FunctionError>;
}

impl Arguments for () {
    fn takes() -> Vec<Takes> {
        Vec::new()
    }
    fn decode(_: &[Value]) -> Result<Option<Self>, FunctionError> {
        Ok(Some(()))
    }
}

macro_rules! arguments {
    ($($argument:ident $value:ident $index:tt),*; $last:ident $rest:ident $count:literal) => {
        impl<$($argument: Argument,)* $last: LastArgument> Arguments for ($($argument,)* $last,) {
            fn takes() -> Vec<Takes> {
                vec![$($argument::takes(),)* $last::takes()]
            }
            fn decode(values: &[Value]) -> Result<Option<Self>, FunctionError> {
                // Each is decoded before an unknown one decides, so that a wrong one is told all the same.
                $(let $value = $argument::decode(values.get($index).unwrap_or(&Value::Null), $index)?;)*
                let $rest = $last::decode(values.get($count..).unwrap_or_default(), $count)?;
                Ok((|| Some(($($value?,)* $rest?,)))())
            }
        }
    };
}
arguments!(; A a 0);
arguments!(A a 0; B b 1);
arguments!(A a 0, B b 1; C c 2);
arguments!(A a 0, B b 1, C c 2; D d 3);
arguments!(A a 0, B b 1, C c 2, D d 3; E e 4);
arguments!(A a 0, B b 1, C c 2, D d 3, E e 4; F f 5);

#[cfg(test)]
mod tests {
    use super::{Arguments, FunctionError, Variadic};
    use crate::{Attr, Field, Value};

    type All = (String, Option<i64>, Attr<bool>, Variadic<String>);

    fn text(text: &str) -> Value {
        Value::String(text.to_owned())
    }

    fn decode(values: &[Value]) -> Result<Option<All>, FunctionError> {
        All::decode(values)
    }

    #[test]
    fn the_type_says_what_an_argument_takes() {
        let all: Vec<_> = All::takes()
            .iter()
            .map(|one| (one.null, one.unknown, one.variadic))
            .collect();
        assert_eq!(
            all,
            [
                (false, false, false),
                (true, false, false),
                (true, true, false),
                (false, false, true),
            ]
        );
    }

    #[test]
    fn null_and_unknown_reach_the_types_that_have_words_for_them() {
        let decoded = decode(&[text("a"), Value::Null, Value::UNKNOWN]).unwrap();
        let (first, second, third, Variadic(rest)) = decoded.expect("nothing else is unknown");
        assert_eq!((first.as_str(), second, third), ("a", None, Attr::Unknown));
        assert!(rest.is_empty());
        let unknown = decode(&[Value::UNKNOWN, Value::Null, Value::Null]).unwrap();
        assert!(unknown.is_none(), "the result is unknown");
    }

    #[test]
    fn errors_point_at_their_argument() {
        let at = |values: &[Value]| decode(values).unwrap_err().argument;
        assert_eq!(at(&[Value::Null, Value::Null, Value::Null]), Some(0));
        let wrong = [text("a"), text("x"), Value::Null];
        assert_eq!(at(&wrong), Some(1));
        let good = [text("a"), 1_i64.encode(), Value::Null, text("b")];
        assert_eq!(at(&[&good[..], &[Value::Null]].concat()), Some(4));
        // A wrong one is told although another is unknown.
        assert_eq!(at(&[Value::UNKNOWN, text("x"), Value::Null]), Some(1));
    }
}
