//! The firewall of a node, with a dead man's switch (FN28): the rules are tried, proven from here, and only then stored. Rules that lock us out are taken back by
//! the node itself.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Value, json};
use strata_framework::{Attr, Diagnostics, Limits, Schema, chain};

use super::TalosMachine;
use crate::services::talos::content::Content;
use crate::services::talos::look;
use crate::services::talos::patch::Document;
use crate::services::talos::ways::Ways;
use crate::talos::client::Mode;
use crate::talos::{self, Client};

/// For so long the rules stand without being confirmed.
const TRY: Duration = Duration::from_mins(5);

/// Who reaches a node.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct MachineFirewall {
    /// CIDRs of the nodes and of the pods, which reach every port, e.g. `["192.0.2.0/24", "10.244.0.0/16"]`.
    #[schema(required)]
    pub nodes: Attr<BTreeSet<String>>,
    /// CIDRs of the operators, who reach the API of Talos (50000), e.g. `["203.0.113.0/28"]`. Whoever applies this must be among them.
    #[schema(required)]
    pub operators: Attr<BTreeSet<String>>,
    /// CIDRs that reach the Kubernetes API (6443) of control planes. Without it everyone does.
    #[schema(optional)]
    pub api: Attr<BTreeSet<String>>,
    /// TCP ports that are open to everyone, e.g. `[80, 443]`. Without it there are none.
    #[schema(optional)]
    pub public_ports: Attr<BTreeSet<u16>>,
}

/// The attribute that a CIDR which is none stands in.
pub(super) fn wrong(firewall: &MachineFirewall) -> Option<(&'static str, String)> {
    let sets = [
        ("nodes", &firewall.nodes),
        ("operators", &firewall.operators),
        ("api", &firewall.api),
    ];
    sets.into_iter().find_map(|(name, set)| {
        let odd = set
            .known()?
            .iter()
            .find(|text| text.parse::<IpNet>().is_err())?;
        Some((name, odd.clone()))
    })
}

fn everyone() -> BTreeSet<String> {
    ["0.0.0.0/0", "::/0"].map(String::from).into()
}

fn rule(name: &str, protocol: &str, ports: &[Value], from: &BTreeSet<String>) -> Value {
    let ingress: Vec<Value> = from
        .iter()
        .map(|subnet| json!({ "subnet": subnet }))
        .collect();
    json!({
        "apiVersion": "v1alpha1",
        "kind": "NetworkRuleConfig",
        "name": format!("strata-{name}"),
        "portSelector": { "ports": ports, "protocol": protocol },
        "ingress": ingress,
    })
}

/// The documents of a firewall.
pub(super) fn documents(firewall: &MachineFirewall, control_plane: bool) -> Vec<Document> {
    let (nodes, operators) = (firewall.nodes.or_default(), firewall.operators.or_default());
    let all = [json!("1-65535")];
    let mut rules = vec![
        json!({ "apiVersion": "v1alpha1", "kind": "NetworkDefaultActionConfig", "ingress": "block" }),
        rule("nodes-tcp", "tcp", &all, &nodes),
        rule("nodes-udp", "udp", &all, &nodes),
        rule("talos", "tcp", &[json!(50000)], &operators),
    ];
    if control_plane {
        let api = firewall.api.known().cloned().unwrap_or_else(everyone);
        rules.push(rule("kubernetes", "tcp", &[json!(6443)], &api));
    }
    let public: Vec<Value> = firewall
        .public_ports
        .or_default()
        .into_iter()
        .map(Value::from)
        .collect();
    if !public.is_empty() {
        rules.push(rule("public", "tcp", &public, &everyone()));
    }
    rules
        .into_iter()
        .filter_map(|rule| rule.as_object().cloned())
        .collect()
}

/// Whether a node has exactly this firewall. Without a wish there is nothing to compare.
pub(super) fn stands(stored: &Content, wanted: &[Document]) -> bool {
    stored.firewall() == Content::of(wanted.to_vec()).firewall()
}

/// What a machine has stored, and the connection it was read over.
async fn stored(ways: &Ways<'_>, address: &str) -> Result<Option<(Client, Content)>, talos::Error> {
    let client = ways.node(address).await?;
    let stored = look::stored(&client).await?;
    Ok(stored.map(|stored| (client, stored)))
}

