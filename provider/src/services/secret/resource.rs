//! `strata_secret`: a store entry. State holds its name, kind, fingerprint and public parts, never the secret.
//!
//! Generated once: an entry that is there already is adopted, so a crash between the put and the state costs nothing.

use std::collections::BTreeMap;

use strata_framework::{
    Attr, Change, Diagnostics, Found, Limit, Of, Path, Planned, Resource, Schema, Secret, Timeouts,
};

use super::kind::Kind;
use crate::absence;
use crate::provider::{Strata, store_failed};
use crate::store::{Condition, Deleted, Entry, Name, Put, Store};

/// A secret in the store.
///
/// It is made once, directly into the store; plan and state hold its name, a fingerprint and the parts that are public. Read it with the
/// ephemeral resource of the same name. An entry that is there already is adopted with a warning when it is of the right kind, so a run
/// that broke off costs nothing.
///
/// The fingerprint is an HMAC-SHA-256 under a key in the store (entry `fingerprint-key`): without the store nobody can test a guess
/// against it.
///
/// # Permissions
///
/// Read and write in the store's folder, and read of the age identity (see the provider's page). No API is called.
///
/// # Errors
///
/// - "Cannot delete secret ...: `deletion_protection` is true": set it to `false`, apply, then destroy.
/// - "The store has an entry of this name with another value": import the entry, or choose another `name`.
/// - "Cannot adopt secret": the entry of this name holds something of another kind.
/// - "Cannot find the store of ..." (warning): the store lacks more than this entry, so it is another one or not there right now. The
///   state is kept; a destroy stops with this as an error.
/// - "Cannot import secret ...": the id begins with a word that is no kind.
/// - "A secret of kind `value` is rotated by a new `value_wo`": `rotation` is for generated secrets.
///
/// # Import
///
/// The id is the kind and the name of the store entry, `password:database/password`. When the configuration has a `rotation`, its text stands
/// behind an `@`, `password:database/password@2026-11`: else the next apply would take it for a change and make another secret. The kind may
/// be left out for `ssh_keypair`, `kubeadm_pki`, `talos_secrets`, `sealed_secrets_keypair` and `value`, which are recognised from what the
/// entry holds. The plan after an import is empty, unless the configuration protects the secret or keeps it on destroy.
#[derive(Schema, Clone, Debug, PartialEq)]
#[schema(name = "secret", version = 0)]
pub struct StoreSecret {
    /// Name of the store entry, e.g. `ssh/operator`: words of letters, digits, `.`, `_` and `-`, separated by `/`, 200 characters at most.
    #[schema(required, replace, validate = check_name)]
    name: Attr<String>,
    /// What it is:
    ///
    /// - `ssh_keypair`: somebody's Ed25519 key in OpenSSH format;
    /// - `ssh_host_keypair`: a machine's Ed25519 host key in OpenSSH format;
    /// - `kubeadm_pki`: the CAs of a cluster, its service account key and its encryption key;
    /// - `talos_secrets`: the secrets of a Talos cluster, YAML as `talosctl gen secrets` writes it;
    /// - `sealed_secrets_keypair`: the key of the sealed-secrets controller, RSA with 4096 bits, and its certificate for one year;
    /// - `k3s_token`: what servers and agents of a k3s cluster join with, 64 hex digits;
    /// - `password`: letters and digits without look-alikes;
    /// - `value`: what you supply with `value_wo`.
    #[schema(
        required,
        replace,
        one_of(
            "ssh_keypair",
            "ssh_host_keypair",
            "kubeadm_pki",
            "talos_secrets",
            "sealed_secrets_keypair",
            "k3s_token",
            "password",
            "value"
        )
    )]
    kind: Attr<String>,
    /// The secret itself, only for kind `value` and required there. Never in plan or state; a value with another fingerprint is written to the
    /// store.
    #[schema(optional, write_only, sensitive)]
    value_wo: Attr<Secret<String>>,
    /// Number of the version of `value_wo`, for those who are used to one. Not needed: the provider compares fingerprints. Without it the same
    /// happens.
    #[schema(optional)]
    value_wo_version: Attr<i64>,
    /// Any text, e.g. a date. A change makes a new secret in place of the old one; everything that takes this resource's `fingerprint` changes in
    /// the same apply. A `sealed_secrets_keypair` is renewed instead: the key stays, so what was sealed still opens, and gets a certificate
    /// for another year. Without it the secret is made once.
    #[schema(optional)]
    rotation: Attr<String>,
    /// Number of characters of a `password`. Acts when one is made; other kinds do not look at it.
    #[schema(default = 32, range(16..=256))]
    length: Attr<u32>,
    /// Whether a destroy is refused, already at plan.
    #[schema(default = false)]
    deletion_protection: Attr<bool>,
    /// Whether the store entry stays when the resource is destroyed.
    #[schema(default = false)]
    keep_on_destroy: Attr<bool>,
    /// Name of the store entry, the import id.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
    /// HMAC-SHA-256 of the secret under a key in the store. Unknown while a new secret is planned.
    #[schema(computed, keep_prior)]
    fingerprint: Attr<String>,
    /// What everybody may see, by name. SSH kinds: `public_key` (one line, without comment) and `fingerprint_sha256`. `kubeadm_pki`: `ca_hash`
    /// (`sha256:...`), `ca_cert_pem`, `front_proxy_ca_cert_pem`, `etcd_ca_cert_pem`. `talos_secrets`: the same certificates and
    /// `os_ca_cert_pem`. `sealed_secrets_keypair`: `certificate_pem`, `key_fingerprint` (`SHA256:...`), `not_after` (RFC 3339, UTC) and
    /// `older_keys`, the number of keys that only open. Other kinds: nothing.
    #[schema(computed, keep_prior)]
    public: Attr<BTreeMap<String, String>>,
    /// How long operations may take: durations like `90s`, `120m` or `1h30m`.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

