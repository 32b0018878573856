//! Installing from Scaleway's rescue system (FN10): boot it, run the script in there, boot what it wrote.
//!
//! Nothing here is done twice, whenever a run breaks off. What was reached is noted in the store's entry of the machine (`contact`): `installing` and the tag
//! [`UNUSED`](super::order::UNUSED) are the leave to write its disks, `written` is that leave taken back. A machine without either is left alone: it may be a node.
//! The script waits for one that a broken run left behind, and does nothing when that one ended well.
//!
//! Whoever answers as the rescue system is believed, since nobody can know its host key; its fingerprint is told. It is given the script, which has the machine's
//! single-use host key, and nothing else.

use std::time::Duration;

use strata_framework::{Bounded, Diagnostics, Policy, Probe, WaitError, chain, wait};

use super::contact::{Known, note, note_installation, noted, read};
use super::converge::{Cx, NotReady, Stop};
use super::order::UNUSED;
use super::server::model::{BaremetalServer, FirstContact, failed};
use super::wire::Server;
use crate::http::client::Error;
use crate::http::dial::Dialer;
use crate::provider::Scaleway;
use crate::secret::Secret;
use crate::ssh::rescue::{self as guest, Guest};
use crate::ssh::{self, Session};
use crate::stub;

/// How long a rescue system may take until it answers, before it is booted once more.
const BOOT: Duration = Duration::from_mins(15);
/// How long Scaleway may take to start a machine; it says 1 to 3 s.
const START: Duration = Duration::from_mins(3);
/// How often it is asked to.
const STARTS: u32 = 3;
/// How often a connection may break while the script runs.
const SESSIONS: u32 = 3;

/// One machine on its way.
pub(super) struct Place<'a> {
    pub(super) cx: &'a Cx<'a>,
    pub(super) scaleway: &'a Scaleway,
    pub(super) contact: &'a FirstContact,
    pub(super) state: &'a BaremetalServer,
}

/// What is to be done with a machine.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// Nothing: what runs on it is ours, or is Scaleway's installation.
    Meet,
    /// It was written and has to start from its disks.
    Boot,
    /// Write its disks.
    Install,
    /// Nothing says that its disks may be written.
    Leave,
}

/// The whole decision.
fn next(known: &Known, server: &Server) -> Next {
    match known {
        Known::Written(_) if server.boot_type == "rescue" => Next::Boot,
        Known::Written(_) | Known::Key | Known::Asked => Next::Meet,
        Known::Installing => Next::Install,
        Known::Nothing => match &server.install {
            _ if server.tags.contains(UNUSED) => Next::Install,
            Some(_) => Next::Meet,
            None => Next::Leave,
        },
    }
}

