//! How the cluster file is declared: fields, their shapes, defaults and meanings. The parser, the documentation table and
//! the JSON schema all read the one declaration in `declaration.rs`.

use crate::scalar::{Pattern, Scalar};

/// What may stand at one place of the file.
pub(crate) enum Shape {
    One(Scalar),
    List(&'static Shape),
    /// A map with keys of the user's choice.
    Map(&'static Pattern, &'static Shape),
    /// A map with declared keys.
    Record(&'static [Field]),
    /// A record that may be written as the value of one of its fields alone (`cp-1: control-plane`).
    Short(&'static str, &'static [Field]),
    /// `false`, `true`, or a record, which means `true`. The normalised record has `enabled`.
    Switch(&'static [Field]),
    /// A one-key map that chooses a kind, or the kind as a bare word; next to it the common fields.
    /// The normalised map has `kind` and, under the kind's name, its fields.
    Choice {
        kinds: &'static [Field],
        common: &'static [Field],
    },
    /// The first shape that a value has the outer form of.
    Either(&'static [Shape]),
    /// Not looked into (a future feature's free form).
    Any,
}

/// What holds when a field is absent or null.
#[derive(Clone, Copy)]
pub(crate) enum Default {
    /// Absence is a finding.
    Required,
    /// Null stays null; the text says what null means.
    Null(&'static str),
    /// The default, as it would be written in the file.
    Yaml(&'static str),
}

/// Whether this release can do what the field asks.
#[derive(Clone, Copy)]
pub(crate) enum Availability {
    Now,
    /// Parsed and checked, refused when it differs from the default.
    Later,
    /// Parsed and checked, refused when it is one of these words.
    LaterFor(&'static [&'static str]),
}

pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) default: Default,
    pub(crate) meaning: &'static str,
    pub(crate) availability: Availability,
    /// Platforms or distributions the field belongs to; empty for all.
    pub(crate) only: &'static [&'static str],
}

pub(crate) const fn required(name: &'static str, shape: Shape, meaning: &'static str) -> Field {
    Field {
        name,
        shape,
        default: Default::Required,
        meaning,
        availability: Availability::Now,
        only: &[],
    }
}

pub(crate) const fn optional(
    name: &'static str,
    shape: Shape,
    null_means: &'static str,
    meaning: &'static str,
) -> Field {
    Field {
        name,
        shape,
        default: Default::Null(null_means),
        meaning,
        availability: Availability::Now,
        only: &[],
    }
}

pub(crate) const fn defaulted(
    name: &'static str,
    shape: Shape,
    default: &'static str,
    meaning: &'static str,
) -> Field {
    Field {
        name,
        shape,
        default: Default::Yaml(default),
        meaning,
        availability: Availability::Now,
        only: &[],
    }
}

impl Field {
    pub(crate) const fn later(mut self) -> Self {
        self.availability = Availability::Later;
        self
    }

    pub(crate) const fn later_for(mut self, words: &'static [&'static str]) -> Self {
        self.availability = Availability::LaterFor(words);
        self
    }

    pub(crate) const fn only(mut self, kinds: &'static [&'static str]) -> Self {
        self.only = kinds;
        self
    }
}
