//! The machine network: addresses that exist only inside the lab, with their real ports.
//!
//! A simulated host registers under its addresses. Whoever dials (the CONNECT proxy for the outside, machines among themselves)
//! gets an in-process stream, a refusal, or silence. Names resolve through the lab's own DNS, never through the laptop's.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, RwLock};

use tokio::io::DuplexStream;

/// Serves one accepted connection until it ends.
pub type Serve = Box<dyn FnOnce(DuplexStream) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// What a host does with a new TCP connection.
pub enum Answer {
    /// Something listens: the far end of the stream is handed to it.
    Accept(Serve),
    /// Nothing listens on that port: connection refused at once.
    Refuse,
    /// A firewall drops it: no answer at all.
    Drop,
}

/// A simulated machine as the network sees it.
pub trait Host: Send + Sync {
    /// Decides about a new TCP connection from `from` to `port` of the address it was registered under.
    fn answer(&self, from: IpAddr, to: IpAddr, port: u16) -> Answer;
}

/// Why a dial did not connect.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host answered with a reset.
    #[error("connection refused by {0}:{1}")]
    Refused(IpAddr, u16),
    /// The packet was dropped; a real dialer sees a timeout.
    #[error("no answer from {0}:{1}")]
    Dropped(IpAddr, u16),
    /// No such address in the lab; a real dialer sees a timeout too.
    #[error("no host has the address {0}")]
    NoHost(IpAddr),
}

type Resolver = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// The registry of hosts; clones share it.
#[derive(Clone, Default)]
pub struct Network {
    hosts: Arc<RwLock<HashMap<IpAddr, Arc<dyn Host>>>>,
    resolver: Arc<RwLock<Option<Resolver>>>,
    /// Addresses of machines without power: registered or not, they do not answer.
    dark: Arc<RwLock<HashSet<IpAddr>>>,
}

impl Network {
    /// Puts a host on the network; a second registration of an address replaces the first.
    pub fn register(&self, address: IpAddr, host: Arc<dyn Host>) {
        self.hosts
            .write()
            .expect("no panic while held")
            .insert(address, host);
    }

    /// Takes an address off the network.
    pub fn unregister(&self, address: IpAddr) {
        self.hosts
            .write()
            .expect("no panic while held")
            .remove(&address);
    }

    /// Switches the power of the machine at an address; without power it answers nothing.
    pub fn set_powered(&self, address: IpAddr, on: bool) {
        let mut dark = self.dark.write().expect("no panic while held");
        if on {
            dark.remove(&address);
        } else {
            dark.insert(address);
        }
    }

    /// Sets who answers names (the lab's DNS services).
    pub fn set_resolver(&self, resolver: Resolver) {
        *self.resolver.write().expect("no panic while held") = Some(resolver);
    }

    /// The addresses of a name: itself when it is an address, else what the lab's DNS holds.
    pub fn resolve(&self, name: &str) -> Vec<IpAddr> {
        if let Ok(address) = name.parse() {
            return vec![address];
        }
        let resolver = self.resolver.read().expect("no panic while held").clone();
        resolver.map(|resolve| resolve(name)).unwrap_or_default()
    }

    /// Dials a host. The caller turns `Dropped` and `NoHost` into the silence a real network gives.
    pub fn dial(&self, from: IpAddr, to: IpAddr, port: u16) -> Result<DuplexStream, DialError> {
        let host = self
            .hosts
            .read()
            .expect("no panic while held")
            .get(&to)
            .cloned();
        match host.ok_or(DialError::NoHost(to))?.answer(from, to, port) {
            Answer::Accept(serve) => {
                let (near, far) = tokio::io::duplex(64 * 1024);
                tokio::spawn(serve(far));
                Ok(near)
            }
            Answer::Refuse => Err(DialError::Refused(to, port)),
            Answer::Drop => Err(DialError::Dropped(to, port)),
        }
    }
}
