//! The first verified contact with a machine: from the single-use host key that was put into its Ignition to a key that only it has (FN10).

use strata_framework::{Bounded, Policy, Probe, WaitError, chain, wait};

use super::{Error, HostKey, Target, connect};
use crate::http::dial::Dialer;
use crate::verb::Verb;

/// Waits until the machine answers with the single-use host key of `target`, has it make its own host key, and returns the line of the new public
/// key. From then on the single-use key is worthless.
///
/// Another host key is "not yet": the operating system that is only there to be replaced answers on the same address.
///
/// # Errors
/// Time is up or the user stopped, before anything was changed; or `host-key` failed. When the connection breaks during it, the machine may have a key
/// that nobody knows.
pub async fn first_contact(
    cx: &impl Bounded,
    dialer: &Dialer,
    target: &Target,
    policy: &Policy,
) -> Result<String, WaitError<Error>> {
    let session = wait(cx, policy, async || match connect(dialer, target).await {
        Ok(session) => Probe::Done(session),
        Err(error) if error.is_transient() || matches!(error, Error::HostKey { .. }) => {
            Probe::NotYet(chain(&error))
        }
        Err(error) => Probe::Failed(error),
    })
    .await?;
    let output = session
        .run(&Verb::HostKey, b"")
        .await
        .map_err(WaitError::Failed)?;
    session.close().await;
    let line = output.stdout.trim().to_owned();
    HostKey::parse(&line).map_err(WaitError::Failed)?;
    Ok(line)
}
