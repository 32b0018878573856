//! The envelope of a snapshot: age, with a passphrase that comes from the PKI.
//!
//! Why the PKI: Secrets in a snapshot are encrypted with a key of the PKI anyway, so nothing is gained by a second key that can be lost, and every
//! kit, also one from before the first snapshot, opens every snapshot. Whoever can read the store can read snapshots, as with all else.

use age::secrecy::SecretString;

use crate::pki::Pki;

/// The passphrase has 256 random bits: stretching it would cost time and add nothing.
const WORK: u8 = 1;
/// More is not ours.
const MOST_WORK: u8 = 10;

/// Why a file could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// age.
    #[error("encrypting the snapshot")]
    Seal(#[from] age::EncryptError),
    /// Another cluster's, or the PKI was made anew.
    #[error("the snapshot belongs to another PKI than the one in the store")]
    Foreign,
    /// Damaged, or something else.
    #[error("it is not a whole snapshot: {0}")]
    Damaged(String),
}

fn passphrase(pki: &Pki) -> SecretString {
    SecretString::from(pki.snapshot_key().expose().clone())
}

/// Encrypts.
pub fn seal(bytes: &[u8], pki: &Pki) -> Result<Vec<u8>, Error> {
    let mut recipient = age::scrypt::Recipient::new(passphrase(pki));
    recipient.set_work_factor(WORK);
    Ok(age::encrypt(&recipient, bytes)?)
}

/// Decrypts.
pub fn open(sealed: &[u8], pki: &Pki) -> Result<Vec<u8>, Error> {
    let mut identity = age::scrypt::Identity::new(passphrase(pki));
    identity.set_max_work_factor(MOST_WORK);
    age::decrypt(&identity, sealed).map_err(|error| match error {
        age::DecryptError::DecryptionFailed | age::DecryptError::KeyDecryptionFailed => {
            Error::Foreign
        }
        other => Error::Damaged(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_pki_opens_it_and_no_other() {
        let pki = Pki::generate().unwrap();
        let sealed = seal(b"etcd", &pki).unwrap();
        assert!(!sealed.windows(4).any(|part| part == b"etcd"));
        let again = Pki::parse(pki.to_text().expose()).unwrap();
        assert_eq!(open(&sealed, &again).unwrap(), b"etcd");
        let other = Pki::generate().unwrap();
        assert!(matches!(open(&sealed, &other), Err(Error::Foreign)));
        assert!(matches!(
            open(&sealed[..sealed.len() - 1], &pki),
            Err(Error::Damaged(_) | Error::Foreign)
        ));
        assert!(matches!(open(b"no snapshot", &pki), Err(Error::Damaged(_))));
    }
}
