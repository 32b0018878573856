//! A broken law of Terraform: where, which law, and the values, in words for the author of the provider.
//!
//! Values of sensitive and write-only attributes are never shown, nor those of what contains one; long values are cut.

use std::fmt::{self, Write as _};

use crate::path::{Path, Step};
use crate::schema::{Attribute, Schema};
use crate::{Diagnostics, Value};

/// Longer values are cut: the reader needs to recognise the value, not to read it all.
const LONGEST_SHOWN: usize = 80;

/// More faults than this are counted, not listed.
const MOST_LISTED: usize = 20;

/// The laws that core holds providers to (contract: tfplugin6, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// Planned null although the configuration wants it.
    PlannedAbsent,
    /// Planned although the configuration leaves it out.
    PlannedPresent,
    /// Planned although not configured and not computed.
    NotComputed,
    /// Neither the configured nor the prior value.
    NotConfigured,
    /// A configured nested value planned unknown as a whole.
    PlannedUnknown,
    /// Not as many elements or blocks as configured.
    ConfiguredCount,
    /// Not the keys that are configured.
    ConfiguredKeys,
    /// A collection of blocks is null.
    NullBlocks,
    /// A block is unknown as a whole.
    UnknownBlock,
    /// Blocks planned although their number is not known yet.
    UnknownBlocks,
    /// A replacement asked for at a place that is in neither value.
    NoSuchPlace,
    /// Planned, and gone after apply.
    Vanished,
    /// Not planned, and there after apply.
    Appeared,
    /// Another value than planned.
    Changed,
    /// A value of another type than planned.
    ChangedType,
    /// Planned with another number of blocks.
    ChangedCount,
    /// An element of a set that nothing in the other set corresponds to.
    ChangedMember,
    /// A set with more elements than planned.
    Grown,
    /// Known in the plan, unknown now.
    Forgotten,
    /// Not what the plan promised of the unknown value.
    Promise,
    /// Unknown where everything must be known.
    Unknown,
    /// A write-only value that would be kept.
    WriteOnly,
    /// A null element in which core looks for a sensitive or write-only value.
    NullElement,
    /// No object where one is needed.
    NoObject,
    /// An object where there must be none.
    StillThere,
}

impl Law {
    fn sentence(self) -> &'static str {
        match self {
            Self::PlannedAbsent => "planned null although it is configured",
            Self::PlannedPresent => "planned although the configuration leaves it out",
            Self::NotComputed => {
                "planned although the configuration does not set it and it is not computed"
            }
            Self::NotConfigured => "planned differently from both configuration and prior state",
            Self::PlannedUnknown => "planned unknown although it is configured",
            Self::ConfiguredCount => "planned with another number of elements than configured",
            Self::ConfiguredKeys => "planned with other keys than configured",
            Self::NullBlocks => "no blocks are an empty collection, never null",
            Self::UnknownBlock => "a block is never unknown itself, only the attributes in it",
            Self::UnknownBlocks => "planned although it is not known yet how many blocks there are",
            Self::NoSuchPlace => {
                "a change here is to replace the object, but neither prior state nor plan has this place"
            }
            Self::Vanished => "planned, but gone from the result",
            Self::Appeared => "not planned, but in the result",
            Self::Changed => "the result differs from the plan",
            Self::ChangedType => "the result has another type than planned",
            Self::ChangedCount => "the result has another number of blocks than planned",
            Self::ChangedMember => "the result has other elements than planned",
            Self::Grown => "the result has more elements than planned",
            Self::Forgotten => "known in the plan, but unknown in the result",
            Self::Promise => "the result is not what the plan promised of the unknown value",
            Self::Unknown => "still unknown",
            Self::WriteOnly => "a write-only value is in the answer, where it would be kept",
            Self::NullElement => {
                "a null element among nested attributes with a sensitive or write-only one, on which Terraform crashes"
            }
            Self::NoObject => "there is no object",
            Self::StillThere => "deleted, but still an object",
        }
    }
}

