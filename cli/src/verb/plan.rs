//! `strata plan`: what `up` would change. Layers above the first one that is missing are planned once it is there.

use crate::{
    arguments::Common,
    layers::{self, Plan, Stop},
    outcome::Outcome,
    project::Layer,
    session::{Purpose, Session},
    terraform::Terraform,
    unseen::Unseen,
};

pub(crate) async fn run(options: &Common) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(options)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let Some(world) = session.world(true).await? else {
        unreachable!("a lab is started when there is none")
    };
    let terraform = session.terraform(&world, Purpose::Build)?;
    let mut last = None;
    let mut unseen = Unseen::default();
    for layer in Layer::ALL {
        // A layer reads the one below from its state.
        if last.is_some_and(|below: Layer| !session.project.is_complete(below)) {
            session.say(
                "plan",
                format!(
                    "{} and above are planned once {} is complete",
                    layer.number(),
                    last.map_or("", Layer::name)
                ),
            );
            break;
        }
        match layers::plan(&session, &terraform, layer).await? {
            Ok(plan) => {
                session.say("plan", format!("{}: {}", layer.name(), sentence(&plan)));
                unseen.take(&plan.changes.diagnostics);
            }
            Err(stop) => return Ok(stopped(&session, &stop)),
        }
        if session.interrupted() {
            return Ok(Outcome::Interrupted);
        }
        last = Some(layer);
    }
    unseen.say(session.console);
    session.console.plain("Nothing was changed.");
    Ok(if unseen.is_empty() {
        Outcome::Done
    } else {
        Outcome::Unobserved
    })
}

/// A layer that makes nothing, and only records for which cluster file.
pub(crate) const NOTHING: &str = "nothing to do; its outputs are recorded";

/// What one plan says.
fn sentence(plan: &Plan) -> String {
    if plan.differs && !plan.changes.totals.any() {
        NOTHING.to_owned()
    } else {
        plan.changes.sentence()
    }
}

/// Planning failed: the causes, nothing more.
fn stopped(session: &Session, stop: &Stop) -> Outcome {
    layers::tell(session, stop);
    if session.interrupted() {
        Outcome::Interrupted
    } else {
        Outcome::Stopped
    }
}

/// What the survey before an apply found.
pub(crate) enum Survey {
    /// No layer differs.
    Unchanged,
    /// The first layer that differs; those below it do not.
    Differs(Box<Plan>),
    /// Planning failed.
    Failed(Stop),
}

/// Plans layers from `from` upwards until one differs. `replace`: addresses of layer 01 that go and come back. What could not be looked at
/// is added to `unseen`.
pub(crate) async fn survey(
    session: &Session,
    terraform: &Terraform,
    from: Layer,
    replace: &[String],
    unseen: &mut Unseen,
) -> anyhow::Result<Survey> {
    for layer in Layer::ALL.into_iter().filter(|layer| *layer >= from) {
        let replace: &[String] = match layer {
            Layer::Infrastructure => replace,
            _ => &[],
        };
        match layers::plan_replace(session, terraform, layer, replace).await? {
            Ok(plan) => {
                unseen.take(&plan.changes.diagnostics);
                if plan.differs {
                    return Ok(Survey::Differs(Box::new(plan)));
                }
            }
            Err(stop) => return Ok(Survey::Failed(stop)),
        }
    }
    Ok(Survey::Unchanged)
}

/// The line before an apply.
pub(crate) fn announce(session: &Session, plan: &Plan) {
    let above: Vec<_> = Layer::ALL
        .into_iter()
        .filter(|layer| *layer > plan.layer && !session.project.has_state(*layer))
        .map(Layer::number)
        .collect();
    let later = if above.is_empty() {
        String::new()
    } else {
        format!(" ({} planned once it is applied)", above.join(", "))
    };
    session.say(
        "plan",
        format!("{}: {}{later}", plan.layer.name(), sentence(plan)),
    );
}
