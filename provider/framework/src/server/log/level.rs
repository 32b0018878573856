//! Which module logs how much, from the environment. The table is in the header of [`super`].

use std::collections::BTreeMap;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};

/// The framework's crate. Its lines are called `sdk`, as those of Go providers are.
const FRAMEWORK: &str = "strata_framework";
/// The part of the framework that answers calls: `sdk.proto`.
const PROTO: &str = "strata_framework::server";

/// How much each module logs.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    /// Name of the provider.
    name: String,
    /// Crate of the provider.
    own: String,
    provider: LevelFilter,
    framework: LevelFilter,
    proto: LevelFilter,
    /// By the name in the variable: `ssh`, `kubeadm_node`.
    modules: BTreeMap<String, LevelFilter>,
}

/// Where a line comes from.
enum Origin<'a> {
    /// The provider's crate, below its root: `ssh::session`.
    Provider(&'a str),
    Framework,
    Proto,
    Other,
}

impl Levels {
    /// `own` is the path of something in the provider's crate.
    pub(super) fn new<'a>(
        name: &str,
        own: &str,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let (own, _) = own.split_once("::").unwrap_or((own, ""));
        let prefix = format!("TF_LOG_PROVIDER_{}", variable(name));
        let (mut general, mut modules) = (BTreeMap::new(), BTreeMap::new());
        for (variable, text) in environment {
            if let Some(rest) = variable.strip_prefix(&prefix)
                && let Some(module) = rest.strip_prefix('_')
            {
                modules.insert(module.to_lowercase(), level(text));
            } else if variable.starts_with("TF_LOG") {
                general.insert(variable, level(text));
            }
        }
        let first = |names: &[&str]| names.iter().find_map(|name| general.get(name).copied());
        let provider = first(&[&prefix, "TF_LOG_PROVIDER", "TF_LOG"]).unwrap_or(LevelFilter::OFF);
        let framework = first(&["TF_LOG_SDK"]).unwrap_or(provider);
        Self {
            name: name.to_owned(),
            own: own.to_owned(),
            provider,
            framework,
            proto: first(&["TF_LOG_SDK_PROTO"]).unwrap_or(framework),
            modules,
        }
    }

    fn origin<'a>(&self, target: &'a str) -> Origin<'a> {
        if let Some(module) = below(target, &self.own) {
            Origin::Provider(module)
        } else if below(target, PROTO).is_some() {
            Origin::Proto
        } else if below(target, FRAMEWORK).is_some() {
            Origin::Framework
        } else {
            Origin::Other
        }
    }

    fn of(&self, target: &str) -> LevelFilter {
        match self.origin(target) {
            Origin::Provider(module) => self.of_module(module).unwrap_or(self.provider),
            Origin::Framework => self.framework,
            Origin::Proto => self.proto,
            Origin::Other => self.provider.min(LevelFilter::WARN),
        }
    }

    /// The level of the longest name that is a part of the module's path.
    fn of_module(&self, module: &str) -> Option<LevelFilter> {
        if self.modules.is_empty() {
            return None;
        }
        let parts: Vec<_> = module.split("::").collect();
        let runs = (0..parts.len()).flat_map(|start| {
            let parts = &parts;
            (start + 1..=parts.len()).map(move |end| parts[start..end].join("_"))
        });
        runs.filter_map(|run| Some((run.len(), *self.modules.get(&run)?)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, level)| level)
    }

    fn highest(&self) -> LevelFilter {
        let modules = self.modules.values().copied();
        modules
            .chain([self.provider, self.framework, self.proto])
            .max()
            .unwrap_or(LevelFilter::OFF)
    }

    /// The name of a module in a line: `strata.ssh`, `sdk.proto`, `hyper.client`.
    pub(super) fn module(&self, target: &str) -> String {
        match self.origin(target) {
            Origin::Provider("") => self.name.clone(),
            Origin::Provider(module) => format!("{}.{}", self.name, module.replace("::", ".")),
            Origin::Framework => "sdk".to_owned(),
            Origin::Proto => "sdk.proto".to_owned(),
            Origin::Other => target.replace("::", "."),
        }
    }

    fn admits(&self, metadata: &Metadata<'_>) -> bool {
        // A span's fields belong to every line within it, whoever logs that.
        let level = if metadata.is_span() {
            self.highest()
        } else {
            self.of(metadata.target())
        };
        *metadata.level() <= level
    }
}

impl<S: Subscriber> Filter<S> for Levels {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.admits(metadata)
    }

    // Nothing changes while the process lives, so each place in the code is asked once.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.admits(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.highest())
    }
}

/// What follows the path of a module in a target; empty for the module itself.
fn below<'a>(target: &'a str, module: &str) -> Option<&'a str> {
    let rest = target.strip_prefix(module)?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix("::")
    }
}

