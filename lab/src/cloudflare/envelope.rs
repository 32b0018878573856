//! The envelope around every Cloudflare answer, and the numbered errors in it.

use std::fmt;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// A refusal: status, number, message, and the numbers behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    status: StatusCode,
    code: u32,
    message: String,
    chain: Vec<(u32, &'static str)>,
}

impl Fault {
    /// A refusal with this status and number.
    pub(super) fn new(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            chain: Vec::new(),
        }
    }

    /// 400 with this number.
    pub(super) fn bad(code: u32, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Adds the number behind the number.
    pub(super) fn because(mut self, code: u32, message: &'static str) -> Self {
        self.chain.push((code, message));
        self
    }

    /// 404 with 81044.
    pub(super) fn no_record() -> Self {
        Self::new(StatusCode::NOT_FOUND, 81_044, "Record does not exist.")
    }

    /// What the real API may well accept.
    pub(super) fn unknown_to_lab(what: &str) -> Self {
        Self::bad(
            1004,
            format!("LAB-UNKNOWN: the lab cannot do {what}; on the real API it might work"),
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.code)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let chain: Vec<Value> = self
            .chain
            .iter()
            .map(|(code, message)| json!({ "code": code, "message": message }))
            .collect();
        let mut error = json!({ "code": self.code, "message": self.message });
        if !chain.is_empty() {
            error["error_chain"] = chain.into();
        }
        let body = json!({ "success": false, "errors": [error], "messages": [], "result": null });
        (self.status, Json(body)).into_response()
    }
}

/// A single result.
pub(super) fn single(result: &Value) -> Json<Value> {
    Json(json!({ "success": true, "errors": [], "messages": [], "result": result }))
}

/// One page of a list.
pub(super) fn page(items: Vec<Value>, page: usize, per_page: usize) -> Json<Value> {
    let total = items.len();
    let result: Vec<Value> = items
        .into_iter()
        .skip((page - 1).saturating_mul(per_page))
        .take(per_page)
        .collect();
    let info = json!({
        "page": page, "per_page": per_page, "count": result.len(), "total_count": total, "total_pages": total.div_ceil(per_page),
    });
    Json(
        json!({ "success": true, "errors": [], "messages": [], "result": result, "result_info": info }),
    )
}
