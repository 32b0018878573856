//! From a machine that is off, in maintenance, half-way or at work to a node that answers with the cluster's own certificates.
//!
//! Mutual TLS is tried first in every round: a configuration with all secrets of the cluster is never offered to a machine that already has it, nor to somebody
//! who answers with a certificate of the cluster.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, WaitError, chain, wait};

use super::TalosMachine;
use super::change::Changer;
use super::unread::{self, Place, Unread};
use super::vpn::{self, Joiner, Outcome};
use crate::marker::{self, Marker};
use crate::provider::{Strata, store_failed};
use crate::proxmox::{Cidata, Delivered, Guest, Marks};
use crate::services::talos::content::Content;
use crate::services::talos::ways::Ways;
use crate::talos::client::Mode;
use crate::talos::{self, Client};

/// A machine that comes.
pub(super) struct BringUp<'a> {
    pub(super) provider: &'a Strata,
    pub(super) ways: &'a Ways<'a>,
    pub(super) limits: Limits,
    pub(super) machine: &'a TalosMachine,
    pub(super) content: &'a Content,
    /// It was a node when it was last seen: silence is then no boot that takes its time.
    pub(super) was_ready: bool,
}

/// A node that is silent for longer is not waited for: the others are changed without it.
const SILENCE: Duration = Duration::from_mins(5);

/// What was seen at contact.
#[derive(Debug)]
pub(super) struct Contact {
    pub(super) version: String,
    pub(super) schematic: Option<String>,
    pub(super) uuid: String,
    pub(super) addresses: BTreeSet<String>,
    pub(super) vpn: Outcome,
}

