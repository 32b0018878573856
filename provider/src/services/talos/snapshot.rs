//! A snapshot of etcd over Talos' own API, sealed and kept where every cluster's are.

use std::collections::BTreeMap;
use std::path::PathBuf;

use strata_framework::Diagnostics;

use super::ways::Ways;

/// Takes one from the first control plane that gives it. The path of the file.
pub async fn keep(
    ways: &Ways<'_>,
    secrets: &str,
    control_planes: &BTreeMap<String, String>,
) -> Result<PathBuf, Diagnostics> {
    let failed =
        |error: &dyn std::error::Error| Diagnostics::failed("take", "snapshot of etcd", "", error);
    let mut last = Diagnostics::error(
        "Cannot take a snapshot of etcd",
        "No control plane is known.",
    );
    for address in control_planes.values() {
        let taken = match ways.node(address).await {
            Ok(client) => client.snapshot().await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(bytes) => {
                let pki = ways.access.pki(secrets).await?;
                return ways.access.keep_snapshot(&bytes, &pki);
            }
            Err(error) => last = failed(&error),
        }
    }
    Err(last)
}
