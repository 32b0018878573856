//! `Attr<T>`: null, unknown or known. Every model field is one.

use crate::Diagnostics;

/// One attribute's value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attr<T> {
    /// Not set.
    #[default]
    Null,
    /// Known only after apply.
    Unknown,
    /// Set.
    Known(T),
}

impl<T> Attr<T> {
    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// The known value. Null and unknown give `None`; use it where both mean "pass".
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// The known value, to change it.
    pub fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// The known value by value.
    pub fn into_known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// The value where the protocol promises it is known: required attributes and everything planned known, in create,
    /// read, update and delete. Anything else is our bug and becomes a diagnostic naming the attribute.
    pub fn require(&self, name: &str) -> Result<&T, Diagnostics> {
        let state = match self {
            Self::Known(value) => return Ok(value),
            Self::Null => "null",
            Self::Unknown => "unknown",
        };
        Err(Diagnostics::bug(format!(
            "Attribute {name} is {state} where it must be known."
        )))
    }

    /// Borrows the inside.
    pub fn as_ref(&self) -> Attr<&T> {
        match self {
            Self::Null => Attr::Null,
            Self::Unknown => Attr::Unknown,
            Self::Known(value) => Attr::Known(value),
        }
    }

    /// Changes the known value, keeps the other two.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Attr<U> {
        match self {
            Self::Null => Attr::Null,
            Self::Unknown => Attr::Unknown,
            Self::Known(value) => Attr::Known(change(value)),
        }
    }

    /// Sets the value if it is unknown: how a create or update fills what apply was left to tell.
    pub fn fill(&mut self, value: impl Into<Self>) {
        if self.is_unknown() {
            *self = value.into();
        }
    }

    /// The known value, or this one.
    pub fn unwrap_or(self, other: T) -> T {
        self.into_known().unwrap_or(other)
    }
}

impl<T: Clone + Default> Attr<T> {
    /// A copy of the known value, or the type's empty value.
    pub fn or_default(&self) -> T {
        self.known().cloned().unwrap_or_default()
    }
}

impl Attr<String> {
    /// The known text, or the empty string.
    pub fn text(&self) -> &str {
        self.known().map_or("", String::as_str)
    }
}

impl Attr<crate::Secret<String>> {
    /// The known secret, or the empty string, at the place that needs it.
    pub fn or_empty(&self) -> &str {
        self.known().map_or("", |secret| secret.expose())
    }
}

impl<T> From<T> for Attr<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl From<&str> for Attr<String> {
    fn from(value: &str) -> Self {
        Self::Known(value.to_owned())
    }
}

impl<T> From<Option<T>> for Attr<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Known)
    }
}
