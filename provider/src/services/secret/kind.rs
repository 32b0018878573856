//! What a store entry can hold: how it is made, and which parts of it are public.

use std::collections::BTreeMap;

use rand::RngExt;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use russh::keys::{Algorithm, PrivateKey};

use crate::pki::Pki;
use crate::secret::Secret;

/// Characters of a password: none that a shell, a URL or an eye confuses.
const PASSWORD: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody's SSH key, OpenSSH format.
    SshKeypair,
    /// A machine's SSH host key, OpenSSH format.
    SshHostKeypair,
    /// CAs, service-account and encryption keys of a cluster, one JSON text.
    KubeadmPki,
    /// Random text.
    Password,
    /// What a person supplies.
    Value,
}

/// Why a secret could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Key generation or encoding failed.
    #[error("cannot generate an ed25519 key: {0}")]
    Ssh(#[from] russh::keys::ssh_key::Error),
    /// The PKI could not be generated.
    #[error(transparent)]
    Pki(#[from] crate::pki::Error),
    /// The entry holds something else.
    #[error("the entry does not hold {0}")]
    Other(&'static str),
}

impl Kind {
    /// By its word in the schema.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ssh_keypair" => Self::SshKeypair,
            "ssh_host_keypair" => Self::SshHostKeypair,
            "kubeadm_pki" => Self::KubeadmPki,
            "password" => Self::Password,
            "value" => Self::Value,
            _ => return None,
        })
    }

    /// Recognises what an entry holds. A password looks like a value.
    pub fn of(entry: &str) -> Self {
        if entry.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
            Self::SshKeypair
        } else if Pki::parse(entry).is_ok() {
            Self::KubeadmPki
        } else {
            Self::Value
        }
    }

    /// The word in the schema.
    pub fn word(self) -> &'static str {
        match self {
            Self::SshKeypair => "ssh_keypair",
            Self::SshHostKeypair => "ssh_host_keypair",
            Self::KubeadmPki => "kubeadm_pki",
            Self::Password => "password",
            Self::Value => "value",
        }
    }

    /// A new secret. Kind `value` has none: a person supplies it.
    pub fn generate(self, name: &str, length: usize) -> Result<Secret<String>, Error> {
        Ok(Secret::new(match self {
            Self::SshKeypair | Self::SshHostKeypair => {
                let mut key = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?;
                key.set_comment(format!("strata {name}"));
                key.to_openssh(LineEnding::LF)?.to_string()
            }
            Self::KubeadmPki => return Ok(Pki::generate()?.to_text()),
            Self::Password => {
                let mut random = rand::rng();
                (0..length)
                    .map(|_| char::from(PASSWORD[random.random_range(0..PASSWORD.len())]))
                    .collect()
            }
            Self::Value => return Err(Error::Other("a value, and only a person can supply one")),
        }))
    }

    /// The parts that may be shown.
    pub fn public(self, entry: &Secret<String>) -> Result<BTreeMap<String, String>, Error> {
        let pairs: Vec<(&str, String)> = match self {
            Self::SshKeypair | Self::SshHostKeypair => {
                let key = PrivateKey::from_openssh(entry.expose())
                    .map_err(|_| Error::Other("an OpenSSH private key"))?;
                let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
                vec![
                    ("public_key", public_line(&key)?),
                    ("fingerprint_sha256", fingerprint),
                ]
            }
            Self::KubeadmPki => {
                let pki = Pki::parse(entry.expose())?;
                vec![
                    ("ca_hash", pki.ca_hash()?),
                    ("ca_cert_pem", pki.ca_crt),
                    ("front_proxy_ca_cert_pem", pki.front_proxy_ca_crt),
                    ("etcd_ca_cert_pem", pki.etcd_ca_crt),
                ]
            }
            Self::Password | Self::Value => Vec::new(),
        };
        Ok(pairs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect())
    }
}

/// The public half as one line, without the comment: services drop it, and a comparison should not trip over it.
pub fn public_line(key: &PrivateKey) -> Result<String, Error> {
    let line = key.public_key().to_openssh()?;
    Ok(line.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_are_recognised_and_show_only_public_parts() {
        for kind in [
            Kind::SshKeypair,
            Kind::SshHostKeypair,
            Kind::KubeadmPki,
            Kind::Password,
        ] {
            let entry = kind.generate("x", 24).unwrap();
            assert_ne!(entry.expose(), kind.generate("x", 24).unwrap().expose());
            let public = kind.public(&entry).unwrap();
            assert!(
                public.values().all(|value| !value.contains("PRIVATE")),
                "{kind:?}"
            );
            assert_eq!(Kind::parse(kind.word()), Some(kind));
        }
        let key = Kind::SshKeypair.generate("operator", 0).unwrap();
        assert_eq!(Kind::of(key.expose()), Kind::SshKeypair);
        let public = Kind::SshKeypair.public(&key).unwrap();
        assert!(public["public_key"].starts_with("ssh-ed25519 AAAA"));
        assert!(public["fingerprint_sha256"].starts_with("SHA256:"));
        let pki = Kind::KubeadmPki.generate("pki", 0).unwrap();
        assert_eq!(Kind::of(pki.expose()), Kind::KubeadmPki);
        assert!(Kind::KubeadmPki.public(&pki).unwrap()["ca_hash"].starts_with("sha256:"));
        assert_eq!(Kind::Password.generate("x", 40).unwrap().expose().len(), 40);
    }

    #[test]
    fn an_error_never_quotes_the_entry() {
        let error = Kind::SshKeypair
            .public(&Secret::new("hunter2-hunter2".to_owned()))
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
