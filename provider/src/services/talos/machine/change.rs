//! A changed configuration on a machine that is a node: one node of the cluster at a time, and well again before the next.

use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, Secret, wait};

use super::TalosMachine;
use crate::claim;
use crate::kubernetes::version::Version;
use crate::provider::store_failed;
use crate::services::talos::content::{self, Content};
use crate::services::talos::look::{self, control_planes};
use crate::services::talos::quorum;
use crate::services::talos::ways::Ways;
use crate::talos::client::Mode;
use crate::talos::{Client, Error};

/// A reboot with all that comes after it.
const SETTLE: Duration = Duration::from_mins(15);
/// The leader of etcd may be chosen anew just now; a member that is dead stays dead.
const CALM: Duration = Duration::from_mins(2);
/// So often a configuration is sent whose reply is lost.
const SENDS: u32 = 3;

/// A configuration that may differ from the machine's.
pub(super) struct Changer<'a> {
    pub(super) ways: &'a Ways<'a>,
    pub(super) limits: Limits,
    pub(super) machine: &'a TalosMachine,
    pub(super) content: &'a Content,
}

/// Before Talos 1.14 an apply reboots by itself; an unknown version counts as newer, where nothing does.
pub(super) fn is_before_1_14(version: &str) -> bool {
    let release = version.split('-').next().unwrap_or_default();
    Version::parse(release).is_some_and(|version| (version.major, version.minor) < (1, 14))
}

