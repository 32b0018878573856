//! A node in the VPN (T19): a key for one use is made while the machine waits for it, goes to the machine over its own API, and is taken off it when the machine
//! has registered.
//!
//! The key is not in the configuration that is handed over at first: that one lies on a storage or goes to a machine in maintenance, its image is named after its content,
//! and a boot may outlast the key. So the document comes afterwards, with the key, and is replaced by one without: only a machine that registered has
//! that one. What was made is noted in the store (`nodes/<node>/vpn`) before it is asked for, by the end that a key alone has, so that a run that was
//! killed leaves nothing behind for long: the next one ends what it finds.

mod note;
mod own;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use strata_framework::{Attr, Diagnostics, Limits, Probe, Schema, WaitError, chain, wait};

use self::note::Note;
use super::TalosMachine;
use crate::access::UNSEEN;
use crate::headscale::{Error, Headscale, Minted, Node, Place, User};
use crate::provider::Strata;
use crate::secret::Secret;
use crate::services::talos::content::Content;
use crate::services::talos::look;
use crate::services::talos::patch::Document;
use crate::services::talos::ways::Ways;
use crate::talos::Client;
use crate::talos::client::Mode;

const KIND: &str = "ExtensionServiceConfig";
const NAME: &str = "tailscale";
/// Life of a key: a container starts and dials.
const LIFE: Duration = Duration::from_mins(10);

/// The VPN that a node is in.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct MachineVpn {
    /// A server of Headscale.
    #[schema(required)]
    pub headscale: Attr<HeadscaleLogin>,
}

/// How a machine logs in at Headscale.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct HeadscaleLogin {
    /// Address of the server as the machine and this computer reach it, e.g. `https://hs.example.org`. Without it the machine is refused, except in
    /// the lab, which always has its own. A node that is registered stays where it is: another address is refused.
    #[schema(optional, pattern("https?://[^/?# ]+/?"))]
    pub url: Attr<String>,
    /// Name of the user that the node belongs to, e.g. `k8s`. It must exist. Without it the machine is refused, except in the lab, as above;
    /// so is another user for a node that is registered.
    #[schema(optional)]
    pub user: Attr<String>,
    /// Tags that the node gets when it registers, e.g. `["tag:k8s"]`. Without it there are none. Since Headscale 0.28 such a node belongs to `tagged-devices`. Other tags count
    /// for the next registration only.
    #[schema(optional, pattern("tag:[a-z0-9-]+"))]
    pub tags: Attr<BTreeSet<String>>,
}

/// A node of the VPN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) addresses: BTreeSet<String>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing is wanted.
    Unwanted,
    /// It is in.
    Member(Member),
    /// It was in, and could not be looked at now.
    Unseen(Diagnostics),
    /// It is not in, and waiting longer or trying again may help.
    Waiting(String),
    /// It is not in, and somebody has to do something.
    Failed(Diagnostics),
}

/// Where the machine logs in. `None`: nothing is wanted, or it is not known yet.
pub(super) async fn place(
    provider: &Strata,
    machine: &TalosMachine,
) -> Result<Option<Place>, Diagnostics> {
    let Some(login) = machine.vpn.known().and_then(|vpn| vpn.headscale.known()) else {
        return Ok(None);
    };
    let environment = provider.environment().await?;
    let text = |attribute: &Attr<String>| attribute.known().cloned();
    let (url, user) = (text(&login.url), text(&login.user));
    let place = Place::of(environment, url.as_deref(), user.as_deref());
    place.map(Some).ok_or_else(|| {
        let path = strata_framework::Path::of("vpn").attribute("headscale");
        Diagnostics::invalid(path, "Must hold `url` and `user`, except in the lab.")
    })
}

/// Whether the wish is known by now.
pub(super) fn is_known(machine: &TalosMachine) -> bool {
    let Attr::Known(vpn) = &machine.vpn else {
        return machine.vpn.is_null();
    };
    vpn.headscale
        .known()
        .is_some_and(|login| !login.url.is_unknown() && !login.user.is_unknown())
}

fn hostname(machine: &TalosMachine) -> String {
    format!("{}-{}", machine.cluster.text(), machine.node.text())
}

fn document(place: &Place, hostname: &str, key: Option<&Secret<String>>) -> Document {
    let mut environment = vec![
        format!("TS_EXTRA_ARGS=--login-server={}", place.url),
        format!("TS_HOSTNAME={hostname}"),
        // Who is logged in needs no key, and keeps its registration over reboots.
        "TS_AUTH_ONCE=true".to_owned(),
        "TS_STATE_DIR=/var/lib/tailscale".to_owned(),
    ];
    environment.extend(key.map(|key| format!("TS_AUTHKEY={}", key.expose())));
    let document =
        json!({ "apiVersion": "v1alpha1", "kind": KIND, "name": NAME, "environment": environment });
    let Value::Object(document) = document else {
        return Document::new();
    };
    document
}

