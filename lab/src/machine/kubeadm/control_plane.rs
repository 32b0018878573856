//! What init and control-plane joins share: certificates, kubeconfigs, manifests, and whether the API server would start with its files.

use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use jiff::Timestamp;
use serde_yaml_ng::Value;

use crate::machine::file::Files;
use crate::machine::state::Machine;

use super::config::{self, Component};
use super::pki::{self, Authority, Leaf};
use super::{Cluster, Failure, unknown_argument};

/// The authorities of a control plane.
pub(super) struct Authorities {
    pub(super) ca: Authority,
    pub(super) front_proxy: Authority,
    pub(super) etcd: Authority,
    pub(super) service_account_key: String,
}

/// Loads and checks all that was delivered; every mistake is listed.
pub(super) fn authorities(files: &Files, now: Timestamp) -> Result<Authorities, Vec<String>> {
    let mut errors = Vec::new();
    let mut loaded = Vec::new();
    for (name, what) in pki::AUTHORITIES {
        match pki::authority(files, name, what, now) {
            Ok(authority) => loaded.push(authority),
            Err(error) => errors.push(error),
        }
    }
    let key = pki::service_account(files).map_err(|error| errors.push(error));
    let (Ok(service_account_key), Ok([ca, front_proxy, etcd])) =
        (key, <[Authority; 3]>::try_from(loaded))
    else {
        return Err(errors);
    };
    Ok(Authorities {
        ca,
        front_proxy,
        etcd,
        service_account_key,
    })
}

/// Host of `host:port`, without brackets.
pub(super) fn endpoint_host(endpoint: &str) -> (String, u16) {
    let (host, port) = match endpoint.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().unwrap_or(6443))
        }
        _ => (endpoint, 6443),
    };
    (
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned(),
        port,
    )
}

/// Makes and stores every certificate; gives back the API server's chain and key.
pub(super) fn certificates(
    machine: &Machine,
    authorities: &Authorities,
    cluster: &config::Cluster,
    node: &str,
    advertise: IpAddr,
) -> Result<(String, String), String> {
    let now = machine.world.clock.now();
    let (endpoint, _) = endpoint_host(
        cluster
            .control_plane_endpoint
            .as_deref()
            .unwrap_or_default(),
    );
    let domain = cluster
        .networking
        .dns_domain
        .as_deref()
        .unwrap_or("cluster.local");
    let services = cluster
        .networking
        .service_subnet
        .as_deref()
        .unwrap_or("10.96.0.0/12");
    let names = pki::api_server_names(
        node,
        domain,
        services,
        advertise,
        &endpoint,
        &cluster.api_server.cert_sans,
    );
    let peers = vec![
        node.to_owned(),
        "localhost".into(),
        advertise.to_string(),
        "127.0.0.1".into(),
        "::1".into(),
    ];
    let leaf = |common_name, organization, names: Vec<String>, server, client| Leaf {
        common_name,
        organization,
        names,
        server,
        client,
    };
    let masters = Some("kubeadm:cluster-admins");
    let wanted = [
        (
            &authorities.ca,
            "apiserver",
            leaf("kube-apiserver", None, names, true, false),
        ),
        (
            &authorities.ca,
            "apiserver-kubelet-client",
            leaf(
                "kube-apiserver-kubelet-client",
                masters,
                Vec::new(),
                false,
                true,
            ),
        ),
        (
            &authorities.front_proxy,
            "front-proxy-client",
            leaf("front-proxy-client", None, Vec::new(), false, true),
        ),
        (
            &authorities.etcd,
            "etcd/server",
            leaf(node, None, peers.clone(), true, true),
        ),
        (
            &authorities.etcd,
            "etcd/peer",
            leaf(node, None, peers, true, true),
        ),
        (
            &authorities.etcd,
            "etcd/healthcheck-client",
            leaf(
                "kube-etcd-healthcheck-client",
                None,
                Vec::new(),
                false,
                true,
            ),
        ),
        (
            &authorities.etcd,
            "apiserver-etcd-client",
            leaf("kube-apiserver-etcd-client", None, Vec::new(), false, true),
        ),
    ];
    let mut serving = (String::new(), String::new());
    for (authority, name, leaf) in wanted {
        let issued = authority.issue(&leaf, now)?;
        let mut state = machine.state();
        let put = |files: &mut Files, ending: &str, text: &str, mode| {
            files.put(
                &format!("{}/{name}.{ending}", pki::FOLDER),
                text.as_bytes(),
                mode,
            )
        };
        put(&mut state.files, "crt", &issued.certificate, 0o644)?;
        put(&mut state.files, "key", &issued.key, 0o600)?;
        if name == "apiserver" {
            serving = (issued.certificate, issued.key);
        }
    }
    Ok(serving)
}

