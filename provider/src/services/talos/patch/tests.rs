//! Patches of one document and of several, what they delete and what is refused.

use serde_json::json;

use super::*;

fn merge(base: &Value, patch: &Value) -> Value {
    let text = merged(&base.to_string(), &patch.to_string()).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_patch_of_a_node_manager_is_merged() {
    let base = json!({
        "machine": { "install": { "disk": "/dev/sda", "wipe": true }, "kubelet": { "image": "x" }, "certSANs": ["a"] },
        "cluster": { "network": { "podSubnets": ["10.244.0.0/16"] } },
    });
    let patch = json!({
        "machine": {
            "install": { "disk": "/dev/xvda", "wipe": false, "image": "" },
            "kubelet": { "extraArgs": { "rotate-server-certificates": "true" } },
            "sysctls": { "net.core.somaxconn": "65535" },
            "certSANs": ["b"],
        },
        "cluster": { "network": { "podSubnets": ["10.0.0.0/8"] } },
    });
    let merged = merge(&base, &patch);
    assert_eq!(
        merged,
        json!({
            "machine": {
                "install": { "disk": "/dev/xvda", "wipe": false, "image": "" },
                "kubelet": { "image": "x", "extraArgs": { "rotate-server-certificates": "true" } },
                "certSANs": ["a", "b"],
                "sysctls": { "net.core.somaxconn": "65535" },
            },
            "cluster": { "network": { "podSubnets": ["10.0.0.0/8"] } },
        })
    );
    // What is there is not overwritten with nothing.
    let empty = json!({ "machine": { "install": { "disk": "" }, "kubelet": null } });
    assert_eq!(merge(&base, &empty), base);
    assert_eq!(merge(&base, &Value::Null), base);
}

#[test]
fn lists_with_a_key_are_matched_and_free_maps_replaced() {
    let base = json!({
        "machine": { "network": { "interfaces": [{ "interface": "eth0", "mtu": 1500, "vlans": [{ "vlanId": 7, "mtu": 1 }] }] } },
        "cluster": { "apiServer": { "extraArgs": { "v": ["1"] }, "auditPolicy": { "rules": ["a"] } } },
    });
    let patch = json!({
        "machine": { "network": { "interfaces": [
            { "interface": "eth0", "dhcp": true, "vlans": [{ "vlanId": 7, "mtu": 2 }, { "vlanId": 8 }] }, { "interface": "eth1" },
        ] } },
        "cluster": { "apiServer": { "extraArgs": { "v": ["2"] }, "auditPolicy": { "kind": "Policy" } } },
    });
    let merged = merge(&base, &patch);
    let interfaces = &merged["machine"]["network"]["interfaces"];
    assert_eq!(
        interfaces,
        &json!([
            { "interface": "eth0", "mtu": 1500, "vlans": [{ "vlanId": 7, "mtu": 2 }, { "vlanId": 8 }], "dhcp": true },
            { "interface": "eth1" },
        ])
    );
    let server = &merged["cluster"]["apiServer"];
    assert_eq!(
        server,
        &json!({ "extraArgs": { "v": ["2"] }, "auditPolicy": { "kind": "Policy" } })
    );
}

#[test]
fn what_is_deleted_goes_before_the_rest_is_merged() {
    let base = json!({ "machine": { "sysctls": { "a": "1" }, "kubelet": { "image": "x", "extraArgs": {} } } });
    let patch = json!({ "machine": { "sysctls": { "$patch": "delete" }, "kubelet": { "extraArgs": { "$patch": "delete" } } } });
    assert_eq!(
        merge(&base, &patch),
        json!({ "machine": { "kubelet": { "image": "x" } } })
    );
}

const SEVERAL: &str = "version: v1alpha1\nmachine: {type: worker}\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n---\n\
                      apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data\nprovisioning: {minSize: 1GiB}\n";

fn patched(patch: &str) -> Result<Vec<Value>, Error> {
    let documents = apply(documents(SEVERAL).unwrap(), patch)?;
    Ok(documents.into_iter().map(Value::Object).collect())
}

#[test]
fn documents_match_by_kind_and_name_and_others_are_added() {
    let result = patched(
        "machine: {sysctls: {a: '1'}}\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: off\nhostname: cp-1\n---\n\
         apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: more\nprovisioning: {minSize: 2GiB}\n",
    )
    .unwrap();
    assert_eq!(
        result,
        [
            json!({ "version": "v1alpha1", "machine": { "type": "worker", "sysctls": { "a": "1" } } }),
            json!({ "apiVersion": "v1alpha1", "kind": "HostnameConfig", "auto": "off", "hostname": "cp-1" }),
            json!({ "apiVersion": "v1alpha1", "kind": "UserVolumeConfig", "name": "data", "provisioning": { "minSize": "1GiB" } }),
            json!({ "apiVersion": "v1alpha1", "kind": "UserVolumeConfig", "name": "more", "provisioning": { "minSize": "2GiB" } }),
        ]
    );
    let several = apply(
        documents(SEVERAL).unwrap(),
        "machine: {sysctls: {a: 1, b: -2, c: 0.5, d: 18446744073709551615}}",
    );
    let several = several.unwrap();
    let text = render(&several);
    assert!(
        text.contains("\n    a: 1\n    b: -2\n    c: 0.5\n"),
        "{text}"
    );
    assert_eq!(documents(&text).unwrap(), several);
}

#[test]
fn a_document_is_deleted_and_the_one_that_boots_is_not() {
    let gone = "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: data\n$patch: delete\n";
    assert_eq!(patched(gone).unwrap().len(), 2);
    let never = "apiVersion: v1alpha1\nkind: UserVolumeConfig\nname: other\n$patch: delete\n";
    assert_eq!(patched(never).unwrap().len(), 3);
    assert_eq!(patched("machine: {}\n$patch: delete\n"), Err(Error::Main));
    let wrong = patched("machine: {sysctls: {$patch: replace}}\n");
    assert_eq!(wrong, Err(Error::Directive("machine.sysctls".into())));
}

#[test]
fn elements_are_deleted_by_the_key_beside_the_mark() {
    let base = json!({ "machine": { "network": { "interfaces": [{ "interface": "eth0" }, { "interface": "eth1" }] } } });
    let one = json!({ "machine": { "network": { "interfaces": [{ "interface": "eth0", "$patch": "delete" }, { "interface": "eth2" }] } } });
    assert_eq!(
        merge(&base, &one)["machine"]["network"]["interfaces"],
        json!([{ "interface": "eth1" }, { "interface": "eth2" }])
    );
    for (patch, place) in [
        (
            json!({ "machine": { "network": { "interfaces": [{ "interface": "eth9", "$patch": "delete" }] } } }),
            "machine.network.interfaces[interface]",
        ),
        (
            json!({ "machine": { "sysctls": { "$patch": "delete" } } }),
            "machine.sysctls",
        ),
        (
            json!({ "cluster": { "proxy": { "$patch": "delete" } } }),
            "cluster",
        ),
    ] {
        let error = merged(&base.to_string(), &patch.to_string()).unwrap_err();
        assert_eq!(error, Error::Nothing(place.into()));
    }
}

#[test]
fn lists_of_the_newer_documents_have_rules_of_their_own() {
    let base = "apiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: kubelet\nportSelector: {ports: [10250], protocol: tcp}\ningress: [{subnet: 10.0.0.0/8}]\n";
    let patch = "apiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: kubelet\nportSelector: {ports: [10251]}\ningress: [{subnet: 192.0.2.0/24}]\n";
    let rule = apply(documents(base).unwrap(), patch).unwrap();
    assert_eq!(
        rule[0]["portSelector"],
        json!({ "ports": [10251], "protocol": "tcp" })
    );
    assert_eq!(rule[0]["ingress"], json!([{ "subnet": "192.0.2.0/24" }]));
    let base = "apiVersion: v1alpha1\nkind: ImageVerificationConfig\nrules: [{image: 'a/*', skip: true}]\n";
    let patch = "apiVersion: v1alpha1\nkind: ImageVerificationConfig\nrules: [{image: 'a/*', deny: true}, {image: 'b/*'}]\n";
    let rules = apply(documents(base).unwrap(), patch).unwrap();
    assert_eq!(
        rules[0]["rules"],
        json!([{ "image": "a/*", "deny": true }, { "image": "b/*" }])
    );
}

#[test]
fn operations_are_for_one_document() {
    let base = json!({ "machine": { "certSANs": ["a"] } }).to_string();
    let patch = r#"[{"op": "add", "path": "/machine/certSANs/-", "value": "b"}, {"op": "remove", "path": "/machine/certSANs/0"}]"#;
    let result = merged(&base, patch).unwrap();
    assert_eq!(result, r#"{"machine":{"certSANs":["b"]}}"#);
    let missing = r#"[{"op": "test", "path": "/machine/certSANs/0", "value": "a"}, {"op": "add", "path": "/machine/no/where", "value": 1}]"#;
    assert_eq!(merged(&base, missing), Err(Error::Operation(2)));
    assert_eq!(patched(patch), Err(Error::Operations));
}

#[test]
fn what_is_no_configuration_is_refused_without_quoting_it() {
    let twice = "kind: A\nname: b\n---\nkind: A\nname: b\n";
    for (base, patch, expected) in [
        ("hunter2", "{}", Error::Document(CONFIGURATION)),
        ("", "{}", Error::Document(CONFIGURATION)),
        ("a: {hunter2", "{}", Error::Document(CONFIGURATION)),
        ("{}", "hunter2", Error::Document(THE_PATCH)),
        ("{}", "[{\"op\": \"hunter2\"}]", Error::Operation(1)),
        (
            twice,
            "{}",
            Error::Twice {
                what: CONFIGURATION,
                document: "A b".into(),
            },
        ),
    ] {
        let error = merged(base, patch).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(error, expected);
    }
}
