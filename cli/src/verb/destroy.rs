//! `strata destroy`: layers 03, 02 and 01. Layer 00 (PKI, keys, the estate's id) stays unless `--all`.

mod inventory;

use strata_provider::store::{Condition, Name};

use self::inventory::Inventory;
use crate::{
    arguments::DestroyOptions,
    finding::{Finding, counted},
    lab, layers,
    outcome::Outcome,
    platform::Platform,
    preflight::{open_store, stored_estate},
    project::Layer,
    question::{agreed, ask},
    session::{Purpose, Session, World},
    terraform::Terraform,
};

pub(crate) async fn run(options: &DestroyOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let Some(world) = session.world(false).await? else {
        session.console.plain(&format!(
            "the lab of cluster {} does not run: everything in it went with it, nothing to destroy",
            session.project.name
        ));
        return Ok(Outcome::Done);
    };
    let purpose = if options.all {
        Purpose::DestroyAll
    } else {
        Purpose::Destroy
    };
    let terraform = session.terraform(&world, purpose)?;
    let inventory = Inventory::take(&session, &world, &terraform).await?;
    session
        .console
        .plain(&inventory.text(session.cluster.name(), options.all));
    if !confirmed(&session, options)? {
        return Ok(Outcome::Refused);
    }
    let owner = owner(&session).await?;
    if !session.project.has_state(Layer::Infrastructure)
        && let Ok(ours) = ours(&session, &world, owner.as_deref()).await
        && !ours.is_empty()
    {
        session.console.plain(&lost(&ours).to_string());
        session.console.plain("Nothing was changed.");
        return Ok(Outcome::Preflight);
    }
    for layer in [Layer::Configuration, Layer::Services, Layer::Infrastructure] {
        if !session.project.has_state(layer) {
            continue;
        }
        if let Some(outcome) = take_down(&session, &terraform, layer).await? {
            return Ok(outcome);
        }
    }
    match ours(&session, &world, owner.as_deref()).await {
        Ok(ours) if ours.is_empty() => {}
        Ok(ours) => {
            session.say(
                "stopped",
                format!("still there with our mark: {}", ours.join(" ")),
            );
            session.console.add("next", &session.again("destroy"));
            return Ok(Outcome::Stopped);
        }
        // What a server needs stays in the store as long as there may be one.
        Err(error) => {
            session.say(
                "done",
                format!("destroyed; whether a server is left was not observed, so layer 00 and the store are as they were: {error:#}"),
            );
            return Ok(Outcome::Unobserved);
        }
    }
    sweep(&session).await?;
    if options.all
        && session.project.has_state(Layer::Auth)
        && let Some(outcome) = take_down_estate(&session, &terraform).await?
    {
        return Ok(outcome);
    }
    finish(&session, options, owner.as_deref()).await
}

/// Whose machines are looked for: the estate of layer 00, or the one that the store remembers when that state is lost.
async fn owner(session: &Session) -> anyhow::Result<Option<String>> {
    if let Some(recorded) = session.project.estate() {
        return Ok(Some(recorded));
    }
    let store = open_store(&session.project, &session.cluster)?;
    Ok(stored_estate(&*store).await?)
}

/// Names of the servers that carry the estate's mark.
async fn ours(
    session: &Session,
    world: &World,
    owner: Option<&str>,
) -> anyhow::Result<Vec<String>> {
    let Some(owner) = owner else {
        return Ok(Vec::new());
    };
    let platform = Platform::new(&session.project, &world.environment, &session.cluster).await?;
    let machines = platform.machines().await?;
    let ours = machines
        .into_iter()
        .filter(|machine| machine.is_ours(owner) && !machine.is_leaving);
    Ok(ours.map(|machine| machine.name).collect())
}

/// OWN-03: Terraform would destroy nothing of them, and what their nodes need would go from the store.
fn lost(ours: &[String]) -> Finding {
    Finding::error(
        "OWN-03",
        format!(
            "layer 01 has no state here, and servers of this estate are there: {}. The state was lost, or is somewhere else",
            ours.join(" ")
        ),
        "./bootstrap.sh adopt rebuilds it from the store and the platform's marks; or bring it back: ./bootstrap.sh kit restore FILE",
    )
}

