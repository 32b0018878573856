//! The disks of a machine, before it goes back to its landlord (FN23): best effort, over SSH.
//!
//! SSH, because the other way in, through the Kubernetes API, ends with the first control planes that are wiped. A locked node lets nobody in over
//! SSH, so under tear-down each lockdown opens a window while the API answers (`services::lockdown`), and it closes by itself. The wiping itself is
//! the last thing before the machine is given back: of a destroy that is refused or broken off before that, nothing is lost.

use std::time::Duration;

use strata_framework::chain;

use crate::http::dial::Dialer;
use crate::ssh::{self, Target};
use crate::verb::Verb;

/// Discarding takes seconds a disk; a machine that needs longer hangs.
const LIMIT: Duration = Duration::from_mins(5);

/// Discards what is on the disks of a machine. It serves nobody afterwards.
///
/// # Errors
/// Why something may still be on them, as a sentence.
pub async fn wipe(dialer: &Dialer, target: &Target) -> Result<(), String> {
    let wiped = async {
        let session = ssh::connect(dialer, target).await?;
        session.run(&Verb::Wipe, b"").await
    };
    match tokio::time::timeout(LIMIT, wiped).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("it was not done within {} s", LIMIT.as_secs())),
    }
}
