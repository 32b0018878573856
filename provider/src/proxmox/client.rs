//! Client of the API of Proxmox VE 8 and 9: <https://pve.proxmox.com/pve-docs/api-viewer/>.
//!
//! Covered: where machines are, their options, power and agent; files on storages; pools; roles, users, tokens, access control. A busy machine and a busy lock are
//! waited for here. Bodies are JSON except uploads, because chunked ones are refused and every request here has its length.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Class, Error};
use super::wire::{Config, Line, Machine, Pending, Status, Storage, Volume};
use crate::http::client::{Client as Http, Request, escape};

/// For so long something that is locked is asked again, on the cluster's clock.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long between.
const PAUSE: Duration = Duration::from_secs(3);
/// What separates the parts of an upload. Not in base64, YAML or the head of an ISO image, and long enough not to be met by chance.
const BOUNDARY: &str = "strata-6f1d2c0c4c8e4c0d9b0a5f3e7a1b9d24";

/// What an upload is.
const UPLOAD: &str = "multipart/form-data; boundary=strata-6f1d2c0c4c8e4c0d9b0a5f3e7a1b9d24";

/// Parameters of a call.
pub type Parameters = BTreeMap<&'static str, String>;

/// One cluster under one token.
pub struct Client {
    http: Http,
    /// `user@realm!token`, as identifiers of tasks end.
    caller: String,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

/// A failure that is none, because what it misses is what was wanted.
pub(super) fn absent<T>(error: Error) -> Result<Option<T>, Error> {
    if error.is_not_found() {
        Ok(None)
    } else {
        Err(error)
    }
}

impl Client {
    /// A client over the shared HTTP layer.
    pub fn new(http: Http, caller: String) -> Self {
        Self { http, caller }
    }

    /// The wall-clock length of a duration of the cluster's clock (shorter in the lab).
    pub fn scaled(&self, duration: Duration) -> Duration {
        self.http.scaled(duration)
    }

