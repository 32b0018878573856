//! What a store entry can hold: how it is made, and which parts of it are public.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use rand::RngExt;
use russh::keys::ssh_key::{HashAlg, LineEnding};
use russh::keys::{Algorithm, PrivateKey};

use crate::pki::Pki;
use crate::sealed::{self, Certificate, KeyPair};
use crate::secret::Secret;
use crate::talos_secrets::{self, TalosSecrets};

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
    /// What `talosctl gen secrets` writes.
    TalosSecrets,
    /// Key and certificate of the sealed-secrets controller.
    SealedSecretsKeypair,
    /// What k3s nodes join with.
    K3sToken,
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
    /// The pair of sealed-secrets.
    #[error(transparent)]
    Sealed(#[from] sealed::Error),
    /// The secrets of Talos.
    #[error(transparent)]
    Talos(#[from] talos_secrets::Error),
    /// The entry holds something else.
    #[error("the entry does not hold {0}")]
    Other(&'static str),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::SshKeypair,
        Self::SshHostKeypair,
        Self::KubeadmPki,
        Self::TalosSecrets,
        Self::SealedSecretsKeypair,
        Self::K3sToken,
        Self::Password,
        Self::Value,
    ];

    /// By its word in the schema.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Recognises what an entry holds. A host key looks like any SSH key, a password and a token look like a value.
    pub fn of(entry: &str) -> Self {
        if entry.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
            return Self::SshKeypair;
        }
        let distinct = [
            Self::KubeadmPki,
            Self::SealedSecretsKeypair,
            Self::TalosSecrets,
        ];
        let entry = Secret::new(entry.to_owned());
        distinct
            .into_iter()
            .find(|kind| kind.public(&entry).is_ok())
            .unwrap_or(Self::Value)
    }

    /// The word in the schema.
    pub fn word(self) -> &'static str {
        match self {
            Self::SshKeypair => "ssh_keypair",
            Self::SshHostKeypair => "ssh_host_keypair",
            Self::KubeadmPki => "kubeadm_pki",
            Self::TalosSecrets => "talos_secrets",
            Self::SealedSecretsKeypair => "sealed_secrets_keypair",
            Self::K3sToken => "k3s_token",
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
            Self::TalosSecrets => return Ok(TalosSecrets::generate()?.to_text()),
            Self::SealedSecretsKeypair => return Ok(KeyPair::generate()?.to_text()),
            // The short form: k3s itself puts the hash of its CA in front. Hex cannot be taken for the long form, which begins with `K10`.
            Self::K3sToken => HEXLOWER.encode(&rand::random::<[u8; 32]>()),
            Self::Password => {
                let mut random = rand::rng();
                (0..length)
                    .map(|_| char::from(PASSWORD[random.random_range(0..PASSWORD.len())]))
                    .collect()
            }
            Self::Value => return Err(Error::Other("a value, and only a person can supply one")),
        }))
    }

    /// What comes in place of `old` when it is rotated: a new secret, except for what would make sealed values unreadable.
    pub fn rotate(
        self,
        old: Option<&Secret<String>>,
        name: &str,
        length: usize,
    ) -> Result<Secret<String>, Error> {
        match (self, old) {
            (Self::SealedSecretsKeypair, Some(old)) => {
                Ok(KeyPair::parse(old.expose())?.renew()?.to_text())
            }
            _ => self.generate(name, length),
        }
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
            Self::TalosSecrets => TalosSecrets::parse(entry.expose())?.certificates()?.into(),
            Self::SealedSecretsKeypair => {
                let pair = KeyPair::parse(entry.expose())?;
                let certificate = Certificate::parse(pair.certificate())?;
                vec![
                    ("certificate_pem", pair.certificate().to_owned()),
                    ("key_fingerprint", certificate.fingerprint),
                    ("not_after", certificate.not_after),
                    ("older_keys", pair.older().len().to_string()),
                ]
            }
            Self::K3sToken | Self::Password | Self::Value => Vec::new(),
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
    fn generated_secrets_are_recognised_rotated_and_show_only_public_parts() {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Value) {
            let entry = kind.generate("x", 24).unwrap();
            let public = kind.public(&entry).unwrap();
            assert!(
                public.values().all(|value| !value.contains("PRIVATE")),
                "{kind:?}"
            );
            assert_eq!(Kind::parse(kind.word()), Some(kind));
            let recognised = match kind {
                Kind::SshHostKeypair => Kind::SshKeypair,
                Kind::Password | Kind::K3sToken => Kind::Value,
                kind => kind,
            };
            assert_eq!(Kind::of(entry.expose()), recognised);
            let rotated = kind.rotate(Some(&entry), "x", 24).unwrap();
            assert_ne!(entry.expose(), rotated.expose(), "{kind:?}");
            let next = kind.public(&rotated).unwrap();
            match kind {
                Kind::SshKeypair | Kind::SshHostKeypair => {
                    assert!(public["public_key"].starts_with("ssh-ed25519 AAAA"));
                    assert!(public["fingerprint_sha256"].starts_with("SHA256:"));
                }
                Kind::KubeadmPki => assert!(public["ca_hash"].starts_with("sha256:")),
                Kind::TalosSecrets => {
                    assert!(public["os_ca_cert_pem"].contains("BEGIN CERTIFICATE"));
                }
                // A rotation renews the certificate and keeps the key: what was sealed before still opens.
                Kind::SealedSecretsKeypair => {
                    assert!(public["not_after"].ends_with('Z'));
                    assert_eq!(next["key_fingerprint"], public["key_fingerprint"]);
                    assert_ne!(next["certificate_pem"], public["certificate_pem"]);
                }
                Kind::K3sToken => assert_eq!(entry.expose().len(), 64),
                Kind::Password => assert_eq!(entry.expose().len(), 24),
                Kind::Value => unreachable!("it is not generated"),
            }
        }
    }

    #[test]
    fn an_error_never_quotes_the_entry() {
        let error = Kind::SshKeypair
            .public(&Secret::new("hunter2-hunter2".to_owned()))
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