impl BringUp<'_> {
    fn name(&self) -> &str {
        self.machine.node.text()
    }

    fn failed(&self, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("bring up", "machine", self.name(), error)
    }

    /// Brings the machine up. `Ok(Err(_))`: time is up or the run was stopped, and what was seen last.
    pub(super) async fn run(&self) -> Result<Result<Contact, String>, Diagnostics> {
        let marks = self.marks()?;
        let guest = self.guest(&marks)?;
        let answers = self.answers().await;
        if self.provider.only_adopts() && !answers {
            return Err(Diagnostics::error(
                format!("Cannot adopt machine \"{}\"", self.name()),
                format!(
                    "Nobody answers at {} with a certificate of the cluster.",
                    self.machine.address.text()
                ),
            )
            .left("Nothing was delivered."));
        }
        let delivered = match &guest {
            Some(guest) if !answers => Some(self.deliver(guest).await?),
            _ => None,
        };
        let place = guest.as_ref().map(|guest| Place::of(guest, delivered));
        let may_be_silent = !self.was_ready || delivered == Some(Delivered::Started);
        let client = match self.contact(place.as_ref(), may_be_silent).await {
            Ok(client) => client,
            Err(WaitError::Failed(found)) => return Err(found),
            Err(WaitError::TimedOut(waited)) if !may_be_silent => {
                return Err(self.silent(&waited.to_string()));
            }
            Err(WaitError::TimedOut(waited) | WaitError::Stopped(waited)) => {
                return Ok(Err(waited.to_string()));
            }
        };
        let mut contact = look(&client).await.map_err(|error| self.failed(&error))?;
        // Its image holds all secrets of the cluster: it goes before anything else is done.
        if let Some(guest) = &guest {
            let withdrawn = self
                .provider
                .proxmox()
                .await?
                .withdraw(&self.limits, guest)
                .await;
            withdrawn.map_err(|error| {
                Diagnostics::failed(
                    "withdraw",
                    "configuration image of machine",
                    self.name(),
                    &error,
                )
            })?;
        }
        self.mark().await?;
        let joiner = Joiner {
            provider: self.provider,
            ways: self.ways,
            limits: self.limits.clone(),
            machine: self.machine,
        };
        contact.vpn = Box::pin(joiner.run(&client)).await;
        if matches!(contact.vpn, Outcome::Waiting(_) | Outcome::Failed(_)) {
            // The rest of its configuration comes when it is in: the document without a key is what tells that it is.
            return Ok(Ok(contact));
        }
        let changer = Changer {
            ways: self.ways,
            limits: self.limits.clone(),
            machine: self.machine,
            content: self.content,
        };
        changer.run().await?;
        Ok(Ok(contact))
    }

    /// Whether it has its configuration already.
    async fn answers(&self) -> bool {
        match self.ways.node(self.machine.address.text()).await {
            Ok(client) => client.version().await.is_ok(),
            Err(_) => false,
        }
    }

    fn marks(&self) -> Result<Marks, Diagnostics> {
        Ok(Marks {
            cluster: self.provider.cluster().to_owned(),
            owner: self.provider.owner()?.to_owned(),
            node: self.name().to_owned(),
        })
    }

    fn guest<'m>(&'m self, marks: &'m Marks) -> Result<Option<Guest<'m>>, Diagnostics> {
        let Some(proxmox) = self.machine.proxmox.known() else {
            return Ok(None);
        };
        Ok(Some(Guest {
            marks,
            host: proxmox.host.require("proxmox.host")?,
            vm_id: *proxmox.vm_id.require("proxmox.vm_id")?,
            images: proxmox.images.require("proxmox.images")?,
        }))
    }

    async fn deliver(&self, guest: &Guest<'_>) -> Result<Delivered, Diagnostics> {
        let cidata = Cidata {
            meta_data: format!(
                "instance-id: {}-{}\nlocal-hostname: {}\n",
                self.machine.cluster.text(),
                self.name(),
                self.name()
            ),
            network_config: network_config(self.content),
            user_data: vpn::before(self.content, self.machine).text(),
        };
        let proxmox = self.provider.proxmox().await?;
        let delivered = proxmox.deliver(&self.limits, guest, &cidata).await;
        let delivered = delivered.map_err(|error| {
            Diagnostics::failed("deliver", "configuration to machine", self.name(), &error)
        })?;
        match delivered {
            Delivered::Started => {
                tracing::info!("machine {} was started with its configuration", self.name());
            }
            Delivered::Running { ours } => tracing::info!(
                "machine {} runs already, {} the image with its configuration",
                self.name(),
                if ours { "with" } else { "without" }
            ),
        }
        Ok(delivered)
    }

    fn silent(&self, waited: &str) -> Diagnostics {
        Diagnostics::error(
            format!("Cannot change machine \"{}\"", self.name()),
            format!("{waited}."),
        )
        .left("It keeps the configuration that it has; the other machines are changed without it.")
        .hint("Bring it back and run apply again. If it is gone for good, take its line out of `nodes`, or delete its machine: the next run makes it anew.")
    }

    async fn contact(
        &self,
        place: Option<&Place>,
        may_be_silent: bool,
    ) -> Result<Client, WaitError<Diagnostics>> {
        let unread = &Unread::default();
        let address = self.machine.address.text();
        let policy = self.ways.access.policy(
            format!("machine {} to answer at {address}", self.name()),
            Duration::from_secs(2),
            Duration::from_secs(5),
        );
        let policy = if may_be_silent {
            policy
        } else {
            policy.at_most(self.ways.access.pace(SILENCE).max(Duration::from_secs(10)))
        };
        wait(&self.limits, &policy, async || {
            let seen = match self.ways.node(address).await {
                // The answer to a call is the proof: the handshake of TLS 1.3 ends before the node has looked at our certificate.
                Ok(client) => client.version().await.map(|_| client),
                Err(error) => Err(error),
            };
            match seen {
                Ok(client) => Probe::Done(client),
                Err(error) if error.is_stranger() => match self.trust() {
                    Some(trust) => self.offer(address, &trust).await,
                    None => self.unread(unread, address, place).await,
                },
                Err(error) if error.is_unreachable() => {
                    unread.forget();
                    Probe::NotYet(chain(&error))
                }
                Err(error) => Probe::Failed(self.refused(&error)),
            }
        })
        .await
    }

    fn refused(&self, error: &talos::Error) -> Diagnostics {
        self.failed(error)
            .left("The machine has no configuration of ours.")
    }

    fn trust(&self) -> Option<talos::Trust> {
        let trust = self.machine.trust.known();
        trust.and_then(super::MachineTrust::trust)
    }

    /// Somebody answers who is not of the cluster, and only the image with the configuration can change that.
    async fn unread(
        &self,
        unread: &Unread,
        address: &str,
        place: Option<&Place>,
    ) -> Probe<Client, Diagnostics> {
        if !unread.is_over(&self.ways.access) {
            return Probe::NotYet(
                "it is in maintenance: it has not read the image with its configuration".into(),
            );
        }
        match unread::look(&self.ways.access, address).await {
            Ok(stranger) => Probe::Failed(unread::found(self.name(), address, &stranger, place)),
            Err(error) => {
                unread.forget();
                Probe::NotYet(chain(&error))
            }
        }
    }

    /// Somebody answers whose certificate is not the cluster's: a machine in maintenance is given its configuration, if it is the right one.
    async fn offer(&self, address: &str, trust: &talos::Trust) -> Probe<Client, Diagnostics> {
        let handed = async {
            let (client, seen) =
                Client::maintenance(self.ways.access.dialer(), address, trust).await?;
            // A node that is configured refuses here.
            client.disks().await?;
            if *trust == talos::Trust::FirstUse {
                tracing::warn!(
                    "machine {} at {address} is trusted on first use; the fingerprint of its certificate is {seen}",
                    self.name()
                );
            }
            let text = vpn::before(self.content, self.machine).text();
            client.apply(&text, Mode::Auto, false).await
        };
        match handed.await {
            Ok(_) => Probe::NotYet("it has its configuration".into()),
            Err(error) if error.is_unreachable() => Probe::NotYet(chain(&error)),
            // Another apply is at work, or it has just become a node.
            Err(error)
                if matches!(
                    error.code(),
                    Some(
                        tonic::Code::FailedPrecondition
                            | tonic::Code::PermissionDenied
                            | tonic::Code::Unauthenticated
                    )
                ) =>
            {
                Probe::NotYet(chain(&error))
            }
            Err(error) => Probe::Failed(self.refused(&error)),
        }
    }

    /// Notes that this is a node of ours.
    async fn mark(&self) -> Result<(), Diagnostics> {
        let store = self.ways.access.store();
        let failed = |error| store_failed("write", "member", &error);
        let before = marker::read(store, self.name()).await.map_err(failed)?;
        let Ok(address) = self.machine.address.text().parse::<IpAddr>() else {
            return Ok(());
        };
        let mark = Marker {
            role: self.machine.role.text().to_owned(),
            address,
            peers: before
                .as_ref()
                .map(|mark| mark.peers.clone())
                .unwrap_or_default(),
            lock: before.as_ref().and_then(|mark| mark.lock.clone()),
            window: before.as_ref().and_then(|mark| mark.window),
        };
        if before.as_ref() == Some(&mark) {
            return Ok(());
        }
        marker::write(store, self.name(), &mark)
            .await
            .map_err(failed)
    }
}

