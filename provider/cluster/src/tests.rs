//! Tests of the whole path from text to cluster: wrong files, examples, overrides, generated files, arbitrary text.

mod proxmox;

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const LAB: &str = include_str!("../../../examples/clusters/lab.yaml");
const PRODUCTION: &str = include_str!("../../../examples/clusters/production-scaleway.yaml");

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn read(text: &str) -> Result<Cluster, Vec<Finding>> {
    parse("c.yaml", text, &BTreeMap::new())
}

fn show(findings: &[Finding]) -> String {
    findings
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

fn good(text: &str) -> Cluster {
    read(text).unwrap_or_else(|findings| panic!("{}\n{text}", show(&findings)))
}

/// A valid lab file with three control planes in lines 7 to 9 and room for more lines after it.
const BASE: &str = "strata: 1
name: home
lab: true
platform: scaleway
endpoint: {name: api.home.strata.test}
nodes:
  cp-1: control-plane
  cp-2: control-plane
  cp-3: control-plane
";
const DNS: &str = "dns: {cloudflare: {zone: strata.test}}\n";

#[test]
fn wrong_files_are_refused_with_code_line_and_field() {
    let base = |extra: &str| format!("{BASE}{DNS}{extra}");
    let no_dns = |extra: &str| format!("{BASE}{extra}");
    let table: Vec<(&str, String, &str, usize, &str)> = vec![
        (
            "unknown field",
            base("netwrok: {}\n"),
            "CFG-02",
            11,
            "netwrok",
        ),
        (
            "unknown inner field",
            base("access: {public_port: [80]}\n"),
            "CFG-02",
            11,
            "access.public_port",
        ),
        (
            "bad role",
            base("").replace("cp-3: control-plane", "cp-3: contrl-plane"),
            "CFG-04",
            9,
            "nodes.cp-3.role",
        ),
        (
            "even control planes",
            base("").replace("cp-3: control-plane", "cp-3: worker"),
            "NODES-02",
            8,
            "nodes.cp-2",
        ),
        (
            "no control plane",
            base("").replace(": control-plane", ": worker"),
            "NODES-01",
            6,
            "nodes",
        ),
        (
            "pods overlap services",
            base("network: {pods: 10.96.0.0/16}\n"),
            "NET-01",
            11,
            "network.pods",
        ),
        (
            "services overlap pods",
            base("network: {services: 10.244.0.0/16}\n"),
            "NET-01",
            11,
            "network.services",
        ),
        (
            "operators overlap pods",
            base("access: {operators: [10.244.1.0/24]}\n"),
            "NET-01",
            11,
            "access.operators[0]",
        ),
        (
            "pods overlap the lab",
            base("network: {pods: 198.51.0.0/16}\n"),
            "NET-01",
            11,
            "network.pods",
        ),
        (
            "host bits",
            base("network: {pods: 10.244.1.0/16}\n"),
            "CFG-04",
            11,
            "network.pods",
        ),
        (
            "pods too small",
            base("network: {pods: 10.244.0.0/23}\n"),
            "NET-03",
            11,
            "network.pods",
        ),
        (
            "missing name",
            base("").replace("name: home\n", "\n"),
            "CFG-03",
            1,
            "name",
        ),
        (
            "wrong format",
            base("").replace("strata: 1", "strata: 2"),
            "CFG-04",
            1,
            "strata",
        ),
        (
            "bad cluster name",
            base("").replace("name: home\n", "name: Home_1\n"),
            "CFG-04",
            2,
            "name",
        ),
        (
            "bad node name",
            base("").replace("cp-3:", "CP_3:"),
            "CFG-04",
            9,
            "nodes",
        ),
        (
            "duplicate key",
            base("").replace("cp-3:", "cp-2:"),
            "CFG-01",
            9,
            "",
        ),
        ("not YAML", base("access: [\n"), "CFG-01", 11, ""),
        ("anchor", base("sso: &a {}\n"), "CFG-01", 11, ""),
        ("two documents", base("---\nname: b\n"), "CFG-01", 11, ""),
        (
            "two platforms",
            base("").replace("platform: scaleway", "platform: {scaleway: {}, aws: {}}"),
            "CFG-05",
            4,
            "platform",
        ),
        (
            "no platform",
            base("").replace("platform: scaleway", "platform: {}"),
            "CFG-05",
            4,
            "platform",
        ),
        (
            "unknown platform",
            base("").replace("platform: scaleway", "platform: scalway"),
            "CFG-04",
            4,
            "platform",
        ),
        (
            "matrix",
            base("distribution: k3s\n"),
            "CFG-06",
            11,
            "distribution",
        ),
        (
            "other platform's field",
            base("").replace(
                "cp-3: control-plane",
                "cp-3: {role: control-plane, cores: 4}",
            ),
            "CFG-06",
            9,
            "nodes.cp-3.cores",
        ),
        (
            "gateway",
            base("network: {gateway: 192.0.2.1}\n"),
            "CFG-06",
            11,
            "network.gateway",
        ),
        (
            "old kubernetes",
            base("distribution: {kubeadm: {version: v1.30.0}}\n"),
            "CFG-04",
            11,
            "distribution.kubeadm.version",
        ),
        (
            "version without v",
            base("distribution: {kubeadm: {version: 1.34.2}}\n"),
            "CFG-04",
            11,
            "distribution.kubeadm.version",
        ),
        (
            "duration",
            base("timeouts: {ssh: 20 minutes}\n"),
            "CFG-04",
            11,
            "timeouts.ssh",
        ),
        (
            "duration of nothing",
            base("timeouts: {ssh: 0m}\n"),
            "CFG-04",
            11,
            "timeouts.ssh",
        ),
        (
            "quoted bool",
            base("").replace("lab: true", "lab: \"true\""),
            "CFG-04",
            3,
            "lab",
        ),
        (
            "port",
            base("access: {public_ports: [80, 70000]}\n"),
            "CFG-04",
            11,
            "access.public_ports[1]",
        ),
        (
            "port of the lockdown",
            base("access: {public_ports: [80, 22]}\n"),
            "ACC-01",
            11,
            "access.public_ports[1]",
        ),
        (
            "api for nobody",
            base("access: {api: [nodes]}\n"),
            "ACC-03",
            11,
            "access.api",
        ),
        (
            "api for auto",
            base("access: {api: [operators]}\n"),
            "ACC-03",
            11,
            "access.api",
        ),
        (
            "teleport nowhere",
            base("access: {proof: teleport}\n"),
            "ACC-04",
            11,
            "access.proof",
        ),
        (
            "teleport in the lab",
            base("access: {teleport: {proxy: \"teleport.example.org:443\"}}\n"),
            "LAB-04",
            11,
            "access.teleport",
        ),
        ("no dns for three", no_dns(""), "END-01", 5, "endpoint"),
        (
            "no dns for one",
            no_dns("").replace("  cp-2: control-plane\n  cp-3: control-plane\n", ""),
            "END-01",
            5,
            "endpoint",
        ),
        (
            "via node for three",
            base("").replace("strata.test}\nnodes", "strata.test, via: node}\nnodes"),
            "END-01",
            5,
            "endpoint.via",
        ),
        (
            "vip on scaleway",
            base("").replace("strata.test}\nnodes", "strata.test, via: vip}\nnodes"),
            "CFG-06",
            5,
            "endpoint.via",
        ),
        (
            "name outside the zone",
            base("").replace("api.home.strata.test", "api.other.test"),
            "END-02",
            5,
            "endpoint.name",
        ),
        (
            "lab with a public zone",
            base("").replace("strata.test", "strata.org"),
            "LAB-03",
            10,
            "dns.cloudflare.zone",
        ),
        (
            "lab with remote state",
            base("state: {s3: {bucket: b}}\n"),
            "LAB-01",
            11,
            "state",
        ),
        (
            "lab with a real store",
            base("store: keyring\n"),
            "LAB-02",
            11,
            "store",
        ),
        (
            "later: gitops",
            base("gitops: {flux: {url: \"ssh://git@example.org/x\"}}\n"),
            "CFG-08",
            11,
            "gitops",
        ),
        (
            "a VPN with kubeadm",
            base("access: {vpn: headscale}\n"),
            "CFG-06",
            11,
            "access.vpn",
        ),
        (
            "later: private",
            base("network: {private: true}\n"),
            "CFG-08",
            11,
            "network.private",
        ),
        (
            "later: wireguard",
            base("cni: {cilium: {encryption: wireguard}}\n"),
            "CFG-08",
            11,
            "cni.cilium.encryption",
        ),
        (
            "reserved label",
            base("").replace(
                "cp-3: control-plane",
                "cp-3: {role: control-plane, labels: {node-role.kubernetes.io/x: y}}",
            ),
            "NODES-04",
            9,
            "nodes.cp-3.labels.\"node-role.kubernetes.io/x\"",
        ),
        (
            "taint",
            base("").replace(
                "cp-3: control-plane",
                "cp-3: {role: control-plane, taints: [\"a=b\"]}",
            ),
            "CFG-04",
            9,
            "nodes.cp-3.taints[0]",
        ),
        (
            "record value",
            base("").replace(
                "strata.test}}",
                "strata.test}, records: {www: {type: A, values: [\"2001:db8::1\"]}}}",
            ),
            "DNS-03",
            10,
            "dns.records.www",
        ),
        (
            "record is the endpoint",
            base("").replace(
                "strata.test}}",
                "strata.test}, records: {api.home: {type: A, values: [192.0.2.1]}}}",
            ),
            "DNS-02",
            10,
            "dns.records.\"api.home\"",
        ),
        (
            "wrong default",
            base("defaults: {control-plane: {wipe: some}}\n"),
            "CFG-04",
            11,
            "defaults.control-plane.wipe",
        ),
        (
            "secret by form",
            base("manifests: AGE-SECRET-KEY-1QYQSZQGPQYQSZQGP\n"),
            "CFG-07",
            11,
            "manifests",
        ),
        (
            "secret by name",
            base("access: {password: x}\n"),
            "CFG-07",
            11,
            "access.password",
        ),
        (
            "secret uuid",
            base("store: {file: {path: 11111111-2222-4333-8444-555555555555}}\n"),
            "CFG-07",
            11,
            "store.file.path",
        ),
        (
            "secret key block",
            base("manifests: |\n  -----BEGIN PRIVATE KEY-----\n  MC4C\n"),
            "CFG-07",
            12,
            "manifests",
        ),
        (
            "secret in a URL",
            base("gitops: {flux: {url: \"https://u:pw@example.org/x\"}}\n"),
            "CFG-07",
            11,
            "gitops.flux.url",
        ),
    ];
    for (case, text, code, line, field) in table {
        let findings = read(&text).expect_err(case);
        assert!(
            findings.iter().any(
                |finding| (finding.code, finding.line, finding.field.as_str())
                    == (code, line, field)
            ),
            "{case}: want {code} {line} {field}, got\n{}",
            show(&findings)
        );
    }
}

#[test]
fn secrets_are_never_quoted() {
    for secret in [
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "hvs.CAESIJlU02LQZqzzzzzzzzzz",
        "11111111-2222-4333-8444-555555555555",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ] {
        for field in [
            "name",
            "lab",
            "platform",
            "distribution",
            "network",
            "manifests",
            "on_failure",
            "nodes",
            "nosuch",
            "services",
            "sso",
        ] {
            let text = format!(
                "{}{field}: {secret}\n",
                BASE.split_inclusive('\n')
                    .filter(|line| !line.starts_with(field))
                    .collect::<String>()
            );
            let findings = read(&text).expect_err(field);
            assert!(
                !show(&findings).contains(secret),
                "{field}: {}",
                show(&findings)
            );
        }
        let findings =
            parse("c.yaml", LAB, &set(&[("name", secret)])).expect_err("a secret as an override");
        assert!(!show(&findings).contains(secret));
        let findings = read(&format!("{BASE}{secret}: 1\n")).expect_err("a secret as a key");
        assert!(!show(&findings).contains(secret));
    }
}

#[test]
fn all_findings_are_collected_in_file_order() {
    let text = "strata: 1\nname: Home\nplatform: scaleway\nnetwrok: {}\nnodes:\n  a: control-plane\n  b: control-plane\ntimeouts: {ssh: soon}\n";
    let codes: Vec<_> = read(text)
        .expect_err("wrong")
        .iter()
        .map(|finding| (finding.code, finding.line))
        .collect();
    for expected in [("CFG-04", 2), ("CFG-02", 4), ("NODES-02", 7), ("CFG-04", 8)] {
        assert!(codes.contains(&expected), "{codes:?}");
    }
    assert!(codes.is_sorted_by_key(|(_, line)| *line), "{codes:?}");
}

#[test]
fn a_finding_reads_like_the_preflight() {
    let findings =
        read(&format!("{BASE}{DNS}").replace("  cp-3: control-plane\n", "")).expect_err("even");
    assert_eq!(
        findings[0].to_string(),
        "NODES-02  c.yaml:8:3  nodes.cp-2: 2 control planes tolerate as many failures as 1\n          fix: make cp-2 a worker, or add one more control plane"
    );
    let findings = read(&format!("{BASE}{DNS}acces: {{}}\n")).expect_err("unknown");
    assert_eq!(findings[0].fix, "write `access`");
}

fn scaleway(cluster: &Cluster) -> &crate::Scaleway {
    cluster.platform.scaleway.as_ref().expect("Scaleway")
}

#[test]
fn the_examples_parse() {
    let lab = parse("lab.yaml", LAB, &BTreeMap::new())
        .unwrap_or_else(|findings| panic!("{}", show(&findings)));
    assert_eq!(
        (
            lab.control_planes.len(),
            lab.workers.len(),
            lab.endpoint.via.as_str()
        ),
        (3, 2, "dns")
    );
    assert_eq!(
        (
            lab.nodes["w-1"].offer.as_deref(),
            scaleway(&lab).protect,
            lab.store.path.as_deref()
        ),
        (Some("EM-I215E-NVME"), false, Some(".strata/lab/store"))
    );
    assert!(lab.warnings.is_empty());
    let production = parse("production.yaml", PRODUCTION, &BTreeMap::new())
        .unwrap_or_else(|findings| panic!("{}", show(&findings)));
    assert_eq!(
        (
            production.nodes["w-1"].on_create_failure.as_str(),
            production.nodes["cp-1"].zone.as_deref()
        ),
        ("retry", Some("fr-par-1"))
    );
    assert!(scaleway(&production).protect && !production.lab.enabled);
}

#[test]
fn later_features_are_only_ever_not_available_yet() {
    // The whole format in one file: understood to the last field, and refused for nothing but its features.
    let text = r#"
strata: 1
name: prod
platform:
  scaleway: {zone: fr-par-2, project: 6d5f0c5e-0f0e-4a53-9f0e-3f3f7f1c2a10, protect: true}
distribution: {kubeadm: {version: v1.34.2}}
endpoint: {name: api.prod.example.org, via: dns, extra_sans: [k8s.example.org]}
defaults:
  control-plane: {offer: EM-A610R-NVME, wipe: all}
  worker: {offer: EM-I215E-NVME, on_create_failure: retry}
nodes:
  cp-1: {role: control-plane, zone: fr-par-1}
  cp-2: {role: control-plane, zone: fr-par-2}
  cp-3: {role: control-plane, zone: fr-par-2}
  w-1: worker
  w-2:
    role: worker
    labels: {example.org/disk: fast}
    disk: {min: 900GB, type: NVMe}
network: {private: true, pods: 10.64.0.0/14, services: 10.68.0.0/16}
cni: {cilium: {version: 1.18.4, encryption: wireguard, values: {hubble.relay.enabled: true}}}
store: {infisical: {url: "https://eu.infisical.com", project: 9f0e3f3f, environment: prod, path: /clusters/prod}}
state: {s3: {bucket: example-tfstate, region: fr-par, endpoint: "https://s3.fr-par.scw.cloud"}}
dns: {cloudflare: {zone: example.org}, nodes: true}
access:
  operators: [203.0.113.0/28, "2001:db8:77::/48"]
  api: [operators, nodes]
  public_ports: [80, 443]
  teleport: {proxy: teleport.example.org:443, cluster: prod}
  break_glass_keys: ["ssh-ed25519 AAAAC3Nza… oncall"]
gitops: {flux: {url: "ssh://git@github.com/example/fleet", path: clusters/prod}}
services: [sealed-secrets, cert-manager, ingress-nginx, kured]
updates: {window: "Sun 03:00 2h Europe/Paris"}
backup: {etcd: {every: 2h, keep: 84, to: "s3://example-backup/prod"}}
budget: {max_per_month: 900 EUR}
"#;
    let findings = read(text).expect_err("not available yet");
    assert!(
        findings.iter().all(|finding| finding.code == "CFG-08"),
        "{}",
        show(&findings)
    );
    assert_eq!(findings.len(), 7, "{}", show(&findings));
    for (platform, rest) in [
        (
            "aws: {region: eu-west-3}",
            "endpoint: {name: api.home.example.org}\nnodes:\n  a: {role: control-plane, type: m7i.large}\n",
        ),
        (
            "netboot: {listen: 203.0.113.5}",
            "network: {nodes: 203.0.113.0/24}\nendpoint: {name: api.home.example.org, address: 203.0.113.9}\nnodes:\n  a: {role: control-plane, mac: \"52:54:00:12:34:56\"}\n",
        ),
    ] {
        let findings = read(&format!(
            "strata: 1\nname: home\nplatform: {{{platform}}}\n{rest}"
        ))
        .expect_err("not available yet");
        assert!(
            findings.iter().all(|finding| finding.code == "CFG-08"),
            "{platform}: {}",
            show(&findings)
        );
    }
}

#[test]
fn teleport_is_the_proof_where_there_is_one() {
    let real = "strata: 1\nname: prod\nplatform: {scaleway: {zone: fr-par-2}}\nendpoint: {name: api.prod.example.org}\n\
                dns: {cloudflare: {zone: example.org}}\nnodes: {cp-1: {role: control-plane, offer: EM-A610R-NVME}}\n";
    let access = |access: &str| good(&format!("{real}{access}")).access;
    let teleport =
        access("access: {teleport: {proxy: \"teleport.example.org:443\"}, node_ports: public}\n");
    assert_eq!(
        (&*teleport.proof, &*teleport.node_ports),
        ("teleport", "public")
    );
    assert_eq!(teleport.teleport.expect("it is set").cluster, "prod");
    let named = access(
        "access: {proof: kubernetes, teleport: {proxy: \"t.example.org:443\", cluster: other}}\n",
    );
    assert_eq!(named.proof, "kubernetes");
    assert_eq!(named.teleport.expect("it is set").cluster, "other");
    assert_eq!(access("access: {proof: none}\n").proof, "none");
    assert!(access("").teleport.is_none());
}

#[test]
fn a_disk_has_a_name_or_is_like_something() {
    let disk = |disk: &str| {
        let with = format!("cp-3: {{role: control-plane, disk: {disk}}}");
        let text = format!("{BASE}{DNS}").replace("cp-3: control-plane", &with);
        let node = &good(&text).nodes["cp-3"];
        (node.disk.clone(), node.disk_like.clone())
    };
    let like = |min, kind: Option<&str>| {
        let r#type = kind.map(str::to_owned);
        (None, Some(DiskLike { min, r#type }))
    };
    assert_eq!(
        disk("{min: 900GB, type: NVMe}"),
        like(Some(900_000_000_000), Some("NVMe"))
    );
    assert_eq!(disk("{min: 1TiB}"), like(Some(1 << 40), None));
    assert_eq!(
        disk("nvme-1"),
        (Some("/dev/disk/by-id/nvme-1".to_owned()), None)
    );
}

#[test]
fn writing_a_default_out_changes_nothing() {
    let short = good(&format!("{BASE}{DNS}"));
    let long = good(&format!(
        "{BASE}{DNS}# a comment\ngitops: none\nservices: {{}}\nnetwork: {{ipv6: false, private: false, pods: 10.244.0.0/16}}\nbackup: {{etcd: {{every: 6h}}}}\nstore: file\nstate: local\non_failure: resume\ncni: cilium\nbudget: null\n"
    ));
    assert_eq!(to_json(&short), to_json(&long));
    assert_ne!(
        short.sha256,
        good(&format!("{BASE}{DNS}network: {{pods: 10.32.0.0/16}}\n")).sha256
    );
}

#[test]
fn overrides_win_and_say_so() {
    let overrides = set(&[
        ("nodes.w-1.offer", "EM-B220E-NVME"),
        ("defaults.worker.wipe", "target"),
        ("platform.scaleway.zone", "nl-ams-1"),
        ("lab.speed", "600"),
        ("access.public_ports", "[8080]"),
        ("nodes.w-3", "worker"),
    ]);
    let cluster =
        parse("lab.yaml", LAB, &overrides).unwrap_or_else(|findings| panic!("{}", show(&findings)));
    assert_eq!(
        (
            cluster.nodes["w-1"].offer.as_deref(),
            cluster.nodes["w-2"].wipe.as_str(),
            cluster.nodes["cp-1"].zone.as_deref()
        ),
        (Some("EM-B220E-NVME"), "target", Some("nl-ams-1"))
    );
    assert_eq!(
        (
            cluster.access.public_ports.as_slice(),
            cluster.workers.len()
        ),
        (&[8080_u16][..], 3)
    );
    assert!((cluster.lab.speed - 600.0).abs() < f64::EPSILON);

    for (key, value, code) in [
        ("nodes.w-1.offfer", "X", "CFG-02"),
        ("endpoint.port", "many", "CFG-04"),
        ("access.public_ports.0", "1", "CFG-10"),
        ("a..b", "1", "CFG-10"),
        ("lab", "false", "LAB-04"),
        ("nodes.cp-4", "control-plane", "NODES-02"),
    ] {
        let findings = parse("lab.yaml", LAB, &set(&[(key, value)])).expect_err(key);
        assert!(
            findings.iter().any(|finding| finding.code == code
                && finding.path == format!("--set {key}")
                && finding.line == 0),
            "{key}: {}",
            show(&findings)
        );
    }
}

#[test]
fn explain_says_where_a_value_comes_from() {
    let cluster = parse("lab.yaml", LAB, &set(&[("nodes.w-1.wipe", "target")]))
        .unwrap_or_else(|findings| panic!("{}", show(&findings)));
    for (path, expected) in [
        (
            "nodes.cp-1.offer",
            "EM-A610R-NVME   (worked out: the lab's offer for the role)",
        ),
        ("nodes.cp-1.role", "control-plane   (lab.yaml:10:9)"),
        ("nodes.w-1.wipe", "target   (--set nodes.w-1.wipe)"),
        (
            "network.pods",
            "10.244.0.0/16   (default)\n  Addresses of pods",
        ),
        ("dns.cloudflare.zone", "strata.test   (lab.yaml:6:"),
    ] {
        let text = explain(&cluster, path).unwrap_or_default();
        assert!(text.contains(expected), "{path}: {text}");
    }
    assert_eq!(explain(&cluster, "nodes.nosuch"), None);
}

#[test]
fn documentation_covers_every_field_once() {
    let docs = fields();
    let mut paths: Vec<_> = docs.iter().map(|doc| doc.path.clone()).collect();
    assert!(
        paths.iter().any(|path| path == "nodes.*.on_create_failure")
            && paths.iter().any(|path| path == "manifests")
    );
    paths.sort();
    let before = paths.len();
    paths.dedup();
    assert_eq!(before, paths.len());
    assert_eq!(json_schema()["properties"]["nodes"]["type"], "object");
}

#[test]
fn the_written_documentation_is_current() {
    let schema = serde_json::to_string_pretty(&json_schema()).expect("JSON") + "\n";
    for (file, text) in [
        ("docs/guides/cluster-file.md", markdown()),
        ("docs/cluster-file.schema.json", schema),
    ] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(file);
        if std::env::var_os("STRATA_WRITE_DOCS").is_some() {
            std::fs::write(&path, &text).expect("the file can be written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{file} is out of date: run `make docs`");
    }
}

fn name(longest: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[a-z]([a-z0-9-]{{0,{longest}}}[a-z0-9])?"))
        .expect("a pattern")
}

fn valid_file() -> impl Strategy<Value = (String, usize, usize)> {
    let nodes = (prop_oneof![Just(1_usize), Just(3), Just(5)], 0_usize..5).prop_flat_map(
        |(planes, workers)| {
            (
                proptest::collection::btree_set(name(39), planes + workers),
                Just(planes),
                Just(workers),
            )
        },
    );
    let pods = (0_u8..96, prop_oneof![Just(""), Just("any")]);
    let zone = prop_oneof![
        Just("fr-par-1"),
        Just("fr-par-2"),
        Just("nl-ams-1"),
        Just("pl-waw-2")
    ];
    (name(28), nodes, pods, 31_u8..36, 0_u8..20, zone).prop_map(|(cluster, (names, planes, workers), (second, _), minor, patch, zone)| {
        let mut text = format!("strata: 1\nname: {cluster}\nlab: true\nplatform: {{scaleway: {{zone: {zone}}}}}\n");
        let _ = writeln!(text, "dns: {{cloudflare: {{zone: strata.test}}}}\nendpoint: {{name: api.{cluster}.strata.test}}");
        let _ = writeln!(text, "distribution: {{kubeadm: {{version: v1.{minor}.{patch}}}}}\nnetwork: {{pods: 10.{second}.0.0/16, services: 172.20.0.0/16}}\nnodes:");
        for (index, name) in names.iter().enumerate() {
            let _ = writeln!(text, "  {name}: {}", if index < planes { "control-plane" } else { "worker" });
        }
        (text, planes, workers)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_valid_files_parse((text, planes, workers) in valid_file()) {
        match read(&text) {
            Ok(cluster) => prop_assert_eq!((cluster.control_planes.len(), cluster.workers.len()), (planes, workers)),
            Err(findings) => prop_assert!(false, "{}\n{}", show(&findings), text),
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}", key in "\\PC{0,20}", value in "\\PC{0,40}") {
        let _ = parse("c.yaml", &text, &set(&[(&key, &value)]));
        let _ = parse("c.yaml", LAB, &set(&[(&key, &value)]));
    }

    #[test]
    fn damaged_files_never_panic(start in 0_usize..400, length in 0_usize..40, noise in "[\\[\\]{}:,#&*!|>'\"%@` \n\ta-z0-9-]{0,12}") {
        let mut letters: Vec<char> = PRODUCTION.chars().collect();
        let start = start.min(letters.len());
        let end = (start + length).min(letters.len());
        letters.splice(start..end, noise.chars());
        let _ = read(&letters.into_iter().collect::<String>());
    }
}
