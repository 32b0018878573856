//! Another version of Talos, one node after the other: etcd healthy, system written, node emptied, leadership handed over, reboot, proof, node given back.
//!
//! What is done is read from the nodes themselves, so an upgrade that was broken off goes on with the node it was at. Talos 1.12 and older has another call, which
//! empties and reboots by itself.

use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, chain, wait};

use super::TalosCluster;
use super::health;
use crate::drain::drain;
use crate::kubernetes::{self, node};
use crate::services::talos::content::INSTALLER;
use crate::services::talos::look::{self, control_planes};
use crate::services::talos::quorum;
use crate::services::talos::ways::Ways;
use crate::talos::client::Mode;
use crate::talos::{Client, Error};

/// A reboot with all that comes after it.
const SETTLE: Duration = Duration::from_mins(15);
/// For so long etcd may take to be healthy before a node is touched.
const CALM: Duration = Duration::from_mins(10);

/// An upgrade of Talos.
pub(super) struct Roll<'a> {
    ways: &'a Ways<'a>,
    limits: Limits,
    cluster: &'a TalosCluster,
    kubernetes: kubernetes::Client,
}

/// What a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    version: String,
    schematic: Option<String>,
}

impl Running {
    async fn of(client: &Client) -> Result<Self, Error> {
        Ok(Self {
            version: client.version().await?,
            schematic: client.schematic().await?,
        })
    }

    /// Whether that is what is wanted. A schematic that the node does not tell, or the installer does not name, does not count.
    fn is(&self, version: &str, schematic: Option<&str>) -> bool {
        let same = match (&self.schematic, schematic) {
            (Some(here), Some(wanted)) => here == wanted,
            _ => true,
        };
        self.version == version && same
    }
}

impl<'a> Roll<'a> {
    pub(super) async fn new(
        ways: &'a Ways<'a>,
        limits: Limits,
        cluster: &'a TalosCluster,
    ) -> Result<Self, Diagnostics> {
        let endpoint = cluster.endpoint.require("endpoint")?;
        let kubernetes = ways
            .kubernetes(endpoint, &cluster.control_planes.or_default())
            .await?;
        Ok(Self {
            ways,
            limits,
            cluster,
            kubernetes,
        })
    }

    fn failed(name: &str, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("upgrade", "node", name, error)
    }

    fn is_wanted(&self, running: &Running) -> bool {
        running.is(
            self.cluster.version.text(),
            self.cluster.schematic().as_deref(),
        )
    }

    async fn running(&self, name: &str, address: &str) -> Result<Running, Diagnostics> {
        let seen = match self.ways.node(address).await {
            Ok(client) => Running::of(&client).await,
            Err(error) => Err(error),
        };
        seen.map_err(|error| Diagnostics::failed("observe", "node", name, &error))
    }

