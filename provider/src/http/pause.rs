//! How long to wait before a request is sent again: what the service asked for, else a growing time with jitter.

use std::time::Duration;

use http::header::{HeaderMap, RETRY_AFTER};

/// No pause is longer, whatever a service asks.
pub(crate) const LONGEST: Duration = Duration::from_mins(1);

/// `Retry-After` in seconds or as a date, else `X-RateLimit-Reset` (Infisical), else the fields Scaleway puts into the body.
pub(crate) fn after(headers: &HeaderMap, body: &str) -> Option<Duration> {
    let from_now = |at: jiff::Timestamp| {
        Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or_default()
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(text) = text(RETRY_AFTER.as_str()) {
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        if let Ok(at) = jiff::fmt::rfc2822::parse(text.trim()) {
            return Some(from_now(at.timestamp()));
        }
    }
    if let Some(seconds) = text("x-ratelimit-reset").and_then(|text| text.trim().parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    if let Some(seconds) = body
        .get("reset_seconds")
        .and_then(serde_json::Value::as_u64)
    {
        return Some(Duration::from_secs(seconds));
    }
    body.get("reset_at")
        .and_then(|at| at.as_str()?.parse().ok())
        .map(from_now)
}

/// Exponential with full jitter, 1 s to 60 s: many waiters must not come back together.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let ceiling = Duration::from_secs(1u64 << attempt.min(6)).min(LONGEST);
    ceiling.mul_f64(rand::random_range(0.25..1.0))
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;

    use super::*;

    #[test]
    fn what_the_service_asks_for_is_read_from_header_or_body() {
        let with = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )])
        };
        let none = HeaderMap::new();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(after(&with("retry-after", "7"), ""), seconds(7));
        assert_eq!(after(&with("x-ratelimit-reset", "9"), ""), seconds(9));
        assert_eq!(after(&none, r#"{"reset_seconds": 3}"#), seconds(3));
        assert_eq!(after(&none, "<html>"), None);
    }
}
