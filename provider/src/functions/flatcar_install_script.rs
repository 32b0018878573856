//! `provider::strata::flatcar_install_script(install)`: the user data that turns a fresh Ubuntu into Flatcar (docs/delivery.md sections 2 and 3).

use ipnet::IpNet;
use serde::Deserialize;
use strata_framework::{Dynamic, Function, FunctionError, Parameter};

use super::object;
use crate::services::flatcar::install::{Disk, Install, Kind, Like, Wipe, install_script};
use crate::services::flatcar::rescue::rescue_script;

const EXPECTED: &str = "node_ignition, channel, version, disk, wipe (all or target) and optionally from (cloud-init or rescue), disk_like = { min, type }, admits, kernel_sha512, initrd_sha512";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Argument {
    node_ignition: String,
    channel: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    disk: Option<String>,
    #[serde(default)]
    disk_like: Option<DiskLike>,
    wipe: WipeWord,
    #[serde(default)]
    from: From,
    #[serde(default)]
    admits: Vec<IpNet>,
    #[serde(default)]
    kernel_sha512: Option<String>,
    #[serde(default)]
    initrd_sha512: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiskLike {
    #[serde(default)]
    min: Option<u64>,
    #[serde(default)]
    r#type: Option<Kind>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WipeWord {
    All,
    Target,
}

/// Where the script runs.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum From {
    #[default]
    CloudInit,
    Rescue,
}

/// The function `flatcar_install_script`.
pub struct FlatcarInstallScript;

impl Function for FlatcarInstallScript {
    const NAME: &'static str = "flatcar_install_script";
    const SUBCATEGORY: &'static str = "Flatcar";
    const SUMMARY: &'static str = "Makes the script that installs Flatcar from a running Linux.";
    const DESCRIPTION: &'static str = "\
Returns a shell script that writes Flatcar to a disk: for cloud-init, at most 127998 bytes, which starts Flatcar's installer in memory, or for a rescue system, where
it runs the installer itself. It carries the node's Ignition, which holds a private key: use it in write-only attributes only.

The object `install` has these attributes:

| attribute | type | is |
| --- | --- | --- |
| `node_ignition` | string | what the function `ignition` returned |
| `channel` | string | `stable`, `beta` or `lts` |
| `version` | string, optional | Flatcar version, e.g. `4230.2.3`; null is the channel's current one when the machine boots |
| `disk` | string, optional | target below `/dev/disk/by-id/`; null is the smallest free disk |
| `disk_like` | object, optional | in place of `disk`: `min`, bytes, and `type`, `NVMe`, `SSD` or `HDD`, each optional. The disk is looked for on the machine and must not be in use; when none fits, or several that differ in size, the script ends there |
| `wipe` | string | whose old signatures are wiped first: `all` disks or the `target` |
| `from` | string, optional | where the script runs: `cloud-init` (user data of a fresh system; the default) or `rescue` (as root in a rescue system, for `rescue_script_wo`) |
| `admits` | list of strings, optional | CIDRs that port 22 of the installed system admits, as the Ignition says: only told in a comment, by which a later run finds that your address is another one now |
| `kernel_sha512`, `initrd_sha512` | string, optional | SHA-512 in hex that the downloaded kernel and initrd must have; null is not checked. From a rescue system there is no kernel |

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
        let disk = match (argument.disk.as_deref(), argument.disk_like) {
            (Some(_), Some(_)) => {
                return Err(FunctionError::at(
                    0,
                    "The disk is given twice: write `disk` or `disk_like`.",
                ));
            }
            (Some(name), None) => Disk::Named(name),
            (None, Some(like)) => Disk::Like(Like {
                min: like.min.unwrap_or_default(),
                kind: like.r#type,
            }),
            (None, None) => Disk::Smallest,
        };
        let install = Install {
            node_ignition: &argument.node_ignition,
            channel: &argument.channel,
            version: argument.version.as_deref(),
            disk,
            wipe: match argument.wipe {
                WipeWord::All => Wipe::All,
                WipeWord::Target => Wipe::Target,
            },
            admits: &argument.admits,
            kernel_sha512: argument.kernel_sha512.as_deref(),
            initrd_sha512: argument.initrd_sha512.as_deref(),
        };
        let script = match argument.from {
            From::CloudInit => install_script(&install),
            From::Rescue => rescue_script(&install),
        };
        script.map_err(|error| FunctionError::at(0, error.to_string()))
    }
}
