//! Ephemeral `example_password`, functions `greet` and `describe`.

use std::collections::BTreeMap;
use std::time::Duration;

use strata_framework::{
    Attr, Cx, Diagnostics, Dynamic, Ephemeral, Function, FunctionError, Opened, Parameter, Schema,
    Secret,
};

use crate::Example;

/// A password that exists while Terraform runs.
#[derive(Schema, Clone, Debug)]
#[schema(name = "password")]
pub(crate) struct Password {
    /// What it is for.
    #[schema(required)]
    purpose: Attr<String>,
    /// The password.
    #[schema(computed, sensitive)]
    value: Attr<Secret<String>>,
}

impl Ephemeral for Password {
    type Provider = Example;
    type Model = Self;
    type Lease = String;

    async fn open(
        cx: &Cx<'_, Example>,
        mut config: Self,
    ) -> Result<Opened<Self, String>, Diagnostics> {
        let purpose = config.purpose.require("purpose")?.clone();
        config.value = Secret::new(format!("hunter2-for-{purpose}")).into();
        let mark = cx.provider.world()?.folder.join(format!("{purpose}.lease"));
        std::fs::write(&mark, "open")
            .map_err(|error| Diagnostics::failed("open", "password", &purpose, &error))?;
        Ok(Opened::new(config)
            .lease(purpose)
            .renew_after(Duration::from_mins(1)))
    }

    async fn close(cx: &Cx<'_, Example>, purpose: String) -> Result<(), Diagnostics> {
        let mark = cx.provider.world()?.folder.join(format!("{purpose}.lease"));
        std::fs::remove_file(mark)
            .map_err(|error| Diagnostics::failed("close", "password", &purpose, &error))
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
