//! One verb on several nodes at once, in a short pod on each, as every verb of a locked node.

use std::time::Duration;

use serde_json::Value;
use strata_framework::Limits;
use strata_provider::{access::through_door, verb::Verb};

use crate::{
    observe,
    session::{Session, World},
};

/// Beyond this a node counts as not observed.
const PATIENCE: Duration = Duration::from_mins(1);

/// What each node answered; `None` where it was not observed, and nothing of nodes without a door.
pub(super) async fn ask(
    session: &Session,
    world: &World,
    machines: &Value,
    nodes: impl Iterator<Item = &String>,
    verb: Verb,
) -> Vec<(String, Option<String>)> {
    if !session.has_doors() {
        return Vec::new();
    }
    let addresses = observe::addresses(machines);
    let client = observe::client(session, world.environment.dialer(), &addresses)
        .await
        .ok();
    let speed = world.environment.speed();
    let asked: Vec<_> = nodes
        .map(|name| {
            let (name, client, verb) = (name.clone(), client.clone(), verb.clone());
            tokio::spawn(async move {
                let answer = match &client {
                    Some(client) => {
                        let limits = Limits::within(PATIENCE);
                        through_door(&limits, client, speed, &name, &verb)
                            .await
                            .ok()
                    }
                    None => None,
                };
                (name, answer)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.extend(asked.await.ok());
    }
    answers
}
