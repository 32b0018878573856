//! The unversioned key/value engine: a map per path, the last write wins. It is here so that clients can tell it from version 2.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::answer::{Refusal, Reply};
use super::call::Verb;
use super::kv2::list;

/// Seconds that a reader may keep what it read: 32 days, the default of a server.
const LEASE: u64 = 2_764_800;

/// Reads, writes, lists or deletes.
pub(super) fn answer(
    entries: &mut BTreeMap<String, Map<String, Value>>,
    verb: Verb,
    key: &str,
    body: Map<String, Value>,
) -> Result<Reply, Refusal> {
    match verb {
        Verb::Read => {
            let stored = entries.get(key).ok_or_else(Refusal::nothing)?;
            Ok(Reply::Lease(Value::Object(stored.clone()), LEASE))
        }
        Verb::Write if body.is_empty() => Err(Refusal::bad("missing data fields")),
        Verb::Write => {
            entries.insert(key.to_owned(), body);
            Ok(Reply::done())
        }
        Verb::Delete => {
            entries.remove(key);
            Ok(Reply::done())
        }
        Verb::List => list(entries.keys(), key),
        Verb::Patch | Verb::Other => Err(Refusal::unsupported()),
    }
}
