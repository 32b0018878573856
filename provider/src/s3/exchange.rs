//! One request and its answer: sent again while nothing was decided, given up when nothing comes.
//!
//! All that is asked here may be asked twice: the same object under the same name. Addresses carry the signature, so they stay in this file.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use strata_framework::chain;

use super::Error;
use super::error::apart;
use crate::http::connect::Connector;
use crate::http::pause::{LONGEST, after, backoff};

/// Nothing came for so long: nothing comes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes per second below which an upload is given up.
const SLOWEST: u64 = 64 * 1024;
/// Tries of one request while the storage says: later.
const ATTEMPTS: u32 = 5;
/// Tries of one request while nothing comes: each may take its time.
const SILENT_ATTEMPTS: u32 = 3;
/// An error's text is not longer.
const LONGEST_ERROR: usize = 64 * 1024;
/// Codes that say: later.
const LATER: [&str; 4] = [
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
];

/// The way to a storage.
pub(super) struct Line {
    hyper: Hyper<Connector, Full<Bytes>>,
    address: String,
    speed: f64,
    pub(super) patience: Duration,
}

/// What is asked, without its address.
pub(super) struct Call {
    verb: &'static str,
    object: String,
    method: Option<Method>,
    headers: Vec<(&'static str, String)>,
    body: Option<Bytes>,
}

/// An answer that is no refusal.
pub(super) struct Answer {
    headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Call {
    /// A GET, or with a body a PUT.
    pub(super) fn new(verb: &'static str, object: String) -> Self {
        Self {
            verb,
            object,
            method: None,
            headers: Vec::new(),
            body: None,
        }
    }

    pub(super) fn head(verb: &'static str, object: String) -> Self {
        let method = Some(Method::HEAD);
        Self {
            method,
            ..Self::new(verb, object)
        }
    }

    pub(super) fn delete(verb: &'static str, object: String) -> Self {
        let method = Some(Method::DELETE);
        Self {
            method,
            ..Self::new(verb, object)
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
    }

    pub(super) fn unreadable(&self, reason: String) -> Error {
        Error::Answer {
            verb: self.verb,
            object: self.object.clone(),
            reason,
        }
    }

    fn method(&self) -> Method {
        let default = if self.body.is_some() {
            Method::PUT
        } else {
            Method::GET
        };
        self.method.clone().unwrap_or(default)
    }

    fn request(&self, address: &str) -> Result<http::Request<Full<Bytes>>, Error> {
        let odd = |error: String| self.unreadable(format!("the request cannot be made: {error}"));
        let body = self.body.clone().unwrap_or_default();
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = self.method();
        *request.uri_mut() = address
            .parse()
            .map_err(|error: http::uri::InvalidUri| odd(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!(
                "terraform-provider-strata/",
                env!("CARGO_PKG_VERSION")
            )),
        );
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).map_err(|error| odd(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(request)
    }
}

/// Why one try brought nothing.
enum Trouble {
    /// Nothing was decided.
    Nothing(String),
    /// The storage said no; with the pause that it asks for.
    Refusal(Error, Option<Duration>),
    /// It makes no sense to ask again.
    Final(Error),
}

impl Line {
    pub(super) fn new(connector: Connector, address: String, speed: f64) -> Self {
        let hyper = Hyper::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Self {
            hyper,
            address,
            speed,
            patience: PATIENCE,
        }
    }

    /// Sends; `sign` makes the address anew for each try.
    pub(super) async fn send<U: AsRef<str>>(
        &self,
        call: &Call,
        sign: impl Fn() -> U,
    ) -> Result<Answer, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (error, pause, most) = match self.attempt(call, sign().as_ref()).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Refusal(error, pause)) => (error, pause, ATTEMPTS),
                Err(Trouble::Nothing(reason)) => {
                    let error = Error::Silent {
                        verb: call.verb,
                        object: call.object.clone(),
                        address: self.address.clone(),
                        reason,
                        attempts: attempt,
                    };
                    (error, None, SILENT_ATTEMPTS)
                }
            };
            tracing::debug!(service = "s3", verb = call.verb, object = call.object, attempt, %error, "request failed");
            if attempt >= most {
                return Err(error);
            }
            let pause = pause.unwrap_or_else(|| backoff(attempt)).min(LONGEST);
            tokio::time::sleep(pause.div_f64(self.speed.max(1.0))).await;
        }
    }

    async fn attempt(&self, call: &Call, address: &str) -> Result<Answer, Trouble> {
        let request = call.request(address).map_err(Trouble::Final)?;
        let size = call.body.as_ref().map_or(0, Bytes::len) as u64;
        let patience = self.patience + Duration::from_secs(size / SLOWEST);
        let nothing = |seconds: Duration| {
            Trouble::Nothing(format!("said nothing for {} s", seconds.as_secs()))
        };
        let response = tokio::time::timeout(patience, self.hyper.request(request))
            .await
            .map_err(|_| nothing(patience))?
            .map_err(|error| {
                let text = chain(&error);
                // Our own dialer's word does not change.
                if text.contains("refusing to connect") {
                    let address = self.address.clone();
                    let reason = text;
                    Trouble::Final(Error::Endpoint { address, reason })
                } else {
                    Trouble::Nothing(format!("cannot be asked ({text})"))
                }
            })?;
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        loop {
            let frame = tokio::time::timeout(self.patience, body.frame());
            let Some(frame) = frame.await.map_err(|_| nothing(self.patience))? else {
                break;
            };
            let frame = frame.map_err(|error| {
                Trouble::Nothing(format!("broke off its answer ({})", chain(&error)))
            })?;
            if let Some(data) = frame.data_ref() {
                bytes.extend_from_slice(data);
            }
        }
        let answer = Answer {
            headers: head.headers,
            body: bytes.freeze(),
        };
        tracing::debug!(
            service = "s3",
            verb = call.verb,
            object = call.object,
            status = head.status.as_u16(),
            "request"
        );
        if !head.status.is_success() {
            return Err(refusal(call, head.status, &answer));
        }
        let length = answer.header(CONTENT_LENGTH.as_str());
        let length = length.and_then(|text| text.parse::<usize>().ok());
        if call.method() == Method::GET && length.is_some_and(|length| length != answer.body.len())
        {
            return Err(Trouble::Nothing("broke off its answer".into()));
        }
        Ok(answer)
    }
}

fn refusal(call: &Call, status: StatusCode, answer: &Answer) -> Trouble {
    let end = answer.body.len().min(LONGEST_ERROR);
    let text = String::from_utf8_lossy(&answer.body[..end]);
    let code = element(&text, "Code");
    let pause = after(&answer.headers, "");
    let is_later = matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
        || code.as_deref().is_some_and(|code| LATER.contains(&code));
    // Also an answer that says yes tells the time, but only a no is worth a word about it.
    let date = answer
        .header(DATE.as_str())
        .and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    let ahead = date
        .filter(|_| matches!(status.as_u16(), 400 | 403))
        .map(|date| Timestamp::now().as_second() - date.timestamp().as_second())
        .and_then(apart);
    let error = Error::Refused {
        verb: call.verb,
        object: call.object.clone(),
        status,
        message: element(&text, "Message").unwrap_or_default(),
        code,
        ahead,
    };
    if is_later {
        Trouble::Refusal(error, pause)
    } else {
        Trouble::Final(error)
    }
}

/// The text of an element of an error, which has no other of that name.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    let value: String = value.trim().chars().take(300).collect();
    let plain = value
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    (!plain.is_empty()).then_some(plain)
}
