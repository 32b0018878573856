//! What can go wrong with the Kubernetes API: nobody answers, or somebody says no.

use std::error::Error as _;

use crate::http::dial::DialError;
use crate::pki;

/// One variant per kind of failure; the step is part of each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No control plane is known, so there is nothing to dial.
    #[error("no control plane of {endpoint} is known")]
    NoControlPlane {
        /// Endpoint name.
        endpoint: String,
    },
    /// A control plane could not be dialled.
    #[error("{address} does not answer on port {port}")]
    Dial {
        /// Node address.
        address: String,
        /// Port.
        port: u16,
        /// Why.
        source: DialError,
    },
    /// TLS failed: not this cluster's API, or a certificate for another name.
    #[error("TLS with {address} as {endpoint} failed")]
    Tls {
        /// Node address.
        address: String,
        /// Expected name.
        endpoint: String,
        /// Why.
        source: std::io::Error,
    },
    /// Every control plane was tried.
    #[error("no control plane of {endpoint} answers ({reasons})")]
    Silent {
        /// Endpoint name.
        endpoint: String,
        /// One reason per address.
        reasons: String,
    },
    /// The request did not come through.
    #[error("cannot {step} {object}: {cause}")]
    Unreachable {
        /// Verb of the sentence.
        step: &'static str,
        /// What it was about.
        object: String,
        /// The chain of causes, joined.
        cause: String,
    },
    /// The API answered with a refusal.
    #[error("cannot {step} {object}: the API answered {code} {reason}: {message}")]
    Refused {
        /// Verb of the sentence.
        step: &'static str,
        /// What it was about.
        object: String,
        /// HTTP status.
        code: u16,
        /// Machine-readable reason, like `Conflict`.
        reason: String,
        /// The API's sentence.
        message: String,
    },
    /// The kind is not served, for example because its CRD is not there yet.
    #[error(
        "the API does not serve {api_version} {kind}; a CustomResourceDefinition may be missing or must come earlier in the list"
    )]
    UnknownKind {
        /// `apiVersion`.
        api_version: String,
        /// `kind`.
        kind: String,
    },
    /// The text is not a Kubernetes object.
    #[error("document {number} is not a Kubernetes object: {reason}")]
    Document {
        /// Position, from 1.
        number: usize,
        /// What is missing.
        reason: String,
    },
    /// The certificate could not be minted.
    #[error("cannot mint a client certificate for the Kubernetes API")]
    Identity(#[from] pki::Error),
    /// Bytes of the PKI that TLS does not take.
    #[error("the cluster's PKI cannot be used for TLS")]
    Material(#[source] rustls::Error),
    /// Somebody else's kubeconfig lacks something. What it says is left out: it holds a key.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(&'static str),
    /// Not sent to a node.
    #[error(transparent)]
    Argument(#[from] crate::verb::Refused),
}

impl Error {
    /// Sorts an error of crate `kube`; `step` and `object` make the sentence "cannot <step> <object>".
    pub(crate) fn during<'a>(
        step: &'static str,
        object: &'a str,
    ) -> impl FnOnce(kube::Error) -> Self + 'a {
        move |error| Self::sort(step, object, error)
    }

    fn sort(step: &'static str, object: &str, error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                step,
                object: object.into(),
                code: status.code,
                message: sentence(&status),
                reason: status.reason,
            },
            other => Self::Unreachable {
                step,
                object: object.into(),
                cause: causes(&other),
            },
        }
    }

    /// 404.
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Refused { code: 404, .. } | Self::UnknownKind { .. }
        )
    }

    /// 409: exists already, or changed meanwhile.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code: 409, .. })
    }

    /// Nobody answered: what was asked about is not known, neither its presence nor its absence.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Dial { .. }
            | Self::Tls { .. }
            | Self::Silent { .. }
            | Self::Unreachable { .. }
            | Self::NoControlPlane { .. } => true,
            Self::Refused { code, .. } => *code >= 500,
            _ => false,
        }
    }
}

/// What the API said. Which disruption budget forbids an eviction stands among the causes only.
fn sentence(status: &kube::core::Status) -> String {
    let details = status.details.as_ref();
    let budget = details.and_then(|details| {
        details
            .causes
            .iter()
            .find(|cause| cause.reason == "DisruptionBudget")
    });
    budget.map_or_else(|| status.message.clone(), |budget| budget.message.clone())
}

/// The causes of a transport error. kube's and hyper's own texts repeat each other, so only the innermost are kept.
fn causes(error: &kube::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(inner) = cause {
        texts.push(inner.to_string());
        cause = inner.source();
    }
    texts.dedup();
    match texts.len() {
        0 => error.to_string(),
        many => texts[many.saturating_sub(2)..].join(": "),
    }
}
