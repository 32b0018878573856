//! The control plane as machines see it: create it, join it, leave it, look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::agent::{Agent, Bootstrap, NodeSpec};
use super::cluster_info::{Token, split_token};
use super::identity::{Identity, SeenCertificates};
use super::kind::{self, Kind};
use super::member::{Member, Membership};
use super::objects::Write;
use super::status::ApiError;
use super::store::{Key, Store};
use super::{node, seed, table};
use crate::calls::Calls;
use crate::clock::Clock;
use crate::fault::Faults;

/// How often controllers look at the clock and the machines, in simulated time.
const TICK: Duration = Duration::from_secs(2);
/// No tick is shorter than this on the wall, however fast the lab's time runs.
const SHORTEST_TICK: Duration = Duration::from_millis(100);

/// A simulated cluster. Its API servers share this state as real ones share etcd.
pub struct ControlPlane {
    pub(super) clock: Clock,
    pub(super) calls: Calls,
    pub(super) faults: Faults,
    pub(super) bootstrap: Bootstrap,
    state: Mutex<State>,
    /// The store's revision, for watches.
    pub(super) revision: watch::Sender<u64>,
}

/// Everything that changes.
pub(super) struct State {
    pub(super) store: Store,
    pub(super) kinds: Vec<Kind>,
    /// Names and revisions of the CustomResourceDefinitions that `kinds` was made from.
    pub(super) definitions: Vec<(String, Value)>,
    /// True while a definition waits to be established.
    pub(super) establishing: bool,
    pub(super) membership: Membership,
    pub(super) agents: BTreeMap<String, Arc<dyn Agent>>,
    /// What each kubelet reported when it registered, by node name: it reports the same to a Node object that somebody made anew.
    pub(super) reported: BTreeMap<String, Value>,
    /// Since when the agent of a node has not answered.
    pub(super) silent_since: BTreeMap<String, Timestamp>,
    /// Logs of one-shot pods by uid.
    pub(super) logs: BTreeMap<String, String>,
    /// Uids of one-shot pods that were handed to their agent.
    pub(super) started: BTreeSet<String>,
    pub(super) seen: SeenCertificates,
    /// Expiry of each token as its Secret states it, and the end that was made of it, by the Secret's uid.
    pub(super) token_ends: BTreeMap<String, (Timestamp, Timestamp)>,
    /// `kubernetesVersion` of ConfigMap `kubeadm-config`, with the `v`.
    pub(super) version: String,
    /// Version of the static pods of each control plane.
    pub(super) components: BTreeMap<String, String>,
    /// Whether etcd had a majority when it was last looked at, and how often it lost it.
    had_quorum: bool,
    quorum_losses: u32,
    /// Running number for generated names and service addresses.
    pub(super) sequence: u32,
}

impl ControlPlane {
    /// Starts a cluster with what `kubeadm init` leaves in it. Must run inside a tokio runtime: the controllers are a task that ends with the last handle.
    pub fn bootstrap(
        clock: Clock,
        calls: Calls,
        faults: Faults,
        bootstrap: Bootstrap,
    ) -> Result<Arc<Self>, String> {
        Self::start(clock, calls, faults, bootstrap, Store::default())
    }

