//! Files of clusters of virtual machines.

use super::{good, parse, read, show};
use std::collections::BTreeMap;

const LAB: &str = include_str!("../../../../examples/clusters/lab-talos.yaml");
const HOME: &str = include_str!("../../../../examples/clusters/proxmox-talos.yaml");

#[test]
fn virtual_machines_have_addresses_and_sizes() {
    let lab = good(LAB);
    assert_eq!(
        (
            lab.platform.kind.as_str(),
            lab.distribution.kind.as_str(),
            lab.endpoint.via.as_str(),
            lab.endpoint.name.as_str(),
            lab.network.gateway.as_deref(),
            lab.access.lockdown,
        ),
        (
            "proxmox",
            "talos",
            "vip",
            "192.0.2.10",
            Some("192.0.2.1"),
            false
        )
    );
    assert!(lab.warnings.is_empty() && lab.distribution.kubeadm.is_none());
    let home = good(HOME);
    let worker = &home.nodes["w-1"];
    assert_eq!(
        (
            worker.cores,
            worker.memory,
            worker.size,
            worker.zone.as_deref()
        ),
        (Some(8), Some(32 * 1024), Some(200), None)
    );
    let proxmox = home.platform.proxmox.as_ref().expect("Proxmox");
    assert_eq!(
        (
            proxmox.ca_file.as_deref(),
            proxmox.vlan,
            proxmox.images.as_str()
        ),
        (Some("pve-root-ca.pem"), Some(20), "local")
    );
    assert!(home.warnings.is_empty(), "{}", show(&home.warnings));
}

#[test]
fn nodes_join_a_vpn_and_in_the_lab_it_is_the_labs() {
    let vpn = |access: &str| {
        good(&format!("{LAB}access: {{vpn: {access}}}\n"))
            .access
            .vpn
    };
    let short = vpn("headscale").expect("it is set").headscale;
    assert_eq!((short.url, short.user, short.tags.len()), (None, None, 0));
    let home = good(&format!(
        "{HOME}access: {{vpn: {{headscale: {{url: \"https://hs.example.org\", user: alice@example.org, tags: [\"tag:k8s\"]}}}}}}\n"
    ));
    let full = home.access.vpn.expect("it is set").headscale;
    assert_eq!(
        (full.url.as_deref(), full.user.as_deref(), full.tags),
        (
            Some("https://hs.example.org"),
            Some("alice@example.org"),
            vec!["tag:k8s".to_owned()]
        )
    );
    let twice = read(&format!(
        "{HOME}access: {{vpn: {{headscale: {{url: \"https://hs.example.org\", user: a@b@c}}}}}}\n"
    ));
    let told = show(&twice.unwrap_err());
    assert!(
        told.contains("access.vpn.headscale.user") && told.contains("at most one `@`"),
        "{told}"
    );
    assert!(good(LAB).access.vpn.is_none());
}

#[test]
fn pins_stand_in_for_the_authority() {
    let pin = "AB:".repeat(31) + "AB";
    let file = HOME.replace(
        "ca: pve-root-ca.pem",
        &format!("ca: {{fingerprints: [\"{pin}\"]}}"),
    );
    let proxmox = good(&file).platform.proxmox.expect("Proxmox");
    assert_eq!((proxmox.ca_file, proxmox.fingerprints), (None, vec![pin]));
}

