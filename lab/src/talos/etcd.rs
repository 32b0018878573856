//! The calls about etcd, and Bootstrap (contracts/talos.md sections 2.2 and 8.3).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use strata_proto::talos::machine as wire;
use tonic::Status;

use super::apid::Api;
use super::cluster::Cluster;
use super::machine::{Founding, Machine};
use crate::kubernetes::Member;

/// Accepts the order to begin a cluster; it is held in memory until etcd has started.
pub(super) fn bootstrap(api: &Api, request: wire::BootstrapRequest) -> Result<(), Status> {
    let config = api.control_plane("bootstrap")?;
    let machine = &api.machine;
    if !machine.with(|run| run.cri).unwrap_or_default() {
        return Err(Status::failed_precondition(
            "bootstrap is not available yet",
        ));
    }
    if config.etcd_ca().ok().flatten().is_none() {
        return Err(Status::invalid_argument("etcd CA is not configured"));
    }
    let busy = machine.membership().is_some() || machine.etcd.load(Ordering::Acquire);
    let ordered = machine.with(|run| run.founding.is_some());
    if busy || ordered.unwrap_or_default() {
        return Err(Status::already_exists("etcd data directory is not empty"));
    }
    let founding = if request.recover_etcd {
        let uploaded = machine.with(|run| run.uploaded.take()).flatten();
        let data = uploaded.ok_or_else(|| {
            Status::failed_precondition("no etcd snapshot was uploaded to recover from")
        })?;
        Founding::Recovered(data)
    } else {
        Founding::Empty
    };
    machine.change(|run| run.founding = Some(founding));
    machine.note("bootstrap");
    Ok(())
}

/// The cluster whose etcd runs on this machine, with the own member.
pub(super) fn cluster(api: &Api, call: &str) -> Result<(Arc<Cluster>, Member), Status> {
    api.control_plane(call)?;
    let unavailable = || {
        Status::unavailable(
            "etcdclient: error building etcd client: etcd is not running on this node",
        )
    };
    let membership = api.machine.membership().ok_or_else(unavailable)?;
    if !api.machine.etcd.load(Ordering::Acquire) {
        return Err(unavailable());
    }
    let member = membership.cluster.plane.members().into_iter();
    let mut own = member.filter(|member| member.id == membership.id);
    let own = own.next().ok_or_else(unavailable)?;
    Ok((membership.cluster, own))
}

fn with_quorum(cluster: &Cluster) -> Result<(), Status> {
    if cluster.has_quorum() {
        Ok(())
    } else {
        Err(Status::unavailable("etcdserver: no leader"))
    }
}

pub(super) fn members(api: &Api, local: bool) -> Result<wire::EtcdMembers, Status> {
    let (cluster, _) = cluster(api, "etcd member list")?;
    if !local {
        with_quorum(&cluster)?;
    }
    let url =
        |member: &Member, port: u16| format!("https://{}", SocketAddr::new(member.peer, port));
    let members = cluster.plane.members();
    Ok(wire::EtcdMembers {
        metadata: None,
        legacy_members: Vec::new(),
        members: members
            .iter()
            .map(|member| wire::EtcdMember {
                id: member.id,
                hostname: member.name.clone(),
                peer_urls: vec![url(member, 2380)],
                client_urls: vec![url(member, 2379)],
                is_learner: member.learner,
            })
            .collect(),
    })
}

pub(super) fn status(api: &Api) -> Result<wire::EtcdMemberStatus, Status> {
    let (cluster, own) = cluster(api, "etcd status")?;
    let errors = match with_quorum(&cluster) {
        Ok(()) => Vec::new(),
        Err(_) => vec!["etcdserver: no leader".to_owned()],
    };
    Ok(wire::EtcdMemberStatus {
        protocol_version: "3.7.1".into(),
        db_size: 1 << 20,
        db_size_in_use: 1 << 19,
        leader: if errors.is_empty() {
            cluster.leader().unwrap_or_default()
        } else {
            0
        },
        raft_index: 100,
        raft_term: 2,
        raft_applied_index: 100,
        errors,
        is_learner: own.learner,
        member_id: own.id,
        storage_version: "3.7.0".into(),
    })
}

/// Takes this machine out of etcd and empties its data.
pub(super) fn leave_cluster(machine: &Machine) -> Result<(), String> {
    let Some(membership) = machine.membership() else {
        return Ok(());
    };
    let cluster = &membership.cluster;
    match cluster.plane.remove_member(membership.id) {
        Ok(()) => {}
        Err(error) if error.contains("member not found") => {}
        Err(error) => return Err(error),
    }
    machine.etcd.store(false, Ordering::Release);
    machine.state().disk.etcd = None;
    machine.change(|run| run.api = None);
    machine.note("left etcd");
    // The note of a machine outside tells nothing of those inside.
    if let Some(fleet) = machine.fleet.upgrade() {
        fleet.note(&machine.name(), "member removed", Some(cluster));
    }
    Ok(())
}

pub(super) fn leave(api: &Api) -> Result<(), Status> {
    api.control_plane("etcd leave cluster")?;
    leave_cluster(&api.machine).map_err(Status::unavailable)
}

pub(super) fn forfeit(api: &Api) -> Result<String, Status> {
    let (cluster, own) = cluster(api, "etcd forfeit leadership")?;
    if cluster.plane.members().len() == 1 {
        return Err(Status::unknown(
            "cannot forfeit leadership, only one member",
        ));
    }
    with_quorum(&cluster)?;
    if cluster.leader() != Some(own.id) {
        return Ok(String::new());
    }
    let next = cluster.forfeit(own.id);
    api.machine.note("forfeits leadership");
    Ok(next.map(|member| member.name).unwrap_or_default())
}

pub(super) fn remove(api: &Api, id: u64) -> Result<(), Status> {
    let (cluster, _) = cluster(api, "etcd remove member")?;
    cluster.plane.remove_member(id).map_err(|error| {
        if error.contains("member not found") {
            Status::not_found(error)
        } else {
            Status::unavailable(error)
        }
    })?;
    api.machine.note("removes a member");
    Ok(())
}
