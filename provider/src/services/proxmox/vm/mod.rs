//! `strata_proxmox_vm`: a virtual machine. API: <https://pve.proxmox.com/pve-docs/api-viewer/#/nodes/{node}/qemu>
//!
//! Made stopped, by `order`, so at most once; whoever delivers its configuration starts it. What only counts at creation never replaces a machine (FN29). `options` holds the mapping.

mod options;
mod original;

#[cfg(test)]
mod tests;

use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Policy, Probe, Resource, Schema,
    Timeouts, wait,
};

use super::{failed, unseen};
use crate::provider::Strata;
use crate::proxmox::client::Parameters;
use crate::proxmox::delivery::Guest;
use crate::proxmox::error::{Class, Error};
use crate::proxmox::order::{Order, Placed, Refused, Way};
use crate::proxmox::wire::{Config, Machine};
use crate::proxmox::{Marks, Proxmox, marks, task};

pub use self::original::Original;
use self::original::Unfit;

const NOUN: &str = "Proxmox machine";

/// A virtual machine on Proxmox VE.
///
/// It is made at most once: its tags hold cluster, owner and node, and whoever makes one looks for them first. A machine that is found by them, after
/// a lost reply or a lost state, is adopted with a warning. It is made stopped, with an empty drive `ide2`: `strata_talos_machine` puts the configuration into the drive and
/// starts it. Whether it runs is nobody's concern here.
///
/// With `clone` it begins as a clone of a machine or a template, and has that one's disks and whatever else is not said here. Tags come with the source, so until a clone has its own
/// a line of its description holds the marks: a clone that a run did not live to finish is found by it, and taken on.
///
/// Name, cores, memory, network, pool and the rest change in place, a disk grows. A machine that runs takes cores, memory and agent at its next
/// cold start; the apply says so. Number, host, storage, image and source only count when it is made: another number, host or storage is refused,
/// another image or source is written down, and none of them replaces a machine. A machine of the same number with another SMBIOS uuid and without the marks is
/// somebody else's: ours is gone, and the next apply makes one under another number.
///
/// # Permissions
///
/// A token with `VM.Allocate`, `VM.Audit`, `VM.PowerMgmt`, `VM.Config.CDROM`, `VM.Config.CPU`, `VM.Config.Disk`, `VM.Config.HWType`,
/// `VM.Config.Memory`, `VM.Config.Network` and `VM.Config.Options` on `/vms` or the pool, `Datastore.AllocateSpace` and `Datastore.Audit` on the storages and `SDN.Use` on
/// `/sdn/zones/localnetwork/<bridge>` ([reference](https://pve.proxmox.com/pve-docs/chapter-pveum.html#pveum_permission_management)), with `pool` also
/// `Pool.Allocate`, with `clone` also `VM.Clone` on `/vms/<source>`; in `PROXMOX_VE_API_TOKEN` or the store entry `proxmox/api_token`.
///
/// # Errors
///
/// - "belongs to a cluster of the same name with another owner": another estate uses this cluster's name; nothing was made.
/// - "is taken by a machine without our marks": choose another `vm_id`, or none.
/// - "cannot be cloned as ...": the source is not there or belongs to a cluster, has no disk `scsi0`, has a larger one, or is no template and `full` is false. At plan time
///   where the API answers; nothing was made.
/// - "is still being made by": a worker that an earlier run started goes on for longer than `timeouts.create`. Apply again when its task has ended, or stop the task.
/// - "Cannot adopt ...": `STRATA_ADOPT` is set and no machine carries the marks; nothing was made.
/// - "Cannot move ...": `host` or `disk.storage` changed. Migrate the machine or move the disk in Proxmox, then write down where it is.
/// - "Its protection is on": apply with `protected = false` first, or lift the protection in Proxmox.
/// - "carries no marks of Strata", "is another one than was made under this number": the machine of that number is somebody else's, and was not changed.
///
/// # Import
///
/// The id is `host/number`, like `pve1/120`. Node, name, number, options, disk and network are read back. The image of the disk is not Proxmox's to know:
/// the first apply records it. A machine without marks gets them.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "proxmox_vm", version = 0)]
pub struct VirtualMachine {
    /// Name of the node that the machine is for, e.g. `cp-1`: one of the marks.
    #[schema(required, replace_if = is_other, pattern("[a-z0-9]([a-z0-9.-]*[a-z0-9])?"))]
    node: Attr<String>,
    /// Host to make it on, e.g. `pve1`. Where it is later, after a migration, is part of `id`.
    #[schema(required, pattern("[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"))]
    host: Attr<String>,
    /// Name in Proxmox, by convention `<cluster>-<node>`.
    #[schema(required, format = "hostname")]
    name: Attr<String>,
    /// Number of the machine. Default: the next free one.
    #[schema(optional, computed, keep_prior, range(100..=999_999_999))]
    vm_id: Attr<u32>,
    /// Virtual processors: how many cores its one socket has.
    #[schema(required, range(1..=512))]
    cores: Attr<u32>,
    /// Memory in MiB, e.g. `8192`.
    #[schema(required, range(16..=4_178_944))]
    memory: Attr<u64>,
    /// Pool that it is a member of. Without it none.
    #[schema(optional)]
    pool: Attr<String>,
    /// Whether the host starts it when the host starts.
    #[schema(default = true)]
    on_boot: Attr<bool>,
    /// Machine or template to clone. Counts when the machine is made; another one is written down later. Without it the machine gets a disk of its own.
    #[schema(optional, recorded)]
    clone: Attr<Original>,
    /// Its disk.
    #[schema(required)]
    disk: Attr<Disk>,
    /// Its network card.
    #[schema(required)]
    network: Attr<Network>,
    /// Whether the guest agent runs in it; for Talos the extension `qemu-guest-agent`.
    #[schema(default = false)]
    agent: Attr<bool>,
    /// Whether Proxmox refuses to delete it and its disk.
    #[schema(default = false)]
    protected: Attr<bool>,
    /// `host/number`, like `pve1/120`: the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// SMBIOS uuid, which the system in it sees as well.
    #[schema(computed, keep_prior)]
    uuid: Attr<String>,
    /// Id of the estate that its tags name. Null when somebody touched the marks; the next apply sets them again.
    #[schema(computed, keep_prior)]
    owner: Attr<String>,
    /// `running` or `stopped`, as last seen. Never compared.
    #[schema(computed, keep_prior)]
    status: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

/// A disk.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Disk {
    /// Storage with content `images`, e.g. `local-lvm`. Counts when the machine is made; another one is refused later.
    #[schema(required)]
    storage: Attr<String>,
    /// Size in GiB. It only grows; the system in it has to notice.
    #[schema(required, range(1..=131_072))]
    size: Attr<u64>,
    /// File to fill it from, e.g. `strata_proxmox_image.talos.volume`. Counts when the machine is made; another one is written down later. Without it the disk is
    /// empty.
    #[schema(optional, recorded)]
    import_from: Attr<String>,
}

