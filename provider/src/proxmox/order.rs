//! Making a machine at most once, whatever happens to the replies (DESIGN.md section 6).
//!
//! Marks are in the order itself, but a machine that is being made shows nothing except its lock. So a look waits until nothing is being made by others, an order whose
//! reply was lost is looked for under its number, and of two machines with the same marks the younger goes, by whoever made it.

use std::time::Duration;

use strata_framework::{Bounded, Policy, Probe, wait};

use super::client::Parameters;
use super::error::{Class, Error};
use super::marks::Marks;
use super::wire::Machine;
use super::{Proxmox, task};

/// Numbers that others took at most, one after the other.
const CONFLICTS: u32 = 20;
/// Orders without a verdict at most.
const ORDERS: u32 = 3;
/// When to look for the number of a lost order, in seconds after it.
const LOOKS: [u64; 5] = [0, 2, 5, 10, 20];
/// For so long a machine may be in the making until it is not waited for, in seconds on the cluster's clock; longer only while a worker of our own token makes it.
const MAKING: u64 = 600;
/// How often such a machine is looked at, in seconds.
const PAUSE: u64 = 2;

/// What shall be made.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Who it belongs to.
    pub marks: &'a Marks,
    /// On which host.
    pub host: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its number, if it matters.
    pub vm_id: Option<u32>,
    /// How it is made.
    pub way: Way,
}

/// How a machine is made.
#[derive(Debug, Clone)]
pub enum Way {
    /// With these options, among them the tags of the marks.
    New(Parameters),
    /// As a clone of a machine, with these parameters, among them the marks as description.
    Clone {
        /// Host of the source.
        host: String,
        /// Its number.
        vm_id: u32,
        /// The call's parameters.
        parameters: Parameters,
    },
}

/// What an order came to.
#[derive(Debug)]
pub enum Placed {
    /// This call made it.
    Made(Machine),
    /// It was there already, with our marks.
    Adopted(Machine),
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The cluster's name is taken by another estate.
    #[error(
        "machine {vmid} ({name}) belongs to a cluster of the same name with another owner ({owner}, ours is {ours}); nothing was made. \
         Rename this cluster, or take the other one over with its store: ./bootstrap.sh kit restore FILE, then ./bootstrap.sh adopt"
    )]
    OtherOwner {
        /// Their machine.
        vmid: u32,
        /// Its name.
        name: String,
        /// Their owner id.
        owner: String,
        /// Ours.
        ours: String,
    },
    /// The number that was asked for is taken.
    #[error(
        "the number {0} is taken by a machine without our marks; choose another `vm_id` or none"
    )]
    Taken(u32),
    /// Something else is done with the source of a clone.
    #[error("the machine to clone is held by something else: {0}")]
    Held(String),
    /// Others were always faster.
    #[error("{CONFLICTS} numbers that were free were taken by others before they could be used")]
    Crowded,
    /// The fate of the order is not known, even after looking for it.
    #[error(
        "{ORDERS} orders got no verdict and no machine with our marks appeared; the last answer: {0}"
    )]
    NoVerdict(Error),
    /// The API refused or could not be asked.
    #[error(transparent)]
    Api(#[from] Error),
}

/// What became of one order.
enum Outcome {
    Made(u32),
    /// Somebody else has the number.
    Taken,
    Lost(Error),
}

impl Proxmox {
    /// Finds the machine with these marks, or makes it.
    pub async fn place(&self, limits: &impl Bounded, order: &Order<'_>) -> Result<Placed, Refused> {
        if let Some(machine) = self.find(limits, order.marks, order.name).await? {
            return Ok(Placed::Adopted(machine));
        }
        let (mut taken, mut lost) = (0, 0);
        loop {
            match self.order_once(limits, order).await? {
                Outcome::Made(id) => return self.settle(limits, order, id).await,
                Outcome::Taken => {
                    if let Some(id) = order.vm_id {
                        return Err(Refused::Taken(id));
                    }
                    taken += 1;
                    if taken >= CONFLICTS {
                        return Err(Refused::Crowded);
                    }
                }
                Outcome::Lost(error) => {
                    if error.class() == Class::Busy
                        && self.wait_for_source(limits, &order.way).await?
                    {
                        continue;
                    }
                    lost += 1;
                    if lost >= ORDERS {
                        return Err(Refused::NoVerdict(error));
                    }
                }
            }
        }
    }

