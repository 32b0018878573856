//! The properties that every input must keep: decoding never panics, and what decodes comes back the same after encoding
//! and decoding again.
//!
//! The codec's files are compiled here as they are, without the rest of the framework: with the server's dependencies a
//! build with these flags takes minutes instead of seconds. The first byte of an input chooses the type.

#![allow(dead_code, reason = "the framework uses all of it")]

#[path = "../../provider/framework/src"]
mod framework {
    pub(crate) mod json;
    pub(crate) mod msgpack;
    pub(crate) mod number;
    pub(crate) mod refinement;
    pub(crate) mod types;
    pub(crate) mod value;
}

// Where the codec's files look for each other.
use framework::{json, msgpack, number, refinement, types, value};
use number::Number;
use refinement::Refinement;
use types::Type;
use value::{Dynamic, Value};

/// Types with every kind in them; `dynamic` lets the input bring its own.
const TYPES: [&str; 8] = [
    r#""dynamic""#,
    r#""string""#,
    r#""number""#,
    r#"["list","number"]"#,
    r#"["set",["map","string"]]"#,
    r#"["tuple",["bool","dynamic",["list","dynamic"]]]"#,
    r#"["object",{"a":"bool","b":"number","c":["list",["object",{"d":"string","e":"dynamic"}]]}]"#,
    r#"["map",["map",["set","bool"]]]"#,
];

fn chosen(input: &[u8]) -> Option<(Type, &[u8])> {
    let (first, rest) = input.split_first()?;
    let text = TYPES[usize::from(*first) % TYPES.len()];
    let json = serde_json::from_str(text).expect("types above are JSON");
    Some((Type::from_json(&json).expect("types above are types"), rest))
}

/// A value as core sends it.
pub fn msgpack(input: &[u8]) {
    let Some((of, bytes)) = chosen(input) else {
        return;
    };
    if let Ok(value) = msgpack::decode(bytes, &of) {
        let again =
            msgpack::encode(&value, &of).expect("what was decoded for a type is of the type");
        assert_eq!(msgpack::decode(&again, &of), Ok(value));
    }
}

/// A value as a state file has it.
pub fn json(input: &[u8]) {
    let Some((of, text)) = chosen(input) else {
        return;
    };
    let Ok(json) = serde_json::from_slice(text) else {
        return;
    };
    if let Ok(value) = json::decode(&json, &of) {
        let again = json::encode(&value);
        assert_eq!(json::decode(&again, &of), Ok(value));
    }
}
