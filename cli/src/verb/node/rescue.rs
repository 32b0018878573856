//! `node rescue`: the way in when neither SSH nor the API is one. Walks through the platform's rescue system: boots it, has the locked rules deleted from Flatcar's
//! disk, boots Flatcar again, and looks whether it lets this machine in. Whatever fails in between, Flatcar is booted again.
//!
//! Whoever answers as the rescue system is believed: nobody can know its host key. It is sent no secret, and what it is asked to do lets in no more than the first boot
//! of the node did.

use std::time::Duration;

use anyhow::{Context as _, bail};
use strata_framework::{Limits, Policy, Probe, chain, wait};
use strata_provider::{
    access::host_key_entry,
    secret::Secret,
    services::scaleway::wire::Server,
    ssh::{
        self, HostKey, Target,
        rescue::{Guest, Step},
    },
};

use super::{
    edit::{no_lab, refuse},
    window,
};
use crate::{
    arguments::NodeRescueOptions,
    outcome::Outcome,
    platform::{Platform, scaleway::Scaleway},
    preflight::open_store,
    project::Layer,
    question::agreed,
    session::{Purpose, Session, World},
};

/// For each of the two boots.
const PATIENCE: Duration = Duration::from_mins(20);
/// How often a boot is asked for whose answer was lost and that did not come about.
const BOOTS: u32 = 3;

pub(super) async fn run(options: &NodeRescueOptions) -> anyhow::Result<Outcome> {
    let Some(session) = Session::open(&options.common)? else {
        return Ok(Outcome::Preflight);
    };
    let Some(world) = session.world(false).await? else {
        return Ok(no_lab(&session));
    };
    let name = options.name.as_str();
    let terraform = session.terraform(&world, Purpose::Build)?;
    let machines = terraform.outputs(Layer::Infrastructure).await?["machines"].clone();
    let machine = &machines[name];
    let (Some(node), Some(id), Some(address)) = (
        session.cluster.spec.nodes.get(name),
        machine["server_id"].as_str(),
        machine["address"].as_str(),
    ) else {
        return Ok(refuse(
            &session,
            &format!("there is no machine of a node {name}"),
        ));
    };
    let zone = node.zone.as_deref().unwrap_or_default();
    if options.print {
        let api = world
            .environment
            .get("SCW_API_URL")
            .unwrap_or("https://api.scaleway.com");
        session
            .console
            .plain(&commands(name, api, zone, id, address));
        return Ok(Outcome::Done);
    }
    session.console.plain(&format!(
        "{name} restarts twice and serves nothing meanwhile, usually less than 10 minutes. The rescue system's host key cannot be known: it is trusted on first use"
    ));
    let command = session.again(&format!("node rescue {name}"));
    if !agreed(&session, options.yes.as_deref(), "restart it", &command)? {
        return Ok(Outcome::Refused);
    }
    let operator = terraform.outputs(Layer::Auth).await?["operator_key"].clone();
    let key = operator["name"].as_str().unwrap_or("ssh/operator");
    let store = open_store(&session.project, &session.cluster)?;
    let platform = Platform::new(&session.project, &world.environment, &session.cluster).await?;
    let Platform::Scaleway(scaleway) = platform else {
        return Ok(refuse(
            &session,
            "only rented servers have a rescue system; a virtual machine has its console",
        ));
    };
    let way = Way {
        session: &session,
        world: &world,
        scaleway: *scaleway,
        node: name,
        zone,
        id,
        address,
        key_id: operator["scaleway_id"].as_str().unwrap_or_default(),
        private_key: Secret::new(window::entry(&*store, key).await?),
        host_key: window::entry(&*store, &host_key_entry(name)).await?,
    };
    let outcome = way.walk().await?;
    if outcome != Outcome::Done {
        return Ok(outcome);
    }
    let command = window::ssh(&session, &world, name, address, key).await?;
    session.console.add("look", &command);
    session.console.add("lock it again", &session.again("up"));
    Ok(Outcome::Done)
}

/// One machine and all that the way to it takes.
struct Way<'a> {
    session: &'a Session,
    world: &'a World,
    scaleway: Scaleway,
    node: &'a str,
    zone: &'a str,
    id: &'a str,
    address: &'a str,
    /// Id of the operator's key at the platform.
    key_id: &'a str,
    private_key: Secret<String>,
    /// The node's own, which Flatcar has again afterwards.
    host_key: String,
}

