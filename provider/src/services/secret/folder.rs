//! Ephemeral `strata_secrets`: the values of all store entries below a folder, for the length of one operation.

use std::collections::BTreeMap;

use strata_framework::{Attr, Cx, Diagnostics, Ephemeral, Opened, Path, Schema, Secret};

use crate::provider::{Strata, store_failed};
use crate::store::Name;

/// The values of all secrets below a folder of the store.
///
/// Use it where many secrets go to one place, in write-only attributes and other ephemeral places; nothing of it is in plan or state. Entries
/// that a `strata_secret` of the same configuration makes are named in `fingerprints`: so this waits until they exist, and never gives
/// another one than was planned with.
///
/// # Permissions
///
/// Read in the store below the folder and of the age identity (see the provider's page). No API is called.
///
/// # Errors
///
/// - "The store entry is not the one that `fingerprints` names": somebody changed it meanwhile. Run `terraform apply -refresh-only` where the
///   secret is managed, then try again.
/// - "`fingerprints` names an entry that is not there": the name is relative to the folder.
#[derive(Schema, Clone, Debug)]
#[schema(name = "secrets", version = 0)]
pub struct EphemeralSecrets {
    /// Folder of the store without a slash at the end, e.g. `apps/shop`. Entries of folders below it count, too.
    #[schema(required, validate = check_folder)]
    folder: Attr<String>,
    /// Fingerprints of managed secrets by name below the folder, e.g. `{ password = strata_secret.shop.fingerprint }`. Entries that are not
    /// listed are read as they are. Without it none is waited for.
    #[schema(optional)]
    fingerprints: Attr<BTreeMap<String, String>>,
    /// Names of the entries below the folder, sorted.
    #[schema(computed)]
    names: Attr<Vec<String>>,
    /// Their values by name, whole entries as they stand in the store.
    #[schema(computed, sensitive)]
    values: Attr<BTreeMap<String, Secret<String>>>,
}

#[allow(clippy::ptr_arg)] // the signature that `validate` takes
fn check_folder(folder: &String) -> Result<(), String> {
    Name::parse(folder)
        .map(drop)
        .map_err(|error| error.to_string())
}

impl Ephemeral for EphemeralSecrets {
    type Provider = Strata;
    type Model = Self;
    type Lease = ();
    const SUBCATEGORY: &'static str = "Secrets";

    async fn open(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Opened<Self, ()>, Diagnostics> {
        let folder = config.folder.require("folder")?.clone();
        let (store, prefix) = (cx.provider.store()?, format!("{folder}/"));
        let listed = store.list(&prefix).await;
        let listed = listed.map_err(|error| store_failed("list", &folder, &error))?;
        let mut values = BTreeMap::new();
        for name in listed {
            let found = store.get(&name).await;
            let found = found.map_err(|error| store_failed("read", name.as_str(), &error))?;
            // Deleted between the two calls: it is not there.
            if let (Some(entry), Some(short)) = (found, name.as_str().strip_prefix(&prefix)) {
                values.insert(short.to_owned(), entry.value);
            }
        }
        for (name, wanted) in config.fingerprints.or_default() {
            let refused = |sentence: &str| {
                Diagnostics::error(format!("Cannot read secret \"{prefix}{name}\""), sentence)
                    .at(Path::of("fingerprints").key(&name))
            };
            let Some(value) = values.get(&name) else {
                return Err(refused("`fingerprints` names an entry that is not there.")
                    .hint("Names in `fingerprints` are relative to `folder`."));
            };
            let bytes = value.expose().as_bytes();
            let fingerprint = cx.provider.fingerprint_if_possible(bytes).await?;
            if fingerprint.as_deref() != Some(wanted.as_str()) {
                return Err(refused("The store entry is not the one that `fingerprints` names: it was changed meanwhile.")
                    .hint("Run `terraform apply -refresh-only` where the secret is managed, then try again."));
            }
        }
        config.names = Attr::Known(values.keys().cloned().collect());
        config.values = Attr::Known(values);
        Ok(Opened::new(config))
    }
}

#[cfg(test)]
mod tests {
    use strata_framework::Harness;

    use super::*;
    use crate::provider::tests::provider;

    #[tokio::test]
    async fn a_folder_gives_what_is_below_it_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let harness = Harness::new(provider(folder.path()));
        let store = harness.cx::<()>().provider.store().unwrap();
        for name in ["apps/shop/password", "apps/shop/db/token", "apps/shopping"] {
            let value = Secret::new(format!("value of {name}"));
            store
                .put(&Name::parse(name).unwrap(), &value)
                .await
                .unwrap();
        }
        let provider = harness.cx::<()>().provider;
        let fingerprint = provider.fingerprint(b"value of apps/shop/password").await;
        let open = async |name: &str, fingerprint: &str| {
            let config = EphemeralSecrets {
                folder: "apps/shop".into(),
                fingerprints: Attr::Known([(name.to_owned(), fingerprint.to_owned())].into()),
                names: Attr::Unknown,
                values: Attr::Unknown,
            };
            EphemeralSecrets::open(&harness.cx(), config).await
        };
        let fingerprint = fingerprint.unwrap();
        let opened = open("password", &fingerprint).await.unwrap();
        let opened = opened.result();
        assert_eq!(opened.names.or_default(), ["db/token", "password"]);
        let values = opened.values.or_default();
        assert_eq!(values["db/token"].expose(), "value of apps/shop/db/token");
        assert!(!format!("{opened:?}").contains("value of"));

        let error = open("password", "another").await.unwrap_err();
        assert!(error.to_string().contains("changed meanwhile"), "{error}");
        let error = open("shop/password", &fingerprint).await.unwrap_err();
        assert!(error.to_string().contains("is not there"), "{error}");
    }
}
