//! References between secrets: `${KEY}` in the same folder, `${environment.folder.KEY}` elsewhere.
//!
//! A write may only refer to what exists. A read follows references ten deep; a cycle or a missing target stays as literal text.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::ENVIRONMENTS;
use super::error::Refusal;
use super::folder::{Folders, Place};
use super::rights::{Denials, Right};

/// How deep references are followed.
const DEEPEST: usize = 10;

static REFERENCE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{([A-Za-z0-9_.-]+)\}").expect("a fixed pattern"));

/// Folder and key that a reference means, seen from a folder.
fn target(text: &str, from: &Place) -> (Place, String) {
    let words: Vec<&str> = text.split('.').collect();
    match words.as_slice() {
        [environment, folders @ .., key] => (
            Place::new(environment, &folders.join("/")),
            (*key).to_owned(),
        ),
        _ => (from.clone(), text.to_owned()),
    }
}

/// Refuses a value that refers to what does not exist.
pub(super) fn check(folders: &Folders, value: &str, from: &Place) -> Result<(), Refusal> {
    let targets = REFERENCE
        .captures_iter(value)
        .map(|found| target(&found[1], from));
    let targets: Vec<(Place, String)> = targets.collect();
    let known = |slug: &String| ENVIRONMENTS.iter().any(|(known, _)| known == slug);
    let strangers: Vec<&str> = targets
        .iter()
        .map(|(place, _)| &place.environment)
        .filter(|slug| !known(slug))
        .map(String::as_str)
        .collect();
    if !strangers.is_empty() {
        let missing = strangers.join(",");
        return Err(Refusal::bad(format!(
            "Referenced environment not found. Missing {missing}"
        )));
    }
    if let Some((place, _)) = targets
        .iter()
        .find(|(place, _)| !folders.contains_key(place))
    {
        let message = format!("Referenced path {} doesn't exist", place.path);
        return Err(Refusal::bad(message));
    }
    let missing: Vec<&str> = targets
        .iter()
        .filter(|(place, key)| folders[place].secret(key).is_none())
        .map(|(_, key)| key.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(",");
    Err(Refusal::bad(format!(
        "Referenced secret(s) not found: {missing}"
    )))
}

/// The value with its references replaced; 403 where one leads to what the identity may not read.
pub(super) fn expand(
    folders: &Folders,
    denials: &Denials,
    value: &str,
    from: &Place,
) -> Result<String, Refusal> {
    follow(folders, denials, value, from, &mut Vec::new())
}

fn follow(
    folders: &Folders,
    denials: &Denials,
    value: &str,
    from: &Place,
    trail: &mut Vec<(Place, String)>,
) -> Result<String, Refusal> {
    let mut refused = None;
    let expanded = REFERENCE.replace_all(value, |found: &Captures<'_>| {
        let literal = found[0].to_owned();
        let step = target(&found[1], from);
        if trail.len() >= DEEPEST || trail.contains(&step) || refused.is_some() {
            return literal;
        }
        let Some(secret) = folders
            .get(&step.0)
            .and_then(|folder| folder.secret(&step.1))
        else {
            return literal;
        };
        if let Err(refusal) = denials.require(Right::ReadValue, &step.0) {
            refused = Some(refusal);
            return literal;
        }
        let place = step.0.clone();
        trail.push(step);
        let inner = follow(folders, denials, &secret.latest().value, &place, trail);
        trail.pop();
        match inner {
            Ok(inner) => inner,
            Err(refusal) => {
                refused = Some(refusal);
                literal
            }
        }
    });
    let expanded = expanded.into_owned();
    refused.map_or(Ok(expanded), Err)
}
