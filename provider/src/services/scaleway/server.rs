//! `strata_scaleway_baremetal_server`: one server, ordered once. API: <https://www.scaleway.com/en/developers/api/elastic-metal/>
//!
//! Once the server exists, "not finished" is never an error: create returns it with `ready = false` and a warning, and the next apply goes on in
//! place, since an error would taint it and a taint orders it again (FN2). What converging means is in `converge`; ordering once, in `order`.
//! Not handled: options, private networks, a change of billing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Policy, Probe, Resource, Schema,
    Secret, Timeouts, wait,
};

use super::client::{NewInstall, NewServer, Offer, Os, Server, ServerPatch, USER_DATA_LIMIT};
use super::converge;
use super::order::{self, Marks, Placed};
use crate::http::client::Error;
use crate::provider::{Scaleway, Strata, store_failed, texts};
use crate::store::{Condition, Name};

/// A Scaleway Elastic Metal server.
///
/// Ordering one costs money. It carries the marks of the cluster, its owner and the node, by which it is found again after a lost reply or a lost state.
/// Waits until the operating system is installed and, with `first_contact`, until the machine answers SSH with the expected host key.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "scaleway_baremetal_server", version = 0)]
pub struct BaremetalServer {
    /// Name of the server at Scaleway, by convention `<cluster>-<node>`.
    #[schema(required)]
    pub(super) name: Attr<String>,
    /// Name of the node that the server is for. A change replaces the server.
    #[schema(required, replace, pattern("[a-z0-9]([a-z0-9.-]*[a-z0-9])?"))]
    pub(super) node: Attr<String>,
    /// Zone, e.g. `fr-par-2`. A change replaces the server.
    #[schema(required, replace, pattern("[a-z]{2}-[a-z]{3,7}-[0-9]{1,2}"))]
    pub(super) zone: Attr<String>,
    /// Offer, by name (`EM-I215E-NVME`) or id. A change replaces the server.
    #[schema(required, replace)]
    pub(super) offer: Attr<String>,
    /// Operating system to install, by name and version (`Ubuntu 22.04`) or id. Acts at installation only.
    #[schema(required)]
    pub(super) os: Attr<String>,
    /// Ids of the SSH keys that the installation puts onto the server. Acts at installation only: a later change is recorded.
    #[schema(required, recorded)]
    pub(super) ssh_key_ids: Attr<BTreeSet<String>>,
    /// Cloud-init user data. One shot: sent with the order, never compared, burned after the first contact.
    #[schema(optional, write_only, sensitive)]
    pub(super) user_data_wo: Attr<Secret<String>>,
    /// Tags of yours. The marks and the labels that Scaleway adds are not listed here; any other tag is drift.
    #[schema(optional)]
    pub(super) tags: Attr<BTreeSet<String>>,
    /// Description, up to 255 characters.
    #[schema(optional)]
    pub(super) description: Attr<String>,
    /// Host name given at installation. Default: the node's name. Acts at installation only: a later change is recorded.
    #[schema(optional, recorded)]
    pub(super) hostname: Attr<String>,
    /// Whether Scaleway refuses to delete the server. A destroy by Terraform lifts a protection that it set itself.
    #[schema(default = false)]
    pub(super) protected: Attr<bool>,
    /// Orders the monthly offer, whose fee is due at once. Default: hourly. Cannot be changed later.
    #[schema(default = false)]
    pub(super) monthly: Attr<bool>,
    /// What to do when the installation fails: `keep` the server, not ready; `retry` once; `delete` it and fail.
    #[schema(default = "keep", one_of("keep", "retry", "delete"), recorded)]
    pub(super) on_create_failure: Attr<String>,
    /// How to reach the installed system the first time. With it, ready means: it answers SSH with the expected host key and has made its own since.
    #[schema(optional, recorded)]
    pub(super) first_contact: Attr<FirstContact>,
    /// Id of the server.
    #[schema(computed, keep_prior)]
    pub(super) id: Attr<String>,
    /// Public IPv4 address.
    #[schema(computed, keep_prior)]
    pub(super) ipv4: Attr<String>,
    /// Public IPv6 address.
    #[schema(computed, keep_prior)]
    pub(super) ipv6: Attr<String>,
    /// State of the delivery, e.g. `ready`.
    #[schema(computed, keep_prior)]
    pub(super) status: Attr<String>,
    /// State of the installation, e.g. `completed`.
    #[schema(computed, keep_prior)]
    pub(super) install_status: Attr<String>,
    /// Whether the server is installed and, with `first_contact`, was reached. While false, every plan shows the resumed wait.
    #[schema(computed, keep_prior)]
    pub(super) ready: Attr<bool>,
    /// What was seen last while waiting.
    #[schema(computed, keep_prior)]
    pub(super) last_seen: Attr<String>,
    /// Id of the offer.
    #[schema(computed, keep_prior)]
    pub(super) offer_id: Attr<String>,
    /// Id of the operating system.
    #[schema(computed, keep_prior)]
    pub(super) os_id: Attr<String>,
    /// Id of the estate that the server's marks name.
    #[schema(computed, keep_prior)]
    pub(super) owner: Attr<String>,
    /// How long operations may take.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

/// How to reach the installed system the first time. Names of store entries, never values.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct FirstContact {
    /// User to log in as, e.g. `core`.
    #[schema(required)]
    pub(super) user: Attr<String>,
    /// Store entry of the operator's private key.
    #[schema(required)]
    pub(super) private_key: Attr<String>,
    /// Store entry of the single-use host key that was delivered to the machine.
    #[schema(required)]
    pub(super) host_key: Attr<String>,
    /// Store entry that gets the public host key which the machine makes for itself.
    #[schema(required)]
    pub(super) host_key_current: Attr<String>,
}

