//! `strata_proxmox_token`: a token of a user, whose value is told once. API: <https://pve.proxmox.com/pve-docs/api-viewer/#/access/users/{userid}/token/{tokenid}>
//!
//! The value goes into the store before any further call. A token of ours without its value (a lost reply, an interrupted run, a lost entry) is of no use to anybody: it is
//! deleted and made again. Ours is what has our comment.

use strata_framework::{Attr, Diagnostics, Found, Limit, Of, Resource, Schema, Timeouts};

use super::{failed, unseen};
use crate::absence;
use crate::provider::{Strata, store_failed};
use crate::proxmox::Proxmox;
use crate::proxmox::error::Error;
use crate::secret::Secret;
use crate::store::{Condition, Name, Store, fingerprint};

const NOUN: &str = "Proxmox token";
/// Tries to get hold of a value.
const TRIES: u32 = 3;

/// An API token on Proxmox VE. Its value, which Proxmox tells once, goes into the store.
///
/// A token whose value got lost on the way, or whose entry is gone from the store, is deleted and made again: whoever uses the old value has to read the
/// new one. State holds the name of the entry, never the value.
///
/// # Permissions
///
/// A token with `User.Modify` on `/access/groups` ([reference](https://pve.proxmox.com/pve-docs/chapter-pveum.html#pveum_permission_management)), in
/// practice root's without privilege separation, in `PROXMOX_VE_API_TOKEN` or the store entry `proxmox/api_token`; read and write in the store.
///
/// # Errors
///
/// - "Cannot take over ...": a token of that name is there, and was not made by this estate. Choose another name, or delete it in Proxmox.
/// - `no such user`, says Proxmox: make the user first, `user = strata_proxmox_user.csi.name`.
///
/// # Import
///
/// The id is `user!name`, like `kubernetes-csi@pve!csi`. The value cannot be read back: put it into the entry `proxmox/<user>/<name>` first, or the
/// token is made again.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "proxmox_token", version = 0)]
pub struct Token {
    /// Name of the user with the realm, e.g. `strata_proxmox_user.csi.name`.
    #[schema(required, replace)]
    user: Attr<String>,
    /// Name of the token, e.g. `csi`.
    #[schema(required, replace, pattern("[A-Za-z][A-Za-z0-9._-]+"))]
    name: Attr<String>,
    /// Whether it has only what it is given itself and its user has as well; without, it has all rights of its user.
    #[schema(default = true)]
    privilege_separation: Attr<bool>,
    /// Store entry that the value goes to. Default: `proxmox/<user>/<name>` with `-at-` for `@`.
    #[schema(optional, computed, keep_prior, replace_if = is_other)]
    store_name: Attr<String>,
    /// What goes into the entry. `full`: `user!name=value`, as `PROXMOX_VE_API_TOKEN` takes it. `value`: the value alone, as most other programs do.
    #[schema(default = "full", one_of("full", "value"))]
    store_format: Attr<String>,
    /// `user!name`, the import id, and what other programs call the token's id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

/// Another value where one is known; after an import none is.
fn is_other(prior: &Attr<String>, planned: &Attr<String>) -> bool {
    !prior.is_null() && !planned.is_unknown() && prior != planned
}

/// What tells our tokens from others.
fn comment(owner: &str) -> String {
    format!("strata {owner}")
}

impl Token {
    /// A token of ours with its value in the store: what a lost state leaves behind.
    async fn find(&self, cx: &Of<'_, Self>) -> Result<Option<Name>, Diagnostics> {
        let (user, name) = (self.user.require("user")?, self.name.require("name")?);
        let id = format!("{user}!{name}");
        let entry = self.entry()?;
        let stored = cx.provider.store()?.get(&entry).await;
        let stored = stored.map_err(|error| store_failed("read", entry.as_str(), &error))?;
        if stored.is_none() {
            return Ok(None);
        }
        let found = cx.provider.proxmox().await?.token(user, name).await;
        let found = found.map_err(|error| failed("create", NOUN, &id, &error))?;
        let comment = comment(cx.provider.owner()?);
        let ours = found.is_some_and(|token| token.comment.as_ref() == Some(&comment));
        Ok(ours.then_some(entry))
    }