/// A name as variables spell it.
fn variable(name: &str) -> String {
    let upper = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' => letter.to_ascii_uppercase(),
        _ => '_',
    };
    name.chars().map(upper).collect()
}

fn level(text: &str) -> LevelFilter {
    match text.to_uppercase().as_str() {
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" => LevelFilter::WARN,
        "ERROR" => LevelFilter::ERROR,
        "OFF" | "" => LevelFilter::OFF,
        // TRACE and JSON; core takes an unknown word for TRACE as well.
        _ => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter as Level;

    use super::Levels;

    fn levels(environment: &[(&str, &str)]) -> Levels {
        Levels::new(
            "my-cloud",
            "my_cloud_provider::provider::Cloud",
            environment.iter().copied(),
        )
    }

    #[test]
    fn the_nearest_variable_decides() {
        for (environment, target, expected) in [
            (&[][..], "my_cloud_provider", Level::OFF),
            (&[("TF_LOG", "json")], "my_cloud_provider", Level::TRACE),
            (
                &[("TF_LOG", "TRACE"), ("TF_LOG_PROVIDER", "info")],
                "my_cloud_provider::ssh",
                Level::INFO,
            ),
            (
                &[
                    ("TF_LOG_PROVIDER", "INFO"),
                    ("TF_LOG_PROVIDER_MY_CLOUD", "ERROR"),
                ],
                "my_cloud_provider::ssh",
                Level::ERROR,
            ),
            (
                &[("TF_LOG_CORE", "TRACE"), ("TF_LOG_PATH", "x")],
                "my_cloud_provider",
                Level::OFF,
            ),
            (
                &[("TF_LOG_PROVIDER_OTHER", "TRACE")],
                "my_cloud_provider",
                Level::OFF,
            ),
            // Modules.
            (
                &[("TF_LOG_PROVIDER_MY_CLOUD_SSH", "TRACE")],
                "my_cloud_provider::ssh",
                Level::TRACE,
            ),
            (
                &[("TF_LOG_PROVIDER_MY_CLOUD_SSH", "TRACE")],
                "my_cloud_provider::services::ssh::session",
                Level::TRACE,
            ),
            (
                &[("TF_LOG_PROVIDER_MY_CLOUD_SSH", "TRACE")],
                "my_cloud_provider::ssh_key",
                Level::OFF,
            ),
            (
                &[("TF_LOG_PROVIDER_MY_CLOUD_SSH", "TRACE")],
                "other::ssh",
                Level::OFF,
            ),
            (
                &[("TF_LOG_PROVIDER_MY_CLOUD_SSH_KEY", "WARN")],
                "my_cloud_provider::ssh_key",
                Level::WARN,
            ),
            (
                &[
                    ("TF_LOG_PROVIDER_MY_CLOUD_NODE", "WARN"),
                    ("TF_LOG_PROVIDER_MY_CLOUD_KUBEADM_NODE", "DEBUG"),
                ],
                "my_cloud_provider::services::kubeadm::node",
                Level::DEBUG,
            ),
            (
                &[("TF_LOG", "TRACE"), ("TF_LOG_PROVIDER_MY_CLOUD_SSH", "OFF")],
                "my_cloud_provider::ssh",
                Level::OFF,
            ),
            // The framework and others.
            (
                &[("TF_LOG_PROVIDER_MY_CLOUD", "DEBUG")],
                "strata_framework::plan",
                Level::DEBUG,
            ),
            (
                &[("TF_LOG", "TRACE"), ("TF_LOG_SDK", "WARN")],
                "strata_framework::wait",
                Level::WARN,
            ),
            (
                &[("TF_LOG", "TRACE"), ("TF_LOG_SDK", "WARN")],
                "strata_framework::server::calls",
                Level::WARN,
            ),
            (
                &[("TF_LOG_SDK", "WARN"), ("TF_LOG_SDK_PROTO", "TRACE")],
                "strata_framework::server::calls",
                Level::TRACE,
            ),
            (&[("TF_LOG", "TRACE")], "hyper::client", Level::WARN),
            (&[("TF_LOG", "ERROR")], "hyper::client", Level::ERROR),
            (
                &[("TF_LOG", "TRACE")],
                "my_cloud_provider_extra",
                Level::WARN,
            ),
        ] {
            assert_eq!(
                levels(environment).of(target),
                expected,
                "{target} with {environment:?}"
            );
        }
    }

    #[test]
    fn modules_have_the_names_that_the_variables_have() {
        let levels = levels(&[]);
        for (target, expected) in [
            ("my_cloud_provider", "my-cloud"),
            ("my_cloud_provider::ssh::session", "my-cloud.ssh.session"),
            ("strata_framework::wait", "sdk"),
            ("strata_framework::server::service", "sdk.proto"),
            ("hyper::client", "hyper.client"),
        ] {
            assert_eq!(levels.module(target), expected);
        }
    }
}
