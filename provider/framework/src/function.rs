//! Provider functions: pure by type, since they get no context. Core checks that equal arguments give equal results.

use crate::field::{Field, Source};
use crate::{Attr, Type, Value};

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
    /// A tuple of fields: `(String, BTreeMap<String, String>, Dynamic)`.
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

/// A tuple of fields.
pub trait Arguments: Sized + Send {
    /// The types, in order.
    fn types() -> Vec<Type>;
    /// From values. `Ok(None)`: something is unknown, so the result is.
    fn decode(values: &[Value]) -> Result<Option<Self>, FunctionError>;
}

fn argument<F: Field>(values: &[Value], index: usize) -> Result<Option<F>, FunctionError> {
    match F::decode(values.get(index).unwrap_or(&Value::Null), Source::Config) {
        Ok(Attr::Known(value)) => Ok(Some(value)),
        Ok(Attr::Unknown) => Ok(None),
        Ok(Attr::Null) => Err(FunctionError::at(index, "Must not be null.")),
        Err(found) => {
            let text = found.iter().map(|one| match &one.attribute {
                Some(path) => format!("{path}: {}", one.detail),
                None => one.detail.clone(),
            });
            Err(FunctionError::at(index, text.collect::<Vec<_>>().join(" ")))
        }
    }
}

macro_rules! arguments {
    ($($field:ident $index:tt),*) => {
        impl<$($field: Field),*> Arguments for ($($field,)*) {
            fn types() -> Vec<Type> {
                vec![$($field::shape().value_type()),*]
            }
            #[allow(unused_variables, reason = "the empty tuple reads nothing")]
            fn decode(values: &[Value]) -> Result<Option<Self>, FunctionError> {
                Ok(Some(($(match argument::<$field>(values, $index)? {
                    Some(value) => value,
                    None => return Ok(None),
                },)*)))
            }
        }
    };
}
arguments!();
arguments!(A 0);
arguments!(A 0, B 1);
arguments!(A 0, B 1, C 2);
arguments!(A 0, B 1, C 2, D 3);
arguments!(A 0, B 1, C 2, D 3, E 4);
arguments!(A 0, B 1, C 2, D 3, E 4, F 5);
