//! A folder with a configuration, in which the real Terraform runs the provider that was just built, and nothing of the person's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The head of every configuration.
const HEAD: &str = r#"terraform {
  required_providers {
    strata = { source = "strata.internal/strata-iac/strata" }
  }
}
"#;

pub(crate) struct Folder {
    place: tempfile::TempDir,
    /// Control address of the lab, for a cluster in it.
    lab: Option<String>,
}

/// What came of one command.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, part: &str) {
        // Terraform breaks lines where it likes.
        let text = self.text();
        let words: Vec<&str> = text
            .split([' ', '\n', '│'])
            .filter(|word| !word.is_empty())
            .collect();
        assert!(
            words.join(" ").contains(part),
            "`{part}` is not in:\n{text}"
        );
    }

    /// Both streams.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

impl Folder {
    pub(crate) fn new(lab: Option<String>) -> Self {
        let place = tempfile::tempdir().unwrap();
        let provider = PathBuf::from(env!("CARGO_BIN_EXE_terraform-provider-strata"));
        let rc = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  dev_overrides {{\n    \"strata.internal/strata-iac/strata\" = \"{}\"\n  }}\n}}\n",
            provider.parent().unwrap().display()
        );
        fs::write(place.path().join("terraform.rc"), rc).unwrap();
        Self { place, lab }
    }

    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Writes the provider block and what follows it.
    pub(crate) fn write(&self, configuration: &str) {
        let text = format!("{HEAD}{configuration}");
        fs::write(self.path().join("main.tf"), text).unwrap();
    }

    /// Terraform with these arguments, in an environment of its own.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.path())
            .env("TF_CLI_CONFIG_FILE", self.path().join("terraform.rc"))
            .env("TF_CLI_ARGS", "-no-color")
            .env("TF_IN_AUTOMATION", "1")
            .stdin(Stdio::null());
        if let Some(url) = &self.lab {
            command.env("STRATA_LAB_URL", url);
        }
        command
    }

    pub(crate) fn terraform(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        let output = command
            .output()
            .expect("terraform 1.11 or newer is on the PATH");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
