//! Log lines on stderr, in the form that core reads (contract: tfplugin6, section 1.7), with secrets masked.
//!
//! `@level`, `@message` and `@timestamp` are always strings: anything else crashes Terraform.
//!
//! # Who logs how much
//!
//! The first of these that is set decides, from left to right:
//!
//! | lines of | `@module` | variables |
//! | --- | --- | --- |
//! | a module of the provider | `<name>.<module>` | `TF_LOG_PROVIDER_<NAME>_<MODULE>`, then as the provider |
//! | the provider | `<name>` | `TF_LOG_PROVIDER_<NAME>`, `TF_LOG_PROVIDER`, `TF_LOG` |
//! | the framework's calls | `sdk.proto` | `TF_LOG_SDK_PROTO`, then as the framework |
//! | the framework | `sdk` | `TF_LOG_SDK`, then as the provider |
//! | other libraries | their own | as the provider, but WARN at most: an HTTP library at TRACE prints headers, and headers hold tokens |
//!
//! `TF_LOG_PROVIDER_STRATA_SSH=TRACE` is about every module `ssh` of the crate that the provider's type is in, wherever it
//! is, and about what is below it; `_KUBEADM_NODE` about a module `node` right below a module `kubeadm`; the longest name
//! wins. Core filters too, by `TF_LOG_PROVIDER` or `TF_LOG` alone: these variables can make less of what it shows, not more.
//! For users: docs/guides/logging.md.

mod level;
mod line;

use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use level::Levels;
use line::Hclog;
pub(super) use line::printable;

/// Starts logging at the levels that the environment asks for. `own` is a type of the provider's crate.
pub(super) fn start<'a>(
    provider: &str,
    own: &str,
    environment: impl IntoIterator<Item = (&'a String, &'a String)>,
) {
    let environment = environment
        .into_iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let levels = Levels::new(provider, own, environment);
    let lines = Hclog::new(levels.clone(), std::io::stderr);
    // A second start (tests) keeps the first.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(levels))
        .try_init();
}

#[cfg(test)]
mod tests;
