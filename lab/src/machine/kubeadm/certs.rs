//! `kubeadm certs check-expiration` and `kubeadm certs renew all`, on the certificates that lie on the machine, by the lab's clock.

use data_encoding::BASE64;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::machine::file::Files;
use crate::machine::shell::Streams;
use crate::machine::state::Machine;

use super::{Failure, control_plane, pki};

/// kubeadm's names, and where each certificate lies: a file below the PKI's folder, or a kubeconfig.
const CERTIFICATES: [(&str, &str, &str); 11] = [
    ("admin.conf", "admin.conf", "ca"),
    ("apiserver", "apiserver.crt", "ca"),
    (
        "apiserver-etcd-client",
        "apiserver-etcd-client.crt",
        "etcd-ca",
    ),
    (
        "apiserver-kubelet-client",
        "apiserver-kubelet-client.crt",
        "ca",
    ),
    ("controller-manager.conf", "controller-manager.conf", "ca"),
    (
        "etcd-healthcheck-client",
        "etcd/healthcheck-client.crt",
        "etcd-ca",
    ),
    ("etcd-peer", "etcd/peer.crt", "etcd-ca"),
    ("etcd-server", "etcd/server.crt", "etcd-ca"),
    (
        "front-proxy-client",
        "front-proxy-client.crt",
        "front-proxy-ca",
    ),
    ("scheduler.conf", "scheduler.conf", "ca"),
    ("super-admin.conf", "super-admin.conf", "ca"),
];

const AUTHORITIES: [(&str, &str); 3] = [
    ("ca", "ca.crt"),
    ("etcd-ca", "etcd/ca.crt"),
    ("front-proxy-ca", "front-proxy-ca.crt"),
];

/// Kubeconfigs that kubeadm makes, but for the kubelet's: user and group in each. Two for people, two for components.
pub(super) const KUBECONFIGS: [(&str, &str, Option<&str>); 4] = [
    (
        "admin.conf",
        "kubernetes-admin",
        Some("kubeadm:cluster-admins"),
    ),
    (
        "super-admin.conf",
        "kubernetes-super-admin",
        Some("system:masters"),
    ),
    (
        "controller-manager.conf",
        "system:kube-controller-manager",
        None,
    ),
    ("scheduler.conf", "system:kube-scheduler", None),
];

/// When a PEM certificate ends.
pub(crate) fn end(pem: &str) -> Option<Timestamp> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn pem(files: &Files, file: &str) -> Option<String> {
    if file.rsplit_once('.').is_some_and(|(_, kind)| kind == "crt") {
        return files.text(&format!("{}/{file}", pki::FOLDER));
    }
    let text = files.text(&format!("/etc/kubernetes/{file}"))?;
    let config: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).ok()?;
    let data = config
        .get("users")?
        .get(0)?
        .get("user")?
        .get("client-certificate-data")?
        .as_str()?;
    String::from_utf8(BASE64.decode(data.as_bytes()).ok()?).ok()
}

/// `kubeadm certs check-expiration -o json`.
pub(super) fn check(machine: &Machine, streams: &mut Streams) {
    let now = machine.world.clock.now();
    let state = machine.state();
    let one = |name: &str, file: &str, authority: Option<&str>| -> Value {
        let mut value = match pem(&state.files, file).and_then(|pem| end(&pem)) {
            Some(end) => json!({"name": name, "expirationDate": end.to_string(),
                "residualTime": end.duration_since(now).as_secs(), "externallyManaged": false}),
            None => {
                json!({"name": name, "expirationDate": null, "residualTime": 0, "externallyManaged": false, "missing": true})
            }
        };
        if let Some(authority) = authority {
            value["caName"] = json!(authority);
        }
        value
    };
    let certificates: Vec<Value> = CERTIFICATES
        .iter()
        .map(|(name, file, authority)| one(name, file, Some(authority)))
        .collect();
    let authorities: Vec<Value> = AUTHORITIES
        .iter()
        .map(|(name, file)| one(name, file, None))
        .collect();
    let report = json!({"kind": "CertificateExpirationInfo", "apiVersion": "output.kubeadm.k8s.io/v1alpha3",
        "certificates": certificates, "certificateAuthorities": authorities});
    streams.say(&format!("{report:#}"));
}

/// `kubeadm certs renew all`: new files; whatever runs keeps the old ones until it starts again.
pub(super) fn renew(machine: &Machine, streams: &mut Streams) -> Result<(), Failure> {
    let (node, cluster, authorities) = {
        let state = machine.state();
        let authorities = control_plane::authorities(&state.files, machine.world.clock.now());
        let member = &state.member;
        (
            member.node.clone().filter(|node| node.control_plane),
            member.cluster.clone(),
            authorities,
        )
    };
    let (Some(node), Some(cluster)) = (node, cluster) else {
        return Err(Failure::General(
            "failed to load existing certificate apiserver: open /etc/kubernetes/pki/apiserver.crt: no such file or directory".into(),
        ));
    };
    let authorities = authorities.map_err(|errors| Failure::General(errors.join("; ")))?;
    control_plane::certificates(
        machine,
        &authorities,
        &cluster.configuration,
        &node.name,
        node.address,
    )
    .map_err(Failure::General)?;
    for (file, user, organization) in KUBECONFIGS {
        if !machine
            .state()
            .files
            .is_file(&format!("/etc/kubernetes/{file}"))
        {
            streams.say(&format!(
                "MISSING! certificate embedded in the kubeconfig file {file}"
            ));
            continue;
        }
        control_plane::kubeconfig(
            machine,
            &authorities.ca,
            &cluster.configuration,
            file,
            user,
            organization,
        )
        .map_err(Failure::General)?;
    }
    streams.say("Done renewing certificates. You must restart the kube-apiserver, kube-controller-manager, kube-scheduler and etcd, so that they can use the new certificates.");
    Ok(())
}
