//! Who initialises the cluster: an exclusive claim in the store, put-if-absent, with the owner's id (FN6, FN7).
//!
//! Entry `claim/init`, JSON `{owner, node, run, at, state, process}`. The deciding is pure ([`decide`], [`release`]); the few lines that touch the
//! store are here, too.

pub mod process;
pub mod release;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::process::{Process, Standing};
use crate::secret::Secret;
use crate::store::{self, Condition, Deleted, Entry, Name, Put, Store};

/// Name of the entry.
pub const ENTRY: &str = "claim/init";

/// What the entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Id of the estate.
    pub owner: String,
    /// Node that initialises, or did.
    pub node: String,
    /// Run that wrote it, to tell a broken-off run from one that is at work.
    pub run: String,
    /// When.
    pub at: Timestamp,
    /// How far it is.
    pub state: State,
    /// The process of that run, where the machine can tell; claims of older releases have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
}

/// The life of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Somebody is initialising, or broke off.
    Claimed,
    /// The cluster lives.
    Initialised,
    /// The cluster is being destroyed: nodes leave without drain and quorum.
    Teardown,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Id of the estate.
    pub owner: &'a str,
    /// The node that is being created.
    pub node: &'a str,
    /// Whether it may initialise.
    pub control_plane: bool,
    /// Names of all control planes.
    pub control_planes: &'a [String],
    /// Whether the claim's run is another one and is seen to be at work ([`Claim::is_at_work`]).
    pub is_held: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Try to take the claim.
    Claim,
    /// This node initialises. `reset`: an earlier try may have left files.
    Init {
        /// Whether to clean up first.
        reset: bool,
    },
    /// The claim is held by a node that no longer exists: remove it, then claim.
    TakeOver,
    /// The cluster lives, or comes alive: wait for its API and join.
    Join,
    /// Join only if the API answers now: a tear-down was broken off.
    JoinIfAlive,
    /// Not yet; the text says what for.
    Wait(String),
    /// Never; the sentence says why and what to do.
    Refuse(String),
}

/// Decides from the claim as it is. `won` says that this very operation wrote it.
pub fn decide(claim: Option<&Claim>, asker: Asker<'_>, won: bool, pki_present: bool) -> Turn {
    let Some(claim) = claim else {
        return if asker.control_plane {
            Turn::Claim
        } else {
            Turn::Wait("no control plane has begun to initialise the cluster".into())
        };
    };
    if claim.owner != asker.owner {
        return Turn::Refuse(format!(
            "The store says that estate {} initialised a cluster here from node {}, and this estate is {}. Nothing was changed. \
             Use another store path or cluster name, or bring the state of that estate back: ./bootstrap.sh adopt, or kit restore",
            claim.owner, claim.node, asker.owner
        ));
    }
    match claim.state {
        State::Initialised | State::Teardown if !pki_present => Turn::Refuse(
            "This cluster lives and its secrets are not in this store. Restore the store that it was built with; \
             a new PKI would lock everybody out."
                .into(),
        ),
        State::Initialised => Turn::Join,
        State::Teardown => Turn::JoinIfAlive,
        State::Claimed if asker.is_held => Turn::Wait(format!("another run on this machine initialises the cluster on node {} since {:.0}", claim.node, claim.at)),
        State::Claimed if claim.node == asker.node && asker.control_plane => Turn::Init { reset: !won },
        State::Claimed if !asker.control_planes.contains(&claim.node) && asker.control_plane => Turn::TakeOver,
        State::Claimed => Turn::Wait(format!("node {} is initialising the cluster since {:.0}", claim.node, claim.at)),
    }
}

impl Claim {
    /// The claim of this operation.
    pub fn new(owner: &str, node: &str, run: &str) -> Self {
        Self {
            owner: owner.into(),
            node: node.into(),
            run: run.into(),
            at: Timestamp::now(),
            state: State::Claimed,
            process: Process::here(),
        }
    }

    /// What is known about the process that wrote it.
    pub fn standing(&self) -> Standing {
        process::standing(
            self.process.as_ref(),
            Process::here().as_ref(),
            process::look,
        )
    }

    /// Whether another run than `run` wrote it and is seen to be at work. A run of this very process is over when another one asks.
    pub fn is_at_work(&self, run: &str) -> bool {
        self.run != run && self.process != Process::here() && self.standing() == Standing::Alive
    }

    fn text(&self) -> Secret<String> {
        Secret::new(serde_json::to_string(self).expect("plain fields"))
    }

    fn of(entry: &Entry) -> Result<Self, store::Error> {
        serde_json::from_str(entry.value.expose()).map_err(|_| store::Error::Malformed {
            name: ENTRY.into(),
            expected: "a claim (JSON with owner, node, state)",
        })
    }
}

fn name() -> Name {
    Name::parse(ENTRY).expect("a constant that parses")
}

/// The claim as it is, with the nonce of its put.
pub async fn read(store: &dyn Store) -> Result<Option<(Claim, String)>, store::Error> {
    let Some(entry) = store.get(&name()).await? else {
        return Ok(None);
    };
    Ok(Some((Claim::of(&entry)?, entry.nonce)))
}