impl Way<'_> {
    async fn walk(&self) -> anyhow::Result<Outcome> {
        self.boot("rescue").await?;
        let inside = self.until_interrupted(self.unlock()).await;
        // Whatever happened in there, it is not left there.
        let back = self.boot("normal").await;
        match (inside, back) {
            (Ok(Some(())), Ok(())) => {}
            (Ok(None), Ok(())) => {
                self.session.say(
                    "rescue",
                    format!(
                        "interrupted; {} boots its own system again. If the locked rules were gone already, its port 22 is open to the operators of its first boot: {} locks it",
                        self.node,
                        self.session.again("up")
                    ),
                );
                return Ok(Outcome::Interrupted);
            }
            (Ok(_), Err(error)) => {
                return Err(error.context(format!("{} is still in the rescue system", self.node)));
            }
            (Err(error), back) => {
                let state = match back {
                    Ok(()) => "its own system is booting again, with the rules it had".to_owned(),
                    Err(error) => format!("and it is still in the rescue system: {error:#}"),
                };
                return Err(error.context(format!("{}: {state}", self.node)));
            }
        }
        match self.until_interrupted(self.come_back()).await? {
            Some(()) => Ok(Outcome::Done),
            None => Ok(Outcome::Interrupted),
        }
    }

    /// `None`: Ctrl-C came first. From the first such wait on, nothing else in this process hears one.
    async fn until_interrupted(
        &self,
        work: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Option<()>> {
        // Both arms are cancel-safe: what is broken off in the rescue system is forgotten with it, and what looks at Flatcar only looks.
        tokio::select! {
            done = work => done.map(Some),
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("listening for Ctrl-C")?;
                Ok(None)
            }
        }
    }

    /// An answer that is lost is settled by a look: the node must not stay where nobody meant it to be.
    async fn boot(&self, kind: &str) -> anyhow::Result<()> {
        let keys = match kind {
            "rescue" => vec![self.key_id.to_owned()],
            _ => Vec::new(),
        };
        let mut lost = None;
        for _ in 0..BOOTS {
            let asked = self
                .scaleway
                .api()
                .reboot_server(self.zone, self.id, kind, &keys)
                .await;
            match asked {
                Ok(_) => lost = None,
                Err(error) if error.is_lost() => lost = Some(error),
                Err(error) => {
                    return Err(error).with_context(|| format!("booting {} ({kind})", self.node));
                }
            }
            if lost.is_none()
                || self
                    .server()
                    .await
                    .is_ok_and(|server| server.boot_type == kind)
            {
                self.session
                    .say("rescue", format!("{} boots: {kind}", self.node));
                return Ok(());
            }
        }
        let error = lost.map_or_else(|| anyhow::anyhow!("no answer"), anyhow::Error::from);
        Err(error.context(format!("booting {} ({kind})", self.node)))
    }

    /// At the pace of the lab, where there is one.
    fn policy(&self, what: String) -> Policy {
        let speed = self.world.environment.speed().max(1.0);
        let pace = |seconds| {
            Duration::from_secs(seconds)
                .div_f64(speed)
                .max(Duration::from_millis(20))
        };
        Policy::new(what).every(pace(5), pace(10))
    }

    async fn unlock(&self) -> anyhow::Result<()> {
        let limits = Limits::within(PATIENCE);
        let policy = self.policy(format!("the rescue system of {}", self.node));
        let user = wait(&limits, &policy, async || match self.server().await {
            Ok(server) => match (&server.rescue_server, server.boot_type.as_str()) {
                (Some(rescue), "rescue") if server.status == "ready" => {
                    Probe::Done(rescue.user.clone())
                }
                (_, boot) => Probe::NotYet(format!("status {}, boot type {boot}", server.status)),
            },
            Err(error) => Probe::<_, ssh::Error>::NotYet(format!("{error:#}")),
        });
        let guest = Guest {
            address: self.address.to_owned(),
            user: user.await.map_err(|error| anyhow::anyhow!("{error}"))?,
            private_key: self.private_key.clone(),
        };
        let dialer = self.world.environment.dialer();
        let policy = self.policy(format!("SSH of the rescue system at {}", self.address));
        // The system before it may still answer for a moment, and knows no such user.
        let entered = wait(&limits, &policy, async || {
            match ssh::rescue::connect(dialer, &guest).await {
                Ok(entered) => Probe::<_, ssh::Error>::Done(entered),
                Err(error) => Probe::NotYet(chain(&error)),
            }
        });
        let (inside, host_key) = entered.await.map_err(|error| anyhow::anyhow!("{error}"))?;
        self.session.say(
            "rescue",
            format!(
                "in as {}@{}; host key {host_key}, trusted on first use",
                guest.user, self.address
            ),
        );
        for step in Step::ALL {
            let done = ssh::rescue::run(&inside, step).await;
            done.with_context(|| format!("running `{}`", step.command()))?;
        }
        inside.close().await;
        self.session.say(
            "rescue",
            "the locked rules are deleted; those of the first boot count again",
        );
        Ok(())
    }

    async fn server(&self) -> anyhow::Result<Server> {
        let found = self.scaleway.api().server(self.zone, self.id).await?;
        match found {
            Some(server) => Ok(server),
            None => bail!("the server does not exist any more"),
        }
    }

    /// Flatcar is there again, with the host key it had, and lets us in.
    async fn come_back(&self) -> anyhow::Result<()> {
        let target = Target {
            address: self.address.to_owned(),
            port: 22,
            user: "core".to_owned(),
            private_key: self.private_key.clone(),
            host_key: HostKey::parse(&self.host_key)
                .context("reading the node's host key from the store")?,
        };
        let policy = self.policy(format!("{} to let this machine in", self.node));
        let dialer = self.world.environment.dialer();
        let limits = Limits::within(PATIENCE);
        let session = wait(&limits, &policy, async || {
            match ssh::connect(dialer, &target).await {
                Ok(session) => Probe::Done(session),
                // The rescue system may still answer for a moment.
                Err(error @ (ssh::Error::HostKey { .. } | ssh::Error::Denied { .. })) => {
                    Probe::NotYet(chain(&error))
                }
                Err(error) if error.is_transient() => Probe::NotYet(chain(&error)),
                Err(error) => Probe::Failed(error),
            }
        });
        let session = session.await.map_err(|error| {
            anyhow::anyhow!(
                "{error}\nits own system was booted, and port 22 is open to the operators of its first boot alone: come from there"
            )
        })?;
        session.close().await;
        self.session
            .say("rescue", format!("{} lets you in on port 22", self.node));
        Ok(())
    }
}

