//! From nothing to a locked cluster, a second run, destroy, and a second life; by hand and by script.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Lab, Project};
use crate::sealing;

const LAB: &str = "lab";

/// Every file of a folder, by relative path.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, "", &mut found);
    found
}

/// Logins and reads: what a run that changes nothing may do.
pub(crate) fn is_read(call: &str) -> bool {
    let mut words = call.split(' ');
    let (service, method) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    // Of Talos' API every call is a POST; its name tells what it does.
    let reads = ["Get", "List", "Watch", "Version", "Hostname", "ServiceList"];
    let reads_of_etcd = ["EtcdMemberList", "EtcdStatus", "EtcdAlarmList"];
    let name = call.rsplit('/').next().unwrap_or_default();
    matches!(method, "GET" | "LIST" | "WATCH" | "HEAD")
        || (service == "ssh" && method == "LOGIN")
        || (service == "talos" && [&reads[..], &reads_of_etcd].concat().contains(&name))
}

pub(crate) fn assert_only_reads(lab: &Lab) {
    let writes: Vec<_> = lab
        .calls()
        .into_keys()
        .filter(|call| !is_read(call))
        .collect();
    assert!(
        writes.is_empty(),
        "a run that changes nothing wrote: {writes:?}"
    );
}

/// The certificate of the cluster's CA out of the kubeconfig that the run left.
fn authority(project: &Project, cluster: &str) -> std::path::PathBuf {
    let shown = project
        .kubectl(
            cluster,
            &[
                "config",
                "view",
                "--raw",
                "-o",
                "jsonpath={.clusters[0].cluster.certificate-authority-data}",
            ],
        )
        .expect_code(0);
    let file = project.path().join("ca.pem");
    let mut decode = project.command("base64");
    let input = project.path().join("ca.b64");
    fs::write(&input, shown.stdout.trim()).unwrap();
    let output = decode.arg("-d").arg(&input).output().unwrap();
    fs::write(&file, output.stdout).unwrap();
    file
}

/// From the operator's chair, through the lab's proxy: 22 is closed everywhere, 6443 speaks TLS with the cluster's CA.
pub(crate) fn assert_locked(project: &Project, cluster: &str, endpoint: &str) {
    let lab = project.lab(cluster);
    let proxy = lab.environment()["STRATA_LAB_PROXY"].clone();
    let authority = authority(project, cluster);
    for (name, server) in lab.servers() {
        let address = server["ips"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ip| ip["address"].as_str().or(ip.as_str()).unwrap())
            .find(|address| address.contains('.'))
            .unwrap()
            .to_owned();
        let mut ssh = project.command("curl");
        ssh.args([
            "--silent",
            "--proxytunnel",
            "--proxy",
            &proxy,
            "--max-time",
            "2",
            &format!("telnet://{address}:22"),
        ]);
        assert!(
            !ssh.output().unwrap().status.success(),
            "{name}: port 22 accepts a new connection after lockdown"
        );
        let mut api = project.command("curl");
        api.args([
            "--silent",
            "--show-error",
            "--proxy",
            &proxy,
            "--max-time",
            "10",
            "--cacert",
        ])
        .arg(&authority);
        api.args([
            "--connect-to",
            &format!("{endpoint}:6443:{address}:6443"),
            &format!("https://{endpoint}:6443/livez"),
        ]);
        let answered = api.output().unwrap();
        if name.contains("cp-") {
            assert!(
                answered.status.success(),
                "{name}: no TLS with the cluster's CA on 6443: {}",
                String::from_utf8_lossy(&answered.stderr)
            );
        } else {
            assert!(
                !answered.status.success(),
                "{name}: a worker answers on 6443"
            );
        }
    }
}

/// Every node of the cluster file is there and Ready, as the real kubectl sees it.
pub(crate) fn assert_ready(project: &Project, cluster: &str, count: usize) {
    let nodes = project
        .kubectl(cluster, &["get", "nodes", "--no-headers"])
        .expect_code(0);
    let lines: Vec<_> = nodes.stdout.lines().collect();
    assert_eq!(lines.len(), count, "kubectl get nodes:\n{}", nodes.stdout);
    for line in lines {
        assert_eq!(line.split_whitespace().nth(1), Some("Ready"), "{line}");
    }
}

