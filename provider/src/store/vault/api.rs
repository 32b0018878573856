//! The calls of the KV version 2 engine and of the token, below `/v1`: <https://developer.hashicorp.com/vault/api-docs>

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::super::Name;
use super::session::Session;
use crate::http::client::{Error, Request};
use crate::secret::Secret;

/// Tries while a replica says that it has not caught up (412).
const TRIES: u32 = 4;
const CATCH_UP: Duration = Duration::from_millis(1250);
/// What the engine answers with 400 when somebody else wrote first.
const MISMATCH: &str = "check-and-set parameter did not match";

/// What is at a path.
#[derive(Debug)]
pub(super) enum Slot {
    /// Nothing, or a deleted version: a new one must name this version (0: there was never one).
    Empty {
        /// Current version.
        version: u64,
    },
    /// A secret.
    Live {
        /// Its version.
        version: u64,
        /// Its keys.
        data: Map<String, Value>,
    },
}

/// What a check-and-set came to.
pub(super) enum Write {
    /// This version is ours.
    Done {
        /// Version.
        version: u64,
    },
    /// Another version is there.
    Mismatch,
}

/// What a token says about itself.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    /// Seconds left; 0 for a root token.
    #[serde(default)]
    pub(super) ttl: u64,
    /// When it ends; null for a root token.
    #[serde(default)]
    pub(super) expire_time: Option<Timestamp>,
    /// Whether it can be renewed.
    #[serde(default)]
    pub(super) renewable: bool,
    /// Names of its policies.
    #[serde(default)]
    pub(super) policies: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Versioned {
    data: Option<Map<String, Value>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

impl Session {
    async fn send<'a, T: DeserializeOwned>(
        &'a self,
        request: impl Fn() -> Request<'a>,
    ) -> Result<T, Error> {
        for _ in 1..TRIES {
            match request().send().await {
                Err(error) if error.status().is_some_and(|status| status == 412) => {
                    tokio::time::sleep(self.http.scaled(CATCH_UP)).await;
                }
                answer => return answer,
            }
        }
        request().send().await
    }

    /// The current version of a secret.
    pub(super) async fn read(&self, name: &Name) -> Result<Slot, Error> {
        let route = self.target.route("data", name.as_str());
        let versioned = match self
            .send::<Envelope<Versioned>>(|| self.http.get(route.as_str()))
            .await
        {
            Ok(envelope) => envelope.data,
            // A deleted version is told with 404 and its metadata; no version at all with 404 and no errors.
            Err(Error::Status { status, body, .. }) if status == 404 && is_empty(&body) => {
                let version = deleted_version(&body);
                return Ok(Slot::Empty { version });
            }
            Err(error) => return Err(error),
        };
        let version = versioned.metadata.version;
        Ok(match versioned.data {
            Some(data) => Slot::Live { version, data },
            None => Slot::Empty { version },
        })
    }

    /// Writes a version on top of `version`. With the same nonce it may be sent twice: the second try finds the first.
    pub(super) async fn write(
        &self,
        name: &Name,
        version: u64,
        value: &Secret<String>,
        nonce: &str,
    ) -> Result<Write, Error> {
        let route = self.target.route("data", name.as_str());
        let body = json!({
            "options": { "cas": version },
            "data": { "value": value.expose(), "nonce": nonce },
        });
        match self
            .send::<Envelope<Metadata>>(|| self.http.post(route.as_str()).json(&body).repeatable())
            .await
        {
            Ok(envelope) => Ok(Write::Done {
                version: envelope.data.version,
            }),
            Err(Error::Status { status, body, .. }) if status == 400 && body.contains(MISMATCH) => {
                Ok(Write::Mismatch)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the newest version softly.
    pub(super) async fn delete_latest(&self, name: &Name) -> Result<(), Error> {
        let route = self.target.route("data", name.as_str());
        self.send::<Value>(|| self.http.delete(route.as_str()))
            .await
            .map(drop)
    }

    /// Deletes exactly this version softly; a newer one stays what it is.
    pub(super) async fn delete_version(&self, name: &Name, version: u64) -> Result<(), Error> {
        let route = self.target.route("delete", name.as_str());
        let body = json!({ "versions": [version] });
        self.send::<Value>(|| self.http.post(route.as_str()).json(&body).repeatable())
            .await
            .map(drop)
    }

    /// Names in a folder, folders with a final `/`; deleted ones among them.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<String>,
        }
        let route = format!("{}?list=true", self.target.route("metadata", folder));
        match self
            .send::<Envelope<Keys>>(|| self.http.get(route.as_str()))
            .await
        {
            Ok(envelope) => Ok(envelope.data.keys),
            Err(Error::Status { status, body, .. }) if status == 404 && is_empty(&body) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Type and version of the engine at the mount.
    pub(super) async fn engine(&self) -> Result<(String, Option<String>), Error> {
        #[derive(Deserialize)]
        struct Engine {
            #[serde(rename = "type")]
            kind: String,
            options: Option<Map<String, Value>>,
        }
        let route = format!("sys/internal/ui/mounts/{}", self.target.mount);
        let engine = self
            .send::<Envelope<Engine>>(|| self.http.get(route.as_str()))
            .await?
            .data;
        let version = engine
            .options
            .and_then(|options| Some(options.get("version")?.as_str()?.to_owned()));
        Ok((engine.kind, version))
    }

    /// What the token says about itself.
    pub(super) async fn token(&self) -> Result<Token, Error> {
        Ok(self
            .send::<Envelope<Token>>(|| self.http.get("auth/token/lookup-self"))
            .await?
            .data)
    }

    /// Asks for more time; gives the seconds that were granted.
    pub(super) async fn renew(&self) -> Result<u64, Error> {
        let answer: Value = self
            .send(|| {
                self.http
                    .post("auth/token/renew-self")
                    .json(&json!({}))
                    .repeatable()
            })
            .await?;
        Ok(answer["auth"]["lease_duration"]
            .as_u64()
            .unwrap_or_default())
    }
}

/// Whether a 404 is the engine's "nothing there": its own form, and no error in it. A page of a proxy, or "no handler for route", proves nothing.
fn is_empty(body: &str) -> bool {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match body.get("errors") {
        Some(errors) => errors.as_array().is_some_and(Vec::is_empty),
        None => body.pointer("/data/metadata/version").is_some(),
    }
}

fn deleted_version(body: &str) -> u64 {
    serde_json::from_str::<Value>(body)
        .unwrap_or_default()
        .pointer("/data/metadata/version")
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_engines_own_answer_proves_absence() {
        assert!(is_empty(r#"{"errors":[]}"#));
        let deleted = r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-01-02T03:04:05Z","destroyed":false,"version":3}}}"#;
        assert!(is_empty(deleted));
        assert_eq!((deleted_version(deleted), deleted_version("{}")), (3, 0));
        for other in [
            r#"{"errors":["no handler for route \"nowhere/data/x\""]}"#,
            "<html>Not Found</html>",
            "",
            r#"{"message":"not found"}"#,
        ] {
            assert!(!is_empty(other), "{other}");
        }
    }
}
