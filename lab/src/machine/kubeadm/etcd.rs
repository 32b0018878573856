//! The machine's side of etcd: health checks and joining through the firewalls, and `etcdctl` as `strata-node` calls it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kubernetes::Member;
use crate::machine::shell::Streams;
use crate::machine::state::Machine;

use super::{Cluster, Failure, containers, control_plane};

/// `timeouts.etcdAPICall`.
const API_CALL: u64 = 120;
/// What `crictl ps` calls the container.
const CONTAINER: &str = "5e7cd0000000000000000000000000000000000000000000000000000000e7cd";

fn connects(machine: &Machine, from: IpAddr, to: IpAddr, port: u16) -> bool {
    machine.world.network.dial(from, to, port).is_ok()
}

/// The phase check-etcd: every listed member must answer.
pub(super) async fn check(machine: &Arc<Machine>, cluster: &Cluster) -> Result<(), Failure> {
    let until = machine.now() + Duration::from_secs(API_CALL);
    loop {
        let members = cluster.plane.members();
        let sick = members.iter().find(|member| {
            !member.alive
                || !connects(
                    machine,
                    machine.address_towards(member.peer),
                    member.peer,
                    2379,
                )
        });
        let Some(member) = sick else {
            return Ok(());
        };
        if machine.now() >= until {
            return Err(Failure::Phase(
                "check-etcd",
                format!(
                    "etcd cluster is not healthy: failed to dial endpoint https://{}:2379 with maintenance client: context deadline exceeded",
                    member.peer
                ),
            ));
        }
        machine.pass(5).await;
    }
}

/// The phase etcd-join: learner, sync with the others, vote.
pub(super) async fn join(
    machine: &Arc<Machine>,
    cluster: &Cluster,
    name: &str,
    own: IpAddr,
) -> Result<(), Failure> {
    let failed = |error: String| {
        Failure::Phase(
            "etcd-join",
            format!("error creating local etcd static pod manifest file: {error}"),
        )
    };
    let until = machine.now() + Duration::from_secs(API_CALL);
    let id = loop {
        match cluster.plane.add_member(name, own) {
            Ok(id) => break id,
            Err(error) if machine.now() >= until => return Err(failed(error)),
            Err(_) => machine.pass(5).await,
        }
    };
    control_plane::manifests(machine, &["etcd"]).map_err(&failed)?;
    {
        let mut state = machine.state();
        let _ = state
            .files
            .put("/var/lib/etcd/member/snap/db", b"simulated\n", 0o600);
        state.member.etcd = true;
    }
    machine.pass(8).await;
    let until = machine.now() + Duration::from_secs(API_CALL);
    loop {
        // The leader sends to the learner and the learner to everyone: both ways must be open.
        let others: Vec<Member> = cluster
            .plane
            .members()
            .into_iter()
            .filter(|member| member.id != id && member.alive)
            .collect();
        let deaf = others.iter().find(|member| {
            !connects(machine, own, member.peer, 2380) || !connects(machine, member.peer, own, 2380)
        });
        let result = match deaf {
            Some(member) => Err(format!(
                "timeout waiting for etcd cluster to be available: no connection between {own}:2380 and {}:2380",
                member.peer
            )),
            None => cluster.plane.promote(id),
        };
        match result {
            Ok(()) => return Ok(()),
            Err(error) if machine.now() >= until => return Err(failed(error)),
            Err(_) => machine.pass(5).await,
        }
    }
}

/// `crictl ps` and `crictl exec ... etcdctl` in the form `strata-node` uses.
pub(crate) async fn crictl(
    machine: &Arc<Machine>,
    arguments: &[&str],
    streams: &mut Streams,
) -> i32 {
    let running = machine.state().member.listens(2379, true);
    match arguments {
        ["ps", "--quiet", "--name", "etcd", "--state", "Running"] => {
            if running {
                streams.say(CONTAINER);
            }
            0
        }
        ["ps", "--quiet", "--name", name, "--state", "Running"]
            if containers::OTHERS.contains(name) =>
        {
            if containers::runs(machine, name) {
                streams.say(&containers::id(name));
            }
            0
        }
        ["stop", id] => {
            let stopped = if *id == CONTAINER && running {
                Some("etcd")
            } else {
                containers::named(machine, id)
            };
            let Some(name) = stopped else {
                streams.complain(&format!(
                    "E0000 StopContainer from runtime service failed: container not found: {id:?}"
                ));
                return 1;
            };
            containers::restart(machine, name).await;
            streams.say(id);
            0
        }
        ["exec", container, "etcdctl", rest @ ..] => {
            if !running || *container != CONTAINER {
                streams.complain(&format!("FATA[0000] execing command in container: rpc error: code = NotFound desc = an error occurred when try to find container {container:?}: not found"));
                return 1;
            }
            etcdctl(machine, rest, streams).await
        }
        _ => streams.refuse(&format!("`crictl {}`", arguments.join(" "))),
    }
}