fn serial_and_lineage(state: &Value) -> (u64, String) {
    (
        state["serial"].as_u64().unwrap(),
        state["lineage"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn a_newcomer_gets_a_locked_cluster_keeps_it_destroys_it_and_builds_it_again() {
    let project = Project::new();
    let file = project.path().join("examples/clusters/lab.yaml");
    project
        .bootstrap(&["--yes"])
        .expect_code(0)
        .expect_text("kubectl get nodes");
    assert_ready(&project, LAB, 5);
    assert_locked(&project, LAB, "api.lab.strata.test");
    let lab = project.lab(LAB);
    let first_servers = lab.servers();
    assert_eq!(first_servers.len(), 5);

    // A second run changes nothing.
    let before = lab.estate_bytes();
    lab.clear_calls();
    project
        .bootstrap(&["--yes"])
        .expect_code(0)
        .expect_text("nothing to do");
    assert_eq!(
        String::from_utf8_lossy(&before),
        String::from_utf8_lossy(&lab.estate_bytes()),
        "the second run changed the estate"
    );
    assert_only_reads(&lab);

    // A wrong workspace plans nothing.
    let refused = project.terraform(
        "other",
        &file,
        "01-infrastructure",
        &["plan", "-input=false"],
    );
    assert_ne!(
        refused.code,
        0,
        "a wrong workspace must not plan:\n{}",
        refused.text()
    );
    assert!(refused.text().contains("workspace"), "{}", refused.text());

    // A destroy whose store is not there stops and forgets nothing, whether it looks first or not.
    let (store, aside) = (
        project.path().join(".strata/lab/store"),
        project.path().join("aside"),
    );
    let resources = || {
        let mut all = project.state(LAB, "01-infrastructure")["resources"].clone();
        for resource in all.as_array_mut().into_iter().flatten() {
            for instance in resource["instances"].as_array_mut().into_iter().flatten() {
                // Terraform writes these in any order.
                if let Some(paths) = instance["sensitive_attributes"].as_array_mut() {
                    paths.sort_by_key(Value::to_string);
                }
            }
        }
        all
    };
    let known = resources();
    fs::rename(&store, &aside).unwrap();
    for looks in ["-refresh=true", "-refresh=false"] {
        let destroy = ["destroy", "-auto-approve", "-input=false", looks];
        let started = Instant::now();
        let ran = project.terraform(LAB, &file, "01-infrastructure", &destroy);
        assert_eq!(ran.code, 1, "{}", ran.text());
        assert!(started.elapsed() < Duration::from_mins(1), "it hung");
        assert_eq!(resources(), known, "something was forgotten");
    }
    assert!(
        !store.exists(),
        "something was written at the store's place"
    );
    fs::rename(&aside, &store).unwrap();
    assert_eq!(lab.servers(), first_servers);
    let changes = project.changes(LAB, &file, "01-infrastructure");
    assert_eq!(changes, BTreeMap::new(), "all is as it was");
    // Core drops the outputs of a layer before it destroys anything; the next run writes them again.
    project.bootstrap(&["--yes"]).expect_code(0);

    // The key that opens sealed values is in the cluster before a controller is; one that made its own gives it up to the store.
    sealing::assert_restored(&project, LAB, &["sealed-secrets-key"]);
    sealing::capture_the_controllers_own(&project, LAB);

    destroy_names_what_it_would_lose(&project, &lab);

    // Destroy keeps layer 00 and the persistent secrets, and nothing else.
    let kept = files(&store);
    let auth = serial_and_lineage(&project.state(LAB, "00-auth"));
    project.bootstrap(&["destroy", "--yes"]).expect_code(0);
    let estate = lab.estate();
    assert!(lab.servers().is_empty(), "servers are left: {estate}");
    assert_wiped(&estate, 5);
    assert!(
        !estate.to_string().contains("api.lab.strata.test"),
        "a record is left: {estate}"
    );
    assert_eq!(
        serial_and_lineage(&project.state(LAB, "00-auth")),
        auth,
        "layer 00 was written to"
    );
    let left = files(&store);
    for name in left.keys() {
        assert!(
            !name.contains("claim") && !name.contains("join") && !name.contains("nodes/"),
            "{name} is left in the store"
        );
    }
    for (name, content) in &kept {
        if ["pki", "estate", "ssh", "sealed-secrets"]
            .iter()
            .any(|part| name.starts_with(part))
        {
            assert_eq!(left.get(name), Some(content), "{name} changed or went");
        }
    }
    assert!(
        left.keys().any(|name| name.starts_with("pki")),
        "the cluster's PKI went with destroy"
    );

    // A second life: new machines, the same PKI, and every key that ever sealed a value.
    let first_authority = fs::read(project.path().join("ca.pem")).unwrap();
    project.bootstrap(&["--yes"]).expect_code(0);
    assert_ready(&project, LAB, 5);
    assert_locked(&project, LAB, "api.lab.strata.test");
    assert_eq!(
        fs::read(project.path().join("ca.pem")).unwrap(),
        first_authority,
        "the cluster's CA changed"
    );
    let both = ["sealed-secrets-key", "sealed-secrets-key-older-0"];
    sealing::assert_restored(&project, LAB, &both);
    let second_servers = lab.servers();
    for (name, server) in &first_servers {
        assert_ne!(
            server["id"], second_servers[name]["id"],
            "{name} is the old server"
        );
    }

    // All means all, and only on request.
    project
        .bootstrap(&["destroy", "--all", "--yes"])
        .expect_code(0);
    assert!(
        files(&store).keys().all(|name| !name.starts_with("pki")),
        "destroy --all left the PKI"
    );
}

/// What the next tenants of so many machines find on every disk: nothing.
pub(crate) fn assert_wiped(estate: &Value, count: usize) {
    let left = estate["left_behind"].as_array().unwrap();
    assert_eq!(left.len(), count, "{left:#?}");
    for machine in left {
        let disks = machine["disks"].as_object().unwrap();
        assert!(!disks.is_empty(), "{machine:#}");
        assert!(
            disks.values().all(|disk| disk == "discarded"),
            "{machine:#}"
        );
    }
}

/// Without a terminal and without `--yes` nothing goes, and what would go is named.
fn destroy_names_what_it_would_lose(project: &Project, lab: &Lab) {
    let held = "\
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-1}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce]
  local: {path: /var/lib/data}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [w-1]}]}]}}
