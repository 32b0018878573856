//! The model of `strata_scaleway_baremetal_server`, and the ways between it, the catalogue and what the API shows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_framework::{Attr, Diagnostics, Number, Schema, Secret, Timeouts};

use super::installing::check_partitioning;
use super::networks::{Attachment, PrivateNetwork};
use super::options::ServerOption;
use crate::provider::{Strata, texts};
use crate::services::scaleway::order::{Marks, UNUSED};
use crate::services::scaleway::poll::usual;

/// A Scaleway Elastic Metal server.
///
/// Ordering one costs money, so it is ordered at most once: the order carries tags for cluster, owner and node, and whoever orders looks for
/// them first. A server that is found by them, after a lost reply or a lost state, is adopted with a warning.
///
/// Create waits until the operating system is installed and, with `first_contact`, until the machine answers SSH with the expected host
/// key. A wait that does not end in time is no error, since an error would taint the server and a taint orders another one: the server is
/// kept with `ready = false`, and the next apply goes on waiting.
///
/// With `install = "rescue"` the same holds for the machine in the rescue system: whatever run comes next goes on where the last one was. Between the order and the
/// first contact the server carries the tag `strata-install=rescue`, which says that its disks hold nothing that could be lost.
///
/// Options, private networks, reverse names and the change from hourly to monthly billing happen in place, each alone. An installation wipes the
/// disks, so what acts at installation only (system, keys, passwords, partitioning, user data) never starts one by itself: say so with
/// `reinstall` or `reinstall_on`. What moves by itself (price, stock, an end that was agreed) is never compared.
///
/// # Permissions
///
/// A Scaleway API key with the permission sets `ElasticMetalFullAccess` and `SSHKeysReadOnly` in the project
/// ([reference](https://www.scaleway.com/en/docs/iam/reference-content/permission-sets/)), in `SCW_SECRET_KEY` or the store entry
/// `scaleway/secret-key`. With `private_networks`: `PrivateNetworksFullAccess` and `IPAMReadOnly`. With `first_contact`: read and write in the store's folder, and a way from here to port 22 of the machine.
///
/// # Errors
///
/// - "Zone ... has no ... offer ...", "Zone ... has no system ...": the message lists what the zone has.
/// - "... needs ...": the operating system needs an SSH key or a password that is not given.
/// - "... does not support cloud-init": choose another offer or system, or leave `user_data_wo` out.
/// - "server ... belongs to a cluster of the same name with another owner": another estate uses this cluster's name; nothing was ordered.
/// - "carries our marks for node ... but is ... of offer": a server of this node exists with another offer; delete it or change the offer.
/// - "It is not known whether a server was ordered": no reply came three times; the next apply looks for it by its marks.
/// - "The rescue system of ... was believed" (warning): the fingerprint of the host key that answered, which nobody could check.
/// - "no system of ours was ever seen on it" (in `last_seen`): it was ordered bare, and neither its tags nor the store say that nothing is lost with its disks; another
///   `reinstall` installs it.
/// - "Cannot adopt server": `STRATA_ADOPT` is set and no server carries the marks; nothing was ordered.
/// - "installing another system wipes its disks": change `reinstall` as well, or put `os` into `reinstall_on`.
/// - "is out of stock in zone": no machine of the offer is left; nothing was ordered.
/// - "has no option": the message lists what the offer has.
/// - "There is no way back from monthly": replace the server with `terraform apply -replace`.
/// - "Server ... goes back with something on its disks" (warning, at destroy): with `first_contact` the disks are wiped over SSH before the server
///   is given back; port 22 was not open to this machine, or a disk could not be discarded.
/// - "It is protected, and the protection was not set by Terraform": lift it in the console, or apply with `protected = false` first.
///
/// # Import
///
/// The id is `zone/id`: the zone and Scaleway's id (UUID) of the server. Node, offer, billing, system, SSH keys, options, private networks and
/// reverse names are read back. `first_contact`, `hostname`, `partitioning`, `reinstall`, versions and `timeouts` are not Scaleway's to know; the
/// first apply records them and changes nothing at the server.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "scaleway_baremetal_server", version = 0)]
pub struct BaremetalServer {
    /// Name of the server at Scaleway, by convention `<cluster>-<node>`.
    #[schema(required)]
    pub(in crate::services::scaleway) name: Attr<String>,
    /// Name of the node that the server is for, e.g. `cp-1`: one of the marks.
    #[schema(required, replace, pattern("[a-z0-9]([a-z0-9.-]*[a-z0-9])?"))]
    pub(in crate::services::scaleway) node: Attr<String>,
    /// Zone, e.g. `fr-par-2`. Default: that of the provider block, else `SCW_DEFAULT_ZONE`; a later change of these moves nothing.
    #[schema(
        optional,
        computed,
        keep_prior,
        replace,
        pattern("[a-z]{2}-[a-z]{3,7}-[0-9]{1,2}")
    )]
    pub(in crate::services::scaleway) zone: Attr<String>,
    /// Id (UUID) of the project that orders and pays. Default: that of the provider block, else `SCW_DEFAULT_PROJECT_ID`; a later change of
    /// these moves nothing.
    #[schema(optional, computed, keep_prior, replace, format = "uuid")]
    pub(in crate::services::scaleway) project_id: Attr<String>,
    /// Offer, by name (`EM-I215E-NVME`) or id. Its price and stock are Scaleway's; low stock is a warning at plan.
    #[schema(required, replace)]
    pub(in crate::services::scaleway) offer: Attr<String>,
    /// How a system gets onto the disks. `cloud-init`: Scaleway installs `os`, whose cloud-init runs `user_data_wo`. `rescue`: the server is ordered bare and started
    /// in Scaleway's rescue system, where `rescue_script_wo` runs as root over SSH; then it starts from its disks. That saves the time of the first system, and needs no
    /// offer that takes user data; but nobody can know the rescue system's host key, so whoever answers is believed (trusted on first use). Acts at installation only.
    #[schema(default = "cloud-init", one_of("cloud-init", "rescue"), recorded)]
    pub(in crate::services::scaleway) install: Attr<String>,
    /// Operating system to install, by name and version (`Ubuntu 22.04`) or id. A later change wipes the disks, so it is refused unless
    /// `reinstall` changes with it or `reinstall_on` names it. Needed with `install = "cloud-init"`. Without it
    /// Scaleway installs nothing, which is what `install = "rescue"` wants.
    #[schema(optional)]
    pub(in crate::services::scaleway) os: Attr<String>,
    /// Ids of the SSH keys that the installation puts onto the server, e.g. `[strata_scaleway_ssh_key.operator.id]`. Acts at installation only.
    #[schema(required, recorded)]
    pub(in crate::services::scaleway) ssh_key_ids: Attr<BTreeSet<String>>,
    /// Cloud-init user data, 127998 bytes at most. Sent with the order, never compared, overwritten at Scaleway after the first contact. Without
    /// it the system is installed as it is.
    #[schema(optional, write_only, sensitive)]
    pub(in crate::services::scaleway) user_data_wo: Attr<Secret<String>>,
    /// Script that installs the system from the rescue system, as the function `flatcar_install_script` makes it with `from = "rescue"`. It runs as root, once, and again
    /// whenever the server is installed again; nothing may be lost when it is broken off and runs from its beginning. Needed with `install = "rescue"`, together
    /// with `first_contact`; never compared. Without it `install` has to be `cloud-init`.
    #[schema(optional, write_only, sensitive)]
    pub(in crate::services::scaleway) rescue_script_wo: Attr<Secret<String>>,
    /// Version of the user data: any number. Another one sends `user_data_wo` to Scaleway again, where it waits for the next installation. Without it user data is sent with
    /// the order and with installations only; so it is with `first_contact`, after which it is overwritten.
    #[schema(optional, range(0..))]
    pub(in crate::services::scaleway) user_data_wo_version: Attr<i64>,
    /// How to divide the disks, as JSON of Scaleway's partitioning schema (`jsonencode({ disks = [...], raids = [...], filesystems = [...] })`), or
    /// `default`. Asked of Scaleway at plan, acts at installation only. Without it Scaleway decides.
    #[schema(optional, recorded, validate = check_partitioning)]
    pub(in crate::services::scaleway) partitioning: Attr<String>,
    /// User to make at installation. Without it that of the operating system, e.g. `ubuntu`.
    #[schema(optional, recorded)]
    pub(in crate::services::scaleway) user: Attr<String>,
    /// Password of the user, for an operating system that needs one. Acts at installation only.
    #[schema(optional, write_only, sensitive)]
    pub(in crate::services::scaleway) password_wo: Attr<Secret<String>>,
    /// Version of the password: any number. With `reinstall_on`, another one means that the password changed. Without it a change of the password is not seen.
    #[schema(optional, recorded)]
    pub(in crate::services::scaleway) password_wo_version: Attr<i64>,
    /// User of the operating system's web service, as hypervisors have one. Only for those.
    #[schema(optional, recorded)]
    pub(in crate::services::scaleway) service_user: Attr<String>,
    /// Password of the web service, for an operating system that needs one. Acts at installation only.
    #[schema(optional, write_only, sensitive)]
    pub(in crate::services::scaleway) service_password_wo: Attr<Secret<String>>,
    /// Version of the password: any number. With `reinstall_on`, another one means that the password changed. Without it a change of the password is not seen.
    #[schema(optional, recorded)]
    pub(in crate::services::scaleway) service_password_wo_version: Attr<i64>,
    /// Any text, e.g. a date. Another one installs the system again, with fresh user data, and wipes the disks; the server and its addresses stay.
    /// Taking it away does nothing. Without it only `reinstall_on` installs again.
    #[schema(optional, recorded)]
    pub(in crate::services::scaleway) reinstall: Attr<String>,
    /// Attributes whose change installs the system again and wipes the disks. Without it none does.
    #[schema(
        optional,
        recorded,
        one_of(
            "os",
            "ssh_key_ids",
            "hostname",
            "user",
            "password_wo_version",
            "service_user",
            "service_password_wo_version",
            "partitioning",
            "user_data_wo_version"
        )
    )]
    pub(in crate::services::scaleway) reinstall_on: Attr<BTreeSet<String>>,
    /// Options by name or id, e.g. `{ "Remote Access" = {} }`; `strata_scaleway_baremetal_offer` tells which there are and what they cost. Any
    /// other is drift and is switched off. Without it there are none, but for what `private_networks` needs.
    #[schema(optional)]
    pub(in crate::services::scaleway) options: Attr<BTreeMap<String, ServerOption>>,
    /// Private networks by id (UUID, with or without the region before it); the option that they need is switched on with them. Any other is
    /// drift and is left. Without it there are none.
    #[schema(optional)]
    pub(in crate::services::scaleway) private_networks: Attr<BTreeMap<String, PrivateNetwork>>,
    /// Name of the IPv4 address in reverse DNS. It must resolve to the address by then: a refusal is a warning, and the next apply tries again.
    /// Default: Scaleway's own name of the server.
    #[schema(optional, computed, keep_prior, format = "hostname")]
    pub(in crate::services::scaleway) reverse_ipv4: Attr<String>,
    /// Name of the IPv6 address in reverse DNS, likewise.
    #[schema(optional, computed, keep_prior, format = "hostname")]
    pub(in crate::services::scaleway) reverse_ipv6: Attr<String>,
    /// Tags of yours. The marks, and the labels that Scaleway adds by itself, are not listed here; any other tag is drift and is removed. Without
    /// it there are only the marks.
    #[schema(optional)]
    pub(in crate::services::scaleway) tags: Attr<BTreeSet<String>>,
    /// Description, 255 characters at most. Without it there is none.
    #[schema(optional)]
    pub(in crate::services::scaleway) description: Attr<String>,
    /// Host name given at installation, and acting then only. Without it: the name of the node.
    #[schema(optional, recorded)]
    pub(in crate::services::scaleway) hostname: Attr<String>,
    /// Whether Scaleway refuses to delete the server. A destroy lifts a protection that Terraform set, and no other.
    #[schema(default = false)]
    pub(in crate::services::scaleway) protected: Attr<bool>,
    /// Whether the server is paid by the month, with a fee that is due at once, instead of by the hour. From hourly to monthly happens in place;
    /// there is no way back.
    #[schema(default = false)]
    pub(in crate::services::scaleway) monthly: Attr<bool>,
    /// What to do when the installation fails: `keep` the server, not ready; `retry` the installation once; `delete` the server and fail.
    #[schema(default = "keep", one_of("keep", "retry", "delete"), recorded)]
    pub(in crate::services::scaleway) on_create_failure: Attr<String>,
    /// How to reach the installed system the first time. With it, ready means that the machine answered SSH with the expected host key and has
    /// made its own since. Without it, ready means installed.
    #[schema(optional, recorded)]
    pub(in crate::services::scaleway) first_contact: Attr<FirstContact>,
    /// Id (UUID) of the server.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) id: Attr<String>,
    /// Public IPv4 address. Null until there is one.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) ipv4: Attr<String>,
    /// Public IPv6 address. Null when the server has none.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) ipv6: Attr<String>,
    /// State of the delivery, e.g. `ready`.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) status: Attr<String>,
    /// State of Scaleway's installation, e.g. `completed`. Null when the server was ordered bare.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) install_status: Attr<String>,
    /// Whether the server is installed and, with `first_contact`, was reached. While false, every plan shows an update: the wait goes on.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) ready: Attr<bool>,
    /// What was seen last while waiting, in words.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) last_seen: Attr<String>,
    /// Name in Scaleway's DNS, e.g. `<id>.fr-par-2.baremetal.scw.cloud`. Null until there is one.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) domain: Attr<String>,
    /// MAC address of the machine. Scaleway tells it of servers in private networks only; null otherwise.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) mac: Attr<String>,
    /// What each private network means for the system, by id of the network: the system needs a VLAN interface of its own.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) private_network_attachments:
        Attr<BTreeMap<String, Attachment>>,
    /// What an hour costs, in euros, as it was told when the server was planned; options apart. Null when it is paid by the month. Never
    /// compared.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) price_per_hour: Attr<Number>,
    /// What a month costs, in euros and whatever its number of days, as it was told when the server was planned; options apart. Null when it is
    /// paid by the hour. Never compared.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) price_per_month: Attr<Number>,
    /// What was due once with the order, in euros; 0 when the server is paid by the hour.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) fee: Attr<Number>,
    /// Id (UUID) of the offer.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) offer_id: Attr<String>,
    /// Id (UUID) of the operating system.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) os_id: Attr<String>,
    /// Id of the estate that the server's marks name. Null when somebody touched the marks; the next apply sets them again.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) owner: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    pub(in crate::services::scaleway) timeouts: Attr<Timeouts>,
}

