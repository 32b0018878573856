//! HTTPS as a fresh cluster serves it: a CA of its own, and a leaf that is renewed while everything runs.

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use data_encoding::HEXUPPER;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::serve;

/// The CA and what is served now.
#[derive(Clone)]
pub(super) struct Tls(Arc<Inner>);

struct Inner {
    ca: String,
    key: String,
    leaf: Mutex<Leaf>,
}

struct Leaf {
    config: Arc<ServerConfig>,
    fingerprint: String,
}

impl Tls {
    pub(super) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate().context("making the key of the CA")?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Proxmox Virtual Environment");
        let ca = params.self_signed(&key).context("signing the CA")?.pem();
        let key = key.serialize_pem();
        let leaf = Mutex::new(leaf(&ca, &key)?);
        Ok(Self(Arc::new(Inner { ca, key, leaf })))
    }

    /// `pve-root-ca.pem`.
    pub(super) fn ca(&self) -> &str {
        &self.0.ca
    }

    /// SHA-256 of the leaf as Proxmox shows it.
    pub(super) fn fingerprint(&self) -> String {
        self.0
            .leaf
            .lock()
            .expect("no panic while held")
            .fingerprint
            .clone()
    }

    /// A new leaf, as the hosts renew theirs.
    pub(super) fn rotate(&self) -> anyhow::Result<()> {
        let next = leaf(&self.0.ca, &self.0.key)?;
        *self.0.leaf.lock().expect("no panic while held") = next;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let leaf = self.0.leaf.lock().expect("no panic while held");
        TlsAcceptor::from(Arc::clone(&leaf.config))
    }

    /// Serves a router until `stop`.
    pub(super) fn spawn(
        self,
        listener: TcpListener,
        router: axum::Router,
        stop: CancellationToken,
    ) {
        tokio::spawn(async move {
            loop {
                // Both arms are cancel-safe: accepting and a token.
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else {
                    continue;
                };
                // Best effort: without it replies wait for delayed acknowledgements.
                let _ = stream.set_nodelay(true);
                let (acceptor, router, stop) = (self.acceptor(), router.clone(), stop.clone());
                tokio::spawn(async move {
                    // A failed handshake is the client's to report.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve::connection(stream, router, stop).await;
                    }
                });
            }
        });
    }
}

fn leaf(ca: &str, key: &str) -> anyhow::Result<Leaf> {
    let issuer = Issuer::from_ca_cert_pem(ca, KeyPair::from_pem(key)?)?;
    let names = ["127.0.0.1", "localhost", "pve1.lab.strata.test"];
    let mut params = CertificateParams::new(names.map(str::to_owned))?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let own = KeyPair::generate()?;
    let certificate = params
        .signed_by(&own, &issuer)
        .context("signing the leaf")?;
    let digest = Sha256::digest(certificate.der());
    let pairs: Vec<String> = digest
        .iter()
        .map(|byte| HEXUPPER.encode(&[*byte]))
        .collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes())?,
        )?;
    // The real one speaks HTTP/1.1 only.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Leaf {
        config: Arc::new(config),
        fingerprint: pairs.join(":"),
    })
}
