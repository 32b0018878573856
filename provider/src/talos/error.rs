//! What can go wrong with the Talos API: nobody answers, somebody else answers, or the node says no.

use tonic::{Code, Status};

use crate::http::dial::DialError;
use crate::talos_secrets;

/// One variant per kind of failure; the step is part of each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not dialled.
    #[error("the Talos API at {address} does not answer")]
    Dial {
        /// Node address.
        address: String,
        /// Why.
        source: DialError,
    },
    /// Not the cluster's node, or it does not take us for an administrator.
    #[error("TLS with the Talos API at {address} failed")]
    Tls {
        /// Node address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// A machine in maintenance with another certificate than the one that was named.
    #[error(
        "the machine at {address} is not the expected one: the fingerprint of its certificate is {seen}"
    )]
    Pin {
        /// Node address.
        address: String,
        /// What it showed.
        seen: String,
    },
    /// The node answered with a refusal.
    #[error("cannot {step}: the node at {address} answered {code:?}: {message}")]
    Refused {
        /// Verb of the sentence.
        step: &'static str,
        /// Node address.
        address: String,
        /// gRPC's code.
        code: Code,
        /// The node's sentence.
        message: String,
    },
    /// The connection ended in the middle; whether the node did it is not known.
    #[error("cannot {step}: the connection to {address} was lost ({cause})")]
    Lost {
        /// Verb of the sentence.
        step: &'static str,
        /// Node address.
        address: String,
        /// As far as it is known.
        cause: String,
    },
    /// The answer is not what it must be.
    #[error("cannot {step}: the answer of {address} {reason}")]
    Answer {
        /// Verb of the sentence.
        step: &'static str,
        /// Node address.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate could not be minted.
    #[error("cannot mint a client certificate for the Talos API")]
    Identity(#[from] talos_secrets::Error),
    /// Bytes of the bundle that TLS does not take.
    #[error("the Talos secrets cannot be used for TLS")]
    Material(#[source] rustls::Error),
}

impl Error {
    /// Sorts gRPC's answer. The codes of a restarting apid count as a lost connection: the same call may succeed a moment later.
    pub(super) fn of(step: &'static str, address: &str, status: &Status) -> Self {
        let address = address.to_owned();
        // What a node says has no cause on this side; a connection that breaks in the middle has one, whatever code is made of it.
        let is_ours = std::error::Error::source(status).is_some();
        let is_restart = matches!(
            status.code(),
            Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown
        );
        if is_ours || is_restart {
            return Self::Lost {
                step,
                address,
                cause: sentence(status),
            };
        }
        Self::Refused {
            step,
            address,
            code: status.code(),
            message: first_line(status.message()),
        }
    }

    /// gRPC's code, if the node answered with one.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Nobody answered, or the connection broke: nothing is known of the node, and the same call may succeed a moment later.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Dial { source, .. } => !matches!(source, DialError::Forbidden { .. }),
            Self::Tls { source, .. } => !is_verdict(source),
            Self::Lost { .. } => true,
            _ => false,
        }
    }

    /// Something answered, and its certificate is not of the cluster's CA: a machine in maintenance, or somebody else's.
    pub fn is_stranger(&self) -> bool {
        matches!(self, Self::Tls { source, .. } if is_verdict(source))
    }
}

/// Whether TLS failed over a certificate, not over a connection that broke.
fn is_verdict(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// The innermost cause: tonic's and hyper's own texts repeat each other.
fn sentence(status: &Status) -> String {
    let mut text = first_line(status.message());
    let mut source = std::error::Error::source(status);
    while let Some(inner) = source {
        text = first_line(&inner.to_string());
        source = inner.source();
    }
    text
}

/// A refused configuration is followed by the difference, in which there are keys.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_follows_a_refusal_is_left_out() {
        let status = Status::invalid_argument("the change needs a reboot:\n-  token: hunter2\n");
        let error = Error::of("apply the configuration", "192.0.2.11", &status);
        assert_eq!(
            error.to_string(),
            "cannot apply the configuration: the node at 192.0.2.11 answered InvalidArgument: the change needs a reboot:"
        );
        assert!(!error.is_unreachable());
        assert_eq!(error.code(), Some(Code::InvalidArgument));
    }

    #[test]
    fn a_restarting_node_is_not_a_refusal_and_a_stranger_is_not_silence() {
        let status = Status::unavailable("transport error");
        assert!(Error::of("read the version", "192.0.2.11", &status).is_unreachable());
        let broken = Status::from_error(Box::new(std::io::Error::from(
            std::io::ErrorKind::BrokenPipe,
        )));
        assert!(Error::of("read the version", "192.0.2.11", &broken).is_unreachable());
        let refusal = Status::internal("no such file");
        assert!(!Error::of("read the version", "192.0.2.11", &refusal).is_unreachable());
        let tls = |source| Error::Tls {
            address: "192.0.2.11".into(),
            source,
        };
        let broken = tls(std::io::ErrorKind::UnexpectedEof.into());
        assert!(broken.is_unreachable() && !broken.is_stranger());
        let verdict = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let stranger = tls(std::io::Error::other(verdict));
        assert!(stranger.is_stranger() && !stranger.is_unreachable());
    }
}
