//! Vault's answers: the envelope around every success, and errors as a list of texts.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// What a call is answered with when it worked.
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
        let envelope = |data: Value, auth: Value, warnings: Vec<String>| {
            let warnings = if warnings.is_empty() {
                Value::Null
            } else {
                json!(warnings)
            };
            Json(json!({
                "request_id": Uuid::new_v4().to_string(), "lease_id": "", "renewable": false, "lease_duration": 0,
                "data": data, "wrap_info": null, "warnings": warnings, "auth": auth, "mount_type": mount_type,
            }))
        };
        match self {
            Self::Data(data) => envelope(data, Value::Null, Vec::new()).into_response(),
            Self::Auth(auth, warnings) => envelope(Value::Null, auth, warnings).into_response(),
            Self::Done(warnings) if warnings.is_empty() => StatusCode::NO_CONTENT.into_response(),
            Self::Done(warnings) => envelope(Value::Null, Value::Null, warnings).into_response(),
            Self::Gone(data) => (
                StatusCode::NOT_FOUND,
                envelope(data, Value::Null, Vec::new()),
            )
                .into_response(),
            Self::Bare(status, body) => (status, Json(body)).into_response(),
        }
    }
}

/// A refusal: status, texts, and warnings that some refusals carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Vec<String>,
    warnings: Vec<String>,
}

impl Refusal {
    /// A refusal with one text.
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            errors: vec![error.into()],
            warnings: Vec::new(),
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
            warnings: Vec::new(),
        }
    }

    /// 404 for a path without `data/` and the like under a versioned mount.
    pub(super) fn not_versioned() -> Self {
        let warning = "Invalid path for a versioned K/V secrets engine";
        Self {
            warnings: vec![warning.into()],
            ..Self::nothing()
        }
    }

    /// 404 where nothing is mounted.
    pub(super) fn no_handler(path: &str) -> Self {
        let error = format!("no handler for route {path:?}. route entry not found.");
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 403 without a token.
    pub(super) fn no_token() -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission denied")
    }

    /// 403 for a token that does not exist, or no longer. Both texts in one string, as servers since 1.15 send it.
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
        let mut body = Map::new();
        body.insert("errors".into(), json!(self.errors));
        if !self.warnings.is_empty() {
            body.insert("warnings".into(), json!(self.warnings));
        }
        (self.status, Json(Value::Object(body))).into_response()
    }
}
