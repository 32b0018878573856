//! What goes back: plain objects, Tables, metadata only; lists with pages.

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::kind::Kind;
use super::request::Request;
use super::table;
use super::watch::Subscription;

/// An answer of the API before it becomes HTTP.
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) body: Body,
    pub(super) warnings: Vec<String>,
    pub(super) retry_after: Option<u64>,
}

pub(super) enum Body {
    Json(Value),
    Text(String),
    Watch(Box<Subscription>),
}

impl Reply {
    pub(super) fn json(code: u16, value: Value) -> Self {
        Self {
            code,
            body: Body::Json(value),
            warnings: Vec::new(),
            retry_after: None,
        }
    }

    pub(super) fn text(code: u16, text: impl Into<String>) -> Self {
        Self {
            code,
            body: Body::Text(text.into()),
            warnings: Vec::new(),
            retry_after: None,
        }
    }
}

/// The form a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Full,
    Table { include: String },
    Metadata,
}

impl Form {
    pub(super) fn of(request: &Request) -> Self {
        let first = request.accept.split(',').next().unwrap_or_default();
        if first.contains("as=Table") {
            Self::Table {
                include: request.query.get("includeObject").into(),
            }
        } else if first.contains("as=PartialObjectMetadata") {
            Self::Metadata
        } else {
            Self::Full
        }
    }

    /// One object in this form.
    pub(super) fn object(&self, kind: &Kind, object: &Value, now: Timestamp) -> Value {
        match self {
            Self::Table { include } => {
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                table::of(kind, &[object], &metadata, include, now)
            }
            Self::Metadata => metadata_of(object),
            Self::Full => in_version(kind, object),
        }
    }

    /// A list in this form.
    pub(super) fn list(
        &self,
        kind: &Kind,
        objects: &[&Value],
        metadata: &Value,
        now: Timestamp,
    ) -> Value {
        match self {
            Self::Table { include } => table::of(kind, objects, metadata, include, now),
            Self::Metadata => {
                let items: Vec<Value> = objects.iter().map(|object| metadata_of(object)).collect();
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
            }
            Self::Full => {
                let items: Vec<Value> = objects
                    .iter()
                    .map(|object| in_version(kind, object))
                    .collect();
                json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata, "items": items})
            }
        }
    }
}

fn metadata_of(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// Versions of a custom resource share their content: the lab knows no conversion but the name of the version.
fn in_version(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!(kind.api_version());
    object
}

/// The token behind which the next page starts.
pub(super) fn continue_token(namespace: &str, name: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{namespace}/{name}").as_bytes())
}

pub(super) fn parse_continue(token: &str) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()?;
    let (namespace, name) = text.split_once('/')?;
    Some((namespace.into(), name.into()))
}
