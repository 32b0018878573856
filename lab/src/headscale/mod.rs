//! The simulated Headscale: the coordination server of a VPN, as far as its REST API and the registration of machines by key go (contracts/access.md section 4).
//!
//! Guaranteed: identifiers are texts, keys are shown whole once (masked in lists since 0.28), a key without expiration has ended, a key for one use lets one
//! machine in, and both dialects of errors. Which release it is can be chosen; the newest is the default. Not simulated: the protocol between machines and server (they
//! register inside the lab), policies, routes, logins by browser. Invented: addresses in the order of registration, and the sentences of the refusals.

mod routes;
mod shape;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub use self::routes::router;
pub use self::shape::Version;
use crate::clock::Clock;

/// The user that exists from the beginning.
pub const USER: &str = "strata";
/// Life of an API key that `headscale apikeys create` makes.
const API_KEY_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// What the zero value of a time is: long ago.
const ZERO: &str = "0001-01-01T00:00:00Z";

/// The service; clones share it.
#[derive(Clone)]
pub struct Headscale(Arc<Inner>);

struct Inner {
    clock: Clock,
    api_key: String,
    state: Mutex<State>,
}

struct State {
    version: Version,
    url: String,
    api_key_end: Timestamp,
    users: Vec<User>,
    keys: Vec<Key>,
    nodes: Vec<Node>,
    /// Of keys and nodes; numbers are not used again.
    last_id: u64,
}

#[derive(Debug, Clone)]
struct User {
    id: u64,
    name: String,
    created: Timestamp,
}

#[derive(Debug, Clone)]
struct Key {
    id: u64,
    user: Option<u64>,
    text: String,
    reusable: bool,
    ephemeral: bool,
    used: bool,
    expiration: Timestamp,
    created: Timestamp,
    tags: Vec<String>,
}

#[derive(Debug, Clone)]
struct Node {
    id: u64,
    machine_key: String,
    name: String,
    given_name: String,
    user: Option<u64>,
    key: Option<u64>,
    addresses: [IpAddr; 2],
    tags: Vec<String>,
    created: Timestamp,
    expiry: Option<Timestamp>,
    online: bool,
}

/// Why a machine does not get in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoEntry {
    /// No such key.
    Unknown,
    /// Its time is over.
    Expired,
    /// It was for one machine, and that one is in.
    Used,
}

impl NoEntry {
    /// What the server's log says.
    pub fn sentence(&self) -> &'static str {
        match self {
            Self::Unknown => "AuthKey not found",
            Self::Expired => "AuthKey expired",
            Self::Used => "AuthKey has already been used",
        }
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// A name that nobody else has: the wish, else with something behind it.
    fn free_name(&self, wish: &str) -> String {
        let taken = |name: &str| self.nodes.iter().any(|node| node.given_name == name);
        if !taken(wish) {
            return wish.to_owned();
        }
        format!("{wish}-{}", random(4))
    }

    fn addresses(&self) -> [IpAddr; 2] {
        let number = u16::try_from(self.last_id).unwrap_or(u16::MAX);
        let [high, low] = number.to_be_bytes();
        [
            IpAddr::V4(Ipv4Addr::new(100, 64, high, low)),
            IpAddr::V6(Ipv6Addr::new(0xfd7a, 0x115c, 0xa1e0, 0, 0, 0, 0, number)),
        ]
    }
}

fn random(bytes: usize) -> String {
    let all = [rand::random::<[u8; 32]>(), rand::random()].concat();
    HEXLOWER.encode(&all[..bytes])
}

fn zero() -> Timestamp {
    ZERO.parse().expect("a constant")
}

