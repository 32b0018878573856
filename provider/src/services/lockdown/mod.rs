//! `strata_node_lockdown`: port 22 of a node closes, proven from outside; after it the way in is a one-shot pod (FN1).
//!
//! Identity is the node's name. What a plan changes is decided in [`plan`], what is seen in [`probe`], done in [`close`]. An unreachable node is no evidence: only a
//! connection to port 22 is drift. What must work before it closes is in [`proof`]. Not handled: `ssh-open` windows (a command of the cli).

pub mod close;
pub mod node_port;
pub mod plan;
pub mod probe;
pub mod proof;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Resource, Schema, Timeouts, chain,
};

use self::close::{Gate, Timing};
use self::plan::{Lock, Step};
use self::probe::Seen;
use self::proof::{Proof, Teleport};
use crate::access::{self, Access};
use crate::claim;
use crate::echo::{self, Family};
use crate::firewall::Rules;
use crate::marker;
use crate::provider::{Strata, store_failed};
use crate::services::attribute::{Cluster, Ssh};

/// The lockdown of a node.
///
/// Replaces the firewall rules of the first boot by rules without the line for port 22. A timer on the node restores the old rules after two
/// minutes, unless the new ones were proven by connections from here and confirmed through the Kubernetes API. After that the way in is a
/// one-shot pod that runs one of a closed list of commands, so the cluster must have a CNI: let this resource depend on it.
///
/// A connection to port 22 is drift, and the next plan closes it again, unless a window was opened (`./bootstrap.sh node ssh-open`) and lasts; a
/// node that does not answer is no evidence. Destroying it opens the node again; under tear-down, for half an hour and for this machine's address
/// only, so that the disks can be wiped before the machine is given back.
///
/// # Permissions
///
/// - In the store: read of the PKI, of the keys of `ssh` and of `claim/init`; write of `nodes/<name>/member`.
/// - At the node: SSH as `ssh.user`, who may run `/opt/strata/bin/strata-node` with `sudo`, and a way from here to its ports 22 and 6443.
/// - At the Kubernetes API: none to grant. From the PKI the provider signs itself a client certificate of group `system:masters` that lives
///   one hour. It is used for privileged pods in `kube-system` (create, get, list, delete), Nodes (get, list), Services (list), the namespace
///   `kube-system` (get) and the DaemonSet `cilium` (get).
/// - With Teleport: `get` of the namespace `kube-system`, for the user of the kubeconfig. With `teleport.join`: create and delete of `token` at Teleport, for the user
///   of the identity; of a namespace and a Secret in the cluster.
///
/// # Errors
///
/// - "Cannot lock down node ...": the message says what was seen and whether the open rules are back.
/// - "the cluster has no DaemonSet cilium": without its image there is no pod to come in by.
/// - "Cannot reach node ...": port 22 does not answer from here; another operator address looks the same as a dead machine.
/// - "The node stays locked" (warning, at destroy): it could not be opened, and that does not keep the resource.
///
/// # Import
///
/// Cannot be imported, and need not be: on a node that an earlier run locked by the same rules, creating it takes the lock over. Any other
/// locked node is opened for a moment, and the lock is proven anew.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "node_lockdown", version = 0)]
pub struct NodeLockdown {
    /// Name of the node, e.g. `cp-1`.
    #[schema(required, replace)]
    pub name: Attr<String>,
    /// What the node is for: control planes answer on 6443 and, among themselves, for etcd; workers on their public ports.
    #[schema(required, replace, one_of("control-plane", "worker"))]
    pub role: Attr<String>,
    /// IP address of the node, the one that SSH uses.
    #[schema(required, replace)]
    pub address: Attr<String>,
    /// All IP addresses of the node; each is probed. Without it: `address` alone.
    #[schema(optional, recorded)]
    pub addresses: Attr<BTreeSet<String>>,
    /// Whether port 22 is to be closed. `false` leaves the node open, or opens it again.
    #[schema(default = true)]
    pub enabled: Attr<bool>,
    /// IP addresses of all nodes of the cluster, which reach each other's Kubernetes ports. A change is told to the node without new rules.
    #[schema(required)]
    pub peers: Attr<BTreeSet<String>>,
    /// CIDRs of the operators, e.g. `203.0.113.0/28`: what `operators` in `api` stands for. Without it: nobody.
    #[schema(optional)]
    pub operators: Attr<BTreeSet<String>>,
    /// CIDR of the pods, e.g. `10.244.0.0/16`; several are separated by commas.
    #[schema(required)]
    pub pods: Attr<String>,
    /// TCP ports that workers open to everyone, e.g. `[80, 443]`. Without it: none.
    #[schema(optional)]
    pub public_ports: Attr<BTreeSet<u16>>,
    /// Who reaches port 6443 of control planes, besides nodes and pods: `any`, `operators`, `nodes`, CIDRs. Without it: `any`.
    #[schema(optional)]
    pub api: Attr<BTreeSet<String>>,
    /// Where NodePorts are meant to answer: `private` or `public`. The rules do not reach them, for Cilium answers before the firewall sees a packet
    /// (its `nodeport-addresses` decides). With `private` an answer that is seen at the lockdown is a warning.
    #[schema(default = "private", recorded, one_of("private", "public"))]
    pub node_ports: Attr<String>,
    /// The cluster, whose API is the way in afterwards. Only `endpoint`, `port`, `pki` and `control_planes` are looked at.
    #[schema(required, recorded)]
    pub cluster: Attr<Cluster>,
    /// How to log in while the node is open.
    #[schema(required, recorded)]
    pub ssh: Attr<Ssh>,
    /// The way in that is used right before the node is locked, so that nobody is locked out by a way that only should work. `kubernetes`: a pod on
    /// this node runs a command. `teleport`: that, and a request comes through Teleport to this cluster; an agent that is not there yet is waited
    /// for. `none`: nothing is tried, and a warning says so. When it fails the node stays open, and nothing is taken away.
    #[schema(
        default = "kubernetes",
        recorded,
        one_of("kubernetes", "teleport", "none")
    )]
    pub proof: Attr<String>,
    /// Teleport, for `proof = "teleport"`. Without it that proof is not possible.
    #[schema(optional, recorded)]
    pub teleport: Attr<Teleport>,
    /// SHA-256 of the rules in hex, node addresses left out.
    #[schema(computed)]
    pub rules_sha256: Attr<String>,
    /// Whether port 22 is closed.
    #[schema(computed)]
    pub locked: Attr<bool>,
    /// What was seen at the lockdown, by address family (`ipv4`, `ipv6`): `closed`, or `not observed` where this machine has no way to look. Under
    /// `node_ports` what the lowest NodePort of the cluster said from here: `answers`, `silent`, `not observed`, or `none` when there is none.
    #[schema(computed)]
    pub observed: Attr<BTreeMap<String, String>>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub timeouts: Attr<Timeouts>,
}

