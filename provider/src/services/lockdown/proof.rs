//! The way in is used once right before a node is locked: a way that was only listed, or worked yesterday, may not be one (FN19).
//!
//! `kubernetes`: a pod on this very node ran a command. `teleport`: also a request came through Teleport's proxy and its agent to this very cluster, which is
//! more than the agent's registration says. `none`: nothing, and whoever asks for that is told.

use std::time::Duration;

use strata_framework::{Attr, Diagnostics, Path, Probe, Schema, chain, wait};

use super::close::Gate;
use crate::kubernetes::{self, Client};
use crate::teleport::{self, Join, Wishes};
use crate::verb::Verb;

/// Between two looks for the agent.
const PAUSE: Duration = Duration::from_secs(15);
/// An agent that has not registered by then has a problem that waiting does not solve.
const AGENT: Duration = Duration::from_mins(10);

/// Teleport as a user of it reaches the cluster.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct Teleport {
    /// Address of the proxy, e.g. `teleport.example.org:443`. A kubeconfig for another host is refused; its port may differ.
    #[schema(required)]
    pub proxy: Attr<String>,
    /// Name of the cluster in Teleport (`kubeClusterName` of the agent), e.g. `home`. For messages: the kubeconfig decides which cluster is reached.
    #[schema(required)]
    pub cluster: Attr<String>,
    /// Store entry with a kubeconfig for it, e.g. `teleport/kubeconfig`, as `tctl auth sign --format=kubernetes --user=<user>
    /// --kube-cluster-name=<cluster>` writes it: with a certificate in it, not with a program that logs in. The user must be allowed to read
    /// namespace `kube-system`.
    #[schema(required)]
    pub kubeconfig: Attr<String>,
    /// How long to wait for the agent, e.g. `5m`. Without it `10m`.
    #[schema(optional)]
    pub timeout: Attr<strata_framework::DurationText>,
    /// How an agent that has not joined gets a token for it: one is made when the cluster does not answer through Teleport, lives 30 minutes at most and is taken
    /// back when the wait ends. Without it the agent must bring its own.
    #[schema(optional)]
    pub join: Attr<Wishes>,
}

/// What must work.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// The door of the node.
    Kubernetes,
    /// The door, and Teleport.
    Teleport(&'a Teleport),
    /// Nothing.
    Nothing,
}

impl<'a> Proof<'a> {
    /// From the attributes; `None` while they are unknown.
    ///
    /// # Errors
    /// Teleport is to prove something and is not described.
    pub fn of(
        proof: &Attr<String>,
        teleport: &'a Attr<Teleport>,
    ) -> Result<Option<Self>, Diagnostics> {
        let Attr::Known(word) = proof else {
            return Ok(None);
        };
        match (word.as_str(), teleport) {
            ("kubernetes", _) => Ok(Some(Self::Kubernetes)),
            ("none", _) => Ok(Some(Self::Nothing)),
            (_, Attr::Known(teleport)) => Ok(Some(Self::Teleport(teleport))),
            (_, Attr::Unknown) => Ok(None),
            (_, Attr::Null) => Err(Diagnostics::invalid(
                Path::of("teleport"),
                "Required with `proof = \"teleport\"`: how the cluster is reached through Teleport.",
            )),
        }
    }
}

const LEFT: &str = "The node was not locked and nothing was changed on it.";

