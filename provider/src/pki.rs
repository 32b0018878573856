//! The cluster's keys and certificates: the content of a store entry of kind `kubeadm_pki` or the Kubernetes part of one of kind `talos_secrets`, and what is minted from it.
//!
//! Guarantees: private keys leave this module only as files for a control plane ([`Pki::files`]) or inside a minted [`Identity`];
//! `Debug` shows none. Minted certificates start five minutes in the past, because clocks differ.
//! Not handled: rotation of a CA (a later issue), CA bundles with several certificates (the first counts).
//!
//! ```text
//! Pki::generate()                        -> Pki                      ECDSA P-256 throughout
//! Pki::parse(&text) / pki.to_text()      JSON, the keys are the file names below /etc/kubernetes/pki
//! Pki::of_entry(&text)                   the same, or the Kubernetes part of what `talosctl gen secrets` writes
//! pki.ca_hash()                          -> "sha256:..."             over the CA's SubjectPublicKeyInfo
//! pki.identity(name, organisation, ttl)  -> Identity                 client certificate and key
//! pki.kubeconfig(&KubeconfigInput)       -> Secret<String>
//! ```

use std::time::{Duration, SystemTime};

use data_encoding::{BASE64, HEXLOWER};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::pkcs8;
use crate::secret::Secret;
use crate::talos_secrets::{self, TalosSecrets};

/// Group of the provider's own short-lived certificates. It bypasses RBAC, so they live for one hour and never leave the process.
pub const MASTERS: &str = "system:masters";
/// Group of people's kubeconfigs; bound to `cluster-admin` at init and revocable, unlike [`MASTERS`].
pub const OPERATORS: &str = "strata:operators";

/// CAs live for ten years, as kubeadm's do.
const CA_LIFE: Duration = Duration::from_hours(3650 * 24);
const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// What can be wrong with a PKI entry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The entry is not JSON with the expected keys. The parser's own text is left out: it could quote a key.
    #[error("the entry is not a kubeadm PKI (JSON with ca.crt, ca.key, sa.key ...)")]
    Shape,
    /// The entry is of neither kind that holds a cluster's keys.
    #[error(
        "the entry holds neither a kubeadm PKI (JSON with ca.crt, ca.key ...) nor Talos' secrets"
    )]
    Neither,
    /// Talos' secrets.
    #[error(transparent)]
    Talos(#[from] talos_secrets::Error),
    /// One of the certificates cannot be read.
    #[error("{file} is not a PEM certificate")]
    Certificate {
        /// File name below `/etc/kubernetes/pki`.
        file: &'static str,
    },
    /// A key could not be read, or signing with it failed.
    #[error("cannot {step} with the cluster's CA")]
    Sign {
        /// What was being done.
        step: &'static str,
        /// The cause.
        source: rcgen::Error,
    },
}

/// The cluster's PKI as it lies in the store.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pki {
    /// Cluster CA certificate.
    #[serde(rename = "ca.crt")]
    pub ca_crt: String,
    #[serde(rename = "ca.key")]
    ca_key: String,
    /// CA of the aggregation layer.
    #[serde(rename = "front-proxy-ca.crt")]
    pub front_proxy_ca_crt: String,
    #[serde(rename = "front-proxy-ca.key")]
    front_proxy_ca_key: String,
    /// CA of etcd.
    #[serde(rename = "etcd/ca.crt")]
    pub etcd_ca_crt: String,
    #[serde(rename = "etcd/ca.key")]
    etcd_ca_key: String,
    /// Public half of the service-account key.
    #[serde(rename = "sa.pub")]
    pub sa_pub: String,
    #[serde(rename = "sa.key")]
    sa_key: String,
    /// Base64 of the 32 bytes that encrypt Secrets at rest.
    #[serde(rename = "encryption-key")]
    encryption_key: String,
    #[serde(skip)]
    is_talos: bool,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki")
            .field("ca_hash", &self.ca_hash().unwrap_or_default())
            .finish_non_exhaustive()
    }
}

/// A client certificate with its key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// PEM.
    pub certificate: String,
    /// PEM, PKCS#8.
    pub key: Secret<String>,
}

