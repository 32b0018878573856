//! Joining a cluster that lives: wait for its API, tell the neighbours, clean the membership, run kubeadm, revoke the token.

use std::net::IpAddr;
use std::time::Duration;

use strata_framework::{Diagnostics, Probe, WaitError, chain, wait};

use super::super::config;
use super::super::membership::{Plan, before_join};
use super::super::neighbours::Neighbours;
use super::{Newcomer, READMIT, Trouble};
use crate::access::waited;
use crate::kubernetes::{self, Client, node, token};
use crate::marker;
use crate::pki::Pki;
use crate::provider::store_failed;
use crate::ssh::Session;
use crate::verb::Verb;

impl Newcomer<'_> {
    /// Waits until the cluster's API is ready; with `now`, asks once.
    pub(super) async fn wait_for_api(&self, now: bool) -> Result<(), Diagnostics> {
        let client = self.access.client(self.cluster).await?;
        if now {
            return client.probe().await.map_err(|error| {
                self.failed("join", &error).left("The cluster was being destroyed, and its API does not answer. Nothing was changed on this node.").hint("Finish the destroy first: ./bootstrap.sh destroy")
            });
        }
        let policy = self.access.policy(
            format!(
                "the API of {} before node {} joins",
                self.endpoint(),
                self.name
            ),
            Duration::from_secs(3),
            Duration::from_secs(10),
        );
        let ready = wait(&self.limits, &policy, async || match client.probe().await {
            Ok(()) => Probe::Done(()),
            Err(error) if error.is_unreachable() => Probe::NotYet(chain(&error)),
            Err(error) => Probe::Failed(error),
        });
        ready
            .await
            .map_err(|error| waited("join", "node", self.name, &error))
    }

    pub(super) async fn join(&self) -> Result<(), Trouble> {
        let pki = self.access.pki(self.cluster.pki.text()).await?;
        let client = self.access.client_with(self.cluster, &pki)?;
        let neighbours = Neighbours {
            access: self.access,
            limits: &self.limits,
            client: &client,
            ssh: self.ssh,
            node: self.name,
        };
        let _serial = if self.control_plane {
            Some(
                self.access
                    .shared()
                    .membership(
                        &self.limits,
                        self.endpoint(),
                        self.access.pace(Duration::from_secs(2)),
                    )
                    .await?,
            )
        } else {
            None
        };
        if self.has_joined(&client, &pki, &neighbours).await? {
            return Ok(());
        }
        let dead = neighbours.tell(&self.peers()).await?;
        if !dead.is_empty() {
            tracing::warn!(
                "node {} joins without {}, which did not answer",
                self.name,
                dead.join(", ")
            );
        }
        let session = self.session().await?;
        session
            .run(&Verb::KubeadmReset, b"")
            .await
            .map_err(|error| self.ssh_trouble(&error))?;
        self.match_version(&session, &client).await?;
        if self.control_plane {
            self.clean_membership(&neighbours).await?;
        }
        // A Node object of an earlier life would be taken for the new one.
        node::delete(&client, self.name)
            .await
            .map_err(|error| self.failed("join", &error))?;
        self.deliver(&session, &pki).await?;
        let left = (self.limits.deadline - tokio::time::Instant::now())
            .clamp(Duration::from_mins(10), Duration::from_hours(2));
        // The deadline is on this machine's clock, the token ends on the API server's.
        let token = token::mint(
            &client,
            self.access.there(left),
            &format!("strata: join of node {}", self.name),
        )
        .await;
        let token = token.map_err(|error| self.failed("join", &error))?;
        let joined = self.run_join(&session, &pki, &client, &token).await;
        // Whatever happened: nothing may join with it any more. An error here must not hide the first one.
        let revoked = token::revoke(&client, &token.id).await;
        joined?;
        if let Err(error) = revoked {
            tracing::warn!(
                "the join token of node {} was not deleted and expires at {}: {}",
                self.name,
                token.expires_at,
                chain(&error)
            );
        }
        self.wait_until_registered(&client).await?;
        if self.control_plane {
            self.wait_until_voting(&neighbours).await?;
            let own = self.own_client(&pki)?;
            self.wait_until_ready(&own).await?;
            self.map_endpoint(&session, self.address).await?;
        }
        session.close().await;
        Ok(())
    }

    /// A machine brings the version of the day it was made for; a cluster that is not there yet, or further, wants its own.
    async fn match_version(&self, session: &Session, client: &Client) -> Result<(), Trouble> {
        let current = kubernetes::version::configured(client)
            .await
            .map_err(|error| self.failed("join", &error))?;
        let cluster = self.cluster;
        if current == cluster.need("kubernetes_version", &cluster.kubernetes_version)? {
            return Ok(());
        }
        tracing::info!(
            "node {} joins with {current}, which the cluster runs",
            self.name
        );
        session
            .run(&Verb::Extension { version: current }, b"")
            .await
            .map(drop)
            .map_err(|error| self.ssh_trouble(&error))
    }

    pub(super) async fn run_join(
        &self,
        session: &Session,
        pki: &Pki,
        client: &Client,
        token: &token::Token,
    ) -> Result<(), Trouble> {
        let discovery = config::discovery(self.endpoint(), self.port(), &pki.ca_crt);
        self.put(session, "0600", config::DISCOVERY, discovery.as_bytes())
            .await?;
        let text = config::join(self.port(), &self.node_configuration(), &token.value);
        self.put(session, "0600", config::KUBEADM, text.expose().as_bytes())
            .await?;
        if self.control_plane
            && let Some(address) = self.detour(pki).await
        {
            self.map_endpoint(session, address).await?;
        }
        tracing::info!("node {} joins cluster {}", self.name, client.endpoint());
        self.kubeadm(session, &Verb::KubeadmJoin).await
    }

    /// The endpoint's first address is that of the first control plane by name. When that one does not serve yet, because another initialised, joining control planes map the
    /// name to one that does, until they serve themselves.
    pub(super) async fn detour(&self, pki: &Pki) -> Option<IpAddr> {
        let limit = Duration::from_secs(3);
        for (position, (name, address)) in self.cluster.control_planes().iter().enumerate() {
            let serves = kubernetes::answers_tls(
                self.access.dialer(),
                address,
                self.endpoint(),
                self.port(),
                &pki.ca_crt,
                limit,
            )
            .await
            .is_ok();
            if serves && name != self.name {
                return if position == 0 {
                    None
                } else {
                    address.parse().ok()
                };
            }
        }
        None
    }

    /// Whether an earlier try got all the way.
    pub(super) async fn has_joined(
        &self,
        client: &Client,
        pki: &Pki,
        neighbours: &Neighbours<'_>,
    ) -> Result<bool, Diagnostics> {
        let mut view = node::get(client, self.name)
            .await
            .map_err(|error| self.failed("join", &error))?;
        if view.is_none() {
            view = self.readmit(client).await?;
        }
        let address = self.address.to_string();
        if !view.is_some_and(|view| {
            view.readiness != node::Readiness::Silent && view.addresses.contains(&address)
        }) {
            return Ok(false);
        }
        if !self.control_plane {
            return Ok(true);
        }
        if self.own_client(pki)?.probe().await.is_err() {
            return Ok(false);
        }
        let members = neighbours.members().await?;
        Ok(members
            .iter()
            .any(|member| member.name == self.name && !member.is_learner))
    }

    /// A member whose Node object somebody deleted still runs its kubelet and is locked, so there is no other way to it: make the object anew and see whether the kubelet
    /// reports. A machine that was really reset does not, and joins as any other.
    pub(super) async fn readmit(&self, client: &Client) -> Result<Option<node::View>, Diagnostics> {
        let failed = |error: &dyn std::error::Error| self.failed("join", error);
        let member = marker::read(self.access.store(), self.name).await;
        if member
            .map_err(|error| store_failed("read", "member", &error))?
            .is_none()
        {
            return Ok(None);
        }
        tracing::info!(
            "node {} was a member; making its Node object anew",
            self.name
        );
        let taints = config::api_taints(&self.taints);
        node::readmit(client, self.name, self.control_plane, &taints)
            .await
            .map_err(|error| failed(&error))?;
        let policy = self
            .access
            .policy(
                format!("the kubelet of node {} to report", self.name),
                Duration::from_secs(5),
                Duration::from_secs(10),
            )
            .at_most(self.access.pace(READMIT).max(Duration::from_secs(10)));
        let reported = wait(&self.limits, &policy, async || {
            match node::get(client, self.name).await {
                Ok(Some(view))
                    if view.readiness != node::Readiness::Silent && !view.addresses.is_empty() =>
                {
                    Probe::Done(view)
                }
                Ok(_) => Probe::NotYet("it has not reported".into()),
                Err(error) if error.is_unreachable() => Probe::NotYet(chain(&error)),
                Err(error) => Probe::Failed(error),
            }
        });
        match reported.await {
            Ok(view) => Ok(Some(view)),
            Err(WaitError::TimedOut(_)) => {
                node::delete(client, self.name)
                    .await
                    .map_err(|error| failed(&error))?;
                Ok(None)
            }
            Err(error) => Err(failed(&error)),
        }
    }

    pub(super) async fn clean_membership(
        &self,
        neighbours: &Neighbours<'_>,
    ) -> Result<(), Diagnostics> {
        let mut ours = marker::names(self.access.store())
            .await
            .map_err(|error| store_failed("list", "members", &error))?;
        ours.extend(self.cluster.control_planes().into_keys());
        let address = self.address.to_string();
        let policy = self.access.policy(
            format!("etcd to accept node {}", self.name),
            Duration::from_secs(5),
            Duration::from_secs(10),
        );
        let dead = wait(&self.limits, &policy, async || {
            let step = async {
                let members = neighbours.members().await?;
                let nodes = neighbours.control_planes().await?;
                Ok::<_, Diagnostics>(
                    match before_join(&members, &nodes, &ours, self.name, &address) {
                        Plan::Join(dead) => Probe::Done(dead),
                        Plan::Wait(status) => Probe::NotYet(status),
                        Plan::Refuse(sentence) => Probe::Failed(Diagnostics::error(
                            format!("Cannot join node \"{}\"", self.name),
                            sentence,
                        )),
                    },
                )
            };
            step.await.unwrap_or_else(Probe::Failed)
        })
        .await?;
        for member in &dead {
            neighbours.remove(member).await?;
        }
        Ok(())
    }
}
