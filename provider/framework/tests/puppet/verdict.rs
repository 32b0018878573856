//! Core's verdict, read from its text, and ours, in the same terms: at which step, where, and which law.

use std::collections::BTreeSet;

use strata_framework::inside::{Fault, Law};
use strata_framework::{Path, Step};

use super::Told;

/// When something is judged, with the title core gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum When {
    Plan,
    SecondPlan,
    Apply,
}

/// A broken law.
pub(crate) type Broken = (When, String, Law);

/// A path as core writes it. A key of nested attributes is an attribute to core, so keys are written like those.
pub(crate) fn path_text(path: &Path) -> String {
    let one = |step: &Step| match step {
        Step::Attribute(name) | Step::Key(name) => format!(".{name}"),
        Step::Index(index) => format!("[{index}]"),
    };
    path.steps().iter().map(one).collect()
}

/// Our faults in these terms.
pub(crate) fn ours(when: When, faults: &[Fault]) -> BTreeSet<Broken> {
    faults
        .iter()
        .map(|fault| (when, path_text(&fault.path), fault.law))
        .collect()
}

/// What core says of one object; `None` is for what is not about it.
pub(crate) fn cores(told: &Told, address: &str) -> Option<Broken> {
    let text = told.detail.split("\n\n").next().unwrap_or_default();
    let between = |start: &str, end: &str| {
        let (_, rest) = text.split_once(start)?;
        // A longer address begins alike.
        if rest.starts_with(|next: char| next.is_ascii_alphanumeric()) {
            return None;
        }
        let (inside, after) = rest.split_once(end)?;
        Some((inside.to_owned(), after.trim_end_matches('.').to_owned()))
    };
    match told.summary.as_str() {
        "Provider produced invalid plan" if text.contains("write-only attribute \"") => {
            let (path, _) = between(&format!("attribute \"{address}"), "\" during planning")?;
            Some((When::Plan, plain(&path), Law::WriteOnly))
        }
        "Provider produced invalid plan" => {
            let (path, message) =
                between(&format!("planned an invalid value for {address}"), ": ")?;
            Some(located(When::Plan, &path, &message))
        }
        "Provider produced inconsistent final plan" => {
            text.contains(&format!("When expanding the plan for {address} to include"))
                .then_some(())?;
            let (path, message) = between("produced an invalid new value for", ": ")?;
            Some(located(When::SecondPlan, path.trim_start(), &message))
        }
        "Provider produced inconsistent result after apply" => {
            text.contains(&format!("When applying changes to {address},"))
                .then_some(())?;
            let (_, rest) = text.split_once("produced an unexpected new value: ")?;
            let (path, message) = match rest.split_once(": ") {
                Some((path, message)) if path.starts_with('.') => (path, message),
                _ => ("", rest),
            };
            Some(located(When::Apply, path, message.trim_end_matches('.')))
        }
        "Provider returned invalid result object after apply" => {
            let (path, _) = between(&format!("unknown value for {address}"), ". All values")?;
            Some((When::Apply, plain(&path), Law::Unknown))
        }
        "Provider produced invalid object" => {
            let (path, _) = between(&format!("attribute \"{address}"), "\" after apply")?;
            Some((When::Apply, plain(&path), Law::WriteOnly))
        }
        other => panic!("no law of ours has the title {other:?}: {text}"),
    }
}

/// Keys like attributes, and nothing after a set.
fn plain(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(open) = rest.find('[') {
        out += &rest[..open];
        let Some((inside, after)) = rest[open + 1..].split_once(']') else {
            break;
        };
        match inside.strip_prefix('"') {
            Some(key) => out.extend([".", key.trim_end_matches('"')]),
            None if inside.parse::<usize>().is_ok() => out.extend(["[", inside, "]"]),
            // An element of a set: it has no address.
            None => return out,
        }
        rest = after;
    }
    out + rest
}

fn located(when: When, path: &str, message: &str) -> Broken {
    let path = plain(path);
    // Core names the collection, we name the element.
    let element = |before: &str, after: &str| {
        let key = message.strip_prefix(before)?.strip_suffix(after)?;
        let step = if key.starts_with('"') {
            format!(".{}", key.trim_matches('"'))
        } else {
            format!("[{key}]")
        };
        Some(format!("{path}{step}"))
    };
    if let Some(path) = element("element ", " has vanished") {
        return (when, path, Law::Vanished);
    }
    if let Some(path) = element("new element ", " has appeared") {
        return (when, path, Law::Appeared);
    }
    // The other way round: one fault of ours names all keys.
    if let Some(key) = message
        .strip_prefix("block key ")
        .and_then(|rest| rest.strip_suffix(" from plan is not present in config"))
    {
        let collection = path
            .strip_suffix(&format!(".{}", key.trim_matches('"')))
            .unwrap_or(&path);
        return (when, collection.to_owned(), Law::ConfiguredKeys);
    }
    (when, path, law(message))
}

/// Which law core speaks of.
fn law(message: &str) -> Law {
    let phrases = [
        (
            "planned for absence but config wants existence",
            Law::PlannedAbsent,
        ),
        (
            "planned for existence but config wants absence",
            Law::PlannedPresent,
        ),
        (
            "planned value for write-only attribute is not null",
            Law::WriteOnly,
        ),
        ("for a non-computed attribute", Law::NotComputed),
        ("does not match config value", Law::NotConfigured),
        ("planned unknown for configured value", Law::PlannedUnknown),
        ("count in plan", Law::ConfiguredCount),
        ("from plan is not present in config", Law::ConfiguredKeys),
        ("from config is not present in plan", Law::ConfiguredKeys),
        (
            "must be empty to indicate no blocks, not null",
            Law::NullBlocks,
        ),
        ("must not be unknown itself", Law::UnknownBlock),
        ("for unknown dynamic block", Law::UnknownBlocks),
        ("was present, but now absent", Law::Vanished),
        ("was absent, but now present", Law::Appeared),
        ("was known, but now unknown", Law::Forgotten),
        ("wrong final value type", Law::ChangedType),
        ("does not conform to planning placeholder", Law::Promise),
        ("block count changed", Law::ChangedCount),
        ("does not correlate with any element in", Law::ChangedMember),
        ("length changed from", Law::Grown),
        ("inconsistent values for sensitive attribute", Law::Changed),
        (", but now", Law::Changed),
    ];
    let found = phrases.iter().find(|(phrase, _)| message.contains(phrase));
    found
        .unwrap_or_else(|| panic!("no law of ours says {message:?}"))
        .1
}
