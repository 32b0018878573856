//! A small provider whose outside world is a folder of JSON files: what the framework's acceptance tests run.
//!
//! It shows every feature once. The folder's files are the truth, so a test can change them by hand and look for drift.

mod shelf;
mod thing;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use strata_framework::{Attr, Diagnostics, Provider, Registry, Schema, serve};

/// Settings of the example provider.
#[derive(Schema, Clone, Debug)]
struct Settings {
    /// Folder that holds the things.
    #[schema(required)]
    folder: Attr<String>,
}

/// The provider: one folder.
struct Example {
    folder: Attr<String>,
}

impl Example {
    /// The folder; unknown at plan when it comes from another resource.
    fn folder(&self) -> Result<PathBuf, Diagnostics> {
        self.folder.require("folder").map(PathBuf::from)
    }
}

impl Provider for Example {
    type Config = Settings;
    fn new(config: Settings) -> Result<Self, Diagnostics> {
        Ok(Self {
            folder: config.folder,
        })
    }
}

fn main() -> ExitCode {
    serve(
        Registry::<Example>::new("example")
            .resource::<thing::Thing>()
            .data_source::<shelf::Shelf>()
            .ephemeral::<words::Password>()
            .function::<words::Greet>()
            .function::<words::Describe>(),
    )
}
