//! Sealed Secrets: the key pair of the controller, and sealing without it at hand.
//!
//! The format is the one of <https://github.com/bitnami-labs/sealed-secrets>; what of it is used here is written down at [`seal`].
//!
//! ```text
//! KeyPair::generate() / parse(&text) / to_text()     the content of a store entry of kind `sealed_secrets_keypair`
//! pair.renew()                                       the same key, a new certificate; the old one is kept
//! seal::manifest(&Sealing { .. })                    a SealedSecret as YAML
//! capture::{read, adopt}                             the keys of a controller that has its own, into the store
//! ```

pub mod capture;
mod key_pair;
pub mod seal;

pub use key_pair::{Certificate, Error, KeyPair, Older};

/// Where the controller looks for its keys unless told otherwise.
pub const NAMESPACE: &str = "kube-system";
/// The label that makes a Secret one of its keys, with value `active`.
pub const KEY_LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
