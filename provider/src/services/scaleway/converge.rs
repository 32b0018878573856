//! From any observed state of a server to a ready one: attributes, installation, first contact, burning the user data.
//!
//! A server exists when this starts, so nothing here may end in an error that taints it: what is not finished becomes `ready = false`, what was
//! seen last and a warning (FN2). The one exception is `on_create_failure = delete`, after the deletion was observed.

use std::time::Duration;

use data_encoding::BASE64;
use strata_framework::{Attr, Bounded, Diagnostics, Of, Policy, Secret, WaitError, chain};
use tokio::time::Instant;

use super::order;
use super::poll::{Pace, Waited, wait_installed};
use super::server::model::{BaremetalServer, FirstContact, failed, is_label};
use super::server::wait_gone;
use super::wire::{Server, ServerPatch};
use crate::http::client::Error;
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

/// Brings the server to `state`. `ordered`: when this call ordered it, if it did.
pub(super) async fn finish(
    cx: &Cx<'_>,
    config: &BaremetalServer,
    mut state: BaremetalServer,
    server: Server,
    ordered: Option<Instant>,
) -> Result<BaremetalServer, Diagnostics> {
    let outcome = steps(cx, config, &mut state, server, ordered).await;
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
        &mut state.project_id,
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
    ordered: Option<Instant>,
) -> Result<(), Stop> {
    let scaleway = cx.provider.scaleway().await?;
    let was_ready = state.ready == Attr::Known(true);
    if ordered.is_none() {
        server = adjust(cx, scaleway, state, server).await?;
    }
    state.see(&server);
    cx.save(state);
    if was_ready {
        return Ok(());
    }
    let mut since = Since {
        ordered,
        // What was never installed before cannot be called installed by a list that lags behind, and the machine is asked next anyway.
        proof: ordered.is_none() || state.first_contact.is_null(),
    };
    loop {
        server = install(cx, scaleway, config, state, server, since).await?;
        state.see(&server);
        cx.save(state);
        let Some(contact) = state.first_contact.known().cloned() else {
            return Ok(());
        };
        match reach(cx, scaleway, state, &contact).await? {
            Reached::Yes => return Ok(burn(scaleway, state, &server).await?),
            Reached::Unclear => {}
            // Nothing has ever run on it, so nothing is lost with its disk.
            Reached::KeyLost => {
                reinstall(
                    cx,
                    scaleway,
                    config,
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
        .filter(|tag| wanted.contains(*tag) || !is_label(tag))
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
        "retry" if !retried && server.install_status() == "error" && server.status == "ready" => {
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

/// Installs again, with fresh user data: for a machine that never became a node.
async fn reinstall(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    config: &BaremetalServer,
    state: &BaremetalServer,
    reason: &str,
) -> Result<(), Stop> {
    let (zone, id) = (state.zone.text(), state.id.text());
    let failed = |error: &Error| failed("reinstall", id, error);
    let choice = state.choose(scaleway, config).await?;
    cx.warn(Diagnostics::warning(
        format!("Installing server \"{}\" again", state.name.text()),
        format!("It never became a node: {reason}."),
    ));
    if let Some(contact) = state.first_contact.known() {
        forget_host_key(cx, contact).await?;
    }
    if let Some(data) = config.user_data_wo.known() {
        let patch = ServerPatch {
            user_data: Some(BASE64.encode(data.expose().as_bytes())),
            ..ServerPatch::default()
        };
        let answer = scaleway.client.patch_server(zone, id, &patch).await;
        answer.map_err(|error| failed(&error))?;
    }
    let install = state.install(&choice.os.id);
    match scaleway.client.install_server(zone, id, &install).await {
        // A lost reply is settled by what the next look shows.
        Err(error) if !error.is_lost() => Err(failed(&error).into()),
        _ => Ok(()),
    }
}

/// What the store knows of the contact with one server.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nothing, or something about an earlier machine of the node.
    Nothing,
    /// The machine was asked for its own key; the answer is not known.
    Asked,
    /// Its own key.
    Key,
}

/// Reads the entry: `asked <server>` or `ssh-ed25519 <key> <server>`. The id ties it to this server, not to the node.
fn known(entry: &str, server: &str) -> Known {
    match entry.split_whitespace().collect::<Vec<_>>()[..] {
        ["asked", id] if id == server => Known::Asked,
        [_, _, id] if id == server => Known::Key,
        _ => Known::Nothing,
    }
}

/// How a first contact ended.
enum Reached {
    /// The machine has a host key of its own, and the store has its public half.
    Yes,
    /// It has one that nobody knows: the run that asked for it died before it could write it down.
    KeyLost,
    /// The connection broke when it was asked: the next look tells which of the two it is.
    Unclear,
}

/// Connects to the installed system with the single-use host key, has it make its own, and keeps its public half in the store. A contact
/// that was made before is not made again: by then the node may be locked.
async fn reach(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &BaremetalServer,
    contact: &FirstContact,
) -> Result<Reached, Stop> {
    let not_ready = |text: String| Stop::NotReady(NotReady(text));
    let ssh_failed = |error: &ssh::Error| not_ready(chain(error));
    let id = state.id.require("id")?;
    let store = cx.provider.store()?;
    let current = contact.host_key_current.text();
    let name = Name::parse(current).map_err(|error| store_failed("use", current, &error.into()))?;
    let entry = store.get(&name).await;
    let entry = entry.map_err(|error| store_failed("read", current, &error))?;
    let before = entry.map_or(Known::Nothing, |entry| known(entry.value.expose(), id));
    if before == Known::Key {
        return Ok(Reached::Yes);
    }
    if cx.provider.only_adopts() {
        // It may be a member, and locked: nobody knows its key, and installing it again would be the end of it.
        return Err(not_ready(format!(
            "the store has no host key of this machine ({current}), so it was not contacted"
        )));
    }
    let address = state.ipv4.known().or(state.ipv6.known());
    let address = address.ok_or_else(|| not_ready("it has no address yet".into()))?;
    let single_use = cx.provider.entry(contact.host_key.text()).await?;
    let target = Target {
        address: address.clone(),
        port: 22,
        user: contact.user.text().to_owned(),
        private_key: cx.provider.entry(contact.private_key.text()).await?,
        host_key: HostKey::parse(single_use.expose()).map_err(|error| ssh_failed(&error))?,
    };
    let dialer = cx.provider.environment().await?.dialer().clone();
    let pace = |seconds| scaleway.client.scaled(Duration::from_secs(seconds));
    let what = format!("first contact with {} at {address}", state.node.text());
    let policy = Policy::new(what).every(pace(10), pace(30));
    // Nothing but our verb replaces the single-use key, and the system before it has been replaced when the verb was sent.
    let asked = before == Known::Asked;
    let session = ssh::meet(cx, &dialer, &target, &policy, asked).await;
    let session = session.map_err(|error| match error {
        WaitError::Failed(error) => ssh_failed(&error),
        WaitError::TimedOut(waited) | WaitError::Stopped(waited) => not_ready(waited.to_string()),
    })?;
    let Some(session) = session else {
        return Ok(Reached::KeyLost);
    };
    let write = async |text: String| {
        let put = store.put(&name, &Secret::new(text)).await;
        put.map(drop)
            .map_err(|error| store_failed("write", current, &error))
    };
    write(format!("asked {id}")).await?;
    let line = match ssh::own_host_key(session).await {
        Ok(line) => line,
        Err(ssh::Error::Lost { .. }) => return Ok(Reached::Unclear),
        Err(error) => return Err(ssh_failed(&error)),
    };
    let key: Vec<&str> = line.split_whitespace().take(2).collect();
    // Before anything else: nobody could ever reach the machine without it.
    write(format!("{} {id}", key.join(" "))).await?;
    Ok(Reached::Yes)
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

/// Removes what the store knows of an earlier machine or installation of the node.
async fn forget_host_key(cx: &Cx<'_>, contact: &FirstContact) -> Result<(), Diagnostics> {
    let entry = contact.host_key_current.text();
    let name = Name::parse(entry).map_err(|error| store_failed("use", entry, &error.into()))?;
    let deleted = cx.provider.store()?.delete(&name, Condition::Any).await;
    deleted
        .map(drop)
        .map_err(|error| store_failed("delete", entry, &error))
}

#[cfg(test)]
mod tests {
    use super::{Known, known};

    #[test]
    fn what_is_known_belongs_to_one_server() {
        assert_eq!(known("ssh-ed25519 AAAA s-1", "s-1"), Known::Key);
        assert_eq!(known("asked s-1", "s-1"), Known::Asked);
        for other in [
            "",
            "ssh-ed25519 AAAA",
            "ssh-ed25519 AAAA s-2",
            "asked s-2",
            "asked",
        ] {
            assert_eq!(known(other, "s-1"), Known::Nothing, "{other}");
        }
    }
}
