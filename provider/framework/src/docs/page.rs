//! The pages of resources, data sources and ephemeral resources, and the index.

use std::fmt::Write as _;

use super::attribute::{duration, quoted};
use super::example::{Sources, imported};
use super::schema;
use super::text::Text;
use super::{Context, Item, Kind};
use crate::Schema;

/// The path of a page below `docs/`.
pub(super) fn path(provider: &str, item: &Item<'_>) -> String {
    let name = short(provider, item.name);
    format!("{}/{name}.md", item.kind.folder())
}

fn short<'a>(provider: &str, name: &'a str) -> &'a str {
    let rest = name.strip_prefix(provider);
    rest.and_then(|rest| rest.strip_prefix('_')).unwrap_or(name)
}

/// What the registry reads, and where the page comes from.
pub(super) fn front_matter(title: &str, subcategory: &str, description: &str) -> String {
    format!(
        "---\n# Generated from the code and examples/. Do not edit: the next run overwrites it.\n\
         page_title: \"{title}\"\nsubcategory: \"{subcategory}\"\ndescription: |-\n  {description}\n---\n"
    )
}

pub(super) fn page(context: &Context<'_>, item: &Item<'_>) -> String {
    let (provider, sources) = (context.provider, context.sources);
    let text = Text::parse(item.schema.description);
    let title = format!("{} {} - {provider}", item.name, item.kind.title());
    let mut out = front_matter(&title, item.subcategory, text.title);
    let _ = write!(out, "\n# {} ({})\n", item.name, item.kind.title());
    introduction(&text, &mut out);
    deprecated(item.schema.deprecated, &mut out);
    let code = example(item, sources);
    context.example(code.as_deref(), &path(provider, item), &mut out);
    sections(&text, &mut out);
    let _ = write!(
        out,
        "\n## Schema\n\n{}\n",
        schema::section(item.schema, Some(item.limit))
    );
    timeouts(item, &mut out);
    if let Some(words) = text.section("Import") {
        let _ = write!(out, "\n## Import\n\n{words}\n");
        import(item, sources, &mut out);
    }
    out
}

/// The example of a thing, as Markdown.
pub(super) fn example(item: &Item<'_>, sources: &Sources) -> Option<String> {
    let folder = format!("{}/{}", item.kind.folder(), item.name);
    sources.example(&folder, item.kind.example())
}

fn introduction(text: &Text<'_>, out: &mut String) {
    let _ = write!(out, "\n{}\n", text.title);
    if !text.introduction.is_empty() {
        let _ = write!(out, "\n{}\n", text.introduction);
    }
}

/// The author's own sections; how to import comes last.
pub(super) fn sections(text: &Text<'_>, out: &mut String) {
    for (heading, content) in &text.sections {
        if *heading != "Import" {
            let _ = write!(out, "\n## {heading}\n\n{content}\n");
        }
    }
}

/// One sentence where the user has no attribute to say otherwise; the attribute's own lines say it elsewhere.
fn timeouts(item: &Item<'_>, out: &mut String) {
    if item.schema.attribute("timeouts").is_some() {
        return;
    }
    let read = duration(item.limit.read);
    let sentence = match item.kind {
        Kind::Resource => format!(
            "Creating may take `{}`, reading `{read}`, updating `{}`, deleting `{}`.",
            duration(item.limit.create),
            duration(item.limit.update),
            duration(item.limit.delete)
        ),
        Kind::DataSource => format!("Reading may take `{read}`."),
        Kind::Ephemeral => format!("Opening may take `{read}`."),
        Kind::List => format!("Listing may take `{read}`."),
    };
    let _ = write!(out, "\n## Timeouts\n\n{sentence}\n");
}

/// The ways to import: by id in the configuration and on the command line, by identity.
fn import(item: &Item<'_>, sources: &Sources, out: &mut String) {
    if let Some(script) = sources.import(item.name) {
        if let Some((address, id)) = imported(script) {
            let _ = write!(
                out,
                "\nIn the configuration:\n\n```terraform\nimport {{\n  to = {address}\n  id = {}\n}}\n```\n",
                quoted(&id)
            );
        }
        let _ = write!(out, "\nOn the command line:\n\n```shell\n{script}\n```\n");
    }
    let Some(identity) = item.identity else {
        return;
    };
    if let Some(code) = sources.import_by_identity(item.name) {
        let _ = write!(
            out,
            "\nBy identity, with Terraform 1.12 or newer:\n\n```terraform\n{code}\n```\n"
        );
    }
    let _ = write!(
        out,
        "\n### Identity Schema\n\n{}\n",
        schema::identity(identity)
    );
}

/// A warning that the registry frames.
pub(super) fn deprecated(reason: Option<&str>, out: &mut String) {
    if let Some(reason) = reason {
        let _ = write!(
            out,
            "\n~> **Deprecated.** {}.\n",
            reason.trim_end_matches('.')
        );
    }
}

pub(super) fn index(
    provider: &str,
    schema: &'static Schema,
    items: &[Item<'_>],
    functions: &[(&str, &str)],
    sources: &Sources,
) -> String {
    let text = Text::parse(schema.description);
    let mut out = front_matter(&format!("Provider: {provider}"), "", text.title);
    let _ = write!(out, "\n# {provider} Provider\n");
    introduction(&text, &mut out);
    if let Some(example) = sources.example("provider", "provider.tf") {
        let _ = write!(out, "\n## Example Usage\n\n{example}\n");
    }
    sections(&text, &mut out);
    let _ = write!(out, "\n## Schema\n\n{}\n", schema::section(schema, None));
    let of = |kind: Kind| {
        let chosen = items.iter().filter(move |item| item.kind == kind);
        let row = |item: &Item<'_>| {
            let title = Text::parse(item.schema.description).title;
            format!("- [{}]({}): {title}", item.name, path(provider, item))
        };
        chosen.map(row).collect::<Vec<_>>()
    };
    let functions = functions
        .iter()
        .map(|(name, summary)| format!("- [{name}](functions/{name}.md): {summary}"));
    let guides = sources
        .guides()
        .map(|(path, title)| format!("- [{title}]({path})"));
    for (heading, rows) in [
        ("Resources", of(Kind::Resource)),
        ("Data Sources", of(Kind::DataSource)),
        ("Ephemeral Resources", of(Kind::Ephemeral)),
        ("List Resources", of(Kind::List)),
        ("Functions", functions.collect()),
        ("Guides", guides.collect()),
    ] {
        if !rows.is_empty() {
            let _ = write!(out, "\n## {heading}\n\n{}\n", rows.join("\n"));
        }
    }
    out
}
