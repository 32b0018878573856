//! The ways to a cluster and its nodes, as resources take them: from names of store entries to a client, a session, a verb that ran.
//!
//! A node is reached over SSH while its port 22 is open and through the door (a one-shot pod) when the cluster has a CNI; [`Access::run`] picks.
//! Intervals shrink with the lab's speed, so that a simulated minute costs a second.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strata_framework::{Bounded, Diagnostics, Limits, Policy, Probe, WaitError, chain, wait};
use tokio::sync::OwnedMutexGuard;

use crate::http::dial::Dialer;
use crate::kubernetes::door::{self, Outcome};
use crate::kubernetes::{self, Client, Connections, Reach, node};
use crate::pki::Pki;
use crate::provider::Strata;
use crate::secret::Secret;
use crate::services::attribute::{Cluster, Ssh};
use crate::snapshot::keep;
use crate::snapshot::place::{Kept, Place as Archive};
use crate::ssh::{self, HostKey, Session, Target};
use crate::store::Store;
use crate::talos;
use crate::teleport::Offers;
use crate::verb::Verb;

/// Even in a fast lab a loop must not spin.
const SHORTEST: Duration = Duration::from_millis(20);

type Lock = Arc<tokio::sync::Mutex<()>>;
type Listing = Arc<tokio::sync::Mutex<Option<Arc<Vec<node::View>>>>>;

/// What all operations of the process share.
pub struct Shared {
    /// API clients.
    pub connections: Connections,
    /// Certificates for the API of Talos.
    pub talos: talos::client::Credentials,
    /// Names this process in claims.
    pub run: String,
    /// Join tokens of Teleport.
    pub teleport: Offers,
    membership: Mutex<HashMap<String, Lock>>,
    listings: Mutex<HashMap<String, Listing>>,
    failed: Mutex<HashSet<String>>,
}

/// What a refresh says of things it could not look at: without the store or the API nothing is known to be gone.
pub const UNSEEN: &str = "What depends on its API was not observed; its state is kept as it was.";

impl Default for Shared {
    fn default() -> Self {
        Self {
            connections: Connections::default(),
            talos: talos::client::Credentials::default(),
            run: uuid::Uuid::new_v4().to_string(),
            teleport: Offers::default(),
            membership: Mutex::default(),
            listings: Mutex::default(),
            failed: Mutex::default(),
        }
    }
}

impl Shared {
    /// Waits until no other operation of this process changes the membership of the cluster. The holder is always running, so this ends.
    pub async fn membership(
        &self,
        limits: &Limits,
        cluster: &str,
        pause: Duration,
    ) -> Result<OwnedMutexGuard<()>, Diagnostics> {
        let lock = Arc::clone(
            self.membership
                .lock()
                .expect("no panic while held")
                .entry(cluster.into())
                .or_default(),
        );
        let policy = Policy::new(format!(
            "another node of {cluster} to finish joining or leaving"
        ))
        .every(pause, pause);
        let guard = wait(limits, &policy, async || {
            match Arc::clone(&lock).try_lock_owned() {
                Ok(guard) => Probe::Done(guard),
                Err(_) => Probe::NotYet::<_, Diagnostics>("etcd takes one change at a time".into()),
            }
        });
        Ok(guard.await?)
    }

    /// The nodes of a cluster: one list for all refreshes of the process, dropped when a node is made or removed.
    pub async fn nodes(&self, client: &Client) -> Result<Arc<Vec<node::View>>, kubernetes::Error> {
        let slot = Arc::clone(
            self.listings
                .lock()
                .expect("no panic while held")
                .entry(client.endpoint().into())
                .or_default(),
        );
        let mut slot = slot.lock().await;
        if let Some(nodes) = slot.as_ref() {
            return Ok(Arc::clone(nodes));
        }
        let nodes = Arc::new(node::list(client).await?);
        *slot = Some(Arc::clone(&nodes));
        Ok(nodes)
    }

    /// Forgets the lists of nodes.
    pub fn forget_nodes(&self) {
        self.listings.lock().expect("no panic while held").clear();
    }

