//! Object storage that speaks S3: AWS, Scaleway, MinIO and their like. What a file needs that is put, listed, read and deleted; one request each.
//!
//! Guarantees: an object that [`Bucket::put`] reports as there was compared by the storage with the MD5 of what was sent, and was then seen to have its
//! size and our SHA-256; one that cannot be seen so is removed again. Every wait ends. Credentials and signatures reach no error and no log.
//!
//! Signing is rusty-s3's; the sockets are the one dialer's. With an endpoint the bucket is part of the path, without one part of AWS' host names.
//! Not here: multipart uploads (an object ends at 5 GiB), versions, encryption by the storage.

mod error;
mod exchange;
pub mod keys;
mod location;

use std::time::Duration;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http::header::CONTENT_LENGTH;
use rusty_s3::actions::ListObjectsV2;
use rusty_s3::{S3Action, UrlStyle};
use sha2::{Digest as _, Sha256};

pub use self::error::Error;
use self::exchange::{Call, Line};
use self::keys::Keys;
pub use self::location::Location;
use crate::credential::Source;
use crate::environment::Environment;
use crate::http::connect::Connector;
use crate::store::Store;

/// Variables with the address of the storage, the closest first.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
/// Variables with the region.
const REGIONS: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];
/// What storages without regions call theirs.
const NO_REGION: &str = "us-east-1";
/// A signed request may be late by so much.
const LIFE: Duration = Duration::from_mins(10);
/// Our own digest, kept with the object.
const SHA256: &str = "x-amz-meta-sha256";
/// A list of so many pages is not ours.
const MOST_PAGES: usize = 100;
const CONNECT: Duration = Duration::from_secs(10);

/// An object of the location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its name below the prefix.
    pub name: String,
    /// In bytes.
    pub size: u64,
}

/// One bucket, under one key, below one prefix.
pub struct Bucket {
    location: Location,
    signer: rusty_s3::Bucket,
    credentials: rusty_s3::Credentials,
    source: Source,
    line: Line,
}

impl Bucket {
    /// The bucket as environment and store say. Nothing is contacted but the store.
    pub async fn open(
        environment: &Environment,
        store: &dyn Store,
        location: Location,
    ) -> Result<Self, Error> {
        let keys = keys::find(environment, store).await?;
        Self::new(environment, keys, location)
    }

    /// The bucket with keys that were found.
    pub fn new(environment: &Environment, keys: Keys, location: Location) -> Result<Self, Error> {
        let first = |names: &[&str]| names.iter().find_map(|name| environment.get(name));
        let endpoint = first(&ENDPOINTS);
        let region = match (first(&REGIONS), endpoint) {
            (Some(region), _) => region,
            (None, Some(_)) => NO_REGION,
            (None, None) => return Err(Error::NoRegion),
        };
        let address = endpoint.map_or_else(
            || format!("https://s3.{region}.amazonaws.com"),
            |endpoint| endpoint.trim_end_matches('/').to_owned(),
        );
        let odd = |reason: String| Error::Endpoint {
            address: address.clone(),
            reason,
        };
        // A name with dots is no name of a certificate of AWS.
        let style = if endpoint.is_some() || location.bucket().contains('.') {
            UrlStyle::Path
        } else {
            UrlStyle::VirtualHost
        };
        let url = address.parse().map_err(|error| odd(format!("{error}")))?;
        let name = location.bucket().to_owned();
        let signer = rusty_s3::Bucket::new(url, style, name, region.to_owned())
            .map_err(|error| odd(error.to_string()))?;
        let (id, secret) = (keys.id, keys.secret.expose().clone());
        let credentials = match keys.token {
            Some(token) => {
                rusty_s3::Credentials::new_with_token(id, secret, token.expose().clone())
            }
            None => rusty_s3::Credentials::new(id, secret),
        };
        let connector = Connector::new(environment.dialer().clone(), CONNECT);
        Ok(Self {
            location,
            signer,
            credentials,
            source: keys.source,
            line: Line::new(connector, address, environment.speed()),
        })
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Where its key was found.
    pub fn source(&self) -> &Source {
        &self.source
    }

    #[cfg(test)]
    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.line.patience = patience;
        self
    }

