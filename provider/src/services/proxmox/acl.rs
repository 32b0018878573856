//! `strata_proxmox_acl`: a role given to a user or a token on a path. API: <https://pve.proxmox.com/pve-docs/api-viewer/#/access/acl>

use strata_framework::{Attr, Diagnostics, Found, Limit, Of, Resource, Schema, Timeouts};

use super::{failed, unseen};
use crate::provider::Strata;
use crate::proxmox::access::Grant;

const NOUN: &str = "Proxmox permission";

/// A role on Proxmox VE given to a user or a token, on a path.
///
/// A token with privilege separation has only what both it and its user are given. The line is set and taken away alone: what others give stays.
///
/// # Permissions
///
/// A token with `Permissions.Modify` on the path ([reference](https://pve.proxmox.com/pve-docs/chapter-pveum.html#pveum_permission_management)), in practice
/// root's without privilege separation, in `PROXMOX_VE_API_TOKEN` or the store entry `proxmox/api_token`.
///
/// # Errors
///
/// - `does not exist`, says Proxmox: role, user or token is not there (yet).
///
/// # Import
///
/// The id is `path,who,role`, like `/,kubernetes-csi@pve,CSI` or `/vms,strata@pve!lab,PVEVMAdmin`.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "proxmox_acl", version = 0, exactly_one("user", "token"))]
pub struct Acl {
    /// What it is about, e.g. `/`, `/vms` or `/storage/local`.
    #[schema(required, replace, pattern("/[^,]*"))]
    path: Attr<String>,
    /// Name of the role, e.g. `strata_proxmox_role.csi.name`.
    #[schema(required, replace)]
    role: Attr<String>,
    /// Name of the user, e.g. `kubernetes-csi@pve`. Without it a token is meant.
    #[schema(optional, replace)]
    user: Attr<String>,
    /// Full name of the token, e.g. `strata_proxmox_token.csi.id`. Without it a user is meant.
    #[schema(optional, replace)]
    token: Attr<String>,
    /// Whether it holds for everything below the path, too.
    #[schema(default = true)]
    propagate: Attr<bool>,
    /// `path,who,role`, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

impl Acl {
    fn grant(&self) -> Grant {
        let who = self.user.known().or(self.token.known());
        Grant {
            path: self.path.text().to_owned(),
            who: who.cloned().unwrap_or_default(),
            role: self.role.text().to_owned(),
        }
    }

    async fn give(&self, cx: &Of<'_, Self>, verb: &str) -> Result<(), Diagnostics> {
        let grant = self.grant();
        let propagate = self.propagate.known() == Some(&true);
        let given = cx.provider.proxmox().await?.give(&grant, propagate).await;
        given.map_err(|error| failed(verb, NOUN, &id(&grant), &error))
    }
}

fn id(grant: &Grant) -> String {
    format!("{},{},{}", grant.path, grant.who, grant.role)
}

impl Resource for Acl {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Proxmox";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    async fn create(cx: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        planned.give(cx, "create").await?;
        planned.id = Attr::Known(id(&planned.grant()));
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let grant = prior.grant();
        match cx.provider.proxmox().await?.grant(&grant).await {
            Ok(Some(propagate)) => {
                prior.propagate = Attr::Known(propagate);
                Ok(Found::Present(prior))
            }
            Ok(None) => Ok(Found::Gone),
            Err(error) => unseen(NOUN, &id(&grant), &error),
        }
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        planned.give(cx, "update").await?;
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let grant = prior.grant();
        let taken = cx.provider.proxmox().await?.take(&grant).await;
        taken.map_err(|error| failed("delete", NOUN, &id(&grant), &error))
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let parts: Vec<&str> = id.split(',').collect();
        let [path, who, role] = parts[..] else {
            return Err(Diagnostics::error(
                format!("Cannot import {NOUN} \"{id}\""),
                "The id of a permission is `path,who,role`, like `/,kubernetes-csi@pve,CSI`.",
            ));
        };
        let mut acl = Self {
            path: path.into(),
            role: role.into(),
            id: id.into(),
            ..Self::default()
        };
        if who.contains('!') {
            acl.token = who.into();
        } else {
            acl.user = who.into();
        }
        Ok(acl)
    }
}
