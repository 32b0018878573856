//! What an installation gets besides its system: disks, users, passwords, keys. And which changes install again (contract 5.5).

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use strata_framework::{Attr, Diagnostics, Path};

use super::choice::Choice;
use super::model::{BaremetalServer, failed};
use crate::provider::{Scaleway, texts};
use crate::services::scaleway::catalogue::Os;
use crate::services::scaleway::wire::NewInstall;

/// The word for an installation from the rescue system.
pub(super) const RESCUE: &str = "rescue";
/// The word for Scaleway's own way to divide disks.
const DEFAULT: &str = "default";

/// A partitioning schema (contract 3.4). The API ignores keys that it does not know and then divides the disks in its own way, so they are
/// refused here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read to be checked, sent as it was written")]
struct Schema {
    disks: Vec<Disk>,
    #[serde(default)]
    raids: Vec<Raid>,
    filesystems: Vec<Filesystem>,
    #[serde(default)]
    zfs: Option<Zfs>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Disk {
    device: String,
    partitions: Vec<Partition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Partition {
    label: Label,
    number: u32,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    use_all_available_space: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Label {
    #[serde(rename = "unknown_partition_label")]
    Unknown,
    Uefi,
    Legacy,
    Root,
    Boot,
    Swap,
    Data,
    Home,
    Raid,
    Zfs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Raid {
    name: String,
    level: Level,
    devices: Vec<String>,
}

#[derive(Deserialize)]
enum Level {
    #[serde(rename = "raid_level_0")]
    Zero,
    #[serde(rename = "raid_level_1")]
    One,
    #[serde(rename = "raid_level_5")]
    Five,
    #[serde(rename = "raid_level_6")]
    Six,
    #[serde(rename = "raid_level_10")]
    Ten,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Filesystem {
    device: String,
    format: Format,
    mountpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Fat32,
    Ext4,
    Swap,
    Zfs,
    Xfs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Zfs {
    #[serde(default)]
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "as above")]
struct Pool {
    name: String,
    r#type: PoolType,
    devices: Vec<String>,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    filesystem_options: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PoolType {
    NoRaid,
    Mirror,
    Raidz1,
    Raidz2,
}

#[allow(clippy::ptr_arg)] // the signature that `validate` takes
pub(super) fn check_partitioning(text: &String) -> Result<(), String> {
    if text == DEFAULT {
        return Ok(());
    }
    let schema: Schema = serde_json::from_str(text).map_err(|error| {
        format!("Must be `{DEFAULT}` or JSON of a partitioning schema: {error}.")
    })?;
    for disk in &schema.disks {
        let grows = |partition: &Partition| partition.use_all_available_space;
        let before_last = disk
            .partitions
            .split_last()
            .map_or(&[][..], |(_, rest)| rest);
        if before_last.iter().any(grows) {
            return Err(format!(
                "Only the last partition of {} can use all available space.",
                disk.device
            ));
        }
        if let Some(empty) = disk
            .partitions
            .iter()
            .find(|one| one.size == 0 && !grows(one))
        {
            return Err(format!(
                "Partition {} of {} has neither a size nor `use_all_available_space`.",
                empty.number, disk.device
            ));
        }
    }
    if !schema.filesystems.iter().any(|one| one.mountpoint == "/") {
        return Err("No filesystem is mounted on `/`.".into());
    }
    Ok(())
}

/// What goes with one way to install, and with the other not.
pub(super) fn check_way(config: &BaremetalServer, found: &mut Diagnostics) {
    let by_rescue = match &config.install {
        Attr::Unknown => return,
        install => install.known().is_some_and(|way| way == RESCUE),
    };
    let mut refuse = |attribute: &str, text: &str| {
        found.merge(Diagnostics::invalid(Path::of(attribute), text));
    };
    if !by_rescue {
        if config.os.is_null() {
            refuse("os", "Needed with `install = \"cloud-init\"`, the default.");
        }
        if !config.rescue_script_wo.is_null() {
            refuse("rescue_script_wo", "Runs with `install = \"rescue\"` only.");
        }
        return;
    }
    if config.rescue_script_wo.is_null() {
        refuse(
            "rescue_script_wo",
            "Needed with `install = \"rescue\"`: nothing else would install a system.",
        );
    }
    if config.first_contact.is_null() {
        refuse(
            "first_contact",
            "Needed with `install = \"rescue\"`: with its key the rescue system is entered.",
        );
    }
    for (attribute, is_given) in [
        ("os", !config.os.is_null()),
        ("user_data_wo", !config.user_data_wo.is_null()),
        ("partitioning", !config.partitioning.is_null()),
        ("user", !config.user.is_null()),
        ("password_wo", !config.password_wo.is_null()),
        ("service_user", !config.service_user.is_null()),
        ("service_password_wo", !config.service_password_wo.is_null()),
    ] {
        if is_given {
            refuse(
                attribute,
                "Is Scaleway's installer's, which `install = \"rescue\"` leaves out.",
            );
        }
    }
}

impl BaremetalServer {
    fn partitioning_schema(&self) -> Option<serde_json::Value> {
        let text = self.partitioning.known().filter(|text| *text != DEFAULT)?;
        serde_json::from_str(text).ok()
    }

    /// Asks Scaleway whether the disks can be divided as they shall be.
    pub(in crate::services::scaleway) async fn check_disks(
        &self,
        scaleway: &Scaleway,
        choice: &Choice,
    ) -> Result<(), Diagnostics> {
        let Some(schema) = self.partitioning_schema() else {
            return Ok(());
        };
        let refuse = |text: String| Err(Diagnostics::invalid(Path::of("partitioning"), text));
        let (offer, Some(os)) = (&choice.offer, &choice.os) else {
            return Ok(());
        };
        if !offer.installs_fast() || !os.custom_partitioning_supported {
            return refuse(format!(
                "The disks of offer {} with {} can only be divided in Scaleway's own way.",
                offer.name,
                os.full_name()
            ));
        }
        let zone = self.zone.require("zone")?;
        let asked = scaleway
            .client
            .check_partitioning(zone, &offer.id, &os.id, &schema)
            .await;
        match asked {
            Ok(()) => Ok(()),
            Err(error)
                if error
                    .status()
                    .is_some_and(|status| status.is_client_error()) =>
            {
                refuse(format!("Scaleway refuses it: {error}."))
            }
            Err(error) => Err(failed(
                "check the partitioning of",
                self.name.text(),
                &error,
            )),
        }
    }

    /// Whether the system is installed from the rescue system.
    pub(in crate::services::scaleway) fn is_by_rescue(&self) -> bool {
        self.install.text() == RESCUE
    }

    /// The body of an installation; from the rescue system it is only what names it. `config` has what is write-only.
    pub(in crate::services::scaleway) fn install(
        &self,
        config: &Self,
        os: Option<&Os>,
    ) -> NewInstall {
        NewInstall {
            os_id: os.map_or_else(|| RESCUE.to_owned(), |os| os.id.clone()),
            hostname: self
                .hostname
                .known()
                .cloned()
                .unwrap_or_else(|| self.node.text().to_owned()),
            ssh_key_ids: texts(&self.ssh_key_ids),
            user: self.user.known().cloned(),
            password: config.password_wo.known().cloned(),
            service_user: self.service_user.known().cloned(),
            service_password: config.service_password_wo.known().cloned(),
            partitioning_schema: self.partitioning_schema(),
        }
    }

    /// A name for this installation: another one for everything that an installation acts on, and for another word to install again.
    pub(in crate::services::scaleway) fn installation(&self, install: &NewInstall) -> String {
        let words = (
            install,
            self.reinstall.known(),
            self.user_data_wo_version.known(),
            self.password_wo_version.known(),
            self.service_password_wo_version.known(),
        );
        let text = serde_json::to_vec(&words).expect("texts and numbers serialise");
        HEXLOWER.encode(&Sha256::digest(text)[..16])
    }

    /// Why the system is to be installed again, if it is: in words for people. What was never said before is no change, so nothing that an
    /// import could not know wipes a disk.
    pub(in crate::services::scaleway) fn reinstalls(
        &self,
        prior: &Self,
        is_other_os: bool,
    ) -> Option<String> {
        let imported = prior.last_seen.text() == "imported";
        if let Some(word) = self.reinstall.known()
            && prior.reinstall.known() != Some(word)
            && !(imported && prior.reinstall.is_null())
        {
            return Some(format!("`reinstall` is `{word}` now"));
        }
        let changed = |name: &&String| match name.as_str() {
            "os" => is_other_os,
            "ssh_key_ids" => moved(&prior.ssh_key_ids, &self.ssh_key_ids),
            "hostname" => moved(&prior.hostname, &self.hostname),
            "user" => moved(&prior.user, &self.user),
            "password_wo_version" => moved(&prior.password_wo_version, &self.password_wo_version),
            "service_user" => moved(&prior.service_user, &self.service_user),
            "service_password_wo_version" => moved(
                &prior.service_password_wo_version,
                &self.service_password_wo_version,
            ),
            "partitioning" => moved(&prior.partitioning, &self.partitioning),
            "user_data_wo_version" => {
                moved(&prior.user_data_wo_version, &self.user_data_wo_version)
            }
            _ => false,
        };
        let named: BTreeSet<String> = texts(&self.reinstall_on);
        let names: Vec<String> = named
            .iter()
            .filter(changed)
            .map(|name| format!("`{name}`"))
            .collect();
        (!names.is_empty()).then(|| format!("{} changed", names.join(", ")))
    }
}

/// Whether something that was said is said otherwise.
fn moved<T: PartialEq>(prior: &Attr<T>, now: &Attr<T>) -> bool {
    matches!((prior, now), (Attr::Known(prior), Attr::Known(now)) if prior != now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_the_api_would_silently_ignore_is_refused() {
        let good = json!({
            "disks": [{"device": "/dev/nvme0n1", "partitions": [
                {"label": "uefi", "number": 1, "size": 536_870_912},
                {"label": "root", "number": 2, "size": 0, "use_all_available_space": true},
            ]}],
            "filesystems": [{"device": "/dev/nvme0n1p2", "format": "ext4", "mountpoint": "/"}],
        });
        let check = |value: &serde_json::Value| check_partitioning(&value.to_string());
        assert_eq!(check(&good), Ok(()));
        assert_eq!(check_partitioning(&"default".to_owned()), Ok(()));
        assert!(
            check_partitioning(&"lvm".to_owned())
                .unwrap_err()
                .contains("`default` or JSON")
        );
        for (pointer, value, says) in [
            ("/lvm", json!([]), "unknown field `lvm`"),
            (
                "/disks/0/partitions/0/label",
                json!("efi"),
                "unknown variant `efi`",
            ),
            (
                "/disks/0/partitions/0/use_all_available_space",
                json!(true),
                "Only the last partition of /dev/nvme0n1",
            ),
            (
                "/disks/0/partitions/1/use_all_available_space",
                json!(false),
                "Partition 2 of /dev/nvme0n1",
            ),
            (
                "/filesystems/0/mountpoint",
                json!("/data"),
                "mounted on `/`",
            ),
        ] {
            let mut wrong = good.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            wrong.pointer_mut(parent).unwrap()[key] = value;
            let error = check(&wrong).unwrap_err();
            assert!(error.contains(says), "{pointer}: {error}");
        }
    }

    #[test]
    fn only_what_is_asked_for_installs_again() {
        let prior = BaremetalServer {
            hostname: "a".into(),
            password_wo_version: Attr::Known(1),
            ..BaremetalServer::default()
        };
        let next = |change: fn(&mut BaremetalServer)| {
            let mut next = prior.clone();
            change(&mut next);
            next.reinstalls(&prior, false)
        };
        assert_eq!(next(|next| next.hostname = "b".into()), None);
        assert_eq!(
            next(|next| next.reinstall_on = Attr::Known(BTreeSet::from(["hostname".into()]))),
            None
        );
        let on_hostname = next(|next| {
            next.hostname = "b".into();
            next.user = "u".into();
            next.reinstall_on = Attr::Known(BTreeSet::from(["hostname".into(), "user".into()]));
        });
        assert_eq!(
            on_hostname.as_deref(),
            Some("`hostname` changed"),
            "a user was never said before"
        );
        assert!(next(|next| next.reinstall = "once".into()).is_some());
        let imported = BaremetalServer {
            last_seen: "imported".into(),
            ..prior.clone()
        };
        let mut after = imported.clone();
        after.reinstall = "once".into();
        assert_eq!(
            after.reinstalls(&imported, false),
            None,
            "an import could not know it"
        );
        after.reinstall_on = Attr::Known(BTreeSet::from(["os".into()]));
        assert!(after.reinstalls(&imported, true).is_some());
    }
}
