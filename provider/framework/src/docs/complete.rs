//! What documentation must say. A gap is a sentence that names the place, as in [`crate::Registry::faults`].

use super::example::{Sources, imported};
use super::page::{self};
use super::text::Text;
use super::{Item, Kind, function as functions};
use crate::erased::AnyFunction;
use crate::schema::{Attribute, Mode};
use crate::{Schema, Type};

/// Words that tell what a number counts. Terms of art (port, version) count themselves.
const UNITS: [&str; 14] = [
    "second",
    "minute",
    "hour",
    "day",
    "byte",
    "GiB",
    "MiB",
    "port",
    "version",
    "percent",
    "number of",
    "how many",
    "index",
    "factor",
];

pub(super) fn provider(schema: &Schema, sources: &Sources, missing: &mut Vec<String>) {
    let mut gap = |text: String| missing.push(format!("provider: {text}"));
    texts(&Text::parse(schema.description), &mut gap);
    if sources.example("provider", "provider.tf").is_none() {
        gap("no example in examples/provider/provider.tf".to_owned());
    }
    attributes(schema, "", &mut gap);
}

pub(super) fn item(item: &Item<'_>, sources: &Sources, missing: &mut Vec<String>) {
    let mut gap =
        |text: String| missing.push(format!("{} {}: {text}", item.kind.word(), item.name));
    let text = Text::parse(item.schema.description);
    texts(&text, &mut gap);
    if item.subcategory.is_empty() {
        gap("no SUBCATEGORY, under which the registry lists it".to_owned());
    }
    if page::example(item, sources).is_none() {
        gap(format!(
            "no example in examples/{}/{}",
            item.kind.folder(),
            item.name
        ));
    }
    if text.section("Permissions").is_none_or(str::is_empty) {
        gap("no section `# Permissions`: what the credentials must be allowed to do".to_owned());
    }
    if item.kind == Kind::Resource {
        import(&text, sources.import(item.name), item.name, &mut gap);
        if item.identity.is_some() && sources.import_by_identity(item.name).is_none() {
            gap(format!(
                "no examples/resources/{}/import-by-identity.tf",
                item.name
            ));
        }
    }
    if let Some(identity) = item.identity {
        attributes(identity, "identity.", &mut gap);
    }
    attributes(item.schema, "", &mut gap);
}

pub(super) fn function(
    name: &str,
    function: &dyn AnyFunction,
    sources: &Sources,
    missing: &mut Vec<String>,
) {
    let mut gap = |text: String| missing.push(format!("function {name}: {text}"));
    let whole = format!("{}\n\n{}", function.summary(), function.description());
    texts(&Text::parse(&whole), &mut gap);
    if functions::example(name, sources).is_none() {
        gap(format!("no example in examples/functions/{name}"));
    }
    for (parameter, _) in function.parameters() {
        if let Some(fault) = sentence(parameter.description) {
            gap(format!("argument {}: {fault}", parameter.name));
        }
    }
}

fn texts(text: &Text<'_>, gap: &mut impl FnMut(String)) {
    if let Some(fault) = sentence(text.title) {
        gap(format!("title: {fault}"));
    }
    if text.introduction.is_empty() {
        gap("no description after the title".to_owned());
    }
    for (heading, content) in &text.sections {
        if content.is_empty() {
            gap(format!("section {heading} is empty"));
        }
    }
}

/// Every resource says how it is imported, or that it cannot be; an example shows the former.
fn import(text: &Text<'_>, script: Option<&str>, name: &str, gap: &mut impl FnMut(String)) {
    let Some(section) = text.section("Import") else {
        gap(
            "no section `# Import`: the form of the id, or \"Cannot be imported\" and why"
                .to_owned(),
        );
        return;
    };
    match (section.starts_with("Cannot be imported"), script) {
        (true, Some(_)) => gap("has an import.sh and says that it cannot be imported".to_owned()),
        (false, None) => gap(format!("no examples/resources/{name}/import.sh")),
        (false, Some(script)) => {
            let address = imported(script).map(|(address, _)| address);
            if !address.is_some_and(|address| address.starts_with(&format!("{name}."))) {
                gap("import.sh has no line `terraform import ADDRESS ID` for it".to_owned());
            }
        }
        (true, None) => {}
    }
}

fn attributes(schema: &Schema, path: &str, gap: &mut impl FnMut(String)) {
    for attribute in &schema.attributes {
        let place = format!("{path}{}", attribute.name);
        if let Some(fault) = attribute_fault(attribute) {
            gap(format!("{place}: {fault}"));
        }
        if let Some(inner) = attribute.nested() {
            attributes(inner, &format!("{place}."), gap);
        }
    }
}

fn attribute_fault(attribute: &Attribute) -> Option<&'static str> {
    let text = attribute.description;
    if let Some(fault) = sentence(text) {
        return Some(fault);
    }
    let lower = text.to_lowercase();
    let says = |words: &[&str]| {
        words
            .iter()
            .any(|word| lower.contains(&word.to_lowercase()))
    };
    if attribute.shape.value_type() == Type::Number && !says(&UNITS) {
        return Some("does not say what the number counts (seconds, bytes, a port, ...)");
    }
    let is_timeout = attribute.name == "timeouts" || says(&["may take"]);
    if attribute.mode == Mode::Optional && !is_timeout && !says(&["default", "without", "only"]) {
        return Some("does not say what holds without it (\"Default: ...\", \"Without it ...\")");
    }
    let stated = [
        (attribute.default.is_some(), "default:"),
        (
            matches!(
                attribute.replace,
                crate::schema::Replace::Changed | crate::schema::Replace::ChangedAndConfigured
            ),
            "change replaces",
        ),
    ];
    if stated
        .iter()
        .any(|(in_schema, words)| *in_schema && says(&[words]))
    {
        return Some("repeats what its schema says: the page tells default and replacement itself");
    }
    None
}

/// What is wrong with a description that should be sentences.
fn sentence(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        Some("no description")
    } else if !text.trim_end().ends_with(['.', ':', '`', '|']) || text.trim_end().ends_with("..") {
        Some("does not end with a period")
    } else if text.starts_with(|first: char| first.is_lowercase()) {
        Some("does not begin as a sentence")
    } else {
        None
    }
}
