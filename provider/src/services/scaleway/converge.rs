//! From any observed state of a server to a ready one: attributes, installation, first contact, burning the user data.
//!
//! A server exists when this starts, so nothing here may end in an error that taints it: what is not finished becomes `ready = false`, what was
//! seen last and a warning (FN2). The one exception is `on_create_failure = delete`, after the deletion was observed.

use data_encoding::BASE64;
use strata_framework::{Attr, Bounded, Diagnostics, Of};
use tokio::time::Instant;

use super::accessories;
use super::contact::{Reached, burn, note_installation, reach, was_asked_for};
use super::order;
use super::poll::{Pace, Waited, wait_installed};
use super::rescue;
use super::server::model::{BaremetalServer, failed};
use super::server::{seen::is_label, wait_gone};
use super::wire::{Server, ServerPatch};
use crate::http::client::Error;
use crate::provider::Scaleway;

pub(super) type Cx<'a> = Of<'a, BaremetalServer>;

/// Why the server is not ready: a sentence for `last_seen` and the warning.
pub(super) struct NotReady(pub(super) String);

/// How far it came when it did not come to the end.
pub(super) enum Stop {
    /// Not finished: the next apply goes on.
    NotReady(NotReady),
    /// A server that is in use could not be changed.
    Failed(Diagnostics),
    /// It is gone again, as `on_create_failure = delete` wanted.
    Deleted(Diagnostics),
}

impl From<Diagnostics> for Stop {
    fn from(found: Diagnostics) -> Self {
        Self::NotReady(NotReady(found.to_string()))
    }
}

/// What is to be done.
pub(super) struct Task<'a> {
    /// What the user wrote, write-only values included.
    pub(super) config: &'a BaremetalServer,
    /// What there was before an update.
    pub(super) prior: Option<&'a BaremetalServer>,
    /// When this call ordered the server, if it did.
    pub(super) ordered: Option<Instant>,
    /// From hourly to monthly.
    pub(super) migrate: bool,
    /// Why the system is installed again, if it is.
    pub(super) reinstall: Option<String>,
}

/// Brings the server to `state`.
pub(super) async fn finish(
    cx: &Cx<'_>,
    task: &Task<'_>,
    mut state: BaremetalServer,
    server: Server,
) -> Result<BaremetalServer, Diagnostics> {
    let outcome = steps(cx, task, &mut state, server).await;
    match outcome {
        Ok(()) => {
            state.ready = Attr::Known(true);
            state.last_seen = "ready".into();
            cx.private().fresh = false;
        }
        Err(Stop::NotReady(NotReady(seen))) => {
            cx.warn(
                Diagnostics::warning(
                    format!("Server \"{}\" is not ready yet", state.name.text()),
                    format!("Last seen: {seen}."),
                )
                .left("The server exists and is kept; what depends on it waits.")
                .hint("Run apply again: it continues in place and orders nothing."),
            );
            state.ready = Attr::Known(false);
            state.last_seen = Attr::Known(seen);
        }
        // Deleted: nothing is left to taint. Failed: the state before is kept, so that the next plan shows what is still to be done.
        Err(Stop::Failed(found) | Stop::Deleted(found)) => {
            cx.forget();
            return Err(found);
        }
    }
    for attribute in [
        &mut state.ipv4,
        &mut state.ipv6,
        &mut state.status,
        &mut state.install_status,
        &mut state.os_id,
        &mut state.owner,
        &mut state.project_id,
        &mut state.domain,
        &mut state.mac,
        &mut state.reverse_ipv4,
        &mut state.reverse_ipv6,
    ] {
        attribute.fill(Attr::Null);
    }
    for price in [
        &mut state.price_per_hour,
        &mut state.price_per_month,
        &mut state.fee,
    ] {
        price.fill(Attr::Null);
    }
    state.private_network_attachments.fill(Attr::Null);
    Ok(state)
}

