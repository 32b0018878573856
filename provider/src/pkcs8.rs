//! Private keys in the one form that our TLS and our signing read: PKCS#8.
//!
//! Clusters hand keys around as SEC 1 (`EC PRIVATE KEY`), PKCS#1 (`RSA PRIVATE KEY`) and, in Talos' bundles, PKCS#8 under a label of its own (`ED25519 PRIVATE KEY`).
//! The first two are the inner structure alone and get the outer one here; nothing is computed. Pure.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// Version 0.
const VERSION: [u8; 3] = [0x02, 0x01, 0x00];
/// AlgorithmIdentifier of RSA, with the NULL that belongs to it.
const RSA: [u8; 15] = [
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// Object identifier of keys on elliptic curves.
const ELLIPTIC: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// Object identifiers of the curves that ring signs with: P-256, P-384.
const CURVES: [&[u8]; 2] = [
    &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
    &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
];

/// The key of a PEM text; `None` when it is no private key of a kind that is known.
pub fn of_pem(pem: &str) -> Option<PrivatePkcs8KeyDer<'static>> {
    let standard = pem.replace("ED25519 PRIVATE KEY", "PRIVATE KEY");
    let inner = match PrivateKeyDer::from_pem_slice(standard.as_bytes()).ok()? {
        PrivateKeyDer::Pkcs8(key) => return Some(key),
        PrivateKeyDer::Pkcs1(key) => [&RSA[..], &tagged(0x04, key.secret_pkcs1_der())].concat(),
        PrivateKeyDer::Sec1(key) => {
            let key = key.secret_sec1_der();
            let names = |curve: &&&[u8]| key.windows(curve.len()).any(|window| window == **curve);
            let curve = CURVES.iter().find(names)?;
            let algorithm = tagged(0x30, &[&ELLIPTIC, *curve].concat());
            [algorithm, tagged(0x04, key)].concat()
        }
        _ => return None,
    };
    let whole = tagged(0x30, &[&VERSION[..], &inner].concat());
    Some(PrivatePkcs8KeyDer::from(whole))
}

/// DER: tag, length, content.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let bytes = content.len().to_be_bytes();
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let mut text = vec![tag];
    match (significant, u8::try_from(significant.len())) {
        ([], _) => text.push(0),
        ([short @ 0..0x80], _) => text.push(*short),
        (_, Ok(length)) => {
            text.push(0x80 | length);
            text.extend(significant);
        }
        (_, Err(_)) => unreachable!("a length has eight bytes at most"),
    }
    text.extend(content);
    text
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rcgen::KeyPair;

    use super::*;

    /// A key in the form that is asked for, and its public half, both as `openssl` writes them.
    fn openssl(folder: &std::path::Path, generate: &[&str], form: &[&str]) -> (String, Vec<u8>) {
        let run = |arguments: &[&str]| {
            let output = Command::new("openssl")
                .args(arguments)
                .current_dir(folder)
                .output()
                .expect("openssl is installed: .ci/tools");
            assert!(output.status.success(), "openssl {arguments:?}");
            output.stdout
        };
        run(&[generate, &["-out", "key.pem"]].concat());
        let key = run(&[form, &["-in", "key.pem"]].concat());
        let public = run(&["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"]);
        (String::from_utf8(key).unwrap(), public)
    }

    #[test]
    fn every_form_that_clusters_use_is_a_key_for_signing() {
        let folder = tempfile::tempdir().unwrap();
        for (generate, form, label) in [
            (
                vec![
                    "genpkey",
                    "-algorithm",
                    "EC",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ],
                vec!["ec"],
                "EC PRIVATE KEY",
            ),
            (
                vec![
                    "genpkey",
                    "-algorithm",
                    "EC",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-384",
                ],
                vec!["ec"],
                "EC PRIVATE KEY",
            ),
            (
                vec![
                    "genpkey",
                    "-algorithm",
                    "RSA",
                    "-pkeyopt",
                    "rsa_keygen_bits:2048",
                ],
                vec!["rsa", "-traditional"],
                "RSA PRIVATE KEY",
            ),
            (
                vec!["genpkey", "-algorithm", "ED25519"],
                vec!["pkey"],
                "PRIVATE KEY",
            ),
        ] {
            let (pem, public) = openssl(folder.path(), &generate, &form);
            assert!(pem.contains(&format!("-----BEGIN {label}-----")), "{label}");
            let key = KeyPair::try_from(&of_pem(&pem).unwrap()).unwrap();
            let label = key.public_key_pem();
            let (_, found) = x509_parser::pem::parse_x509_pem(label.as_bytes()).unwrap();
            assert_eq!(found.contents, public);
        }
    }

    #[test]
    fn the_label_of_talos_is_read_and_other_texts_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (pem, _) = openssl(
            folder.path(),
            &["genpkey", "-algorithm", "ED25519"],
            &["pkey"],
        );
        let talos = pem.replace("PRIVATE KEY", "ED25519 PRIVATE KEY");
        assert_eq!(of_pem(&talos), of_pem(&pem));
        for other in [
            "",
            "PRIVATE KEY",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
        ] {
            assert!(of_pem(other).is_none());
        }
    }
}