/// A lock of this node that an earlier run proved.
struct Recognised {
    lock: marker::Lock,
    peers: BTreeSet<IpAddr>,
}

fn networks<'a>(
    texts: impl IntoIterator<Item = &'a String>,
    attribute: &'static str,
) -> Result<Vec<IpNet>, Diagnostics> {
    let one = |text: &String| {
        plan::network(text.trim())
            .map_err(|sentence| Diagnostics::invalid(Path::of(attribute), sentence))
    };
    texts.into_iter().map(one).collect()
}

impl NodeLockdown {
    /// The rules; `None` while something they need is unknown.
    fn rules(&self) -> Result<Option<Rules>, Diagnostics> {
        let unknown = [
            self.operators.is_unknown(),
            self.public_ports.is_unknown(),
            self.api.is_unknown(),
            self.role.is_unknown(),
        ];
        let Attr::Known(pods) = &self.pods else {
            return Ok(None);
        };
        if unknown.contains(&true) {
            return Ok(None);
        }
        let operators = networks(&self.operators.or_default(), "operators")?;
        let api = plan::api(&self.api.or_default(), &operators)
            .map_err(|sentence| Diagnostics::invalid(Path::of("api"), sentence))?;
        let pods: Vec<String> = pods.split(',').map(str::to_owned).collect();
        let pods = networks(&pods, "pods")?;
        Ok(Some(plan::locked(
            self.role.text() == "control-plane",
            self.peers()?,
            api,
            pods,
            self.public_ports.or_default(),
        )))
    }

    /// Node addresses, as far as known.
    fn peers(&self) -> Result<BTreeSet<IpAddr>, Diagnostics> {
        let peers = self.peers.or_default();
        Ok(access::addresses(&peers)
            .map_err(|error| error.at(Path::of("peers")))?
            .into_iter()
            .collect())
    }

