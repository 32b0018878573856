//! An Infisical that was found, and the login: one per process, renewed or repeated when it ends, never repeated when it was refused.
//!
//! A refused login counts towards the lockout of the identity, so the refusal is remembered and told to everybody who asks later.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::AUTHORIZATION;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::super::{Error, Name, Result};
use crate::environment::OnDemand;
use crate::http::client::{Client, Error as HttpError, Request, Settings};
use crate::http::dial::Dialer;
use crate::secret::Secret;

const DEFAULT_URL: &str = "https://eu.infisical.com";
const CLIENT_ID: &str = "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID";
const CLIENT_SECRET: &str = "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET";
/// A login that ends sooner is not used any more.
const MARGIN: Duration = Duration::from_mins(1);

/// Which folder is meant, as configured.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: Option<String>,
    project: Option<String>,
    pub(super) environment: String,
    pub(super) path: String,
}

impl Target {
    pub(super) fn new(settings: &strata_cluster::Store, cluster: &str) -> Self {
        let path = settings
            .path
            .clone()
            .unwrap_or_else(|| format!("/clusters/{cluster}"));
        Self {
            url: settings.url.clone(),
            project: settings.project.clone(),
            environment: settings
                .environment
                .clone()
                .unwrap_or_else(|| "prod".to_owned()),
            path: format!("/{}", path.trim_matches('/')),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "infisical {}:{}", self.environment, self.path)
    }
}

/// Why a call did not give what was asked for.
#[derive(Debug)]
pub(super) enum Fault {
    Http(HttpError),
    /// The login was refused, or the value may not be seen.
    Denied(String),
    /// The change waits for approval.
    Pending,
    /// Project or environment do not exist.
    Unusable(String),
}

impl From<HttpError> for Fault {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl Fault {
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_lost())
    }

    /// This entry's error in the words of the store.
    pub(super) fn of(self, verb: &'static str, name: &Name, target: &Target) -> Error {
        self.of_all(verb, name.as_str(), target)
    }

    /// The same for what is not one entry.
    pub(super) fn of_all(self, verb: &'static str, name: &str, target: &Target) -> Error {
        let (name, location) = (name.to_owned(), target.to_string());
        match self {
            Self::Denied(reason) => Error::Denied {
                name,
                location,
                reason,
            },
            Self::Http(error) if error.status().is_some_and(|s| s == 401 || s == 403) => {
                Error::Denied {
                    name,
                    location,
                    reason: format!(
                        "{error}; the machine identity needs a role that may read, create, edit and delete secrets and create folders there"
                    ),
                }
            }
            Self::Pending => Error::Pending { name, location },
            Self::Unusable(reason) => Error::Unusable { location, reason },
            Self::Http(error) => Error::Failed {
                verb,
                name,
                location,
                reason: error.to_string(),
            },
        }
    }
}

/// An identity of an Infisical.
pub(super) struct Session {
    pub(super) target: Target,
    pub(super) project: String,
    /// The server knows version 3 of the API only.
    pub(super) old: AtomicBool,
    /// Folders that are known to exist.
    pub(super) folders: Mutex<HashSet<String>>,
    /// Whether project and environment are known to exist.
    pub(super) confirmed: OnceCell<()>,
    dialer: Dialer,
    base: String,
    speed: f64,
    identity: Identity,
    login: tokio::sync::Mutex<State>,
}

struct Identity {
    id: String,
    secret: Secret<String>,
    organization: Option<String>,
}

enum State {
    Out,
    In(Login),
    /// The service said no; asking again would lock the identity.
    Refused(String),
}

struct Login {
    client: Arc<Client>,
    token: Secret<String>,
    since: Instant,
    /// `None`: it does not end.
    until: Option<Instant>,
    /// Until when it can be renewed at most.
    limit: Option<Instant>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    #[serde(deserialize_with = "secret")]
    access_token: Secret<String>,
    #[serde(default)]
    expires_in: u64,
    #[serde(rename = "accessTokenMaxTTL", default)]
    max_ttl: u64,
}

