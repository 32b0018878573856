//! Schemas: what attributes there are, and the rules the plan pipeline applies to each.
//!
//! Made by `#[derive(Schema)]`; [`Schema::faults`] checks what core would refuse, and the registry calls it when the
//! provider is built.

mod faults;
mod reach;

use std::sync::OnceLock;

use crate::rule::Rule;
use crate::validate::Validator;
use crate::{Refinement, Type, Value};

/// The shape of one resource, data source, provider configuration or nested object.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// Name without the provider's prefix; empty for nested objects.
    pub name: &'static str,
    /// Version of the state.
    pub version: i64,
    /// User documentation; the first line is the title.
    pub description: &'static str,
    /// Why not to use it any more.
    pub deprecated: Option<&'static str>,
    /// Attributes and blocks, in the order of the struct.
    pub attributes: Vec<Attribute>,
    /// Rules over several attributes.
    pub rules: Vec<Rule>,
    /// What [`Schema::value_type`] made: every call needs it.
    #[doc(hidden)]
    pub of: OnceLock<Type>,
}

/// Who sets an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The user must.
    Required,
    /// The user may.
    Optional,
    /// The provider does.
    Computed,
    /// The user may, else the provider does.
    OptionalComputed,
}

/// When a change replaces the resource.
#[derive(Clone, Copy, Debug, Default)]
pub enum Replace {
    /// Never: it updates in place.
    #[default]
    Never,
    /// Always.
    Changed,
    /// Only when the user set the attribute.
    ChangedAndConfigured,
    /// When a function of the prior and the planned value says so.
    If(fn(&Value, &Value) -> bool),
}