    fn is_enabled(&self) -> bool {
        self.enabled.known().copied().unwrap_or(true)
    }

    fn gate<'a>(
        &'a self,
        cx: &Of<'_, Self>,
        access: &'a Access<'a>,
    ) -> Result<Gate<'a>, Diagnostics> {
        let address = self.address.require("address")?;
        let own = [address.clone()];
        let all = self.addresses.or_default();
        Ok(Gate {
            access,
            limits: cx.limits(),
            cluster: self.cluster.require("cluster")?,
            ssh: self.ssh.require("ssh")?,
            name: self.name.require("name")?,
            address: address
                .parse()
                .map_err(|_| Diagnostics::invalid(Path::of("address"), "Must be an IP address."))?,
            addresses: access::addresses(all.iter().chain(&own))?,
            control_plane: self.role.text() == "control-plane",
            peers: self.peers()?,
            proof: Proof::of(&self.proof, &self.teleport)?.unwrap_or(Proof::Kubernetes),
            timing: Timing::of(access),
        })
    }

    /// The lockdown that a lost state leaves behind: proven with the very rules that are planned, and port 22 has not answered since. What else a
    /// silent port may mean is told by the next look: the lock itself was proven.
    async fn recognise(&self, cx: &Of<'_, Self>) -> Result<Option<Recognised>, Diagnostics> {
        if !self.is_enabled() {
            return Ok(None);
        }
        let rules = self
            .rules()?
            .ok_or_else(|| Diagnostics::bug("The rules are unknown at apply."))?;
        let (store, address) = (cx.provider.store()?, self.address.require("address")?);
        let member = marker::read(&*store, self.name.text())
            .await
            .map_err(|error| store_failed("read", "member", &error))?;
        let Some(member) = member.filter(|member| member.address.to_string() == *address) else {
            return Ok(None);
        };
        let Some(lock) = member
            .lock
            .filter(|lock| lock.rules_sha256 == plan::hash(&rules))
        else {
            return Ok(None);
        };
        let dialer = cx.provider.environment().await?.dialer();
        let silent = probe::port(dialer, member.address, 22).await == Seen::Silent;
        Ok(silent.then_some(Recognised {
            lock,
            peers: member.peers,
        }))
    }

    /// Until when a window is open that somebody opened on purpose. Without the store nothing is known of one.
    async fn window(&self, cx: &Of<'_, Self>) -> Option<Timestamp> {
        let store = cx.provider.store().ok()?;
        let member = marker::read(&*store, self.name.text()).await.ok()??;
        member.window.filter(|until| *until > Timestamp::now())
    }

    /// Create and Update are one: from whatever there is to what is planned.
    async fn converge(
        cx: &Of<'_, Self>,
        prior: Lock<'_>,
        peers_changed: bool,
        mut observed: BTreeMap<String, String>,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let rules = planned
            .rules()?
            .ok_or_else(|| Diagnostics::bug("The rules are unknown at apply."))?;
        let hash = plan::hash(&rules);
        {
            let gate = planned.gate(cx, &access)?;
            match plan::step(prior, planned.is_enabled(), &hash, peers_changed) {
                Step::Lock => {
                    if let Proof::Nothing = gate.proof {
                        cx.warn(Diagnostics::warning(
                            format!("No way into node \"{}\" was proven before it is locked", gate.name),
                            "`proof` is `none`: whether a pod on it, or an access proxy, would still lead to it was not tried.",
                        ));
                    }
                    observed = gate.close(&rules.render()).await?;
                    let answers = observed.get(node_port::OBSERVED).map(String::as_str);
                    if answers == Some(node_port::ANSWERS) && planned.node_ports.text() == "private"
                    {
                        cx.warn(Diagnostics::warning(
                            format!("A NodePort of node \"{}\" answers from here", gate.name),
                            "`node_ports` is `private`, but Cilium answers before the node's firewall sees a packet. Set `nodeport-addresses` in its configuration.",
                        ));
                    }
                    let (rules_sha256, observed) = (hash.clone(), observed.clone());
                    gate.note_lock(Some(marker::Lock {
                        rules_sha256,
                        observed,
                    }))
                    .await?;
                }
                Step::Peers => gate.tell_peers().await?,
                Step::Unlock => {
                    gate.open().await?;
                    gate.note_lock(None).await?;
                }
                Step::Nothing => {}
            }
        }
        planned.rules_sha256.fill(hash);
        let locked = planned.is_enabled();
        planned.locked.fill(locked);
        planned.observed.fill(observed);
        Ok(planned)
    }
}

