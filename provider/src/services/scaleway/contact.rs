//! The first contact with an installed machine: reached with the single-use host key that its user data brought, it makes its own and the
//! user data is burned (FN10). A contact that was made before is not made again: by then the node may be locked.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use strata_framework::{Diagnostics, Policy, Secret, WaitError, chain};

use super::converge::{Cx, NotReady, Stop};
use super::order::UNUSED;
use super::server::model::{BaremetalServer, FirstContact, failed};
use super::wire::{Server, ServerPatch};
use crate::echo::{self, Family};
use crate::environment::Environment;
use crate::provider::{Scaleway, store_failed};
use crate::ssh::{self, HostKey, Target};
use crate::store::Name;
use crate::stub;

/// What the store knows of the contact with one server.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing, or something about an earlier machine of the node.
    Nothing,
    /// An installation was asked for, so nothing on its disks is missed.
    Installing,
    /// From the rescue system a system was written, which admits these networks on port 22 (none: everybody).
    Written(Vec<IpNet>),
    /// The machine was asked for its own key; the answer is not known.
    Asked,
    /// Its own key.
    Key,
}

/// What the entry says: how far the contact is, and which installation was asked for last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) known: Known,
    pub(super) installation: Option<&'a str>,
}

/// Reads the entry: `installing <server> [installation]`, `written <server> <installation> [network ...]`, `asked <server> [installation]` or `ssh-ed25519 <key> <server> [installation]`. The id ties it to this
/// server, not to the node.
pub(super) fn read<'a>(entry: &'a str, server: &str) -> Entry<'a> {
    let words: Vec<&str> = entry.split_whitespace().collect();
    let (known, rest) = match &words[..] {
        ["installing", id, rest @ ..] if *id == server => (Known::Installing, rest),
        ["written", id, rest @ ..] if *id == server => {
            let networks = rest.iter().skip(1).filter_map(|word| word.parse().ok());
            (Known::Written(networks.collect()), rest)
        }
        ["asked", id, rest @ ..] if *id == server => (Known::Asked, rest),
        ["installing" | "written" | "asked", ..] => (Known::Nothing, &[][..]),
        [_, _, id, rest @ ..] if *id == server => (Known::Key, rest),
        _ => (Known::Nothing, &[][..]),
    };
    let installation = rest.first().copied();
    Entry {
        known,
        installation,
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
    /// It admits somebody else.
    Elsewhere(Elsewhere),
}

/// A machine whose port 22 was opened for an address that is not ours any more (FN14).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Elsewhere {
    built_for: Vec<IpNet>,
    here: IpAddr,
}

impl Elsewhere {
    /// `None`: it is open to us or to everybody, or does not say.
    fn of(built_for: &[IpNet], here: IpAddr) -> Option<Self> {
        let (outside, built_for) = (!built_for.is_empty(), built_for.to_vec());
        let outside = outside && !built_for.iter().any(|network| network.contains(&here));
        outside.then_some(Self { built_for, here })
    }

    /// Whether a machine with this user data would admit us.
    pub(super) fn is_mended_by(&self, user_data: &str) -> bool {
        Self::of(&stub::admits(user_data), self.here).is_none()
    }
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.built_for.iter().map(ToString::to_string).collect();
        write!(
            out,
            "it was built for {}, and this machine is seen as {} now: its port 22 does not let you in",
            names.join(", "),
            self.here
        )
    }
}

/// A machine that did not answer for so long may not be meant for us.
const LONG: Duration = Duration::from_mins(10);

