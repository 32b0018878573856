//! Control planes that still stand when a cluster is restored: without a majority of etcd what they hold cannot be had from them, and they cannot join
//! what begins anew. The next `up` replaces their machines, once, known by the platform's ids.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;
use strata_provider::snapshot::order;

use crate::{preflight::open_store, project::Layer, session::Session, terraform::Terraform};

/// Whether machines that stand may be given up for a snapshot.
///
/// # Errors
/// Why not, as a sentence.
pub(super) fn may_go(
    standing: &[String],
    members: &BTreeSet<String>,
    answers: bool,
) -> Result<(), String> {
    let names = standing.join(" ");
    if answers {
        return Err(format!(
            "the API answers at one of {names}: while it does, there is nothing to restore"
        ));
    }
    let voters = standing
        .iter()
        .filter(|name| members.contains(*name))
        .count();
    if voters * 2 > members.len() {
        return Err(format!(
            "{voters} of {} control planes stand: {names}. They are a majority of etcd, and what is in it is newer than any snapshot: bring the API back (node rescue)",
            members.len()
        ));
    }
    Ok(())
}

/// The id of each node's machine, as layer 01 knows it.
pub(super) async fn machines(terraform: &Terraform) -> anyhow::Result<BTreeMap<String, String>> {
    let state = terraform.pull(Layer::Infrastructure).await?;
    let state = serde_json::from_str(state.as_deref().unwrap_or("{}"))?;
    Ok(found(&state)
        .into_iter()
        .map(|machine| (machine.node, machine.id))
        .collect())
}

/// Nodes whose machines an order gives up and that stand yet, with their addresses in layer 01.
pub(crate) async fn given_up(
    session: &Session,
    terraform: &Terraform,
) -> anyhow::Result<Vec<(String, String)>> {
    if !session.project.has_state(Layer::Infrastructure) {
        return Ok(Vec::new());
    }
    let store = open_store(&session.project, &session.cluster)?;
    let order = order::read(&*store)
        .await
        .context("reading whether a snapshot is to be restored")?;
    let Some(order) = order.filter(|order| !order.replace.is_empty()) else {
        return Ok(Vec::new());
    };
    let state = terraform.pull(Layer::Infrastructure).await?;
    let state = serde_json::from_str(state.as_deref().unwrap_or("{}"))?;
    Ok(found(&state)
        .into_iter()
        .filter(|machine| order.replace.get(&machine.node) == Some(&machine.id))
        .map(|machine| (machine.node, machine.address))
        .collect())
}

/// Modules of layer 01 that make machines, and how the type of a machine's resource ends.
const MACHINES: [(&str, &str); 2] = [("machine", "_server"), ("virtual_machine", "_vm")];

#[derive(Debug, PartialEq, Eq)]
struct Found {
    node: String,
    id: String,
    address: String,
}

fn found(state: &Value) -> Vec<Found> {
    let resources = state["resources"].as_array().into_iter().flatten();
    let machine = |resource: &Value| {
        let (module, kind, name) = (
            resource["module"].as_str()?,
            resource["type"].as_str()?,
            resource["name"].as_str()?,
        );
        let node = MACHINES.iter().find_map(|(of, ending)| {
            let node = module.strip_prefix(&format!("module.{of}[\""))?;
            node.strip_suffix("\"]").filter(|_| kind.ends_with(ending))
        })?;
        let id = resource["instances"][0]["attributes"]["id"].as_str()?;
        (resource["mode"] == "managed").then(|| Found {
            node: node.to_owned(),
            id: id.to_owned(),
            address: format!("{module}.{kind}.{name}"),
        })
    };
    resources.filter_map(machine).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_minority_goes_and_nobody_else() {
        let members: BTreeSet<String> = ["cp-1", "cp-2", "cp-3"].map(String::from).into();
        let standing = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(may_go(&standing(&["cp-1"]), &members, false), Ok(()));
        for (names, answers, why) in [
            (&["cp-1"][..], true, "nothing to restore"),
            (
                &["cp-1", "cp-2"],
                false,
                "2 of 3 control planes stand: cp-1 cp-2",
            ),
        ] {
            let refused = may_go(&standing(names), &members, answers).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        // One that never became a member votes for nothing.
        assert_eq!(
            may_go(&standing(&["cp-1", "cp-4"]), &members, false),
            Ok(())
        );
    }

    #[test]
    fn machines_are_known_by_their_ids() {
        let server = |node: &str, id: &str| json!({ "module": format!("module.machine[\"{node}\"]"), "mode": "managed", "type": "strata_scaleway_baremetal_server", "name": "this", "instances": [{ "attributes": { "id": id } }] });
        let secret = json!({ "module": "module.machine[\"cp-1\"]", "mode": "managed", "type": "strata_secret", "name": "host_key", "instances": [{ "attributes": { "id": "x" } }] });
        let virtual_machine = json!({ "module": "module.virtual_machine[\"cp-2\"]", "mode": "managed", "type": "strata_proxmox_vm", "name": "this", "instances": [{ "attributes": { "id": "pve1/100" } }] });
        let talos = json!({ "module": "module.talos_machine[\"cp-2\"]", "mode": "managed", "type": "strata_talos_machine", "name": "this", "instances": [{ "attributes": { "id": "cp-2" } }] });
        let state = json!({ "resources": [server("cp-1", "s-1"), secret, server("w-1", "s-2"), virtual_machine, talos] });
        let machines = found(&state);
        assert_eq!(machines.len(), 3, "{machines:?}");
        assert_eq!(
            machines[2].address,
            "module.virtual_machine[\"cp-2\"].strata_proxmox_vm.this"
        );
        assert_eq!(
            (machines[0].node.as_str(), machines[0].id.as_str()),
            ("cp-1", "s-1")
        );
        assert_eq!(
            machines[0].address,
            "module.machine[\"cp-1\"].strata_scaleway_baremetal_server.this"
        );
        assert!(found(&json!({})).is_empty());
    }
}
