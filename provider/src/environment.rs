//! The world this process talks to: the lab or the real one, never both (FN9).
//!
//! In the lab every address and credential comes from the lab's control API (`GET $STRATA_LAB_URL/env`); the process's own variables
//! and configuration files of clouds are not even read. Outside the lab they are, and the lab's are not.

mod aws;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use tokio::sync::OnceCell;

use crate::http::client::{Client, Settings};
use crate::http::dial::Dialer;
use crate::secret::Secret;

/// Names the lab's control API; the only variable of the lab that is read.
pub const LAB_URL: &str = "STRATA_LAB_URL";

/// Of the process's variables only these are kept, and only outside the lab.
const PREFIXES: [&str; 11] = [
    "AWS_",
    "SCW_",
    "SCALEWAY_",
    "CLOUDFLARE_",
    "CF_",
    "VAULT_",
    "INFISICAL_",
    "PROXMOX_VE_",
    "HEADSCALE_",
    "STRATA_ECHO_",
    "STRATA_TALOS_",
];

/// Why the world cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster is in the lab and nobody said where the lab is.
    #[error("the cluster is in the lab, but {LAB_URL} is not set")]
    NoLab,
    /// The lab is on this machine, or it is not the lab.
    #[error("{LAB_URL} is `{0}`, which is not a loopback address like http://127.0.0.1:7070")]
    NotLoopback(String),
    /// The lab does not answer.
    #[error(transparent)]
    Unreachable(#[from] crate::http::client::Error),
    /// The lab's answer lacks something.
    #[error(
        "the lab's answer to GET /env has no usable {0}; it and this provider are of different versions"
    )]
    Incomplete(&'static str),
}

/// Variables that point clients at their services, and the dialer that reaches them.
#[derive(Debug, Clone)]
pub struct Environment {
    dialer: Dialer,
    speed: f64,
    variables: BTreeMap<String, String>,
    /// What the vendors' configuration files say, under the names of the variables.
    files: BTreeMap<String, String>,
}

impl Environment {
    /// The real world: the process's variables, and the cloud's configuration file where a variable is missing.
    pub fn real() -> Self {
        let process: BTreeMap<String, String> = std::env::vars().collect();
        let mut files = scaleway_file(&process);
        files.extend(aws::files(&process));
        let ours = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let variables = process.into_iter().filter(|(name, _)| ours(name)).collect();
        Self {
            dialer: Dialer::direct(),
            speed: 1.0,
            variables,
            files,
        }
    }

    /// The lab that `STRATA_LAB_URL` names.
    pub async fn lab() -> Result<Self, Error> {
        let url = std::env::var(LAB_URL)
            .ok()
            .filter(|url| !url.is_empty())
            .ok_or(Error::NoLab)?;
        Self::lab_at(&url).await
    }

    /// The lab at this control address.
    pub async fn lab_at(url: &str) -> Result<Self, Error> {
        let control = loopback(url).ok_or_else(|| Error::NotLoopback(url.into()))?;
        // Nothing else is reachable until the lab has named its ports.
        let dialer = Dialer::lab(control, [control]);
        let settings = Settings {
            service: "strata-lab",
            base: format!("http://{control}"),
            header: AUTHORIZATION,
            token: Secret::new(String::new()),
            speed: 1.0,
        };
        let client = Client::new(dialer, settings).expect("an empty credential is a legal header");
        let variables: BTreeMap<String, serde_json::Value> = client.get("env").send().await?;
        let text = |value: serde_json::Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        Self::lab_from(
            variables
                .into_iter()
                .map(|(name, value)| (name, text(value)))
                .collect(),
            control,
        )
    }