#[test]
fn wrong_addresses_versions_and_hosts_are_refused() {
    let table = [
        (
            "no address",
            ", address: 192.0.2.12/24",
            "",
            "CFG-03",
            "nodes.cp-2.address",
        ),
        (
            "no host",
            "host: pve1, address: 192.0.2.13",
            "address: 192.0.2.13",
            "CFG-03",
            "nodes.cp-3.host",
        ),
        (
            "an address twice",
            "192.0.2.12/24",
            "192.0.2.11/24",
            "NET-05",
            "nodes.cp-2.address",
        ),
        (
            "a node on the virtual address",
            "192.0.2.12/24",
            "192.0.2.10/24",
            "NET-05",
            "nodes.cp-2.address",
        ),
        (
            "a node on the gateway",
            "192.0.2.12/24",
            "192.0.2.1/24",
            "NET-05",
            "nodes.cp-2.address",
        ),
        (
            "the virtual address elsewhere",
            "address: 192.0.2.10",
            "address: 198.51.100.9",
            "NET-04",
            "endpoint.address",
        ),
        (
            "a node elsewhere",
            "192.0.2.12/24",
            "198.51.100.9/24",
            "NET-04",
            "nodes.cp-2.address",
        ),
        (
            "another prefix",
            "192.0.2.12/24",
            "192.0.2.12/25",
            "NET-04",
            "nodes.cp-2.address",
        ),
        (
            "the broadcast address",
            "192.0.2.12/24",
            "192.0.2.255/24",
            "NET-04",
            "nodes.cp-2.address",
        ),
        (
            "no network",
            "network: {nodes: 192.0.2.0/24}",
            "network: {}",
            "CFG-03",
            "network.nodes",
        ),
        (
            "no virtual address",
            "endpoint: {address: 192.0.2.10}",
            "endpoint: {name: a.test}",
            "CFG-03",
            "endpoint.address",
        ),
        (
            "an offer",
            "cp-1: {role: control-plane,",
            "cp-1: {role: control-plane, offer: EM-A610R-NVME,",
            "CFG-06",
            "nodes.cp-1.offer",
        ),
        (
            "a new Kubernetes",
            "lab: true",
            "lab: true\ndistribution: {talos: {kubernetes: v1.37.0}}",
            "CFG-04",
            "distribution.talos.kubernetes",
        ),
        (
            "an old Talos",
            "lab: true",
            "lab: true\ndistribution: {talos: {version: v1.9.5}}",
            "CFG-04",
            "distribution.talos.version",
        ),
        (
            "a newer contract",
            "lab: true",
            "lab: true\ndistribution: {talos: {contract: v1.14}}",
            "CFG-04",
            "distribution.talos.contract",
        ),
        (
            "a VPN without an address",
            "lab: true",
            "access: {vpn: {headscale: {user: k8s}}}",
            "ACC-06",
            "access.vpn.headscale.url",
        ),
        (
            "a VPN without a user",
            "lab: true",
            "access: {vpn: {headscale: {url: \"https://hs.example.org\"}}}",
            "ACC-06",
            "access.vpn.headscale.user",
        ),
        (
            "kubeadm",
            "lab: true",
            "lab: true\ndistribution: kubeadm",
            "CFG-08",
            "distribution",
        ),
        (
            "a lockdown with an address of the moment",
            "lab: true",
            "lab: true\naccess: {lockdown: on}",
            "ACC-05",
            "access.operators",
        ),
        (
            "a disk to choose",
            "cp-1: {role: control-plane,",
            "cp-1: {role: control-plane, disk: {min: 200GB},",
            "CFG-06",
            "nodes.cp-1.disk",
        ),
        (
            "keys for a door that Talos has not",
            "lab: true",
            "lab: true\naccess: {proof: none}",
            "CFG-06",
            "access.proof",
        ),
    ];
    for (case, from, to, code, field) in table {
        let text = LAB.replacen(from, to, 1);
        assert_ne!(text, LAB, "{case}");
        let findings = read(&text).expect_err(case);
        assert!(
            findings
                .iter()
                .any(|finding| (finding.code, finding.field.as_str()) == (code, field)),
            "{case}: want {code} {field}, got\n{}",
            show(&findings)
        );
    }
}

#[test]
fn talos_is_closed_where_the_operators_are_named() {
    let closed = good(&LAB.replacen(
        "lab: true",
        "lab: true\naccess: {lockdown: on, operators: [203.0.113.0/24]}",
        1,
    ));
    assert!(closed.access.lockdown);
    assert_eq!(closed.access.operators, ["203.0.113.0/24"]);
}

#[test]
fn the_lab_takes_only_addresses_that_are_nobodys() {
    let findings = read(&LAB.replace("192.0.2.", "10.0.0.")).expect_err("maybe real");
    assert!(
        findings.iter().any(|finding| finding.code == "LAB-05"),
        "{}",
        show(&findings)
    );
}

#[test]
fn control_planes_that_fail_together_are_mentioned() {
    let file = HOME
        .replace("host: pve2", "host: pve1")
        .replace("host: pve3", "host: pve1");
    let cluster = parse("c.yaml", &file, &BTreeMap::new()).expect("a warning is no error");
    assert_eq!(
        cluster.warnings[0].code,
        "NODES-05",
        "{}",
        show(&cluster.warnings)
    );
}
