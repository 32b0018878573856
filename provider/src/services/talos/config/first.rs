//! The first document, `version: v1alpha1`: all of a configuration up to contract 1.13, and what is left of it from 1.14 on.

use serde_json::{Value, json};

use super::{Machine, Role, audit_policy, pod_security};
use crate::talos_secrets::Authority;

/// The document of contracts 1.12 and 1.13.
pub(super) fn whole(machine: &Machine) -> Value {
    let (secrets, options) = (&machine.secrets, &machine.options);
    let control_plane = machine.role() == Role::ControlPlane;
    let mut document = head(machine);
    document["machine"]["kubelet"] = json!({
        "image": machine.image("ghcr.io/siderolabs/kubelet"),
        "defaultRuntimeSeccompProfileEnabled": true,
        "disableManifestsDirectory": true,
    });
    document["machine"]["features"] = json!({
        "diskQuotaSupport": true,
        "kubePrism": { "enabled": true, "port": 7445 },
        "hostDNS": { "enabled": true, "forwardKubeDNSToHost": true },
    });
    document["cluster"] = json!({
        "id": secrets.cluster.id,
        "secret": secrets.cluster.secret,
        "controlPlane": { "endpoint": options.endpoint },
        "clusterName": options.cluster,
        "network": {
            "dnsDomain": options.domain,
            "podSubnets": options.pods,
            "serviceSubnets": options.services,
        },
        "token": secrets.secrets.bootstraptoken,
        "ca": authority(&secrets.certs.k8s, control_plane),
        "discovery": { "enabled": options.discovery, "registries": { "kubernetes": { "disabled": true }, "service": {} } },
    });
    if machine.contract.has_empty_network() {
        document["machine"]["network"] = json!({});
    }
    if let Some(install) = &options.install {
        document["machine"]["install"] = json!({
            "disk": install.disk, "image": install.image, "wipe": false, "grubUseUKICmdline": true,
        });
    }
    if control_plane {
        document["machine"]["nodeLabels"] =
            json!({ "node.kubernetes.io/exclude-from-external-load-balancers": "" });
        control_plane_section(machine, &mut document["cluster"]);
    }
    document
}

fn control_plane_section(machine: &Machine, cluster: &mut Value) {
    let (secrets, options) = (&machine.secrets, &machine.options);
    // A bundle of an upgraded cluster may have both; from contract 1.3 on the first counts.
    let secretbox = secrets.secrets.secretboxencryptionsecret.as_ref();
    match (secretbox, &secrets.secrets.aescbcencryptionsecret) {
        (Some(secret), _) => cluster["secretboxEncryptionSecret"] = json!(secret),
        (None, secret) => cluster["aescbcEncryptionSecret"] = json!(secret),
    }
    cluster["aggregatorCA"] = authority(&secrets.certs.k8saggregator, true);
    cluster["serviceAccount"] = json!({ "key": secrets.certs.k8sserviceaccount.key });
    cluster["apiServer"] = json!({
        "image": machine.image("registry.k8s.io/kube-apiserver"),
        "admissionControl": [{ "name": "PodSecurity", "configuration": pod_security() }],
        "auditPolicy": audit_policy(),
    });
    if !options.sans.is_empty() {
        cluster["apiServer"]["certSANs"] = json!(options.sans);
    }
    for (key, image) in [
        (
            "controllerManager",
            "registry.k8s.io/kube-controller-manager",
        ),
        ("proxy", "registry.k8s.io/kube-proxy"),
        ("scheduler", "registry.k8s.io/kube-scheduler"),
    ] {
        cluster[key] = json!({ "image": machine.image(image) });
    }
    cluster["etcd"] = json!({ "ca": authority(&secrets.certs.etcd, true) });
    // Talos writes these two although they are empty, up to where manifests have documents of their own.
    cluster["extraManifests"] = json!([]);
    cluster["inlineManifests"] = json!([]);
    if options.schedule_on_control_planes {
        cluster["allowSchedulingOnControlPlanes"] = json!(true);
    }
}

/// The document from contract 1.14 on: what has no document of its own.
pub(super) fn rest(machine: &Machine) -> Value {
    let secrets = &machine.secrets;
    let mut document = head(machine);
    document["machine"]["features"] = json!({ "diskQuotaSupport": true });
    document["cluster"] = json!({ "token": secrets.secrets.bootstraptoken });
    if machine.role() == Role::ControlPlane {
        document["cluster"]["etcd"] = json!({ "ca": authority(&secrets.certs.etcd, true) });
    }
    document
}

/// What every contract begins with.
fn head(machine: &Machine) -> Value {
    let secrets = &machine.secrets;
    json!({
        "version": "v1alpha1",
        "debug": false,
        "persist": true,
        "machine": {
            "type": machine.role().word(),
            "token": secrets.trustdinfo.token,
            "ca": authority(&secrets.certs.os, machine.role() == Role::ControlPlane),
            "certSANs": machine.options.sans,
        },
    })
}

/// Workers check certificates and sign none.
fn authority(authority: &Authority, with_key: bool) -> Value {
    let key = if with_key { authority.key.as_str() } else { "" };
    json!({ "crt": authority.crt, "key": key })
}
