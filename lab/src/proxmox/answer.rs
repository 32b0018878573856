//! Proxmox's answers: `data` around every success; the human text of a refusal in the reason phrase and again in the body.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use serde_json::{Map, Value, json};

/// A refusal: a status, a sentence, and for wrong parameters which ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    errors: Map<String, Value>,
    /// Authentication and routing answer without a body.
    bare: bool,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errors: Map::new(),
            bare: false,
        }
    }

    /// 500: everything that is thrown as plain text, things that are not there among them.
    pub(super) fn died(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// 400 without naming a parameter.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 400 for parameters, by name.
    pub(super) fn parameters(errors: impl IntoIterator<Item = (String, String)>) -> Self {
        let errors = errors
            .into_iter()
            .map(|(name, error)| (name, Value::String(error)));
        Self {
            errors: errors.collect(),
            ..Self::bad("Parameter verification failed.")
        }
    }

    /// 400 for one parameter.
    pub(super) fn parameter(name: &str, error: impl Into<String>) -> Self {
        Self::parameters([(name.to_owned(), error.into())])
    }

    /// 401; the detail is in the server's log only.
    pub(super) fn unauthenticated(message: &str) -> Self {
        Self {
            bare: true,
            ..Self::new(StatusCode::UNAUTHORIZED, message)
        }
    }

    /// 403 with what is missing where.
    pub(super) fn denied(path: &str, privilege: &str) -> Self {
        let message = format!("Permission check failed ({path}, {privilege})");
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 501 for a path or method that does not exist.
    pub(super) fn no_route(method: &str, path: &str) -> Self {
        Self {
            bare: true,
            ..Self::new(
                StatusCode::NOT_IMPLEMENTED,
                format!("Method '{method} {path}' not implemented"),
            )
        }
    }

    /// 501 for a request of the wrong form.
    pub(super) fn malformed(message: &str) -> Self {
        Self {
            bare: true,
            ..Self::new(StatusCode::NOT_IMPLEMENTED, message)
        }
    }

    /// 595: whoever was asked cannot reach the host that was meant.
    pub(super) fn unreachable_host() -> Self {
        let status = StatusCode::from_u16(595).expect("three digits");
        Self {
            bare: true,
            ..Self::new(status, "No route to host")
        }
    }

    /// 500 for what a real host may well do.
    pub(super) fn unknown_to_lab(what: &str) -> Self {
        Self::died(format!(
            "LAB-UNKNOWN: the lab cannot do {what}; on a real host it might work"
        ))
    }

    /// Whether it is a refused login: that answer takes its time.
    pub(super) fn is_login(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let first = self.message.lines().next().unwrap_or_default();
        let reason = ReasonPhrase::try_from(first.as_bytes().to_vec());
        let mut response = if self.bare {
            self.status.into_response()
        } else {
            let mut body = json!({ "data": null, "message": format!("{}\n", self.message) });
            if !self.errors.is_empty() {
                body["errors"] = Value::Object(self.errors);
            }
            (self.status, Json(body)).into_response()
        };
        if let Ok(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        finish(response, true)
    }
}

/// 200 with `data`.
pub(super) fn data(data: &Value) -> Response {
    finish(Json(json!({ "data": data })).into_response(), false)
}

fn finish(mut response: Response, close: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::SERVER,
        HeaderValue::from_static("pve-api-daemon/3.0"),
    );
    if headers.contains_key(header::CONTENT_TYPE) {
        let json = HeaderValue::from_static("application/json;charset=UTF-8");
        headers.insert(header::CONTENT_TYPE, json);
    }
    if close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