    /// The lab as its variables describe it.
    pub fn lab_from(
        variables: BTreeMap<String, String>,
        control: SocketAddr,
    ) -> Result<Self, Error> {
        let proxy = variables
            .get("STRATA_LAB_PROXY")
            .and_then(|text| loopback(text))
            .ok_or(Error::Incomplete("STRATA_LAB_PROXY"))?;
        let services = variables
            .values()
            .filter(|value| value.starts_with("http://") || value.starts_with("https://"))
            .filter_map(|value| loopback(value));
        let dialer = Dialer::lab(proxy, services.chain([control]));
        let speed = variables
            .get("STRATA_LAB_SPEED")
            .and_then(|text| text.parse().ok())
            .filter(|speed: &f64| *speed >= 1.0)
            .unwrap_or(1.0);
        Ok(Self {
            dialer,
            speed,
            variables,
            files: BTreeMap::new(),
        })
    }

    /// A world in which this machine alone is reached, for tests that serve an API themselves.
    #[cfg(test)]
    pub(crate) fn loopback() -> Self {
        Self {
            dialer: Dialer::loopback(),
            speed: 100.0,
            variables: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// The same with these variables changed.
    #[cfg(test)]
    pub(crate) fn with(mut self, changes: &[(&str, &str)]) -> Self {
        let changes = changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables.extend(changes);
        self
    }

    /// The one dialer.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Simulated seconds per second of the wall; 1 outside the lab.
    pub fn speed(&self) -> f64 {
        self.speed
    }

    /// Whether it is the lab.
    pub fn is_lab(&self) -> bool {
        self.dialer.is_lab()
    }

    /// A variable that is set and not empty, else what a vendor's configuration file says.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variable(name).or_else(|| self.file(name))
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// What a vendor's configuration file says, under the name of the variable.
    pub fn file(&self, name: &str) -> Option<&str> {
        self.files.get(name).map(String::as_str)
    }

    /// Variables and configuration files as given, outside the lab.
    #[cfg(test)]
    pub(crate) fn of(variables: BTreeMap<String, String>, files: BTreeMap<String, String>) -> Self {
        Self {
            dialer: Dialer::direct(),
            speed: 1.0,
            variables,
            files,
        }
    }
}

/// The world, looked for when it is first needed: what never needs it works without. Clones share what was found.
#[derive(Debug, Clone)]
pub struct OnDemand(Arc<Found>);

#[derive(Debug)]
struct Found {
    place: Place,
    environment: OnceCell<Environment>,
}

#[derive(Debug)]
enum Place {
    Real,
    /// At this control address, else at the one that `STRATA_LAB_URL` names.
    Lab(Option<String>),
}

impl OnDemand {
    /// The real world.
    pub fn real() -> Self {
        Self::at(Place::Real)
    }

    /// The lab, at this control address or where `STRATA_LAB_URL` says.
    pub fn lab(url: Option<String>) -> Self {
        Self::at(Place::Lab(url))
    }

    /// A world that is known already.
    pub fn of(environment: Environment) -> Self {
        let place = if environment.is_lab() {
            Place::Lab(None)
        } else {
            Place::Real
        };
        Self(Arc::new(Found {
            place,
            environment: OnceCell::new_with(Some(environment)),
        }))
    }

    fn at(place: Place) -> Self {
        Self(Arc::new(Found {
            place,
            environment: OnceCell::new(),
        }))
    }

    /// Whether it is the lab.
    pub fn is_lab(&self) -> bool {
        matches!(self.0.place, Place::Lab(_))
    }

    /// The world.
    pub async fn get(&self) -> Result<&Environment, Error> {
        let find = async || match &self.0.place {
            Place::Real => Ok(Environment::real()),
            Place::Lab(Some(url)) => Environment::lab_at(url).await,
            Place::Lab(None) => Environment::lab().await,
        };
        self.0.environment.get_or_try_init(find).await
    }
}

/// `http://127.0.0.1:7070/path` or `127.0.0.1:7070`, if it is a loopback address.
fn loopback(text: &str) -> Option<SocketAddr> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
        .unwrap_or(text);
    let authority = rest.split('/').next().unwrap_or_default();
    let address: SocketAddr = authority.replace("localhost", "127.0.0.1").parse().ok()?;
    address.ip().is_loopback().then_some(address)
}

/// The Scaleway configuration file as variables: the top level, and over it the profile that `SCW_PROFILE` or `active_profile` names.
fn scaleway_file(process: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let set = |name: &str| {
        process
            .get(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let folder = || {
        set("XDG_CONFIG_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".config")))
            .map(|folder| folder.join("scw"))
    };
    let candidates = match set("SCW_CONFIG_PATH") {
        Some(path) => vec![path],
        None => folder()
            .map(|folder| vec![folder.join("config.yaml"), folder.join("config.yml")])
            .unwrap_or_default(),
    };
    let text = candidates
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default();
    let file: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap_or_default();
    let profile = process
        .get("SCW_PROFILE")
        .map(String::as_str)
        .or_else(|| file["active_profile"].as_str())
        .unwrap_or("default");
    // Another profile's key would order at another account.
    if profile != "default" && file["profiles"][profile].is_null() {
        tracing::warn!(
            profile,
            "Scaleway's configuration file has no such profile; nothing is taken from it"
        );
        return BTreeMap::new();
    }
    let keys = [
        ("secret_key", "SCW_SECRET_KEY"),
        ("default_project_id", "SCW_DEFAULT_PROJECT_ID"),
        ("default_zone", "SCW_DEFAULT_ZONE"),
        ("api_url", "SCW_API_URL"),
    ];
    let value = |key: &str| {
        file["profiles"][profile][key]
            .as_str()
            .or_else(|| file[key].as_str())
            .map(str::to_owned)
    };
    keys.into_iter()
        .filter_map(|(key, name)| Some((name.to_owned(), value(key)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_counts_as_the_lab() {
        assert!(loopback("http://127.0.0.1:7070").is_some());
        assert!(loopback("http://localhost:7070/x").is_some());
        assert!(loopback("127.0.0.1:1").is_some());
        for other in [
            "http://10.0.0.1:80",
            "https://api.scaleway.com",
            "http://127.0.0.1.evil.test:80",
            "",
            "http://localhost.evil.test:1",
        ] {
            assert!(loopback(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_profile_lies_over_the_top_level_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, "secret_key: top\ndefault_zone: fr-par-1\nactive_profile: work\nprofiles:\n  work:\n    secret_key: work\n").unwrap();
        let mut process =
            BTreeMap::from([("SCW_CONFIG_PATH".to_owned(), path.display().to_string())]);
        assert_eq!(scaleway_file(&process)["SCW_SECRET_KEY"], "work");
        assert_eq!(scaleway_file(&process)["SCW_DEFAULT_ZONE"], "fr-par-1");
        process.insert("SCW_PROFILE".into(), "default".into());
        assert_eq!(scaleway_file(&process)["SCW_SECRET_KEY"], "top");
        process.insert("SCW_PROFILE".into(), "wrok".into());
        assert!(scaleway_file(&process).is_empty());
    }

    #[tokio::test]
    async fn the_lab_names_its_ports_and_nothing_else_is_reached() {
        let variables = BTreeMap::from([
            (
                "STRATA_LAB_PROXY".to_owned(),
                "http://127.0.0.1:2".to_owned(),
            ),
            ("STRATA_LAB_SPEED".to_owned(), "60".to_owned()),
            ("SCW_API_URL".to_owned(), "http://127.0.0.1:3".to_owned()),
        ]);
        let environment = Environment::lab_from(variables, "127.0.0.1:1".parse().unwrap()).unwrap();
        assert!((environment.speed() - 60.0).abs() < f64::EPSILON);
        let dial = async |port| {
            environment
                .dialer()
                .dial("127.0.0.1", port, std::time::Duration::from_secs(1))
                .await
                .unwrap_err()
        };
        assert!(dial(3).await.is_refused());
        assert!(matches!(
            dial(4).await,
            crate::http::dial::DialError::Forbidden { .. }
        ));
    }
}
