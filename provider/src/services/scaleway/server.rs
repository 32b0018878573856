//! `strata_scaleway_baremetal_server`: one server, ordered once. API: <https://www.scaleway.com/en/developers/api/elastic-metal/>
//!
//! Once the server exists, "not finished" is never an error: create returns it with `ready = false` and a warning, and the next apply goes on in
//! place, since an error would taint it and a taint orders it again (FN2). What converging means is in `converge`; ordering once, in `order`.
//! What a plan says is in `server/plan`. Installing from the rescue system is in `rescue`. Sessions with the machine itself are in `bmc`.

mod choice;
mod installing;
pub mod model;
pub mod networks;
pub mod options;
mod plan;
pub(super) mod seen;

use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Policy, Probe, Resource, wait,
};

pub use self::model::BaremetalServer;
use self::model::{Private, failed};
use super::contact;
use super::converge::{self, Task};
use super::order::{self, Marks, Placed};
use super::poll::{usual, usual_delivery};
use super::wire::{NewServer, ServerPatch, USER_DATA_LIMIT};
use crate::http::client::Error;
use crate::provider::{Scaleway, Strata, store_failed};
use crate::store::{Condition, Name};
use crate::wipe::wipe;

impl Resource for BaremetalServer {
    type Provider = Strata;
    type Model = Self;
    type Private = Private;
    const SUBCATEGORY: &'static str = "Scaleway";
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
        installing::check_way(config, found);
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
        match change {
            Change::Create { config } => plan::of_new(cx, config, &mut planned.state).await?,
            Change::Update { config, prior } => {
                plan::of_present(cx, config, prior, &mut planned.state).await?;
            }
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
        let choice = planned.choose(scaleway, &config).await?;
        let marks = planned.marks(cx.provider)?;
        let new = NewServer {
            offer_id: choice.offer.id.clone(),
            project_id: scaleway.project(planned.project_id.known())?,
            name: name.clone(),
            description: planned.description.text().to_owned(),
            tags: planned.ordered_tags(&marks),
            install: (choice.os.as_ref()).map(|os| planned.install(&config, Some(os))),
            option_ids: planned.ordered_options(&choice.offer)?,
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
        let place = order::Zone {
            client: &scaleway.client,
            poll: &scaleway.poll,
            name: &zone,
        };
        let placed = if cx.provider.only_adopts() {
            let found = order::find(place, &marks, &choice.offer).await;
            found.map(|found| found.map(Placed::Adopted))
        } else {
            Box::pin(order::place(place, &marks, &new, &choice.offer))
                .await
                .map(Some)
        };
        let placed = placed.map_err(|error| not_placed(&name, &error))?;
        let Some(placed) = placed else {
            return Err(Diagnostics::error(
                format!("Cannot adopt server \"{name}\""),
                format!(
                    "No server in {zone} carries the marks of node {} of this estate.",
                    marks.node
                ),
            )
            .left("Nothing was ordered.")
            .hint("Adopt the rest, then run ./bootstrap.sh: it orders what is missing."));
        };
        {
            let mut private = cx.private();
            private.protected = new.protected;
            private.fast = choice.offer.installs_fast();
            let usual = match &choice.os {
                Some(_) => usual(&choice.offer.name, private.fast),
                None => usual_delivery(private.fast),
            };
            private.usual_seconds = usual.as_secs();
        }
        let placed = match placed {
            Placed::Made(server, answered) => {
                cx.private().fresh = true;
                planned.see(&server);
                cx.save(&planned);
                let stopped = cx.cancel.clone();
                let kept = server.clone();
                let settled =
                    order::settle(place, &marks, server, answered, &choice.offer, async move {
                        stopped.cancelled().await;
                    });
                // It exists: whatever went wrong with a second look is no reason to taint it.
                Box::pin(settled).await.unwrap_or_else(|error| {
                    cx.warn(failed("look again at", &name, &error));
                    Placed::Made(kept, answered)
                })
            }
            adopted @ Placed::Adopted(_) => adopted,
        };
        let (server, ordered) = match placed {
            Placed::Made(server, answered) => (server, Some(answered)),
            Placed::Adopted(server) => (server, None),
        };
        cx.private().fresh = ordered.is_some();
        planned.see(&server);
        cx.save(&planned);
        if ordered.is_none() {
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
        let adopted_hourly = ordered.is_none() && server.offer_id != choice.offer.id;
        let task = Task {
            config: &config,
            prior: None,
            ordered,
            migrate: adopted_hourly && choice.offer.is_monthly(),
            reinstall: None,
        };
        Box::pin(converge::finish(cx, &task, planned, server)).await
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
        } else if prior.offer_id.known() != Some(&server.offer_id) {
            prior.see_billing(scaleway, &server).await?;
        }
        prior.see(&server);
        let marks = prior.marks(cx.provider).ok();
        let has_networks = prior.has_networks() || server.may_have_networks();
        // Networks first: they say whether the option that they need is somebody's wish.
        if has_networks {
            match scaleway.poll.fabric(&scaleway.client, &zone).await {
                Ok(fabric) => prior.drift_networks(&fabric),
                Err(error) if error.is_transient() => cx.warn(
                    failed("read the private networks of", &id, &error)
                        .left("Their last known state is kept."),
                ),
                Err(error) => return Err(failed("read the private networks of", &id, &error)),
            }
        }
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
        let monthly = Attr::Known(true);
        let task = Task {
            config: &config,
            prior: Some(&prior),
            ordered: None,
            migrate: planned.monthly == monthly && prior.monthly != monthly,
            reinstall: planned.reinstalls_in_update(&prior, cx).await,
        };
        planned.ready = prior.ready.clone();
        Box::pin(converge::finish(cx, &task, planned, server)).await
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
        if server.may_have_networks() && !server.is_leaving() {
            leave_networks(cx, scaleway, &zone, &id).await;
        }
        if !server.is_leaving() {
            wipe_disks(cx, &prior).await;
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

/// Why nothing was ordered, and what is known of it.
fn not_placed(name: &str, error: &order::Error) -> Diagnostics {
    let left = match error {
        order::Error::NoVerdict { .. } => {
            "It is not known whether a server was ordered; the next apply looks for it by its marks."
        }
        order::Error::Api(error) if error.is_lost() => {
            "If a server was ordered, the next apply finds it by its marks."
        }
        _ => "No server was ordered.",
    };
    failed("create", name, error).left(left)
}

/// Takes a server out of its private networks before it is deleted, which keeps them deletable. What fails is no reason to keep the server.
async fn leave_networks(cx: &Of<'_, BaremetalServer>, scaleway: &Scaleway, zone: &str, id: &str) {
    let nowhere = std::collections::BTreeMap::new();
    if let Err(error) = scaleway.client.attach(zone, id, &nowhere).await {
        cx.warn(failed("detach the private networks of", id, &error));
    }
}

/// The disks go back empty where that is possible; where it is not, that is said, and no reason to go on paying.
async fn wipe_disks(cx: &Of<'_, BaremetalServer>, prior: &BaremetalServer) {
    let wiped = async {
        let Some(target) = contact::way(cx, prior)
            .await
            .map_err(|found| found.to_string())?
        else {
            return Ok(());
        };
        let environment = cx.provider.environment().await;
        let dialer = environment.map_err(|found| found.to_string())?.dialer();
        wipe(dialer, &target).await
    };
    if let Err(reason) = wiped.await {
        cx.warn(
            Diagnostics::warning(
                format!("Server \"{}\" goes back with something on its disks", prior.name.text()),
                reason,
            )
            .left("What the node kept there, a control plane's keys among it, is left to the landlord's care."),
        );
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
