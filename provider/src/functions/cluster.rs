//! `provider::strata::cluster(path, text, set)`: the cluster file, checked and with every attribute present (FN17: pure).

use std::collections::BTreeMap;

use strata_cluster::{Severity, parse, to_json};
use strata_framework::{Dynamic, Function, FunctionError, Parameter};

/// The function `cluster`.
pub struct Cluster;

impl Function for Cluster {
    const NAME: &'static str = "cluster";
    const SUBCATEGORY: &'static str = "Cluster";
    const SUMMARY: &'static str = "Reads a cluster file.";
    const DESCRIPTION: &'static str = "\
Checks the text of a cluster file, lays overrides over it and returns the cluster with every attribute present, defaults filled in. It reads no
file, environment or clock, so a plan and its apply see the same cluster.

The result is an object. Its attributes are the fields of the [guide](../guides/cluster-file.md), with these differences:

| attribute | is |
| --- | --- |
| `control_planes`, `workers` | names of the nodes of that role, sorted |
| `nodes` | nodes by name, role defaults applied: `role`, `server_name`, `labels`, `taints`, `disk` (as `/dev/disk/by-id/...`) or `disk_like` (`min` in bytes, `type`), `wipe`, `patches`, `on_create_failure`; of servers `zone`, `offer`; of virtual machines `address`, `host`, `cores`, `memory` (MiB), `size` (GiB), `vmid`, `mac`. What a platform does not have is null |
| `store`, `cni`, `dns` | the fields of the chosen kind, and `kind`, its name |
| `platform`, `distribution` | `kind`, and the chosen kind's fields below its name: `distribution.kubeadm.version`; the other kinds are null |
| `lab.enabled` | whether the cluster lives in the lab |
| `access.lockdown`, `access.operators_auto` | what `auto` comes to, as booleans; `access.operators` is then without `auto` |
| `timeouts` | the limits as numbers of seconds |
| `budget` | absent: only commands heed it |
| `sha256` | SHA-256 of everything else in the object, in hex: comments and order of the file do not change it |

# Errors

An error is at the argument that caused it, `text` or `set`, and lists every finding with line and column, the field, what is wrong and how to
mend it.
";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "path",
            description: "Name of the file, for messages; it is not opened.",
        },
        Parameter {
            name: "text",
            description: "Text of the file, YAML, e.g. `file(var.cluster_file)`.",
        },
        Parameter {
            name: "set",
            description: "Overrides by dotted path, values as text, e.g. `{ \"endpoint.port\" = \"7443\" }`; `{}` for none.",
        },
    ];
    type Arguments = (String, String, BTreeMap<String, String>);
    type Return = Dynamic;

    fn call((path, text, set): Self::Arguments) -> Result<Dynamic, FunctionError> {
        match parse(&path, &text, &set) {
            Ok(cluster) => Ok(Dynamic::from_json(&to_json(&cluster))),
            Err(findings) => {
                let errors: Vec<_> = findings
                    .iter()
                    .filter(|finding| finding.severity == Severity::Error)
                    .collect();
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                // Line 0: every wrong value came from an override.
                let argument = if errors.iter().all(|finding| finding.line == 0) && !set.is_empty()
                {
                    2
                } else {
                    1
                };
                Err(FunctionError::at(
                    argument,
                    format!("The cluster file is refused.\n{}", texts.join("\n")),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_file_is_refused_with_line_and_field() {
        let error = Cluster::call((
            "cluster.yaml".into(),
            "name: home\nnonsense: 1\n".into(),
            BTreeMap::new(),
        ))
        .unwrap_err();
        assert_eq!(error.argument, Some(1));
        assert!(
            error.text.contains("cluster.yaml:2") && error.text.contains("nonsense"),
            "{}",
            error.text
        );
    }
}