    /// Notes that this process failed to initialise a cluster, so that those who wait for it stop.
    pub fn note_failed_init(&self, cluster: &str) {
        self.failed
            .lock()
            .expect("no panic while held")
            .insert(cluster.into());
    }

    /// Whether this process failed to initialise the cluster.
    pub fn has_failed_init(&self, cluster: &str) -> bool {
        self.failed
            .lock()
            .expect("no panic while held")
            .contains(cluster)
    }
}

/// The ways of one operation.
pub struct Access<'a> {
    provider: &'a Strata,
    dialer: &'a Dialer,
    store: Arc<dyn Store>,
    speed: f64,
}

/// What a verb needs to know about the node it runs on.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Node name.
    pub node: &'a str,
    /// Address for SSH.
    pub address: &'a str,
    /// User and private key; the host key is looked up by node name.
    pub ssh: &'a Ssh,
}

impl<'a> Access<'a> {
    /// The ways of the configured provider.
    pub async fn of(provider: &'a Strata) -> Result<Self, Diagnostics> {
        let environment = provider.environment().await?;
        Ok(Self {
            provider,
            dialer: environment.dialer(),
            store: provider.store()?,
            speed: environment.speed(),
        })
    }

    /// What all operations share.
    pub fn shared(&self) -> &'a Shared {
        self.provider.shared()
    }

    /// The one dialer.
    pub fn dialer(&self) -> &Dialer {
        self.dialer
    }

    /// The store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Simulated seconds per second of the wall; 1 outside the lab.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// A simulated or real duration on this machine's clock.
    pub fn pace(&self, duration: Duration) -> Duration {
        pace(self.speed, duration)
    }

    /// What goes by on the cluster's clock while this machine's runs for `duration`.
    pub fn there(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.speed.max(1.0))
    }

    /// A wait policy whose intervals keep the lab's pace.
    pub fn policy(&self, what: impl Into<String>, first: Duration, longest: Duration) -> Policy {
        policy(self.speed, what, first, longest)
    }

    /// The value of a store entry that must exist.
    pub async fn entry(&self, name: &str) -> Result<Secret<String>, Diagnostics> {
        self.provider.entry(name).await
    }

    /// The cluster's PKI: an entry of kind `kubeadm_pki` or `talos_secrets`.
    pub async fn pki(&self, name: &str) -> Result<Pki, Diagnostics> {
        let text = self.provider.entry(name).await?;
        Pki::of_entry(text.expose())
            .map_err(|error| Diagnostics::failed("read", "PKI", name, &error))
    }

    /// The cluster's API. Nothing is dialled yet.
    pub async fn client(&self, cluster: &Cluster) -> Result<Client, Diagnostics> {
        let pki = self.pki(cluster.pki.require("cluster.pki")?).await?;
        self.client_with(cluster, &pki)
    }

    /// The same with a PKI that was already read.
    pub fn client_with(&self, cluster: &Cluster, pki: &Pki) -> Result<Client, Diagnostics> {
        let endpoint = cluster.endpoint.require("cluster.endpoint")?;
        let reach = Reach {
            dialer: self.dialer,
            endpoint,
            port: *cluster.port.require("cluster.port")?,
            addresses: cluster.control_planes().into_values().collect(),
            pki,
        };
        let client = self.provider.shared().connections.client(&reach);
        client.map_err(|error| Diagnostics::failed("reach", "cluster", endpoint, &error))
    }

    /// An SSH session with a node, whose host key lies in the store under `host_key`.
    pub async fn session(
        &self,
        ssh: &Ssh,
        host_key: &str,
        address: &str,
    ) -> Result<Session, SessionError> {
        let target = self
            .target(ssh, host_key, address)
            .await
            .map_err(SessionError::Store)?;
        ssh::connect(self.dialer, &target)
            .await
            .map_err(SessionError::Ssh)
    }

    async fn target(
        &self,
        ssh: &Ssh,
        host_key: &str,
        address: &str,
    ) -> Result<Target, Diagnostics> {
        let line = self.provider.entry(host_key).await?;
        let host_key = HostKey::parse(line.expose())
            .map_err(|error| Diagnostics::failed("read", "store entry", host_key, &error))?;
        Ok(Target {
            address: address.into(),
            port: 22,
            user: ssh.user.require("ssh.user")?.clone(),
            private_key: self
                .provider
                .entry(ssh.private_key.require("ssh.private_key")?)
                .await?,
            host_key,
        })
    }

    /// Waits for an SSH session with the resource's own node.
    pub async fn session_within(
        &self,
        cx: &impl Bounded,
        ssh: &Ssh,
        node: &str,
        address: &str,
        limit: Duration,
    ) -> Result<Session, Diagnostics> {
        let host_key = ssh.host_key.require("ssh.host_key")?;
        let target = self.target(ssh, host_key, address).await?;
        let policy = self
            .policy(
                format!("SSH on node {node} ({address})"),
                Duration::from_secs(2),
                Duration::from_secs(10),
            )
            .at_most(self.pace(limit).max(Duration::from_secs(10)));
        let session = wait(cx, &policy, async || {
            match ssh::connect(self.dialer, &target).await {
                Ok(session) => Probe::Done(session),
                Err(error) if error.is_transient() => Probe::NotYet(chain(&error)),
                Err(error) => Probe::Failed(error),
            }
        });
        session.await.map_err(|error| waited("reach", "node", node, &error).hint("A locked node answers only through the Kubernetes API; a changed operator address or a reinstalled machine looks the same from here. `./bootstrap.sh node ssh-open` lets you in from where you are."))
    }

    /// Runs a verb through the door and returns its log.
    pub async fn through_door(
        &self,
        cx: &impl Bounded,
        client: &Client,
        node: &str,
        verb: &Verb,
    ) -> Result<String, DoorError> {
        through_door(cx, client, self.speed, node, verb).await
    }

    /// Takes a snapshot of etcd and keeps it where this cluster's are kept.
    pub async fn snapshot(
        &self,
        cx: &impl Bounded,
        client: &Client,
        pki: &Pki,
    ) -> Result<Kept, Diagnostics> {
        let (cluster, archive) = (self.provider.cluster(), self.archive().await?);
        keep::keep(cx, client, self.speed, pki, &archive, cluster).await
    }

    /// Keeps a snapshot of etcd that was taken by other means.
    pub async fn keep_snapshot(&self, bytes: &[u8], pki: &Pki) -> Result<Kept, Diagnostics> {
        let archive = self.archive().await?;
        keep::sealed(bytes, pki, &archive, self.provider.cluster()).await
    }

    async fn archive(&self) -> Result<Archive, Diagnostics> {
        let environment = self.provider.environment().await?;
        Ok(Archive::open(self.provider.snapshots()?, environment, self.store()).await)
    }

    /// Runs a verb on any node: through the door where that works, else over SSH.
    pub async fn run(
        &self,
        cx: &impl Bounded,
        client: &Client,
        place: &Place<'_>,
        verb: &Verb,
    ) -> Result<String, Diagnostics> {
        let failed = |error: &dyn std::error::Error| {
            Diagnostics::failed(
                "run",
                &format!("`{}` on node", verb.name()),
                place.node,
                error,
            )
        };
        let ready =
            matches!(node::get(client, place.node).await, Ok(Some(view)) if view.is_ready());
        if ready {
            match self.through_door(cx, client, place.node, verb).await {
                Err(DoorError::NoCni) => {}
                outcome => return outcome.map_err(|error| failed(&error)),
            }
        }
        let host_key = host_key_entry(place.node);
        match self.session(place.ssh, &host_key, place.address).await {
            Ok(session) => Ok(session
                .run(verb, b"")
                .await
                .map_err(|error| failed(&error))?
                .stdout),
            Err(SessionError::Store(diagnostics)) => Err(diagnostics),
            Err(SessionError::Ssh(error)) => Err(failed(&error)),
        }
    }
}

