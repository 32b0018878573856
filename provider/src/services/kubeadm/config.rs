//! The files that kubeadm reads (docs/delivery.md section 8, `kubeadm.k8s.io/v1beta4`): serialised from values, never glued from text.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::kubernetes::node;
use crate::pki;
use crate::secret::Secret;

/// Where the configuration lies on the node.
pub const KUBEADM: &str = "/etc/strata/kubeadm.yaml";
/// Where joins find the API and its CA.
pub const DISCOVERY: &str = "/etc/strata/discovery.conf";
/// Where API servers find the key that encrypts Secrets at rest.
pub const ENCRYPTION: &str = "/etc/kubernetes/encryption.yaml";
/// Where API servers find what to log.
pub const AUDIT: &str = "/etc/strata/audit-policy.yaml";

const API_VERSION: &str = "kubeadm.k8s.io/v1beta4";
const CRI: &str = "unix:///run/containerd/containerd.sock";

/// The node that is initialised or joins.
#[derive(Debug, Clone)]
pub struct Node<'a> {
    /// Name, as in `/etc/hostname`.
    pub name: &'a str,
    /// Its address: `node-ip`, and where its API server listens.
    pub address: IpAddr,
    /// Control plane or worker.
    pub control_plane: bool,
    /// `key=value:Effect`, besides the control planes' own.
    pub taints: &'a [Taint],
}

/// A taint as the cluster file writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// May be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl Taint {
    /// Reads `key=value:Effect` or `key:Effect`.
    pub fn parse(text: &str) -> Option<Self> {
        let (left, effect) = text.rsplit_once(':')?;
        let (key, value) = left.split_once('=').unwrap_or((left, ""));
        let known = matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute");
        (known && !key.is_empty()).then(|| Self {
            key: key.into(),
            value: value.into(),
            effect: effect.into(),
        })
    }
}

/// The taints as the API has them.
pub fn api_taints(taints: &[Taint]) -> Vec<node::Taint> {
    let one = |taint: &Taint| node::Taint {
        key: taint.key.clone(),
        effect: taint.effect.clone(),
        value: Some(taint.value.clone()).filter(|value| !value.is_empty()),
        time_added: None,
    };
    taints.iter().map(one).collect()
}

/// The cluster that is initialised.
#[derive(Debug, Clone)]
pub struct Cluster<'a> {
    /// Its name.
    pub name: &'a str,
    /// Endpoint name or address.
    pub endpoint: &'a str,
    /// Port of the API.
    pub port: u16,
    /// With the `v`.
    pub kubernetes_version: &'a str,
    /// CIDR of the pods.
    pub pod_subnet: &'a str,
    /// CIDR of the services.
    pub service_subnet: &'a str,
    /// Domain inside the cluster.
    pub dns_domain: &'a str,
    /// Whether API servers keep an audit log.
    pub audit: bool,
    /// Further names in the API's certificates.
    pub extra_sans: BTreeSet<String>,
}

/// `kubeadm.yaml` of the first node.
pub fn init(cluster: &Cluster<'_>, node: &Node<'_>) -> String {
    documents(&[
        json!({
            "apiVersion": API_VERSION,
            "kind": "InitConfiguration",
            "localAPIEndpoint": { "advertiseAddress": node.address, "bindPort": cluster.port },
            "nodeRegistration": registration(node),
            "skipPhases": ["addon/kube-proxy"],
        }),
        cluster_configuration(cluster),
        json!({ "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "cgroupDriver": "systemd" }),
    ])
}

/// `kubeadm.yaml` of every further node. It holds the token, so it is a secret.
pub fn join(port: u16, node: &Node<'_>, token: &Secret<String>) -> Secret<String> {
    let mut configuration = json!({
        "apiVersion": API_VERSION,
        "kind": "JoinConfiguration",
        "discovery": { "file": { "kubeConfigPath": DISCOVERY }, "tlsBootstrapToken": token.expose() },
        "nodeRegistration": registration(node),
    });
    if node.control_plane {
        configuration["controlPlane"] =
            json!({ "localAPIEndpoint": { "advertiseAddress": node.address, "bindPort": port } });
    }
    Secret::new(documents(&[configuration]))
}

/// `discovery.conf`: where the API is and which CA it has, and no user.
pub fn discovery(endpoint: &str, port: u16, ca: &str) -> String {
    documents(&[json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "", "cluster": {
            "server": pki::server(endpoint, port),
            "certificate-authority-data": data_encoding::BASE64.encode(ca.as_bytes()),
        }}],
    })])
}

/// `encryption.yaml`: Secrets are written encrypted, and what was written before still reads.
pub fn encryption(key: &Secret<String>) -> Secret<String> {
    Secret::new(documents(&[json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [{ "secretbox": { "keys": [{ "name": "strata", "secret": key.expose() }] } }, { "identity": {} }],
        }],
    })]))
}

/// `audit-policy.yaml`: who did what, without bodies, so that no secret gets into the log.
pub fn audit_policy() -> String {
    documents(&[json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            { "level": "None", "nonResourceURLs": ["/healthz*", "/livez*", "/readyz*", "/version"] },
            { "level": "Metadata" },
        ],
    })])
}

