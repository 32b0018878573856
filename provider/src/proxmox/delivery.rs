//! Handing a machine its configuration: an image with the label `cidata`, uploaded, put into its drive, and taken away again when the machine has it.
//!
//! Guarantees: both ways can be repeated after any accident. The file's name holds the number of the machine, the node and what tells its content from another, so
//! that what an interrupted run left is found and nothing else is touched. Only a machine with our marks is changed. The image holds the secrets of the
//! cluster: it lies on the storage only until `withdraw`.

use strata_framework::Bounded;

use super::cidata::Cidata;
use super::client::Parameters;
use super::error::Error;
use super::marks::Marks;
use super::wire::Machine;
use super::{Proxmox, task};

/// The drive that every machine of ours has, empty or not: one that is there takes other media while the machine runs.
pub const DRIVE: &str = "ide2";
/// Nothing in the drive.
pub const EMPTY: &str = "none,media=cdrom";

/// A machine that is told something.
#[derive(Debug, Clone)]
pub struct Guest<'a> {
    /// Its marks: a machine without them is not touched.
    pub marks: &'a Marks,
    /// Host that it was made on.
    pub host: &'a str,
    /// Its number.
    pub vm_id: u32,
    /// Storage for the image, with content `iso`.
    pub images: &'a str,
}

/// What a delivery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The image is in the drive, and the machine was started with it.
    Started,
    /// The machine runs already; it was left alone.
    Running {
        /// Whether an image of ours is in its drive: then it was started with one, and nobody has had contact yet.
        ours: bool,
    },
}

