//! What a user writes: a configuration with references to what is not known yet, as text and as the values it stands for;
//! and values as state files hold them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;
use strata_framework::schema::{Attribute, Shape};
use strata_framework::{Dynamic, Schema, Type, Value};

/// The known beginning of a text that is otherwise unknown: core promises it to the provider.
pub(crate) const PREFIX: &str = "pre-";

/// A written value.
#[derive(Clone, Debug)]
pub(crate) enum Written {
    Known(Value),
    /// The attribute `v<number>` of the source: unknown at plan, this value at apply.
    Later(usize, Value),
    /// The same in a text with a known beginning; the whole text at apply.
    Prefixed(usize, String),
    List(Vec<Written>),
    Map(BTreeMap<String, Written>),
}

impl Written {
    /// The value at plan.
    pub(crate) fn before(&self) -> Value {
        self.value(&|_| Value::UNKNOWN)
    }

    /// The value at apply.
    pub(crate) fn after(&self) -> Value {
        self.value(&Value::clone)
    }

    fn value(&self, later: &dyn Fn(&Value) -> Value) -> Value {
        match self {
            Self::Known(value) => value.clone(),
            Self::Later(_, value) => later(value),
            Self::Prefixed(_, text) => later(&Value::String(text.clone())),
            Self::List(elements) => Value::List(
                elements
                    .iter()
                    .map(|element| element.value(later))
                    .collect(),
            ),
            Self::Map(elements) => Value::Map(
                elements
                    .iter()
                    .map(|(key, element)| (key.clone(), element.value(later)))
                    .collect(),
            ),
        }
    }

    fn get(&self, name: &str) -> Self {
        match self {
            Self::Map(elements) => elements[name].clone(),
            Self::Known(value) => Self::Known(value.get(name).clone()),
            other => panic!("{name} of {other:?}"),
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Self::Known(Value::Null))
    }

    fn elements(&self) -> Vec<Self> {
        match self {
            Self::List(elements) => elements.clone(),
            Self::Known(Value::List(elements)) => {
                elements.iter().cloned().map(Self::Known).collect()
            }
            other => panic!("no list: {other:?}"),
        }
    }

    fn entries(&self) -> Vec<(String, Self)> {
        match self {
            Self::Map(elements) => elements.clone().into_iter().collect(),
            Self::Known(Value::Map(elements)) => elements
                .iter()
                .map(|(key, value)| (key.clone(), Self::Known(value.clone())))
                .collect(),
            other => panic!("no map: {other:?}"),
        }
    }
}

/// The body of a resource block.
pub(crate) fn body(schema: &Schema, written: &Written) -> String {
    let mut out = String::new();
    for attribute in &schema.attributes {
        let value = written.get(attribute.name);
        if value.is_null() {
            continue;
        }
        if attribute.block {
            blocks(&mut out, attribute, &value);
        } else {
            let of = attribute.shape.value_type();
            let _ = writeln!(out, "{} = {}", attribute.name, expression(&value, &of));
        }
    }
    out
}

fn blocks(out: &mut String, attribute: &Attribute, written: &Written) {
    let (name, nested) = (
        attribute.name,
        attribute.nested().expect("blocks are nested"),
    );
    match &attribute.shape {
        Shape::Map(_) => {
            for (key, block) in written.entries() {
                let _ = writeln!(
                    out,
                    "{name} {} {{\n{}}}",
                    quoted(&key),
                    body(nested, &block)
                );
            }
        }
        Shape::List(_) | Shape::Set(_) => {
            for block in written.elements() {
                let _ = writeln!(out, "{name} {{\n{}}}", body(nested, &block));
            }
        }
        _ => {
            let _ = writeln!(out, "{name} {{\n{}}}", body(nested, written));
        }
    }
}

fn expression(written: &Written, of: &Type) -> String {
    match (written, of) {
        (Written::Later(number, _), _) => format!("puppet_source.x.v{number}"),
        (Written::Prefixed(number, _), _) => format!("\"{PREFIX}${{puppet_source.x.v{number}}}\""),
        (Written::Known(Value::Null), _) => "null".to_owned(),
        (Written::Known(Value::Bool(value)), _) => value.to_string(),
        (Written::Known(Value::Number(number)), _) => number.text().to_owned(),
        (Written::Known(Value::String(text)), _) => quoted(text),
        (Written::Known(Value::Dynamic(dynamic)), _) => {
            let Dynamic { of, value } = &**dynamic;
            expression(&Written::Known(value.clone()), of)
        }
        (written, Type::List(of) | Type::Set(of)) => {
            let elements: Vec<_> = written
                .elements()
                .iter()
                .map(|element| expression(element, of))
                .collect();
            format!("[{}]", elements.join(", "))
        }
        (written, Type::Tuple(types)) => {
            let elements = written.elements();
            let elements: Vec<_> = elements
                .iter()
                .zip(types)
                .map(|(element, of)| expression(element, of))
                .collect();
            format!("[{}]", elements.join(", "))
        }
        (written, Type::Map(of)) => {
            let one = |(key, element): &(String, Written)| {
                format!("{} = {}", quoted(key), expression(element, of))
            };
            format!(
                "{{ {} }}",
                written
                    .entries()
                    .iter()
                    .map(one)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        }
        (written, Type::Object(types)) => {
            let one = |(name, of): (&String, &Type)| {
                format!("{name} = {}", expression(&written.get(name), of))
            };
            format!(
                "{{ {} }}",
                types.iter().map(one).collect::<Vec<_>>().join(", ")
            )
        }
        (written, of) => panic!("{written:?} as {of:?}"),
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace("${", "$${").replace("%{", "%%{"))
}

/// A value as state files hold it.
pub(crate) fn json(value: &Value, of: &Type) -> Json {
    match (value, of) {
        (Value::Null, _) => Json::Null,
        (Value::Bool(value), _) => Json::Bool(*value),
        (Value::Number(number), _) => serde_json::from_str(number.text()).expect("a JSON number"),
        (Value::String(text), _) => Json::String(text.clone()),
        (Value::List(elements), Type::List(of) | Type::Set(of)) => {
            elements.iter().map(|element| json(element, of)).collect()
        }
        (Value::List(elements), Type::Tuple(types)) => elements
            .iter()
            .zip(types)
            .map(|(element, of)| json(element, of))
            .collect(),
        (Value::Map(elements), Type::Map(of)) => Json::Object(
            elements
                .iter()
                .map(|(key, element)| (key.clone(), json(element, of)))
                .collect(),
        ),
        (Value::Map(elements), Type::Object(types)) => Json::Object(
            elements
                .iter()
                .map(|(key, element)| (key.clone(), json(element, &types[key])))
                .collect(),
        ),
        (Value::Dynamic(dynamic), _) => {
            serde_json::json!({"type": dynamic.of.to_json(), "value": json(&dynamic.value, &dynamic.of)})
        }
        (value, of) => panic!("{value:?} as {of:?}"),
    }
}
