//! A node leaves: moved empty, out of etcd, reset, deleted from the API. Under tear-down only its mark goes, and the last one takes the claim along.

use std::time::Duration;

use strata_framework::{Diagnostics, Limits, chain};

use super::membership::may_leave;
use super::neighbours::Neighbours;
use crate::access::{Access, SessionError};
use crate::claim::{self, State};
use crate::drain::drain;
use crate::kubernetes::Client;
use crate::kubernetes::node::{self, Readiness};
use crate::marker;
use crate::provider::store_failed;
use crate::services::attribute::{Cluster, Ssh};
use crate::verb::Verb;

/// A node that goes.
pub struct Leaver<'a> {
    /// The ways.
    pub access: &'a Access<'a>,
    /// Deadline and stop signal.
    pub limits: Limits,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// User and keys.
    pub ssh: &'a Ssh,
    /// Name.
    pub name: &'a str,
    /// Role.
    pub control_plane: bool,
    /// Address.
    pub address: &'a str,
}

impl Leaver<'_> {
    fn failed(&self, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("remove", "node", self.name, error)
    }

    /// Removes the node. Returns warnings about what could not be done and does not matter for the rest.
    pub async fn leave(&self) -> Result<Diagnostics, Diagnostics> {
        let store = self.access.store();
        let claimed = claim::read(store)
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?;
        // Under tear-down, and where nobody ever initialised anything, there is no cluster to leave.
        let lives = claimed.is_some_and(|(claim, _)| claim.state != State::Teardown);
        let mut warnings = Diagnostics::none();
        if lives {
            self.leave_living_cluster(&mut warnings).await?;
        }
        self.access.shared().forget_nodes();
        let left = marker::remove(store, self.name)
            .await
            .map_err(|error| store_failed("delete", "member", &error))?;
        if left == 0
            && let Some((_, nonce)) = claim::read(store)
                .await
                .map_err(|error| store_failed("read", claim::ENTRY, &error))?
        {
            claim::drop_if(store, &nonce)
                .await
                .map_err(|error| store_failed("delete", claim::ENTRY, &error))?;
        }
        Ok(warnings)
    }

    async fn leave_living_cluster(&self, warnings: &mut Diagnostics) -> Result<(), Diagnostics> {
        let mut cluster = self.cluster.clone();
        let mut others = cluster.control_planes();
        others.remove(self.name);
        // The node that goes is the last one to ask.
        if !others.is_empty() {
            cluster.control_planes = others.into();
        }
        let client = self.access.client(&cluster).await?;
        client.probe().await.map_err(|error| {
            self.failed(&error)
                .left("Nothing was changed: without the API nobody knows whether the cluster survives without this node.")
                .hint("Bring the API back, or destroy the cluster as a whole (./bootstrap.sh destroy), which needs no API.")
        })?;
        let neighbours = Neighbours {
            access: self.access,
            limits: &self.limits,
            client: &client,
            ssh: self.ssh,
            node: self.name,
        };
        let endpoint = self.cluster.endpoint.text();
        let _serial = if self.control_plane {
            Some(
                self.access
                    .shared()
                    .membership(
                        &self.limits,
                        endpoint,
                        self.access.pace(Duration::from_secs(2)),
                    )
                    .await?,
            )
        } else {
            None
        };
        let view = node::get(&client, self.name)
            .await
            .map_err(|error| self.failed(&error))?;
        if self.control_plane {
            self.keep_majority(&neighbours).await?;
            self.snapshot(&client, warnings).await;
        }
        // Nobody on a dead node would confirm that its pods have gone.
        if view.is_some_and(|view| view.readiness != Readiness::Silent) {
            self.drain(&client, warnings).await?;
        }
        self.reset(warnings).await;
        if self.control_plane {
            for member in neighbours
                .members()
                .await?
                .iter()
                .filter(|member| member.is_of(self.name, self.address))
            {
                neighbours.remove(member).await?;
            }
        }
        node::delete(&client, self.name)
            .await
            .map_err(|error| self.failed(&error))
    }

    /// The last moment at which all is as it was. Without the CNI there is no way to take one, and the member goes all the same.
    async fn snapshot(&self, client: &Client, warnings: &mut Diagnostics) {
        let taken = async {
            let pki = self.access.pki(self.cluster.pki.text()).await?;
            self.access.snapshot(&self.limits, client, &pki).await
        };
        if let Err(found) = taken.await {
            warnings.merge(Diagnostics::warning(
                format!(
                    "Node \"{}\" leaves without a snapshot of etcd before it",
                    self.name
                ),
                found.to_string(),
            ));
        }
    }

    /// Refuses when the cluster would not survive without this node.
    async fn keep_majority(&self, neighbours: &Neighbours<'_>) -> Result<(), Diagnostics> {
        let nodes = neighbours.control_planes().await?;
        let verdict = if nodes.iter().all(|peer| peer.name == self.name) {
            Err("it is the last control plane: without it there is no cluster. Destroy the cluster as a whole instead".to_owned())
        } else {
            may_leave(&neighbours.members().await?, &nodes, self.name)
        };
        verdict.map_err(|reason| {
            Diagnostics::error(
                format!("Cannot remove node \"{}\"", self.name),
                format!("Removing it now would stop the cluster: {reason}."),
            )
            .left("Nothing was changed.")
        })
    }

    async fn drain(&self, client: &Client, warnings: &mut Diagnostics) -> Result<(), Diagnostics> {
        node::cordon(client, self.name)
            .await
            .map_err(|error| self.failed(&error))?;
        match drain(&self.limits, client, self.access.speed(), self.name).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_unfinished() && !self.limits.cancel.is_cancelled() => {
                warnings.merge(Diagnostics::warning(
                    format!("Node \"{}\" was removed with pods on it", self.name),
                    error.to_string(),
                ));
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Cleans the machine. It may be dead, locked or on its way back to its landlord: that must not keep the rest from being done.
    async fn reset(&self, warnings: &mut Diagnostics) {
        let session = self
            .access
            .session(self.ssh, self.ssh.host_key.text(), self.address)
            .await;
        let reset = match session {
            Ok(session) => session
                .run(&Verb::KubeadmReset, b"")
                .await
                .map(drop)
                .map_err(|error| chain(&error)),
            Err(SessionError::Ssh(error)) => Err(chain(&error)),
            Err(SessionError::Store(diagnostics)) => Err(diagnostics.to_string()),
        };
        if let Err(reason) = reset {
            warnings.merge(
                Diagnostics::warning(format!("Node \"{}\" left without being reset", self.name), reason)
                    .left("It is out of the cluster; its disk may still hold the cluster's keys and data."),
            );
        }
    }
}
