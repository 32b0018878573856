//! `strata capture`: the keys of a sealed-secrets controller that made its own, into the store. Changes nothing in the cluster.

use anyhow::Context as _;
use strata_provider::{
    sealed::{
        self,
        capture::{self, Captured},
    },
    store::Name,
};

use crate::{
    arguments::Common,
    observe,
    outcome::Outcome,
    preflight::open_store,
    project::Layer,
    session::{Purpose, Session},
};

/// The entry that layer 00 manages.
const ENTRY: &str = "sealed-secrets";

pub(crate) async fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
    let Some(world) = session.world(false).await? else {
        anyhow::bail!(
            "the lab of cluster {} does not run. Start it: {}",
            session.project.name,
            session.again("up")
        )
    };
    let outputs = session
        .terraform(&world, Purpose::Build)?
        .outputs(Layer::Infrastructure)
        .await?;
    let addresses = observe::addresses(&outputs["machines"]);
    let client = observe::client(&session, world.environment.dialer(), &addresses).await?;
    let keys = capture::read(&client, sealed::NAMESPACE).await?;
    let store = open_store(&session.project, &session.cluster)?;
    let name = Name::parse(ENTRY).expect("a constant that parses");
    let captured = capture::adopt(&*store, &name, keys)
        .await
        .context("keeping the controller's keys")?;
    session.console.plain(&sentence(captured));
    if matches!(captured, Captured::Taken(_) | Captured::Added(1..)) {
        session
            .console
            .plain(&format!("next: {}", session.again("up")));
    }
    Ok(Outcome::Done)
}

fn sentence(captured: Captured) -> String {
    let keys = |count: usize| if count == 1 { "key" } else { "keys" };
    match captured {
        Captured::Nothing => format!(
            "the sealed-secrets controller has no key in {}; the store is unchanged",
            sealed::NAMESPACE
        ),
        Captured::Taken(count) => format!(
            "{count} {} of the sealed-secrets controller in store entry {ENTRY}, which did not exist; the newest seals",
            keys(count)
        ),
        Captured::Added(0) => {
            format!("store entry {ENTRY} has all keys of the sealed-secrets controller already")
        }
        Captured::Added(count) => format!(
            "{count} {} of the sealed-secrets controller added to store entry {ENTRY}; its own key goes on sealing",
            keys(count)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_is_told_apart() {
        let all = [
            Captured::Nothing,
            Captured::Taken(1),
            Captured::Added(0),
            Captured::Added(2),
        ];
        let texts = all.map(sentence);
        assert!(texts[0].contains("no key in kube-system"));
        assert!(texts[1].starts_with("1 key of"));
        assert!(texts[2].contains("already"));
        assert!(texts[3].starts_with("2 keys of"));
    }
}
