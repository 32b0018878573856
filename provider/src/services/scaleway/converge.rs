//! From any observed state of a server to a ready one: attributes, installation, first contact, burning the user data.
//!
//! A server exists when this starts, so nothing here may end in an error that taints it: what is not finished becomes `ready = false`, what was
//! seen last and a warning (FN2). The one exception is `on_create_failure = delete`, after the deletion was observed.

use std::time::Duration;

use strata_framework::{Attr, Bounded, Diagnostics, Of, Policy, Secret, WaitError, chain};

use super::client::{Server, ServerPatch};
use super::order;
use super::poll::{Pace, Waited, wait_installed};
use super::server::{BaremetalServer, FirstContact, failed, wait_gone};
use crate::provider::{Scaleway, store_failed};
use crate::ssh::{self, HostKey, Target};
use crate::store::{Condition, Name};

type Cx<'a> = Of<'a, BaremetalServer>;

/// Why the server is not ready: a sentence for `last_seen` and the warning.
struct NotReady(String);

/// How far it came when it did not come to the end.
enum Stop {
    /// Not finished: the next apply goes on.
    NotReady(NotReady),
    /// It is gone again, as `on_create_failure = delete` wanted.
    Deleted(Diagnostics),
}

impl From<Diagnostics> for Stop {
    fn from(found: Diagnostics) -> Self {
        Self::NotReady(NotReady(found.to_string()))
    }
}

/// Brings the server to `state`. `made`: this call ordered it.
pub(super) async fn finish(
    cx: &Cx<'_>,
    config: &BaremetalServer,
    mut state: BaremetalServer,
    server: Server,
    made: bool,
) -> Result<BaremetalServer, Diagnostics> {
    let outcome = steps(cx, config, &mut state, server, made).await;
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
        Err(Stop::Deleted(found)) => {
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
    ] {
        attribute.fill(Attr::Null);
    }
    Ok(state)
}

async fn steps(
    cx: &Cx<'_>,
    config: &BaremetalServer,
    state: &mut BaremetalServer,
    mut server: Server,
    made: bool,
) -> Result<(), Stop> {
    let scaleway = cx.provider.scaleway().await?;
    let was_ready = state.ready == Attr::Known(true);
    if !made {
        server = adjust(cx, scaleway, state, server).await?;
    }
    state.see(&server);
    cx.save(state);
    if was_ready {
        return Ok(());
    }
    let server = install(cx, scaleway, config, state, server, made).await?;
    state.see(&server);
    cx.save(state);
    if let Some(contact) = state.first_contact.known().cloned() {
        reach(cx, scaleway, state, &contact).await?;
        burn(scaleway, state, &server).await?;
    }
    Ok(())
}

