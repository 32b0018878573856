//! Configurations that the API hands out: kubeconfig and talosconfig, each with a new certificate (contracts/talos.md section 7).

use std::io::Write as _;
use std::time::Duration;

use data_encoding::BASE64;
use flate2::Compression;
use flate2::write::GzEncoder;
use strata_proto::talos::machine as wire;
use tonic::Status;

use super::config::Config;
use super::pki::{Authority, Subject};

/// A tar of one file, compressed.
pub(super) fn archive(name: &str, content: &[u8]) -> Result<Vec<u8>, std::io::Error> {
    let mut header = [0u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&header)?;
    encoder.write_all(content)?;
    let padding = (512 - content.len() % 512) % 512;
    encoder.write_all(&vec![0; padding + 1024])?;
    encoder.finish()
}

/// A kubeconfig with a certificate of its own (section 7.2).
pub(super) fn kubeconfig(config: &Config) -> Result<String, String> {
    let pair = config
        .kubernetes_ca()?
        .ok_or("no Kubernetes CA is configured")?;
    let authority = Authority::load(&pair.certificate, &pair.key.unwrap_or_default())?;
    let masters = ["system:masters".to_owned()];
    let leaf = authority.issue(&Subject {
        common_name: Some("admin"),
        organizations: &masters,
        client: true,
        lives: Some(Duration::from_hours(8760)),
        ..Subject::default()
    })?;
    let (name, endpoint) = (
        config.cluster_name().unwrap_or_default(),
        config.endpoint().unwrap_or_default(),
    );
    Ok(format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    server: {endpoint}\n    certificate-authority-data: {}\nusers:\n- name: admin@{name}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\ncontexts:\n- context:\n    cluster: {name}\n    namespace: default\n    user: admin@{name}\n  name: admin@{name}\ncurrent-context: admin@{name}\n",
        BASE64.encode(pair.certificate.as_bytes()),
        BASE64.encode(leaf.pem.as_bytes()),
        BASE64.encode(leaf.key.serialize_pem().as_bytes()),
    ))
}

/// A client certificate of the machine's authority.
pub(super) fn client(
    config: &Config,
    request: &wire::GenerateClientConfigurationRequest,
) -> Result<wire::GenerateClientConfiguration, Status> {
    let lives = request
        .crt_ttl
        .and_then(|ttl| Duration::try_from(ttl).ok())
        .filter(|ttl| !ttl.is_zero())
        .ok_or_else(|| Status::invalid_argument("crt_ttl should be positive"))?;
    let pair = config.os_ca().map_err(Status::failed_precondition)?;
    let key = pair.key.unwrap_or_default();
    let made = Authority::load(&pair.certificate, &key).and_then(|authority| {
        authority.issue(&Subject {
            organizations: &request.roles,
            client: true,
            lives: Some(lives),
            ..Subject::default()
        })
    });
    let leaf = made.map_err(Status::internal)?;
    let key = leaf
        .key
        .serialize_pem()
        .replace("PRIVATE KEY", "ED25519 PRIVATE KEY");
    let cluster = config.cluster_name().unwrap_or_default();
    let context = match request.roles.as_slice() {
        [role] => format!("{}@{cluster}", role.trim_start_matches("os:")),
        _ => cluster,
    };
    let talosconfig = format!(
        "context: {context}\ncontexts:\n    {context}:\n        endpoints: []\n        ca: {}\n        crt: {}\n        key: {}\n",
        BASE64.encode(pair.certificate.as_bytes()),
        BASE64.encode(leaf.pem.as_bytes()),
        BASE64.encode(key.as_bytes()),
    );
    Ok(wire::GenerateClientConfiguration {
        metadata: None,
        ca: pair.certificate.into_bytes(),
        crt: leaf.pem.into_bytes(),
        key: key.into_bytes(),
        talosconfig: talosconfig.into_bytes(),
    })
}
