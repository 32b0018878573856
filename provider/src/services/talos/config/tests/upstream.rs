//! What Talos' own generator makes for each contract, as facts: every leaf of the configuration, with the method of its version contract that
//! decides about it and the file that says so. Ours must be equal, leaf by leaf, so a difference is named and not only shown.
//!
//! Read in <https://github.com/siderolabs/talos>, `pkg/machinery/config/generate`, at several commits between 1.11 and 1.15, and in the pull
//! requests that are named below. Two things depend there on how the result is written down. Empty collections of the first document are left
//! out without comments and written with them: the lists of manifests up to 1.13, which we write, and a worker's `machine.registries: {}`,
//! which upstream calls a fault (<https://github.com/siderolabs/talos/issues/14161>) and we leave out. One thing we do otherwise on purpose:
//! a bundle that has an AES-CBC secret as well, see `encryption` in `kinds.rs`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::*;

/// What one decision of the generator adds.
struct Feature {
    /// Method of upstream's `VersionContract`, or what else decides.
    by: &'static str,
    /// File below `pkg/machinery/config/generate`, or a pull request.
    source: &'static str,
    /// Minor versions of the contracts that have it.
    contracts: RangeInclusive<u8>,
    /// `c` control planes, `w` workers, then the leaf. `(name)` is that secret of the bundle in base64, `(PEM of name)` without.
    leaves: &'static str,
}

