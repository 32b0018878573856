//! `--on-failure=rollback`: what a failed run made is given back, in reverse order.
//!
//! Guarantees: nothing goes that this run did not make, and no node that serves. Terraform destroys with a thing whatever depends on it, and in layer 01 every node depends on every machine, so a
//! machine that was added to a cluster that serves cannot be given back this way: then nothing is destroyed, and the run counts as resumable. When all that failed is the proof
//! that nodes are closed, they are members already: they stay, open.

use anyhow::Context as _;
use serde_json::Value;
use strata_provider::claim::{self, State};

use crate::{
    finding::counted,
    layers::{self, Stop},
    preflight::open_store,
    project::Layer,
    session::Session,
    terraform::{Terraform, event::Diagnostic},
    verb::destroy,
};

/// How many addresses a refusal names.
const NAMED: usize = 3;

/// Resources that only look at, or close, nodes that are members already.
const VERIFICATION: [&str; 2] = ["strata_node_lockdown", "strata_kubernetes_cluster"];

/// Gives back what `created` lists by layer. False: nothing was given back, and the reason was said.
pub(crate) async fn run(
    session: &Session,
    terraform: &Terraform,
    created: &[(Layer, Vec<String>)],
    failed: &Stop,
) -> anyhow::Result<bool> {
    if is_verification(&failed.errors) {
        session.say(
            "rollback",
            "not done: the nodes are members and serve; what failed is the proof that they are closed, so they run and stay open",
        );
        session.console.add(
            "look",
            &format!(
                "{}; a locked node proves itself on the next run",
                session.again("status")
            ),
        );
        return Ok(false);
    }
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
    let store = open_store(&session.project, &session.cluster)?;
    if plans
        .iter()
        .any(|(plan, _)| plan.layer == Layer::Infrastructure)
    {
        let state = terraform.pull(Layer::Infrastructure).await?;
        let state = serde_json::from_str(state.as_deref().unwrap_or("{}"))?;
        let made: Vec<&String> = created
            .iter()
            .filter(|(layer, _)| *layer == Layer::Infrastructure)
            .flat_map(|(_, addresses)| addresses)
            .collect();
        // The last members leave no cluster: that is a tear-down, without drain and questions of quorum.
        if is_whole(&state, &made) {
            claim::set(&*store, State::Teardown)
                .await
                .context("marking the tear-down")?;
        }
    }
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
    if !session.project.has_state(Layer::Infrastructure) {
        destroy::sweep(session).await?;
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

/// Whether all that failed is the last look at nodes that are members.
fn is_verification(errors: &[Diagnostic]) -> bool {
    !errors.is_empty()
        && errors
            .iter()
            .all(|error| VERIFICATION.iter().any(|kind| error.address.contains(kind)))
}

/// Whether a state holds nothing but these resources, bookkeeping apart.
fn is_whole(state: &Value, made: &[&String]) -> bool {
    let resources = state["resources"].as_array().into_iter().flatten();
    resources
        .filter(|resource| resource["mode"] == "managed" && resource["type"] != "terraform_data")
        .all(|resource| {
            let base = format!(
                "{}.{}",
                resource["type"].as_str().unwrap_or_default(),
                resource["name"].as_str().unwrap_or_default()
            );
            let base = match resource["module"].as_str() {
                Some(module) => format!("{module}.{base}"),
                None => base,
            };
            let instances = resource["instances"].as_array().into_iter().flatten();
            instances
                .map(|instance| match &instance["index_key"] {
                    Value::String(key) => format!("{base}[{key:?}]"),
                    Value::Number(index) => format!("{base}[{index}]"),
                    _ => base.clone(),
                })
                .all(|address| made.iter().any(|made| **made == address))
        })
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
    use super::*;
    use serde_json::json;

    #[test]
    fn a_proof_that_failed_is_no_reason_to_give_back_a_node() {
        let error = |address: &str| Diagnostic {
            severity: "error".into(),
            summary: String::new(),
            detail: String::new(),
            address: address.into(),
        };
        let lockdown = error("module.lockdown.strata_node_lockdown.this[\"cp-1\"]");
        let node = error("module.node.strata_kubeadm_node.control_plane[\"cp-1\"]");
        assert!(is_verification(std::slice::from_ref(&lockdown)));
        assert!(!is_verification(&[lockdown, node]));
        assert!(!is_verification(&[]));
    }

    #[test]
    fn only_a_state_that_this_run_made_is_torn_down() {
        let state = json!({ "resources": [
            { "mode": "managed", "type": "terraform_data", "name": "guard", "instances": [{}] },
            { "mode": "data", "type": "terraform_remote_state", "name": "auth", "instances": [{}] },
            { "mode": "managed", "module": "module.node", "type": "strata_kubeadm_node", "name": "worker", "instances": [{ "index_key": "w-1" }, { "index_key": "w-2" }] },
            { "mode": "managed", "module": "module.join_info", "type": "strata_kubeadm_join_info", "name": "this", "instances": [{}] },
        ]});
        let made = [
            "module.node.strata_kubeadm_node.worker[\"w-1\"]".to_owned(),
            "module.join_info.strata_kubeadm_join_info.this".to_owned(),
            "module.node.strata_kubeadm_node.worker[\"w-2\"]".to_owned(),
        ];
        assert!(is_whole(&state, &made.iter().collect::<Vec<_>>()));
        assert!(!is_whole(&state, &made[..2].iter().collect::<Vec<_>>()));
    }

    #[test]
    fn a_refusal_names_a_few_and_counts_the_rest() {
        let say = |others: &[&str]| refusal(Layer::Infrastructure, others);
        assert!(say(&["a"]).ends_with("did not make: a"));
        assert!(say(&["a", "b", "c", "d", "e"]).ends_with("did not make: a, b, c and 2 more"));
    }
}
