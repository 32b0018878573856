//! `strata_proxmox_user`: a user without a password, for tokens. API: <https://pve.proxmox.com/pve-docs/api-viewer/#/access/users>

use strata_framework::{Attr, Diagnostics, Found, Limit, Of, Resource, Schema, Timeouts};

use super::{Known, adopted, failed, kept, unseen};
use crate::provider::Strata;

const NOUN: &str = "Proxmox user";

/// A user on Proxmox VE that tokens belong to. It gets no password, so nobody logs in as it.
///
/// A user of that name that is there already is adopted with a warning, and stays when the resource is destroyed.
///
/// # Permissions
///
/// A token with `Realm.AllocateUser` on `/access/realm/pve` and `User.Modify` on `/access/groups`
/// ([reference](https://pve.proxmox.com/pve-docs/chapter-pveum.html#pveum_permission_management)), in practice root's without privilege separation, in
/// `PROXMOX_VE_API_TOKEN` or the store entry `proxmox/api_token`.
///
/// # Errors
///
/// - `Permission check failed`, says Proxmox: the token may not make users.
///
/// # Import
///
/// The id is the name with the realm, like `kubernetes-csi@pve`.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "proxmox_user", version = 0)]
pub struct User {
    /// Name with the realm `pve`, e.g. `kubernetes-csi@pve`.
    #[schema(required, replace, pattern("[A-Za-z0-9._-]+@pve"))]
    name: Attr<String>,
    /// What to write about it, for people. Without it nothing.
    #[schema(optional)]
    comment: Attr<String>,
    /// Name with the realm, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

impl Resource for User {
    type Provider = Strata;
    type Model = Self;
    type Private = Known;
    const SUBCATEGORY: &'static str = "Proxmox";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let (name, comment) = (
            planned.name.require("name")?.clone(),
            planned.comment.text(),
        );
        let steps = async {
            let found = proxmox.user(&name).await?;
            if found.is_some() {
                proxmox.change_user(&name, comment).await?;
            } else {
                proxmox.create_user(&name, comment).await?;
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
        match cx.provider.proxmox().await?.user(&name).await {
            Ok(Some(user)) => {
                prior.name = Attr::Known(name);
                let comment = user.comment.filter(|comment| !comment.is_empty());
                if prior.comment.text() != comment.as_deref().unwrap_or_default() {
                    prior.comment = Attr::from(comment);
                }
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
        let name = planned.name.require("name")?;
        let proxmox = cx.provider.proxmox().await?;
        let changed = proxmox.change_user(name, planned.comment.text()).await;
        changed.map_err(|error| failed("update", NOUN, name, &error))?;
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let name = prior.id.require("id")?;
        if cx.private().found {
            cx.warn(kept(NOUN, name));
            return Ok(());
        }
        let deleted = cx.provider.proxmox().await?.delete_user(name).await;
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
