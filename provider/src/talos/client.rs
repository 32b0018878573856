//! The machine itself: version, configuration, services, reboot, reset.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use strata_proto::talos::cosi::resource::state_client::StateClient;
use strata_proto::talos::machine::image_service_client::ImageServiceClient;
use strata_proto::talos::machine::lifecycle_service_client::LifecycleServiceClient;
use strata_proto::talos::machine::machine_service_client::MachineServiceClient;
use strata_proto::talos::machine::{
    ApplyConfigurationRequest, BootstrapRequest, ReadRequest, RebootRequest, ResetPartitionSpec,
    ResetRequest, apply_configuration_request, reboot_request, reset_request,
};
use strata_proto::talos::storage::storage_service_client::StorageServiceClient;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::Error;
use super::connect::{self, Trust};
use crate::http::dial::Dialer;
use crate::secret::Secret;
use crate::talos_secrets::TalosSecrets;

/// Largest message in each direction.
const LARGEST: usize = 32 * 1024 * 1024;
/// An answer that takes longer met a node that hangs. Bootstrap alone waits up to five seconds for time to be in sync.
pub(super) const ANSWER: Duration = Duration::from_secs(30);

/// How a configuration is to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once where that is possible; before Talos 1.14 with a reboot where it is not.
    Auto,
    /// At once or not at all.
    NoReboot,
    /// With the next reboot.
    Staged,
    /// Before Talos 1.14: with a reboot now.
    Reboot,
    /// At once, and taken back after this time unless another apply comes first.
    Try(Duration),
}

impl Mode {
    fn wire(self) -> apply_configuration_request::Mode {
        match self {
            Self::Auto => apply_configuration_request::Mode::Auto,
            Self::NoReboot => apply_configuration_request::Mode::NoReboot,
            Self::Staged => apply_configuration_request::Mode::Staged,
            Self::Reboot => apply_configuration_request::Mode::Reboot,
            Self::Try(_) => apply_configuration_request::Mode::Try,
        }
    }
}

/// What an apply did. The node's difference is left out: it contains secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Whether the node reboots for it, or would.
    pub reboots: bool,
    /// The node's own warnings.
    pub warnings: Vec<String>,
}

/// A service of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Like `etcd`.
    pub id: String,
    /// Like `Running`.
    pub state: String,
    /// By its last probe; services without one are never said to be.
    pub healthy: bool,
}

/// A connection to a node.
#[derive(Clone)]
pub struct Client {
    pub(super) channel: Channel,
    pub(super) address: String,
}

/// TLS of administrators, by the fingerprint of the CA: minting one costs a signature, and hundreds of looks are made with it.
#[derive(Clone, Default)]
pub struct Credentials(Arc<Mutex<BTreeMap<String, Minted>>>);

/// When, and what for TLS.
type Minted = (Instant, Arc<ClientConfig>);

/// A certificate is made anew before it ends.
const REUSE: Duration = Duration::from_mins(50);

impl Credentials {
    fn tls(&self, secrets: &TalosSecrets, in_lab: bool) -> Result<Arc<ClientConfig>, Error> {
        let authority = super::identity::authority(secrets)?;
        let mut known = self.0.lock().expect("no panic while held");
        if let Some((made, tls)) = known.get(&authority)
            && made.elapsed() < REUSE
        {
            return Ok(Arc::clone(tls));
        }
        let tls = connect::mutual(secrets, in_lab)?;
        known.insert(authority, (Instant::now(), Arc::clone(&tls)));
        Ok(tls)
    }

    /// Connects to a node of the cluster.
    ///
    /// # Errors
    /// Nobody answers, or somebody whose certificate is not of the cluster's CA for this address.
    pub async fn connect(
        &self,
        dialer: &Dialer,
        address: &str,
        secrets: &TalosSecrets,
    ) -> Result<Client, Error> {
        let tls = self.tls(secrets, dialer.is_lab())?;
        Ok(Client {
            channel: connect::channel(dialer, address, tls).await?,
            address: address.into(),
        })
    }
}

impl Client {
    /// Connects to a machine that has no configuration yet. Second: the fingerprint of its certificate.
    ///
    /// # Errors
    /// Nobody answers, or another machine than the pinned one. A node that is configured refuses with the first call, not here.
    pub async fn maintenance(
        dialer: &Dialer,
        address: &str,
        trust: &Trust,
    ) -> Result<(Self, String), Error> {
        let (channel, seen) = connect::pinned(dialer, address, trust).await?;
        let client = Self {
            channel,
            address: address.into(),
        };
        Ok((client, seen))
    }