/// A law that is broken at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where. The root is the object itself.
    pub path: Path,
    /// Which law.
    pub law: Law,
    /// The values that show it: whose, and the value as shown.
    pub values: Vec<(&'static str, String)>,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.steps().is_empty() {
            write!(out, "{}: ", self.path)?;
        }
        out.write_str(self.law.sentence())?;
        for (position, (whose, value)) in self.values.iter().enumerate() {
            let before = if position == 0 { " (" } else { ", " };
            write!(out, "{before}{whose}: {value}")?;
        }
        out.write_str(if self.values.is_empty() { "" } else { ")" })
    }
}

/// Faults as they are found, with whole values: what may be shown is decided at the end, by the schema of the whole.
#[derive(Default)]
pub(super) struct Found(Vec<(Path, Law, Values)>);

/// Whose value, and the value.
type Values = Vec<(&'static str, Value)>;

impl Found {
    pub(super) fn add(&mut self, path: &Path, law: Law, values: &[(&'static str, &Value)]) {
        let values = values
            .iter()
            .map(|(whose, value)| (*whose, (*value).clone()));
        self.0.push((path.clone(), law, values.collect()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_faults(self, schema: &Schema) -> Vec<Fault> {
        let one = |(path, law, values): (Path, Law, Values)| {
            let hidden = is_hidden(schema, &path);
            let show = |value: &Value| {
                if hidden {
                    "(sensitive)".to_owned()
                } else {
                    shown(value)
                }
            };
            let values = values
                .iter()
                .map(|(whose, value)| (*whose, show(value)))
                .collect();
            Fault { path, law, values }
        };
        self.0.into_iter().map(one).collect()
    }
}

/// Whether the value at this place is, is inside, or holds a value that must not be shown.
fn is_hidden(schema: &Schema, path: &Path) -> bool {
    let secret = |one: &Attribute| one.sensitive || one.secret || one.write_only;
    // `None` inside plain types, which have no marks of their own.
    let mut here = Some(schema);
    for step in path.steps() {
        let Step::Attribute(name) = step else {
            continue;
        };
        let Some(attribute) = here.and_then(|schema| schema.attribute(name)) else {
            here = None;
            continue;
        };
        if secret(attribute) {
            return true;
        }
        here = attribute.nested();
    }
    here.is_some_and(|schema| schema.any(&secret))
}

/// A value as a person would write it, cut when it is long.
fn shown(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn write_value(out: &mut String, value: &Value) {
    // What is cut anyway need not be written.
    if out.len() > 4 * LONGEST_SHOWN {
        return;
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Unknown(_) => out.push_str("(unknown)"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(number.text()),
        Value::String(text) => {
            let _ = write!(out, "{text:?}");
        }
        Value::List(elements) => {
            out.push('[');
            for (position, element) in elements.iter().enumerate() {
                out.push_str(if position > 0 { ", " } else { "" });
                write_value(out, element);
            }
            out.push(']');
        }
        Value::Map(elements) => {
            out.push('{');
            for (position, (name, element)) in elements.iter().enumerate() {
                out.push_str(if position > 0 { ", " } else { "" });
                let _ = write!(out, "{name} = ");
                write_value(out, element);
            }
            out.push('}');
        }
        Value::Dynamic(dynamic) => write_value(out, &dynamic.value),
    }
}

/// The faults as one message: what broke the rules, on which resource, and that its author is to blame.
pub(crate) fn diagnostics(what: &str, faults: &[Fault]) -> Diagnostics {
    let mut text = format!("{what} breaks Terraform's rules:");
    for fault in faults.iter().take(MOST_LISTED) {
        let _ = write!(text, "\n  - {fault}");
    }
    if faults.len() > MOST_LISTED {
        let _ = write!(text, "\n  - and {} more", faults.len() - MOST_LISTED);
    }
    let told = Diagnostics::bug(text);
    match faults {
        [only] if !only.path.steps().is_empty() => told.at(only.path.clone()),
        _ => told,
    }
}
