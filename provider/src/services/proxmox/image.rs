//! `strata_proxmox_image`: a file that a host fetches onto a storage. API: <https://pve.proxmox.com/pve-docs/api-viewer/#/nodes/{node}/storage/{storage}/download-url>
//!
//! The host downloads, not this machine. A file of that name that is there already is adopted when its checksum is right or none is given. Files have
//! no tags: whose they are is told by their name. One with the estate's id in it is this estate's, whichever run had it downloaded; any other one that
//! was there before stays when the resource goes.

use strata_framework::{Attr, Diagnostics, Found, Limit, Of, Resource, Schema, Timeouts};

use super::{Known, adopted, failed, kept, unseen};
use crate::provider::Strata;
use crate::proxmox::client::Parameters;
use crate::proxmox::error::Error;
use crate::proxmox::{Proxmox, task, wire::Volume};

const NOUN: &str = "Proxmox image";

/// A disk or ISO image on a storage of a Proxmox host.
///
/// The host downloads it from `url`. Machines copy what they import (`disk.import_from` of `strata_proxmox_vm`), so an image may be replaced or deleted
/// while they run. A file of that name that is there already is adopted with a warning. It stays when the resource is destroyed, unless its name
/// holds the `owner` of the provider: then it is this estate's, downloaded by a run that was broken off or whose state is lost, and goes with the resource.
///
/// # Permissions
///
/// A token with `Datastore.AllocateTemplate` and `Datastore.Audit` on `/storage/<storage>` and `Sys.AccessNetwork` on `/nodes/<host>`
/// ([reference](https://pve.proxmox.com/pve-docs/chapter-pveum.html#pveum_permission_management)), in `PROXMOX_VE_API_TOKEN` or the store entry
/// `proxmox/api_token`.
///
/// # Errors
///
/// - `is not configured for content-type 'import'`, says Proxmox: enable the content
///   type on the storage, or name another storage.
/// - `checksum mismatch`, says the task's log: the file behind `url` is another one, or the file on the storage is; delete that one if it
///   is not needed.
///
/// # Import
///
/// The id is `host/volume`, like `pve1/local:import/talos.qcow2`. Address and checksum are not Proxmox's to know: the first apply records them.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "proxmox_image", version = 0)]
pub struct Image {
    /// Host that fetches and keeps the file, e.g. `pve1`.
    #[schema(required, replace, pattern("[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?"))]
    host: Attr<String>,
    /// Storage with content `import` for disk images, `iso` for ISO images.
    #[schema(default = "local", replace)]
    storage: Attr<String>,
    /// Address that the host downloads from, e.g. `https://factory.talos.dev/image/<schematic>/v1.13.9/nocloud-amd64.qcow2`.
    #[schema(required, replace_if = is_other)]
    url: Attr<String>,
    /// Name of the file, e.g. `talos-v1.13.9.qcow2`; its ending decides what it is: `.qcow2`, `.raw`, `.vmdk`, `.ova` are disks, `.iso` and `.img`
    /// media. Put the version into it: one file never becomes another. Put the estate's id into it, and the file is known to be the estate's.
    #[schema(
        required,
        replace,
        pattern("[A-Za-z0-9._+=-]+\\.(qcow2|raw|vmdk|ova|iso|img)")
    )]
    file_name: Attr<String>,
    /// Checksum that the host verifies, e.g. `sha256:0123...`. Without it what is downloaded is believed.
    #[schema(
        optional,
        recorded,
        pattern("(md5|sha1|sha224|sha256|sha384|sha512):[0-9a-fA-F]+")
    )]
    checksum: Attr<String>,
    /// `host/volume`, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// The file as Proxmox names it, e.g. `local:import/talos-v1.13.9.qcow2`: for `disk.import_from` of a machine.
    #[schema(computed, keep_prior)]
    volume: Attr<String>,
    /// Size in bytes.
    #[schema(computed, keep_prior)]
    size: Attr<u64>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

/// Another address is another file; after an import none is known.
fn is_other(prior: &Attr<String>, planned: &Attr<String>) -> bool {
    !prior.is_null() && prior != planned
}

/// `iso` or `import`, by the ending.
fn content(file: &str) -> &'static str {
    match file.rsplit('.').next() {
        Some("iso" | "img") => "iso",
        _ => "import",
    }
}

async fn look(proxmox: &Proxmox, host: &str, volume: &str) -> Result<Option<Volume>, Error> {
    let (storage, path) = volume.split_once(':').unwrap_or((volume, ""));
    let volumes = proxmox.client.volumes(host, storage, content(path)).await?;
    Ok(volumes.into_iter().find(|found| found.volid == volume))
}