impl Place<'_> {
    /// Brings the machine to start from disks that were written in the rescue system. `Some`: why that failed.
    pub(super) async fn install(
        &self,
        config: &BaremetalServer,
        server: &Server,
    ) -> Result<Option<String>, Stop> {
        let text = noted(self.cx, self.contact).await?;
        let entry = read(&text, &server.id);
        // A lost state is rebuilt without a hand on any machine; the contact says the rest.
        let next = if self.cx.provider.only_adopts() {
            Next::Meet
        } else {
            next(&entry.known, server)
        };
        match next {
            Next::Meet => return Ok(None),
            Next::Leave => {
                return Err(not_ready(
                    "no system of ours was ever seen on it, and nothing says that its disks may be written: it was left alone. Another `reinstall` installs it",
                ));
            }
            Next::Boot => {
                self.boot(server, "normal", &[]).await?;
                return Ok(None);
            }
            Next::Install => {}
        }
        let Some(script) = config.rescue_script_wo.known() else {
            return Err(not_ready("`rescue_script_wo` is not given"));
        };
        let named = self.state.installation(&self.state.install(config, None));
        if entry.known == Known::Nothing {
            note_installation(self.cx, self.contact, &server.id, &named).await?;
        }
        if let Err(reason) = self.write(script, server).await? {
            return Ok(Some(reason));
        }
        let name = entry.installation.unwrap_or(&named);
        let admits = stub::admits(script.expose());
        let admits: Vec<String> = admits.iter().map(ToString::to_string).collect();
        // Before it starts: from here on its disks are not to be written again.
        note(
            self.cx,
            self.contact,
            format!("written {} {name} {}", server.id, admits.join(" ")),
        )
        .await?;
        self.boot(server, "normal", &[]).await?;
        Ok(None)
    }

    /// Has the script write the disks. The inner error: why it failed.
    async fn write(
        &self,
        script: &Secret<String>,
        server: &Server,
    ) -> Result<Result<(), String>, Stop> {
        let environment = self.cx.provider.environment().await?;
        let mut reason = String::new();
        for _ in 0..SESSIONS {
            let session = match self.enter(environment.dialer(), server).await? {
                Ok(session) => session,
                Err(seen) => return Ok(Err(seen)),
            };
            // All arms are cancel-safe: what is broken off here goes on in the rescue system, and the next run waits for it there.
            let done = tokio::select! {
                done = guest::install(&session, script) => done,
                () = self.cx.cancel().cancelled() => {
                    return Err(not_ready("the run was stopped while the rescue system installs"));
                }
                () = tokio::time::sleep_until(self.cx.deadline()) => {
                    return Err(not_ready("the time is up while the rescue system installs"));
                }
            };
            match done {
                Ok(()) => {
                    session.close().await;
                    return Ok(Ok(()));
                }
                Err(error @ ssh::Error::Lost { .. }) => {
                    tracing::warn!(id = server.id, %error, "the rescue system was lost; entering it again");
                    reason = chain(&error);
                }
                Err(error) => {
                    return Ok(Err(format!(
                        "the installation in the rescue system failed: {}",
                        chain(&error)
                    )));
                }
            }
        }
        Ok(Err(reason))
    }

    /// Into the rescue system: the one that runs, if it lets us in, else one that is booted now. The inner error: why there is no way in.
    async fn enter(
        &self,
        dialer: &Dialer,
        server: &Server,
    ) -> Result<Result<Session, String>, Stop> {
        let server = self.look(server).await?;
        if let Some(user) = server.rescue_user()
            && let Ok(session) = self.log_in(dialer, &server, user).await?
        {
            return Ok(Ok(session));
        }
        let keys: Vec<String> = self
            .state
            .ssh_key_ids
            .known()
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let server = self.boot(&server, "rescue", &keys).await?;
        let Some(user) = server.rescue_user() else {
            return Ok(Err("Scaleway names no user of the rescue system".into()));
        };
        self.log_in(dialer, &server, user).await
    }

    async fn log_in(
        &self,
        dialer: &Dialer,
        server: &Server,
        user: &str,
    ) -> Result<Result<Session, String>, Stop> {
        let address = server.ipv4().or(server.ipv6());
        let address = address.ok_or_else(|| not_ready("it has no address yet"))?;
        let key = self.contact.private_key.text();
        let machine = Guest {
            address: address.to_string(),
            user: user.to_owned(),
            private_key: self.cx.provider.entry(key).await?,
        };
        let what = format!(
            "the rescue system of {} at {address}",
            self.state.node.text()
        );
        // A machine that is not up yet does not even refuse, so a look takes seconds, also where the clock is faster.
        let limit = self.scaleway.client.scaled(BOOT);
        let policy = self.pace(what).at_most(limit.max(Duration::from_secs(10)));
        // The system before it may still answer for a moment, and knows no such user.
        let entered = wait(self.cx, &policy, async || {
            match guest::connect(dialer, &machine).await {
                Ok(entered) => Probe::Done(entered),
                Err(error @ ssh::Error::Key { .. }) => Probe::Failed(error),
                Err(error) => Probe::NotYet(chain(&error)),
            }
        });
        match entered.await {
            Ok((session, host_key)) => {
                self.tell(server, &host_key);
                Ok(Ok(session))
            }
            Err(WaitError::Failed(error)) => Err(not_ready(&chain(&error))),
            Err(WaitError::Stopped(waited)) => Err(not_ready(&waited.to_string())),
            Err(WaitError::TimedOut(waited)) if self.is_over() => {
                Err(not_ready(&waited.to_string()))
            }
            Err(WaitError::TimedOut(waited)) => Ok(Err(waited.to_string())),
        }
    }

    /// Who was believed, so that a person who has another way to look can compare.
    fn tell(&self, server: &Server, host_key: &str) {
        let name = self.state.name.text();
        self.cx.warn(Diagnostics::warning(
            format!("The rescue system of \"{name}\" was believed"),
            format!(
                "Server {}: its host key is {host_key}, trusted on first use.",
                server.id
            ),
        ));
    }

    /// Whether the operation as a whole has no time left.
    fn is_over(&self) -> bool {
        tokio::time::Instant::now() >= self.cx.deadline()
    }

    fn pace(&self, what: String) -> Policy {
        let pace = |seconds| self.scaleway.client.scaled(Duration::from_secs(seconds));
        Policy::new(what).every(pace(5), pace(15))
    }

    async fn look(&self, server: &Server) -> Result<Server, Stop> {
        let zone = self.state.zone.text();
        let found = self.scaleway.client.server(zone, &server.id).await;
        let found = found.map_err(|error| failed("read", &server.id, &error))?;
        found.ok_or_else(|| not_ready("the server does not exist any more"))
    }

    /// Starts the machine into its own system or the rescue system, and returns when the API calls it started.
    async fn boot(&self, server: &Server, kind: &str, keys: &[String]) -> Result<Server, Stop> {
        for _ in 0..STARTS {
            self.ask_for_start(server, kind, keys).await?;
            if let Some(server) = self.started(server, kind).await? {
                return Ok(server);
            }
        }
        Err(not_ready(&format!(
            "Scaleway was asked {STARTS} times to start it ({kind}) and did not"
        )))
    }

    /// A lost answer is as good as one, and so is a request that is dropped at the end of the time: whether it was done is what the next look shows.
    async fn ask_for_start(
        &self,
        server: &Server,
        kind: &str,
        keys: &[String],
    ) -> Result<(), Stop> {
        let (zone, id) = (self.state.zone.text(), server.id.as_str());
        let client = &self.scaleway.client;
        let policy = self.pace(format!("{} to be startable", self.state.node.text()));
        let asked = wait(self.cx, &policy, async || {
            match client.server(zone, id).await {
                Ok(Some(server)) if server.status == "ready" => {}
                Ok(Some(server)) => return Probe::NotYet(format!("status {}", server.status)),
                Ok(None) => return Probe::Done(false),
                Err(error) if error.is_transient() => return Probe::NotYet(error.to_string()),
                Err(error) => return Probe::Failed(error),
            }
            match client.reboot_server(zone, id, kind, keys).await {
                Ok(_) => Probe::Done(true),
                Err(error) if error.is_lost() => Probe::Done(true),
                Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
                Err(error) => Probe::Failed(error),
            }
        });
        match asked.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(not_ready("the server does not exist any more")),
            Err(error) => Err(not_started(server, &error)),
        }
    }

    /// `None`: it is what it was before, so that the request came to nothing.
    async fn started(&self, server: &Server, kind: &str) -> Result<Option<Server>, Stop> {
        let (zone, id) = (self.state.zone.text(), server.id.as_str());
        let client = &self.scaleway.client;
        let policy = self.pace(format!("{} to start ({kind})", self.state.node.text()));
        let policy = policy.at_most(client.scaled(START).max(Duration::from_secs(1)));
        let started = wait(self.cx, &policy, async || {
            match client.server(zone, id).await {
                Ok(Some(server)) if server.status == "ready" && server.boot_type == kind => {
                    Probe::Done(server)
                }
                Ok(Some(server)) => Probe::NotYet(format!(
                    "status {}, boot type {}",
                    server.status, server.boot_type
                )),
                Ok(None) => Probe::NotYet("no such server".into()),
                Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
                Err(error) => Probe::Failed(error),
            }
        });
        match started.await {
            Ok(server) => Ok(Some(server)),
            Err(WaitError::TimedOut(_)) if !self.is_over() => Ok(None),
            Err(error) => Err(not_started(server, &error)),
        }
    }
}