#[allow(clippy::ptr_arg)] // the signature that `validate` takes
fn check_name(name: &String) -> Result<(), String> {
    Name::parse(name)
        .map(drop)
        .map_err(|error| error.to_string())
}

impl StoreSecret {
    fn entry_name(&self) -> Result<Name, Diagnostics> {
        let name = self.name.require("name")?;
        Name::parse(name).map_err(|error| store_failed("use", name, &error.into()))
    }

    fn parsed_kind(&self) -> Result<Kind, Diagnostics> {
        let word = self.kind.require("kind")?;
        Kind::parse(word).ok_or_else(|| {
            Diagnostics::invalid(
                Path::of("kind"),
                format!("This provider knows no secret of kind `{word}`."),
            )
        })
    }

    /// The value to put: supplied or generated, in place of `old`.
    async fn content(
        &self,
        config: &Self,
        old: Option<Secret<String>>,
    ) -> Result<Secret<String>, Diagnostics> {
        let kind = self.parsed_kind()?;
        if kind == Kind::Value {
            return config.value_wo.known().cloned().ok_or_else(|| {
                Diagnostics::invalid(Path::of("value_wo"), "A secret of kind `value` is supplied by you and must not be empty when it is made.")
            });
        }
        let name = self.name.text().to_owned();
        let length = self.length.known().copied().unwrap_or(32);
        let length = usize::try_from(length).unwrap_or(32);
        let make = move || {
            kind.rotate(old.as_ref(), &name, length)
                .map_err(|error| Diagnostics::failed("generate", "secret", &name, &error))
        };
        // An RSA key takes seconds of computing, in which other calls want answers.
        tokio::task::spawn_blocking(make)
            .await
            .expect("generating a secret does not panic")
    }

    async fn fill(&mut self, provider: &Strata, value: &Secret<String>) -> Result<(), Diagnostics> {
        let kind = self.parsed_kind()?;
        let public = kind
            .public(value)
            .map_err(|error| Diagnostics::failed("read", "secret", self.name.text(), &error))?;
        self.id = self.name.clone();
        self.fingerprint = Attr::Known(provider.fingerprint(value.expose().as_bytes()).await?);
        self.public = Attr::Known(public);
        Ok(())
    }

    fn adopted(&self) -> Diagnostics {
        Diagnostics::warning(
            format!("Adopted secret \"{}\"", self.name.text()),
            "The store had this entry already; it was kept as it is and is managed from now on.",
        )
    }
}

impl Resource for StoreSecret {
    type Provider = Strata;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Secrets";
    const TIMEOUTS: Limit = Limit::minutes(5, 2, 5, 5);

    fn validate(config: &Self, found: &mut Diagnostics) {
        let Some(kind) = config.kind.known() else {
            return;
        };
        match (kind == "value", &config.value_wo) {
            (true, Attr::Null) => {
                found.merge(Diagnostics::invalid(
                    Path::of("value_wo"),
                    "A secret of kind `value` is supplied by you: set `value_wo`.",
                ));
            }
            (false, Attr::Known(_)) => {
                found.merge(Diagnostics::invalid(Path::of("value_wo"), format!("A secret of kind `{kind}` is generated; leave `value_wo` out, or use kind `value`.")));
            }
            _ => {}
        }
    }

