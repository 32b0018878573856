//! A lost state: the node is a member already. It is looked at, written down and not touched.

use strata_framework::Diagnostics;

use super::Newcomer;
use crate::claim;
use crate::kubernetes::node;
use crate::marker;
use crate::provider::store_failed;

impl Newcomer<'_> {
    /// Takes over a member that is there; makes none. True when this node initialised the cluster.
    pub async fn adopt(&self) -> Result<bool, Diagnostics> {
        let refused = |reason: String| {
            Diagnostics::error(format!("Cannot adopt node \"{}\"", self.name), reason)
                .left("Nothing was changed.")
                .hint("Adopt the rest, then run ./bootstrap.sh: it makes what is missing.")
        };
        let store = self.access.store();
        let claimed = claim::read(store)
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?;
        let Some((claimed, _)) = claimed else {
            return Err(refused(
                "The store says that nobody ever initialised this cluster.".into(),
            ));
        };
        if claimed.owner != self.owner {
            return Err(refused(format!(
                "The store says that estate {} initialised the cluster, and this estate is {}.",
                claimed.owner, self.owner
            )));
        }
        let client = self.access.client(self.cluster).await?;
        let view = node::get(&client, self.name)
            .await
            .map_err(|error| self.failed("adopt", &error))?;
        let Some(view) = view else {
            return Err(refused("The cluster has no node of this name.".into()));
        };
        if !view.addresses.contains(&self.address.to_string()) {
            return Err(refused(format!(
                "The cluster's node of this name has the addresses {}, and the machine has {}.",
                view.addresses.join(", "),
                self.address
            )));
        }
        let member = marker::read(store, self.name)
            .await
            .map_err(|error| store_failed("read", "member", &error))?;
        if member.is_none() {
            self.mark().await?;
        }
        self.label().await?;
        Ok(claimed.node == self.name)
    }
}
