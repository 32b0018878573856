//! Who may do what, bootstrap tokens and their end, certificates and clocks, faults.

use std::time::Duration;

use crate::cluster::Cluster;
use data_encoding::BASE64;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use strata_lab::fault::{Action, Fault};

fn token(now: Timestamp, id: &str, minutes: u64) -> String {
    let expiration = now.checked_add(Duration::from_mins(minutes)).unwrap();
    let encoded = |text: &str| BASE64.encode(text.as_bytes());
    json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "data": {"token-id": encoded(id), "token-secret": encoded("0123456789abcdef"), "expiration": encoded(&expiration.to_string()),
            "usage-bootstrap-authentication": encoded("true"), "usage-bootstrap-signing": encoded("true"),
            "auth-extra-groups": encoded("system:bootstrappers:kubeadm:default-node-token")}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrap_token_signs_in_and_ends_on_the_clock_of_the_lab() {
    let cluster = Cluster::start(1.0).await;
    let file = cluster.file("token.json", &token(cluster.clock.now(), "abcdef", 60));
    cluster.apply(&file).await;
    cluster
        .plane
        .authenticate_token("abcdef.0123456789abcdef")
        .unwrap();
    assert!(
        cluster
            .plane
            .authenticate_token("abcdef.0123456789abcdeX")
            .is_err()
    );
    assert_eq!(
        cluster.plane.estate()["bootstrap_tokens"],
        json!(["abcdef"])
    );

    let client = cluster.http(None);
    let info = client
        .get(&cluster.url("/api/v1/namespaces/kube-public/configmaps/cluster-info"))
        .await
        .unwrap()
        .json();
    assert!(
        info["data"]["jws-kubeconfig-abcdef"]
            .as_str()
            .unwrap()
            .contains(".."),
        "{info}"
    );
    let client = client.with_bearer("abcdef.0123456789abcdef");
    let bearer = async |path: &str| client.get(&cluster.url(path)).await.unwrap();
    let refused = bearer("/api/v1/nodes").await.json();
    assert_eq!(
        refused["message"],
        "nodes is forbidden: User \"system:bootstrap:abcdef\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
    );
    assert_eq!(bearer("/api/v1/nodes/none").await.status, 404);
    assert_eq!(
        bearer("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")
            .await
            .status,
        200
    );

    cluster.clock.advance(Duration::from_mins(61));
    let after = bearer("/api/v1/nodes/none").await;
    assert_eq!(after.status, 401);
    let body = after.json();
    assert_eq!(
        (&body["reason"], &body["message"]),
        (&json!("Unauthorized"), &json!("Unauthorized"))
    );
    let secret = cluster
        .refused(&[
            "get",
            "secret",
            "-n",
            "kube-system",
            "bootstrap-token-abcdef",
        ])
        .await;
    assert!(secret.contains("NotFound"), "{secret}");
    let info = cluster
        .kubectl(&[
            "get",
            "cm",
            "-n",
            "kube-public",
            "cluster-info",
            "-o",
            "yaml",
        ])
        .await;
    assert!(!info.contains("jws-kubeconfig"), "{info}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_written_by_the_walls_clock_keeps_its_life_until_its_expiry_is_changed() {
    let cluster = Cluster::start(1.0).await;
    let works = || {
        cluster
            .plane
            .authenticate_token("abcdef.0123456789abcdef")
            .is_ok()
    };
    let minutes = |minutes| cluster.clock.advance(Duration::from_mins(minutes));
    let apply = async |text: &str| {
        let file = cluster.file("token.json", text);
        cluster.apply(&file).await;
    };
    minutes(120);
    apply(&token(Timestamp::now(), "abcdef", 60)).await;
    minutes(58);
    assert!(works());
    apply(&token(cluster.clock.now(), "abcdef", 60)).await;
    minutes(58);
    assert!(works());
    minutes(3);
    assert!(!works());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_and_users_get_what_rbac_gives_them() {
    let open = Cluster::start(60.0).await;
    let closed = Cluster::start_with(60.0, false).await;
    for (cluster, path, expected) in [
        (&open, "/readyz", 200),
        (&open, "/version", 200),
        (&open, "/api/v1/nodes", 403),
        (
            &open,
            "/api/v1/namespaces/kube-public/configmaps/cluster-info",
            200,
        ),
        (&closed, "/livez", 200),
        (
            &closed,
            "/api/v1/namespaces/kube-public/configmaps/cluster-info",
            401,
        ),
        (&closed, "/api/v1/nodes", 401),
    ] {
        let answer = cluster.http(None).get(&cluster.url(path)).await.unwrap();
        assert_eq!(answer.status, expected, "{path}");
    }

    open.write_kubeconfig("ada", &["strata:operators"]);
    let refused = open.kubectl_as("ada", &["get", "pods"]).await;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        text.contains("User \"ada\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""),
        "{text}"
    );
    open.kubectl(&[
        "create",
        "clusterrolebinding",
        "ops",
        "--clusterrole=cluster-admin",
        "--group=strata:operators",
    ])
    .await;
    assert!(
        open.kubectl_as("ada", &["get", "pods"])
            .await
            .status
            .success()
    );
    open.kubectl(&[
        "create",
        "role",
        "reader",
        "--verb=get,list",
        "--resource=configmaps",
        "-n",
        "kube-system",
    ])
    .await;
    open.kubectl(&[
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--user=bob",
        "-n",
        "kube-system",
    ])
    .await;
    open.write_kubeconfig("bob", &[]);
    assert!(
        open.kubectl_as("bob", &["get", "cm", "-n", "kube-system"])
            .await
            .status
            .success()
    );
    assert!(
        !open
            .kubectl_as("bob", &["get", "cm", "-n", "default"])
            .await
            .status
            .success()
    );
    assert!(
        !open
            .kubectl_as("bob", &["get", "secret", "-n", "kube-system"])
            .await
            .status
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_lives_its_life_on_the_clock_of_the_lab() {
    let cluster = Cluster::start(1.0).await;
    cluster.write_kubeconfig_for("short", &["system:masters"], Duration::from_hours(7 * 24));
    assert!(
        cluster
            .kubectl_as("short", &["get", "ns"])
            .await
            .status
            .success()
    );
    cluster.clock.advance(Duration::from_hours(8 * 24));
    let refused = cluster.kubectl_as("short", &["get", "ns"]).await;
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("Unauthorized")
            || String::from_utf8_lossy(&refused.stderr).contains("logged in")
    );
    // One minted now, by a machine with the wall's time, is young.
    cluster.write_kubeconfig_for("fresh", &["system:masters"], Duration::from_hours(7 * 24));
    assert!(
        cluster
            .kubectl_as("fresh", &["get", "ns"])
            .await
            .status
            .success()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_honoured_and_calls_counted() {
    let cluster = Cluster::start(60.0).await;
    let client = cluster.http(Some("admin"));
    let fault = |target: &str, action: Action| Fault {
        place: "kubernetes".into(),
        target: target.into(),
        action,
        times: Some(1),
    };
    cluster.calls.reset();
    cluster.faults.add(fault(
        "GET /api/v1/namespaces/*",
        Action::Status {
            code: 503,
            body: None,
            retry_after: Some(2),
        },
    ));
    let url = cluster.url("/api/v1/namespaces/default");
    let answer = client.get(&url).await.unwrap();
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.headers["retry-after"].as_bytes()
        ),
        (503, &b"2"[..])
    );
    assert_eq!(client.get(&url).await.unwrap().status, 200);

    let post = cluster.url("/api/v1/namespaces");
    let send = async |name: &str| {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        client.send(Method::POST, &post, Some(&body)).await
    };
    cluster
        .faults
        .add(fault("POST /api/v1/namespaces", Action::LoseReply));
    assert!(send("lost").await.is_err());
    assert_eq!(send("lost").await.unwrap().status, 409);
    cluster
        .faults
        .add(fault("POST /api/v1/namespaces", Action::Disconnect));
    assert!(send("never").await.is_err());
    assert_eq!(send("never").await.unwrap().status, 201);
    let counts = cluster.calls.snapshot();
    assert_eq!(counts["kubernetes POST /api/v1/namespaces"], 4);
    assert_eq!(counts["kubernetes GET /api/v1/namespaces/{name}"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_have_pages_watches_a_start_and_writes_a_version() {
    let cluster = Cluster::start(60.0).await;
    let client = cluster.http(Some("admin"));
    let page = async |token: &str| {
        let url = cluster.url(&format!("/api/v1/namespaces?limit=3&continue={token}"));
        client.get(&url).await.unwrap().json()
    };
    let first = page("").await;
    assert_eq!(
        (
            first["items"].as_array().unwrap().len(),
            &first["metadata"]["remainingItemCount"]
        ),
        (3, &json!(1))
    );
    let second = page(first["metadata"]["continue"].as_str().unwrap()).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "kube-system");
    assert!(second["metadata"].get("continue").is_none());

    let watch = cluster.url("/api/v1/namespaces?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1");
    let text = client.get(&watch).await.unwrap().text;
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 5);
    assert_eq!(
        events[4]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );

    // A replacement with an old resourceVersion is refused, one without is taken.
    let url = cluster.url("/api/v1/namespaces/default/configmaps");
    let body = json!({"metadata": {"name": "m"}, "data": {"a": "1"}});
    let made = client.send(Method::POST, &url, Some(&body)).await.unwrap();
    let put = async |body: Value| {
        let url = format!("{url}/m");
        client.send(Method::PUT, &url, Some(&body)).await.unwrap()
    };
    let newer = put(json!({"metadata": {"name": "m"}, "data": {"a": "2"}})).await;
    assert_eq!(newer.status, 200);
    let stale = put(made.json()).await;
    assert_eq!(stale.status, 409);
    let stale = stale.json();
    assert!(
        stale["message"]
            .as_str()
            .unwrap()
            .contains("the object has been modified"),
        "{stale}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_refused_and_harms_nothing() {
    let cluster = Cluster::start(60.0).await;
    let client = cluster.http(Some("admin"));
    let url = cluster.url("/apis/apps/v1/namespaces/default/deployments");
    let post = async |body: &Value| {
        let answer = client.send(Method::POST, &url, Some(body)).await.unwrap();
        answer.status.as_u16()
    };
    let good = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    for path in [
        "/metadata",
        "/metadata/labels",
        "/spec",
        "/spec/selector",
        "/spec/selector/matchLabels",
        "/spec/template",
        "/spec/template/metadata",
        "/spec/template/metadata/labels",
        "/spec/template/spec",
        "/spec/template/spec/containers",
    ] {
        for nonsense in [json!("text"), json!([1]), json!(7)] {
            let mut body = good.clone();
            if path == "/metadata/labels" {
                body["metadata"]["labels"] = json!({});
            }
            *body.pointer_mut(path).unwrap() = nonsense;
            let status = post(&body).await;
            assert!(matches!(status, 400 | 422), "{path}: {status}");
        }
    }
    let wrong_kind = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "d"}});
    assert_eq!(post(&wrong_kind).await, 400);
    assert_eq!(post(&good).await, 201);
    let nothing = client.get(&cluster.url("/apis/nothing/v1/things")).await;
    assert_eq!(nothing.unwrap().status, 404);
}
