//! Who we are to a Talos node: a client certificate of the bundle's own CA, for one operation.
//!
//! A role is an Organization of the subject; there is no name in it. Exactly one extended key usage, or apid refuses the handshake. No certificate
//! is ever revoked there, so they live for an hour and never leave the process. Reference: <https://docs.siderolabs.com/talos/>, "Role-based access control".

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519,
};

use crate::pkcs8;
use crate::pki::Identity;
use crate::secret::Secret;
use crate::talos_secrets::{self, TalosSecrets, decode};

/// May do everything.
pub const ADMIN: &str = "os:admin";

/// Life of a certificate.
const LIFE: Duration = Duration::from_hours(1);
/// The same in the lab, whose clock runs ahead of the one that mints.
const LIFE_IN_LAB: Duration = Duration::from_hours(365 * 24);
/// Clocks differ.
const TOLERANCE: Duration = Duration::from_mins(5);

/// What apid trusts and is trusted by, PEM: the CA of the bundle.
///
/// # Errors
/// The bundle is malformed.
pub fn authority(secrets: &TalosSecrets) -> Result<String, talos_secrets::Error> {
    decode("certs.os.crt", &secrets.certs.os.crt)
}

/// Mints a client certificate with this role.
///
/// # Errors
/// The bundle's CA cannot sign.
pub fn mint(
    secrets: &TalosSecrets,
    role: &str,
    in_lab: bool,
) -> Result<Identity, talos_secrets::Error> {
    let part = "certs.os";
    let failed = |source| talos_secrets::Error::Make { part, source };
    let pem = decode("certs.os.key", &secrets.certs.os.key)?;
    let ca_key = pkcs8::of_pem(&pem).ok_or(talos_secrets::Error::Field("certs.os.key"))?;
    let ca_key = KeyPair::try_from(&ca_key).map_err(failed)?;
    // As Talos: the client's algorithm follows the CA's.
    let algorithm = ca_key.algorithm();
    let issuer = Issuer::from_ca_cert_pem(&authority(secrets)?, ca_key).map_err(failed)?;
    // ring makes no RSA keys; Ed25519 is what every node takes.
    let key = KeyPair::generate_for(algorithm)
        .or_else(|_| KeyPair::generate_for(&PKCS_ED25519))
        .map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, role);
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let now = SystemTime::now();
    params.not_before = (now - TOLERANCE).into();
    params.not_after = (now + if in_lab { LIFE_IN_LAB } else { LIFE }).into();
    let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
    Ok(Identity {
        certificate: certificate.pem(),
        key: Secret::new(key.serialize_pem()),
    })
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::*;

    #[test]
    fn a_minted_certificate_is_the_one_of_a_talosconfig() {
        let bundle = TalosSecrets::generate().unwrap();
        let identity = mint(&bundle, ADMIN, false).unwrap();
        let (_, ca) = parse_x509_pem(authority(&bundle).unwrap().as_bytes())
            .map(|(rest, pem)| (rest.to_vec(), pem))
            .unwrap();
        let ca = ca.parse_x509().unwrap();
        let (_, pem) = parse_x509_pem(identity.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.subject().to_string(), "O=os:admin");
        assert_eq!(certificate.issuer().to_string(), "O=talos");
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.digital_signature() && !usage.value.key_cert_sign());
        assert!(certificate.basic_constraints().unwrap().is_none());
        let life = certificate.validity().not_after.timestamp()
            - certificate.validity().not_before.timestamp();
        assert_eq!(life, 3900);
        let identifier = |certificate: &X509Certificate<'_>, issuer: bool| {
            certificate.extensions().iter().find_map(|extension| {
                match extension.parsed_extension() {
                    ParsedExtension::AuthorityKeyIdentifier(of) if issuer => {
                        of.key_identifier.clone().map(|id| id.0.to_vec())
                    }
                    ParsedExtension::SubjectKeyIdentifier(id) if !issuer => Some(id.0.to_vec()),
                    _ => None,
                }
            })
        };
        // The CA's identifier is random: it can only have been read from it.
        assert_eq!(
            identifier(&certificate, true).unwrap(),
            identifier(&ca, false).unwrap()
        );
        assert_eq!(identifier(&certificate, false), None);
    }
}
