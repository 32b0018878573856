//! StorageService: the disks (contracts/talos.md section 2.6).

use strata_proto::talos::storage as wire;
use strata_proto::talos::storage::storage_service_server::StorageService;
use tonic::{Request, Response, Status};

use super::apid::Api;

#[tonic::async_trait]
impl StorageService for Api {
    async fn disks(&self, _: Request<()>) -> Result<Response<wire::DisksResponse>, Status> {
        let state = self.machine.state();
        let disk = wire::Disk {
            size: state.hardware.disk_bytes,
            model: "QEMU HARDDISK".into(),
            device_name: "/dev/sda".into(),
            name: "sda".into(),
            r#type: wire::disk::DiskType::Hdd.into(),
            system_disk: state.disk.image.is_some(),
            subsystem: "/sys/class/block".into(),
            ..wire::Disk::default()
        };
        Ok(Response::new(wire::DisksResponse {
            messages: vec![wire::Disks {
                metadata: None,
                disks: vec![disk],
            }],
        }))
    }
}