/// A network card.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// Bridge, e.g. `vmbr0`.
    #[schema(required)]
    bridge: Attr<String>,
    /// Number of the VLAN, e.g. `20`. Without it frames have no tag.
    #[schema(optional, range(1..=4094))]
    vlan: Attr<u16>,
    /// Its address on the wire, e.g. `BC:24:11:00:00:01`. Default: one that Proxmox makes.
    #[schema(
        optional,
        computed,
        keep_prior,
        pattern("([0-9A-F]{2}:){5}[0-9A-F]{2}")
    )]
    mac: Attr<String>,
}

/// Another value where one is known; after an import none is.
fn is_other(prior: &Attr<String>, planned: &Attr<String>) -> bool {
    !prior.is_null() && prior != planned
}

impl VirtualMachine {
    fn marks(&self, provider: &Strata) -> Result<Marks, Diagnostics> {
        Ok(Marks {
            cluster: provider.cluster().to_owned(),
            owner: provider.owner()?.to_owned(),
            node: self.node.require("node")?.clone(),
        })
    }

    /// Whether a machine of our number is another one: numbers are handed out again.
    fn is_stranger(&self, provider: &Strata, config: &Config) -> bool {
        let marks = self.marks(provider);
        let is_other = options::uuid(config).is_some_and(|uuid| {
            self.uuid
                .known()
                .is_some_and(|own| !own.eq_ignore_ascii_case(&uuid))
        });
        is_other && !marks.is_ok_and(|marks| options::carries(config, &marks))
    }

    /// Where it is, by its id.
    fn place(&self) -> Result<(String, u32), Diagnostics> {
        let id = self.id.require("id")?;
        let place = id
            .split_once('/')
            .and_then(|(host, number)| Some((host.to_owned(), number.parse().ok()?)));
        place.ok_or_else(|| Diagnostics::bug(format!("the id {id} is not `host/number`")))
    }
}

