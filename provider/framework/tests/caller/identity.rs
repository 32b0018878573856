//! The client's side of AutoMTLS, as Terraform's core does it: a throw-away self-signed CA on P-521, and a server that is
//! trusted by its very bytes.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use p521::ecdsa::{DerSignature, SigningKey};
use p521::elliptic_curve::Generate as _;
use p521::pkcs8::{EncodePublicKey as _, LineEnding};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureAlgorithm, SignatureScheme};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder as _, CertificateBuilder};
use x509_cert::der::asn1::Ia5String;
use x509_cert::der::{Encode as _, EncodePem as _};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};
use x509_cert::ext::{Extension, ToExtension as _};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef};
use x509_cert::time::Validity;
use x509_cert::{Certificate, TbsCertificate};

/// Why there is no certificate or no TLS.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Our key and its certificate.
pub(crate) struct Identity {
    /// For `PLUGIN_CLIENT_CERT`.
    pub(crate) pem: String,
    key: Arc<CertifiedKey>,
}

impl Identity {
    pub(crate) fn generate() -> Result<Self, Failure> {
        let key = SigningKey::generate();
        let certificate = self_signed(&key)?;
        let pem = certificate.to_pem(LineEnding::LF)?;
        let chain = vec![CertificateDer::from(certificate.to_der()?)];
        let key = Arc::new(CertifiedKey::new(chain, Arc::new(Key(Arc::new(key)))));
        Ok(Self { pem, key })
    }

    /// TLS to exactly this server.
    pub(crate) fn client(&self, server: Vec<u8>) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pinned = Pinned {
            certificate: server.into(),
            provider: Arc::clone(&provider),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.key))));
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

fn self_signed(key: &SigningKey) -> Result<Certificate, Failure> {
    let public = key.verifying_key().to_public_key_der()?;
    let public = SubjectPublicKeyInfo::try_from(public.as_bytes())?;
    let validity = Validity::from_now(Duration::from_hours(24))?;
    let serial = SerialNumber::from(1_u32);
    let builder = CertificateBuilder::new(Localhost::new()?, serial, validity, public)
        .map_err(|error| error.to_string())?;
    Ok(builder
        .build::<_, DerSignature>(key)
        .map_err(|error| error.to_string())?)
}

/// What core's certificate says of itself.
struct Localhost(Name);

impl Localhost {
    fn new() -> Result<Self, Failure> {
        Ok(Self(Name::from_str("CN=localhost,O=HashiCorp")?))
    }
}

impl BuilderProfile for Localhost {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.0.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let authority = BasicConstraints {
            ca: true,
            path_len_constraint: None,
        };
        let names = SubjectAltName(vec![GeneralName::DnsName(Ia5String::new("localhost")?)]);
        Ok(vec![
            authority.to_extension(&self.0, &[])?,
            names.to_extension(&self.0, &[])?,
        ])
    }
}

/// ring has no P-521: this signs the handshake with the pure Rust crate.
#[derive(Debug)]
struct Key(Arc<SigningKey>);

impl rustls::sign::SigningKey for Key {
    // A server that does not offer P-521 gets no certificate, as from core.
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP521_SHA512)
            .then(|| Box::new(Self(Arc::clone(&self.0))) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature: DerSignature = p521::ecdsa::signature::Signer::sign(&*self.0, message);
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// Trusts one server certificate.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if presented == &self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
