//! A stage for puppets: providers that answer as told, a configuration, and the real Terraform that judges them.

#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod answer;
pub(crate) mod dice;
pub(crate) mod hcl;
pub(crate) mod random;
pub(crate) mod verdict;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use data_encoding::BASE64;
use prost::Message;
use serde_json::{Value as Json, json};
use strata_framework::{Schema, Type, Value, inside};
use strata_proto::tfplugin6 as wire;
use tempfile::TempDir;

/// The puppet's binary, which cargo builds beside the tests.
fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let folder = tests.parent().unwrap().parent().unwrap();
    let built = folder.join("examples/terraform-provider-puppet");
    assert!(
        built.exists(),
        "{} is missing: cargo build -p strata-framework --examples",
        built.display()
    );
    built
}

/// What one puppet answers, by method and type.
#[derive(Clone, Default)]
pub(crate) struct Script(BTreeMap<String, BTreeMap<String, Vec<Json>>>);

impl Script {
    /// A provider with these resource types and nothing else.
    pub(crate) fn with_resources<'a>(
        schemas: impl IntoIterator<Item = (String, &'a Schema)>,
    ) -> Self {
        let resources = schemas
            .into_iter()
            .map(|(name, schema)| (name, inside::schema(schema)));
        Self::with_schema(&wire::get_provider_schema::Response {
            resource_schemas: resources.collect(),
            ..empty_schema()
        })
    }

    pub(crate) fn with_schema(schema: &wire::get_provider_schema::Response) -> Self {
        let mut script = Self::default();
        script.add("GetProviderSchema", "", schema);
        script
    }

    /// The next answer to calls of a method for a type; the last one answers all further calls.
    pub(crate) fn add(&mut self, method: &str, of: &str, answer: &impl Message) {
        self.push(method, of, json!(BASE64.encode(&answer.encode_to_vec())));
    }

    fn push(&mut self, method: &str, of: &str, answer: Json) {
        self.0
            .entry(method.to_owned())
            .or_default()
            .entry(of.to_owned())
            .or_default()
            .push(answer);
    }
}

/// A schema response with a provider schema and no types.
pub(crate) fn empty_schema() -> wire::get_provider_schema::Response {
    wire::get_provider_schema::Response {
        provider: Some(inside::schema(&Schema::default())),
        server_capabilities: Some(wire::ServerCapabilities {
            plan_destroy: true,
            get_provider_schema_optional: true,
            move_resource_state: true,
            generate_resource_config: false,
        }),
        ..Default::default()
    }
}

/// A value as the puppet sends it.
#[track_caller]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the fields of messages are optional"
)]
pub(crate) fn dynamic(value: &Value, of: &Type) -> Option<wire::DynamicValue> {
    Some(inside::dynamic(value, of).unwrap_or_else(|error| panic!("{error}: {value:?} as {of:?}")))
}

/// A folder with puppets, a configuration and perhaps a state.
pub(crate) struct Stage {
    root: TempDir,
}

/// An error or warning of Terraform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Told {
    pub(crate) severity: String,
    pub(crate) summary: String,
    pub(crate) detail: String,
}

/// What a run of Terraform left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
    pub(crate) told: Vec<Told>,
}

/// One call as the puppet recorded it.
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) of: String,
    request: Vec<u8>,
}

impl Call {
    pub(crate) fn request<M: Message + Default>(&self) -> M {
        M::decode(&*self.request).unwrap()
    }
}

