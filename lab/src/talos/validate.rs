//! What a version of Talos accepts as configuration (contracts/talos.md sections 5.4 to 5.8): unknown keys and kinds are errors, and so are contradictions.

mod kind;

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::config::{Config, ports};
use super::image::Image;
use super::yaml;

/// Mappings of the first document whose keys are known; `*` stands for the items of a list.
const KEYS: [(&str, &[&str]); 15] = [
    ("", &["version", "debug", "persist", "machine", "cluster"]),
    (
        "machine",
        &[
            "type",
            "token",
            "ca",
            "acceptedCAs",
            "certSANs",
            "controlPlane",
            "kubelet",
            "pods",
            "network",
            "disks",
            "install",
            "files",
            "env",
            "time",
            "sysctls",
            "sysfs",
            "registries",
            "systemDiskEncryption",
            "features",
            "udev",
            "logging",
            "kernel",
            "seccompProfiles",
            "baseRuntimeSpecOverrides",
            "nodeLabels",
            "nodeAnnotations",
            "nodeTaints",
        ],
    ),
    ("machine.ca", &["crt", "key"]),
    (
        "machine.kubelet",
        &[
            "image",
            "clusterDNS",
            "extraArgs",
            "extraMounts",
            "extraConfig",
            "credentialProviderConfig",
            "defaultRuntimeSeccompProfileEnabled",
            "registerWithFQDN",
            "nodeIP",
            "skipNodeRegistration",
            "disableManifestsDirectory",
        ],
    ),
    (
        "machine.network",
        &[
            "hostname",
            "nameservers",
            "searchDomains",
            "extraHostEntries",
            "kubespan",
            "interfaces",
            "disableSearchDomain",
        ],
    ),
    (
        "machine.network.interfaces.*",
        &[
            "interface",
            "deviceSelector",
            "addresses",
            "routes",
            "bond",
            "bridge",
            "bridgePort",
            "vlans",
            "mtu",
            "dhcp",
            "dhcpOptions",
            "ignore",
            "dummy",
            "wireguard",
            "vip",
        ],
    ),
    (
        "machine.install",
        &[
            "disk",
            "diskSelector",
            "extraKernelArgs",
            "image",
            "extensions",
            "bootloader",
            "wipe",
            "legacyBIOSSupport",
            "grubUseUKICmdline",
        ],
    ),
    (
        "machine.features",
        &[
            "rbac",
            "stableHostname",
            "apidCheckExtKeyUsage",
            "kubernetesTalosAPIAccess",
            "diskQuotaSupport",
            "kubePrism",
            "hostDNS",
            "imageCache",
            "nodeAddressSortAlgorithm",
        ],
    ),
    (
        "cluster",
        &[
            "id",
            "secret",
            "controlPlane",
            "clusterName",
            "network",
            "token",
            "aescbcEncryptionSecret",
            "secretboxEncryptionSecret",
            "ca",
            "acceptedCAs",
            "aggregatorCA",
            "serviceAccount",
            "apiServer",
            "controllerManager",
            "proxy",
            "scheduler",
            "discovery",
            "etcd",
            "coreDNS",
            "externalCloudProvider",
            "extraManifests",
            "extraManifestHeaders",
            "inlineManifests",
            "adminKubeconfig",
            "allowSchedulingOnControlPlanes",
        ],
    ),
    ("cluster.controlPlane", &["endpoint", "localAPIServerPort"]),
    (
        "cluster.network",
        &["cni", "dnsDomain", "podSubnets", "serviceSubnets"],
    ),
    (
        "cluster.apiServer",
        &[
            "image",
            "extraArgs",
            "extraVolumes",
            "env",
            "certSANs",
            "disablePodSecurityPolicy",
            "admissionControl",
            "auditPolicy",
            "resources",
            "authorizationConfig",
        ],
    ),
    (
        "cluster.etcd",
        &[
            "image",
            "ca",
            "extraArgs",
            "advertisedSubnets",
            "listenSubnets",
            "subnet",
        ],
    ),
    ("cluster.proxy", &["disabled", "image", "mode", "extraArgs"]),
    ("cluster.coreDNS", &["disabled", "image"]),
];

