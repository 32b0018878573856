//! Keys and certificates as Talos writes them (contracts/talos.md sections 1.8 and 4.1), and the certificates a machine makes of them.
//!
//! Validity is judged by the wall's clock on both sides: the provider's client certificates live for minutes, which the lab's clock would outrun.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// How long a leaf of a machine lives.
const LEAF: Duration = Duration::from_hours(24);
/// Certificates begin this long before now.
const SLACK: Duration = Duration::from_mins(5);

/// An authority that can sign.
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(super) struct Leaf {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) key: KeyPair,
}

/// What a certificate says.
#[derive(Default)]
pub(super) struct Subject<'a> {
    pub(super) common_name: Option<&'a str>,
    pub(super) organizations: &'a [String],
    pub(super) names: Vec<String>,
    pub(super) server: bool,
    pub(super) client: bool,
    pub(super) lives: Option<Duration>,
}

/// The text of a field of the configuration: standard base64 of PEM.
pub(super) fn decoded(field: &str) -> Result<String, String> {
    let bytes = BASE64
        .decode(field.trim().as_bytes())
        .map_err(|error| format!("illegal base64 data: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "the PEM text is not UTF-8".to_owned())
}

/// The certificates of a PEM text.
pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("reading certificates: {error}"))?;
    if all.is_empty() {
        return Err("no certificate in the PEM text".into());
    }
    Ok(all)
}

/// A private key under any of Talos' labels, as PKCS#8.
fn private_key(pem: &str) -> Result<PrivatePkcs8KeyDer<'static>, String> {
    // The label of OS keys is no standard one; its body is PKCS#8 all the same.
    let plain = pem.replace("ED25519 PRIVATE KEY", "PRIVATE KEY");
    let (kind, der) = <(SectionKind, Vec<u8>)>::from_pem_slice(plain.as_bytes())
        .map_err(|error| format!("reading a private key: {error}"))?;
    match kind {
        SectionKind::PrivateKey => Ok(PrivatePkcs8KeyDer::from(der)),
        SectionKind::EcPrivateKey => Ok(PrivatePkcs8KeyDer::from(wrapped(&der)?)),
        other => Err(format!("a private key of kind {other:?}")),
    }
}

/// A SEC1 key on P-256 as PKCS#8.
fn wrapped(sec1: &[u8]) -> Result<Vec<u8>, String> {
    const ALGORITHM: [u8; 21] = [
        0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let long = |_| "LAB-UNKNOWN: an EC key on another curve than P-256".to_owned();
    let field = |tag: u8, body: &[u8]| -> Result<Vec<u8>, String> {
        let length = u8::try_from(body.len()).map_err(long)?;
        let mut der = vec![tag];
        if length >= 0x80 {
            der.push(0x81);
        }
        der.push(length);
        der.extend_from_slice(body);
        Ok(der)
    };
    let body = [&[0x02, 0x01, 0x00][..], &ALGORITHM, &field(0x04, sec1)?].concat();
    field(0x30, &body)
}

fn moment(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn params(subject: &Subject<'_>) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(subject.names.clone())
        .map_err(|error| format!("reading the names of a certificate: {error}"))?;
    params.distinguished_name = DistinguishedName::new();
    for organization in subject.organizations {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization.as_str());
    }
    if let Some(name) = subject.common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    let now = SystemTime::now();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + moment(now - SLACK);
    params.not_after = epoch + moment(now + subject.lives.unwrap_or(LEAF));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if subject.server {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        params.extended_key_usages.push(usage);
    }
    if subject.client {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        params.extended_key_usages.push(usage);
    }
    Ok(params)
}

impl Authority {
    /// From certificate and key of a configuration, PEM.
    pub(super) fn load(certificate: &str, key: &str) -> Result<Self, String> {
        let certificate = certificates(certificate)?.remove(0);
        let key = PrivateKeyDer::Pkcs8(private_key(key)?);
        let key = KeyPair::try_from(&key).map_err(|error| format!("reading a key: {error}"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| format!("reading an authority: {error}"))?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// The throw-away authority of a machine in maintenance.
    pub(super) fn throw_away() -> Result<Self, String> {
        let failed = |error: rcgen::Error| format!("making an authority: {error}");
        let organization = ["talos".to_owned()];
        let mut params = params(&Subject {
            organizations: &organization,
            ..Subject::default()
        })?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(failed)?;
        let certificate = params.self_signed(&key).map_err(failed)?.der().clone();
        Ok(Self {
            certificate,
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a leaf with a new key: Ed25519 under an authority of that kind, P-256 else.
    pub(super) fn issue(&self, subject: &Subject<'_>) -> Result<Leaf, String> {
        let failed = |error: rcgen::Error| format!("making a certificate: {error}");
        let own = self.issuer.key().algorithm() == &rcgen::PKCS_ED25519;
        let kind = if own {
            &rcgen::PKCS_ED25519
        } else {
            &rcgen::PKCS_ECDSA_P256_SHA256
        };
        let key = KeyPair::generate_for(kind).map_err(failed)?;
        self.sign(subject, key)
    }

    /// Signs a leaf for a key that is there.
    pub(super) fn sign(&self, subject: &Subject<'_>, key: KeyPair) -> Result<Leaf, String> {
        let failed = |error: rcgen::Error| format!("making a certificate: {error}");
        let mut params = params(subject)?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Leaf {
            certificate: certificate.der().clone(),
            pem: certificate.pem(),
            key,
        })
    }
}

/// Names under which a machine's API can be dialled.
pub(super) fn server_names(
    hostname: &str,
    addresses: &[IpAddr],
    further: &[String],
) -> Vec<String> {
    let mut names: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    names.extend(["127.0.0.1".to_owned(), hostname.to_owned()]);
    names.extend(further.iter().cloned());
    names.sort();
    names.dedup();
    names
}
