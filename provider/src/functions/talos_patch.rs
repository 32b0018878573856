//! `provider::strata::talos_patch(configuration, patches...)`: patches of a machine configuration, in Talos' own meaning.

use strata_framework::{Function, FunctionError, Parameter};

use crate::services::talos::patch;

/// The function `talos_patch`.
pub struct TalosPatch;

impl Function for TalosPatch {
    const NAME: &'static str = "talos_patch";
    const SUBCATEGORY: &'static str = "Talos";
    const SUMMARY: &'static str = "Applies a patch to a Talos machine configuration.";
    const DESCRIPTION: &'static str = "\
Returns the machine configuration with a patch applied, as `talosctl machineconfig patch` does: a strategic merge patch, also of several documents
and with `$patch: delete`, or a list of JSON 6902 operations, which Talos takes for a configuration of a single document only. Lists are appended:
patch the base, never what was patched. One document is returned as JSON, several as YAML.

# Errors

A configuration or patch that is none, an operation that cannot be done, and a deletion of what is not there. Values are never quoted.
";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "configuration",
            description: "The machine configuration, YAML or JSON.",
        },
        Parameter {
            name: "patch",
            description: "The patch, YAML or JSON.",
        },
    ];
    type Arguments = (String, String);
    type Return = String;

    fn call((configuration, text): Self::Arguments) -> Result<String, FunctionError> {
        let documents = patch::documents(&configuration)
            .map_err(|error| FunctionError::at(0, format!("{error}.")))?;
        patch::apply(documents, &text)
            .map(|documents| patch::text(&documents))
            .map_err(|error| FunctionError::at(1, format!("{error}.")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_that_is_wrong_is_named() {
        let call = |configuration: &str, patch: &str| {
            TalosPatch::call((configuration.into(), patch.into()))
        };
        let good = call("machine: {type: worker}", "machine: {env: {A: b}}").unwrap();
        assert_eq!(good, r#"{"machine":{"type":"worker","env":{"A":"b"}}}"#);
        assert_eq!(call("x", "{}").unwrap_err().argument, Some(0));
        assert_eq!(call("{}", "x").unwrap_err().argument, Some(1));
    }
}