/// Where a machine is now, and its options; `None` when it is gone, which needs proof, because a token sees only what it may.
async fn find(
    proxmox: &Proxmox,
    host: &str,
    vm_id: u32,
    machines: &[Machine],
) -> Result<Option<(Option<Machine>, String, Config)>, Error> {
    let listed = machines.iter().find(|machine| machine.vmid == vm_id);
    let host = listed.map_or(host, |machine| &machine.node);
    let config = proxmox.client.config(host, vm_id).await?;
    Ok(config.map(|config| (listed.cloned(), host.to_owned(), config)))
}

/// Waits until nobody sees the machine any more.
async fn wait_gone(
    cx: &Of<'_, VirtualMachine>,
    proxmox: &Proxmox,
    host: &str,
    vm_id: u32,
) -> Result<(), Diagnostics> {
    let second = proxmox.client.scaled(std::time::Duration::from_secs(1));
    let policy = Policy::new(format!("machine {vm_id} to be gone")).every(second, second * 5);
    let outcome = wait(cx, &policy, async || {
        match proxmox.client.config(host, vm_id).await {
            Ok(None) => Probe::Done(()),
            Ok(Some(_)) => Probe::NotYet("it is still there".into()),
            Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
            Err(error) => Probe::Failed(failed("delete", NOUN, &vm_id.to_string(), &error)),
        }
    });
    outcome.await.map_err(Diagnostics::from)
}

/// Why nothing was made, and what is known of it.
fn not_placed(name: &str, refused: &Refused) -> Diagnostics {
    let left = match refused {
        Refused::NoVerdict(_) => {
            "It is not known whether a machine was made; the next apply looks for it by its marks."
        }
        Refused::Api(error) if error.class() == Class::Lost => {
            "If a machine was made, the next apply finds it by its marks."
        }
        _ => "No machine was made.",
    };
    Diagnostics::failed("create", NOUN, name, refused).left(left)
}

impl Resource for VirtualMachine {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Proxmox";
    const TIMEOUTS: Limit = Limit::minutes(20, 2, 10, 10);

    fn validate(config: &Self, found: &mut Diagnostics) {
        if let Some(clone) = config.clone.known() {
            clone.check(found);
        }
        let disk = config.disk.known();
        if !config.clone.is_null() && disk.is_some_and(|disk| !disk.import_from.is_null()) {
            let at = Path::of("disk").attribute("import_from");
            found.merge(Diagnostics::invalid(
                at,
                "A clone has its source's disks: write `clone` or `import_from`.",
            ));
        }
    }