/// The configuration of a machine that is in.
pub(super) fn complete(
    content: &Content,
    place: &Place,
    machine: &TalosMachine,
) -> Result<Content, Diagnostics> {
    if content.document(KIND, NAME).is_some() {
        return Err(Diagnostics::invalid(
            strata_framework::Path::of("vpn"),
            "`configuration_wo` has a document ExtensionServiceConfig `tailscale` of its own: one of the two is too many.",
        ));
    }
    Ok(content.with_document(document(place, &hostname(machine), None)))
}

/// The configuration of a machine that is to be handed one and is not in yet.
pub(super) fn before(content: &Content, machine: &TalosMachine) -> Content {
    if machine.vpn.is_null() {
        return content.clone();
    }
    content.without_document(KIND, NAME)
}

/// What a refresh sees: the node, or that Headscale has it no more.
pub(super) async fn look(
    provider: &Strata,
    machine: &TalosMachine,
) -> Result<Option<Member>, Diagnostics> {
    let (Some(place), Some(id)) = (place(provider, machine).await?, machine.vpn_node_id.known())
    else {
        return Ok(None);
    };
    let headscale = provider.headscale(&place.url).await?;
    let nodes = headscale
        .listed()
        .await
        .map_err(|error| failed("observe", machine, &error))?;
    let node = nodes
        .iter()
        .find(|node| node.id == *id && !node.has_ended());
    Ok(node.map(Member::of))
}

fn failed(verb: &str, machine: &TalosMachine, error: &Error) -> Diagnostics {
    Diagnostics::failed(verb, "VPN of machine", machine.node.text(), error).hint(&error.hint())
}

impl Member {
    fn of(node: &Node) -> Self {
        Self {
            id: node.id.clone(),
            addresses: node.addresses.clone(),
        }
    }
}

/// A machine on its way in.
pub(super) struct Joiner<'a> {
    pub(super) provider: &'a Strata,
    pub(super) ways: &'a Ways<'a>,
    pub(super) limits: Limits,
    pub(super) machine: &'a TalosMachine,
}

/// Why a step did not lead on.
enum Stop {
    Wait(String),
    Fail(Diagnostics),
}

impl From<Diagnostics> for Stop {
    fn from(found: Diagnostics) -> Self {
        Self::Fail(found)
    }
}

