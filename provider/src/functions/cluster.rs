//! `provider::strata::cluster(path, text, set)`: the cluster file, checked and with every attribute present (FN17: pure).

use std::collections::BTreeMap;

use strata_cluster::{Severity, parse, to_json};
use strata_framework::{Dynamic, Function, FunctionError, Parameter};

/// The function `cluster`.
pub struct Cluster;

impl Function for Cluster {
    const NAME: &'static str = "cluster";
    const SUMMARY: &'static str = "Reads a cluster file.";
    const DESCRIPTION: &'static str = "Checks the text of a cluster file, lays overrides over it and returns the cluster with every attribute present. \
        Reads no file, environment or clock, so a plan and its apply see the same cluster.";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "path",
            description: "Name of the file, for messages.",
        },
        Parameter {
            name: "text",
            description: "Text of the file: `file(var.cluster_file)`.",
        },
        Parameter {
            name: "set",
            description: "Overrides by dotted path: `var.set`.",
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