    /// Waits as long as something else is done with the source of a clone, a backup for example; whether anything was.
    async fn wait_for_source(&self, limits: &impl Bounded, way: &Way) -> Result<bool, Refused> {
        let Way::Clone { vm_id, .. } = way else {
            return Ok(false);
        };
        let lock = async || -> Result<Option<String>, Error> {
            let machines = self.client.machines().await?;
            let source = machines.into_iter().find(|machine| machine.vmid == *vm_id);
            Ok(source.and_then(|source| source.lock))
        };
        if lock().await?.is_none() {
            return Ok(false);
        }
        let pace = self.client.scaled(Duration::from_secs(PAUSE));
        let policy = Policy::new(format!("machine {vm_id} to be free")).every(pace, pace * 5);
        let outcome = wait(limits, &policy, async || match lock().await {
            Ok(None) => Probe::Done(()),
            Ok(Some(lock)) => Probe::NotYet(format!("it is locked ({lock})")),
            Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
            Err(error) => Probe::Failed(error),
        });
        match outcome.await {
            Ok(()) => Ok(true),
            Err(error) => Err(Refused::Held(error.to_string())),
        }
    }

    async fn order_once(
        &self,
        limits: &impl Bounded,
        order: &Order<'_>,
    ) -> Result<Outcome, Refused> {
        self.touched();
        let turn = self.order.lock().await;
        let id = match order.vm_id {
            Some(id) => id,
            None => self.client.next_id().await?,
        };
        let _making = Making::begin(self, id);
        let answer = match &order.way {
            Way::New(options) => {
                let mut options = options.clone();
                options.insert("vmid", id.to_string());
                self.client.create(order.host, &options).await
            }
            Way::Clone {
                host,
                vm_id,
                parameters,
            } => {
                let mut parameters = parameters.clone();
                parameters.insert("newid", id.to_string());
                self.client.clone(host, *vm_id, &parameters).await
            }
        };
        // From here on the number is taken, or was refused.
        drop(turn);
        let error = match answer {
            Ok(upid) => match task::finish(&self.client, limits, &upid).await {
                Ok(done) => {
                    for warning in done.warnings {
                        tracing::warn!(id, warning, "making the machine");
                    }
                    return Ok(Outcome::Made(id));
                }
                Err(error) => error,
            },
            Err(error) => error,
        };
        match error.class() {
            Class::Conflict | Class::Busy | Class::Lost
                if !matches!(error, Error::Unfinished { .. }) =>
            {
                tracing::warn!(id, %error, "no verdict on the order; looking for its number");
                let Some(machine) = self.look_for(limits, id).await? else {
                    return Ok(Outcome::Lost(error));
                };
                let marks = self.marks_of(&machine, order.name).await?;
                Ok(if marks.is_some_and(|found| found.matches(order.marks)) {
                    Outcome::Made(id)
                } else {
                    Outcome::Taken
                })
            }
            _ => Err(error.into()),
        }
    }

    /// The machine of a number, when it is made; looked for several times, because a lost order may still be on its way.
    async fn look_for(&self, limits: &impl Bounded, id: u32) -> Result<Option<Machine>, Error> {
        let mut before = 0;
        for at in LOOKS {
            self.pause(at - before).await;
            before = at;
            let made = self.made(limits, |machine| machine.vmid == id).await?;
            if let Some(machine) = made.into_iter().find(|machine| machine.vmid == id) {
                return Ok(Some(machine));
            }
        }
        Ok(None)
    }

    /// All machines, once those of interest are no longer in the making.
    async fn made(
        &self,
        limits: &impl Bounded,
        interests: impl Fn(&Machine) -> bool,
    ) -> Result<Vec<Machine>, Error> {
        let mut waited = 0;
        loop {
            let machines = self.client.machines().await?;
            let is_making = |machine: &Machine| {
                matches!(machine.lock.as_deref(), Some("create" | "clone")) && interests(machine)
            };
            let Some(making) = machines.iter().find(|machine| is_making(machine)) else {
                return Ok(machines);
            };
            let stopped =
                limits.cancel().is_cancelled() || tokio::time::Instant::now() >= limits.deadline();
            if waited >= MAKING || stopped {
                // A lock that nobody works under was left by a host that went down.
                match self.client.maker(&making.node).await? {
                    None => return Ok(machines),
                    Some(upid) if stopped => {
                        let vmid = making.vmid;
                        return Err(Error::InTheMaking { vmid, upid });
                    }
                    Some(_) => {}
                }
            }
            self.pause(PAUSE).await;
            waited += PAUSE;
        }
    }

