//! Rules that a machine would refuse a configuration by, looked at before it is sent: a refused one means a machine that never boots, or a plan
//! that fails half-way through its apply.

use serde_json::Value;

use super::Role;
use crate::services::talos::patch::Document;

/// Kinds that are for control planes only.
const CONTROL_PLANE_ONLY: [&str; 15] = [
    "KubeAPIServerConfig",
    "KubeAdmissionControlConfig",
    "KubeAggregatorCAConfig",
    "KubeAuditPolicyConfig",
    "KubeAuthenticationConfig",
    "KubeAuthorizerConfig",
    "KubeControllerManagerConfig",
    "KubeCoreDNSConfig",
    "KubeEtcdEncryptionConfig",
    "KubeFlannelCNIConfig",
    "KubeProxyConfig",
    "KubeSchedulerConfig",
    "KubeServiceAccountConfig",
    "KubeTalosAPIAccessConfig",
    "Layer2VIPConfig",
];

/// A field of the first document, the kind that replaced it and, where it replaced only a part, the key: both at once are refused.
const EITHER: [(&str, &str, Option<&str>); 12] = [
    ("/machine/network/hostname", "HostnameConfig", None),
    ("/machine/network/nameservers", "ResolverConfig", None),
    ("/machine/network/kubespan", "KubeSpanConfig", None),
    (
        "/machine/features/hostDNS",
        "ResolverConfig",
        Some("hostDNS"),
    ),
    ("/machine/features/kubePrism", "KubePrismConfig", None),
    ("/machine/install", "UnattendedInstallConfig", None),
    ("/machine/kubelet", "KubeletConfig", None),
    ("/machine/nodeLabels", "KubeNodeConfig", None),
    ("/machine/sysctls", "SysctlConfig", None),
    ("/machine/time/servers", "TimeSyncConfig", None),
    ("/cluster/network", "KubeNetworkConfig", None),
    ("/cluster/proxy", "KubeProxyConfig", None),
];

/// The first rule that is broken, as a sentence.
pub(super) fn check(documents: &[Document], role: Role) -> Result<(), String> {
    let Some(first) = documents.iter().find(|one| !one.contains_key("kind")) else {
        return Err(
            "There is no document with `machine` and `cluster`, without which nothing boots".into(),
        );
    };
    let first = Value::Object(first.clone());
    let at = |path: &str| first.pointer(path).filter(|value| !value.is_null());
    if at("/machine/type").and_then(Value::as_str) != Some(role.word()) {
        return Err(format!(
            "`machine.type` must be `{}`: the role says so",
            role.word()
        ));
    }
    if at("/persist") == Some(&Value::Bool(false)) {
        return Err("`persist` must be true: a machine would forget its configuration".into());
    }
    for path in ["/machine/token", "/machine/ca/crt"] {
        if at(path).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(format!("`{}` is missing", dotted(path)));
        }
    }
    let has_key = |path| {
        at(path)
            .and_then(Value::as_str)
            .is_some_and(|key| !key.is_empty())
    };
    match role {
        Role::ControlPlane if !has_key("/machine/ca/key") => {
            return Err("a control plane needs `machine.ca.key`".into());
        }
        Role::Worker if has_key("/machine/ca/key") || has_key("/cluster/ca/key") => {
            return Err("a worker must not have the keys of the CAs".into());
        }
        _ => {}
    }
    for document in documents {
        kind(document, role)?;
    }
    for (path, replaced_by, key) in EITHER {
        let has_kind = documents.iter().any(|one| {
            one.get("kind").and_then(Value::as_str) == Some(replaced_by)
                && key.is_none_or(|key| one.contains_key(key))
        });
        if has_kind && at(path).is_some() {
            return Err(format!(
                "`{}` and a document {replaced_by} say the same thing, and a machine takes one of them only; patch the document",
                dotted(path)
            ));
        }
    }
    if at("/machine/install/extraKernelArgs").is_some()
        && at("/machine/install/grubUseUKICmdline") == Some(&Value::Bool(true))
    {
        return Err("`machine.install.extraKernelArgs` have no effect beside `grubUseUKICmdline`, and are refused; put them into the image's schematic".into());
    }
    Ok(())
}

fn kind(document: &Document, role: Role) -> Result<(), String> {
    let text = |key: &str| document.get(key).and_then(Value::as_str);
    let Some(kind) = text("kind") else {
        return Ok(());
    };
    if text("apiVersion").is_none() {
        return Err(format!("document {kind} has no `apiVersion`"));
    }
    if role == Role::Worker && CONTROL_PLANE_ONLY.contains(&kind) {
        return Err(format!("document {kind} is for control planes only"));
    }
    let automatic = text("auto").unwrap_or("off");
    if kind == "HostnameConfig" && document.contains_key("hostname") && automatic != "off" {
        return Err(
            "HostnameConfig has `hostname` and `auto`; with a name of its own it needs `auto: off`"
                .into(),
        );
    }
    Ok(())
}

fn dotted(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}
