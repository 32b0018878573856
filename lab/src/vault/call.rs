//! One request as Vault understands it: verb, namespace, path, token and body.

use axum::body::Bytes;
use axum::extract::Query;
use http::request::Parts;
use serde_json::{Map, Value};

use super::answer::Refusal;

/// What shall be done with the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Read,
    Write,
    Delete,
    List,
    Patch,
    Other,
}

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) verb: Verb,
    /// The method for counting: `LIST` also for `GET ?list=true`.
    pub(super) method: String,
    /// As the header says it.
    pub(super) namespace: String,
    /// Behind `/v1/`, decoded; lists end in a slash.
    pub(super) path: String,
    pub(super) token: Option<String>,
    query: Vec<(String, String)>,
    content_type: String,
    wraps: bool,
    body: Bytes,
}

impl Call {
    /// Reads a request; `path` is what stands behind `/v1/`, decoded.
    pub(super) fn new(path: String, parts: &Parts, body: Bytes) -> Self {
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map(|Query(pairs)| pairs)
            .unwrap_or_default();
        let listed = |(name, value): &(String, String)| name == "list" && value == "true";
        let verb = match parts.method.as_str() {
            "GET" if query.iter().any(listed) => Verb::List,
            "GET" | "HEAD" => Verb::Read,
            "POST" | "PUT" => Verb::Write,
            "DELETE" => Verb::Delete,
            "LIST" => Verb::List,
            "PATCH" => Verb::Patch,
            _ => Verb::Other,
        };
        let mut path = path;
        if verb == Verb::List && !path.ends_with('/') {
            path.push('/');
        }
        let bearer = header("authorization")
            .and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
        Self {
            verb,
            method: if verb == Verb::List {
                "LIST".into()
            } else {
                parts.method.to_string()
            },
            namespace: header("x-vault-namespace").unwrap_or_default(),
            path,
            token: header("x-vault-token").or(bearer),
            query,
            content_type: header("content-type").unwrap_or_default(),
            wraps: parts.headers.contains_key("x-vault-wrap-ttl"),
            body,
        }
    }

    /// The last value of a query parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Refuses what the lab cannot do with any path.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.wraps {
            return Err(Refusal::unknown_to_lab("response wrapping"));
        }
        Ok(())
    }

    /// The body, which must be a JSON object; an empty one is `{}`.
    pub(super) fn body(&self) -> Result<Map<String, Value>, Refusal> {
        if self.verb == Verb::Patch
            && !self
                .content_type
                .starts_with("application/merge-patch+json")
        {
            let error = format!(
                "PATCH requires Content-Type of application/merge-patch+json, provided {}",
                self.content_type
            );
            return Err(Refusal::new(
                http::StatusCode::UNSUPPORTED_MEDIA_TYPE,
                error,
            ));
        }
        if self.body.is_empty() {
            return Ok(Map::new());
        }
        // Without serde's words: they may quote a value.
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(body)) => Ok(body),
            _ => Err(Refusal::bad(
                "failed to decode JSON input: expected an object",
            )),
        }
    }
}
