//! `strata up`: preflight, then every layer from the bottom up. It starts from whatever is there, so it is also how to resume.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::{
    arguments::{OnFailure, UpOptions},
    console::duration,
    finding::counted,
    kit::recency,
    layers::{self, Stop},
    observe::observe,
    outcome::Outcome,
    preflight::{self, Preflight, euro_per_hour, open_store},
    project::Layer,
    session::{self, Purpose, Session, World},
    terraform::{Terraform, event::Diagnostic},
    verb::{
        kubeconfig,
        plan::{self, Survey},
        rollback, status,
    },
};

pub(crate) async fn run(options: &UpOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let began = session.console.elapsed();
    let Some(world) = session.world(true).await? else {
        unreachable!("a lab is started when there is none")
    };
    let preflight = preflight::run(&session.project, &session.cluster, &world.environment).await;
    session::show(session.console, &preflight.report);
    session.say_credentials(&preflight.credentials);
    session.say("preflight", preflight.report.summary());
    if preflight.report.refuses() {
        session.console.plain("Nothing was changed.");
        return Ok(Outcome::Preflight);
    }
    if !confirmed(&session, options, &preflight)? {
        return Ok(Outcome::Refused);
    }
    let terraform = session.terraform(&world, Purpose::Build)?;
    let mut run = Run {
        session: &session,
        terraform: &terraform,
        warnings: Vec::new(),
        created: Vec::new(),
        applied: 0,
    };
    if let Some(stop) = run.all().await? {
        let outcome = run.stopped(&stop, options).await?;
        return Ok(outcome);
    }
    let Run {
        warnings, applied, ..
    } = run;
    finish(&session, &world, &terraform, applied, &warnings, began).await
}

struct Run<'a> {
    session: &'a Session,
    terraform: &'a Terraform,
    warnings: Vec<Diagnostic>,
    /// What this run made, by layer.
    created: Vec<(Layer, Vec<String>)>,
    applied: usize,
}

impl Run<'_> {
    /// Applies what differs, from the bottom up. Gives the first failure.
    async fn all(&mut self) -> anyhow::Result<Option<Stop>> {
        let mut from = Layer::Auth;
        loop {
            let plan = match plan::survey(self.session, self.terraform, from).await? {
                Survey::Unchanged => break,
                Survey::Failed(stop) => return Ok(Some(stop)),
                Survey::Differs(plan) => plan,
            };
            if self.terraform.interrupted() {
                return Ok(Some(Stop {
                    layer: plan.layer,
                    errors: Vec::new(),
                    created: Vec::new(),
                }));
            }
            if plan.changes.totals.any() {
                plan::announce(self.session, &plan);
            }
            match layers::apply(self.session, self.terraform, &plan).await? {
                Ok(applied) => {
                    self.warnings.extend(applied.warnings);
                    self.created.push((plan.layer, applied.created));
                }
                Err(stop) => {
                    self.created.push((plan.layer, stop.created.clone()));
                    return Ok(Some(stop));
                }
            }
            self.applied += 1;
            if !plan.changes.totals.any() {
                self.session.say(plan.layer.name(), plan::NOTHING);
            }
            let Some(next) = Layer::ALL.into_iter().find(|layer| *layer > plan.layer) else {
                break;
            };
            from = next;
        }
        if self.applied == 0 {
            self.session.say("plan", "4 layers, no changes");
        }
        Ok(None)
    }

    async fn stopped(&self, stop: &Stop, options: &UpOptions) -> anyhow::Result<Outcome> {
        let session = self.session;
        let interrupted = session.interrupted();
        let word = if interrupted {
            "interrupted; the state is saved".to_owned()
        } else {
            counted(stop.errors.len(), "error")
        };
        session.say("stopped", format!("{}: {word}", stop.layer.name()));
        // After Ctrl-C terraform says so once for each thing that it did not begin.
        for error in stop
            .errors
            .iter()
            .filter(|error| !(interrupted && error.summary == "execution halted"))
        {
            layers::explain(session.console, "", error);
        }
        let above: Vec<_> = Layer::ALL
            .into_iter()
            .filter(|layer| *layer > stop.layer)
            .map(Layer::name)
            .collect();
        if !above.is_empty() {
            session.console.add("not begun", &above.join(", "));
        }
        session
            .console
            .add("log", &session.project.relative(&session.project.logs()));
        let wanted = options
            .on_failure
            .map_or(session.cluster.spec.on_failure == "rollback", |choice| {
                choice == OnFailure::Rollback
            });
        if wanted && !interrupted && rollback::run(session, self.terraform, &self.created).await? {
            session
                .console
                .add("next", &format!("{} --yes", session.again("up")));
            return Ok(Outcome::Stopped);
        }
        session.console.add("kept", "everything that was made stays, marked and not tainted: the next run goes on from there and orders nothing twice");
        session
            .console
            .add("next", &format!("{} --yes", session.again("up")));
        session.console.add(
            "",
            &format!("{}   to give everything back", session.again("destroy")),
        );
        Ok(if interrupted {
            Outcome::Interrupted
        } else {
            Outcome::Stopped
        })
    }
}

