//! A node leaves (FN30): the rest of etcd keeps its majority, a snapshot is kept, the work moves away, the machine is wiped, etcd and Kubernetes forget it.
//!
//! Under tear-down, and where no cluster ever was, only its mark goes; the last one takes the claim along.

use std::collections::BTreeMap;
use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, chain};

use super::TalosMachine;
use crate::claim::{self, State};
use crate::drain::drain;
use crate::kubernetes::node;
use crate::marker;
use crate::provider::{Strata, store_failed};
use crate::services::talos::look::{self, control_planes};
use crate::services::talos::quorum;
use crate::services::talos::snapshot;
use crate::services::talos::ways::Ways;
use crate::talos::Client;

/// What makes a machine forget: its configuration, and everything that ran on it. The system stays.
const FORGET: [&str; 2] = ["STATE", "EPHEMERAL"];
/// A graceful reset drains for a minute and leaves etcd for five at most.
const RESET: Duration = Duration::from_mins(8);

/// Removes the node. Returns warnings about what could not be done and does not matter for the rest.
pub(super) async fn leave(
    provider: &Strata,
    limits: Limits,
    machine: &TalosMachine,
) -> Result<Diagnostics, Diagnostics> {
    let name = machine.node.text();
    let store = provider.store()?;
    let read = |error| store_failed("read", claim::ENTRY, &error);
    let claimed = claim::read(&*store).await.map_err(read)?;
    let is_ours = marker::read(&*store, name)
        .await
        .map_err(|error| store_failed("read", "member", &error))?
        .is_some();
    let mut warnings = Diagnostics::none();
    if is_ours {
        let ways = Ways::of(provider, machine.secrets.text()).await?;
        let leaver = Leaver {
            ways: &ways,
            limits,
            machine,
        };
        match claimed.map(|(claim, _)| claim.state) {
            Some(State::Teardown) | None => leaver.forget(&mut warnings).await,
            Some(State::Claimed | State::Initialised) => {
                leaver.leave_living_cluster(&mut warnings).await?;
            }
        }
    }
    warnings.merge(Box::pin(super::vpn::leave(provider, machine)).await);
    provider.shared().forget_nodes();
    let left = marker::remove(&*store, name)
        .await
        .map_err(|error| store_failed("delete", "member", &error))?;
    if left == 0
        && let Some((_, nonce)) = claim::read(&*store).await.map_err(read)?
    {
        claim::drop_if(&*store, &nonce)
            .await
            .map_err(|error| store_failed("delete", claim::ENTRY, &error))?;
    }
    Ok(warnings)
}

struct Leaver<'a> {
    ways: &'a Ways<'a>,
    limits: Limits,
    machine: &'a TalosMachine,
}

