//! `node replace`: one machine is given back and ordered anew under the same name. A control plane's endpoint record goes first and comes
//! back last, so nobody is led to a machine that is not there (FN8).

use serde_json::Value;

use super::{
    edit::{no_lab, refuse},
    quorum,
};
use crate::{
    arguments::NodeReplaceOptions,
    layers::Plan,
    outcome::Outcome,
    project::Layer,
    question::agreed,
    session::{Session, World},
    terraform::{Terraform, event::Diagnostic},
    verb::up::{self, Errand},
};

pub(super) async fn run(options: &NodeReplaceOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.up.common)? else {
        return Ok(Outcome::Preflight);
    };
    session.header();
    let name = options.name.as_str();
    let Some(node) = session.cluster.spec.nodes.get(name) else {
        let known: Vec<_> = session
            .cluster
            .spec
            .nodes
            .keys()
            .map(String::as_str)
            .collect();
        return Ok(refuse(
            &session,
            &format!("there is no node {name}; there are {}", known.join(" ")),
        ));
    };
    let Some(world) = session.world(false).await? else {
        return Ok(no_lab(&session));
    };
    if !session.project.has_state(Layer::Infrastructure) {
        let nothing = format!(
            "nothing is there to be replaced. Build it: {}",
            session.again("up")
        );
        return Ok(refuse(&session, &nothing));
    }
    if let Err(reason) = quorum::may_go(&session, &world, &[name], true).await? {
        return Ok(refuse(&session, &reason));
    }
    session.console.plain(&format!(
        "{name} ({}): its machine is given back, data on its disks will be gone; then one {} is ordered in {} under the same name",
        node.role,
        node.offer.as_deref().unwrap_or_default(),
        node.zone.as_deref().unwrap_or_default()
    ));
    let command = session.again(&format!("node replace {name}"));
    if !agreed(&session, options.up.yes.as_deref(), "replace it", &command)? {
        return Ok(Outcome::Refused);
    }
    carry_out(&session, world, options).await
}

async fn carry_out(
    session: &Session,
    world: World,
    options: &NodeReplaceOptions,
) -> anyhow::Result<Outcome> {
    let errand = Errand {
        replace: Some(&options.name),
        begin: Box::new(|| Ok(())),
    };
    up::carry_out(session, world, &options.up, errand).await
}

/// What goes and comes back with a node: its machine and its record of the endpoint. What stands on the machine follows by itself.
pub(crate) async fn addresses(
    session: &Session,
    terraform: &Terraform,
    node: &str,
) -> anyhow::Result<Vec<String>> {
    let state = terraform.pull(Layer::Infrastructure).await?;
    let state: Value = serde_json::from_str(state.as_deref().unwrap_or("{}"))?;
    let is_first = session
        .cluster
        .spec
        .control_planes
        .first()
        .is_some_and(|first| first == node);
    Ok(of_node(&state, node, is_first))
}

fn of_node(state: &Value, node: &str, is_first: bool) -> Vec<String> {
    let machine = format!("module.machine[{node:?}]");
    let record = if is_first {
        "endpoint-first".to_owned()
    } else {
        format!("endpoint-{node}")
    };
    let mut found = Vec::new();
    for resource in state["resources"].as_array().into_iter().flatten() {
        let (module, kind, name) = (
            resource["module"].as_str().unwrap_or_default(),
            resource["type"].as_str().unwrap_or_default(),
            resource["name"].as_str().unwrap_or_default(),
        );
        if module == machine && kind.ends_with("_server") {
            found.push(format!("{module}.{kind}.{name}"));
        }
        let holds = |instance: &Value| instance["index_key"].as_str() == Some(&record);
        if module.starts_with("module.endpoint_")
            && kind == "strata_dns_record"
            && resource["instances"]
                .as_array()
                .is_some_and(|instances| instances.iter().any(holds))
        {
            found.push(format!("{module}.{kind}.{name}[{record:?}]"));
        }
    }
    found
}

/// Why a plan that should replace one node's machine must not be applied: it would take another one along.
pub(crate) fn beyond(node: &str, plan: &Plan) -> Option<Diagnostic> {
    let others: Vec<_> = plan
        .changes
        .losses()
        .into_iter()
        .filter(|name| *name != node)
        .collect();
    (!others.is_empty()).then(|| Diagnostic {
        severity: "error".to_owned(),
        summary: format!("Not replaced: {} would go as well", others.join(" ")),
        detail: "The cluster file asks for more than this one replacement. Look at it (plan), bring it up first, then replace the node.".to_owned(),
        address: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_nodes_machine_and_record_are_found_in_the_state() {
        let record = |module: &str, keys: &[&str]| {
            let instances: Vec<_> = keys.iter().map(|key| json!({ "index_key": key })).collect();
            json!({ "module": module, "mode": "managed", "type": "strata_dns_record", "name": "this", "instances": instances })
        };
        let server = |node: &str| json!({ "module": format!("module.machine[\"{node}\"]"), "type": "strata_scaleway_baremetal_server", "name": "this", "instances": [{}] });
        let state = json!({ "resources": [
            server("cp-1"), server("cp-2"), server("cp-22"),
            json!({ "module": "module.machine[\"cp-2\"]", "type": "strata_secret", "name": "host_key", "instances": [{}] }),
            record("module.endpoint_first[\"cloudflare/a.test\"]", &["endpoint-first"]),
            record("module.endpoint_rest[\"cloudflare/a.test\"]", &["endpoint-cp-2", "endpoint-cp-22"]),
        ]});
        assert_eq!(
            of_node(&state, "cp-2", false),
            [
                "module.machine[\"cp-2\"].strata_scaleway_baremetal_server.this",
                "module.endpoint_rest[\"cloudflare/a.test\"].strata_dns_record.this[\"endpoint-cp-2\"]"
            ]
        );
        assert_eq!(
            of_node(&state, "cp-1", true)[1],
            "module.endpoint_first[\"cloudflare/a.test\"].strata_dns_record.this[\"endpoint-first\"]"
        );
        assert_eq!(of_node(&json!({}), "w-1", false), [""; 0]);
    }
}