/// How to reach the installed system the first time. Names of store entries, never values.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct FirstContact {
    /// User to log in as, e.g. `core`.
    #[schema(required)]
    pub(in crate::services::scaleway) user: Attr<String>,
    /// Store entry of the operator's private key, e.g. `ssh/operator`.
    #[schema(required)]
    pub(in crate::services::scaleway) private_key: Attr<String>,
    /// Store entry of the single-use host key that the user data delivered to the machine, e.g. `nodes/cp-1/host-key`.
    #[schema(required)]
    pub(in crate::services::scaleway) host_key: Attr<String>,
    /// Store entry that gets the public host key which the machine makes for itself, e.g. `nodes/cp-1/host-key-current`. It goes with the
    /// server.
    #[schema(required)]
    pub(in crate::services::scaleway) host_key_current: Attr<String>,
}

/// What only this provider knows about the server.
#[allow(clippy::struct_excessive_bools)] // four facts that have nothing to do with each other
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Private {
    /// The protection was set by us, so that a destroy may lift it.
    pub(in crate::services::scaleway) protected: bool,
    /// The installation was tried again, once.
    pub(in crate::services::scaleway) retried: bool,
    /// When an installation of the offer should be over, in seconds after the order; 0 when nobody has said.
    pub(in crate::services::scaleway) usual_seconds: u64,
    /// The offer installs within minutes.
    pub(in crate::services::scaleway) fast: bool,
    /// This provider's create ordered it and it was never ready: only then may a failure delete it.
    pub(in crate::services::scaleway) fresh: bool,
}

