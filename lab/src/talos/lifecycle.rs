//! LifecycleService and ImageService of 1.13 and later (contracts/talos.md sections 2.4 and 2.5).

use std::sync::Arc;

use futures::stream;
use strata_proto::talos::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};
use strata_proto::talos::machine as wire;
use strata_proto::talos::machine::image_service_server::ImageService;
use strata_proto::talos::machine::lifecycle_service_install_progress::Response as Progress;
use strata_proto::talos::machine::lifecycle_service_server::LifecycleService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::apid::Api;
use super::image::Image;
use super::machine::Machine;
use super::service::Flow;
use crate::fault::Action;

/// An installer is pulled.
pub(super) const PULL: u64 = 20;
/// Its artifacts are written.
pub(super) const INSTALL: u64 = 25;

/// The next boot takes this version; the present one stays as the other entry.
pub(super) fn write(machine: &Machine, target: &Image) {
    {
        let mut state = machine.state();
        state.disk.previous = state.disk.image.replace(target.clone());
        state.disk.fresh = true;
    }
    machine.note(&format!("installed {}", target.version));
    machine.touch();
}

/// An image's name in one of the stores.
fn stored(containerd: Option<ContainerdInstance>, reference: &str) -> Result<String, Status> {
    let containerd = containerd.unwrap_or_default();
    let namespace = containerd.namespace();
    let unknown = namespace == ContainerdNamespace::NsUnknown;
    let odd = containerd.driver() == ContainerDriver::Containerd
        && namespace == ContainerdNamespace::NsCri;
    if unknown || odd {
        return Err(Status::invalid_argument(
            "unsupported containerd driver and namespace",
        ));
    }
    Ok(format!(
        "{:?}/{:?}/{reference}",
        containerd.driver(),
        namespace
    ))
}

fn progress(response: Progress) -> wire::LifecycleServiceInstallProgress {
    wire::LifecycleServiceInstallProgress {
        response: Some(response),
    }
}

#[tonic::async_trait]
impl LifecycleService for Api {
    type InstallStream = Flow<wire::LifecycleServiceInstallResponse>;
    type UpgradeStream = Flow<wire::LifecycleServiceUpgradeResponse>;

    async fn install(
        &self,
        _: Request<wire::LifecycleServiceInstallRequest>,
    ) -> Result<Response<Self::InstallStream>, Status> {
        // The lab's machines boot from an imported disk, which is an installation.
        Err(Status::already_exists("Talos is already installed"))
    }

    async fn upgrade(
        &self,
        request: Request<wire::LifecycleServiceUpgradeRequest>,
    ) -> Result<Response<Self::UpgradeStream>, Status> {
        let request = request.into_inner();
        let reference = request.source.unwrap_or_default().image_name;
        let name = stored(request.containerd, &reference)?;
        let machine = Arc::clone(&self.machine);
        if !machine
            .with(|run| run.images.contains(&name))
            .unwrap_or_default()
        {
            return Err(Status::not_found(format!("image {reference:?}: not found")));
        }
        let busy = machine
            .with(|run| std::mem::replace(&mut run.installing, true))
            .unwrap_or(true);
        if busy {
            return Err(Status::failed_precondition(
                "another install or upgrade is in progress",
            ));
        }
        let (sender, receiver) = mpsc::channel(8);
        tokio::spawn(async move {
            let say = async |response| {
                let progress = Some(progress(response));
                let _ = sender
                    .send(Ok(wire::LifecycleServiceUpgradeResponse { progress }))
                    .await;
            };
            say(Progress::Message(
                "running the installer (simulated)".into(),
            ))
            .await;
            machine.pass(INSTALL).await;
            let code = install(&machine, &reference);
            machine.change(|run| run.installing = false);
            if code != 0 {
                say(Progress::Message("the installer failed".into())).await;
            }
            say(Progress::ExitCode(code)).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Runs the installer; its exit code.
fn install(machine: &Machine, reference: &str) -> i32 {
    let exits = |action: &Action| matches!(action, Action::InstallerExit { .. });
    if let Some(Action::InstallerExit { code }) = machine.fault("", exits) {
        return code;
    }
    match Image::of_installer(reference) {
        Ok(target) if target.installs_on(&machine.image()) => {
            write(machine, &target);
            0
        }
        // Unsupported, and invalid input.
        Ok(_) => 3,
        Err(_) => 2,
    }
}

#[tonic::async_trait]
impl ImageService for Api {
    type ListStream = Flow<wire::ImageServiceListResponse>;
    type PullStream = Flow<wire::ImageServicePullResponse>;

    async fn list(
        &self,
        request: Request<wire::ImageServiceListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let prefix = stored(request.into_inner().containerd, "")?;
        let images = self.machine.with(|run| run.images.clone());
        let images: Vec<_> = images
            .unwrap_or_default()
            .iter()
            .filter_map(|name| name.strip_prefix(&prefix))
            .map(|name| {
                Ok(wire::ImageServiceListResponse {
                    name: name.to_owned(),
                    ..Default::default()
                })
            })
            .collect();
        Ok(Response::new(Box::pin(stream::iter(images))))
    }

    async fn pull(
        &self,
        request: Request<wire::ImageServicePullRequest>,
    ) -> Result<Response<Self::PullStream>, Status> {
        use wire::image_service_pull_response::Response as Step;
        let request = request.into_inner();
        let name = stored(request.containerd, &request.image_ref)?;
        if request.image_ref.contains("installer") {
            Image::of_installer(&request.image_ref).map_err(Status::not_found)?;
        }
        self.machine.pass(PULL).await;
        self.machine.change(|run| {
            run.images.insert(name);
        });
        let done = wire::ImageServicePullResponse {
            response: Some(Step::Name(request.image_ref)),
        };
        Ok(Response::new(Box::pin(stream::iter([Ok(done)]))))
    }

    async fn remove(
        &self,
        request: Request<wire::ImageServiceRemoveRequest>,
    ) -> Result<Response<()>, Status> {
        let request = request.into_inner();
        let name = stored(request.containerd, &request.image_ref)?;
        let removed = self.machine.with(|run| run.images.remove(&name));
        if removed.unwrap_or_default() {
            Ok(Response::new(()))
        } else {
            Err(Status::not_found(format!(
                "image {:?}: not found",
                request.image_ref
            )))
        }
    }
}
