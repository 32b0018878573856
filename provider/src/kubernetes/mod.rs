//! The Kubernetes API of a cluster that this provider brought up.
//!
//! Reached by node address, verified by endpoint name (FN5): nothing here resolves the endpoint. The client certificate is minted from
//! the cluster's PKI for one hour and never leaves the process. One probe of 3 s per control plane and run, then its breaker is open and
//! calls fail at once (FN22); [`Client::probe`] is for waits and asks again.
//!
//! ```text
//! connections.client(&Reach { .. })              -> Client            no I/O; cached per cluster and process
//! client.ready()                                 -> Result<()>        /readyz of whichever control plane answers
//! client.probe()                                 -> Result<()>        the same, but first forgets that nobody answered
//! node::{list, get, delete, drain}               token::{mint, revoke}   version::{configured, components}
//! apply::{parse, order}, client.{apply, fetch, delete}   server-side apply of any kind, with discovery
//! compare::difference                            whether a live object still says what was applied
//! Client::of_kubeconfig(&dialer, text)           -> Result<Client>    through an access proxy, with its credentials
//! held::list                                     volumes and load balancers, for a destroy to name
//! door::{open, poll, close}                      a verb of `strata-node` in a one-shot pod
//! ```

pub mod apply;
pub mod certificates;
pub mod compare;
pub mod door;
mod error;
pub mod held;
mod kubeconfig;
pub mod node;
#[cfg(test)]
pub(crate) mod tests;
pub mod token;
mod transport;
pub mod version;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Request;

pub use self::error::Error;
pub(crate) use self::transport::tls as trusting;
use self::transport::{Breaker, Route};
use crate::http::dial::Dialer;
use crate::pki::{MASTERS, Pki};

/// Field manager of everything that is applied.
pub const MANAGER: &str = "strata";

/// Life of the minted client certificate.
const CERTIFICATE: Duration = Duration::from_hours(1);
/// The same in the lab, whose clock runs ahead of the one that mints.
const CERTIFICATE_IN_LAB: Duration = Duration::from_hours(365 * 24);
/// A client is made anew before its certificate ends.
const REUSE: Duration = Duration::from_mins(50);

/// How to reach a cluster's API.
#[derive(Debug, Clone)]
pub struct Reach<'a> {
    /// The one dialer.
    pub dialer: &'a Dialer,
    /// Name (or address) in the server certificates.
    pub endpoint: &'a str,
    /// 6443 as a rule.
    pub port: u16,
    /// Addresses of the control planes, in the order in which they are tried.
    pub addresses: Vec<String>,
    /// The cluster's keys.
    pub pki: &'a Pki,
}

/// An API client; clones share connections and breaker.
#[derive(Clone)]
pub struct Client {
    api: kube::Client,
    breaker: Breaker,
    endpoint: String,
    kinds: apply::Kinds,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    endpoint: String,
    port: u16,
    addresses: Vec<String>,
    ca_hash: String,
}

/// The clients of this process, one per cluster: made on first use, so that a thousand resources share connections and breaker.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<HashMap<Key, (Instant, Client)>>>);

impl Connections {
    /// The client of a cluster.
    ///
    /// # Errors
    /// The PKI cannot sign, or no control plane is known. Nothing is dialled yet.
    pub fn client(&self, reach: &Reach<'_>) -> Result<Client, Error> {
        let key = Key {
            endpoint: reach.endpoint.into(),
            port: reach.port,
            addresses: reach.addresses.clone(),
            ca_hash: reach.pki.ca_hash()?,
        };
        let mut clients = self.0.lock().expect("no panic while held");
        if let Some((made, client)) = clients.get(&key)
            && made.elapsed() < REUSE
        {
            return Ok(client.clone());
        }
        let client = Client::new(reach)?;
        clients.insert(key, (Instant::now(), client.clone()));
        Ok(client)
    }
}

