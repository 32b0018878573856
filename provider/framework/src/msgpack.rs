//! Values as msgpack, decoded and encoded for a type (contract: tfplugin6, sections 3.1 to 3.4).

use std::collections::BTreeMap;

use rmp::Marker;
use rmp::decode::{self, Bytes};
use rmp::encode;

use crate::{Dynamic, Number, Refinement, Type, Value};

/// Extension type of an unknown with a refinement.
const REFINED: i8 = 12;
/// Deeper nesting is an attack or a bug; the stack is finite.
const DEEPEST: usize = 128;

/// Why bytes are not a value of a type. Never quotes the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed value: {0}")]
pub(crate) struct Malformed(pub(crate) String);

fn malformed<T>(text: impl Into<String>) -> Result<T, Malformed> {
    Err(Malformed(text.into()))
}

/// Decodes one value; trailing bytes are an error.
pub(crate) fn decode(bytes: &[u8], of: &Type) -> Result<Value, Malformed> {
    let mut input = Bytes::new(bytes);
    let value = read(&mut input, of, 0)?;
    if input.remaining_slice().is_empty() {
        Ok(value)
    } else {
        malformed("bytes after the value")
    }
}

fn peek(input: &Bytes<'_>) -> Result<Marker, Malformed> {
    match input.remaining_slice().first() {
        Some(byte) => Ok(Marker::from_u8(*byte)),
        None => malformed("it ends too early"),
    }
}

fn take<'a>(input: &mut Bytes<'a>, count: usize) -> Result<&'a [u8], Malformed> {
    let rest = input.remaining_slice();
    if rest.len() < count {
        return malformed("it ends too early");
    }
    let (taken, rest) = rest.split_at(count);
    *input = Bytes::new(rest);
    Ok(taken)
}

fn wire<T, E: std::fmt::Debug>(result: Result<T, E>) -> Result<T, Malformed> {
    result.or_else(|error| malformed(format!("{error:?}")))
}

pub(crate) fn text(input: &mut Bytes<'_>) -> Result<String, Malformed> {
    let length = wire(decode::read_str_len(input))? as usize;
    let bytes = take(input, length)?;
    wire(std::str::from_utf8(bytes)).map(str::to_owned)
}

fn unknown(input: &mut Bytes<'_>) -> Result<Value, Malformed> {
    let meta = wire(decode::read_ext_meta(input))?;
    let body = take(input, meta.size as usize)?;
    let refinement = (meta.typeid == REFINED)
        .then(|| Refinement::read(body))
        .flatten();
    Ok(Value::Unknown(refinement.map(Box::new)))
}

fn is_extension(marker: Marker) -> bool {
    use Marker::{Ext8, Ext16, Ext32, FixExt1, FixExt2, FixExt4, FixExt8, FixExt16};
    matches!(
        marker,
        FixExt1 | FixExt2 | FixExt4 | FixExt8 | FixExt16 | Ext8 | Ext16 | Ext32
    )
}