/// What a kubeconfig says.
#[derive(Debug, Clone)]
pub struct KubeconfigInput<'a> {
    /// Name of the cluster, of the context and the prefix of the user.
    pub cluster: &'a str,
    /// Endpoint name or address.
    pub endpoint: &'a str,
    /// 6443 as a rule.
    pub port: u16,
    /// Common name of the certificate: who is asking.
    pub user: &'a str,
    /// Group of the certificate: [`OPERATORS`] for people.
    pub organisation: &'a str,
    /// How long it is good for.
    pub life: Duration,
    /// `http://127.0.0.1:...` in the lab, whose machines have addresses only behind its proxy.
    pub proxy_url: Option<&'a str>,
}

impl Pki {
    /// Makes a new PKI.
    pub fn generate() -> Result<Self, Error> {
        let (ca_crt, ca_key) = authority("kubernetes")?;
        let (front_proxy_ca_crt, front_proxy_ca_key) = authority("front-proxy-ca")?;
        let (etcd_ca_crt, etcd_ca_key) = authority("etcd-ca")?;
        let service_account = KeyPair::generate().map_err(|source| Error::Sign {
            step: "generate a key",
            source,
        })?;
        let encryption_key: [u8; 32] = rand::random();
        Ok(Self {
            ca_crt,
            ca_key,
            front_proxy_ca_crt,
            front_proxy_ca_key,
            etcd_ca_crt,
            etcd_ca_key,
            sa_pub: service_account.public_key_pem(),
            sa_key: service_account.serialize_pem(),
            encryption_key: BASE64.encode(&encryption_key),
            is_talos: false,
        })
    }

