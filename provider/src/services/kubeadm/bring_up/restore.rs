//! `kubeadm init` over a snapshot of etcd, when `strata restore` has ordered it.

use strata_framework::Diagnostics;

use super::{Newcomer, Trouble};
use crate::kubernetes::{Client, node};
use crate::marker;
use crate::pki::Pki;
use crate::provider::store_failed;
use crate::snapshot::order::{self, Order};
use crate::ssh::Session;
use crate::verb::Verb;

/// Where the verb finds the snapshot.
const SNAPSHOT: &str = "/etc/strata/restore.db";

impl Newcomer<'_> {
    pub(super) async fn order(&self) -> Result<Option<Order>, Diagnostics> {
        order::read(self.access.store())
            .await
            .map_err(|error| store_failed("read", order::ENTRY, &error))
    }

    /// Delivers the snapshot and initialises over it.
    pub(super) async fn restore(
        &self,
        session: &Session,
        pki: &Pki,
        order: &Order,
    ) -> Result<(), Trouble> {
        let refused = |reason: String| {
            Diagnostics::error(format!("Cannot restore on node \"{}\"", self.name), reason)
                .left("No cluster was initialised.")
                .hint("Name the snapshot again: ./bootstrap.sh restore FILE")
        };
        let snapshot = order.open(pki).await.map_err(refused)?;
        tracing::info!("node {} restores {}", self.name, order.snapshot.display());
        self.put(session, "0600", SNAPSHOT, &snapshot).await?;
        let verb = Verb::KubeadmRestore {
            name: self.name.into(),
            address: self.address,
        };
        self.kubeadm(session, &verb).await
    }

    /// Nodes of the snapshot whose machines are gone: nobody reports for them, and who comes back under their names must be seen to join.
    pub(super) async fn forget_the_lost(&self, client: &Client) -> Result<(), Diagnostics> {
        let failed = |error: &dyn std::error::Error| self.failed("restore", error);
        let alive = marker::names(self.access.store())
            .await
            .map_err(|error| store_failed("list", "members", &error))?;
        for view in node::list(client).await.map_err(|error| failed(&error))? {
            if view.name != self.name && !alive.contains(&view.name) {
                node::delete(client, &view.name)
                    .await
                    .map_err(|error| failed(&error))?;
            }
        }
        Ok(())
    }
}
