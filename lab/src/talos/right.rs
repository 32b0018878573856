//! Who may call what (contracts/talos.md sections 1.2 and 1.5).

use tonic::Status;

use super::apid::Caller;
use super::machine::Machine;

const ADMIN: &[&str] = &["os:admin"];
const OPERATOR: &[&str] = &["os:admin", "os:operator"];
const SNAPSHOT: &[&str] = &["os:admin", "os:operator", "os:etcd:backup"];
const ETCD: &[&str] = &["os:admin", "os:operator", "os:reader", "os:etcd:backup"];
const READER: &[&str] = &["os:admin", "os:operator", "os:reader"];

/// Roles of which a caller needs one.
fn needed(path: &str) -> &'static [&'static str] {
    match path {
        "/machine.MachineService/ApplyConfiguration"
        | "/machine.MachineService/Bootstrap"
        | "/machine.MachineService/EtcdForfeitLeadership"
        | "/machine.MachineService/EtcdLeaveCluster"
        | "/machine.MachineService/EtcdRecover"
        | "/machine.MachineService/EtcdRemoveMemberByID"
        | "/machine.MachineService/GenerateClientConfiguration"
        | "/machine.MachineService/Kubeconfig"
        | "/machine.MachineService/Read"
        | "/machine.MachineService/Reset"
        | "/machine.MachineService/Rollback"
        | "/machine.MachineService/Upgrade"
        | "/machine.ImageService/Remove" => ADMIN,
        "/machine.MachineService/Reboot"
        | "/machine.MachineService/Shutdown"
        | "/machine.ImageService/Pull" => OPERATOR,
        "/machine.MachineService/EtcdSnapshot" => SNAPSHOT,
        "/machine.MachineService/EtcdMemberList"
        | "/machine.MachineService/EtcdStatus"
        | "/machine.MachineService/EtcdAlarmList" => ETCD,
        _ if path.starts_with("/machine.LifecycleService/") => ADMIN,
        _ => READER,
    }
}

/// Whether a caller may make a call, and whether the machine knows it in its present mode.
pub(super) fn check(machine: &Machine, caller: &Caller, path: &str) -> Result<(), Status> {
    if caller.is_stranger {
        return maintenance(machine, path);
    }
    let needed = needed(path);
    if caller
        .roles
        .iter()
        .any(|role| needed.contains(&role.as_str()))
    {
        Ok(())
    } else {
        Err(Status::permission_denied("not authorized"))
    }
}

fn maintenance(machine: &Machine, path: &str) -> Result<(), Status> {
    let old = !machine.image().has_lifecycle();
    let open = matches!(
        path,
        "/machine.MachineService/ApplyConfiguration" | "/storage.StorageService/Disks"
    ) || path.starts_with("/cosi.resource.State/");
    if open {
        return Ok(());
    }
    if !old {
        let allowed = needed(path).contains(&"os:reader");
        return if allowed {
            Ok(())
        } else {
            Err(Status::permission_denied("not authorized"))
        };
    }
    let method = path.rsplit('/').next().unwrap_or_default();
    if matches!(method, "Version" | "Upgrade" | "Reset") {
        return Err(Status::permission_denied("not authorized"));
    }
    Err(Status::unimplemented(format!(
        "API is not implemented in maintenance mode: {method}"
    )))
}