fn registration(node: &Node<'_>) -> Value {
    let mut registration = json!({
        "name": node.name,
        "criSocket": CRI,
        "kubeletExtraArgs": [{ "name": "node-ip", "value": node.address }],
    });
    // Absent means kubeadm's default; a list of our own must repeat it.
    if !node.taints.is_empty() {
        let own = json!({ "key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule" });
        let others = node
            .taints
            .iter()
            .map(|taint| json!({ "key": taint.key, "value": taint.value, "effect": taint.effect }));
        registration["taints"] = node
            .control_plane
            .then_some(own)
            .into_iter()
            .chain(others)
            .collect();
    }
    registration
}

fn cluster_configuration(cluster: &Cluster<'_>) -> Value {
    let mut sans = BTreeSet::from([cluster.endpoint.to_owned(), "127.0.0.1".to_owned()]);
    sans.extend(cluster.extra_sans.iter().cloned());
    let mut arguments = vec![argument("encryption-provider-config", ENCRYPTION)];
    let mut volumes = vec![volume("encryption", ENCRYPTION, true, "File")];
    if cluster.audit {
        arguments.push(argument("audit-policy-file", AUDIT));
        arguments.push(argument("audit-log-path", "/var/log/kubernetes/audit.log"));
        arguments.push(argument("audit-log-maxage", "30"));
        arguments.push(argument("audit-log-maxbackup", "10"));
        arguments.push(argument("audit-log-maxsize", "100"));
        volumes.push(volume("audit-policy", AUDIT, true, "File"));
        volumes.push(volume(
            "audit-log",
            "/var/log/kubernetes",
            false,
            "DirectoryOrCreate",
        ));
    }
    let endpoint = if cluster.endpoint.contains(':') {
        format!("[{}]", cluster.endpoint)
    } else {
        cluster.endpoint.to_owned()
    };
    json!({
        "apiVersion": API_VERSION,
        "kind": "ClusterConfiguration",
        "clusterName": cluster.name,
        "kubernetesVersion": cluster.kubernetes_version,
        "controlPlaneEndpoint": format!("{endpoint}:{}", cluster.port),
        "networking": {
            "podSubnet": cluster.pod_subnet,
            "serviceSubnet": cluster.service_subnet,
            "dnsDomain": cluster.dns_domain,
        },
        "apiServer": { "certSANs": sans, "extraArgs": arguments, "extraVolumes": volumes },
        // `/usr` is read-only on Flatcar.
        "controllerManager": { "extraArgs": [argument("flex-volume-plugin-dir", "/var/kubernetes/kubelet-plugins/volume/exec/")] },
        "proxy": { "disabled": true },
    })
}

fn argument(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn volume(name: &str, path: &str, read_only: bool, kind: &str) -> Value {
    json!({ "name": name, "hostPath": path, "mountPath": path, "readOnly": read_only, "pathType": kind })
}

/// JSON is YAML that nobody reads differently: `yes` stays a text for every parser.
fn documents(values: &[Value]) -> String {
    let texts: Vec<String> = values
        .iter()
        .map(|value| serde_json::to_string_pretty(value).expect("values serialise") + "\n")
        .collect();
    texts.join("---\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(control_plane: bool, taints: &[Taint]) -> Node<'_> {
        Node {
            name: "cp-1",
            address: "198.51.100.10".parse().unwrap(),
            control_plane,
            taints,
        }
    }

    #[test]
    fn init_says_what_the_delivery_agreement_says() {
        let cluster = Cluster {
            name: "lab",
            endpoint: "api.lab.strata.test",
            port: 6443,
            kubernetes_version: "v1.34.2",
            pod_subnet: "10.244.0.0/16",
            service_subnet: "10.96.0.0/12",
            dns_domain: "cluster.local",
            audit: true,
            extra_sans: BTreeSet::from(["k8s.example.org".into()]),
        };
        insta::assert_snapshot!(init(&cluster, &node(true, &[])));
    }

    #[test]
    fn a_join_uses_the_discovery_file_and_names_no_certificate_key() {
        let taints = [Taint::parse("gpu=yes:NoSchedule").unwrap()];
        insta::assert_snapshot!(
            join(
                6443,
                &node(true, &taints),
                &Secret::new("abcdef.0123456789abcdef".into())
            )
            .expose()
        );
        let worker = join(
            6443,
            &node(false, &[]),
            &Secret::new("abcdef.0123456789abcdef".into()),
        );
        assert!(!worker.expose().contains("controlPlane") && !worker.expose().contains("taints"));
    }

    #[test]
    fn a_discovery_file_has_no_user() {
        let text = discovery("api.lab.strata.test", 6443, "CA");
        assert!(text.contains(r#""server": "https://api.lab.strata.test:6443""#));
        assert!(text.contains("Q0E=") && !text.contains("users"));
    }

    #[test]
    fn taints_are_read_as_kubectl_writes_them() {
        assert_eq!(Taint::parse("a=b:NoExecute").unwrap().value, "b");
        assert_eq!(
            Taint::parse("example.org/a:NoSchedule").unwrap().key,
            "example.org/a"
        );
        for bad in ["a", "a=b", "a:Sometimes", ":NoSchedule"] {
            assert_eq!(Taint::parse(bad), None, "{bad}");
        }
    }
}