const FEATURES: [Feature; 22] = [
    Feature {
        by: "every contract",
        source: "init.go, controlplane.go, worker.go",
        contracts: 12..=15,
        leaves: "
            cw version = v1alpha1
            cw debug = false
            cw persist = true
            c machine.type = controlplane
            w machine.type = worker
            cw machine.token = (trustdinfo.token)
            cw machine.ca.crt = (certs.os.crt)
            c machine.ca.key = (certs.os.key)
            w machine.ca.key = ''
            cw machine.certSANs = []
            cw cluster.token = (secrets.bootstraptoken)
            c cluster.etcd.ca.crt = (certs.etcd.crt)
            c cluster.etcd.ca.key = (certs.etcd.key)",
    },
    Feature {
        by: "DiskQuotaSupportEnabled, since 1.5",
        source: "init.go, worker.go",
        contracts: 12..=15,
        leaves: "cw machine.features.diskQuotaSupport = true",
    },
    Feature {
        by: "no MultidocKubernetesConfigSupported; KubeletDefaultRuntimeSeccompProfileEnabled since 1.2, KubeletManifestsDirectoryDisabled since 1.3",
        source: "init.go, worker.go",
        contracts: 12..=13,
        leaves: "
            cw machine.kubelet.image = ghcr.io/siderolabs/kubelet:v1.36.3
            cw machine.kubelet.defaultRuntimeSeccompProfileEnabled = true
            cw machine.kubelet.disableManifestsDirectory = true",
    },
    Feature {
        by: "no MultidocKubernetesConfigSupported; KubePrismEnabled since 1.6",
        source: "init.go, worker.go",
        contracts: 12..=13,
        leaves: "
            cw machine.features.kubePrism.enabled = true
            cw machine.features.kubePrism.port = 7445",
    },
    Feature {
        by: "HostDNSEnabled since 1.7, HostDNSForwardKubeDNSToHost since 1.8, until HostDNSMultidocConfig",
        source: "init.go, worker.go",
        contracts: 12..=13,
        leaves: "
            cw machine.features.hostDNS.enabled = true
            cw machine.features.hostDNS.forwardKubeDNSToHost = true",
    },
    Feature {
        by: "no KubeSpanMultidocConfig",
        source: "network.go",
        contracts: 12..=12,
        leaves: "cw machine.network = {}",
    },
    Feature {
        by: "no UnattendedInstallConfig; GrubUseUKICmdlineDefault since 1.12",
        source: "init.go, worker.go",
        contracts: 12..=13,
        leaves: "
            cw machine.install.disk = /dev/sda
            cw machine.install.image = ghcr.io/siderolabs/installer:v1.13.9
            cw machine.install.wipe = false
            cw machine.install.grubUseUKICmdline = true",
    },
    Feature {
        by: "no MultidocKubernetesConfigSupported; AddExcludeFromExternalLoadBalancer since 1.8",
        source: "init.go",
        contracts: 12..=13,
        leaves: "c machine.nodeLabels.node.kubernetes.io/exclude-from-external-load-balancers = ''",
    },
    Feature {
        by: "no DiscoveryIdentityMultidocConfig; ClusterNameForWorkers since 1.8",
        source: "init.go, worker.go",
        contracts: 12..=13,
        leaves: "
            cw cluster.id = (cluster.id)
            cw cluster.secret = (cluster.secret)
            cw cluster.clusterName = home",
    },
    Feature {
        by: "no DiscoveryServiceMultidocConfig; KubernetesDiscoveryBackendDisabled since 1.2",
        source: "init.go, worker.go",
        contracts: 12..=13,
        leaves: "
            cw cluster.discovery.enabled = true
            cw cluster.discovery.registries.kubernetes.disabled = true
            cw cluster.discovery.registries.service = {}",
    },
    Feature {
        by: "no MultidocKubernetesConfigSupported",
        source: "init.go, worker.go",
        contracts: 12..=13,
        leaves: "
            cw cluster.controlPlane.endpoint = https://192.0.2.10:6443
            cw cluster.network.dnsDomain = cluster.local
            cw cluster.network.podSubnets[0] = 10.244.0.0/16
            cw cluster.network.serviceSubnets[0] = 10.96.0.0/12
            cw cluster.ca.crt = (certs.k8s.crt)
            c cluster.ca.key = (certs.k8s.key)
            w cluster.ca.key = ''
            c cluster.aggregatorCA.crt = (certs.k8saggregator.crt)
            c cluster.aggregatorCA.key = (certs.k8saggregator.key)
            c cluster.serviceAccount.key = (certs.k8sserviceaccount.key)
            c cluster.apiServer.image = registry.k8s.io/kube-apiserver:v1.36.3
            c cluster.controllerManager.image = registry.k8s.io/kube-controller-manager:v1.36.3
            c cluster.proxy.image = registry.k8s.io/kube-proxy:v1.36.3
            c cluster.scheduler.image = registry.k8s.io/kube-scheduler:v1.36.3",
    },
    Feature {
        by: "no MultidocKubernetesConfigSupported; SecretboxEncryptionSupported since 1.3",
        source: "init.go",
        contracts: 12..=13,
        leaves: "c cluster.secretboxEncryptionSecret = (secrets.secretboxencryptionsecret)",
    },
    Feature {
        by: "no MultidocKubernetesConfigSupported; PodSecurityAdmissionEnabled since 1.1, APIServerAuditPolicySupported since 1.3",
        source: "init.go, types/k8s/admission_control.go, types/k8s/audit_policy.go",
        contracts: 12..=13,
        leaves: "
            c cluster.apiServer.admissionControl[0].name = PodSecurity
            c cluster.apiServer.admissionControl[0].configuration.apiVersion = pod-security.admission.config.k8s.io/v1alpha1
            c cluster.apiServer.admissionControl[0].configuration.kind = PodSecurityConfiguration
            c cluster.apiServer.admissionControl[0].configuration.defaults.enforce = baseline
            c cluster.apiServer.admissionControl[0].configuration.defaults.enforce-version = latest
            c cluster.apiServer.admissionControl[0].configuration.defaults.audit = restricted
            c cluster.apiServer.admissionControl[0].configuration.defaults.audit-version = latest
            c cluster.apiServer.admissionControl[0].configuration.defaults.warn = restricted
            c cluster.apiServer.admissionControl[0].configuration.defaults.warn-version = latest
            c cluster.apiServer.admissionControl[0].configuration.exemptions.namespaces[0] = kube-system
            c cluster.apiServer.admissionControl[0].configuration.exemptions.runtimeClasses = []
            c cluster.apiServer.admissionControl[0].configuration.exemptions.usernames = []
            c cluster.apiServer.auditPolicy.apiVersion = audit.k8s.io/v1
            c cluster.apiServer.auditPolicy.kind = Policy
            c cluster.apiServer.auditPolicy.rules[0].level = Metadata",
    },
    Feature {
        by: "until manifests had documents of their own",
        source: "init.go before siderolabs/talos pull request 13794",
        contracts: 12..=13,
        leaves: "
            c cluster.extraManifests = []
            c cluster.inlineManifests = []",
    },
    Feature {
        by: "MultidocNetworkConfigSupported, since 1.12",
        source: "network.go",
        contracts: 12..=15,
        leaves: "cw HostnameConfig.auto = stable",
    },
    Feature {
        by: "DiscoveryServiceMultidocConfig and DiscoveryIdentityMultidocConfig, since 1.14",
        source: "init.go, worker.go",
        contracts: 14..=15,
        leaves: "
            cw DiscoveryServiceConfig/default.endpoint = https://discovery.talos.dev/
            cw DiscoveryIdentityConfig.clusterID = (cluster.id)
            cw DiscoveryIdentityConfig.clusterSecret = (cluster.secret)",
    },
    Feature {
        by: "UnattendedInstallConfig, since 1.14",
        source: "init.go, worker.go",
        contracts: 14..=15,
        leaves: "
            cw UnattendedInstallConfig.installer.image = ghcr.io/siderolabs/installer:v1.13.9
            cw UnattendedInstallConfig.provisioning.diskSelector.match = disk.dev_path == \"/dev/sda\"
            cw UnattendedInstallConfig.provisioning.wipe = false",
    },
    Feature {
        by: "HostDNSMultidocConfig, FilesystemTrimEnabledByDefault, WorkloadIsolationEnabledByDefault, since 1.14",
        source: "init.go, worker.go, block.go, security_profile.go",
        contracts: 14..=15,
        leaves: "
            cw ResolverConfig.hostDNS.enabled = true
            cw ResolverConfig.hostDNS.forwardKubeDNSToHost = true
            cw VolumeConfig/EPHEMERAL.mount.secure = true
            cw FilesystemTrimConfig.interval = 168h0m0s
            cw SecurityProfileConfig.workloadIsolation = true",
    },
    Feature {
        by: "DiskSMARTEnabledByDefault, since 1.15",
        source: "block.go, siderolabs/talos pull request 13726",
        contracts: 15..=15,
        leaves: "cw DiskSMARTConfig.interval = 30m0s",
    },
    Feature {
        by: "MultidocKubernetesConfigSupported, since 1.14",
        source: "kubernetes.go, generateKubernetesUniversalConfigs",
        contracts: 14..=15,
        leaves: "
            cw KubeClusterConfig.clusterName = home
            cw KubeClusterConfig.endpoint = https://192.0.2.10:6443
            cw KubeNodeConfig.nodeIP = {}
            c KubeNodeConfig.labels.node-role.kubernetes.io/control-plane = ''
            c KubeNodeConfig.labels.node.kubernetes.io/exclude-from-external-load-balancers = ''
            c KubeNodeConfig.taints.node-role.kubernetes.io/control-plane = NoSchedule
            cw KubeletConfig.image = ghcr.io/siderolabs/kubelet:v1.36.3
            cw KubeletConfig.config = {}
            cw KubeletConfig.defaultRuntimeSeccompProfileEnabled = true
            cw KubeNetworkConfig.dnsDomain = cluster.local
            cw KubeNetworkConfig.podSubnets[0] = 10.244.0.0/16
            cw KubeNetworkConfig.serviceSubnets[0] = 10.96.0.0/12
            c KubeAPIServerCAConfig.issuingCA.cert = (PEM of certs.k8s.crt)
            c KubeAPIServerCAConfig.issuingCA.key = (PEM of certs.k8s.key)
            w KubeAPIServerCAConfig.acceptedCAs[0] = (PEM of certs.k8s.crt)
            cw KubePrismConfig.port = 7445",
    },
    Feature {
        by: "MultidocKubernetesConfigSupported, since 1.14; the key is key2 since pull request 13887, as up to 1.13",
        source: "kubernetes.go, generateKubernetesControlplaneConfigs",
        contracts: 14..=15,
        leaves: "
            c KubeAggregatorCAConfig.issuingCA.cert = (PEM of certs.k8saggregator.crt)
            c KubeAggregatorCAConfig.issuingCA.key = (PEM of certs.k8saggregator.key)
            c KubeAuditPolicyConfig.configuration.apiVersion = audit.k8s.io/v1
            c KubeAuditPolicyConfig.configuration.kind = Policy
            c KubeAuditPolicyConfig.configuration.rules[0].level = Metadata
            c KubeAuthenticationConfig.configuration.anonymous.enabled = true
            c KubeAuthenticationConfig.configuration.anonymous.conditions[0].path = /livez
            c KubeAuthenticationConfig.configuration.anonymous.conditions[1].path = /readyz
            c KubeAuthenticationConfig.configuration.anonymous.conditions[2].path = /healthz
            c KubeAuthenticationConfig.configuration.jwt = []
            c KubeAuthorizerConfig/node.type = Node
            c KubeAuthorizerConfig/rbac.type = RBAC
            c KubeEtcdEncryptionConfig.config.resources[0].providers[0].secretbox.keys[0].name = key2
            c KubeEtcdEncryptionConfig.config.resources[0].providers[0].secretbox.keys[0].secret = (secrets.secretboxencryptionsecret)
            c KubeEtcdEncryptionConfig.config.resources[0].resources[0] = secrets
            c KubeServiceAccountConfig.issuer.privateKey = (PEM of certs.k8sserviceaccount.key)
            c KubeServiceAccountConfig.issuer.issuerURL = https://192.0.2.10:6443
            c KubeAPIServerConfig.image = registry.k8s.io/kube-apiserver:v1.36.3
            c KubeControllerManagerConfig.image = registry.k8s.io/kube-controller-manager:v1.36.3
            c KubeSchedulerConfig.image = registry.k8s.io/kube-scheduler:v1.36.3
            c KubeSchedulerConfig.config = {}
            c KubeProxyConfig.image = registry.k8s.io/kube-proxy:v1.36.3
            c KubeProxyConfig.config = {}
            c KubeFlannelCNIConfig.backendType = vxlan
            c KubeFlannelCNIConfig.backendPort = 4789
            c KubeCoreDNSConfig.enabled = true",
    },
    Feature {
        by: "MultidocKubernetesConfigSupported, since 1.14",
        source: "kubernetes.go, types/k8s/admission_control.go",
        contracts: 14..=15,
        leaves: "
            c KubeAdmissionControlConfig/PodSecurity.configuration.apiVersion = pod-security.admission.config.k8s.io/v1alpha1
            c KubeAdmissionControlConfig/PodSecurity.configuration.kind = PodSecurityConfiguration
            c KubeAdmissionControlConfig/PodSecurity.configuration.defaults.enforce = baseline
            c KubeAdmissionControlConfig/PodSecurity.configuration.defaults.enforce-version = latest
            c KubeAdmissionControlConfig/PodSecurity.configuration.defaults.audit = restricted
            c KubeAdmissionControlConfig/PodSecurity.configuration.defaults.audit-version = latest
            c KubeAdmissionControlConfig/PodSecurity.configuration.defaults.warn = restricted
            c KubeAdmissionControlConfig/PodSecurity.configuration.defaults.warn-version = latest
            c KubeAdmissionControlConfig/PodSecurity.configuration.exemptions.namespaces[0] = kube-system
            c KubeAdmissionControlConfig/PodSecurity.configuration.exemptions.runtimeClasses = []
            c KubeAdmissionControlConfig/PodSecurity.configuration.exemptions.usernames = []",
    },
];

