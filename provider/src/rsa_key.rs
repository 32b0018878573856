//! RSA keys of 4096 bits, for the two places that accept nothing else: sealed-secrets and Talos' service accounts.
//!
//! ring signs with RSA keys but makes none; the crate `rsa` makes them. Written as PKCS#1 (`RSA PRIVATE KEY`), read as PKCS#1 or PKCS#8.
//! Making one takes a second or more: call [`RsaKey::generate`] outside the threads that answer requests.

use rsa::PrivateKey;
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _};
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rustls_pki_types::PrivatePkcs8KeyDer;

use crate::secret::Secret;

const BITS: usize = 4096;

/// Why there is no key. Never quotes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The numbers could not be found or encoded.
    #[error("cannot make an RSA key")]
    Make,
    /// The text is something else.
    #[error("not an RSA private key in PEM (`RSA PRIVATE KEY` or `PRIVATE KEY`)")]
    Parse,
}

/// A private key.
pub struct RsaKey(PrivateKey);

impl RsaKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, Error> {
        let key = PrivateKey::new(&mut rand::rng(), BITS).map_err(|_| Error::Make)?;
        Ok(Self(key))
    }

    /// Reads PEM, PKCS#1 or PKCS#8.
    pub fn parse(pem: &str) -> Result<Self, Error> {
        let key = if pem.contains("BEGIN RSA PRIVATE KEY") {
            PrivateKey::from_pkcs1_pem(pem.trim()).ok()
        } else {
            PrivateKey::from_pkcs8_pem(pem.trim()).ok()
        };
        key.map(Self).ok_or(Error::Parse)
    }

    /// PKCS#1 in PEM.
    pub fn to_pem(&self) -> Result<Secret<String>, Error> {
        let pem = self.0.to_pkcs1_pem(LineEnding::LF);
        pem.map(|pem| Secret::new(pem.to_string()))
            .map_err(|_| Error::Make)
    }

    /// The public half as SubjectPublicKeyInfo, DER.
    pub fn public_der(&self) -> Result<Vec<u8>, Error> {
        let der = self.0.as_public_key().to_public_key_der();
        der.map(|der| der.as_bytes().to_vec())
            .map_err(|_| Error::Make)
    }

    /// What signs certificates.
    pub fn signer(&self) -> Result<rcgen::KeyPair, Error> {
        let der = self.0.to_pkcs8_der().map_err(|_| Error::Make)?;
        let der = PrivatePkcs8KeyDer::from(der.as_bytes().to_vec());
        rcgen::KeyPair::try_from(&der).map_err(|_| Error::Make)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Made with `openssl genrsa -traditional 4096`; the PKCS#8 form with `openssl pkey`. Of no use anywhere.
    pub(crate) const PKCS1: &str = include_str!("rsa_key/pkcs1.pem");
    const PKCS8: &str = include_str!("rsa_key/pkcs8.pem");

    #[test]
    fn what_openssl_made_is_read_in_both_forms_and_written_as_pkcs1() {
        for pem in [PKCS1, PKCS8] {
            let key = RsaKey::parse(pem).unwrap();
            assert_eq!(key.to_pem().unwrap().expose(), PKCS1);
        }
        assert_eq!(RsaKey::parse("hunter2").err(), Some(Error::Parse));
    }

    #[test]
    fn a_new_key_has_4096_bits_and_signs() {
        let key = RsaKey::generate().unwrap();
        let again = RsaKey::parse(key.to_pem().unwrap().expose()).unwrap();
        assert_eq!(again.public_der().unwrap(), key.public_der().unwrap());
        // SubjectPublicKeyInfo of RSA 4096 with exponent 65537 always has this length.
        assert_eq!(key.public_der().unwrap().len(), 550);
        assert!(key.signer().is_ok());
    }
}
