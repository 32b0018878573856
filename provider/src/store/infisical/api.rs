//! The calls on secrets and folders: <https://infisical.com/docs/api-reference/endpoints/secrets/list>
//!
//! Version 4 of the API is spoken; a server that does not know it is spoken to in version 3 from then on.

use std::sync::atomic::Ordering;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::session::{Fault, Session};
use super::value::HIDDEN;
use crate::http::client::{Client, Error as HttpError, Request, escape};
use crate::secret::Secret as Shy;

/// Key of the metadata that holds the nonce of a put.
pub(super) const NONCE: &str = "strata-nonce";

/// A secret as Infisical describes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Secret {
    #[serde(default)]
    id: Option<String>,
    /// The same in older servers; most answer with both.
    #[serde(rename = "_id", default)]
    old_id: Option<String>,
    #[serde(default)]
    version: u64,
    #[serde(rename = "secretKey")]
    key: String,
    #[serde(rename = "secretPath", default)]
    path: Option<String>,
    #[serde(rename = "secretValue", default, deserialize_with = "secret_text")]
    value: Option<Shy<String>>,
    #[serde(rename = "secretValueHidden", default)]
    hidden: bool,
    #[serde(rename = "secretMetadata", default)]
    metadata: Option<Vec<Pair>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: String,
}

impl Secret {
    /// The nonce of the put that wrote it, if it was one of ours.
    pub(super) fn nonce(&self) -> Option<&str> {
        let pairs = self.metadata.as_deref().unwrap_or_default();
        let pair = pairs.iter().find(|pair| pair.key == NONCE)?;
        Some(&pair.value)
    }

    /// The nonce that callers see: a change by a person counts up the version and keeps the rest.
    pub(super) fn tag(&self) -> String {
        let id = self.id.as_deref().or(self.old_id.as_deref());
        let mark = self.nonce().or(id).unwrap_or_default();
        format!("{mark}.{}", self.version)
    }

    /// The text that is stored; `None`: it may not be seen.
    pub(super) fn text(&self) -> Option<&str> {
        let text = self.value.as_ref()?.expose();
        (!self.hidden && text != HIDDEN).then_some(text)
    }

    /// Among secrets of one key everybody takes the smallest for the first: what a person made, then by nonce.
    pub(super) fn rank(&self) -> (bool, Option<&str>) {
        let id = self.id.as_deref().or(self.old_id.as_deref());
        (self.nonce().is_some(), self.nonce().or(id))
    }

    /// Folder and key.
    pub(super) fn place(&self) -> (Option<&str>, &str) {
        (self.path.as_deref(), &self.key)
    }

    /// Its metadata with our nonce in it; what others put there stays.
    pub(super) fn metadata(&self, nonce: &str) -> Value {
        let pairs = self.metadata.iter().flatten();
        let others = pairs.filter(|pair| pair.key != NONCE);
        others
            .map(|pair| json!({ "key": pair.key, "value": pair.value }))
            .chain([json!({ "key": NONCE, "value": nonce })])
            .collect()
    }
}

/// What a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// Secrets of the folder and of those below, without values.
    NamesBelow,
    /// Secrets of the folder alone, without values.
    Names,
    /// The same with values.
    Values,
}

/// What a creation came to.
pub(super) enum Created {
    /// It is ours.
    Done(Secret),
    /// The key exists.
    Exists,
    /// The folder does not exist.
    NoFolder,
}

/// The answer to a change.
#[derive(Deserialize)]
struct Changed {
    secret: Option<Secret>,
    approval: Option<Value>,
}

impl Changed {
    fn done(self) -> Result<Secret, Fault> {
        match self {
            Self {
                approval: Some(_), ..
            } => Err(Fault::Pending),
            Self {
                secret: Some(secret),
                ..
            } => Ok(secret),
            Self { .. } => Err(Fault::Unusable(
                "it answered a change with neither the secret nor an approval".into(),
            )),
        }
    }
}

