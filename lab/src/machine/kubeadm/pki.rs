//! Certificates as kubeadm handles them: checks what was delivered, makes what is missing, all on the machine's own files.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, date_time_ymd,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::machine::file::Files;

/// Where kubeadm keeps certificates.
pub(crate) const FOLDER: &str = "/etc/kubernetes/pki";

/// A certificate authority that lies on the machine.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
    starts: Timestamp,
}

/// The authorities by the names kubeadm gives them in messages.
pub(crate) const AUTHORITIES: [(&str, &str); 3] = [
    ("ca", "CA"),
    ("front-proxy-ca", "front-proxy CA"),
    ("etcd/ca", "etcd CA"),
];

/// Loads one authority and checks it as kubeadm does: parses, is a CA, is valid now, fits its key.
pub(crate) fn authority(
    files: &Files,
    name: &str,
    what: &str,
    now: Timestamp,
) -> Result<Authority, String> {
    let path = format!("{FOLDER}/{name}");
    let load = |ending: &str| {
        files
            .text(&format!("{path}.{ending}"))
            .ok_or_else(|| format!("failure loading {what}: couldn't load the {} file {path}.{ending}: open {path}.{ending}: no such file or directory", if ending == "crt" { "certificate" } else { "private key" }))
    };
    let (certificate, key) = (load("crt")?, load("key")?);
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| format!("failure loading {what} certificate: couldn't load the certificate file {path}.crt: error reading {path}.crt: data does not contain any valid RSA or ECDSA certificates"))?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| format!("failure loading {what} certificate: couldn't load the certificate file {path}.crt: x509: malformed certificate"))?;
    if !parsed.is_ca() {
        return Err(format!(
            "failure loading {what} certificate: certificate {name:?} is not a CA"
        ));
    }
    let (from, until) = (
        parsed.validity().not_before.timestamp(),
        parsed.validity().not_after.timestamp(),
    );
    if now.as_second() + 300 < from {
        return Err(format!(
            "failure loading {what} certificate: the certificate is not valid yet"
        ));
    }
    if now.as_second() > until {
        return Err(format!(
            "failure loading {what} certificate: the certificate has expired"
        ));
    }
    let key = KeyPair::from_pem(&key).map_err(|_| format!("failure loading {what} key: couldn't load the private key file {path}.key: error reading {path}.key: data does not contain a valid RSA or ECDSA private key"))?;
    if key.subject_public_key_info() != parsed.public_key().raw {
        return Err(format!(
            "failure loading {what}: the certificate {path}.crt does not fit the key {path}.key"
        ));
    }
    let starts = Timestamp::from_second(from).unwrap_or(now);
    let issuer = Issuer::from_ca_cert_der(&der, key)
        .map_err(|error| format!("failure loading {what} certificate: {error}"))?;
    Ok(Authority {
        certificate,
        issuer,
        starts,
    })
}

/// Checks `sa.key` and `sa.pub` and gives back the key's text.
pub(crate) fn service_account(files: &Files) -> Result<String, String> {
    let missing = |name: &str| {
        format!(
            "failure loading key for service account: couldn't load the private key file {FOLDER}/{name}: open {FOLDER}/{name}: no such file or directory"
        )
    };
    let key = files
        .text(&format!("{FOLDER}/sa.key"))
        .ok_or_else(|| missing("sa.key"))?;
    let public = files
        .text(&format!("{FOLDER}/sa.pub"))
        .ok_or_else(|| missing("sa.pub"))?;
    let pair = KeyPair::from_pem(&key).map_err(|_| format!("failure loading key for service account: {FOLDER}/sa.key: data does not contain a valid RSA or ECDSA private key"))?;
    let spki = SubjectPublicKeyInfoDer::from_pem_slice(public.as_bytes()).map_err(|_| format!("failure loading key for service account: {FOLDER}/sa.pub: data does not contain a valid public key"))?;
    if pair.subject_public_key_info() != spki.as_ref() {
        return Err(format!(
            "failure loading key for service account: {FOLDER}/sa.pub does not belong to {FOLDER}/sa.key"
        ));
    }
    Ok(key)
}

/// A certificate and its key, PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What a leaf certificate is for.
pub(crate) struct Leaf<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) organization: Option<&'a str>,
    pub(crate) names: Vec<String>,
    pub(crate) server: bool,
    pub(crate) client: bool,
}

impl Authority {
    /// `sha256:` and the hash of its public key (contracts/kubeadm-flatcar.md section 2).
    pub(crate) fn hash(&self) -> String {
        format!(
            "sha256:{}",
            HEXLOWER.encode(&Sha256::digest(self.issuer.key().subject_public_key_info()))
        )
    }

    /// Signs a leaf that lives a year, starting with the authority as kubeadm does.
    pub(crate) fn issue(&self, leaf: &Leaf<'_>, now: Timestamp) -> Result<Issued, String> {
        let failed = |error: rcgen::Error| {
            format!(
                "unable to create the certificate of {}: {error}",
                leaf.common_name
            )
        };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(leaf.names.clone()).map_err(failed)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(organization) = leaf.organization {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organization);
        }
        params
            .distinguished_name
            .push(DnType::CommonName, leaf.common_name);
        let (year, month, date) = day(self.starts);
        params.not_before = date_time_ymd(year, month, date);
        let (year, month, date) = day(now
            .checked_add(SignedDuration::from_hours(8760))
            .unwrap_or(now));
        params.not_after = date_time_ymd(year, month, date);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        if leaf.server {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.client {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// Year, month and day; certificates of the lab need no finer time.
fn day(time: Timestamp) -> (i32, u8, u8) {
    let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
    (
        i32::from(date.year()),
        u8::try_from(date.month()).unwrap_or(1),
        u8::try_from(date.day()).unwrap_or(1),
    )
}

/// The names kubeadm puts into the API server's certificate.
pub(crate) fn api_server_names(
    node: &str,
    domain: &str,
    service_subnet: &str,
    advertise: IpAddr,
    endpoint: &str,
    further: &[String],
) -> Vec<String> {
    let mut names: Vec<String> = [
        node,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(format!("kubernetes.default.svc.{domain}"));
    let first = service_subnet
        .split(',')
        .next()
        .and_then(|net| net.trim().parse::<ipnet::IpNet>().ok())
        .and_then(|net| net.hosts().next());
    names.extend(first.map(|address| address.to_string()));
    names.push(advertise.to_string());
    names.push(endpoint.to_owned());
    names.extend(further.iter().cloned());
    names.sort();
    names.dedup();
    names
}