    /// Reads the content of a store entry.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let pki: Self = serde_json::from_str(text).map_err(|_| Error::Shape)?;
        pki.ca_hash()?;
        Ok(pki)
    }

    /// Reads the content of a store entry of either kind that holds a cluster's keys.
    pub fn of_entry(text: &str) -> Result<Self, Error> {
        match Self::parse(text) {
            Err(Error::Shape) => match TalosSecrets::parse(text) {
                Ok(secrets) => Self::of_talos(&secrets),
                Err(talos_secrets::Error::Shape) => Err(Error::Neither),
                Err(other) => Err(other.into()),
            },
            read => read,
        }
    }

    /// What Kubernetes has of a Talos cluster's secrets. Keys become PKCS#8, which is what everything here signs with.
    fn of_talos(secrets: &TalosSecrets) -> Result<Self, Error> {
        let part = |name, authority: &talos_secrets::Authority| {
            let certificate = talos_secrets::decode(name, &authority.crt)?;
            Ok::<_, Error>((
                certificate,
                signing_key(name, &authority.key)?.serialize_pem(),
            ))
        };
        let certs = &secrets.certs;
        let (ca_crt, ca_key) = part("certs.k8s", &certs.k8s)?;
        let (etcd_ca_crt, etcd_ca_key) = part("certs.etcd", &certs.etcd)?;
        let (front_proxy_ca_crt, front_proxy_ca_key) =
            part("certs.k8saggregator", &certs.k8saggregator)?;
        let accounts = signing_key("certs.k8sserviceaccount.key", &certs.k8sserviceaccount.key)?;
        let at_rest = &secrets.secrets;
        let encryption_key = at_rest
            .secretboxencryptionsecret
            .as_ref()
            .or(at_rest.aescbcencryptionsecret.as_ref());
        Ok(Self {
            ca_crt,
            ca_key,
            front_proxy_ca_crt,
            front_proxy_ca_key,
            etcd_ca_crt,
            etcd_ca_key,
            sa_pub: accounts.public_key_pem(),
            sa_key: accounts.serialize_pem(),
            encryption_key: encryption_key.cloned().ok_or(talos_secrets::Error::Field(
                "secrets.secretboxencryptionsecret",
            ))?,
            is_talos: true,
        })
    }

    /// Whether the cluster is one of Talos, whose nodes, versions and etcd are reached through an API of their own.
    pub fn is_talos(&self) -> bool {
        self.is_talos
    }

    /// The content of the store entry.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(serde_json::to_string(self).expect("strings serialise"))
    }

    /// The files of a control plane: path below `/etc/kubernetes/pki`, content.
    pub fn files(&self) -> [(&'static str, Secret<String>); 8] {
        [
            ("ca.crt", self.ca_crt.clone().into()),
            ("ca.key", self.ca_key.clone().into()),
            ("front-proxy-ca.crt", self.front_proxy_ca_crt.clone().into()),
            ("front-proxy-ca.key", self.front_proxy_ca_key.clone().into()),
            ("etcd/ca.crt", self.etcd_ca_crt.clone().into()),
            ("etcd/ca.key", self.etcd_ca_key.clone().into()),
            ("sa.pub", self.sa_pub.clone().into()),
            ("sa.key", self.sa_key.clone().into()),
        ]
    }

    /// Base64 of the key that encrypts Secrets at rest, for EncryptionConfiguration.
    pub fn encryption_key(&self) -> Secret<String> {
        Secret::new(self.encryption_key.clone())
    }

    /// What opens the cluster's snapshots of etcd. It comes from the key at rest, without which a snapshot's Secrets are unreadable anyway.
    pub fn snapshot_key(&self) -> Secret<String> {
        let digest = Sha256::new()
            .chain_update(b"strata: snapshots of etcd, format 1\0")
            .chain_update(self.encryption_key.as_bytes())
            .finalize();
        Secret::new(HEXLOWER.encode(&digest))
    }

    /// `sha256:` and the hash of the cluster CA's SubjectPublicKeyInfo, for any key type.
    pub fn ca_hash(&self) -> Result<String, Error> {
        ca_hash(&self.ca_crt).ok_or(Error::Certificate { file: "ca.crt" })
    }

    /// Mints a client certificate.
    pub fn identity(
        &self,
        name: &str,
        organisation: &str,
        life: Duration,
    ) -> Result<Identity, Error> {
        let sign = |step| move |source| Error::Sign { step, source };
        let ca_key = KeyPair::from_pem(&self.ca_key).map_err(sign("read the key"))?;
        let issuer =
            Issuer::from_ca_cert_pem(&self.ca_crt, ca_key).map_err(sign("read the certificate"))?;
        let key = KeyPair::generate().map_err(sign("generate a key"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, organisation);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        params.not_before = (now - CLOCK_TOLERANCE).into();
        params.not_after = (now + life).into();
        let certificate = params
            .signed_by(&key, &issuer)
            .map_err(sign("sign a certificate"))?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
        })
    }

    /// Mints a kubeconfig: one cluster, one user, one context.
    pub fn kubeconfig(&self, input: &KubeconfigInput<'_>) -> Result<Secret<String>, Error> {
        let identity = self.identity(input.user, input.organisation, input.life)?;
        let user = format!("{}-{}", input.cluster, input.user);
        let mut cluster = serde_json::json!({
            "server": server(input.endpoint, input.port),
            "certificate-authority-data": BASE64.encode(self.ca_crt.as_bytes()),
        });
        if let Some(proxy) = input.proxy_url {
            cluster["proxy-url"] = proxy.into();
        }
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": input.cluster, "cluster": cluster }],
            "users": [{ "name": user, "user": {
                "client-certificate-data": BASE64.encode(identity.certificate.as_bytes()),
                "client-key-data": BASE64.encode(identity.key.expose().as_bytes()),
            }}],
            "contexts": [{ "name": input.cluster, "context": { "cluster": input.cluster, "user": user } }],
            "current-context": input.cluster,
        });
        Ok(Secret::new(
            serde_yaml_ng::to_string(&config).expect("JSON values are YAML"),
        ))
    }
}

/// `https://host:port`, with brackets where an address needs them.
pub fn server(endpoint: &str, port: u16) -> String {
    if endpoint.contains(':') {
        format!("https://[{endpoint}]:{port}")
    } else {
        format!("https://{endpoint}:{port}")
    }
}

/// The hash by which kubeadm pins a CA; `None` when the text holds no certificate.
pub fn ca_hash(pem: &str) -> Option<String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(spki_hash(certificate.public_key().raw))
}

fn spki_hash(der: &[u8]) -> String {
    format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(der)))
}

/// A key of Talos' secrets, whatever its form.
fn signing_key(name: &'static str, text: &str) -> Result<KeyPair, Error> {
    let pem = talos_secrets::decode(name, text)?;
    let key = pkcs8::of_pem(&pem).ok_or(talos_secrets::Error::Field(name))?;
    KeyPair::try_from(&key).map_err(|source| Error::Sign {
        step: "read the key",
        source,
    })
}

