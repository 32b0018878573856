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

/// Each rule of upstream's merge, with the file below `pkg/machinery/config` of <https://github.com/siderolabs/talos> that has it.
#[test]
fn every_rule_of_upstreams_merge_is_ours() {
    let first = "";
    let cases = [
        // What, which source, kind of the document (none: the first), base, patch, result.
        (
            "a text or number replaces",
            "merge/merge.go",
            first,
            "machine: {install: {disk: /dev/sda}}",
            "machine: {install: {disk: /dev/sdb}}",
            "machine: {install: {disk: /dev/sdb}}",
        ),
        (
            "an empty text leaves what is there, in free maps too",
            "merge/merge.go",
            first,
            "machine: {install: {disk: /dev/sda}, nodeLabels: {a: b}}",
            "machine: {install: {disk: ''}, nodeLabels: {a: ''}}",
            "machine: {install: {disk: /dev/sda}, nodeLabels: {a: b}}",
        ),
        (
            "false is no zero",
            "merge/merge.go",
            first,
            "machine: {features: {kubePrism: {enabled: true, port: 7445}}}",
            "machine: {features: {kubePrism: {enabled: false, port: 0}}}",
            "machine: {features: {kubePrism: {enabled: false, port: 7445}}}",
        ),
        (
            "nothing leaves what is there",
            "merge/merge.go",
            first,
            "machine: {kubelet: {image: x}, certSANs: [a]}",
            "machine: {kubelet: , certSANs: }",
            "machine: {kubelet: {image: x}, certSANs: [a]}",
        ),
        (
            "a list is appended, equal elements too",
            "merge/merge.go",
            first,
            "machine: {certSANs: [a]}\ncluster: {inlineManifests: [{name: x, contents: a}]}",
            "machine: {certSANs: [a, b]}\ncluster: {inlineManifests: [{name: x, contents: b}]}",
            "machine: {certSANs: [a, a, b]}\ncluster: {inlineManifests: [{name: x, contents: a}, {name: x, contents: b}]}",
        ),
        (
            "the networks of the cluster are replaced",
            "types/v1alpha1/v1alpha1_types.go, tag of PodSubnet and ServiceSubnet",
            first,
            "cluster: {network: {podSubnets: [10.244.0.0/16], serviceSubnets: [10.96.0.0/12]}}",
            "cluster: {network: {podSubnets: [10.0.0.0/16], serviceSubnets: []}}",
            "cluster: {network: {podSubnets: [10.0.0.0/16], serviceSubnets: []}}",
        ),
        (
            "so are they in their own document",
            "types/k8s/network.go",
            "KubeNetworkConfig",
            "podSubnets: [10.244.0.0/16]",
            "podSubnets: [10.0.0.0/16, 'fd00::/56']",
            "podSubnets: [10.0.0.0/16, 'fd00::/56']",
        ),
        (
            "the audit policy is replaced",
            "types/v1alpha1/v1alpha1_types.go, tag of AuditPolicyConfig",
            first,
            "cluster: {apiServer: {auditPolicy: {kind: Policy, rules: [{level: Metadata}]}}}",
            "cluster: {apiServer: {auditPolicy: {rules: [{level: None}]}}}",
            "cluster: {apiServer: {auditPolicy: {rules: [{level: None}]}}}",
        ),
        (
            "so is it in its own document",
            "types/k8s/audit_policy.go",
            "KubeAuditPolicyConfig",
            "configuration: {kind: Policy, rules: [{level: Metadata}]}",
            "configuration: {rules: [{level: None}]}",
            "configuration: {rules: [{level: None}]}",
        ),
        (
            "so is the authentication",
            "types/k8s/authentication.go",
            "KubeAuthenticationConfig",
            "configuration: {anonymous: {enabled: true}, jwt: []}",
            "configuration: {jwt: [{issuer: {url: x}}]}",
            "configuration: {jwt: [{issuer: {url: x}}]}",
        ),
        (
            "what is free otherwise is merged, its lists appended",
            "merge/merge.go, types/meta/unstructured.go",
            "KubeletConfig",
            "config: {featureGates: {A: true}, allowedUnsafeSysctls: [a]}",
            "config: {featureGates: {B: false}, allowedUnsafeSysctls: [b]}",
            "config: {featureGates: {A: true, B: false}, allowedUnsafeSysctls: [a, b]}",
        ),
        (
            "an argument is replaced whole, with nothing as well",
            "types/meta/args.go",
            first,
            "cluster: {apiServer: {extraArgs: {a: [x], b: y, c: z}}}",
            "cluster: {apiServer: {extraArgs: {a: [z], b: ''}}}",
            "cluster: {apiServer: {extraArgs: {a: [z], b: '', c: z}}}",
        ),
        (
            "interfaces are matched by name",
            "types/v1alpha1, NetworkDeviceList.Merge",
            first,
            "machine: {network: {interfaces: [{interface: eth0, mtu: 1500, addresses: [a]}]}}",
            "machine: {network: {interfaces: [{interface: eth0, addresses: [b]}, {interface: eth1}]}}",
            "machine: {network: {interfaces: [{interface: eth0, mtu: 1500, addresses: [a, b]}, {interface: eth1}]}}",
        ),
        (
            "by an equal selector where the patch gives no name",
            "types/v1alpha1, NetworkDeviceList.Merge",
            first,
            "machine: {network: {interfaces: [{deviceSelector: {driver: virtio}, mtu: 1500}]}}",
            "machine: {network: {interfaces: [{interface: '', deviceSelector: {driver: virtio}, dhcp: true}, {deviceSelector: {driver: e1000}}]}}",
            "machine: {network: {interfaces: [{deviceSelector: {driver: virtio}, mtu: 1500, interface: '', dhcp: true}, {deviceSelector: {driver: e1000}}]}}",
        ),
        (
            "a name in the patch is not matched by the selector",
            "types/v1alpha1, NetworkDeviceList.Merge",
            first,
            "machine: {network: {interfaces: [{interface: eth1, deviceSelector: {driver: virtio}}]}}",
            "machine: {network: {interfaces: [{interface: eth0, deviceSelector: {driver: virtio}}]}}",
            "machine: {network: {interfaces: [{interface: eth1, deviceSelector: {driver: virtio}}, {interface: eth0, deviceSelector: {driver: virtio}}]}}",
        ),
        (
            "VLANs are matched by number",
            "types/v1alpha1, VlanList.Merge",
            first,
            "machine: {network: {interfaces: [{interface: eth0, vlans: [{vlanId: 7, mtu: 1400}]}]}}",
            "machine: {network: {interfaces: [{interface: eth0, vlans: [{vlanId: 7, dhcp: true}, {vlanId: 8}]}]}}",
            "machine: {network: {interfaces: [{interface: eth0, vlans: [{vlanId: 7, mtu: 1400, dhcp: true}, {vlanId: 8}]}]}}",
        ),
        (
            "admission plugins are matched by name",
            "types/v1alpha1, AdmissionPluginConfigList.Merge",
            first,
            "cluster: {apiServer: {admissionControl: [{name: PodSecurity, configuration: {exemptions: {namespaces: [kube-system]}}}]}}",
            "cluster: {apiServer: {admissionControl: [{name: PodSecurity, configuration: {exemptions: {namespaces: [storage]}}}]}}",
            "cluster: {apiServer: {admissionControl: [{name: PodSecurity, configuration: {exemptions: {namespaces: [kube-system, storage]}}}]}}",
        ),
        (
            "files of an extension are matched by path",
            "types/runtime/extensions, ConfigFileList.Merge",
            "ExtensionServiceConfig",
            "configFiles: [{content: a, mountPath: /x}]",
            "configFiles: [{content: b, mountPath: /x}, {content: c, mountPath: /y}]",
            "configFiles: [{content: b, mountPath: /x}, {content: c, mountPath: /y}]",
        ),
        (
            "ports and networks of a rule are replaced",
            "types/network/rule_config.go",
            "NetworkRuleConfig",
            "portSelector: {ports: [1], protocol: tcp}\ningress: [{subnet: 10.0.0.0/8}]",
            "portSelector: {ports: [2]}\ningress: [{subnet: 192.0.2.0/24}]",
            "portSelector: {ports: [2], protocol: tcp}\ningress: [{subnet: 192.0.2.0/24}]",
        ),
        (
            "what is deleted goes first",
            "configpatcher/strategic.go, configloader's delete selectors",
            "KubeNodeConfig",
            "labels: {a: '', b: ''}\ntaints: {c: NoSchedule}",
            "labels: {b: {$patch: delete}, d: ''}\ntaints: {$patch: delete}",
            "labels: {a: '', d: ''}",
        ),
    ];
    for (rule, source, kind, base, patch, expected) in cases {
        let text = |content: &str| {
            if kind.is_empty() {
                content.to_owned()
            } else {
                format!("apiVersion: v1alpha1\nkind: {kind}\n{content}")
            }
        };
        let merged = apply(documents(&text(base)).unwrap(), &text(patch)).unwrap();
        assert_eq!(
            merged,
            documents(&text(expected)).unwrap(),
            "{rule} ({source})"
        );
    }
}
