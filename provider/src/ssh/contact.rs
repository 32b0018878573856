//! The first verified contact with a machine, in its two steps: from the single-use host key that was put into its Ignition to a key that only it has (FN10).
//!
//! Two functions and not one, because whoever makes the contact notes between them that the machine is being asked: after that a broken connection
//! leaves a machine with a key that may be known to nobody.

use strata_framework::{Bounded, Policy, Probe, WaitError, chain, wait};

use super::{Error, HostKey, Session, Target, connect};
use crate::http::dial::Dialer;
use crate::verb::Verb;

/// Waits until the machine answers with the single-use host key of `target`. Changes nothing.
///
/// Another host key is "not yet": the operating system that is only there to be replaced answers on the same address. Not so when the machine was
/// `asked` for a key of its own before: then it is that key, and the answer is `None`.
///
/// # Errors
/// Time is up, the user stopped, or the machine refuses the operator.
pub async fn meet(
    cx: &impl Bounded,
    dialer: &Dialer,
    target: &Target,
    policy: &Policy,
    asked: bool,
) -> Result<Option<Session>, WaitError<Error>> {
    wait(cx, policy, async || match connect(dialer, target).await {
        Ok(session) => Probe::Done(Some(session)),
        Err(Error::HostKey { .. }) if asked => Probe::Done(None),
        Err(error) if error.is_transient() || matches!(error, Error::HostKey { .. }) => {
            Probe::NotYet(chain(&error))
        }
        Err(error) => Probe::Failed(error),
    })
    .await
}

/// Has the machine make its own host key, ends the session and returns the line of the new public key. From then on the single-use key is worthless.
///
/// # Errors
/// `host-key` failed or its output is no key. When the connection breaks during it, the machine may have a key that nobody knows.
pub async fn own_host_key(session: Session) -> Result<String, Error> {
    let output = session.run(&Verb::HostKey, b"").await?;
    session.close().await;
    let line = output.stdout.trim().to_owned();
    HostKey::parse(&line)?;
    Ok(line)
}