    async fn plan(
        cx: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        if let Some(prior) = change.prior() {
            // Another node gets a machine of its own, where it likes.
            if !is_other(&prior.node, &planned.state.node) {
                planned.state.check_against(prior)?;
            }
            let owner = cx.provider.owner_if_known();
            if owner.is_some_and(|owner| prior.owner.text() != owner) {
                planned.state.owner = Attr::Unknown;
            }
        } else if !planned.state.clone.is_null()
            && let Ok(proxmox) = cx.provider.proxmox().await
        {
            // What cannot be asked now is asked again before anything is made.
            match planned.state.source(proxmox).await {
                Err(Unfit::Api(_)) | Ok(_) => {}
                Err(Unfit::Source(found)) => return Err(*found),
            }
        }
        Ok(planned)
    }

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let marks = planned.marks(cx.provider)?;
        let (host, name) = (
            planned.host.require("host")?.clone(),
            planned.name.text().to_owned(),
        );
        let placed = if cx.provider.only_adopts() {
            let found = proxmox.find(cx, &marks, &name).await;
            found
                .map_err(|refused| not_placed(&name, &refused))?
                .map(Placed::Adopted)
                .ok_or_else(|| {
                    Diagnostics::error(
                        format!("Cannot adopt Proxmox machine \"{name}\""),
                        format!("No machine carries the marks of node {}.", marks.node),
                    )
                    .left("No machine was made.")
                })?
        } else {
            let way = match planned.source(proxmox).await {
                Ok(Some(source)) => planned.cloning(&marks, &source),
                Ok(None) => Way::New(planned.creation(&marks)),
                Err(Unfit::Source(found)) => return Err(found.left("No machine was made.")),
                Err(Unfit::Api(error)) => {
                    return Err(not_placed(&name, &Refused::Api(error)));
                }
            };
            let order = Order {
                marks: &marks,
                host: &host,
                name: &name,
                vm_id: planned.vm_id.known().copied(),
                way,
            };
            let placed = proxmox.place(cx, &order).await;
            placed.map_err(|refused| not_placed(&name, &refused))?
        };
        let machine = match placed {
            Placed::Made(machine) => machine,
            Placed::Adopted(machine) => {
                cx.warn(Diagnostics::warning(
                    format!("Adopted Proxmox machine \"{name}\""),
                    format!(
                        "Machine {} on {} carries the marks of node {} already.",
                        machine.vmid, machine.node, marks.node
                    ),
                ));
                machine
            }
        };
        planned.id = Attr::Known(format!("{}/{}", machine.node, machine.vmid));
        planned.vm_id = Attr::Known(machine.vmid);
        planned
            .converge(cx, proxmox, &marks, &machine.node, machine.vmid)
            .await
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let (host, vm_id) = prior.place()?;
        let id = prior.id.text().to_owned();
        let look = async {
            let machines = proxmox.snapshot().await?;
            find(proxmox, &host, vm_id, &machines).await
        };
        match look.await {
            Ok(Some((machine, host, config))) => {
                if prior.is_stranger(cx.provider, &config) {
                    cx.warn(Diagnostics::warning(
                        format!("{NOUN} \"{id}\" is gone"),
                        "Somebody else's machine has its number now, and is left alone.",
                    ));
                    return Ok(Found::Gone);
                }
                prior.see(&host, vm_id, machine.as_ref(), &config);
                let marks = prior.marks(cx.provider).ok();
                let marks = marks.filter(|marks| options::carries(&config, marks));
                prior.owner = Attr::from(marks.map(|marks| marks.owner));
                Ok(Found::Present(prior))
            }
            Ok(None) => Ok(Found::Gone),
            Err(error) => unseen(NOUN, &id, &error),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        prior: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let marks = planned.marks(cx.provider)?;
        let (host, vm_id) = prior.place()?;
        planned.converge(cx, proxmox, &marks, &host, vm_id).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let (host, vm_id) = prior.place()?;
        let marks = prior.marks(cx.provider)?;
        let id = prior.id.text().to_owned();
        let failed =
            |error: &Error| failed("delete", NOUN, &id, error).left("The machine may still exist.");
        proxmox.touched();
        let machines = proxmox
            .client
            .machines()
            .await
            .map_err(|error| failed(&error))?;
        let found = find(proxmox, &host, vm_id, &machines).await;
        let Some((_, host, config)) = found.map_err(|error| failed(&error))? else {
            return Ok(());
        };
        let machine = match proxmox.own(&marks, vm_id).await {
            Ok(machine) => machine,
            Err(Error::NoMachine(_)) => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        if config.flag("protection") {
            return Err(Diagnostics::error(
                format!("Cannot delete {NOUN} \"{id}\""),
                "Its protection is on, so Proxmox refuses to delete it.",
            )
            .left("The machine was not changed.")
            .hint("Apply with `protected = false` first, or lift the protection in Proxmox."));
        }
        if machine.is_running() {
            proxmox
                .stop(cx, &host, vm_id)
                .await
                .map_err(|error| failed(&error))?;
        }
        let guest = Guest {
            marks: &marks,
            host: &host,
            vm_id,
            images: "",
        };
        let ended = async {
            // What is in the drive goes with the machine, so it is taken out before its file is.
            let drive = Parameters::from([(
                crate::proxmox::delivery::DRIVE,
                crate::proxmox::delivery::EMPTY.to_owned(),
            )]);
            proxmox.client.set(&host, vm_id, &drive).await?;
            proxmox.sweep_all(cx, &guest).await?;
            match proxmox.client.destroy(&host, vm_id).await? {
                Some(upid) => task::finish(&proxmox.client, cx, &upid).await.map(drop),
                None => Ok(()),
            }
        };
        match ended.await {
            Err(error) if error.is_not_found() => {}
            ended => ended.map_err(|error| failed(&error))?,
        }
        proxmox.touched();
        wait_gone(cx, proxmox, &host, vm_id).await
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let parts = id
            .split_once('/')
            .filter(|(host, number)| !host.is_empty() && number.parse::<u32>().is_ok());
        let Some((host, _)) = parts else {
            return Err(Diagnostics::error(
                format!("Cannot import {NOUN} \"{id}\""),
                "The id of a machine is `host/number`, like `pve1/120`.",
            ));
        };
        Ok(Self {
            host: host.into(),
            id: id.into(),
            ..Self::default()
        })
    }
}

impl VirtualMachine {
    /// What cannot be changed about a machine that is there.
    fn check_against(&self, prior: &Self) -> Result<(), Diagnostics> {
        let id = prior.id.text();
        let is_there = |host: &str| id.split_once('/').is_some_and(|(now, _)| now == host);
        let moved = |attribute: Path, detail: String| {
            Diagnostics::error(format!("Cannot move {NOUN} \"{id}\""), detail)
                .left("Nothing was changed.")
                .hint("Do it in Proxmox, then write down where it is; or delete the machine: apply a configuration without it, then one with it.")
                .at(attribute)
        };
        if let (Some(before), Some(host)) = (prior.host.known(), self.host.known())
            && before != host
            && !is_there(host)
        {
            return Err(moved(
                Path::of("host"),
                format!("It is not on {host}, and migrating is not done here."),
            ));
        }
        if let (Some(before), Some(number)) = (prior.vm_id.known(), self.vm_id.known())
            && before != number
        {
            return Err(moved(
                Path::of("vm_id"),
                format!("Its number is {before} for life, not {number}."),
            ));
        }
        let (Some(before), Some(disk)) = (prior.disk.known(), self.disk.known()) else {
            return Ok(());
        };
        if let (Some(old), Some(new)) = (before.storage.known(), disk.storage.known())
            && old != new
        {
            let at = Path::of("disk").attribute("storage");
            return Err(moved(at, format!("Its disk is on {old}, not on {new}.")));
        }
        if let (Some(old), Some(new)) = (before.size.known(), disk.size.known())
            && old > new
        {
            let at = Path::of("disk").attribute("size");
            return Err(Diagnostics::invalid(
                at,
                format!("The disk has {old} GiB and cannot shrink to {new}."),
            ));
        }
        Ok(())
    }

