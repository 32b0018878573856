//! Between our types and the protocol's messages.

use strata_proto::tfplugin6 as wire;

use crate::diagnostics::Severity;
use crate::docs::meaning;
use crate::erased::AnyFunction;
use crate::function::Takes;
use crate::path::Step;
use crate::schema::{Attribute, Mode, Shape};
use crate::{Diagnostic, Diagnostics, Path, Schema, Type, Value, json, msgpack};

/// A value from the wire; absent and empty are null.
pub(super) fn value(given: Option<&wire::DynamicValue>, of: &Type) -> Result<Value, Diagnostics> {
    let Some(given) = given else {
        return Ok(Value::Null);
    };
    let decoded = if given.msgpack.is_empty() {
        if given.json.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&given.json)
            .map_err(|error| msgpack::Malformed(error.to_string()))
            .and_then(|json| json::decode(&json, of))
    } else {
        msgpack::decode(&given.msgpack, of)
    };
    decoded.map_err(|error| {
        Diagnostics::error(
            "Cannot read what Terraform sent",
            format!("It sent a {error}."),
        )
        .hint("Update Terraform and the provider; if that does not help, report it.")
    })
}

/// A value to the wire.
pub(super) fn dynamic(value: &Value, of: &Type) -> Result<wire::DynamicValue, Diagnostics> {
    match msgpack::encode(value, of) {
        Ok(msgpack) => Ok(wire::DynamicValue {
            msgpack,
            json: Vec::new(),
        }),
        Err(error) => Err(Diagnostics::bug(format!("The provider made a {error}."))),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "told once: nobody needs them afterwards"
)]
pub(super) fn diagnostics(all: Diagnostics) -> Vec<wire::Diagnostic> {
    all.iter().map(diagnostic).collect()
}

fn diagnostic(one: &Diagnostic) -> wire::Diagnostic {
    let severity = match one.severity {
        Severity::Error => wire::diagnostic::Severity::Error,
        Severity::Warning => wire::diagnostic::Severity::Warning,
    };
    wire::Diagnostic {
        severity: severity.into(),
        // The last line of defence: a registered secret is masked here as in the log.
        summary: crate::masked(&one.summary),
        detail: crate::masked(&one.detail),
        attribute: one
            .attribute
            .as_ref()
            .filter(|path| !path.steps().is_empty())
            .map(path),
    }
}

pub(super) fn path(path: &Path) -> wire::AttributePath {
    use wire::attribute_path::step::Selector;
    let step = |step: &Step| {
        let selector = match step {
            Step::Attribute(name) => Selector::AttributeName(name.clone()),
            Step::Key(key) => Selector::ElementKeyString(key.clone()),
            Step::Index(index) => Selector::ElementKeyInt(*index),
        };
        wire::attribute_path::Step {
            selector: Some(selector),
        }
    };
    wire::AttributePath {
        steps: path.steps().iter().map(step).collect(),
    }
}

fn type_bytes(of: &Type) -> Vec<u8> {
    of.to_json().to_string().into_bytes()
}

const MARKDOWN: wire::StringKind = wire::StringKind::Markdown;

pub(super) fn schema(schema: &Schema) -> wire::Schema {
    wire::Schema {
        version: schema.version,
        block: Some(block(schema)),
    }
}

fn block(schema: &Schema) -> wire::schema::Block {
    let (blocks, attributes): (Vec<_>, Vec<_>) = schema
        .attributes
        .iter()
        .partition(|attribute| attribute.block);
    wire::schema::Block {
        version: schema.version,
        attributes: attributes.into_iter().map(attribute).collect(),
        block_types: blocks.into_iter().filter_map(nested_block).collect(),
        description: schema.description.to_owned(),
        description_kind: MARKDOWN.into(),
        deprecated: schema.deprecated.is_some(),
        deprecation_message: schema.deprecated.unwrap_or_default().to_owned(),
        computed: false,
    }
}

