//! What is delivered to machines, changed on the way: every change stops at the step that would stop on metal.
//!
//! The lab replaces a piece of text in what reaches the machine (fault `mutate`), so a lab that ignores what it is given would go on to
//! a finished cluster, and the test would fail.

use serde_json::json;

use crate::day_two::cluster_text;
use crate::harness::Project;

/// What is changed, where, from, to, and the words that the failed run must say about where it stopped.
struct Mutation {
    what: &'static str,
    place: &'static str,
    from: &'static str,
    to: &'static str,
    stops: &'static [&'static str],
}

const fn mutation(
    what: &'static str,
    place: &'static str,
    from: &'static str,
    to: &'static str,
    stops: &'static [&'static str],
) -> Mutation {
    Mutation {
        what,
        place,
        from,
        to,
        stops,
    }
}

/// Before SSH answers: the machine never becomes the Flatcar with our host key.
const BOOT: &[&str] = &["SSH"];

const MUTATIONS: &[Mutation] = &[
    mutation(
        "an image of a channel that does not exist",
        "stub",
        "stable.release",
        "stabel.release",
        BOOT,
    ),
    mutation(
        "an installer that the image does not have",
        "file:/opt/strata/install",
        "flatcar-install",
        "flatcar-instal",
        BOOT,
    ),
    mutation(
        "an Ignition version the image does not know",
        "ignition",
        "\"version\":\"3.3.0\"",
        "\"version\":\"3.9.0\"",
        BOOT,
    ),
    mutation(
        "an extension URL without v",
        "ignition",
        "extensions/kubernetes-v1",
        "extensions/kubernetes-1",
        BOOT,
    ),
    mutation(
        "an Ignition key with a typing error",
        "ignition",
        "\"sshAuthorizedKeys\"",
        "\"sshAuthorizedKey\"",
        BOOT,
    ),
    mutation(
        "a host key nobody expects",
        "file:/etc/ssh/ssh_host_ed25519_key",
        "OPENSSH PRIVATE KEY",
        "OPENSSH PRIVAT KEY",
        BOOT,
    ),
    mutation(
        "a kubeadm field of the old version",
        "file:/etc/strata/kubeadm.yaml",
        "controlPlaneEndpoint",
        "controlPlaneEndPoint",
        &["kubeadm-init"],
    ),
    mutation(
        "a Kubernetes version other than the extension's",
        "file:/etc/strata/kubeadm.yaml",
        "\"kubernetesVersion\": \"v1.34.2\"",
        "\"kubernetesVersion\": \"v1.33.2\"",
        &["kubeadm-init"],
    ),
    mutation(
        "a CA certificate that is not the key's",
        "file:/etc/kubernetes/pki/ca.crt",
        "BEGIN CERTIFICATE",
        "BEGIN CERTIFICAT",
        &["kubeadm-init"],
    ),
    mutation(
        "an API that a joining node cannot verify",
        "file:/etc/strata/discovery.conf",
        "\"certificate-authority-data\": \"LS0t",
        "\"certificate-authority-data\": \"LS0u",
        &["kubeadm-join"],
    ),
    mutation(
        "an nft set that is never declared",
        "file:/etc/strata/nft/locked.nft",
        "set nodes4",
        "set nodes5",
        &["lock-check", "nft"],
    ),
    mutation(
        "a rule that closes the API too",
        "file:/etc/strata/nft/locked.nft",
        "tcp dport 6443 accept",
        "tcp dport 6444 accept",
        &["6443"],
    ),
];

#[test]
fn twelve_mutations_each_stop_where_metal_would() {
    let project = Project::new();
    let mut passed_through = Vec::new();
    for (index, mutation) in MUTATIONS.iter().enumerate() {
        let name = format!("mut{index}");
        // Short waits: the point is where it stops, not how long it hopes.
        let text = cluster_text(&name, &[("cp-1", "control-plane"), ("w-1", "worker")])
            .replace("speed: 300", "speed: 600")
            + "timeouts: {deliver: 20s, ssh: 8s, join: 8s, ready: 8s}\n";
        let file = project.cluster_file(&name, &text);
        let path = file.to_str().unwrap();
        project.bootstrap(&["preflight", "-c", path]).expect_code(0);
        project.lab(&name).fault(json!({"place": "machine", "action": {"mutate": {"where_": mutation.place, "from": mutation.from, "to": mutation.to}}}));
        let stopped = project.bootstrap(&["-c", path, "--yes"]);
        let said = stopped.text();
        let unsaid: Vec<_> = mutation
            .stops
            .iter()
            .filter(|word| !said.contains(**word))
            .collect();
        if stopped.code != 1 || !unsaid.is_empty() || said.contains("is up in") {
            passed_through.push(format!(
                "{}: code {}, not said: {unsaid:?}
{said}",
                mutation.what, stopped.code
            ));
        }
    }
    assert!(
        passed_through.is_empty(),
        "{}",
        passed_through.join(
            "

"
        )
    );
}

#[test]
fn a_claim_of_somebody_else_stops_before_init_and_a_broken_init_is_repeated() {
    use strata_provider::secret::Secret;
    use strata_provider::store::{Condition, Name, Store};
    let project = Project::new();
    let name = "claimed";
    let file = project.cluster_file(name, &cluster_text(name, &[("cp-1", "control-plane")]));
    let path = file.to_str().unwrap();
    project.bootstrap(&["preflight", "-c", path]).expect_code(0);
    let lab = project.lab(name);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let store = project.store(name);
    let entry = Name::parse("claim/init").unwrap();
    let foreign = json!({
        "owner": "5d0e7c1a-0000-4000-8000-00000000f0e1", "node": "cp-9", "run": "theirs", "at": "2026-08-01T00:00:00Z", "state": "initialised",
    });
    runtime
        .block_on(store.put(&entry, &Secret::new(foreign.to_string())))
        .unwrap();
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(1)
        .expect_text("5d0e7c1a-0000-4000-8000-00000000f0e1");
    // Its machine waits unlocked, and open to whoever ran this alone.
    assert!(lab.connects("operator", "cp-1", 22));
    assert!(!lab.connects("203.0.113.77", "cp-1", 22));
    assert!(
        !lab.calls().keys().any(|call| call.contains("kubeadm-init")),
        "{:?}",
        lab.calls()
    );
    runtime
        .block_on(store.delete(&entry, Condition::Any))
        .unwrap();

    // kubeadm breaks off in the middle; the next run starts from the half-made claim and finishes with the same machine.
    lab.fault(json!({"place": "machine", "action": {"kubeadm_fail": {"phase": "kubelet-start"}}, "times": 1}));
    project
        .bootstrap(&["-c", path, "--yes"])
        .expect_code(1)
        .expect_text("kubeadm-init");
    let server = lab.servers()["claimed-cp-1"]["id"].clone();
    project.bootstrap(&["-c", path, "--yes"]).expect_code(0);
    assert_eq!(lab.servers()["claimed-cp-1"]["id"], server);
    assert_eq!(lab.servers().len(), 1);
}
