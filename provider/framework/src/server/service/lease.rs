//! Open leases: which there are, what is known of each, and what went wrong with it when nobody listened.
//!
//! Core gives Close the bytes of Open, not of the last Renew, loses the errors of Renew (in every release up to 1.16), and
//! calls no Close at all when a consumer failed. So the bytes carry a number, and the rest is remembered here, in the
//! process that opened it, which is the one that closes it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::Diagnostics;
use crate::operation::PRIVATE_VERSION;

/// All leases of this process.
#[derive(Debug, Default)]
pub(super) struct Leases {
    last: u64,
    open: BTreeMap<u64, Open>,
}

/// One lease.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) type_name: String,
    /// What renew and close need to know, of the last renewal.
    pub(super) kept: Json,
    /// What the last Renew had to say, if it failed.
    pub(super) untold: Diagnostics,
}

impl Leases {
    /// Remembers a lease; the bytes for core.
    pub(super) fn open(&mut self, type_name: &str, kept: Json) -> Vec<u8> {
        self.last += 1;
        let bytes = bytes(self.last, &kept);
        let open = Open {
            type_name: type_name.to_owned(),
            kept,
            untold: Diagnostics::none(),
        };
        self.open.insert(self.last, open);
        bytes
    }

    /// What is known of the lease with these bytes: what is remembered, else what they say.
    pub(super) fn kept(&self, bytes: &[u8]) -> Json {
        let (number, kept) = parse(bytes);
        self.open
            .get(&number)
            .map_or(kept, |open| open.kept.clone())
    }

    /// Notes how a renewal went; the bytes for core.
    pub(super) fn renewed(
        &mut self,
        bytes: &[u8],
        kept: Option<Json>,
        found: &Diagnostics,
    ) -> Vec<u8> {
        let (number, before) = parse(bytes);
        let kept = kept.unwrap_or(before);
        if let Some(open) = self.open.get_mut(&number) {
            open.kept = kept.clone();
            open.untold = if found.has_errors() {
                found.clone()
            } else {
                Diagnostics::none()
            };
        }
        self::bytes(number, &kept)
    }

    /// Forgets a lease that is being closed.
    pub(super) fn close(&mut self, type_name: &str, bytes: &[u8]) -> Open {
        let (number, kept) = parse(bytes);
        self.open.remove(&number).unwrap_or_else(|| Open {
            type_name: type_name.to_owned(),
            kept,
            untold: Diagnostics::none(),
        })
    }

    /// All that core forgot.
    pub(super) fn take(&mut self) -> Vec<Open> {
        std::mem::take(&mut self.open).into_values().collect()
    }
}

/// Lease number 0 is none: bytes of another process, or of nothing.
fn parse(bytes: &[u8]) -> (u64, Json) {
    let json: Json = serde_json::from_slice(bytes).unwrap_or_default();
    let kept = json.get("value").cloned().unwrap_or_default();
    let number = json.get("lease").and_then(Json::as_u64);
    (number.unwrap_or_default(), kept)
}

fn bytes(number: u64, kept: &Json) -> Vec<u8> {
    json!({PRIVATE_VERSION: 1, "lease": number, "value": kept})
        .to_string()
        .into_bytes()
}

/// When to renew what is good for so long: after two thirds to five sixths of it. Before the end, because a renewal takes
/// its time too; not all at the same time, because many leases are opened together.
pub(super) fn renew_after(good_for: Duration, chance: u64) -> Duration {
    let part = u32::try_from(chance % 1001).unwrap_or_default();
    good_for * (4000 + part) / 6000
}

/// A number that differs each time; nothing depends on it being hard to guess.
pub(super) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{Leases, chance, renew_after};
    use crate::Diagnostics;

    #[test]
    fn renewals_are_early_and_spread() {
        let good_for = Duration::from_mins(10);
        for _ in 0..100 {
            let after = renew_after(good_for, chance()).as_secs();
            assert!((400..=500).contains(&after), "{after}");
        }
        assert_ne!(renew_after(good_for, 1), renew_after(good_for, 2));
        // A year does not overflow.
        assert!(renew_after(Duration::from_hours(24 * 365), 1000).as_secs() > 26_000_000);
    }

    #[test]
    fn equal_leases_are_two() {
        let mut leases = Leases::default();
        let first = leases.open("a", json!("same"));
        let second = leases.open("a", json!("same"));
        assert_ne!(first, second);
        leases.close("a", &first);
        assert_eq!(leases.take().len(), 1);
    }

    #[test]
    fn close_gets_the_last_renewal_and_its_failure() {
        let mut leases = Leases::default();
        let opened = leases.open("a", json!("old"));
        let renewed = leases.renewed(&opened, Some(json!("new")), &Diagnostics::none());
        assert_eq!(leases.kept(&opened), json!("new"));
        assert_eq!(leases.kept(&renewed), json!("new"));
        leases.renewed(
            &renewed,
            None,
            &Diagnostics::error("Cannot renew a", "Gone."),
        );
        let closed = leases.close("a", &opened);
        assert_eq!(closed.kept, json!("new"));
        assert!(closed.untold.has_errors());
        assert!(leases.take().is_empty());
    }

    #[test]
    fn a_renewal_that_succeeds_has_nothing_to_tell() {
        let mut leases = Leases::default();
        let opened = leases.open("a", json!(1));
        leases.renewed(
            &opened,
            None,
            &Diagnostics::error("Cannot renew a", "Busy."),
        );
        leases.renewed(&opened, Some(json!(2)), &Diagnostics::none());
        assert!(leases.close("a", &opened).untold.is_empty());
    }
}