/// What contracts before the oldest of ours had and none of ours has: the method or pull request that ended it, and the place.
const ENDED: [(&str, &str); 6] = [
    ("HideRBACAndKeyUsage, 1.12", "machine.features.rbac"),
    (
        "HideRBACAndKeyUsage, 1.12",
        "machine.features.apidCheckExtKeyUsage",
    ),
    (
        "MultidocNetworkConfigSupported, 1.12",
        "machine.features.stableHostname",
    ),
    (
        "HideDisablePSP, 1.12",
        "cluster.apiServer.disablePodSecurityPolicy",
    ),
    (
        "siderolabs/talos pull request 11982, 1.12",
        "cluster.apiServer.certSANs",
    ),
    ("MultidocNetworkConfigSupported, 1.12", "machine.registries"),
];

/// Every leaf of the documents; an empty list or mapping is one.
fn leaves(documents: &[Document]) -> BTreeMap<String, String> {
    fn walk(path: &str, value: &Value, found: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(&format!("{path}{dot}{key}"), value, found);
                }
            }
            Value::Array(list) if !list.is_empty() => {
                for (at, value) in list.iter().enumerate() {
                    walk(&format!("{path}[{at}]"), value, found);
                }
            }
            Value::String(text) if !text.is_empty() => {
                found.insert(path.to_owned(), text.clone());
            }
            Value::String(_) => {
                found.insert(path.to_owned(), "''".to_owned());
            }
            other => {
                found.insert(path.to_owned(), other.to_string());
            }
        }
    }
    let mut found = BTreeMap::new();
    for document in hidden(documents) {
        let mut content = document;
        let mut path = String::new();
        if let Some(kind) = content.remove("kind") {
            assert_eq!(content.remove("apiVersion"), Some("v1alpha1".into()));
            path = kind.as_str().unwrap().to_owned();
            if let Some(name) = content.remove("name") {
                path = format!("{path}/{}", name.as_str().unwrap());
            }
        }
        walk(&path, &Value::Object(content), &mut found);
    }
    found
}