---
apiVersion: v1
kind: Service
metadata: {name: front, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80}], selector: {app: front}}
";
    let file = project.path().join("held.yaml");
    fs::write(&file, held).unwrap();
    project
        .kubectl(LAB, &["apply", "-f", file.to_str().unwrap()])
        .expect_code(0);
    project.bootstrap(&["backup"]).expect_code(0);
    let servers = lab.servers();
    project
        .bootstrap(&["destroy"])
        .expect_code(3)
        .expect_text("5 servers, 5 Nodes, 3 DNS records")
        .expect_text("1 PersistentVolume on local disks (pv-1): their data will be gone")
        .expect_text("1 LoadBalancer (default/front)")
        .expect_text("the disks of each machine are wiped before it is given back")
        .expect_text("kept: layer 00")
        .expect_text("kept: 1 snapshot of etcd, the latest .strata/lab/snapshots/lab-2")
        .expect_text("To go on: ./bootstrap.sh destroy --yes");
    assert_eq!(lab.servers(), servers);
}

/// What differs between any two lives: ids, keys, tokens, and which machine the data centre gave which address. Everything else must not.
fn without_identities(estate: &Value) -> Value {
    match estate {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), without_identities(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_identities).collect(),
        Value::String(text) if text.starts_with("ssh-ed25519 ") || text.starts_with("SHA256:") => {
            "<key>".into()
        }
        Value::String(text) => {
            let is_part =
                |character: char| character.is_ascii_alphanumeric() || "-:.".contains(character);
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some(start) = rest.find(is_part) {
                let length = rest[start..]
                    .find(|character| !is_part(character))
                    .unwrap_or(rest.len() - start);
                let word = &rest[start..start + length];
                out.push_str(&rest[..start]);
                out.push_str(&anonymous(word));
                rest = &rest[start + length..];
            }
            (out + rest).into()
        }
        other => other.clone(),
    }
}

/// A word of a text, or what kind of identity it is.
fn anonymous(word: &str) -> String {
    // `strata:<owner>:<purpose>` and the like: part by part.
    if word.parse::<std::net::IpAddr>().is_ok() {
        return "<address>".into();
    }
    let part = |part: &str| {
        let is_id = part.len() == 36
            && part
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let is_hash = part.len() >= 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id || is_hash { "<id>" } else { part }.to_owned()
    };
    match word.strip_prefix("bootstrap-token-") {
        Some(_) => "bootstrap-token-<id>".into(),
        None => word.split(':').map(part).collect::<Vec<_>>().join(":"),
    }
}

/// The estate to compare: bootstrap tokens by number, disks and pods without what chance gave them, without the services that hold stores.
fn comparable(lab: &Lab) -> Value {
    let mut estate = lab.estate();
    let services = estate.as_object_mut().unwrap();
    services.retain(|name, _| !["infisical", "vault"].contains(&name.as_str()));
    for machine in estate["machines"].as_array_mut().unwrap() {
        // Its name ends in the number of the disk, which is another for every server.
        let disk = machine["disk"].as_str().unwrap().split("_NVMe_").next();
        machine["disk"] = disk.into();
    }
    for cluster in estate["clusters"].as_array_mut().unwrap() {
        cluster["bootstrap_tokens"] = cluster["bootstrap_tokens"].as_array().unwrap().len().into();
        // Names of pods end in letters by chance.
        let names = cluster["objects"]["pods"]["names"].as_array_mut().unwrap();
        for name in names.iter_mut() {
            let pod = name.as_str().unwrap().rsplit_once('-').unwrap().0;
            *name = pod.into();
        }
        names.sort_by_key(ToString::to_string);
    }
    without_identities(&estate)
}

