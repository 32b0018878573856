//! `kubeadm init`.

use std::sync::Arc;

use data_encoding::BASE64;
use jiff::{SignedDuration, Timestamp};
use rand::RngExt as _;
use serde_json::json;

use crate::kubernetes::ControlPlane;
use crate::kubernetes::agent::Bootstrap;
use crate::machine::shell::Streams;
use crate::machine::state::Machine;

use super::certs::KUBECONFIGS;
use super::preflight::{self, Kind};
use super::{
    Cluster, Failure, advertised, control_plane, discovery, ends, etcd, node_spec, read,
    start_kubelet,
};
use crate::machine::program::Kubelet;

const MANIFESTS: [&str; 3] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Initialises a cluster from the configuration at `path`.
pub(super) async fn init(
    machine: &Arc<Machine>,
    path: &str,
    keeps_etcd: bool,
    streams: &mut Streams,
) -> Result<(), Failure> {
    let documents = read(machine, path)?;
    let (Some(config), Some((cluster, cluster_text))) = (documents.init, documents.cluster) else {
        return Err(Failure::Unknown(format!(
            "`kubeadm init` without InitConfiguration and ClusterConfiguration in {path}"
        )));
    };
    for (field, set) in [
        ("certificateKey", config.certificate_key.is_some()),
        ("bootstrapTokens", config.bootstrap_tokens.is_some()),
        ("patches", config.patches.is_some()),
        (
            "a phase to skip other than addon/kube-proxy",
            config
                .skip_phases
                .iter()
                .any(|phase| phase != "addon/kube-proxy"),
        ),
    ] {
        if set {
            return Err(Failure::Unknown(format!(
                "an InitConfiguration with {field}"
            )));
        }
    }
    if config.skip_phases.is_empty() && !cluster.proxy.as_ref().is_some_and(|proxy| proxy.disabled)
    {
        return Err(Failure::Unknown(
            "a cluster with kube-proxy (skip addon/kube-proxy)".into(),
        ));
    }
    control_plane::known(&cluster)?;
    let endpoint = cluster
        .control_plane_endpoint
        .clone()
        .ok_or_else(|| Failure::Unknown("a cluster without controlPlaneEndpoint".into()))?;
    let installed = machine.kubernetes_version().unwrap_or_default();
    let version = version(
        &cluster
            .kubernetes_version
            .clone()
            .unwrap_or_else(|| installed.clone()),
        &installed,
    )?;
    let node = node_spec(machine, &config.node_registration, true)?;
    let advertise = advertised(machine, &config.local_api_endpoint)?;

    streams.say(&format!("[init] Using Kubernetes version: {version}"));
    streams.say("[preflight] Running pre-flight checks");
    machine.pass(3).await;
    preflight::check(
        machine,
        Kind::Init,
        config.node_registration.cri_socket.as_deref(),
        keeps_etcd,
    )?;
    ends(machine, "preflight")?;

    streams.say("[certs] Using certificateDir folder \"/etc/kubernetes/pki\"");
    let now = machine.world.clock.now();
    let loaded = control_plane::authorities(&machine.state().files, now);
    let authorities = loaded.map_err(|errors| Failure::Phase("certs", errors.join("; ")))?;
    let serving =
        control_plane::certificates(machine, &authorities, &cluster, &node.name, advertise)
            .map_err(|error| Failure::Phase("certs", error))?;
    machine.pass(2).await;
    ends(machine, "certs")?;

    let user = format!("system:node:{}", node.name);
    let kubelet = ("kubelet.conf", user.as_str(), Some("system:nodes"));
    let (people, components) = KUBECONFIGS.split_at(2);
    for &(file, user, organization) in people.iter().chain([&kubelet]).chain(components) {
        streams.say(&format!("[kubeconfig] Writing {file:?} kubeconfig file"));
        control_plane::kubeconfig(machine, &authorities.ca, &cluster, file, user, organization)
            .map_err(|error| Failure::Phase("kubeconfig", error))?;
    }
    ends(machine, "kubeconfig")?;
    control_plane::manifests(machine, &["etcd"]).map_err(|error| Failure::Phase("etcd", error))?;
    ends(machine, "etcd")?;
    control_plane::manifests(machine, &MANIFESTS)
        .map_err(|error| Failure::Phase("control-plane", error))?;
    ends(machine, "control-plane")?;

    streams.say("[kubelet-start] Starting the kubelet");
    machine.pass(4).await;
    let failure = control_plane::start_failure(&machine.state().files, &cluster.api_server);
    if failure.is_none() {
        let (ca_key, anonymous_cluster_info) = {
            let state = machine.state();
            (
                state
                    .files
                    .text("/etc/kubernetes/pki/ca.key")
                    .unwrap_or_default(),
                control_plane::anonymous(&state.files, &cluster.api_server),
            )
        };
        let bootstrap = Bootstrap {
            cluster_name: cluster.name.clone().unwrap_or_else(|| "kubernetes".into()),
            version: version.clone(),
            endpoint: endpoint.clone(),
            pod_subnet: cluster.networking.pod_subnet.clone().unwrap_or_default(),
            service_subnet: cluster
                .networking
                .service_subnet
                .clone()
                .unwrap_or_else(|| "10.96.0.0/12".into()),
            dns_domain: cluster
                .networking
                .dns_domain
                .clone()
                .unwrap_or_else(|| "cluster.local".into()),
            ca_crt: authorities.ca.certificate.clone(),
            ca_key,
            sa_key: authorities.service_account_key.clone(),
            cluster_configuration: cluster_text,
            kubelet_configuration: documents.kubelet.unwrap_or_default(),
            anonymous_cluster_info,
        };
        let world = &machine.world;
        let data = if keeps_etcd {
            machine.state().files.read(etcd::DATA).ok()
        } else {
            None
        };
        let surroundings = (
            world.clock.clone(),
            world.calls.clone(),
            world.faults.clone(),
        );
        let plane = match data {
            Some(data) => ControlPlane::restored(surroundings, bootstrap, &data),
            None => {
                ControlPlane::bootstrap(surroundings.0, surroundings.1, surroundings.2, bootstrap)
            }
        }
        .map_err(|error| Failure::Phase("wait-control-plane", error))?;
        let held = Arc::new(Cluster {
            plane: Arc::clone(&plane),
            etcd_ca: authorities.etcd.certificate.clone(),
            front_proxy_ca: authorities.front_proxy.certificate.clone(),
            service_account_key: authorities.service_account_key.clone(),
            configuration: cluster.clone(),
        });
        let _ = machine.state().files.put(etcd::DATA, b"simulated\n", 0o600);
        machine.state().member.etcd = true;
        start_kubelet(machine, &held, node.clone()).await?;
        control_plane::serve(machine, &held, &node.name, &serving)?;
        if let Some(fleet) = machine.others.upgrade() {
            fleet.add_cluster(plane);
            if keeps_etcd {
                survivors(machine, &fleet.all(), &held);
            }
        }
    }
    ends(machine, "kubelet-start")?;

    streams.say(
        "[wait-control-plane] Waiting for the kubelet to boot up the control plane as static Pods",
    );
    if let Some(why) = failure {
        machine.pass(240).await;
        return Err(Failure::Phase(
            "wait-control-plane",
            format!("could not initialize a Kubernetes cluster: {why}"),
        ));
    }
    machine.pass(21).await;
    ends(machine, "wait-control-plane")?;

    // From here on kubeadm talks to the endpoint, like everyone after it.
    let (host, port) = control_plane::endpoint_host(&endpoint);
    discovery::connect(machine, &host, port, &authorities.ca.certificate, 60)
        .await
        .map_err(|error| {
            Failure::Phase(
                "upload-config/kubeadm",
                format!("error uploading the kubeadm ClusterConfiguration: {error}"),
            )
        })?;
    for phase in ["upload-config", "upload-certs", "mark-control-plane"] {
        finish(machine, phase, streams).await?;
    }
    let token = first_token(machine)?;
    for phase in [
        "bootstrap-token",
        "kubelet-finalize",
        "addon",
        "show-join-command",
    ] {
        finish(machine, phase, streams).await?;
    }
    streams.say("\nYour Kubernetes control-plane has initialized successfully!\n");
    streams.say(
        "Then you can join any number of worker nodes by running the following on each as root:\n",
    );
    streams.say(&format!(
        "kubeadm join {endpoint} --token {token} \\\n\t--discovery-token-ca-cert-hash {} ",
        authorities.ca.hash()
    ));
    Ok(())
}

