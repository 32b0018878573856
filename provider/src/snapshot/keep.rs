//! Taking a snapshot and keeping it.

use strata_framework::{Bounded, Diagnostics};

use super::place::{Kept, Place};
use super::{seal, take};
use crate::access::through_door;
use crate::kubernetes::{Client, node};
use crate::pki::Pki;

/// Takes a snapshot on the first control plane that is Ready, and keeps it in `place`.
pub async fn keep(
    cx: &impl Bounded,
    client: &Client,
    speed: f64,
    pki: &Pki,
    place: &Place,
    cluster: &str,
) -> Result<Kept, Diagnostics> {
    let failed = |error: &dyn std::error::Error| {
        Diagnostics::failed("take", "snapshot of etcd of", cluster, error)
    };
    let nodes = node::list(client).await.map_err(|error| failed(&error))?;
    let mut witnesses: Vec<_> = nodes
        .into_iter()
        .filter(|view| view.control_plane && view.is_ready())
        .map(|view| view.name)
        .collect();
    witnesses.sort();
    let Some(witness) = witnesses.first() else {
        return Err(Diagnostics::error(
            format!("Cannot take a snapshot of etcd of \"{cluster}\""),
            "No control plane is Ready.",
        ));
    };
    let taken =
        take(|verb| async move { through_door(cx, client, speed, witness, &verb).await }).await;
    let bytes = taken.map_err(|error| failed(&error))?;
    sealed(&bytes, pki, place, cluster).await
}

/// Keeps a snapshot that was taken. It is sealed before it goes anywhere.
pub async fn sealed(
    bytes: &[u8],
    pki: &Pki,
    place: &Place,
    cluster: &str,
) -> Result<Kept, Diagnostics> {
    let sealed = seal::seal(bytes, pki)
        .map_err(|error| Diagnostics::failed("seal", "snapshot of etcd of", cluster, &error))?;
    place.put(sealed).await
}
