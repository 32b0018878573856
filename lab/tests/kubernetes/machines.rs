//! Nodes and their machines: quorum, death, cordon and drain, one-shot host pods.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cluster::Cluster;
use serde_json::json;

fn host_pod(name: &str, node: &str, image: &str, words: &[&str]) -> String {
    let enter = [
        "nsenter",
        "--target",
        "1",
        "--mount",
        "--uts",
        "--ipc",
        "--net",
        "--pid",
        "--",
        "/opt/strata/bin/strata-node",
    ];
    let command: Vec<&str> = enter.iter().chain(words).copied().collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system", "labels": {"strata.dev/verb": words[0]}},
        "spec": {"nodeName": node, "hostPID": true, "restartPolicy": "Never", "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "verb", "image": image, "imagePullPolicy": "Never", "command": command, "securityContext": {"privileged": true}}]}})
    .to_string()
}

async fn with_cilium(speed: f64) -> Cluster {
    let cluster = Cluster::start(speed).await;
    cluster.install_cilium().await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_pod_runs_on_its_machine_and_leaves_a_log() {
    let cluster = with_cilium(600.0).await;
    let machine = cluster.node("w-1", 11, false);
    let image = "quay.io/cilium/cilium:v1.18.0";
    let good = cluster.file(
        "good.json",
        &host_pod("good", "w-1", image, &["peers", "192.0.2.1"]),
    );
    let bad = cluster.file("bad.json", &host_pod("bad", "w-1", image, &["fail"]));
    let foreign = cluster.file(
        "foreign.json",
        &host_pod("foreign", "w-1", "busybox:1", &["rules"]),
    );
    for file in [&good, &bad, &foreign] {
        cluster.apply(file).await;
    }
    let phase = async |pod: &str, phase: &str| {
        let state = format!("jsonpath={{.status.phase}}={phase}");
        cluster.wait_for(&state, &["-n", "kube-system", pod]).await;
    };
    phase("pod/good", "Succeeded").await;
    phase("pod/bad", "Failed").await;
    assert_eq!(
        cluster
            .kubectl(&["logs", "-n", "kube-system", "good"])
            .await,
        "ran /opt/strata/bin/strata-node peers 192.0.2.1\n"
    );
    let code = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}";
    assert_eq!(
        cluster
            .kubectl(&["get", "pod", "-n", "kube-system", "bad", "-o", code])
            .await,
        "1"
    );
    assert_eq!(machine.ran.lock().unwrap().len(), 2);
    let events = cluster
        .kubectl(&["get", "events", "-n", "kube-system"])
        .await;
    assert!(events.contains("ErrImageNeverPull"), "{events}");
    cluster
        .kubectl(&["delete", "pod", "-n", "kube-system", "good", "foreign"])
        .await;

    machine.alive.store(false, Ordering::SeqCst);
    let late = cluster.file("late.json", &host_pod("late", "w-1", image, &["version"]));
    cluster.apply(&late).await;
    assert!(
        cluster
            .kubectl(&["get", "pod", "-n", "kube-system", "late"])
            .await
            .contains("Pending")
    );
    machine.alive.store(true, Ordering::SeqCst);
    phase("pod/late", "Succeeded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_one_by_one_and_the_api_needs_their_majority() {
    let cluster = with_cilium(60.0).await;
    let machines = [
        cluster.node("cp-1", 1, true),
        cluster.node("cp-2", 2, true),
        cluster.node("cp-3", 3, true),
    ];
    for (name, last) in [("cp-2", 2), ("cp-3", 3)] {
        let id = cluster
            .plane
            .add_member(name, [192, 0, 2, last].into())
            .unwrap();
        assert_eq!(
            cluster
                .plane
                .add_member("cp-9", [192, 0, 2, 9].into())
                .unwrap_err(),
            "etcdserver: too many learner members in cluster"
        );
        cluster.plane.promote(id).unwrap();
    }
    assert_eq!(cluster.plane.members().len(), 3);
    let client = cluster.http(Some("admin"));
    machines[2].alive.store(false, Ordering::SeqCst);
    let get = async |path: &str| client.get(&cluster.url(path)).await.unwrap();
    assert_eq!(get("/api/v1/nodes").await.status, 200);
    assert_eq!(
        cluster
            .plane
            .add_member("cp-4", [192, 0, 2, 4].into())
            .unwrap_err(),
        "etcdserver: unhealthy cluster"
    );
    machines[1].alive.store(false, Ordering::SeqCst);
    let answer = get("/api/v1/nodes").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["message"], "etcdserver: request timed out");
    assert_eq!(get("/readyz").await.status, 500);
    machines[1].alive.store(true, Ordering::SeqCst);
    let dead = cluster
        .plane
        .members()
        .into_iter()
        .find(|member| !member.alive)
        .unwrap();
    cluster.plane.remove_member(dead.id).unwrap();
    cluster.plane.delete_node("cp-3");
    let estate = cluster.plane.estate();
    assert_eq!(estate["members"].as_array().unwrap().len(), 2);
    assert!(estate["nodes"].get("cp-3").is_none());
    assert_eq!(estate["nodes"]["cp-1"]["address"], "192.0.2.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_node_becomes_unknown_after_its_grace_and_returns() {
    let cluster = with_cilium(1.0).await;
    let machine = cluster.node("w-1", 11, false);
    cluster.clock.advance(Duration::from_secs(15));
    cluster.wait_for("condition=Ready", &["node/w-1"]).await;
    machine.alive.store(false, Ordering::SeqCst);
    let status = [
        "get",
        "node",
        "w-1",
        "-o",
        "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}",
    ];
    assert_eq!(cluster.kubectl(&status).await, "True");
    cluster.clock.advance(Duration::from_secs(41));
    assert_eq!(cluster.kubectl(&status).await, "Unknown");
    assert!(
        cluster
            .kubectl(&["get", "nodes"])
            .await
            .contains("NotReady")
    );
    assert!(
        cluster
            .kubectl(&["describe", "node", "w-1"])
            .await
            .contains("node.kubernetes.io/unreachable")
    );
    machine.alive.store(true, Ordering::SeqCst);
    assert_eq!(cluster.kubectl(&status).await, "True");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_drained_and_deleted() {
    let cluster = with_cilium(600.0).await;
    cluster.node("w-1", 11, false);
    cluster.node("w-2", 12, false);
    cluster.wait_for_dns().await;
    let text = cluster
        .kubectl(&[
            "drain",
            "w-1",
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=30s",
        ])
        .await;
    assert!(text.contains("drained"), "{text}");
    assert!(
        cluster
            .kubectl(&["get", "nodes"])
            .await
            .contains("Ready,SchedulingDisabled")
    );
    assert_eq!(
        cluster.plane.estate()["nodes"]["w-1"]["unschedulable"],
        true
    );
    let left = cluster
        .kubectl(&[
            "get",
            "pods",
            "-A",
            "--field-selector=spec.nodeName=w-1",
            "-o",
            "name",
        ])
        .await;
    assert!(left.lines().all(|pod| pod.contains("cilium")), "{left}");
    cluster.kubectl(&["uncordon", "w-1"]).await;

    let budget = cluster.file(
        "budget.yaml",
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: dns, namespace: kube-system}\nspec: {minAvailable: 2, selector: {matchLabels: {k8s-app: kube-dns}}}\n",
    );
    cluster.kubectl(&["apply", "-f", &budget]).await;
    let refused = cluster
        .refused(&["drain", "w-2", "--ignore-daemonsets", "--timeout=3s"])
        .await;
    assert!(
        refused.contains("would violate the pod's disruption budget"),
        "{refused}"
    );
    cluster.kubectl(&["delete", "node", "w-2"]).await;
    assert!(!cluster.kubectl(&["get", "nodes"]).await.contains("w-2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typed_clients_read_every_list() {
    use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, rbac::v1 as rbac};
    use k8s_openapi::{List, ListableResource};

    async fn read<T: ListableResource + serde::de::DeserializeOwned>(
        cluster: &Cluster,
        path: &str,
    ) -> Vec<T> {
        let answer = cluster
            .http(Some("admin"))
            .get(&cluster.url(path))
            .await
            .unwrap();
        let text = answer.text;
        serde_json::from_str::<List<T>>(&text)
            .unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
            .items
    }

    let cluster = with_cilium(600.0).await;
    cluster.node("cp-1", 1, true);
    cluster.wait_for_dns().await;
    let nodes = read::<core::Node>(&cluster, "/api/v1/nodes").await;
    assert_eq!(nodes[0].metadata.name.as_deref(), Some("cp-1"));
    assert_eq!(
        read::<core::Pod>(&cluster, "/api/v1/pods").await.len(),
        7,
        "cilium, two of coredns, four static"
    );
    assert!(
        !read::<core::ConfigMap>(&cluster, "/api/v1/configmaps")
            .await
            .is_empty()
    );
    assert!(
        !read::<core::Service>(&cluster, "/api/v1/services")
            .await
            .is_empty()
    );
    assert!(
        !read::<core::Namespace>(&cluster, "/api/v1/namespaces")
            .await
            .is_empty()
    );
    let sets = read::<apps::DaemonSet>(&cluster, "/apis/apps/v1/daemonsets").await;
    assert_eq!(sets[0].status.as_ref().unwrap().number_ready, 1);
    assert!(
        !read::<apps::Deployment>(&cluster, "/apis/apps/v1/deployments")
            .await
            .is_empty()
    );
    assert!(
        !read::<apps::ReplicaSet>(&cluster, "/apis/apps/v1/replicasets")
            .await
            .is_empty()
    );
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert!(
        !read::<rbac::ClusterRoleBinding>(&cluster, bindings)
            .await
            .is_empty()
    );
}
