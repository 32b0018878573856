//! JSON over HTTP, shared by every service client: authentication, base path, timeouts, retry, redaction and tracing.
//!
//! Only idempotent requests (GET, HEAD, PUT, DELETE, and a PATCH or POST that the caller marks as safe to repeat) are sent twice; a
//! POST that creates something is sent once, and a lost reply is reported as [`Error::Lost`], so that the caller looks before it asks
//! again. One limiter per client, hence per credential, spaces requests after a 429. A service that answers nothing is not waited for by every
//! request of a run ([`super::silence`]). Bodies and header values never reach a log.
//!
//! ```text
//! Client::new(dialer, Settings{service, base, header, token, speed})
//! client.get("path?x=y")   -> Request        client.post/put/patch/delete("path") likewise
//! Request::json(&body).repeatable().send::<T>() -> Result<T, Error>
//! Error: status(), is_not_found(), is_lost(), verdict body in Error::Status{body}
//! ```

mod error;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT,
};
use http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::ext::ReasonPhrase;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strata_framework::chain;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub use self::error::Error;
use self::error::is_broken;
use super::connect::Connector;
use super::dial::{DialError, Dialer};
use super::pause::{LONGEST, after, backoff};
use super::redirect;
use super::silence::{Silences, Turn};
use crate::secret::Secret;

const JSON: &str = "application/json";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Less patience, for a process that has not so much time: a test's.
#[cfg(test)]
pub(crate) static PATIENCE: std::sync::OnceLock<Duration> = std::sync::OnceLock::new();

/// How long one request may take, with its answer.
fn patience() -> Duration {
    #[cfg(test)]
    if let Some(patience) = PATIENCE.get() {
        return *patience;
    }
    REQUEST_TIMEOUT
}
/// Requests of one credential at the same time: more only meet the service's limits.
const CONCURRENT: usize = 16;
/// Tries of one idempotent request, the first included, unless it says otherwise.
const ATTEMPTS: u32 = 5;
/// Tries while the service asks to slow down; more, because it said that waiting helps.
const SLOW_DOWN_ATTEMPTS: u32 = 10;
/// Of an error's body so many characters are kept: some services put facts into it.
const LONGEST_BODY: usize = 64 * 1024;

/// How a service is reached.
pub struct Settings {
    /// Name in errors and logs.
    pub service: &'static str,
    /// Base address without trailing slash.
    pub base: String,
    /// Header that carries the credential; `Authorization` gets the word `Bearer`.
    pub header: HeaderName,
    /// The credential; empty means that no header is sent.
    pub token: Secret<String>,
    /// How many times faster than the wall the service's clock runs (1 outside the lab): pauses are divided by it.
    pub speed: f64,
}

/// One service under one credential.
pub struct Client {
    settings: Settings,
    headers: HeaderMap,
    hyper: Hyper<Connector, Full<Bytes>>,
    turns: Semaphore,
    silences: Arc<Silences>,
    /// No request starts before this moment: set by 429 and `Retry-After`.
    open_at: Mutex<Option<Instant>>,
    /// Whether an answer that looks like an outage is a decision of this service all the same.
    decides: fn(StatusCode, &str) -> bool,
}