    async fn pause(&self, seconds: u64) {
        tokio::time::sleep(self.client.scaled(Duration::from_secs(seconds))).await;
    }

    /// Finds the machine with these marks, which has this name if it has no tags yet. Makes nothing.
    pub async fn find(
        &self,
        limits: &impl Bounded,
        marks: &Marks,
        name: &str,
    ) -> Result<Option<Machine>, Refused> {
        let ours = self.ours(limits, marks, name).await?;
        self.oldest(ours).await
    }

    /// Whose a machine is.
    async fn marks_of(&self, machine: &Machine, name: &str) -> Result<Option<Marks>, Error> {
        if machine.name != name || Marks::of(machine).is_some() {
            return Ok(Marks::of(machine));
        }
        // A clone that a run did not live to give its tags.
        let config = self.client.config(&machine.node, machine.vmid).await?;
        let description = config.and_then(|config| config.text("description"));
        Ok(description.and_then(|text| Marks::in_description(&text)))
    }

    async fn ours(
        &self,
        limits: &impl Bounded,
        marks: &Marks,
        name: &str,
    ) -> Result<Vec<Machine>, Refused> {
        let own: Vec<u32> = {
            let making = self.making.lock().expect("no panic while held");
            making.iter().copied().collect()
        };
        // What others are making may turn out to be ours: an earlier run ended in the middle.
        let machines = self
            .made(limits, |machine| !own.contains(&machine.vmid))
            .await?;
        let mut ours = Vec::new();
        for machine in machines {
            let Some(found) = self.marks_of(&machine, name).await? else {
                continue;
            };
            if found.cluster != marks.cluster.to_lowercase() {
                continue;
            }
            if found.owner != marks.owner.to_lowercase() {
                return Err(Refused::OtherOwner {
                    vmid: machine.vmid,
                    name: machine.name,
                    owner: found.owner,
                    ours: marks.owner.clone(),
                });
            }
            if found.node == marks.node.to_lowercase() {
                ours.push(machine);
            }
        }
        Ok(ours)
    }

    /// The oldest by the time that the server wrote down, then by number, so that every process picks the same one.
    async fn oldest(&self, machines: Vec<Machine>) -> Result<Option<Machine>, Refused> {
        if machines.len() < 2 {
            return Ok(machines.into_iter().next());
        }
        let mut dated = Vec::new();
        for machine in machines {
            let config = self.client.config(&machine.node, machine.vmid).await?;
            let meta = config.and_then(|config| config.property("meta"));
            let made = meta.and_then(|meta| meta.get("ctime")?.parse::<i64>().ok());
            dated.push((made.unwrap_or(i64::MAX), machine.vmid, machine));
        }
        let oldest = dated.into_iter().min_by_key(|(made, id, _)| (*made, *id));
        Ok(oldest.map(|(.., machine)| machine))
    }

    /// Looks once more after an order: two processes may have ordered at the same moment.
    async fn settle(
        &self,
        limits: &impl Bounded,
        order: &Order<'_>,
        id: u32,
    ) -> Result<Placed, Refused> {
        let ours = self.ours(limits, order.marks, order.name).await?;
        let made = ours.iter().find(|machine| machine.vmid == id).cloned();
        let made = made.ok_or(Error::NoMachine(id))?;
        match self.oldest(ours).await? {
            Some(first) if first.vmid != id => {
                tracing::warn!(
                    kept = first.vmid,
                    deleted = id,
                    "two machines have the same marks; deleting the younger, which this run made"
                );
                if let Some(upid) = self.client.destroy(&made.node, id).await? {
                    task::finish(&self.client, limits, &upid).await?;
                }
                Ok(Placed::Adopted(first))
            }
            _ => Ok(Placed::Made(made)),
        }
    }
}

/// Notes that this process is making a machine, while it does.
struct Making<'a>(&'a Proxmox, u32);

impl<'a> Making<'a> {
    fn begin(proxmox: &'a Proxmox, id: u32) -> Self {
        proxmox
            .making
            .lock()
            .expect("no panic while held")
            .insert(id);
        Self(proxmox, id)
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let mut making = self.0.making.lock().expect("no panic while held");
        making.remove(&self.1);
    }
}
