//! `provider::strata::talos_machine_config(machine, secrets)`: the configuration of one Talos machine.

use strata_framework::{Dynamic, Function, FunctionError, Parameter};

use super::object;
use crate::services::talos::config::{self, Options};
use crate::services::talos::patch;

const EXPECTED: &str = "cluster, endpoint, role (control-plane or worker), contract, kubernetes_version and optionally install = { disk, image }, \
    sans, pods, services, domain, discovery, schedule_on_control_planes, cni, kube_proxy, hostname, vip = { address, link }, \
    network = { link, address, gateway, nameservers, ntp }, node_networks, labels, taints, patches";

/// The function `talos_machine_config`.
pub struct TalosMachineConfig;

impl Function for TalosMachineConfig {
    const NAME: &'static str = "talos_machine_config";
    const SUBCATEGORY: &'static str = "Talos";
    const SUMMARY: &'static str = "Makes the configuration of a Talos machine.";
    const DESCRIPTION: &'static str = "\
Returns a machine configuration as a stream of YAML documents: what `talosctl gen config` makes from the same secrets, then what the object asks
for, then the patches in turn. It holds keys: it is ephemeral when the secrets are, and belongs into write-only attributes.

The object `machine` has these attributes:

| attribute | type | is |
| --- | --- | --- |
| `cluster` | string | name of the cluster |
| `endpoint` | string | the Kubernetes API, `https://HOST:PORT` |
| `role` | string | `control-plane` or `worker` |
| `contract` | string | the config contract, `v1.12` to `v1.15`: which generation of Talos it is written for. Newer ones read it, so it stays when Talos is upgraded |
| `kubernetes_version` | string | e.g. `v1.36.3` |
| `install` | object, optional | `disk` (e.g. `/dev/sda`) and `image` of the installer. Without it nothing is installed: the disk image is the installation |
| `sans` | list of string, optional | more names and addresses for the certificates of both APIs |
| `pods`, `services` | list of string, optional | CIDRs, by default those of `talosctl` |
| `domain` | string, optional | DNS domain of the cluster, by default `cluster.local` |
| `discovery` | bool, optional | whether Talos' public discovery service is used; by default it is |
| `schedule_on_control_planes` | bool, optional | whether control planes take workloads |
| `cni` | string, optional | `flannel` (default), `none`, or the https address of manifests |
| `kube_proxy` | bool, optional | `false` where the CNI does its work |
| `hostname` | string, optional | name of the machine; without it Talos makes one |
| `vip` | object, optional | `address` that control planes hand from one to the other, and `link` that has it; workers ignore it |
| `network` | object, optional | a static address instead of DHCP: `link`, `address` (CIDR), and optionally `gateway`, `nameservers`, `ntp` |
| `node_networks` | list of string, optional | CIDRs in which kubelet and etcd look for the node's own address |
| `labels` | map of string, optional | labels of the Node |
| `taints` | list of string, optional | taints of the Node, e.g. `example.org/gpu=yes:NoSchedule` |
| `patches` | list of string, optional | strategic merge patches, also of several documents and with `$patch: delete`. JSON 6902 is refused, as by Talos: a configuration has several documents |

From contract `v1.14` on, most fields stand in documents of their own. A patch must speak of the place that the contract uses.

# Errors

A missing, unknown or malformed attribute is named at the argument, a patch by its number, and so is what no machine would take, e.g. a field
beside the document that replaced it. Values are never quoted.
";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "machine",
            description: "The machine: see the table.",
        },
        Parameter {
            name: "secrets",
            description: "The cluster's secrets, as `talosctl gen secrets` writes them: value of a `strata_secret` of kind `talos_secrets`.",
        },
    ];
    type Arguments = (Dynamic, String);
    type Return = String;

    fn call((argument, secrets): Self::Arguments) -> Result<String, FunctionError> {
        let options: Options = object(&argument, EXPECTED)?;
        let documents = config::documents(options, &secrets).map_err(|error| match error {
            config::Error::Secrets(_) => FunctionError::at(1, format!("{error}.")),
            _ => FunctionError::at(0, format!("{error}.")),
        })?;
        Ok(patch::render(&documents))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named_at_its_argument() {
        let machine = json!({
            "cluster": "home", "endpoint": "https://192.0.2.10:6443", "role": "worker", "contract": "v1.13", "kubernetes_version": "v1.36.3",
            "vip": null, "labels": null,
        });
        let call = |machine: &serde_json::Value| {
            TalosMachineConfig::call((Dynamic::from_json(machine), "hunter2".into()))
        };
        let secrets = call(&machine).unwrap_err();
        assert_eq!(secrets.argument, Some(1));
        assert!(!secrets.text.contains("hunter2"));
        let mut misspelt = machine.clone();
        misspelt["rolle"] = "worker".into();
        let object = call(&misspelt).unwrap_err();
        assert_eq!(object.argument, Some(0));
        assert!(object.text.contains("unknown field `rolle`"), "{object:?}");
    }
}
