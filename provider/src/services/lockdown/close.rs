//! The lockdown of one node, with a dead man's switch (contracts/kubeadm-flatcar.md 12.4): check, arm, apply, prove from outside, confirm through the door.
//!
//! Guarantees: until the new rules are proven and confirmed, a timer on the node restores the open ones, also when this process dies. The step that confirms does
//! not depend on the SSH session that the rules cut.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, chain, wait};

use super::node_port;
use super::probe::{self, Seen, Verdict, family};
use super::proof::Proof;
use crate::access::Access;
use crate::kubernetes::node::{self, Readiness};
use crate::kubernetes::{self, Client};
use crate::marker;
use crate::provider::store_failed;
use crate::services::attribute::{Cluster, Ssh};
use crate::ssh;
use crate::verb::{LONGEST_WINDOW, Verb};

/// Until the open rules come back by themselves.
const RESTORE: Duration = Duration::from_mins(2);
/// The same on this machine's clock when the lab's runs faster: probing takes wall time there, too.
const RESTORE_IN_LAB: Duration = Duration::from_secs(30);
/// How long the firewall may take to show from outside.
const PROOF: Duration = Duration::from_secs(15);
/// Longer than the machines of a cluster take to be given back.
const WINDOW: Duration = Duration::from_mins(30);
const RULES: &str = "/etc/strata/nft/locked.nft";

/// A node to close, to open, or to tell about its peers.
pub struct Gate<'a> {
    /// The ways.
    pub access: &'a Access<'a>,
    /// Deadline and stop signal.
    pub limits: Limits,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// User and keys.
    pub ssh: &'a Ssh,
    /// Node name.
    pub name: &'a str,
    /// The address that is used for SSH.
    pub address: IpAddr,
    /// All addresses, that one included.
    pub addresses: Vec<IpAddr>,
    /// Control planes must keep answering on 6443.
    pub control_plane: bool,
    /// Addresses of all nodes.
    pub peers: BTreeSet<IpAddr>,
    /// What must work before it is closed.
    pub proof: Proof<'a>,
    /// How long things may take.
    pub timing: Timing,
}

/// Both on this machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Until the open rules come back by themselves.
    pub restore: Duration,
    /// How long the firewall may take to show from outside. Well below `restore`: what is proven must still be confirmed.
    pub proof: Duration,
}

impl Timing {
    /// What a node gets, here or in the lab.
    pub fn of(access: &Access<'_>) -> Self {
        let restore = if access.speed() > 1.0 {
            RESTORE_IN_LAB
        } else {
            RESTORE
        };
        Self {
            restore,
            proof: PROOF,
        }
    }
}