/// Connects to the installed system with the single-use host key, has it make its own, and keeps its public half in the store. A contact
/// that was made before is not made again: by then the node may be locked.
pub(super) async fn reach(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &BaremetalServer,
    contact: &FirstContact,
    server: &Server,
) -> Result<Reached, Stop> {
    let not_ready = |text: String| Stop::NotReady(NotReady(text));
    let ssh_failed = |error: &ssh::Error| not_ready(chain(error));
    let id = state.id.require("id")?;
    let store = cx.provider.store()?;
    let current = contact.host_key_current.text();
    let name = Name::parse(current).map_err(|error| store_failed("use", current, &error.into()))?;
    let text = noted(cx, contact).await?;
    let before = read(&text, id);
    if before.known == Known::Key {
        return Ok(Reached::Yes);
    }
    let installation = before
        .installation
        .map_or_else(String::new, |name| format!(" {name}"));
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
    let environment = cx.provider.environment().await?;
    let dialer = environment.dialer().clone();
    let pace = |seconds| scaleway.client.scaled(Duration::from_secs(seconds));
    let what = format!("first contact with {} at {address}", state.node.text());
    let policy = Policy::new(what).every(pace(10), pace(30));
    // Nothing but our verb replaces the single-use key, and the system before it has been replaced when the verb was sent.
    let asked = before.known == Known::Asked;
    let first = policy.clone().at_most(pace(LONG.as_secs()));
    let mut session = ssh::meet(cx, &dialer, &target, &first, asked).await;
    if let Err(WaitError::TimedOut(_)) = session {
        let admits = match &before.known {
            Known::Written(admits) => admits,
            _ => &server.user_data.admits,
        };
        if let Some(elsewhere) = elsewhere(environment, address, admits).await {
            return Ok(Reached::Elsewhere(elsewhere));
        }
        session = ssh::meet(cx, &dialer, &target, &policy, asked).await;
    }
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
    write(format!("asked {id}{installation}")).await?;
    let line = match ssh::own_host_key(session).await {
        Ok(line) => line,
        Err(ssh::Error::Lost { .. }) => return Ok(Reached::Unclear),
        Err(error) => return Err(ssh_failed(&error)),
    };
    let key: Vec<&str> = line.split_whitespace().take(2).collect();
    // Before anything else: nobody could ever reach the machine without it.
    write(format!("{} {id}{installation}", key.join(" "))).await?;
    Ok(Reached::Yes)
}

/// Whether the machine admits another address than the one this run is seen under. The user data says so, or what was noted in the rescue system; both go at the
/// first contact: a machine that was reached before is never taken for one that cannot be.
async fn elsewhere(
    environment: &Environment,
    address: &str,
    admits: &[IpNet],
) -> Option<Elsewhere> {
    if admits.is_empty() {
        return None;
    }
    let family = Family::of(address.parse().ok()?);
    let here = echo::first(environment, family).await.ok()?;
    Elsewhere::of(admits, here)
}

/// How to log in to the machine as it was met; `None` when it never was, and then nothing of ours is on it.
pub(super) async fn way(
    cx: &Cx<'_>,
    state: &BaremetalServer,
) -> Result<Option<Target>, Diagnostics> {
    let (Some(contact), Some(id)) = (state.first_contact.known(), state.id.known()) else {
        return Ok(None);
    };
    let current = contact.host_key_current.text();
    let name = Name::parse(current).map_err(|error| store_failed("use", current, &error.into()))?;
    let entry = cx.provider.store()?.get(&name).await;
    let entry = entry.map_err(|error| store_failed("read", current, &error))?;
    let (Some(entry), Some(address)) = (entry, state.ipv4.known().or(state.ipv6.known())) else {
        return Ok(None);
    };
    if read(entry.value.expose(), id).known != Known::Key {
        return Ok(None);
    }
    Ok(Some(Target {
        address: address.clone(),
        port: 22,
        user: contact.user.text().to_owned(),
        private_key: cx.provider.entry(contact.private_key.text()).await?,
        host_key: HostKey::parse(entry.value.expose())
            .map_err(|error| Diagnostics::failed("read", "store entry", current, &error))?,
    }))
}

/// The user data holds keys and every reader of the project can read it: it goes as soon as it has done its work. So does the word that the machine was never used.
pub(super) async fn burn(
    cx: &Cx<'_>,
    scaleway: &Scaleway,
    state: &BaremetalServer,
    server: &Server,
) -> Result<(), Diagnostics> {
    let mut patch = ServerPatch::default();
    if server.user_data.is_there {
        patch.user_data = Some(String::new());
    }
    if server.tags.contains(UNUSED) {
        patch.tags = Some(state.all_tags(&state.marks(cx.provider)?));
    }
    if patch.is_empty() {
        return Ok(());
    }
    let answer = scaleway
        .client
        .patch_server(state.zone.text(), &server.id, &patch)
        .await;
    answer
        .map(drop)
        .map_err(|error| failed("take the installation's traces from", &server.id, &error))
}

