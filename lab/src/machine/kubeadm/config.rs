//! The configuration files of kubeadm (`kubeadm.k8s.io/v1beta4`), read strictly as `kubeadm config validate` does.
//!
//! kubeadm itself only warns about unknown fields and goes on without them; here they are errors, because a field that is ignored is a mistake.

use serde::Deserialize;
use serde_yaml_ng::Value;

use crate::machine::shell::lab_unknown;

const KUBEADM: &str = "kubeadm.k8s.io/v1beta4";

/// A name and a value: extra arguments are lists of these since v1beta4.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// `nodeRegistration`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Registration {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) cri_socket: Option<String>,
    #[serde(default)]
    pub(crate) taints: Option<Vec<Taint>>,
    #[serde(default)]
    pub(crate) kubelet_extra_args: Vec<Argument>,
    #[serde(default)]
    pub(crate) ignore_preflight_errors: Vec<String>,
    #[serde(default, rename = "imagePullPolicy")]
    _image_pull_policy: Option<String>,
    #[serde(default, rename = "imagePullSerial")]
    _image_pull_serial: Option<bool>,
}

/// A taint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Taint {
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
    pub(crate) effect: String,
}

/// `localAPIEndpoint`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct LocalEndpoint {
    #[serde(default)]
    pub(crate) advertise_address: Option<String>,
    #[serde(default)]
    pub(crate) bind_port: Option<u16>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Timeouts {
    #[serde(default)]
    pub(crate) discovery: Option<String>,
    #[serde(default, rename = "controlPlaneComponentHealthCheck")]
    _control_plane: Option<String>,
    #[serde(default, rename = "kubeletHealthCheck")]
    _kubelet: Option<String>,
    #[serde(default, rename = "kubernetesAPICall")]
    _api: Option<String>,
    #[serde(default, rename = "etcdAPICall")]
    _etcd: Option<String>,
    #[serde(default, rename = "tlsBootstrap")]
    _tls: Option<String>,
    #[serde(default, rename = "upgradeManifests")]
    _upgrade: Option<String>,
}

/// `InitConfiguration`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Init {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default, rename = "localAPIEndpoint")]
    pub(crate) local_api_endpoint: LocalEndpoint,
    #[serde(default)]
    pub(crate) node_registration: Registration,
    #[serde(default)]
    pub(crate) skip_phases: Vec<String>,
    #[serde(default, rename = "timeouts")]
    _timeouts: Timeouts,
    /// Kept only to be refused: the lab uploads no certificates.
    #[serde(default)]
    pub(crate) certificate_key: Option<String>,
    #[serde(default)]
    pub(crate) bootstrap_tokens: Option<Value>,
    #[serde(default)]
    pub(crate) patches: Option<Value>,
}

/// `ClusterConfiguration`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Cluster {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(default, rename = "clusterName")]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) kubernetes_version: Option<String>,
    #[serde(default)]
    pub(crate) control_plane_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) networking: Networking,
    #[serde(default)]
    pub(crate) api_server: Component,
    #[serde(default)]
    pub(crate) controller_manager: Component,
    #[serde(default)]
    pub(crate) scheduler: Component,
    #[serde(default)]
    pub(crate) proxy: Option<Addon>,
    #[serde(default)]
    pub(crate) dns: Option<Addon>,
    #[serde(default)]
    pub(crate) etcd: Option<Value>,
    #[serde(default)]
    pub(crate) certificates_dir: Option<String>,
    #[serde(default)]
    pub(crate) image_repository: Option<String>,
    #[serde(default)]
    pub(crate) feature_gates: Option<Value>,
    #[serde(default)]
    pub(crate) encryption_algorithm: Option<String>,
    #[serde(default)]
    pub(crate) certificate_validity_period: Option<String>,
    #[serde(default)]
    pub(crate) ca_certificate_validity_period: Option<String>,
}

/// `networking`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Networking {
    #[serde(default)]
    pub(crate) pod_subnet: Option<String>,
    #[serde(default)]
    pub(crate) service_subnet: Option<String>,
    #[serde(default)]
    pub(crate) dns_domain: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Addon {
    #[serde(default)]
    pub(crate) disabled: bool,
}