impl Gate<'_> {
    /// Uses the ways in.
    pub async fn prove_access(&self, client: &Client) -> Result<(), Diagnostics> {
        if let Proof::Nothing = self.proof {
            return Ok(());
        }
        let said = self
            .knock(client, &Verb::Version)
            .await
            .map_err(|error| error.left(LEFT))?;
        if !said.starts_with("strata-node ") {
            return Err(self
                .not_locked("A pod on it ran something else than strata-node.")
                .left(LEFT));
        }
        match self.proof {
            // Large, and rarely needed.
            Proof::Teleport(teleport) => Box::pin(self.come_through(client, teleport))
                .await
                .map_err(|error| error.left(LEFT)),
            Proof::Kubernetes | Proof::Nothing => Ok(()),
        }
    }

    /// Waits until a request through Teleport reaches the cluster that this node is of. An agent of an earlier cluster of the same name answers for another one.
    async fn come_through(&self, direct: &Client, teleport: &Teleport) -> Result<(), Diagnostics> {
        let entry = teleport.kubeconfig.require("teleport.kubeconfig")?;
        let name = teleport.cluster.require("teleport.cluster")?;
        let text = self.access.entry(entry).await?;
        let through = Client::of_kubeconfig(self.access.dialer(), text.expose())
            .map_err(|error| Diagnostics::failed("use", "store entry", entry, &error))?;
        let proxy = teleport.proxy.require("teleport.proxy")?;
        let host = |address: &str| address.rsplit_once(':').map(|(host, _)| host.to_owned());
        if host(proxy) != host(through.endpoint()) {
            return Err(self.not_locked(&format!(
                "The kubeconfig in store entry {entry} is for {}, and `teleport.proxy` is {proxy}.",
                through.endpoint()
            )));
        }
        let ours = direct.uid().await.map_err(|error| self.failed(&error))?;
        let limit = teleport
            .timeout
            .known()
            .and_then(strata_framework::DurationText::get)
            .unwrap_or(AGENT);
        let policy = self
            .access
            .policy(
                format!(
                    "cluster {name} to answer through Teleport at {}",
                    through.endpoint()
                ),
                PAUSE,
                PAUSE,
            )
            .at_most(self.access.pace(limit).max(Duration::from_secs(5)));
        let join = match teleport.join.known() {
            Some(wishes) => Join::of(self.access, proxy, wishes, name).await?,
            None => None,
        };
        let reached = wait(&self.limits, &policy, async || {
            through.try_again();
            match through.uid().await {
                Ok(uid) if uid == ours => Probe::Done(()),
                Ok(uid) => Probe::NotYet(format!(
                    "what answers as {name} is another cluster: its namespace kube-system has uid {uid}, this one's {ours}"
                )),
                Err(error) => let_in(join.as_ref(), direct, &error).await,
            }
        });
        let reached = reached.await;
        if let Some(join) = &join
            && let Err(error) = join.withdraw().await
        {
            tracing::warn!(
                error = chain(&error),
                "a join token was not taken back; it ends by itself within 30 minutes"
            );
        }
        reached.map_err(|error| {
            let token = if join.is_some() {
                "A join token was made for it and is taken back."
            } else {
                "No join token was made: that takes an identity in the store (`teleport/identity`)."
            };
            self.not_locked(&error.to_string()).hint(&format!(
                "Look at the agent (chart teleport-kube-agent, `kubeClusterName: {name}`) and its log, and at the role of the kubeconfig's user. {token} SSH is still open."
            ))
        })
    }
}

/// What to say while the cluster does not answer through Teleport. When Teleport itself said so, its agent may lack a token: it gets one.
async fn let_in(
    join: Option<&Join<'_>>,
    direct: &Client,
    seen: &kubernetes::Error,
) -> Probe<(), teleport::Error> {
    if let (Some(join), kubernetes::Error::Refused { .. }) = (join, seen)
        && let Err(error) = join.offer(direct).await
    {
        return if error.is_final() {
            Probe::Failed(error)
        } else {
            Probe::NotYet(chain(&error))
        };
    }
    Probe::NotYet(chain(seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teleport_proves_nothing_without_being_described() {
        let word = |word: &str| Attr::Known(word.to_owned());
        assert!(matches!(
            Proof::of(&word("kubernetes"), &Attr::Null),
            Ok(Some(Proof::Kubernetes))
        ));
        assert!(matches!(
            Proof::of(&word("none"), &Attr::Null),
            Ok(Some(Proof::Nothing))
        ));
        assert!(matches!(
            Proof::of(&word("teleport"), &Attr::Unknown),
            Ok(None)
        ));
        assert!(matches!(Proof::of(&Attr::Unknown, &Attr::Null), Ok(None)));
        let error = Proof::of(&word("teleport"), &Attr::Null).unwrap_err();
        assert!(error.to_string().contains("Required"), "{error}");
    }
}
