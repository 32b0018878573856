//! The cluster file: parse, validate, normalise. Used by the provider's function `cluster` and by the command line.
//!
//! Everything here is pure: text in, cluster or findings out. No file, environment or clock is read, so a plan and its apply
//! see the same cluster. All findings are collected, not only the first.

mod cluster;
mod declaration;
mod edit;
mod explain;
mod finding;
mod overrides;
mod rules;
mod scalar;
mod secret;
mod shape;
mod tree;
mod walk;

use std::collections::BTreeMap;

pub use cluster::{
    Access, Cluster, Cni, DiskLike, Distribution, Dns, Endpoint, Headscale, Kubeadm, Lab, Network,
    Node, Platform, Proxmox, Record, Scaleway, Store, Talos, Timeouts, Updates, Vpn, to_json,
};
pub use edit::{EditError, NewNode, add_node, remove_node};
pub use explain::{FieldDoc, explain, fields, json_schema, markdown};
use finding::Findings;
pub use finding::{Finding, Severity};
use serde_json::Value;
use tree::Place;

/// Reads a cluster file. `path` names it in findings; `set` holds overrides by dotted path.
///
/// # Errors
/// All findings, in the order of the file; at least one is an error.
pub fn parse(
    path: &str,
    text: &str,
    set: &BTreeMap<String, String>,
) -> Result<Cluster, Vec<Finding>> {
    let mut findings = Findings::new(path);
    let Some(mut root) = tree::read(text, &mut findings) else {
        return Err(findings.into_sorted());
    };
    let says_lab = root
        .entry("lab")
        .is_some_and(|entry| !entry.value.is_null() && entry.value.text() != Some("false"));
    overrides::apply(&mut root, set, &mut findings);
    overrides::lay_role_defaults(&mut root);

    let mut walk = walk::Walk {
        findings: &mut findings,
        origins: BTreeMap::new(),
    };
    let mut normal =
        Value::Object(walk.record(declaration::CLUSTER, Some(&root), "", &Place::start()));
    let mut origins = walk.origins;
    rules::Rules {
        normal: &mut normal,
        origins: &mut origins,
        findings: &mut findings,
    }
    .run();
    if says_lab && normal.pointer("/lab/enabled") == Some(&Value::Bool(false)) {
        let message = "a file made for the lab cannot be turned into a real cluster by an override";
        findings.error(
            "LAB-04",
            &Place::Set("lab".to_owned()),
            "lab",
            message,
            "copy the file, remove `lab`, give it its own name",
        );
    }

    if findings.has_errors() {
        return Err(findings.into_sorted());
    }
    match Cluster::build(normal, origins, path) {
        Ok(mut cluster) => {
            cluster.warnings = findings.into_sorted();
            Ok(cluster)
        }
        Err(error) => {
            let message = format!(
                "this is a bug in strata: the declaration and the cluster disagree ({error})"
            );
            findings.error(
                "CFG-99",
                &Place::start(),
                "",
                message,
                "report it with this file",
            );
            Err(findings.into_sorted())
        }
    }
}

#[cfg(test)]
mod tests;
