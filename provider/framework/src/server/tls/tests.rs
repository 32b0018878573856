//! Who is refused. Who is admitted is proven by the real Terraform, which alone can make its certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio_rustls::TlsConnector;

use super::{Pinned, SetupError, acceptor};

/// A certificate as core makes it: P-521, self-signed, CA:TRUE.
const CORE: &str = "\
-----BEGIN CERTIFICATE-----
MIICczCCAdSgAwIBAgIULVU0Y35NDMivW259B2DMtH5fFo0wCgYIKoZIzj0EAwQw
KDESMBAGA1UECgwJSGFzaGlDb3JwMRIwEAYDVQQDDAlsb2NhbGhvc3QwIBcNMjYx
MTIxMDE0ODA2WhgPMjA1NjExMTMwMTQ4MDZaMCgxEjAQBgNVBAoMCUhhc2hpQ29y
cDESMBAGA1UEAwwJbG9jYWxob3N0MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQA
MhKEJaabRV/2Npvr5u43Z7Mk3U9fR4JeTWXCzy/Kl9aY6VQHUQnlsFjxTrgK5zXI
eEo2+5uM1Zh1pu7cRxOcmiYAr+LL6YW6Uby9R/nWWsqVPkoR1B+F8RCyDdUGlOma
38K3hz5aDC6r6fqTRzbZy3GCa8TYhQCrunkdsQEXucscDb6jgZYwgZMwHQYDVR0O
BBYEFIrQsB1yxHPRTKc44jUJAXpRQ1cqMB8GA1UdIwQYMBaAFIrQsB1yxHPRTKc4
4jUJAXpRQ1cqMA8GA1UdEwEB/wQFMAMBAf8wFAYDVR0RBA0wC4IJbG9jYWxob3N0
MAsGA1UdDwQEAwICrDAdBgNVHSUEFjAUBggrBgEFBQcDAgYIKwYBBQUHAwEwCgYI
KoZIzj0EAwQDgYwAMIGIAkIB9Y8YU1zy+taRLtbknQVzndEDK7mIjEt3FMJaAtFQ
MbpE04d+7+1X/fA4/od5v5jZdl8HuTMVHvkS/ydRNjz/6VsCQgFW8YGOqQmAcIgy
AHh5fDt0LDgvBzl1+w8sNm+fNT+LWYFcSzILSC7bsAQFG+PEpv01PcHUPnSvN7mT
EeAawCYzPg==
-----END CERTIFICATE-----
";

/// Trusts any server: these tests are about the client.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ED25519,
        ]
    }
}

/// Whether the server lets this client in.
async fn admits(client: ClientConfig) -> bool {
    let (server, _) = acceptor(CORE).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = async {
        // In TLS 1.3 a client learns of a refusal at its first read only.
        let mut stream = TlsConnector::from(Arc::new(client))
            .connect(name, near)
            .await?;
        stream.read_u8().await
    };
    let (accepted, _) = tokio::join!(server.accept(far), connecting);
    accepted.is_ok()
}

fn client() -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
}

#[tokio::test]
async fn nobody_without_a_certificate_is_admitted() {
    assert!(!admits(client().with_no_client_auth()).await);
}

#[tokio::test]
async fn another_certificate_is_refused() {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let stranger = client()
        .with_client_auth_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    assert!(!admits(stranger).await);
}

#[test]
fn only_a_p521_certificate_can_be_pinned() {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    assert!(matches!(
        Pinned::new(own.cert.der().clone()),
        Err(SetupError::Key)
    ));
    assert!(matches!(
        acceptor("no certificate"),
        Err(SetupError::NoCertificate(_))
    ));
    assert!(acceptor(CORE).is_ok());
}
