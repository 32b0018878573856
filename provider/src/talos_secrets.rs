//! The secrets of a Talos cluster: the content of a store entry of kind `talos_secrets`, as `talosctl gen secrets` writes it.
//!
//! Written as YAML with the lower-case names; read in that form and in the JSON form with Go's names, since both differ in case only.
//! Made for Talos 1.13 and newer in everything that is optional: secretbox encryption, RSA for service accounts. Not handled: rotation of a
//! single secret of the bundle. Reference: <https://docs.siderolabs.com/talos/>, `talosctl gen secrets`.

use std::time::{Duration, SystemTime};

use data_encoding::BASE64;
use rand::RngExt as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};

use crate::rsa_key::{self, RsaKey};
use crate::secret::Secret;

/// Ten years, as Talos' own.
const CA_LIFE: Duration = Duration::from_hours(3650 * 24);
const TOKEN: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// PKCS#8, version 0, of an Ed25519 key, up to the key itself.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What can be wrong with a bundle. Never quotes it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The entry is something else.
    #[error("the entry does not hold Talos' secrets (what `talosctl gen secrets` writes)")]
    Shape,
    /// One of the secrets is not what it must be.
    #[error("the Talos secret `{0}` is malformed")]
    Field(&'static str),
    /// A key or certificate could not be made.
    #[error("cannot make the Talos secret `{part}`")]
    Make {
        /// Which.
        part: &'static str,
        /// The cause.
        source: rcgen::Error,
    },
    /// The RSA key.
    #[error(transparent)]
    Rsa(#[from] rsa_key::Error),
}

/// The bundle.
#[derive(Clone, Serialize, Deserialize)]
pub struct TalosSecrets {
    pub(crate) cluster: Cluster,
    pub(crate) secrets: Secrets,
    pub(crate) trustdinfo: Trustd,
    pub(crate) certs: Certificates,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) id: String,
    pub(crate) secret: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Secrets {
    pub(crate) bootstraptoken: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secretboxencryptionsecret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aescbcencryptionsecret: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Trustd {
    pub(crate) token: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Certificates {
    pub(crate) etcd: Authority,
    pub(crate) k8s: Authority,
    pub(crate) k8saggregator: Authority,
    pub(crate) k8sserviceaccount: Key,
    pub(crate) os: Authority,
}

/// Both are base64 of the whole PEM text.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Authority {
    pub(crate) crt: String,
    pub(crate) key: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) key: String,
}

impl std::fmt::Debug for TalosSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TalosSecrets").finish_non_exhaustive()
    }
}

impl TalosSecrets {
    /// Makes a new bundle. Takes a second or more, because of the RSA key.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self {
            cluster: Cluster {
                id: random(),
                secret: random(),
            },
            secrets: Secrets {
                bootstraptoken: token(),
                secretboxencryptionsecret: Some(random()),
                aescbcencryptionsecret: None,
            },
            trustdinfo: Trustd { token: token() },
            certs: Certificates {
                etcd: elliptic("certs.etcd", Some("etcd"))?,
                k8s: elliptic("certs.k8s", Some("kubernetes"))?,
                k8saggregator: elliptic("certs.k8saggregator", None)?,
                k8sserviceaccount: Key {
                    key: encode(RsaKey::generate()?.to_pem()?.expose()),
                },
                os: talos_authority()?,
            },
        })
    }

    /// Reads the content of a store entry, YAML or JSON.
    pub fn parse(text: &str) -> Result<Self, Error> {
        // The parser's own text is left out: it could quote a key.
        let value: serde_json::Value = serde_yaml_ng::from_str(text).map_err(|_| Error::Shape)?;
        let bundle: Self = serde_json::from_value(lower(value)).map_err(|_| Error::Shape)?;
        bundle.check()?;
        Ok(bundle)
    }

    fn check(&self) -> Result<(), Error> {
        let good = BASE64.decode(self.cluster.secret.as_bytes());
        if good.map(|bytes| bytes.len()) != Ok(32) {
            return Err(Error::Field("cluster.secret"));
        }
        let secrets = &self.secrets;
        if secrets.secretboxencryptionsecret.is_none() && secrets.aescbcencryptionsecret.is_none() {
            return Err(Error::Field("secrets.secretboxencryptionsecret"));
        }
        for (name, token) in [
            ("secrets.bootstraptoken", &secrets.bootstraptoken),
            ("trustdinfo.token", &self.trustdinfo.token),
        ] {
            if !is_token(token) {
                return Err(Error::Field(name));
            }
        }
        for (name, authority) in self.authorities() {
            let _ = certificate(name, &authority.crt)?;
            private(name, &authority.key)?;
        }
        let accounts = "certs.k8sserviceaccount.key";
        private(accounts, &self.certs.k8sserviceaccount.key)
    }

    fn authorities(&self) -> [(&'static str, &Authority); 4] {
        [
            ("certs.etcd", &self.certs.etcd),
            ("certs.k8s", &self.certs.k8s),
            ("certs.k8saggregator", &self.certs.k8saggregator),
            ("certs.os", &self.certs.os),
        ]
    }

    /// The content of the store entry: YAML.
    pub fn to_text(&self) -> Secret<String> {
        Secret::new(serde_yaml_ng::to_string(self).expect("strings serialise"))
    }

    /// The certificates of the CAs, PEM: Talos' own API, Kubernetes, etcd, the aggregation layer.
    pub fn certificates(&self) -> Result<[(&'static str, String); 4], Error> {
        Ok([
            (
                "os_ca_cert_pem",
                certificate("certs.os", &self.certs.os.crt)?,
            ),
            (
                "ca_cert_pem",
                certificate("certs.k8s", &self.certs.k8s.crt)?,
            ),
            (
                "etcd_ca_cert_pem",
                certificate("certs.etcd", &self.certs.etcd.crt)?,
            ),
            (
                "front_proxy_ca_cert_pem",
                certificate("certs.k8saggregator", &self.certs.k8saggregator.crt)?,
            ),
        ])
    }
}

/// Go's names and the YAML's differ in case only.
fn lower(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key.to_ascii_lowercase(), lower(value)))
            .collect(),
        other => other,
    }
}

