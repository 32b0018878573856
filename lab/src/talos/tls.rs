//! The one TLS port of the API: without client certificates in maintenance, with exactly the right ones afterwards (sections 1.2 and 1.5).

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::pki::Leaf;

/// Serves a leaf; `clients` are the authorities whose certificates a client must present, nobody is asked without them.
pub(super) fn server(
    leaf: &Leaf,
    clients: Option<&[CertificateDer<'static>]>,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| format!("preparing TLS: {error}"))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots
                    .add(authority.clone())
                    .map_err(|error| format!("reading machine.ca: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| format!("preparing client certificates: {error}"))?;
            builder.with_client_cert_verifier(Arc::new(Exact(verifier)))
        }
    };
    let key = PrivateKeyDer::Pkcs8(leaf.key.serialize_der().into());
    let mut config = builder
        .with_single_cert(vec![leaf.certificate.clone()], key)
        .map_err(|error| format!("using the API's certificate: {error}"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// The roles of a client: the organizations of its certificate.
pub(super) fn roles(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    certificate
        .subject()
        .iter_organization()
        .filter_map(|role| role.as_str().ok())
        .map(str::to_owned)
        .collect()
}

/// Client certificates whose extended key usage is clientAuth and nothing else.
struct Exact(Arc<dyn ClientCertVerifier>);

impl fmt::Debug for Exact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Exact")
    }
}

fn is_client_only(leaf: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(leaf).is_ok_and(|(_, leaf)| {
        leaf.extended_key_usage().is_ok_and(|usage| {
            usage.is_some_and(|usage| {
                let usage = usage.value;
                usage.client_auth
                    && !usage.server_auth
                    && !usage.any
                    && !usage.code_signing
                    && !usage.email_protection
                    && !usage.time_stamping
                    && !usage.ocsp_signing
                    && usage.other.is_empty()
            })
        })
    })
}

impl ClientCertVerifier for Exact {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if !is_client_only(leaf) {
            return Err(CertificateError::InvalidPurpose.into());
        }
        self.0.verify_client_cert(leaf, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
