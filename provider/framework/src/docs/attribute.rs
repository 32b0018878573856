//! One attribute as a line of a list: name, type, meaning, and the rules that its schema states.

use std::fmt::Write as _;
use std::time::Duration;

use crate::schema::{Attribute, Replace};
use crate::{Type, Value};

/// Where the registry explains write-only arguments.
const WRITE_ONLY: &str =
    "https://developer.hashicorp.com/terraform/language/resources/ephemeral#write-only-arguments";

/// A list item. `anchor` is where the nested schema stands; `default` is for what the schema cannot know (timeouts).
pub(super) fn line(attribute: &Attribute, anchor: Option<&str>, default: Option<&str>) -> String {
    let mut line = format!("- `{}` ({})", attribute.name, kind(attribute));
    let _ = write!(line, " {}", indent(&meaning(attribute, default)));
    if let Some(anchor) = anchor {
        let _ = write!(line, " (see [below for nested schema](#{anchor}))");
    }
    line
}

/// What the author wrote, and the rules of the schema after it.
pub(crate) fn meaning(attribute: &Attribute, default: Option<&str>) -> String {
    let (text, rules) = (attribute.description.trim(), rules(attribute, default));
    let is_plain = !text.contains("\n\n") && !text.contains("\n- ");
    // Line ends of a comment mean nothing in one paragraph.
    let text = if is_plain {
        text.replace('\n', " ")
    } else {
        text.to_owned()
    };
    if rules.is_empty() {
        text
    } else if is_plain {
        format!("{text} {rules}")
    } else {
        // A list or several paragraphs: the rules would end up in the last item.
        format!("{text}\n\n{rules}")
    }
}

fn indent(text: &str) -> String {
    let lines = text.lines().enumerate().map(|(number, line)| {
        if number == 0 || line.is_empty() {
            line.to_owned()
        } else {
            format!("  {line}")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The registry's word for the type, and the marks.
fn kind(attribute: &Attribute) -> String {
    let of = attribute.shape.value_type();
    let mut kind = if attribute.nested().is_some() {
        let noun = if attribute.block {
            "Block"
        } else {
            "Attributes"
        };
        match of {
            Type::List(_) => format!("{noun} List"),
            Type::Set(_) => format!("{noun} Set"),
            Type::Map(_) => format!("{noun} Map"),
            _ => noun.to_owned(),
        }
    } else {
        type_words(&of)
    };
    if attribute.sensitive {
        kind.push_str(", Sensitive");
    }
    if attribute.write_only {
        let _ = write!(kind, ", [Write-only]({WRITE_ONLY})");
    }
    if attribute.deprecated.is_some() {
        kind.push_str(", Deprecated");
    }
    kind
}

/// A type in the registry's words: "Map of String".
pub(super) fn type_words(of: &Type) -> String {
    match of {
        Type::String => "String".to_owned(),
        Type::Bool => "Boolean".to_owned(),
        Type::Number => "Number".to_owned(),
        Type::Dynamic => "Dynamic".to_owned(),
        Type::List(element) => format!("List of {}", type_words(element)),
        Type::Set(element) => format!("Set of {}", type_words(element)),
        Type::Map(element) => format!("Map of {}", type_words(element)),
        Type::Tuple(elements) => format!("Tuple of {}", words(elements)),
        Type::Object(_) => "Object".to_owned(),
    }
}

fn words(types: &[Type]) -> String {
    types.iter().map(type_words).collect::<Vec<_>>().join(", ")
}

/// The rules in sentences.
fn rules(attribute: &Attribute, default: Option<&str>) -> String {
    let mut sentences = Vec::new();
    let many = matches!(
        attribute.shape.value_type(),
        Type::List(_) | Type::Set(_) | Type::Map(_)
    );
    let accepted = attribute.validators.iter().map(|one| one.sentence(many));
    sentences.extend(accepted.filter(|sentence| !sentence.is_empty()));
    sentences.extend(count(attribute));
    let written = attribute.default.as_ref().map(literal);
    if let Some(default) = default.or(written.as_deref()) {
        sentences.push(format!("Default: `{default}`."));
    }
    match attribute.replace {
        Replace::Never => {}
        Replace::Changed => sentences.push("Changing it replaces the object.".to_owned()),
        Replace::ChangedAndConfigured => {
            sentences.push("Changing it replaces the object, if it is configured.".to_owned());
        }
        Replace::If(_) => sentences.push("Some changes of it replace the object.".to_owned()),
    }
    if let Some(fingerprint) = attribute.fingerprint {
        sentences.push(format!("Its fingerprint is in `{fingerprint}`."));
    }
    if attribute.recorded && attribute.is_configurable() && attribute.name != "timeouts" {
        sentences.push("A later change is only recorded.".to_owned());
    }
    if let Some(reason) = attribute.deprecated {
        sentences.push(format!("Deprecated: {}.", reason.trim_end_matches('.')));
    }
    sentences.join(" ")
}

/// How many blocks there may be, where that is not any number.
fn count(attribute: &Attribute) -> Option<String> {
    match attribute.items {
        _ if !attribute.block => None,
        (0, 0) => None,
        (least, 0) => Some(format!("{least} or more blocks.")),
        (0, most) => Some(format!("{most} blocks at most.")),
        (least, most) if least == most => Some(format!("Exactly {least} blocks.")),
        (least, most) => Some(format!("From {least} to {most} blocks.")),
    }
}

/// A value as it would be written in a configuration.
fn literal(value: &Value) -> String {
    match value {
        Value::Null | Value::Unknown(_) => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::List(elements) => {
            let elements: Vec<_> = elements.iter().map(literal).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Map(elements) if elements.is_empty() => "{}".to_owned(),
        Value::Map(elements) => {
            let one = |(key, value): (&String, &Value)| format!("{key} = {}", literal(value));
            let elements: Vec<_> = elements.iter().map(one).collect();
            format!("{{ {} }}", elements.join(", "))
        }
        Value::Dynamic(dynamic) => literal(&dynamic.value),
    }
}

/// A text as a configuration writes it, with nothing in it that would be a template.
pub(super) fn quoted(text: &str) -> String {
    let text = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{}\"", text.replace("${", "$${").replace("%{", "%%{"))
}

/// A length of time as a configuration would say it: `120m`, `90s`.
pub(super) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    if seconds != 0 && seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}
