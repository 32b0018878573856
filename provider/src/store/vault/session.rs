//! A Vault that was found, with a token for it: where address, token, namespace and CA come from, and what is looked at before the first use.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::super::{Error, Name, Result};
use crate::environment::{Environment, OnDemand};
use crate::http::client::{Client, Error as HttpError, Settings, escape};
use crate::secret::Secret;

/// A token that would end sooner is renewed, when it can be.
const SOON_SECONDS: u64 = 3600;

/// Which secrets are meant, as configured.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: Option<String>,
    namespace: Option<String>,
    pub(super) mount: String,
    pub(super) path: String,
}

impl Target {
    pub(super) fn new(settings: &strata_cluster::Store, cluster: &str) -> Self {
        let path = settings
            .path
            .clone()
            .unwrap_or_else(|| format!("clusters/{cluster}"));
        let mount = settings.mount.as_deref().unwrap_or("secret");
        Self {
            url: settings.url.clone(),
            namespace: settings.namespace.clone(),
            mount: mount.trim_matches('/').to_owned(),
            path: path.trim_matches('/').to_owned(),
        }
    }

    /// `<mount>/<api>/<path>/<name>`, escaped word by word.
    pub(super) fn route(&self, api: &str, name: &str) -> String {
        let words = |text: &str| {
            text.split('/')
                .filter(|word| !word.is_empty())
                .map(escape)
                .collect::<Vec<_>>()
        };
        let mut route = words(&self.mount);
        route.push(api.to_owned());
        route.extend(words(&self.path));
        route.extend(words(name));
        route.join("/")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vault {}/{}", self.mount, self.path)
    }
}

/// A Vault that answered, and whose engine is the right one.
pub(super) struct Session {
    pub(super) http: Client,
    pub(super) target: Target,
}

impl Session {
    /// Finds address and token, looks whether the engine is KV version 2, and renews a token that ends soon.
    pub(super) async fn open(target: &Target, environment: &OnDemand) -> Result<Self> {
        let unusable = |reason: String| Error::Unusable {
            location: target.to_string(),
            reason,
        };
        let environment = environment
            .get()
            .await
            .map_err(|error| unusable(error.to_string()))?;
        let lab = environment.is_lab();
        // In the lab the address of the cluster file would be a real one.
        let url = target
            .url
            .as_deref()
            .filter(|_| !lab)
            .or_else(|| environment.get("VAULT_ADDR"))
            .ok_or_else(|| {
                unusable("no address is known; set `url` of the store, or VAULT_ADDR".into())
            })?;
        let base = url.trim_end_matches('/').trim_end_matches("/v1");
        if !lab && !base.starts_with("https://") {
            return Err(unusable(format!(
                "{base} is not https, and secrets would travel in the clear; give Vault a certificate and use https"
            )));
        }
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let (token, source) = token(environment, home.as_deref()).ok_or_else(|| unusable(
            "no token is known; set VAULT_TOKEN, or run `vault login`, which writes ~/.vault-token (token helpers are not run)".into(),
        ))?;
        tracing::info!(
            store = "vault",
            address = base,
            token = source,
            "credential found"
        );
        let settings = Settings {
            service: "vault",
            base: format!("{base}/v1"),
            header: HeaderName::from_static("x-vault-token"),
            token,
            speed: environment.speed(),
        };
        let dialer = environment.dialer().clone();
        let bad = |error: crate::http::client::BadCredential| unusable(error.to_string());
        let mut http = match trust(environment).map_err(&unusable)? {
            Some(tls) => Client::with_tls(dialer, tls, settings).map_err(bad)?,
            None => Client::new(dialer, settings).map_err(bad)?,
        };
        // What an agent that guards against requests from browsers asks for; harmless otherwise.
        http = http.with_header(
            HeaderName::from_static("x-vault-request"),
            HeaderValue::from_static("true"),
        );
        let namespace = target
            .namespace
            .as_deref()
            .filter(|_| !lab)
            .or_else(|| environment.get("VAULT_NAMESPACE"));
        if let Some(namespace) = namespace {
            let value = HeaderValue::from_str(namespace.trim_matches('/'))
                .map_err(|_| unusable("`namespace` is not a path like `team/a`".into()))?;
            http = http.with_header(HeaderName::from_static("x-vault-namespace"), value);
        }
        let session = Self {
            http,
            target: target.clone(),
        };
        session.check_engine().await?;
        session.renew_token_if_it_ends_soon().await;
        Ok(session)
    }

    /// KV version 1 has no check-and-set. Without the right to look, version 2 is assumed.
    async fn check_engine(&self) -> Result<()> {
        let mount = &self.target.mount;
        let unusable = |reason: String| {
            Err(Error::Unusable {
                location: self.target.to_string(),
                reason,
            })
        };
        let (kind, version) = match self.engine().await {
            Ok(engine) => engine,
            Err(error)
                if error
                    .status()
                    .is_some_and(|status| status == 403 || status == 404) =>
            {
                return Ok(());
            }
            Err(error) => return Err(self.sort_all("read", "*", error).await),
        };
        if kind != "kv" {
            return unusable(format!(
                "`{mount}` is an engine of type {kind}; set `mount` of the store to a KV version 2 engine"
            ));
        }
        if version.as_deref() != Some("2") {
            return unusable(format!(
                "`{mount}` is a KV version 1 engine, which cannot tell who wrote first; run `vault kv enable-versioning {mount}`, or set `mount` of the store to a KV version 2 engine"
            ));
        }
        Ok(())
    }

