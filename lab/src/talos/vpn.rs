//! The system extension `tailscale`: a machine whose image holds it, and whose configuration has the document of that name, logs in at the lab's Headscale.
//!
//! Guaranteed: without extension, without document, or with a key that lets nobody in, nothing is registered; who is logged in stays so over reboots and upgrades,
//! for its state lies beside the data of etcd. Not simulated: what the tunnel carries, and the protocol of the login, which happens inside the lab.
//! A variable or argument that is not known here is `LAB-UNKNOWN`.

use std::sync::Arc;

use serde_json::Value;

use super::config::Config;
use super::machine::Machine;
use crate::headscale::Headscale;
use crate::proxmox::Factory;

/// Name of the document, and of the extension below `siderolabs/`.
const NAME: &str = "tailscale";
/// The container starts and dials.
const START: u64 = 3;
/// Before it tries a server again that does not answer.
const AGAIN: u64 = 5;
/// Place and target of faults that hit a login.
const LOGIN: (&str, &str) = ("headscale", "POST /machine/register");

/// What machines of the lab need for a VPN.
pub(super) struct Vpn {
    pub(super) headscale: Headscale,
    pub(super) factory: Factory,
}

/// What the document asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Wishes {
    server: String,
    hostname: String,
    key: Option<String>,
    once: bool,
}

/// Reads the document. `None`: there is none.
fn wishes(config: &Config) -> Option<Result<Wishes, String>> {
    let document = config
        .all("ExtensionServiceConfig")
        .find(|document| document["name"] == NAME)?;
    let lines = document["environment"].as_array();
    let mut wishes = Wishes::default();
    for line in lines.into_iter().flatten().filter_map(Value::as_str) {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        match name {
            "TS_AUTHKEY" => wishes.key = Some(value.to_owned()),
            "TS_HOSTNAME" => value.clone_into(&mut wishes.hostname),
            "TS_AUTH_ONCE" => wishes.once = value == "true",
            "TS_STATE_DIR" if value == "/var/lib/tailscale" => {}
            "TS_EXTRA_ARGS" => match value.strip_prefix("--login-server=") {
                Some(server) if !server.contains(' ') => server.clone_into(&mut wishes.server),
                _ => return Some(Err(format!("LAB-UNKNOWN: arguments of tailscale: {value}"))),
            },
            _ => return Some(Err(format!("LAB-UNKNOWN: variable {name} of tailscale"))),
        }
    }
    Some(Ok(wishes))
}

/// Runs the extension until the power goes.
pub(super) fn start(machine: &Arc<Machine>) {
    let Some(power) = machine.with(|run| run.power.clone()) else {
        return;
    };
    let machine = Arc::clone(machine);
    tokio::spawn(async move {
        // Both arms may be dropped: without power nothing is finished.
        tokio::select! {
            biased;
            () = power.cancelled() => {}
            () = live(&machine) => {}
        }
    });
}

