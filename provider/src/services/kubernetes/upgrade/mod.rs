//! The upgrade of Kubernetes as one operation (FN18): one node at a time, control planes first, each emptied, upgraded, proven and given back.
//!
//! Guarantees: no step begins while another node is not Ready, the API is not or an etcd member cannot commit; a run that broke off goes on with
//! the node it was at, which carries a mark. Nothing is remembered elsewhere: what is done is read from kubelets, static pods and kubeadm's
//! configuration. Not handled: going back.

pub mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use strata_framework::{Diagnostics, Limits, Probe, chain, wait};

use self::plan::{Standing, Task};
use crate::access::Access;
use crate::drain::drain;
use crate::kubernetes::node::{self, Readiness};
use crate::kubernetes::version::{self, Version};
use crate::kubernetes::{Client, Error};
use crate::services::attribute::Cluster;
use crate::verb::Verb;

/// A kubelet starts, static pods come up and the API answers within this, images pulled or not.
const SETTLE: Duration = Duration::from_mins(10);

/// An upgrade of a cluster.
pub struct Upgrade<'a> {
    /// The ways.
    pub access: &'a Access<'a>,
    /// Deadline and stop signal.
    pub limits: Limits,
    /// The cluster's API.
    pub client: &'a Client,
    /// The cluster, for the API server of one node.
    pub cluster: &'a Cluster,
    /// The nodes that it is about.
    pub nodes: &'a BTreeSet<String>,
    /// Where it goes, as written.
    pub wanted: &'a str,
}

/// The cluster as it is.
struct Now {
    nodes: Vec<Standing>,
    work: BTreeMap<String, node::Work>,
    configured: String,
}

