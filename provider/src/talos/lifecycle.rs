//! The operating system: images, and writing another one. Nothing here drains, looks at etcd or reboots: that is the caller's.

use std::time::Duration;

use strata_proto::talos::common::{ContainerDriver, ContainerdInstance, ContainerdNamespace};
use strata_proto::talos::machine::lifecycle_service_install_progress::Response;
use strata_proto::talos::machine::{
    ImageServicePullRequest, InstallArtifactsSource, LifecycleServiceUpgradeRequest, UpgradeRequest,
};
use tonic::Code;

use super::client::ANSWER;
use super::{Client, Error};

/// Between two messages of a pull or an installation.
const PATIENCE: Duration = Duration::from_mins(10);

/// The store of images that upgrades are made from.
fn store() -> ContainerdInstance {
    ContainerdInstance {
        driver: ContainerDriver::Cri.into(),
        namespace: ContainerdNamespace::NsSystem.into(),
    }
}

impl Client {
    /// Fetches an image to the node. `false`: this Talos is older than 1.13 and fetches by itself.
    pub async fn pull(&self, image: &str) -> Result<bool, Error> {
        let step = "pull the installer";
        let request = ImageServicePullRequest {
            containerd: Some(store()),
            image_ref: image.into(),
        };
        let mut images = self.images();
        let mut stream = match self.ask(step, ANSWER, images.pull(request)).await {
            Err(error) if error.code() == Some(Code::Unimplemented) => return Ok(false),
            other => other?,
        };
        loop {
            match self.next(step, PATIENCE, &mut stream).await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(true),
                // A server may answer its first words with the stream.
                Err(error) if error.code() == Some(Code::Unimplemented) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes the boot assets of an image that was pulled. The stream ends well even when the installer failed: only its exit code tells.
    pub async fn upgrade(&self, image: &str) -> Result<(), Error> {
        let step = "write the new version";
        let request = LifecycleServiceUpgradeRequest {
            containerd: Some(store()),
            source: Some(InstallArtifactsSource {
                image_name: image.into(),
            }),
        };
        let mut lifecycle = self.lifecycle();
        let mut stream = self.ask(step, ANSWER, lifecycle.upgrade(request)).await?;
        let (mut code, mut last) = (None, String::new());
        while let Some(part) = self.next(step, PATIENCE, &mut stream).await? {
            match part.progress.and_then(|progress| progress.response) {
                Some(Response::ExitCode(found)) => code = Some(found),
                Some(Response::Message(text)) => last = text,
                None => {}
            }
        }
        match code {
            Some(0) => Ok(()),
            Some(code) => Err(self.odd(
                step,
                &format!(
                    "is that the installer failed with code {code} ({}); its last words: {last}",
                    meaning(code)
                ),
            )),
            None => Err(self.odd(step, "ended without the installer's exit code")),
        }
    }

    /// The same before Talos 1.13, which then drains and reboots by itself.
    pub async fn upgrade_of_old(&self, image: &str) -> Result<(), Error> {
        let request = UpgradeRequest {
            image: image.into(),
            preserve: false,
            stage: false,
            force: false,
            reboot_mode: 0,
        };
        let mut machine = self.machine();
        // It answers after it has pulled the image.
        self.ask("upgrade", PATIENCE, machine.upgrade(request))
            .await
            .map(drop)
    }
}

/// The installer's exit codes.
fn meaning(code: i32) -> &'static str {
    match code {
        2 => "invalid input",
        3 => "not supported",
        4 => "environment",
        5 => "a dependency is missing",
        6 => "input or output",
        7 => "installation",
        _ => "unknown",
    }
}
