//! `node reboot`: one node emptied, rebooted and given back. A locked node has no other reboot than this and kured's.

use std::time::Duration;

use strata_provider::reboot::reboot;

use super::edit::{no_lab, refuse};
use crate::{
    arguments::NodeRebootOptions,
    observe,
    outcome::Outcome,
    project::Layer,
    session::{Purpose, Session},
};

/// Emptying it, its firmware, its pods.
const LIMIT: Duration = Duration::from_mins(45);

pub(super) async fn run(options: &NodeRebootOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    if let Some(reason) = session.no_doors("use `talosctl reboot`") {
        return Ok(refuse(&session, &reason));
    }
    let name = options.name.as_str();
    let Some(world) = session.world(false).await? else {
        return Ok(no_lab(&session));
    };
    let nodes = &session.cluster.spec.nodes;
    if !nodes.contains_key(name) {
        let known: Vec<_> = nodes.keys().map(String::as_str).collect();
        return Ok(refuse(
            &session,
            &format!("there is no node {name}; there are {}", known.join(" ")),
        ));
    }
    let outputs = session
        .terraform(&world, Purpose::Build)?
        .outputs(Layer::Infrastructure)
        .await?;
    let addresses = observe::addresses(&outputs["machines"]);
    let client = observe::client(&session, world.environment.dialer(), &addresses).await?;
    session.say(
        "reboot",
        format!("{name}: its pods leave first, for 5 min at most; then it may take as long as its firmware does"),
    );
    let limits = session.limits(LIMIT);
    match reboot(&limits, &client, world.environment.speed(), name).await {
        Ok(takes_pods) => {
            let pods = if takes_pods {
                "takes pods again"
            } else {
                "was cordoned before, and stays so"
            };
            session.say("done", format!("{name} has rebooted, is Ready and {pods}"));
            Ok(Outcome::Done)
        }
        Err(found) => {
            session.console.plain(&found.to_string());
            Ok(if session.interrupted() {
                Outcome::Interrupted
            } else {
                Outcome::Stopped
            })
        }
    }
}