impl Leaver<'_> {
    fn name(&self) -> &str {
        self.machine.node.text()
    }

    fn failed(&self, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("remove", "machine", self.name(), error)
    }

    fn others(&self) -> BTreeMap<String, String> {
        let mut others = self.machine.control_planes.or_default();
        others.remove(self.name());
        others
    }

    async fn here(&self) -> Option<Client> {
        self.ways.node(self.machine.address.text()).await.ok()
    }

    /// The cluster goes as a whole. A machine on Proxmox is deleted with its disk; another one must not keep the secrets.
    async fn forget(&self, warnings: &mut Diagnostics) {
        if self.machine.proxmox.known().is_some() {
            return;
        }
        let wiped = match self.ways.node(self.machine.address.text()).await {
            Ok(client) => client.reset(false, &FORGET).await,
            Err(error) => Err(error),
        };
        match wiped {
            Err(error)
                if !error.is_unreachable()
                    || !matches!(error, crate::talos::Error::Lost { .. }) =>
            {
                warnings.merge(
                    Diagnostics::warning(
                        format!("Machine \"{}\" was not wiped", self.name()),
                        chain(&error),
                    )
                    .left("Its disk still holds the secrets of the cluster."),
                );
            }
            _ => warnings.merge(Diagnostics::warning(
                format!("Machine \"{}\" is in maintenance", self.name()),
                "It was wiped, and takes a configuration from whoever reaches it.",
            )),
        }
    }

    async fn leave_living_cluster(&self, warnings: &mut Diagnostics) -> Result<(), Diagnostics> {
        let _serial = self
            .ways
            .lock(&self.limits, self.machine.cluster.text())
            .await?;
        let others = self.others();
        let is_last = if self.machine.is_control_plane() {
            self.keep_majority().await?
        } else {
            false
        };
        if self.machine.is_control_plane() {
            self.snapshot(warnings).await;
        }
        let kubernetes = if is_last {
            None
        } else {
            self.kubernetes(&others, warnings).await
        };
        if let Some(client) = &kubernetes {
            self.drain(client, warnings).await?;
        }
        self.wipe(is_last, warnings).await?;
        if self.machine.is_control_plane() && !is_last {
            self.forget_member(&others).await?;
        }
        if let Some(client) = &kubernetes {
            node::delete(client, self.name())
                .await
                .map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Refuses when the cluster would not survive without this node. True: it is the last one.
    async fn keep_majority(&self) -> Result<bool, Diagnostics> {
        let all = self.machine.control_planes.or_default();
        let seen = control_planes(self.ways, &all).await;
        let refused = |reason: &str| {
            Diagnostics::error(
                format!("Cannot remove machine \"{}\"", self.name()),
                format!("{reason}."),
            )
            .left("Nothing was changed.")
            .hint("Bring the other control planes back, or destroy the cluster as a whole (./bootstrap.sh destroy), which needs nobody's answer.")
        };
        if quorum::members(&seen).is_none() {
            return Err(refused(
                "No control plane says who is a member of etcd, so nobody knows whether the cluster survives without this one",
            ));
        }
        quorum::may_leave(&seen, self.name())
            .map(|others| !others)
            .map_err(|reason| refused(&format!("Removing it now would stop the cluster: {reason}")))
    }

    /// The last moment at which all is as it was.
    async fn snapshot(&self, warnings: &mut Diagnostics) {
        let all = self.machine.control_planes.or_default();
        if let Err(found) = snapshot::keep(self.ways, self.machine.secrets.text(), &all).await {
            warnings.merge(Diagnostics::warning(
                format!(
                    "Machine \"{}\" leaves without a snapshot of etcd before it",
                    self.name()
                ),
                found.to_string(),
            ));
        }
    }

    /// The API of the cluster, whose endpoint stands in the configuration of every node.
    async fn kubernetes(
        &self,
        others: &BTreeMap<String, String>,
        warnings: &mut Diagnostics,
    ) -> Option<crate::kubernetes::Client> {
        let reached = async {
            let from = self.machine.control_planes.or_default();
            let mut endpoint = None;
            for address in from
                .values()
                .chain([&self.machine.address.text().to_owned()])
            {
                let Ok(client) = self.ways.node(address).await else {
                    continue;
                };
                let Ok(Some(content)) = look::stored(&client).await else {
                    continue;
                };
                endpoint = content.endpoint().map(str::to_owned);
                if endpoint.is_some() {
                    break;
                }
            }
            let endpoint = endpoint.ok_or_else(|| {
                Diagnostics::error(
                    "Cannot reach the Kubernetes API",
                    "No node that answers names its endpoint.",
                )
            })?;
            let client = self.ways.kubernetes(&endpoint, others).await?;
            client.probe().await.map_err(|error| self.failed(&error))?;
            Ok::<_, Diagnostics>(client)
        };
        match reached.await {
            Ok(client) => Some(client),
            Err(found) => {
                warnings.merge(
                    Diagnostics::warning(
                        format!(
                            "Machine \"{}\" leaves without Kubernetes knowing",
                            self.name()
                        ),
                        found.to_string(),
                    )
                    .left(&format!(
                        "Its Node object stays; when the API is back, run: kubectl delete node {}",
                        self.name()
                    )),
                );
                None
            }
        }
    }

    async fn drain(
        &self,
        client: &crate::kubernetes::Client,
        warnings: &mut Diagnostics,
    ) -> Result<(), Diagnostics> {
        let view = node::get(client, self.name())
            .await
            .map_err(|error| self.failed(&error))?;
        // Nobody on a dead node would confirm that its pods have gone.
        if view.is_none_or(|view| view.readiness == node::Readiness::Silent) {
            return Ok(());
        }
        node::cordon(client, self.name())
            .await
            .map_err(|error| self.failed(&error))?;
        match drain(&self.limits, client, self.ways.access.speed(), self.name()).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_unfinished() && !self.limits.cancel.is_cancelled() => {
                warnings.merge(Diagnostics::warning(
                    format!("Machine \"{}\" was removed with pods on it", self.name()),
                    error.to_string(),
                ));
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Wipes the machine. It may be dead or gone: that must not keep the rest from being done.
    async fn wipe(&self, is_last: bool, warnings: &mut Diagnostics) -> Result<(), Diagnostics> {
        let Some(client) = self.here().await else {
            warnings.merge(
                Diagnostics::warning(
                    format!("Machine \"{}\" left without being wiped", self.name()),
                    format!("Nobody answers at {}.", self.machine.address.text()),
                )
                .left("It is out of the cluster; its disk may still hold the cluster's keys and data."),
            );
            return Ok(());
        };
        if self.machine.is_control_plane() && !is_last {
            // Refused on a member that does not lead, by some versions: the reset hands it over anyway.
            if let Err(error) = client.forfeit().await {
                tracing::debug!(
                    "machine {} did not hand the leadership over: {error}",
                    self.name()
                );
            }
        }
        match client.reset(!is_last, &FORGET).await {
            Err(error) if !error.is_unreachable() => return Err(self.failed(&error)),
            _ => {}
        }
        let what = format!("machine {} to forget its configuration", self.name());
        let policy = self
            .ways
            .access
            .policy(what, Duration::from_secs(2), Duration::from_secs(5))
            .at_most(self.ways.access.pace(RESET).max(Duration::from_secs(20)));
        let gone = strata_framework::wait(&self.limits, &policy, async || {
            match self.ways.node(self.machine.address.text()).await {
                Ok(client) => match client.version().await {
                    Ok(_) => Probe::NotYet("it still answers as a node".into()),
                    Err(_) => Probe::Done(()),
                },
                Err(error) if error.is_stranger() || error.is_unreachable() => Probe::Done(()),
                Err(error) => Probe::Failed(error),
            }
        });
        gone.await.map_err(|error| {
            self.failed(&error)
                .hint("A graceful reset that does not leave etcd gives up after five minutes; run destroy again.")
        })?;
        if self.machine.proxmox.known().is_none() {
            warnings.merge(Diagnostics::warning(
                format!("Machine \"{}\" is in maintenance", self.name()),
                "It was wiped, and takes a configuration from whoever reaches it.",
            ));
        }
        Ok(())
    }

    /// A survivor's word that the member is gone; one that is not is removed.
    async fn forget_member(&self, others: &BTreeMap<String, String>) -> Result<(), Diagnostics> {
        let address = self.machine.address.text();
        let survivors = control_planes(self.ways, others).await;
        let listed = quorum::members(&survivors).unwrap_or_default();
        let Some(member) = listed.iter().find(|member| member.is_at(address)) else {
            return Ok(());
        };
        let mut last = None;
        for survivor in survivors.iter().filter(|one| one.status.is_some()) {
            let removed = match self.ways.node(&survivor.address).await {
                Ok(client) => client.remove(member.id).await,
                Err(error) => Err(error),
            };
            match removed {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or_else(
            || {
                Diagnostics::error(
                    format!("Cannot remove machine \"{}\"", self.name()),
                    "No other control plane answers that could take it out of etcd.",
                )
            },
            |error| self.failed(&error),
        ))
    }
}