/// Workers of the cluster that was restored: their kubelets find the API again behind the endpoint, with the same authority.
fn survivors(own: &Arc<Machine>, all: &[Arc<Machine>], cluster: &Arc<Cluster>) {
    for machine in all.iter().filter(|machine| !Arc::ptr_eq(machine, own)) {
        let found = {
            let mut state = machine.state();
            let authority = state
                .member
                .cluster
                .as_ref()
                .map(|theirs| theirs.plane.ca_crt().to_owned());
            let worker = state.member.node.clone().filter(|node| {
                !node.control_plane && authority.as_deref() == Some(cluster.plane.ca_crt())
            });
            if worker.is_some() {
                state.member.cluster = Some(Arc::clone(cluster));
            }
            worker
        };
        if let Some(node) = found {
            cluster
                .plane
                .return_node(node, Arc::new(Kubelet(Arc::downgrade(machine))));
        }
    }
}

async fn finish(
    machine: &Machine,
    phase: &'static str,
    streams: &mut Streams,
) -> Result<(), Failure> {
    streams.say(&format!("[{phase}] done (simulated)"));
    machine.pass(1).await;
    ends(machine, phase)
}

/// The token that kubeadm leaves behind: valid for a day, and a way into the cluster for whoever finds it.
fn first_token(machine: &Machine) -> Result<String, Failure> {
    let failed = |error: String| Failure::Phase("bootstrap-token", error);
    let text = |length: usize| -> String {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = rand::rng();
        (0..length)
            .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
            .collect()
    };
    let (id, secret) = (text(6), text(16));
    let expiration = machine
        .world
        .clock
        .now()
        .checked_add(SignedDuration::from_hours(24))
        .map_err(|error| failed(error.to_string()))?;
    let expiration = Timestamp::from_second(expiration.as_second())
        .map_err(|error| failed(error.to_string()))?
        .to_string();
    let cluster = machine
        .state()
        .member
        .cluster
        .clone()
        .ok_or_else(|| failed("there is no cluster".into()))?;
    let encode = |text: &str| BASE64.encode(text.as_bytes());
    let object = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "data": {
            "token-id": encode(&id),
            "token-secret": encode(&secret),
            "expiration": encode(&expiration),
            "usage-bootstrap-authentication": encode("true"),
            "usage-bootstrap-signing": encode("true"),
            "auth-extra-groups": encode("system:bootstrappers:kubeadm:default-node-token"),
        },
    });
    cluster.plane.create(object).map_err(failed)?;
    Ok(format!("{id}.{secret}"))
}

/// The version to install, if this kubeadm installs it.
fn version(wanted: &str, installed: &str) -> Result<String, Failure> {
    let minors = (preflight::minor(wanted), preflight::minor(installed));
    let (Some(minor), Some(own)) = minors else {
        return Err(Failure::General(format!(
            "could not parse version {wanted:?}: it must look like {installed}"
        )));
    };
    if minor > own {
        let text = format!(
            "Specified Kubernetes version {wanted:?} is too high: this kubeadm is {installed}"
        );
        return Err(Failure::Preflight(vec![("KubernetesVersion".into(), text)]));
    }
    if minor < own {
        let text = format!(
            "the kubelet version is higher than the control plane version. This is not a supported version skew and may lead to a malfunctional cluster. Kubelet version: {installed:?} Control plane version: {wanted:?}"
        );
        return Err(Failure::Preflight(vec![("KubeletVersion".into(), text)]));
    }
    if wanted != installed {
        return Err(Failure::Unknown(format!(
            "a control plane {wanted} from kubeadm {installed}"
        )));
    }
    Ok(wanted.to_owned())
}