    /// From any state of the machine to the one that is planned.
    async fn converge(
        mut self,
        cx: &Of<'_, Self>,
        proxmox: &Proxmox,
        marks: &Marks,
        host: &str,
        vm_id: u32,
    ) -> Result<Self, Diagnostics> {
        // Nothing is saved before the end: what is not in the state is found by its marks and taken on, and what is in it with an error would be replaced.
        proxmox.touched();
        let name = self.name.text().to_owned();
        let steps = async {
            let config = proxmox.client.config(host, vm_id).await?;
            let config = config.ok_or(Error::NoMachine(vm_id))?;
            if self.is_stranger(cx.provider, &config) {
                return Err(Error::NotOurs {
                    vmid: vm_id,
                    name: config.text("name").unwrap_or_default(),
                    found: "is another one than was made under this number".into(),
                });
            }
            let change = self.change(marks, &config);
            if !change.is_empty() {
                proxmox.client.set(host, vm_id, &change).await?;
            }
            if let Some(gib) = self.growth(&config) {
                let upid = proxmox
                    .client
                    .resize(host, vm_id, options::DISK, gib)
                    .await?;
                task::finish(&proxmox.client, cx, &upid).await?;
            }
            let machines = proxmox.client.machines().await?;
            let machine = machines.into_iter().find(|machine| machine.vmid == vm_id);
            let machine = machine.ok_or(Error::NoMachine(vm_id))?;
            match (machine.pool.as_deref(), self.pool.known()) {
                (before, Some(pool)) if before != Some(pool) => {
                    proxmox.client.pool(pool, vm_id, true).await?;
                }
                (Some(pool), None) => {
                    proxmox.client.pool(pool, vm_id, false).await?;
                }
                _ => {}
            }
            let config = proxmox.client.config(host, vm_id).await?;
            let waits = if machine.is_running() && !change.is_empty() {
                proxmox.client.pending(host, vm_id).await?
            } else {
                Vec::new()
            };
            Ok((machine, config.ok_or(Error::NoMachine(vm_id))?, waits))
        };
        let (machine, config, waits) = steps.await.map_err(|error: Error| {
            failed("change", NOUN, &name, &error).left("The next apply goes on from what is there.")
        })?;
        if !waits.is_empty() {
            cx.warn(Diagnostics::warning(
                format!("{NOUN} \"{name}\" takes a change at its next cold start"),
                format!("It runs, and {} cannot change meanwhile.", waits.join(", ")),
            ));
        }
        self.fill_unknown(host, vm_id, &machine, &config);
        self.owner.fill(marks.owner.clone());
        Ok(self)
    }
}
