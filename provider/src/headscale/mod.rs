//! Headscale's REST API, as far as the registration of nodes by key goes: <https://headscale.net/stable/ref/api/>. Releases 0.26 to 0.30.
//!
//! Guarantees: a key is sent with its end, because one without has ended; it is for one use; what names a key is what its release takes (since 0.28 its number, before
//! that user and text). A node or key that is gone already is success when it is taken away. Numbers are read as texts, users as texts or objects.
//!
//! ```text
//! connect(environment, url, token)             nothing is dialled yet
//! client.user("k8s").await?                    User, or Error::NoUser
//! client.mint(&user, end, tags).await?         Minted: the only time that the key is seen
//! client.keys(&user).await?, client.expire(&user, &key).await?
//! client.nodes().await?, client.delete_node(id).await?
//! client.end_of_api_key(token).await?          for the table of what ends when
//! ```

mod wire;

use std::sync::{Arc, Mutex};

use http::StatusCode;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub use self::wire::{Key, Node, User};
use crate::environment::Environment;
use crate::http::client::{self as web, BadCredential, Client, Settings, escape};
use crate::secret::Secret;

/// How far clocks may be apart before the end of a key is worked out anew.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(1);

/// Why Headscale did not do it. No variant holds a key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 401.
    #[error("Headscale at {0} refuses the API key: it is wrong, or its time is over")]
    Key(String),
    /// No such user.
    #[error("Headscale at {url} has no user {user}")]
    NoUser {
        /// Address of the server.
        url: String,
        /// The name.
        user: String,
    },
    /// An answer without what it is for.
    #[error("Headscale's answer to {0} cannot be read: it has no {1}")]
    Answer(&'static str, &'static str),
    /// Everything else.
    #[error(transparent)]
    Http(#[from] web::Error),
}

impl Error {
    /// Whether asking again is of no use.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Key(_) | Self::NoUser { .. } => true,
            Self::Answer(..) => false,
            Self::Http(error) => !error.is_transient(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Key(_) => "Make another key where Headscale runs (`headscale apikeys create`), and set HEADSCALE_API_KEY or the store entry `headscale/api_key`.".into(),
            Self::NoUser { user, .. } => format!("Make it where Headscale runs: `headscale users create {user}`."),
            _ => "Look whether Headscale runs, and run apply again: it goes on from here.".into(),
        }
    }
}

/// A key right after it was made.
pub struct Minted {
    /// Its number.
    pub id: String,
    /// The key.
    pub value: Secret<String>,
    /// When it was made, by the server's clock.
    created: Option<Timestamp>,
}

/// Where nodes log in, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Address of the server.
    pub url: String,
    /// User that they belong to.
    pub user: String,
}

impl Place {
    /// As configured; in the lab always the lab's own. `None`: one of them is missing.
    pub fn of(environment: &Environment, url: Option<&str>, user: Option<&str>) -> Option<Self> {
        let (url, user) = if environment.is_lab() {
            (
                environment.get("HEADSCALE_URL"),
                environment.get("HEADSCALE_USER"),
            )
        } else {
            (url, user)
        };
        Some(Self {
            url: url?.trim_end_matches('/').to_owned(),
            user: user?.to_owned(),
        })
    }
}

/// Headscale as one process sees it.
pub struct Headscale {
    http: Client,
    url: String,
    /// How far the server's clock is ahead of ours, as far as it is known.
    ahead: Mutex<SignedDuration>,
    /// One list for all refreshes of the process, dropped at the first write.
    listed: tokio::sync::Mutex<Option<Arc<Vec<Node>>>>,
}

/// The API at this address.
///
/// # Errors
/// The key cannot be sent in a header.
pub fn connect(
    environment: &Environment,
    url: &str,
    token: Secret<String>,
) -> Result<Headscale, BadCredential> {
    let settings = Settings {
        service: "headscale",
        base: url.trim_end_matches('/').to_owned(),
        header: AUTHORIZATION,
        token,
        speed: environment.speed(),
    };
    let http = Client::new(environment.dialer().clone(), settings)?.with_decisions(is_decision);
    Ok(Headscale {
        http,
        url: url.trim_end_matches('/').to_owned(),
        ahead: Mutex::default(),
        listed: tokio::sync::Mutex::default(),
    })
}

/// The gateway of releases before 0.30 gives most refusals the status of an outage, and a number that says which they are.
fn is_decision(_: StatusCode, body: &str) -> bool {
    let code = serde_json::from_str::<Value>(body).unwrap_or_default();
    matches!(code["code"].as_u64(), Some(3 | 5 | 6 | 7 | 9 | 16))
}

impl Headscale {
    fn error(&self, error: web::Error) -> Error {
        if error.status() == Some(StatusCode::UNAUTHORIZED) {
            return Error::Key(self.url.clone());
        }
        error.into()
    }

