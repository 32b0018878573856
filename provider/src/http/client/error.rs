//! Why a request failed: what the service said, or that it said nothing.

use http::{Method, StatusCode};

/// Why a request failed. Says which service, method and path, and the service's request id; never a header or a request body.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service answered with an error status: a verdict.
    #[error("{service}: {method} {path} answered {status}{}{}", message(.body), request(.request_id.as_ref()))]
    Status {
        /// Name of the service.
        service: &'static str,
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// HTTP status.
        status: StatusCode,
        /// Body as text, shortened.
        body: String,
        /// `X-Request-Id` or its equivalent.
        request_id: Option<String>,
        /// Tries made.
        attempts: u32,
    },
    /// The request was sent, and whether it took effect is not known.
    #[error(
        "{service}: {method} {path} got no answer ({reason}); it is not known whether it took effect"
    )]
    Lost {
        /// Name of the service.
        service: &'static str,
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// What happened to the connection.
        reason: String,
    },
    /// No connection could be made, so the request had no effect.
    #[error("{service}: cannot reach {address} for {method} {path}: {reason}")]
    Unreachable {
        /// Name of the service.
        service: &'static str,
        /// Base address.
        address: String,
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// The cause.
        reason: String,
    },
    /// The answer is not what the service documents.
    #[error("{service}: the answer to {method} {path} cannot be read: {reason}")]
    Answer {
        /// Name of the service.
        service: &'static str,
        /// HTTP method.
        method: Method,
        /// Path with query.
        path: String,
        /// What did not fit.
        reason: String,
    },
}

impl Error {
    /// The status of a verdict.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The thing does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(StatusCode::NOT_FOUND)
    }

    /// The request may have taken effect although no verdict came: no answer, an unreadable one, or a 5xx without a verdict.
    pub fn is_lost(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Answer { .. } => true,
            Self::Status { status, body, .. } => {
                status.is_server_error()
                    && !(*status == StatusCode::SERVICE_UNAVAILABLE && is_verdict(body))
            }
            Self::Unreachable { .. } => false,
        }
    }

    /// Waiting may help: nothing was decided.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
            || self.is_lost()
            || self.status() == Some(StatusCode::TOO_MANY_REQUESTS)
    }
}

/// A JSON body with a message is a decision of the service, even under a status that usually means an outage.
fn is_verdict(body: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(body).is_ok_and(|body| {
        body.get("message")
            .or_else(|| body.pointer("/errors/0"))
            .is_some_and(serde_json::Value::is_string)
    })
}

/// JSON that breaks off is no verdict: what it would have said is not known.
pub(super) fn is_broken(body: &[u8]) -> bool {
    body.starts_with(b"{") && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err()
}

/// The readable part of an error body: `message`, the `errors` of Cloudflare or Vault, or the start of the text.
fn message(body: &str) -> String {
    let json = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    if let Some(issues) = json.get("message").and_then(|message| message.as_array()) {
        let texts: Vec<&str> = issues
            .iter()
            .filter_map(|issue| issue["message"].as_str())
            .collect();
        return format!(": {}", texts.join("; "));
    }
    if let Some(message) = json.get("message").and_then(|message| message.as_str()) {
        let details = json
            .get("details")
            .or_else(|| json.get("help_message"))
            .or_else(|| json.get("errors"))
            .map(|details| format!(" {details}"))
            .unwrap_or_default();
        return format!(": {}{details}", message.trim_end());
    }
    // RFC 9457.
    if let Some(detail) = json.get("detail").and_then(|detail| detail.as_str()) {
        return format!(": {}", detail.trim_end());
    }
    if let Some(errors) = json
        .get("errors")
        .and_then(|errors| errors.as_array())
        .filter(|errors| !errors.is_empty())
    {
        let texts: Vec<String> = errors
            .iter()
            .map(|error| match error.as_str() {
                Some(text) => text.trim().to_owned(),
                None => format!(
                    "{} (code {})",
                    error["message"].as_str().unwrap_or("no message"),
                    error["code"]
                ),
            })
            .collect();
        return format!(": {}", texts.join("; "));
    }
    let text: String = body.trim().chars().take(200).collect();
    if text.is_empty() {
        text
    } else {
        format!(": {text}")
    }
}

fn request(id: Option<&String>) -> String {
    id.map(|id| format!(" (request {id})")).unwrap_or_default()
}
