//! What a destroy would lose, and what it keeps, by name (FN23): looked up before the question, in the states and at the API.

use std::fmt::Write as _;

use serde_json::Value;
use strata_provider::kubernetes::{held, held::Held, node};

use crate::{
    archive,
    finding::counted,
    observe,
    project::Layer,
    session::{Session, World},
    terraform::Terraform,
};

/// How many names of a kind are printed.
const NAMED: usize = 20;

/// What is there.
#[derive(Debug)]
pub(super) struct Inventory {
    servers: usize,
    records: usize,
    objects: usize,
    /// What only the API knows; the text says why it was not seen.
    inside: Option<Result<(usize, Held), String>>,
    /// Snapshots of etcd, the newest last; the text says why they were not seen.
    snapshots: Result<Vec<String>, String>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            servers: 0,
            records: 0,
            objects: 0,
            inside: None,
            snapshots: Ok(Vec::new()),
        }
    }
}

impl Inventory {
    /// Looks.
    pub(super) async fn take(
        session: &Session,
        world: &World,
        terraform: &Terraform,
    ) -> anyhow::Result<Self> {
        let mut inventory = Self::default();
        for layer in [Layer::Infrastructure, Layer::Configuration] {
            if session.project.has_state(layer) {
                let state = terraform.pull(layer).await?;
                let state: Value = serde_json::from_str(state.as_deref().unwrap_or("{}"))?;
                inventory.servers += instances(&state, |kind| {
                    kind.ends_with("_server") || kind == "strata_proxmox_vm"
                });
                inventory.records += instances(&state, |kind| kind == "strata_dns_record");
            }
        }
        if session.project.has_state(Layer::Services) {
            let objects = terraform.outputs(Layer::Services).await?["objects"].clone();
            inventory.objects = objects
                .as_object()
                .map(serde_json::Map::len)
                .or_else(|| objects.as_array().map(Vec::len))
                .unwrap_or_default();
        }
        if inventory.servers > 0 {
            let outputs = terraform.outputs(Layer::Infrastructure).await?;
            let seen = inside(session, world, &outputs["machines"]).await;
            inventory.inside = Some(seen.map_err(|error| format!("{error:#}")));
        }
        let project = &session.project;
        let listed = archive::open(session, world).await?.list().await;
        inventory.snapshots = listed
            .map(|kept| {
                let places = kept.iter();
                places
                    .map(|kept| archive::relative(project, &kept.place))
                    .collect()
            })
            .map_err(|found| found.to_string());
        Ok(inventory)
    }

    /// The lines before the question.
    pub(super) fn text(&self, cluster: &str, all: bool) -> String {
        let mut parts = Vec::new();
        let mut more = String::new();
        let mut count = |count: usize, noun: &str| {
            if count > 0 {
                parts.push(counted(count, noun));
            }
        };
        count(self.servers, "server");
        if let Some(Ok((nodes, _))) = &self.inside {
            count(*nodes, "Node");
        }
        count(self.records, "DNS record");
        count(self.objects, "Kubernetes object");
        match &self.inside {
            Some(Ok((_, held))) => {
                if !held.local.is_empty() {
                    parts.push(format!(
                        "{} on local disks ({})",
                        counted(held.local.len(), "PersistentVolume"),
                        named(&held.local)
                    ));
                }
                if !held.load_balancers.is_empty() {
                    let _ = write!(
                        more,
                        "\nmay stay outside: {} ({}): delete them first, so that their controller takes away what it made",
                        counted(held.load_balancers.len(), "LoadBalancer"),
                        named(&held.load_balancers)
                    );
                }
                if !held.elsewhere.is_empty() {
                    let _ = write!(
                        more,
                        "\nstay outside: {} ({}); whoever sold them goes on counting",
                        counted(held.elsewhere.len(), "PersistentVolume"),
                        named(&held.elsewhere)
                    );
                }
            }
            Some(Err(cause)) => {
                let _ = write!(
                    more,
                    "\nnot observed: Nodes, PersistentVolumes and LoadBalancers, because the API does not answer ({cause})"
                );
            }
            None => {}
        }
        let what = if parts.is_empty() {
            "nothing above layer 00".to_owned()
        } else {
            format!("{}: their data will be gone", parts.join(", "))
        };
        if self.servers > 0 {
            more.push_str("\nthe disks of each machine are wiped before it is given back; where that is not possible, it is said");
        }
        let kept = if all {
            "layer 00 goes too: the estate's id, PKI and keys are deleted and cannot be made again"
        } else {
            "kept: layer 00 (PKI, keys, the estate's id)"
        };
        format!(
            "cluster {cluster}: {what}{more}\n{kept}{}",
            self.snapshots(all)
        )
    }

