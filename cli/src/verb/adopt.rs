//! `strata adopt`: rebuilds lost state (FN4). The store says whose the cluster is, the estate's id is imported, and everything that carries its
//! marks is taken over. The provider is told to make nothing (`STRATA_ADOPT`): what is missing is an error here and work for `up`.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::{
    arguments::Common,
    finding::{Finding, counted},
    layers::{self, Stop},
    outcome::Outcome,
    platform::{Machine, Platform},
    preflight::{open_store, stored_estate},
    project::Layer,
    session::{Purpose, Session, World},
    terraform::Terraform,
    unseen::Unseen,
    verb::plan::{self, Survey},
};

pub(crate) async fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let Some(world) = session.world(false).await? else {
        session.console.plain(&format!(
            "the lab of cluster {} does not run: its world is gone, and nothing is left to adopt. A new one: {}",
            session.project.name,
            session.again("up")
        ));
        return Ok(Outcome::Refused);
    };
    let terraform = session.terraform(&world, Purpose::Adopt)?;
    let recorded = match session.project.backend(Layer::Auth) {
        Some(_) => estate_of(terraform.pull(Layer::Auth).await?.as_deref()),
        None => session.project.estate(),
    };
    let owner = match owner(&session, &world, recorded.as_deref()).await? {
        Ok(owner) => owner,
        Err(finding) => {
            session.console.plain(&finding.to_string());
            session.console.plain("Nothing was changed.");
            return Ok(Outcome::Refused);
        }
    };
    if recorded.is_none() {
        terraform
            .import(Layer::Auth, "terraform_data.estate", &owner)
            .await?;
        session.say(
            Layer::Auth.name(),
            format!("estate {owner} taken into the state"),
        );
    }
    for layer in Layer::ALL {
        if let Some(outcome) = adopt(&session, &terraform, layer).await? {
            return Ok(outcome);
        }
    }
    finish(&session, &world).await
}

/// Takes over one layer.
async fn adopt(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
) -> anyhow::Result<Option<Outcome>> {
    let plan = match layers::plan(session, terraform, layer).await? {
        Ok(plan) if plan.differs => plan,
        Ok(_) => {
            session.say(layer.name(), "its state is complete");
            return Ok(None);
        }
        Err(stop) => return Ok(Some(stopped(session, &stop))),
    };
    let removed = plan.changes.removals();
    if !removed.is_empty() {
        session.say(
            "stopped",
            format!(
                "{}: the plan would remove {}; adopting removes nothing. Look at it: {}",
                layer.name(),
                removed.join(" "),
                session.again("plan")
            ),
        );
        return Ok(Some(Outcome::Refused));
    }
    match layers::apply(session, terraform, &plan).await? {
        Ok(applied) => {
            let others = applied
                .warnings
                .iter()
                .filter(|warning| !warning.summary.starts_with("Adopted "));
            for warning in others {
                layers::explain(session.console, "warning", warning);
            }
            if !plan.changes.totals.any() {
                session.say(layer.name(), plan::NOTHING);
            }
            Ok(None)
        }
        Err(stop) => Ok(Some(stopped(session, &stop))),
    }
}

fn stopped(session: &Session, stop: &Stop) -> Outcome {
    layers::tell(session, stop);
    session.console.add(
        "kept",
        "what was taken over stays so; nothing was ordered, nothing was deleted",
    );
    session.console.add(
        "next",
        &format!("{} --yes   makes what is missing", session.again("up")),
    );
    if session.interrupted() {
        Outcome::Interrupted
    } else {
        Outcome::Stopped
    }
}

/// The proof: a plan as `up` would make it changes nothing.
async fn finish(session: &Session, world: &World) -> anyhow::Result<Outcome> {
    let terraform = session.terraform(world, Purpose::Build)?;
    let mut unseen = Unseen::default();
    match plan::survey(session, &terraform, Layer::Auth, &[], &mut unseen).await? {
        Survey::Unchanged if !unseen.is_empty() => {
            session.say("done", "the state is rebuilt, as far as could be seen");
            unseen.say(session.console);
            session.console.add("next", &session.again("plan"));
            Ok(Outcome::Unobserved)
        }
        Survey::Unchanged => {
            session.say("done", "the state is rebuilt; 4 layers, no changes");
            session.console.add(
                "next",
                &format!(
                    "{} | {} --to FILE",
                    session.again("status"),
                    session.again("kit")
                ),
            );
            Ok(Outcome::Done)
        }
        Survey::Differs(plan) => {
            session.say(
                "done",
                "the state is rebuilt; what differs from the cluster file is left to do",
            );
            plan::announce(session, &plan);
            session.console.add("next", &session.again("up"));
            Ok(Outcome::Unobserved)
        }
        Survey::Failed(stop) => Ok(stopped(session, &stop)),
    }
}

