//! A machine that should have read the image with its configuration, and answers as a stranger instead: what it is, and what to do.

use std::sync::Mutex;
use std::time::Duration;

use strata_framework::{Diagnostics, chain};
use tokio::time::Instant;

use crate::access::Access;
use crate::proxmox::{Delivered, Guest};
use crate::talos::{self, Client, Trust};

/// A machine that reads its image is a node of the cluster when it first answers. One that restarts may show a stranger's certificate for a moment, no longer.
const PATIENCE: Duration = Duration::from_mins(2);

/// However fast the lab's clock runs.
const LEAST: Duration = Duration::from_secs(5);

/// Since when a stranger answers.
#[derive(Default)]
pub(super) struct Unread(Mutex<Option<Instant>>);

/// Who answers where the machine should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stranger {
    /// A machine without a configuration; nothing where it does not say.
    Maintenance {
        fingerprint: String,
        version: Option<String>,
        schematic: Option<String>,
        uuid: Option<String>,
    },
    /// Somebody who has one, and it is not of this cluster.
    Configured { fingerprint: String, reason: String },
}

/// The machine on Proxmox, and whether it has our image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) vm_id: u32,
    pub(super) has_image: bool,
}

impl Place {
    pub(super) fn of(guest: &Guest<'_>, delivered: Option<Delivered>) -> Self {
        Self {
            host: guest.host.to_owned(),
            vm_id: guest.vm_id,
            has_image: match delivered {
                Some(Delivered::Started) => true,
                Some(Delivered::Running { ours }) => ours,
                None => false,
            },
        }
    }
}

impl Unread {
    /// Nobody or somebody else answers now.
    pub(super) fn forget(&self) {
        *self.0.lock().expect("no panic while held") = None;
    }

    /// Whether a stranger answers for too long.
    pub(super) fn is_over(&self, access: &Access<'_>) -> bool {
        let mut since = self.0.lock().expect("no panic while held");
        let since = since.get_or_insert_with(Instant::now);
        since.elapsed() >= access.pace(PATIENCE).max(LEAST)
    }
}

/// Asks who it is. Nothing is handed over, and nothing of what it says is believed but to tell it.
pub(super) async fn look(access: &Access<'_>, address: &str) -> Result<Stranger, talos::Error> {
    let (client, fingerprint) =
        Client::maintenance(access.dialer(), address, &Trust::FirstUse).await?;
    if let Err(error) = client.disks().await {
        let reason = chain(&error);
        return Ok(Stranger::Configured {
            fingerprint,
            reason,
        });
    }
    // Talos before 1.13 does not tell its version here, and another one may keep back something else.
    let hardware = client.hardware().await.ok();
    Ok(Stranger::Maintenance {
        fingerprint,
        version: client.version().await.ok(),
        schematic: client.schematic().await.ok().flatten(),
        uuid: hardware
            .map(|found| found.uuid)
            .filter(|uuid| !uuid.is_empty()),
    })
}

/// What was found, and what to do.
pub(super) fn found(
    node: &str,
    address: &str,
    stranger: &Stranger,
    place: Option<&Place>,
) -> Diagnostics {
    match stranger {
        Stranger::Maintenance {
            fingerprint,
            version,
            schematic,
            uuid,
        } => {
            let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "not told".into());
            let drive = match place {
                Some(place) if place.has_image => {
                    "The image with its configuration is in its drive, and it did not take it"
                }
                Some(_) => "It was started without the image with its configuration",
                None => "Nothing names a way to hand it its configuration",
            };
            Diagnostics::error(
                format!("Machine \"{node}\" has no configuration"),
                format!(
                    "It answers at {address} in maintenance. {drive}. It runs Talos {}, schematic {}; hardware uuid {}; fingerprint of its certificate {fingerprint}.",
                    said(version),
                    said(schematic),
                    said(uuid),
                ),
            )
            .left("Nothing was handed over: whoever answers in maintenance proves nothing.")
            .hint(&advice(place))
        }
        Stranger::Configured {
            fingerprint,
            reason,
        } => Diagnostics::error(
            format!("Machine \"{node}\" is not of this cluster"),
            format!(
                "Who answers at {address} shows a certificate that is not of the cluster's CA (fingerprint {fingerprint}), and is not in maintenance: {reason}."
            ),
        )
        .left("Nothing was handed over.")
        .hint("Another machine has this address, or its disk holds the configuration of another cluster: give the node another address, or have its machine made anew."),
    }
}

fn advice(place: Option<&Place>) -> String {
    match place {
        None => "Set `proxmox`, or `trust` with the fingerprint that its console shows.".into(),
        Some(place) => {
            let stop = format!(
                "switch it off (`qm stop {}` on {}) and run apply again: it is started with its configuration",
                place.vm_id, place.host
            );
            if place.has_image {
                format!(
                    "Its console says why. Only an image for the platform `nocloud` looks for it, and a configuration that this version of Talos does not take is refused. Mend that, {stop}."
                )
            } else {
                format!("If it is the right machine, {stop}.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(has_image: bool) -> Place {
        Place {
            host: "pve1".into(),
            vm_id: 101,
            has_image,
        }
    }

    fn silent() -> Stranger {
        Stranger::Maintenance {
            fingerprint: "abc=".into(),
            version: None,
            schematic: Some("376567".into()),
            uuid: None,
        }
    }

    #[test]
    fn what_it_runs_and_what_to_do_is_said() {
        let text = |place: Option<Place>| {
            found("w-1", "192.0.2.21", &silent(), place.as_ref()).to_string()
        };
        let without = text(Some(place(false)));
        for part in [
            "w-1",
            "192.0.2.21 in maintenance",
            "started without the image",
            "Talos not told",
            "376567",
            "abc=",
            "qm stop 101` on pve1",
        ] {
            assert!(without.contains(part), "{part}: {without}");
        }
        let with = text(Some(place(true)));
        assert!(
            with.contains("did not take it") && with.contains("nocloud"),
            "{with}"
        );
        assert!(text(None).contains("`trust`"));
    }

    #[test]
    fn a_node_of_another_cluster_is_told_from_a_machine_in_maintenance() {
        let other = Stranger::Configured {
            fingerprint: "abc=".into(),
            reason: "certificate required".into(),
        };
        let text = found("w-1", "192.0.2.21", &other, Some(&place(false))).to_string();
        assert!(
            text.contains("not of this cluster") && text.contains("certificate required"),
            "{text}"
        );
        assert!(!text.contains("qm stop"), "{text}");
    }
}
