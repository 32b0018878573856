//! What it means that an entry of the store is not there.
//!
//! A store that ever served an estate holds the key of its fingerprints, which nothing deletes. A store without the entry and without that key is
//! another one, or one that is not there right now, like a folder that is not mounted: no proof that anything is gone. To make it anew would be a
//! loss, and to forget it, too.

use strata_framework::Diagnostics;

use crate::provider::store_failed;
use crate::store::{Store, fingerprint};

/// Why the absence of an entry proves nothing; `None` when it does.
pub async fn doubt(store: &dyn Store, noun: &str, identity: &str) -> Option<Diagnostics> {
    match fingerprint::key(store).await {
        Ok(Some(_)) => None,
        Ok(None) => {
            let detail = format!(
                "{} lacks its entry, and `{}`, which every store with secrets has: it is another store, or not there right now.",
                store.describe().location,
                fingerprint::KEY
            );
            let summary = format!("Cannot find the store of {noun} \"{identity}\"");
            Some(Diagnostics::error(summary, detail)
                .left("The last known state is kept.")
                .hint("Look whether `store` of the provider block names the right place and whether it is mounted. If it is really lost, run `terraform state rm` for what it held."))
        }
        Err(error) => Some(
            store_failed("read", fingerprint::KEY, &error).left("The last known state is kept."),
        ),
    }
}