    async fn plan(
        cx: &Of<'_, Self>,
        change: Change<'_, Self>,
        mut planned: Planned<Self>,
    ) -> Result<Planned<Self>, Diagnostics> {
        let Some(prior) = change.prior() else {
            return Ok(planned);
        };
        let state = &mut planned.state;
        let supplied = match &change.config().value_wo {
            Attr::Null => false,
            Attr::Unknown => true,
            Attr::Known(value) => match cx
                .provider
                .fingerprint_if_possible(value.expose().as_bytes())
                .await
            {
                Ok(fingerprint) => {
                    fingerprint.as_deref() != prior.fingerprint.known().map(String::as_str)
                }
                Err(error) => {
                    // An unreadable store decides nothing: keep what there is and say so.
                    cx.warn(error);
                    false
                }
            },
        };
        // An import into a store that had no key for fingerprints yet could not make one.
        let unmarked = prior.fingerprint.is_null();
        if supplied || unmarked || state.rotation != prior.rotation {
            (state.fingerprint, state.public) = (Attr::Unknown, Attr::Unknown);
        }
        Ok(planned)
    }

    async fn plan_delete(_: &Of<'_, Self>, prior: &Self) -> Result<(), Diagnostics> {
        prior.refuse_protected()
    }

    async fn create(
        cx: &Of<'_, Self>,
        config: Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        let (name, store) = (planned.entry_name()?, cx.provider.store()?);
        let failed = |error| store_failed("write", name.as_str(), &error);
        // Looked up first, so that adopting a PKI does not cost the making of one.
        let content = if let Some(entry) = store.get(&name).await.map_err(failed)? {
            planned.adopt(cx, &config, entry)?
        } else if cx.provider.only_adopts() {
            return Err(Diagnostics::error(
                format!("Cannot adopt secret \"{name}\""),
                "The store has no such entry, and a new one would not be what the cluster was built with.",
            )
            .left("Nothing was made.")
            .hint("Restore the store that goes with the cluster, for example with ./bootstrap.sh kit restore FILE"));
        } else {
            let fresh = planned.content(&config, None).await?;
            match store.put_if_absent(&name, &fresh).await.map_err(failed)? {
                Put::Written(_) => fresh,
                Put::Exists(entry) => planned.adopt(cx, &config, entry)?,
            }
        };
        planned.fill(cx.provider, &content).await?;
        Ok(planned)
    }

