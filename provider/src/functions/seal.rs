//! `provider::strata::seal(secret)`: a SealedSecret, made offline from the controller's certificate.

use std::collections::BTreeMap;

use serde::Deserialize;
use strata_framework::{Dynamic, Function, FunctionError, Parameter};

use super::object;
use crate::sealed::Certificate;
use crate::sealed::seal::{Scope, Sealing, manifest};

const EXPECTED: &str =
    "certificate, namespace, name, data (map of string), key and optionally scope, type";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    certificate: String,
    namespace: String,
    name: String,
    data: BTreeMap<String, String>,
    key: String,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    r#type: Option<String>,
}

/// The function `seal`.
pub struct Seal;

impl Function for Seal {
    const NAME: &'static str = "seal";
    const SUBCATEGORY: &'static str = "Secrets";
    const SUMMARY: &'static str = "Seals a Secret for the sealed-secrets controller.";
    const DESCRIPTION: &'static str = "\
Returns a `SealedSecret` as YAML. No cluster is asked: the certificate is enough. Only the controller that has the certificate's key can open
it. The same arguments give the same text, so nothing changes from one run to the next, and a new value changes only itself.

The object `secret` has these attributes:

| attribute | type | is |
| --- | --- | --- |
| `certificate` | string | the controller's certificate in PEM: `certificate_pem` of a `strata_secret` of kind `sealed_secrets_keypair`, or what `kubeseal --fetch-cert` prints |
| `namespace`, `name` | string | of the Secret that comes out |
| `data` | map of string | its values |
| `key` | string | a password of at least 16 characters, the same for every call, e.g. a `strata_secret` of kind `password`: session keys are derived from it. Who has it and the sealed text can test a guess of a value, and nothing else |
| `scope` | string, optional | `strict` (default): opens under this name in this namespace; `namespace-wide`: under any name; `cluster-wide`: anywhere |
| `type` | string, optional | type of the Secret, by default `Opaque` |

What comes from ephemeral values is ephemeral itself, although nobody can read it. The expiry of the certificate is not looked at, since a
function has no clock; the controller does not look at it either.

# Errors

A missing, unknown or malformed attribute is named at the argument. Values are never quoted.
";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "secret",
        description: "What is sealed, and for whom: see the table.",
    }];
    type Arguments = (Dynamic,);
    type Return = String;

    fn call((argument,): Self::Arguments) -> Result<String, FunctionError> {
        let secret: Secret = object(&argument, EXPECTED)?;
        let wrong = |text: String| FunctionError::at(0, text);
        let certificate = Certificate::parse(&secret.certificate)
            .map_err(|error| wrong(format!("`certificate`: {error}.")))?;
        let word = secret.scope.as_deref().unwrap_or("strict");
        let scope = Scope::parse(word).ok_or_else(|| {
            wrong(format!(
                "`scope` is `{word}`; it must be strict, namespace-wide or cluster-wide."
            ))
        })?;
        for (attribute, value) in [("namespace", &secret.namespace), ("name", &secret.name)] {
            if !is_name(value) {
                return Err(wrong(format!(
                    "`{attribute}` is `{value}`; names in Kubernetes are lower-case letters, digits, `-` and `.`."
                )));
            }
        }
        let sealing = Sealing {
            certificate: &certificate,
            scope,
            namespace: &secret.namespace,
            name: &secret.name,
            kind: secret.r#type.as_deref().unwrap_or("Opaque"),
            data: &secret.data,
            key: secret.key.as_bytes(),
        };
        manifest(&sealing).map_err(|error| wrong(format!("{error}.")))
    }
}

/// A DNS subdomain, as far as it matters for a label: no `/`, not empty.
fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    (1..=253).contains(&text.len())
        && text.chars().all(known)
        && !text.starts_with(['-', '.'])
        && !text.ends_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn call(change: impl FnOnce(&mut Value)) -> Result<String, FunctionError> {
        let mut secret = json!({
            "certificate": include_str!("../sealed/key_pair/tls.crt"), "namespace": "default", "name": "db",
            "data": { "password": "hunter2-hunter2" }, "key": "0123456789abcdef",
        });
        change(&mut secret);
        Seal::call((Dynamic::from_json(&secret),))
    }

    #[test]
    fn optional_attributes_have_the_defaults_of_kubeseal() {
        let given = call(|secret| {
            secret["scope"] = "strict".into();
            secret["type"] = "Opaque".into();
        });
        let text = call(|_| {}).unwrap();
        assert_eq!(text, given.unwrap());
        assert!(text.contains("kind: SealedSecret") && !text.contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_quoted() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 6] = [
            (|secret| secret["certificate"] = "x".into(), "`certificate`"),
            (|secret| secret["scope"] = "global".into(), "`global`"),
            (|secret| secret["name"] = "Db".into(), "`name`"),
            (|secret| secret["namespace"] = "a/b".into(), "`namespace`"),
            (|secret| secret["key"] = "short".into(), "`key`"),
            (
                |secret| secret["data"] = json!(["hunter2-hunter2"]),
                "wrong type",
            ),
        ];
        for (change, named) in cases {
            let error = call(change).unwrap_err();
            assert!(error.text.contains(named), "{}", error.text);
            assert!(!error.text.contains("hunter2"), "{}", error.text);
        }
    }
}
