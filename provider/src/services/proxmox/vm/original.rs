//! What a machine is cloned from, and whether that can be.

use strata_framework::{Attr, Diagnostics, Path, Schema};

use super::{NOUN, VirtualMachine, options};
use crate::proxmox::client::Parameters;
use crate::proxmox::error::Error;
use crate::proxmox::order::Way;
use crate::proxmox::wire::{Config, Machine, size};
use crate::proxmox::{Marks, Proxmox};

const GIB: u64 = 1 << 30;

/// A machine or template to clone.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Original {
    /// Number of the machine, e.g. `9000`. It may be on another host if its disks are on storage that both share.
    #[schema(required, range(100..=999_999_999))]
    pub(super) vm_id: Attr<u32>,
    /// Whether all data is copied, to `disk.storage`. A linked clone (`false`) is made of a template only, at once, stays on its storage and keeps the template from being
    /// deleted.
    #[schema(default = true)]
    pub(super) full: Attr<bool>,
    /// Format of the copied disks where the storage has a choice, e.g. `qcow2` in a directory; a storage without one ignores it. Only with `full`. Default: the
    /// storage's own.
    #[schema(optional, one_of("raw", "qcow2", "vmdk"))]
    pub(super) format: Attr<String>,
}

impl Original {
    fn is_full(&self) -> bool {
        self.full.known() != Some(&false)
    }

    /// What contradicts itself, without asking anybody.
    pub(super) fn check(&self, found: &mut Diagnostics) {
        if !self.is_full() && !self.format.is_null() {
            let at = Path::of("clone").attribute("format");
            found.merge(Diagnostics::invalid(
                at,
                "A linked clone copies nothing, so its disks have the template's format: write `full = true` or no `format`.",
            ));
        }
    }
}

/// Why nothing can be cloned.
pub(super) enum Unfit {
    /// The source is not what it has to be.
    Source(Box<Diagnostics>),
    /// Nobody knows.
    Api(Error),
}

impl VirtualMachine {
    /// The machine to clone, when it can become what is wanted; `None` when nothing is cloned, or it is not known yet what.
    pub(super) async fn source(&self, proxmox: &Proxmox) -> Result<Option<Machine>, Unfit> {
        let Some(vm_id) = self.clone.known().and_then(|clone| clone.vm_id.known()) else {
            return Ok(None);
        };
        let machines = proxmox.client.machines().await.map_err(Unfit::Api)?;
        let found = machines.into_iter().find(|machine| machine.vmid == *vm_id);
        let config = match &found {
            Some(machine) => {
                let config = proxmox.client.config(&machine.node, *vm_id).await;
                config.map_err(Unfit::Api)?
            }
            None => None,
        };
        match (found, config) {
            (Some(machine), Some(config)) => match self.unfit(&machine, &config) {
                Some(found) => Err(Unfit::Source(Box::new(found))),
                None => Ok(Some(machine)),
            },
            _ => Err(Unfit::Source(Box::new(self.refusal(
                Path::of("clone").attribute("vm_id"),
                "there is no such machine, or the token may not see it",
            )))),
        }
    }

    fn refusal(&self, at: Path, reason: &str) -> Diagnostics {
        let source = self.clone.known().cloned().unwrap_or_default();
        Diagnostics::error(
            format!(
                "Machine {} cannot be cloned as \"{}\"",
                source.vm_id.or_default(),
                self.name.text()
            ),
            format!("{}{}.", reason[..1].to_uppercase(), &reason[1..]),
        )
        .at(at)
    }

    /// What keeps this source from becoming what is wanted.
    fn unfit(&self, source: &Machine, config: &Config) -> Option<Diagnostics> {
        let clone = self.clone.known()?;
        let disk = self.disk.known()?;
        let number = || Path::of("clone").attribute("vm_id");
        if let Some(marks) = Marks::of(source) {
            return Some(self.refusal(
                number(),
                &format!(
                    "it is node {} of cluster {}, and its clone would be one, too",
                    marks.node, marks.cluster
                ),
            ));
        }
        if !clone.is_full() && !source.template {
            let at = Path::of("clone").attribute("full");
            return Some(self.refusal(at, "it is no template, and linked clones are made of templates only; convert it in Proxmox, or write `full = true`"));
        }
        let Some(there) = config.property(options::DISK) else {
            let reason = format!(
                "it has no disk {}, which is the one that is looked after here",
                options::DISK
            );
            return Some(self.refusal(number(), &reason));
        };
        let storage = there
            .head()
            .split_once(':')
            .map_or("", |(storage, _)| storage);
        if let Some(wanted) = disk.storage.known()
            && !clone.is_full()
            && wanted != storage
        {
            let at = Path::of("disk").attribute("storage");
            let reason = format!(
                "a linked clone stays on its template's storage, which is {storage} and not {wanted}"
            );
            return Some(self.refusal(at, &reason));
        }
        let gib = there.get("size").and_then(size).unwrap_or(0).div_ceil(GIB);
        if let Some(wanted) = disk.size.known()
            && *wanted < gib
        {
            let at = Path::of("disk").attribute("size");
            let reason = format!("its disk has {gib} GiB and cannot shrink to {wanted}");
            return Some(self.refusal(at, &reason));
        }
        None
    }

    /// The call that clones. What is wanted besides is set on the clone, which nobody starts before.
    pub(super) fn cloning(&self, marks: &Marks, source: &Machine) -> Way {
        let full = self.clone.known().is_none_or(Original::is_full);
        let mut parameters = Parameters::from([
            ("name", self.name.text().to_owned()),
            ("description", marks.line()),
            ("full", u8::from(full).to_string()),
        ]);
        if let Some(disk) = self.disk.known()
            && full
        {
            parameters.insert("storage", disk.storage.text().to_owned());
            let format = self.clone.known().and_then(|clone| clone.format.known());
            if let Some(format) = format {
                parameters.insert("format", format.clone());
            }
        }
        if let Some(host) = self.host.known()
            && *host != source.node
        {
            parameters.insert("target", host.clone());
        }
        if let Some(pool) = self.pool.known() {
            parameters.insert("pool", pool.clone());
        }
        tracing::info!(
            from = source.vmid,
            name = self.name.text(),
            "cloning a {NOUN}"
        );
        Way::Clone {
            host: source.node.clone(),
            vm_id: source.vmid,
            parameters,
        }
    }
}
