//! Ephemeral `strata_secret`: the value of a store entry, for the length of one operation.

use strata_framework::{Attr, Cx, Diagnostics, Ephemeral, Opened, Path, Schema, Secret};

use super::kind::{Kind, public_line};
use crate::provider::Strata;

/// The value of a secret in the store.
///
/// Use it in provider blocks, write-only attributes and other ephemeral places; it is never in plan or state. It takes the fingerprint of
/// the managed secret, so that it waits until the secret exists and never gives another one than was planned with.
///
/// # Permissions
///
/// Read in the store's folder and of the age identity (see the provider's page). No API is called.
///
/// # Errors
///
/// - "The store entry is not the one that `fingerprint` names": somebody changed it meanwhile. Run `terraform apply -refresh-only` where the
///   secret is managed, then try again.
#[derive(Schema, Clone, Debug)]
#[schema(name = "secret", version = 0)]
pub struct EphemeralSecret {
    /// Name of the store entry, e.g. `ssh/operator`.
    #[schema(required)]
    name: Attr<String>,
    /// The managed secret's fingerprint: `strata_secret.<name>.fingerprint`.
    #[schema(required)]
    fingerprint: Attr<String>,
    /// Private key in OpenSSH format; null for other kinds than SSH keys.
    #[schema(computed, sensitive)]
    private_key: Attr<Secret<String>>,
    /// Public key as one line, without comment; null for other kinds than SSH keys.
    #[schema(computed)]
    public_key: Attr<String>,
    /// The secret itself; null for SSH keys.
    #[schema(computed, sensitive)]
    value: Attr<Secret<String>>,
}

impl Ephemeral for EphemeralSecret {
    type Provider = Strata;
    type Model = Self;
    type Lease = ();
    const SUBCATEGORY: &'static str = "Secrets";

    async fn open(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Opened<Self, ()>, Diagnostics> {
        let name = config.name.require("name")?.clone();
        let entry = cx.provider.entry(&name).await?;
        let fingerprint = cx
            .provider
            .fingerprint_if_possible(entry.expose().as_bytes())
            .await?;
        if fingerprint.as_deref() != config.fingerprint.known().map(String::as_str) {
            return Err(Diagnostics::error(format!("Cannot read secret \"{name}\""), "The store entry is not the one that `fingerprint` names: it was changed meanwhile.")
                .hint("Run `terraform apply -refresh-only` where the secret is managed, then try again.")
                .at(Path::of("fingerprint")));
        }
        (config.private_key, config.public_key, config.value) =
            (Attr::Null, Attr::Null, Attr::Null);
        if Kind::of(entry.expose()) == Kind::SshKeypair {
            let failed =
                |error: &dyn std::error::Error| Diagnostics::failed("read", "secret", &name, error);
            let key = russh::keys::PrivateKey::from_openssh(entry.expose())
                .map_err(|error| failed(&error))?;
            config.public_key = Attr::Known(public_line(&key).map_err(|error| failed(&error))?);
            config.private_key = Attr::Known(entry);
        } else {
            config.value = Attr::Known(entry);
        }
        Ok(Opened::new(config))
    }
}