impl Private {
    /// When an installation should be over, counted from the order.
    pub(in crate::services::scaleway) fn usual(&self) -> Duration {
        match self.usual_seconds {
            0 => usual("", self.fast),
            seconds => Duration::from_secs(seconds),
        }
    }
}

pub(in crate::services::scaleway) fn failed(
    verb: &str,
    identity: &str,
    error: &dyn std::error::Error,
) -> Diagnostics {
    Diagnostics::failed(verb, "server", identity, error)
}

impl BaremetalServer {
    pub(in crate::services::scaleway) fn marks(
        &self,
        provider: &Strata,
    ) -> Result<Marks, Diagnostics> {
        Ok(Marks {
            cluster: provider.cluster().to_owned(),
            owner: provider.owner()?.to_owned(),
            node: self.node.require("node")?.clone(),
        })
    }

    /// What an order carries: a bare machine also says that it was never used.
    pub(in crate::services::scaleway) fn ordered_tags(&self, marks: &Marks) -> BTreeSet<String> {
        let unused = self.is_by_rescue().then(|| UNUSED.to_owned());
        self.all_tags(marks).into_iter().chain(unused).collect()
    }

    /// Our tags and the marks: what a PATCH sends.
    pub(in crate::services::scaleway) fn all_tags(&self, marks: &Marks) -> BTreeSet<String> {
        texts(&self.tags).into_iter().chain(marks.tags()).collect()
    }
}
