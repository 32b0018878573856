//! Round trips of any value through msgpack, and the forms that core sends.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{decode, encode};
use crate::Refinement;
use crate::{Dynamic, Number, Type, Value, equal};

/// Any type, with one value of it.
pub(crate) fn typed() -> impl Strategy<Value = (Type, Value)> {
    let leaf = prop_oneof![
        any::<String>().prop_map(|text| (Type::String, Value::String(text))),
        any::<bool>().prop_map(|truth| (Type::Bool, Value::Bool(truth))),
        any::<i64>().prop_map(|number| (Type::Number, Value::Number(Number::from(number)))),
        "-?[1-9][0-9]{0,40}\\.[0-9]{0,20}[1-9]".prop_map(|text| (
            Type::Number,
            Value::Number(Number::parse(&text).expect("decimal"))
        )),
        Just((Type::String, Value::UNKNOWN)),
        Just((Type::Number, Value::Null)),
        Just((Type::Dynamic, Value::UNKNOWN)),
        Just((
            Type::String,
            Value::Unknown(Some(Box::new(Refinement::never_null())))
        )),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|elements| {
                let (types, values) = elements.into_iter().unzip();
                (Type::Tuple(types), Value::List(values))
            }),
            prop::collection::btree_map("[a-z]{1,5}", inner.clone(), 0..4).prop_map(|attributes| {
                let types = attributes
                    .iter()
                    .map(|(name, (of, _))| (name.clone(), of.clone()))
                    .collect();
                let values = attributes
                    .into_iter()
                    .map(|(name, (_, value))| (name, value))
                    .collect();
                (Type::Object(types), Value::Map(values))
            }),
            inner.clone().prop_map(|(of, value)| (
                Type::List(Box::new(of)),
                Value::List(vec![value.clone(), value])
            )),
            inner.clone().prop_map(|(of, value)| {
                (
                    Type::Map(Box::new(of)),
                    Value::Map(BTreeMap::from([("any key".to_owned(), value)])),
                )
            }),
            inner.prop_map(|(of, value)| (
                Type::Dynamic,
                Value::Dynamic(Box::new(Dynamic { of, value }))
            )),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_comes_back((of, value) in typed()) {
        let bytes = encode(&value, &of).expect("a value of the type");
        prop_assert_eq!(decode(&bytes, &of).expect("our own bytes"), value);
    }

    #[test]
    fn types_come_back((of, _) in typed()) {
        prop_assert_eq!(Type::from_json(&of.to_json()), Some(of));
    }

    #[test]
    fn bytes_of_strangers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), (of, _) in typed()) {
        let _ = decode(&bytes, &of);
    }
}

