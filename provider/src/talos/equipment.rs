//! What a machine has and what it complains about, as Talos' own health check looks at it.

use tonic::Code;

use super::client::ANSWER;
use super::{Client, Error};

/// Something that the node itself finds wrong.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostic {
    /// In one sentence.
    pub message: String,
    /// More of it.
    pub details: Vec<String>,
}

impl Client {
    /// Size of the memory in bytes.
    pub async fn memory(&self) -> Result<u64, Error> {
        let step = "read the size of the memory";
        let mut machine = self.machine();
        let answer = self.ask(step, ANSWER, machine.memory(())).await?;
        let found = self.only(step, answer.messages)?.meminfo;
        let found = found.ok_or_else(|| self.odd(step, "has no size in it"))?;
        Ok(found.memtotal.saturating_mul(1024))
    }

    /// Size in bytes of the volume for everything that is not the system; nothing when the node does not say.
    pub async fn ephemeral(&self) -> Result<Option<u64>, Error> {
        let kind = "VolumeStatuses.block.talos.dev";
        match self.get("runtime", kind, "EPHEMERAL").await {
            Ok(found) => Ok(found
                .and_then(|found| found["size"].as_u64())
                .filter(|size| *size > 0)),
            // Before Talos 1.8 there is no such type.
            Err(error) if error.code() == Some(Code::PermissionDenied) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the node finds wrong with itself.
    pub async fn diagnostics(&self) -> Result<Vec<Diagnostic>, Error> {
        let found = self
            .list("runtime", "Diagnostics.runtime.talos.dev")
            .await?;
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let read = |found: &serde_json::Value| Diagnostic {
            message: text(&found["message"]).unwrap_or_default(),
            details: found["details"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(text)
                .collect(),
        };
        Ok(found.iter().map(read).collect())
    }
}
