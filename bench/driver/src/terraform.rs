//! A contender in its own folder, and Terraform run over it: no registry, no version check, nothing of the user's.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use crate::wrapper::{self, USAGE, Usage, WRAPPED};

/// Who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Framework,
    /// In Terraform itself: no process, no protocol.
    TerraformData,
    TfProvider,
}

impl Contender {
    pub(crate) const ALL: [Self; 3] = [Self::Framework, Self::TerraformData, Self::TfProvider];

    /// Name of the provider, for those that are one.
    fn provider(self) -> Option<&'static str> {
        match self {
            Self::Framework => Some("null"),
            Self::TerraformData => None,
            Self::TfProvider => Some("peer"),
        }
    }
}

/// What one run of Terraform took.
pub(crate) struct Run {
    /// Wall time in seconds.
    pub(crate) wall: f64,
    /// Processor time of Terraform alone in seconds, and of its providers. Only of wrapped runs.
    pub(crate) usage: Option<(f64, Usage)>,
}

pub(crate) struct Workspace {
    root: TempDir,
    binary: Option<PathBuf>,
}

impl Workspace {
    /// A folder with `count` resources of this contender.
    pub(crate) fn new(
        contender: Contender,
        count: usize,
        binary: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let root = tempfile::tempdir()?;
        let at = |name: &str| root.path().join(name);
        for folder in ["bare", "wrapped", "configuration"] {
            std::fs::create_dir(at(folder))?;
        }
        let mut head = String::new();
        let mut kind = "terraform_data".to_owned();
        if let (Some(name), Some(binary)) = (contender.provider(), binary) {
            kind = format!("{name}_data");
            let source = format!("strata.internal/strata-iac/{name}");
            head = format!(
                "terraform {{\n  required_providers {{\n    {name} = {{ source = \"{source}\" }}\n  }}\n}}\n"
            );
            let file = format!("terraform-provider-{name}");
            std::os::unix::fs::symlink(binary, at("bare").join(&file))?;
            std::os::unix::fs::symlink(std::env::current_exe()?, at("wrapped").join(&file))?;
            for folder in ["bare", "wrapped"] {
                let rc = format!(
                    "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"{source}\" = \"{}\"\n  }}\n}}\n",
                    at(folder).display()
                );
                std::fs::write(at(&format!("{folder}.rc")), rc)?;
            }
        } else {
            for file in ["bare.rc", "wrapped.rc"] {
                std::fs::write(at(file), "disable_checkpoint = true\n")?;
            }
        }
        let body = format!(
            "resource \"{kind}\" \"it\" {{\n  count = {count}\n  input = \"value ${{count.index}}\"\n}}\n"
        );
        std::fs::write(at("configuration").join("main.tf"), head + &body)?;
        Ok(Self {
            root,
            binary: binary.map(Path::to_path_buf),
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The world of these providers is empty: forgetting the state is a complete destroy.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        let state = self.at("configuration").join("terraform.tfstate");
        for file in [state.with_extension("tfstate.backup"), state] {
            if file.exists() {
                std::fs::remove_file(file)?;
            }
        }
        Ok(())
    }

    /// Plans; `changes` is what must come out, so that nothing else is ever measured.
    pub(crate) fn plan(&self, changes: bool, wrapped: bool) -> anyhow::Result<Run> {
        let code = if changes { 2 } else { 0 };
        let arguments = ["plan", "-detailed-exitcode", "-input=false", "-no-color"];
        self.run(&arguments, code, wrapped)
    }

    pub(crate) fn apply(&self, wrapped: bool) -> anyhow::Result<Run> {
        let arguments = ["apply", "-auto-approve", "-input=false", "-no-color"];
        self.run(&arguments, 0, wrapped)
    }

    fn run(&self, arguments: &[&str], code: i32, wrapped: bool) -> anyhow::Result<Run> {
        let folder = if wrapped { "wrapped" } else { "bare" };
        let usage = self.at("usage");
        let mut command = Command::new("terraform");
        command
            .args(arguments)
            .current_dir(self.at("configuration"))
            .env("TF_CLI_CONFIG_FILE", self.at(&format!("{folder}.rc")))
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .stdin(Stdio::null());
        for name in ["TF_LOG", "TF_CLI_ARGS", "TF_WORKSPACE", "TF_DATA_DIR"] {
            command.env_remove(name);
        }
        if let (true, Some(binary)) = (wrapped, &self.binary) {
            command.env(WRAPPED, binary).env(USAGE, &usage);
        }
        let before = wrapper::children()?;
        let start = Instant::now();
        let output = command
            .output()
            .context("terraform 1.11 or newer must be on the PATH")?;
        let wall = start.elapsed().as_secs_f64();
        let all = wrapper::children()? - before;
        if output.status.code() != Some(code) {
            bail!(
                "terraform {} ended with {}, not with code {code}:\n{}{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let usage = match (wrapped, &self.binary) {
            (false, _) => None,
            (true, None) => Some((all, Usage::default())),
            (true, Some(_)) => {
                let usage = wrapper::collect(&usage)?;
                Some((all - usage.provider - usage.wrapper, usage))
            }
        };
        Ok(Run { wall, usage })
    }
}