fn random() -> String {
    BASE64.encode(&rand::random::<[u8; 32]>())
}

/// `abcdef.0123456789abcdef`.
fn token() -> String {
    let mut random = rand::rng();
    let mut draw = |count: usize| -> String {
        (0..count)
            .map(|_| char::from(TOKEN[random.random_range(0..TOKEN.len())]))
            .collect()
    };
    format!("{}.{}", draw(6), draw(16))
}

fn is_token(text: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|byte| TOKEN.contains(&byte));
    text.split_once('.').is_some_and(|(id, secret)| {
        id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)
    })
}

fn encode(pem: &str) -> String {
    BASE64.encode(pem.as_bytes())
}

pub(crate) fn decode(name: &'static str, text: &str) -> Result<String, Error> {
    let bytes = BASE64.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or(Error::Field(name))
}

fn certificate(name: &'static str, text: &str) -> Result<String, Error> {
    let pem = decode(name, text)?;
    match crate::pki::ca_hash(&pem) {
        Some(_) => Ok(pem),
        None => Err(Error::Field(name)),
    }
}

fn private(name: &'static str, text: &str) -> Result<(), Error> {
    if decode(name, text)?.contains("PRIVATE KEY-----") {
        Ok(())
    } else {
        Err(Error::Field(name))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn sign(part: &'static str, organisation: Option<&str>, key: &KeyPair) -> Result<String, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = organisation {
        params
            .distinguished_name
            .push(DnType::OrganizationName, name);
    }
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
    ];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.key_identifier_method = KeyIdMethod::PreSpecified(rand::random::<[u8; 20]>().to_vec());
    let mut serial: [u8; 16] = rand::random();
    // Positive, and of full length.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + CA_LIFE).into();
    let certificate = params
        .self_signed(key)
        .map_err(|source| Error::Make { part, source })?;
    Ok(certificate.pem())
}

/// A CA with a key on P-256, written as SEC 1 (`EC PRIVATE KEY`): Talos reads no other form of it.
fn elliptic(part: &'static str, organisation: Option<&str>) -> Result<Authority, Error> {
    let key = KeyPair::generate().map_err(|source| Error::Make { part, source })?;
    let crt = encode(&sign(part, organisation, &key)?);
    let sec1 = sec1(&key).ok_or(Error::Field(part))?;
    Ok(Authority {
        crt,
        key: encode(&pem("EC PRIVATE KEY", &sec1)),
    })
}

/// RFC 5915 for P-256. ring's PKCS#8 has the same numbers but not the curve inside, without which the structure cannot stand alone.
fn sec1(key: &KeyPair) -> Option<Vec<u8>> {
    const PRIVATE: [u8; 7] = [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20];
    const CURVE: [u8; 12] = [
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    const PUBLIC: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];
    // In PKCS#8 it stands behind the same first bytes, apart from the length of the whole.
    let der = key.serialize_der();
    let start = der
        .windows(5)
        .position(|window| *window == PRIVATE[2..])?
        .checked_add(5)?;
    let secret = der.get(start..start + 32)?;
    let public = key.public_key_raw();
    (public.len() == 65).then(|| [&PRIVATE, secret, &CURVE, &PUBLIC, public].concat())
}