fn not_started(server: &Server, error: &WaitError<Error>) -> Stop {
    match error {
        WaitError::Failed(error) => failed("start", &server.id, error).into(),
        WaitError::TimedOut(waited) | WaitError::Stopped(waited) => not_ready(&waited.to_string()),
    }
}

fn not_ready(text: &str) -> Stop {
    Stop::NotReady(NotReady(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn server(boot: &str, tags: &[&str], install: Option<&str>) -> Server {
        let install = install.map(|status| json!({ "status": status }));
        serde_json::from_value(json!({
            "id": "s", "name": "n", "status": "ready", "boot_type": boot, "tags": tags, "install": install
        }))
        .unwrap()
    }

    #[test]
    fn only_a_machine_that_was_never_used_is_written() {
        let bare = server("normal", &[UNUSED], None);
        let in_rescue = server("rescue", &[UNUSED], None);
        let used = server("normal", &[], None);
        let scaleways = server("normal", &[], Some("completed"));
        let written = || Known::Written(Vec::new());
        for (known, server, wanted) in [
            (Known::Nothing, &bare, Next::Install),
            (Known::Nothing, &in_rescue, Next::Install),
            (Known::Installing, &used, Next::Install),
            (Known::Installing, &scaleways, Next::Install),
            (written(), &in_rescue, Next::Boot),
            (written(), &bare, Next::Meet),
            (Known::Asked, &in_rescue, Next::Meet),
            (Known::Key, &bare, Next::Meet),
            (Known::Nothing, &scaleways, Next::Meet),
            (Known::Nothing, &used, Next::Leave),
        ] {
            assert_eq!(next(&known, server), wanted, "{known:?} {server:?}");
        }
    }
}
