//! The section "Schema": attributes in three groups, nested schemas below with the registry's anchors.

use std::fmt::Write as _;

use super::attribute::{duration, line};
use crate::Schema;
use crate::resource::Limit;
use crate::schema::{Attribute, Mode};

const GROUPS: [(&str, &[Mode]); 3] = [
    ("Required", &[Mode::Required]),
    ("Optional", &[Mode::Optional, Mode::OptionalComputed]),
    ("Read-Only", &[Mode::Computed]),
];

/// The section without its heading.
pub(super) fn section(schema: &Schema, limit: Option<Limit>) -> String {
    let mut out = String::new();
    groups(schema, &[], limit, &mut out);
    nested(schema, &[], limit, &mut out);
    out.trim_end().to_owned()
}

/// The attributes of an identity, which has no nested ones.
pub(super) fn identity(schema: &Schema) -> String {
    let mut out = String::new();
    groups(schema, &["identity"], None, &mut out);
    out.trim_end().to_owned()
}

fn groups(schema: &Schema, path: &[&str], limit: Option<Limit>, out: &mut String) {
    for (heading, modes) in GROUPS {
        if modes == [Mode::Computed] {
            // After what the user may set.
            for rule in &schema.rules {
                let _ = write!(out, "{}\n\n", rule.sentence());
            }
        }
        let mut group = schema
            .attributes
            .iter()
            .filter(|attribute| modes.contains(&attribute.mode))
            .peekable();
        if group.peek().is_none() {
            continue;
        }
        // The registry's own generator writes headings at the top and plain lines in nested schemas.
        let _ = if path.is_empty() {
            write!(out, "### {heading}\n\n")
        } else {
            write!(out, "{heading}:\n\n")
        };
        for attribute in group {
            let anchor = attribute.nested().map(|_| anchor(attribute, path));
            let default = limit.and_then(|limit| default_of(limit, path, attribute.name));
            let _ = writeln!(
                out,
                "{}",
                line(attribute, anchor.as_deref(), default.as_deref())
            );
        }
        out.push('\n');
    }
}

fn nested(schema: &Schema, path: &[&str], limit: Option<Limit>, out: &mut String) {
    for attribute in &schema.attributes {
        let Some(inner) = attribute.nested() else {
            continue;
        };
        let below: Vec<&str> = path.iter().copied().chain([attribute.name]).collect();
        let _ = write!(
            out,
            "<a id=\"{}\"></a>\n### Nested Schema for `{}`\n\n",
            anchor(attribute, path),
            below.join(".")
        );
        groups(inner, &below, limit, out);
        nested(inner, &below, limit, out);
    }
}

fn anchor(attribute: &Attribute, path: &[&str]) -> String {
    let kind = if attribute.block {
        "nestedblock"
    } else {
        "nestedatt"
    };
    let names: Vec<&str> = path.iter().copied().chain([attribute.name]).collect();
    format!("{kind}--{}", names.join("--"))
}

/// What `timeouts.create` and its like are when nobody sets them.
fn default_of(limit: Limit, path: &[&str], name: &str) -> Option<String> {
    if path != ["timeouts"] {
        return None;
    }
    let length = match name {
        "create" => limit.create,
        "read" => limit.read,
        "update" => limit.update,
        "delete" => limit.delete,
        _ => return None,
    };
    Some(format!("\"{}\"", duration(length)))
}
