//! Where things are: the project's folder, the layers, and `.strata/<name>` with all that one cluster leaves behind locally.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A layer of Terraform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Layer {
    Auth,
    Infrastructure,
    Services,
    Configuration,
}

impl Layer {
    /// From the bottom up.
    pub(crate) const ALL: [Self; 4] = [
        Self::Auth,
        Self::Infrastructure,
        Self::Services,
        Self::Configuration,
    ];

    /// Name of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auth => "00-auth",
            Self::Infrastructure => "01-infrastructure",
            Self::Services => "02-services",
            Self::Configuration => "03-configuration",
        }
    }

    /// `00`, as people say it.
    pub(crate) fn number(self) -> &'static str {
        &self.name()[..2]
    }
}

/// Paths of one cluster in one checkout.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// The checkout, absolute.
    pub(crate) root: PathBuf,
    /// The cluster's name.
    pub(crate) name: String,
}

impl Project {
    /// `root`: as given, or the current folder.
    pub(crate) fn root(root: Option<&Path>) -> anyhow::Result<PathBuf> {
        let root = match root {
            Some(root) => std::path::absolute(root).context("finding the project's folder")?,
            None => std::env::current_dir().context("finding the current folder")?,
        };
        anyhow::ensure!(
            root.join("terraform/00-auth").is_dir(),
            "{} is not the project's folder: it has no terraform/00-auth. Run ./bootstrap.sh, or pass --root",
            root.display()
        );
        Ok(root)
    }

    /// Folder of a layer.
    pub(crate) fn layer(&self, layer: Layer) -> PathBuf {
        self.root.join("terraform").join(layer.name())
    }

    /// State file of a layer.
    pub(crate) fn state(&self, layer: Layer) -> PathBuf {
        self.layer(layer)
            .join("terraform.tfstate.d")
            .join(&self.name)
            .join("terraform.tfstate")
    }

    /// Whether a layer's state holds anything. After a destroy the file stays, empty.
    pub(crate) fn has_state(&self, layer: Layer) -> bool {
        let Ok(text) = std::fs::read_to_string(self.state(layer)) else {
            return false;
        };
        // What cannot be read is not nothing: terraform will say what is wrong with it.
        serde_json::from_str::<serde_json::Value>(&text).map_or(true, |state| {
            state["resources"]
                .as_array()
                .is_none_or(|resources| !resources.is_empty())
        })
    }

    /// Whether a layer says that it is complete; the layer above refuses to be planned otherwise.
    pub(crate) fn is_complete(&self, layer: Layer) -> bool {
        let text = std::fs::read_to_string(self.state(layer)).unwrap_or_default();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        state.pointer("/outputs/contract/value/ready") == Some(&serde_json::Value::Bool(true))
    }

    /// The estate's id in layer 00's state, also when it was only imported.
    pub(crate) fn estate(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.state(Layer::Auth)).ok()?;
        estate_in(&serde_json::from_str(&text).ok()?)
    }

    /// The backend that somebody gave a layer, like `s3`; nothing while its state is a file here.
    pub(crate) fn backend(&self, layer: Layer) -> Option<String> {
        let files = std::fs::read_dir(self.layer(layer)).ok()?;
        files
            .flatten()
            .filter(|file| file.path().extension().is_some_and(|kind| kind == "tf"))
            .filter_map(|file| std::fs::read_to_string(file.path()).ok())
            .find_map(|text| backend_in(&text))
    }

    /// What this cluster leaves behind on this machine.
    pub(crate) fn local(&self) -> PathBuf {
        self.root.join(".strata").join(&self.name)
    }

    /// Terraform's own files (modules, provider links) of a layer, apart per cluster so that clusters can run side by side.
    pub(crate) fn data_dir(&self, layer: Layer) -> PathBuf {
        self.local().join("terraform").join(layer.name())
    }

    /// Raw logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.local().join("logs")
    }

    /// State of the lab.
    pub(crate) fn lab(&self) -> PathBuf {
        self.local().join("lab")
    }

    /// Where `up` leaves the kubeconfig.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.local().join("kubeconfig")
    }

    /// A path as a person in the project's folder would write it.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

/// The estate's id in a state of layer 00.
pub(crate) fn estate_in(state: &serde_json::Value) -> Option<String> {
    let estate = state["resources"]
        .as_array()?
        .iter()
        .find(|resource| resource["type"] == "terraform_data" && resource["name"] == "estate")?;
    estate["instances"][0]["attributes"]["id"]
        .as_str()
        .map(str::to_owned)
}

/// The kind of a backend block other than `local`, at the beginning of a line as `terraform fmt` leaves it.
fn backend_in(text: &str) -> Option<String> {
    text.lines().map(str::trim_start).find_map(|line| {
        if line.starts_with("cloud {") {
            return Some("cloud".to_owned());
        }
        let kind = line.strip_prefix("backend \"")?.split('"').next()?;
        (kind != "local").then(|| kind.to_owned())
    })
}

/// A program built beside this one.
pub(crate) fn sibling(program: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own path")?;
    let path = own.with_file_name(program);
    anyhow::ensure!(
        path.is_file(),
        "{} is missing. Run: make build",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::backend_in;

    #[test]
    fn a_backend_elsewhere_is_seen_and_a_comment_is_none() {
        let backend = |text: &str| backend_in(text);
        assert_eq!(
            backend("terraform {\n  backend \"s3\" {\n").as_deref(),
            Some("s3")
        );
        assert_eq!(
            backend("terraform {\n  cloud {\n").as_deref(),
            Some("cloud")
        );
        assert_eq!(
            backend("# backend \"s3\"\ndata \"x\" \"y\" {\n  backend = \"local\"\n}"),
            None
        );
        assert_eq!(backend("terraform {\n  backend \"local\" {}\n}"), None);
    }
}
