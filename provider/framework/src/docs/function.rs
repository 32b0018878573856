//! The page of a function: signature, arguments, result.

use std::fmt::Write as _;

use super::Context;
use super::attribute::type_words;
use super::example::Sources;
use super::page::{deprecated, front_matter, sections};
use super::text::Text;
use crate::Type;
use crate::erased::AnyFunction;

/// The path of a page below `docs/`.
pub(super) fn path(name: &str) -> String {
    format!("functions/{name}.md")
}

pub(super) fn page(context: &Context<'_>, name: &str, function: &dyn AnyFunction) -> String {
    // The description has no title line of its own: the summary is one.
    let whole = format!("{}\n\n{}", function.summary(), function.description());
    let text = Text::parse(&whole);
    let title = format!("{name} function - {}", context.provider);
    let mut out = front_matter(&title, function.subcategory(), text.title);
    let _ = write!(out, "\n# function: {name}\n\n{}\n", text.title);
    if !text.introduction.is_empty() {
        let _ = write!(out, "\n{}\n", text.introduction);
    }
    deprecated(function.deprecated(), &mut out);
    let code = example(name, context.sources);
    context.example(code.as_deref(), &path(name), &mut out);
    let _ = write!(
        out,
        "\n## Signature\n\n```text\n{}\n```\n",
        signature(name, function)
    );
    let parameters = function.parameters();
    if !parameters.is_empty() {
        out.push_str("\n## Arguments\n\n");
        for (number, (parameter, takes)) in parameters.iter().enumerate() {
            let variadic = if takes.variadic { "Variadic, " } else { "" };
            let null = if takes.null { " May be null." } else { "" };
            let _ = writeln!(
                out,
                "{}. `{}` ({variadic}{}) {}{null}",
                number + 1,
                parameter.name,
                type_words(&takes.of),
                parameter.description
            );
        }
    }
    let _ = write!(
        out,
        "\n## Return Type\n\n{}\n",
        type_words(&function.returns())
    );
    sections(&text, &mut out);
    // True of every function, by its type: it gets no context.
    out.push_str(
        "\n## Permissions\n\nNone: a function sees its arguments and nothing else, and works without a configured provider.\n",
    );
    out
}

pub(super) fn example(name: &str, sources: &Sources) -> Option<String> {
    sources.example(&format!("functions/{name}"), "function.tf")
}

fn signature(name: &str, function: &dyn AnyFunction) -> String {
    let parameters = function.parameters();
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(parameter, takes)| {
            let more = if takes.variadic { "..." } else { "" };
            format!("{} {}{more}", parameter.name, constraint(&takes.of))
        })
        .collect();
    format!(
        "{name}({}) {}",
        parameters.join(", "),
        constraint(&function.returns())
    )
}

/// A type as a configuration writes it: `map(string)`.
fn constraint(of: &Type) -> String {
    match of {
        Type::String => "string".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Number => "number".to_owned(),
        Type::Dynamic => "any".to_owned(),
        Type::List(element) => format!("list({})", constraint(element)),
        Type::Set(element) => format!("set({})", constraint(element)),
        Type::Map(element) => format!("map({})", constraint(element)),
        Type::Tuple(elements) => {
            let elements: Vec<_> = elements.iter().map(constraint).collect();
            format!("tuple([{}])", elements.join(", "))
        }
        Type::Object(attributes) => {
            let one = |(name, of): (&String, &Type)| format!("{name} = {}", constraint(of));
            let attributes: Vec<_> = attributes.iter().map(one).collect();
            format!("object({{ {} }})", attributes.join(", "))
        }
    }
}
