//! An identity file as `tctl auth sign --out=FILE` or a Machine ID bot writes it: PEM blocks in a fixed order (private key, TLS certificate, CAs), and between them
//! lines for SSH, which are not used. Format: api/identityfile of Teleport's repository.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Error;
use crate::pki;
use crate::secret::Secret;

/// As whom, whom to trust, and where: no `Debug`, for it holds a key.
pub(super) struct Identity {
    /// Name of the Teleport cluster, which its CAs carry as their organisation. It routes a connection through the proxy.
    pub(super) cluster: String,
    /// The CAs, PEM.
    pub(super) ca: String,
    /// Certificate and key.
    pub(super) user: pki::Identity,
}

impl Identity {
    /// Reads the text. An error says what is missing and quotes nothing.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let blocks = blocks(text);
        let [key, certificate, authorities @ ..] = blocks.as_slice() else {
            return Err(Error::Identity(
                "it lacks a private key and a TLS certificate",
            ));
        };
        if !key.starts_with("-----BEGIN") || !key.contains("PRIVATE KEY-----") {
            return Err(Error::Identity("it does not begin with a private key"));
        }
        if authorities.is_empty() {
            return Err(Error::Identity("it has no CA, so nobody would be verified"));
        }
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| Error::Identity("its second block is no certificate"))?;
        let cluster = issuer(&der).ok_or(Error::Identity(
            "its certificate does not name the Teleport cluster that issued it",
        ))?;
        Ok(Self {
            cluster,
            ca: authorities.concat(),
            user: pki::Identity {
                certificate: certificate.clone(),
                key: Secret::new(key.clone()),
            },
        })
    }
}

/// The PEM blocks, in their order.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with("-----BEGIN") {
            open = Some(String::new());
        }
        if let Some(block) = &mut open {
            block.push_str(line);
            block.push('\n');
        }
        if line.starts_with("-----END") {
            blocks.extend(open.take());
        }
    }
    blocks
}

fn issuer(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let organisation = certificate.issuer().iter_organization().next()?;
    let name = organisation.as_str().ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    /// The blocks of an identity: key, certificate, CA.
    fn parts(cluster: &str) -> [String; 3] {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(DnType::OrganizationName, cluster);
        let ca = ca.self_signed(&ca_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).unwrap();
        let user = CertificateParams::default().signed_by(&key, &issuer);
        [key.serialize_pem(), user.unwrap().pem(), ca]
    }

    #[test]
    fn what_tctl_writes_is_read() {
        let [key, user, ca] = parts("teleport.example.org");
        let text = format!(
            "{key}ssh-rsa-cert-v01@openssh.com AAAA\n{user}@cert-authority * ssh-rsa AAAA\n{ca}{ca}"
        );
        let read = Identity::parse(&text).unwrap();
        assert_eq!(read.cluster, "teleport.example.org");
        let unix = |text: &str| text.replace("\r\n", "\n");
        assert_eq!(read.ca, unix(&format!("{ca}{ca}")));
        assert_eq!(*read.user.key.expose(), unix(&key));
        assert_eq!(read.user.certificate, unix(&user));
    }

    #[test]
    fn what_cannot_be_used_is_said_without_a_word_of_it() {
        let [key, user, ca] = parts("teleport.example.org");
        let [_, nameless, _] = parts("");
        for (text, reason) in [
            (key.clone(), "lacks"),
            (format!("{user}{key}{ca}"), "does not begin"),
            (format!("{key}{user}"), "no CA"),
            (format!("{key}{nameless}{ca}"), "does not name"),
            (format!("{key}{key}{ca}"), "no certificate"),
            ("geheim".into(), "lacks"),
        ] {
            let error = Identity::parse(&text).err().unwrap().to_string();
            assert!(error.contains(reason), "{reason}: {error}");
            assert!(!error.contains("geheim") && !error.contains("BEGIN"));
        }
    }
}
