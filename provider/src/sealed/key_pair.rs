//! The content of a store entry of kind `sealed_secrets_keypair`.
//!
//! One JSON text, whose first members are named like the keys of the Secret that the controller reads:
//!
//! ```text
//! { "tls.crt": PEM, "tls.key": PEM (PKCS#1), "previous-certificates": [PEM ..], "older-keys": [{ "tls.crt", "tls.key" } ..] }
//! ```
//!
//! A renewal keeps the key: what was sealed before still opens, and nothing has to be sealed again. `older-keys` are those of a controller
//! that made new ones by itself ([`super::capture`]); they only open.

use std::time::{Duration, SystemTime};

use data_encoding::BASE64_NOPAD;
use rcgen::{CertificateParams, DnType, KeyUsagePurpose, SerialNumber};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

use crate::rsa_key::{self, RsaKey};
use crate::secret::Secret;

/// Common name of the certificate. Nobody compares it.
const NAME: &str = "sealed-secrets";
const LIFE: Duration = Duration::from_hours(365 * 24);
/// Clocks differ.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// What can be wrong with a key pair. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The entry is something else.
    #[error("the entry does not hold a sealed-secrets key pair (JSON with tls.crt and tls.key)")]
    Shape,
    /// The certificate cannot be read.
    #[error("not a PEM certificate with an RSA key")]
    Certificate,
    /// Halves of different pairs.
    #[error("tls.crt is not the certificate of tls.key")]
    Halves,
    /// The private half.
    #[error("tls.key: {0}")]
    Key(#[from] rsa_key::Error),
    /// Signing failed.
    #[error("cannot sign the certificate")]
    Sign(#[source] rcgen::Error),
}

/// A key that only opens, with its certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Older {
    /// PEM.
    #[serde(rename = "tls.crt")]
    pub certificate: String,
    /// PEM.
    #[serde(rename = "tls.key")]
    pub key: String,
}

/// The key pair.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    #[serde(rename = "tls.crt")]
    certificate: String,
    #[serde(rename = "tls.key")]
    key: String,
    #[serde(rename = "previous-certificates", default)]
    previous: Vec<String>,
    #[serde(rename = "older-keys", default)]
    older: Vec<Older>,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SubjectPublicKeyInfo, DER.
    pub public_der: Vec<u8>,
    /// `SHA256:..` of the public key, as `ssh-keygen -l` prints it and the controller names its keys.
    pub fingerprint: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// RFC 3339, UTC.
    pub not_after: String,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    pub fn parse(pem: &str) -> Result<Self, Error> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.trim_start().as_bytes())
            .map_err(|_| Error::Certificate)?;
        let certificate = pem.parse_x509().map_err(|_| Error::Certificate)?;
        Self::of(&certificate).ok_or(Error::Certificate)
    }

    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let PublicKey::RSA(key) = certificate.public_key().parsed().ok()? else {
            return None;
        };
        let not_after = certificate.validity().not_after.timestamp();
        let not_after = jiff::Timestamp::from_second(not_after).ok()?;
        Some(Self {
            public_der: certificate.public_key().raw.to_vec(),
            fingerprint: fingerprint(key.exponent, key.modulus),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: not_after.to_string(),
        })
    }
}

/// SHA-256 over the key as SSH writes it (RFC 4253 section 6.6): the name of the algorithm and two numbers, each with its length.
fn fingerprint(exponent: &[u8], modulus: &[u8]) -> String {
    let mut digest = Sha256::new();
    let mut field = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).expect("keys are short");
        digest.update(length.to_be_bytes());
        digest.update(bytes);
    };
    field(b"ssh-rsa");
    for number in [exponent, modulus] {
        let start = number.iter().position(|byte| *byte != 0);
        let digits = &number[start.unwrap_or(number.len())..];
        // A first bit that is set would make the number negative.
        let sign: &[u8] = match digits.first() {
            Some(first) if first & 0x80 != 0 => &[0],
            _ => &[],
        };
        field(&[sign, digits].concat());
    }
    format!("SHA256:{}", BASE64_NOPAD.encode(&digest.finalize()))
}

/// A self-signed certificate of one year. Its serial number is random: certificates of one key would otherwise have the same.
fn sign(key: &RsaKey) -> Result<String, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.key_usages = vec![
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::DigitalSignature,
    ];
    let mut serial: [u8; 16] = rand::random();
    // Positive, and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_TOLERANCE).into();
    params.not_after = (now + LIFE).into();
    let certificate = params.self_signed(&key.signer()?).map_err(Error::Sign)?;
    Ok(certificate.pem())
}

impl KeyPair {
    /// Makes a new pair. Takes a second or more.
    pub fn generate() -> Result<Self, Error> {
        let key = RsaKey::generate()?;
        Ok(Self {
            certificate: sign(&key)?,
            key: key.to_pem()?.into_exposed(),
            previous: Vec::new(),
            older: Vec::new(),
        })
    }

    /// The pair of a given key, for tests that need no new one.
    #[cfg(test)]
    pub(crate) fn of_key(pem: &str) -> Self {
        let key = RsaKey::parse(pem).expect("a key");
        Self {
            certificate: sign(&key).expect("a certificate"),
            key: key.to_pem().expect("a key").into_exposed(),
            previous: Vec::new(),
            older: Vec::new(),
        }
    }