impl Session {
    /// Finds address, project and identity. Logs in when the first call is made.
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
        // In the lab address and project of the cluster file would be real ones.
        let url = target
            .url
            .as_deref()
            .filter(|_| !lab)
            .or_else(|| environment.get("INFISICAL_HOST"))
            .or_else(|| Some(DEFAULT_URL).filter(|_| !lab))
            .ok_or_else(|| unusable("this lab has no Infisical".into()))?;
        let base = url.trim_end_matches('/').trim_end_matches("/api");
        if !lab && !base.starts_with("https://") {
            return Err(unusable(format!(
                "{base} is not https, and secrets would travel in the clear; use an https address"
            )));
        }
        let project = target
            .project
            .as_deref()
            .filter(|_| !lab)
            .or_else(|| environment.get("INFISICAL_PROJECT_ID"))
            .ok_or_else(|| {
                unusable(
                    "no project is known; set `project` of the store, or INFISICAL_PROJECT_ID"
                        .into(),
                )
            })?;
        let (Some(id), Some(secret)) = (environment.get(CLIENT_ID), environment.get(CLIENT_SECRET))
        else {
            return Err(unusable(format!(
                "no machine identity is known; set {CLIENT_ID} and {CLIENT_SECRET}"
            )));
        };
        tracing::info!(
            store = "infisical",
            address = base,
            identity = CLIENT_ID,
            "credential found"
        );
        Ok(Self {
            target: target.clone(),
            project: project.to_owned(),
            old: AtomicBool::new(false),
            folders: Mutex::default(),
            confirmed: OnceCell::new(),
            dialer: environment.dialer().clone(),
            base: base.to_owned(),
            speed: environment.speed(),
            identity: Identity {
                id: id.to_owned(),
                secret: Secret::new(secret.to_owned()),
                organization: environment
                    .get("INFISICAL_AUTH_ORGANIZATION_SLUG")
                    .map(str::to_owned),
            },
            login: tokio::sync::Mutex::new(State::Out),
        })
    }

    /// Makes a call as the identity; once more after a new login, when the token turns out to be no good any more.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: impl for<'a> Fn(&'a Client) -> Request<'a>,
    ) -> Result<T, Fault> {
        let client = self.client().await?;
        match request(&client).send().await {
            Err(error) if is_bad_token(&error) => {
                self.forget(&client).await;
                let client = self.client().await?;
                Ok(request(&client).send().await?)
            }
            answer => Ok(answer?),
        }
    }

    /// The client of the present login.
    async fn client(&self) -> Result<Arc<Client>, Fault> {
        let mut state = self.login.lock().await;
        let login = match &*state {
            State::Refused(reason) => return Err(Fault::Denied(reason.clone())),
            State::In(login) if login.is_good(self.scaled(MARGIN)) => {
                return Ok(login.client.clone());
            }
            State::In(login) => match self.renew(login).await {
                Some(login) => login,
                None => self.log_in(&mut state).await?,
            },
            State::Out => self.log_in(&mut state).await?,
        };
        let client = login.client.clone();
        *state = State::In(login);
        Ok(client)
    }

    async fn forget(&self, client: &Arc<Client>) {
        let mut state = self.login.lock().await;
        // Of many calls that fail together only the first ends the login.
        if matches!(&*state, State::In(login) if Arc::ptr_eq(&login.client, client)) {
            *state = State::Out;
        }
    }

    async fn log_in(&self, state: &mut State) -> Result<Login, Fault> {
        let mut body = json!({
            "clientId": self.identity.id,
            "clientSecret": self.identity.secret.expose(),
        });
        if let Some(organization) = &self.identity.organization {
            body["organizationSlug"] = organization.as_str().into();
        }
        let client = self.connect(Secret::new(String::new()))?;
        let since = Instant::now();
        let granted: Result<Granted, HttpError> = client
            .post("api/v1/auth/universal-auth/login")
            .json(&body)
            .repeatable()
            .send()
            .await;
        match granted {
            Ok(granted) => self.logged_in(granted, since),
            Err(error) if error.is_transient() => Err(error.into()),
            Err(error) => {
                let reason = format!(
                    "the login of machine identity {} was refused ({error}); it is not tried again in this run, because that would lock the identity; check {CLIENT_ID} and {CLIENT_SECRET}",
                    self.identity.id
                );
                *state = State::Refused(reason.clone());
                Err(Fault::Denied(reason))
            }
        }
    }

    /// A renewal that would pass the longest life of the token fails and destroys it, so that is not tried.
    async fn renew(&self, login: &Login) -> Option<Login> {
        let now = Instant::now();
        let length = login.until?.duration_since(login.since);
        if now >= login.until? || login.limit? < now + length {
            return None;
        }
        let client = self.connect(Secret::new(String::new())).ok()?;
        let granted: Granted = client
            .post("api/v1/auth/token/renew")
            .json(&json!({ "accessToken": login.token.expose() }))
            .send()
            .await
            .ok()?;
        let renewed = self.logged_in(granted, now).ok()?;
        Some(Login {
            limit: login.limit,
            ..renewed
        })
    }

    fn logged_in(&self, granted: Granted, since: Instant) -> Result<Login, Fault> {
        let end = |seconds: u64| {
            (seconds > 0)
                .then(|| since.checked_add(self.scaled(Duration::from_secs(seconds))))
                .flatten()
        };
        Ok(Login {
            client: Arc::new(self.connect(granted.access_token.clone())?),
            until: end(granted.expires_in),
            limit: end(granted.max_ttl),
            token: granted.access_token,
            since,
        })
    }

    fn connect(&self, token: Secret<String>) -> Result<Client, Fault> {
        let settings = Settings {
            service: "infisical",
            base: self.base.clone(),
            header: AUTHORIZATION,
            token,
            speed: self.speed,
        };
        Client::new(self.dialer.clone(), settings)
            .map_err(|error| Fault::Unusable(error.to_string()))
    }

    pub(super) fn scaled(&self, duration: Duration) -> Duration {
        duration.div_f64(self.speed.max(1.0))
    }
}

impl Login {
    fn is_good(&self, margin: Duration) -> bool {
        self.until
            .is_none_or(|until| Instant::now() + margin < until)
    }
}

fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// 403 has two meanings here: `TokenError` says that the token is no good, everything else that the identity may not.
fn is_bad_token(error: &HttpError) -> bool {
    let HttpError::Status { status, body, .. } = error else {
        return false;
    };
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    *status == 401 || (*status == 403 && body["error"] == "TokenError")
}
