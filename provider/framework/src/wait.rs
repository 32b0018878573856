//! Waiting for something outside: `wait(cx, &policy, probe)`.
//!
//! The probe is called until it is done, failed, the deadline passes or the user stops. Every 10 s a log line says what is
//! waited for, for how long and what was seen last; both endings without a result carry the same facts.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::Diagnostics;
use crate::cx::Bounded;

/// How often a log line reports that we still wait.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What a probe saw.
#[derive(Debug)]
pub enum Probe<T, E> {
    /// It has happened.
    Done(T),
    /// Not yet; the status is for people: "status is installing".
    NotYet(String),
    /// Not yet, and the service said when to ask again.
    NotBefore(String, Duration),
    /// It will never happen.
    Failed(E),
}

/// How often to look.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What is waited for, as the end of "Waiting for": "server web-1 to become ready".
    pub what: String,
    /// Pause after the first look; each further pause is half as long again.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// An own limit, shorter than the deadline of the operation.
    pub limit: Option<Duration>,
}

impl Policy {
    /// Looks after 1 s, then less and less often, down to every 15 s.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            first: Duration::from_secs(1),
            longest: Duration::from_secs(15),
            limit: None,
        }
    }

    /// Looks at this pace.
    #[must_use]
    pub fn every(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest);
        self
    }

    /// Gives up after this time, if the deadline is not earlier.
    #[must_use]
    pub fn at_most(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// Why a wait ended without a result.
#[derive(Debug)]
pub enum WaitError<E> {
    /// The probe failed.
    Failed(E),
    /// Time is up. The thing may still happen.
    TimedOut(Waited),
    /// The user stopped the run. The thing may still happen.
    Stopped(Waited),
}

/// The facts of a wait that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// What was waited for.
    pub what: String,
    /// For how long.
    pub spent: Duration,
    /// What was seen last.
    pub last: String,
}

impl fmt::Display for Waited {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, spent, last } = self;
        write!(
            out,
            "waited {} for {what}; last seen: {last}",
            spell(*spent)
        )
    }
}

impl<E> WaitError<E> {
    /// Whether the thing may still happen: the deadline passed or the user stopped.
    pub fn is_unfinished(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl<E: fmt::Display> fmt::Display for WaitError<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(out, "{error}"),
            Self::TimedOut(waited) => write!(out, "timed out: {waited}"),
            Self::Stopped(waited) => write!(out, "stopped by the user: {waited}"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for WaitError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // Display shows the error itself, so its source comes next.
            Self::Failed(error) => error.source(),
            _ => None,
        }
    }
}

impl From<WaitError<Diagnostics>> for Diagnostics {
    fn from(error: WaitError<Diagnostics>) -> Self {
        match error {
            WaitError::Failed(diagnostics) => diagnostics,
            WaitError::TimedOut(waited) => {
                Diagnostics::error(format!("Timed out waiting for {}", waited.what), waited.to_string())
                    .hint("Raise the resource's timeouts, or find out why it takes so long; the next apply continues.")
            }
            WaitError::Stopped(waited) => Diagnostics::error(
                format!("Stopped while waiting for {}", waited.what),
                waited.to_string(),
            )
            .hint("Run apply again; it continues from here."),
        }
    }
}

/// Waits until the probe is done. One slow probe never outlives the deadline: it is dropped then, so it must only read.
pub async fn wait<T, E, F, Fut>(
    cx: &impl Bounded,
    policy: &Policy,
    mut probe: F,
) -> Result<T, WaitError<E>>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Probe<T, E>>,
{
    let start = Instant::now();
    let deadline = policy
        .limit
        .map_or(cx.deadline(), |limit| cx.deadline().min(start + limit));
    let (mut pause, mut last, mut heartbeat) =
        (policy.first, "nothing yet".to_owned(), start + HEARTBEAT);
    loop {
        let waited = |last: &String| Waited {
            what: policy.what.clone(),
            spent: start.elapsed(),
            last: last.clone(),
        };
        // Cancel-safe: a dropped probe has only read.
        let seen = tokio::select! {
            biased;
            () = cx.cancel().cancelled() => return Err(WaitError::Stopped(waited(&last))),
            seen = timeout_at(deadline, probe()) => seen,
        };
        let next = match seen {
            Ok(Probe::Done(value)) => return Ok(value),
            Ok(Probe::Failed(error)) => return Err(WaitError::Failed(error)),
            Ok(Probe::NotYet(status)) => {
                last = status;
                Instant::now() + pause
            }
            Ok(Probe::NotBefore(status, after)) => {
                last = status;
                Instant::now() + after.max(pause)
            }
            Err(_) => return Err(WaitError::TimedOut(waited(&last))),
        };
        pause = (pause * 3 / 2).min(policy.longest);
        // The pause is cut into heartbeats, so that a long one is not silent.
        while Instant::now() < next {
            tokio::select! {
                biased;
                () = cx.cancel().cancelled() => return Err(WaitError::Stopped(waited(&last))),
                () = sleep_until(deadline), if deadline <= next.min(heartbeat) => {
                    return Err(WaitError::TimedOut(waited(&last)));
                }
                () = sleep_until(next.min(heartbeat)) => {}
            }
            if Instant::now() >= heartbeat {
                heartbeat = Instant::now() + HEARTBEAT;
                let (spent, left) = (spell(start.elapsed()), spell(deadline - Instant::now()));
                tracing::info!(
                    "Waiting for {}: {last} ({spent} so far, {left} left)",
                    policy.what
                );
            }
        }
    }
}

/// A duration as people say it: `1h02m`, `3m05s`, `45s`.
pub fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Policy, Probe, WaitError, wait};
    use crate::cx::Limits;

    #[tokio::test(start_paused = true)]
    async fn it_looks_until_done() {
        let mut looks = 0;
        let done: Result<u32, WaitError<std::io::Error>> = wait(
            &Limits::within(Duration::from_mins(10)),
            &Policy::new("it"),
            || {
                looks += 1;
                std::future::ready(if looks == 5 {
                    Probe::Done(looks)
                } else {
                    Probe::NotYet("soon".into())
                })
            },
        )
        .await;
        assert!(matches!(done, Ok(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_tells_time_and_last_status() {
        let probe = || {
            std::future::ready(Probe::<(), std::io::Error>::NotYet(
                "status is installing".into(),
            ))
        };
        let error = wait(
            &Limits::within(Duration::from_secs(100)),
            &Policy::new("server a"),
            probe,
        )
        .await;
        let text = error.expect_err("never done").to_string();
        assert_eq!(
            text,
            "timed out: waited 1m40s for server a; last seen: status is installing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_it_at_once() {
        let limits = Limits::within(Duration::from_mins(10));
        limits.cancel.cancel();
        let probe = || std::future::ready(Probe::<(), std::io::Error>::NotYet("x".into()));
        let error = wait(&limits, &Policy::new("it"), probe)
            .await
            .expect_err("stopped");
        assert!(matches!(&error, WaitError::Stopped(_)) && error.is_unfinished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_probe_ends_with_the_deadline() {
        let probe = std::future::pending::<Probe<(), std::io::Error>>;
        let error = wait(
            &Limits::within(Duration::from_secs(5)),
            &Policy::new("it"),
            probe,
        )
        .await;
        assert!(matches!(error, Err(WaitError::TimedOut(_))));
    }
}
