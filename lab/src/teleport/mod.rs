//! A Teleport proxy as a user of a Kubernetes cluster meets it: mutual TLS under the name `kube-teleport-proxy-alpn.<proxy>`, and behind it the agent of the
//! cluster that the client's certificate names.
//!
//! Guaranteed: the server's name is checked by who connects and the client's certificate by us; an agent that is not there, or whose cluster does not answer,
//! is told as the API of Kubernetes tells things. Behind ALPN `teleport-auth@...` is the auth service, as far as join tokens go ([`auth`]). Not simulated: the rest of
//! its gRPC, the web API, roles, what an agent says when it joins, and the tunnel by which it comes to its proxy: here it dials the cluster itself. Invented: the
//! certificate for a cluster names it as its organisation, where Teleport has an extension of its own; one CA for hosts and users; the sentences of the refusals.

pub mod auth;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use data_encoding::{BASE64, HEXLOWER};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{Acceptor, ClientHello, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};
use x509_parser::prelude::{FromDer, X509Certificate};

use self::auth::{NoJoin, Token, Tokens};
use crate::network::{Answer, Host, Network};

/// What a proxy with TLS routing listens on.
const PORT: u16 = 443;
const SNI: &str = "kube-teleport-proxy-alpn.";
/// Beginning of the ALPN of a connection for the auth service; the cluster's name in hex follows.
const AUTH: &str = "teleport-auth@";
/// A name in the certificate of every auth service.
const API: &str = "teleport.cluster.local";

/// How an agent reaches its cluster.
#[derive(Debug, Clone)]
pub struct Agent {
    /// Address of a control plane.
    pub address: IpAddr,
    /// Name in its certificate.
    pub endpoint: String,
    /// CA of the cluster, PEM.
    pub ca: String,
    /// Client certificate and key, PEM: in life a service account that impersonates users.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// The proxy. Agents come and go.
pub struct Teleport {
    name: String,
    network: Network,
    tls: Arc<ServerConfig>,
    auth: Arc<ServerConfig>,
    tokens: Tokens,
    authority: Authority,
    agents: Mutex<BTreeMap<String, Agent>>,
}

struct Authority {
    certificate: String,
    key: String,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Its organisation is the name of the Teleport cluster, which is the proxy's here.
fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::OrganizationName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key)?.pem();
    let key = key.serialize_pem();
    Ok(Authority { certificate, key })
}

impl Authority {
    fn sign(&self, params: &CertificateParams) -> Result<(String, String), rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, KeyPair::from_pem(&self.key)?)?;
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    }
}

fn certificates(pem: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?)
}

fn roots(pem: &str) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

impl Teleport {
    /// A proxy of this name at this address of the network.
    pub fn start(name: &str, address: IpAddr, network: &Network) -> anyhow::Result<Arc<Self>> {
        let authority = authority(name)?;
        let serving = |names: &[String], protocols: &[&str]| {
            let mut params = CertificateParams::new(names)?;
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let (chain, key) = authority.sign(&params)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(
                roots(&authority.certificate)?,
                provider(),
            )
            .build()?;
            let mut config = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()?
                .with_client_cert_verifier(verifier)
                .with_single_cert(
                    certificates(&chain)?,
                    PrivateKeyDer::from_pem_slice(key.as_bytes())?,
                )?;
            let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
            config.alpn_protocols = protocols.collect();
            anyhow::Ok(Arc::new(config))
        };
        let tls = serving(&[name.to_owned(), format!("{SNI}{name}")], &[])?;
        let auth = serving(&[API.to_owned()], &["h2"])?;
        let teleport = Arc::new(Self {
            name: name.to_owned(),
            network: network.clone(),
            tls,
            auth,
            tokens: Tokens::default(),
            authority,
            agents: Mutex::default(),
        });
        network.register(address, Arc::new(Proxy(Arc::clone(&teleport))));
        Ok(teleport)
    }