impl Headscale {
    /// A server with one user and this API key.
    pub fn new(clock: Clock, api_key: String) -> Self {
        let now = clock.now();
        let user = User {
            id: 1,
            name: USER.into(),
            created: now,
        };
        Self(Arc::new(Inner {
            clock,
            api_key,
            state: Mutex::new(State {
                version: Version::NEWEST,
                url: String::new(),
                api_key_end: now + API_KEY_LIFE,
                users: vec![user],
                keys: Vec::new(),
                nodes: Vec::new(),
                last_id: 0,
            }),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in one request must not take the whole lab down.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says where it is reached.
    pub fn set_url(&self, url: &str) {
        url.clone_into(&mut self.state().url);
    }

    /// Becomes another release.
    pub fn set_version(&self, version: Version) {
        self.state().version = version;
    }

    /// Whether this is the server that a machine is told to log in at.
    pub fn is_at(&self, url: &str) -> bool {
        self.state().url == url.trim_end_matches('/')
    }

    /// A machine logs in with a key. One that is known keeps its number and its addresses.
    pub fn register(
        &self,
        key: &str,
        machine_key: &str,
        name: &str,
    ) -> Result<Vec<IpAddr>, NoEntry> {
        let now = self.0.clock.now();
        let mut state = self.state();
        let found = state.keys.iter_mut().find(|known| known.text == key);
        let key = found.ok_or(NoEntry::Unknown)?;
        if key.expiration <= now {
            return Err(NoEntry::Expired);
        }
        if key.used && !key.reusable {
            return Err(NoEntry::Used);
        }
        key.used = true;
        let (id, user, tags) = (key.id, key.user, key.tags.clone());
        let known = state
            .nodes
            .iter_mut()
            .find(|node| node.machine_key == machine_key);
        if let Some(node) = known {
            (node.key, node.user, node.expiry, node.online) = (Some(id), user, None, true);
            return Ok(node.addresses.to_vec());
        }
        let node = Node {
            id: state.next_id(),
            machine_key: machine_key.to_owned(),
            name: name.to_owned(),
            given_name: state.free_name(name),
            user,
            key: Some(id),
            addresses: state.addresses(),
            tags,
            created: now,
            expiry: None,
            online: true,
        };
        let addresses = node.addresses.to_vec();
        state.nodes.push(node);
        Ok(addresses)
    }

    /// A machine that logged in before comes back. `None`: nobody knows it any more, or its time is over.
    pub fn reconnect(&self, machine_key: &str) -> Option<Vec<IpAddr>> {
        let now = self.0.clock.now();
        let mut state = self.state();
        let node = state.nodes.iter_mut().find(|node| {
            node.machine_key == machine_key && node.expiry.is_none_or(|expiry| expiry > now)
        })?;
        node.online = true;
        Some(node.addresses.to_vec())
    }

    /// A machine is off.
    pub fn disconnect(&self, machine_key: &str) {
        let mut state = self.state();
        let node = state
            .nodes
            .iter_mut()
            .find(|node| node.machine_key == machine_key);
        if let Some(node) = node {
            node.online = false;
        }
    }

    /// Somebody else's machine of this name, with a key of its own. Gives back the node's number.
    pub fn add_foreign(&self, name: &str) -> u64 {
        let now = self.0.clock.now();
        let mut state = self.state();
        let node = Node {
            id: state.next_id(),
            machine_key: format!("mkey:{}", random(32)),
            name: name.to_owned(),
            given_name: state.free_name(name),
            user: Some(1),
            key: None,
            addresses: state.addresses(),
            tags: Vec::new(),
            created: now,
            expiry: None,
            online: true,
        };
        let id = node.id;
        state.nodes.push(node);
        id
    }

    /// Takes a node away behind everybody's back, by its name. False when there is none.
    pub fn delete_node(&self, name: &str) -> bool {
        let mut state = self.state();
        let before = state.nodes.len();
        state.nodes.retain(|node| node.given_name != name);
        state.nodes.len() < before
    }

    /// The time of the API key is over.
    pub fn expire_api_key(&self) {
        self.state().api_key_end = zero();
    }

    /// Takes a user away.
    pub fn delete_user(&self, name: &str) {
        self.state().users.retain(|user| user.name != name);
    }

    /// The truth for `GET /estate`: nodes, and keys that would still let a machine in. No key is shown.
    pub fn estate(&self) -> Value {
        let now = self.0.clock.now();
        let state = self.state();
        let usable = state
            .keys
            .iter()
            .filter(|key| key.expiration > now && (key.reusable || !key.used))
            .map(|key| json!({"id": key.id, "reusable": key.reusable, "tags": key.tags}));
        let nodes = state.nodes.iter().map(|node| {
            json!({
                "id": node.id, "name": node.given_name, "hostname": node.name, "addresses": node.addresses,
                "online": node.online, "key": node.key, "tags": node.tags,
            })
        });
        json!({
            "usable_keys": usable.collect::<Vec<_>>(),
            "nodes": nodes.collect::<Vec<_>>(),
            "keys_made": state.keys.len(),
        })
    }
}
