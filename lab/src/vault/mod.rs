//! The simulated HashiCorp Vault: tokens, policies, namespaces, and the key/value engines in both versions.
//!
//! Written from contracts on the public API reference (<https://developer.hashicorp.com/vault/api-docs>) and the engine's source. A fresh server
//! has the mounts `secret` (KV version 2) and `legacy` (version 1) and one root token. Not here: other engines and login methods, response
//! wrapping, leases, identity, audit.

mod answer;
mod call;
mod duration;
mod kv1;
mod kv2;
mod policy;
mod routes;
mod system;
mod token;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::answer::Refusal;
use self::kv2::KvV2;
use self::policy::{Policy, Rule};
use self::token::{Token, Tokens};
use crate::clock::Clock;
use crate::fault::Faults;

pub use self::routes::router;

/// The service; clones share it.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    clock: Clock,
    faults: Faults,
    state: Mutex<State>,
}

/// Everything stored. Namespaces by their path with a final slash, the root's is empty.
#[derive(Debug)]
struct State {
    tokens: Tokens,
    namespaces: BTreeMap<String, Namespace>,
}

#[derive(Debug)]
struct Namespace {
    id: String,
    /// By path without slashes at the ends.
    mounts: BTreeMap<String, Mount>,
    policies: BTreeMap<String, Policy>,
}

#[derive(Debug)]
struct Mount {
    /// As it was mounted; a mount without options is unversioned.
    options: Value,
    accessor: String,
    uuid: String,
    description: String,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    V1(BTreeMap<String, Map<String, Value>>),
    V2(KvV2),
}

impl Mount {
    fn new(engine: Engine, options: Value, description: &str) -> Self {
        let uuid = Uuid::new_v4();
        Self {
            options,
            accessor: format!("kv_{}", &uuid.simple().to_string()[..8]),
            uuid: uuid.to_string(),
            description: description.to_owned(),
            engine,
        }
    }
}

impl Namespace {
    fn new() -> Self {
        Self {
            id: Uuid::new_v4().simple().to_string()[..5].to_owned(),
            mounts: BTreeMap::new(),
            policies: BTreeMap::from([("default".to_owned(), Policy::usual())]),
        }
    }
}

impl State {
    /// The mount that a path is under, its name and the rest of the path; the longest name wins.
    fn mount<'a>(&self, namespace: &str, path: &'a str) -> Option<(&str, &Mount, &'a str)> {
        let mounts = self.namespaces.get(namespace)?.mounts.iter().rev();
        let rest = |name: &str| {
            let rest = path.strip_prefix(name)?;
            if rest.is_empty() {
                return Some(rest);
            }
            rest.strip_prefix('/')
        };
        mounts
            .filter_map(|(name, mount)| Some((name.as_str(), mount, rest(name)?)))
            .max_by_key(|(name, ..)| name.len())
    }

    /// The rules of a token. Policies belong to the namespace that the token was made in.
    fn rules(&self, token: &Token) -> impl Iterator<Item = &Rule> {
        let policies = self
            .namespaces
            .get(&token.namespace)
            .map(|namespace| &namespace.policies);
        token
            .policies
            .iter()
            .filter_map(move |name| policies?.get(name))
            .flat_map(|policy| &policy.rules)
    }

    /// What a token may do with a path of a namespace; `None` is everything.
    fn capabilities(&self, token: &Token, namespace: &str, path: &str) -> Option<BTreeSet<String>> {
        let Some(below) = namespace.strip_prefix(token.namespace.as_str()) else {
            return Some(BTreeSet::new());
        };
        if token.is_root() {
            return None;
        }
        let full = format!("{below}{path}");
        let mut names = policy::capabilities(self.rules(token), &full);
        if names.is_empty() && full.ends_with('/') {
            names = policy::capabilities(self.rules(token), full.trim_end_matches('/'));
        }
        Some(names)
    }

    /// Refuses a token without the capability.
    fn require(
        &self,
        token: &Token,
        namespace: &str,
        path: &str,
        capability: &str,
    ) -> Result<(), Refusal> {
        match self.capabilities(token, namespace, path) {
            Some(names) if !names.contains(capability) => Err(Refusal::denied()),
            _ => Ok(()),
        }
    }
}

impl Vault {
    /// A server with the two mounts and this root token.
    pub fn new(clock: Clock, faults: Faults, root_token: String) -> Self {
        let mut root = Namespace::new();
        let v2 = Mount::new(
            Engine::V2(KvV2::default()),
            json!({ "version": "2" }),
            "key/value secret storage",
        );
        let v1 = Mount::new(
            Engine::V1(BTreeMap::new()),
            json!({ "version": "1" }),
            "unversioned key/value secret storage",
        );
        root.mounts = BTreeMap::from([("secret".to_owned(), v2), ("legacy".to_owned(), v1)]);
        let mut tokens = Tokens::default();
        tokens.root(root_token, clock.now());
        Self(Arc::new(Inner {
            clock,
            faults,
            state: Mutex::new(State {
                tokens,
                namespaces: BTreeMap::from([(String::new(), root)]),
            }),
        }))
    }

    /// What is stored, by name, for `GET /estate`: never a value.
    pub fn estate(&self) -> Vec<Value> {
        let now = self.0.clock.now();
        let state = self.0.state.lock().expect("no panic while held");
        let mut found = Vec::new();
        for (namespace, inside) in &state.namespaces {
            for (mount, stored) in &inside.mounts {
                found.extend(stored.estate(namespace, mount, now));
            }
        }
        found
    }
}

impl Mount {
    fn estate(&self, namespace: &str, mount: &str, now: Timestamp) -> Vec<Value> {
        let one = |path: &String, version: Option<u64>, state: &str| json!({ "namespace": namespace, "mount": mount, "path": path, "version": version, "state": state });
        match &self.engine {
            Engine::V1(entries) => entries.keys().map(|path| one(path, None, "live")).collect(),
            Engine::V2(kv) => kv
                .entries
                .iter()
                .map(|(path, entry)| {
                    let (version, state) = entry.estate(now);
                    one(path, Some(version), state)
                })
                .collect(),
        }
    }
}