async fn steps(
    cx: &Cx<'_>,
    task: &Task<'_>,
    state: &mut BaremetalServer,
    mut server: Server,
) -> Result<(), Stop> {
    let scaleway = cx.provider.scaleway().await?;
    let was_ready = state.ready == Attr::Known(true);
    // A server that is in use stays what it is when something cannot be changed: that is an error, and no reason to call it not ready.
    let stop = |found: Diagnostics| {
        if was_ready {
            Stop::Failed(found)
        } else {
            found.into()
        }
    };
    if task.ordered.is_none() {
        let adjusted = adjust(cx, scaleway, task, state, server).await;
        server = adjusted.map_err(stop)?;
    }
    state.see(&server);
    cx.save(state);
    let mut since = Since {
        ordered: task.ordered,
        // What was never installed before cannot be called installed by a list that lags behind, and the machine is asked next anyway.
        proof: task.ordered.is_none() || state.first_contact.is_null(),
    };
    if was_ready {
        server = accessories::fit(cx, scaleway, task, state, server)
            .await
            .map_err(stop)?;
    }
    match &task.reinstall {
        Some(reason) => {
            since = again_as_asked(cx, scaleway, task.config, state, &server, reason)
                .await
                .map_err(stop)?;
            state.ready = Attr::Known(false);
        }
        None if was_ready => return Ok(()),
        None => {}
    }
    loop {
        server = install(cx, scaleway, task.config, state, server, since).await?;
        state.see(&server);
        cx.save(state);
        if !was_ready {
            server = accessories::fit(cx, scaleway, task, state, server).await?;
            cx.save(state);
        }
        let Some(contact) = state.first_contact.known().cloned() else {
            return Ok(());
        };
        if state.is_by_rescue() {
            let place = rescue::Place {
                cx,
                scaleway,
                contact: &contact,
                state,
            };
            if let Some(reason) = Box::pin(place.install(task.config, &server)).await? {
                failure(cx, scaleway, task.config, state, &server, &reason).await?;
                continue;
            }
        } else if server.tags.contains(order::UNUSED) && server.install.is_none() {
            let reason = "it was ordered bare";
            reinstall(cx, scaleway, task.config, state, reason).await?;
            since = Since::again();
            continue;
        }
        match reach(cx, scaleway, state, &contact, &server).await? {
            Reached::Yes => return Ok(burn(cx, scaleway, state, &server).await?),
            Reached::Unclear => {}
            Reached::Elsewhere(elsewhere) => {
                let data = if state.is_by_rescue() {
                    &task.config.rescue_script_wo
                } else {
                    &task.config.user_data_wo
                };
                let data = data.known();
                if !data.is_some_and(|data| elsewhere.is_mended_by(data.expose())) {
                    return Err(Stop::NotReady(NotReady(elsewhere.to_string())));
                }
                let reason = elsewhere.to_string();
                reinstall(cx, scaleway, task.config, state, &reason).await?;
                since = Since::again();
            }
            // Nothing has ever run on it, so nothing is lost with its disk.
            Reached::KeyLost => {
                reinstall(
                    cx,
                    scaleway,
                    task.config,
                    state,
                    "its new host key was lost with an interrupted run",
                )
                .await?;
                since = Since::again();
            }
        }
    }
}

/// What a wait for an installation starts from.
#[derive(Clone, Copy)]
struct Since {
    /// When this process asked for it.
    ordered: Option<Instant>,
    /// Whether the end has to be proven by a get.
    proof: bool,
}

impl Since {
    /// A reinstallation that was asked for just now.
    fn again() -> Self {
        Self {
            ordered: Some(Instant::now()),
            proof: true,
        }
    }
}

/// Name, description, tags, protection, user data.
async fn adjust(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    task: &Task<'_>,
    state: &BaremetalServer,
    server: Server,
) -> Result<Server, Diagnostics> {
    let mut wanted = state.all_tags(&state.marks(cx.provider)?);
    // It goes at the first contact and no sooner.
    wanted.extend(server.tags.get(order::UNUSED).cloned());
    // The API's own labels are neither sent nor missed.
    let present = server
        .tags
        .iter()
        .filter(|tag| wanted.contains(*tag) || !is_label(tag))
        .cloned()
        .collect();
    let differs = |wanted: &str, present: &str| (wanted != present).then(|| wanted.to_owned());
    let protected = state.protected == Attr::Known(true);
    // With a first contact the user data has done its work and was burned; an installation sends it by itself.
    let version = &state.user_data_wo_version;
    let again = task
        .prior
        .filter(|prior| !version.is_null() && prior.user_data_wo_version != *version)
        .filter(|_| state.first_contact.is_null() && task.reinstall.is_none())
        .and(task.config.user_data_wo.known());
    let patch = ServerPatch {
        name: differs(state.name.text(), &server.name),
        description: differs(state.description.text(), &server.description),
        tags: (wanted != present).then_some(wanted),
        protected: (protected != server.protected).then_some(protected),
        user_data: again.map(|data| BASE64.encode(data.expose().as_bytes())),
    };
    if patch.is_empty() {
        return Ok(server);
    }
    let zone = state.zone.require("zone")?;
    scaleway
        .client
        .patch_server(zone, &server.id, &patch)
        .await
        .map_err(|error| failed("update", &server.id, &error))
}