    /// What `tctl auth sign --format=kubernetes --kube-cluster-name=<cluster>` writes.
    pub fn kubeconfig(&self, cluster: &str) -> anyhow::Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "strata");
        params
            .distinguished_name
            .push(DnType::OrganizationName, cluster);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.authority.sign(&params)?;
        let data = |text: &str| BASE64.encode(text.as_bytes());
        let context = format!("{}-{cluster}", self.name);
        Ok(serde_yaml_ng::to_string(&json!({
            "apiVersion": "v1", "kind": "Config", "current-context": context,
            "clusters": [{ "name": self.name, "cluster": {
                "server": format!("https://{}:{PORT}", self.name),
                "tls-server-name": format!("{SNI}{}", self.name),
                "certificate-authority-data": data(&self.authority.certificate),
            }}],
            "users": [{ "name": context, "user": { "client-certificate-data": data(&certificate), "client-key-data": data(&key) } }],
            "contexts": [{ "name": context, "context": { "cluster": self.name, "user": context } }],
        }))?)
    }

    /// What `tctl auth sign --user=<user> --out=<file>` writes, for a user with these roles.
    pub fn identity(&self, roles: &[&str]) -> anyhow::Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "strata");
        for role in roles {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *role);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.authority.sign(&params)?;
        Ok(format!(
            "{key}ssh-ed25519-cert-v01@openssh.com c2ltdWxhdGVk\n{certificate}@cert-authority *.{} ssh-ed25519 c2ltdWxhdGVk\n{}",
            self.name, self.authority.certificate
        ))
    }

    /// The join tokens there are, by their value.
    pub fn tokens(&self) -> BTreeMap<String, Token> {
        self.tokens.all()
    }

    /// An agent comes with a token. Once it is in, it needs none: it may go and come again by `register`.
    pub fn join(
        &self,
        token: &str,
        now: SystemTime,
        cluster: &str,
        agent: Agent,
    ) -> Result<(), NoJoin> {
        self.tokens.admits(token, now)?;
        self.register(cluster, agent);
        Ok(())
    }

    /// An agent is in; a second one of the name takes its place.
    pub fn register(&self, cluster: &str, agent: Agent) {
        self.agents
            .lock()
            .expect("no panic while held")
            .insert(cluster.into(), agent);
    }

    /// An agent is gone.
    pub fn unregister(&self, cluster: &str) {
        self.agents
            .lock()
            .expect("no panic while held")
            .remove(cluster);
    }

    async fn serve(self: Arc<Self>, stream: DuplexStream) {
        // A failed handshake is the client's to report.
        let Ok(start) = LazyConfigAcceptor::new(Acceptor::default(), stream).await else {
            return;
        };
        let route = route(&start.client_hello());
        let own = format!("{}.{API}", HEXLOWER.encode(self.name.as_bytes()));
        match route {
            // As for a leaf cluster that is not there.
            Some(cluster) if cluster != own => {}
            Some(_) => {
                if let Ok(stream) = start.into_stream(Arc::clone(&self.auth)).await {
                    self.administer(stream).await;
                }
            }
            None => {
                if let Ok(stream) = start.into_stream(Arc::clone(&self.tls)).await {
                    self.forward(stream).await;
                }
            }
        }
    }

    /// Answers what comes for the auth service.
    async fn administer(self: Arc<Self>, stream: server::TlsStream<DuplexStream>) {
        let roles = Arc::new(organisations(&stream));
        let answer = service_fn(move |request| {
            let (teleport, roles) = (Arc::clone(&self), Arc::clone(&roles));
            async move { Ok::<_, Infallible>(teleport.tokens.call(request, &roles).await) }
        });
        let _ended = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }

    /// Passes on what comes for a Kubernetes cluster.
    async fn forward(&self, mut outside: server::TlsStream<DuplexStream>) {
        let cluster = organisations(&outside)
            .into_iter()
            .next()
            .unwrap_or_default();
        let agent = self
            .agents
            .lock()
            .expect("no panic while held")
            .get(&cluster)
            .cloned();
        let Some(agent) = agent else {
            return refuse(
                outside,
                404,
                "NotFound",
                format!("Kubernetes cluster {cluster:?} not found"),
            )
            .await;
        };
        match self.reach(&agent).await {
            Ok(mut inside) => {
                let _ended = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            }
            Err(error) => {
                let text = format!("Kubernetes cluster {cluster:?} is offline: {error}");
                refuse(outside, 408, "Timeout", text).await;
            }
        }
    }

    async fn reach(&self, agent: &Agent) -> anyhow::Result<client::TlsStream<DuplexStream>> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots(&agent.ca)?)
            .with_client_auth_cert(
                certificates(&agent.certificate)?,
                PrivateKeyDer::from_pem_slice(agent.key.as_bytes())?,
            )?;
        // Pods of the cluster come from one of its nodes, whose firewall lets them in.
        let stream = self.network.dial(agent.address, agent.address, 6443)?;
        let name = ServerName::try_from(agent.endpoint.clone())?;
        Ok(TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?)
    }
}

/// The cluster whose auth service a connection is for, as its ALPN says it; none: it is for the proxy.
fn route(hello: &ClientHello<'_>) -> Option<String> {
    let mut protocols = hello.alpn()?;
    protocols.find_map(|name| {
        let name = std::str::from_utf8(name).ok()?;
        Some(name.strip_prefix(AUTH)?.to_owned())
    })
}

/// The organisations in the client's certificate: a cluster, or roles.
fn organisations(stream: &server::TlsStream<DuplexStream>) -> Vec<String> {
    let leaf = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let Some(Ok((_, leaf))) = leaf.map(|leaf| X509Certificate::from_der(leaf)) else {
        return Vec::new();
    };
    let names = leaf.subject().iter_organization();
    names
        .filter_map(|name| name.as_str().ok().map(str::to_owned))
        .collect()
}

/// Answers everything on a connection with a Status.
async fn refuse(
    stream: server::TlsStream<DuplexStream>,
    code: u16,
    reason: &'static str,
    message: String,
) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code})
    .to_string();
    let answer = service_fn(move |_: hyper::Request<Incoming>| {
        let response = hyper::Response::builder()
            .status(code)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(status.clone())));
        async move { response }
    });
    // The next request may find an agent, so it gets a connection of its own.
    let _ended = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

/// On the network it is a host with one port.
struct Proxy(Arc<Teleport>);

impl Host for Proxy {
    fn answer(&self, _: IpAddr, _: IpAddr, port: u16) -> Answer {
        if port != PORT {
            return Answer::Refuse;
        }
        let teleport = Arc::clone(&self.0);
        Answer::Accept(Box::new(move |stream| Box::pin(teleport.serve(stream))))
    }
}
