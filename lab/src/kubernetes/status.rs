//! Errors of the API as `Status` objects, in the words of the real API server.

use serde_json::{Map, Value, json};

use super::kind::Kind;

/// A refused or failed request.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) code: u16,
    reason: &'static str,
    pub(super) message: String,
    /// Boxed, so that results stay small.
    details: Box<Map<String, Value>>,
    pub(super) retry_after: Option<u64>,
}

/// One cause of an `Invalid` or conflict answer.
pub(super) struct Cause {
    pub(super) reason: &'static str,
    pub(super) field: String,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Box::default(),
            retry_after: None,
        }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details.insert("name".into(), json!(name));
        if !kind.group.is_empty() {
            self.details.insert("group".into(), json!(kind.group));
        }
        self.details.insert("kind".into(), json!(kind.plural));
        self
    }

    pub(super) fn causes(mut self, causes: &[Cause]) -> Self {
        let causes = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        self.details.insert("causes".into(), Value::Array(causes));
        self
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} \"{name}\" not found", kind.qualified()),
        )
        .about(kind, name)
    }

    pub(super) fn no_such_path() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    pub(super) fn already_exists(kind: &Kind, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{} \"{name}\" already exists", kind.qualified()),
        )
        .about(kind, name)
    }

    pub(super) fn modified(kind: &Kind, name: &str) -> Self {
        let text = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, text)
    }

    pub(super) fn conflict(kind: &Kind, name: &str, text: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {text}",
            kind.qualified()
        );
        Self::new(409, "Conflict", message).about(kind, name)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(super) fn forbidden(kind: &Kind, name: &str, text: &str) -> Self {
        let subject = if name.is_empty() {
            kind.qualified()
        } else {
            format!("{} \"{name}\"", kind.qualified())
        };
        Self::new(403, "Forbidden", format!("{subject} is forbidden: {text}")).about(kind, name)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(super) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        let list: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let list = if let [one] = list.as_slice() {
            one.clone()
        } else {
            format!("[{}]", list.join(", "))
        };
        let subject = if kind.group.is_empty() {
            kind.kind.clone()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{subject} \"{name}\" is invalid: {list}"),
        )
        .about(kind, name);
        error.details.insert("kind".into(), json!(kind.kind));
        error.causes(causes)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    pub(super) fn expired(wanted: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {wanted} ({oldest})"),
        )
    }

    pub(super) fn too_many(message: impl Into<String>, cause: Option<Cause>) -> Self {
        let error = Self {
            retry_after: Some(10),
            ..Self::new(429, "TooManyRequests", message)
        };
        match cause {
            Some(cause) => Self {
                retry_after: None,
                ..error
            }
            .causes(&[cause]),
            None => error,
        }
    }

    /// What every request gets while etcd has no quorum.
    pub(super) fn no_quorum() -> Self {
        Self::new(500, "", "etcdserver: request timed out")
    }

    /// What the lab cannot do, said as such (DESIGN.md section 8).
    pub(super) fn unknown_to_lab(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("LAB-UNKNOWN: {what}"))
    }

    /// The object as the wire has it.
    pub(super) fn status(&self) -> Value {
        let mut status = Map::new();
        status.insert("kind".into(), json!("Status"));
        status.insert("apiVersion".into(), json!("v1"));
        status.insert("metadata".into(), json!({}));
        status.insert("status".into(), json!("Failure"));
        status.insert("message".into(), json!(self.message));
        if !self.reason.is_empty() {
            status.insert("reason".into(), json!(self.reason));
        }
        let mut details = (*self.details).clone();
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfterSeconds".into(), json!(seconds));
        }
        if !details.is_empty() || self.code == 404 {
            status.insert("details".into(), Value::Object(details));
        }
        status.insert("code".into(), json!(self.code));
        Value::Object(status)
    }
}

/// The answer to a deletion that left nothing behind.
pub(super) fn deleted(kind: &Kind, object: &Value) -> Value {
    let mut details = Map::new();
    details.insert("name".into(), object["metadata"]["name"].clone());
    if !kind.group.is_empty() {
        details.insert("group".into(), json!(kind.group));
    }
    details.insert("kind".into(), json!(kind.plural));
    details.insert("uid".into(), object["metadata"]["uid"].clone());
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
