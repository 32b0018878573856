//! One request as the API understands it: who asks, the parts of the path, and the parameters of query and body as texts.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, RawPathParams, Request};
use http::{Method, header};
use serde_json::Value;

use super::Proxmox;
use super::access::Caller;
use super::answer::Refusal;

/// Above this only uploads are taken.
const LONGEST_BODY: usize = 512 * 1024;
/// What an upload may have here; a real host writes to disk.
const LONGEST_UPLOAD: usize = 64 * 1024 * 1024;

/// One request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    /// Method and template, for faults.
    pub(super) target: String,
    /// Body and boundary of an upload.
    pub(super) upload: Option<(String, Bytes)>,
    path: BTreeMap<String, String>,
    parameters: BTreeMap<String, String>,
}

impl Call {
    /// A part of the path.
    pub(super) fn path(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// The number of a VM in the path.
    pub(super) fn vmid(&self) -> Result<u32, Refusal> {
        let text = self.path("vmid");
        let wrong = || {
            Refusal::parameter(
                "vmid",
                format!("type check ('integer') failed - got '{text}'"),
            )
        };
        text.parse().map_err(|_| wrong())
    }

    /// A parameter, which is then used up.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        self.parameters.remove(name)
    }

    /// A parameter that must be there.
    pub(super) fn need(&mut self, name: &str) -> Result<String, Refusal> {
        self.take(name).ok_or_else(|| missing(name))
    }

    /// A number.
    pub(super) fn number<T: std::str::FromStr>(
        &mut self,
        name: &str,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        let wrong = |_| {
            Refusal::parameter(
                name,
                format!("type check ('integer') failed - got '{text}'"),
            )
        };
        text.parse().map_err(wrong).map(Some)
    }

    /// A boolean as forms and JSON write it.
    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        let Some(text) = self.take(name) else {
            return Ok(None);
        };
        boolean(&text)
            .ok_or_else(|| {
                Refusal::parameter(
                    name,
                    format!("type check ('boolean') failed - got '{text}'"),
                )
            })
            .map(Some)
    }

    /// A comma-separated list.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<String>> {
        let text = self.take(name)?;
        let parts = text.split([',', ';', ' ']).filter(|part| !part.is_empty());
        Some(parts.map(str::to_owned).collect())
    }

    /// Everything that is left, for objects whose keys are counted (`net0`, `scsi3`).
    pub(super) fn rest(&mut self) -> BTreeMap<String, String> {
        std::mem::take(&mut self.parameters)
    }

    /// Refuses what was not used: every schema forbids further keys.
    pub(super) fn finish(&self) -> Result<(), Refusal> {
        if self.parameters.is_empty() {
            return Ok(());
        }
        Err(Refusal::parameters(
            self.parameters
                .keys()
                .map(|name| (name.clone(), undefined())),
        ))
    }
}

/// What is said of a key that the schema has not.
pub(super) fn undefined() -> String {
    "property is not defined in schema and the schema does not allow additional properties".into()
}

/// What is said of a key that is not there.
pub(super) fn missing(name: &str) -> Refusal {
    Refusal::parameter(name, "property is missing and it is not optional")
}

/// The words that Proxmox takes for yes and no.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

impl FromRequest<Proxmox> for Call {
    type Rejection = Refusal;

    async fn from_request(request: Request, proxmox: &Proxmox) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let authorization = parts.headers.get(header::AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let caller = proxmox.caller(authorization)?;
        let template = MatchedPath::from_request_parts(&mut parts, proxmox).await;
        let template = template.map_or_else(|_| String::new(), |path| path.as_str().to_owned());
        let path = RawPathParams::from_request_parts(&mut parts, proxmox).await;
        let path = path
            .map(|found| {
                let owned = found
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
                owned.collect()
            })
            .unwrap_or_default();
        if parts.headers.contains_key(header::TRANSFER_ENCODING) {
            return Err(Refusal::malformed(
                "chunked transfer encoding not supported",
            ));
        }
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
        let boundary = kind
            .strip_prefix("multipart/form-data; boundary=")
            .map(|boundary| boundary.trim_matches('"').to_owned());
        let limit = if boundary.is_some() {
            LONGEST_UPLOAD
        } else {
            LONGEST_BODY
        };
        let body = axum::body::to_bytes(body, limit)
            .await
            .map_err(|_| Refusal::malformed("for data too large"))?;
        let query = parts.uri.query().unwrap_or("");
        let mut parameters = form(query);
        let method = &parts.method;
        let mut upload = None;
        if !body.is_empty() {
            if matches!(*method, Method::GET | Method::DELETE) {
                return Err(Refusal::malformed(&format!(
                    "Unexpected content for method '{method}'"
                )));
            }
            match boundary {
                Some(boundary) => upload = Some((boundary, body)),
                None if kind.starts_with("application/json") => parameters.extend(json(&body)?),
                None if kind.starts_with("application/x-www-form-urlencoded") => {
                    let text = std::str::from_utf8(&body);
                    parameters.extend(form(text.map_err(|_| Refusal::bad("no UTF-8"))?));
                }
                None => return Err(Refusal::malformed("unsupported content type")),
            }
        }
        Ok(Self {
            caller,
            target: format!("{method} {template}"),
            upload,
            path,
            parameters,
        })
    }
}

/// Pairs of a query or form. Of a name that stands twice the values are a list.
fn form(text: &str) -> BTreeMap<String, String> {
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value);
        pairs
            .entry(decode(name))
            .and_modify(|before| *before = format!("{before},{value}"))
            .or_insert(value);
    }
    pairs
}

fn json(body: &[u8]) -> Result<BTreeMap<String, String>, Refusal> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        return Err(Refusal::bad("malformed JSON: expected an object"));
    };
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => u8::from(*yes).to_string(),
        other => other.to_string(),
    };
    let value = |value: &Value| match value {
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => text(other),
    };
    let fields = fields.iter().filter(|(_, value)| !value.is_null());
    Ok(fields
        .map(|(name, one)| (name.clone(), value(one)))
        .collect())
}

/// Undoes percent-encoding and plus signs.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
