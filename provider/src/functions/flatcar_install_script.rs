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
    const SUMMARY: &'static str = "Makes the script that installs Flatcar from a running Linux.";
    const DESCRIPTION: &'static str = "Returns a shell script for cloud-init that starts Flatcar's installer in memory and writes Flatcar to the disk. \
        It carries the node's Ignition, which holds a private key: use it in write-only attributes only.";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "install",
        description: "Object with `node_ignition` (from the function `ignition`), `channel`, `version` (null: the channel's current one), `disk` (`/dev/disk/by-id/...`; null: the smallest free disk) and `wipe` (`all` or `target`).",
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
