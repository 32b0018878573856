//! `strata node`: thin words over editing the cluster file. What a node is stays written in the file; the words save looking up where.

mod edit;
mod quorum;
mod reboot;
pub(crate) mod replace;
mod rescue;
pub(crate) mod window;

use crate::{
    arguments::{Common, NodeAction, NodeOptions},
    outcome::Outcome,
    session::Session,
    verb::status,
};

pub(crate) async fn run(options: &NodeOptions) -> anyhow::Result<Outcome> {
    match &options.action {
        NodeAction::List(common) => list(common).await,
        NodeAction::Add(options) => edit::add(options).await,
        NodeAction::Remove(options) => edit::remove(options).await,
        NodeAction::Replace(options) => replace::run(options).await,
        NodeAction::Reboot(options) => reboot::run(options).await,
        NodeAction::SshOpen(options) => window::run(options).await,
        NodeAction::Rescue(options) => Box::pin(rescue::run(options)).await,
    }
}

async fn list(common: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(common)? else {
        return Ok(Outcome::Preflight);
    };
    let Some(world) = session.world(false).await? else {
        session.console.plain(&format!(
            "the lab of cluster {} does not run; no node is there. Start it: {}",
            session.project.name,
            session.again("up")
        ));
        return Ok(Outcome::Done);
    };
    let observation = status::nodes(&session, &world).await?;
    Ok(observation.outcome())
}
