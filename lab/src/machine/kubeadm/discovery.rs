//! Finding the API server: names through the machine's hosts file and DNS, TLS checked with the CA at hand.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_yaml_ng::Value;
use tokio_rustls::TlsConnector;

use crate::machine::state::Machine;
use crate::network::DialError;

/// The API server that was found.
pub(super) struct Found {
    /// The address that answered.
    pub(super) address: IpAddr,
}

/// What a discovery file says: host, port and CA.
pub(super) fn file(text: &str) -> Result<(String, u16, String), String> {
    let value: Value = serde_yaml_ng::from_str(text)
        .map_err(|error| format!("couldn't load the file: {error}"))?;
    if value.get("kind").and_then(Value::as_str) != Some("Config")
        || value.get("apiVersion").and_then(Value::as_str) != Some("v1")
    {
        return Err("couldn't load the file: it is not a kubeconfig (v1 Config)".into());
    }
    let clusters = value
        .get("clusters")
        .and_then(Value::as_sequence)
        .cloned()
        .unwrap_or_default();
    let [cluster] = clusters.as_slice() else {
        return Err("the provided discovery file has no single cluster".into());
    };
    let field = |name: &str| {
        cluster
            .get("cluster")
            .and_then(|cluster| cluster.get(name))
            .and_then(Value::as_str)
    };
    let server = field("server").ok_or("the cluster of the discovery file has no server")?;
    let address = server
        .strip_prefix("https://")
        .ok_or_else(|| format!("the server {server} of the discovery file is not https"))?;
    let (host, port) = super::control_plane::endpoint_host(address.trim_end_matches('/'));
    let data = field("certificate-authority-data")
        .ok_or("the cluster of the discovery file has no certificate-authority-data")?;
    let ca = BASE64
        .decode(data.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or("illegal base64 data in certificate-authority-data")?;
    Ok((host, port, ca))
}

/// The addresses of a name on this machine: `/etc/hosts` before DNS.
pub(super) fn resolve(machine: &Machine, name: &str) -> Vec<IpAddr> {
    let hosts = machine.state().files.text("/etc/hosts").unwrap_or_default();
    let mut found = Vec::new();
    for line in hosts.lines() {
        let mut words = line
            .split('#')
            .next()
            .unwrap_or_default()
            .split_whitespace();
        if let Some(address) = words.next().and_then(|word| word.parse().ok())
            && words.any(|word| word.eq_ignore_ascii_case(name))
        {
            found.push(address);
        }
    }
    if found.is_empty() {
        machine.world.network.resolve(name)
    } else {
        found
    }
}

/// Tries until the server answers with a certificate of the CA or the time is over; the error is the last reason.
pub(super) async fn connect(
    machine: &Arc<Machine>,
    host: &str,
    port: u16,
    ca: &str,
    limit: u64,
) -> Result<Found, String> {
    let until = machine.now() + std::time::Duration::from_secs(limit);
    let mut reason;
    loop {
        let addresses = resolve(machine, host);
        reason = format!("lookup {host}: no such host");
        for address in addresses {
            let from = machine.address_towards(address);
            match machine.world.network.dial(from, address, port) {
                Ok(stream) => match handshake(stream, host, ca).await {
                    Ok(()) => return Ok(Found { address }),
                    Err(error) => reason = error,
                },
                Err(DialError::Refused(..)) => {
                    reason = format!("dial tcp {address}:{port}: connect: connection refused");
                }
                Err(_) => {
                    machine.pass(10).await;
                    reason = format!("dial tcp {address}:{port}: i/o timeout");
                }
            }
        }
        if machine.now() >= until {
            return Err(format!("Get \"https://{host}:{port}/\": {reason}"));
        }
        machine.pass(5).await;
    }
}

async fn handshake(stream: tokio::io::DuplexStream, host: &str, ca: &str) -> Result<(), String> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        let certificate = certificate.map_err(|_| "tls: the CA data is not PEM".to_owned())?;
        roots
            .add(certificate)
            .map_err(|error| format!("tls: the CA is not usable: {error}"))?;
    }
    if roots.is_empty() {
        return Err("tls: the CA data holds no certificate".into());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("tls: {host} is not a server name"))?;
    let connected = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await;
    connected
        .map(drop)
        .map_err(|error| format!("tls: failed to verify certificate: x509: {error}"))
}
