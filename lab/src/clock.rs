//! The lab's own clock: scaled or stepped, never the wall's.
//!
//! Simulated time runs `speed` times faster than the wall and can be advanced by hand. Whatever in the lab takes time waits here.
//! Simulated time starts at the wall's time, so that certificates and expiries look like today's.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

/// A handle on the lab's time; clones share it.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    epoch: Timestamp,
    started: Instant,
    speed: f64,
    /// Sum of all steps by hand. A watch, so that sleepers wake when it moves.
    advanced: watch::Sender<Duration>,
}

impl Clock {
    /// `speed` simulated seconds pass in one second of the wall (60 is the default of a cluster file).
    pub fn new(speed: f64) -> Self {
        Self(Arc::new(Inner {
            epoch: Timestamp::now(),
            started: Instant::now(),
            speed: speed.max(0.001),
            advanced: watch::Sender::new(Duration::ZERO),
        }))
    }

    /// Simulated seconds per second of the wall.
    pub fn speed(&self) -> f64 {
        self.0.speed
    }

    /// Simulated time since the lab started.
    pub fn elapsed(&self) -> Duration {
        self.0.started.elapsed().mul_f64(self.0.speed) + *self.0.advanced.borrow()
    }

    /// The simulated time of day.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.elapsed()).unwrap_or(SignedDuration::MAX);
        self.0.epoch.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Steps the time forward; everything that waits for a moment before the new time wakes.
    pub fn advance(&self, by: Duration) {
        self.0.advanced.send_modify(|sum| *sum += by);
    }

    /// Waits for a simulated duration.
    pub async fn sleep(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        let mut steps = self.0.advanced.subscribe();
        loop {
            let now = self.elapsed();
            if now >= until {
                return;
            }
            let left = until.saturating_sub(now).div_f64(self.0.speed);
            // Both arms are cancel-safe: a timer and a watch.
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = steps.changed() => {}
            }
        }
    }
}