    /// What of etcd outlives the cluster, and whether anything can still open it.
    fn snapshots(&self, all: bool) -> String {
        let snapshots = match &self.snapshots {
            Ok(snapshots) => snapshots,
            Err(cause) => return format!("\nnot observed: snapshots of etcd ({cause})"),
        };
        let Some(latest) = snapshots.last() else {
            return String::new();
        };
        let opens = if all {
            "without the PKI only a kit opens them"
        } else {
            "the PKI opens them"
        };
        format!(
            "\nkept: {} of etcd, the latest {latest}; {opens}",
            counted(snapshots.len(), "snapshot")
        )
    }
}

fn named(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        rest => format!("{shown} and {rest} more"),
    }
}

async fn inside(
    session: &Session,
    world: &World,
    machines: &Value,
) -> anyhow::Result<(usize, Held)> {
    let addresses = observe::addresses(machines);
    let client = observe::client(session, world.environment.dialer(), &addresses).await?;
    let nodes = node::list(&client).await?.len();
    Ok((nodes, held::list(&client).await?))
}

/// Instances of managed resources of a kind in a state.
fn instances(state: &Value, is_kind: impl Fn(&str) -> bool) -> usize {
    let resources = state["resources"].as_array().into_iter().flatten();
    resources
        .filter(|resource| resource["mode"] == "managed")
        .filter(|resource| resource["type"].as_str().is_some_and(&is_kind))
        .map(|resource| resource["instances"].as_array().map_or(0, Vec::len))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_goes_and_what_stays_is_named() {
        let mut inventory = Inventory {
            servers: 5,
            records: 8,
            objects: 0,
            inside: Some(Ok((
                5,
                Held {
                    local: vec!["loki/data-0".into(), "postgres/data-0".into()],
                    elsewhere: vec![],
                    load_balancers: vec!["web/front".into()],
                },
            ))),
            snapshots: Ok(vec![]),
        };
        let text = inventory.text("prod", false);
        assert!(
            text.starts_with("cluster prod: 5 servers, 5 Nodes, 8 DNS records, 2 PersistentVolumes on local disks (loki/data-0, postgres/data-0): their data will be gone\n"),
            "{text}"
        );
        assert!(text.contains("1 LoadBalancer (web/front)"), "{text}");
        assert!(text.ends_with("kept: layer 00 (PKI, keys, the estate's id)"));
        assert!(text.contains("wiped before it is given back"), "{text}");
        inventory.snapshots = Ok(vec!["a/1.etcd.age".into(), "a/2.etcd.age".into()]);
        let text = inventory.text("prod", false);
        assert!(
            text.ends_with(
                "kept: 2 snapshots of etcd, the latest a/2.etcd.age; the PKI opens them"
            ),
            "{text}"
        );
        inventory.inside = Some(Err("no answer within 3 s".into()));
        let text = inventory.text("prod", true);
        assert!(
            text.contains("not observed: Nodes, PersistentVolumes and LoadBalancers")
                && text.contains("no answer within 3 s")
                && text.contains("layer 00 goes too")
                && text.ends_with("without the PKI only a kit opens them"),
            "{text}"
        );
        inventory.snapshots = Err("no such bucket".into());
        let text = inventory.text("prod", true);
        assert!(
            text.ends_with("not observed: snapshots of etcd (no such bucket)"),
            "{text}"
        );
        assert!(
            Inventory::default()
                .text("prod", false)
                .starts_with("cluster prod: nothing above layer 00\n")
        );
    }

    #[test]
    fn a_state_is_counted_by_instance() {
        let resource = |mode: &str, kind: &str, count: usize| json!({ "mode": mode, "type": kind, "instances": vec![json!({}); count] });
        let state = json!({ "resources": [
            resource("managed", "strata_dns_record", 2),
            resource("managed", "strata_dns_record", 1),
            resource("data", "strata_dns_record", 4),
            resource("managed", "strata_scaleway_baremetal_server", 1),
        ]});
        assert_eq!(instances(&state, |kind| kind == "strata_dns_record"), 3);
        assert_eq!(instances(&state, |kind| kind.ends_with("_server")), 1);
        assert_eq!(instances(&json!({}), |_| true), 0);
    }
}
