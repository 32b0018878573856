//! From a machine with Flatcar to a node: init on whoever holds the claim, join on everyone else.
//!
//! Guarantees: init happens at most once per estate (the claim); no etcd membership change overlaps another of this process; every other node's firewall
//! knows the newcomer before kubeadm starts; the join token is gone afterwards, also after a failure. Starts from any state: whatever an earlier try left on the
//! machine is reset, whatever it left in etcd or the API is removed.

mod adopt;
mod deliver;
mod join;
mod proof;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, wait};

use super::config::{self, Taint};
use crate::access::Access;
use crate::claim::{self, Asker, Claim, Turn};
use crate::kubernetes::apply::{Id, Object};
use crate::kubernetes::{self, Client, node, token};
use crate::marker::{self, Marker};
use crate::pki::{OPERATORS, Pki};
use crate::provider::store_failed;
use crate::services::attribute::{Cluster, Ssh};
use crate::snapshot::order;
use crate::ssh::{self, Session};
use crate::store::{self, Name};
use crate::verb::Verb;

/// How long a control plane that is not the first by name leaves it the claim. The endpoint's first address is that of the first one (FN5).
const COURTESY: Duration = Duration::from_secs(10);
/// SSH must come back by then after a reboot.
const SSH_LIMIT: Duration = Duration::from_mins(20);
/// kubeadm's own timeouts add up to less.
const REGISTER: Duration = Duration::from_mins(5);
/// A kubelet reports every ten seconds, and every five minutes when nothing changes.
const READMIT: Duration = Duration::from_mins(6);
/// A connection that broke in the middle of kubeadm is worth another try.
const ATTEMPTS: u32 = 3;

/// A node to be.
pub struct Newcomer<'a> {
    /// The ways.
    pub access: &'a Access<'a>,
    /// Deadline and stop signal.
    pub limits: Limits,
    /// Id of the estate.
    pub owner: &'a str,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// User and keys.
    pub ssh: &'a Ssh,
    /// Name.
    pub name: &'a str,
    /// Role.
    pub control_plane: bool,
    /// Address.
    pub address: IpAddr,
    /// All addresses of the machine, that one included.
    pub addresses: BTreeSet<IpAddr>,
    /// Labels of the Node object.
    pub labels: BTreeMap<String, String>,
    /// Taints at registration.
    pub taints: Vec<Taint>,
}

/// What is worth several attempts.
#[derive(Clone, Copy)]
enum Work {
    Init { reset: bool },
    Join,
}

/// A failed step and whether it is worth another try from the beginning.
struct Trouble {
    diagnostics: Diagnostics,
    again: bool,
}

impl From<Diagnostics> for Trouble {
    fn from(diagnostics: Diagnostics) -> Self {
        Self {
            diagnostics,
            again: false,
        }
    }
}

