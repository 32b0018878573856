//! Ephemeral `strata_node_inputs`: what a node manager makes a node from, out of Vault or out of files.
//!
//! The names of the secrets are those of k8s-cluster-manager: one secret per role, and before that three. The newer layout is looked at
//! first; the older one when that secret does not exist.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use strata_framework::{Attr, Cx, Diagnostics, Ephemeral, Opened, Path, Schema, Secret};

use super::patch;
use crate::provider::{Strata, store_failed};
use crate::store::{self, Name};

/// What is said of a machine in a cloud.
const NODE_KEYS: [&str; 8] = [
    "block_device_gb",
    "block_device_name",
    "block_device_type",
    "domain",
    "image_id",
    "instance_type",
    "placement_group_name",
    "subnet_id",
];
/// May be empty: not every cluster has one.
const OPTIONAL: &str = "placement_group_name";

/// The three inputs that a node is made from: machine configuration, patch, cloud node information.
///
/// Each comes from a file when one is named, else from a KV version 2 engine of Vault, by cluster and role. Vault is not contacted when all three
/// are files. Two layouts are read, the newer first:
///
/// | layout | secret | keys |
/// | --- | --- | --- |
/// | `current` | `cluster-<cluster>-<role>` | `config.yaml`, `patch.yaml`, `node-<cloud>.yaml` |
/// | `older` | `cluster-<cluster>-machine-<role>`, `cluster-<cluster>-patch-<role>`, `cluster-<cluster>-node-<role>` | the documents themselves |
///
/// Nothing of it is in plan or state.
///
/// # Permissions
///
/// In Vault: read on the secrets above. The address is `url` of the provider's `store` when that is a Vault, else `VAULT_ADDR`; the token is
/// `VAULT_TOKEN`, else `~/.vault-token`.
///
/// # Errors
///
/// - "... has no key ...": the secret exists and lacks an input, or the cloud node information lacks a fact.
/// - "Neither ... nor ... exists": there is no such cluster or role in this engine.
/// - "Nothing says where ... comes from": set `mount`, or name its file.
/// - "... has a key ... that nothing is known about": a misspelt fact of the cloud node information.
#[derive(Schema, Clone, Debug)]
#[schema(name = "node_inputs", version = 0)]
pub struct EphemeralNodeInputs {
    /// Name of the cluster in the secrets' names, e.g. `home`. Without it the provider's `cluster`.
    #[schema(optional, pattern("[A-Za-z0-9][A-Za-z0-9._-]*"))]
    cluster: Attr<String>,
    /// Role of the node.
    #[schema(required, one_of("controlplane", "worker"))]
    role: Attr<String>,
    /// Where the node is, in the name of the key `node-<cloud>.yaml`. Without it `aws`.
    #[schema(optional, pattern("[a-z0-9-]+"))]
    cloud: Attr<String>,
    /// Mount of a KV version 2 engine, e.g. `secret`. Without it Vault is not contacted, and each input needs a file.
    #[schema(optional)]
    mount: Attr<String>,
    /// File with the machine configuration, JSON or YAML, absolute or relative to the provider's `root`. Without it the input comes from Vault.
    #[schema(optional)]
    config_file: Attr<String>,
    /// File with the patch. Without it the input comes from Vault.
    #[schema(optional)]
    patch_file: Attr<String>,
    /// File with the cloud node information. Without it the input comes from Vault.
    #[schema(optional)]
    node_file: Attr<String>,
    /// The machine configuration as it was found.
    #[schema(computed, sensitive)]
    config: Attr<Secret<String>>,
    /// The patch as it was found.
    #[schema(computed, sensitive)]
    patch: Attr<Secret<String>>,
    /// The machine configuration with the patch merged into it by Talos' rules (strategic merge), as JSON.
    #[schema(computed, sensitive)]
    merged: Attr<Secret<String>>,
    /// The cloud node information: `block_device_gb` (a whole number), `block_device_name`, `block_device_type`, `domain`, `image_id`,
    /// `instance_type`, `placement_group_name` (may be empty) and `subnet_id`.
    #[schema(computed)]
    node: Attr<BTreeMap<String, String>>,
    /// Which layout was found in Vault: `current` or `older`; null when all inputs are files.
    #[schema(computed)]
    layout: Attr<String>,
}

/// One of the three.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    Config,
    Patch,
    Node,
}

impl Input {
    const ALL: [Self; 3] = [Self::Config, Self::Patch, Self::Node];

    fn noun(self) -> &'static str {
        match self {
            Self::Config => "the machine configuration",
            Self::Patch => "the patch",
            Self::Node => "the cloud node information",
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::Config => "config_file",
            Self::Patch => "patch_file",
            Self::Node => "node_file",
        }
    }

    fn key(self, cloud: &str) -> String {
        match self {
            Self::Config => "config.yaml".into(),
            Self::Patch => "patch.yaml".into(),
            Self::Node => format!("node-{cloud}.yaml"),
        }
    }

    fn older(self) -> &'static str {
        match self {
            Self::Config => "machine",
            Self::Patch => "patch",
            Self::Node => "node",
        }
    }
}

fn refused(sentence: String) -> Diagnostics {
    Diagnostics::error("Cannot read node inputs", sentence)
}

impl EphemeralNodeInputs {
    fn file(&self, input: Input) -> Option<&String> {
        match input {
            Input::Config => self.config_file.known(),
            Input::Patch => self.patch_file.known(),
            Input::Node => self.node_file.known(),
        }
    }

