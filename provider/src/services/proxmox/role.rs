//! `strata_proxmox_role`: a set of privileges. API: <https://pve.proxmox.com/pve-docs/api-viewer/#/access/roles>

use std::collections::BTreeSet;

use strata_framework::{Attr, Diagnostics, Found, Limit, Of, Resource, Schema, Timeouts};

use super::{Known, adopted, failed, kept, unseen};
use crate::provider::{Strata, texts};

const NOUN: &str = "Proxmox role";

/// A role on Proxmox VE: a set of privileges to give to users and tokens.
///
/// A role of that name that is there already is adopted with a warning, gets exactly these privileges, and stays when the resource is destroyed.
///
/// # Permissions
///
/// A token with `Sys.Modify` on `/access` ([reference](https://pve.proxmox.com/pve-docs/chapter-pveum.html#pveum_permission_management)), in practice root's
/// without privilege separation, in `PROXMOX_VE_API_TOKEN` or the store entry `proxmox/api_token`.
///
/// # Errors
///
/// - `invalid privilege`, says Proxmox: versions 8 and 9 have different ones, `VM.Monitor` against `VM.GuestAgent.*`.
///
/// # Import
///
/// The id is the name of the role.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "proxmox_role", version = 0)]
pub struct Role {
    /// Name, e.g. `CSI`. Names that begin with `PVE` are Proxmox's own.
    #[schema(required, replace, validate = check_name)]
    name: Attr<String>,
    /// Privileges, e.g. `["VM.Audit", "VM.Config.Disk"]`.
    #[schema(required)]
    privileges: Attr<BTreeSet<String>>,
    /// Name of the role, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

#[allow(clippy::ptr_arg)] // the signature that `validate` takes
fn check_name(name: &String) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err("Must consist of letters, digits, `-`, `_` and `.`.".into());
    }
    if name.to_ascii_lowercase().starts_with("pve") {
        return Err("Must not begin with `PVE`: those names are Proxmox's own.".into());
    }
    Ok(())
}

impl Resource for Role {
    type Provider = Strata;
    type Model = Self;
    type Private = Known;
    const SUBCATEGORY: &'static str = "Proxmox";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let (name, wanted) = (
            planned.name.require("name")?.clone(),
            texts(&planned.privileges),
        );
        let steps = async {
            let found = proxmox.role(&name).await?;
            if found.is_some() {
                proxmox.change_role(&name, &wanted).await?;
            } else {
                proxmox.create_role(&name, &wanted).await?;
            }
            Ok(found.is_some())
        };
        if steps
            .await
            .map_err(|error| failed("create", NOUN, &name, &error))?
        {
            cx.private().found = true;
            cx.warn(adopted(NOUN, &name));
        }
        planned.id = Attr::Known(name);
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let name = prior.id.require("id")?.clone();
        match cx.provider.proxmox().await?.role(&name).await {
            Ok(Some(privileges)) => {
                prior.name = Attr::Known(name);
                prior.privileges = Attr::Known(privileges);
                Ok(Found::Present(prior))
            }
            Ok(None) => Ok(Found::Gone),
            Err(error) => unseen(NOUN, &name, &error),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        let (name, wanted) = (planned.name.require("name")?, texts(&planned.privileges));
        let changed = cx
            .provider
            .proxmox()
            .await?
            .change_role(name, &wanted)
            .await;
        changed.map_err(|error| failed("update", NOUN, name, &error))?;
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let name = prior.id.require("id")?;
        if cx.private().found {
            cx.warn(kept(NOUN, name));
            return Ok(());
        }
        let deleted = cx.provider.proxmox().await?.delete_role(name).await;
        deleted.map_err(|error| failed("delete", NOUN, name, &error))
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        Ok(Self {
            name: id.into(),
            id: id.into(),
            ..Self::default()
        })
    }
}