impl Newcomer<'_> {
    fn endpoint(&self) -> &str {
        self.cluster.endpoint.text()
    }

    fn port(&self) -> u16 {
        self.cluster.port.known().copied().unwrap_or(6443)
    }

    fn failed(&self, verb: &str, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed(verb, "node", self.name, error)
    }

    fn ssh_trouble(&self, error: &ssh::Error) -> Trouble {
        Trouble {
            diagnostics: self.failed("set up", error),
            again: error.is_transient(),
        }
    }

    /// Runs kubeadm. What it says of a failure is mostly that the kubelet did not come up; why stands in the kubelet's journal.
    async fn kubeadm(&self, session: &Session, verb: &Verb) -> Result<(), Trouble> {
        let Err(error) = session.run(verb, b"").await else {
            return Ok(());
        };
        let mut trouble = self.ssh_trouble(&error);
        let journal = session.run(&Verb::Journal, b"").await;
        if let Ok(journal) = journal.map(|output| output.stdout)
            && !journal.trim().is_empty()
        {
            let told = format!("The kubelet's last lines:\n{}", journal.trim_end());
            trouble.diagnostics = trouble.diagnostics.left(&told);
        }
        Err(trouble)
    }

    /// Makes the machine a node. True when it initialised the cluster.
    pub async fn bring_up(&self) -> Result<bool, Diagnostics> {
        let mut turn = self.turn().await?;
        if turn == Turn::JoinIfAlive && self.forget_dead_cluster().await? {
            turn = self.turn().await?;
        }
        let initialises = match turn {
            Turn::Init { reset } => {
                let outcome = self.with_attempts(Work::Init { reset }).await;
                if outcome.is_err() {
                    self.access.shared().note_failed_init(self.endpoint());
                }
                outcome?;
                true
            }
            turn => {
                self.wait_for_api(turn == Turn::JoinIfAlive).await?;
                self.with_attempts(Work::Join).await?;
                false
            }
        };
        self.mark().await?;
        self.label().await?;
        Ok(initialises)
    }

    /// A tear-down that was broken off may have taken every control plane and left the claim. Then there is nothing to join, and the claim goes.
    async fn forget_dead_cluster(&self) -> Result<bool, Diagnostics> {
        let store = self.access.store();
        let client = self.access.client(self.cluster).await?;
        if !self.control_plane || client.probe().await.is_ok() {
            return Ok(false);
        }
        let read = |error: store::Error| store_failed("read", "member", &error);
        let mut members = marker::names(store).await.map_err(read)?;
        for name in &members {
            let member = marker::read(store, name).await.map_err(read)?;
            if member.is_some_and(|member| member.role == "control-plane") {
                return Ok(false);
            }
        }
        let Some((_, nonce)) = claim::read(store).await.map_err(read)? else {
            return Ok(true);
        };
        // Workers of the dead cluster are members of nothing.
        for name in members.drain(..) {
            marker::remove(store, &name)
                .await
                .map_err(|error| store_failed("delete", "member", &error))?;
        }
        claim::drop_if(store, &nonce)
            .await
            .map_err(|error| store_failed("delete", claim::ENTRY, &error))?;
        Ok(true)
    }

    async fn with_attempts(&self, work: Work) -> Result<(), Diagnostics> {
        for count in 0.. {
            let outcome = match work {
                Work::Init { reset } => self.initialise(reset || count > 0).await,
                Work::Join => self.join().await,
            };
            let Err(trouble) = outcome else { break };
            if !trouble.again || count + 1 == ATTEMPTS || self.limits.cancel.is_cancelled() {
                return Err(trouble.diagnostics);
            }
            tracing::warn!(
                "node {}: {}; trying again from the beginning",
                self.name,
                trouble.diagnostics
            );
        }
        Ok(())
    }

    /// Waits for its turn: to initialise or to join.
    async fn turn(&self) -> Result<Turn, Diagnostics> {
        let store = self.access.store();
        let pki = Name::parse(self.cluster.pki.text()).map_err(store::Error::from);
        let pki = pki.map_err(|error| store_failed("read", self.cluster.pki.text(), &error))?;
        let pki_present = store
            .get(&pki)
            .await
            .map_err(|error| store_failed("read", pki.as_str(), &error))?
            .is_some();
        let control_planes: Vec<String> = self.cluster.control_planes().into_keys().collect();
        let asker = Asker {
            owner: self.owner,
            node: self.name,
            control_plane: self.control_plane,
            control_planes: &control_planes,
            is_held: false,
        };
        let courteous = control_planes
            .first()
            .is_some_and(|first| first != self.name);
        let courtesy = self.access.pace(COURTESY).max(Duration::from_secs(1));
        let start = tokio::time::Instant::now();
        let policy = self.access.policy(
            format!("the turn of node {} to join", self.name),
            Duration::from_secs(2),
            Duration::from_secs(5),
        );
        let broken = |error: store::Error| store_failed("read", claim::ENTRY, &error);
        let turn = wait(&self.limits, &policy, async || {
            let step = async {
                let found = claim::read(store).await.map_err(broken)?;
                let run = &self.access.shared().run;
                let is_held = found
                    .as_ref()
                    .is_some_and(|(claim, _)| claim.is_at_work(run));
                let asker = Asker { is_held, ..asker };
                Ok::<_, Diagnostics>(match claim::decide(found.as_ref().map(|(claim, _)| claim), asker, false, pki_present) {
                    Turn::Claim if courteous && start.elapsed() < courtesy => Probe::NotYet("the first control plane may initialise".into()),
                    Turn::Claim => {
                        let claim = Claim::new(self.owner, self.name, run);
                        if claim::take(store, &claim).await.map_err(broken)? {
                            Probe::Done(Turn::Init { reset: false })
                        } else {
                            Probe::NotYet("another node took the claim".into())
                        }
                    }
                    Turn::TakeOver => {
                        let (claim, nonce) = found.expect("there is one to take over");
                        claim::drop_if(store, &nonce).await.map_err(broken)?;
                        Probe::NotYet(format!("node {} held the claim and is gone", claim.node))
                    }
                    Turn::Wait(_) if self.access.shared().has_failed_init(self.endpoint()) => Probe::Failed(
                        Diagnostics::error(format!("Cannot join node \"{}\"", self.name), "The node that initialises the cluster failed in this run. Nothing was changed on this node.")
                            .hint("Fix the other node's error and run apply again; it continues from here."),
                    ),
                    Turn::Wait(status) => Probe::NotYet(status),
                    Turn::Refuse(sentence) => Probe::Failed(Diagnostics::error(format!("Cannot create node \"{}\"", self.name), sentence)),
                    turn => Probe::Done(turn),
                })
            };
            step.await.unwrap_or_else(Probe::Failed)
        });
        Ok(turn.await?)
    }

    /// A client that knows only this node's API server.
    fn own_client(&self, pki: &Pki) -> Result<Client, Diagnostics> {
        let mut alone = self.cluster.clone();
        alone.control_planes =
            BTreeMap::from([(self.name.to_owned(), self.address.to_string())]).into();
        self.access.client_with(&alone, pki)
    }

    async fn session(&self) -> Result<Session, Diagnostics> {
        self.access
            .session_within(
                &self.limits,
                self.ssh,
                self.name,
                &self.address.to_string(),
                SSH_LIMIT,
            )
            .await
    }

    /// Every address that is or will be a node's, as far as the configuration knows.
    fn peers(&self) -> BTreeSet<IpAddr> {
        let configured = self.cluster.peers.or_default();
        let configured = configured
            .values()
            .filter_map(|address| address.parse().ok());
        configured.chain(self.addresses.iter().copied()).collect()
    }

    // ---- init ----

    async fn initialise(&self, reset: bool) -> Result<(), Trouble> {
        let pki = self.access.pki(self.cluster.pki.text()).await?;
        let client = self.own_client(&pki)?;
        if !(reset
            && client.probe().await.is_ok()
            && node::get(&client, self.name)
                .await
                .is_ok_and(|node| node.is_some()))
        {
            let session = self.session().await?;
            if reset {
                session
                    .run(&Verb::KubeadmReset, b"")
                    .await
                    .map_err(|error| self.ssh_trouble(&error))?;
            }
            self.deliver_control_plane(&session, &pki).await?;
            let text = config::init(&self.cluster_configuration()?, &self.node_configuration());
            self.put(&session, "0600", config::KUBEADM, text.as_bytes())
                .await?;
            self.map_endpoint(&session, self.address).await?;
            tracing::info!("node {} initialises cluster {}", self.name, self.endpoint());
            let order = self.order().await?;
            match &order {
                Some(order) => self.restore(&session, &pki, order).await?,
                None => self.kubeadm(&session, &Verb::KubeadmInit).await?,
            }
            session.close().await;
            self.wait_until_registered(&client).await?;
            if order.is_some() {
                self.forget_the_lost(&client).await?;
            }
        }
        self.after_init(&client).await?;
        claim::set(self.access.store(), claim::State::Initialised)
            .await
            .map_err(|error| store_failed("write", claim::ENTRY, &error))?;
        order::remove(self.access.store())
            .await
            .map_err(|error| store_failed("delete", order::ENTRY, &error))?;
        Ok(())
    }

    /// What the cluster must have before people and nodes come: operators may act, nobody reads cluster-info without credentials, no token is left.
    async fn after_init(&self, client: &Client) -> Result<(), Diagnostics> {
        let failed = |error: kubernetes::Error| self.failed("finish the initialisation on", &error);
        let binding = serde_json::json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": OPERATORS },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": OPERATORS }],
        });
        let rbac = |kind: &str, namespace: &str, name: &str| Id {
            api_version: "rbac.authorization.k8s.io/v1".into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
        };
        client
            .apply(&Object {
                id: rbac("ClusterRoleBinding", "", OPERATORS),
                value: binding,
            })
            .await
            .map_err(failed)?;
        client
            .delete(&rbac(
                "RoleBinding",
                "kube-public",
                "kubeadm:bootstrap-signer-clusterinfo",
            ))
            .await
            .map_err(failed)?;
        token::revoke_all(client).await.map_err(failed)
    }

    fn cluster_configuration(&self) -> Result<config::Cluster<'_>, Diagnostics> {
        let cluster = self.cluster;
        Ok(config::Cluster {
            name: cluster.need("name", &cluster.name)?,
            endpoint: self.endpoint(),
            port: self.port(),
            kubernetes_version: cluster.need("kubernetes_version", &cluster.kubernetes_version)?,
            pod_subnet: cluster.need("pod_subnet", &cluster.pod_subnet)?,
            service_subnet: cluster.need("service_subnet", &cluster.service_subnet)?,
            dns_domain: cluster.need("dns_domain", &cluster.dns_domain)?,
            audit: cluster.audit.or_default(),
            extra_sans: cluster.extra_sans.or_default(),
        })
    }

    fn node_configuration(&self) -> config::Node<'_> {
        config::Node {
            name: self.name,
            address: self.address,
            control_plane: self.control_plane,
            taints: &self.taints,
        }
    }

    // ---- afterwards ----

    async fn mark(&self) -> Result<(), Diagnostics> {
        let role = if self.control_plane {
            "control-plane"
        } else {
            "worker"
        };
        // A member that comes back may be locked still; whether it is, its lockdown looks.
        let before = marker::read(self.access.store(), self.name).await;
        let before = before.map_err(|error| store_failed("read", "member", &error))?;
        let marker = Marker {
            role: role.into(),
            address: self.address,
            peers: self.peers(),
            lock: before.and_then(|marker| marker.lock),
            window: None,
        };
        self.access.shared().forget_nodes();
        marker::write(self.access.store(), self.name, &marker)
            .await
            .map_err(|error| store_failed("write", "member", &error))
    }

    async fn label(&self) -> Result<(), Diagnostics> {
        if self.labels.is_empty() {
            return Ok(());
        }
        let client = self.access.client(self.cluster).await?;
        node::set_labels(&client, self.name, &self.labels)
            .await
            .map_err(|error| self.failed("label", &error))
    }
}
