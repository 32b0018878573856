//! From a request to an answer: what is signed is verified first, then the bucket is looked for, then the deed is done.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse as _, Response};
use data_encoding::{BASE64, HEXLOWER};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::answer::{Page, Refusal, xml};
use super::signature::{Asked, decode, verify};
use super::{Bucket, Object, S3};
use crate::serve::{HangUp, Meter};

/// The most that one request may bring; more is a multipart upload, which is not here.
const LARGEST: usize = 1 << 30;
const MOST_KEYS: usize = 1000;
/// How S3 writes dates in headers.
const DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The whole service with counting and faults.
pub fn router(s3: S3, meter: Meter) -> Router {
    Router::new().fallback(serve).with_state((s3, meter))
}

/// A request, taken apart.
struct Call {
    method: Method,
    bucket: String,
    key: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

async fn serve(Shared((s3, meter)): Shared<(S3, Meter)>, request: Request) -> Response {
    let hang_up = request.extensions().get::<HangUp>().cloned();
    let (parts, body) = request.into_parts();
    let template = match parts.uri.path().trim_matches('/').split_once('/') {
        Some(_) => "/{bucket}/{key}",
        None if parts.uri.path() == "/" => "/",
        None => "/{bucket}",
    };
    let method = parts.method.clone();
    let uri = parts.uri.clone();
    let work = async {
        // A body that breaks off is no object.
        let Ok(body) = axum::body::to_bytes(body, LARGEST).await else {
            return Refusal::new(
                400,
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
            )
            .into_response();
        };
        let mut response = s3
            .answer(parts, body)
            .unwrap_or_else(Refusal::into_response);
        let date = Timestamp::now().strftime(DATE).to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            response.headers_mut().insert(header::DATE, date);
        }
        if method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        response
    };
    meter
        .measure(method.as_str(), template, &uri, hang_up.as_ref(), work)
        .await
}

