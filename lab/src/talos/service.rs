//! MachineService: one method per call, each a line or a few; what takes more has a file.

use std::pin::Pin;

use futures::{Stream, stream};
use strata_proto::talos::common::Data;
use strata_proto::talos::machine as wire;
use strata_proto::talos::machine::machine_service_server::MachineService;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::apid::Api;
use super::{access, apply, etcd, power};

/// How the lab calls its build.
const SHA: &str = "simulated";

/// The answer of a streaming call.
pub(super) type Flow<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Bytes as a stream.
pub(super) fn bytes(data: &[u8]) -> Response<Flow<Data>> {
    let chunks: Vec<_> = data
        .chunks(1024 * 1024)
        .map(|chunk| {
            Ok(Data {
                metadata: None,
                bytes: chunk.to_vec(),
            })
        })
        .collect();
    Response::new(Box::pin(stream::iter(chunks)))
}

impl Api {
    /// The whole configuration; calls that need one are Unimplemented in maintenance.
    pub(super) fn config(&self) -> Result<std::sync::Arc<super::config::Config>, Status> {
        self.machine
            .config()
            .filter(|config| config.main().is_some())
            .ok_or_else(|| Status::unimplemented("machine type is not known yet"))
    }

    /// Calls that only control planes know.
    pub(super) fn control_plane(
        &self,
        call: &str,
    ) -> Result<std::sync::Arc<super::config::Config>, Status> {
        let config = self.config()?;
        if config.is_control_plane() {
            Ok(config)
        } else {
            Err(Status::unimplemented(format!(
                "{call} is only available on control plane nodes"
            )))
        }
    }
}

#[tonic::async_trait]
impl MachineService for Api {
    type KubeconfigStream = Flow<Data>;
    type EtcdSnapshotStream = Flow<Data>;
    type EventsStream = Flow<wire::Event>;
    type DmesgStream = Flow<Data>;
    type LogsStream = Flow<Data>;
    type ReadStream = Flow<Data>;

    async fn version(&self, _: Request<()>) -> Result<Response<wire::VersionResponse>, Status> {
        let version = wire::Version {
            metadata: None,
            version: Some(wire::VersionInfo {
                tag: self.machine.image().version,
                sha: SHA.into(),
                built: String::new(),
                go_version: SHA.into(),
                os: "linux".into(),
                arch: "amd64".into(),
            }),
            platform: Some(wire::PlatformInfo {
                name: "nocloud".into(),
                mode: "cloud".into(),
            }),
            features: (!self.machine.is_maintenance()).then_some(wire::FeaturesInfo { rbac: true }),
        };
        Ok(Response::new(wire::VersionResponse {
            messages: vec![version],
        }))
    }

    async fn apply_configuration(
        &self,
        request: Request<wire::ApplyConfigurationRequest>,
    ) -> Result<Response<wire::ApplyConfigurationResponse>, Status> {
        let message = apply::apply(self, request.into_inner()).await?;
        Ok(Response::new(wire::ApplyConfigurationResponse {
            messages: vec![message],
        }))
    }

    async fn bootstrap(
        &self,
        request: Request<wire::BootstrapRequest>,
    ) -> Result<Response<wire::BootstrapResponse>, Status> {
        etcd::bootstrap(self, request.into_inner())?;
        Ok(Response::new(wire::BootstrapResponse {
            messages: vec![wire::Bootstrap::default()],
        }))
    }

    async fn kubeconfig(&self, _: Request<()>) -> Result<Response<Self::KubeconfigStream>, Status> {
        let config = self.control_plane("kubeconfig")?;
        let text = access::kubeconfig(&config).map_err(Status::failed_precondition)?;
        let archive = access::archive("kubeconfig", text.as_bytes())
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(bytes(&archive))
    }

    async fn reset(
        &self,
        request: Request<wire::ResetRequest>,
    ) -> Result<Response<wire::ResetResponse>, Status> {
        let actor_id = power::reset(self, request.get_ref())?;
        Ok(Response::new(wire::ResetResponse {
            messages: vec![wire::Reset {
                metadata: None,
                actor_id,
            }],
        }))
    }

