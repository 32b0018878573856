//! `strata up`: preflight, then every layer from the bottom up. It starts from whatever is there, so it is also how to resume.

use crate::{
    archive,
    arguments::{OnFailure, UpOptions},
    console::duration,
    finding::counted,
    kit::recency,
    layers::{self, Stop},
    observe::observe,
    outcome::Outcome,
    preflight::{self, Preflight, open_store},
    price::Bill,
    project::Layer,
    question::may_order,
    session::{self, Purpose, Session, World},
    terraform::{Terraform, event::Diagnostic},
    unseen::{Unseen, is_unseen},
    verb::{
        kubeconfig,
        node::replace,
        plan::{self, Survey},
        restore::survivors,
        rollback, status,
    },
};

pub(crate) async fn run(options: &UpOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let Some(world) = session.world(true).await? else {
        unreachable!("a lab is started when there is none")
    };
    let nothing = Errand {
        replace: None,
        begin: Box::new(|| Ok(())),
    };
    carry_out(&session, world, options, nothing).await
}

/// What a verb that changes one thing wants of `up` besides.
pub(crate) struct Errand<'a> {
    /// A node whose machine is given back and ordered anew.
    pub(crate) replace: Option<&'a str>,
    /// Done when everything is checked and confirmed, before anything else is changed.
    pub(crate) begin: Box<dyn FnOnce() -> anyhow::Result<()> + 'a>,
}

/// Preflight, the question about money, the errand's beginning, all layers.
pub(crate) async fn carry_out(
    session: &Session,
    world: World,
    options: &UpOptions,
    errand: Errand<'_>,
) -> anyhow::Result<Outcome> {
    let began = session.console.elapsed();
    let terraform = session.terraform(&world, Purpose::Build)?;
    // A store that cannot be read is the preflight's to report, with all the rest.
    let given_up = survivors::given_up(session, &terraform).await;
    let ordered: Vec<&str> = given_up
        .iter()
        .flatten()
        .map(|(node, _)| node.as_str())
        .chain(errand.replace)
        .collect();
    let preflight = preflight::run(
        &session.project,
        &session.cluster,
        &world.environment,
        &ordered,
    )
    .await;
    session::show(session.console, &preflight.report);
    session.say_credentials(&preflight.credentials);
    session.say("preflight", preflight.report.summary());
    if preflight.report.refuses() {
        session.console.plain("Nothing was changed.");
        return Ok(Outcome::Preflight);
    }
    let given_up = given_up?;
    if !confirmed(session, options, &preflight)? {
        return Ok(Outcome::Refused);
    }
    (errand.begin)()?;
    let replace = match errand.replace {
        Some(node) => Some((node, replace::addresses(session, &terraform, node).await?)),
        None => None,
    };
    let mut run = Run {
        session,
        terraform: &terraform,
        replace,
        given_up: given_up.into_iter().map(|(_, address)| address).collect(),
        warnings: Vec::new(),
        created: Vec::new(),
        applied: 0,
        unseen: Unseen::default(),
    };
    if let Some(stop) = run.all().await? {
        let outcome = run.stopped(&stop, options).await?;
        return Ok(outcome);
    }
    finish(&run, &world, began).await
}

struct Run<'a> {
    session: &'a Session,
    terraform: &'a Terraform,
    /// A node whose machine is replaced, and the addresses of what goes and comes back.
    replace: Option<(&'a str, Vec<String>)>,
    /// Machines of control planes that a restore gives up.
    given_up: Vec<String>,
    warnings: Vec<Diagnostic>,
    /// What this run made, by layer.
    created: Vec<(Layer, Vec<String>)>,
    applied: usize,
    /// What the plans could not look at.
    unseen: Unseen,
}