/// Tries the rules, proves that we still get in over a new connection, and stores them.
pub(super) async fn close(
    ways: &Ways<'_>,
    limits: &Limits,
    machine: &TalosMachine,
    firewall: &MachineFirewall,
) -> Result<(), Diagnostics> {
    let (name, address) = (machine.node.text(), machine.address.text());
    let failed =
        |error: &dyn std::error::Error| Diagnostics::failed("close", "machine", name, error);
    let Some((client, stored)) = stored(ways, address)
        .await
        .map_err(|error| failed(&error))?
    else {
        return Ok(());
    };
    let wanted = documents(firewall, machine.is_control_plane());
    if stands(&stored, &wanted) {
        return Ok(());
    }
    let _serial = ways.lock(limits, machine.cluster.text()).await?;
    let text = stored.with_firewall(wanted).text();
    // On the machine's clock, which in the lab runs ahead.
    let timer = ways.access.there(TRY);
    client
        .apply(&text, Mode::Try(timer), false)
        .await
        .map_err(|error| failed(&error).left("Nothing was changed."))?;
    let proof = prove(ways, address).await;
    if let Err(reason) = proof {
        return Err(Diagnostics::error(
            format!("Cannot close machine \"{name}\""),
            format!("With the new rules nobody gets in from here: {reason}."),
        )
        .left("The rules were not stored: the machine takes them back within five minutes.")
        .hint("Add the address of this computer, as the nodes see it, to the operators (`access.operators` of the cluster file)."));
    }
    client
        .apply(&text, Mode::NoReboot, false)
        .await
        .map_err(|error| failed(&error))?;
    Ok(())
}

/// Takes our rules off the machine.
pub(super) async fn open(
    ways: &Ways<'_>,
    limits: &Limits,
    machine: &TalosMachine,
) -> Result<(), Diagnostics> {
    let address = machine.address.text();
    let failed = |error: &dyn std::error::Error| {
        Diagnostics::failed("open", "machine", machine.node.text(), error)
            .left("Its rules stay as they are.")
    };
    let Some((client, stored)) = stored(ways, address)
        .await
        .map_err(|error| failed(&error))?
    else {
        return Ok(());
    };
    if stored.firewall().is_empty() {
        return Ok(());
    }
    let _serial = ways.lock(limits, machine.cluster.text()).await?;
    let text = stored.with_firewall(Vec::new()).text();
    client
        .apply(&text, Mode::NoReboot, false)
        .await
        .map_err(|error| failed(&error))?;
    Ok(())
}

/// A connection that was open before proves nothing: conntrack lets it through.
async fn prove(ways: &Ways<'_>, address: &str) -> Result<(), String> {
    let answer = async {
        let client: Client = ways.node(address).await?;
        client.version().await
    };
    answer.await.map(drop).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> Attr<BTreeSet<String>> {
        texts
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<BTreeSet<_>>()
            .into()
    }

    #[test]
    fn nodes_reach_everything_operators_the_api_of_talos_and_others_what_is_said() {
        let firewall = MachineFirewall {
            nodes: set(&["192.0.2.0/24"]),
            operators: set(&["203.0.113.0/28"]),
            api: Attr::Null,
            public_ports: BTreeSet::from([443]).into(),
        };
        assert_eq!(wrong(&firewall), None);
        let names = |control_plane| -> Vec<String> {
            let all = documents(&firewall, control_plane);
            let name = |one: &Document| {
                one.get("name")
                    .and_then(Value::as_str)
                    .unwrap_or("default")
                    .to_owned()
            };
            all.iter().map(name).collect()
        };
        assert_eq!(
            names(true),
            [
                "default",
                "strata-nodes-tcp",
                "strata-nodes-udp",
                "strata-talos",
                "strata-kubernetes",
                "strata-public"
            ]
        );
        assert_eq!(
            names(false),
            [
                "default",
                "strata-nodes-tcp",
                "strata-nodes-udp",
                "strata-talos",
                "strata-public"
            ]
        );
        let talos = Value::Object(documents(&firewall, false)[3].clone());
        assert_eq!(
            talos["portSelector"],
            json!({ "ports": [50000], "protocol": "tcp" })
        );
        assert_eq!(talos["ingress"], json!([{ "subnet": "203.0.113.0/28" }]));
        let odd = MachineFirewall {
            operators: set(&["me"]),
            ..firewall
        };
        assert_eq!(wrong(&odd), Some(("operators", "me".into())));
    }
}