async fn etcdctl(machine: &Arc<Machine>, arguments: &[&str], streams: &mut Streams) -> i32 {
    let flags: Vec<&str> = arguments
        .iter()
        .copied()
        .take_while(|word| word.starts_with("--"))
        .collect();
    for flag in &flags {
        let Some((name, path)) = flag.split_once('=') else {
            return streams.refuse(&format!("`etcdctl {flag}`"));
        };
        if !matches!(name, "--cacert" | "--cert" | "--key") {
            return streams.refuse(&format!("`etcdctl {name}`"));
        }
        // The pod mounts this folder only.
        if !path.starts_with("/etc/kubernetes/pki/etcd/") || !machine.state().files.is_file(path) {
            streams.complain(&format!("Error: open {path}: no such file or directory"));
            return 128;
        }
    }
    if flags.len() != 3 {
        streams.complain("Error: context deadline exceeded");
        return 1;
    }
    let Some(cluster) = machine.state().member.cluster.clone() else {
        return 1;
    };
    match &arguments[flags.len()..] {
        ["member", "list", "-w", "json"] => {
            let members = cluster.plane.members();
            let voters = members.iter().filter(|member| !member.learner);
            let (alive, all) = voters.fold((0, 0), |(alive, all), member| {
                (alive + usize::from(member.alive), all + 1)
            });
            if alive <= all / 2 {
                machine.pass(5).await;
                streams.complain("Error: context deadline exceeded");
                return 1;
            }
            streams.say(&list(&members).to_string());
            0
        }
        ["endpoint", "health", "--cluster"] => {
            let mut sick = false;
            for member in cluster.plane.members() {
                let url = format!("https://{}", std::net::SocketAddr::new(member.peer, 2379));
                let from = machine.address_towards(member.peer);
                if member.alive
                    && (machine.has(member.peer) || connects(machine, from, member.peer, 2379))
                {
                    streams.say(&format!(
                        "{url} is healthy: successfully committed proposal: took = 9.1ms"
                    ));
                } else {
                    sick = true;
                    streams.say(&format!(
                        "{url} is unhealthy: failed to commit proposal: context deadline exceeded"
                    ));
                }
            }
            if sick {
                machine.pass(5).await;
                streams.complain("Error: unhealthy cluster");
            }
            i32::from(sick)
        }
        ["snapshot", "save", path] => {
            // The container has this folder of the host and no other to write to.
            if !path.starts_with("/var/lib/etcd/") {
                streams.complain(&format!("Error: could not open {path}.part (open {path}.part: no such file or directory)"));
                return 1;
            }
            machine.pass(3).await;
            let written = match cluster.plane.snapshot() {
                Ok(bytes) => machine.state().files.put(path, &bytes, 0o600),
                Err(error) => Err(error),
            };
            match written {
                Ok(()) => {
                    streams.say(&format!("Snapshot saved at {path}"));
                    0
                }
                Err(error) => {
                    streams.complain(&format!("Error: {error}"));
                    1
                }
            }
        }
        ["member", "remove", id] => {
            let Ok(id) = u64::from_str_radix(id, 16) else {
                streams.complain(&format!("Error: bad member ID arg (strconv.ParseUint: parsing {id:?}: invalid syntax), expecting ID in Hex"));
                return 128;
            };
            match cluster.plane.remove_member(id) {
                Ok(()) => {
                    streams.say(&format!(
                        "Member {id:16x} removed from cluster {:16x}",
                        cluster_id(&cluster)
                    ));
                    0
                }
                Err(error) => {
                    streams.complain(&format!("Error: {error}"));
                    1
                }
            }
        }
        other => streams.refuse(&format!("`etcdctl {}`", other.join(" "))),
    }
}

/// Where a restored etcd begins.
pub(super) const DATA: &str = "/var/lib/etcd/member/snap/db";

/// `etcdutl snapshot restore` as `strata-node` calls it.
pub(crate) fn etcdutl(machine: &Machine, arguments: &[&str], streams: &mut Streams) -> i32 {
    let [
        "etcdutl",
        "snapshot",
        "restore",
        file,
        "--data-dir",
        "/var/lib/etcd",
        "--name",
        name,
        "--initial-cluster",
        initial,
        "--initial-advertise-peer-urls",
        peer,
        "--bump-revision",
        bump,
        "--mark-compacted",
    ] = arguments
    else {
        return streams.refuse(&format!("`{}`", arguments.join(" ")));
    };
    let mut state = machine.state();
    let failed = |streams: &mut Streams, text: &str| {
        streams.complain(&format!("Error: {text}"));
        1
    };
    if !state.files.below("/var/lib/etcd").is_empty() {
        return failed(
            streams,
            "data-dir \"/var/lib/etcd\" not empty or could not be read",
        );
    }
    if *initial != format!("{name}={peer}") {
        return failed(
            streams,
            &format!("couldn't find local name {name:?} in the initial cluster configuration"),
        );
    }
    let bytes = match state.files.read(file) {
        Ok(bytes) => bytes,
        Err(error) => return failed(streams, &format!("open {file}: {error}")),
    };
    let Ok(bump) = bump.parse::<u64>() else {
        return failed(streams, "invalid --bump-revision");
    };
    match crate::kubernetes::snapshot::bumped(&bytes, bump) {
        Ok(restored) => match state.files.put(DATA, &restored, 0o600) {
            Ok(()) => 0,
            Err(error) => failed(streams, &error),
        },
        Err(error) => failed(streams, &error),
    }
}

fn cluster_id(cluster: &Cluster) -> u64 {
    cluster
        .plane
        .members()
        .first()
        .map_or(1, |member| member.id.rotate_left(17))
}

fn list(members: &[Member]) -> Value {
    let url = |address: IpAddr, port: u16| {
        format!("https://{}", std::net::SocketAddr::new(address, port))
    };
    let members: Vec<Value> = members
        .iter()
        .map(|member| {
            let mut value = json!({"ID": member.id, "name": member.name, "peerURLs": [url(member.peer, 2380)], "clientURLs": [url(member.peer, 2379)]});
            if member.learner {
                value["isLearner"] = json!(true);
            }
            value
        })
        .collect();
    json!({"header": {"raft_term": 2}, "members": members})
}
