//! Sealing without the controller: from its certificate to a `SealedSecret`, in the published format.
//!
//! One value becomes: two bytes with the length of the first part (big-endian), a session key encrypted with RSA-OAEP (SHA-256 for label and
//! mask, the label is the scope's), and the value under AES-256-GCM with that session key, a nonce of zeros and no further data; all in base64.
//! Reference: <https://github.com/bitnami-labs/sealed-secrets/blob/main/docs/developer/crypto.md>.
//!
//! Terraform's functions must give the same result for the same arguments, and `kubeseal` draws session key and seed at random. Here both
//! are drawn from an HMAC under a key of the caller over everything that is sealed (docs/adr/0010). A nonce of zeros is safe only when no
//! session key meets two values: another value, name, label or certificate gives another session key. Without the caller's key nobody can
//! test a guess; that is why it is not optional.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rsa::pkcs8::DecodePublicKey as _;
use rsa::rand_core::{Infallible, TryCryptoRng, TryRng};
use rsa::traits::PublicKeyParts as _;
use rsa::{Oaep, PublicKey};
use serde_json::{Value, json};
use sha2::Sha256;

use super::Certificate;

/// Shorter keys could be guessed.
pub const SHORTEST_KEY: usize = 16;
/// Smaller RSA keys are broken, or soon will be.
const SMALLEST_RSA: usize = 2048;
/// Kubernetes refuses larger Secrets.
const LARGEST: usize = 1024 * 1024;

/// Where a sealed value may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Under one name in one namespace.
    Strict,
    /// Under any name in one namespace.
    Namespace,
    /// Anywhere.
    Cluster,
}

/// What is sealed, and for whom.
pub struct Sealing<'a> {
    /// The controller's certificate.
    pub certificate: &'a Certificate,
    /// Where it opens.
    pub scope: Scope,
    /// Namespace of the Secret.
    pub namespace: &'a str,
    /// Name of the Secret.
    pub name: &'a str,
    /// Type of the Secret, like `Opaque`.
    pub kind: &'a str,
    /// Its values.
    pub data: &'a BTreeMap<String, String>,
    /// The caller's key.
    pub key: &'a [u8],
}

/// Why nothing was sealed. Values are never quoted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A key that could be guessed.
    #[error("`key` has fewer than {SHORTEST_KEY} bytes; give it a password of the store")]
    ShortKey,
    /// Nothing to seal.
    #[error("`data` is empty")]
    NoData,
    /// Kubernetes would refuse it.
    #[error("`data` has more than 1 MiB, which Kubernetes does not take")]
    TooMuch,
    /// Not a key of a Secret.
    #[error(
        "`{0}` is not a key of a Secret: letters, digits, `-`, `_` and `.`, at most 253 characters"
    )]
    DataKey(String),
    /// The certificate's key.
    #[error("the certificate's RSA key cannot be used: it must have between 2048 and 4096 bits")]
    PublicKey,
}

impl Scope {
    /// By the word that `kubeseal --scope` takes.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "strict" => Self::Strict,
            "namespace-wide" => Self::Namespace,
            "cluster-wide" => Self::Cluster,
            _ => return None,
        })
    }

    fn label(self, namespace: &str, name: &str) -> String {
        match self {
            Self::Strict => format!("{namespace}/{name}"),
            Self::Namespace => namespace.into(),
            Self::Cluster => String::new(),
        }
    }

    fn annotation(self) -> Option<&'static str> {
        match self {
            Self::Strict => None,
            Self::Namespace => Some("sealedsecrets.bitnami.com/namespace-wide"),
            Self::Cluster => Some("sealedsecrets.bitnami.com/cluster-wide"),
        }
    }
}

/// A SealedSecret, as YAML.
pub fn manifest(sealing: &Sealing<'_>) -> Result<String, Error> {
    if sealing.key.len() < SHORTEST_KEY {
        return Err(Error::ShortKey);
    }
    if sealing.data.is_empty() {
        return Err(Error::NoData);
    }
    if sealing.data.values().map(String::len).sum::<usize>() > LARGEST {
        return Err(Error::TooMuch);
    }
    let public = PublicKey::from_public_key_der(&sealing.certificate.public_der);
    let public = public.map_err(|_| Error::PublicKey)?;
    if public.size() < SMALLEST_RSA / 8 {
        return Err(Error::PublicKey);
    }
    let label = sealing.scope.label(sealing.namespace, sealing.name);
    let mut sealed = serde_json::Map::new();
    for (name, value) in sealing.data {
        check_key(name)?;
        let drawn = draw(sealing, &label, name, value);
        let blob = blob(&public, &label, value.as_bytes(), &drawn)?;
        sealed.insert(name.clone(), BASE64.encode(&blob).into());
    }
    let mut metadata = json!({ "name": sealing.name, "namespace": sealing.namespace });
    if let Some(annotation) = sealing.scope.annotation() {
        metadata["annotations"] = json!({ annotation: "true" });
    }
    let manifest = json!({
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": metadata,
        "spec": {
            "encryptedData": Value::Object(sealed),
            "template": { "metadata": metadata, "type": sealing.kind },
        },
    });
    Ok(serde_yaml_ng::to_string(&manifest).expect("JSON values are YAML"))
}

fn check_key(name: &str) -> Result<(), Error> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=253).contains(&name.len()) && name.chars().all(known);
    if good && name != "." && !name.starts_with("..") {
        Ok(())
    } else {
        Err(Error::DataKey(name.into()))
    }
}

/// What `kubeseal` draws at random.
struct Drawn {
    session: [u8; 32],
    seed: [u8; 32],
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        // With its length, so that no two lists of parts are one text.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn draw(sealing: &Sealing<'_>, label: &str, name: &str, value: &str) -> Drawn {
    let secret = hmac(
        sealing.key,
        &[
            b"strata seal 1",
            &sealing.certificate.public_der,
            label.as_bytes(),
            name.as_bytes(),
            value.as_bytes(),
        ],
    );
    Drawn {
        session: hmac(&secret, &[b"session"]),
        seed: hmac(&secret, &[b"seed"]),
    }
}

fn blob(public: &PublicKey, label: &str, value: &[u8], drawn: &Drawn) -> Result<Vec<u8>, Error> {
    let padding = Oaep::<Sha256>::new_with_label(label.as_bytes());
    let session = public
        .encrypt(&mut Given(&drawn.seed), padding, &drawn.session)
        .map_err(|_| Error::PublicKey)?;
    let mut blob = Vec::with_capacity(2 + session.len() + value.len() + 16);
    let length = u16::try_from(session.len()).map_err(|_| Error::PublicKey)?;
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(&session);
    blob.extend_from_slice(&body(&drawn.session, value));
    Ok(blob)
}

fn body(session: &[u8; 32], value: &[u8]) -> Vec<u8> {
    let key = UnboundKey::new(&AES_256_GCM, session).expect("32 bytes are a key of AES-256");
    let mut bytes = value.to_vec();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key([0; 12]),
            Aad::empty(),
            &mut bytes,
        )
        .expect("a Secret is far below the limit of AES-GCM");
    bytes
}

/// Hands out the given bytes where `rsa` asks for random ones: OAEP asks once, for a seed as long as the hash.
struct Given<'a>(&'a [u8; 32]);

impl TryRng for Given<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for (byte, given) in target.iter_mut().zip(self.0.iter().cycle()) {
            *byte = *given;
        }
        Ok(())
    }
}

impl TryCryptoRng for Given<'_> {}

#[cfg(test)]
#[path = "seal/tests.rs"]
mod tests;