impl Client {
    /// Makes a client of its own; [`Connections::client`] shares them.
    pub fn new(reach: &Reach<'_>) -> Result<Self, Error> {
        if reach.addresses.is_empty() {
            return Err(Error::NoControlPlane {
                endpoint: reach.endpoint.into(),
            });
        }
        let life = if reach.dialer.is_lab() {
            CERTIFICATE_IN_LAB
        } else {
            CERTIFICATE
        };
        let identity = reach.pki.identity("strata-provider", MASTERS, life)?;
        let tls = transport::tls(&reach.pki.ca_crt, Some(&identity))?;
        let breaker = Breaker::default();
        let route = Route {
            dialer: reach.dialer,
            addresses: reach.addresses.clone(),
            port: reach.port,
            endpoint: reach.endpoint,
            host: reach.endpoint,
        };
        let api = transport::client(route, tls, breaker.clone());
        Ok(Self {
            api,
            breaker,
            endpoint: reach.endpoint.into(),
            kinds: apply::Kinds::default(),
        })
    }

    /// A client with the credentials of a kubeconfig: what an access proxy such as Teleport hands out.
    ///
    /// # Errors
    /// The text is no kubeconfig with a certificate in it. It is not quoted. Nothing is dialled yet.
    pub fn of_kubeconfig(dialer: &Dialer, text: &str) -> Result<Self, Error> {
        let config = kubeconfig::Kubeconfig::parse(text)?;
        let tls = transport::tls(&config.ca, Some(&config.identity))?;
        let breaker = Breaker::default();
        let route = Route {
            dialer,
            addresses: vec![config.host.clone()],
            port: config.port,
            endpoint: &config.name,
            host: &config.host,
        };
        let api = transport::client(route, tls, breaker.clone());
        Ok(Self {
            api,
            breaker,
            endpoint: format!("{}:{}", config.host, config.port),
            kinds: apply::Kinds::default(),
        })
    }

    /// What tells this cluster from every other: the uid of its namespace `kube-system`.
    pub async fn uid(&self) -> Result<String, Error> {
        let api: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(self.api());
        let namespace = api
            .get("kube-system")
            .await
            .map_err(Error::during("read namespace", "kube-system"))?;
        Ok(namespace.metadata.uid.unwrap_or_default())
    }

    /// The endpoint's name, for messages.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether the API says that it is ready, as far as this process knows: after a failed attempt it is not asked again.
    pub async fn ready(&self) -> Result<(), Error> {
        let request = Request::get("/readyz")
            .body(Vec::new())
            .expect("a constant request");
        self.api
            .request_text(request)
            .await
            .map(drop)
            .map_err(Error::during("read /readyz of", &self.endpoint))
    }

    /// Asks whether the API is ready now. For waits, whose point is that the answer changes.
    pub async fn probe(&self) -> Result<(), Error> {
        self.breaker.close();
        self.ready().await
    }

    /// Forgets that nobody answered, because something just happened that changes it.
    pub fn try_again(&self) {
        self.breaker.close();
    }

    /// The server's version, like `v1.34.2`.
    pub async fn version(&self) -> Result<String, Error> {
        let version = self
            .api
            .apiserver_version()
            .await
            .map_err(Error::during("read the version of", &self.endpoint))?;
        Ok(version.git_version)
    }

    /// The client of crate `kube`.
    pub(crate) fn api(&self) -> kube::Client {
        self.api.clone()
    }
}

/// Whether the API server at `address` completes TLS with a certificate of the cluster's CA for the endpoint's name: the outside proof
/// that a firewall admits 6443.
pub async fn answers_tls(
    dialer: &Dialer,
    address: &str,
    endpoint: &str,
    port: u16,
    ca: &str,
    limit: Duration,
) -> Result<(), Error> {
    let tls = transport::tls(ca, None)?;
    transport::handshake(dialer, address, endpoint, port, tls, limit)
        .await
        .map(drop)
}