#[test]
fn numbers_arrive_in_every_form() {
    for (bytes, expected) in [
        (vec![0x05], "5"),
        (vec![0xff], "-1"),
        (vec![0xa3, b'0', b'.', b'1'], "0.1"),
        (vec![0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0], "0.5"),
        (
            vec![0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            "18446744073709551615",
        ),
    ] {
        let value = decode(&bytes, &Type::Number).expect("a number");
        assert_eq!(
            value,
            Value::Number(Number::parse(expected).expect("decimal"))
        );
    }
}

#[test]
fn unknowns_are_written_as_core_writes_them() {
    assert_eq!(encode(&Value::UNKNOWN, &Type::String), Ok(vec![0xd4, 0, 0]));
}

#[test]
fn objects_must_be_complete() {
    let of = Type::Object(BTreeMap::from([
        ("a".to_owned(), Type::Bool),
        ("b".to_owned(), Type::Bool),
    ]));
    let error = decode(&[0x81, 0xa1, b'a', 0xc3], &of).expect_err("b is missing");
    assert_eq!(
        error.to_string(),
        "malformed value: an object of 2 attributes was expected, 1 given"
    );
}

#[test]
fn sets_are_equal_in_any_order_and_text_in_any_normal_form() {
    let of = Type::Set(Box::new(Type::String));
    let set = |texts: [&str; 2]| {
        Value::List(
            texts
                .iter()
                .map(|text| Value::String((*text).to_owned()))
                .collect(),
        )
    };
    assert!(equal(
        &set(["a", "caf\u{e9}"]),
        &set(["cafe\u{301}", "a"]),
        &of
    ));
    assert!(!equal(&set(["a", "b"]), &set(["a", "c"]), &of));
}

/// A marker and a big-endian length or number.
fn marked(marker: u8, number: &[u8]) -> Vec<u8> {
    [&[marker], number].concat()
}

fn list(of: Type) -> Type {
    Type::List(Box::new(of))
}

/// A type of so many lists in each other, and its innermost value.
fn deep_type(levels: usize) -> Vec<u8> {
    let text = "[\"list\",".repeat(levels) + "\"bool\"" + &"]".repeat(levels);
    let length = u32::try_from(text.len()).expect("short");
    [
        &[0x92],
        &marked(0xc6, &length.to_be_bytes())[..],
        text.as_bytes(),
        &[0xc0],
    ]
    .concat()
}

#[test]
fn what_is_malformed_is_refused_with_a_reason() {
    let object = Type::Object([("a".to_owned(), Type::Bool)].into());
    let map = Type::Map(Box::new(Type::Bool));
    let million = "9".repeat(1_000_000);
    let number = [
        &marked(0xdb, &1_000_000_u32.to_be_bytes())[..],
        million.as_bytes(),
    ]
    .concat();
    assert!(decode(&number, &Type::Number).is_ok(), "long, but a number");
    for (bytes, of, reason) in [
        (vec![], Type::Bool, "it ends too early"),
        (vec![0xc3, 0xc3], Type::Bool, "bytes after the value"),
        (
            vec![0xa1, b'x'],
            Type::Bool,
            "a bool was expected, found a string",
        ),
        (
            vec![0xc3],
            Type::String,
            "a string was expected, found a bool",
        ),
        (
            vec![0xc4, 1, b'x'],
            Type::String,
            "a string was expected, found bytes",
        ),
        (
            vec![0xa2, 0xc3, 0x28],
            Type::String,
            "a string is not UTF-8",
        ),
        (vec![0xa5, b'x'], Type::String, "it ends too early"),
        (vec![0xda, 1], Type::String, "it ends too early"),
        (
            vec![0x80],
            Type::Number,
            "a number was expected, found a map",
        ),
        (
            vec![0xc1],
            Type::Number,
            "a number was expected, found a reserved byte",
        ),
        (vec![0xd3, 1], Type::Number, "it ends too early"),
        (
            vec![0xa3, b'1', b'e', b'x'],
            Type::Number,
            "not a decimal number",
        ),
        (
            [&[0xa9], &b"1e9999999"[..]].concat(),
            Type::Number,
            "not a decimal number",
        ),
        (
            marked(0xcb, &f64::NAN.to_be_bytes()),
            Type::Number,
            "not a decimal number",
        ),
        (
            marked(0xca, &f32::INFINITY.to_be_bytes()),
            Type::Number,
            "not a decimal number",
        ),
        // Four thousand million elements, strings, bytes of an extension, of which none follows.
        (
            marked(0xdd, &[0xff; 4]),
            list(Type::Bool),
            "it ends too early",
        ),
        (marked(0xdf, &[0xff; 4]), map.clone(), "it ends too early"),
        (
            marked(0xdf, &[0xff; 4]),
            object.clone(),
            "it ends too early",
        ),
        (marked(0xdb, &[0xff; 4]), Type::String, "it ends too early"),
        (marked(0xc9, &[0xff; 5]), Type::String, "it ends too early"),
        (
            marked(0xdd, &[0xff; 4]),
            Type::Tuple(vec![Type::Bool]),
            "a tuple of 1 was expected, 4294967295 given",
        ),
        (
            vec![0x82, 0xa1, b'a', 0xc3, 0xa1, b'a', 0xc2],
            object.clone(),
            "attribute a comes twice",
        ),
        (
            vec![0x82, 0xa1, b'k', 0xc3, 0xa1, b'k', 0xc2],
            map.clone(),
            "a key of a map comes twice",
        ),
        (
            vec![0x81, 0x05, 0xc3],
            map,
            "a string was expected, found a number",
        ),
        (
            vec![0x81, 0xa1, b'b', 0xc3],
            object,
            "no attribute \"b\" is expected",
        ),
        (
            vec![0xa1, b'x'],
            Type::Dynamic,
            "a dynamic value was expected, found a string",
        ),
        (
            vec![0x91, 0xc0],
            Type::Dynamic,
            "a dynamic value is a pair of type and value",
        ),
        (
            vec![0x92, 0xa1, b'x', 0xc0],
            Type::Dynamic,
            "a type was expected, found a string",
        ),
        (
            vec![0x92, 0xc4, 1, b'x', 0xc0],
            Type::Dynamic,
            "the type of a dynamic value is not JSON",
        ),
        (
            vec![0x92, 0xc4, 2, b'{', b'}', 0xc0],
            Type::Dynamic,
            "the type of a dynamic value is no type",
        ),
        (
            deep_type(100_000),
            Type::Dynamic,
            "the type of a dynamic value is not JSON",
        ),
        // A dynamic value in a dynamic value, and so on.
        (
            [0x92, 0xc4, 9]
                .iter()
                .chain(b"\"dynamic\"")
                .copied()
                .collect::<Vec<_>>()
                .repeat(100_000),
            Type::Dynamic,
            "it is nested deeper than 128 levels",
        ),
    ] {
        let error = decode(&bytes, &of).expect_err(reason);
        assert_eq!(
            error.0,
            reason,
            "{:x?} as {of:?}",
            &bytes[..bytes.len().min(20)]
        );
    }
}

#[test]
fn the_deepest_value_fits_the_stack_of_a_thread() {
    let (levels, mut of) = (128, Type::Bool);
    for _ in 0..levels {
        of = list(of);
    }
    let bytes = [vec![0x91; levels], vec![0xc3]].concat();
    let value = decode(&bytes, &of).expect("as deep as may be");
    assert_eq!(encode(&value, &of), Ok(bytes.clone()));
    assert!(equal(&value, &value.clone(), &of) && value.is_wholly_known());
    assert!(decode(&[vec![0x91], bytes].concat(), &list(of)).is_err());
}
