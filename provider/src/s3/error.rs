//! Why object storage did not do it, in words that name what to change.

use http::StatusCode;

use crate::credential::{S3_KEY, S3_SECRET};
use crate::store;

/// Clocks that are further apart than this are worth a word; signatures fail at 15 minutes, some earlier.
const APART: i64 = 4 * 60;

/// Why it did not work. Says which object; never a header, a query or a body that was sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no key.
    #[error(
        "neither {} and {} are set, nor has the store entries `{}` and `{}`",
        S3_KEY.variables[0], S3_SECRET.variables[0], S3_KEY.entry, S3_SECRET.entry
    )]
    NoKeys,
    /// There is half a key.
    #[error("{found} is there and {missing} is not, and a key needs both")]
    HalfKey {
        /// What is there.
        found: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// AWS has a host for each region.
    #[error(
        "neither AWS_REGION nor AWS_ENDPOINT_URL_S3 is set, so it is not known where the bucket is"
    )]
    NoRegion,
    /// The address of the storage cannot be used.
    #[error("the address of the storage, `{address}`, cannot be used: {reason}")]
    Endpoint {
        /// As it was given.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The storage said no.
    #[error("cannot {verb} {object}: the storage answered {status}{}{}", said(.code.as_ref(), .message), clock(*.ahead))]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// With what.
        object: String,
        /// HTTP status.
        status: StatusCode,
        /// S3's word for it.
        code: Option<String>,
        /// S3's sentence.
        message: String,
        /// Seconds that this machine's clock is ahead of the storage's, if they are far apart.
        ahead: Option<i64>,
    },
    /// The storage did not answer.
    #[error("cannot {verb} {object}: {address} {reason}, asked {attempts} times")]
    Silent {
        /// What was tried.
        verb: &'static str,
        /// With what.
        object: String,
        /// The storage.
        address: String,
        /// What was seen.
        reason: String,
        /// How often.
        attempts: u32,
    },
    /// The answer is not S3's.
    #[error("cannot {verb} {object}: the storage's answer cannot be used: {reason}")]
    Answer {
        /// What was tried.
        verb: &'static str,
        /// With what.
        object: String,
        /// What is wrong.
        reason: String,
    },
    /// What lies there is not what was sent.
    #[error("{object} is not what was written: {reason}; {}", if *.removed { "it was removed" } else { "it could not be removed and is no snapshot" })]
    Different {
        /// Which.
        object: String,
        /// What differs.
        reason: String,
        /// Whether it is gone again.
        removed: bool,
    },
}

fn said(code: Option<&String>, message: &str) -> String {
    match (code, message) {
        (Some(code), "") => format!(" ({code})"),
        (Some(code), message) => format!(" ({code}: {message})"),
        (None, _) => String::new(),
    }
}

fn clock(ahead: Option<i64>) -> String {
    let Some(seconds) = ahead else {
        return String::new();
    };
    let side = if seconds > 0 { "ahead of" } else { "behind" };
    format!(
        "; this machine's clock is {} min {side} the storage's",
        seconds.abs() / 60
    )
}

/// Seconds that count as clocks being apart.
pub(super) fn apart(ahead: i64) -> Option<i64> {
    (ahead.abs() > APART).then_some(ahead)
}

impl Error {
    /// S3's word for a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    /// There is no such object. A missing bucket is something else.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
            && self.code() != Some("NoSuchBucket")
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoKeys | Self::HalfKey { .. } => {
                "Export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put both into the store as s3/access-key-id and s3/secret-access-key."
            }
            Self::NoRegion => {
                "Export AWS_REGION for AWS; for another storage also AWS_ENDPOINT_URL_S3, e.g. https://s3.fr-par.scw.cloud with AWS_REGION=fr-par."
            }
            Self::Endpoint { .. } => {
                "Correct AWS_ENDPOINT_URL_S3: scheme and host, e.g. https://s3.fr-par.scw.cloud."
            }
            Self::Store(_) => "Look at the store: ./bootstrap.sh preflight.",
            Self::Refused { ahead: Some(_), .. } => {
                "Set this machine's clock: signatures hold for minutes."
            }
            Self::Refused { status, .. } => self.hint_of_refusal(*status),
            Self::Silent { .. } => {
                "Look at the network, and at AWS_ENDPOINT_URL_S3 and AWS_REGION; then run it again."
            }
            Self::Answer { .. } => {
                "Look at AWS_ENDPOINT_URL_S3: something that is not S3 may answer there."
            }
            Self::Different { .. } => {
                "Run it again. If it stays so, something between here and the storage changes what passes."
            }
        }
    }

    fn hint_of_refusal(&self, status: StatusCode) -> &'static str {
        match (self.code(), status.as_u16()) {
            (Some("NoSuchBucket"), _) => {
                "Make the bucket, or correct `backup.etcd.to`. Buckets belong to one storage and region: look at AWS_ENDPOINT_URL_S3 and AWS_REGION."
            }
            (Some("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken"), _) => {
                "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the store's s3/access-key-id and s3/secret-access-key), and that they belong to this storage and region."
            }
            (Some("ExpiredToken" | "TokenRefreshRequired"), _) => {
                "AWS_SESSION_TOKEN has expired: log in again."
            }
            (Some("RequestTimeTooSkewed"), _) => {
                "Set this machine's clock: signatures hold for minutes."
            }
            (
                Some(
                    "AuthorizationHeaderMalformed"
                    | "AuthorizationQueryParametersError"
                    | "PermanentRedirect"
                    | "IllegalLocationConstraintException",
                ),
                _,
            )
            | (_, 301 | 307 | 308) => {
                "Set AWS_REGION, and AWS_ENDPOINT_URL_S3 where the storage is not AWS, to where the bucket is."
            }
            (Some("SlowDown" | "ServiceUnavailable"), _) | (_, 429 | 500..=599) => {
                "The storage is overloaded or broken: run it again later."
            }
            (_, 403) => {
                "The key needs s3:ListBucket on the bucket, and s3:PutObject, s3:GetObject and s3:DeleteObject on what is below the prefix."
            }
            _ => "Look at `backup.etcd.to`, AWS_ENDPOINT_URL_S3 and AWS_REGION.",
        }
    }
}
