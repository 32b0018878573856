//! The documents that follow the first one: a name up to contract 1.13, and from 1.14 on a kind for nearly everything.

use serde_json::{Value, json};

use super::{Error, Machine, Role, audit_policy, pod_security};
use crate::talos_secrets::{Authority, decode};

/// One document of a kind.
pub(super) fn kind(kind: &str, content: Value) -> Value {
    let mut document = json!({ "apiVersion": "v1alpha1", "kind": kind });
    if let (Value::Object(document), Value::Object(content)) = (&mut document, content) {
        document.extend(content);
    }
    document
}

/// The name of the machine: chosen by itself and stable.
pub(super) fn hostname() -> Value {
    kind("HostnameConfig", json!({ "auto": "stable" }))
}

/// All that contract 1.14 and newer ones add, in their order.
pub(super) fn all(machine: &Machine) -> Result<Vec<Value>, Error> {
    let options = &machine.options;
    let secrets = &machine.secrets;
    let mut all = Vec::new();
    if options.discovery {
        all.push(kind(
            "DiscoveryServiceConfig",
            json!({ "name": "default", "endpoint": "https://discovery.talos.dev/" }),
        ));
    }
    all.push(kind(
        "DiscoveryIdentityConfig",
        json!({ "clusterID": secrets.cluster.id, "clusterSecret": secrets.cluster.secret }),
    ));
    if let Some(install) = &options.install {
        let selector = format!("disk.dev_path == {}", Value::from(install.disk.as_str()));
        all.push(kind(
            "UnattendedInstallConfig",
            json!({
                "installer": { "image": install.image },
                "provisioning": { "diskSelector": { "match": selector }, "wipe": false },
            }),
        ));
    }
    all.extend([
        kind(
            "ResolverConfig",
            json!({ "hostDNS": { "enabled": true, "forwardKubeDNSToHost": true } }),
        ),
        kind(
            "VolumeConfig",
            json!({ "name": "EPHEMERAL", "mount": { "secure": true } }),
        ),
        kind("FilesystemTrimConfig", json!({ "interval": "168h0m0s" })),
    ]);
    if machine.contract.has_smart() {
        all.push(kind("DiskSMARTConfig", json!({ "interval": "30m0s" })));
    }
    all.extend([
        kind("SecurityProfileConfig", json!({ "workloadIsolation": true })),
        hostname(),
        kind(
            "KubeClusterConfig",
            json!({ "clusterName": options.cluster, "endpoint": options.endpoint }),
        ),
        node(machine),
        kind(
            "KubeletConfig",
            json!({
                "image": machine.image("ghcr.io/siderolabs/kubelet"),
                "config": {},
                "defaultRuntimeSeccompProfileEnabled": true,
            }),
        ),
        kind(
            "KubeNetworkConfig",
            json!({ "dnsDomain": options.domain, "podSubnets": options.pods, "serviceSubnets": options.services }),
        ),
    ]);
    let authority = "certs.k8s";
    all.push(if machine.role() == Role::ControlPlane {
        kind(
            "KubeAPIServerCAConfig",
            json!({ "issuingCA": pair(authority, &secrets.certs.k8s)? }),
        )
    } else {
        let accepted = decode(authority, &secrets.certs.k8s.crt)?;
        kind(
            "KubeAPIServerCAConfig",
            json!({ "acceptedCAs": [accepted] }),
        )
    });
    all.push(kind("KubePrismConfig", json!({ "port": 7445 })));
    if machine.role() == Role::ControlPlane {
        all.extend(control_plane(machine)?);
    }
    Ok(all)
}

fn node(machine: &Machine) -> Value {
    let mut content = json!({ "nodeIP": {} });
    if machine.role() == Role::ControlPlane {
        content["labels"] = json!({
            "node-role.kubernetes.io/control-plane": "",
            "node.kubernetes.io/exclude-from-external-load-balancers": "",
        });
        if !machine.options.schedule_on_control_planes {
            content["taints"] = json!({ "node-role.kubernetes.io/control-plane": "NoSchedule" });
        }
    }
    kind("KubeNodeConfig", content)
}

fn control_plane(machine: &Machine) -> Result<Vec<Value>, Error> {
    let (options, secrets) = (&machine.options, &machine.secrets);
    let accounts = "certs.k8sserviceaccount.key";
    let anonymous = json!({
        "enabled": true,
        "conditions": [{ "path": "/livez" }, { "path": "/readyz" }, { "path": "/healthz" }],
    });
    let mut server = json!({ "image": machine.image("registry.k8s.io/kube-apiserver") });
    if !options.sans.is_empty() {
        server["certExtraSANs"] = json!(options.sans);
    }
    let image = |name: &str| json!({ "image": machine.image(name) });
    let configured = |name: &str| json!({ "image": machine.image(name), "config": {} });
    Ok(vec![
        kind(
            "KubeAggregatorCAConfig",
            json!({ "issuingCA": pair("certs.k8saggregator", &secrets.certs.k8saggregator)? }),
        ),
        kind(
            "KubeAdmissionControlConfig",
            json!({ "name": "PodSecurity", "configuration": pod_security() }),
        ),
        kind(
            "KubeAuditPolicyConfig",
            json!({ "configuration": audit_policy() }),
        ),
        kind(
            "KubeAuthenticationConfig",
            json!({ "configuration": { "anonymous": anonymous, "jwt": [] } }),
        ),
        kind(
            "KubeAuthorizerConfig",
            json!({ "name": "node", "type": "Node" }),
        ),
        kind(
            "KubeAuthorizerConfig",
            json!({ "name": "rbac", "type": "RBAC" }),
        ),
        kind(
            "KubeEtcdEncryptionConfig",
            json!({ "config": { "resources": [{ "providers": encryption(machine), "resources": ["secrets"] }] } }),
        ),
        kind(
            "KubeServiceAccountConfig",
            json!({ "issuer": {
                "privateKey": decode(accounts, &secrets.certs.k8sserviceaccount.key)?,
                "issuerURL": options.endpoint,
            } }),
        ),
        kind("KubeAPIServerConfig", server),
        kind(
            "KubeControllerManagerConfig",
            image("registry.k8s.io/kube-controller-manager"),
        ),
        kind(
            "KubeSchedulerConfig",
            configured("registry.k8s.io/kube-scheduler"),
        ),
        kind("KubeProxyConfig", configured("registry.k8s.io/kube-proxy")),
        kind(
            "KubeFlannelCNIConfig",
            json!({ "backendType": "vxlan", "backendPort": 4789 }),
        ),
        kind("KubeCoreDNSConfig", json!({ "enabled": true })),
    ])
}

/// The name of a key is stored with each value in etcd: other names or another order make what is there unreadable. So these are the ones that
/// Talos makes from the older fields, and the older cipher is really that cipher.
fn encryption(machine: &Machine) -> Value {
    let keys = |name: &str, secret: &str| json!({ "keys": [{ "name": name, "secret": secret }] });
    let secrets = &machine.secrets.secrets;
    let mut providers = Vec::new();
    if let Some(secret) = &secrets.secretboxencryptionsecret {
        providers.push(json!({ "secretbox": keys("key2", secret) }));
    }
    if let Some(secret) = &secrets.aescbcencryptionsecret {
        providers.push(json!({ "aescbc": keys("key1", secret) }));
    }
    Value::Array(providers)
}

/// Certificate and key as PEM: the newer documents have no base64 around it.
fn pair(name: &'static str, authority: &Authority) -> Result<Value, Error> {
    Ok(json!({ "cert": decode(name, &authority.crt)?, "key": decode(name, &authority.key)? }))
}
