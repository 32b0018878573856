//! A small provider whose outside world is a folder of JSON files: what the framework's acceptance tests run.
//!
//! It shows every feature once. The folder's files are the truth, so a test can change them by hand and look for drift.

mod journal;
mod origin;
mod sampler;
mod shelf;
mod thing;
mod words;
mod world;

use std::process::ExitCode;

use strata_framework::{
    Attr, Diagnostics, Limits, Provider, Purpose, Registry, Schema, Secret, serve,
};

use crate::world::World;

/// Settings of the example provider.
#[derive(Schema, Clone, Debug)]
struct Settings {
    /// Folder that holds the things.
    #[schema(required)]
    folder: Attr<String>,
    /// How many of 100 requests the world is too busy to answer.
    #[schema(default = 0, range(0..=90))]
    busy: Attr<u16>,
    /// Which requests those are.
    #[schema(default = 0)]
    seed: Attr<i64>,
}

/// The provider: one folder.
struct Example(Settings);

impl Example {
    /// The world; its folder is unknown at plan when it comes from another resource.
    fn world(&self) -> Result<World, Diagnostics> {
        if self.0.folder.is_unknown() {
            let sentence = "The provider's folder is known only after apply.";
            return Err(Diagnostics::error("Cannot look at the world yet", sentence)
                .hint("Apply what the folder comes from first, with -target."));
        }
        Ok(World {
            folder: self.0.folder.require("folder")?.into(),
            busy: self.0.busy.or_default(),
            seed: self.0.seed.or_default(),
        })
    }
}

impl Provider for Example {
    type Config = Settings;
    fn new(config: Settings) -> Result<Self, Diagnostics> {
        Ok(Self(config))
    }
    async fn fingerprint_key(
        &self,
        _: Purpose,
        _: &Limits,
    ) -> Result<Option<Secret<Vec<u8>>>, Diagnostics> {
        Ok(Some(Secret::new(thing::KEY.to_vec())))
    }
}

fn main() -> ExitCode {
    journal::open();
    serve(
        Registry::<Example>::new("example")
            .address("strata.internal/strata-iac/example")
            .version(env!("CARGO_PKG_VERSION"))
            .meta::<origin::Module>()
            .resource::<thing::Thing>()
            .identity::<thing::Thing>()
            .list::<thing::Thing>()
            .resource::<sampler::Sampler>()
            .data_source::<shelf::Shelf>()
            .data_source::<origin::Origin>()
            .ephemeral::<words::Password>()
            .function::<words::Greet>()
            .function::<words::Describe>()
            .function::<words::ListOf>(),
    )
}