impl Joiner<'_> {
    /// Sees to it that the machine is in.
    pub(super) async fn run(&self, client: &Client) -> Outcome {
        match self.steps(client).await {
            Ok(outcome) => outcome,
            Err(Stop::Wait(seen)) => Outcome::Waiting(seen),
            Err(Stop::Fail(found)) => Outcome::Failed(found),
        }
    }

    fn stop(&self, error: &Error) -> Stop {
        if error.is_final() {
            let name = self.machine.node.text();
            let found = Diagnostics::failed("join", "VPN of machine", name, error);
            return Stop::Fail(found.hint(&error.hint()));
        }
        Stop::Wait(format!("{}. {}", chain(error), error.hint()))
    }

    async fn steps(&self, client: &Client) -> Result<Outcome, Stop> {
        let Some(place) = place(self.provider, self.machine).await? else {
            return Ok(Outcome::Unwanted);
        };
        let machine_failed =
            |error: crate::talos::Error| Stop::Wait(format!("the machine: {}", chain(&error)));
        let stored = look::stored(client)
            .await
            .map_err(machine_failed)?
            .ok_or_else(|| Stop::Wait("the machine says no configuration".into()))?;
        let wanted = document(&place, &hostname(self.machine), None);
        let present = stored.document(KIND, NAME);
        // Only a machine that registered was given this one.
        let was_in = present.is_some_and(|found| own::is_same(found, &wanted));
        let found = self.provider.headscale(&place.url).await;
        let headscale = match found {
            Ok(headscale) => headscale,
            Err(found) if was_in => return Ok(Outcome::Unseen(found.left(UNSEEN))),
            Err(found) => return Err(Stop::Fail(found)),
        };
        headscale.forget().await;
        let nodes = match headscale.nodes().await {
            Ok(nodes) => nodes,
            Err(error) if was_in => {
                let found = failed("observe", self.machine, &error);
                return Ok(Outcome::Unseen(found.left(UNSEEN)));
            }
            Err(error) => return Err(self.stop(&error)),
        };
        let store = self.ways.access.store();
        let mut note = Note::read(store, self.machine.node.text()).await?;
        if present.is_some() {
            let held = own::held(client).await.map_err(machine_failed)?;
            let state = self.machine.vpn_node_id.known();
            // A run that ended in between may have left a machine that is in and has its key still. What it was before it was wiped says nothing.
            let found = if was_in {
                own::find(&nodes, &note, state, &held)
            } else {
                own::find(&nodes, &note.without_node(), None, &held)
            };
            if let Some(node) = found {
                let member = Member::of(node);
                self.settle(&headscale, &mut note, &place, node).await?;
                self.take_the_key(client, wanted).await?;
                return Ok(Outcome::Member(member));
            }
        }
        if self.provider.only_adopts() {
            return Err(Stop::Wait(
                "it is not in the VPN, and nothing is made while a lost state is rebuilt".into(),
            ));
        }
        let node = self
            .join(client, &headscale, &place, &stored, &nodes, &mut note)
            .await?;
        self.settle(&headscale, &mut note, &place, &node).await?;
        self.take_the_key(client, wanted).await?;
        Ok(Outcome::Member(Member::of(&node)))
    }

    /// Gives the machine the document without a key, if it has another one. That takes effect at once, whatever `apply_mode` says of other changes.
    async fn take_the_key(&self, client: &Client, wanted: Document) -> Result<(), Stop> {
        let lost = |error: crate::talos::Error| {
            Stop::Wait(format!(
                "it has registered, and still has its key, which lets nobody else in: {}",
                chain(&error)
            ))
        };
        let Some(stored) = look::stored(client).await.map_err(lost)? else {
            return Ok(());
        };
        let is_clean = stored
            .document(KIND, NAME)
            .is_some_and(|found| own::is_same(found, &wanted));
        if is_clean {
            return Ok(());
        }
        let clean = stored.with_document(wanted).text();
        let taken = client.apply(&clean, Mode::NoReboot, false).await;
        taken.map(drop).map_err(lost)
    }

    /// Makes a key, gives it to the machine, and waits until somebody came with it.
    async fn join(
        &self,
        client: &Client,
        headscale: &Headscale,
        place: &Place,
        stored: &Content,
        before: &[Node],
        note: &mut Note,
    ) -> Result<Node, Stop> {
        let has_client = own::has_client(client).await;
        if !has_client.map_err(|error| Stop::Wait(format!("the machine: {}", chain(&error))))? {
            return Err(Stop::Wait("its image has no extension siderolabs/tailscale, so no key was made. A cluster that lives gets the extension when its system is rolled; the run after that registers its nodes".into()));
        }
        let user = headscale
            .user(&place.user)
            .await
            .map_err(|error| self.stop(&error))?;
        note.url.clone_from(&place.url);
        note.user.clone_from(&place.user);
        // Somebody may come with one of these at the last moment.
        let mut ids: Vec<String> = note.keys.iter().filter_map(|key| key.id.clone()).collect();
        let key = self.mint(headscale, &user, note).await?;
        ids.push(key.id.clone());
        let name = hostname(self.machine);
        let keyed = stored.with_document(document(place, &name, Some(&key.value)));
        tracing::info!(
            "machine {}: logs in at {} as {name}",
            self.machine.node.text(),
            place.url
        );
        let handed = client.apply(&keyed.text(), Mode::NoReboot, false).await;
        handed.map_err(|error| {
            Stop::Wait(format!(
                "the machine does not take its key for the VPN: {}",
                chain(&error)
            ))
        })?;
        let what = format!("machine {name} to register at {}", place.url);
        let access = &self.ways.access;
        let policy = access
            .policy(what, Duration::from_secs(2), Duration::from_secs(10))
            .at_most(LIFE);
        let registered = wait(&self.limits, &policy, async || {
            match headscale.nodes().await {
                Ok(nodes) => match own::registered(&nodes, before, &ids, &name) {
                    Some(node) => Probe::Done(node.clone()),
                    None => Probe::NotYet(format!(
                        "nobody has come with key {}. The service `ext-tailscale` of the machine says why: it must reach {}",
                        key.id, place.url
                    )),
                },
                Err(error) if error.is_final() => Probe::Failed(error),
                Err(error) => Probe::NotYet(chain(&error)),
            }
        })
        .await;
        match registered {
            Ok(node) => Ok(node),
            Err(error) => {
                // Nobody comes with it any more. Should this fail too, the next run ends it, or its time does.
                let _ended = end_noted(headscale, &user, note).await;
                Err(match error {
                    WaitError::Failed(error) => self.stop(&error),
                    WaitError::TimedOut(waited) | WaitError::Stopped(waited) => {
                        Stop::Wait(waited.to_string())
                    }
                })
            }
        }
    }

    /// A key that is noted before it is made. One whose end was worked out by a wrong clock is made again.
    async fn mint(
        &self,
        headscale: &Headscale,
        user: &User,
        note: &mut Note,
    ) -> Result<Minted, Stop> {
        let tags: Vec<String> = self
            .machine
            .vpn
            .known()
            .and_then(|vpn| vpn.headscale.known())
            .map(|login| login.tags.or_default().into_iter().collect())
            .unwrap_or_default();
        let life = SignedDuration::try_from(self.ways.access.there(LIFE))
            .unwrap_or(SignedDuration::from_hours(24 * 365));
        let mut tries = 0;
        loop {
            tries += 1;
            end_noted(headscale, user, note)
                .await
                .map_err(|error| self.stop(&error))?;
            let end = headscale.end_of_key(life);
            note.keys.push(note::Key { end, id: None });
            self.keep(note).await?;
            let key = headscale
                .mint(user, end, &tags)
                .await
                .map_err(|error| self.stop(&error))?;
            if let Some(last) = note.keys.last_mut() {
                last.id = Some(key.id.clone());
            }
            self.keep(note).await?;
            if !headscale.is_of_another_clock(&key) || tries > 1 {
                return Ok(key);
            }
        }
    }

    async fn keep(&self, note: &Note) -> Result<(), Stop> {
        let store = self.ways.access.store();
        note.write(store, self.machine.node.text()).await?;
        Ok(())
    }

    /// What was known as this machine before goes, keys that nobody came with end, and the note says what is.
    async fn settle(
        &self,
        headscale: &Headscale,
        note: &mut Note,
        place: &Place,
        node: &Node,
    ) -> Result<(), Stop> {
        let former = [note.node.clone(), self.machine.vpn_node_id.known().cloned()];
        let former: BTreeSet<String> = former.into_iter().flatten().collect();
        for id in former.iter().filter(|id| **id != node.id) {
            headscale
                .delete_node(id)
                .await
                .map_err(|error| self.stop(&error))?;
        }
        if !note.keys.is_empty() {
            let user = headscale
                .user(&place.user)
                .await
                .map_err(|error| self.stop(&error))?;
            end_noted(headscale, &user, note)
                .await
                .map_err(|error| self.stop(&error))?;
        }
        headscale.forget().await;
        let now = Note {
            url: place.url.clone(),
            user: place.user.clone(),
            node: Some(node.id.clone()),
            keys: Vec::new(),
        };
        if *note != now {
            *note = now;
            self.keep(note).await?;
        }
        let name = hostname(self.machine);
        if node.given_name != name {
            tracing::warn!(
                "machine {name} is {} in the VPN: somebody else has its name",
                node.given_name
            );
        }
        Ok(())
    }
}