/// Whether a file is an image for this machine: `strata-<number>-<node>-<12 hexadecimal digits>.iso`.
fn is_ours(file: &str, guest: &Guest<'_>) -> bool {
    let digits = file
        .strip_prefix(&prefix(guest))
        .and_then(|rest| rest.strip_suffix(".iso"));
    digits.is_some_and(|digits| {
        digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn prefix(guest: &Guest<'_>) -> String {
    format!(
        "strata-{}-{}-",
        guest.vm_id,
        guest.marks.node.to_lowercase()
    )
}

fn file_of(volid: &str) -> &str {
    volid.rsplit('/').next().unwrap_or_default()
}

impl Proxmox {
    /// The machine that is meant, wherever it is now. Somebody else's is refused.
    pub async fn own(&self, marks: &Marks, vm_id: u32) -> Result<Machine, Error> {
        let machines = self.client.machines().await?;
        let machine = machines.into_iter().find(|machine| machine.vmid == vm_id);
        let machine = machine.ok_or(Error::NoMachine(vm_id))?;
        match Marks::of(&machine) {
            Some(found) if found.matches(marks) => Ok(machine),
            found => Err(Error::NotOurs {
                vmid: vm_id,
                name: machine.name,
                found: found.map_or_else(
                    || "carries no marks of Strata".into(),
                    |found| {
                        format!(
                            "is node {} of cluster {} with owner {}",
                            found.node, found.cluster, found.owner
                        )
                    },
                ),
            }),
        }
    }

    /// Uploads the image, puts it into the drive and starts the machine. A machine that runs is left alone: its configuration is changed through its own API.
    pub async fn deliver(
        &self,
        limits: &impl Bounded,
        guest: &Guest<'_>,
        cidata: &Cidata,
    ) -> Result<Delivered, Error> {
        let machine = self.own(guest.marks, guest.vm_id).await?;
        let (node, vm_id) = (&machine.node, guest.vm_id);
        if machine.is_running() {
            let ours = self.medium(node, guest).await?.is_some();
            return Ok(Delivered::Running { ours });
        }
        let file = format!("{}{}.iso", prefix(guest), cidata.fingerprint());
        let volume = format!("{}:iso/{file}", guest.images);
        let upid = self
            .client
            .upload(node, guest.images, &file, &cidata.image())
            .await?;
        task::finish(&self.client, limits, &upid).await?;
        let drive = Parameters::from([(DRIVE, format!("{volume},media=cdrom"))]);
        self.client.set(node, vm_id, &drive).await?;
        self.sweep(limits, node, guest, Some(&file)).await?;
        self.start(limits, node, vm_id).await?;
        Ok(Delivered::Started)
    }

    /// Empties the drive and deletes every image for this machine. Nothing there is success.
    pub async fn withdraw(&self, limits: &impl Bounded, guest: &Guest<'_>) -> Result<(), Error> {
        let machine = self.own(guest.marks, guest.vm_id).await?;
        if self.medium(&machine.node, guest).await?.is_some() {
            let drive = Parameters::from([(DRIVE, EMPTY.to_owned())]);
            self.client.set(&machine.node, guest.vm_id, &drive).await?;
        }
        self.sweep(limits, &machine.node, guest, None).await?;
        if machine.node != guest.host {
            self.sweep(limits, guest.host, guest, None).await?;
        }
        Ok(())
    }

    /// Our image in the drive.
    async fn medium(&self, node: &str, guest: &Guest<'_>) -> Result<Option<String>, Error> {
        let config = self.client.config(node, guest.vm_id).await?;
        let config = config.ok_or(Error::NoMachine(guest.vm_id))?;
        let drive = config.property(DRIVE);
        let volume = drive.map(|drive| drive.head().to_owned());
        Ok(volume.filter(|volume| is_ours(file_of(volume), guest)))
    }

    /// Deletes the images for this machine, but for one.
    async fn sweep(
        &self,
        limits: &impl Bounded,
        node: &str,
        guest: &Guest<'_>,
        keep: Option<&str>,
    ) -> Result<(), Error> {
        let volumes = self.client.volumes(node, guest.images, "iso").await?;
        let stale = volumes.iter().filter(|volume| {
            let file = file_of(&volume.volid);
            is_ours(file, guest) && Some(file) != keep
        });
        for volume in stale {
            if let Some(upid) = self.client.delete_volume(node, &volume.volid).await? {
                task::finish(&self.client, limits, &upid).await?;
            }
        }
        Ok(())
    }

    /// Switches a machine on; one that is on is success.
    pub async fn start(&self, limits: &impl Bounded, node: &str, vm_id: u32) -> Result<(), Error> {
        self.touched();
        let upid = self.client.power(node, vm_id, "start").await?;
        match task::finish(&self.client, limits, &upid).await {
            Err(Error::Task { exit, .. }) if exit.contains("already running") => Ok(()),
            ended => ended.map(drop),
        }
    }

    /// Switches a machine off, without asking it; one that is off is success.
    pub async fn stop(&self, limits: &impl Bounded, node: &str, vm_id: u32) -> Result<(), Error> {
        self.touched();
        let upid = self.client.power(node, vm_id, "stop").await?;
        task::finish(&self.client, limits, &upid).await.map(drop)
    }

    /// Deletes every image for this machine from all storages of a host: for the end of the machine, when nobody knows any more where they were put.
    pub async fn sweep_all(&self, limits: &impl Bounded, guest: &Guest<'_>) -> Result<(), Error> {
        for storage in self.client.storages(guest.host, "iso").await? {
            let guest = Guest {
                images: &storage.storage,
                ..guest.clone()
            };
            self.sweep(limits, guest.host, &guest, None).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_for_this_machine_are_ours() {
        let marks = Marks {
            cluster: "home".into(),
            owner: "o-1".into(),
            node: "cp-1".into(),
        };
        let guest = Guest {
            marks: &marks,
            host: "pve1",
            vm_id: 120,
            images: "local",
        };
        assert!(is_ours("strata-120-cp-1-0123456789ab.iso", &guest));
        for other in [
            "strata-120-cp-1-x-0123456789ab.iso",
            "strata-120-cp-10-0123456789ab.iso",
            "strata-1200-cp-1-0123456789ab.iso",
            "strata-120-cp-1-0123456789ab.img",
            "debian.iso",
        ] {
            assert!(!is_ours(other, &guest), "{other}");
        }
    }
}
