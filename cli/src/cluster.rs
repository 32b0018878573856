//! The cluster file as the cli needs it: merged with overrides, checked, and the few facts that preflight and the verbs use.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::finding::{Finding, Severity};

/// Variables `STRATA_SET_endpoint.port=6444` lie over the file and under `--set`.
const SET_PREFIX: &str = "STRATA_SET_";

/// The field that SCW_DEFAULT_ZONE fills.
const ZONE: &str = "platform.scaleway.zone";

/// A cluster file that was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// Absolute path.
    pub(crate) file: PathBuf,
    /// Overrides that are laid over it.
    pub(crate) set: BTreeMap<String, String>,
    /// The normalised cluster.
    pub(crate) spec: strata_cluster::Cluster,
}

/// What reading a cluster file came to.
pub(crate) enum Loaded {
    /// It is fine, warnings apart.
    Cluster(Box<Cluster>),
    /// It is refused.
    Refused(Vec<Finding>),
}

impl Cluster {
    /// Reads, merges and checks.
    pub(crate) fn load(root: &Path, file: Option<&Path>, set: &[String]) -> anyhow::Result<Loaded> {
        let file = choose(root, file)?;
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("reading the cluster file {}", file.display()))?;
        Ok(Self::read(&file, &text, overrides(std::env::vars(), set)?))
    }

    /// Checks a text that lies, or will lie, at `file`.
    pub(crate) fn read(file: &Path, text: &str, mut set: BTreeMap<String, String>) -> Loaded {
        let shown = std::env::current_dir()
            .ok()
            .and_then(|folder| file.strip_prefix(folder).ok().map(Path::to_path_buf))
            .unwrap_or_else(|| file.to_path_buf());
        let shown = shown.display().to_string();
        let mut read = strata_cluster::parse(&shown, text, &set);
        // The function is pure, so the default of the environment is passed on as an override where the file names no zone.
        if let (Err(_), Ok(zone)) = (&read, std::env::var("SCW_DEFAULT_ZONE"))
            && !set.contains_key(ZONE)
        {
            let mut with_zone = set.clone();
            with_zone.insert(ZONE.to_owned(), zone);
            if let Ok(spec) = strata_cluster::parse(&shown, text, &with_zone) {
                (read, set) = (Ok(spec), with_zone);
            }
        }
        match read {
            Ok(spec) => Loaded::Cluster(Box::new(Self {
                file: file.to_path_buf(),
                set,
                spec,
            })),
            Err(findings) => Loaded::Refused(findings.iter().map(finding).collect()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(crate) fn is_lab(&self) -> bool {
        self.spec.lab.enabled
    }

    /// Surprises in a file that was accepted.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = Finding> {
        self.spec.warnings.iter().map(finding)
    }

    /// At least 10, and 4 for each node, so that no wait starves another.
    pub(crate) fn parallelism(&self) -> usize {
        (4 * self.spec.nodes.len()).max(10)
    }
}

fn choose(root: &Path, file: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(file) = file {
        return std::path::absolute(file).context("finding the cluster file");
    }
    let own = std::env::current_dir()
        .context("finding the current folder")?
        .join("cluster.yaml");
    Ok(if own.is_file() {
        own
    } else {
        root.join("examples/clusters/lab.yaml")
    })
}

/// `STRATA_SET_*`, then `--set`.
fn overrides(
    variables: impl IntoIterator<Item = (String, String)>,
    set: &[String],
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut merged: BTreeMap<_, _> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(SET_PREFIX)?.to_owned(), value)))
        .collect();
    for pair in set {
        let (key, value) = pair.split_once('=').with_context(|| {
            format!("--set {pair}: write it as KEY=VALUE, for example --set endpoint.port=6444")
        })?;
        merged.insert(key.to_owned(), value.to_owned());
    }
    Ok(merged)
}

fn finding(found: &strata_cluster::Finding) -> Finding {
    let place = if found.line > 0 {
        format!("{}:{}:{}", found.path, found.line, found.column)
    } else {
        found.path.clone()
    };
    let field = if found.field.is_empty() {
        String::new()
    } else {
        format!("{}: ", found.field)
    };
    let severity = if found.severity == strata_cluster::Severity::Error {
        Severity::Error
    } else {
        Severity::Warning
    };
    Finding {
        code: found.code.to_owned(),
        severity,
        message: format!("{place}  {field}{}", found.message),
        fix: found.fix.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let variables = [
            ("STRATA_SET_name".to_owned(), "a".to_owned()),
            ("STRATA_SET_endpoint.port".to_owned(), "1".to_owned()),
            ("PATH".to_owned(), "/".to_owned()),
        ];
        let set = overrides(variables, &["name=b=c".to_owned()]).unwrap();
        assert_eq!(
            set,
            BTreeMap::from([
                ("name".to_owned(), "b=c".to_owned()),
                ("endpoint.port".to_owned(), "1".to_owned())
            ])
        );
        assert!(overrides([], &["name".to_owned()]).is_err());
    }
}