/// From the locked machine to one that lets its operator in again.
fn commands(node: &str, api: &str, zone: &str, id: &str, address: &str) -> String {
    let server = format!("{api}/baremetal/v1/zones/{zone}/servers/{id}");
    let boot = |kind: &str| {
        format!(
            "curl -fsS -X POST -H \"X-Auth-Token: $SCW_SECRET_KEY\" -H 'Content-Type: application/json' -d '{{\"boot_type\":\"{kind}\"}}' {server}/reboot"
        )
    };
    format!(
        "\
# {node}, server {zone}/{id}, {address}: it serves nothing while it is in the rescue system
# 1. boot the rescue system
{rescue}
# 2. when `status` is ready again, `rescue_server` names user and password
curl -fsS -H \"X-Auth-Token: $SCW_SECRET_KEY\" {server}
# 3. in there: the rules of the first boot count again when the locked ones are gone
ssh USER@{address}
{mount}
{unlock}
{unmount}
# 4. boot Flatcar again; port 22 is open to the operators of the first boot
{normal}
# 5. lock it again
./bootstrap.sh",
        rescue = boot("rescue"),
        mount = Step::Mount.command(),
        unlock = Step::Unlock.command(),
        unmount = Step::Unmount.command(),
        normal = boot("normal"),
    )
}

#[cfg(test)]
mod tests {
    use super::commands;

    #[test]
    fn the_commands_name_the_server_and_no_secret() {
        let text = commands(
            "cp-1",
            "https://api.example",
            "fr-par-2",
            "1-2",
            "192.0.2.1",
        );
        let server = "https://api.example/baremetal/v1/zones/fr-par-2/servers/1-2";
        for part in [
            "-d '{\"boot_type\":\"rescue\"}' ",
            "-d '{\"boot_type\":\"normal\"}' ",
            "$SCW_SECRET_KEY",
            "ssh USER@192.0.2.1",
            "/etc/strata/nft/current.nft",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.matches(server).count(), 3, "{text}");
    }
}