fn read(input: &mut Bytes<'_>, of: &Type, depth: usize) -> Result<Value, Malformed> {
    if depth > DEEPEST {
        return malformed("nested too deeply");
    }
    let marker = peek(input)?;
    if marker == Marker::Null {
        take(input, 1)?;
        return Ok(Value::Null);
    }
    if is_extension(marker) {
        return unknown(input);
    }
    match of {
        Type::String => text(input).map(Value::String),
        Type::Bool => wire(decode::read_bool(input)).map(Value::Bool),
        Type::Number => number(input).map(Value::Number),
        Type::List(element) | Type::Set(element) => {
            let length = wire(decode::read_array_len(input))?;
            (0..length)
                .map(|_| read(input, element, depth + 1))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        Type::Tuple(elements) => {
            let length = wire(decode::read_array_len(input))? as usize;
            if length != elements.len() {
                return malformed(format!(
                    "a tuple of {} was expected, {length} given",
                    elements.len()
                ));
            }
            elements
                .iter()
                .map(|element| read(input, element, depth + 1))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        Type::Map(element) => {
            let length = wire(decode::read_map_len(input))?;
            let one = |_| Ok((text(input)?, read(input, element, depth + 1)?));
            (0..length)
                .map(one)
                .collect::<Result<_, _>>()
                .map(Value::Map)
        }
        Type::Object(attributes) => {
            let length = wire(decode::read_map_len(input))? as usize;
            let mut object = BTreeMap::new();
            for _ in 0..length {
                let name = text(input)?;
                let Some(of) = attributes.get(&name) else {
                    return malformed(format!("no attribute {name:?} is expected"));
                };
                let value = read(input, of, depth + 1)?;
                object.insert(name, value);
            }
            if object.len() == attributes.len() {
                Ok(Value::Map(object))
            } else {
                malformed(format!(
                    "an object of {} attributes was expected, {length} given",
                    attributes.len()
                ))
            }
        }
        Type::Dynamic => {
            if wire(decode::read_array_len(input))? != 2 {
                return malformed("a dynamic value is a pair of type and value");
            }
            let length = wire(decode::read_bin_len(input))? as usize;
            let json: serde_json::Value = wire(serde_json::from_slice(take(input, length)?))?;
            let Some(of) = Type::from_json(&json) else {
                return malformed("the type of a dynamic value is no type");
            };
            let value = read(input, &of, depth + 1)?;
            Ok(Value::Dynamic(Box::new(Dynamic { of, value })))
        }
    }
}

pub(crate) fn number(input: &mut Bytes<'_>) -> Result<Number, Malformed> {
    let parsed = match peek(input)? {
        Marker::F32 => Number::from_f64(f64::from(wire(decode::read_f32(input))?)),
        Marker::F64 => Number::from_f64(wire(decode::read_f64(input))?),
        Marker::U64 => Some(Number::from(wire(decode::read_u64(input))?)),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            Number::parse(&text(input)?)
        }
        _ => Some(Number::from(wire(decode::read_int::<i64, _>(input))?)),
    };
    parsed.ok_or_else(|| Malformed("not a decimal number".to_owned()))
}

/// Encodes a value for a type. Attributes that the object lacks are null, others than the type's are an error.
pub(crate) fn encode(value: &Value, of: &Type) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    write(&mut out, value, of)?;
    Ok(out)
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("no value has four thousand million elements")
}

pub(crate) fn write_number(out: &mut Vec<u8>, number: &Number) {
    const INFALLIBLE: &str = "writing to a Vec does not fail";
    match number.to_i64() {
        Some(integer) => {
            encode::write_sint(out, integer).expect(INFALLIBLE);
        }
        None => encode::write_str(out, number.text()).expect(INFALLIBLE),
    }
}

fn write(out: &mut Vec<u8>, value: &Value, of: &Type) -> Result<(), Malformed> {
    const INFALLIBLE: &str = "writing to a Vec does not fail";
    match (value, of) {
        (Value::Null, _) => out.push(Marker::Null.to_u8()),
        (Value::Unknown(None), _) => out.extend([0xd4, 0, 0]),
        (Value::Unknown(Some(refinement)), _) => {
            let body = refinement.body();
            encode::write_ext_meta(out, length(body.len()), REFINED).expect(INFALLIBLE);
            out.extend(body);
        }
        (Value::String(text), Type::String) => encode::write_str(out, text).expect(INFALLIBLE),
        (Value::Bool(value), Type::Bool) => encode::write_bool(out, *value).expect(INFALLIBLE),
        (Value::Number(number), Type::Number) => write_number(out, number),
        (Value::List(elements), Type::List(of) | Type::Set(of)) => {
            encode::write_array_len(out, length(elements.len())).expect(INFALLIBLE);
            for element in elements {
                write(out, element, of)?;
            }
        }
        (Value::List(elements), Type::Tuple(types)) if elements.len() == types.len() => {
            encode::write_array_len(out, length(elements.len())).expect(INFALLIBLE);
            for (element, of) in elements.iter().zip(types) {
                write(out, element, of)?;
            }
        }
        (Value::Map(elements), Type::Map(of)) => {
            encode::write_map_len(out, length(elements.len())).expect(INFALLIBLE);
            for (key, element) in elements {
                encode::write_str(out, key).expect(INFALLIBLE);
                write(out, element, of)?;
            }
        }
        (Value::Map(elements), Type::Object(types)) => {
            if let Some(extra) = elements.keys().find(|name| !types.contains_key(*name)) {
                return malformed(format!("the type has no attribute {extra:?}"));
            }
            encode::write_map_len(out, length(types.len())).expect(INFALLIBLE);
            for (name, of) in types {
                encode::write_str(out, name).expect(INFALLIBLE);
                write(out, elements.get(name).unwrap_or(&Value::Null), of)?;
            }
        }
        (Value::Dynamic(dynamic), Type::Dynamic) => {
            encode::write_array_len(out, 2).expect(INFALLIBLE);
            encode::write_bin(out, dynamic.of.to_json().to_string().as_bytes()).expect(INFALLIBLE);
            write(out, &dynamic.value, &dynamic.of)?;
        }
        (value, of) => {
            return malformed(format!(
                "{} was expected, found {}",
                of.friendly(),
                value.kind()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