/// Asks before money is spent. The lab costs nothing.
fn confirmed(
    session: &Session,
    options: &UpOptions,
    preflight: &Preflight,
) -> anyhow::Result<bool> {
    if session.cluster.is_lab() || preflight.missing.is_empty() {
        return Ok(true);
    }
    let name = session.cluster.name();
    let price = preflight.milli_euro_per_hour.map_or_else(
        || "price unknown".to_owned(),
        |milli| format!("{}, {} EUR/month", euro_per_hour(milli), milli * 730 / 1000),
    );
    session.say(
        "cost",
        format!(
            "{} to order ({}); the whole cluster: {}",
            counted(preflight.missing.len(), "server"),
            preflight.missing.join(" "),
            price
        ),
    );
    match options.yes.as_deref() {
        Some("") => return Ok(true),
        Some(given) if given == name => return Ok(true),
        Some(given) => {
            session.console.plain(&format!(
                "--yes={given} is not this cluster's name: refused. To go on: {} --yes={name}",
                session.again("up")
            ));
            return Ok(false);
        }
        None => {}
    }
    ask(
        session,
        &format!("Type the cluster's name ({name}) to order: "),
        name,
        &format!("{} --yes", session.again("up")),
    )
}

/// Asks a person to type a word.
pub(crate) fn ask(
    session: &Session,
    question: &str,
    answer: &str,
    otherwise: &str,
) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        session.console.plain(&format!(
            "not a terminal and no --yes: refused. To go on: {otherwise}"
        ));
        return Ok(false);
    }
    write!(std::io::stdout(), "{question}")?;
    std::io::stdout().flush()?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    let same = typed.trim() == answer;
    if !same {
        session.console.plain("not confirmed; nothing was changed");
    }
    Ok(same)
}

async fn finish(
    session: &Session,
    world: &World,
    terraform: &Terraform,
    applied: usize,
    warnings: &[Diagnostic],
    began: std::time::Duration,
) -> anyhow::Result<Outcome> {
    let name = session.cluster.name();
    let path = session.project.kubeconfig();
    kubeconfig::write(session, world, &path).await?;
    let machines = terraform.outputs(Layer::Infrastructure).await?["machines"].clone();
    let observation = observe(session, world, &machines).await;
    let took = duration(session.console.elapsed().saturating_sub(began));
    let what = if applied == 0 {
        "nothing to do".to_owned()
    } else {
        format!("cluster {name} is up in {took}")
    };
    let kubeconfig = status::kubeconfig_left(session).unwrap_or_default();
    session.say(
        "done",
        format!("{what}; {}; kubeconfig {kubeconfig}", observation.summary()),
    );
    for warning in warnings {
        layers::explain(session.console, "warning", warning);
    }
    let store = open_store(&session.project, &session.cluster)?;
    if let Some(finding) = recency::finding(&session.project, &session.cluster, &*store).await {
        session
            .console
            .add("warning", &format!("{} {}", finding.code, finding.message));
        session.console.add("", &finding.fix);
    }
    if let Some(cause) = &observation.unreachable {
        session.console.add("unseen", cause);
    }
    if applied > 0 {
        session.console.add(
            "look",
            &format!(
                "export KUBECONFIG={}; kubectl get nodes      (renew: {})",
                path.display(),
                session.again("kubeconfig")
            ),
        );
        session.console.add(
            "next",
            &format!("{} | {}", session.again("status"), session.again("destroy")),
        );
        if session.cluster.is_lab() {
            session.console.add(
                "real",
                "Terraform, the provider, every request, plan, state and secret store",
            );
            session.console.add("not real", "machines, kernels, disks, network, containers: no pod runs here. Full list: target/debug/strata-lab facts");
        }
    }
    Ok(if observation.is_partial() {
        Outcome::Unobserved
    } else {
        Outcome::Done
    })
}