    /// Sends what `request` makes, again while something else holds what it concerns: then it was not done.
    pub(super) async fn call<'a, T: DeserializeOwned>(
        &'a self,
        request: impl Fn(&'a Http) -> Request<'a>,
    ) -> Result<T, Error> {
        let mut waited = Duration::ZERO;
        loop {
            let answer = request(&self.http).send::<Envelope<T>>().await;
            match answer.map_err(Error::from) {
                Ok(envelope) => return Ok(envelope.data),
                Err(error) if error.class() == Class::Busy && waited < PATIENCE => {
                    tracing::info!(%error, "busy; asking again");
                    tokio::time::sleep(self.scaled(PAUSE)).await;
                    waited += PAUSE;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.call(|http| http.get(path)).await
    }

    /// A POST that makes something: sent once, but again while something else holds the lock.
    pub(super) async fn create_once(&self, path: &str, body: &Parameters) -> Result<Value, Error> {
        self.call(|http| http.post(path).json(body)).await
    }

    /// A PUT with parameters.
    pub(super) async fn put(&self, path: &str, body: &Parameters) -> Result<Value, Error> {
        self.call(|http| http.put(path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Error> {
        self.call(|http| http.delete(path)).await
    }

    /// Version of the cluster, `9.1.2`.
    pub async fn version(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Version {
            version: String,
        }
        let version: Version = self.get("version").await?;
        Ok(version.version)
    }

    /// All machines of the cluster that the token may see.
    pub async fn machines(&self) -> Result<Vec<Machine>, Error> {
        let lines: Vec<Value> = self.get("cluster/resources?type=vm").await?;
        // Containers are in the same list.
        let machines = lines.into_iter().filter(|line| line["type"] == "qemu");
        let machines = machines
            .map(serde_json::from_value)
            .collect::<Result<_, _>>();
        machines.map_err(|_| Error::Unexpected("GET cluster/resources"))
    }

    /// A number that is free at this moment.
    pub async fn next_id(&self) -> Result<u32, Error> {
        let id: Value = self.get("cluster/nextid").await?;
        let number = match &id {
            Value::String(text) => text.parse().ok(),
            other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        number.ok_or(Error::Unexpected("GET cluster/nextid"))
    }

    /// The state of a task.
    pub async fn task(&self, node: &str, upid: &str) -> Result<Status, Error> {
        let path = format!("nodes/{node}/tasks/{}/status", escape(upid));
        self.get(&path).await
    }

    /// A worker of our own token on this host that makes a machine; which one, its identifier does not say of a clone.
    pub async fn maker(&self, node: &str) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Task {
            upid: String,
        }
        let tasks: Vec<Task> = self
            .get(&format!("nodes/{node}/tasks?source=active"))
            .await?;
        let owner = format!(":{}:", self.caller);
        let is_maker = |upid: &str| {
            upid.ends_with(&owner)
                && [":qmclone:", ":qmcreate:"]
                    .iter()
                    .any(|kind| upid.contains(kind))
        };
        let mut workers = tasks.into_iter().map(|task| task.upid);
        Ok(workers.find(|upid| is_maker(upid)))
    }

    /// The log of a task.
    pub async fn log(&self, node: &str, upid: &str, limit: usize) -> Result<Vec<String>, Error> {
        let path = format!("nodes/{node}/tasks/{}/log?limit={limit}", escape(upid));
        let lines: Vec<Line> = self.get(&path).await?;
        Ok(lines.into_iter().map(|line| line.t).collect())
    }

    /// Starts making a machine. Not idempotent: see `order`.
    pub async fn create(&self, node: &str, machine: &Parameters) -> Result<String, Error> {
        let path = format!("nodes/{node}/qemu");
        // Not by `post`: a busy cluster may have begun, and whoever ordered looks first.
        let sent = self.http.post(path).json(machine);
        let envelope: Envelope<Value> = sent.send().await?;
        task(&envelope.data, "POST qemu")
    }

    /// Starts cloning a machine. Not idempotent: see `order`.
    pub async fn clone(&self, node: &str, vmid: u32, copy: &Parameters) -> Result<String, Error> {
        let path = format!("nodes/{node}/qemu/{vmid}/clone");
        let envelope: Envelope<Value> = self.http.post(path).json(copy).send().await?;
        task(&envelope.data, "POST clone")
    }

    /// Options of a machine, with what waits for its next start; `None` when it is not on that host.
    pub async fn config(&self, node: &str, vmid: u32) -> Result<Option<Config>, Error> {
        let path = format!("nodes/{node}/qemu/{vmid}/config");
        self.get(&path).await.map(Some).or_else(absent)
    }

    /// What waits for the next start of a machine.
    pub async fn pending(&self, node: &str, vmid: u32) -> Result<Vec<String>, Error> {
        let path = format!("nodes/{node}/qemu/{vmid}/pending");
        let lines: Vec<Pending> = self.get(&path).await?;
        let waits = lines
            .into_iter()
            .filter(|line| line.pending.is_some() || line.delete.is_some());
        Ok(waits.map(|line| line.key).collect())
    }

    /// Sets options; the same again changes nothing.
    pub async fn set(&self, node: &str, vmid: u32, options: &Parameters) -> Result<(), Error> {
        let path = format!("nodes/{node}/qemu/{vmid}/config");
        self.put(&path, options).await.map(drop)
    }

    /// Starts growing a disk to this many GiB.
    pub async fn resize(
        &self,
        node: &str,
        vmid: u32,
        disk: &str,
        gib: u64,
    ) -> Result<String, Error> {
        let path = format!("nodes/{node}/qemu/{vmid}/resize");
        let body = Parameters::from([("disk", disk.to_owned()), ("size", format!("{gib}G"))]);
        task(&self.put(&path, &body).await?, "PUT resize")
    }

    /// Starts switching a machine on (`start`) or off (`stop`).
    pub async fn power(&self, node: &str, vmid: u32, verb: &str) -> Result<String, Error> {
        let path = format!("nodes/{node}/qemu/{vmid}/status/{verb}");
        // Sent again it only finds the machine as it should be.
        let answer: Value = self
            .call(|http| http.post(path.as_str()).repeatable())
            .await?;
        task(&answer, "POST status")
    }

    /// `running` or `stopped`; `None` when it is not on that host.
    pub async fn status(&self, node: &str, vmid: u32) -> Result<Option<String>, Error> {
        let path = format!("nodes/{node}/qemu/{vmid}/status/current");
        let status = self.get::<Status>(&path).await.map(Some).or_else(absent)?;
        Ok(status.map(|status| status.status))
    }

    /// Starts deleting a machine; `None` when it is not there.
    pub async fn destroy(&self, node: &str, vmid: u32) -> Result<Option<String>, Error> {
        let path = format!("nodes/{node}/qemu/{vmid}?purge=1&destroy-unreferenced-disks=0");
        let answer = self.delete(&path).await.map(Some).or_else(absent)?;
        answer
            .map(|answer| task(&answer, "DELETE qemu"))
            .transpose()
    }

    /// What the guest agent says of network cards: address of the card, addresses. `None` while no agent answers.
    pub async fn interfaces(&self, node: &str, vmid: u32) -> Result<Option<Vec<Interface>>, Error> {
        #[derive(Deserialize)]
        struct Answer {
            result: Vec<Interface>,
        }
        let path = format!("nodes/{node}/qemu/{vmid}/agent/network-get-interfaces");
        match self
            .http
            .get(path)
            .tries(1)
            .send::<Envelope<Answer>>()
            .await
        {
            Ok(envelope) => Ok(Some(envelope.data.result)),
            Err(error) => {
                let error = Error::from(error);
                let text = error.to_string();
                let silent = [
                    "agent is not running",
                    "No QEMU guest agent",
                    "is not running",
                    "got timeout",
                ];
                if silent.iter().any(|fragment| text.contains(fragment)) {
                    Ok(None)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// Storages of a host that hold this content.
    pub async fn storages(&self, node: &str, content: &str) -> Result<Vec<Storage>, Error> {
        let path = format!("nodes/{node}/storage?content={content}&enabled=1");
        self.get(&path).await
    }

    /// Files of one kind on a storage.
    pub async fn volumes(
        &self,
        node: &str,
        storage: &str,
        content: &str,
    ) -> Result<Vec<Volume>, Error> {
        let path = format!("nodes/{node}/storage/{storage}/content?content={content}");
        self.get(&path).await
    }

    /// Starts deleting a file; `None` when it is not there, or gone already.
    pub async fn delete_volume(&self, node: &str, volid: &str) -> Result<Option<String>, Error> {
        let storage = volid.split(':').next().unwrap_or_default();
        let path = format!(
            "nodes/{node}/storage/{storage}/content/{}?delay=5",
            escape(volid)
        );
        let answer = self.delete(&path).await.map(Some).or_else(absent)?;
        Ok(answer.and_then(|answer| answer.as_str().map(str::to_owned)))
    }

    /// Starts fetching a file from an address.
    pub async fn download(
        &self,
        node: &str,
        storage: &str,
        body: &Parameters,
    ) -> Result<String, Error> {
        let path = format!("nodes/{node}/storage/{storage}/download-url");
        // One that is there already is not fetched again.
        let answer: Value = self
            .call(|http| http.post(path.as_str()).json(body).repeatable())
            .await?;
        task(&answer, "POST download-url")
    }

    /// Starts uploading an ISO image; one of that name is replaced.
    pub async fn upload(
        &self,
        node: &str,
        storage: &str,
        name: &str,
        image: &[u8],
    ) -> Result<String, Error> {
        let path = format!("nodes/{node}/storage/{storage}/upload");
        let body = bytes::Bytes::from(upload_body(name, image));
        let answer: Value = self
            .call(|http| {
                let request = http.post(path.as_str()).body(UPLOAD, body.clone());
                request.repeatable()
            })
            .await?;
        task(&answer, "POST upload")
    }

    /// Puts a machine into a pool, out of any other; or takes it out.
    pub async fn pool(&self, pool: &str, vmid: u32, member: bool) -> Result<(), Error> {
        let mut body = Parameters::from([("poolid", pool.to_owned()), ("vms", vmid.to_string())]);
        let change = if member { "allow-move" } else { "delete" };
        body.insert(change, "1".into());
        match self.put("pools", &body).await {
            Err(error) if error.to_string().contains("already a pool member") => Ok(()),
            Err(error) if error.to_string().contains("not a pool member") => Ok(()),
            answer => answer.map(drop),
        }
    }
}

/// A network card as the agent sees it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interface {
    /// Its address on the wire.
    #[serde(default)]
    pub hardware_address: String,
    /// Its addresses; none where it has none.
    #[serde(default)]
    pub ip_addresses: Vec<Address>,
}

/// An address of a network card.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Address {
    /// IPv4 or IPv6.
    pub ip_address: String,
    /// Length of the prefix.
    #[serde(default)]
    pub prefix: u8,
}

/// The identifier of the task that an answer consists of.
pub(super) fn task(answer: &Value, call: &'static str) -> Result<String, Error> {
    let upid = answer.as_str().filter(|text| text.starts_with("UPID:"));
    upid.map(str::to_owned).ok_or(Error::Unexpected(call))
}

/// The parts in the order in which the server reads them: the file is last.
fn upload_body(name: &str, image: &[u8]) -> Vec<u8> {
    let mut body = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n\
         --{BOUNDARY}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(image);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    body
}