impl Call {
    fn new(parts: Parts, body: Bytes) -> Result<Self, Refusal> {
        let odd = || Refusal::new(400, "InvalidURI", "Couldn't parse the specified URI.");
        let text = |text: &str| decode(text).ok_or_else(odd);
        let path = parts.uri.path().trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = parts.uri.query().unwrap_or_default();
        let query = query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                Ok((text(name)?, text(value)?))
            })
            .collect::<Result<_, Refusal>>()?;
        Ok(Self {
            bucket: text(bucket)?,
            key: text(key)?,
            query,
            headers: parts.headers,
            method: parts.method,
            body,
        })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Parameters that are not the signature's.
    fn parameters(&self) -> BTreeMap<&str, &str> {
        self.query
            .iter()
            .filter(|(name, _)| !name.starts_with("X-Amz-"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// The body is what its digests say.
    fn check_digests(&self) -> Result<(), Refusal> {
        let differs = |what: &str| {
            Refusal::new(
                400,
                "BadDigest",
                format!("The {what} you specified did not match what we received."),
            )
        };
        if let Some(text) = self.header("content-md5") {
            let digest = BASE64.decode(text.as_bytes()).ok();
            let digest = digest.filter(|digest| digest.len() == 16).ok_or_else(|| {
                Refusal::new(
                    400,
                    "InvalidDigest",
                    "The Content-MD5 you specified was invalid.",
                )
            })?;
            if digest != md5::compute(&self.body).0 {
                return Err(differs("Content-MD5"));
            }
        }
        for (name, value) in &self.headers {
            let Some(kind) = name.as_str().strip_prefix("x-amz-checksum-") else {
                continue;
            };
            let digest = match kind {
                "crc32" => {
                    let mut sum = flate2::Crc::new();
                    sum.update(&self.body);
                    sum.sum().to_be_bytes().to_vec()
                }
                "sha256" => Sha256::digest(&self.body).to_vec(),
                "mode" => continue,
                other => return Err(Refusal::unknown(&format!("checksums of kind {other}"))),
            };
            if value.as_bytes() != BASE64.encode(&digest).as_bytes() {
                return Err(differs(&format!("{kind} checksum")));
            }
        }
        Ok(())
    }
}

impl S3 {
    fn answer(&self, parts: Parts, body: Bytes) -> Result<Response, Refusal> {
        let path = parts.uri.path().to_owned();
        let call = Call::new(parts, body)?;
        let asked = Asked {
            method: &call.method,
            path: &path,
            query: &call.query,
            headers: &call.headers,
            body: &call.body,
        };
        verify(&asked, &self.0.credentials, Timestamp::now())?;
        let mut buckets = self.0.buckets.lock().expect("no panic while held");
        if call.key.is_empty() && call.method == Method::PUT && call.parameters().is_empty() {
            if buckets.contains_key(&call.bucket) {
                return Err(Refusal::new(
                    409,
                    "BucketAlreadyOwnedByYou",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                ));
            }
            buckets.insert(call.bucket.clone(), Bucket::new());
            return Ok(StatusCode::OK.into_response());
        }
        let bucket = buckets
            .get_mut(&call.bucket)
            .ok_or_else(Refusal::no_bucket)?;
        if call.key.is_empty() {
            return match call.method {
                Method::GET => list(&call, bucket),
                Method::HEAD => Ok(StatusCode::OK.into_response()),
                _ => Err(Refusal::unknown(&format!("{} of a bucket", call.method))),
            };
        }
        if let Some(name) = call.parameters().keys().find(|name| **name != "x-id") {
            return Err(Refusal::unknown(&format!("`{name}` of an object")));
        }
        match call.method {
            Method::PUT => put(call, bucket),
            Method::GET | Method::HEAD => get(&call, bucket),
            Method::DELETE => {
                bucket.remove(&call.key);
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            _ => Err(Refusal::unknown(&format!("{} of an object", call.method))),
        }
    }
}

fn put(call: Call, bucket: &mut Bucket) -> Result<Response, Refusal> {
    for name in ["x-amz-copy-source", "if-none-match", "if-match"] {
        if call.headers.contains_key(name) {
            return Err(Refusal::unknown(&format!("header `{name}`")));
        }
    }
    call.check_digests()?;
    let metadata = call
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"))
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let etag = HEXLOWER.encode(&md5::compute(&call.body).0);
    let kind = call.header("content-type");
    let object = Object {
        kind: kind.unwrap_or("binary/octet-stream").to_owned(),
        etag: etag.clone(),
        modified: Timestamp::now(),
        metadata,
        bytes: call.body,
    };
    bucket.insert(call.key, object);
    Ok(([(header::ETAG, format!("\"{etag}\""))]).into_response())
}

fn get(call: &Call, bucket: &Bucket) -> Result<Response, Refusal> {
    if call.headers.contains_key(header::RANGE) {
        return Err(Refusal::unknown("a part of an object"));
    }
    let object = bucket.get(&call.key).ok_or_else(Refusal::no_key)?;
    let mut response = Response::new(Body::from(object.bytes.clone()));
    let headers = response.headers_mut();
    let mut put = |name: &str, value: String| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    };
    put("content-length", object.bytes.len().to_string());
    put("content-type", object.kind.clone());
    put("etag", format!("\"{}\"", object.etag));
    put("last-modified", object.modified.strftime(DATE).to_string());
    for (name, value) in &object.metadata {
        put(name, value.clone());
    }
    Ok(response)
}

fn list(call: &Call, bucket: &Bucket) -> Result<Response, Refusal> {
    const KNOWN: [&str; 6] = [
        "list-type",
        "prefix",
        "max-keys",
        "continuation-token",
        "start-after",
        "encoding-type",
    ];
    let parameters = call.parameters();
    let unknown = parameters.keys().find(|name| !KNOWN.contains(name));
    if let Some(name) = unknown {
        return Err(Refusal::unknown(&format!("`{name}` of a bucket")));
    }
    if parameters.get("list-type") != Some(&"2") {
        return Err(Refusal::unknown("lists of version 1"));
    }
    let text = |name: &str| parameters.get(name).copied().unwrap_or_default();
    let most = match parameters.get("max-keys") {
        Some(number) => number.parse::<usize>().map_err(|_| {
            Refusal::new(
                400,
                "InvalidArgument",
                "Provided max-keys not an integer or within integer range",
            )
        })?,
        None => MOST_KEYS,
    };
    let most = most.min(MOST_KEYS);
    let after = text("continuation-token").max(text("start-after"));
    let mut objects: Vec<(&String, &Object)> = bucket
        .iter()
        .filter(|(key, _)| key.starts_with(text("prefix")) && key.as_str() > after)
        .take(most + 1)
        .collect();
    let next = (objects.len() > most).then(|| {
        objects.truncate(most);
        objects
            .last()
            .map(|(key, _)| (*key).clone())
            .unwrap_or_default()
    });
    let page = Page {
        bucket: &call.bucket,
        prefix: text("prefix"),
        most,
        encoded: text("encoding-type") == "url",
        objects,
        next,
    };
    Ok(xml(StatusCode::OK, page.xml()))
}
