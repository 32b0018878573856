//! Secrets: masked wherever they are printed, and masked in every log line of this process.

use std::fmt;
use std::sync::RwLock;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::field::Source;
use crate::schema::Shape;
use crate::{Attr, Diagnostics, Field, Type, Value};

/// Shorter texts occur by chance in any log line.
const SHORTEST_MASKED: usize = 6;

static MASKED: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// A value that must not be printed. `Debug` shows stars; making one registers its text with the log mask.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret<T>(T);

impl<T: AsRef<[u8]>> Secret<T> {
    /// Wraps and registers a secret.
    pub fn new(value: T) -> Self {
        mask(value.as_ref());
        Self(value)
    }
}

impl<T: AsRef<[u8]>> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Secret<T> {
    /// The secret itself, at the place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }

    /// The secret itself, by value.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl Field for Secret<String> {
    const SECRET: bool = true;
    fn shape() -> Shape {
        Shape::Plain(Type::String)
    }
    fn decode(value: &Value, source: Source) -> Result<Attr<Self>, Diagnostics> {
        Ok(String::decode(value, source)?.map(Self::new))
    }
    fn encode(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// Registers bytes that no log line may show: as text, line by line, and in base64 and hex.
pub fn mask(secret: &[u8]) {
    if secret.len() < SHORTEST_MASKED {
        return;
    }
    let mut forms = vec![
        BASE64.encode(secret),
        BASE64_NOPAD.encode(secret),
        BASE64URL_NOPAD.encode(secret),
        HEXLOWER.encode(secret),
    ];
    if let Ok(text) = std::str::from_utf8(secret) {
        // A PEM text is logged with its newlines escaped, so its lines are registered too.
        let lines = text
            .lines()
            .filter(|line| line.len() > 16 && !line.starts_with("-----"));
        forms.extend(lines.map(str::to_owned));
        forms.push(text.trim().to_owned());
    }
    let mut masked = MASKED
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    for form in forms {
        if form.len() >= SHORTEST_MASKED && !masked.contains(&form) {
            masked.push(form);
        }
    }
    // Longest first, so that a part never leaves the rest of the whole standing.
    masked.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

/// The text with every registered secret replaced by stars.
pub fn masked(text: &str) -> String {
    let masked = MASKED
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    masked.iter().fold(text.to_owned(), |text, secret| {
        if text.contains(secret.as_str()) {
            text.replace(secret.as_str(), "***")
        } else {
            text
        }
    })
}

/// What state may know of a secret: its HMAC-SHA-256 under a key that is not in state.
pub fn fingerprint(key: &[u8], value: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(value);
    format!(
        "hmac-sha256:{}",
        HEXLOWER.encode(&mac.finalize().into_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::{Secret, fingerprint, masked};

    #[test]
    fn a_secret_is_masked_in_every_form() {
        let secret = Secret::new("correct horse battery".to_owned());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(masked("it is correct horse battery!"), "it is ***!");
        assert_eq!(masked("Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"), "***");
    }

    #[test]
    fn fingerprints_follow_rfc_4231() {
        // RFC 4231, test case 2.
        let expected =
            "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(
            fingerprint(b"Jefe", b"what do ya want for nothing?"),
            expected
        );
    }
}