/// `apiServer`, `controllerManager`, `scheduler`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Component {
    #[serde(default, rename = "certSANs")]
    pub(crate) cert_sans: Vec<String>,
    #[serde(default)]
    pub(crate) extra_args: Vec<Argument>,
    #[serde(default)]
    pub(crate) extra_volumes: Vec<Volume>,
    #[serde(default)]
    pub(crate) extra_envs: Vec<Value>,
}

impl Component {
    /// The value of an argument.
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.extra_args
            .iter()
            .rev()
            .find(|argument| argument.name == name)
            .map(|argument| argument.value.as_str())
    }
}

/// `extraVolumes`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Volume {
    #[serde(rename = "name")]
    _name: String,
    pub(crate) host_path: String,
    pub(crate) mount_path: String,
    #[serde(default, rename = "readOnly")]
    _read_only: bool,
    #[serde(default)]
    pub(crate) path_type: Option<String>,
}

/// `JoinConfiguration`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Join {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub(crate) discovery: Discovery,
    #[serde(default)]
    pub(crate) control_plane: Option<JoinControlPlane>,
    #[serde(default)]
    pub(crate) node_registration: Registration,
    #[serde(default)]
    pub(crate) skip_phases: Vec<String>,
    #[serde(default)]
    pub(crate) timeouts: Timeouts,
    #[serde(default)]
    pub(crate) ca_cert_path: Option<String>,
    #[serde(default)]
    pub(crate) patches: Option<Value>,
}

/// `controlPlane` of a join.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct JoinControlPlane {
    #[serde(default, rename = "localAPIEndpoint")]
    pub(crate) local_api_endpoint: LocalEndpoint,
    #[serde(default)]
    pub(crate) certificate_key: Option<String>,
}

/// `discovery`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Discovery {
    #[serde(default)]
    pub(crate) bootstrap_token: Option<TokenDiscovery>,
    #[serde(default)]
    pub(crate) file: Option<FileDiscovery>,
    #[serde(default)]
    pub(crate) tls_bootstrap_token: Option<String>,
}

/// `discovery.file`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct FileDiscovery {
    pub(crate) kube_config_path: String,
}

/// `discovery.bootstrapToken`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TokenDiscovery {
    pub(crate) token: String,
    #[serde(default)]
    pub(crate) api_server_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) ca_cert_hashes: Vec<String>,
    #[serde(default, rename = "unsafeSkipCAVerification")]
    pub(crate) unsafe_skip_ca_verification: bool,
}

/// All documents of a file.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    pub(crate) init: Option<Init>,
    pub(crate) cluster: Option<(Cluster, String)>,
    pub(crate) join: Option<Join>,
    /// KubeletConfiguration as text.
    pub(crate) kubelet: Option<String>,
}

/// Fields of KubeletConfiguration that exist; the lab's kubelet acts on none but must not take a misspelt one.
const KUBELET: [&str; 40] = [
    "apiVersion",
    "kind",
    "cgroupDriver",
    "authentication",
    "authorization",
    "clusterDNS",
    "clusterDomain",
    "containerRuntimeEndpoint",
    "containerLogMaxSize",
    "containerLogMaxFiles",
    "cpuManagerPolicy",
    "evictionHard",
    "evictionSoft",
    "evictionSoftGracePeriod",
    "failSwapOn",
    "featureGates",
    "healthzBindAddress",
    "healthzPort",
    "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent",
    "kubeReserved",
    "logging",
    "maxPods",
    "memorySwap",
    "nodeStatusUpdateFrequency",
    "podPidsLimit",
    "protectKernelDefaults",
    "readOnlyPort",
    "registerNode",
    "registryPullQPS",
    "resolvConf",
    "rotateCertificates",
    "serializeImagePulls",
    "serverTLSBootstrap",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
    "staticPodPath",
    "streamingConnectionIdleTimeout",
    "systemReserved",
    "tlsMinVersion",
];

