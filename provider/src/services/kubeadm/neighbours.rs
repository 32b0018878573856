//! The other nodes of the cluster, as a change of membership needs them: their firewalls must know a newcomer, and one of them tells who is in etcd.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt as _;
use strata_framework::{Diagnostics, Limits, Probe, wait};

use super::membership::{self, Member, Peer};
use crate::access::{Access, Place};
use crate::kubernetes::node::{self, Readiness, View};
use crate::kubernetes::{self, Client};
use crate::marker;
use crate::services::attribute::Ssh;
use crate::verb::Verb;

/// How many firewalls are told at once.
const AT_ONCE: usize = 8;
/// A node that neither acknowledges nor is found dead by then stops the join.
const ACKNOWLEDGE: Duration = Duration::from_mins(3);

/// The other nodes.
pub struct Neighbours<'a> {
    /// The ways to them.
    pub access: &'a Access<'a>,
    /// Deadline and stop signal.
    pub limits: &'a Limits,
    /// The cluster's API.
    pub client: &'a Client,
    /// User and key for those that are still open.
    pub ssh: &'a Ssh,
    /// The node that joins or leaves, which is not its own neighbour.
    pub node: &'a str,
}

fn failed(error: &kubernetes::Error) -> Diagnostics {
    Diagnostics::failed("list", "nodes", "", error)
}

impl Neighbours<'_> {
    /// The other nodes as the API knows them.
    pub async fn views(&self) -> Result<Vec<View>, Diagnostics> {
        let nodes = node::list(self.client)
            .await
            .map_err(|error| failed(&error))?;
        Ok(nodes
            .into_iter()
            .filter(|view| view.name != self.node)
            .collect())
    }

    /// The control planes among all nodes, for the questions of [`membership`].
    pub async fn control_planes(&self) -> Result<Vec<Peer>, Diagnostics> {
        let nodes = node::list(self.client)
            .await
            .map_err(|error| failed(&error))?;
        let control_planes = nodes.into_iter().filter(|view| view.control_plane);
        Ok(control_planes
            .map(|view| Peer {
                alive: view.readiness != Readiness::Silent,
                name: view.name,
            })
            .collect())
    }

    /// Makes every other node's firewall know all of `peers`; returns the names of dead nodes that were left out.
    pub async fn tell(&self, peers: &BTreeSet<IpAddr>) -> Result<Vec<String>, Diagnostics> {
        let views = self.views().await?;
        let mut addresses = peers.clone();
        addresses.extend(
            views
                .iter()
                .flat_map(|view| &view.addresses)
                .filter_map(|address| address.parse::<IpAddr>().ok()),
        );
        let addresses = &addresses;
        let told = futures::stream::iter(views).map(|view| async move {
            let told = self.tell_one(&view, addresses).await?;
            Ok::<_, Diagnostics>((!told).then_some(view.name))
        });
        let told: Vec<Result<Option<String>, Diagnostics>> =
            told.buffer_unordered(AT_ONCE).collect().await;
        Ok(told
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .flatten()
            .collect())
    }

    /// False when the node turned out to be dead.
    async fn tell_one(
        &self,
        view: &View,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<bool, Diagnostics> {
        let store = self.access.store();
        let marker = marker::read(store, &view.name)
            .await
            .map_err(|error| crate::provider::store_failed("read", "member", &error))?;
        if marker.is_some_and(|marker| addresses.is_subset(&marker.peers)) {
            return Ok(true);
        }
        let Some(address) = view.addresses.first() else {
            return Ok(false);
        };
        let place = Place {
            node: &view.name,
            address,
            ssh: self.ssh,
        };
        let verb = Verb::Peers(addresses.iter().copied().collect());
        let policy = self
            .access
            .policy(
                format!("node {} to admit {}", view.name, self.node),
                Duration::from_secs(5),
                Duration::from_secs(10),
            )
            .at_most(self.access.pace(ACKNOWLEDGE).max(Duration::from_secs(15)));
        let told = wait(self.limits, &policy, async || {
            if matches!(
                node::get(self.client, &view.name).await,
                Ok(Some(View {
                    readiness: Readiness::Silent,
                    ..
                }) | None)
            ) {
                return Probe::Done(false);
            }
            match self
                .access
                .run(self.limits, self.client, &place, &verb)
                .await
            {
                Ok(_) => Probe::Done(true),
                Err(error) => Probe::NotYet::<_, Diagnostics>(error.to_string()),
            }
        })
        .await?;
        if told {
            marker::told(store, &view.name, addresses)
                .await
                .map_err(|error| crate::provider::store_failed("write", "member", &error))?;
        }
        Ok(told)
    }

    /// Runs a verb on the first control plane that is alive and answers; on the node itself only when no other does.
    pub async fn ask(&self, verb: &Verb) -> Result<String, Diagnostics> {
        let mut refusals = Diagnostics::none();
        let nodes = node::list(self.client)
            .await
            .map_err(|error| failed(&error))?;
        let mut candidates: Vec<View> = nodes
            .into_iter()
            .filter(|view| view.control_plane)
            .collect();
        candidates
            .sort_by_key(|view| (view.name == self.node, view.readiness == Readiness::Silent));
        for view in candidates {
            let Some(address) = view.addresses.first() else {
                continue;
            };
            let place = Place {
                node: &view.name,
                address,
                ssh: self.ssh,
            };
            match self
                .access
                .run(self.limits, self.client, &place, verb)
                .await
            {
                Ok(output) => return Ok(output),
                Err(error) => refusals.merge(error),
            }
        }
        if refusals.is_empty() {
            refusals = Diagnostics::error(
                format!("Cannot run `{}`", verb.name()),
                "The cluster has no control plane.",
            );
        }
        Err(refusals)
    }

    /// The members of etcd.
    pub async fn members(&self) -> Result<Vec<Member>, Diagnostics> {
        let output = self.ask(&Verb::Members).await?;
        membership::parse(&output)
            .map_err(|error| Diagnostics::failed("read", "etcd's list of members", "", &error))
    }

    /// Removes one member of etcd.
    pub async fn remove(&self, member: &Member) -> Result<(), Diagnostics> {
        tracing::info!(
            "removing member {:x} ({}) from etcd",
            member.id,
            member.name
        );
        self.ask(&Verb::MemberRemove { id: member.id })
            .await
            .map(drop)
    }
}
