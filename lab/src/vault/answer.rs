//! Vault's answers: the envelope around every success, and errors as a list of texts.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

/// What a versioned mount says to a client that thinks it is not.
const NOT_VERSIONED: &str = "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use.";

/// What a call is answered with when it was understood.
#[derive(Debug)]
pub(super) enum Reply {
    /// 200 with `data`.
    Data(Value),
    /// 200 with `auth`, for tokens that were made or renewed.
    Auth(Value, Vec<String>),
    /// 204; 200 when there are warnings, because 204 has no place for them.
    Done(Vec<String>),
    /// 404 that still carries `data`: a version that was deleted or destroyed.
    Gone(Value),
    /// 404 with warnings in an envelope, for a path without `data/` and the like under a versioned mount: no `errors` in it.
    NotVersioned,
    /// 404 without any body, as a patch of what was never there answers.
    Void,
    /// 200 with `data` that may be kept this many seconds, as the unversioned engine answers.
    Lease(Value, u64),
    /// Without the envelope, as the health routes answer.
    Bare(StatusCode, Value),
}

impl Reply {
    /// 204.
    pub(super) fn done() -> Self {
        Self::Done(Vec::new())
    }

    /// `mount_type` is the kind of engine that answered.
    pub(super) fn into_response(self, mount_type: &str) -> Response {
        let envelope = |data: Value, auth: Value, warnings: Vec<String>, lease: u64| {
            let warnings = if warnings.is_empty() {
                Value::Null
            } else {
                json!(warnings)
            };
            Json(json!({
                "request_id": Uuid::new_v4().to_string(), "lease_id": "", "renewable": false, "lease_duration": lease,
                "data": data, "wrap_info": null, "warnings": warnings, "auth": auth, "mount_type": mount_type,
            }))
        };
        let (none, gone) = (Vec::new(), StatusCode::NOT_FOUND);
        let empty = |status: StatusCode| {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (status, kind).into_response()
        };
        match self {
            Self::Data(data) => envelope(data, Value::Null, none, 0).into_response(),
            Self::Lease(data, lease) => envelope(data, Value::Null, none, lease).into_response(),
            Self::Auth(auth, warnings) => envelope(Value::Null, auth, warnings, 0).into_response(),
            Self::Done(warnings) if warnings.is_empty() => empty(StatusCode::NO_CONTENT),
            Self::Done(warnings) => envelope(Value::Null, Value::Null, warnings, 0).into_response(),
            Self::Gone(data) => (gone, envelope(data, Value::Null, none, 0)).into_response(),
            Self::NotVersioned => {
                let warning = vec![NOT_VERSIONED.to_owned()];
                (gone, envelope(Value::Null, Value::Null, warning, 0)).into_response()
            }
            Self::Void => empty(gone),
            Self::Bare(status, body) => (status, Json(body)).into_response(),
        }
    }
}

/// A refusal: a status and texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Vec<String>,
}

impl Refusal {
    /// A refusal with one text.
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            errors: vec![error.into()],
        }
    }

    /// 400.
    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// 404 without a word: nothing is there, or a list is empty.
    pub(super) fn nothing() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            errors: Vec::new(),
        }
    }

    /// 404 where nothing is mounted.
    pub(super) fn no_handler(path: &str) -> Self {
        let error = format!("no handler for route {path:?}. route entry not found.");
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 400 for a field of the wrong kind.
    pub(super) fn wrong_field(field: &str, expected: &str) -> Self {
        Self::bad(format!(
            "Field validation failed: error converting input for field {field:?}: expected {expected}"
        ))
    }

    /// 404 for a namespace that does not exist.
    pub(super) fn no_namespace() -> Self {
        Self::new(StatusCode::NOT_FOUND, "namespace not found")
    }

    /// 403 without a token.
    pub(super) fn no_token() -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission denied")
    }

    /// 403 for a token that does not exist, or no longer. Both texts in one string, as recent servers of
    /// Vault send it; older ones and OpenBao say what they say without a token.
    pub(super) fn bad_token() -> Self {
        let error = "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n";
        Self::new(StatusCode::FORBIDDEN, error)
    }

    /// 403 for a good token without the right.
    pub(super) fn denied() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "1 error occurred:\n\t* permission denied\n\n",
        )
    }

    /// 405.
    pub(super) fn unsupported() -> Self {
        let error = "1 error occurred:\n\t* unsupported operation\n\n";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error)
    }

    /// 405 for a method that HTTP has and Vault does not.
    pub(super) fn no_method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            errors: Vec::new(),
        }
    }

    /// 503 while the server is sealed.
    pub(super) fn sealed() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Vault is sealed")
    }

    /// 400 for what the real server may well do.
    pub(super) fn unknown_to_lab(what: &str) -> Self {
        Self::bad(format!(
            "LAB-UNKNOWN: the lab cannot do {what}; on a real server it might work"
        ))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "errors": self.errors }))).into_response()
    }
}
