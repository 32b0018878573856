//! A provider without an outside world: what it costs is what the framework costs. `make bench` measures it.
//!
//! Its one resource has the shape of Terraform's built-in `terraform_data`, so that the two can be compared.

use std::collections::BTreeMap;
use std::process::ExitCode;

use strata_framework::{
    Attr, Diagnostics, Found, Of, Provider, Registry, Resource, Schema, fingerprint, serve,
};

/// No settings.
#[derive(Schema, Clone, Debug)]
struct Settings {}

struct Null;

impl Provider for Null {
    type Config = Settings;
    fn new(_: Settings) -> Result<Self, Diagnostics> {
        Ok(Self)
    }
}

/// A value that is remembered.
#[derive(Schema, Clone, Debug)]
#[schema(name = "data")]
struct Data {
    /// What to remember.
    #[schema(optional)]
    input: Attr<String>,
    /// What was remembered: `input` once it is applied.
    #[schema(computed)]
    output: Attr<String>,
    /// Anything. A change replaces the object.
    #[schema(optional, replace)]
    triggers_replace: Attr<BTreeMap<String, String>>,
    /// Made from what is remembered.
    #[schema(computed, keep_prior)]
    id: Attr<String>,
}

impl Resource for Data {
    type Provider = Null;
    type Model = Self;
    type Private = ();

    async fn create(_: &Of<'_, Self>, _: Self, mut planned: Self) -> Result<Self, Diagnostics> {
        planned
            .id
            .fill(fingerprint(b"null", planned.input.text().as_bytes()));
        planned.output = planned.input.clone();
        Ok(planned)
    }

    async fn read(_: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        Ok(Found::Present(prior))
    }

    async fn update(
        _: &Of<'_, Self>,
        _: Self,
        _: Self,
        mut planned: Self,
    ) -> Result<Self, Diagnostics> {
        planned.output = planned.input.clone();
        Ok(planned)
    }

    async fn delete(_: &Of<'_, Self>, _: Self) -> Result<(), Diagnostics> {
        Ok(())
    }
}

fn main() -> ExitCode {
    serve(Registry::<Null>::new("null").resource::<Data>())
}