    async fn read(cx: &Of<'_, Self>, mut prior: Self) -> Result<Found<Self>, Diagnostics> {
        let name = prior.entry_name()?;
        let kept =
            |found: Diagnostics| Ok(Found::Unknown(found.left("The last known state is kept.")));
        let store = cx.provider.store()?;
        let entry = match store.get(&name).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(prior.absent(&*store).await),
            Err(error) => return kept(store_failed("read", name.as_str(), &error)),
        };
        let imported = prior.fingerprint.is_null();
        if prior.kind.is_null() {
            prior.kind = Kind::of(entry.value.expose()).word().into();
        }
        let kind = prior.parsed_kind()?;
        prior.public = match kind.public(&entry.value) {
            Ok(public) => Attr::Known(public),
            Err(error) => {
                let wrong = Diagnostics::failed("read", "secret", name.as_str(), &error);
                return if imported { Err(wrong) } else { kept(wrong) };
            }
        };
        if imported && kind == Kind::Password {
            let length = entry.value.expose().chars().count();
            prior.length = u32::try_from(length).unwrap_or(u32::MAX).into();
        }
        prior.id = prior.name.clone();
        match cx
            .provider
            .fingerprint_if_possible(entry.value.expose().as_bytes())
            .await
        {
            Ok(Some(fingerprint)) => prior.fingerprint = Attr::Known(fingerprint),
            Ok(None) => {}
            Err(found) => return kept(found),
        }
        Ok(Found::Present(prior))
    }

    async fn update(
        cx: &Of<'_, Self>,
        config: Self,
        prior: Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        if !planned.fingerprint.is_unknown() {
            return Ok(planned);
        }
        let (name, store) = (planned.entry_name()?, cx.provider.store()?);
        let supplied = planned.parsed_kind()? == Kind::Value;
        let rotated = planned.rotation != prior.rotation;
        if supplied && rotated && config.value_wo.is_null() {
            return Err(Diagnostics::invalid(
                Path::of("rotation"),
                "A secret of kind `value` is rotated by a new `value_wo`.",
            ));
        }
        let failed = |verb| {
            let name = name.clone();
            move |error| store_failed(verb, name.as_str(), &error)
        };
        let old = store.get(&name).await.map_err(failed("read"))?;
        let old = old.map(|entry| entry.value);
        let content = match old {
            // Nothing is to be made: only the fingerprint was missing.
            Some(old) if !rotated && config.value_wo.is_null() => old,
            old => {
                let fresh = planned.content(&config, old).await?;
                store.put(&name, &fresh).await.map_err(failed("write"))?;
                fresh
            }
        };
        planned.fill(cx.provider, &content).await?;
        Ok(planned)
    }

    async fn delete(cx: &Of<'_, Self>, prior: Self) -> Result<(), Diagnostics> {
        prior.refuse_protected()?;
        if prior.keep_on_destroy == Attr::Known(true) {
            return Ok(());
        }
        let (name, store) = (prior.entry_name()?, cx.provider.store()?);
        let failed = |error| {
            store_failed("delete", name.as_str(), &error).left("The secret is still in the store.")
        };
        match store.delete(&name, Condition::Any).await.map_err(failed)? {
            Deleted::Absent => match prior.absent(&*store).await {
                Found::Unknown(found) => Err(found),
                _ => Ok(()),
            },
            Deleted::Removed | Deleted::Changed => Ok(()),
        }
    }

    async fn import(_: &Of<'_, Self>, id: &str) -> Result<Self, Diagnostics> {
        let (kind, name, rotation) = import_id(id);
        Name::parse(name).map_err(|error| store_failed("import", name, &error.into()))?;
        if let Some(word) = kind.filter(|word| Kind::parse(word).is_none()) {
            let words = Kind::ALL.map(Kind::word).join(", ");
            return Err(Diagnostics::error(
                format!("Cannot import secret \"{name}\""),
                format!("`{word}` is no kind of secret; these are: {words}."),
            ));
        }
        Ok(Self {
            name: name.into(),
            kind: kind.map(str::to_owned).into(),
            value_wo: Attr::Null,
            value_wo_version: Attr::Null,
            rotation: rotation.map(str::to_owned).into(),
            length: Attr::Known(32),
            deletion_protection: Attr::Known(false),
            keep_on_destroy: Attr::Known(false),
            id: name.into(),
            fingerprint: Attr::Null,
            public: Attr::Null,
            timeouts: Attr::Null,
        })
    }
}

/// `kind:name@rotation`, of which only the name must be there. Names have neither `:` nor `@`.
fn import_id(id: &str) -> (Option<&str>, &str, Option<&str>) {
    let (kind, rest) = match id.split_once(':') {
        Some((kind, rest)) => (Some(kind), rest),
        None => (None, id),
    };
    match rest.split_once('@') {
        Some((name, rotation)) => (kind, name, Some(rotation)),
        None => (kind, rest, None),
    }
}

impl StoreSecret {
    /// What it means that the entry is not there. Straight after an import nothing is known of the store yet.
    async fn absent(self, store: &dyn Store) -> Found<Self> {
        if self.fingerprint.is_null() {
            return Found::Gone;
        }
        match absence::doubt(store, "secret", self.name.text()).await {
            Some(found) => Found::Unknown(found),
            None => Found::Gone,
        }
    }

    /// The entry that is there already, if it may become ours.
    fn adopt(
        &self,
        cx: &Of<'_, Self>,
        config: &Self,
        entry: Entry,
    ) -> Result<Secret<String>, Diagnostics> {
        let name = self.name.text();
        if let Some(value) = config.value_wo.known() {
            if value.expose() != entry.value.expose() {
                return Err(Diagnostics::error(
                    format!("Cannot create secret \"{name}\""),
                    "The store has an entry of this name with another value.",
                )
                .left("The entry was not changed.")
                .hint("Take it over with `terraform import`, or choose another `name`."));
            }
            return Ok(entry.value);
        }
        self.parsed_kind()?.public(&entry.value).map_err(|error| {
            Diagnostics::failed("adopt", "secret", name, &error)
                .left("The entry was not changed.")
                .hint("Choose another `name`, or remove the entry from the store.")
        })?;
        cx.warn(self.adopted());
        Ok(entry.value)
    }

    fn refuse_protected(&self) -> Result<(), Diagnostics> {
        if self.deletion_protection != Attr::Known(true) {
            return Ok(());
        }
        Err(Diagnostics::error(
            format!("Cannot delete secret \"{}\"", self.name.text()),
            "`deletion_protection` is true.",
        )
        .left("The secret is unchanged.")
        .hint("Set `deletion_protection = false` and apply, then destroy."))
    }
}

#[cfg(test)]
#[path = "resource/tests.rs"]
mod tests;
