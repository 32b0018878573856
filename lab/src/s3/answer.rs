//! Answers in S3's XML.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// A refusal, as S3 words it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            message: message.into(),
        }
    }

    /// For what the real thing may be able to do.
    pub(super) fn unknown(what: &str) -> Self {
        Self::new(
            501,
            "NotImplemented",
            format!("LAB-UNKNOWN: the lab cannot do {what}; the real storage might"),
        )
    }

    pub(super) fn no_bucket() -> Self {
        Self::new(404, "NoSuchBucket", "The specified bucket does not exist")
    }

    pub(super) fn no_key() -> Self {
        Self::new(404, "NoSuchKey", "The specified key does not exist.")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        xml(self.status, error(self.code, &self.message))
    }
}

fn error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{}</Message><RequestId>LAB</RequestId></Error>",
        escape(message)
    )
}

pub(super) fn xml(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/xml"),
    );
    response
}

/// What the storage says when something between it and its own code fails.
pub(crate) fn fault(status: StatusCode) -> String {
    let (code, message) = match status.as_u16() {
        503 => ("SlowDown", "Please reduce your request rate."),
        403 => ("AccessDenied", "Access Denied"),
        _ => (
            "InternalError",
            "We encountered an internal error. Please try again.",
        ),
    };
    error(code, message)
}

pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, letter| {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
        escaped
    })
}

/// A page of a list.
pub(super) struct Page<'a> {
    pub(super) bucket: &'a str,
    pub(super) prefix: &'a str,
    pub(super) most: usize,
    /// Keys are percent-encoded.
    pub(super) encoded: bool,
    pub(super) objects: Vec<(&'a String, &'a super::Object)>,
    /// Where the next page begins.
    pub(super) next: Option<String>,
}

impl Page<'_> {
    pub(super) fn xml(&self) -> String {
        let name = |text: &str| {
            if self.encoded {
                super::signature::encode(text, true)
            } else {
                escape(text)
            }
        };
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{}</KeyCount><MaxKeys>{}</MaxKeys><IsTruncated>{}</IsTruncated>",
            self.bucket,
            name(self.prefix),
            self.objects.len(),
            self.most,
            self.next.is_some()
        );
        if self.encoded {
            text.push_str("<EncodingType>url</EncodingType>");
        }
        for (key, object) in &self.objects {
            let _infallible = write!(
                text,
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>&quot;{}&quot;</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                name(key),
                object.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                object.etag,
                object.bytes.len()
            );
        }
        if let Some(next) = &self.next {
            let _infallible = write!(
                text,
                "<NextContinuationToken>{}</NextContinuationToken>",
                escape(next)
            );
        }
        text.push_str("</ListBucketResult>");
        text
    }
}