async fn look(client: &Client) -> Result<Contact, talos::Error> {
    let found = client
        .get("network", "NodeAddresses.net.talos.dev", "current")
        .await?;
    let addresses = found
        .as_ref()
        .and_then(|found| found["addresses"].as_array());
    Ok(Contact {
        version: client.version().await?,
        schematic: client.schematic().await?,
        uuid: client.hardware().await?.uuid,
        addresses: addresses
            .into_iter()
            .flatten()
            .filter_map(|address| own_address(address.as_str()?))
            .collect(),
        vpn: Outcome::Unwanted,
    })
}

/// The virtual address is alone in its network, and moves.
fn own_address(cidr: &str) -> Option<String> {
    let network: ipnet::IpNet = cidr.parse().ok()?;
    let address = network.addr();
    let is_own = network.prefix_len() < network.max_prefix_len() && !address.is_loopback();
    is_own.then(|| address.to_string())
}

/// The static addresses of a configuration, in the form that an image with the label `cidata` has beside it: whoever reads that first finds the same.
fn network_config(content: &Content) -> String {
    let mut entries = Vec::new();
    for link in content.kinds("LinkConfig") {
        let route = link
            .get("routes")
            .and_then(|routes| routes.as_array())
            .and_then(|routes| {
                routes.iter().find(|route| {
                    route
                        .get("destination")
                        .is_none_or(serde_json::Value::is_null)
                })
            });
        let gateway = route.and_then(|route| route.get("gateway"));
        let addresses = link.get("addresses").and_then(|list| list.as_array());
        let subnets: Vec<serde_json::Value> = addresses
            .into_iter()
            .flatten()
            .filter_map(|address| address.get("address"))
            .map(|address| match gateway {
                Some(gateway) => {
                    serde_json::json!({ "type": "static", "address": address, "gateway": gateway })
                }
                None => serde_json::json!({ "type": "static", "address": address }),
            })
            .collect();
        if !subnets.is_empty() {
            entries.push(serde_json::json!({ "type": "physical", "name": link.get("name"), "subnets": subnets }));
        }
    }
    for resolver in content.kinds("ResolverConfig") {
        let servers = resolver.get("nameservers").and_then(|list| list.as_array());
        let servers: Vec<_> = servers
            .into_iter()
            .flatten()
            .filter_map(|server| server.get("address"))
            .collect();
        if !servers.is_empty() {
            entries.push(serde_json::json!({ "type": "nameserver", "address": servers }));
        }
    }
    if entries.is_empty() {
        return String::new();
    }
    let whole = serde_json::json!({ "version": 1, "config": entries });
    serde_yaml_ng::to_string(&whole).expect("JSON values are YAML")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_beside_the_configuration_says_the_same() {
        let content = Content::parse(
            "version: v1alpha1\nmachine: {}\n---\napiVersion: v1alpha1\nkind: LinkConfig\nname: eth0\nup: true\naddresses: [{address: 192.0.2.11/24}]\nroutes: [{gateway: 192.0.2.1}]\n---\napiVersion: v1alpha1\nkind: ResolverConfig\nnameservers: [{address: 192.0.2.53}]\n",
        )
        .unwrap();
        let read: serde_json::Value = serde_yaml_ng::from_str(&network_config(&content)).unwrap();
        assert_eq!(
            read,
            serde_json::json!({ "version": 1, "config": [
                { "type": "physical", "name": "eth0", "subnets": [{ "type": "static", "address": "192.0.2.11/24", "gateway": "192.0.2.1" }] },
                { "type": "nameserver", "address": ["192.0.2.53"] },
            ] })
        );
        let none = Content::parse("version: v1alpha1\nmachine: {}\n").unwrap();
        assert_eq!(network_config(&none), "");
    }

    #[test]
    fn the_virtual_address_is_not_the_machines_own() {
        assert_eq!(own_address("192.0.2.11/24").as_deref(), Some("192.0.2.11"));
        assert_eq!(
            own_address("2001:db8::11/64").as_deref(),
            Some("2001:db8::11")
        );
        for other in ["192.0.2.10/32", "127.0.0.1/8", "2001:db8::10/128", "x"] {
            assert_eq!(own_address(other), None, "{other}");
        }
    }
}