impl Upgrade<'_> {
    fn refused(&self, reason: &str) -> Diagnostics {
        Diagnostics::error(
            format!("Cannot upgrade the cluster to {}", self.wanted),
            format!("{reason}."),
        )
    }

    fn observed(error: &Error) -> Diagnostics {
        Diagnostics::failed("observe", "cluster", "before its upgrade", error)
    }

    fn version(&self) -> Result<Version, Diagnostics> {
        Version::parse(self.wanted).ok_or_else(|| {
            self.refused(&format!("`{}` is not a release like v1.34.2", self.wanted))
        })
    }

    async fn look(&self) -> Result<Now, Error> {
        let configured = version::configured(self.client).await?;
        let components = version::components(self.client).await?;
        let mut work = BTreeMap::new();
        let mut nodes = Vec::new();
        for view in node::list(self.client).await? {
            if !self.nodes.contains(&view.name) {
                continue;
            }
            if let Some(mark) = view.work {
                work.insert(view.name.clone(), mark);
            }
            let trouble = match view.readiness {
                Readiness::Ready => None,
                Readiness::NotReady(reason) => Some(reason),
                Readiness::Silent => Some("its kubelet is silent".into()),
            };
            nodes.push(Standing {
                components: components.get(&view.name).cloned(),
                in_work: work.contains_key(&view.name),
                name: view.name,
                control_plane: view.control_plane,
                trouble,
                kubelet: view.kubelet,
            });
        }
        Ok(Now {
            nodes,
            work,
            configured,
        })
    }

    /// Whether the cluster is at the wanted version, every node of it.
    pub async fn is_done(&self) -> Result<bool, Diagnostics> {
        let wanted = self.version()?;
        let now = self.look().await.map_err(|error| Self::observed(&error))?;
        Ok(plan::is_done(&now.nodes, &now.configured, wanted))
    }

    /// Upgrades what is not there yet.
    pub async fn run(&self) -> Result<(), Diagnostics> {
        let wanted = self.version()?;
        loop {
            let now = self.look().await.map_err(|error| Self::observed(&error))?;
            if plan::is_done(&now.nodes, &now.configured, wanted) {
                return Ok(());
            }
            version::allowed(&now.configured, self.wanted)
                .map_err(|reason| self.refused(&reason).left("Nothing was changed."))?;
            let task = plan::next(&now.nodes, &now.configured, wanted).map_err(|reason| {
                self.refused(&reason)
                    .hint("Bring the node back (kubectl describe node NAME), or take it out of the cluster file, and run apply again: it goes on from here.")
            })?;
            let Some(task) = task else { return Ok(()) };
            self.node(&task, now.work.get(&task.node))
                .await
                .map_err(|found| {
                    found
                        .left(&format!(
                            "Node {} stays cordoned; the others run as before or as wanted.",
                            task.node
                        ))
                        .hint("Run apply again: it goes on with this node.")
                })?;
        }
    }

    async fn node(&self, task: &Task, mark: Option<&node::Work>) -> Result<(), Diagnostics> {
        let failed = |error: &dyn std::error::Error| {
            Diagnostics::failed("upgrade", "node", &task.node, error)
        };
        tracing::info!("upgrading node {} to {}", task.node, self.wanted);
        if mark.is_some() {
            self.until_ready(task).await?;
        }
        self.until_healthy(task).await?;
        node::begin_work(self.client, &task.node, self.wanted)
            .await
            .map_err(|error| failed(&error))?;
        drain(&self.limits, self.client, self.access.speed(), &task.node)
            .await
            .map_err(|error| failed(&error))?;
        let verb = Verb::Kubernetes {
            version: self.wanted.into(),
            step: task.step,
        };
        self.access
            .through_door(&self.limits, self.client, &task.node, &verb)
            .await
            .map_err(|error| failed(&error))?;
        self.until_there(task).await?;
        if task.control_plane {
            self.until_healthy(task).await?;
        }
        let stays_cordoned = match mark {
            Some(mark) => mark.stays_cordoned,
            None => self
                .stays_cordoned(task)
                .await
                .map_err(|error| failed(&error))?,
        };
        node::end_work(self.client, &task.node, stays_cordoned)
            .await
            .map_err(|error| failed(&error))
    }

    async fn stays_cordoned(&self, task: &Task) -> Result<bool, Error> {
        let view = node::get(self.client, &task.node).await?;
        let mark = view.and_then(|view| view.work);
        Ok(mark.is_some_and(|mark| mark.stays_cordoned))
    }

    fn policy(&self, what: String) -> strata_framework::Policy {
        self.access
            .policy(what, Duration::from_secs(2), Duration::from_secs(10))
            .at_most(self.access.pace(SETTLE).max(Duration::from_secs(20)))
    }

    /// A node that the last run left in the middle must come back first: there is no other way to it than its kubelet.
    async fn until_ready(&self, task: &Task) -> Result<(), Diagnostics> {
        let policy = self.policy(format!(
            "node {}, where the last run stopped, to be Ready",
            task.node
        ));
        Ok(wait(&self.limits, &policy, async || {
            match node::get(self.client, &task.node).await {
                Ok(Some(view)) if view.is_ready() => Probe::Done(()),
                Ok(Some(view)) => Probe::NotYet(format!("{:?}", view.readiness)),
                Ok(None) => Probe::NotYet("the API has no such node".into()),
                Err(error) => self.again(&error),
            }
        })
        .await?)
    }

    /// The API is ready and every member of etcd can commit, asked from a node that is not the one in work.
    async fn until_healthy(&self, task: &Task) -> Result<(), Diagnostics> {
        let policy = self.policy("the API and every member of etcd to be healthy".into());
        Ok(wait(&self.limits, &policy, async || {
            match self.health(task).await {
                Ok(()) => Probe::Done(()),
                Err(reason) => Probe::NotYet::<_, Diagnostics>(reason),
            }
        })
        .await?)
    }

    async fn health(&self, task: &Task) -> Result<(), String> {
        self.client.probe().await.map_err(|error| chain(&error))?;
        let nodes = node::list(self.client)
            .await
            .map_err(|error| chain(&error))?;
        let mut witnesses: Vec<_> = nodes
            .into_iter()
            .filter(|view| view.control_plane && view.is_ready())
            .collect();
        witnesses.sort_by_key(|view| view.name == task.node);
        let Some(witness) = witnesses.first() else {
            return Err("no control plane is Ready".into());
        };
        self.access
            .through_door(&self.limits, self.client, &witness.name, &Verb::EtcdHealth)
            .await
            .map(drop)
            .map_err(|error| chain(&error))
    }

    /// The node runs what is wanted: its kubelet, and on a control plane its own API server.
    async fn until_there(&self, task: &Task) -> Result<(), Diagnostics> {
        let wanted = self.version()?;
        let own = if task.control_plane {
            Some(self.own_client(&task.node).await?)
        } else {
            None
        };
        let policy = self.policy(format!("node {} to run {}", task.node, self.wanted));
        Ok(wait(&self.limits, &policy, async || {
            if let Some(own) = &own
                && let Err(error) = own.probe().await
            {
                return Probe::NotYet(chain(&error));
            }
            let now = match self.look().await {
                Ok(now) => now,
                Err(error) => return self.again(&error),
            };
            match now.nodes.iter().find(|node| node.name == task.node) {
                Some(Standing {
                    trouble: Some(trouble),
                    ..
                }) => Probe::NotYet(trouble.clone()),
                Some(node) if node.runs(wanted) => Probe::Done(()),
                Some(node) => Probe::NotYet(format!(
                    "its kubelet is {}, its API server {}",
                    node.kubelet,
                    node.components.as_deref().unwrap_or("none")
                )),
                None => Probe::NotYet("the API has no such node".into()),
            }
        })
        .await?)
    }

    /// An API that is being replaced comes back; a refusal does not change.
    fn again<T>(&self, error: &Error) -> Probe<T, Diagnostics> {
        if error.is_unreachable() {
            self.client.try_again();
            Probe::NotYet(chain(error))
        } else {
            Probe::Failed(Self::observed(error))
        }
    }

    /// A client that knows only this node's API server.
    async fn own_client(&self, name: &str) -> Result<Client, Diagnostics> {
        let mut alone = self.cluster.clone();
        let mut addresses = self.cluster.control_planes();
        addresses.retain(|node, _| node == name);
        alone.control_planes = addresses.into();
        self.access.client(&alone).await
    }
}