/// Reads a file of documents.
pub(crate) fn read(text: &str) -> Result<Documents, String> {
    let mut documents = Documents::default();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let value = Value::deserialize(document)
            .map_err(|error| format!("error converting YAML to JSON: {error}"))?;
        if value.is_null() {
            continue;
        }
        let field = |name: &str| {
            value
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (version, kind) = (field("apiVersion"), field("kind"));
        let text = serde_yaml_ng::to_string(&value).map_err(|error| error.to_string())?;
        match (version.as_str(), kind.as_str()) {
            (KUBEADM, "InitConfiguration") => documents.init = Some(typed(&kind, value)?),
            (KUBEADM, "ClusterConfiguration") => documents.cluster = Some((typed(&kind, value)?, text)),
            (KUBEADM, "JoinConfiguration") => documents.join = Some(typed(&kind, value)?),
            ("kubelet.config.k8s.io/v1beta1", "KubeletConfiguration") => {
                let fields = value.as_mapping().into_iter().flat_map(serde_yaml_ng::Mapping::keys).filter_map(Value::as_str);
                if let Some(unknown) = fields.into_iter().find(|field| !KUBELET.contains(field)) {
                    return Err(lab_unknown(&format!("a KubeletConfiguration with the field {unknown}")));
                }
                if value.get("cgroupDriver").is_some_and(|driver| driver != "systemd") {
                    return Err(lab_unknown("a cgroupDriver other than systemd"));
                }
                documents.kubelet = Some(text);
            }
            ("kubeadm.k8s.io/v1beta3", _) => return Err(lab_unknown("kubeadm.k8s.io/v1beta3")),
            ("" , _) | (_, "") => return Err("invalid configuration: kind and apiVersion is mandatory information that must be specified".into()),
            _ => return Err(format!("no kind {kind:?} is registered for version {version:?}")),
        }
    }
    Ok(documents)
}

fn typed<T: for<'a> Deserialize<'a>>(kind: &str, value: Value) -> Result<T, String> {
    serde_yaml_ng::from_value(value)
        .map_err(|error| format!("error unmarshaling configuration schema.GroupVersionKind{{Group:\"kubeadm.k8s.io\", Version:\"v1beta4\", Kind:\"{kind}\"}}: strict decoding error: {error}"))
}

/// A duration as Go writes it, in seconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let (mut total, mut digits) = (0, String::new());
    for c in text.chars() {
        match c {
            '0'..='9' => digits.push(c),
            'h' | 'm' | 's' => {
                let unit = match c {
                    'h' => 3600,
                    'm' => 60,
                    _ => 1,
                };
                total += digits.parse::<u64>().ok()? * unit;
                digits.clear();
            }
            _ => return None,
        }
    }
    digits.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INIT: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: {advertiseAddress: 198.51.100.10, bindPort: 6443}\nnodeRegistration:\n  name: cp-1\n  kubeletExtraArgs: [{name: node-ip, value: 198.51.100.10}]\nskipPhases: [addon/kube-proxy]\n---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.34.2\ncontrolPlaneEndpoint: api.example.org:6443\nproxy: {disabled: true}\n---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\ncgroupDriver: systemd\n";

    #[test]
    fn documents_are_told_apart() {
        let documents = read(INIT).expect("valid");
        assert_eq!(
            documents
                .init
                .expect("there")
                .node_registration
                .kubelet_extra_args[0]
                .name,
            "node-ip"
        );
        assert_eq!(
            documents
                .cluster
                .expect("there")
                .0
                .kubernetes_version
                .as_deref(),
            Some("v1.34.2")
        );
        assert!(documents.kubelet.is_some() && documents.join.is_none());
    }

    #[test]
    fn mistakes_are_refused() {
        let cases = [
            (
                "kubeletExtraArgs: [{name: node-ip, value: 198.51.100.10}]",
                "kubeletExtraArgs: {node-ip: 198.51.100.10}",
                "strict decoding error",
            ),
            ("skipPhases", "skipPhase", "unknown field"),
            (
                "controlPlaneEndpoint",
                "controlplaneEndpoint",
                "unknown field",
            ),
            ("kind: InitConfiguration", "kind: InitConfig", "no kind"),
            ("v1beta4\nkind: Init", "v1beta9\nkind: Init", "no kind"),
            (
                "bindPort: 6443",
                "bindPort: \"6443\"",
                "strict decoding error",
            ),
            (
                "cgroupDriver: systemd",
                "cgroupDrivers: systemd",
                "LAB-UNKNOWN",
            ),
            (
                "value: 198.51.100.10}]",
                "value: true}]",
                "strict decoding error",
            ),
        ];
        for (from, to, expected) in cases {
            let error = read(&INIT.replacen(from, to, 1)).expect_err(to);
            assert!(error.contains(expected), "{to}: {error}");
        }
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(
            (seconds("5m0s"), seconds("90s"), seconds("5")),
            (Some(300), Some(90), None)
        );
    }
}
