//! Schemas: what attributes there are, and the rules the plan pipeline applies to each.
//!
//! Made by `#[derive(Schema)]`; [`Schema::faults`] checks what core would refuse, and the registry calls it when the
//! provider is built.

use std::collections::BTreeSet;

use crate::validate::Validator;
use crate::{Type, Value};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replace {
    /// Never: it updates in place.
    #[default]
    Never,
    /// Always.
    Changed,
    /// Only when the user set the attribute.
    ChangedAndConfigured,
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
    /// Value when the configuration is null.
    pub default: Option<Value>,
    /// When a change replaces the resource.
    pub replace: Replace,
    /// Whether an unknown planned value becomes the prior one.
    pub keep_prior: bool,
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
            default: None,
            replace: Replace::Never,
            keep_prior: false,
            recorded: false,
            for_import: false,
            validators: Vec::new(),
            deprecated: None,
        }
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
            Shape::Single(schema) | Shape::List(schema) | Shape::Map(schema) => Some(schema),
        }
    }
}

impl Shape {
    /// The type of a value of this shape.
    pub fn value_type(&self) -> Type {
        match self {
            Self::Plain(of) => of.clone(),
            Self::Single(schema) => schema.value_type(),
            Self::List(schema) => Type::List(Box::new(schema.value_type())),
            Self::Map(schema) => Type::Map(Box::new(schema.value_type())),
        }
    }

    /// The type of a list of this shape, or a map: how `Vec<T>` and `BTreeMap<String, T>` nest.
    pub(crate) fn list_of(self) -> Self {
        match self {
            Self::Single(schema) => Self::List(schema),
            other => Self::Plain(Type::List(Box::new(other.value_type()))),
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
    /// The object type of all attributes.
    pub fn value_type(&self) -> Type {
        let one = |attribute: &Attribute| (attribute.name.to_owned(), attribute.shape.value_type());
        Type::Object(self.attributes.iter().map(one).collect())
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

    /// Everything core would refuse, in our words. Empty for a good schema.
    pub fn faults(&self, reserved: &[&str]) -> Vec<String> {
        let mut faults = Vec::new();
        if self.version < 0 {
            faults.push("version is negative".to_owned());
        }
        let mut seen = BTreeSet::new();
        for attribute in &self.attributes {
            let name = attribute.name;
            let mut fault = |text: &str| faults.push(format!("{name}: {text}"));
            if !is_identifier(name) {
                fault("not an identifier of lower case letters, digits and underscores");
            }
            if reserved.contains(&name) {
                fault("a name that Terraform reserves");
            }
            if !seen.insert(name) {
                fault("declared twice");
            }
            if attribute.default.is_some() && attribute.mode != Mode::OptionalComputed {
                fault("a default needs optional and computed");
            }
            if attribute.write_only && (attribute.is_computed() || attribute.block) {
                fault("write-only excludes computed and blocks");
            }
            if attribute.block && !matches!(attribute.shape, Shape::List(_)) {
                fault("a block is a list of nested objects");
            }
            if let Some(nested) = attribute.nested() {
                let in_list = matches!(attribute.shape, Shape::List(_));
                for inner in &nested.attributes {
                    // Elements are matched by index, not by object: the prior value would be another object's.
                    if in_list && inner.keep_prior {
                        fault(&format!(
                            "{} keeps its prior value inside a list",
                            inner.name
                        ));
                    }
                    if attribute.write_only && !inner.write_only {
                        fault(&format!("{} must be write-only as well", inner.name));
                    }
                    if inner.block && !attribute.block {
                        fault(&format!("{} is a block inside an attribute", inner.name));
                    }
                }
                faults.extend(
                    nested
                        .faults(&[])
                        .into_iter()
                        .map(|inner| format!("{name}.{inner}")),
                );
            } else if let Shape::Plain(Type::Set(element)) = &attribute.shape
                && has_dynamic(element)
            {
                faults.push(format!("{name}: a set cannot hold dynamic values"));
            }
        }
        faults
    }
}

fn has_dynamic(of: &Type) -> bool {
    match of {
        Type::Dynamic => true,
        Type::List(inner) | Type::Set(inner) | Type::Map(inner) => has_dynamic(inner),
        Type::Tuple(inner) => inner.iter().any(has_dynamic),
        Type::Object(inner) => inner.values().any(has_dynamic),
        Type::String | Type::Bool | Type::Number => false,
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