/// Runs a verb on a node through the door and returns its log. `speed`: simulated seconds per second of the wall, 1 outside the lab.
///
/// # Errors
/// No door, no end in time, or the verb failed. After [`DoorError::Unfinished`] it is not known whether the verb ran.
pub async fn through_door(
    cx: &impl Bounded,
    client: &Client,
    speed: f64,
    node: &str,
    verb: &Verb,
) -> Result<String, DoorError> {
    let image = door::image(client).await?.ok_or(DoorError::NoCni)?;
    let door = door::open(client, node, &image, verb).await?;
    let policy = policy(
        speed,
        format!("`{}` in a pod on node {node}", verb.name()),
        Duration::from_secs(1),
        Duration::from_secs(4),
    )
    // A pod that did not end by then never will: its node is dead or the image is gone.
    .at_most(pace(speed, verb.patience()).max(Duration::from_secs(15)));
    let ended = wait(cx, &policy, async || {
        match door::poll(client, &door).await {
            Ok(Outcome::Ended { code, log }) => Probe::Done((code, log)),
            Ok(Outcome::Running(status)) => Probe::NotYet(format!("the pod is {status}")),
            Err(error) if error.is_unreachable() => {
                // The verb may be replacing the very API server that was asked.
                client.try_again();
                Probe::NotYet(chain(&error))
            }
            Err(error) => Probe::Failed(error),
        }
    })
    .await;
    // Also after a timeout or a stop: a pod that is left would run the verb at some later time.
    let closed = door::close(client, &door).await;
    let (code, log) = ended.map_err(|error| match error {
        WaitError::Failed(error) => DoorError::Api(error),
        WaitError::TimedOut(waited) | WaitError::Stopped(waited) => {
            DoorError::Unfinished(waited.to_string())
        }
    })?;
    if code != 0 {
        return Err(DoorError::Verb {
            node: node.into(),
            verb: verb.name(),
            code,
            log: ssh::last_lines(&log),
        });
    }
    if let Err(error) = closed {
        tracing::warn!("a finished pod was left on node {node}: {error}");
    }
    Ok(log)
}

