//! Values from the JSON of a state file (contract: tfplugin6, section 3.5).

use serde_json::Value as Json;

use crate::msgpack::Malformed;
use crate::{Dynamic, Number, Type, Value};

/// Decodes state for a type. Missing attributes are null, unknown ones are dropped, quoted numbers and bools accepted.
pub(crate) fn decode(json: &Json, of: &Type) -> Result<Value, Malformed> {
    let mismatch = || Malformed(format!("{} was expected in the state", of.friendly()));
    Ok(match (json, of) {
        (Json::Null, _) => Value::Null,
        (Json::String(text), Type::String) => Value::String(text.clone()),
        (Json::Number(number), Type::String) => Value::String(number.to_string()),
        (Json::Bool(truth), Type::String) => Value::String(truth.to_string()),
        (Json::Bool(truth), Type::Bool) => Value::Bool(*truth),
        (Json::String(text), Type::Bool) => Value::Bool(text.parse().map_err(|_| mismatch())?),
        (Json::Number(number), Type::Number) => {
            Value::Number(Number::parse(&number.to_string()).ok_or_else(mismatch)?)
        }
        (Json::String(text), Type::Number) => {
            Value::Number(Number::parse(text).ok_or_else(mismatch)?)
        }
        (Json::Array(elements), Type::List(of) | Type::Set(of)) => Value::List(
            elements
                .iter()
                .map(|element| decode(element, of))
                .collect::<Result<_, _>>()?,
        ),
        (Json::Array(elements), Type::Tuple(types)) if elements.len() == types.len() => {
            let pairs = elements.iter().zip(types);
            Value::List(
                pairs
                    .map(|(element, of)| decode(element, of))
                    .collect::<Result<_, _>>()?,
            )
        }
        (Json::Object(elements), Type::Map(of)) => {
            let one = |(key, element): (&String, &Json)| Ok((key.clone(), decode(element, of)?));
            Value::Map(elements.iter().map(one).collect::<Result<_, _>>()?)
        }
        (Json::Object(elements), Type::Object(types)) => {
            let one = |(name, of): (&String, &Type)| {
                Ok((
                    name.clone(),
                    decode(elements.get(name).unwrap_or(&Json::Null), of)?,
                ))
            };
            Value::Map(types.iter().map(one).collect::<Result<_, _>>()?)
        }
        (Json::Object(pair), Type::Dynamic) => {
            let of = pair
                .get("type")
                .and_then(Type::from_json)
                .ok_or_else(mismatch)?;
            let value = decode(pair.get("value").unwrap_or(&Json::Null), &of)?;
            Value::Dynamic(Box::new(Dynamic { of, value }))
        }
        _ => return Err(mismatch()),
    })
}

/// Encodes as state files do: the inverse of [`decode`], for tests and fuzzing.
#[cfg(any(test, fuzzing))]
pub(crate) fn encode(value: &Value) -> Json {
    match value {
        Value::Null | Value::Unknown(_) => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Number(number) => Json::Number(
            number
                .text()
                .parse()
                .expect("canonical decimal text is JSON"),
        ),
        Value::String(text) => Json::String(text.clone()),
        Value::List(elements) => Json::Array(elements.iter().map(encode).collect()),
        Value::Map(elements) => Json::Object(
            elements
                .iter()
                .map(|(name, element)| (name.clone(), encode(element)))
                .collect(),
        ),
        Value::Dynamic(dynamic) => {
            serde_json::json!({"type": dynamic.of.to_json(), "value": encode(&dynamic.value)})
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, encode};
    use crate::msgpack::tests::typed;
    use crate::{Number, Type, Value};

    proptest! {
        #[test]
        fn known_values_come_back((of, value) in typed()) {
            prop_assume!(value.is_wholly_known());
            let text = encode(&value).to_string();
            let json = serde_json::from_str(&text).expect("our own JSON");
            prop_assert_eq!(decode(&json, &of).expect("our own state"), value);
        }
    }

    #[test]
    fn old_state_is_read_generously() {
        let of =
            Type::Object([("n".to_owned(), Type::Number), ("b".to_owned(), Type::Bool)].into());
        let json = serde_json::json!({"n": "12345678901234567890", "gone": 1});
        let value = decode(&json, &of).expect("generous");
        assert_eq!(
            *value.get("n"),
            Value::Number(Number::parse("12345678901234567890").expect("decimal"))
        );
        assert!(value.get("b").is_null());
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let object = Type::Object([("a".to_owned(), Type::Bool)].into());
        for (text, of) in [
            ("1", Type::Bool),
            ("\"yes\"", Type::Bool),
            ("\"1e9999\"", Type::Number),
            ("1e99999999999999999999", Type::Number),
            ("[]", Type::Number),
            ("{}", Type::List(Box::new(Type::Bool))),
            ("[]", object.clone()),
            ("{\"a\": []}", object),
            ("[true]", Type::Tuple(vec![])),
            ("true", Type::Dynamic),
            ("{}", Type::Dynamic),
            ("{\"type\": \"text\", \"value\": 1}", Type::Dynamic),
            ("{\"type\": [\"list\"], \"value\": []}", Type::Dynamic),
        ] {
            let json = serde_json::from_str(text).expect("JSON");
            assert!(decode(&json, &of).is_err(), "{text} as {of:?}");
        }
    }

    #[test]
    fn deep_json_is_refused_before_it_is_a_value() {
        let text = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_err());
    }
}