impl Gate<'_> {
    pub(super) fn failed(&self, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("lock down", "node", self.name, error)
    }

    fn not_opened(&self, error: &dyn std::error::Error) -> Diagnostics {
        Diagnostics::failed("unlock", "node", self.name, error)
    }

    pub(super) fn not_locked(&self, reason: &str) -> Diagnostics {
        Diagnostics::error(format!("Cannot lock down node \"{}\"", self.name), reason)
    }

    /// Runs a verb through the door.
    pub async fn knock(&self, client: &Client, verb: &Verb) -> Result<String, Diagnostics> {
        self.access
            .through_door(&self.limits, client, self.name, verb)
            .await
            .map_err(|error| self.failed(&error))
    }

    /// Closes the node with this rule file and returns what was observed per family.
    pub async fn close(&self, rules: &str) -> Result<BTreeMap<String, String>, Diagnostics> {
        let client = self.access.client(self.cluster).await?;
        // The door must be there before the other way in is closed; a run that broke off may have left a pod in it.
        client.probe().await.map_err(|error| {
            self.failed(&error)
                .left("The node was not locked: without the API there would be no way in.")
        })?;
        kubernetes::door::sweep(&client, self.name)
            .await
            .map_err(|error| self.failed(&error))?;
        self.prove_access(&client).await?;
        if probe::port(self.access.dialer(), self.address, 22).await != Seen::Connects {
            // Locked already, by other rules or by a run whose state was lost.
            self.knock(&client, &Verb::Unlock).await?;
        }
        let before = self.arm(rules).await?;
        match self.prove_and_confirm(&client, &before).await {
            Ok(mut observed) => {
                self.note_peers().await?;
                let node_ports = self.look_at_node_ports(&client).await;
                observed.insert(node_port::OBSERVED.into(), node_ports.into());
                Ok(observed)
            }
            Err(diagnostics) => Err(diagnostics.left(&self.take_back().await)),
        }
    }

    /// Puts the rules and applies them with the timer armed. Returns what port 22 said before, per address.
    async fn arm(&self, rules: &str) -> Result<Vec<(IpAddr, Seen)>, Diagnostics> {
        let address = self.address.to_string();
        let session = self
            .access
            .session_within(
                &self.limits,
                self.ssh,
                self.name,
                &address,
                Duration::from_mins(2),
            )
            .await?;
        let step = async {
            session
                .run(&Verb::Peers(self.peers.iter().copied().collect()), b"")
                .await?;
            session.put("0600", RULES, rules.as_bytes()).await?;
            session.run(&Verb::LockCheck, b"").await
        };
        step.await.map_err(|error| {
            self.failed(&error)
                .left("The node was not locked and its rules are as before.")
        })?;
        let before = probe::ports(self.access.dialer(), &self.addresses, 22).await;
        match session
            .run(
                &Verb::LockArm {
                    seconds: self.restore_seconds(),
                },
                b"",
            )
            .await
        {
            // The rules end this very session: that is what they are for.
            Ok(_) | Err(ssh::Error::Lost { .. }) => {}
            Err(error) => return Err(self.failed(&error).left("The node was not locked.")),
        }
        Ok(before)
    }

    fn restore_seconds(&self) -> u64 {
        self.access.there(self.timing.restore).as_secs()
    }

    async fn prove_and_confirm(
        &self,
        client: &Client,
        before: &[(IpAddr, Seen)],
    ) -> Result<BTreeMap<String, String>, Diagnostics> {
        let policy = self
            .access
            .policy(
                format!("port 22 of node {} to close", self.name),
                Duration::from_secs(1),
                Duration::from_secs(2),
            )
            .at_most(self.timing.proof);
        let observed = wait(&self.limits, &policy, async || {
            let after = probe::ports(self.access.dialer(), &self.addresses, 22).await;
            judge(before, &after)
        });
        let observed = observed
            .await
            .map_err(|error| self.not_locked(&error.to_string()))?;
        if self.control_plane {
            self.prove_api().await?;
        }
        client.try_again();
        self.knock(client, &Verb::Confirm).await?;
        Ok(observed)
    }

    /// Rules that also close the API would lock everybody out.
    async fn prove_api(&self) -> Result<(), Diagnostics> {
        let pki = self.access.pki(self.cluster.pki.text()).await?;
        let endpoint = self.cluster.endpoint.text();
        let port = *self.cluster.port.require("cluster.port")?;
        let address = self.address.to_string();
        let policy = self
            .access
            .policy(
                format!("port {port} of node {} to answer", self.name),
                Duration::from_secs(1),
                Duration::from_secs(2),
            )
            .at_most(self.timing.proof);
        let answers = wait(
            &self.limits,
            &policy,
            async || match kubernetes::answers_tls(
                self.access.dialer(),
                &address,
                endpoint,
                port,
                &pki.ca_crt,
                probe::SILENCE,
            )
            .await
            {
                Ok(()) => Probe::Done(()),
                Err(error) if error.is_unreachable() => Probe::NotYet(chain(&error)),
                Err(error) => Probe::Failed(error),
            },
        );
        answers.await.map_err(|error| {
            self.not_locked(&format!(
                "With the new rules its API does not answer from here: {error}"
            ))
        })
    }

    /// Sees to it that the open rules come back, and says how that went.
    async fn take_back(&self) -> String {
        // Rules that leave port 22 open would look restored, and only the timer knows better.
        if probe::port(self.access.dialer(), self.address, 22).await == Seen::Connects
            && self.unlock_over_ssh().await
        {
            return "The node is not locked: port 22 answers, and the open rules were loaded again."
                .into();
        }
        self.wait_for_restore().await
    }

    async fn unlock_over_ssh(&self) -> bool {
        let patient = Limits::within(self.timing.restore);
        let address = self.address.to_string();
        let session = self
            .access
            .session_within(&patient, self.ssh, self.name, &address, PROOF)
            .await;
        match session {
            Ok(session) => session.run(&Verb::Unlock, b"").await.is_ok(),
            Err(_) => false,
        }
    }

    /// Waits until the timer has brought the open rules back, and says how that went.
    async fn wait_for_restore(&self) -> String {
        let left = self.timing.restore + PROOF;
        let policy = self
            .access
            .policy(
                format!("the old rules of node {} to come back", self.name),
                Duration::from_secs(2),
                Duration::from_secs(5),
            )
            .at_most(left);
        // Even after a stop: what state the node is in is the answer that the user needs.
        let patient = Limits::within(left);
        let back = wait(&patient, &policy, async || {
            match probe::port(self.access.dialer(), self.address, 22).await {
                Seen::Connects => Probe::Done::<_, Diagnostics>(()),
                _ => Probe::NotYet("port 22 is silent".into()),
            }
        });
        match back.await {
            Ok(()) => "The node is not locked: its timer restored the open rules, and port 22 answers.".into(),
            Err(_) => "It is not known whether the node is locked: its timer should have restored the open rules, but port 22 does not answer from here.".into(),
        }
    }

    /// Tells the node which addresses are nodes. The same verb changes the running table and what is loaded at the next boot.
    pub async fn tell_peers(&self) -> Result<(), Diagnostics> {
        let client = self.access.client(self.cluster).await?;
        self.knock(&client, &Verb::Peers(self.peers.iter().copied().collect()))
            .await?;
        self.note_peers().await
    }

    async fn note_peers(&self) -> Result<(), Diagnostics> {
        marker::told(self.access.store(), self.name, &self.peers)
            .await
            .map_err(|error| store_failed("write", "member", &error))
    }

    /// Writes down how the node is locked, or that it is open: what a lost state is rebuilt from.
    pub async fn note_lock(&self, lock: Option<marker::Lock>) -> Result<(), Diagnostics> {
        marker::locked(self.access.store(), self.name, lock)
            .await
            .map_err(|error| store_failed("write", "member", &error))
    }

    /// Back to the open rules; an open node is left alone.
    pub async fn open(&self) -> Result<(), Diagnostics> {
        self.unless_open(&Verb::Unlock).await
    }

    /// Lets an address in over SSH for a while, which nobody needs to undo; an open node is left alone.
    pub async fn let_in(&self, address: IpAddr) -> Result<(), Diagnostics> {
        let window = self.access.there(WINDOW).as_secs();
        self.unless_open(&Verb::SshOpen {
            address,
            seconds: window.min(LONGEST_WINDOW),
        })
        .await
    }

    async fn unless_open(&self, verb: &Verb) -> Result<(), Diagnostics> {
        if probe::port(self.access.dialer(), self.address, 22).await == Seen::Connects {
            return Ok(());
        }
        let client = self.access.client(self.cluster).await?;
        let view = node::get(&client, self.name)
            .await
            .map_err(|error| self.not_opened(&error))?;
        // A pod for a dead node would only stay Pending.
        if view.is_none_or(|view| view.readiness == Readiness::Silent) {
            return Err(Diagnostics::error(
                format!("Cannot unlock node \"{}\"", self.name),
                "Its kubelet has not been heard of.",
            ));
        }
        let opened = self
            .access
            .through_door(&self.limits, &client, self.name, verb)
            .await;
        opened.map(drop).map_err(|error| self.not_opened(&error))
    }
}

