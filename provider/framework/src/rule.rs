//! Rules over several attributes of one object: which exclude each other, which belong together.
//!
//! `#[schema(exclusive("a", "b"))]` on the struct. Null means "not set"; an unknown value may turn out either way, so a rule
//! that depends on it passes and is looked at again when it is known.

use crate::path::{Path, Step};
use crate::{Diagnostics, Value};

/// One rule, with the attributes it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// At most one of them is set.
    Exclusive(&'static [&'static str]),
    /// Exactly one of them is set.
    ExactlyOne(&'static [&'static str]),
    /// One or more of them are set.
    AtLeastOne(&'static [&'static str]),
    /// All of them are set, or none.
    Together(&'static [&'static str]),
}

impl Rule {
    /// The attributes it is about.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Exclusive(names)
            | Self::ExactlyOne(names)
            | Self::AtLeastOne(names)
            | Self::Together(names) => names,
        }
    }

    /// The rule as a sentence, for documentation and messages.
    pub fn sentence(self) -> String {
        let names = self
            .names()
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        match self {
            Self::Exclusive(_) => format!("Set at most one of {names}."),
            Self::ExactlyOne(_) => format!("Set exactly one of {names}."),
            Self::AtLeastOne(_) => format!("Set at least one of {names}."),
            Self::Together(_) => format!("Set all of {names}, or none."),
        }
    }

    /// Checks the object at `path`.
    pub(crate) fn check(self, object: &Value, path: &Path, found: &mut Diagnostics) {
        let names = self.names();
        let is_set = |name: &&&str| {
            let value = object.get(name);
            !value.is_unknown() && !value.is_unset()
        };
        let set: Vec<_> = names.iter().filter(is_set).collect();
        let open = names.iter().any(|name| object.get(name).is_unknown());
        let (broken, at) = match self {
            Self::Exclusive(_) => (set.len() > 1, set.last()),
            Self::ExactlyOne(_) => (set.len() > 1 || (set.is_empty() && !open), set.last()),
            Self::AtLeastOne(_) => (set.is_empty() && !open, None),
            Self::Together(_) => {
                let missing = names.len() - set.len();
                (!set.is_empty() && missing > 0 && !open, set.first())
            }
        };
        if broken {
            let which = match set.as_slice() {
                [] => "None is set.".to_owned(),
                set => {
                    let set = set
                        .iter()
                        .map(|name| format!("`{name}`"))
                        .collect::<Vec<_>>();
                    format!("Set now: {}.", set.join(", "))
                }
            };
            // One of the attributes is where to look; with none set it is the object.
            let place = at.map_or(path.clone(), |name| {
                path.with(Step::Attribute((**name).to_owned()))
            });
            let summary = match self {
                Self::Together(_) => "Attributes belong together",
                _ if set.is_empty() => "Missing attribute",
                _ => "Attributes exclude each other",
            };
            let sentence = self.sentence().replace('`', "\"");
            found.merge(
                Diagnostics::error(summary, format!("{sentence} {}", which.replace('`', "\"")))
                    .at(place),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rule;
    use crate::{Diagnostics, Path, Value};

    fn told(rule: Rule, a: Value, b: Value) -> Option<String> {
        let mut found = Diagnostics::none();
        rule.check(
            &Value::object([("a", a), ("b", b)]),
            &Path::root(),
            &mut found,
        );
        found.has_errors().then(|| found.to_string())
    }

    #[test]
    fn each_rule_over_two_attributes() {
        const NAMES: &[&str] = &["a", "b"];
        let (set, unset) = (|| Value::Bool(true), || Value::Null);
        let unknown = || Value::UNKNOWN;
        for (rule, both, one, none, one_open, all_open) in [
            (Rule::Exclusive(NAMES), false, true, true, true, true),
            (Rule::ExactlyOne(NAMES), false, true, false, true, true),
            (Rule::AtLeastOne(NAMES), true, true, false, true, true),
            (Rule::Together(NAMES), true, false, true, true, true),
        ] {
            assert_eq!(told(rule, set(), set()).is_none(), both, "{rule:?} both");
            assert_eq!(told(rule, set(), unset()).is_none(), one, "{rule:?} one");
            assert_eq!(
                told(rule, unset(), unset()).is_none(),
                none,
                "{rule:?} none"
            );
            assert_eq!(
                told(rule, set(), unknown()).is_none(),
                one_open,
                "{rule:?} one open"
            );
            assert_eq!(
                told(rule, unknown(), unknown()).is_none(),
                all_open,
                "{rule:?} all open"
            );
        }
    }

    #[test]
    fn the_message_says_the_rule_and_what_is_set() {
        let text = told(
            Rule::Exclusive(&["a", "b"]),
            Value::Bool(true),
            Value::Bool(true),
        );
        assert_eq!(
            text.as_deref(),
            Some(
                "Attributes exclude each other: Set at most one of \"a\", \"b\". Set now: \"a\", \"b\". (at b)"
            )
        );
    }
}
