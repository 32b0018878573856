//! `kubeadm join`, worker and control plane.

use std::sync::Arc;

use crate::kubernetes::agent::NodeSpec;
use crate::machine::shell::Streams;
use crate::machine::state::Machine;

use super::control_plane::Authorities;
use super::preflight::{self, Kind};
use super::{
    Cluster, Failure, advertised, config, control_plane, discovery, ends, etcd, node_spec, read,
    start_kubelet,
};

const MANIFESTS: [&str; 3] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Joins the cluster that the configuration at `path` leads to.
pub(super) async fn join(
    machine: &Arc<Machine>,
    path: &str,
    streams: &mut Streams,
) -> Result<(), Failure> {
    let documents = read(machine, path)?;
    let Some(config) = documents.join else {
        return Err(Failure::General(format!(
            "no JoinConfiguration found in {path}"
        )));
    };
    if config.patches.is_some()
        || !config.skip_phases.is_empty()
        || config
            .ca_cert_path
            .as_deref()
            .is_some_and(|path| path != "/etc/kubernetes/pki/ca.crt")
    {
        return Err(Failure::Unknown(
            "a JoinConfiguration with patches, skipPhases or caCertPath".into(),
        ));
    }
    if config
        .control_plane
        .as_ref()
        .is_some_and(|part| part.certificate_key.is_some())
    {
        return Err(Failure::Unknown(
            "a join with a certificate key (the lab uploads no certificates; deliver the files)"
                .into(),
        ));
    }
    let node = node_spec(
        machine,
        &config.node_registration,
        config.control_plane.is_some(),
    )?;
    let kind = if node.control_plane {
        Kind::JoinControlPlane
    } else {
        Kind::JoinWorker
    };

    streams.say("[preflight] Running pre-flight checks");
    machine.pass(3).await;
    preflight::check(
        machine,
        kind,
        config.node_registration.cri_socket.as_deref(),
        false,
    )?;
    let cluster = discover(machine, &config, streams).await?;
    version(machine, &cluster)?;
    if let Some(part) = &config.control_plane {
        join_control_plane(machine, &cluster, node, part, streams).await
    } else {
        join_worker(machine, &cluster, node, streams).await
    }
}

