//! Ephemeral `example_password`, functions `greet`, `describe` and `list_of`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strata_framework::{
    Attr, Cx, Diagnostics, DurationText, Dynamic, Ephemeral, Function, FunctionError, Opened,
    Parameter, Path, Schema, Secret, Variadic,
};

use crate::Example;
use crate::journal::note;

/// A password that exists while Terraform runs.
#[derive(Schema, Clone, Debug)]
#[schema(name = "password")]
pub(crate) struct Password {
    /// What it is for.
    #[schema(required)]
    purpose: Attr<String>,
    /// How often its lease is renewed.
    #[schema(optional)]
    renew_after: Attr<DurationText>,
    /// The password.
    #[schema(computed, sensitive)]
    value: Attr<Secret<String>>,
}

/// What renewing and closing need to know.
#[derive(Serialize, Deserialize, Clone, Default)]
pub(crate) struct Lease {
    purpose: String,
    renew_after: Duration,
}

impl Lease {
    /// The file that exists while the lease does.
    fn mark(&self, cx: &Cx<'_, Example>) -> Result<PathBuf, Diagnostics> {
        let name = format!("{}.lease", self.purpose);
        Ok(cx.provider.world()?.folder.join(name))
    }
}

impl Ephemeral for Password {
    type Provider = Example;
    type Model = Self;
    type Lease = Lease;

    async fn open(
        cx: &Cx<'_, Example>,
        mut config: Self,
    ) -> Result<Opened<Self, Lease>, Diagnostics> {
        let purpose = config.purpose.require("purpose")?.clone();
        if purpose == "nothing" {
            let refused = Diagnostics::error(
                "Cannot open password \"nothing\"",
                "There is no password for nothing.",
            );
            return Err(refused.at(Path::of("purpose")));
        }
        let every = config.renew_after.known().and_then(DurationText::get);
        let lease = Lease {
            purpose,
            renew_after: every.unwrap_or(Duration::from_mins(1)),
        };
        note("lease", &format!("open {}", lease.purpose));
        std::fs::write(lease.mark(cx)?, "open")
            .map_err(|error| Diagnostics::failed("open", "password", &lease.purpose, &error))?;
        config.value = Secret::new(format!("hunter2-for-{}", lease.purpose)).into();
        let after = lease.renew_after;
        Ok(Opened::new(config).lease(lease).good_for(after))
    }

    async fn renew(
        cx: &Cx<'_, Example>,
        lease: &mut Lease,
    ) -> Result<Option<Duration>, Diagnostics> {
        note("lease", &format!("renew {}", lease.purpose));
        std::fs::write(lease.mark(cx)?, "renewed")
            .map_err(|error| Diagnostics::failed("renew", "password", &lease.purpose, &error))?;
        Ok(Some(lease.renew_after))
    }

    async fn close(cx: &Cx<'_, Example>, lease: Lease) -> Result<(), Diagnostics> {
        note("lease", &format!("close {}", lease.purpose));
        std::fs::remove_file(lease.mark(cx)?)
            .map_err(|error| Diagnostics::failed("close", "password", &lease.purpose, &error))
    }
}

/// `greet`: a text from a map.
pub(crate) struct Greet;

impl Function for Greet {
    const NAME: &'static str = "greet";
    const SUMMARY: &'static str = "Greets someone.";
    const DESCRIPTION: &'static str = "Fills the placeholder `{name}` of a greeting from a map.";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "greeting",
            description: "Text with `{name}` in it.",
        },
        Parameter {
            name: "words",
            description: "The words by name.",
        },
    ];
    type Arguments = (String, BTreeMap<String, String>);
    type Return = String;

    fn call((greeting, words): Self::Arguments) -> Result<String, FunctionError> {
        let name = words
            .get("name")
            .ok_or_else(|| FunctionError::at(1, "There is no name in it."))?;
        Ok(greeting.replace("{name}", name))
    }
}

/// `describe`: any value in, an object out.
pub(crate) struct Describe;

impl Function for Describe {
    const NAME: &'static str = "describe";
    const SUMMARY: &'static str = "Describes any value.";
    const DESCRIPTION: &'static str = "Gives an object with the value's JSON text and the value.";
    const PARAMETERS: &'static [Parameter] = &[Parameter {
        name: "value",
        description: "Anything.",
    }];
    type Arguments = (Dynamic,);
    type Return = Dynamic;

    fn call((value,): Self::Arguments) -> Result<Dynamic, FunctionError> {
        let json = value
            .to_json()
            .ok_or_else(|| FunctionError::at(0, "Must be known."))?;
        Ok(Dynamic::from_json(
            &serde_json::json!({"text": json.to_string(), "value": json}),
        ))
    }
}

/// `list_of`: any number of names in one sentence.
pub(crate) struct ListOf;

impl Function for ListOf {
    const NAME: &'static str = "list_of";
    const SUMMARY: &'static str = "Lists names in a sentence.";
    const DESCRIPTION: &'static str = "Puts a title, if there is one, before the names.";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "title",
            description: "What the names are; may be null.",
        },
        Parameter {
            name: "names",
            description: "The names, none of them empty.",
        },
    ];
    type Arguments = (Option<String>, Variadic<String>);
    type Return = String;

    fn call((title, Variadic(names)): Self::Arguments) -> Result<String, FunctionError> {
        if let Some(empty) = names.iter().position(String::is_empty) {
            return Err(FunctionError::at(1 + empty, "A name must not be empty."));
        }
        let title = title.map(|title| title + ": ").unwrap_or_default();
        Ok(title + &names.join(", "))
    }
}
