//! A snapshot of etcd over Talos' own API, sealed and kept where every cluster's are.

use std::collections::BTreeMap;

use strata_framework::Diagnostics;

use super::ways::Ways;
use crate::http::dial::Dialer;
use crate::snapshot::place::Kept;
use crate::talos::client::Credentials;
use crate::talos_secrets::TalosSecrets;

/// Takes one from the first control plane that gives it.
pub async fn take(
    credentials: &Credentials,
    dialer: &Dialer,
    secrets: &TalosSecrets,
    control_planes: &BTreeMap<String, String>,
) -> Result<Vec<u8>, Diagnostics> {
    let mut last = Diagnostics::error(
        "Cannot take a snapshot of etcd",
        "No control plane is known.",
    );
    for (name, address) in control_planes {
        let taken = match credentials.connect(dialer, address, secrets).await {
            Ok(client) => client.snapshot().await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(bytes) => return Ok(bytes),
            Err(error) => {
                last = Diagnostics::failed("take", "snapshot of etcd from", name, &error);
            }
        }
    }
    Err(last)
}

/// Takes one and keeps it.
pub async fn keep(
    ways: &Ways<'_>,
    secrets: &str,
    control_planes: &BTreeMap<String, String>,
) -> Result<Kept, Diagnostics> {
    let credentials = &ways.access.shared().talos;
    let bytes = take(
        credentials,
        ways.access.dialer(),
        &ways.secrets,
        control_planes,
    )
    .await?;
    let pki = ways.access.pki(secrets).await?;
    ways.access.keep_snapshot(&bytes, &pki).await
}