/// Name, description, tags, protection.
async fn adjust(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &BaremetalServer,
    server: Server,
) -> Result<Server, Diagnostics> {
    let wanted = state.all_tags(&state.marks(cx.provider)?);
    // The API's own labels are neither sent nor missed.
    let present = server
        .tags
        .iter()
        .filter(|tag| wanted.contains(*tag) || !super::server::is_label(tag))
        .cloned()
        .collect();
    let differs = |wanted: &str, present: &str| (wanted != present).then(|| wanted.to_owned());
    let protected = state.protected == Attr::Known(true);
    let patch = ServerPatch {
        name: differs(state.name.text(), &server.name),
        description: differs(state.description.text(), &server.description),
        tags: (wanted != present).then_some(wanted),
        protected: (protected != server.protected).then_some(protected),
        user_data: None,
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
    mut fresh: bool,
) -> Result<Server, Stop> {
    let zone = state.zone.require("zone")?.clone();
    let id = server.id.clone();
    loop {
        let pace = Pace {
            fast: cx.private().fast,
            fresh,
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
                failure(cx, scaleway, config, state, &server, &reason).await?;
                fresh = true;
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
        "retry" if !retried && server.install_status() == "error" && server.status == "ready" => {
            cx.private().retried = true;
            cx.warn(Diagnostics::warning(
                format!("Installing server \"{}\" again", state.name.text()),
                format!("The first try failed: {reason}."),
            ));
            let choice = state.choose(scaleway, false).await?;
            if let Some(data) = config.user_data_wo.known() {
                let user_data = Some(data_encoding::BASE64.encode(data.expose().as_bytes()));
                let patch = ServerPatch {
                    user_data,
                    ..ServerPatch::default()
                };
                scaleway
                    .client
                    .patch_server(zone, id, &patch)
                    .await
                    .map_err(|error| failed("reinstall", id, &error))?;
            }
            match scaleway
                .client
                .install_server(zone, id, &state.install(&choice.os.id))
                .await
            {
                // A lost reply is settled by what the next look shows.
                Err(error) if !error.is_lost() => Err(failed("reinstall", id, &error).into()),
                _ => Ok(()),
            }
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

/// Connects to the installed system: with its own key if it has one already, else with the single-use one, which is then replaced.
async fn reach(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &BaremetalServer,
    contact: &FirstContact,
) -> Result<(), Stop> {
    let address = state
        .ipv4
        .known()
        .or(state.ipv6.known())
        .ok_or_else(|| Stop::NotReady(NotReady("it has no address yet".into())))?;
    let store = cx.provider.store()?;
    let dialer = cx.provider.environment().await?.dialer().clone();
    let current = contact.host_key_current.text();
    let current_name =
        Name::parse(current).map_err(|error| store_failed("use", current, &error.into()))?;
    let ssh_failed = |error: &ssh::Error| Stop::NotReady(NotReady(chain(error)));
    let target = |host_key: HostKey, private_key: Secret<String>| Target {
        address: address.clone(),
        port: 22,
        user: contact.user.text().to_owned(),
        private_key,
        host_key,
    };
    let private_key = cx.provider.entry(contact.private_key.text()).await?;
    // A run that crashed after the change of keys left the new one in the store: then this is all that is missing.
    if let Some(entry) = store
        .get(&current_name)
        .await
        .map_err(|error| store_failed("read", current, &error))?
    {
        let host_key = HostKey::parse(entry.value.expose()).map_err(|error| ssh_failed(&error))?;
        if let Ok(session) = ssh::connect(&dialer, &target(host_key, private_key.clone())).await {
            session.close().await;
            return Ok(());
        }
    }
    let single_use = cx.provider.entry(contact.host_key.text()).await?;
    let host_key = HostKey::parse(single_use.expose()).map_err(|error| ssh_failed(&error))?;
    let pace = |seconds| scaleway.client.scaled(Duration::from_secs(seconds));
    let policy = Policy::new(format!(
        "first contact with {} at {address}",
        state.node.text()
    ))
    .every(pace(10), pace(30));
    let line = match ssh::first_contact(cx, &dialer, &target(host_key, private_key), &policy).await
    {
        Ok(line) => line,
        Err(WaitError::Failed(error)) => return Err(ssh_failed(&error)),
        Err(WaitError::TimedOut(waited) | WaitError::Stopped(waited)) => {
            return Err(Stop::NotReady(NotReady(waited.to_string())));
        }
    };
    // Before anything else: nobody could ever reach the machine without it.
    store
        .put(&current_name, &Secret::new(line))
        .await
        .map_err(|error| store_failed("write", current, &error))?;
    Ok(())
}

/// The user data holds keys and every reader of the project can read it: it goes as soon as it has done its work.
async fn burn(
    scaleway: &Scaleway,
    state: &BaremetalServer,
    server: &Server,
) -> Result<(), Diagnostics> {
    if !server.has_user_data {
        return Ok(());
    }
    let patch = ServerPatch {
        user_data: Some(String::new()),
        ..ServerPatch::default()
    };
    let answer = scaleway
        .client
        .patch_server(state.zone.text(), &server.id, &patch)
        .await;
    answer
        .map(drop)
        .map_err(|error| failed("empty the user data of", &server.id, &error))
}

/// Removes the public host key of an earlier machine of the node.
pub(super) async fn forget_host_key(cx: &Cx<'_>, contact: &FirstContact) {
    let entry = contact.host_key_current.text();
    let (Ok(name), Ok(store)) = (Name::parse(entry), cx.provider.store()) else {
        return;
    };
    if let Err(error) = store.delete(&name, Condition::Any).await {
        cx.warn(store_failed("delete", entry, &error));
    }
}