    /// Where it is connected to.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn machine(&self) -> MachineServiceClient<Channel> {
        MachineServiceClient::new(self.channel.clone())
            .max_decoding_message_size(LARGEST)
            .max_encoding_message_size(LARGEST)
    }

    pub(super) fn lifecycle(&self) -> LifecycleServiceClient<Channel> {
        LifecycleServiceClient::new(self.channel.clone())
    }

    pub(super) fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone())
    }

    pub(super) fn state(&self) -> StateClient<Channel> {
        StateClient::new(self.channel.clone()).max_decoding_message_size(LARGEST)
    }

    /// Waits for an answer, but not for ever.
    pub(super) async fn ask<T>(
        &self,
        step: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer
                .map(Response::into_inner)
                .map_err(|status| Error::of(step, &self.address, &status)),
            Err(_) => Err(Error::Lost {
                step,
                address: self.address.clone(),
                cause: format!("no answer within {} s", limit.as_secs()),
            }),
        }
    }

    /// The one message of an answer.
    pub(super) fn only<T>(&self, step: &'static str, messages: Vec<T>) -> Result<T, Error> {
        let mut messages = messages.into_iter();
        match (messages.next(), messages.next()) {
            (Some(message), None) => Ok(message),
            _ => Err(self.odd(step, "does not hold exactly one message")),
        }
    }

    pub(super) fn odd(&self, step: &'static str, reason: &str) -> Error {
        Error::Answer {
            step,
            address: self.address.clone(),
            reason: reason.into(),
        }
    }

    /// The next message of a stream, which may be a long time coming.
    pub(super) async fn next<T>(
        &self,
        step: &'static str,
        limit: Duration,
        stream: &mut Streaming<T>,
    ) -> Result<Option<T>, Error> {
        match tokio::time::timeout(limit, stream.message()).await {
            Ok(next) => next.map_err(|status| Error::of(step, &self.address, &status)),
            Err(_) => Err(Error::Lost {
                step,
                address: self.address.clone(),
                cause: format!("nothing came for {} s", limit.as_secs()),
            }),
        }
    }

    /// Version of Talos that runs, like `v1.13.9`.
    pub async fn version(&self) -> Result<String, Error> {
        let step = "read the version";
        let mut machine = self.machine();
        let answer = self.ask(step, ANSWER, machine.version(())).await?;
        let version = self.only(step, answer.messages)?.version;
        Ok(version.unwrap_or_default().tag)
    }

    /// Whether it really is a machine in maintenance: the one call that every version answers there and a configured node never does without a certificate.
    pub async fn disks(&self) -> Result<Vec<String>, Error> {
        let step = "list the disks";
        let mut storage = StorageServiceClient::new(self.channel.clone());
        let answer = self.ask(step, ANSWER, storage.disks(())).await?;
        let disks = self.only(step, answer.messages)?.disks;
        Ok(disks.into_iter().map(|disk| disk.device_name).collect())
    }

    /// Hands a whole configuration over. `dry_run` changes nothing, but takes back a pending [`Mode::Try`].
    pub async fn apply(
        &self,
        configuration: &Secret<String>,
        mode: Mode,
        dry_run: bool,
    ) -> Result<Applied, Error> {
        let step = "apply the configuration";
        let timeout = match mode {
            Mode::Try(timeout) => prost_types::Duration::try_from(timeout).ok(),
            _ => None,
        };
        let request = ApplyConfigurationRequest {
            data: configuration.expose().clone().into_bytes(),
            mode: mode.wire().into(),
            dry_run,
            try_mode_timeout: timeout,
        };
        let mut machine = self.machine();
        let answer = self
            .ask(step, ANSWER, machine.apply_configuration(request))
            .await?;
        let applied = self.only(step, answer.messages)?;
        Ok(Applied {
            reboots: applied.mode() == apply_configuration_request::Mode::Reboot,
            warnings: applied.warnings,
        })
    }

    /// Makes this control plane the first member of etcd. `recover`: from the snapshot that was handed over before.
    pub async fn bootstrap(&self, recover: bool) -> Result<(), Error> {
        let request = BootstrapRequest {
            recover_etcd: recover,
            recover_skip_hash_check: false,
        };
        let mut machine = self.machine();
        self.ask("bootstrap etcd", ANSWER, machine.bootstrap(request))
            .await
            .map(drop)
    }

    /// The services of the node.
    pub async fn services(&self) -> Result<Vec<Service>, Error> {
        let step = "list the services";
        let mut machine = self.machine();
        let answer = self.ask(step, ANSWER, machine.service_list(())).await?;
        let services = self.only(step, answer.messages)?.services;
        let service = |found: strata_proto::talos::machine::ServiceInfo| Service {
            id: found.id,
            state: found.state,
            healthy: found
                .health
                .is_some_and(|health| health.healthy && !health.unknown),
        };
        Ok(services.into_iter().map(service).collect())
    }

    /// Changes with every boot: the only proof of a reboot.
    pub async fn boot_id(&self) -> Result<String, Error> {
        let step = "read the boot id";
        let path = "/proc/sys/kernel/random/boot_id".to_owned();
        let mut machine = self.machine();
        let mut stream = self
            .ask(step, ANSWER, machine.read(ReadRequest { path }))
            .await?;
        let mut bytes = Vec::new();
        while let Some(part) = self.next(step, ANSWER, &mut stream).await? {
            bytes.extend(part.bytes);
        }
        let text = String::from_utf8(bytes).map_err(|_| self.odd(step, "is no text"))?;
        let id = text.trim();
        if id.is_empty() {
            return Err(self.odd(step, "is empty"));
        }
        Ok(id.to_owned())
    }

    /// Reboots.
    pub async fn reboot(&self) -> Result<(), Error> {
        let request = RebootRequest {
            mode: reboot_request::Mode::Default.into(),
        };
        let mut machine = self.machine();
        self.ask("reboot", ANSWER, machine.reboot(request))
            .await
            .map(drop)
    }

    /// Wipes these partitions of the system disk and reboots: with STATE and EPHEMERAL the machine is in maintenance again. `graceful`: leaves etcd first.
    pub async fn reset(&self, graceful: bool, partitions: &[&str]) -> Result<(), Error> {
        let partition = |label: &&str| ResetPartitionSpec {
            label: (*label).into(),
            wipe: true,
        };
        let request = ResetRequest {
            graceful,
            reboot: true,
            system_partitions_to_wipe: partitions.iter().map(partition).collect(),
            user_disks_to_wipe: Vec::new(),
            mode: reset_request::WipeMode::All.into(),
        };
        let mut machine = self.machine();
        self.ask("reset", ANSWER, machine.reset(request))
            .await
            .map(drop)
    }
}