async fn live(machine: &Arc<Machine>) {
    let mut changes = machine.changes.subscribe();
    let mut running: Option<Wishes> = None;
    loop {
        changes.borrow_and_update();
        let wanted = wanted(machine);
        if wanted != running {
            stop(machine);
            running = wanted;
            if let Some(wishes) = &running {
                machine.pass(START).await;
                log_in(machine, wishes).await;
            }
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}

/// What should run now. The container waits for the container runtime, and for the document.
fn wanted(machine: &Machine) -> Option<Wishes> {
    let ready = machine.with(|run| run.cri).unwrap_or_default();
    let wishes = machine
        .config()
        .filter(|_| ready)
        .and_then(|config| wishes(&config))?;
    let trouble = match wishes {
        Ok(wishes) if has_extension(machine) => return Some(wishes),
        Ok(_) => "the image has no extension tailscale, whose configuration is there".to_owned(),
        Err(error) => error,
    };
    if machine.with(|run| run.trouble.clone()).flatten().as_ref() != Some(&trouble) {
        machine.note(&format!("vpn: {trouble}"));
        machine.change(|run| run.trouble = Some(trouble));
    }
    None
}

/// Extensions of the image that runs, as far as the lab's factory knows its schematic.
pub(super) fn extensions(machine: &Machine) -> Vec<String> {
    let schematic = machine.image().schematic;
    machine
        .fleet
        .upgrade()
        .and_then(|fleet| fleet.vpn.get()?.factory.extensions(&schematic))
        .unwrap_or_default()
}

fn has_extension(machine: &Machine) -> bool {
    extensions(machine)
        .iter()
        .any(|name| name == "siderolabs/tailscale")
}

fn server(machine: &Machine) -> Option<Headscale> {
    let fleet = machine.fleet.upgrade()?;
    Some(fleet.vpn.get()?.headscale.clone())
}

async fn log_in(machine: &Arc<Machine>, wishes: &Wishes) {
    let Some(headscale) = server(machine).filter(|server| server.is_at(&wishes.server)) else {
        machine.note(&format!("vpn: nobody answers at {}", wishes.server));
        return;
    };
    while machine
        .world
        .faults
        .take(LOGIN.0, LOGIN.1, |_| true)
        .is_some()
    {
        machine.note("vpn: the server does not answer");
        machine.pass(AGAIN).await;
    }
    let known = machine.state().disk.vpn.clone();
    let came_back = known
        .as_deref()
        .filter(|_| wishes.once || wishes.key.is_none())
        .and_then(|machine_key| headscale.reconnect(machine_key));
    let addresses = match (came_back, &wishes.key) {
        (Some(addresses), _) => addresses,
        (None, None) => {
            machine.note("vpn: waits for somebody who logs it in");
            return;
        }
        (None, Some(key)) => {
            let machine_key =
                known.unwrap_or_else(|| format!("mkey:{}", uuid::Uuid::new_v4().simple()));
            match headscale.register(key, &machine_key, &wishes.hostname) {
                Ok(addresses) => {
                    machine.state().disk.vpn = Some(machine_key);
                    machine.note(&format!("vpn: registered as {}", wishes.hostname));
                    addresses
                }
                Err(refusal) => {
                    machine.note(&format!("vpn: refused: {}", refusal.sentence()));
                    return;
                }
            }
        }
    };
    machine.change(|run| run.vpn = addresses);
}

/// The container ends; its state stays on the disk.
pub(super) fn stop(machine: &Machine) {
    let key = machine.state().disk.vpn.clone();
    if let (Some(headscale), Some(key)) = (server(machine), key) {
        headscale.disconnect(&key);
    }
    let was = machine.with(|run| std::mem::take(&mut run.vpn));
    if was.is_some_and(|addresses| !addresses.is_empty()) {
        machine.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Option<Result<Wishes, String>> {
        let text = format!(
            "apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: tailscale\nenvironment: [{lines}]\n"
        );
        wishes(&Config::parse(&text).unwrap())
    }

    #[test]
    fn the_document_is_read_and_what_is_not_known_is_refused() {
        let all = "TS_AUTHKEY=k, TS_EXTRA_ARGS=--login-server=http://h, TS_HOSTNAME=home-cp-1, TS_AUTH_ONCE=true, TS_STATE_DIR=/var/lib/tailscale";
        let wanted = Wishes {
            server: "http://h".into(),
            hostname: "home-cp-1".into(),
            key: Some("k".into()),
            once: true,
        };
        assert_eq!(read(all), Some(Ok(wanted)));
        for odd in ["TS_ROUTES=10.0.0.0/8", "TS_EXTRA_ARGS=--ssh"] {
            let refused = read(odd).unwrap().unwrap_err();
            assert!(refused.starts_with("LAB-UNKNOWN"), "{refused}");
        }
        let other = Config::parse("apiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: x\n");
        assert_eq!(wishes(&other.unwrap()), None);
    }
}
