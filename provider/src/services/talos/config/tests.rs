//! Whole configurations as pictures, with the secrets replaced by their names in the bundle, and what is refused.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;

mod upstream;

/// Takes a second to make, because of the RSA key.
static BUNDLE: LazyLock<String> =
    LazyLock::new(|| TalosSecrets::generate().unwrap().to_text().expose().clone());

fn options(change: impl FnOnce(&mut Value)) -> Options {
    let mut options = json!({
        "cluster": "home", "endpoint": "https://192.0.2.10:6443", "role": "control-plane", "contract": "v1.13", "kubernetes_version": "v1.36.3",
        "install": { "disk": "/dev/sda", "image": "ghcr.io/siderolabs/installer:v1.13.9" },
    });
    change(&mut options);
    serde_json::from_value(options).unwrap()
}

fn made(change: impl FnOnce(&mut Value)) -> Result<Vec<Document>, Error> {
    documents(options(change), &BUNDLE)
}

/// The bundle's values, in both forms, with their names.
fn names(path: &str, value: &Value, names: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                self::names(&path, value, names);
            }
        }
        Value::String(text) => {
            names.push((text.clone(), format!("({path})")));
            if let Ok(pem) = talos_secrets::decode("", text)
                && pem.starts_with("-----BEGIN")
            {
                names.push((pem, format!("(PEM of {path})")));
            }
        }
        _ => {}
    }
}

/// With the names of the secrets in their places.
fn hidden(documents: &[Document]) -> Vec<Document> {
    fn hide(value: &mut Value, known: &[(String, String)]) {
        match value {
            Value::Object(map) => map.values_mut().for_each(|value| hide(value, known)),
            Value::Array(list) => list.iter_mut().for_each(|value| hide(value, known)),
            Value::String(text) => {
                if let Some((_, name)) = known.iter().find(|(secret, _)| secret == text) {
                    text.clone_from(name);
                }
            }
            _ => {}
        }
    }
    let mut known = Vec::new();
    let bundle: Value = serde_yaml_ng::from_str(&BUNDLE).unwrap();
    names("", &bundle, &mut known);
    let mut shown = documents.to_vec();
    for document in &mut shown {
        document.values_mut().for_each(|value| hide(value, &known));
    }
    shown
}

fn picture(documents: &[Document]) -> String {
    patch::render(&hidden(documents))
}

#[test]
fn a_control_plane_of_contract_1_13() {
    insta::assert_snapshot!(picture(&made(|_| {}).unwrap()));
}

#[test]
fn a_worker_of_contract_1_12() {
    let worker = made(|options| {
        options["role"] = "worker".into();
        options["contract"] = "v1.12".into();
    });
    insta::assert_snapshot!(picture(&worker.unwrap()));
}

#[test]
fn a_control_plane_of_contract_1_14() {
    let made = made(|options| options["contract"] = "v1.14".into());
    insta::assert_snapshot!(picture(&made.unwrap()));
}

#[test]
fn a_worker_of_contract_1_14_has_no_key_of_a_ca() {
    let worker = made(|options| {
        options["role"] = "worker".into();
        options["contract"] = "v1.15".into();
    });
    let picture = picture(&worker.unwrap());
    assert!(!picture.contains(".key)") && !picture.contains("KubeAPIServerConfig"));
    assert!(picture.contains("acceptedCAs:\n- (PEM of certs.k8s.crt)"));
}

/// Everything that a cluster on Proxmox asks for, with both contracts: other words for the same.
#[test]
fn the_wishes_of_a_cluster() {
    for contract in ["v1.13", "v1.14"] {
        let made = made(|options| {
            options["contract"] = contract.into();
            options["cni"] = "none".into();
            options["kube_proxy"] = false.into();
            options["hostname"] = "cp-1".into();
            options["vip"] = json!({ "address": "192.0.2.10", "link": "eth0" });
            options["network"] = json!({
                "link": "eth0", "address": "192.0.2.21/24", "gateway": "192.0.2.1", "nameservers": ["192.0.2.1"], "ntp": ["192.0.2.1"],
            });
            options["node_networks"] = json!(["192.0.2.0/24"]);
            options["labels"] = json!({ "example.org/rack": "a" });
            options["taints"] = json!(["example.org/gpu=yes:NoSchedule"]);
            options["sans"] = json!(["api.example.org"]);
            options["patches"] = json!(["machine: {env: {GODEBUG: x}}"]);
        });
        insta::with_settings!({ snapshot_suffix => contract }, {
            insta::assert_snapshot!(picture(&made.unwrap()));
        });
    }
}

#[test]
fn an_endpoint_of_ipv6_has_networks_of_ipv6() {
    let made = made(|options| options["endpoint"] = "https://[2001:db8::1]:6443".into()).unwrap();
    let network = &made[0]["cluster"]["network"];
    assert_eq!(network["podSubnets"], json!(["fc00:db8:10::/56"]));
    assert_eq!(network["serviceSubnets"], json!(["fc00:db8:20::/112"]));
}

#[test]
fn what_no_machine_would_take_is_refused_with_its_place() {
    type Change = Box<dyn FnOnce(&mut Value)>;
    let patch = |text: &'static str| move |options: &mut Value| options["patches"] = json!([text]);
    let cases: Vec<(Change, &str)> = vec![
        (
            Box::new(|o| o["contract"] = "v1.9".into()),
            "`contract` must be one of v1.12",
        ),
        (
            Box::new(|o| o["kubernetes_version"] = "1.36".into()),
            "`kubernetes_version`",
        ),
        (
            Box::new(|o| o["endpoint"] = "192.0.2.10:6443".into()),
            "`endpoint`",
        ),
        (
            Box::new(|o| o["taints"] = json!(["gpu:NoSchedule"])),
            "`taints` must be texts like",
        ),
        (
            Box::new(|o| o["cni"] = "calico".into()),
            "`cni` must be `flannel`, `none`",
        ),
        (
            Box::new(patch("machine: {network: {hostname: x}}")),
            "`machine.network.hostname` and a document HostnameConfig",
        ),
        (
            Box::new(patch("machine: {type: worker}")),
            "`machine.type` must be `controlplane`",
        ),
        (Box::new(patch("persist: false")), "`persist`"),
        (
            Box::new(patch("machine: {ca: {$patch: delete}}")),
            "`machine.ca.crt` is missing",
        ),
        (
            Box::new(patch("machine: {install: {extraKernelArgs: [a]}}")),
            "schematic",
        ),
        (
            Box::new(patch("machine: {sysctls: {$patch: delete}}")),
            "patch 1: the patch deletes `machine.sysctls`",
        ),
        (
            Box::new(patch(
                "kind: HostnameConfig\napiVersion: v1alpha1\nhostname: x",
            )),
            "needs `auto: off`",
        ),
        (
            Box::new(|o| {
                o["role"] = "worker".into();
                o["patches"] = json!([
                    "apiVersion: v1alpha1\nkind: Layer2VIPConfig\nname: 192.0.2.10\nlink: eth0"
                ]);
            }),
            "Layer2VIPConfig is for control planes only",
        ),
    ];
    for (change, told) in cases {
        let error = made(change).unwrap_err().to_string();
        assert!(error.contains(told), "{told}: {error}");
    }
    let error = documents(options(|_| {}), "hunter2")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`secrets`") && !error.contains("hunter2"),
        "{error}"
    );
}