/// What only this provider knows about the server.
#[allow(clippy::struct_excessive_bools)] // four facts that have nothing to do with each other
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Private {
    /// The protection was set by us, so that a destroy may lift it.
    pub(super) protected: bool,
    /// The installation was tried again, once.
    pub(super) retried: bool,
    /// The offer installs within minutes.
    pub(super) fast: bool,
    /// This provider's create ordered it and it was never ready: only then may a failure delete it.
    pub(super) fresh: bool,
}

pub(super) fn failed(verb: &str, identity: &str, error: &dyn std::error::Error) -> Diagnostics {
    Diagnostics::failed(verb, "server", identity, error)
}

/// The offer and OS that the names mean.
pub(super) struct Choice {
    pub(super) offer: Offer,
    /// The offer and its other billing: both are the machine that was asked for.
    pub(super) offer_ids: BTreeSet<String>,
    pub(super) os: Os,
}

impl BaremetalServer {
    /// Finds offer and OS in the zone's catalogue and checks that they fit each other and the user data.
    pub(super) async fn choose(
        &self,
        scaleway: &Scaleway,
        with_user_data: bool,
    ) -> Result<Choice, Diagnostics> {
        let (zone, wanted, os) = (
            self.zone.require("zone")?,
            self.offer.require("offer")?,
            self.os.require("os")?,
        );
        let listing = |error: Error| failed("look up the offer of", self.name.text(), &error);
        let offers = scaleway.client.offers(zone).await.map_err(listing)?;
        let systems = scaleway.client.systems(zone).await.map_err(listing)?;
        let same: Vec<&Offer> = offers
            .iter()
            .filter(|offer| offer.name == *wanted || offer.id == *wanted)
            .collect();
        let period = if self.monthly == Attr::Known(true) {
            "monthly"
        } else {
            "hourly"
        };
        let Some(offer) = same
            .iter()
            .find(|offer| offer.subscription_period == period || offer.id == *wanted)
            .map(|offer| (*offer).clone())
        else {
            let mut names: Vec<&str> = offers
                .iter()
                .filter(|offer| offer.subscription_period == period)
                .map(|offer| offer.name.as_str())
                .collect();
            names.sort_unstable();
            names.dedup();
            return Err(Diagnostics::invalid(
                Path::of("offer"),
                format!(
                    "Zone {zone} has no {period} offer `{wanted}`. It has: {}.",
                    names.join(", ")
                ),
            ));
        };
        let Some(system) = systems.iter().find(|system| system.is_called(os)).cloned() else {
            let names: BTreeSet<String> = systems
                .iter()
                .filter(|system| system.enabled)
                .map(|system| format!("{} {}", system.name, system.version))
                .collect();
            let names: Vec<String> = names.into_iter().collect();
            return Err(Diagnostics::invalid(
                Path::of("os"),
                format!(
                    "Zone {zone} has no system `{os}`. It has: {}.",
                    names.join(", ")
                ),
            ));
        };
        if offer.incompatible_os_ids.contains(&system.id) {
            return Err(Diagnostics::invalid(
                Path::of("os"),
                format!(
                    "{} {} cannot be installed on offer {}.",
                    system.name, system.version, offer.name
                ),
            ));
        }
        if with_user_data && !(offer.takes_user_data() && system.cloud_init_supported) {
            let which = if offer.takes_user_data() {
                format!("{} {}", system.name, system.version)
            } else {
                format!("Offer {}", offer.name)
            };
            return Err(Diagnostics::invalid(
                Path::of("user_data_wo"),
                format!("{which} does not support cloud-init, so user data would never run."),
            ));
        }
        let offer_ids = offers
            .iter()
            .filter(|other| other.name == offer.name)
            .map(|other| other.id.clone())
            .collect();
        Ok(Choice {
            offer,
            offer_ids,
            os: system,
        })
    }