impl Image {
    fn wanted_volume(&self) -> String {
        let file = self.file_name.text();
        format!("{}:{}/{file}", self.storage.text(), content(file))
    }

    fn fill(&mut self, host: &str, volume: &Volume) {
        self.id = Attr::Known(format!("{host}/{}", volume.volid));
        self.volume = Attr::Known(volume.volid.clone());
        self.size = Attr::Known(volume.size);
    }

    fn download(&self) -> Parameters {
        let file = self.file_name.text().to_owned();
        let mut body = Parameters::from([
            ("url", self.url.text().to_owned()),
            ("content", content(&file).to_owned()),
            ("filename", file),
        ]);
        if let Some((algorithm, sum)) = self.checksum.text().split_once(':') {
            body.insert("checksum-algorithm", algorithm.to_owned());
            body.insert("checksum", sum.to_owned());
        }
        body
    }
}

impl Resource for Image {
    type Provider = Strata;
    type Model = Self;
    type Private = Known;
    const SUBCATEGORY: &'static str = "Proxmox";
    const TIMEOUTS: Limit = Limit::minutes(30, 2, 5, 5);

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let (host, volume) = (
            planned.host.require("host")?.clone(),
            planned.wanted_volume(),
        );
        let failed = |error: &Error| {
            failed("create", NOUN, &volume, error)
                .left("A download that goes on is found by the next apply.")
        };
        let found = look(proxmox, &host, &volume)
            .await
            .map_err(|error| failed(&error))?;
        let checked = !planned.checksum.is_null();
        if found.is_none() || checked {
            // With a checksum the host compares a file that is there, and fetches nothing.
            let body = planned.download();
            let ended = async {
                let upid = proxmox
                    .client
                    .download(&host, planned.storage.text(), &body)
                    .await?;
                task::finish(&proxmox.client, cx, &upid).await
            };
            match ended.await {
                // A reply was lost, or an earlier run's download ended meanwhile.
                Err(Error::Task { exit, .. }) if exit.starts_with("refusing to override") => {}
                ended => drop(ended.map_err(|error| failed(&error))?),
            }
        }
        if found.is_some() {
            let owner = cx.provider.owner_if_known();
            if owner.is_some_and(|owner| planned.file_name.text().contains(owner)) {
                cx.warn(Diagnostics::warning(
                    format!("Adopted {NOUN} \"{volume}\""),
                    "It was there already, and its name says that it is this estate's.",
                ));
            } else {
                cx.private().found = true;
                cx.warn(adopted(NOUN, &volume));
            }
        }
        let made = look(proxmox, &host, &volume)
            .await
            .map_err(|error| failed(&error))?;
        let made = made.ok_or_else(|| failed(&Error::Unexpected("GET content")))?;
        planned.fill(&host, &made);
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let (host, volume) = (
            prior.host.require("host")?.clone(),
            prior.volume.require("volume")?.clone(),
        );
        match look(proxmox, &host, &volume).await {
            Ok(Some(found)) => {
                prior.fill(&host, &found);
                Ok(Found::Present(prior))
            }
            Ok(None) => Ok(Found::Gone),
            Err(error) => unseen(NOUN, &volume, &error),
        }
    }

    async fn update(
        _: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let (host, volume) = (prior.host.require("host")?, prior.volume.require("volume")?);
        if cx.private().found {
            cx.warn(kept(NOUN, volume));
            return Ok(());
        }
        let failed = |error: &Error| failed("delete", NOUN, volume, error);
        let started = proxmox.client.delete_volume(host, volume).await;
        if let Some(upid) = started.map_err(|error| failed(&error))? {
            task::finish(&proxmox.client, cx, &upid)
                .await
                .map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let parts = id.split_once('/').and_then(|(host, volume)| {
            let (storage, path) = volume.split_once(':')?;
            Some((host, volume, storage, path.split_once('/')?.1))
        });
        let Some((host, volume, storage, file)) = parts else {
            return Err(Diagnostics::error(
                format!("Cannot import Proxmox image \"{id}\""),
                "The id of an image is `host/volume`, like `pve1/local:import/talos.qcow2`.",
            ));
        };
        Ok(Self {
            host: host.into(),
            storage: storage.into(),
            file_name: file.into(),
            volume: volume.into(),
            id: id.into(),
            ..Self::default()
        })
    }
}
