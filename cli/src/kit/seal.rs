//! The envelope of a kit: age with a passphrase (scrypt). In memory only; nothing is written in the clear.

use age::secrecy::SecretString;
use anyhow::Context as _;
use strata_provider::secret::Secret;

use super::{Kit, VERSION};

/// Cost of one guess, as a power of two: what the `age` tool uses, about a second and 256 MiB.
const WORK: u8 = 18;
/// A kit of another tool may have cost more; beyond this somebody wants to keep us busy.
const MOST_WORK: u8 = 22;

/// What every format begins with.
#[derive(serde::Deserialize)]
struct Version {
    kit: u32,
    strata: String,
}

/// Encrypts.
pub(crate) fn seal(kit: &Kit, passphrase: &SecretString) -> anyhow::Result<Vec<u8>> {
    let plain = Secret::new(serde_json::to_vec(kit).context("writing the kit as JSON")?);
    let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
    recipient.set_work_factor(WORK);
    age::encrypt(&recipient, plain.expose()).context("encrypting the kit")
}

/// Decrypts and reads. Errors never show what is inside.
pub(crate) fn open(sealed: &[u8], passphrase: &SecretString) -> anyhow::Result<Kit> {
    let mut identity = age::scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MOST_WORK);
    let plain = age::decrypt(&identity, sealed).map_err(|error| match error {
        age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed => {
            anyhow::anyhow!("the passphrase is wrong")
        }
        other => anyhow::anyhow!("it is not a whole kit: {other}"),
    })?;
    let not_a_kit = |error: &serde_json::Error| {
        anyhow::anyhow!(
            "it was opened, but what is inside is no kit of this release ({:?} at line {}, column {})",
            error.classify(),
            error.line(),
            error.column()
        )
    };
    let version: Version = serde_json::from_slice(&plain).map_err(|error| not_a_kit(&error))?;
    anyhow::ensure!(
        version.kit == VERSION,
        "it is of format {}, and this release reads format {VERSION}: use strata {}",
        version.kit,
        version.strata
    );
    serde_json::from_slice(&plain).map_err(|error| not_a_kit(&error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::kit::{ClusterFile, Store};

    fn kit() -> Kit {
        Kit {
            kit: VERSION,
            strata: "0.1.0".into(),
            cluster: "home".into(),
            written_at: "2026-11-21T00:00:00Z".parse().unwrap(),
            cluster_file: ClusterFile {
                path: "cluster.yaml".into(),
                text: "name: home\n".into(),
            },
            set: BTreeMap::new(),
            store: Store::Entries {
                kind: "vault".into(),
                entries: BTreeMap::from([("pki".into(), "canary-secret-value".into())]),
            },
            states: BTreeMap::from([("00-auth".into(), "{}".into())]),
        }
    }

    #[test]
    fn what_is_sealed_opens_with_its_passphrase_alone_and_shows_nothing() {
        let right = SecretString::from("correct horse battery");
        let sealed = seal(&kit(), &right).unwrap();
        assert!(sealed.starts_with(b"age-encryption.org/v1\n-> scrypt "));
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert!(open(&sealed, &right).unwrap() == kit());
        let wrong = open(&sealed, &SecretString::from("wrong")).err().unwrap();
        assert!(wrong.to_string().contains("passphrase is wrong"), "{wrong}");
        let torn = open(&sealed[..sealed.len() - 1], &right).err().unwrap();
        assert!(torn.to_string().contains("not a whole kit"), "{torn}");
        assert!(open(b"something", &right).is_err());
    }

    #[test]
    fn another_format_and_nonsense_are_named_without_their_content() {
        let right = SecretString::from("correct horse battery");
        let sealed = |plain: &str| {
            let mut recipient = age::scrypt::Recipient::new(right.clone());
            recipient.set_work_factor(2);
            age::encrypt(&recipient, plain.as_bytes()).unwrap()
        };
        let later = sealed(r#"{"kit": 7, "strata": "9.9.9"}"#);
        let error = open(&later, &right).err().unwrap().to_string();
        assert!(
            error.contains("format 7") && error.contains("strata 9.9.9"),
            "{error}"
        );
        let nonsense = sealed(r#"{"kit": 1, "strata": "0.1.0", "cluster": 5, "x": "canary"}"#);
        let error = open(&nonsense, &right).err().unwrap().to_string();
        assert!(!error.contains("canary"), "{error}");
    }
}