/// The leaves that upstream has for a contract and a role, with who says so.
fn upstream(minor: u8, role: char) -> BTreeMap<String, (String, &'static Feature)> {
    let mut expected = BTreeMap::new();
    for feature in FEATURES.iter().filter(|one| one.contracts.contains(&minor)) {
        for line in feature.leaves.lines().map(str::trim) {
            let Some((roles, leaf)) = line.split_once(' ') else {
                continue;
            };
            let (path, value) = leaf.split_once(" = ").expect("a leaf and its value");
            if roles.contains(role) {
                let fact = (value.to_owned(), feature);
                let twice = expected.insert(path.to_owned(), fact);
                assert!(twice.is_none(), "{path} is listed twice for 1.{minor}");
            }
        }
    }
    expected
}

fn generated(minor: u8, role: char) -> BTreeMap<String, String> {
    let made = made(|options| {
        options["contract"] = format!("v1.{minor}").into();
        if role == 'w' {
            options["role"] = "worker".into();
        }
    });
    leaves(&made.unwrap())
}

#[test]
fn every_contract_is_the_one_of_the_upstream_generator() {
    for minor in 12..=15 {
        for role in ['c', 'w'] {
            let (made, expected) = (generated(minor, role), upstream(minor, role));
            for (path, (value, feature)) in &expected {
                assert_eq!(
                    made.get(path),
                    Some(value),
                    "1.{minor} {role}: {path}, by {} ({})",
                    feature.by,
                    feature.source
                );
            }
            let more: Vec<_> = made
                .keys()
                .filter(|path| !expected.contains_key(*path))
                .collect();
            assert_eq!(more, Vec::<&String>::new(), "1.{minor} {role} has more");
            for (by, path) in ENDED {
                let left = made.keys().find(|leaf| leaf.starts_with(path));
                assert_eq!(left, None, "1.{minor} {role}: {path} ended by {by}");
            }
        }
    }
}

