//! Secrets: stars wherever they are printed, and registered with the mask of everything that this process says.

use std::fmt;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::field::Source;
use crate::schema::Shape;
use crate::{Attr, Diagnostics, Field, Type, Value};

/// A value that must not be printed. `Debug` shows stars; making one registers its text with the log mask.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret<T>(T);

impl<T: AsRef<[u8]>> Secret<T> {
    /// Wraps and registers a secret.
    pub fn new(value: T) -> Self {
        crate::mask(value.as_ref());
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
    use super::{Secret, fingerprint};
    use crate::masked;

    #[test]
    fn a_secret_shows_stars_and_is_masked() {
        let secret = Secret::new("correct horse battery".to_owned());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(masked("it is correct horse battery!"), "it is ***!");
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
