//! What a node knows about itself: its resources (COSI), read as YAML.
//!
//! The node sends each in two forms; the text is the structure of Talos itself and is stable across versions. An unknown type is refused with
//! PermissionDenied, an absent id with NotFound.

use serde_json::Value;
use strata_proto::talos::cosi::resource::{GetOptions, GetRequest, ListOptions, ListRequest};
use tonic::Code;

use super::client::ANSWER;
use super::{Client, Error};
use crate::secret::Secret;

/// How far a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MachineStatus {
    /// `booting`, `installing`, `maintenance`, `running`, `rebooting`, `shutting down`, `resetting`, `upgrading`.
    pub stage: String,
    /// Whether nothing is missing.
    pub ready: bool,
    /// What is missing, in the node's words.
    pub unmet: Vec<String>,
}

impl MachineStatus {
    /// In one line.
    pub fn sentence(&self) -> String {
        match (self.ready, self.unmet.as_slice()) {
            (true, _) => format!("stage {}", self.stage),
            (false, []) => format!("stage {}, not ready", self.stage),
            (false, unmet) => format!("stage {}: {}", self.stage, unmet.join("; ")),
        }
    }
}

/// What a machine is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// SMBIOS uuid.
    pub uuid: String,
}

impl Client {
    /// One resource; nothing when there is none of that id.
    pub async fn get(&self, namespace: &str, kind: &str, id: &str) -> Result<Option<Value>, Error> {
        let text = self.text(namespace, kind, id).await?;
        text.map(|text| self.parse(&text)).transpose()
    }

    async fn text(&self, namespace: &str, kind: &str, id: &str) -> Result<Option<String>, Error> {
        let request = GetRequest {
            namespace: namespace.into(),
            r#type: kind.into(),
            id: id.into(),
            options: Some(GetOptions {}),
        };
        let mut state = self.state();
        match self
            .ask("read a resource", ANSWER, state.get(request))
            .await
        {
            Ok(answer) => {
                let spec = answer.resource.and_then(|resource| resource.spec);
                Ok(spec.map(|spec| spec.yaml_spec))
            }
            Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All resources of a type.
    pub async fn list(&self, namespace: &str, kind: &str) -> Result<Vec<Value>, Error> {
        let step = "list resources";
        let request = ListRequest {
            namespace: namespace.into(),
            r#type: kind.into(),
            options: Some(ListOptions {
                label_query: Vec::new(),
                id_query: None,
            }),
        };
        let mut state = self.state();
        let mut stream = self.ask(step, ANSWER, state.list(request)).await?;
        let mut all = Vec::new();
        while let Some(found) = self.next(step, ANSWER, &mut stream).await? {
            let spec = found.resource.and_then(|resource| resource.spec);
            all.push(self.parse(&spec.unwrap_or_default().yaml_spec)?);
        }
        Ok(all)
    }

    /// The parser's own text is left out: it could quote a key.
    fn parse(&self, yaml: &str) -> Result<Value, Error> {
        serde_yaml_ng::from_str(yaml).map_err(|_| self.odd("read a resource", "is not YAML"))
    }

    /// How far the machine is.
    pub async fn machine_status(&self) -> Result<MachineStatus, Error> {
        let found = self
            .get("runtime", "MachineStatuses.runtime.talos.dev", "machine")
            .await?;
        Ok(found.as_ref().map(status).unwrap_or_default())
    }

    /// The configuration, as a stream of documents: `persistent` is what is stored, else what is in effect.
    pub async fn configuration(&self, persistent: bool) -> Result<Option<Secret<String>>, Error> {
        let kind = "MachineConfigs.config.talos.dev";
        let stored = if persistent {
            self.text("config", kind, "persistent").await?
        } else {
            None
        };
        let text = match stored {
            None => self.text("config", kind, "v1alpha1").await?,
            stored => stored,
        };
        Ok(text.map(Secret::new))
    }

    /// Id of the Image Factory's schematic that runs; nothing when the node does not say.
    pub async fn schematic(&self) -> Result<Option<String>, Error> {
        let kind = "ImageFactorySchematics.runtime.talos.dev";
        match self.get("runtime", kind, "image-factory-schematic").await {
            Ok(Some(found)) => {
                let id = found["schematicId"].as_str().filter(|id| !id.is_empty());
                return Ok(id.map(str::to_owned));
            }
            Ok(None) => {}
            // Before Talos 1.14 there is no such type.
            Err(error) if error.code() == Some(Code::PermissionDenied) => {}
            Err(error) => return Err(error),
        }
        let extensions = self
            .list("runtime", "ExtensionStatuses.runtime.talos.dev")
            .await?;
        let schematic = extensions
            .iter()
            .find(|extension| extension["metadata"]["name"] == "schematic");
        Ok(schematic.and_then(|found| found["metadata"]["version"].as_str().map(str::to_owned)))
    }

    /// What the machine is made of.
    pub async fn hardware(&self) -> Result<Hardware, Error> {
        let kind = "SystemInformations.hardware.talos.dev";
        let found = self.get("hardware", kind, "systeminformation").await?;
        let uuid = found.as_ref().and_then(|found| found["uuid"].as_str());
        Ok(Hardware {
            uuid: uuid.unwrap_or_default().to_owned(),
        })
    }

    /// Id of the cluster that the node believes to be part of; it is one of the cluster's secrets.
    pub async fn cluster_id(&self) -> Result<Option<Secret<String>>, Error> {
        let found = self
            .get("cluster", "Infos.cluster.talos.dev", "current")
            .await?;
        let id = found.as_ref().and_then(|found| found["clusterId"].as_str());
        Ok(id.map(|id| Secret::new(id.to_owned())))
    }
}

fn status(found: &Value) -> MachineStatus {
    let unmet = found["status"]["unmetConditions"].as_array();
    let condition = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        format!("{}: {}", text("name"), text("reason"))
    };
    MachineStatus {
        stage: found["stage"].as_str().unwrap_or_default().to_owned(),
        ready: found["status"]["ready"].as_bool().unwrap_or_default(),
        unmet: unmet.into_iter().flatten().map(condition).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_says_what_is_missing() {
        let found = json!({ "stage": "booting", "status": { "ready": false, "unmetConditions": [{ "name": "services", "reason": "etcd is not healthy" }] } });
        assert_eq!(
            status(&found).sentence(),
            "stage booting: services: etcd is not healthy"
        );
        let ready =
            json!({ "stage": "running", "status": { "ready": true, "unmetConditions": [] } });
        assert_eq!(status(&ready).sentence(), "stage running");
    }
}