/// The credential cannot be sent in a header.
#[derive(Debug, thiserror::Error)]
#[error(
    "the {0} credential contains characters that no HTTP header may hold; check it for line breaks"
)]
pub struct BadCredential(&'static str);

impl Client {
    /// A client that opens its connections through `dialer`, when they are first needed.
    pub fn new(dialer: Dialer, settings: Settings) -> Result<Self, BadCredential> {
        let silences = dialer.silences().clone();
        Self::over(Connector::new(dialer, CONNECT_TIMEOUT), silences, settings)
    }

    /// A client that trusts what `tls` trusts instead of the platform's roots.
    pub fn with_tls(
        dialer: Dialer,
        tls: Arc<rustls::ClientConfig>,
        settings: Settings,
    ) -> Result<Self, BadCredential> {
        let silences = dialer.silences().clone();
        let connector = Connector::with_tls(dialer, CONNECT_TIMEOUT, tls);
        Self::over(connector, silences, settings)
    }

    fn over(
        connector: Connector,
        silences: Arc<Silences>,
        settings: Settings,
    ) -> Result<Self, BadCredential> {
        let text = if settings.header == AUTHORIZATION {
            format!("Bearer {}", settings.token.expose())
        } else {
            settings.token.expose().clone()
        };
        let mut credential =
            HeaderValue::from_str(&text).map_err(|_| BadCredential(settings.service))?;
        credential.set_sensitive(true);
        let mut headers = HeaderMap::new();
        if !settings.token.expose().is_empty() {
            headers.insert(settings.header.clone(), credential);
        }
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!(
                "terraform-provider-strata/",
                env!("CARGO_PKG_VERSION")
            )),
        );
        let hyper = Hyper::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(Self {
            settings,
            headers,
            hyper,
            turns: Semaphore::new(CONCURRENT),
            silences,
            open_at: Mutex::new(None),
            decides: |_, _| false,
        })
    }

    /// Sends this header with every request, too.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// For a service whose errors of the server are decisions, told apart by status and body: they are not asked for again.
    #[must_use]
    pub fn with_decisions(mut self, decides: fn(StatusCode, &str) -> bool) -> Self {
        self.decides = decides;
        self
    }

    /// A GET; `path` starts without slash and may carry a query.
    pub fn get(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::GET, path)
    }

    /// A POST, sent once unless marked [`Request::repeatable`].
    pub fn post(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::POST, path)
    }

    /// A PUT.
    pub fn put(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::PUT, path)
    }

    /// A PATCH, sent once unless marked [`Request::repeatable`].
    pub fn patch(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::PATCH, path)
    }

    /// A DELETE.
    pub fn delete(&self, path: impl Into<String>) -> Request<'_> {
        self.request(Method::DELETE, path)
    }

    fn request(&self, method: Method, path: impl Into<String>) -> Request<'_> {
        let repeatable = matches!(
            method,
            Method::GET | Method::HEAD | Method::PUT | Method::DELETE
        );
        Request {
            client: self,
            method,
            path: path.into(),
            body: Ok(Bytes::new()),
            kind: JSON,
            repeatable,
            tries: ATTEMPTS,
        }
    }

    /// A duration of the service's clock on the wall.
    pub fn scaled(&self, duration: Duration) -> Duration {
        duration.div_f64(self.settings.speed.max(1.0))
    }

    async fn wait_until_open(&self) {
        let open_at = *self.open_at.lock().expect("no panic while held");
        if let Some(open_at) = open_at {
            tokio::time::sleep_until(open_at).await;
        }
    }

    fn is_decision(&self, error: &Error) -> bool {
        matches!(error, Error::Status { status, body, .. } if (self.decides)(*status, body))
    }

    fn turn(&self) -> Turn {
        self.silences.turn(&self.settings.base, patience())
    }

    fn close_for(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut open_at = self.open_at.lock().expect("no panic while held");
        *open_at = Some(open_at.map_or(until, |at| at.max(until)));
    }
}

/// A request to be sent.
pub struct Request<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    body: Result<Bytes, serde_json::Error>,
    kind: &'static str,
    repeatable: bool,
    tries: u32,
}