    fn start(
        clock: Clock,
        calls: Calls,
        faults: Faults,
        bootstrap: Bootstrap,
        store: Store,
    ) -> Result<Arc<Self>, String> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|_| "the control plane needs a running tokio runtime".to_owned())?;
        // Names are made from it: never the same again over restored objects.
        let sequence = u32::try_from(store.revision() % 1_000_000_000).unwrap_or_default();
        let version = bootstrap.version.clone();
        let plane = Arc::new(Self {
            clock,
            calls,
            faults,
            bootstrap,
            state: Mutex::new(State {
                store,
                kinds: kind::built_in(),
                definitions: Vec::new(),
                establishing: false,
                membership: Membership::default(),
                agents: BTreeMap::new(),
                reported: BTreeMap::new(),
                silent_since: BTreeMap::new(),
                logs: BTreeMap::new(),
                started: BTreeSet::new(),
                seen: SeenCertificates::default(),
                token_ends: BTreeMap::new(),
                version,
                components: BTreeMap::new(),
                had_quorum: false,
                quorum_losses: 0,
                sequence,
            }),
            revision: watch::Sender::new(0),
        });
        {
            let mut state = plane.locked();
            for object in seed::objects(&plane.bootstrap) {
                match plane.seed(&mut state, object) {
                    Err(error) if error.code != 409 => {
                        return Err(format!("creating the first objects: {}", error.message));
                    }
                    // In a restored etcd most are there.
                    _ => {}
                }
            }
        }
        plane.reconcile();
        let weak = Arc::downgrade(&plane);
        runtime.spawn(async move {
            loop {
                let Some(clock) = weak.upgrade().map(|plane| plane.clock.clone()) else {
                    return;
                };
                clock
                    .sleep(TICK.max(SHORTEST_TICK.mul_f64(clock.speed())))
                    .await;
                let Some(plane) = weak.upgrade() else { return };
                plane.settle();
            }
        });
        Ok(plane)
    }

    pub(super) fn locked(&self) -> MutexGuard<'_, State> {
        // A panic in one request must not take the whole lab down.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seed(&self, state: &mut State, object: Value) -> Result<(), ApiError> {
        let kind = state.kind_of(&object).ok_or_else(ApiError::no_such_path)?;
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let write = Write {
            manager: "kubeadm",
            ..Write::internal(self.clock.now(), &self.bootstrap.service_subnet)
        };
        state.create(&kind, &namespace, object, &write).map(|_| ())
    }

    /// `ca.crt`, PEM.
    pub fn ca_crt(&self) -> &str {
        &self.bootstrap.ca_crt
    }

    /// `kubernetesVersion` as configured, with the `v`.
    pub fn version(&self) -> String {
        self.locked().version.clone()
    }

    /// The static pods of a control plane run this version from now on.
    pub fn replace_components(&self, node: &str, version: &str) {
        self.locked().set_components(node, version);
        self.reconcile();
    }

    /// Writes the version into ConfigMap `kubeadm-config`, as `kubeadm upgrade apply` does.
    pub fn configure_version(&self, version: &str) -> Result<(), String> {
        {
            let mut state = self.locked();
            let key = Key::new("", "configmaps", "kube-system", "kubeadm-config");
            let live = state.store.get(&key).cloned();
            let mut live = (*live.ok_or("configmaps \"kubeadm-config\" not found")?).clone();
            let text = live["data"]["ClusterConfiguration"]
                .as_str()
                .unwrap_or_default();
            let mut cluster: Value = serde_yaml_ng::from_str(text)
                .map_err(|error| format!("reading kubeadm-config: {error}"))?;
            cluster["kubernetesVersion"] = json!(version);
            let text = serde_yaml_ng::to_string(&cluster)
                .map_err(|error| format!("writing kubeadm-config: {error}"))?;
            live["data"]["ClusterConfiguration"] = json!(text);
            state.store.put(key, live);
            version.clone_into(&mut state.version);
        }
        self.reconcile();
        Ok(())
    }

    /// A kubelet that ran all the time finds the API again. It reports to its Node, and makes none: without one it stays outside.
    pub fn return_node(&self, spec: NodeSpec, agent: Arc<dyn Agent>) {
        let known = {
            let state = self.locked();
            state
                .store
                .get(&Key::new("", "nodes", "", &spec.name))
                .is_some()
        };
        if known {
            self.register_node(spec, agent);
        }
    }

    /// What `etcdctl snapshot save` writes.
    pub fn snapshot(&self) -> Result<Vec<u8>, String> {
        let mut state = self.locked();
        if !state.has_quorum() {
            return Err("context deadline exceeded".into());
        }
        Ok(super::snapshot::save(&state.store))
    }

    /// Starts a cluster over the data of a restored etcd, as `kubeadm init` does that finds some.
    pub fn restored(
        (clock, calls, faults): (Clock, Calls, Faults),
        bootstrap: Bootstrap,
        data: &[u8],
    ) -> Result<Arc<Self>, String> {
        let store = super::snapshot::load(data)?;
        let configurations = seed::configurations(&bootstrap);
        let plane = Self::start(clock, calls, faults, bootstrap, store)?;
        // What kubeadm uploads in any case.
        {
            let mut state = plane.locked();
            for object in configurations {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let key = Key::new("", "configmaps", "kube-system", name);
                if let Some(live) = state.store.get(&key).cloned() {
                    let mut renewed = (*live).clone();
                    renewed["data"] = object["data"].clone();
                    state.put_changed(key, renewed);
                }
            }
        }
        plane.reconcile();
        Ok(plane)
    }

    /// Registers a node as its kubelet does, or renews it after a restart. The first control plane becomes the first etcd member.
    #[allow(clippy::needless_pass_by_value)] // the caller hands the node over
    pub fn register_node(&self, spec: NodeSpec, agent: Arc<dyn Agent>) {
        let boot = agent.boot();
        {
            let mut state = self.locked();
            state.agents.insert(spec.name.clone(), agent);
            state.silent_since.remove(&spec.name);
            if spec.control_plane && state.membership.members.is_empty() {
                state.membership.first(&spec.name, spec.address);
            }
            let now = self.clock.now();
            let mut object = node::object(&spec, now);
            object["status"]["nodeInfo"]["bootID"] = boot.into();
            state
                .reported
                .insert(spec.name.clone(), object["status"].clone());
            let nodes = state.kind("", "nodes");
            let key = Key::new("", "nodes", "", &spec.name);
            let write = Write {
                manager: "kubelet",
                ..Write::internal(now, &self.bootstrap.service_subnet)
            };
            if let Some(live) = state.store.get(&key).cloned() {
                let mut renewed = (*live).clone();
                for field in ["addresses", "nodeInfo"] {
                    renewed["status"][field] = object["status"][field].clone();
                }
                for (name, value) in &spec.labels {
                    renewed["metadata"]["labels"][name] = json!(value);
                }
                state.store.put(key, renewed);
            } else {
                state
                    .create(&nodes, "", object, &write)
                    .expect("a node object of the lab is valid");
            }
            if spec.control_plane {
                let version = state.version.clone();
                let version = state
                    .components
                    .entry(spec.name.clone())
                    .or_insert(version)
                    .clone();
                state.create_static_pods(&spec.name, &version, &write);
            }
        }
        self.reconcile();
    }

    /// Creates an object with kubeadm's hands, as phases of `kubeadm init` do.
    pub fn create(&self, object: Value) -> Result<(), String> {
        {
            let mut state = self.locked();
            self.seed(&mut state, object)
                .map_err(|error| error.message)?;
        }
        self.reconcile();
        Ok(())
    }

    /// Whether a Node is there and Ready.
    pub fn is_node_ready(&self, name: &str) -> bool {
        let state = self.locked();
        let node = state.store.get(&Key::new("", "nodes", "", name));
        node.is_some_and(|node| node::is_ready(node))
    }

    /// Removes a Node object. The machine keeps running and does not register again by itself.
    pub fn delete_node(&self, name: &str) {
        self.locked().store.remove(&Key::new("", "nodes", "", name));
        self.reconcile();
    }

    /// Adds an etcd member as learner.
    ///
    /// # Errors
    /// etcd's own words: another learner exists, an unhealthy member, a peer URL in use, no quorum.
    pub fn add_member(&self, name: &str, peer: IpAddr) -> Result<u64, String> {
        let mut state = self.locked();
        state.observe_members();
        state.membership.add_learner(name, peer)
    }

    /// Makes a learner a voting member.
    pub fn promote(&self, id: u64) -> Result<(), String> {
        let mut state = self.locked();
        state.observe_members();
        state.membership.promote(id)
    }

    /// Removes an etcd member.
    pub fn remove_member(&self, id: u64) -> Result<(), String> {
        let mut state = self.locked();
        state.observe_members();
        state.membership.remove(id)
    }

    /// The etcd members.
    pub fn members(&self) -> Vec<Member> {
        let mut state = self.locked();
        state.observe_members();
        state.membership.members.clone()
    }

    /// Checks a bootstrap token as the API server does: Secret present, secret part right, not expired, usable for authentication.
    pub fn authenticate_token(&self, token: &str) -> Result<(), String> {
        self.reconcile();
        self.identify_token(token).map(|_| ())
    }

    pub(super) fn identify_token(&self, token: &str) -> Result<Identity, String> {
        let (id, secret) = split_token(token)
            .ok_or("the bootstrap token is not of the form [a-z0-9]{6}.[a-z0-9]{16}")?;
        let state = self.locked();
        let stored = state.store.get(&Key::new(
            "",
            "secrets",
            "kube-system",
            &format!("bootstrap-token-{id}"),
        ));
        let unknown =
            || format!("bootstrap token \"{id}\" is invalid for this cluster or it has expired");
        let stored = stored.ok_or_else(unknown)?;
        let token = Token::of_secret(stored).ok_or_else(unknown)?;
        let uid = stored["metadata"]["uid"].as_str().unwrap_or_default();
        let judged = state.token_ends.get(uid).map(|(_, end)| *end);
        let end = judged.or(token.expiration);
        if token.secret != secret || end.is_some_and(|end| end <= self.clock.now()) {
            return Err(unknown());
        }
        if !token.authenticates {
            return Err(format!(
                "bootstrap token \"{id}\" is not usable for authentication (usage-bootstrap-authentication)"
            ));
        }
        Ok(Identity::bootstrap_token(id, &token.extra_groups))
    }

    /// The truth to compare with: no secret data, no moving timestamps.
    pub fn estate(&self) -> Value {
        self.reconcile();
        let mut state = self.locked();
        state.observe_members();
        let nodes: Map<String, Value> = state
            .store
            .list(&state.kind("", "nodes").id(), None)
            .map(|(key, object)| {
                let facts = json!({"ready": node::is_ready(object), "roles": table::roles(object), "address": node::address(object),
                    "unschedulable": object["spec"]["unschedulable"] == true, "kubelet": object["status"]["nodeInfo"]["kubeletVersion"],
                    "components": state.components.get(&key.name)});
                (key.name.clone(), facts)
            })
            .collect();
        let members: Vec<Value> = state
            .membership
            .members
            .iter()
            .map(|member| json!({"name": member.name, "peer": member.peer, "learner": member.learner, "alive": member.alive}))
            .collect();
        let mut objects: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut tokens = Vec::new();
        for (key, _) in state
            .store
            .everything()
            .filter(|(key, _)| key.resource.plural != "events")
        {
            let kind = if key.resource.group.is_empty() {
                key.resource.plural.clone()
            } else {
                format!("{}.{}", key.resource.plural, key.resource.group)
            };
            let name = if key.namespace.is_empty() {
                key.name.clone()
            } else {
                format!("{}/{}", key.namespace, key.name)
            };
            objects.entry(kind).or_default().push(name);
            if key.resource.plural == "secrets" && key.namespace == "kube-system" {
                tokens.extend(key.name.strip_prefix("bootstrap-token-").map(str::to_owned));
            }
        }
        let objects: Map<String, Value> = objects
            .into_iter()
            .map(|(kind, names)| (kind, json!({"count": names.len(), "names": names})))
            .collect();
        json!({"version": state.git_version(""), "quorum_losses": state.quorum_losses, "endpoint": self.bootstrap.endpoint, "nodes": nodes, "members": members,
            "bootstrap_tokens": tokens, "objects": objects})
    }
}

