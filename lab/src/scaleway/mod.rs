//! The simulated Scaleway: Elastic Metal (baremetal v1) and IAM ssh-keys, as contracted from recordings of the real API.
//!
//! Not here: batch creation, flexible IPs; those answer 404 or 400 with `LAB-UNKNOWN`. There is no
//! idempotency, as in life: a second POST is a second server. Reference: <https://www.scaleway.com/en/developers/api/elastic-metal/>

mod api_key_routes;
mod bmc;
mod catalogue;
mod error;
mod key_routes;
mod life;
mod option;
mod order_routes;
mod partition;
mod query;
mod routes;
mod server;
mod server_routes;
mod ssh_key;
mod vpc;
mod vpc_routes;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::catalogue::Catalogue;
use self::life::Effect;
use self::server::Server;
use self::ssh_key::SshKey;
use self::vpc::Vpc;
use crate::clock::Clock;
use crate::fault::{Action, Faults};
use crate::metal::{Delivery, Metal};
use crate::network::Network;

pub use self::routes::router;

/// What a client needs to be let in; made anew for every lab.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `SCW` and 17 characters; never sent by clients.
    pub access_key: String,
    /// The token that clients send.
    pub secret_key: String,
    /// The default project; its id equals the organization's.
    pub project_id: String,
}

/// The service; clones share it.
#[derive(Clone)]
pub struct Scaleway(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// Simulated time of day when `clock.elapsed()` was zero.
    epoch: Timestamp,
    faults: Faults,
    network: Network,
    metal: Arc<dyn Metal>,
    credentials: Credentials,
    catalogue: Catalogue,
    state: Mutex<State>,
    /// Told when the next step may have moved.
    changed: Notify,
}

struct State {
    servers: Vec<Server>,
    keys: Vec<SshKey>,
    vpc: Vpc,
    /// Machines left, by zone and offer id.
    stock: HashMap<(String, String), u32>,
    addresses: u32,
    random: StdRng,
}

/// Zones of Elastic Metal.
const ZONES: [&str; 6] = [
    "fr-par-1", "fr-par-2", "nl-ams-1", "nl-ams-2", "pl-waw-2", "pl-waw-3",
];

impl Scaleway {
    /// An empty account. `seed` decides spreads and shuffles.
    pub fn new(
        clock: Clock,
        faults: Faults,
        network: Network,
        metal: Arc<dyn Metal>,
        credentials: Credentials,
        seed: u64,
    ) -> Self {
        let elapsed = SignedDuration::try_from(clock.elapsed()).unwrap_or_default();
        let epoch = clock
            .now()
            .checked_sub(elapsed)
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let state = State {
            servers: Vec::new(),
            keys: Vec::new(),
            vpc: Vpc::default(),
            stock: HashMap::new(),
            addresses: 0,
            random: StdRng::seed_from_u64(seed),
        };
        Self(Arc::new(Inner {
            clock,
            epoch,
            faults,
            network,
            metal,
            credentials,
            catalogue: Catalogue::load(),
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// Lets time pass for servers nobody looks at, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let next = self
                .settled()
                .servers
                .iter()
                .filter_map(|server| server.pending.first())
                .map(|(at, _)| *at)
                .min();
            let wait = async {
                match next {
                    Some(at) => {
                        self.0
                            .clock
                            .sleep(at.saturating_sub(self.0.clock.elapsed()))
                            .await;
                    }
                    None => std::future::pending().await,
                }
            };
            // All arms are cancel-safe: a token, a notification that is only a hint, a sleep.
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = wait => {}
            }
        }
    }

    /// Applies every step whose time has come; after a step of the clock by hand.
    pub fn settle(&self) {
        drop(self.settled());
    }

    /// The state at this moment of simulated time.
    fn settled(&self) -> MutexGuard<'_, State> {
        let mut guard = self.0.state.lock().expect("no panic while held");
        let now = self.0.clock.elapsed();
        let state = &mut *guard;
        let date = self.date();
        let mut left = Vec::new();
        for server in &mut state.servers {
            while server.pending.first().is_some_and(|(at, _)| *at <= now) {
                let (at, step) = server.pending.remove(0);
                match life::apply(server, step, self.time_of(at)) {
                    Effect::None => {}
                    Effect::Wipe => {
                        server.rescue = None;
                        self.0.metal.remove(&server.id);
                    }
                    Effect::Boot | Effect::Bare => self.boot(server),
                    Effect::PowerOn => {
                        self.power(server, true);
                        self.start_again(server);
                    }
                    Effect::Reboot => self.start_again(server),
                    Effect::Migrate => {
                        let offer = self.0.catalogue.offer(&server.offer_id);
                        if let Some(twin) = offer.and_then(catalogue::Offer::monthly_twin) {
                            twin.clone_into(&mut server.offer_id);
                        }
                    }
                    Effect::Leave => left.push(server.id.clone()),
                }
            }
            option::settle(server, now, &date);
        }
        for id in left {
            Self::forget(state, &id);
        }
        let State { servers, vpc, .. } = state;
        vpc.settle(now, |id| servers.iter().any(|server| server.id == id));
        guard
    }