/// What a person who ran `talosctl gen config` committed in public: the keys at these places, and by how much ours may differ.
struct Published {
    /// Repository and file.
    place: &'static str,
    minor: u8,
    role: char,
    /// Place and its keys.
    keys: &'static [(&'static str, &'static str)],
    /// Places that the owner added, or that are left out without comments.
    theirs: &'static str,
    /// Places that the owner took away, or that are left out without comments.
    ours: &'static str,
}

const PUBLISHED: [Published; 3] = [
    Published {
        place: "guilhermelinosp/hellnet-talos-config controlplane.yaml, Talos 1.13.6",
        minor: 13,
        role: 'c',
        keys: &[
            (
                "machine",
                "type token ca certSANs kubelet install features nodeLabels",
            ),
            (
                "machine.kubelet",
                "image defaultRuntimeSeccompProfileEnabled disableManifestsDirectory",
            ),
            ("machine.install", "disk image wipe grubUseUKICmdline"),
            ("machine.features", "diskQuotaSupport kubePrism hostDNS"),
            (
                "cluster",
                "id secret controlPlane clusterName network token secretboxEncryptionSecret ca aggregatorCA serviceAccount apiServer \
                 controllerManager proxy scheduler discovery etcd extraManifests inlineManifests",
            ),
            ("cluster.network", "cni dnsDomain podSubnets serviceSubnets"),
            ("cluster.apiServer", "image admissionControl auditPolicy"),
            ("HostnameConfig", "auto"),
        ],
        theirs: "cluster.network.cni",
        ours: "",
    },
    Published {
        place: "guilhermelinosp/hellnet-talos-config worker.yaml, Talos 1.13.6",
        minor: 13,
        role: 'w',
        keys: &[
            (
                "machine",
                "type token ca certSANs kubelet install registries features",
            ),
            (
                "machine.kubelet",
                "image defaultRuntimeSeccompProfileEnabled disableManifestsDirectory nodeLabels",
            ),
            ("machine.install", "disk image wipe grubUseUKICmdline"),
            (
                "cluster",
                "id secret controlPlane clusterName network token ca discovery",
            ),
        ],
        theirs: "machine.registries machine.kubelet.nodeLabels",
        ours: "",
    },
    Published {
        place: "schwankner/talos-jetson-orin-nx controlplane.yaml, contract 1.12, without comments",
        minor: 12,
        role: 'c',
        keys: &[
            (
                "machine",
                "type token ca certSANs kubelet network kernel install features nodeLabels",
            ),
            ("machine.install", "disk image wipe"),
            ("machine.features", "diskQuotaSupport kubePrism hostDNS"),
            (
                "cluster",
                "id secret controlPlane clusterName network token secretboxEncryptionSecret ca aggregatorCA serviceAccount apiServer \
                 controllerManager proxy scheduler discovery etcd",
            ),
            ("cluster.apiServer", "image admissionControl auditPolicy"),
            ("HostnameConfig", "auto"),
        ],
        theirs: "machine.kernel",
        ours: "machine.install.grubUseUKICmdline cluster.extraManifests cluster.inlineManifests",
    },
];

#[test]
fn what_people_published_has_the_same_keys() {
    for published in PUBLISHED {
        let made = generated(published.minor, published.role);
        for (place, keys) in published.keys {
            let path = |key: &str| format!("{place}.{key}");
            let listed = |list: &str, path: &str| list.split_whitespace().any(|one| one == path);
            let mut theirs: Vec<String> = keys
                .split_whitespace()
                .filter(|key| !listed(published.theirs, &path(key)))
                .map(str::to_owned)
                .collect();
            let mut ours: Vec<String> = made
                .keys()
                .filter_map(|leaf| leaf.strip_prefix(&format!("{place}.")))
                .map(|rest| rest.split(['.', '[']).next().unwrap().to_owned())
                .filter(|key| !listed(published.ours, &path(key)))
                .collect();
            theirs.sort();
            ours.sort();
            ours.dedup();
            assert_eq!(ours, theirs, "{}: {place}", published.place);
        }
    }
}
