//! `provider::strata::flatcar_install_script(install)`: the user data that turns a fresh Ubuntu into Flatcar (docs/delivery.md sections 2 and 3).

use serde::Deserialize;
use strata_framework::{Dynamic, Function, FunctionError, Parameter};

use super::object;
use crate::services::flatcar::install::{Install, Wipe, install_script};

const EXPECTED: &str = "node_ignition, channel, version, disk, wipe (all or target) and optionally kernel_sha512, initrd_sha512";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Argument {
    node_ignition: String,
    channel: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    disk: Option<String>,
    wipe: WipeWord,
    #[serde(default)]
    kernel_sha512: Option<String>,
    #[serde(default)]
    initrd_sha512: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WipeWord {
    All,
    Target,
}

/// The function `flatcar_install_script`.
pub struct FlatcarInstallScript;

impl Function for FlatcarInstallScript {
    const NAME: &'static str = "flatcar_install_script";
    const SUBCATEGORY: &'static str = "Flatcar";
    const SUMMARY: &'static str = "Makes the script that installs Flatcar from a running Linux.";
    const DESCRIPTION: &'static str = "\
Returns a shell script for cloud-init, at most 127998 bytes, that starts Flatcar's installer in memory and writes Flatcar to a disk. It carries
the node's Ignition, which holds a private key: use it in write-only attributes only.

The object `install` has these attributes:

| attribute | type | is |
| --- | --- | --- |
| `node_ignition` | string | what the function `ignition` returned |
| `channel` | string | `stable`, `beta` or `lts` |
| `version` | string, optional | Flatcar version, e.g. `4230.2.3`; null is the channel's current one when the machine boots |
| `disk` | string, optional | target below `/dev/disk/by-id/`; null is the smallest free disk |
| `wipe` | string | whose old signatures are wiped first: `all` disks or the `target` |
| `kernel_sha512`, `initrd_sha512` | string, optional | SHA-512 in hex that the downloaded kernel and initrd must have; null is not checked |

# Errors

A missing, unknown or malformed attribute is named at the argument. Values are never quoted, since one of them holds a key.
";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "install",
        description: "What is installed, and where: see the table.",
    }];
    type Arguments = (Dynamic,);
    type Return = String;

    fn call((argument,): Self::Arguments) -> Result<String, FunctionError> {
        let argument: Argument = object(&argument, EXPECTED)?;
        let install = Install {
            node_ignition: &argument.node_ignition,
            channel: &argument.channel,
            version: argument.version.as_deref(),
            disk: argument.disk.as_deref(),
            wipe: match argument.wipe {
                WipeWord::All => Wipe::All,
                WipeWord::Target => Wipe::Target,
            },
            kernel_sha512: argument.kernel_sha512.as_deref(),
            initrd_sha512: argument.initrd_sha512.as_deref(),
        };
        install_script(&install).map_err(|error| FunctionError::at(0, error.to_string()))
    }
}