    /// What lies directly below the prefix, by name.
    pub async fn list(&self) -> Result<Vec<Object>, Error> {
        let prefix = self.location.key("");
        let mut objects = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let call = Call::new("list", self.location.to_string());
            let answer = self
                .line
                .send(&call, || {
                    let mut action = self.signer.list_objects_v2(Some(&self.credentials));
                    action.with_prefix(prefix.as_str());
                    if let Some(token) = &token {
                        action.with_continuation_token(token.as_str());
                    }
                    action.sign(LIFE)
                })
                .await?;
            let text = String::from_utf8_lossy(&answer.body);
            let page = ListObjectsV2::parse_response(&text)
                .map_err(|error| call.unreadable(error.to_string()))?;
            for entry in page.contents {
                let Some(name) = entry.key.strip_prefix(&prefix) else {
                    return Err(call
                        .unreadable(format!("it lists `{}`, which was not asked for", entry.key)));
                };
                if !name.is_empty() && !name.contains('/') {
                    objects.push(Object {
                        name: name.to_owned(),
                        size: entry.size.unwrap_or_default(),
                    });
                }
            }
            token = page.next_continuation_token;
            if token.is_none() {
                objects.sort_by(|one, other| one.name.cmp(&other.name));
                return Ok(objects);
            }
        }
        let call = Call::new("list", self.location.to_string());
        Err(call.unreadable("the list does not end".into()))
    }

    /// Puts an object, and looks whether it is there.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let (size, sha256) = (bytes.len() as u64, HEXLOWER.encode(&Sha256::digest(&bytes)));
        let key = self.location.key(name);
        let call = Call::new("write", self.location.below(name))
            .with("content-md5", BASE64.encode(&md5::compute(&bytes).0))
            .with(SHA256, sha256.clone())
            .body(bytes);
        self.line
            .send(&call, || {
                let mut action = self.signer.put_object(Some(&self.credentials), &key);
                for (name, value) in call.headers() {
                    action.headers_mut().insert(name, value);
                }
                action.sign(LIFE)
            })
            .await?;
        // What counts is what lies there.
        let found = self.head(name).await?;
        let expected = Some((size, Some(sha256)));
        if found == expected {
            return Ok(());
        }
        let removed = self.delete(name).await;
        Err(Error::Different {
            object: self.location.below(name),
            reason: match found {
                None => "it is not there".into(),
                Some((found, _)) if found != size => {
                    format!("it has {found} bytes instead of {size}")
                }
                Some(_) => "its SHA-256 is another".into(),
            },
            removed: removed.is_ok(),
        })
    }

    /// Size and our digest of an object, if it is there.
    async fn head(&self, name: &str) -> Result<Option<(u64, Option<String>)>, Error> {
        let key = self.location.key(name);
        let call = Call::head("look at", self.location.below(name));
        let answer = self
            .line
            .send(&call, || {
                self.signer
                    .head_object(Some(&self.credentials), &key)
                    .sign(LIFE)
            })
            .await;
        let answer = match answer {
            Err(error) if error.is_not_found() => return Ok(None),
            answer => answer?,
        };
        let size = answer
            .header(CONTENT_LENGTH.as_str())
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| call.unreadable("it does not say how large the object is".into()))?;
        Ok(Some((size, answer.header(SHA256).map(str::to_owned))))
    }

    /// Reads an object whole.
    pub async fn get(&self, name: &str) -> Result<Vec<u8>, Error> {
        let key = self.location.key(name);
        let call = Call::new("read", self.location.below(name));
        let answer = self
            .line
            .send(&call, || {
                self.signer
                    .get_object(Some(&self.credentials), &key)
                    .sign(LIFE)
            })
            .await?;
        // Objects of other writers have no digest of ours; what they are shows when they are opened.
        let sha256 = HEXLOWER.encode(&Sha256::digest(&answer.body));
        if answer
            .header(SHA256)
            .is_some_and(|expected| expected != sha256)
        {
            return Err(call.unreadable("its SHA-256 is another than when it was written".into()));
        }
        Ok(answer.body.to_vec())
    }

    /// Deletes an object. Gone already is success.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let key = self.location.key(name);
        let call = Call::delete("delete", self.location.below(name));
        let sent = self.line.send(&call, || {
            self.signer
                .delete_object(Some(&self.credentials), &key)
                .sign(LIFE)
        });
        match sent.await {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether this key may write here, without writing: the digest of the one byte that is offered is wrong, so that a storage that would take it
    /// refuses it for that alone.
    pub async fn try_to_write(&self) -> Result<(), Error> {
        let name = format!("strata-preflight-{}", uuid::Uuid::new_v4());
        let key = self.location.key(&name);
        let call = Call::new("write", self.location.below(&name))
            .with("content-md5", BASE64.encode(&[0; 16]))
            .body(Bytes::from_static(b"-"));
        let sent = self.line.send(&call, || {
            let mut action = self.signer.put_object(Some(&self.credentials), &key);
            for (name, value) in call.headers() {
                action.headers_mut().insert(name, value);
            }
            action.sign(LIFE)
        });
        match sent.await {
            Err(error) if error.code() == Some("BadDigest") => Ok(()),
            Err(error) => Err(error),
            // It looks at no digest: what it took is taken away.
            Ok(_) => self.delete(&name).await,
        }
    }
}

#[cfg(test)]
mod tests;