    pub(super) fn marks(&self, provider: &Strata) -> Result<Marks, Diagnostics> {
        Ok(Marks {
            cluster: provider.cluster().to_owned(),
            owner: provider.owner()?.to_owned(),
            node: self.node.require("node")?.clone(),
        })
    }

    /// Our tags and the marks: what a PATCH sends.
    pub(super) fn all_tags(&self, marks: &Marks) -> BTreeSet<String> {
        texts(&self.tags).into_iter().chain(marks.tags()).collect()
    }

    pub(super) fn install(&self, os_id: &str) -> NewInstall {
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
    pub(super) fn see(&mut self, server: &Server) {
        self.id = Attr::Known(server.id.clone());
        self.ipv4 = server.ipv4().map(|address| address.to_string()).into();
        self.ipv6 = server.ipv6().map(|address| address.to_string()).into();
        self.status = Attr::Known(server.status.clone());
        self.install_status = Attr::Known(server.install_status().to_owned());
        self.offer_id = Attr::Known(server.offer_id.clone());
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
    fn drift(&mut self, server: &Server, marks: Option<&Marks>) {
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
    async fn describe(&mut self, scaleway: &Scaleway, server: &Server) -> Result<(), Diagnostics> {
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
pub(super) fn is_label(tag: &str) -> bool {
    ["PrivateNetwork", "RemoteAccess"].contains(&tag)
}

impl Resource for BaremetalServer {
    type Provider = Strata;
    type Model = Self;
    type Private = Private;
    const TIMEOUTS: Limit = Limit::minutes(120, 5, 120, 30);

    fn validate(config: &Self, found: &mut Diagnostics) {
        if config
            .user_data_wo
            .known()
            .is_some_and(|data| data.expose().len() > USER_DATA_LIMIT)
        {
            found.merge(Diagnostics::invalid(
                Path::of("user_data_wo"),
                format!("User data may have {USER_DATA_LIMIT} bytes at most."),
            ));
        }
        for tag in config
            .tags
            .known()
            .into_iter()
            .flatten()
            .filter(|tag| order::is_mark(tag))
        {
            found.merge(Diagnostics::invalid(
                Path::of("tags"),
                format!("`{tag}` is a mark, which the provider sets itself."),
            ));
        }
        if config
            .description
            .known()
            .is_some_and(|text| text.chars().count() > 255)
        {
            found.merge(Diagnostics::invalid(
                Path::of("description"),
                "A description may have 255 characters at most.",
            ));
        }
    }

    async fn plan(
        cx: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        let state = &mut planned.state;
        let Some(prior) = change.prior() else {
            if [&state.zone, &state.offer, &state.os]
                .iter()
                .all(|attribute| attribute.known().is_some())
            {
                let scaleway = cx.provider.scaleway().await?;
                let choice = state
                    .choose(scaleway, !change.config().user_data_wo.is_null())
                    .await?;
                if choice.offer.stock == "low" {
                    cx.warn(Diagnostics::warning(
                        format!("Offer {} is low in stock", choice.offer.name),
                        "About 5 machines or fewer are left in this zone.",
                    ));
                }
            }
            return Ok(planned);
        };
        if state.monthly != prior.monthly && !prior.monthly.is_null() {
            return Err(Diagnostics::invalid(
                Path::of("monthly"),
                "The billing of a server cannot be changed here; set it back, or replace the server with `terraform apply -replace`.",
            ));
        }
        if state.os != prior.os && !state.os.is_unknown() && !state.os_is(prior, cx).await {
            return Err(Diagnostics::invalid(
                Path::of("os"),
                format!(
                    "The server runs `{}`, and installing another system wipes its disks. Set it back, or replace the server with `terraform apply -replace`.",
                    prior.os.text()
                ),
            ));
        }
        if prior.ready != Attr::Known(true) {
            (
                state.ready,
                state.last_seen,
                state.status,
                state.install_status,
            ) = (Attr::Unknown, Attr::Unknown, Attr::Unknown, Attr::Unknown);
            for (planned, prior) in [
                (&mut state.ipv4, &prior.ipv4),
                (&mut state.ipv6, &prior.ipv6),
            ] {
                if prior.is_null() {
                    *planned = Attr::Unknown;
                }
            }
        }
        if cx
            .provider
            .owner_if_known()
            .is_some_and(|owner| prior.owner.text() != owner)
        {
            state.owner = Attr::Unknown;
        }
        Ok(planned)
    }

    async fn create(
        cx: &Of<'_, Self>,
        config: Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let (name, zone) = (
            planned.name.require("name")?.clone(),
            planned.zone.require("zone")?.clone(),
        );
        let choice = planned
            .choose(scaleway, !config.user_data_wo.is_null())
            .await?;
        let marks = planned.marks(cx.provider)?;
        let new = NewServer {
            offer_id: choice.offer.id.clone(),
            project_id: scaleway.project(None)?,
            name: name.clone(),
            description: planned.description.text().to_owned(),
            tags: planned.all_tags(&marks),
            install: planned.install(&choice.os.id),
            protected: planned.protected == Attr::Known(true),
            user_data: config.user_data_wo.known().cloned(),
        };
        if cx.cancel.is_cancelled() {
            return Err(Diagnostics::error(
                format!("Cannot create server \"{name}\""),
                "The run was stopped before the order.",
            )
            .left("Nothing was ordered."));
        }
        scaleway.poll.drop_snapshots();
        let placed = order::place(&scaleway.client, &zone, &marks, &new, &choice.offer_ids).await.map_err(|error| {
            let left = match &error {
                order::Error::NoVerdict { .. } => "It is not known whether a server was ordered; the next apply looks for it by its marks.",
                order::Error::Api(error) if error.is_lost() => "If a server was ordered, the next apply finds it by its marks.",
                _ => "No server was ordered.",
            };
            failed("create", &name, &error).left(left)
        })?;
        let (server, adopted) = match placed {
            Placed::Made(server) => (server, false),
            Placed::Adopted(server) => (server, true),
        };
        {
            let mut private = cx.private();
            (private.protected, private.fast, private.fresh) =
                (new.protected, choice.offer.installs_fast(), !adopted);
        }
        planned.see(&server);
        cx.save(&planned);
        if adopted {
            scaleway
                .adopted
                .lock()
                .expect("no panic while held")
                .insert(server.id.clone());
            cx.warn(Diagnostics::warning(
                format!("Adopted server \"{name}\""),
                format!("Server {} was ordered earlier for node {} of this estate; nothing was ordered now.", server.id, marks.node),
            ));
        }
        converge::finish(cx, &config, planned, server, !adopted).await
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let (zone, id) = (
            prior.zone.require("zone")?.clone(),
            prior.id.require("id")?.clone(),
        );
        let look = async {
            match scaleway
                .poll
                .snapshot(&scaleway.client, &zone)
                .await?
                .server(&id)
            {
                Some(server) => Ok(Some(server.clone())),
                // A list is a hint; only the answer to a get proves that it is gone.
                None => scaleway.client.server(&zone, &id).await,
            }
        };
        let server = match look.await {
            Ok(Some(server)) if server.is_leaving() => return Ok(Found::Gone),
            Ok(Some(server)) => server,
            Ok(None) => return Ok(Found::Gone),
            Err(error) if error.is_transient() => {
                return Ok(Found::Unknown(
                    failed("read", &id, &error).left("The last known state is kept."),
                ));
            }
            Err(error) => return Err(failed("read", &id, &error)),
        };
        if prior.offer.is_null() {
            prior.describe(scaleway, &server).await?;
        }
        prior.see(&server);
        let marks = prior.marks(cx.provider).ok();
        prior.drift(&server, marks.as_ref());
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        config: Self,
        prior: Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let (zone, id) = (
            planned.zone.require("zone")?.clone(),
            prior.id.require("id")?.clone(),
        );
        scaleway.poll.drop_snapshots();
        let server = scaleway
            .client
            .server(&zone, &id)
            .await
            .map_err(|error| failed("update", &id, &error))?;
        let Some(server) = server else {
            return Err(Diagnostics::error(
                format!("Cannot update server \"{id}\""),
                "It does not exist any more.",
            )
            .hint("Run plan again."));
        };
        let marks = planned.marks(cx.provider)?;
        if let Some(found) =
            Marks::of(&server).filter(|found| !found.owner.is_empty() && found.owner != marks.owner)
        {
            let error = order::Error::OtherOwner {
                id,
                name: server.name,
                owner: found.owner,
                ours: marks.owner,
            };
            return Err(
                failed("update", planned.name.text(), &error).left("The server was not changed.")
            );
        }
        cx.private().protected |= planned.protected == Attr::Known(true);
        planned.ready = prior.ready.clone();
        converge::finish(cx, &config, planned, server, false).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let (zone, id) = (
            prior.zone.require("zone")?.clone(),
            prior.id.require("id")?.clone(),
        );
        if scaleway
            .adopted
            .lock()
            .expect("no panic while held")
            .contains(&id)
        {
            cx.warn(Diagnostics::warning(
                format!("Forgot server \"{id}\""),
                "This run adopted the same server again, so it was not deleted.",
            ));
            return Ok(());
        }
        scaleway.poll.drop_snapshots();
        let failed = |error: &Error| {
            failed("delete", &id, error).left("The server may still exist and be billed.")
        };
        let Some(server) = scaleway
            .client
            .server(&zone, &id)
            .await
            .map_err(|error| failed(&error))?
        else {
            return forget(cx, &prior).await;
        };
        if server.protected {
            if !cx.private().protected {
                return Err(Diagnostics::error(format!("Cannot delete server \"{id}\""), "It is protected, and the protection was not set by Terraform.")
                    .left("The server was not changed.")
                    .hint("Lift the protection in Scaleway's console if you mean it, or apply with `protected = false` first."));
            }
            let patch = ServerPatch {
                protected: Some(false),
                ..ServerPatch::default()
            };
            scaleway
                .client
                .patch_server(&zone, &id, &patch)
                .await
                .map_err(|error| failed(&error))?;
        }
        if !server.is_leaving() {
            scaleway
                .client
                .delete_server(&zone, &id)
                .await
                .map_err(|error| failed(&error))?;
        }
        wait_gone(cx, scaleway, &zone, &id).await?;
        forget(cx, &prior).await
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let Some((zone, server)) = id
            .split_once('/')
            .filter(|(zone, server)| !zone.is_empty() && !server.is_empty())
        else {
            return Err(Diagnostics::error(
                format!("Cannot import server \"{id}\""),
                "The id of a server is `zone/id`, like `fr-par-2/8f5f6e5a-...`.",
            ));
        };
        Ok(Self {
            zone: zone.into(),
            id: server.into(),
            ..Self::default()
        })
    }
}

impl BaremetalServer {
    /// Whether the OS that is asked for is the one that is installed, in other words.
    async fn os_is(&self, prior: &Self, cx: &Of<'_, Self>) -> bool {
        let (Ok(scaleway), Some(installed)) = (cx.provider.scaleway().await, prior.os_id.known())
        else {
            return false;
        };
        let systems = scaleway
            .client
            .systems(prior.zone.text())
            .await
            .unwrap_or_default();
        systems
            .iter()
            .any(|system| system.id == *installed && system.is_called(self.os.text()))
    }
}

/// Waits for the 404 that proves a deletion; one list call serves all that wait.
pub(super) async fn wait_gone(
    cx: &Of<'_, BaremetalServer>,
    scaleway: &Scaleway,
    zone: &str,
    id: &str,
) -> Result<(), Diagnostics> {
    let seconds = |seconds| {
        scaleway
            .client
            .scaled(std::time::Duration::from_secs(seconds))
    };
    let policy = Policy::new(format!("server {id} to be gone")).every(seconds(5), seconds(30));
    let outcome = wait(cx, &policy, async || {
        let due = tokio::time::Instant::now();
        match scaleway
            .poll
            .fresh(&scaleway.client, zone, due - seconds(2))
            .await
        {
            Ok(listing) if listing.server(id).is_some() => Probe::NotYet(format!(
                "status {}",
                listing.server(id).map_or("", |server| &server.status)
            )),
            Ok(_) => match scaleway.client.server(zone, id).await {
                Ok(None) => Probe::Done(()),
                Ok(Some(server)) => Probe::NotYet(format!("status {}", server.status)),
                Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
                Err(error) => Probe::Failed(failed("delete", id, &error)),
            },
            Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
            Err(error) => Probe::Failed(failed("delete", id, &error)),
        }
    });
    outcome.await.map_err(|error| {
        Diagnostics::from(error)
            .left("The deletion was accepted; the server is billed until it is gone.")
    })
}

/// The host key belongs to the machine and goes with it.
async fn forget(cx: &Of<'_, BaremetalServer>, prior: &BaremetalServer) -> Result<(), Diagnostics> {
    let Some(contact) = prior.first_contact.known() else {
        return Ok(());
    };
    let entry = contact.host_key_current.text();
    let Ok(name) = Name::parse(entry) else {
        return Ok(());
    };
    let deleted = cx.provider.store()?.delete(&name, Condition::Any).await;
    deleted.map(drop).map_err(|error| {
        store_failed("delete", entry, &error)
            .left("The server itself is gone; the next destroy removes the entry.")
    })
}

#[cfg(test)]
#[path = "server/tests.rs"]
mod tests;