/// Finds the cluster and logs in to it.
async fn discover(
    machine: &Arc<Machine>,
    config: &config::Join,
    streams: &mut Streams,
) -> Result<Arc<Cluster>, Failure> {
    let Some(file) = &config.discovery.file else {
        let _ = config.discovery.bootstrap_token.as_ref().map(|token| {
            (
                &token.token,
                &token.api_server_endpoint,
                &token.ca_cert_hashes,
                token.unsafe_skip_ca_verification,
            )
        });
        return Err(Failure::Unknown(
            "a join that discovers by bootstrap token (use discovery.file)".into(),
        ));
    };
    if config.discovery.bootstrap_token.is_some() {
        return Err(Failure::General(
            "discovery: Invalid value: \"\": bootstrapToken and file cannot both be set".into(),
        ));
    }
    let token = config.discovery.tls_bootstrap_token.clone().ok_or_else(|| Failure::General("couldn't find authentication credentials for the TLS bootstrap process. Please use Token discovery, a discovery file with embedded authentication credentials or a discovery file without authentication credentials but with the TLSBootstrapToken flag".into()))?;
    let well_formed = token
        .split_once('.')
        .is_some_and(|(id, secret)| id.len() == 6 && secret.len() == 16)
        && token
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.');
    if !well_formed {
        return Err(Failure::General(
            "discovery.tlsBootstrapToken: Invalid value: the bootstrap token is invalid".into(),
        ));
    }
    let path = &file.kube_config_path;
    let text = machine.state().files.text(path).ok_or_else(|| {
        Failure::General(format!(
            "discovery.file.kubeConfigPath: not a valid HTTPS URL or a file on disk: {path}"
        ))
    })?;
    let failed = |error: String| {
        Failure::Phase(
            "preflight",
            format!("couldn't validate the identity of the API Server: {error}"),
        )
    };
    let (host, port, ca) = discovery::file(&text).map_err(failed)?;
    let limit = config
        .timeouts
        .discovery
        .as_deref()
        .and_then(config::seconds)
        .unwrap_or(300);
    let found = discovery::connect(machine, &host, port, &ca, limit)
        .await
        .map_err(failed)?;
    let server = machine
        .others
        .upgrade()
        .and_then(|fleet| fleet.at(found.address));
    let cluster = server
        .and_then(|server| server.state().member.cluster.clone())
        .ok_or_else(|| failed(format!("{host} is no API server of a cluster in the lab")))?;
    streams.say("[preflight] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"...");
    if let Err(error) = cluster.plane.authenticate_token(&token) {
        machine.pass(60).await;
        return Err(Failure::Phase(
            "preflight",
            format!(
                "unable to fetch the kubeadm-config ConfigMap: failed to get config map: Unauthorized ({error})"
            ),
        ));
    }
    Ok(cluster)
}

fn version(machine: &Machine, cluster: &Cluster) -> Result<(), Failure> {
    let installed = machine.kubernetes_version().unwrap_or_default();
    let wanted = cluster.plane.version();
    if preflight::minor(&installed) > preflight::minor(&wanted) {
        let text = format!(
            "the kubelet version is higher than the control plane version. This is not a supported version skew and may lead to a malfunctional cluster. Kubelet version: {installed:?} Control plane version: {wanted:?}"
        );
        return Err(Failure::Preflight(vec![("KubeletVersion".into(), text)]));
    }
    if preflight::minor(&installed) != preflight::minor(&wanted) {
        return Err(Failure::Unknown(format!(
            "a join with kubeadm {installed} to a cluster of {wanted}"
        )));
    }
    Ok(())
}

/// kubeadm refuses the name of a node that is Ready.
fn name_is_free(cluster: &Cluster, node: &NodeSpec) -> Result<(), Failure> {
    if cluster.plane.estate()["nodes"][&node.name]["ready"] == true {
        return Err(Failure::Phase(
            "kubelet-start",
            format!(
                "a Node with name {:?} and status \"Ready\" already exists in the cluster. You must delete the existing Node or change the name of this new joining Node",
                node.name
            ),
        ));
    }
    Ok(())
}

fn kubelet_files(machine: &Machine, cluster: &Cluster) -> Result<(), String> {
    let mut state = machine.state();
    if !state.files.is_file("/etc/kubernetes/pki/ca.crt") {
        state.files.put(
            "/etc/kubernetes/pki/ca.crt",
            cluster.plane.ca_crt().as_bytes(),
            0o644,
        )?;
    }
    let endpoint = cluster
        .configuration
        .control_plane_endpoint
        .as_deref()
        .unwrap_or_default();
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: default-cluster\n  cluster: {{server: \"https://{endpoint}\"}}\n"
    );
    state
        .files
        .put("/etc/kubernetes/kubelet.conf", text.as_bytes(), 0o600)?;
    state.files.put(
        "/var/lib/kubelet/pki/kubelet-client-current.pem",
        b"simulated\n",
        0o600,
    )
}

async fn join_worker(
    machine: &Arc<Machine>,
    cluster: &Arc<Cluster>,
    node: NodeSpec,
    streams: &mut Streams,
) -> Result<(), Failure> {
    ends(machine, "preflight")?;
    name_is_free(cluster, &node)?;
    streams.say("[kubelet-start] Starting the kubelet");
    machine.pass(17).await;
    kubelet_files(machine, cluster).map_err(|error| Failure::Phase("kubelet-start", error))?;
    start_kubelet(machine, cluster, node).await?;
    ends(machine, "kubelet-start")?;
    machine.pass(5).await;
    ends(machine, "kubelet-wait-bootstrap")?;
    streams.say("\nThis node has joined the cluster:\n* Certificate signing request was sent to apiserver and a response was received.\n* The Kubelet was informed of the new secure connection details.\n");
    Ok(())
}

/// The delivered authorities, which must be the cluster's own.
fn authorities(machine: &Machine, cluster: &Cluster) -> Result<Authorities, Failure> {
    let now = machine.world.clock.now();
    let loaded = control_plane::authorities(&machine.state().files, now);
    let loaded = loaded.map_err(|errors| {
        let list = errors.join(", ");
        Failure::Phase("preflight", format!("One or more conditions for hosting a new control plane instance is not satisfied.\n\n[{list}]\n\nPlease ensure that:\n* The cluster has a stable controlPlaneEndpoint address.\n* The certificates that must be shared among control plane instances are provided."))
    })?;
    let differs = [
        (
            "ca.crt",
            loaded.ca.certificate.trim() != cluster.plane.ca_crt().trim(),
        ),
        (
            "front-proxy-ca.crt",
            loaded.front_proxy.certificate.trim() != cluster.front_proxy_ca.trim(),
        ),
        (
            "etcd/ca.crt",
            loaded.etcd.certificate.trim() != cluster.etcd_ca.trim(),
        ),
        (
            "sa.key",
            loaded.service_account_key.trim() != cluster.service_account_key.trim(),
        ),
    ];
    match differs.iter().find(|(_, differs)| *differs) {
        // With another authority the first step that talks to a running member fails on its certificate.
        Some((file, _)) => Err(Failure::Phase(
            "check-etcd",
            format!(
                "tls: failed to verify certificate: x509: certificate signed by unknown authority (/etc/kubernetes/pki/{file} is not the cluster's)"
            ),
        )),
        None => Ok(loaded),
    }
}

async fn join_control_plane(
    machine: &Arc<Machine>,
    cluster: &Arc<Cluster>,
    node: NodeSpec,
    part: &config::JoinControlPlane,
    streams: &mut Streams,
) -> Result<(), Failure> {
    let advertise = advertised(machine, &part.local_api_endpoint)?;
    let authorities = authorities(machine, cluster)?;
    ends(machine, "preflight")?;

    streams.say("[control-plane-prepare] Using the existing certificates");
    let configuration = &cluster.configuration;
    let failed = |error| Failure::Phase("control-plane-prepare", error);
    let serving =
        control_plane::certificates(machine, &authorities, configuration, &node.name, advertise)
            .map_err(failed)?;
    for (file, user, organization) in [
        (
            "admin.conf",
            "kubernetes-admin",
            Some("kubeadm:cluster-admins"),
        ),
        (
            "controller-manager.conf",
            "system:kube-controller-manager",
            None,
        ),
        ("scheduler.conf", "system:kube-scheduler", None),
    ] {
        control_plane::kubeconfig(
            machine,
            &authorities.ca,
            configuration,
            file,
            user,
            organization,
        )
        .map_err(failed)?;
    }
    control_plane::manifests(machine, &MANIFESTS).map_err(failed)?;
    machine.pass(2).await;
    ends(machine, "control-plane-prepare")?;

    streams.say("[check-etcd] Checking that the etcd cluster is healthy");
    etcd::check(machine, cluster).await?;
    ends(machine, "check-etcd")?;

    name_is_free(cluster, &node)?;
    streams.say("[kubelet-start] Starting the kubelet");
    machine.pass(5).await;
    kubelet_files(machine, cluster).map_err(|error| Failure::Phase("kubelet-start", error))?;
    start_kubelet(machine, cluster, node.clone()).await?;
    ends(machine, "kubelet-start")?;

    streams.say("[etcd] Announced new etcd member joining to the existing etcd cluster");
    etcd::join(machine, cluster, &node.name, advertise).await?;
    ends(machine, "etcd-join")?;
    machine.pass(2).await;
    ends(machine, "kubelet-wait-bootstrap")?;
    ends(machine, "control-plane-join")?;

    let failure = control_plane::start_failure(&machine.state().files, &configuration.api_server);
    if let Some(why) = failure {
        machine.pass(240).await;
        return Err(Failure::Phase("wait-control-plane", why));
    }
    control_plane::serve(machine, cluster, &node.name, &serving)?;
    machine.pass(5).await;
    ends(machine, "wait-control-plane")?;
    streams.say("\nThis node has joined the cluster and a new control plane instance was created:\n\n* Certificate signing request was sent to apiserver and approval was received.\n* The Kubelet was informed of the new secure connection details.\n* Control plane label and taint were applied to the new node.\n* A new etcd member was added to the local/stacked etcd cluster.\n");
    Ok(())
}