    async fn reboot(
        &self,
        _: Request<wire::RebootRequest>,
    ) -> Result<Response<wire::RebootResponse>, Status> {
        let actor_id = power::reboot(&self.machine);
        Ok(Response::new(wire::RebootResponse {
            messages: vec![wire::Reboot {
                metadata: None,
                actor_id,
            }],
        }))
    }

    async fn shutdown(
        &self,
        _: Request<wire::ShutdownRequest>,
    ) -> Result<Response<wire::ShutdownResponse>, Status> {
        let actor_id = power::shutdown(&self.machine);
        Ok(Response::new(wire::ShutdownResponse {
            messages: vec![wire::Shutdown {
                metadata: None,
                actor_id,
            }],
        }))
    }

    async fn rollback(
        &self,
        _: Request<wire::RollbackRequest>,
    ) -> Result<Response<wire::RollbackResponse>, Status> {
        power::rollback(&self.machine)?;
        Ok(Response::new(wire::RollbackResponse {
            messages: vec![wire::Rollback::default()],
        }))
    }

    async fn upgrade(
        &self,
        request: Request<wire::UpgradeRequest>,
    ) -> Result<Response<wire::UpgradeResponse>, Status> {
        let actor_id = power::upgrade(self, request.into_inner()).await?;
        Ok(Response::new(wire::UpgradeResponse {
            messages: vec![wire::Upgrade {
                metadata: None,
                ack: "Upgrade request received".into(),
                actor_id,
            }],
        }))
    }

    async fn service_list(
        &self,
        _: Request<()>,
    ) -> Result<Response<wire::ServiceListResponse>, Status> {
        let services = super::resource::services(&self.machine);
        let services = services.into_iter().map(|service| wire::ServiceInfo {
            id: service.id.to_owned(),
            state: service.state.to_owned(),
            events: None,
            health: Some(wire::ServiceHealth {
                unknown: !service.healthy && service.state != "Running",
                healthy: service.healthy,
                last_message: String::new(),
                last_change: None,
            }),
        });
        Ok(Response::new(wire::ServiceListResponse {
            messages: vec![wire::ServiceList {
                metadata: None,
                services: services.collect(),
            }],
        }))
    }

    async fn hostname(&self, _: Request<()>) -> Result<Response<wire::HostnameResponse>, Status> {
        Ok(Response::new(wire::HostnameResponse {
            messages: vec![wire::Hostname {
                metadata: None,
                hostname: self.machine.name(),
            }],
        }))
    }

    async fn etcd_member_list(
        &self,
        request: Request<wire::EtcdMemberListRequest>,
    ) -> Result<Response<wire::EtcdMemberListResponse>, Status> {
        let members = etcd::members(self, request.get_ref().query_local)?;
        Ok(Response::new(wire::EtcdMemberListResponse {
            messages: vec![members],
        }))
    }

    async fn etcd_status(
        &self,
        _: Request<()>,
    ) -> Result<Response<wire::EtcdStatusResponse>, Status> {
        let status = etcd::status(self)?;
        Ok(Response::new(wire::EtcdStatusResponse {
            messages: vec![wire::EtcdStatus {
                metadata: None,
                member_status: Some(status),
            }],
        }))
    }

    async fn etcd_leave_cluster(
        &self,
        _: Request<wire::EtcdLeaveClusterRequest>,
    ) -> Result<Response<wire::EtcdLeaveClusterResponse>, Status> {
        etcd::leave(self)?;
        Ok(Response::new(wire::EtcdLeaveClusterResponse {
            messages: vec![wire::EtcdLeaveCluster::default()],
        }))
    }

    async fn etcd_forfeit_leadership(
        &self,
        _: Request<wire::EtcdForfeitLeadershipRequest>,
    ) -> Result<Response<wire::EtcdForfeitLeadershipResponse>, Status> {
        let member = etcd::forfeit(self)?;
        Ok(Response::new(wire::EtcdForfeitLeadershipResponse {
            messages: vec![wire::EtcdForfeitLeadership {
                metadata: None,
                member,
            }],
        }))
    }

