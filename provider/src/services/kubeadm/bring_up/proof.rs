//! What proves that kubeadm did its work: the API is ready, the Node is registered, the etcd member votes.

use std::time::Duration;

use strata_framework::{Diagnostics, Probe, chain, wait};

use super::super::neighbours::Neighbours;
use super::{Newcomer, REGISTER};
use crate::access::waited;
use crate::kubernetes::{Client, node};

impl Newcomer<'_> {
    pub(super) async fn wait_until_ready(&self, client: &Client) -> Result<(), Diagnostics> {
        let policy = self
            .access
            .policy(
                format!("the API server of node {}", self.name),
                Duration::from_secs(2),
                Duration::from_secs(5),
            )
            .at_most(self.access.pace(REGISTER).max(Duration::from_secs(20)));
        let ready = wait(&self.limits, &policy, async || match client.probe().await {
            Ok(()) => Probe::Done(()),
            Err(error) if error.is_unreachable() => Probe::NotYet(chain(&error)),
            Err(error) => Probe::Failed(error),
        });
        ready
            .await
            .map_err(|error| waited("set up", "node", self.name, &error))
    }

    /// The proof that kubeadm did its work is the Node object, not its exit code.
    pub(super) async fn wait_until_registered(&self, client: &Client) -> Result<(), Diagnostics> {
        if self.control_plane {
            client.try_again();
        }
        let policy = self
            .access
            .policy(
                format!("node {} to register", self.name),
                Duration::from_secs(2),
                Duration::from_secs(5),
            )
            .at_most(self.access.pace(REGISTER).max(Duration::from_secs(20)));
        let registered = wait(&self.limits, &policy, async || {
            match node::get(client, self.name).await {
                Ok(Some(_)) => Probe::Done(()),
                Ok(None) => Probe::NotYet("the API has no such node yet".into()),
                Err(error) if error.is_unreachable() => {
                    client.try_again();
                    Probe::NotYet(chain(&error))
                }
                Err(error) => Probe::Failed(error),
            }
        });
        registered
            .await
            .map_err(|error| waited("set up", "node", self.name, &error))
    }

    pub(super) async fn wait_until_voting(
        &self,
        neighbours: &Neighbours<'_>,
    ) -> Result<(), Diagnostics> {
        let policy = self.access.policy(
            format!("node {} to vote in etcd", self.name),
            Duration::from_secs(2),
            Duration::from_secs(5),
        );
        let voting = wait(&self.limits, &policy, async || {
            match neighbours.members().await {
                Ok(members) => match members.iter().find(|member| member.name == self.name) {
                    Some(member) if !member.is_learner => Probe::Done(()),
                    Some(_) => Probe::NotYet("it is still a learner".into()),
                    None => Probe::NotYet("it is not a member yet".into()),
                },
                Err(error) => Probe::NotYet::<_, Diagnostics>(error.to_string()),
            }
        });
        Ok(voting.await?)
    }
}