/// Whose the cluster is, by store, state and platform; or why nothing may be adopted.
async fn owner(
    session: &Session,
    world: &World,
    recorded: Option<&str>,
) -> anyhow::Result<Result<String, Finding>> {
    let store = open_store(&session.project, &session.cluster)?;
    let stored = stored_estate(&*store)
        .await
        .context("reading whose the cluster is from the store")?;
    let servers = Platform::new(&session.project, &world.environment, &session.cluster)
        .await?
        .machines()
        .await?;
    let decided = decide(
        stored.as_deref(),
        recorded,
        &by_owner(&servers),
        session.cluster.name(),
    );
    if let Ok(owner) = &decided {
        session.say(
            "adopt",
            format!(
                "estate {owner}, by the store; {} of its {} at the platform",
                counted(servers.len(), "server"),
                counted(session.cluster.spec.nodes.len(), "node")
            ),
        );
    }
    Ok(decided)
}

/// Names of servers by the owner in their marks.
fn by_owner(machines: &[Machine]) -> BTreeMap<String, Vec<String>> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for machine in machines.iter().filter(|machine| !machine.is_leaving) {
        let owner = machine.owner.as_deref().unwrap_or("nobody").to_owned();
        owners.entry(owner).or_default().push(machine.name.clone());
    }
    owners
}

fn decide(
    stored: Option<&str>,
    recorded: Option<&str>,
    servers: &BTreeMap<String, Vec<String>>,
    cluster: &str,
) -> Result<String, Finding> {
    let foreign = servers
        .iter()
        .find(|(owner, _)| Some(owner.as_str()) != stored);
    let restore = "bring its store here: ./bootstrap.sh kit restore FILE, or have your recipient added where the store is: strata store add-recipient";
    match (stored, recorded, foreign) {
        (stored, _, Some((theirs, names))) => Err(Finding::error(
            "OWN-01",
            format!(
                "{} marked as cluster {cluster} of owner {theirs} ({}): {}",
                counted(names.len(), "server"),
                stored.map_or_else(
                    || "the store here knows no owner".to_owned(),
                    |owner| format!("the store here belongs to {owner}")
                ),
                names.join(" ")
            ),
            format!("if that cluster is yours, {restore}; else choose another name"),
        )),
        (None, _, None) => Err(Finding::error(
            "OWN-04",
            format!(
                "neither the store here nor the platform knows an owner of cluster {cluster}: there is nothing to adopt"
            ),
            format!("if it exists, {restore}; else ./bootstrap.sh makes it"),
        )),
        (Some(stored), Some(recorded), None) if stored != recorded => Err(Finding::error(
            "OWN-02",
            format!("the store belongs to estate {stored} and layer 00's state to {recorded}"),
            "bring back the store that goes with the state, or move the state aside if it is the wrong one",
        )),
        (Some(stored), _, None) => Ok(stored.to_owned()),
    }
}

/// The estate's id in the text of a state.
fn estate_of(state: Option<&str>) -> Option<String> {
    crate::project::estate_in(&serde_json::from_str(state?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_that_the_store_knows_adopts() {
        let marks =
            |owner: &str| BTreeMap::from([(owner.to_owned(), vec!["home-cp-1".to_owned()])]);
        let none = BTreeMap::new();
        let code = |stored, recorded, servers: &BTreeMap<_, _>| {
            decide(stored, recorded, servers, "home").map_err(|finding| finding.code)
        };
        assert_eq!(code(Some("me"), None, &marks("me")), Ok("me".to_owned()));
        assert_eq!(
            code(Some("me"), Some("me"), &marks("me")),
            Ok("me".to_owned())
        );
        assert_eq!(code(Some("me"), None, &none), Ok("me".to_owned()));
        assert_eq!(
            code(Some("me"), None, &marks("them")),
            Err("OWN-01".to_owned())
        );
        assert_eq!(code(None, None, &marks("them")), Err("OWN-01".to_owned()));
        assert_eq!(
            code(None, Some("them"), &marks("them")),
            Err("OWN-01".to_owned())
        );
        assert_eq!(code(None, None, &none), Err("OWN-04".to_owned()));
        assert_eq!(
            code(Some("me"), Some("other"), &marks("me")),
            Err("OWN-02".to_owned())
        );
        let finding = decide(None, None, &marks("them"), "home").unwrap_err();
        assert!(finding.message.contains("owner them") && finding.message.contains("home-cp-1"));
    }
}