fn authority(name: &str) -> Result<(String, String), Error> {
    let sign = |source| Error::Sign {
        step: "generate a CA",
        source,
    };
    let key = KeyPair::generate().map_err(sign)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    let now = SystemTime::now();
    params.not_before = (now - CLOCK_TOLERANCE).into();
    params.not_after = (now + CA_LIFE).into();
    let certificate = params.self_signed(&key).map_err(sign)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ca_hash_is_the_one_of_the_contract() {
        let spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZnV2PSQ9b5JmgoJoebodLPmc4um43GQCJw8QXFVg85C32NP3qyprC4AhdtIiIatboMPkhXtlf+po+A4qP3gDQw==";
        let der = BASE64.decode(spki.as_bytes()).unwrap();
        assert_eq!(
            spki_hash(&der),
            "sha256:c9994c17cfbc72e3bda53e77525f010c4f7cdafb78c82540515bbf79979714db"
        );
    }

    /// Made with `openssl req -x509 -newkey rsa:2048`; the hash with `openssl x509 -pubkey | openssl pkey -pubin -outform der | sha256sum`.
    #[test]
    fn the_ca_hash_works_for_rsa() {
        assert_eq!(
            ca_hash(include_str!("pki/rsa-ca.crt")).unwrap(),
            include_str!("pki/rsa-ca.hash").trim()
        );
        assert_eq!(ca_hash("no certificate"), None);
    }

    #[test]
    fn an_entry_survives_the_store_and_shows_no_key() {
        let pki = Pki::generate().unwrap();
        let again = Pki::parse(pki.to_text().expose()).unwrap();
        assert_eq!(again.ca_hash().unwrap(), pki.ca_hash().unwrap());
        assert!(!format!("{pki:?}").contains("PRIVATE"));
        assert!(matches!(
            Pki::parse("{\"ca.crt\": \"SECRET\"}"),
            Err(Error::Shape)
        ));
    }

    /// `ring` verifies what was signed with a key that Talos keeps in another form.
    #[test]
    fn a_talos_bundle_signs_for_kubernetes_too() {
        let bundle = TalosSecrets::generate().unwrap();
        let pki = Pki::of_entry(bundle.to_text().expose()).unwrap();
        let identity = pki
            .identity("anna", OPERATORS, Duration::from_hours(1))
            .unwrap();
        let (_, ca) = x509_parser::pem::parse_x509_pem(pki.ca_crt.as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(identity.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.issuer().to_string(), "O=kubernetes");
        certificate
            .verify_signature(Some(ca.public_key()))
            .expect("signed by the cluster's CA");
        assert!(pki.sa_pub.starts_with("-----BEGIN PUBLIC KEY-----") && pki.is_talos());
        // The kubeadm form stays readable, and nothing else is.
        let own = Pki::generate().unwrap();
        let again = Pki::of_entry(own.to_text().expose()).unwrap();
        assert_eq!(again.ca_hash().unwrap(), own.ca_hash().unwrap());
        assert!(!again.is_talos());
        assert!(matches!(Pki::of_entry("hunter2"), Err(Error::Neither)));
    }

    #[test]
    fn minted_certificates_name_the_user_and_the_group_and_are_signed_by_the_ca() {
        let pki = Pki::generate().unwrap();
        let identity = pki
            .identity("anna", OPERATORS, Duration::from_hours(1))
            .unwrap();
        let (_, ca) = x509_parser::pem::parse_x509_pem(pki.ca_crt.as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(identity.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        assert_eq!(certificate.issuer(), ca.subject());
        let subject = certificate.subject().to_string();
        assert!(
            subject.contains("CN=anna") && subject.contains("O=strata:operators"),
            "{subject}"
        );
        let life = certificate.validity().not_after.timestamp()
            - certificate.validity().not_before.timestamp();
        assert_eq!(life, 3900);
    }

    #[test]
    fn a_kubeconfig_names_the_endpoint_and_the_proxy_only_when_there_is_one() {
        let pki = Pki::generate().unwrap();
        let mut input = KubeconfigInput {
            cluster: "lab",
            endpoint: "2001:db8::1",
            port: 6443,
            user: "operator",
            organisation: OPERATORS,
            life: Duration::from_mins(1),
            proxy_url: None,
        };
        let text = pki.kubeconfig(&input).unwrap();
        assert!(
            text.expose().contains("https://[2001:db8::1]:6443")
                && !text.expose().contains("proxy-url")
        );
        input.proxy_url = Some("http://127.0.0.1:4000");
        assert!(
            pki.kubeconfig(&input)
                .unwrap()
                .expose()
                .contains("proxy-url: http://127.0.0.1:4000")
        );
    }
}