/// Puts an installation that is asked for next in place of what the store knows of the machine.
pub(super) async fn note_installation(
    cx: &Cx<'_>,
    contact: &FirstContact,
    server: &str,
    installation: &str,
) -> Result<(), Diagnostics> {
    note(cx, contact, format!("installing {server} {installation}")).await
}

/// Puts that in place of what the store knows of the machine.
pub(super) async fn note(
    cx: &Cx<'_>,
    contact: &FirstContact,
    text: String,
) -> Result<(), Diagnostics> {
    let entry = contact.host_key_current.text();
    let name = Name::parse(entry).map_err(|error| store_failed("use", entry, &error.into()))?;
    let put = cx.provider.store()?.put(&name, &Secret::new(text)).await;
    put.map(drop)
        .map_err(|error| store_failed("write", entry, &error))
}

/// What the store has about the machine, as it stands there; empty for nothing.
pub(super) async fn noted(cx: &Cx<'_>, contact: &FirstContact) -> Result<String, Diagnostics> {
    let entry = contact.host_key_current.text();
    let name = Name::parse(entry).map_err(|error| store_failed("use", entry, &error.into()))?;
    let found = cx.provider.store()?.get(&name).await;
    let found = found.map_err(|error| store_failed("read", entry, &error))?;
    Ok(found.map_or_else(String::new, |found| found.value.expose().clone()))
}

/// Whether a run that broke off asked for this very installation.
pub(super) async fn was_asked_for(
    cx: &Cx<'_>,
    contact: &FirstContact,
    server: &str,
    installation: &str,
) -> Result<bool, Diagnostics> {
    let text = noted(cx, contact).await?;
    Ok(read(&text, server).installation == Some(installation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_belongs_to_one_server() {
        let known = |entry| read(entry, "s-1").known;
        assert_eq!(known("ssh-ed25519 AAAA s-1"), Known::Key);
        assert_eq!(known("ssh-ed25519 AAAA s-1 f00d"), Known::Key);
        assert_eq!(known("asked s-1"), Known::Asked);
        for other in [
            "",
            "ssh-ed25519 AAAA",
            "ssh-ed25519 AAAA s-2",
            "asked s-2",
            "asked",
            "installing s-2 s-1",
            "written s-2 f00d 203.0.113.5/32",
        ] {
            assert_eq!(known(other), Known::Nothing, "{other}");
        }
        assert_eq!(known("installing s-1 f00d"), Known::Installing);
        assert_eq!(known("written s-1 f00d"), Known::Written(Vec::new()));
        let networks = ["203.0.113.5/32", "2001:db8::/48"].map(|text| text.parse().unwrap());
        let written = "written s-1 f00d 203.0.113.5/32 2001:db8::/48";
        assert_eq!(known(written), Known::Written(networks.to_vec()));
        for entry in [
            written,
            "installing s-1 f00d",
            "asked s-1 f00d",
            "ssh-ed25519 AAAA s-1 f00d",
        ] {
            assert_eq!(read(entry, "s-1").installation, Some("f00d"), "{entry}");
            assert_eq!(read(entry, "s-2").installation, None, "{entry}");
        }
    }

    #[test]
    fn only_a_machine_that_admits_somebody_else_is_elsewhere() {
        let here = "203.0.113.5".parse().unwrap();
        let of = |networks: &[&str]| {
            let networks: Vec<IpNet> = networks.iter().map(|net| net.parse().unwrap()).collect();
            Elsewhere::of(&networks, here)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["198.51.100.0/24", "203.0.113.0/28"]), None);
        let other = of(&["203.0.113.77/32"]).unwrap();
        let text = other.to_string();
        assert!(text.contains("built for 203.0.113.77/32") && text.contains("203.0.113.5 now"));
        assert!(other.is_mended_by("# port 22 admits 203.0.113.5/32\n"));
        assert!(other.is_mended_by("#!/bin/bash\n"), "open to everybody");
        assert!(!other.is_mended_by("# port 22 admits 203.0.113.6/32\n"));
    }
}
