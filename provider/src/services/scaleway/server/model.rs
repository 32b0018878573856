//! The model of `strata_scaleway_baremetal_server`, and the ways between it, the catalogue and what the API shows.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_framework::{Attr, Diagnostics, Schema, Secret, Timeouts};

use crate::provider::{Scaleway, Strata, texts};
use crate::services::scaleway::catalogue::Os;
use crate::services::scaleway::order::{self, Marks};
use crate::services::scaleway::poll::usual;
use crate::services::scaleway::wire::{NewInstall, Server};

/// A Scaleway Elastic Metal server.
///
/// Ordering one costs money, so it is ordered at most once: the order carries tags for cluster, owner and node, and whoever orders looks for
/// them first. A server that is found by them, after a lost reply or a lost state, is adopted with a warning.
///
/// Create waits until the operating system is installed and, with `first_contact`, until the machine answers SSH with the expected host
/// key. A wait that does not end in time is no error, since an error would taint the server and a taint orders another one: the server is
/// kept with `ready = false`, and the next apply goes on waiting.
///
/// Not handled: options, private networks, a change of billing.
///
/// # Permissions
///
/// A Scaleway API key with the permission sets `ElasticMetalFullAccess` and `SSHKeysReadOnly` in the project
/// ([reference](https://www.scaleway.com/en/docs/iam/reference-content/permission-sets/)), in `SCW_SECRET_KEY` or the store entry
/// `scaleway/secret-key`. With `first_contact`: read and write in the store's folder, and a way from here to port 22 of the machine.
///
/// # Errors
///
/// - "Zone ... has no ... offer ...", "Zone ... has no system ...": the message lists what the zone has.
/// - "... does not support cloud-init": choose another offer or system, or leave `user_data_wo` out.
/// - "server ... belongs to a cluster of the same name with another owner": another estate uses this cluster's name; nothing was ordered.
/// - "carries our marks for node ... but is ... of offer": a server of this node exists with another offer; delete it or change the offer.
/// - "It is not known whether a server was ordered": no reply came three times; the next apply looks for it by its marks.
/// - "Cannot adopt server": `STRATA_ADOPT` is set and no server carries the marks; nothing was ordered.
/// - "installing another system wipes its disks": a changed `os` is refused; use `terraform apply -replace`.
/// - "It is protected, and the protection was not set by Terraform": lift it in the console, or apply with `protected = false` first.
///
/// # Import
///
/// The id is `zone/id`: the zone and Scaleway's id (UUID) of the server. Node, offer, system and SSH keys are read back. `first_contact`,
/// `hostname` and `timeouts` are not Scaleway's to know; the first apply records them and changes nothing at the server.
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
    /// Operating system to install, by name and version (`Ubuntu 22.04`) or id. A later change is refused: it would wipe the disks.
    #[schema(required)]
    pub(in crate::services::scaleway) os: Attr<String>,
    /// Ids of the SSH keys that the installation puts onto the server, e.g. `[strata_scaleway_ssh_key.operator.id]`. Acts at installation only.
    #[schema(required, recorded)]
    pub(in crate::services::scaleway) ssh_key_ids: Attr<BTreeSet<String>>,
    /// Cloud-init user data, 127998 bytes at most. Sent with the order, never compared, overwritten at Scaleway after the first contact. Without
    /// it the system is installed as it is.
    #[schema(optional, write_only, sensitive)]
    pub(in crate::services::scaleway) user_data_wo: Attr<Secret<String>>,
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
    /// Whether to order the monthly offer, whose fee is due at once, instead of the hourly one. A later change is refused.
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
    /// State of the installation, e.g. `completed`.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) install_status: Attr<String>,
    /// Whether the server is installed and, with `first_contact`, was reached. While false, every plan shows an update: the wait goes on.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) ready: Attr<bool>,
    /// What was seen last while waiting, in words.
    #[schema(computed, keep_prior)]
    pub(in crate::services::scaleway) last_seen: Attr<String>,
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

    /// Our tags and the marks: what a PATCH sends.
    pub(in crate::services::scaleway) fn all_tags(&self, marks: &Marks) -> BTreeSet<String> {
        texts(&self.tags).into_iter().chain(marks.tags()).collect()
    }

    pub(in crate::services::scaleway) fn install(&self, os_id: &str) -> NewInstall {
        NewInstall {
            os_id: os_id.to_owned(),
            hostname: self
                .hostname
                .known()
                .cloned()
                .unwrap_or_else(|| self.node.text().to_owned()),
            ssh_key_ids: texts(&self.ssh_key_ids),
        }
    }

    /// What every look at the server tells. Configured attributes are not touched.
    pub(in crate::services::scaleway) fn see(&mut self, server: &Server) {
        self.id = Attr::Known(server.id.clone());
        self.ipv4 = server.ipv4().map(|address| address.to_string()).into();
        self.ipv6 = server.ipv6().map(|address| address.to_string()).into();
        self.status = Attr::Known(server.status.clone());
        self.install_status = Attr::Known(server.install_status().to_owned());
        self.offer_id = Attr::Known(server.offer_id.clone());
        if !server.project_id.is_empty() {
            self.project_id = Attr::Known(server.project_id.clone());
        }
        self.os_id = server
            .install
            .as_ref()
            .map(|install| install.os_id.clone())
            .into();
        self.owner = Marks::of(server).map(|marks| marks.owner).into();
        if self.ready != Attr::Known(true) {
            self.ready = Attr::Known(false);
            self.last_seen = Attr::Known(format!(
                "status {}, installation {}",
                server.status,
                server.install_status()
            ));
        }
    }

    /// What a refresh tells about configured attributes.
    pub(in crate::services::scaleway) fn drift(&mut self, server: &Server, marks: Option<&Marks>) {
        self.name = Attr::Known(server.name.clone());
        if !(server.description.is_empty() && self.description.is_null()) {
            self.description = Attr::Known(server.description.clone());
        }
        self.protected = Attr::Known(server.protected);
        let foreign = |tag: &&String| !order::is_mark(tag) && !is_label(tag);
        let tags: BTreeSet<String> = server.tags.iter().filter(foreign).cloned().collect();
        if !(tags.is_empty() && self.tags.is_null()) {
            self.tags = Attr::Known(tags);
        }
        // A server whose marks were touched has no owner: that is what the plan repairs.
        if marks.is_none_or(|marks| !marks.tags().iter().all(|tag| server.tags.contains(tag))) {
            self.owner = Attr::Null;
        }
    }

    /// Attributes that an import cannot know from its id.
    pub(in crate::services::scaleway) async fn describe(
        &mut self,
        scaleway: &Scaleway,
        server: &Server,
    ) -> Result<(), Diagnostics> {
        let zone = self.zone.text();
        let systems = scaleway
            .client
            .systems(zone)
            .await
            .map_err(|error| failed("read", &server.id, &error))?;
        self.node = Marks::of(server)
            .map(|marks| marks.node)
            .filter(|node| !node.is_empty())
            .into();
        self.offer = Attr::Known(server.offer_name.clone());
        if let Some(install) = &server.install {
            let system = systems.iter().find(|system| system.id == install.os_id);
            let short = |system: &Os| {
                format!(
                    "{} {}",
                    system.name,
                    system.version.split(' ').next().unwrap_or_default()
                )
                .trim()
                .to_owned()
            };
            self.os = Attr::Known(system.map_or_else(|| install.os_id.clone(), short));
            self.ssh_key_ids = Attr::Known(install.ssh_key_ids.clone());
        }
        self.ready =
            Attr::Known(server.status == "ready" && server.install_status() == "completed");
        self.last_seen = Attr::Known("imported".into());
        Ok(())
    }
}

/// Whether the API adds this tag by itself while an option is on.
pub(in crate::services::scaleway) fn is_label(tag: &str) -> bool {
    ["PrivateNetwork", "RemoteAccess"].contains(&tag)
}