fn nested_block(attribute: &Attribute) -> Option<wire::schema::NestedBlock> {
    use wire::schema::nested_block::NestingMode;
    let nested = attribute.nested()?;
    let deprecated = attribute.deprecated.or(nested.deprecated);
    let required = attribute.mode == Mode::Required;
    let (least, most) = attribute.items;
    let (nesting, (least, most)) = match &attribute.shape {
        Shape::Plain(_) => return None,
        Shape::Single(_) if attribute.group => (NestingMode::Group, (0, 0)),
        // Core wants both counts equal here, and one means required.
        Shape::Single(_) => (
            NestingMode::Single,
            (u64::from(required), u64::from(required)),
        ),
        Shape::List(_) => (NestingMode::List, (least.max(u64::from(required)), most)),
        Shape::Set(_) => (NestingMode::Set, (least.max(u64::from(required)), most)),
        Shape::Map(_) => (NestingMode::Map, (0, 0)),
    };
    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
    Some(wire::schema::NestedBlock {
        type_name: attribute.name.to_owned(),
        block: Some(wire::schema::Block {
            description: meaning(attribute, None),
            deprecated: deprecated.is_some(),
            deprecation_message: deprecated.unwrap_or_default().to_owned(),
            ..block(nested)
        }),
        nesting: nesting.into(),
        min_items: count(least),
        max_items: count(most),
    })
}

fn attribute(attribute: &Attribute) -> wire::schema::Attribute {
    use wire::schema::object::NestingMode;
    let nesting = match &attribute.shape {
        Shape::Plain(_) => None,
        Shape::Single(_) => Some(NestingMode::Single),
        Shape::List(_) => Some(NestingMode::List),
        Shape::Set(_) => Some(NestingMode::Set),
        Shape::Map(_) => Some(NestingMode::Map),
    };
    let nested_type =
        nesting
            .zip(attribute.nested())
            .map(|(nesting, schema)| wire::schema::Object {
                attributes: schema.attributes.iter().map(self::attribute).collect(),
                nesting: nesting.into(),
            });
    let of = match &attribute.shape {
        Shape::Plain(of) => type_bytes(of),
        _ => Vec::new(),
    };
    wire::schema::Attribute {
        name: attribute.name.to_owned(),
        r#type: of,
        description: meaning(attribute, None),
        required: attribute.mode == Mode::Required,
        optional: matches!(attribute.mode, Mode::Optional | Mode::OptionalComputed),
        computed: attribute.is_computed(),
        sensitive: attribute.sensitive,
        description_kind: MARKDOWN.into(),
        deprecated: attribute.deprecated.is_some(),
        nested_type,
        write_only: attribute.write_only,
        deprecation_message: attribute.deprecated.unwrap_or_default().to_owned(),
    }
}

pub(super) fn identity_schema(schema: &Schema) -> wire::ResourceIdentitySchema {
    let attribute = |one: &Attribute| wire::resource_identity_schema::IdentityAttribute {
        name: one.name.to_owned(),
        r#type: type_bytes(&one.shape.value_type()),
        required_for_import: one.mode == Mode::Required,
        optional_for_import: one.mode == Mode::Optional,
        description: one.description.to_owned(),
    };
    wire::ResourceIdentitySchema {
        version: schema.version,
        identity_attributes: schema.attributes.iter().map(attribute).collect(),
    }
}

pub(super) fn function(function: &dyn AnyFunction) -> wire::Function {
    let parameter = |(parameter, takes): &(crate::Parameter, Takes)| wire::function::Parameter {
        name: parameter.name.to_owned(),
        r#type: type_bytes(&takes.of),
        allow_null_value: takes.null,
        allow_unknown_values: takes.unknown,
        description: parameter.description.to_owned(),
        description_kind: MARKDOWN.into(),
    };
    let parameters = function.parameters();
    let (variadic, fixed): (Vec<_>, Vec<_>) =
        parameters.iter().partition(|(_, takes)| takes.variadic);
    wire::Function {
        parameters: fixed.into_iter().map(parameter).collect(),
        variadic_parameter: variadic.into_iter().map(parameter).next(),
        r#return: Some(wire::function::Return {
            r#type: type_bytes(&function.returns()),
        }),
        summary: function.summary().to_owned(),
        description: function.description().to_owned(),
        description_kind: MARKDOWN.into(),
        deprecation_message: function.deprecated().unwrap_or_default().to_owned(),
    }
}
