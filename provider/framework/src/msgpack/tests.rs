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