    async fn etcd_remove_member_by_id(
        &self,
        request: Request<wire::EtcdRemoveMemberByIdRequest>,
    ) -> Result<Response<wire::EtcdRemoveMemberByIdResponse>, Status> {
        etcd::remove(self, request.get_ref().member_id)?;
        Ok(Response::new(wire::EtcdRemoveMemberByIdResponse {
            messages: vec![wire::EtcdRemoveMemberById::default()],
        }))
    }

    async fn etcd_alarm_list(
        &self,
        _: Request<()>,
    ) -> Result<Response<wire::EtcdAlarmListResponse>, Status> {
        etcd::cluster(self, "etcd alarm list")?;
        Ok(Response::new(wire::EtcdAlarmListResponse {
            messages: vec![wire::EtcdAlarm::default()],
        }))
    }

    async fn etcd_snapshot(
        &self,
        _: Request<wire::EtcdSnapshotRequest>,
    ) -> Result<Response<Self::EtcdSnapshotStream>, Status> {
        let (cluster, _) = etcd::cluster(self, "etcd snapshot")?;
        let data = cluster.plane.snapshot().map_err(Status::unavailable)?;
        Ok(bytes(&data))
    }

    async fn etcd_recover(
        &self,
        request: Request<Streaming<Data>>,
    ) -> Result<Response<wire::EtcdRecoverResponse>, Status> {
        self.control_plane("etcd recover")?;
        let mut stream = request.into_inner();
        let mut data = Vec::new();
        while let Some(part) = stream.next().await {
            data.extend(part?.bytes);
        }
        self.machine.change(|run| run.uploaded = Some(data));
        Ok(Response::new(wire::EtcdRecoverResponse {
            messages: vec![wire::EtcdRecover::default()],
        }))
    }

    async fn generate_client_configuration(
        &self,
        request: Request<wire::GenerateClientConfigurationRequest>,
    ) -> Result<Response<wire::GenerateClientConfigurationResponse>, Status> {
        let config = self.control_plane("generate client configuration")?;
        let message = access::client(&config, request.get_ref())?;
        Ok(Response::new(wire::GenerateClientConfigurationResponse {
            messages: vec![message],
        }))
    }

    async fn events(
        &self,
        request: Request<wire::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        Ok(Response::new(super::resource::events(
            self,
            request.get_ref(),
        )))
    }

    async fn dmesg(
        &self,
        _: Request<wire::DmesgRequest>,
    ) -> Result<Response<Self::DmesgStream>, Status> {
        let now = self.machine.world.clock.now();
        let text = format!(
            "kern: notice: [{now}]: Linux version 6.12.0-talos (simulated by the Strata lab)\n"
        );
        Ok(bytes(text.as_bytes()))
    }

    async fn logs(
        &self,
        request: Request<wire::LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        let id = &request.get_ref().id;
        let services = super::resource::services(&self.machine);
        let Some(service) = services.into_iter().find(|service| service.id == id) else {
            return Err(Status::not_found(format!("log {id:?} not found")));
        };
        let text = format!("{id}: state {} (simulated)\n", service.state);
        Ok(bytes(text.as_bytes()))
    }

    async fn read(
        &self,
        request: Request<wire::ReadRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let path = &request.get_ref().path;
        let text = match path.as_str() {
            "/proc/sys/kernel/random/boot_id" => {
                self.machine.with(|run| format!("{}\n", run.boot_id))
            }
            "/etc/hostname" => Some(format!("{}\n", self.machine.name())),
            _ => {
                return Err(Status::unknown(format!(
                    "LAB-UNKNOWN: the file {path} on Talos"
                )));
            }
        };
        let text = text.ok_or_else(|| Status::unavailable("shutting down"))?;
        Ok(bytes(text.as_bytes()))
    }

    async fn memory(&self, _: Request<()>) -> Result<Response<wire::MemoryResponse>, Status> {
        let memtotal = self.machine.state().hardware.memory_mib * 1024;
        Ok(Response::new(wire::MemoryResponse {
            messages: vec![wire::Memory {
                metadata: None,
                meminfo: Some(wire::MemInfo {
                    memtotal,
                    memfree: memtotal / 2,
                    memavailable: memtotal / 2,
                }),
            }],
        }))
    }
}
