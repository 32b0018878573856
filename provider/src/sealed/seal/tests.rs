//! What `manifest` makes is opened as the format is published, with other libraries than it was sealed with: `openssl` for RSA-OAEP with its
//! label, the crate `aes-gcm` for the value.

use std::io::Write as _;
use std::process::{Command, Stdio};

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use data_encoding::HEXLOWER;

use super::*;
use crate::sealed::KeyPair;

const KEY: &str = include_str!("../key_pair/tls.key");
const CERTIFICATE: &str = include_str!("../key_pair/tls.crt");
const MASTER: &[u8] = b"0123456789abcdef";

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter().map(|(key, value)| (*key, *value));
    pairs
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

fn sealed(scope: Scope, data: &BTreeMap<String, String>, key: &[u8]) -> Result<Value, Error> {
    let certificate = Certificate::parse(CERTIFICATE).unwrap();
    let sealing = Sealing {
        certificate: &certificate,
        scope,
        namespace: "default",
        name: "db",
        kind: "Opaque",
        data,
        key,
    };
    manifest(&sealing).map(|text| serde_yaml_ng::from_str(&text).unwrap())
}

/// `openssl pkeyutl -decrypt`; `None` when it refuses.
fn open_session(bytes: &[u8], label: &str) -> Option<Vec<u8>> {
    let mut key = tempfile::NamedTempFile::new().unwrap();
    key.write_all(KEY.as_bytes()).unwrap();
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-decrypt", "-inkey"]);
    command.arg(key.path());
    let mut options = vec![
        "rsa_padding_mode:oaep".to_owned(),
        "rsa_oaep_md:sha256".into(),
        "rsa_mgf1_md:sha256".into(),
    ];
    if !label.is_empty() {
        options.push(format!(
            "rsa_oaep_label:{}",
            HEXLOWER.encode(label.as_bytes())
        ));
    }
    for option in options {
        command.args(["-pkeyopt", &option]);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed: .ci/tools");
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

/// Opens a value of `encryptedData`, from the published format alone.
fn open(text: &Value, label: &str) -> Option<String> {
    let blob = BASE64.decode(text.as_str().unwrap().as_bytes()).unwrap();
    let (length, rest) = blob.split_at(2);
    let (session, body) = rest.split_at(usize::from(length[0]) << 8 | usize::from(length[1]));
    let session = open_session(session, label)?;
    let key = Key::<Aes256Gcm>::try_from(&session[..]).unwrap();
    let opened = Aes256Gcm::new(&key).decrypt(&Nonce::from([0_u8; 12]), body);
    Some(String::from_utf8(opened.unwrap()).unwrap())
}

#[test]
fn the_body_is_the_one_of_the_contract() {
    let session: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let expected = "66c9dbaad05eb18b69bb0819a7c62a5a4d96ba30882a00";
    assert_eq!(HEXLOWER.encode(&body(&session, b"hunter2")), expected);
}

#[test]
fn what_is_sealed_is_opened_under_its_label_and_no_other() {
    let data = data(&[("password", "hunter2"), ("user", "")]);
    for (scope, label, annotation) in [
        (Scope::Strict, "default/db", None),
        (
            Scope::Namespace,
            "default",
            Some("sealedsecrets.bitnami.com/namespace-wide"),
        ),
        (
            Scope::Cluster,
            "",
            Some("sealedsecrets.bitnami.com/cluster-wide"),
        ),
    ] {
        let sealed = sealed(scope, &data, MASTER).unwrap();
        let values = &sealed["spec"]["encryptedData"];
        // 512 bytes of a key with 4096 bits.
        assert!(values["password"].as_str().unwrap().starts_with("Ag"));
        assert_eq!(open(&values["password"], label).unwrap(), "hunter2");
        assert_eq!(open(&values["user"], label).unwrap(), "");
        assert_eq!(open(&values["password"], "default/other"), None);
        for metadata in ["/metadata", "/spec/template/metadata"] {
            let metadata = sealed.pointer(metadata).unwrap();
            assert_eq!(metadata["name"], "db");
            assert_eq!(metadata["namespace"], "default");
            let annotations = metadata.get("annotations");
            assert_eq!(
                annotations,
                annotation.map(|name| json!({ name: "true" })).as_ref()
            );
        }
        assert_eq!(sealed["spec"]["template"]["type"], "Opaque");
    }
}

#[test]
fn the_same_arguments_give_the_same_text_and_any_other_share_nothing() {
    let one = data(&[("a", "hunter2"), ("b", "hunter2")]);
    let first = sealed(Scope::Strict, &one, MASTER).unwrap();
    assert_eq!(first, sealed(Scope::Strict, &one, MASTER).unwrap());
    let mut blobs = vec![
        first["spec"]["encryptedData"]["a"].clone(),
        first["spec"]["encryptedData"]["b"].clone(),
    ];
    for (scope, value, key) in [
        (Scope::Strict, "hunter3", MASTER),
        (Scope::Namespace, "hunter2", MASTER),
        (Scope::Strict, "hunter2", b"fedcba9876543210"),
    ] {
        let other = sealed(scope, &data(&[("a", value)]), key).unwrap();
        blobs.push(other["spec"]["encryptedData"]["a"].clone());
    }
    // Neither the session keys (first half) nor the bodies (the last 23 bytes) of any two are equal.
    let decoded: Vec<Vec<u8>> = blobs
        .iter()
        .map(|blob| BASE64.decode(blob.as_str().unwrap().as_bytes()).unwrap())
        .collect();
    for (index, one) in decoded.iter().enumerate() {
        for other in &decoded[index + 1..] {
            assert_ne!(one[2..514], other[2..514]);
            assert_ne!(one[514..], other[514..]);
        }
    }
}

#[test]
fn a_renewed_certificate_of_the_same_key_changes_no_sealed_text() {
    let pair = KeyPair::of_key(KEY);
    let renewed = pair.renew().unwrap();
    let data = data(&[("a", "hunter2")]);
    let [old, new] = [&pair, &renewed].map(|pair| {
        let certificate = Certificate::parse(pair.certificate()).unwrap();
        let sealing = Sealing {
            certificate: &certificate,
            scope: Scope::Strict,
            namespace: "default",
            name: "db",
            kind: "Opaque",
            data: &data,
            key: MASTER,
        };
        manifest(&sealing).unwrap()
    });
    assert_ne!(pair.certificate(), renewed.certificate());
    assert_eq!(old, new);
}

#[test]
fn wrong_arguments_are_refused_without_quoting_a_value() {
    let good = data(&[("a", "hunter2")]);
    for (data, key, expected) in [
        (&good, &b"short"[..], Error::ShortKey),
        (&BTreeMap::new(), MASTER, Error::NoData),
        (
            &data(&[("a/b", "hunter2")]),
            MASTER,
            Error::DataKey("a/b".into()),
        ),
        (
            &data(&[("a", &"x".repeat(LARGEST + 1))]),
            MASTER,
            Error::TooMuch,
        ),
    ] {
        let error = sealed(Scope::Strict, data, key).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(error, expected);
    }
}