/// Checks a configuration as a machine of this version does; `complete` when it has its first document. Gives back warnings.
///
/// # Errors
/// What the machine says. It quotes values, secrets among them, as Talos does.
pub(super) fn check(config: &Config, image: &Image, complete: bool) -> Result<Vec<String>, String> {
    for document in &config.documents {
        let Some(fields) = document.as_object() else {
            return Err("failed to decode configuration: a document is not a mapping".into());
        };
        if fields.contains_key("kind") {
            kind::check(fields, image)?;
        } else if document["version"] != "v1alpha1" {
            return Err("missing kind".into());
        } else {
            keys(document)?;
        }
    }
    no_twins(config)?;
    let mut wrong = Vec::new();
    if complete {
        first(config, &mut wrong);
        worker(config, &mut wrong);
    }
    conflicts(config, &mut wrong);
    firewall(config, &mut wrong);
    if wrong.is_empty() {
        return Ok(Vec::new());
    }
    let count = wrong.len();
    let noun = if count == 1 { "error" } else { "errors" };
    let list = wrong.join("\n\t* ");
    Err(format!(
        "configuration validation failed: {count} {noun} occurred:\n\t* {list}\n\n"
    ))
}

/// Refuses keys that the first document does not have.
fn keys(document: &Value) -> Result<(), String> {
    let mut unknown = Map::new();
    for (path, known) in KEYS {
        for mapping in at(document, path) {
            for (key, value) in mapping {
                if !known.contains(&key.as_str()) {
                    let place = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    unknown.insert(place, value.clone());
                }
            }
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let text = yaml::text(&Value::Object(unknown));
    Err(format!("unknown keys found during decoding:\n{text}"))
}

/// The mappings at a path.
fn at<'a>(document: &'a Value, path: &str) -> Vec<&'a Map<String, Value>> {
    let mut values = vec![document];
    for word in path.split('.').filter(|word| !word.is_empty()) {
        values = values
            .into_iter()
            .flat_map(|value| match word {
                "*" => value.as_array().into_iter().flatten().collect(),
                _ => value.get(word).into_iter().collect::<Vec<_>>(),
            })
            .collect();
    }
    values.into_iter().filter_map(Value::as_object).collect()
}

fn no_twins(config: &Config) -> Result<(), String> {
    let mut seen = Vec::new();
    for document in &config.documents {
        let name = (
            document["apiVersion"].as_str(),
            document["kind"].as_str(),
            document["name"].as_str(),
        );
        if seen.contains(&name) {
            return Err(format!(
                "duplicate document: {}/{}/{} is already present",
                name.0.unwrap_or("v1alpha1"),
                name.1.unwrap_or_default(),
                name.2.unwrap_or_default()
            ));
        }
        seen.push(name);
    }
    Ok(())
}

