//! etcd is made on one control plane, once in the life of a cluster. Two that made one would be two clusters.
//!
//! The claim in the store says on which; before the call every control plane must have answered that it knows of no members. The node keeps its acceptance in
//! memory until etcd has data, so the call counts only when a member is seen, and is repeated after a reboot in between.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::future::join_all;
use strata_framework::{Diagnostics, Limits, Probe, WaitError, chain, wait};
use tonic::Code;

use crate::claim::{self, Claim, State};
use crate::provider::{Strata, store_failed};
use crate::services::talos::look::control_planes;
use crate::services::talos::quorum;
use crate::services::talos::ways::Ways;
use crate::snapshot::order;
use crate::talos::Client;

/// From the acceptance to a member that answers.
const START: Duration = Duration::from_mins(10);

/// A cluster whose etcd may have to be made.
pub(super) struct Bootstrap<'a> {
    pub(super) provider: &'a Strata,
    pub(super) ways: &'a Ways<'a>,
    pub(super) limits: Limits,
    pub(super) control_planes: &'a BTreeMap<String, String>,
    pub(super) cluster: &'a str,
    /// Name of the cluster's secrets in the store.
    pub(super) secrets: &'a str,
}

/// What a control plane said.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Nothing: it may have all of etcd's data.
    Silent(String),
    /// It answers, and etcd does not run on it.
    Empty,
    /// It knows of members.
    Members,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// etcd is there.
    Alive,
    /// Make it, on this node.
    Make(String),
    /// Not yet; the text says what for.
    Wait(String),
    /// Never; the sentence says why and what to do.
    Refuse(String),
}

/// Decides from what is claimed and what was said. `is_held`: another run is seen to be at work with the claim.
fn decide(
    claim: Option<&Claim>,
    owner: &str,
    is_held: bool,
    words: &BTreeMap<String, Word>,
    first: &str,
) -> Step {
    if let Some(claim) = claim.filter(|claim| claim.owner != owner) {
        return Step::Refuse(format!(
            "The store says that estate {} initialised a cluster here from node {}, and this estate is {owner}. Nothing was changed. \
             Use another store path or cluster name, or bring the state of that estate back: ./bootstrap.sh adopt, or kit restore",
            claim.owner, claim.node
        ));
    }
    if words.values().any(|word| *word == Word::Members) {
        return Step::Alive;
    }
    if let Some(claim) = claim.filter(|claim| claim.state != State::Claimed) {
        return Step::Wait(format!(
            "the cluster was initialised from node {}, and no control plane knows of a member of etcd now: it is starting, or its data are lost (./bootstrap.sh restore)",
            claim.node
        ));
    }
    if let Some(claim) = claim.filter(|_| is_held) {
        return Step::Wait(format!(
            "another run on this machine makes etcd on node {} since {:.0}",
            claim.node, claim.at
        ));
    }
    let silent: Vec<String> = words
        .iter()
        .filter_map(|(name, word)| match word {
            Word::Silent(reason) => Some(format!(
                "{name} does not say whether it has members ({reason})"
            )),
            _ => None,
        })
        .collect();
    if !silent.is_empty() {
        return Step::Wait(silent.join("; "));
    }
    match claim {
        // A broken-off run: the same node again.
        Some(claim) if words.contains_key(&claim.node) => Step::Make(claim.node.clone()),
        _ => Step::Make(first.to_owned()),
    }
}

/// The control plane with the lowest address, as Talos' own tools choose it.
fn lowest(control_planes: &BTreeMap<String, String>) -> Option<&str> {
    let address = |text: &String| text.parse::<IpAddr>().ok();
    let nodes = control_planes
        .iter()
        .min_by_key(|(name, text)| (address(text), (*name).clone()));
    nodes.map(|(name, _)| name.as_str())
}