/// The CA of Talos' own API: Ed25519, PKCS#8 without the public half, under a label of its own.
fn talos_authority() -> Result<Authority, Error> {
    let part = "certs.os";
    let der = [&ED25519[..], &rand::random::<[u8; 32]>()].concat();
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(der.clone()))
        .map_err(|source| Error::Make { part, source })?;
    Ok(Authority {
        crt: encode(&sign(part, Some("talos"), &key)?),
        key: encode(&pem("ED25519 PRIVATE KEY", &der)),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use serde_json::Value;
    use x509_parser::prelude::*;

    use super::*;

    fn text(bundle: &Value, pointer: &str) -> String {
        decode("x", bundle.pointer(pointer).unwrap().as_str().unwrap()).unwrap()
    }

    /// The public half of a private key, as `openssl` derives it.
    fn public(private: &str) -> Vec<u8> {
        // Talos has a label of its own for what is PKCS#8.
        let pem = private.replace("ED25519 PRIVATE KEY", "PRIVATE KEY");
        let mut child = Command::new("openssl")
            .args(["pkey", "-pubout", "-outform", "DER"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl is installed: .ci/tools");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(pem.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl reads the key");
        output.stdout
    }

    #[test]
    fn a_new_bundle_is_the_one_of_talosctl() {
        let bundle = TalosSecrets::generate().unwrap();
        let value: Value = serde_yaml_ng::from_str(bundle.to_text().expose()).unwrap();
        assert!(is_token(
            value["secrets"]["bootstraptoken"].as_str().unwrap()
        ));
        assert!(is_token(value["trustdinfo"]["token"].as_str().unwrap()));
        assert_eq!(value["cluster"]["id"].as_str().unwrap().len(), 44);
        assert_eq!(value["secrets"].get("aescbcencryptionsecret"), None);
        for (name, subject, label) in [
            ("etcd", "O=etcd", "EC PRIVATE KEY"),
            ("k8s", "O=kubernetes", "EC PRIVATE KEY"),
            ("k8saggregator", "", "EC PRIVATE KEY"),
            ("os", "O=talos", "ED25519 PRIVATE KEY"),
        ] {
            let key = text(&value, &format!("/certs/{name}/key"));
            assert!(
                key.starts_with(&format!("-----BEGIN {label}-----\n")),
                "{name}"
            );
            let certificate = text(&value, &format!("/certs/{name}/crt"));
            let (_, pem) = parse_x509_pem(certificate.as_bytes()).unwrap();
            let certificate = pem.parse_x509().unwrap();
            assert_eq!(certificate.subject().to_string(), subject);
            assert!(certificate.is_ca());
            assert_eq!(certificate.public_key().raw, public(&key), "{name}");
            let usage = certificate.key_usage().unwrap().unwrap().value;
            assert!(usage.key_cert_sign() && usage.digital_signature());
            let usage = certificate.extended_key_usage().unwrap().unwrap().value;
            assert!(usage.server_auth && usage.client_auth);
            let life = certificate.validity().not_after.timestamp()
                - certificate.validity().not_before.timestamp();
            assert_eq!(life, 87_600 * 3600);
        }
        let accounts = text(&value, "/certs/k8sserviceaccount/key");
        assert!(accounts.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert_eq!(public(&accounts).len(), 550);
        assert!(!format!("{bundle:?}").contains(&accounts[40..80]));
    }

    /// What each secret is in upstream: `pkg/machinery/config/generate/secrets` of <https://github.com/siderolabs/talos>, `bundle.go`, `ca.go`
    /// and `utils.go`, and the sizes in `constants`. That the aggregator's CA has no name although `ca.go` gives one, and which extensions a CA
    /// has, is seen in configurations that people published.
    #[test]
    fn every_secret_has_upstreams_size_algorithm_and_form() {
        let value: Value =
            serde_yaml_ng::from_str(TalosSecrets::generate().unwrap().to_text().expose()).unwrap();
        for secret in [
            "/cluster/id",
            "/cluster/secret",
            "/secrets/secretboxencryptionsecret",
        ] {
            let text = value.pointer(secret).unwrap().as_str().unwrap();
            assert_eq!(
                BASE64.decode(text.as_bytes()).unwrap().len(),
                32,
                "{secret}"
            );
        }
        // Every contract that we write is after 1.2, with which AES-CBC ended, and after 1.6, with which the EC key of service accounts did.
        for (name, key, signature) in [
            ("etcd", "1.2.840.10045.2.1", "1.2.840.10045.4.3.2"),
            ("k8s", "1.2.840.10045.2.1", "1.2.840.10045.4.3.2"),
            ("k8saggregator", "1.2.840.10045.2.1", "1.2.840.10045.4.3.2"),
            ("os", "1.3.101.112", "1.3.101.112"),
        ] {
            let text = text(&value, &format!("/certs/{name}/crt"));
            let (_, pem) = parse_x509_pem(text.as_bytes()).unwrap();
            let certificate = pem.parse_x509().unwrap();
            assert_eq!(certificate.version(), X509Version::V3);
            assert_eq!(certificate.issuer(), certificate.subject(), "{name}");
            let algorithm = &certificate.public_key().algorithm;
            assert_eq!(algorithm.algorithm.to_id_string(), key, "{name}");
            let signed = &certificate.signature_algorithm.algorithm;
            assert_eq!(signed.to_id_string(), signature, "{name}");
            if name != "os" {
                let curve = algorithm.parameters.as_ref().unwrap().as_oid().unwrap();
                assert_eq!(curve.to_id_string(), "1.2.840.10045.3.1.7", "P-256");
            }
            let serial = certificate.raw_serial();
            assert!(serial.len() == 16 && serial[0] < 0x80, "positive, 128 bits");
            let mut extensions: Vec<String> = certificate
                .extensions()
                .iter()
                .map(|extension| format!("{} {}", extension.oid.to_id_string(), extension.critical))
                .collect();
            extensions.sort();
            // Identifier of the key, usages, constraints, extended usages; no other names and no identifier of an issuer.
            assert_eq!(
                extensions,
                [
                    "2.5.29.14 false",
                    "2.5.29.15 true",
                    "2.5.29.19 true",
                    "2.5.29.37 false"
                ],
                "{name}"
            );
            let constraints = certificate.basic_constraints().unwrap().unwrap().value;
            assert_eq!(constraints.path_len_constraint, None);
        }
    }

    #[test]
    fn both_notations_are_read_and_what_is_wrong_is_named_and_not_quoted() {
        let bundle = TalosSecrets::generate().unwrap();
        let go = |yaml: &str| {
            // The names of Go's struct, which `talosctl` uses for JSON.
            let names = [
                ("cluster", "Cluster"),
                ("id", "Id"),
                ("secret", "Secret"),
                ("secrets", "Secrets"),
                ("bootstraptoken", "BootstrapToken"),
                ("secretboxencryptionsecret", "SecretboxEncryptionSecret"),
                ("trustdinfo", "TrustdInfo"),
                ("token", "Token"),
                ("certs", "Certs"),
                ("etcd", "Etcd"),
                ("k8s", "K8s"),
                ("k8saggregator", "K8sAggregator"),
                ("k8sserviceaccount", "K8sServiceAccount"),
                ("os", "OS"),
                ("crt", "Crt"),
                ("key", "Key"),
            ];
            let value: Value = serde_yaml_ng::from_str(yaml).unwrap();
            let mut json = value.to_string();
            for (yaml, go) in names {
                json = json.replace(&format!("\"{yaml}\":"), &format!("\"{go}\":"));
            }
            json
        };
        let json = go(bundle.to_text().expose());
        assert!(json.contains("\"K8sServiceAccount\":{\"Key\":"));
        let read = TalosSecrets::parse(&json).unwrap();
        assert_eq!(read.to_text().expose(), bundle.to_text().expose());
        let good: Value = serde_yaml_ng::from_str(bundle.to_text().expose()).unwrap();
        for (pointer, field) in [
            ("/cluster/secret", "cluster.secret"),
            ("/secrets/bootstraptoken", "secrets.bootstraptoken"),
            ("/trustdinfo/token", "trustdinfo.token"),
            ("/certs/os/crt", "certs.os"),
            ("/certs/k8s/key", "certs.k8s"),
            (
                "/certs/k8sserviceaccount/key",
                "certs.k8sserviceaccount.key",
            ),
        ] {
            let mut wrong = good.clone();
            *wrong.pointer_mut(pointer).unwrap() = "hunter2".into();
            let error = TalosSecrets::parse(&wrong.to_string()).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        assert!(matches!(
            TalosSecrets::parse("cluster: {id: hunter2}"),
            Err(Error::Shape)
        ));
    }
}