fn is_set(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Rules of the first document.
fn first(config: &Config, wrong: &mut Vec<String>) {
    let Some(document) = config.main() else {
        wrong.push("a v1alpha1 document is required".into());
        return;
    };
    let machine = &document["machine"];
    match machine["type"].as_str() {
        Some("controlplane" | "init" | "worker") => {}
        other => wrong.push(format!(
            "unknown machine type {:?}",
            other.unwrap_or_default()
        )),
    }
    if document["persist"] == false {
        wrong.push("setting .persist to false is not supported".into());
    }
    if !is_set(&machine["token"]) {
        wrong.push(".machine.token is required".into());
    }
    if !is_set(&machine["ca"]["crt"]) {
        wrong.push("issuing CA is required (.machine.ca)".into());
    } else if let Err(error) = config.os_ca() {
        wrong.push(error);
    }
    if config.is_control_plane() && !is_set(&machine["ca"]["key"]) {
        wrong.push("issuing CA key is required for controlplane nodes (.machine.ca.key)".into());
    }
    if config.endpoint().is_none() {
        wrong.push(
            "cluster controlplane endpoint is required (.cluster.controlPlane.endpoint)".into(),
        );
    }
    let install = &machine["install"];
    let arguments = install["extraKernelArgs"].as_array();
    if arguments.is_some_and(|list| !list.is_empty()) && install["grubUseUKICmdline"] == true {
        wrong.push(
            "install.extraKernelArgs and install.grubUseUKICmdline can't be used together".into(),
        );
    }
}

/// What a worker must not have.
fn worker(config: &Config, wrong: &mut Vec<String>) {
    if config.is_control_plane() {
        return;
    }
    if config.os_ca().is_ok_and(|ca| ca.key.is_some()) {
        wrong.push("issuing CA key is not allowed on non-controlplane nodes (.machine.ca)".into());
    }
    if !config.virtual_addresses().is_empty() {
        wrong.push("virtual (shared) IP is not allowed on non-controlplane nodes".into());
    }
    for kind in kind::CONTROL_PLANES_ONLY {
        if config.all(kind).next().is_some() {
            wrong.push(format!("{kind} is only allowed on control plane nodes"));
        }
    }
}

/// A new document and the old field that it replaces.
fn conflicts(config: &Config, wrong: &mut Vec<String>) {
    let main = config.main().unwrap_or(&Value::Null);
    for (kind, pointer) in [
        ("HostnameConfig", "/machine/network/hostname"),
        ("UnattendedInstallConfig", "/machine/install"),
        ("ResolverConfig", "/machine/network/nameservers"),
        ("TimeSyncConfig", "/machine/time"),
        ("KubeSpanConfig", "/machine/network/kubespan"),
        ("KubeClusterConfig", "/cluster/clusterName"),
        ("KubeletConfig", "/machine/kubelet"),
        ("KubeNetworkConfig", "/cluster/network"),
        ("KubeAPIServerCAConfig", "/cluster/ca"),
        ("KubeAPIServerConfig", "/cluster/apiServer"),
        ("KubeProxyConfig", "/cluster/proxy"),
        (
            "KubeEtcdEncryptionConfig",
            "/cluster/secretboxEncryptionSecret",
        ),
        ("KubeServiceAccountConfig", "/cluster/serviceAccount"),
        ("KubeAggregatorCAConfig", "/cluster/aggregatorCA"),
        ("DiscoveryIdentityConfig", "/cluster/id"),
        ("SysctlConfig", "/machine/sysctls"),
    ] {
        let old = main.pointer(pointer).is_some_and(|value| {
            !value.is_null()
                && value.as_str() != Some("")
                && value.as_array().is_none_or(|list| !list.is_empty())
        });
        if old && config.all(kind).next().is_some() {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            wrong.push(format!(
                "{field} is already set in v1alpha1 config, it conflicts with {kind}"
            ));
        }
    }
    let hostname = config.one("HostnameConfig");
    match (hostname["auto"].as_str(), is_set(&hostname["hostname"])) {
        (Some("stable"), true) => {
            wrong.push(
                "HostnameConfig: 'auto' and 'hostname' cannot be set at the same time".into(),
            );
        }
        (None, false) if !hostname.is_null() => {
            wrong.push("HostnameConfig: either 'auto' or 'hostname' must be set".into());
        }
        _ => {}
    }
}

/// Rules that the machine could not load.
fn firewall(config: &Config, wrong: &mut Vec<String>) {
    for rule in config.all("NetworkRuleConfig") {
        let name = rule["name"].as_str().unwrap_or_default();
        let selector = &rule["portSelector"];
        let ports_listed = selector["ports"].as_array();
        let bad = ports_listed.is_none_or(|list| {
            list.is_empty()
                || list
                    .iter()
                    .any(|port| ports(port).is_none_or(|(first, last)| first > last))
        });
        if bad {
            wrong.push(format!(
                "NetworkRuleConfig {name:?}: portSelector.ports is required"
            ));
        }
        if !matches!(
            selector["protocol"].as_str(),
            Some("tcp" | "udp" | "icmp" | "icmpv6")
        ) {
            wrong.push(format!("NetworkRuleConfig {name:?}: unknown protocol"));
        }
        let subnets = rule["ingress"].as_array().into_iter().flatten();
        for subnet in subnets.map(|ingress| ingress["subnet"].as_str().unwrap_or_default()) {
            let net: Result<ipnet::IpNet, _> = subnet.parse();
            if net.is_err() && subnet.parse::<IpAddr>().is_err() {
                wrong.push(format!(
                    "NetworkRuleConfig {name:?}: invalid prefix {subnet:?}"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, version: &str) -> Result<Vec<String>, String> {
        let image = Image {
            version: version.into(),
            schematic: String::new(),
        };
        let config = Config::parse(text)?;
        let complete = config.main().is_some();
        check(&config, &image, complete)
    }

    const WORKER: &str = "version: v1alpha1\nmachine:\n  type: worker\n  token: t\n  ca: {crt: LS0tCg==, key: ''}\ncluster:\n  controlPlane: {endpoint: 'https://192.0.2.10:6443'}\n";

    #[test]
    fn a_small_worker_is_right() {
        assert_eq!(judged(WORKER, "v1.13.9"), Ok(Vec::new()));
    }

    #[test]
    fn unknown_keys_kinds_and_twins_are_named() {
        let cases = [
            (format!("{WORKER}  oops: 1\n"), "cluster.oops: 1"),
            (
                format!("{WORKER}---\napiVersion: v1alpha1\nkind: Oops\n"),
                "\"Oops\" \"v1alpha1\": not registered",
            ),
            (
                format!(
                    "{WORKER}---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\nname: x\n"
                ),
                "name: x",
            ),
            (format!("{WORKER}---\n{WORKER}"), "duplicate document"),
            (
                format!(
                    "{WORKER}---\napiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 192.0.2.10\nlink: eth0\n"
                ),
                "virtual (shared) IP is not allowed",
            ),
            (
                format!("{WORKER}---\napiVersion: v1alpha1\nkind: SysctlConfig\nparams: {{}}\n"),
                "not registered",
            ),
        ];
        for (text, told) in cases {
            let error = judged(&text, "v1.13.9").unwrap_err();
            assert!(error.contains(told), "{told}: {error}");
        }
        let new = format!("{WORKER}---\napiVersion: v1alpha1\nkind: SysctlConfig\nparams: {{}}\n");
        assert!(judged(&new, "v1.14.0").is_ok());
        let newer =
            format!("{WORKER}---\napiVersion: v1alpha1\nkind: DiskSMARTConfig\ninterval: 30m0s\n");
        let error = judged(&newer, "v1.14.2").unwrap_err();
        assert!(
            error.contains("\"DiskSMARTConfig\" \"v1alpha1\": not registered"),
            "{error}"
        );
        assert!(judged(&newer, "v1.15.0").is_ok());
    }

    #[test]
    fn contradictions_are_listed_together() {
        let text = WORKER
            .replace("token: t", "token: ''")
            .replace("type: worker", "type: controlplane");
        let error = judged(&text, "v1.13.9").unwrap_err();
        assert!(error.contains("2 errors occurred"), "{error}");
        let named = format!(
            "{}---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n",
            WORKER.replace("type: worker", "type: worker\n  network: {hostname: x}")
        );
        let error = judged(&named, "v1.13.9").unwrap_err();
        assert!(error.contains("conflicts with HostnameConfig"), "{error}");
    }
}
