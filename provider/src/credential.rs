//! Credentials of platforms: under which names they are known, which source wins, and which one did - never the value.
//!
//! In this order: the entry of the store that the provider block names; the environment, under every usual name; the vendor's configuration
//! file; the entry of the store where it stands without anybody naming it. The store only fills what is still missing.

use std::fmt;

use crate::environment::Environment;
use crate::secret::Secret;
use crate::store::{self, Name, Store};

/// A credential and its usual names.
#[derive(Debug)]
pub struct Credential {
    /// Whose it is, like `Scaleway`.
    pub service: &'static str,
    /// Variables, the official one first.
    pub variables: &'static [&'static str],
    /// Entry of the store.
    pub entry: &'static str,
    /// What some of the variables may hold instead: such a value is passed over.
    accepts: fn(&str) -> bool,
}

/// Secret key of Scaleway's API. Older tools call it token, or access key; the access key of today is no secret and no UUID.
pub const SCALEWAY: Credential = Credential {
    service: "Scaleway",
    variables: &[
        "SCW_SECRET_KEY",
        "SCW_TOKEN",
        "SCALEWAY_TOKEN",
        "SCALEWAY_ACCESS_KEY",
    ],
    entry: "scaleway/secret-key",
    accepts: |value| !value.starts_with("SCW"),
};

/// Token of Cloudflare's API.
pub const CLOUDFLARE: Credential = Credential {
    service: "Cloudflare",
    variables: &["CLOUDFLARE_API_TOKEN", "CF_API_TOKEN"],
    entry: "cloudflare/api-token",
    accepts: |_| true,
};

/// Token of Proxmox's API, with the user it belongs to.
pub const PROXMOX: Credential = Credential {
    service: "Proxmox",
    variables: &["PROXMOX_VE_API_TOKEN"],
    entry: "proxmox/api_token",
    accepts: |value| value.contains('!') && value.contains('='),
};

/// Id of an access key of object storage. It goes with [`S3_SECRET`]; `crate::s3::keys` looks for both at once.
pub const S3_KEY: Credential = Credential {
    service: "S3",
    variables: &["AWS_ACCESS_KEY_ID"],
    entry: "s3/access-key-id",
    accepts: |_| true,
};

/// Secret of the same.
pub const S3_SECRET: Credential = Credential {
    service: "S3",
    variables: &["AWS_SECRET_ACCESS_KEY"],
    entry: "s3/secret-access-key",
    accepts: |_| true,
};

/// Key of Headscale's API. Its own command line knows it by the second name.
pub const HEADSCALE: Credential = Credential {
    service: "Headscale",
    variables: &["HEADSCALE_API_KEY", "HEADSCALE_CLI_API_KEY"],
    entry: "headscale/api_key",
    accepts: |_| true,
};