/// Entries of the store that belong to layer 01 and outlived it, because what wrote them failed before Terraform knew of it.
pub(crate) async fn sweep(session: &Session) -> anyhow::Result<()> {
    let store = open_store(&session.project, &session.cluster)?;
    let mut swept = Vec::new();
    for folder in ["claim/", "join/", "nodes/"] {
        for name in store.list(folder).await? {
            store.delete(&name, Condition::Any).await?;
            swept.push(name.to_string());
        }
    }
    if !swept.is_empty() {
        session.say(
            Layer::Infrastructure.name(),
            format!("left over in the store, deleted: {}", swept.join(" ")),
        );
    }
    Ok(())
}

async fn take_down(
    session: &Session,
    terraform: &Terraform,
    layer: Layer,
) -> anyhow::Result<Option<Outcome>> {
    match layers::destroy(session, terraform, layer).await? {
        Ok(applied) => {
            for warning in &applied.warnings {
                layers::explain(session.console, "warning", warning);
            }
            session.say(layer.name(), "gone");
            Ok(None)
        }
        Err(stop) => {
            let interrupted = session.interrupted();
            session.say(
                "stopped",
                format!(
                    "{}: {}",
                    layer.name(),
                    if interrupted {
                        "interrupted; the state is saved".to_owned()
                    } else {
                        counted(stop.errors.len(), "error")
                    }
                ),
            );
            for error in &stop.errors {
                layers::explain(session.console, "", error);
            }
            session
                .console
                .add("log", &session.project.relative(&session.project.logs()));
            session.console.add("next", &session.again("destroy"));
            Ok(Some(if interrupted {
                Outcome::Interrupted
            } else {
                Outcome::Stopped
            }))
        }
    }
}

/// The protection is part of the state, so it is lifted by an apply before the destroy.
async fn take_down_estate(
    session: &Session,
    terraform: &Terraform,
) -> anyhow::Result<Option<Outcome>> {
    let lifted = match layers::plan(session, terraform, Layer::Auth).await? {
        Ok(plan) if plan.differs => layers::apply(session, terraform, &plan).await?.map(drop),
        Ok(_) => Ok(()),
        Err(stop) => Err(stop),
    };
    if let Err(stop) = lifted {
        session.say(
            "stopped",
            format!("{}: its protection could not be lifted", Layer::Auth.name()),
        );
        for error in &stop.errors {
            layers::explain(session.console, "", error);
        }
        return Ok(Some(Outcome::Stopped));
    }
    take_down(session, terraform, Layer::Auth).await
}

fn confirmed(session: &Session, options: &DestroyOptions) -> anyhow::Result<bool> {
    let all = if options.all { " --all" } else { "" };
    let command = format!("{}{all}", session.again("destroy"));
    let yes = options.yes.as_deref();
    if !agreed(session, yes, "destroy it", &command)? {
        return Ok(false);
    }
    Ok(!options.all
        || yes.is_some()
        || ask(
            session,
            "Type `all` to delete its PKI and keys as well: ",
            "all",
            &command,
        )?)
}

/// The last words, and the end of what described the cluster.
async fn finish(
    session: &Session,
    options: &DestroyOptions,
    owner: Option<&str>,
) -> anyhow::Result<Outcome> {
    let after = if options.all {
        "layer 00 is gone too"
    } else {
        "`up` rebuilds with the same PKI; --all removes layer 00"
    };
    session.say(
        "done",
        format!(
            "no server of {} is left (looked for owner mark {}); {after}",
            session.cluster.name(),
            owner.unwrap_or("-")
        ),
    );
    if options.all {
        // The key of fingerprints describes nothing any more.
        open_store(&session.project, &session.cluster)?
            .delete(
                &Name::parse("fingerprint-key").expect("a constant that parses"),
                Condition::Any,
            )
            .await?;
    }
    if options.all
        && session.cluster.is_lab()
        && let Some(line) = lab::stop(&session.project).await
    {
        session.console.say(&line);
    }
    Ok(Outcome::Done)
}