/// Waits for the installation, with one more try when `on_create_failure` says so.
async fn install(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    config: &BaremetalServer,
    state: &mut BaremetalServer,
    server: Server,
    mut since: Since,
) -> Result<Server, Stop> {
    let zone = state.zone.require("zone")?.clone();
    let id = server.id.clone();
    loop {
        let pace = Pace {
            usual: cx.private().usual(),
            ordered: since.ordered,
            confirm: since.proof,
        };
        let (cancel, deadline) = (cx.cancel().clone(), cx.deadline());
        // Both arms are cancel-safe: a token and a timer.
        let stop = async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        };
        let waited = wait_installed(&scaleway.client, &scaleway.poll, &zone, &id, pace, stop).await;
        match waited.map_err(|error| failed("read", &id, &error))? {
            Waited::Installed(server) => return Ok(server),
            Waited::Gone => {
                return Err(Stop::NotReady(NotReady(
                    "the server does not exist any more".into(),
                )));
            }
            Waited::Unfinished(last) => {
                let server = last.as_ref().unwrap_or(&server);
                state.see(server);
                let why = if cx.cancel.is_cancelled() {
                    "the run was stopped"
                } else {
                    "the time is up"
                };
                return Err(Stop::NotReady(NotReady(format!(
                    "{why} at status {}, installation {}",
                    server.status,
                    server.install_status()
                ))));
            }
            Waited::Failed { server, reason } => {
                state.see(&server);
                cx.save(state);
                // An installation of Scaleway's that is not wanted any more may have failed: what is written from the rescue system needs none of it.
                if state.is_by_rescue() && server.status == "ready" {
                    return Ok(server);
                }
                // A later run is the operator's word to try again: once, so that a machine that cannot be installed ends the run.
                let again = since.ordered.is_none()
                    && state.on_create_failure.text() != "delete"
                    && server.install_status() == "error"
                    && server.status == "ready";
                if again {
                    reinstall(cx, scaleway, config, state, &reason).await?;
                } else {
                    failure(cx, scaleway, config, state, &server, &reason).await?;
                }
                since = Since::again();
            }
        }
    }
}

/// Applies `on_create_failure`. `Ok`: wait again.
async fn failure(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    config: &BaremetalServer,
    state: &BaremetalServer,
    server: &Server,
    reason: &str,
) -> Result<(), Stop> {
    let (zone, id) = (state.zone.text(), &server.id);
    let retried = cx.private().retried;
    match state.on_create_failure.text() {
        "retry"
            if !retried
                && server.status == "ready"
                && (server.install_status() == "error" || state.is_by_rescue()) =>
        {
            cx.private().retried = true;
            reinstall(cx, scaleway, config, state, reason).await
        }
        // An adopted server is never rolled back.
        "delete"
            if !scaleway
                .adopted
                .lock()
                .expect("no panic while held")
                .contains(id)
                && cx.private().fresh =>
        {
            order::withdraw(&scaleway.client, zone, server)
                .await
                .map_err(|error| failed("delete", id, &error))?;
            wait_gone(cx, scaleway, zone, id).await?;
            Err(Stop::Deleted(
                Diagnostics::error(format!("Cannot create server \"{}\"", state.name.text()), format!("Server {id}: {reason}."))
                    .left("It was deleted again, as `on_create_failure = \"delete\"` says; the deletion was observed."),
            ))
        }
        _ => Err(Stop::NotReady(NotReady(reason.to_owned()))),
    }
}

/// Installs again a machine that never became a node.
async fn reinstall(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    config: &BaremetalServer,
    state: &BaremetalServer,
    reason: &str,
) -> Result<(), Stop> {
    cx.warn(Diagnostics::warning(
        format!("Installing server \"{}\" again", state.name.text()),
        format!("It never became a node: {reason}."),
    ));
    Ok(install_again(cx, scaleway, config, state).await?)
}

/// Installs again because the configuration says so, unless a run that broke off before its state was saved asked for the very same: that one is waited for.
async fn again_as_asked(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    config: &BaremetalServer,
    state: &BaremetalServer,
    server: &Server,
    reason: &str,
) -> Result<Since, Diagnostics> {
    let choice = state.choose(scaleway, config).await?;
    let wanted = state.install(config, choice.os.as_ref());
    let asked = match state.first_contact.known() {
        Some(contact) => {
            let name = state.installation(&wanted);
            was_asked_for(cx, contact, &server.id, &name).await?
        }
        // Without a first contact nothing is kept; a server that is being installed like this needs no second time.
        None => server.is_being_installed_as(&wanted),
    };
    if asked {
        tracing::info!(
            id = server.id,
            reason,
            "an earlier run asked for this installation"
        );
        return Ok(Since {
            ordered: None,
            proof: true,
        });
    }
    install_again(cx, scaleway, config, state).await?;
    tracing::info!(
        id = server.id,
        reason,
        "installing the server again, as asked"
    );
    Ok(Since::again())
}

/// Asks for an installation, with fresh user data. Wipes the disks.
async fn install_again(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    config: &BaremetalServer,
    state: &BaremetalServer,
) -> Result<(), Diagnostics> {
    let (zone, id) = (state.zone.text(), state.id.text());
    let failed = |error: &Error| failed("reinstall", id, error);
    let choice = state.choose(scaleway, config).await?;
    let install = state.install(config, choice.os.as_ref());
    if let Some(contact) = state.first_contact.known() {
        note_installation(cx, contact, id, &state.installation(&install)).await?;
    }
    if state.is_by_rescue() {
        // What was noted is what the next step goes by.
        return Ok(());
    }
    if let Some(data) = config.user_data_wo.known() {
        let patch = ServerPatch {
            user_data: Some(BASE64.encode(data.expose().as_bytes())),
            ..ServerPatch::default()
        };
        let answer = scaleway.client.patch_server(zone, id, &patch).await;
        answer.map_err(|error| failed(&error))?;
    }
    match scaleway.client.install_server(zone, id, &install).await {
        // A lost reply is settled by what the next look shows.
        Err(error) if !error.is_lost() => Err(failed(&error)),
        _ => Ok(()),
    }
}
