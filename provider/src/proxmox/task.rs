//! Tasks: most calls are answered before anything has happened, and say under which identifier it will.

use std::time::Duration;

use strata_framework::{Bounded, Policy, Probe, WaitError, wait};

use super::client::Client;
use super::error::Error;
use crate::http::client::Error as HttpError;

/// How often a task is looked at, on the cluster's clock.
const PACE: Duration = Duration::from_secs(1);
/// For so long the identifier of a task that was just started may be unknown.
const UNSETTLED: Duration = Duration::from_secs(10);
/// So many lines of a log are looked at.
const LINES: usize = 500;

/// How a task ended that did what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What it warned of.
    pub warnings: Vec<String>,
}

/// The parts of an identifier: `UPID:<node>:<pid>:<pstart>:<start>:<type>:<id>:<user>:`.
fn parts(upid: &str) -> (&str, &str) {
    let mut parts = upid.split(':').skip(1);
    let node = parts.next().unwrap_or_default();
    (node, parts.nth(3).unwrap_or_default())
}

/// Waits until a task ends.
pub async fn finish(client: &Client, limits: &impl Bounded, upid: &str) -> Result<Done, Error> {
    let (node, kind) = parts(upid);
    let started = tokio::time::Instant::now();
    let pace = client.scaled(PACE);
    let policy = Policy::new(format!("task {kind} on {node}")).every(pace, pace * 3);
    let probe = async || match client.task(node, upid).await {
        Ok(status) if status.status == "stopped" => Probe::Done(
            status
                .exitstatus
                .unwrap_or_else(|| "unexpected status".into()),
        ),
        Ok(status) => Probe::NotYet(status.status),
        Err(error) if is_unknown(&error) && started.elapsed() < client.scaled(UNSETTLED) => {
            Probe::NotYet("not known yet".into())
        }
        // What it does goes on whether we can look or not.
        Err(error) if error.is_transient() => Probe::NotYet(error.to_string()),
        Err(error) => Probe::Failed(error),
    };
    let exit = wait(limits, &policy, probe).await.map_err(|error| {
        let why = error.to_string();
        match error {
            WaitError::Failed(error) => error,
            _ => Error::Unfinished {
                upid: upid.to_owned(),
                why,
            },
        }
    })?;
    if exit == "OK" {
        return Ok(Done {
            warnings: Vec::new(),
        });
    }
    // The task is over; without its log there is still its end.
    let log = client.log(node, upid, LINES).await.unwrap_or_default();
    if exit.starts_with("WARNINGS:") {
        let warnings = log.iter().filter_map(|line| line.strip_prefix("WARN: "));
        return Ok(Done {
            warnings: warnings.map(str::to_owned).collect(),
        });
    }
    Err(Error::Task {
        kind: kind.to_owned(),
        node: node.to_owned(),
        exit,
        log,
    })
}

fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::Api(HttpError::Status { body, .. }) if body.contains("no such task"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_says_where_and_what() {
        let upid = "UPID:pve1:0000A1B2:00C3D4E5:68A0F1C2:qmcreate:120:strata@pve!tf:";
        assert_eq!(parts(upid), ("pve1", "qmcreate"));
    }
}