impl Run<'_> {
    /// Applies what differs, from the bottom up. Gives the first failure.
    async fn all(&mut self) -> anyhow::Result<Option<Stop>> {
        let mut from = Layer::Auth;
        loop {
            let mut replace = self.given_up.clone();
            replace.extend(
                self.replace
                    .iter()
                    .flat_map(|(_, addresses)| addresses.clone()),
            );
            let plan = match plan::survey(
                self.session,
                self.terraform,
                from,
                &replace,
                &mut self.unseen,
            )
            .await?
            {
                Survey::Unchanged => break,
                Survey::Failed(stop) => return Ok(Some(stop)),
                Survey::Differs(plan) => plan,
            };
            if self.terraform.interrupted() {
                return Ok(Some(Stop {
                    layer: plan.layer,
                    errors: Vec::new(),
                    warnings: Vec::new(),
                    created: Vec::new(),
                }));
            }
            if let Some((node, _)) = &self.replace
                && let Some(error) = replace::beyond(node, &plan)
            {
                return Ok(Some(Stop {
                    layer: plan.layer,
                    errors: vec![error],
                    warnings: Vec::new(),
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
        for warning in stop.warnings.iter().filter(|warning| !is_unseen(warning)) {
            layers::explain(session.console, "warning", warning);
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
        if wanted
            && !interrupted
            && rollback::run(session, self.terraform, &self.created, stop).await?
        {
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

/// Says what is ordered and asks before money is spent. The lab costs nothing, and says what it would cost.
fn confirmed(
    session: &Session,
    options: &UpOptions,
    preflight: &Preflight,
) -> anyhow::Result<bool> {
    if preflight.missing.is_empty() {
        return Ok(true);
    }
    if session.cluster.spec.platform.scaleway.is_none() {
        session.say(
            "machines",
            format!("to make: {}", preflight.missing.join(" ")),
        );
        return Ok(true);
    }
    let lab = session.cluster.is_lab();
    session.say("cost", cost(preflight, lab));
    if lab {
        return Ok(true);
    }
    may_order(session, options.yes.as_deref())
}

/// `to order: cp-1 cp-2 (2 servers, 0.25 EUR/h, ...); the whole cluster: ...`
fn cost(preflight: &Preflight, lab: bool) -> String {
    let words = |bill: Option<Bill>| {
        bill.map_or_else(|| "price unknown".to_owned(), |bill| bill.to_string())
    };
    let ordered = format!(
        "to order: {} ({})",
        preflight.missing.join(" "),
        words(preflight.ordered)
    );
    let whole = if preflight.whole == preflight.ordered {
        String::new()
    } else {
        format!("; the whole cluster: {}", words(preflight.whole))
    };
    if lab {
        format!("nothing here; for real {ordered}{whole} (recorded, not a quote)")
    } else {
        ordered + &whole
    }
}

async fn finish(
    run: &Run<'_>,
    world: &World,
    began: std::time::Duration,
) -> anyhow::Result<Outcome> {
    let (session, terraform, applied) = (run.session, run.terraform, run.applied);
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
    for warning in run.warnings.iter().filter(|warning| !is_unseen(warning)) {
        layers::explain(session.console, "warning", warning);
    }
    let store = open_store(&session.project, &session.cluster)?;
    if let Some(finding) = recency::finding(&session.project, &session.cluster, &*store).await {
        session
            .console
            .add("warning", &format!("{} {}", finding.code, finding.message));
        session.console.add("", &finding.fix);
    }
    // A plan that could not look says so for the same API, with what depends on it.
    if let Some(cause) = observation
        .unreachable
        .as_ref()
        .filter(|_| run.unseen.is_empty())
    {
        session.console.add("unseen", cause);
    }
    run.unseen.say(session.console);
    let missed = archive::refresh(session, world, &machines).await;
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
    Ok(if run.unseen.is_empty() && !missed {
        observation.outcome()
    } else {
        Outcome::Unobserved
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_names_who_is_ordered_and_never_a_part_of_a_sum() {
        let mut preflight = Preflight {
            missing: vec!["cp-1".into(), "w-1".into()],
            ..Preflight::default()
        };
        assert_eq!(
            cost(&preflight, false),
            "to order: cp-1 w-1 (price unknown)"
        );
        preflight.ordered = Some(Bill::default());
        assert_eq!(
            cost(&preflight, false),
            "to order: cp-1 w-1 (0 servers, 0.00 EUR/h, 0.00 EUR/month); the whole cluster: price unknown"
        );
        assert!(cost(&preflight, true).starts_with("nothing here; for real to order"));
    }
}