/// Paths at which two values differ.
fn differences(left: &Value, right: &Value, path: &str, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().for_each(|(key, value)| {
                differences(value, &b[key], &format!("{path}.{key}"), found);
            });
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter()
                .zip(b)
                .enumerate()
                .for_each(|(index, (a, b))| differences(a, b, &format!("{path}[{index}]"), found));
        }
        _ if left == right => {}
        _ => found.push(format!("{path}: {left} | {right}")),
    }
}

/// The names of what a cluster keeps in Infisical.
fn in_infisical(lab: &Lab) -> BTreeSet<String> {
    let estate = lab.estate();
    let secrets = estate["infisical"]["secrets"].as_array().unwrap();
    let name = |secret: &Value| format!("{}/{}", text(&secret["path"]), text(&secret["key"]));
    let below = |name: String| name.strip_prefix("/clusters/twin/").unwrap().to_owned();
    secrets.iter().map(name).map(below).collect()
}

/// The names of what a cluster keeps in Vault.
fn in_vault(lab: &Lab) -> BTreeSet<String> {
    let estate = lab.estate();
    let secrets = estate["vault"].as_array().unwrap();
    let live = secrets.iter().filter(|secret| secret["state"] == "live");
    let below = |secret: &Value| {
        let path = text(&secret["path"]);
        path.strip_prefix("clusters/twin/").unwrap().to_owned()
    };
    live.map(below).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

const TWIN: &str = "strata: 1\nname: twin\nlab: {speed: 300}\nplatform: scaleway\ndns: {cloudflare: {zone: strata.test}}\nendpoint: {name: api.twin.strata.test}\nnodes:\n  cp-1: control-plane\n  w-1: worker\n";

#[test]
fn the_loop_by_hand_gives_the_same_estate_as_the_script_whatever_the_store() {
    let twin = |store: &str| format!("{TWIN}store: {store}\n");
    let scripted = Project::new();
    let file = scripted.cluster_file("twin", &twin("infisical"));
    scripted
        .bootstrap(&["-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
    let wanted = comparable(&scripted.lab("twin"));
    let kept = in_infisical(&scripted.lab("twin"));

    let by_hand = Project::new();
    let file = by_hand.cluster_file("twin", &twin("vault"));
    let folder = by_hand.path().join(".strata/twin/lab");
    let binaries = Path::new(env!("CARGO_BIN_EXE_strata"))
        .parent()
        .unwrap()
        .to_owned();
    let mut lab = by_hand.command(binaries.join("strata-lab").to_str().unwrap());
    lab.args(["run", "--speed", "300", "--state"]).arg(&folder);
    let mut lab = lab
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    crate::harness::eventually("the lab is up", std::time::Duration::from_secs(20), || {
        folder.join("lab.json").exists()
    });
    let mut layers: Vec<_> = fs::read_dir(by_hand.path().join("terraform"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('0'))
        .collect();
    layers.sort();
    for layer in layers {
        by_hand
            .terraform(
                "twin",
                &file,
                &layer,
                &["apply", "-auto-approve", "-input=false"],
            )
            .expect_code(0);
    }
    let mut found = Vec::new();
    differences(&wanted, &comparable(&by_hand.lab("twin")), "", &mut found);
    assert!(
        found.is_empty(),
        "by script | by hand:
{}",
        found.join(
            "
"
        )
    );
    // The estate and the way in, the PKI, the claim: the same entries in either store, and none in a folder.
    assert_eq!(kept, in_vault(&by_hand.lab("twin")));
    for entry in ["estate", "pki", "claim/init"] {
        assert!(kept.contains(entry), "{entry} is not among {kept:?}");
    }
    for project in [&scripted, &by_hand] {
        assert!(!project.path().join(".strata/twin/store").exists());
    }
    // What belongs to the machines goes with them, the rest outlives them.
    let file = scripted.path().join("twin.yaml");
    scripted
        .bootstrap(&["destroy", "-c", file.to_str().unwrap(), "--yes"])
        .expect_code(0);
    let left = in_infisical(&scripted.lab("twin"));
    let of_machines = |name: &&String| {
        ["claim/", "join/", "nodes/"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    assert_eq!(left.iter().find(of_machines), None);
    assert!(left.contains("pki") && left.contains("estate"), "{left:?}");
    lab.kill().unwrap();
    lab.wait().unwrap();
}