    /// From what controllers have: the newest seals, all open. `None` when there is none.
    pub fn of_controller(mut keys: Vec<Older>) -> Result<Option<Self>, Error> {
        let mut dated = Vec::new();
        for key in keys.drain(..) {
            let certificate = check(&key.certificate, &key.key)?;
            dated.push((certificate.not_before, key));
        }
        dated.sort_by_key(|(not_before, _)| std::cmp::Reverse(*not_before));
        let mut keys = dated.into_iter().map(|(_, key)| key);
        let Some(newest) = keys.next() else {
            return Ok(None);
        };
        Ok(Some(Self {
            certificate: newest.certificate,
            key: newest.key,
            previous: Vec::new(),
            older: keys.collect(),
        }))
    }

    /// Reads the content of a store entry.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // The parser's own text is left out: it could quote a key.
        let pair: Self = serde_json::from_str(text).map_err(|_| Error::Shape)?;
        check(&pair.certificate, &pair.key)?;
        for older in &pair.older {
            check(&older.certificate, &older.key)?;
        }
        Ok(pair)
    }

    /// The content of the store entry.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(serde_json::to_string(self).expect("strings serialise"))
    }

    /// A new certificate for the same key.
    pub fn renew(&self) -> Result<Self, Error> {
        let mut next = self.clone();
        next.certificate = sign(&RsaKey::parse(&self.key)?)?;
        next.previous.insert(0, self.certificate.clone());
        Ok(next)
    }

    /// The certificate that seals, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The key that opens what the certificate seals, PEM.
    pub fn key(&self) -> Secret<String> {
        Secret::new(self.key.clone())
    }

    /// Certificates before the last renewals, the youngest first.
    pub fn previous(&self) -> &[String] {
        &self.previous
    }

    /// Takes one more key that only opens.
    pub(super) fn add(&mut self, key: Older) {
        self.older.push(key);
    }

    /// Keys that only open.
    pub fn older(&self) -> &[Older] {
        &self.older
    }
}

/// Whether the halves belong together.
pub(super) fn check(certificate: &str, key: &str) -> Result<Certificate, Error> {
    let certificate = Certificate::parse(certificate)?;
    if RsaKey::parse(key)?.public_der()? != certificate.public_der {
        return Err(Error::Halves);
    }
    Ok(certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl req -x509 -newkey rsa:4096 -nodes -days 365 -subj /CN=sealed-secrets`, the fingerprint with
    /// `ssh-keygen -lf` of the public key. Of no use anywhere.
    const CERTIFICATE: &str = include_str!("key_pair/tls.crt");
    const KEY: &str = include_str!("key_pair/tls.key");
    const FINGERPRINT: &str = include_str!("key_pair/fingerprint");

    fn given() -> Older {
        Older {
            certificate: CERTIFICATE.into(),
            key: KEY.into(),
        }
    }

    #[test]
    fn the_fingerprint_is_the_one_of_ssh() {
        let certificate = Certificate::parse(CERTIFICATE).unwrap();
        assert_eq!(certificate.fingerprint, FINGERPRINT.trim());
    }

    #[test]
    fn a_new_pair_is_what_the_controller_takes() {
        let pair = KeyPair::generate().unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(pair.certificate().as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=sealed-secrets");
        assert!(certificate.verify_signature(None).is_ok(), "self-signed");
        let validity = certificate.validity();
        let life = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert_eq!(life, 365 * 24 * 3600 + 300);
        assert!(pair.key.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
        assert_eq!(KeyPair::parse(pair.to_text().expose()).unwrap(), pair);
        assert!(!format!("{pair:?}").contains("BEGIN"));
    }

    #[test]
    fn a_renewal_keeps_the_key_and_the_old_certificate() {
        let old = KeyPair::of_controller(vec![given()]).unwrap().unwrap();
        let new = old.renew().unwrap().renew().unwrap();
        assert_eq!(new.key, old.key);
        assert_ne!(new.certificate(), old.certificate());
        assert_eq!(new.previous().len(), 2);
        assert_eq!(new.previous()[1], old.certificate());
        let [before, after] = [&old, &new].map(|pair| Certificate::parse(&pair.certificate));
        assert_eq!(before.unwrap().fingerprint, after.unwrap().fingerprint);
        assert_eq!(KeyPair::parse(new.to_text().expose()).unwrap(), new);
    }

    #[test]
    fn the_newest_of_a_controllers_keys_seals_and_all_are_kept() {
        let newer = KeyPair::of_key(crate::rsa_key::tests::PKCS1);
        let newer = Older {
            certificate: newer.certificate,
            key: newer.key,
        };
        let pair = KeyPair::of_controller(vec![given(), newer.clone()]).unwrap();
        let pair = pair.unwrap();
        assert_eq!(pair.certificate(), newer.certificate);
        assert!(pair.older() == [given()]);
        assert_eq!(KeyPair::of_controller(Vec::new()).unwrap(), None);
    }

    #[test]
    fn halves_of_different_pairs_are_refused_without_quoting_them() {
        let wrong = Older {
            certificate: CERTIFICATE.into(),
            key: crate::rsa_key::tests::PKCS1.into(),
        };
        assert!(matches!(
            KeyPair::of_controller(vec![wrong]),
            Err(Error::Halves)
        ));
        let error = KeyPair::parse("{\"tls.key\": \"hunter2\"}").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
        assert!(matches!(error, Error::Shape));
    }
}
