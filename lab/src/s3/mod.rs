//! The simulated object storage: what S3, MinIO and Scaleway have in common as far as a file that is put, listed, read and deleted needs it.
//!
//! Written from the public API reference (<https://docs.aws.amazon.com/AmazonS3/latest/API/>). Every request's signature (version 4, in a header or in
//! the query) is verified, and digests of bodies are. Addresses are path style. Not here: versions, multipart uploads, rights, copies, ranges;
//! asked for, they are 501 `NotImplemented` with `LAB-UNKNOWN`.

mod answer;
mod routes;
mod signature;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::answer::fault;
pub use self::routes::router;

/// The one region of this storage.
pub const REGION: &str = "lab-1";
/// Buckets that are there from the start.
pub const BUCKETS: [&str; 2] = ["strata-lab", "example-backup"];

/// An access key.
#[derive(Clone)]
pub struct Credentials {
    /// Its id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

/// The service; clones share it.
#[derive(Clone)]
pub struct S3(Arc<Inner>);

struct Inner {
    credentials: Credentials,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

type Bucket = BTreeMap<String, Object>;

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    /// MD5 in hex, as S3 has it for what came in one request.
    etag: String,
    modified: Timestamp,
    kind: String,
    /// `x-amz-meta-...`, by the whole name.
    metadata: BTreeMap<String, String>,
}

impl S3 {
    /// Empty buckets and one access key.
    pub fn new(credentials: Credentials) -> Self {
        let buckets = BUCKETS.map(|name| (name.to_owned(), Bucket::new()));
        Self(Arc::new(Inner {
            credentials,
            buckets: Mutex::new(buckets.into()),
        }))
    }

    /// What lies where, for `GET /estate`. Times are left out: they move by themselves.
    pub fn estate(&self) -> Value {
        let buckets = self.0.buckets.lock().expect("no panic while held");
        let view = |(key, object): (&String, &Object)| json!({ "key": key, "size": object.bytes.len(), "etag": object.etag });
        let of = |(name, bucket): (&String, &Bucket)| {
            let objects: Vec<Value> = bucket.iter().map(view).collect();
            (name.clone(), Value::Array(objects))
        };
        Value::Object(buckets.iter().map(of).collect())
    }
}