/// All addresses together: closed only when each that answered before is silent now.
fn judge(
    before: &[(IpAddr, Seen)],
    after: &[(IpAddr, Seen)],
) -> Probe<BTreeMap<String, String>, Diagnostics> {
    let mut observed = BTreeMap::new();
    let mut proven = false;
    for ((address, before), (_, after)) in before.iter().zip(after) {
        let word = match probe::verdict(*before, *after) {
            Verdict::Open => return Probe::NotYet(format!("{address} still answers on port 22")),
            Verdict::Unproven => {
                return Probe::NotYet(format!(
                    "{address} neither answers nor is silent on port 22"
                ));
            }
            Verdict::Closed => {
                proven = true;
                "closed"
            }
            Verdict::NotObserved => "not observed",
        };
        observed.insert(family(*address).to_owned(), word.to_owned());
    }
    if proven {
        Probe::Done(observed)
    } else {
        Probe::NotYet("port 22 did not answer before either, so silence proves nothing".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(v4: Seen, v6: Seen) -> Vec<(IpAddr, Seen)> {
        vec![
            ("198.51.100.1".parse().unwrap(), v4),
            ("2001:db8::1".parse().unwrap(), v6),
        ]
    }

    #[test]
    fn a_family_that_was_never_reached_is_not_called_closed() {
        use Seen::{Connects, Silent, Unclear};
        let Probe::Done(observed) = judge(&seen(Connects, Unclear), &seen(Silent, Unclear)) else {
            panic!("not proven")
        };
        assert_eq!(
            observed,
            BTreeMap::from([
                ("ipv4".into(), "closed".into()),
                ("ipv6".into(), "not observed".into())
            ])
        );
        assert!(
            matches!(judge(&seen(Connects, Connects), &seen(Silent, Connects)), Probe::NotYet(status) if status.contains("2001:db8::1"))
        );
        assert!(matches!(
            judge(&seen(Silent, Silent), &seen(Silent, Silent)),
            Probe::NotYet(_)
        ));
    }
}
