//! `strata unlock`: releases the init claim of a run that is over. Who holds it and since when is shown first; a run at work and a living cluster
//! keep it. What is decided from what stands in `strata_provider::claim::release`.

use std::{net::IpAddr, time::Duration};

use anyhow::Context as _;
use strata_provider::{
    claim::{
        self, Claim, State,
        process::Standing,
        release::{Api, Evidence, Verdict, release},
    },
    http::dial::Dialer,
    marker,
    store::Store,
};

use crate::{
    arguments::UnlockOptions,
    outcome::Outcome,
    platform::{Machine, Platform},
    preflight::{open_store, stored_estate},
    session::{Session, World},
};

/// How long a control plane may take to accept a connection.
const PROBE: Duration = Duration::from_secs(3);

pub(crate) async fn run(options: &UnlockOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    let console = session.console;
    let Some(world) = session.world(false).await? else {
        console.plain(&format!(
            "the lab of cluster {} does not run, and its claim ends with it",
            session.project.name
        ));
        return Ok(Outcome::Done);
    };
    let store = open_store(&session.project, &session.cluster)?;
    let found = claim::read(&*store).await.context("reading the claim")?;
    let standing = match &found {
        Some((claim, _)) => {
            show(&session, claim);
            claim.standing()
        }
        None => Standing::Unknown("there is no claim".into()),
    };
    let owner = owner(&session, &*store).await?;
    let servers = ours(&session, &world, &owner).await?;
    let evidence = Evidence {
        owner: &owner,
        standing: &standing,
        api: api(&session, &world, &servers).await?,
        machines: servers.len(),
        confirmed: options.run.as_deref(),
    };
    let verdict = release(found.as_ref().map(|(claim, _)| claim), evidence);
    match (verdict, found) {
        (Verdict::Release(why), Some((claim, nonce))) => {
            if !claim::drop_if(&*store, &nonce)
                .await
                .context("releasing the claim")?
            {
                console.plain("somebody else changed the claim meanwhile; it was left as it is");
                return Ok(Outcome::Refused);
            }
            if claim.state != State::Claimed {
                // Members of a cluster that is gone are members of nothing.
                for node in marker::names(&*store).await? {
                    marker::remove(&*store, &node).await?;
                }
            }
            session.say("unlock", format!("released: {why}"));
            console.add("next", &session.again("up"));
            Ok(Outcome::Done)
        }
        (Verdict::Ask(why), Some((claim, _))) => {
            console.plain(&format!(
                "whether its run is over cannot be known from here: {why}. Nothing was changed."
            ));
            console.plain(&format!(
                "if you know that it is over: {} --run {}",
                session.again("unlock"),
                claim.run
            ));
            Ok(Outcome::Refused)
        }
        (Verdict::Refuse(why), _) => {
            console.plain(&format!("refused: {why}. Nothing was changed."));
            Ok(Outcome::Refused)
        }
        _ => {
            console.plain("nobody holds the claim");
            Ok(Outcome::Done)
        }
    }
}

/// Who holds it.
fn show(session: &Session, claim: &Claim) {
    let state = match claim.state {
        State::Claimed => "initialises the cluster",
        State::Initialised => "initialised the cluster, which lives",
        State::Teardown => "initialised the cluster, which is being destroyed",
    };
    session.say("claim", format!("node {} {state}", claim.node));
    session
        .console
        .add("owner", &format!("estate {}", claim.owner));
    session
        .console
        .add("run", &format!("{} since {:.0}", claim.run, claim.at));
    if let Some(process) = &claim.process {
        session
            .console
            .add("process", &format!("{} on {}", process.pid, process.host));
    }
}

/// Whose this checkout is: the store says so, or the state.
pub(crate) async fn owner(session: &Session, store: &dyn Store) -> anyhow::Result<String> {
    stored_estate(store)
        .await
        .context("reading whose the store is")?
        .or_else(|| session.project.estate())
        .context("neither the store nor layer 00's state says which estate this is, so nothing is released")
}

/// Machines that carry the estate's mark.
pub(crate) async fn ours(
    session: &Session,
    world: &World,
    owner: &str,
) -> anyhow::Result<Vec<Machine>> {
    let mut machines = Platform::new(&session.project, &world.environment, &session.cluster)
        .await?
        .machines()
        .await
        .context("asking the platform for the estate's machines; nothing was released")?;
    machines.retain(|machine| machine.is_ours(owner) && !machine.is_leaving);
    Ok(machines)
}

/// Whether any of the estate's control planes accepts connections at the API's port. An answer that is neither yes nor silence is no evidence.
async fn api(session: &Session, world: &World, machines: &[Machine]) -> anyhow::Result<Api> {
    let spec = &session.cluster.spec;
    let addresses: Vec<IpAddr> = machines
        .iter()
        .filter(|machine| {
            machine.node.as_ref().is_some_and(|node| {
                spec.nodes
                    .get(node)
                    .is_none_or(|node| node.role == "control-plane")
            })
        })
        .filter_map(|machine| machine.address)
        .collect();
    for address in addresses {
        if answers(
            world.environment.dialer(),
            &address.to_string(),
            spec.endpoint.port,
        )
        .await?
        {
            return Ok(Api::Answers);
        }
    }
    Ok(Api::Silent)
}

async fn answers(dialer: &Dialer, address: &str, port: u16) -> anyhow::Result<bool> {
    match dialer.dial(address, port, PROBE).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_timeout() || error.is_refused() => Ok(false),
        Err(error) => Err(error).with_context(|| {
            format!("looking whether the API answers at {address}:{port}; nothing was released")
        }),
    }
}