/// A wait policy whose intervals keep the lab's pace.
pub(crate) fn policy(
    speed: f64,
    what: impl Into<String>,
    first: Duration,
    longest: Duration,
) -> Policy {
    Policy::new(what).every(pace(speed, first), pace(speed, longest))
}

/// A simulated or real duration on this machine's clock.
pub(crate) fn pace(speed: f64, duration: Duration) -> Duration {
    duration.div_f64(speed.max(1.0)).max(SHORTEST)
}

/// Where the server resource keeps the public host key that a node made itself.
pub fn host_key_entry(node: &str) -> String {
    format!("nodes/{node}/host-key-current")
}

/// Addresses as the verbs take them.
pub fn addresses<'a>(
    texts: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<IpAddr>, Diagnostics> {
    let mut found = Vec::new();
    for text in texts {
        let address = text.parse().map_err(|_| {
            Diagnostics::error(
                "Invalid address",
                format!("`{text}` is not an IPv4 or IPv6 address."),
            )
        })?;
        found.push(address);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// A wait that did not end well, as a diagnostic.
pub fn waited<E: std::error::Error + 'static>(
    verb: &str,
    noun: &str,
    identity: &str,
    error: &WaitError<E>,
) -> Diagnostics {
    Diagnostics::failed(verb, noun, identity, error)
}

/// Why there is no session.
#[derive(Debug)]
pub enum SessionError {
    /// The store has no key for it.
    Store(Diagnostics),
    /// The node.
    Ssh(ssh::Error),
}

/// Why the door did not help.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// DaemonSet cilium is missing, so no image is known to be on the node.
    #[error("the cluster has no DaemonSet cilium, whose image the pod needs")]
    NoCni,
    /// The API.
    #[error(transparent)]
    Api(#[from] kubernetes::Error),
    /// The pod did not end.
    #[error("{0}")]
    Unfinished(String),
    /// The verb failed.
    #[error("`{verb}` on {node} failed with code {code}: {log}")]
    Verb {
        /// Node name.
        node: String,
        /// What ran.
        verb: &'static str,
        /// Exit code.
        code: i32,
        /// Last lines of the log.
        log: String,
    },
}