    fn entry(&self) -> Result<Name, Diagnostics> {
        let usual = format!(
            "proxmox/{}/{}",
            self.user.text().replace('@', "-at-"),
            self.name.text()
        );
        let text = self.store_name.known().cloned().unwrap_or(usual);
        Name::parse(&text).map_err(|error| store_failed("use", &text, &error.into()))
    }

    /// What goes into the entry for this value.
    fn stored(&self, value: &str) -> Secret<String> {
        Secret::new(match self.store_format.text() {
            "value" => value.to_owned(),
            _ => format!("{}!{}={value}", self.user.text(), self.name.text()),
        })
    }

    /// Sets whether it has rights of its own only.
    async fn give_rights(self, cx: &Of<'_, Self>) -> Result<Self, Diagnostics> {
        let (user, name) = (self.user.require("user")?, self.name.require("name")?);
        let separate = self.privilege_separation.known() != Some(&false);
        let proxmox = cx.provider.proxmox().await?;
        let changed = proxmox.change_token(user, name, separate).await;
        changed.map_err(|error| failed("update", NOUN, self.id.text(), &error))?;
        Ok(self)
    }

    /// Makes the token and puts its value away.
    async fn obtain(mut self, cx: &Of<'_, Self>) -> Result<Self, Diagnostics> {
        let proxmox = cx.provider.proxmox().await?;
        let entry = self.entry()?;
        let id = format!("{}!{}", self.user.text(), self.name.text());
        let store = cx.provider.store()?;
        // The key that every store with secrets has: without it the absence of the entry would prove nothing.
        let key = fingerprint::key_or_make(&*store).await;
        key.map_err(|error| store_failed("read", fingerprint::KEY, &error))?;
        let value = self.make(cx, proxmox, &*store, &entry).await?;
        let text = self.stored(value.expose());
        // Before anything else: nobody tells it again.
        let put = store.put(&entry, &text).await;
        put.map_err(|error| {
            store_failed("write", entry.as_str(), &error)
                .left("The token exists, and its value is lost; the next apply makes it again.")
        })?;
        self.id = Attr::Known(id);
        self.store_name = Attr::Known(entry.to_string());
        Ok(self)
    }

