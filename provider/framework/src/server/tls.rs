//! AutoMTLS: mutual TLS with two certificates made for one process (contract: tfplugin6, section 1.4).
//!
//! Core's certificate is a self-signed CA on P-521. ring knows no P-521 and rustls' own verifier refuses a CA as a leaf, so
//! this verifier pins the certificate byte for byte and checks the handshake's signature with the pure Rust `p521`.

use std::sync::Arc;

use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    ServerConfig, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("PLUGIN_CLIENT_CERT holds no certificate")]
    NoCertificate(#[source] rustls::pki_types::pem::Error),
    #[error("the key in PLUGIN_CLIENT_CERT is not one on curve P-521")]
    Key,
    #[error("cannot make a server certificate")]
    Certificate(#[from] rcgen::Error),
    #[error("cannot configure TLS")]
    Rustls(#[from] rustls::Error),
}

/// An acceptor that admits only the holder of this certificate, and the DER of ours.
pub(super) fn acceptor(client_pem: &str) -> Result<(TlsAcceptor, Vec<u8>), SetupError> {
    let pinned =
        CertificateDer::from_pem_slice(client_pem.as_bytes()).map_err(SetupError::NoCertificate)?;
    let verifier = Pinned::new(pinned.into_owned())?;
    // Core requires the name localhost in the SAN, and a validity that includes now: rcgen's default is 1975 to 4096.
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let certificate = own.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(vec![certificate.clone()], key.into())?;
    // grpc-go 1.67 and later refuse a server that does not select h2.
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), certificate.to_vec()))
}

/// Accepts exactly one client certificate.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    key: VerifyingKey,
}

impl Pinned {
    fn new(certificate: CertificateDer<'static>) -> Result<Self, SetupError> {
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| SetupError::Key)?;
        let point = &parsed.public_key().subject_public_key.data;
        let key = VerifyingKey::from_sec1_bytes(point).map_err(|_| SetupError::Key)?;
        Ok(Self { certificate, key })
    }

    fn verify(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if presented.as_ref() != self.certificate.as_ref() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        if signed.scheme != SignatureScheme::ECDSA_NISTP521_SHA512 {
            return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
        }
        let signature =
            Signature::from_der(signed.signature()).map_err(|_| CertificateError::BadSignature)?;
        self.key
            .verify(message, &signature)
            .map_err(|_| CertificateError::BadSignature)?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn verify_client_cert(
        &self,
        presented: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if presented.as_ref() == self.certificate.as_ref() && intermediates.is_empty() {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP521_SHA512]
    }
}

#[cfg(test)]
mod tests;
