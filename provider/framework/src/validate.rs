//! Validators of single attributes: accepted words, ranges, lengths, patterns, formats, and functions on the typed value.
//!
//! Null and unknown values pass; inside collections every element is checked.

mod format;

use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use regex::Regex;

use crate::field::Source;
use crate::path::Step;
use crate::{Attr, Diagnostics, Field, Value};

type Check = dyn Fn(&Value) -> Result<(), String> + Send + Sync;

/// A check of one attribute, with the words for its documentation.
#[derive(Clone)]
pub struct Validator {
    /// What is accepted: "one of `a`, `b`". Empty when the attribute's own text says it.
    pub accepts: String,
    whole: bool,
    check: Arc<Check>,
}

impl fmt::Debug for Validator {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Validator({:?})", self.accepts)
    }
}

impl Validator {
    /// One of these words.
    pub fn one_of(words: &'static [&'static str]) -> Self {
        let accepts = format!(
            "one of {}",
            words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        let sentence = format!("Must be {}.", accepts.replace('`', "\""));
        let check = move |value: &Value| match value {
            Value::String(text) if !words.contains(&text.as_str()) => Err(sentence.clone()),
            _ => Ok(()),
        };
        Self {
            accepts,
            whole: false,
            check: Arc::new(check),
        }
    }

    /// A number in this range.
    pub fn range(range: impl RangeBounds<i64> + Send + Sync + 'static) -> Self {
        let accepts = spoken(&range);
        let sentence = format!("Must be {accepts}.");
        let check = move |value: &Value| match value {
            Value::Number(number)
                if !number
                    .to_i64()
                    .is_some_and(|number| range.contains(&number)) =>
            {
                Err(sentence.clone())
            }
            _ => Ok(()),
        };
        Self {
            accepts,
            whole: false,
            check: Arc::new(check),
        }
    }

    /// So many letters of a text, or elements of a collection.
    pub fn length(range: impl RangeBounds<i64> + Send + Sync + 'static) -> Self {
        let count = spoken(&range);
        let sentence =
            move |noun: &str, found: usize| format!("Must have {count} {noun}, has {found}.");
        let words = format!("length {}", spoken(&range));
        let check = move |value: &Value| {
            let (noun, found) = match value {
                Value::String(text) => ("characters", text.chars().count()),
                Value::List(elements) => ("elements", elements.len()),
                Value::Map(elements) => ("elements", elements.len()),
                _ => return Ok(()),
            };
            match i64::try_from(found) {
                Ok(count) if range.contains(&count) => Ok(()),
                _ => Err(sentence(noun, found)),
            }
        };
        Self {
            accepts: words,
            whole: true,
            check: Arc::new(check),
        }
    }

    /// Text in a format: `cidr`, `hostname`, `ip`, `ipv4`, `ipv6`, `rfc3339`, `url` or `uuid`.
    pub fn format(name: &'static str) -> Self {
        let format = format::named(name).expect("the derive knows the formats");
        let sentence = format!("Must be {}.", format.accepts.replace('`', "\""));
        let check = move |value: &Value| match value {
            Value::String(text) if !(format.check)(text) => Err(sentence.clone()),
            _ => Ok(()),
        };
        Self {
            accepts: format.accepts.to_owned(),
            whole: false,
            check: Arc::new(check),
        }
    }

    /// Text that matches this regular expression as a whole.
    pub fn pattern(pattern: &'static str) -> Self {
        let regex =
            Regex::new(&format!("^(?:{pattern})$")).expect("patterns are literals and tested");
        let check = move |value: &Value| match value {
            Value::String(text) if !regex.is_match(text) => Err(format!("Must match {pattern}.")),
            _ => Ok(()),
        };
        Self {
            accepts: format!("text matching `{pattern}`"),
            whole: false,
            check: Arc::new(check),
        }
    }

    /// A function on the typed value. The attribute's type is `Attr<F>`.
    pub fn typed<F: Field>(check: fn(&F) -> Result<(), String>) -> Self {
        let check = move |value: &Value| match F::decode(value, Source::State) {
            Ok(Attr::Known(typed)) => check(&typed),
            // A value that does not decode is reported by the decoder.
            _ => Ok(()),
        };
        Self {
            accepts: String::new(),
            whole: true,
            check: Arc::new(check),
        }
    }

    /// What is accepted, as a sentence of documentation; empty when the attribute's own text says it. `many`: the
    /// attribute is a collection.
    pub fn sentence(&self, many: bool) -> String {
        if self.accepts.is_empty() {
            String::new()
        } else if let Some(length) = self.accepts.strip_prefix("length ") {
            format!("Its length is {length}.")
        } else if many && !self.whole {
            format!("Each element: {}.", self.accepts)
        } else {
            format!("Accepts {}.", self.accepts)
        }
    }

    /// Runs the check and points at what it refuses.
    pub fn run(&self, value: &Value) -> Result<(), Diagnostics> {
        match value {
            Value::Null | Value::Unknown(_) => Ok(()),
            Value::List(elements) if !self.whole => {
                let mut found = Diagnostics::none();
                for (index, element) in (0..).zip(elements) {
                    found.take(
                        self.run(element)
                            .map_err(|inner| inner.under(&Step::Index(index))),
                    );
                }
                found.into_result()
            }
            Value::Map(elements) if !self.whole => {
                let mut found = Diagnostics::none();
                for (key, element) in elements {
                    found.take(
                        self.run(element)
                            .map_err(|inner| inner.under(&Step::Key(key.clone()))),
                    );
                }
                found.into_result()
            }
            value => (self.check)(value)
                .map_err(|sentence| Diagnostics::error("Invalid value", sentence)),
        }
    }
}

/// A range in words.
fn spoken(range: &impl RangeBounds<i64>) -> String {
    match (range.start_bound(), range.end_bound()) {
        (Bound::Included(low), Bound::Included(high)) if low == high => low.to_string(),
        (Bound::Included(low), Bound::Included(high)) => format!("from {low} to {high}"),
        (Bound::Included(low), Bound::Excluded(high)) => format!("from {low} to {}", high - 1),
        (Bound::Included(low), _) => format!("{low} or more"),
        (_, Bound::Included(high)) => format!("{high} or less"),
        (_, Bound::Excluded(high)) => format!("{} or less", high - 1),
        _ => "any number".to_owned(),
    }
}
