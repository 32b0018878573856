//! Counts of the calls that reached a service, for call budgets and "the second run only reads".
//!
//! Keys are `<service> <METHOD> <route template>`; services are `scaleway`, `cloudflare`, `infisical`, `vault`, `s3`,
//! `kubernetes`, `proxmox`, `factory`, `ssh` and `talos` (METHOD is `CALL`, the template the gRPC path). Calls of the control API are not counted:
//! looking must not change what is looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The counters; clones share them.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<BTreeMap<String, u64>>>);

impl Calls {
    /// Counts one call.
    pub fn count(&self, service: &str, method: &str, template: &str) {
        let mut counts = self.0.lock().expect("no panic while held");
        *counts
            .entry(format!("{service} {method} {template}"))
            .or_default() += 1;
    }

    /// All counts since the last reset, sorted by key.
    pub fn snapshot(&self) -> BTreeMap<String, u64> {
        self.0.lock().expect("no panic while held").clone()
    }

    /// Forgets all counts.
    pub fn reset(&self) {
        self.0.lock().expect("no panic while held").clear();
    }
}
