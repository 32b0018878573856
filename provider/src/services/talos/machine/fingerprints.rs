//! What the state knows of a configuration: each part by an HMAC under the store's key, so that a difference has a place and no value.

use std::collections::BTreeMap;

use strata_framework::{Diagnostics, fingerprint};

use crate::provider::{Strata, store_failed};
use crate::services::talos::content::Content;
use crate::store;

/// Characters that are kept of each: enough to tell values apart, in a state that people read.
const LENGTH: usize = 16;

fn of(key: &store::fingerprint::Key, content: &Content) -> BTreeMap<String, String> {
    let short = |path: &str, value: &str| {
        // The path goes in: equal values at two places do not show that they are equal.
        let whole = fingerprint(key.expose(), format!("{path}\0{value}").as_bytes());
        let digits = whole.rsplit(':').next().unwrap_or_default();
        digits.chars().take(LENGTH).collect()
    };
    let parts = content.parts().into_iter();
    parts
        .map(|(path, value)| {
            let made = short(&path, &value);
            (path, made)
        })
        .collect()
}

/// For plan and refresh, which never write: nothing when the key does not exist yet.
pub(super) async fn known(
    provider: &Strata,
    content: &Content,
) -> Result<Option<BTreeMap<String, String>>, Diagnostics> {
    let key = store::fingerprint::key(&*provider.store()?)
        .await
        .map_err(|error| store_failed("read", store::fingerprint::KEY, &error))?;
    Ok(key.map(|key| of(&key, content)))
}

/// Of what was delivered; the key is made on first use.
pub(super) async fn record(
    provider: &Strata,
    content: &Content,
) -> Result<BTreeMap<String, String>, Diagnostics> {
    let key = store::fingerprint::key_or_make(&*provider.store()?)
        .await
        .map_err(|error| store_failed("read", store::fingerprint::KEY, &error))?;
    Ok(of(&key, content))
}
