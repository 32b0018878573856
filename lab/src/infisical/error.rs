//! How Infisical says no: one envelope, whose `message` is text, or a list of issues when the request had the wrong shape.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

/// A refusal as it goes over the wire.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    fn new(status: StatusCode, error: &str, message: impl Into<Value>) -> Self {
        let id = Uuid::new_v4().simple().to_string();
        let message: Value = message.into();
        let body = json!({
            "reqId": format!("req-{}", &id[..14]), "statusCode": status.as_u16(), "message": message, "error": error,
        });
        Self { status, body }
    }

    /// 400.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message.into())
    }

    /// 401.
    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UnauthorizedError", message)
    }

    /// 403 because of the token itself: expired, malformed, signed by someone else.
    pub(super) fn token_error(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "TokenError", message)
    }

    /// 403 because the identity lacks a right.
    pub(super) fn denied(action: &str, details: Value) -> Self {
        let message = format!("You are not allowed to {action} on secrets");
        let mut refusal = Self::new(StatusCode::FORBIDDEN, "PermissionDenied", message);
        refusal.body["details"] = details;
        refusal
    }

    /// 403 for a value that the identity may describe but not read.
    pub(super) fn unreadable(key: &str) -> Self {
        let message =
            format!("You do not have permission to view secret value on secret with name '{key}'");
        Self::new(StatusCode::FORBIDDEN, "ForbiddenReadSecretError", message)
    }

    /// 404; `error` is sometimes the operation's name.
    pub(super) fn missing(error: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, message.into())
    }

    /// 422 with the issues.
    pub(super) fn invalid(issues: Vec<Value>) -> Self {
        let message = Value::Array(issues);
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "ValidationFailure",
            message,
        )
    }

    /// What the real API may well accept.
    pub(super) fn unknown_to_lab(what: &str) -> Self {
        Self::bad(format!(
            "LAB-UNKNOWN: the lab cannot do {what}; on the real API it might work"
        ))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

/// 404 for a route that does not exist: not the envelope, because the web framework answers before the application does.
pub(super) fn no_route(method: &str, path: &str) -> Response {
    let body = json!({ "message": format!("Route {method}:{path} not found"), "error": "Not Found", "statusCode": 404 });
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}
