//! Whose certificates are believed: a CA from a file, or pinned leaves (the default certificates of Proxmox are signed by the cluster's own CA).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
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
    let config = builder()?.with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

/// Believes certificates of these fingerprints, whatever they say about themselves. Several, because hosts renew theirs.
pub fn pinned(fingerprints: &[String]) -> Result<Arc<ClientConfig>, Error> {
    let pins = fingerprints.iter().map(|text| fingerprint(text));
    let verifier = Pins {
        pins: pins.collect::<Result<_, _>>()?,
        provider: provider(),
    };
    let config = builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(config.with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<Builder, Error> {
    Ok(ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?)
}

#[derive(Debug)]
struct Pins {
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found: [u8; 32] = Sha256::digest(leaf).into();
        if self.pins.contains(&found) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
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