    async fn renew_token_if_it_ends_soon(&self) {
        let Ok(token) = self.token().await else {
            return;
        };
        // 0 is a root token, which does not end.
        if token.renewable && (1..SOON_SECONDS).contains(&token.ttl) {
            match self.renew().await {
                Ok(seconds) => tracing::info!(seconds, "renewed the token of Vault"),
                Err(error) => {
                    tracing::warn!(%error, seconds = token.ttl, "the token of Vault ends soon and cannot be renewed");
                }
            }
        }
    }

    /// An error of an entry in the words of the store.
    pub(super) async fn sort(&self, verb: &'static str, name: &Name, error: HttpError) -> Error {
        self.sort_all(verb, name.as_str(), error).await
    }

    /// The same for what is not one entry. A 403 says neither whether the token is bad nor whether it may not; asking about itself does.
    pub(super) async fn sort_all(&self, verb: &'static str, name: &str, error: HttpError) -> Error {
        let (name, location) = (name.to_owned(), self.target.to_string());
        let status = error.status().map_or(0, |status| status.as_u16());
        if status == 403 {
            let reason = match self.token().await {
                Ok(token) => format!(
                    "the token is valid, and none of its policies ({}) lets it {verb} this; a store needs create, read, update and delete on {}/data/{}/*, update on {}/delete/{}/*, list on {}/metadata/{}/*",
                    token.policies.join(", "),
                    self.target.mount,
                    self.target.path,
                    self.target.mount,
                    self.target.path,
                    self.target.mount,
                    self.target.path
                ),
                Err(asked) if asked.status().is_some_and(|status| status == 403) =>
                    "the token is not valid or has expired; log in again with `vault login`, or set VAULT_TOKEN (or, rarely, its policies forbid even looking at itself)".into(),
                Err(asked) => format!("permission denied, and why was not to be found out: {asked}"),
            };
            return Error::Denied {
                name,
                location,
                reason,
            };
        }
        let hint = match &error {
            HttpError::Status { body, .. } if status == 503 && body.contains("sealed") => {
                "; unseal it and run again"
            }
            _ => "",
        };
        Error::Failed {
            verb,
            name,
            location,
            reason: format!("{error}{hint}"),
        }
    }
}

/// The token and where it was found.
fn token(environment: &Environment, home: Option<&Path>) -> Option<(Secret<String>, &'static str)> {
    if let Some(token) = environment.get("VAULT_TOKEN") {
        return Some((Secret::new(token.trim().to_owned()), "VAULT_TOKEN"));
    }
    // In the lab nothing of the person's own is read.
    if environment.is_lab() {
        return None;
    }
    let text = std::fs::read_to_string(home?.join(".vault-token")).ok()?;
    let token = text.trim();
    (!token.is_empty()).then(|| (Secret::new(token.to_owned()), "~/.vault-token"))
}

/// The CA that `VAULT_CACERT` (a file) or `VAULT_CACERT_BYTES` names, instead of the platform's.
fn trust(environment: &Environment) -> Result<Option<Arc<rustls::ClientConfig>>, String> {
    let (text, source) = match (
        environment.get("VAULT_CACERT"),
        environment.get("VAULT_CACERT_BYTES"),
    ) {
        (Some(path), _) => (
            std::fs::read_to_string(path).map_err(|error| {
                format!("VAULT_CACERT names {path}, which cannot be read: {error}")
            })?,
            "VAULT_CACERT",
        ),
        (None, Some(text)) => (text.to_owned(), "VAULT_CACERT_BYTES"),
        (None, None) => return Ok(None),
    };
    let unusable = |error: String| format!("{source} holds no usable PEM certificate: {error}");
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        roots
            .add(certificate.map_err(|error| unusable(error.to_string()))?)
            .map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it is empty".into()));
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| unusable(error.to_string()))?
    .with_root_certificates(roots)
    .with_no_client_auth();
    Ok(Some(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(BTreeMap::new(), BTreeMap::new()).with(variables)
    }

    #[test]
    fn the_variable_beats_the_file_that_login_writes() {
        let home = tempfile::tempdir().unwrap();
        let find = |variables: &[(&str, &str)]| {
            let found = token(&environment(variables), Some(home.path()));
            found.map(|(token, source)| (token.expose().clone(), source))
        };
        assert_eq!(find(&[]), None);
        std::fs::write(home.path().join(".vault-token"), "hvs.file\n").unwrap();
        assert_eq!(find(&[]), Some(("hvs.file".into(), "~/.vault-token")));
        let both = find(&[("VAULT_TOKEN", " hvs.variable ")]);
        assert_eq!(both, Some(("hvs.variable".into(), "VAULT_TOKEN")));
    }

    #[test]
    fn a_ca_of_ones_own_is_read_from_file_or_variable_and_never_ignored() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["vault.example.org".into()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, certificate.pem()).unwrap();
        let path = path.display().to_string();
        assert!(trust(&environment(&[])).unwrap().is_none());
        for (name, value) in [
            ("VAULT_CACERT", path.as_str()),
            ("VAULT_CACERT_BYTES", certificate.pem().as_str()),
        ] {
            assert!(
                trust(&environment(&[(name, value)])).unwrap().is_some(),
                "{name}"
            );
        }
        for (name, value) in [
            ("VAULT_CACERT", "/nowhere/ca.pem"),
            ("VAULT_CACERT_BYTES", "no certificate"),
        ] {
            let error = trust(&environment(&[(name, value)])).unwrap_err();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[tokio::test]
    async fn secrets_do_not_travel_in_the_clear() {
        let settings = strata_cluster::Store {
            url: Some("http://vault.example.org:8200".into()),
            ..strata_cluster::Store::default()
        };
        let world = OnDemand::of(environment(&[("VAULT_TOKEN", "hvs.x")]));
        let opened = Session::open(&Target::new(&settings, "home"), &world).await;
        let error = opened.err().unwrap().to_string();
        assert!(error.contains("not https"), "{error}");
    }
}
