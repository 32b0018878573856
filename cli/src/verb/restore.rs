//! `strata restore SNAPSHOT`: the next `up` initialises the cluster over that snapshot of etcd.
//!
//! A second cluster of the same name beside a living one would be the worst of all: so nothing is ordered while the API answers, while a majority of the
//! control planes stands at the platform, or while a run holds the init claim. A minority that stands is asked about and replaced by that `up`
//! ([`survivors`]). Nothing is destroyed here.

pub(crate) mod survivors;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use strata_provider::{
    claim::{self, State, process::Standing},
    kubernetes::node,
    marker,
    snapshot::{
        order::{self, Order},
        seal,
    },
};

use crate::{
    archive,
    arguments::SnapshotOptions,
    finding::counted,
    observe,
    outcome::Outcome,
    platform::Machine,
    preflight::open_store,
    question::agreed,
    session::{Purpose, Session, World},
    verb::{kubeconfig, unlock},
};

/// An API that takes longer to list its nodes serves nobody.
const PATIENCE: Duration = Duration::from_secs(15);

pub(crate) async fn run(options: &SnapshotOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    let console = session.console;
    let Some(world) = session.world(false).await? else {
        console.plain(&format!(
            "the lab of cluster {} does not run, and its snapshots ended with it",
            session.project.name
        ));
        return Ok(Outcome::Refused);
    };
    let snapshot = archive::find(&session, &world, &options.snapshot).await?;
    let sealed = std::fs::read(&snapshot)
        .with_context(|| format!("reading the snapshot {}", snapshot.display()))?;
    let pki = kubeconfig::pki(&session).await?;
    let plain = seal::open(&sealed, &pki)
        .with_context(|| format!("opening the snapshot {}", snapshot.display()))?;
    let store = open_store(&session.project, &session.cluster)?;
    let refused = |why: String| {
        console.plain(&format!("refused: {why}. Nothing was changed."));
        Ok(Outcome::Refused)
    };

    let owner = unlock::owner(&session, &*store).await?;
    let servers = unlock::ours(&session, &world, &owner).await?;
    let standing = control_planes(&session, &servers);
    let mut replace = BTreeMap::new();
    if !standing.is_empty() {
        let mut members = BTreeSet::new();
        for node in marker::names(&*store).await.context("reading members")? {
            let member = marker::read(&*store, &node).await;
            let member = member.with_context(|| format!("reading member {node}"))?;
            if member.is_none_or(|member| member.role == "control-plane") {
                members.insert(node);
            }
        }
        let answers = answers(&session, &world, &servers).await?;
        if let Err(why) = survivors::may_go(&standing, &members, answers) {
            return refused(why);
        }
        let terraform = session.terraform(&world, Purpose::Build)?;
        let machines = survivors::machines(&terraform).await?;
        for node in &standing {
            let Some(id) = machines.get(node) else {
                return refused(format!(
                    "the machine of {node} stands and layer 01 does not know it; {} first",
                    session.again("adopt")
                ));
            };
            replace.insert(node.clone(), id.clone());
        }
        console.plain(&format!(
            "{} of {} control planes left: {}. Without the others etcd has no majority, and what it holds cannot join what begins anew: the next up \
             gives {} back and {} as many anew under the same names",
            standing.len(),
            members.len(),
            standing.join(" "),
            counted(standing.len(), "machine"),
            if session.cluster.spec.platform.proxmox.is_some() { "makes" } else { "orders" }
        ));
        let command = session.again(&format!("restore {}", options.snapshot));
        if !agreed(
            &session,
            options.yes.as_deref(),
            "give up what they hold",
            &command,
        )? {
            return Ok(Outcome::Refused);
        }
    }
    let found = claim::read(&*store).await.context("reading the claim")?;
    if let Some((claim, _)) = &found {
        if claim.owner != owner {
            return refused(format!(
                "the store's claim belongs to estate {}, and this is {owner}",
                claim.owner
            ));
        }
        if claim.state == State::Claimed && claim.standing() == Standing::Alive {
            return refused(format!(
                "a run on this machine initialises the cluster on node {}",
                claim.node
            ));
        }
    }

    order::write(
        &*store,
        &Order {
            snapshot: snapshot.clone(),
            sha256: HEXLOWER.encode(&Sha256::digest(&sealed)),
            replace: replace.clone(),
        },
    )
    .await
    .context("writing the order")?;
    // Members whose machines are gone are members of nothing; workers that stand keep their marks and find the API again.
    let mut kept = Vec::new();
    for node in marker::names(&*store).await.context("reading members")? {
        if !replace.contains_key(&node)
            && servers
                .iter()
                .any(|server| server.node.as_ref() == Some(&node))
        {
            kept.push(node);
        } else {
            marker::remove(&*store, &node)
                .await
                .with_context(|| format!("forgetting member {node}"))?;
        }
    }
    if let Some((_, nonce)) = found
        && !claim::drop_if(&*store, &nonce)
            .await
            .context("releasing the claim")?
    {
        order::remove(&*store)
            .await
            .context("taking the order back")?;
        return refused("somebody else changed the claim meanwhile".into());
    }
    session.say(
        "restore",
        format!(
            "ordered: the next control plane begins with {} ({} bytes of etcd)",
            session.project.relative(&snapshot),
            plain.len()
        ),
    );
    for node in replace.keys() {
        console.add(
            "given up",
            &format!("the machine of {node}, by the next up"),
        );
    }
    if !kept.is_empty() {
        console.add("kept", &format!("{} find the API again", kept.join(" ")));
    }
    console.add("next", &session.again("up"));
    Ok(Outcome::Done)
}

/// Whether the API of the machines that stand knows its nodes. An API server without etcd accepts connections and knows nothing.
async fn answers(session: &Session, world: &World, servers: &[Machine]) -> anyhow::Result<bool> {
    let addresses = servers
        .iter()
        .filter_map(|server| Some((server.node.clone()?, server.address?.to_string())))
        .collect();
    let client = observe::client(session, world.environment.dialer(), &addresses)
        .await
        .context("looking whether the API answers")?;
    let listed = tokio::time::timeout(PATIENCE, node::list(&client)).await;
    Ok(matches!(listed, Ok(Ok(_))))
}

/// Nodes of control planes whose machines stand. A machine without a mark of a node we know may be one.
fn control_planes(session: &Session, servers: &[Machine]) -> Vec<String> {
    let nodes = &session.cluster.spec.nodes;
    let mut standing: Vec<String> = servers
        .iter()
        .filter_map(|server| server.node.as_deref())
        .filter(|node| {
            nodes
                .get(*node)
                .is_none_or(|node| node.role == "control-plane")
        })
        .map(str::to_owned)
        .collect();
    standing.sort();
    standing
}
