//! Services that take a request and never answer: each costs the client's whole patience once, not once for every request of a run.
//!
//! A first silence may be one lost reply, so the next request is sent, with a quarter of the patience. A second one in a row is an outage: for
//! half the patience nothing is sent at all, then one request looks again. Any answer, an error as well, ends it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is known of the services that this process asks, by base address.
#[derive(Debug, Default)]
pub(super) struct Silences(Mutex<BTreeMap<String, Silence>>);

#[derive(Debug, Clone, Copy)]
struct Silence {
    /// In a row.
    times: u32,
    /// When the last one was over.
    at: Instant,
}

/// Whether to send a request now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Send it and wait so long.
    Send(Duration),
    /// It is known how that ends.
    Spare,
}

impl Silences {
    /// What to do with the next request to `base` under this patience.
    pub(super) fn turn(&self, base: &str, patience: Duration) -> Turn {
        let silences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match silences.get(base) {
            None => Turn::Send(patience),
            Some(silence) if silence.times > 1 && silence.at.elapsed() < patience / 2 => {
                Turn::Spare
            }
            Some(_) => Turn::Send(patience / 4),
        }
    }

    /// Nothing came.
    pub(super) fn silent(&self, base: &str) {
        let mut silences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = silences.get(base).map_or(1, |silence| silence.times + 1);
        let at = Instant::now();
        silences.insert(base.to_owned(), Silence { times, at });
    }

    /// Something came.
    pub(super) fn answered(&self, base: &str) {
        let mut silences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silences.remove(base);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(40);

    #[tokio::test(start_paused = true)]
    async fn the_second_silence_spares_the_next_requests_until_one_looks_again() {
        let silences = Silences::default();
        let turn = || silences.turn("https://one", PATIENCE);
        assert_eq!(turn(), Turn::Send(PATIENCE));
        silences.silent("https://one");
        assert_eq!(
            turn(),
            Turn::Send(Duration::from_secs(10)),
            "one lost reply"
        );
        silences.silent("https://one");
        assert_eq!(turn(), Turn::Spare);
        assert_eq!(
            silences.turn("https://two", PATIENCE),
            Turn::Send(PATIENCE),
            "another service is another matter"
        );
        tokio::time::advance(Duration::from_secs(21)).await;
        assert_eq!(turn(), Turn::Send(Duration::from_secs(10)), "a look");
        silences.silent("https://one");
        assert_eq!(turn(), Turn::Spare);
        silences.answered("https://one");
        assert_eq!(turn(), Turn::Send(PATIENCE));
    }
}
