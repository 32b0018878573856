//! Where a value sits: the path that diagnostics and `requires_replace` point at.
//!
//! A set element cannot be addressed by Terraform; a path stops at the set.

use std::fmt;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Attribute or block of an object.
    Attribute(String),
    /// Key of a map.
    Key(String),
    /// Index of a list.
    Index(i64),
}

/// A path from the root of a resource. The empty path means the whole resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// The whole resource.
    pub fn root() -> Self {
        Self::default()
    }

    /// A top-level attribute.
    pub fn of(attribute: &str) -> Self {
        Self::default().attribute(attribute)
    }

    /// Descends into an attribute of an object.
    #[must_use]
    pub fn attribute(mut self, name: &str) -> Self {
        self.0.push(Step::Attribute(name.to_owned()));
        self
    }

    /// Descends into an element of a map.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// Descends into an element of a list.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        self.0
            .push(Step::Index(i64::try_from(index).unwrap_or(i64::MAX)));
        self
    }

    /// The steps, outermost first.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Puts a step in front: how decoders add where they were without building paths on success.
    pub(crate) fn prepend(&mut self, step: Step) {
        self.0.insert(0, step);
    }

    /// The path with one more step.
    pub(crate) fn with(&self, step: Step) -> Self {
        let mut path = self.clone();
        path.0.push(step);
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Attribute(name) if position == 0 => write!(out, "{name}")?,
                Step::Attribute(name) => write!(out, ".{name}")?,
                Step::Key(key) => write!(out, "[{key:?}]")?,
                Step::Index(index) => write!(out, "[{index}]")?,
            }
        }
        Ok(())
    }
}