/// What is left to do on a node whose cluster goes is done over SSH: the API, and with it every door, ends with its control planes. Whoever cannot
/// come in says so then ([`crate::wipe`]).
async fn gate_for_the_last_steps(
    cx: &Of<'_, NodeLockdown>,
    gate: &Gate<'_>,
) -> Result<(), Diagnostics> {
    let family = match gate.address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    let let_in = match echo::first(cx.provider.environment().await?, family).await {
        Ok(address) => gate
            .let_in(address)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(chain(&error)),
    };
    if let Err(reason) = let_in {
        tracing::info!("no window for SSH on node {}: {reason}", gate.name);
    }
    Ok(())
}

impl Resource for NodeLockdown {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Kubernetes";
    const TIMEOUTS: Limit = Limit::minutes(20, 2, 20, 10);

    fn validate(config: &Self, found: &mut Diagnostics) {
        found.take(config.rules().map(drop));
        found.take(Proof::of(&config.proof, &config.teleport).map(drop));
    }

    async fn plan(
        _: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        let state = &mut planned.state;
        let Some(rules) = state.rules()? else {
            return Ok(planned);
        };
        state.rules_sha256 = plan::hash(&rules).into();
        if !state.enabled.is_unknown() {
            // An opened node is drift: the plan says "closed" and the state says "open".
            state.locked = state.is_enabled().into();
        }
        if let Some(prior) = change.prior() {
            let same = prior.locked == state.locked && prior.rules_sha256 == state.rules_sha256;
            // New peers leave the lock and what was seen of it as they are.
            state.observed = if same {
                prior.observed.clone()
            } else {
                Attr::Unknown
            };
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        let Some(known) = planned.recognise(cx).await? else {
            let open = Lock {
                locked: false,
                rules: None,
            };
            return Self::converge(cx, open, true, BTreeMap::new(), planned).await;
        };
        cx.warn(Diagnostics::warning(
            format!("Adopted the lockdown of node \"{}\"", planned.name.text()),
            "The store says that it was locked by these rules and proven to be, and its port 22 is silent; it was not opened.",
        ));
        let peers_changed = known.peers != planned.peers()?;
        let prior = Lock {
            locked: true,
            rules: Some(&known.lock.rules_sha256),
        };
        Self::converge(
            cx,
            prior,
            peers_changed,
            known.lock.observed.clone(),
            planned,
        )
        .await
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        if !prior.is_enabled() {
            return Ok(Found::Present(prior));
        }
        let dialer = cx.provider.environment().await?.dialer();
        let own = [prior.address.text().to_owned()];
        let addresses = access::addresses(prior.addresses.or_default().iter().chain(&own))?;
        let seen = probe::ports(dialer, &addresses, 22).await;
        if seen.iter().any(|(_, seen)| *seen == Seen::Connects) {
            match prior.window(cx).await {
                Some(until) => cx.warn(Diagnostics::warning(
                    format!("Node \"{}\" has a window for SSH", prior.name.text()),
                    format!("Port 22 answers, and a window was opened until {until:.0}. Until then that is no drift."),
                )),
                None => prior.locked = false.into(),
            }
        }
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        let lock = Lock {
            locked: prior.locked.known().copied().unwrap_or(false),
            rules: prior.rules_sha256.known().map(String::as_str),
        };
        let observed = prior.observed.or_default();
        Self::converge(cx, lock, prior.peers != planned.peers, observed, planned).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let access = Access::of(cx.provider).await?;
        let teardown = claim::is_teardown(access.store())
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?;
        if !prior.is_enabled() {
            return Ok(());
        }
        let gate = prior.gate(cx, &access)?;
        if teardown {
            return gate_for_the_last_steps(cx, &gate).await;
        }
        // A node that stays locked is safe, and a dead one must not keep its replacement from coming.
        match gate.open().await {
            Ok(()) => gate.note_lock(None).await,
            Err(error) => {
                cx.warn(error.left(
                    "The node stays locked. That is no reason to keep its lockdown in the state.",
                ));
                Ok(())
            }
        }
    }
}
