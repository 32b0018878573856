//! The first contact with an installed machine: reached with the single-use host key that its user data brought, it makes its own and the
//! user data is burned (FN10). A contact that was made before is not made again: by then the node may be locked.

use std::time::Duration;

use strata_framework::{Diagnostics, Policy, Secret, WaitError, chain};

use super::converge::{Cx, NotReady, Stop};
use super::server::model::{BaremetalServer, FirstContact, failed};
use super::wire::{Server, ServerPatch};
use crate::provider::{Scaleway, store_failed};
use crate::ssh::{self, HostKey, Target};
use crate::store::{Condition, Name};

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
pub(super) enum Reached {
    /// The machine has a host key of its own, and the store has its public half.
    Yes,
    /// It has one that nobody knows: the run that asked for it died before it could write it down.
    KeyLost,
    /// The connection broke when it was asked: the next look tells which of the two it is.
    Unclear,
}

/// Connects to the installed system with the single-use host key, has it make its own, and keeps its public half in the store. A contact
/// that was made before is not made again: by then the node may be locked.
pub(super) async fn reach(
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
pub(super) async fn burn(
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
pub(super) async fn forget_host_key(
    cx: &Cx<'_>,
    contact: &FirstContact,
) -> Result<(), Diagnostics> {
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
