//! How the simulated Scaleway says no: the typed and the bare family of contract section 2.
//!
//! `LAB-UNKNOWN` marks what the lab does not understand; the real API may well accept it.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// A refusal as it goes over the wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
}

impl Refusal {
    /// `{"message": ...}` and nothing else, as most of Elastic Metal answers.
    pub(super) fn bare(status: StatusCode, message: &str) -> Self {
        Self {
            status,
            body: json!({ "message": message }),
        }
    }

    /// A server that does not exist, or no longer.
    pub(super) fn no_server() -> Self {
        Self::bare(StatusCode::NOT_FOUND, "Not Found")
    }

    /// 400 `invalid_arguments` about one argument; `reason` is `required`, `format`, `constraint` or `unknown`.
    pub(super) fn invalid(argument: &str, reason: &str, help: &str) -> Self {
        let details =
            json!([{ "argument_name": argument, "help_message": help, "reason": reason }]);
        let body = json!({ "details": details, "message": "invalid argument(s)", "type": "invalid_arguments" });
        Self {
            status: StatusCode::BAD_REQUEST,
            body,
        }
    }

    /// 400 for what the lab does not simulate.
    pub(super) fn unknown_to_lab(argument: &str, what: &str) -> Self {
        Self::invalid(
            argument,
            "unknown",
            &format!("LAB-UNKNOWN: the lab cannot do {what}; on the real API it might work"),
        )
    }

    /// 404 `not_found`.
    pub(super) fn not_found(resource: &str, id: &str) -> Self {
        let body = json!({ "message": "resource is not found", "resource": resource, "resource_id": id, "type": "not_found" });
        Self {
            status: StatusCode::NOT_FOUND,
            body,
        }
    }

    /// 404 for a route outside the simulation.
    pub(super) fn no_route(path: &str) -> Self {
        let message = format!("LAB-UNKNOWN: the lab's Scaleway has no route {path}");
        let body = json!({ "message": message, "resource": "route", "resource_id": path, "type": "not_found" });
        Self {
            status: StatusCode::NOT_FOUND,
            body,
        }
    }

    /// 401 `denied_authentication`.
    pub(super) fn unauthenticated(reason: &str) -> Self {
        let body = json!({ "message": "authentication is denied", "method": "api_key", "reason": reason, "type": "denied_authentication" });
        Self {
            status: StatusCode::UNAUTHORIZED,
            body,
        }
    }

    /// 409 `already_exists`.
    pub(super) fn already(resource: &str, id: &str) -> Self {
        let body = json!({ "help_message": "", "message": "resource already exists", "resource": resource, "resource_id": id, "type": "already_exists" });
        Self {
            status: StatusCode::CONFLICT,
            body,
        }
    }

    /// 412 `precondition_failed`.
    pub(super) fn precondition(precondition: &str, help: &str) -> Self {
        let body = json!({
            "help_message": help, "message": "precondition is not respected", "precondition": precondition, "type": "precondition_failed",
        });
        Self {
            status: StatusCode::PRECONDITION_FAILED,
            body,
        }
    }

    /// 409 `transient_state`.
    pub(super) fn transient(id: &str, state: &str) -> Self {
        let body = json!({
            "current_state": state, "message": "resource is in a transient state", "resource": "server", "resource_id": id, "type": "transient_state",
        });
        Self {
            status: StatusCode::CONFLICT,
            body,
        }
    }

    /// 503 `out_of_stock`.
    pub(super) fn out_of_stock(offer: &str) -> Self {
        let body = json!({ "message": "resource is out of stock", "resource": offer, "type": "out_of_stock" });
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            body,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}
