//! `node ssh-open`: a way in to a locked node, for one address and some minutes (FN1). The node closes it by itself and cuts what is open.
//!
//! What ssh needs lies in `.strata/<name>/ssh` afterwards: the node's host key, so that the first contact is verified, and the operator's private
//! key, for its owner's eyes only, because ssh takes keys from files.

use std::{fs, net::IpAddr, path::Path, time::Duration};

use anyhow::Context as _;
use strata_framework::Limits;
use strata_provider::{
    access::{DoorError, host_key_entry, through_door},
    echo::{self, Family},
    marker, private_file,
    store::{self, Name, Store},
    verb::Verb,
};

use super::edit::{no_lab, refuse};
use crate::{
    arguments::NodeWindowOptions,
    console::duration,
    finding::counted,
    observe,
    outcome::Outcome,
    preflight::open_store,
    project::Layer,
    session::{Purpose, Session, World},
};

/// What the node's script allows at most.
const LONGEST: Duration = Duration::from_hours(4);

/// A pod that did not run by then will not.
const PATIENCE: Duration = Duration::from_mins(4);

pub(super) async fn run(options: &NodeWindowOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    if let Some(reason) = session.no_doors("use `talosctl`, whose API is the way in") {
        return Ok(refuse(&session, &reason));
    }
    let name = options.name.as_str();
    let Some(world) = session.world(false).await? else {
        return Ok(no_lab(&session));
    };
    let terraform = session.terraform(&world, Purpose::Build)?;
    let machines = terraform.outputs(Layer::Infrastructure).await?["machines"].clone();
    let addresses = observe::addresses(&machines);
    let Some(address) = addresses.get(name) else {
        let known: Vec<_> = addresses.keys().map(String::as_str).collect();
        return Ok(refuse(
            &session,
            &format!(
                "there is no machine of a node {name}; there are {}",
                known.join(" ")
            ),
        ));
    };
    let from = match options.from {
        Some(from) => from,
        None => operator(&world, address).await?,
    };
    let key = terraform.outputs(Layer::Auth).await?["operator_key"]["name"].clone();
    let client = observe::client(&session, world.environment.dialer(), &addresses).await?;
    // First, for while the port is closed they open nothing.
    let lines = session.cluster.spec.access.break_glass_keys.clone();
    let count = lines.len();
    if count > 0 {
        let verb = Verb::SshKeys {
            seconds: options.window.as_secs(),
            lines,
        };
        let speed = world.environment.speed();
        let taken = through_door(&Limits::within(PATIENCE), &client, speed, name, &verb).await;
        if let Err(error) = taken {
            return Ok(not_opened(&session, name, &error));
        }
    }
    let verb = Verb::SshOpen {
        address: from,
        seconds: options.window.as_secs(),
    };
    let opened = through_door(
        &Limits::within(PATIENCE),
        &client,
        world.environment.speed(),
        name,
        &verb,
    )
    .await;
    if let Err(error) = opened {
        return Ok(not_opened(&session, name, &error));
    }
    // While it lasts, an open port is no drift.
    let wall = options.window.div_f64(world.environment.speed().max(1.0));
    let store = open_store(&session.project, &session.cluster)?;
    marker::window(&*store, name, jiff::Timestamp::now() + wall)
        .await
        .context("noting the window, which is open")?;
    session.say(
        "ssh-open",
        format!(
            "{name} lets {from} in on port 22 for {}; then it closes and cuts what is open",
            duration(options.window)
        ),
    );
    if count > 0 {
        let keys = counted(count, "key");
        session.console.add(
            "keys",
            &format!("{keys} of access.break_glass_keys for as long, beside the operator's"),
        );
    }
    let command = ssh(
        &session,
        &world,
        name,
        address,
        key.as_str().unwrap_or("ssh/operator"),
    )
    .await?;
    session.console.add("look", &command);
    Ok(Outcome::Done)
}

fn not_opened(session: &Session, name: &str, error: &DoorError) -> Outcome {
    session.console.plain(&format!(
        "the window of {name} was not opened: {error}\nwithout the API the platform's rescue system is the way in: {}",
        session.again(&format!("node rescue {name}"))
    ));
    Outcome::Stopped
}

/// From where this machine is seen, in the family of the node's address.
async fn operator(world: &World, address: &str) -> anyhow::Result<IpAddr> {
    let family = match address.parse() {
        Ok(IpAddr::V6(_)) => Family::V6,
        _ => Family::V4,
    };
    echo::first(&world.environment, family)
        .await
        .context("asking from which address you come; name it yourself with --from")
}

/// The command, and the files that it needs.
pub(super) async fn ssh(
    session: &Session,
    world: &World,
    node: &str,
    address: &str,
    key: &str,
) -> anyhow::Result<String> {
    let store = open_store(&session.project, &session.cluster)?;
    let folder = session.project.local().join("ssh");
    let known = folder.join("known_hosts");
    let host_key = entry(&*store, &host_key_entry(node)).await?;
    let others = fs::read_to_string(&known).unwrap_or_default();
    write(&known, &known_hosts(&others, address, &host_key))?;
    let identity = folder.join("operator");
    write(&identity, &entry(&*store, key).await?)?;
    let proxy = world
        .environment
        .get("STRATA_LAB_PROXY")
        .map(|url| {
            format!(
                " -o ProxyCommand='nc -X connect -x {} %h %p'",
                url.trim_start_matches("http://")
            )
        })
        .unwrap_or_default();
    Ok(format!(
        "ssh -i {} -o UserKnownHostsFile={} -o StrictHostKeyChecking=yes{proxy} core@{address}",
        session.project.relative(&identity),
        session.project.relative(&known)
    ))
}

pub(super) async fn entry(store: &dyn Store, name: &str) -> anyhow::Result<String> {
    let parsed = Name::parse(name).with_context(|| format!("reading the store entry {name}"))?;
    let entry = store::require(store, &parsed)
        .await
        .with_context(|| format!("reading the store entry {name}"))?;
    Ok(entry.value.expose().clone())
}

/// The file with this address's key and nobody else's changed.
fn known_hosts(others: &str, address: &str, host_key: &str) -> String {
    let mut lines: Vec<String> = others
        .lines()
        .filter(|line| line.split(' ').next() != Some(address))
        .map(str::to_owned)
        .collect();
    lines.push(format!("{address} {}", host_key.trim()));
    lines.join("\n") + "\n"
}

/// Readable by the owner only; ends with the end of a line.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    private_file::write(path, format!("{text}{end}").as_bytes())
        .with_context(|| format!("writing {}", path.display()))
}

/// `30m`, `2h`, `90s`.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time like 30m or 2h");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3600),
        _ => return Err(wrong()),
    };
    let window = Duration::from_secs(seconds);
    if window.is_zero() || window > LONGEST {
        return Err(format!(
            "{text}: a window is open for at least 1 s and at most 4h"
        ));
    }
    Ok(window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_an_end() {
        assert_eq!(parse("30m"), Ok(Duration::from_mins(30)));
        assert_eq!(parse("4h"), Ok(LONGEST));
        for wrong in [
            "",
            "m",
            "0m",
            "5h",
            "30",
            "30 m",
            "ä",
            "99999999999999999999h",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn one_key_for_each_address() {
        let first = known_hosts("", "192.0.2.1", "ssh-ed25519 A\n");
        let second = known_hosts(&first, "192.0.2.10", "ssh-ed25519 B");
        let third = known_hosts(&second, "192.0.2.1", "ssh-ed25519 C");
        assert_eq!(third, "192.0.2.10 ssh-ed25519 B\n192.0.2.1 ssh-ed25519 C\n");
    }
}