/// What a value looks like.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A plain type.
    Plain(Type),
    /// One nested object.
    Single(&'static Schema),
    /// A list of nested objects.
    List(&'static Schema),
    /// Nested objects without order.
    Set(&'static Schema),
    /// Nested objects by key.
    Map(&'static Schema),
}

/// One attribute or nested block.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one rule, independent of the others"
)]
#[derive(Clone)]
pub struct Attribute {
    /// Name in the configuration.
    pub name: &'static str,
    /// User documentation.
    pub description: &'static str,
    /// What it looks like.
    pub shape: Shape,
    /// Who sets it.
    pub mode: Mode,
    /// Whether core hides it.
    pub sensitive: bool,
    /// Whether its type says that it is a secret.
    pub secret: bool,
    /// Whether it exists in the configuration only.
    pub write_only: bool,
    /// Whether it is written as nested blocks instead of an attribute.
    pub block: bool,
    /// Whether the block is there even when nobody writes it (nesting mode GROUP).
    pub group: bool,
    /// How many blocks there must and may be; `(0, 0)` for any number.
    pub items: (u64, u64),
    /// Value when the configuration is null.
    pub default: Option<Value>,
    /// When a change replaces the resource.
    pub replace: Replace,
    /// Whether an unknown planned value becomes the prior one.
    pub keep_prior: bool,
    /// What is known of the value while it is unknown.
    pub refinement: Option<Refinement>,
    /// For a write-only attribute: the computed attribute that holds its fingerprint.
    pub fingerprint: Option<&'static str>,
    /// Whether a change is only written down: update is not called and other computed values stay.
    pub recorded: bool,
    /// Whether it is part of an identity, required or optional for an import.
    pub for_import: bool,
    /// Checks of a known value.
    pub validators: Vec<Validator>,
    /// Why not to use it any more.
    pub deprecated: Option<&'static str>,
}

impl std::fmt::Debug for Attribute {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Attribute")
            .field("name", &self.name)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Attribute {
    /// An attribute of type `F` without any rule.
    pub fn new<F: crate::Field>(name: &'static str, description: &'static str, mode: Mode) -> Self {
        Self {
            name,
            description,
            shape: F::shape(),
            mode,
            sensitive: F::SECRET,
            secret: F::SECRET,
            write_only: false,
            block: false,
            group: false,
            items: (0, 0),
            default: None,
            replace: Replace::Never,
            keep_prior: false,
            refinement: None,
            fingerprint: None,
            recorded: false,
            for_import: false,
            validators: Vec::new(),
            deprecated: None,
        }
    }

    /// The value when nothing is written: null, but no blocks are an empty collection and a group is always there.
    pub(crate) fn absent(&self) -> Value {
        match (&self.shape, self.block) {
            (Shape::Single(nested), true) if self.group => nested.empty(),
            (Shape::List(_) | Shape::Set(_), true) => Value::List(Vec::new()),
            (Shape::Map(_), true) => Value::Map(std::collections::BTreeMap::new()),
            _ => Value::Null,
        }
    }

    /// Whether core would call two values of this attribute equal.
    pub(crate) fn equal(&self, left: &Value, right: &Value) -> bool {
        left == right || crate::equal(left, right, &self.shape.value_type())
    }

    /// Whether the provider may choose the value.
    pub fn is_computed(&self) -> bool {
        matches!(self.mode, Mode::Computed | Mode::OptionalComputed)
    }

    /// Whether the user may set it.
    pub fn is_configurable(&self) -> bool {
        self.mode != Mode::Computed
    }

    /// The nested schema and how it nests.
    pub fn nested(&self) -> Option<&'static Schema> {
        match self.shape {
            Shape::Plain(_) => None,
            Shape::Single(schema)
            | Shape::List(schema)
            | Shape::Set(schema)
            | Shape::Map(schema) => Some(schema),
        }
    }
}

impl Shape {
    /// The type of a value of this shape.
    pub fn value_type(&self) -> Type {
        match self {
            Self::Plain(of) => of.clone(),
            Self::Single(schema) => schema.value_type().clone(),
            Self::List(schema) => Type::List(Box::new(schema.value_type().clone())),
            Self::Set(schema) => Type::Set(Box::new(schema.value_type().clone())),
            Self::Map(schema) => Type::Map(Box::new(schema.value_type().clone())),
        }
    }

    /// The type of a list of this shape, or a map: how `Vec<T>` and `BTreeMap<String, T>` nest.
    pub(crate) fn list_of(self) -> Self {
        match self {
            Self::Single(schema) => Self::List(schema),
            other => Self::Plain(Type::List(Box::new(other.value_type()))),
        }
    }

    pub(crate) fn set_of(self) -> Self {
        match self {
            Self::Single(schema) => Self::Set(schema),
            other => Self::Plain(Type::Set(Box::new(other.value_type()))),
        }
    }

    pub(crate) fn map_of(self) -> Self {
        match self {
            Self::Single(schema) => Self::Map(schema),
            other => Self::Plain(Type::Map(Box::new(other.value_type()))),
        }
    }
}

impl Schema {
    /// What a block is that nobody wrote: null attributes, no blocks inside.
    pub(crate) fn empty(&self) -> Value {
        let one = |attribute: &Attribute| (attribute.name.to_owned(), attribute.absent());
        Value::Map(self.attributes.iter().map(one).collect())
    }

    /// The object type of all attributes.
    pub fn value_type(&self) -> &Type {
        let one = |attribute: &Attribute| (attribute.name.to_owned(), attribute.shape.value_type());
        self.of
            .get_or_init(|| Type::Object(self.attributes.iter().map(one).collect()))
    }

    /// Attributes that would carry a secret into state. Empty for a good resource or data source.
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = Vec::new();
        for attribute in self
            .attributes
            .iter()
            .filter(|attribute| !attribute.write_only)
        {
            if attribute.secret {
                leaks.push(format!(
                    "{}: a secret that is not write-only would be in state",
                    attribute.name
                ));
            }
            let inner = attribute.nested().map(Self::leaks).unwrap_or_default();
            leaks.extend(
                inner
                    .into_iter()
                    .map(|leak| format!("{}.{leak}", attribute.name)),
            );
        }
        leaks
    }

    /// An attribute by name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }
}

/// Whether core accepts this as the name of an attribute, function or parameter.
pub(crate) fn is_identifier(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
}

/// A default from a typed value: the derive calls it.
pub fn default_of<F: crate::Field>(value: &F) -> Option<Value> {
    Some(value.encode())
}

#[cfg(test)]
mod tests;