impl Changer<'_> {
    fn name(&self) -> &str {
        self.machine.node.text()
    }

    fn failed(&self, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("change", "machine", self.name(), error)
    }

    fn refused(&self, reason: &str) -> Diagnostics {
        Diagnostics::error(
            format!("Cannot change machine \"{}\"", self.name()),
            format!("{reason}."),
        )
    }

    /// Applies what differs.
    pub(super) async fn run(&self) -> Result<(), Diagnostics> {
        let address = self.machine.address.text();
        let client = self
            .ways
            .node(address)
            .await
            .map_err(|error| self.failed(&error))?;
        if self.differences(&client).await?.is_empty() {
            return Ok(());
        }
        let _serial = self
            .ways
            .lock(&self.limits, self.machine.cluster.text())
            .await?;
        // The one before may have taken its time.
        let client = self
            .ways
            .node(address)
            .await
            .map_err(|error| self.failed(&error))?;
        let paths = self.differences(&client).await?;
        let stored = self.stored(&client).await?;
        let text = self.content.with_others_of(&stored).text();
        let mode = match self.machine.apply_mode.text() {
            "no-reboot" => Mode::NoReboot,
            "staged" => Mode::Staged,
            "reboot" => Mode::Reboot,
            _ => Mode::Auto,
        };
        let of_old = is_before_1_14(
            &client
                .version()
                .await
                .map_err(|error| self.failed(&error))?,
        );
        let reboots = match mode {
            Mode::Reboot => true,
            Mode::Auto => of_old && !content::need_a_reboot(&paths).is_empty(),
            _ => false,
        };
        let was_well = self.is_well(&client).await?;
        if reboots {
            self.keep_majority().await?;
        }
        let boot = client
            .boot_id()
            .await
            .map_err(|error| self.failed(&error))?;
        tracing::info!("machine {}: applying {}", self.name(), paths.join(", "));
        // Talos 1.14 and later never reboots by itself, and knows no such mode.
        let sent = if mode == Mode::Reboot && !of_old {
            Mode::NoReboot
        } else {
            mode
        };
        let rebooting = self.send(&text, sent, reboots).await?;
        let own_reboot = mode == Mode::Reboot && !of_old;
        if own_reboot {
            let client = self
                .ways
                .node(address)
                .await
                .map_err(|error| self.failed(&error))?;
            match client.reboot().await {
                Err(error) if !error.is_unreachable() => return Err(self.failed(&error)),
                _ => {}
            }
        }
        let gone = (rebooting || own_reboot).then_some(boot);
        self.settle(gone, was_well).await
    }

    /// Hands the configuration over; whether the machine reboots for it. The change may cut the very connection, and a lost reply may mean that nothing was done:
    /// what the machine stores tells.
    async fn send(
        &self,
        text: &Secret<String>,
        mode: Mode,
        reboots: bool,
    ) -> Result<bool, Diagnostics> {
        let address = self.machine.address.text();
        let wanted = &self.content.parts();
        let mut sent = 0;
        loop {
            let client = self.ways.node(address).await;
            let client = client.map_err(|error| self.failed(&error))?;
            let lost = match client.apply(text, mode, false).await {
                Ok(applied) => return Ok(applied.reboots),
                Err(error) if error.is_unreachable() => error,
                Err(error) => {
                    return Err(self
                        .failed(&error)
                        .left("The machine goes on with the configuration that it had."));
                }
            };
            sent += 1;
            let what = format!("machine {} to say what it was told", self.name());
            let look = |client: Client| async move {
                let stored = look::stored(&client).await?;
                Ok(Probe::Done(
                    stored.is_some_and(|stored| stored.parts() == *wanted),
                ))
            };
            let told = self
                .ways
                .until(&self.limits, what, SETTLE, address, look)
                .await;
            if told.map_err(|error| self.failed(&error))? {
                return Ok(reboots);
            }
            if sent >= SENDS {
                return Err(self
                    .failed(&lost)
                    .left("The machine goes on with the configuration that it had."));
            }
            tracing::warn!(
                "machine {}: the reply was lost and nothing was done; telling it again",
                self.name()
            );
        }
    }

    async fn stored(&self, client: &Client) -> Result<Content, Diagnostics> {
        let stored = client
            .configuration(true)
            .await
            .map_err(|error| self.failed(&error))?;
        let stored = stored.ok_or_else(|| self.refused("it has no configuration"))?;
        Content::parse(stored.expose()).map_err(|error| self.failed(&error))
    }

    async fn differences(&self, client: &Client) -> Result<Vec<String>, Diagnostics> {
        let stored = self.stored(client).await?;
        Ok(content::changed(&stored.parts(), &self.content.parts()))
    }

    async fn is_well(&self, client: &Client) -> Result<bool, Diagnostics> {
        let status = client
            .machine_status()
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(status.stage == "running" && status.ready)
    }

    /// Refuses a reboot that etcd could not bear; a member that has just come back is waited for.
    async fn keep_majority(&self) -> Result<(), Diagnostics> {
        if !self.machine.is_control_plane() {
            return Ok(());
        }
        let store = self.ways.access.store();
        let lives = claim::read(store)
            .await
            .map_err(|error| store_failed("read", claim::ENTRY, &error))?
            .is_some();
        if !lives {
            return Ok(());
        }
        let what = format!("etcd to be healthy before machine {} reboots", self.name());
        let policy = self
            .ways
            .access
            .policy(what, Duration::from_secs(2), Duration::from_secs(5))
            .at_most(self.ways.access.pace(CALM).max(Duration::from_secs(20)));
        let calm = wait(&self.limits, &policy, async || {
            let seen = control_planes(self.ways, &self.machine.control_planes.or_default()).await;
            match quorum::may_pause(&seen, self.name()) {
                Ok(()) => Probe::<(), Error>::Done(()),
                Err(reason) => Probe::NotYet(reason),
            }
        });
        calm.await.map_err(|error| {
            self.refused(&format!("It would reboot: {error}"))
                .left("Nothing was changed.")
        })
    }

    /// Waits until the machine has the configuration, has rebooted if it had to, and is as well as it was before.
    async fn settle(&self, boot: Option<String>, was_well: bool) -> Result<(), Diagnostics> {
        let wanted = self.content.parts();
        let what = format!("machine {} to be well after the change", self.name());
        let address = self.machine.address.text();
        let (wanted, boot) = (&wanted, boot.as_ref());
        let look = |client: Client| async move {
            if let Some(boot) = boot
                && client.boot_id().await? == *boot
            {
                return Ok(Probe::NotYet("it has not rebooted yet".into()));
            }
            let stored = look::stored(&client).await?;
            if stored.is_none_or(|stored| stored.parts() != *wanted) {
                return Ok(Probe::NotYet(
                    "it does not have the new configuration".into(),
                ));
            }
            let status = client.machine_status().await?;
            if was_well && !(status.stage == "running" && status.ready) {
                return Ok(Probe::NotYet(status.sentence()));
            }
            Ok(Probe::Done(()))
        };
        let settled = self.ways.until(&self.limits, what, SETTLE, address, look);
        settled.await.map_err(|error| {
            self.failed(&error)
                .left("The other nodes run as before.")
                .hint("Look at the machine (its console, or `talosctl dmesg`), and run apply again: it goes on from here.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_before_1_14;

    #[test]
    fn versions_that_reboot_by_themselves_are_told_apart() {
        for (version, before) in [
            ("v1.13.9", true),
            ("v1.12.0", true),
            ("v1.14.0-rc.1", false),
            ("v1.14.0", false),
            ("v2.0.1", false),
            ("", false),
        ] {
            assert_eq!(is_before_1_14(version), before, "{version}");
        }
    }
}