impl Request<'_> {
    /// With this JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).map(Bytes::from);
        self
    }

    /// With this body, which is of this kind.
    #[must_use]
    pub fn body(mut self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        self.kind = kind;
        self.body = Ok(body.into());
        self
    }

    /// Sending it twice does what sending it once does.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sent so often at most, when it may be sent again at all.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// Sends and reads the answer as JSON. An empty answer reads as `null`.
    pub async fn send<T: DeserializeOwned>(self) -> Result<T, Error> {
        self.exchange(|bytes| {
            let text: &[u8] = if bytes.is_empty() { b"null" } else { bytes };
            serde_json::from_slice(text).map_err(|error| error.to_string())
        })
        .await
    }

    /// Sends and reads the answer as text.
    pub async fn text(self) -> Result<String, Error> {
        self.exchange(|bytes| String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string()))
            .await
    }

    async fn exchange<T>(self, read: impl Fn(&[u8]) -> Result<T, String>) -> Result<T, Error> {
        let service = self.client.settings.service;
        let (method, path) = (self.method.clone(), self.path.clone());
        let unreadable = |reason: String| Error::Answer {
            service,
            method: method.clone(),
            path: path.clone(),
            reason,
        };
        let repeatable = self.repeatable;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let outcome = self.attempt(attempt).await;
            let outcome = outcome.and_then(|bytes| read(&bytes).map_err(&unreadable));
            let error = match outcome {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let slow_down = error.status() == Some(StatusCode::TOO_MANY_REQUESTS);
            // 429 means "not taken": even a creation may be sent again. So may a request that never left.
            let harmless = repeatable || slow_down || matches!(error, Error::Unreachable { .. });
            let tries = if slow_down {
                SLOW_DOWN_ATTEMPTS
            } else {
                self.tries
            };
            let hopeless = is_forbidden(&error)
                || self.client.is_decision(&error)
                || self.client.turn() == Turn::Spare;
            if !(error.is_transient() && harmless) || attempt >= tries || hopeless {
                return Err(error);
            }
            if !slow_down {
                tokio::time::sleep(self.client.scaled(backoff(attempt))).await;
            }
        }
    }

    async fn attempt(&self, attempt: u32) -> Result<Bytes, Error> {
        let client = self.client;
        let service = client.settings.service;
        let _turn = client.turns.acquire().await.expect("never closed");
        client.wait_until_open().await;
        let lost = |reason: String| Error::Lost {
            service,
            method: self.method.clone(),
            path: self.path.clone(),
            reason,
        };
        let unusable = |reason: String| Error::Answer {
            service,
            method: self.method.clone(),
            path: self.path.clone(),
            reason,
        };
        let base = &client.settings.base;
        let Turn::Send(limit) = client.turn() else {
            return Err(Error::Unreachable {
                service,
                address: base.clone(),
                method: self.method.clone(),
                path: self.path.clone(),
                reason: "it answers nothing, and is asked again later".into(),
            });
        };
        let started = Instant::now();
        let exchange = async {
            let mut address: Uri = format!("{}/{}", client.settings.base, self.path)
                .parse()
                .map_err(|error: http::uri::InvalidUri| unusable(error.to_string()))?;
            let mut redirects = 0;
            loop {
                let request = self.build(&address).map_err(unusable)?;
                let response = client.hyper.request(request).await.map_err(|error| {
                    let reason = chain(&error);
                    if error.is_connect() {
                        if is_timeout(&error) {
                            client.silences.silent(base);
                        }
                        let address = client.settings.base.clone();
                        Error::Unreachable {
                            service,
                            address,
                            method: self.method.clone(),
                            path: self.path.clone(),
                            reason,
                        }
                    } else {
                        lost(reason)
                    }
                })?;
                client.silences.answered(base);
                let (head, body) = response.into_parts();
                let location = head
                    .headers
                    .get(LOCATION)
                    .and_then(|value| value.to_str().ok())
                    .filter(|_| matches!(head.status.as_u16(), 307 | 308));
                if let Some(location) = location {
                    redirects += 1;
                    if redirects > redirect::LIMIT {
                        return Err(unusable("too many redirects".into()));
                    }
                    address = redirect::target(&address, location)
                        .map_err(|reason| unusable(format!("redirect: {reason}")))?;
                    continue;
                }
                let body = body
                    .collect()
                    .await
                    .map_err(|error| lost(chain(&error)))?
                    .to_bytes();
                return Ok((head, body));
            }
        };
        let (head, body) = tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| {
                client.silences.silent(base);
                Err(lost(format!("nothing within {} s", limit.as_secs())))
            })
            .inspect_err(|error| tracing::debug!(service, method = %self.method, path = %self.path, attempt, %error, "request failed"))?;
        let header = |name: &str| {
            head.headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let request_id = header("x-request-id").or_else(|| header("cf-ray"));
        tracing::debug!(
            service, method = %self.method, path = %self.path, status = head.status.as_u16(), request_id,
            milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX), attempt, "request"
        );
        if head.status.is_success() {
            return Ok(body);
        }
        if is_broken(&body) {
            return Err(unusable(format!("{} with broken JSON", head.status)));
        }
        let mut text: String = String::from_utf8_lossy(&body)
            .chars()
            .take(LONGEST_BODY)
            .collect();
        // Some services say it in the first line alone.
        if let Some(reason) = head.extensions.get::<ReasonPhrase>()
            && text.trim().is_empty()
        {
            text = String::from_utf8_lossy(reason.as_bytes()).into_owned();
        }
        if head.status == StatusCode::TOO_MANY_REQUESTS {
            let pause = after(&head.headers, &text)
                .unwrap_or_else(|| backoff(attempt))
                .min(LONGEST);
            client.close_for(client.scaled(pause));
        }
        Err(Error::Status {
            service,
            method: self.method.clone(),
            path: self.path.clone(),
            status: head.status,
            body: text,
            request_id,
            attempts: attempt,
        })
    }

    fn build(&self, address: &Uri) -> Result<http::Request<Full<Bytes>>, String> {
        let body = self.body.as_ref().map_err(ToString::to_string)?.clone();
        let mut request = http::Request::new(Full::new(body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = address.clone();
        *request.headers_mut() = self.client.headers.clone();
        if !body.is_empty() {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        }
        Ok(request)
    }
}

/// Whether nobody took the connection, as behind a firewall that drops what it does not let pass.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let dial = error.downcast_ref::<DialError>();
        let io = error.downcast_ref::<std::io::Error>();
        dial.is_some_and(DialError::is_timeout)
            || io.is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
    })
}

/// A refusal of our own dialer does not change by asking again.
fn is_forbidden(error: &Error) -> bool {
    matches!(error, Error::Unreachable { reason, .. } if reason.contains("refusing to connect"))
}

/// Percent-encodes what a query value may not hold. Tags contain `=`.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        use std::fmt::Write;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _infallible = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

#[cfg(test)]
#[path = "client/tests.rs"]
mod tests;