/// Where a credential was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The lab, which gives its own.
    Lab,
    /// A variable of the environment.
    Variable(&'static str),
    /// The vendor's configuration file.
    File,
    /// An entry of the store.
    Entry(String),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lab => out.write_str("the lab"),
            Self::Variable(name) => write!(out, "variable {name}"),
            Self::File => out.write_str("the vendor's configuration file"),
            Self::Entry(name) => write!(out, "store entry {name}"),
        }
    }
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nowhere.
    #[error("none of {variables} is set, and the store has no entry `{entry}`")]
    Nowhere {
        /// The variables that were looked at.
        variables: String,
        /// The entry.
        entry: String,
    },
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Credential {
    /// What environment and configuration file say, without a look at the store.
    fn outside(&self, environment: &Environment) -> Option<(Secret<String>, Source)> {
        let set = |name: &'static str| {
            let value = environment.variable(name)?;
            (self.accepts)(value).then_some((value, name))
        };
        let found = self.variables.iter().find_map(|name| set(name));
        let (value, source) = match found {
            Some((value, _)) if environment.is_lab() => (value, Source::Lab),
            Some((value, name)) => (value, Source::Variable(name)),
            None => (environment.file(self.variables[0])?, Source::File),
        };
        Some((Secret::new(value.to_owned()), source))
    }

    /// The value and where it was found. `named`: the entry that the provider block names, which then wins; not in the lab.
    pub async fn find(
        &self,
        environment: &Environment,
        named: Option<&str>,
        store: &dyn Store,
    ) -> Result<(Secret<String>, Source), Error> {
        let named = named.filter(|_| !environment.is_lab());
        let found = match self.outside(environment) {
            Some(found) if named.is_none() => Some(found),
            _ => {
                let entry = named.unwrap_or(self.entry);
                let name = Name::parse(entry).map_err(store::Error::from)?;
                let found = store.get(&name).await?;
                found.map(|found| (found.value, Source::Entry(entry.to_owned())))
            }
        };
        let (value, source) = found.ok_or_else(|| Error::Nowhere {
            variables: self.variables.join(", "),
            entry: named.unwrap_or(self.entry).to_owned(),
        })?;
        tracing::info!(service = self.service, %source, "credential found");
        Ok((value, source))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    async fn found(
        credential: &Credential,
        variables: &[(&str, &str)],
        file: &[(&str, &str)],
        named: Option<&str>,
        entries: &[(&str, &str)],
    ) -> Result<(String, String), String> {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            owned.collect()
        };
        let environment = Environment::of(map(variables), map(file));
        let folder = tempfile::tempdir().unwrap();
        let (path, identity) = (folder.path().join("store"), folder.path().join("identity"));
        let store = store::file::File::new(path, identity, &[]).unwrap();
        for (name, value) in entries {
            let value = Secret::new((*value).to_owned());
            store
                .put(&Name::parse(name).unwrap(), &value)
                .await
                .unwrap();
        }
        let found = credential.find(&environment, named, &store).await;
        found
            .map(|(value, source)| (value.expose().clone(), source.to_string()))
            .map_err(|error| error.to_string())
    }

    fn won(value: &str, source: &str) -> (String, String) {
        (value.into(), source.into())
    }

    #[tokio::test]
    async fn provider_block_environment_file_store_in_that_order() {
        let store = [
            ("scaleway/secret-key", "of the store"),
            ("other/key", "named"),
        ];
        let file = [("SCW_SECRET_KEY", "of the file")];
        let old = [("SCALEWAY_TOKEN", "old"), ("SCW_TOKEN", "older name")];
        let all = [("SCW_SECRET_KEY", "official"), ("SCW_TOKEN", "older name")];
        let find = async |variables: &[(&str, &str)], file: &[(&str, &str)], named| {
            found(&SCALEWAY, variables, file, named, &store).await
        };
        assert_eq!(
            find(&all, &file, Some("other/key")).await.unwrap(),
            won("named", "store entry other/key")
        );
        assert_eq!(
            find(&all, &file, None).await.unwrap(),
            won("official", "variable SCW_SECRET_KEY")
        );
        assert_eq!(
            find(&old, &file, None).await.unwrap(),
            won("older name", "variable SCW_TOKEN")
        );
        assert_eq!(
            find(&[], &file, None).await.unwrap(),
            won("of the file", "the vendor's configuration file")
        );
        assert_eq!(
            find(&[], &[], None).await.unwrap(),
            won("of the store", "store entry scaleway/secret-key")
        );
        // What is named must be there: nothing else is taken in its place.
        let error = find(&all, &file, Some("third/key")).await.unwrap_err();
        assert!(error.contains("`third/key`"), "{error}");
    }

    #[tokio::test]
    async fn usual_names_count_and_an_access_key_is_no_secret_key() {
        let short = [("CF_API_TOKEN", "short")];
        assert_eq!(
            found(&CLOUDFLARE, &short, &[], None, &[]).await.unwrap(),
            won("short", "variable CF_API_TOKEN")
        );
        let access = [("SCALEWAY_ACCESS_KEY", "SCWXXXXXXXXXXXXXXXXX")];
        let error = found(&SCALEWAY, &access, &[], None, &[]).await.unwrap_err();
        assert!(
            error.contains("SCW_SECRET_KEY") && error.contains("`scaleway/secret-key`"),
            "{error}"
        );
        let former = [(
            "SCALEWAY_ACCESS_KEY",
            "6d5f0c5e-0f0e-4a53-9f0e-3f3f7f1c2a10",
        )];
        let (_, source) = found(&SCALEWAY, &former, &[], None, &[]).await.unwrap();
        assert_eq!(source, "variable SCALEWAY_ACCESS_KEY");
    }
}
