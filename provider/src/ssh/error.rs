//! What can go wrong on the way to a node and on it.

use crate::http::dial::DialError;

/// One variant per step, so that a caller can tell "not yet" from "never".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection to port 22.
    #[error("SSH on {address} does not answer")]
    Unreachable {
        /// The node.
        address: String,
        /// Why.
        source: DialError,
    },
    /// Something answers with another host key than the pinned one.
    #[error(
        "the host key of {address} is {answered}, expected {expected}: this is not the machine that was set up, or somebody answers for it"
    )]
    HostKey {
        /// The node.
        address: String,
        /// Fingerprint in the store.
        expected: String,
        /// Fingerprint that answered.
        answered: String,
    },
    /// The operator's key was refused.
    #[error("{address} refused the operator's key for user {user}")]
    Denied {
        /// The node.
        address: String,
        /// Login name.
        user: String,
    },
    /// Connected, but no SSH session came of it.
    #[error("SSH with {address} failed before the login was done")]
    Handshake {
        /// The node.
        address: String,
        /// Why.
        source: Box<russh::Error>,
    },
    /// The connection ended before the verb did: whether it had its effect is not known.
    #[error("the connection to {address} broke during `{verb}`; it is not known how far it got")]
    Lost {
        /// The node.
        address: String,
        /// What ran.
        verb: &'static str,
        /// Why, when known.
        source: Option<Box<russh::Error>>,
    },
    /// The verb ran and failed.
    #[error("`{verb}` on {address} failed with code {code}: {stderr}")]
    Verb {
        /// The node.
        address: String,
        /// What ran.
        verb: &'static str,
        /// Exit code; -1 when it was killed.
        code: i64,
        /// Last lines of its standard error.
        stderr: String,
    },
    /// A key from the store cannot be read.
    #[error("the {what} in the store is not in OpenSSH format")]
    Key {
        /// Which of them.
        what: &'static str,
        /// The parser's reason.
        source: Box<russh::keys::Error>,
    },
    /// Not sent.
    #[error(transparent)]
    Argument(#[from] crate::verb::Refused),
}

impl Error {
    /// The same call may succeed a moment later: the machine is starting, or the connection broke.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => !matches!(source, DialError::Forbidden { .. }),
            Self::Handshake { .. } | Self::Lost { .. } => true,
            _ => false,
        }
    }

    /// Nobody answers on port 22: what a locked node looks like.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// The verb's own refusal, as opposed to a failure of the way to it.
    pub fn is_verb(&self) -> bool {
        matches!(self, Self::Verb { .. })
    }
}