impl Stage {
    /// One puppet per name; the names are the providers' local names as well.
    pub(crate) fn new(scripts: &BTreeMap<String, Script>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::fs::create_dir(root.path().join("configuration")).unwrap();
        let (mut overrides, mut required) = (String::new(), String::new());
        for name in scripts.keys() {
            let folder = bin.join(name);
            std::fs::create_dir(&folder).unwrap();
            std::os::unix::fs::symlink(binary(), folder.join(format!("terraform-provider-{name}")))
                .unwrap();
            let _ = writeln!(
                overrides,
                "    \"strata.internal/puppets/{name}\" = \"{}\"",
                folder.display()
            );
            let _ = writeln!(
                required,
                "    {name} = {{ source = \"strata.internal/puppets/{name}\" }}"
            );
        }
        let rc = format!("provider_installation {{\n  dev_overrides {{\n{overrides}  }}\n}}\n");
        std::fs::write(root.path().join("terraform.rc"), rc).unwrap();
        let stage = Self { root };
        let head = format!("terraform {{\n  required_providers {{\n{required}  }}\n}}\n");
        std::fs::write(stage.configuration().join("providers.tf"), head).unwrap();
        for (name, script) in scripts {
            stage.script(name, script);
        }
        stage
    }

    fn configuration(&self) -> PathBuf {
        self.root.path().join("configuration")
    }

    /// Gives a puppet another script.
    pub(crate) fn script(&self, name: &str, script: &Script) {
        let text = serde_json::to_vec(&script.0).unwrap();
        std::fs::write(self.root.path().join(format!("{name}.json")), text).unwrap();
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.configuration().join("main.tf"), text).unwrap();
    }

    /// A state file with these objects: address parts `type` and `name`, schema version, attributes as JSON.
    pub(crate) fn store(&self, provider: &str, objects: &[(String, u64, Json)]) {
        let one = |(of, version, attributes): &(String, u64, Json)| {
            json!({
                "mode": "managed", "type": of, "name": "x",
                "provider": format!("provider[\"strata.internal/puppets/{provider}\"]"),
                "instances": [{"schema_version": version, "attributes": attributes, "sensitive_attributes": []}],
            })
        };
        let state = json!({
            "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "5e0c5a4c-0000-4000-8000-000000000000",
            "outputs": {}, "resources": objects.iter().map(one).collect::<Vec<_>>(), "check_results": null,
        });
        std::fs::write(
            self.configuration().join("terraform.tfstate"),
            state.to_string(),
        )
        .unwrap();
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let output = Command::new("terraform")
            .current_dir(self.configuration())
            .args(arguments)
            .env("TF_CLI_CONFIG_FILE", self.root.path().join("terraform.rc"))
            .env("PUPPET", self.root.path())
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_CLI_ARGS", "-no-color")
            .env("CHECKPOINT_DISABLE", "1")
            .env_remove("TF_LOG")
            .stdin(Stdio::null())
            .output()
            .expect("terraform 1.11 or newer is on the PATH");
        let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat())
            .into_owned();
        let field = |of: &Json, name: &str| of[name].as_str().unwrap_or_default().to_owned();
        let told = |line: &str| {
            let line: Json = serde_json::from_str(line).ok()?;
            let one = line.get("diagnostic")?;
            Some(Told {
                severity: field(one, "severity"),
                summary: field(one, "summary"),
                detail: field(one, "detail"),
            })
        };
        Ran {
            code: output.status.code(),
            told: text.lines().filter_map(told).collect(),
            text,
        }
    }

    /// What was asked of a puppet since the last look.
    pub(crate) fn calls(&self, name: &str) -> Vec<Call> {
        let record = self.root.path().join(format!("{name}.calls"));
        let text = std::fs::read_to_string(&record).unwrap_or_default();
        let _ = std::fs::remove_file(&record);
        let bytes = |of: &Json, name: &str| {
            BASE64
                .decode(of[name].as_str().unwrap().as_bytes())
                .unwrap()
        };
        let one = |line: &str| {
            let line: Json = serde_json::from_str(line).unwrap();
            Call {
                method: line["method"].as_str().unwrap().to_owned(),
                of: line["type"].as_str().unwrap().to_owned(),
                request: bytes(&line, "request"),
            }
        };
        text.lines().map(one).collect()
    }
}
