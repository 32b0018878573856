//! A part of a store entry that holds several secrets in one JSON text, like a PKI or a key pair.

use serde_json::Value;

use crate::secret::Secret;

/// Why there is no such part. Names members, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The entry is one text.
    #[error(
        "the entry is not a JSON object, so it has no part `{0}`; leave `part` out for the whole of it"
    )]
    Whole(String),
    /// It has other parts.
    #[error("the entry has no part `{part}` that is a text; it has: {known}")]
    Missing {
        /// What was asked for.
        part: String,
        /// Members that are texts.
        known: String,
    },
}

/// The member of this name; where there is none, the value at this path, like `older-keys/0/tls.key`.
pub fn of(entry: &Secret<String>, part: &str) -> Result<Secret<String>, Error> {
    // The parser's own text is left out: it could quote a value.
    let Ok(Value::Object(members)) = serde_json::from_str(entry.expose()) else {
        return Err(Error::Whole(part.into()));
    };
    if let Some(text) = members.get(part).and_then(Value::as_str) {
        return Ok(Secret::new(text.to_owned()));
    }
    let mut known: Vec<&str> = members
        .iter()
        .filter(|(_, value)| value.is_string())
        .map(|(name, _)| name.as_str())
        .collect();
    known.sort_unstable();
    let missing = Error::Missing {
        part: part.into(),
        known: known.join(", "),
    };
    let all = Value::Object(members);
    let found = all.pointer(&format!("/{part}")).and_then(Value::as_str);
    found
        .map(|text| Secret::new(text.to_owned()))
        .ok_or(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_member_or_a_path() {
        let entry =
            r#"{"etcd/ca.crt": "a", "tls.key": "b", "older-keys": [{"tls.key": "c"}], "n": 1}"#;
        let part = |name| of(&Secret::new(entry.to_owned()), name);
        for (name, value) in [
            ("etcd/ca.crt", "a"),
            ("tls.key", "b"),
            ("older-keys/0/tls.key", "c"),
        ] {
            assert_eq!(part(name).unwrap().expose(), value);
        }
        for name in ["n", "older-keys", "older-keys/1/tls.key", ""] {
            let error = part(name).unwrap_err().to_string();
            assert!(error.contains("it has: etcd/ca.crt, tls.key"), "{error}");
        }
        let whole = of(&Secret::new("hunter2".to_owned()), "a").unwrap_err();
        assert_eq!(whole, Error::Whole("a".into()));
    }
}