/// Ends the keys that are noted and unused, and forgets them.
async fn end_noted(headscale: &Headscale, user: &User, note: &mut Note) -> Result<(), Error> {
    if note.keys.is_empty() {
        return Ok(());
    }
    let listed = headscale.keys(user).await?;
    for key in listed.iter().filter(|key| note.knows(key) && !key.used) {
        headscale.expire(user, key).await?;
    }
    note.keys.clear();
    Ok(())
}

/// The machine is no node any more: its entry goes, and keys that nobody came with end. Headscale being away keeps nobody from anything: what is left is said.
pub(super) async fn leave(provider: &Strata, machine: &TalosMachine) -> Diagnostics {
    let gone = async {
        let store = provider.store()?;
        let mut note = Note::read(&*store, machine.node.text()).await?;
        let state = machine.vpn_node_id.known().cloned();
        if note == Note::default() && state.is_none() {
            return Ok(());
        }
        let here = place(provider, machine).await?;
        let (url, user) = match here {
            Some(place) => (place.url, place.user),
            None => (note.url.clone(), note.user.clone()),
        };
        let headscale = provider.headscale(&url).await?;
        let error = |error: Error| failed("leave", machine, &error);
        let nodes = headscale.nodes().await.map_err(error)?;
        for node in own::of_notes(&nodes, &note, state.as_ref()) {
            headscale.delete_node(&node.id).await.map_err(error)?;
        }
        if !note.keys.is_empty() {
            let user = headscale.user(&user).await.map_err(error)?;
            end_noted(&headscale, &user, &mut note)
                .await
                .map_err(error)?;
        }
        Note::remove(&*store, machine.node.text()).await
    };
    match gone.await {
        Ok(()) => Diagnostics::none(),
        Err(found) => {
            let found: Diagnostics = found;
            let id = machine.vpn_node_id.known();
            let id = id.map_or_else(String::new, |id| format!(" -i {id}"));
            Diagnostics::warning(
                format!("Machine \"{}\" is still known to the VPN", machine.node.text()),
                found.to_string(),
            )
            .left(&format!(
                "Its entry in Headscale is left, and nobody comes in with it. When Headscale is back, run there: headscale nodes delete{id}"
            ))
        }
    }
}