    /// Deletes what is there without a value, and makes the token with one.
    async fn make(
        &self,
        cx: &Of<'_, Self>,
        proxmox: &Proxmox,
        store: &dyn Store,
        entry: &Name,
    ) -> Result<Secret<String>, Diagnostics> {
        let (user, name) = (self.user.require("user")?, self.name.require("name")?);
        let id = format!("{user}!{name}");
        let failed = |error: &Error| failed("create", NOUN, &id, error);
        let comment = comment(cx.provider.owner()?);
        let separate = self.privilege_separation.known() != Some(&false);
        let mut last = None;
        for _ in 0..TRIES {
            if let Some(token) = proxmox
                .token(user, name)
                .await
                .map_err(|error| failed(&error))?
            {
                if token.comment.as_deref() != Some(&comment) {
                    return Err(Diagnostics::error(
                        format!("Cannot take over {NOUN} \"{id}\""),
                        "It was not made by this estate, and its value cannot be read.",
                    )
                    .left("It was not changed.")
                    .hint(
                        "Choose another `name`, or delete the token in Proxmox if nobody needs it.",
                    ));
                }
                // First the entry: one that is there is always the value of the token that is there.
                let forgotten = store.delete(entry, Condition::Any).await;
                forgotten.map_err(|error| store_failed("delete", entry.as_str(), &error))?;
                proxmox
                    .delete_token(user, name)
                    .await
                    .map_err(|error| failed(&error))?;
            }
            match proxmox.create_token(user, name, separate, &comment).await {
                Ok(value) => return Ok(value),
                // It may exist now, and nobody knows its value.
                Err(error) if error.is_lost() => last = Some(error),
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(failed(&last.expect("three tries left an error"))
            .left("It is not known whether the token exists.")
            .hint("Run apply again; it looks first."))
    }
}

impl Resource for Token {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Proxmox";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    async fn create(cx: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        let Some(entry) = planned.find(cx).await? else {
            return planned.obtain(cx).await;
        };
        let mut found = planned;
        found.id = Attr::Known(format!("{}!{}", found.user.text(), found.name.text()));
        found.store_name = Attr::Known(entry.to_string());
        cx.warn(Diagnostics::warning(
            format!("Adopted {NOUN} \"{}\"", found.id.text()),
            format!("It was there already, and its value is in the store as {entry}."),
        ));
        found.give_rights(cx).await
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let (user, name) = (
            prior.user.require("user")?.clone(),
            prior.name.require("name")?.clone(),
        );
        let id = format!("{user}!{name}");
        let token = match cx.provider.proxmox().await?.token(&user, &name).await {
            Ok(Some(token)) => token,
            Ok(None) => return Ok(Found::Gone),
            Err(error) => return unseen(NOUN, &id, &error),
        };
        prior.privilege_separation = Attr::Known(token.is_separate());
        if prior.store_name.is_null() {
            // Imported: which entry is meant the first apply says.
            return Ok(Found::Present(prior));
        }
        let entry = prior.entry()?;
        let store = cx.provider.store()?;
        match store.get(&entry).await {
            Ok(Some(_)) => {}
            // Without its value it is as good as gone.
            Ok(None) => {
                return Ok(match absence::doubt(&*store, NOUN, &id).await {
                    None => Found::Gone,
                    Some(doubt) => Found::Unknown(doubt),
                });
            }
            Err(error) => {
                let found = store_failed("read", entry.as_str(), &error);
                return Ok(Found::Unknown(found.left("The last known state is kept.")));
            }
        }
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        _: Self,
        _: Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let (entry, store) = (planned.entry()?, cx.provider.store()?);
        let found = store.get(&entry).await;
        let found = found.map_err(|error| store_failed("read", entry.as_str(), &error))?;
        let Some(found) = found else {
            return planned.obtain(cx).await;
        };
        // The value itself has no `=`, whatever the entry holds before it.
        let text = found.value.expose();
        let value = text.rsplit('=').next().unwrap_or_default();
        let wanted = planned.stored(value);
        if wanted.expose() != text {
            let put = store.put(&entry, &wanted).await;
            put.map_err(|error| store_failed("write", entry.as_str(), &error))?;
        }
        planned.store_name = Attr::Known(entry.to_string());
        planned.give_rights(cx).await
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        let (user, name) = (prior.user.require("user")?, prior.name.require("name")?);
        let deleted = cx.provider.proxmox().await?.delete_token(user, name).await;
        deleted.map_err(|error| failed("delete", NOUN, prior.id.text(), &error))?;
        let entry = prior.entry()?;
        let gone = cx.provider.store()?.delete(&entry, Condition::Any).await;
        gone.map(drop)
            .map_err(|error| store_failed("delete", entry.as_str(), &error))
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let parts = id
            .split_once('!')
            .filter(|(user, name)| user.contains('@') && !name.is_empty());
        let Some((user, name)) = parts else {
            return Err(Diagnostics::error(
                format!("Cannot import {NOUN} \"{id}\""),
                "The id of a token is `user!name`, like `kubernetes-csi@pve!csi`.",
            ));
        };
        Ok(Self {
            user: user.into(),
            name: name.into(),
            id: id.into(),
            ..Self::default()
        })
    }
}