    /// Takes a server out of the account and gives its machine back to the stock.
    fn forget(state: &mut State, id: &str) {
        if let Some(index) = state.servers.iter().position(|server| server.id == id) {
            let server = state.servers.remove(index);
            if let Some(left) = state.stock.get_mut(&(server.zone, server.offer_id)) {
                *left += 1;
            }
        }
    }

    /// The machine starts from its disks, or the rescue system on it.
    fn start_again(&self, server: &Server) {
        match &server.rescue {
            Some(rescue) => self.0.metal.rescue(&server.id, rescue.keys.clone()),
            None => self.0.metal.reboot(&server.id),
        }
    }

    fn power(&self, server: &Server, on: bool) {
        self.0.network.set_powered(server.ipv4.into(), on);
        self.0.network.set_powered(server.ipv6.into(), on);
    }

    fn boot(&self, server: &Server) {
        let offer = self
            .0
            .catalogue
            .offer(&server.offer_id)
            .expect("checked at the order");
        let install = server.install.as_ref();
        let short = &server.id[..8];
        let disks = offer
            .disks
            .iter()
            .enumerate()
            .map(|(index, (kind, bytes))| {
                let bus = if kind == "NVMe" { "nvme" } else { "ata" };
                (
                    format!("/dev/disk/by-id/{bus}-STRATA_LAB_{kind}_{short}_{index}"),
                    *bytes,
                )
            });
        self.0.metal.install(Delivery {
            server_id: server.id.clone(),
            name: server.name.clone(),
            hostname: install
                .map(|install| install.hostname.clone())
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| server.name.clone()),
            ipv4: server.ipv4.into(),
            ipv6: server.ipv6.into(),
            disks: disks.collect(),
            user_data: server.user_data.as_ref().map(|data| {
                BASE64
                    .decode(data.as_bytes())
                    .expect("checked when it was sent")
            }),
            ssh_public_keys: install
                .map(|install| install.ssh_public_keys.clone())
                .unwrap_or_default(),
            bare: install.is_none(),
        });
    }

    /// The simulated time of day, as the API writes it.
    fn date(&self) -> String {
        format!("{:.6}", self.time_of(self.0.clock.elapsed()))
    }

    fn time_of(&self, at: Duration) -> Timestamp {
        let at = SignedDuration::try_from(at).unwrap_or(SignedDuration::MAX);
        self.0.epoch.checked_add(at).unwrap_or(Timestamp::MAX)
    }

    /// The installation fault that is waiting for a server of these names.
    fn install_fault(&self, names: &[&str]) -> Option<Action> {
        let is_install = |action: &Action| {
            matches!(
                action,
                Action::InstallError { .. } | Action::InstallStuck | Action::DeliveryEnd { .. }
            )
        };
        names
            .iter()
            .find_map(|name| self.0.faults.take("machine", name, is_install))
            .or_else(|| {
                let target = "POST /baremetal/v1/zones/{zone}/servers";
                self.0.faults.take("scaleway", target, is_install)
            })
    }

    /// All servers and ssh keys for `GET /estate`, in an order that does not depend on time.
    pub fn estate(&self) -> (Vec<Value>, Vec<Value>) {
        let state = self.settled();
        let mut servers: Vec<&Server> = state.servers.iter().collect();
        servers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let mut keys: Vec<&SshKey> = state.keys.iter().collect();
        keys.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let key = |key: &&SshKey| serde_json::json!({ "id": key.id, "name": key.name, "public_key": key.public_key });
        (
            servers
                .iter()
                .map(|server| server.estate(&self.0.catalogue))
                .collect(),
            keys.iter().map(key).collect(),
        )
    }

    /// The addresses of a server by name, hostname, node tag or id.
    pub fn addresses_of(&self, name: &str) -> Option<(Ipv4Addr, Ipv6Addr)> {
        let state = self.settled();
        state
            .servers
            .iter()
            .find(|server| server.answers_to(name))
            .map(|server| (server.ipv4, server.ipv6))
    }

    /// The names servers can be called by, for messages.
    pub fn names(&self) -> Vec<String> {
        self.settled()
            .servers
            .iter()
            .map(|server| server.name.clone())
            .collect()
    }

    /// Deletes a server behind everyone's back, at once. The machine goes with it. Says whether there was one.
    pub fn vanish(&self, name: &str) -> bool {
        let mut state = self.settled();
        let Some(id) = state
            .servers
            .iter()
            .find(|server| server.answers_to(name))
            .map(|server| server.id.clone())
        else {
            return false;
        };
        self.0.metal.remove(&id);
        Self::forget(&mut state, &id);
        true
    }

    /// The stock of an hourly offer changes behind everyone's back. Says whether there is such an offer.
    pub fn set_stock(&self, zone: &str, offer: &str, machines: u32) -> bool {
        let found = self.0.catalogue.hourly(offer);
        if let Some(offer) = found {
            *self.settled().stock(zone, offer) = machines;
        }
        found.is_some()
    }

    /// Adds a tag behind everyone's back. Says whether there was such a server.
    pub fn add_tag(&self, name: &str, tag: &str) -> bool {
        let now = self.time_of(self.0.clock.elapsed());
        let mut state = self.settled();
        let Some(server) = state
            .servers
            .iter_mut()
            .find(|server| server.answers_to(name))
        else {
            return false;
        };
        server.tags.push(tag.to_owned());
        server.updated_at = now;
        true
    }
}