/// Makes one kubeconfig.
pub(super) fn kubeconfig(
    machine: &Machine,
    authority: &Authority,
    cluster: &config::Cluster,
    file: &str,
    user: &str,
    organization: Option<&str>,
) -> Result<(), String> {
    let leaf = Leaf {
        common_name: user,
        organization,
        names: Vec::new(),
        server: false,
        client: true,
    };
    let issued = authority.issue(&leaf, machine.world.clock.now())?;
    let name = cluster.name.as_deref().unwrap_or("kubernetes");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: {name}\n  cluster:\n    certificate-authority-data: {}\n    server: https://{}\ncontexts:\n- name: {user}@{name}\n  context: {{cluster: {name}, user: {user}}}\ncurrent-context: {user}@{name}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
        BASE64.encode(authority.certificate.as_bytes()),
        cluster
            .control_plane_endpoint
            .as_deref()
            .unwrap_or_default(),
        BASE64.encode(issued.certificate.as_bytes()),
        BASE64.encode(issued.key.as_bytes()),
    );
    machine
        .state()
        .files
        .put(&format!("/etc/kubernetes/{file}"), text.as_bytes(), 0o600)
}

/// Writes the static pods' manifests.
pub(super) fn manifests(machine: &Machine, names: &[&str]) -> Result<(), String> {
    let mut state = machine.state();
    for name in names {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: kube-system, annotations: {{strata.dev/simulated: \"true\"}}}}\n"
        );
        state.files.put(
            &format!("/etc/kubernetes/manifests/{name}.yaml"),
            text.as_bytes(),
            0o600,
        )?;
    }
    Ok(())
}

/// Arguments the lab knows to exist. Others may exist too, so they are refused and not called wrong.
const API_SERVER: [&str; 22] = [
    "encryption-provider-config",
    "audit-policy-file",
    "audit-log-path",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-format",
    "anonymous-auth",
    "authentication-config",
    "authorization-mode",
    "enable-admission-plugins",
    "disable-admission-plugins",
    "profiling",
    "tls-min-version",
    "tls-cipher-suites",
    "feature-gates",
    "runtime-config",
    "event-ttl",
    "request-timeout",
    "max-requests-inflight",
    "bind-address",
    "v",
];
const CONTROLLER_MANAGER: [&str; 9] = [
    "flex-volume-plugin-dir",
    "bind-address",
    "allocate-node-cidrs",
    "cluster-cidr",
    "node-cidr-mask-size",
    "terminated-pod-gc-threshold",
    "profiling",
    "feature-gates",
    "v",
];
const SCHEDULER: [&str; 4] = ["bind-address", "profiling", "feature-gates", "v"];

/// Refuses what the lab cannot judge.
pub(super) fn known(cluster: &config::Cluster) -> Result<(), Failure> {
    let components = [
        ("kube-apiserver", &cluster.api_server, API_SERVER.as_slice()),
        (
            "kube-controller-manager",
            &cluster.controller_manager,
            &CONTROLLER_MANAGER,
        ),
        ("kube-scheduler", &cluster.scheduler, &SCHEDULER),
    ];
    for (name, component, arguments) in components {
        if let Some(argument) = component
            .extra_args
            .iter()
            .find(|argument| !arguments.contains(&argument.name.as_str()))
        {
            return Err(unknown_argument(name, &argument.name));
        }
        if !component.extra_envs.is_empty() {
            return Err(Failure::Unknown(format!("extraEnvs of {name}")));
        }
    }
    let refused = [
        ("etcd", cluster.etcd.is_some()),
        (
            "certificatesDir",
            cluster
                .certificates_dir
                .as_deref()
                .is_some_and(|folder| folder != pki::FOLDER),
        ),
        (
            "imageRepository",
            cluster
                .image_repository
                .as_deref()
                .is_some_and(|name| name != "registry.k8s.io"),
        ),
        ("featureGates", cluster.feature_gates.is_some()),
        (
            "dns.disabled",
            cluster.dns.as_ref().is_some_and(|dns| dns.disabled),
        ),
        (
            "certificateValidityPeriod",
            cluster
                .certificate_validity_period
                .as_deref()
                .is_some_and(|period| period != "8760h" && period != "8760h0m0s"),
        ),
    ];
    if let Some((field, _)) = refused.iter().find(|(_, set)| *set) {
        return Err(Failure::Unknown(format!(
            "a ClusterConfiguration with {field}"
        )));
    }
    // Both only matter to certificates that kubeadm makes itself and that the lab refuses to make: the authorities.
    let _ = (
        &cluster.encryption_algorithm,
        &cluster.ca_certificate_validity_period,
    );
    Ok(())
}

/// Why the API server would not start with the files it is given, in the words of its log.
pub(super) fn start_failure(files: &Files, component: &Component) -> Option<String> {
    for volume in &component.extra_volumes {
        let exists = match volume.path_type.as_deref() {
            Some("File") => files.is_file(&volume.host_path),
            Some("Directory") => files.is_directory(&volume.host_path),
            _ => true,
        };
        if !exists {
            return Some(format!(
                "kube-apiserver: MountVolume.SetUp failed: hostPath type check failed: {} is not a {}",
                volume.host_path,
                volume.path_type.as_deref().unwrap_or_default()
            ));
        }
    }
    let inside = |path: &str| {
        if path.starts_with("/etc/kubernetes/pki/") {
            return files.text(path);
        }
        let volume = component.extra_volumes.iter().find(|volume| {
            path == volume.mount_path
                || path.starts_with(&format!("{}/", volume.mount_path.trim_end_matches('/')))
        })?;
        files.text(&format!(
            "{}{}",
            volume.host_path,
            &path[volume.mount_path.len()..]
        ))
    };
    for (argument, check) in [
        (
            "encryption-provider-config",
            encryption as fn(&str) -> Option<String>,
        ),
        ("audit-policy-file", audit_policy),
        ("authentication-config", authentication),
    ] {
        let Some(path) = component.argument(argument) else {
            continue;
        };
        let why = match inside(path) {
            None => Some(format!(
                "open {path}: no such file or directory (in the container)"
            )),
            Some(text) => check(&text),
        };
        if let Some(why) = why {
            return Some(format!("kube-apiserver: --{argument}: {why}"));
        }
    }
    None
}

fn document(text: &str, api_version: &str, kind: &str) -> Result<Value, String> {
    let value: Value = serde_yaml_ng::from_str(text)
        .map_err(|error| format!("error while parsing file: {error}"))?;
    let is = |field: &str, wanted: &str| value.get(field).and_then(Value::as_str) == Some(wanted);
    if is("apiVersion", api_version) && is("kind", kind) {
        Ok(value)
    } else {
        Err(format!("want {kind} of {api_version}"))
    }
}

fn encryption(text: &str) -> Option<String> {
    let value = match document(
        text,
        "apiserver.config.k8s.io/v1",
        "EncryptionConfiguration",
    ) {
        Ok(value) => value,
        Err(error) => return Some(error),
    };
    let list = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_sequence)
            .cloned()
            .unwrap_or_default()
    };
    let resources = list(&value, "resources");
    if resources.is_empty() {
        return Some("resources: Required value".into());
    }
    for provider in resources
        .iter()
        .flat_map(|resource| list(resource, "providers"))
    {
        for (name, sizes) in [
            ("secretbox", &[32][..]),
            ("aescbc", &[16, 24, 32]),
            ("aesgcm", &[16, 24, 32]),
        ] {
            for key in provider
                .get(name)
                .map(|provider| list(provider, "keys"))
                .unwrap_or_default()
            {
                let secret = key
                    .get("secret")
                    .and_then(Value::as_str)
                    .and_then(|secret| BASE64.decode(secret.as_bytes()).ok());
                if secret.is_none_or(|secret| !sizes.contains(&secret.len())) {
                    return Some(format!(
                        "{name}: secret is not of the expected length (or not base64)"
                    ));
                }
            }
        }
    }
    None
}