impl Bootstrap<'_> {
    fn failed(&self, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("bootstrap", "cluster", self.cluster, error)
    }

    fn refused(&self, sentence: &str) -> Diagnostics {
        Diagnostics::error(
            format!("Cannot bootstrap cluster \"{}\"", self.cluster),
            format!("{sentence}."),
        )
    }

    /// Makes etcd if nobody has. `Ok(Err(_))`: time is up or the run was stopped, and what was seen last.
    pub(super) async fn run(&self) -> Result<Result<(), String>, Diagnostics> {
        let store = self.ways.access.store();
        let read = |error| store_failed("read", claim::ENTRY, &error);
        loop {
            let policy = self.ways.access.policy(
                format!(
                    "the control planes of {} to say what they know of etcd",
                    self.cluster
                ),
                Duration::from_secs(2),
                Duration::from_secs(5),
            );
            let step = wait(&self.limits, &policy, async || match self.look().await {
                Ok(Step::Wait(reason)) => Probe::NotYet(reason),
                Ok(step) => Probe::Done(step),
                Err(found) => Probe::Failed(found),
            });
            let step = match step.await {
                Ok(step) => step,
                Err(WaitError::Failed(found)) => return Err(found),
                Err(WaitError::TimedOut(waited) | WaitError::Stopped(waited)) => {
                    return Ok(Err(waited.to_string()));
                }
            };
            match step {
                Step::Alive => {
                    self.prove().await?;
                    // A cluster of ours whose claim was lost is not made a second time.
                    if claim::read(store).await.map_err(read)?.is_none() {
                        self.claim(lowest(self.control_planes).unwrap_or_default())
                            .await?;
                    }
                    let written = claim::set(store, State::Initialised).await;
                    written.map_err(|error| store_failed("write", claim::ENTRY, &error))?;
                    // Carried out, or overtaken by a cluster that lives.
                    let removed = order::remove(store).await;
                    removed.map_err(|error| store_failed("delete", order::ENTRY, &error))?;
                    return Ok(Ok(()));
                }
                Step::Refuse(sentence) => return Err(self.refused(&sentence)),
                Step::Wait(reason) => return Ok(Err(reason)),
                Step::Make(node) => {
                    if self.provider.only_adopts() {
                        return Err(self.refused("No control plane knows of a member of etcd, so there is nothing to adopt").left("Nothing was made."));
                    }
                    if let Some(waited) = self.make(&node).await? {
                        return Ok(Err(waited));
                    }
                }
            }
        }
    }

    async fn look(&self) -> Result<Step, Diagnostics> {
        let store = self.ways.access.store();
        let claim = claim::read(store)
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?
            .map(|(claim, _)| claim);
        let words = join_all(
            self.control_planes
                .iter()
                .map(|(name, address)| async move { (name.clone(), self.ask(address).await) }),
        );
        let words: BTreeMap<String, Word> = words.await.into_iter().collect();
        let Some(first) = lowest(self.control_planes) else {
            return Ok(Step::Refuse(
                "No control plane is named in `control_planes`".into(),
            ));
        };
        let run = &self.ways.access.shared().run;
        let is_held = claim.as_ref().is_some_and(|claim| claim.is_at_work(run));
        Ok(decide(
            claim.as_ref(),
            self.provider.owner()?,
            is_held,
            &words,
            first,
        ))
    }

    async fn ask(&self, address: &str) -> Word {
        let client = match self.ways.node(address).await {
            Ok(client) => client,
            Err(error) => return Word::Silent(chain(&error)),
        };
        match client.members(false).await {
            Ok(members) if !members.is_empty() => Word::Members,
            Ok(_) => Word::Empty,
            Err(error) => match client.services().await {
                Ok(services) => {
                    let etcd = services.iter().find(|service| service.id == "etcd");
                    match etcd.map(|service| service.state.as_str()) {
                        // What runs and does not answer has data.
                        Some("Running" | "Stopping") => Word::Silent(chain(&error)),
                        _ => Word::Empty,
                    }
                }
                Err(error) => Word::Silent(chain(&error)),
            },
        }
    }

    /// Data of another cluster on a disk that was not wiped must not be taken for ours.
    async fn prove(&self) -> Result<(), Diagnostics> {
        let seen = control_planes(self.ways, self.control_planes).await;
        if let Some(sentence) = quorum::foreign(&seen) {
            return Err(self
                .refused(&sentence)
                .left("Nothing was changed.")
                .hint("Wipe what the wrong machine brought along (talosctl reset --system-labels-to-wipe EPHEMERAL --reboot --graceful=false), once it is sure that nobody needs it, and run apply again."));
        }
        for (name, address) in self.control_planes {
            let Ok(client) = self.ways.node(address).await else {
                continue;
            };
            // Of its configuration, and not every version says so.
            if let Ok(Some(id)) = client.cluster_id().await
                && *id.expose() != self.ways.secrets.cluster.id
            {
                return Err(self
                    .refused(&format!("Machine {name} has etcd data of another cluster"))
                    .left("Nothing was changed."));
            }
        }
        Ok(())
    }

    /// Whether this call wrote the claim.
    async fn claim(&self, node: &str) -> Result<bool, Diagnostics> {
        let claim = Claim::new(self.provider.owner()?, node, &self.ways.access.shared().run);
        claim::take(self.ways.access.store(), &claim)
            .await
            .map_err(|error| store_failed("write", claim::ENTRY, &error))
    }

    /// What `strata restore` ordered etcd to begin with, opened.
    async fn snapshot(&self) -> Result<Option<Vec<u8>>, Diagnostics> {
        let read = order::read(self.ways.access.store()).await;
        let Some(order) = read.map_err(|error| store_failed("read", order::ENTRY, &error))? else {
            return Ok(None);
        };
        let pki = self.ways.access.pki(self.secrets).await?;
        let opened = order.open(&pki).await.map_err(|reason| {
            self.refused(reason.trim_end_matches('.'))
                .left("Nothing was made.")
                .hint("Name the snapshot again: ./bootstrap.sh restore FILE")
        })?;
        tracing::info!("etcd begins with {}", order.snapshot.display());
        Ok(Some(opened))
    }

    /// Takes the claim and makes etcd; what was seen last when that does not come to an end.
    async fn make(&self, node: &str) -> Result<Option<String>, Diagnostics> {
        let store = self.ways.access.store();
        let read = |error| store_failed("read", claim::ENTRY, &error);
        if !self.claim(node).await?
            && let Some((held, nonce)) = claim::read(store).await.map_err(read)?
            && held.node != node
        {
            // Its node is gone from the cluster; whoever removes the claim first goes on.
            claim::drop_if(store, &nonce)
                .await
                .map_err(|error| store_failed("delete", claim::ENTRY, &error))?;
            return Ok(None);
        }
        let address = &self.control_planes[node];
        let snapshot = &self.snapshot().await?;
        tracing::info!("making etcd on {node}");
        let accepted = self.ways.until(
            &self.limits,
            format!("node {node} to accept the bootstrap of etcd"),
            START,
            address,
            |client: Client| async move {
                let boot = client.boot_id().await?;
                // Handed over before every try: the node forgets it with a reboot.
                if let Some(snapshot) = snapshot {
                    client.recover(snapshot).await?;
                }
                match client.bootstrap(snapshot.is_some()).await {
                    Ok(()) => Ok(Probe::Done(boot)),
                    Err(error) => match error.code() {
                        // It has data: an earlier call got through. Whose they are is looked at before anything is called ours.
                        Some(Code::AlreadyExists) => Ok(Probe::Done(boot)),
                        Some(Code::FailedPrecondition) => Ok(Probe::NotYet(chain(&error))),
                        _ => Err(error),
                    },
                }
            },
        );
        let boot = match accepted.await {
            Ok(boot) => boot,
            Err(WaitError::Failed(error)) => return Err(self.failed(&error)),
            Err(WaitError::TimedOut(waited) | WaitError::Stopped(waited)) => {
                return Ok(Some(waited.to_string()));
            }
        };
        let boot = &boot;
        let started = self.ways.until(
            &self.limits,
            format!("etcd to start on {node}"),
            START,
            address,
            |client: Client| async move {
                if client.boot_id().await? != *boot {
                    // What it had accepted is forgotten; the next look tells whether there are data.
                    return Ok(Probe::Done(()));
                }
                Ok(match client.members(false).await {
                    Ok(members) if !members.is_empty() => Probe::Done(()),
                    Ok(_) => Probe::NotYet("it has no member yet".into()),
                    Err(error) => Probe::NotYet(chain(&error)),
                })
            },
        );
        match started.await {
            Ok(()) => Ok(None),
            Err(WaitError::Failed(error)) => Err(self.failed(&error)),
            Err(WaitError::TimedOut(waited) | WaitError::Stopped(waited)) => {
                Ok(Some(waited.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[(&str, Word)]) -> BTreeMap<String, Word> {
        list.iter()
            .map(|(name, word)| ((*name).to_owned(), word.clone()))
            .collect()
    }

    fn claim(owner: &str, node: &str, state: State) -> Claim {
        Claim {
            state,
            ..Claim::new(owner, node, "run")
        }
    }

    fn step(claim: Option<&Claim>, words: &BTreeMap<String, Word>) -> Step {
        decide(claim, "estate", false, words, "cp-1")
    }

    #[test]
    fn etcd_is_made_only_when_every_control_plane_says_that_it_has_none() {
        let empty = words(&[
            ("cp-1", Word::Empty),
            ("cp-2", Word::Empty),
            ("cp-3", Word::Empty),
        ]);
        assert_eq!(step(None, &empty), Step::Make("cp-1".into()));
        let silent = words(&[
            ("cp-1", Word::Empty),
            ("cp-2", Word::Silent("refused".into())),
            ("cp-3", Word::Empty),
        ]);
        assert!(matches!(step(None, &silent), Step::Wait(reason) if reason.contains("cp-2")));
        let alive = words(&[
            ("cp-1", Word::Empty),
            ("cp-2", Word::Members),
            ("cp-3", Word::Silent("x".into())),
        ]);
        assert_eq!(step(None, &alive), Step::Alive);
    }

    #[test]
    fn the_claim_keeps_the_node_and_an_initialised_cluster_is_never_made_again() {
        let empty = words(&[("cp-1", Word::Empty), ("cp-2", Word::Empty)]);
        let mine = claim("estate", "cp-2", State::Claimed);
        assert_eq!(step(Some(&mine), &empty), Step::Make("cp-2".into()));
        assert!(matches!(
            decide(Some(&mine), "estate", true, &empty, "cp-1"),
            Step::Wait(_)
        ));
        let gone = claim("estate", "cp-9", State::Claimed);
        assert_eq!(step(Some(&gone), &empty), Step::Make("cp-1".into()));
        let lived = claim("estate", "cp-1", State::Initialised);
        assert!(
            matches!(step(Some(&lived), &empty), Step::Wait(reason) if reason.contains("restore"))
        );
        let foreign = claim("other", "cp-1", State::Initialised);
        let alive = words(&[("cp-1", Word::Members)]);
        assert!(
            matches!(step(Some(&foreign), &alive), Step::Refuse(reason) if reason.contains("estate other"))
        );
    }

    #[test]
    fn the_lowest_address_is_one_of_numbers() {
        let nodes = BTreeMap::from([
            ("a".to_owned(), "192.0.2.100".to_owned()),
            ("b".to_owned(), "192.0.2.20".to_owned()),
        ]);
        assert_eq!(lowest(&nodes), Some("b"));
        assert_eq!(lowest(&BTreeMap::new()), None);
    }
}