/// Tries to take the claim; true when this call wrote it.
pub async fn take(store: &dyn Store, claim: &Claim) -> Result<bool, store::Error> {
    Ok(matches!(
        store.put_if_absent(&name(), &claim.text()).await?,
        Put::Written(_)
    ))
}

/// Changes the state of the claim, if there is one.
pub async fn set(store: &dyn Store, state: State) -> Result<(), store::Error> {
    let Some((claim, _)) = read(store).await? else {
        return Ok(());
    };
    if claim.state == state {
        return Ok(());
    }
    store
        .put(&name(), &Claim { state, ..claim }.text())
        .await
        .map(drop)
}

/// Removes the claim of exactly that put; false when it changed meanwhile.
pub async fn drop_if(store: &dyn Store, nonce: &str) -> Result<bool, store::Error> {
    Ok(store.delete(&name(), Condition::Nonce(nonce)).await? != Deleted::Changed)
}

/// Whether the cluster is being torn down.
pub async fn is_teardown(store: &dyn Store) -> Result<bool, store::Error> {
    Ok(read(store)
        .await?
        .is_some_and(|(claim, _)| claim.state == State::Teardown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(owner: &str, node: &str, state: State) -> Claim {
        Claim {
            state,
            ..Claim::new(owner, node, "run")
        }
    }

    fn turn(claim: Option<&Claim>, node: &str, control_plane: bool, won: bool, pki: bool) -> Turn {
        let control_planes = ["cp-1".to_owned(), "cp-2".to_owned()];
        let asker = Asker {
            owner: "estate",
            node,
            control_plane,
            control_planes: &control_planes,
            is_held: false,
        };
        decide(claim, asker, won, pki)
    }

    #[test]
    fn the_table_of_the_claim() {
        use State::{Claimed, Initialised, Teardown};
        let mine = claim("estate", "cp-1", Claimed);
        let gone = claim("estate", "cp-9", Claimed);
        let alive = claim("estate", "cp-1", Initialised);
        let dying = claim("estate", "cp-1", Teardown);
        // Nobody yet.
        assert_eq!(turn(None, "cp-1", true, false, true), Turn::Claim);
        assert!(matches!(
            turn(None, "w-1", false, false, true),
            Turn::Wait(_)
        ));
        // Just won; came back after a broken-off init.
        assert_eq!(
            turn(Some(&mine), "cp-1", true, true, true),
            Turn::Init { reset: false }
        );
        assert_eq!(
            turn(Some(&mine), "cp-1", true, false, true),
            Turn::Init { reset: true }
        );
        // Somebody else is at work; that somebody left the cluster file.
        assert!(matches!(
            turn(Some(&mine), "cp-2", true, false, true),
            Turn::Wait(_)
        ));
        assert_eq!(turn(Some(&gone), "cp-1", true, false, true), Turn::TakeOver);
        assert!(matches!(
            turn(Some(&gone), "w-1", false, false, true),
            Turn::Wait(_)
        ));
        // The cluster lives: join, the initialising node too.
        assert_eq!(turn(Some(&alive), "cp-2", true, false, true), Turn::Join);
        assert_eq!(turn(Some(&alive), "cp-1", true, false, true), Turn::Join);
        assert_eq!(turn(Some(&alive), "w-1", false, false, true), Turn::Join);
        assert_eq!(
            turn(Some(&dying), "w-1", false, false, true),
            Turn::JoinIfAlive
        );
    }

    #[test]
    fn a_living_cluster_without_its_secrets_and_another_owner_are_refused() {
        let alive = claim("estate", "cp-1", State::Initialised);
        let Turn::Refuse(sentence) = turn(Some(&alive), "cp-2", true, false, false) else {
            panic!("not refused")
        };
        assert!(sentence.contains("This cluster lives and its secrets are not in this store"));
        let foreign = claim("other", "cp-1", State::Claimed);
        let Turn::Refuse(sentence) = turn(Some(&foreign), "cp-1", true, false, true) else {
            panic!("not refused")
        };
        assert!(sentence.contains("estate other") && sentence.contains("cp-1"));
    }

    #[test]
    fn a_run_at_work_keeps_its_claim_and_one_of_this_process_does_not_count() {
        let mine = claim("estate", "cp-1", State::Claimed);
        let control_planes = ["cp-1".to_owned()];
        let asker = Asker {
            owner: "estate",
            node: "cp-1",
            control_plane: true,
            control_planes: &control_planes,
            is_held: true,
        };
        assert!(matches!(
            decide(Some(&mine), asker, false, true),
            Turn::Wait(_)
        ));
        let alive = claim("estate", "cp-1", State::Initialised);
        assert_eq!(decide(Some(&alive), asker, false, true), Turn::Join);
        assert!(!mine.is_at_work("another run"));
        let old: Claim = serde_json::from_str(
            r#"{"owner":"estate","node":"cp-1","run":"r","at":"2026-11-21T00:00:00Z","state":"claimed"}"#,
        )
        .unwrap();
        assert!(!old.is_at_work("another run"));
    }

    #[test]
    fn the_entry_is_readable_by_people() {
        let text = claim("estate", "cp-1", State::Initialised).text();
        assert!(
            text.expose().contains("\"state\":\"initialised\""),
            "{}",
            text.expose()
        );
    }
}