/// Of one version of the API: where secrets are, and what a project is called.
#[derive(Clone, Copy)]
struct Version {
    secrets: &'static str,
    project: &'static str,
}

const NEW: Version = Version {
    secrets: "api/v4/secrets",
    project: "projectId",
};
const OLD: Version = Version {
    secrets: "api/v3/secrets/raw",
    project: "workspaceId",
};

impl Session {
    async fn either<T: DeserializeOwned>(
        &self,
        request: impl for<'a> Fn(&'a Client, Version) -> Request<'a>,
    ) -> Result<T, Fault> {
        if !self.old.load(Ordering::Relaxed) {
            match self.call(|client| request(client, NEW)).await {
                Err(Fault::Http(error)) if is_route_absent(&error) => {
                    tracing::info!(
                        "this Infisical does not know version 4 of the API; using version 3"
                    );
                    self.old.store(true, Ordering::Relaxed);
                }
                answer => return answer,
            }
        }
        self.call(|client| request(client, OLD)).await
    }

    fn query(&self, version: Version, folder: &str, rest: &str) -> String {
        // Defaults differ between versions, so every flag is sent, in both spellings.
        format!(
            "{}={}&environment={}&secretPath={}&includeImports=false&include_imports=false&{rest}",
            version.project,
            escape(&self.project),
            escape(&self.target.environment),
            escape(folder),
        )
    }

    fn body(&self, version: Version, folder: &str, rest: Value) -> Value {
        let mut body = rest;
        body[version.project] = self.project.as_str().into();
        body["environment"] = self.target.environment.as_str().into();
        body["secretPath"] = folder.into();
        body["type"] = "shared".into();
        body
    }

    /// One secret of a folder; `None`: neither it nor, perhaps, its folder exist.
    pub(super) async fn secret(&self, folder: &str, key: &str) -> Result<Option<Secret>, Fault> {
        #[derive(Deserialize)]
        struct One {
            secret: Secret,
        }
        let answer = self
            .either::<One>(|client, version| {
                let query = self.query(
                    version,
                    folder,
                    "type=shared&viewSecretValue=true&expandSecretReferences=true",
                );
                client.get(format!("{}/{}?{query}", version.secrets, escape(key)))
            })
            .await;
        match answer {
            Ok(One { secret }) => Ok(Some(secret)),
            Err(Fault::Http(error)) if is_absent(&error) => {
                self.confirm().await?;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// The secrets of a folder, or of it and those below.
    pub(super) async fn secrets(&self, folder: &str, view: View) -> Result<Vec<Secret>, Fault> {
        #[derive(Deserialize)]
        struct All {
            secrets: Vec<Secret>,
        }
        let answer = self
            .either::<All>(|client, version| {
                let rest = format!(
                    "recursive={}&viewSecretValue={}&expandSecretReferences=false",
                    view == View::NamesBelow,
                    view == View::Values
                );
                let query = self.query(version, folder, &rest);
                client.get(format!("{}?{query}", version.secrets))
            })
            .await;
        match answer {
            Ok(All { secrets }) => Ok(secrets),
            Err(Fault::Http(error)) if is_absent(&error) => {
                self.confirm().await?;
                Ok(Vec::new())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Makes a secret, unless the key exists. May be sent twice: the second try meets the first, which carries our nonce.
    pub(super) async fn create(
        &self,
        folder: &str,
        key: &str,
        text: &str,
        nonce: &str,
    ) -> Result<Created, Fault> {
        let rest = json!({
            "secretValue": text,
            "skipMultilineEncoding": true,
            "secretMetadata": [{ "key": NONCE, "value": nonce }],
        });
        let answer = self
            .either::<Changed>(|client, version| {
                client
                    .post(format!("{}/{}", version.secrets, escape(key)))
                    .json(&self.body(version, folder, rest.clone()))
                    .repeatable()
            })
            .await;
        match answer {
            Ok(changed) => changed.done().map(Created::Done),
            // "Secret already exist" is the service's own spelling.
            Err(Fault::Http(error)) if says(&error, 400, "already exist") => Ok(Created::Exists),
            Err(Fault::Http(error)) if is_absent(&error) => Ok(Created::NoFolder),
            Err(fault) => Err(fault),
        }
    }

    /// Changes a secret; `None`: it does not exist.
    pub(super) async fn update(
        &self,
        folder: &str,
        key: &str,
        text: &str,
        metadata: Value,
    ) -> Result<Option<Secret>, Fault> {
        let rest = json!({
            "secretValue": text,
            "skipMultilineEncoding": true,
            "secretMetadata": metadata,
        });
        let answer = self
            .either::<Changed>(|client, version| {
                client
                    .patch(format!("{}/{}", version.secrets, escape(key)))
                    .json(&self.body(version, folder, rest.clone()))
                    .repeatable()
            })
            .await;
        match answer {
            Ok(changed) => changed.done().map(Some),
            Err(Fault::Http(error)) if is_absent(&error) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Deletes a secret; false: it did not exist.
    pub(super) async fn remove(&self, folder: &str, key: &str) -> Result<bool, Fault> {
        let answer = self
            .either::<Changed>(|client, version| {
                client
                    .delete(format!("{}/{}", version.secrets, escape(key)))
                    .json(&self.body(version, folder, json!({})))
            })
            .await;
        match answer {
            Ok(changed) => changed.done().map(|_| true),
            Err(Fault::Http(error)) if is_absent(&error) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Makes a folder and those above it.
    pub(super) async fn make_folder(&self, folder: &str) -> Result<(), Fault> {
        let mut above = String::from("/");
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            let path = format!("{}/{name}", above.trim_end_matches('/'));
            if !self.knows(&path) {
                self.make_one_folder(&above, name).await?;
                self.folders
                    .lock()
                    .expect("no panic while held")
                    .insert(path.clone());
            }
            above = path;
        }
        Ok(())
    }

    fn knows(&self, folder: &str) -> bool {
        self.folders
            .lock()
            .expect("no panic while held")
            .contains(folder)
    }

    /// What was believed about folders was wrong: somebody deleted one.
    pub(super) fn forget_folders(&self) {
        self.folders.lock().expect("no panic while held").clear();
    }

    async fn make_one_folder(&self, above: &str, name: &str) -> Result<(), Fault> {
        let body = |project: &str| json!({ project: self.project, "environment": self.target.environment, "name": name, "path": above });
        let make = async |route: &'static str, project: &'static str| -> Result<Value, Fault> {
            self.call(|client| client.post(route).json(&body(project)).repeatable())
                .await
        };
        let mut answer = make("api/v2/folders", "projectId").await;
        if matches!(&answer, Err(Fault::Http(error)) if is_route_absent(error)) {
            answer = make("api/v1/folders", "workspaceId").await;
        }
        match answer {
            Ok(answer) if answer.get("approval").is_some() => Err(Fault::Pending),
            Ok(_) => Ok(()),
            // Servers before version 2 of this call refuse what exists.
            Err(Fault::Http(error))
                if says(&error, 409, "") || says(&error, 400, "already exist") =>
            {
                Ok(())
            }
            Err(Fault::Http(error)) if is_absent(&error) => Err(self.no_environment()),
            Err(fault) => Err(fault),
        }
    }

    /// A wrong environment answers like an empty one, so before the first absence is believed it is looked at.
    async fn confirm(&self) -> Result<(), Fault> {
        let look = async || {
            let query = |project: &str| {
                format!(
                    "{project}={}&environment={}&path=%2F",
                    escape(&self.project),
                    escape(&self.target.environment)
                )
            };
            let mut answer: Result<Value, Fault> = self
                .call(|client| client.get(format!("api/v2/folders?{}", query("projectId"))))
                .await;
            if matches!(&answer, Err(Fault::Http(error)) if is_route_absent(error)) {
                answer = self
                    .call(|client| client.get(format!("api/v1/folders?{}", query("workspaceId"))))
                    .await;
            }
            match answer {
                Err(Fault::Http(error)) if is_absent(&error) => Err(self.no_environment()),
                // Who may not look at the top has nothing to go by but the answer about the secret.
                Err(Fault::Http(error))
                    if error.status().is_some_and(|status| status == 403)
                        || is_route_absent(&error) =>
                {
                    Ok(())
                }
                answer => answer.map(drop),
            }
        };
        self.confirmed.get_or_try_init(look).await.map(drop)
    }

    fn no_environment(&self) -> Fault {
        Fault::Unusable(format!(
            "project {} has no environment `{}`, or the machine identity is no member of it; check `project` and `environment` of the store (the environment's slug, not its name)",
            self.project, self.target.environment
        ))
    }
}

fn secret_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Shy<String>>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Shy::new))
}

fn envelope(error: &HttpError, wanted: u16) -> Option<Value> {
    let HttpError::Status { status, body, .. } = error else {
        return None;
    };
    if *status != wanted {
        return None;
    }
    serde_json::from_str(body).ok()
}

fn says(error: &HttpError, status: u16, text: &str) -> bool {
    envelope(error, status)
        .is_some_and(|body| body["message"].as_str().unwrap_or_default().contains(text))
}

/// Infisical itself says that there is no such thing.
fn is_absent(error: &HttpError) -> bool {
    envelope(error, 404).is_some_and(|body| is_own(&body))
}

/// A 404 of the web framework or of a proxy: there is no such call.
fn is_route_absent(error: &HttpError) -> bool {
    error.is_not_found() && !is_absent(error)
}

/// The framework's own 404 is JSON, too: `{"message":"Route GET:/x not found","error":"Not Found","statusCode":404}`.
fn is_own(body: &Value) -> bool {
    body["message"]
        .as_str()
        .is_some_and(|message| !message.starts_with("Route "))
        && body["error"] != "Not Found"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_secret_and_a_missing_route_are_told_apart() {
        assert!(is_own(
            &json!({ "reqId": "req-1", "statusCode": 404, "message": "Secret with name 'A' not found", "error": "NotFound" })
        ));
        for other in [
            json!({ "message": "Route GET:/api/v4/secrets/a not found", "error": "Not Found", "statusCode": 404 }),
            json!({}),
            Value::Null,
        ] {
            assert!(!is_own(&other), "{other}");
        }
    }

    #[test]
    fn the_nonce_is_ours_or_the_secrets_own_and_counts_versions() {
        let secret = |json: Value| serde_json::from_value::<Secret>(json).unwrap();
        let theirs = secret(
            json!({ "id": "s-1", "_id": "s-1", "version": 2, "secretKey": "a", "secretMetadata": [{ "key": "team", "value": "x" }] }),
        );
        assert_eq!((theirs.tag().as_str(), theirs.nonce()), ("s-1.2", None));
        assert_eq!(
            theirs.metadata("n"),
            json!([{ "key": "team", "value": "x" }, { "key": NONCE, "value": "n" }])
        );
        let ours = secret(
            json!({ "id": "s-1", "version": 1, "secretKey": "a", "secretMetadata": [{ "key": NONCE, "value": "n" }] }),
        );
        assert_eq!(ours.tag(), "n.1");
    }

    #[test]
    fn the_mask_is_not_a_value() {
        for json in [
            json!({ "secretKey": "a", "secretValue": HIDDEN }),
            json!({ "secretKey": "a", "secretValue": "x", "secretValueHidden": true }),
            json!({ "secretKey": "a" }),
        ] {
            assert_eq!(serde_json::from_value::<Secret>(json).unwrap().text(), None);
        }
    }
}
