//! Whose certificates are believed: a CA from a file, or pinned leaves (the default certificates of Proxmox are signed by the cluster's own CA).

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest as _, Sha256};

/// What is no good about what was given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the fingerprint of a certificate.
    #[error(
        "`{0}` is no SHA-256 fingerprint; copy the one that Proxmox shows under Node, Certificates"
    )]
    Fingerprint(String),
    /// Not a certificate.
    #[error("the CA is no PEM certificate: {0}")]
    Certificate(String),
    /// rustls refuses.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// A fingerprint as people write it: with or without colons, in any case.
pub fn fingerprint(text: &str) -> Result<[u8; 32], Error> {
    let wrong = || Error::Fingerprint(text.to_owned());
    let digits: String = text.chars().filter(|letter| *letter != ':').collect();
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    bytes
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(wrong)
}

/// Believes what this CA signed.
pub fn authority(pem: &str) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| Error::Certificate(error.to_string()))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(Error::Certificate("there is none".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Believes certificates of these fingerprints, whatever they say about themselves. Several, because hosts renew theirs.
pub fn pinned(fingerprints: &[String]) -> Result<Arc<ClientConfig>, Error> {
    let pins = fingerprints.iter().map(|text| fingerprint(text));
    let pins = pins.collect::<Result<Vec<_>, _>>()?;
    let config = crate::pinned::client(move |leaf| {
        let found: [u8; 32] = Sha256::digest(leaf).into();
        Ok(pins.contains(&found))
    })?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_people_write_them() {
        let plain = "ab".repeat(32);
        let shown = ["AB"; 32].join(":");
        assert_eq!(fingerprint(&plain).unwrap(), fingerprint(&shown).unwrap());
        assert!(fingerprint("ab:cd").is_err());
        assert!(pinned(&["x".into()]).is_err());
        assert!(authority("no certificate").is_err());
    }
}