    /// The inputs that Vault gives, with the name of the layout.
    async fn read_vault(
        &self,
        provider: &Strata,
        inputs: &[Input],
    ) -> Result<(Vec<Secret<String>>, &'static str), Diagnostics> {
        let Some(mount) = self.mount.known() else {
            let first = inputs[0];
            return Err(
                refused(format!("Nothing says where {} comes from.", first.noun()))
                    .hint(&format!(
                        "Set `mount` to read it from Vault, or `{}` to read it from a file.",
                        first.attribute()
                    ))
                    .at(Path::of("mount")),
            );
        };
        let vault = provider.vault(mount)?;
        let cluster = self
            .cluster
            .known()
            .map_or(provider.cluster(), String::as_str);
        let role = self.role.require("role")?;
        let read = async |secret: &str| {
            let name = Name::parse(secret).map_err(store::Error::from);
            let found = match name {
                Ok(name) => vault.keys(&name).await,
                Err(error) => Err(error),
            };
            found.map_err(|error| store_failed("read", &format!("{mount}/{secret}"), &error))
        };
        let current = format!("cluster-{cluster}-{role}");
        if let Some(secret) = read(&current).await? {
            let cloud = self.cloud.known().map_or("aws", String::as_str);
            let texts = inputs.iter().map(|input| {
                text(&secret, &format!("{mount}/{current}"), &input.key(cloud)).map(Secret::new)
            });
            return Ok((texts.collect::<Result<_, _>>()?, "current"));
        }
        let mut documents = Vec::new();
        for input in inputs {
            let older = format!("cluster-{cluster}-{}-{role}", input.older());
            let Some(document) = read(&older).await? else {
                return Err(refused(format!(
                    "Neither {mount}/{current} nor {mount}/{older} exists, so there is no {}.",
                    input.noun().trim_start_matches("the ")
                ))
                .hint(
                    "Look at `cluster`, `role` and `mount`, and at the names with `vault kv list`.",
                ));
            };
            documents.push(Secret::new(Value::Object(document).to_string()));
        }
        Ok((documents, "older"))
    }
}

/// The text under a key of a secret. Neither it nor any other value is ever quoted.
fn text(secret: &Map<String, Value>, name: &str, key: &str) -> Result<String, Diagnostics> {
    match secret.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(refused(format!("The key `{key}` of {name} is not a text."))),
        None => {
            let known: BTreeSet<&str> = secret.keys().map(String::as_str).collect();
            let known: Vec<&str> = known.into_iter().collect();
            Err(refused(format!(
                "The secret {name} has no key `{key}`. It has: {}.",
                known.join(", ")
            )))
        }
    }
}

/// The facts about a machine in a cloud.
fn node(document: &str) -> Result<BTreeMap<String, String>, Diagnostics> {
    let what = Input::Node.noun();
    let parsed = serde_yaml_ng::from_str(document);
    let Ok(Value::Object(facts)) = parsed else {
        return Err(refused(format!("{what} is not a JSON or YAML mapping.")));
    };
    if let Some(key) = facts.keys().find(|key| !NODE_KEYS.contains(&key.as_str())) {
        return Err(refused(format!(
            "{what} has a key `{key}` that nothing is known about."
        ))
        .hint(&format!("It has these: {}.", NODE_KEYS.join(", "))));
    }
    let mut node = BTreeMap::new();
    for key in NODE_KEYS {
        let value = match facts.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Null) if key == OPTIONAL => String::new(),
            Some(_) => return Err(refused(format!("The key `{key}` of {what} is not a text."))),
            None => return Err(refused(format!("{what} has no key `{key}`."))),
        };
        if value.is_empty() && key != OPTIONAL {
            return Err(refused(format!("The key `{key}` of {what} is empty.")));
        }
        node.insert(key.to_owned(), value);
    }
    // Written as a text, meant as a number.
    let size = &node["block_device_gb"];
    if size.parse::<u32>().is_ok_and(|size| size > 0) {
        Ok(node)
    } else {
        Err(refused(format!(
            "The key `block_device_gb` of {what} is not a whole number of gigabytes."
        )))
    }
}

impl Ephemeral for EphemeralNodeInputs {
    type Provider = Strata;
    type Model = Self;
    type Lease = ();
    const SUBCATEGORY: &'static str = "Talos";

    async fn open(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Opened<Self, ()>, Diagnostics> {
        let mut texts: [Option<Secret<String>>; 3] = [None, None, None];
        for (text, input) in texts.iter_mut().zip(Input::ALL) {
            if let Some(file) = config.file(input) {
                let path = cx.provider.root().join(file);
                let read = std::fs::read_to_string(&path).map_err(|error| {
                    Diagnostics::failed("read", "file", &path.display().to_string(), &error)
                        .at(Path::of(input.attribute()))
                })?;
                *text = Some(Secret::new(read));
            }
        }
        let open: Vec<Input> = texts
            .iter()
            .zip(Input::ALL)
            .filter_map(|(text, input)| text.is_none().then_some(input))
            .collect();
        config.layout = Attr::Null;
        if !open.is_empty() {
            let (found, layout) = config.read_vault(cx.provider, &open).await?;
            config.layout = layout.into();
            let mut found = found.into_iter();
            for text in texts.iter_mut().filter(|text| text.is_none()) {
                *text = found.next();
            }
        }
        let [Some(machine), Some(patch), Some(about)] = texts else {
            return Err(refused(
                "An input is missing. This is a bug in the strata provider.".into(),
            ));
        };
        let merged = patch::merged(machine.expose(), patch.expose())
            .map_err(|error| refused(format!("{error}.")))?;
        config.node = Attr::Known(node(about.expose())?);
        config.merged = Attr::Known(Secret::new(merged));
        config.config = Attr::Known(machine);
        config.patch = Attr::Known(patch);
        Ok(Opened::new(config))
    }
}

#[cfg(test)]
#[path = "node_inputs/tests.rs"]
mod tests;
