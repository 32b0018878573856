//! `--on-failure=rollback`: what a failed run made is given back, in reverse order.
//!
//! Guarantees: nothing goes that this run did not make. Terraform destroys with a thing whatever depends on it, and in layer 01 every node depends on every machine, so a
//! machine that was added to a cluster that serves cannot be given back this way: then nothing is destroyed, and the run counts as resumable.

use crate::{
    finding::counted,
    layers::{self, Stop},
    project::Layer,
    session::Session,
    terraform::Terraform,
};

/// How many addresses a refusal names.
const NAMED: usize = 3;

/// Gives back what `created` lists by layer. False: nothing was given back, and the reason was said.
pub(crate) async fn run(
    session: &Session,
    terraform: &Terraform,
    created: &[(Layer, Vec<String>)],
) -> anyhow::Result<bool> {
    let mut plans = Vec::new();
    for (layer, created) in created.iter().rev() {
        let targets: Vec<String> = created
            .iter()
            .filter(|address| !address.contains("terraform_data"))
            .cloned()
            .collect();
        if *layer == Layer::Auth || targets.is_empty() {
            continue;
        }
        let plan = match layers::plan_destroy(session, terraform, *layer, &targets).await? {
            Ok(plan) => plan,
            Err(stop) => {
                tell(session, &stop);
                return Ok(false);
            }
        };
        let others = plan.changes.beyond(&targets);
        if !others.is_empty() {
            session.say("rollback", refusal(*layer, &others));
            return Ok(false);
        }
        plans.push((plan, targets.len()));
    }
    // Only now: a layer that cannot be rolled back keeps those above it, too.
    for (plan, count) in &plans {
        session.say(
            "rollback",
            format!(
                "{}: {} made by this run",
                plan.layer.name(),
                counted(*count, "thing")
            ),
        );
        if let Err(stop) = layers::apply(session, terraform, plan).await? {
            tell(session, &stop);
            return Ok(true);
        }
    }
    session.say("rollback", "done; layer 00 (PKI, keys) is kept");
    Ok(true)
}

fn tell(session: &Session, stop: &Stop) {
    session.say(
        "rollback",
        format!(
            "{}: {}",
            stop.layer.name(),
            counted(stop.errors.len(), "error")
        ),
    );
    for error in &stop.errors {
        layers::explain(session.console, "", error);
    }
}

fn refusal(layer: Layer, others: &[&str]) -> String {
    let more = match others.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{}: not done, because it would take along what this run did not make: {}{more}",
        layer.name(),
        others[..others.len().min(NAMED)].join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::refusal;
    use crate::project::Layer;

    #[test]
    fn a_refusal_names_a_few_and_counts_the_rest() {
        let say = |others: &[&str]| refusal(Layer::Infrastructure, others);
        assert!(say(&["a"]).ends_with("did not make: a"));
        assert!(say(&["a", "b", "c", "d", "e"]).ends_with("did not make: a, b, c and 2 more"));
    }
}