    /// Whether every node runs what is wanted, and none is still in work.
    pub(super) async fn is_done(&self) -> Result<bool, Diagnostics> {
        for (name, address) in self.cluster.nodes() {
            if !self.is_wanted(&self.running(&name, &address).await?)
                || self.work(&name).await?.is_some()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The mark of a node that an upgrade works on.
    async fn work(&self, name: &str) -> Result<Option<node::Work>, Diagnostics> {
        let view = node::get(&self.kubernetes, name).await;
        Ok(view
            .map_err(|error| Self::failed(name, &error))?
            .and_then(|view| view.work))
    }

    /// Upgrades what is not there yet.
    pub(super) async fn run(&self) -> Result<(), Diagnostics> {
        for (name, address) in self.cluster.nodes() {
            let done = self.is_wanted(&self.running(&name, &address).await?);
            let mark = self.work(&name).await?;
            if done && mark.is_none() {
                continue;
            }
            self.node(&name, &address, done).await.map_err(|found| {
                found
                    .left(&format!(
                        "Node {name} may be cordoned; the others run as before or as wanted."
                    ))
                    .hint("Run apply again: it goes on with this node.")
            })?;
        }
        Ok(())
    }

    async fn node(&self, name: &str, address: &str, written: bool) -> Result<(), Diagnostics> {
        let version = self.cluster.version.text();
        if !written {
            tracing::info!("upgrading node {name} to Talos {version}");
            self.calm(name).await?;
            self.replace(name, address).await?;
        }
        self.settle(name, address).await?;
        self.note_installer(name, address).await?;
        if let Some(work) = self.work(name).await? {
            let ended = node::end_work(&self.kubernetes, name, work.stays_cordoned).await;
            ended.map_err(|error| Self::failed(name, &error))?;
        }
        Ok(())
    }

    /// Nothing begins while etcd is not healthy.
    async fn calm(&self, name: &str) -> Result<(), Diagnostics> {
        let policy = self
            .ways
            .access
            .policy(
                format!("etcd to be healthy before node {name} is upgraded"),
                Duration::from_secs(2),
                Duration::from_secs(10),
            )
            .at_most(self.ways.access.pace(CALM).max(Duration::from_secs(20)));
        let calm = wait(&self.limits, &policy, async || {
            let seen = control_planes(self.ways, &self.cluster.control_planes.or_default()).await;
            let mut found = quorum::troubles(&seen);
            if let Err(reason) = quorum::may_pause(&seen, name) {
                found.push(reason);
            }
            if found.is_empty() {
                Probe::<(), Error>::Done(())
            } else {
                Probe::NotYet(found.join("; "))
            }
        });
        calm.await
            .map_err(|error| Self::failed(name, &error).left("Nothing was changed on it."))
    }

    /// Writes the new system and reboots into it.
    async fn replace(&self, name: &str, address: &str) -> Result<(), Diagnostics> {
        let failed = |error: &dyn std::error::Error| Self::failed(name, error);
        let client = self
            .ways
            .node(address)
            .await
            .map_err(|error| failed(&error))?;
        let boot = client.boot_id().await.map_err(|error| failed(&error))?;
        let image = self.cluster.image();
        let is_control_plane = self.cluster.control_planes.or_default().contains_key(name);
        let alarms = if is_control_plane {
            client.alarms().await.map_err(|error| failed(&error))?
        } else {
            0
        };
        if alarms > 0 {
            return Err(Diagnostics::error(
                format!("Cannot upgrade node \"{name}\""),
                format!("etcd has raised {alarms} alarms (out of space, or damaged data)."),
            )
            .hint(
                "Look at them with `talosctl etcd alarm list`; nothing was changed on the node.",
            ));
        }
        let by_steps = client.pull(&image).await.map_err(|error| failed(&error))?;
        if by_steps {
            client
                .upgrade(&image)
                .await
                .map_err(|error| failed(&error).left("The node runs its old system."))?;
        }
        self.empty(name).await?;
        if by_steps {
            // Refused by a member that does not lead, or leads alone.
            if let Err(error) = client.forfeit().await {
                tracing::debug!("node {name} did not hand the leadership over: {error}");
            }
        }
        let gone = if by_steps {
            client.reboot().await
        } else {
            client.upgrade_of_old(&image).await
        };
        match gone {
            Err(error) if !error.is_unreachable() => return Err(failed(&error)),
            _ => {}
        }
        self.rebooted(name, address, &boot).await
    }

    async fn empty(&self, name: &str) -> Result<(), Diagnostics> {
        let failed = |error: &dyn std::error::Error| Self::failed(name, error);
        node::begin_work(&self.kubernetes, name, self.cluster.version.text())
            .await
            .map_err(|error| failed(&error))?;
        let drained = drain(
            &self.limits,
            &self.kubernetes,
            self.ways.access.speed(),
            name,
        )
        .await;
        drained.map_err(|error| {
            failed(&error).hint("Its pods did not leave: look at their disruption budgets.")
        })
    }

    /// A new boot of the wanted system. One that came back with the old one has fallen back.
    async fn rebooted(&self, name: &str, address: &str, boot: &str) -> Result<(), Diagnostics> {
        let back = self.ways.until(
            &self.limits,
            format!("node {name} to boot Talos {}", self.cluster.version.text()),
            SETTLE,
            address,
            |client: Client| async move {
                if client.boot_id().await? == boot {
                    return Ok(Probe::NotYet("it has not rebooted yet".into()));
                }
                Ok(Probe::Done(Running::of(&client).await?))
            },
        );
        let running = back.await.map_err(|error| Self::failed(name, &error))?;
        if self.is_wanted(&running) {
            return Ok(());
        }
        Err(Diagnostics::error(
            format!("Cannot upgrade node \"{name}\""),
            format!(
                "It has rebooted and runs {} (schematic {}): it fell back to the system that it had.",
                running.version,
                running.schematic.as_deref().unwrap_or("not told")
            ),
        ))
    }

    /// The node is as it should be, etcd too.
    async fn settle(&self, name: &str, address: &str) -> Result<(), Diagnostics> {
        let policy = self
            .ways
            .access
            .policy(
                format!("node {name} to be well"),
                Duration::from_secs(2),
                Duration::from_secs(5),
            )
            .at_most(self.ways.access.pace(SETTLE).max(Duration::from_secs(20)));
        let well = wait(&self.limits, &policy, async || {
            self.kubernetes.try_again();
            match self.unwell(name, address).await {
                Ok(None) => Probe::<(), Error>::Done(()),
                Ok(Some(reason)) | Err(reason) => Probe::NotYet(reason),
            }
        });
        well.await.map_err(|error| Self::failed(name, &error))
    }

    async fn unwell(&self, name: &str, address: &str) -> Result<Option<String>, String> {
        let told = |error: &dyn std::error::Error| chain(error);
        let client = self
            .ways
            .node(address)
            .await
            .map_err(|error| told(&error))?;
        let status = client
            .machine_status()
            .await
            .map_err(|error| told(&error))?;
        if let Some(reason) = health::unwell(&status) {
            return Ok(Some(reason));
        }
        let etcd = health::etcd(self.ways, self.cluster).await;
        if !etcd.is_empty() {
            return Ok(Some(etcd.join("; ")));
        }
        let view = node::get(&self.kubernetes, name)
            .await
            .map_err(|error| told(&error))?;
        Ok(match view {
            None => Some("its Node is gone".into()),
            Some(view) if view.readiness == node::Readiness::Silent => {
                Some("its kubelet has not been heard of".into())
            }
            Some(_) => None,
        })
    }

    /// A reinstallation would come from the image in the configuration.
    async fn note_installer(&self, name: &str, address: &str) -> Result<(), Diagnostics> {
        let image = self.cluster.image();
        let noted = async {
            let client = self.ways.node(address).await?;
            let Some(content) = look::stored(&client).await? else {
                return Ok(());
            };
            let stands = INSTALLER.iter().find_map(|place| content.word(place));
            if stands.is_none_or(|stands| stands == image) {
                return Ok(());
            }
            let changed = content.with_image(&INSTALLER, |_| image.clone());
            client
                .apply(&changed.text(), Mode::NoReboot, false)
                .await
                .map(drop)
        };
        noted
            .await
            .map_err(|error: Error| Self::failed(name, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_with_another_schematic_is_not_what_is_wanted() {
        let running = |schematic: Option<&str>| Running {
            version: "v1.13.9".into(),
            schematic: schematic.map(str::to_owned),
        };
        assert!(running(Some("a")).is("v1.13.9", Some("a")));
        assert!(!running(Some("a")).is("v1.13.9", Some("b")));
        assert!(!running(Some("a")).is("v1.14.0", Some("a")));
        assert!(running(None).is("v1.13.9", Some("a")));
        assert!(running(Some("a")).is("v1.13.9", None));
    }
}
