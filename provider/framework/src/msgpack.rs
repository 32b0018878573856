//! Values as msgpack, decoded and encoded for a type (contract: tfplugin6, sections 3.1 to 3.4).

use std::collections::BTreeMap;

use rmp::Marker;
use rmp::decode::bytes::BytesReadError;
use rmp::decode::{self, Bytes, NumValueReadError, ValueReadError};
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

/// What a marker begins, for messages.
fn found(marker: Marker) -> &'static str {
    use Marker::{
        Array16, Array32, Bin8, Bin16, Bin32, F32, F64, False, FixArray, FixMap, FixNeg, FixPos,
        FixStr, I8, I16, I32, I64, Map16, Map32, Null, Reserved, Str8, Str16, Str32, True, U8, U16,
        U32, U64,
    };
    match marker {
        Null => "null",
        True | False => "a bool",
        FixPos(_) | FixNeg(_) | U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | F32 | F64 => {
            "a number"
        }
        FixStr(_) | Str8 | Str16 | Str32 => "a string",
        Bin8 | Bin16 | Bin32 => "bytes",
        FixArray(_) | Array16 | Array32 => "an array",
        FixMap(_) | Map16 | Map32 => "a map",
        Reserved => "a reserved byte",
        _ => "an extension",
    }
}

/// What was read, or which other thing begins here.
fn expect<T>(
    result: Result<T, ValueReadError<BytesReadError>>,
    expected: &str,
) -> Result<T, Malformed> {
    result.or_else(|error| match error {
        ValueReadError::TypeMismatch(marker) => {
            malformed(format!("{expected} was expected, found {}", found(marker)))
        }
        _ => malformed("it ends too early"),
    })
}

/// A name for a message: what a stranger made up may be of any length.
fn shown(name: &str) -> String {
    let short: String = name.chars().take(40).collect();
    let rest = if short.len() < name.len() { ".." } else { "" };
    format!("{short:?}{rest}")
}

pub(crate) fn text(input: &mut Bytes<'_>) -> Result<String, Malformed> {
    let length = expect(decode::read_str_len(input), "a string")? as usize;
    let bytes = take(input, length)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => malformed("a string is not UTF-8"),
    }
}

fn unknown(input: &mut Bytes<'_>) -> Result<Value, Malformed> {
    let meta = expect(decode::read_ext_meta(input), "an extension")?;
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
        return malformed(format!("it is nested deeper than {DEEPEST} levels"));
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
        Type::Bool => expect(decode::read_bool(input), "a bool").map(Value::Bool),
        Type::Number => number(input).map(Value::Number),
        Type::List(element) | Type::Set(element) => {
            // Nothing is reserved for a declared length: what does not follow costs nothing.
            let length = expect(decode::read_array_len(input), of.friendly())?;
            (0..length)
                .map(|_| read(input, element, depth + 1))
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        Type::Tuple(elements) => {
            let length = expect(decode::read_array_len(input), "a tuple")? as usize;
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
            let length = expect(decode::read_map_len(input), "a map")?;
            let mut map = BTreeMap::new();
            for _ in 0..length {
                let key = text(input)?;
                let value = read(input, element, depth + 1)?;
                if map.insert(key, value).is_some() {
                    return malformed("a key of a map comes twice");
                }
            }
            Ok(Value::Map(map))
        }
        Type::Object(attributes) => {
            let length = expect(decode::read_map_len(input), "an object")? as usize;
            let mut object = BTreeMap::new();
            for _ in 0..length {
                let name = text(input)?;
                let Some(of) = attributes.get(&name) else {
                    return malformed(format!("no attribute {} is expected", shown(&name)));
                };
                let value = read(input, of, depth + 1)?;
                if object.contains_key(&name) {
                    return malformed(format!("attribute {name} comes twice"));
                }
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
            if expect(decode::read_array_len(input), "a dynamic value")? != 2 {
                return malformed("a dynamic value is a pair of type and value");
            }
            let length = expect(decode::read_bin_len(input), "a type")? as usize;
            // serde_json refuses deep nesting by itself, so a type cannot be deep either.
            let Ok(json) = serde_json::from_slice(take(input, length)?) else {
                return malformed("the type of a dynamic value is not JSON");
            };
            let Some(of) = Type::from_json(&json) else {
                return malformed("the type of a dynamic value is no type");
            };
            let value = read(input, &of, depth + 1)?;
            Ok(Value::Dynamic(Box::new(Dynamic { of, value })))
        }
    }
}

/// What is expected where a number is.
const NUMBER: &str = "a number";

pub(crate) fn number(input: &mut Bytes<'_>) -> Result<Number, Malformed> {
    let parsed = match peek(input)? {
        Marker::F32 => Number::from_f64(expect(decode::read_f32(input), NUMBER)?.into()),
        Marker::F64 => Number::from_f64(expect(decode::read_f64(input), NUMBER)?),
        Marker::U64 => Some(expect(decode::read_u64(input), NUMBER)?.into()),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            Number::parse(&text(input)?)
        }
        _ => match decode::read_int::<i64, _>(input) {
            Ok(integer) => Some(integer.into()),
            Err(NumValueReadError::TypeMismatch(marker)) => {
                return expect(Err(ValueReadError::TypeMismatch(marker)), NUMBER);
            }
            Err(NumValueReadError::OutOfRange) => None,
            Err(_) => return malformed("it ends too early"),
        },
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
        // Always as text. Core gives an integer another precision than the number it reads from its own JSON, takes the two for
        // different, and `plan -refresh-only -detailed-exitcode` then reports drift that is not there (hashicorp/terraform#36403).
        (Value::Number(number), Type::Number) => {
            encode::write_str(out, number.text()).expect(INFALLIBLE);
        }
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
