//! `provider::strata::ignition(node)`: the Ignition that a Flatcar node boots with first (docs/delivery.md section 4).

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::Deserialize;
use strata_framework::{Dynamic, Function, FunctionError, Parameter};

use super::object;
use crate::firewall::{Api, Rules, Ssh};
use crate::services::flatcar::ignition::{NodeIgnition, Snapshots, node_ignition};

const EXPECTED: &str = "name, role (control-plane or worker), ssh_public_key, host_private_key, host_public_key, kubernetes_version, \
    os = { channel, version, updates }, open_rules = { operators }, pods (CIDR) and optionally public_ports, extension_sha256, snapshots = { every, keep }";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: String,
    role: Role,
    ssh_public_key: String,
    host_private_key: String,
    host_public_key: String,
    kubernetes_version: String,
    os: Os,
    open_rules: OpenRules,
    pods: IpNet,
    #[serde(default)]
    public_ports: Option<BTreeSet<u16>>,
    #[serde(default)]
    extension_sha256: Option<String>,
    #[serde(default)]
    snapshots: Option<Snapshots>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Role {
    ControlPlane,
    Worker,
}

// `channel` and `version` are the installer's; they are accepted so that one object serves both functions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Os {
    #[serde(default, rename = "channel")]
    _channel: Option<String>,
    #[serde(default, rename = "version")]
    _version: Option<String>,
    #[serde(default)]
    updates: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenRules {
    #[serde(default)]
    operators: Option<Vec<IpNet>>,
}

/// The function `ignition`.
pub struct Ignition;

impl Function for Ignition {
    const NAME: &'static str = "ignition";
    const SUBCATEGORY: &'static str = "Flatcar";
    const SUMMARY: &'static str = "Makes the Ignition of a node.";
    const DESCRIPTION: &'static str = "\
Returns the configuration that a Flatcar node boots with first, as the JSON text of Ignition 3.3.0: the operator's key for user `core`, a
single-use host key, the Kubernetes extension, the first firewall and `strata-node`, the closed list of commands. It holds a private key: use
it in write-only attributes only.

The object `node` has these attributes:

| attribute | type | is |
| --- | --- | --- |
| `name` | string | name of the node, a host name of 63 characters at most |
| `role` | string | `control-plane` or `worker` |
| `ssh_public_key` | string | the operator's public key, one line |
| `host_private_key`, `host_public_key` | string | the single-use host key, of a `strata_secret` of kind `ssh_host_keypair` |
| `kubernetes_version` | string | e.g. `v1.34.2` |
| `os` | object | `updates`: `auto` or `off`; `channel` and `version` are accepted, so that one object serves both functions |
| `open_rules` | object | `operators`: CIDRs that reach port 22 until the node is locked; none is everybody |
| `pods` | string | CIDR of the pods |
| `public_ports` | list of number, optional | TCP ports that a worker opens to everyone |
| `extension_sha256` | string, optional | SHA-256 in hex that the Kubernetes extension must have; null is not checked |
| `snapshots` | object, optional | control planes: `every`, seconds between two snapshots of etcd, and `keep`, how many stay on the disk; 21600 and 28 |

# Errors

A missing, unknown or malformed attribute is named at the argument. Values are never quoted, since one of them is a key.
";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "node",
        description: "The node: see the table.",
    }];
    type Arguments = (Dynamic,);
    type Return = String;

    fn call((argument,): Self::Arguments) -> Result<String, FunctionError> {
        let node: Node = object(&argument, EXPECTED)?;
        let operators = node.open_rules.operators.unwrap_or_default();
        let rules = Rules {
            control_plane: node.role == Role::ControlPlane,
            nodes: BTreeSet::new(),
            ssh: if operators.is_empty() {
                Ssh::Everyone
            } else {
                Ssh::From(operators)
            },
            api: Api::Any,
            pods: vec![node.pods],
            public_ports: node.public_ports.unwrap_or_default(),
        };
        let version = format!("v{}", node.kubernetes_version.trim_start_matches('v'));
        let ignition = NodeIgnition {
            name: &node.name,
            control_plane: rules.control_plane,
            ssh_public_key: &node.ssh_public_key,
            host_private_key: &node.host_private_key,
            host_public_key: &node.host_public_key,
            kubernetes_version: &version,
            extension_sha256: node.extension_sha256.as_deref(),
            snapshots: node.snapshots.unwrap_or_default(),
            updates: node.os.updates.as_deref() != Some("off"),
            open_rules: &rules.render(),
        };
        node_ignition(&ignition).map_err(|error| FunctionError::at(0, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::functions::flatcar_install_script::FlatcarInstallScript;
    use crate::services::secret::kind::Kind;

    fn node() -> serde_json::Value {
        let key = Kind::SshHostKeypair.generate("x", 0).unwrap();
        let public = Kind::SshHostKeypair.public(&key).unwrap()["public_key"].clone();
        json!({
            "name": "cp-1", "role": "control-plane", "ssh_public_key": public, "host_public_key": public, "host_private_key": key.expose(),
            "kubernetes_version": "1.34.2", "os": {"channel": "stable", "version": null, "updates": "auto"},
            "open_rules": {"operators": []}, "pods": "10.244.0.0/16", "public_ports": [80, 443]
        })
    }

    #[test]
    fn the_layers_object_becomes_an_ignition_and_a_script() {
        let ignition = Ignition::call((Dynamic::from_json(&node()),)).unwrap();
        let parsed: serde_json::Value = serde_json::from_str(&ignition).unwrap();
        assert_eq!(parsed["ignition"]["version"], "3.3.0");
        assert!(ignition.contains("kubernetes-v1.34.2-x86-64.raw"));
        let install = json!({"node_ignition": ignition, "channel": "stable", "version": null, "disk": null, "wipe": "all"});
        let script = FlatcarInstallScript::call((Dynamic::from_json(&install),)).unwrap();
        assert!(script.starts_with("#!/bin/bash\n"));
    }

    #[test]
    fn a_wrong_object_is_refused_without_quoting_a_value() {
        let mut wrong = node();
        wrong["host_private_key"] = json!(["-----BEGIN OPENSSH PRIVATE KEY----- abc"]);
        let error = Ignition::call((Dynamic::from_json(&wrong),)).unwrap_err();
        assert!(
            !error.text.contains("BEGIN") && error.argument == Some(0),
            "{}",
            error.text
        );
        let mut misspelt = node();
        misspelt["pod"] = json!("x");
        assert!(
            Ignition::call((Dynamic::from_json(&misspelt),))
                .unwrap_err()
                .text
                .contains("unknown field `pod`")
        );
    }
}