impl State {
    /// What the API server of a node calls itself: the version with the mark of the lab.
    pub(super) fn git_version(&self, node: &str) -> String {
        format!("{}+lab", self.components.get(node).unwrap_or(&self.version))
    }

    /// The kind of a group and plural that the lab always serves.
    pub(super) fn kind(&self, group: &str, plural: &str) -> Kind {
        self.kinds
            .iter()
            .find(|kind| kind.is(group, plural))
            .expect("a built-in kind")
            .clone()
    }

    /// The kind an object says it is.
    pub(super) fn kind_of(&self, object: &Value) -> Option<Kind> {
        self.kinds
            .iter()
            .find(|kind| {
                object["kind"] == *kind.kind && object["apiVersion"] == *kind.api_version()
            })
            .cloned()
    }

    /// Asks the machines of the members whether they live. A member whose machine never registered is starting, which counts as not alive for a learner only.
    pub(super) fn observe_members(&mut self) {
        for member in &mut self.membership.members {
            member.alive = self
                .agents
                .get(&member.name)
                .map_or(!member.learner, |agent| agent.votes());
        }
        let has_quorum = self.membership.has_quorum();
        self.quorum_losses += u32::from(self.had_quorum && !has_quorum);
        self.had_quorum = has_quorum;
    }

    pub(super) fn has_quorum(&mut self) -> bool {
        self.observe_members();
        self.membership.has_quorum()
    }
}
