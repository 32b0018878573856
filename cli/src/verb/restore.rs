//! `strata restore SNAPSHOT`: the next `up` initialises the cluster over that snapshot of etcd.
//!
//! A second cluster of the same name beside a living one would be the worst of all: so nothing is ordered while a control plane of this estate stands at
//! the platform, whatever it answers, or while a run holds the init claim. Nothing is destroyed here.

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use strata_provider::{
    claim::{self, State, process::Standing},
    marker,
    snapshot::{
        order::{self, Order},
        seal,
    },
};

use crate::{
    arguments::SnapshotOptions,
    finding::counted,
    outcome::Outcome,
    platform::Machine,
    preflight::open_store,
    session::Session,
    verb::{kubeconfig, unlock},
};

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
    let snapshot = std::path::absolute(&options.snapshot).context("finding the snapshot")?;
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
    if !standing.is_empty() {
        return refused(format!(
            "{} of this estate still there: {}. While one stands, a cluster may live on it. If the API answers, there is nothing to restore \
             ({} shows it). If etcd has lost its majority, delete these machines at the platform first: what they hold is older or newer than the \
             snapshot, and cannot join it",
            counted(standing.len(), "control plane"),
            standing.join(" "),
            session.again("status")
        ));
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
        },
    )
    .await
    .context("writing the order")?;
    // Members whose machines are gone are members of nothing; workers that stand keep their marks and find the API again.
    let mut kept = Vec::new();
    for node in marker::names(&*store).await.context("reading members")? {
        if servers
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
    if !kept.is_empty() {
        console.add("kept", &format!("{} find the API again", kept.join(" ")));
    }
    console.add("next", &session.again("up"));
    Ok(Outcome::Done)
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