    async fn get(&self, path: String) -> Result<Value, Error> {
        self.http
            .get(path)
            .send()
            .await
            .map_err(|error| self.error(error))
    }

    /// The user of this name.
    pub async fn user(&self, name: &str) -> Result<User, Error> {
        let answer = self
            .get(format!("api/v1/user?name={}", escape(name)))
            .await?;
        let users = wire::list(&answer, "users", wire::user);
        let found = users.into_iter().find(|user| user.name == name);
        found.ok_or_else(|| Error::NoUser {
            url: self.url.clone(),
            user: name.to_owned(),
        })
    }

    /// When a key that is made now should end, with a fraction of a second that tells it from every other: keys carry no name.
    pub fn end_of_key(&self, life: SignedDuration) -> Timestamp {
        let ahead = *self.ahead.lock().expect("no panic while held");
        let whole = (Timestamp::now() + ahead + life).as_second();
        let fraction = i64::from(rand::random::<u32>() % 1_000_000);
        Timestamp::from_microsecond(whole * 1_000_000 + fraction).unwrap_or(Timestamp::MAX)
    }

    /// Makes a key for one use.
    pub async fn mint(
        &self,
        user: &User,
        end: Timestamp,
        tags: &[String],
    ) -> Result<Minted, Error> {
        let body = json!({
            "user": user.id, "reusable": false, "ephemeral": false, "expiration": end.to_string(), "aclTags": tags,
        });
        let answer = self.http.post("api/v1/preauthkey").json(&body).send().await;
        let answer: Value = answer.map_err(|error| self.error(error))?;
        let key = wire::key(&answer["preAuthKey"])
            .filter(|key| !key.text.is_empty() && !key.is_masked())
            .ok_or(Error::Answer("POST api/v1/preauthkey", "key"))?;
        Ok(Minted {
            id: key.id,
            value: Secret::new(key.text),
            created: key.created,
        })
    }

    /// Whether a key's end was worked out by a clock that is not the server's. From then on the server's is known.
    pub fn is_of_another_clock(&self, key: &Minted) -> bool {
        let Some(created) = key.created else {
            return false;
        };
        let seen = created.duration_since(Timestamp::now());
        let mut ahead = self.ahead.lock().expect("no panic while held");
        let wrong = (seen - *ahead).abs() > TOLERANCE;
        if wrong {
            *ahead = seen;
        }
        wrong
    }

    /// The keys of a user. Their texts may be masked.
    pub async fn keys(&self, user: &User) -> Result<Vec<Key>, Error> {
        // Later releases take no filter and list the keys of all.
        let answer = self
            .get(format!("api/v1/preauthkey?user={}", escape(&user.id)))
            .await?;
        Ok(wire::list(&answer, "preAuthKeys", wire::key))
    }

    /// Ends a key that was listed.
    pub async fn expire(&self, user: &User, key: &Key) -> Result<(), Error> {
        let body = if key.is_masked() {
            json!({"id": key.id})
        } else {
            json!({"user": user.id, "key": key.text})
        };
        let expire = self.http.post("api/v1/preauthkey/expire").json(&body);
        match expire.repeatable().send::<Value>().await {
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(self.error(error)),
            Ok(_) => Ok(()),
        }
    }

    /// All nodes, as they are now.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        let answer = self.get("api/v1/node".into()).await?;
        Ok(wire::list(&answer, "nodes", wire::node))
    }

    /// All nodes, as one refresh sees them.
    pub async fn listed(&self) -> Result<Arc<Vec<Node>>, Error> {
        let mut listed = self.listed.lock().await;
        if let Some(nodes) = listed.as_ref() {
            return Ok(Arc::clone(nodes));
        }
        let nodes = Arc::new(self.nodes().await?);
        *listed = Some(Arc::clone(&nodes));
        Ok(nodes)
    }

    /// Something changed.
    pub async fn forget(&self) {
        *self.listed.lock().await = None;
    }

    /// Takes a node away. What a release says of one that is not there differs, so the list decides.
    pub async fn delete_node(&self, id: &str) -> Result<(), Error> {
        self.forget().await;
        let deleted = self.http.delete(format!("api/v1/node/{}", escape(id)));
        match deleted.send::<Value>().await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => {
                let gone = self.nodes().await.is_ok_and(|nodes| {
                    let is_it = |node: &Node| node.id == id;
                    !nodes.iter().any(is_it)
                });
                if gone { Ok(()) } else { Err(self.error(error)) }
            }
        }
    }

    /// When the API key ends that we come with; `None`: the server does not say.
    pub async fn end_of_api_key(&self, token: &Secret<String>) -> Result<Option<Timestamp>, Error> {
        let answer = self.get("api/v1/apikey".into()).await?;
        Ok(wire::end_of_api_key(&answer, token.expose()))
    }
}
