//! Values as they travel: what core sends and receives, before and after models.
//!
//! Lists, sets and tuples are one variant and so are maps and objects: the type or schema beside a value tells them
//! apart. Equality that knows sets and text normalisation is [`equal`].

use std::collections::BTreeMap;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::{Number, Refinement, Type};

/// A value with its type, at a place whose type is `dynamic`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dynamic {
    /// The type of the value.
    pub of: Type,
    /// The value itself.
    pub value: Value,
}

/// Any Terraform value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// Known only after apply.
    Unknown(Option<Box<Refinement>>),
    /// Truth value.
    Bool(bool),
    /// Number.
    Number(Number),
    /// Text.
    String(String),
    /// List, set or tuple.
    List(Vec<Value>),
    /// Map or object.
    Map(BTreeMap<String, Value>),
    /// Value with its own type.
    Dynamic(Box<Dynamic>),
}

impl Value {
    /// An unknown value without refinement.
    pub const UNKNOWN: Self = Self::Unknown(None);

    /// An object from its attributes.
    pub fn object<const N: usize>(attributes: [(&str, Self); N]) -> Self {
        Self::Map(
            attributes
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether nothing was set: null, or no blocks, which are an empty collection.
    pub(crate) fn is_unset(&self) -> bool {
        match self {
            Self::List(elements) => elements.is_empty(),
            Self::Map(elements) => elements.is_empty(),
            other => other.is_null(),
        }
    }

    /// Whether this value as a whole is unknown.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::Dynamic(dynamic) => dynamic.value.is_unknown(),
            _ => false,
        }
    }

    /// Whether nothing inside is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::List(elements) => elements.iter().all(Self::is_wholly_known),
            Self::Map(elements) => elements.values().all(Self::is_wholly_known),
            Self::Dynamic(dynamic) => dynamic.value.is_wholly_known(),
            _ => true,
        }
    }

    /// An attribute of an object or element of a map; null when absent.
    pub fn get(&self, name: &str) -> &Self {
        const NULL: &Value = &Value::Null;
        match self {
            Self::Map(elements) => elements.get(name).unwrap_or(NULL),
            _ => NULL,
        }
    }

    /// An element of a list; null when absent.
    pub(crate) fn at(&self, index: usize) -> &Self {
        const NULL: &Value = &Value::Null;
        match self {
            Self::List(elements) => elements.get(index).unwrap_or(NULL),
            _ => NULL,
        }
    }

    /// What kind of value this is, for messages. Never the value: it may be a secret.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Unknown(_) => "an unknown value",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
            Self::Dynamic(_) => "a dynamic value",
        }
    }
}

/// Whether core would call the two values equal: sets without order, text in NFC, unknowns without refinement.
pub fn equal(left: &Value, right: &Value, of: &Type) -> bool {
    left == right || canonical(left, of) == canonical(right, of)
}

/// The elements of a set, each once: what travels may repeat one, and core merges it. Unknown ones stay apart.
pub(crate) fn distinct<'a>(elements: &'a [Value], of: &Type) -> Vec<&'a Value> {
    let mut distinct: Vec<&Value> = Vec::new();
    for element in elements {
        if !(element.is_wholly_known() && distinct.iter().any(|other| equal(other, element, of))) {
            distinct.push(element);
        }
    }
    distinct
}

fn canonical(value: &Value, of: &Type) -> Value {
    match (value, of) {
        (Value::Unknown(_), _) => Value::UNKNOWN,
        (Value::String(text), _) if !is_nfc(text) => Value::String(text.nfc().collect()),
        (Value::List(elements), Type::Set(of)) => {
            let mut elements: Vec<_> = elements
                .iter()
                .map(|element| canonical(element, of))
                .collect();
            elements.sort();
            elements.dedup_by(|left, right| left == right && left.is_wholly_known());
            Value::List(elements)
        }
        (Value::List(elements), Type::List(of)) => Value::List(
            elements
                .iter()
                .map(|element| canonical(element, of))
                .collect(),
        ),
        (Value::List(elements), Type::Tuple(types)) if types.len() == elements.len() => {
            Value::List(
                elements
                    .iter()
                    .zip(types)
                    .map(|(element, of)| canonical(element, of))
                    .collect(),
            )
        }
        (Value::Map(elements), Type::Map(of)) => Value::Map(
            elements
                .iter()
                .map(|(key, element)| (key.nfc().collect(), canonical(element, of)))
                .collect(),
        ),
        (Value::Map(elements), Type::Object(types)) => {
            let one = |(name, of): (&String, &Type)| {
                (
                    name.clone(),
                    canonical(elements.get(name).unwrap_or(&Value::Null), of),
                )
            };
            Value::Map(types.iter().map(one).collect())
        }
        (Value::Dynamic(dynamic), _) => {
            let value = canonical(&dynamic.value, &dynamic.of);
            Value::Dynamic(Box::new(Dynamic {
                of: dynamic.of.clone(),
                value,
            }))
        }
        (other, _) => other.clone(),
    }
}
