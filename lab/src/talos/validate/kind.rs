//! Documents that have a kind: since which version, with a name or without, and which fields they have where the contract lists them.

use serde_json::{Map, Value};

use crate::talos::image::Image;
use crate::talos::yaml;

/// Kinds that only control planes may have.
pub(super) const CONTROL_PLANES_ONLY: [&str; 14] = [
    "KubeAggregatorCAConfig",
    "KubeAdmissionControlConfig",
    "KubeAuditPolicyConfig",
    "KubeAuthenticationConfig",
    "KubeAuthorizerConfig",
    "KubeEtcdEncryptionConfig",
    "KubeServiceAccountConfig",
    "KubeAPIServerConfig",
    "KubeControllerManagerConfig",
    "KubeSchedulerConfig",
    "KubeProxyConfig",
    "KubeFlannelCNIConfig",
    "KubeCoreDNSConfig",
    "KubeTalosAPIAccessConfig",
];

/// First minor version and kinds; a star marks those with a name.
const KINDS: [(u32, &str); 7] = [
    (
        0,
        "EventSinkConfig ExtensionServiceConfig* KmsgLogConfig* NetworkDefaultActionConfig NetworkRuleConfig* SideroLinkConfig \
         WatchdogTimerConfig KubeSpanEndpointsConfig TrustedRootsConfig* VolumeConfig*",
    ),
    (
        10,
        "EthernetConfig* PCIDriverRebindConfig* UserVolumeConfig*",
    ),
    (
        11,
        "ExistingVolumeConfig* RawVolumeConfig* SwapVolumeConfig* ZswapConfig",
    ),
    (
        12,
        "BondConfig* BridgeConfig* DHCPv4Config* DHCPv6Config* DummyLinkConfig* HCloudVIPConfig* HostnameConfig Layer2VIPConfig* \
         LinkAliasConfig* LinkConfig* OOMConfig RegistryAuthConfig* RegistryMirrorConfig* RegistryTLSConfig* ResolverConfig \
         StaticHostConfig* TimeSyncConfig VLANConfig* WireguardConfig*",
    ),
    (
        13,
        "BlackholeRouteConfig* EnvironmentConfig ExternalVolumeConfig* ImageVerificationConfig KubeSpanConfig RoutingRuleConfig* \
         TCPProbeConfig* VRFConfig*",
    ),
    (
        14,
        "BGPInstanceConfig* ContainerConfig* CRIBaseRuntimeSpecConfig CRICustomizationConfig* DiscoveryIdentityConfig \
         DiscoveryServiceConfig* EtcFileConfig* FilesystemScrubConfig FilesystemTrimConfig HTTPProbeConfig* ImageCacheConfig \
         KernelModuleConfig* KubeAPIServerCAConfig KubeAPIServerConfig KubeAdmissionControlConfig* KubeAggregatorCAConfig \
         KubeAuditPolicyConfig KubeAuthenticationConfig KubeAuthorizerConfig* KubeClusterConfig KubeControllerManagerConfig \
         KubeCoreDNSConfig KubeCredentialProviderConfig KubeEtcdEncryptionConfig KubeExternalManifestConfig* KubeFlannelCNIConfig \
         KubeInlineManifestConfig* KubeNetworkConfig KubeNodeConfig KubePrismConfig KubeProxyConfig KubeSchedulerConfig \
         KubeServiceAccountConfig KubeStaticPodConfig* KubeTalosAPIAccessConfig KubeletConfig LVMLogicalVolumeConfig* \
         LVMVolumeGroupConfig* RAIDArrayConfig* SecurityProfileConfig SysctlConfig SysfsConfig UdevRulesConfig \
         UnattendedInstallConfig VethConfig*",
    ),
    // <https://github.com/siderolabs/talos/pull/13726>
    (15, "DiskSMARTConfig"),
];

/// Fields beside apiVersion, kind and name. Kinds that are not here are taken with any.
const FIELDS: [(&str, &str); 27] = [
    ("HostnameConfig", "auto hostname"),
    ("LinkConfig", "up mtu addresses routes multicast"),
    ("LinkAliasConfig", "selector"),
    (
        "DHCPv4Config",
        "routeMetric ignoreHostname ignoreRoutes clientIdentifier duidRaw",
    ),
    ("Layer2VIPConfig", "link"),
    ("ResolverConfig", "nameservers searchDomains hostDNS"),
    ("TimeSyncConfig", "enabled bootTimeout ntp ptp"),
    ("StaticHostConfig", "hostnames"),
    (
        "VolumeConfig",
        "provisioning filesystem encryption mount trim scrub",
    ),
    (
        "UserVolumeConfig",
        "volumeType provisioning filesystem encryption mount",
    ),
    ("UnattendedInstallConfig", "reboot installer provisioning"),
    ("RegistryMirrorConfig", "endpoints skipFallback"),
    ("RegistryAuthConfig", "username password auth identityToken"),
    ("RegistryTLSConfig", "clientIdentity ca insecureSkipVerify"),
    (
        "KubeSpanConfig",
        "enabled advertiseKubernetesNetworks allowDownPeerBypass harvestExtraEndpoints mtu filters",
    ),
    ("NetworkDefaultActionConfig", "ingress"),
    ("NetworkRuleConfig", "portSelector ingress"),
    ("ExtensionServiceConfig", "configFiles environment"),
    ("TrustedRootsConfig", "certificates"),
    (
        "KubeAPIServerConfig",
        "image extraArgs env resources apiPort certExtraSANs startupProbes",
    ),
    (
        "KubeProxyConfig",
        "enabled image mode config extraArgs resources",
    ),
    (
        "KubeNetworkConfig",
        "dnsDomain podSubnets serviceSubnets nodeCIDRMaskSizeIPv4 nodeCIDRMaskSizeIPv6",
    ),
    (
        "KubeNodeConfig",
        "skipNodeRegistration registerWithFQDN nodeIP labels annotations taints",
    ),
    (
        "KubeletConfig",
        "image config extraArgs clusterDNS defaultRuntimeSeccompProfileEnabled",
    ),
    ("KubeAPIServerCAConfig", "issuingCA acceptedCAs"),
    ("DiscoveryIdentityConfig", "clusterID clusterSecret"),
    ("DiskSMARTConfig", "interval"),
];

/// Refuses kinds and fields that this version does not know.
pub(super) fn check(document: &Map<String, Value>, image: &Image) -> Result<(), String> {
    let text = |key: &str| {
        document
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let (kind, version) = (text("kind"), text("apiVersion"));
    let found = KINDS
        .iter()
        .filter(|(since, _)| *since <= image.minor())
        .flat_map(|(_, kinds)| kinds.split_whitespace())
        .find(|known| known.trim_end_matches('*') == kind);
    let (Some(known), "v1alpha1") = (found, version) else {
        return Err(format!("{kind:?} {version:?}: not registered"));
    };
    let is_named = known.ends_with('*');
    if is_named && text("name").is_empty() {
        return Err(format!("{kind}: name is required"));
    }
    let fields = FIELDS.iter().find(|(listed, _)| *listed == kind);
    let mut unknown = document.clone();
    unknown.retain(|key, _| match key.as_str() {
        "apiVersion" | "kind" => false,
        "name" => !is_named,
        key => fields.is_some_and(|(_, fields)| !fields.split(' ').any(|field| field == key)),
    });
    if unknown.is_empty() {
        return Ok(());
    }
    let text = yaml::text(&Value::Object(unknown));
    Err(format!("unknown keys found during decoding:\n{text}"))
}
