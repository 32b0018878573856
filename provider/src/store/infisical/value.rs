//! How a value is written so that Infisical gives back exactly that.
//!
//! Infisical removes white space around a value (one final line feed stays) and takes `${NAME}` for a reference. Nearly every secret is
//! untouched by both and stands there as it is. What is not is written as `strata-base64:` and the base64 of it.

use data_encoding::BASE64;

const MARK: &str = "strata-base64:";
/// What Infisical shows instead of a value that may not be seen.
pub(super) const HIDDEN: &str = "<hidden-by-infisical>";

/// The text to store.
pub(super) fn encode(value: &str) -> String {
    let harmless = trimmed(value) == value
        && !value.contains("${")
        && !value.starts_with(MARK)
        && value != HIDDEN;
    if harmless {
        value.to_owned()
    } else {
        format!("{MARK}{}", BASE64.encode(value.as_bytes()))
    }
}

/// The value of a stored text; `None`: it has the mark and is not ours.
pub(super) fn decode(text: &str) -> Option<String> {
    let Some(encoded) = text.strip_prefix(MARK) else {
        return Some(text.to_owned());
    };
    String::from_utf8(BASE64.decode(encoded.trim().as_bytes()).ok()?).ok()
}

/// What Infisical makes of a text.
fn trimmed(text: &str) -> String {
    // White space as JavaScript knows it: the byte order mark is one.
    let inner = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.ends_with('\n') {
        format!("{inner}\n")
    } else {
        inner.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_read_stays_as_it_is() {
        for plain in [
            "abcdef.0123456789abcdef",
            "-----BEGIN X-----\nA\n-----END X-----\n",
            "",
            "$HOME",
        ] {
            assert_eq!(encode(plain), plain);
        }
        for changed in [" x", "x\n\n", "\tx", "${A}", HIDDEN, "strata-base64:eA=="] {
            assert!(encode(changed).starts_with(MARK), "{changed:?}");
        }
        assert_eq!(decode("strata-base64:?"), None);
    }

    proptest! {
        #[test]
        fn every_value_survives(value in "([ \n\t\u{feff}a${}=]|strata-base64:){0,8}") {
            prop_assert_eq!(decode(&trimmed(&encode(&value))), Some(value));
        }
    }
}