fn audit_policy(text: &str) -> Option<String> {
    let value = match document(text, "audit.k8s.io/v1", "Policy") {
        Ok(value) => value,
        Err(error) => return Some(error),
    };
    let rules = value
        .get("rules")
        .and_then(Value::as_sequence)
        .cloned()
        .unwrap_or_default();
    if rules.is_empty() {
        return Some("loaded illegal policy with 0 rules".into());
    }
    let bad = rules.iter().find(|rule| {
        !matches!(
            rule.get("level").and_then(Value::as_str),
            Some("None" | "Metadata" | "Request" | "RequestResponse")
        )
    });
    bad.map(|_| "rules.level: Unsupported value".into())
}

fn authentication(text: &str) -> Option<String> {
    document(
        text,
        "apiserver.config.k8s.io/v1",
        "AuthenticationConfiguration",
    )
    .or_else(|_| {
        document(
            text,
            "apiserver.config.k8s.io/v1beta1",
            "AuthenticationConfiguration",
        )
    })
    .err()
}

/// Whether strangers may read cluster-info.
pub(super) fn anonymous(files: &Files, component: &Component) -> bool {
    if component.argument("anonymous-auth") == Some("false") {
        return false;
    }
    let Some(path) = component.argument("authentication-config") else {
        return true;
    };
    let value: Option<Value> = files
        .text(path)
        .and_then(|text| serde_yaml_ng::from_str(&text).ok());
    let Some(anonymous) = value.as_ref().and_then(|value| value.get("anonymous")) else {
        return true;
    };
    let enabled = anonymous
        .get("enabled")
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let conditions = anonymous
        .get("conditions")
        .and_then(Value::as_sequence)
        .cloned()
        .unwrap_or_default();
    enabled && conditions.is_empty()
}

/// Starts the API server of this node.
pub(super) fn serve(
    machine: &Arc<Machine>,
    cluster: &Cluster,
    node: &str,
    (certificate, key): &(String, String),
) -> Result<(), Failure> {
    let api = cluster
        .plane
        .server(node, certificate, key)
        .map_err(|error| {
            Failure::Phase(
                "wait-control-plane",
                format!("kube-apiserver does not start: {error}"),
            )
        })?;
    machine.state().member.api = Some(api);
    Ok(())
}
