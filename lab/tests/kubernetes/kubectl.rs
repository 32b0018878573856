//! The real kubectl against the lab's control plane.

use crate::cluster::Cluster;

const DEMO: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: demo}
data: {a: '1', b: '2'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: demo}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: nginx:1.27
        ports: [{containerPort: 80}]
        env: [{name: A, value: b}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: demo}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_listed_and_become_ready_with_cilium() {
    let cluster = Cluster::start(600.0).await;
    cluster.node("cp-1", 1, true);
    cluster.node("w-1", 11, false);
    assert_eq!(cluster.kubectl(&["get", "--raw", "/readyz"]).await, "ok");
    let table = cluster.kubectl(&["get", "nodes", "-o", "wide"]).await;
    let line = table.lines().find(|line| line.starts_with("cp-1")).unwrap();
    assert!(
        line.contains("NotReady")
            && line.contains("control-plane")
            && line.contains("v1.34.2+lab")
            && line.contains("192.0.2.1"),
        "{table}"
    );
    assert!(
        cluster
            .kubectl(&["describe", "node", "w-1"])
            .await
            .contains("cni plugin not initialized")
    );

    cluster.install_cilium().await;
    cluster
        .wait_for("condition=Ready", &["node", "--all"])
        .await;
    cluster
        .kubectl(&[
            "rollout",
            "status",
            "-n",
            "kube-system",
            "daemonset/cilium",
            "--timeout=30s",
        ])
        .await;
    cluster.wait_for_dns().await;
    let set = cluster
        .kubectl(&[
            "get",
            "daemonset",
            "-n",
            "kube-system",
            "cilium",
            "-o",
            "yaml",
        ])
        .await;
    assert!(set.contains("strata.dev/simulated: \"true\""), "{set}");
    assert!(
        cluster
            .kubectl(&["describe", "node", "w-1"])
            .await
            .contains("CiliumIsUp")
    );
    assert!(
        cluster
            .calls
            .snapshot()
            .contains_key("kubernetes WATCH /api/v1/nodes"),
        "{:?}",
        cluster.calls.snapshot()
    );
    assert!(cluster.kubectl(&["version"]).await.contains("v1.34.2+lab"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_side_apply_changes_nothing() {
    let cluster = Cluster::start(60.0).await;
    let file = cluster.file("demo.yaml", DEMO);
    let apply = ["apply", "--server-side", "-f", &file];
    let versions = [
        "get",
        "namespace/demo",
        "-o",
        "jsonpath={.metadata.resourceVersion}",
    ];
    cluster.kubectl(&apply).await;
    cluster.kubectl(&["get", "all", "-A"]).await;
    let before = (
        cluster.kubectl(&versions).await,
        cluster
            .kubectl(&["get", "-n", "demo", "cm/settings", "svc/web", "-o", "yaml"])
            .await,
    );
    let generation = [
        "get",
        "-n",
        "demo",
        "deploy/web",
        "-o",
        "jsonpath={.metadata.generation} {.metadata.managedFields}",
    ];
    let deployment = cluster.kubectl(&generation).await;
    let second = cluster.kubectl(&apply).await;
    assert!(
        second.contains("configmap/settings serverside-applied"),
        "{second}"
    );
    let after = (
        cluster.kubectl(&versions).await,
        cluster
            .kubectl(&["get", "-n", "demo", "cm/settings", "svc/web", "-o", "yaml"])
            .await,
    );
    assert_eq!(before, after);
    assert_eq!(deployment, cluster.kubectl(&generation).await);
    assert_eq!(
        cluster
            .kubectl(&["diff", "--server-side", "-f", &file])
            .await,
        ""
    );

    // What the manager leaves out goes; what another manager holds is a conflict.
    let settings = [
        "get",
        "cm",
        "-n",
        "demo",
        "settings",
        "-o",
        "jsonpath={.data}",
    ];
    let fewer = cluster.file("fewer.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: demo}\ndata: {a: '1'}\n");
    cluster.apply(&fewer).await;
    assert_eq!(cluster.kubectl(&settings).await, r#"{"a":"1"}"#);
    let other = cluster.file("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: demo}\ndata: {a: '9'}\n");
    let conflict = cluster
        .refused(&[
            "apply",
            "--server-side",
            "--field-manager=other",
            "-f",
            &other,
        ])
        .await;
    assert!(
        conflict.contains("conflict with \"kubectl\": .data.a"),
        "{conflict}"
    );
    cluster
        .kubectl(&[
            "apply",
            "--server-side",
            "--field-manager=other",
            "--force-conflicts",
            "-f",
            &other,
        ])
        .await;
    assert_eq!(cluster.kubectl(&settings).await, r#"{"a":"9"}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_side_apply_label_patch_and_delete() {
    let cluster = Cluster::start(600.0).await;
    let file = cluster.file("demo.yaml", DEMO);
    assert!(
        cluster
            .kubectl(&["apply", "-f", &file])
            .await
            .contains("deployment.apps/web created")
    );
    let second = cluster.kubectl(&["apply", "-f", &file]).await;
    assert_eq!(second.matches("unchanged").count(), 4, "{second}");
    cluster
        .kubectl(&["label", "-n", "demo", "cm", "settings", "color=red"])
        .await;
    cluster
        .kubectl(&["annotate", "-n", "demo", "cm", "settings", "note=x"])
        .await;
    cluster
        .kubectl(&[
            "patch",
            "-n",
            "demo",
            "deploy",
            "web",
            "-p",
            r#"{"spec":{"replicas":3}}"#,
        ])
        .await;
    assert_eq!(
        cluster
            .kubectl(&["get", "cm", "-n", "demo", "-l", "color=red", "-o", "name"])
            .await,
        "configmap/settings\n"
    );
    assert!(cluster.kubectl(&["auth", "whoami"]).await.contains("admin"));
    assert_eq!(
        cluster.kubectl(&["auth", "can-i", "delete", "nodes"]).await,
        "yes\n"
    );
    cluster
        .kubectl(&[
            "create",
            "secret",
            "generic",
            "key",
            "-n",
            "demo",
            "--from-literal=a=b",
        ])
        .await;
    assert!(
        cluster
            .kubectl(&["get", "events", "-n", "demo"])
            .await
            .contains("the lab runs no containers")
    );
    assert!(
        cluster
            .kubectl(&["get", "pods", "-n", "demo"])
            .await
            .contains("Pending")
    );
    assert!(
        cluster
            .refused(&["logs", "-n", "demo", "deploy/web"])
            .await
            .contains("LAB-UNKNOWN")
    );
    assert!(
        cluster
            .refused(&["get", "pods", "-n", "demo", "absent"])
            .await
            .contains("Error from server (NotFound): pods \"absent\" not found")
    );
    let strict = cluster.file(
        "strict.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s, namespace: demo}\ndate: {a: b}\n",
    );
    assert!(
        cluster
            .refused(&["apply", "-f", &strict])
            .await
            .contains("unknown field \"date\"")
    );

    let mut watch = cluster.command("admin", &["get", "cm", "-n", "demo", "-w", "-o", "name"]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(watch.stdout.take().unwrap());
    let mut seen = String::new();
    while !seen.contains("settings") {
        tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut seen)
            .await
            .unwrap();
    }
    cluster
        .kubectl(&["create", "cm", "-n", "demo", "fresh"])
        .await;
    while !seen.contains("fresh") {
        tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut seen)
            .await
            .unwrap();
    }
    watch.start_kill().unwrap();

    assert!(
        cluster
            .kubectl(&["delete", "ns", "demo"])
            .await
            .contains("deleted")
    );
    assert!(
        cluster
            .refused(&["get", "ns", "demo"])
            .await
            .contains("NotFound")
    );
    assert_eq!(cluster.kubectl(&["get", "pods", "-n", "demo"]).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_resources_come_with_their_definition() {
    let cluster = Cluster::start(600.0).await;
    let definition = cluster.file(
        "crd.yaml",
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Size, type: integer, jsonPath: .spec.size}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties: {size: {type: integer, minimum: 1}, color: {type: string, default: red}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
",
    );
    cluster.apply(&definition).await;
    cluster
        .wait_for("condition=Established", &["crd/widgets.example.org"])
        .await;
    let widget = |size: &str| {
        format!(
            "apiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: one, namespace: default}}\nspec: {{{size}}}\n"
        )
    };
    let good = cluster.file("good.yaml", &widget("size: 3"));
    cluster.kubectl(&["apply", "-f", &good]).await;
    assert!(
        cluster
            .kubectl(&["apply", "-f", &good])
            .await
            .contains("unchanged")
    );
    let table = cluster.kubectl(&["get", "wd"]).await;
    assert!(
        table.contains("SIZE") && table.lines().nth(1).unwrap().contains('3'),
        "{table}"
    );
    assert_eq!(
        cluster
            .kubectl(&["get", "wd", "one", "-o", "jsonpath={.spec.color}"])
            .await,
        "red"
    );
    let bad = cluster.file("bad.yaml", &widget("size: 0"));
    assert!(
        cluster
            .refused(&["apply", "-f", &bad])
            .await
            .contains("should be greater than or equal to 1")
    );
    let unknown = cluster.file("unknown.yaml", &widget("size: 1, weight: 2"));
    assert!(
        cluster
            .refused(&["apply", "-f", &unknown])
            .await
            .contains("unknown field \"spec.weight\"")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_follows_owners_and_waits_for_finalizers() {
    let cluster = Cluster::start(600.0).await;
    let file = cluster.file("demo.yaml", DEMO);
    cluster.kubectl(&["apply", "-f", &file]).await;
    cluster
        .kubectl(&["scale", "-n", "demo", "deploy/web", "--replicas=1"])
        .await;
    let pods = ["get", "pods", "-n", "demo", "-o", "name"];
    assert_eq!(cluster.kubectl(&pods).await.lines().count(), 1);
    cluster
        .kubectl(&[
            "delete",
            "deploy",
            "web",
            "-n",
            "demo",
            "--cascade=foreground",
        ])
        .await;
    assert_eq!(
        cluster
            .kubectl(&["get", "rs,pods", "-n", "demo", "-o", "name"])
            .await,
        ""
    );

    cluster.kubectl(&["apply", "-f", &file]).await;
    cluster
        .kubectl(&["delete", "deploy", "web", "-n", "demo", "--cascade=orphan"])
        .await;
    assert_eq!(
        cluster
            .kubectl(&["get", "rs", "-n", "demo", "-o", "name"])
            .await
            .lines()
            .count(),
        1
    );

    cluster
        .kubectl(&[
            "patch",
            "cm",
            "-n",
            "demo",
            "settings",
            "--type=merge",
            "-p",
            r#"{"metadata":{"finalizers":["example.org/hold"]}}"#,
        ])
        .await;
    cluster
        .kubectl(&["delete", "cm", "-n", "demo", "settings", "--wait=false"])
        .await;
    cluster
        .kubectl(&["delete", "ns", "demo", "--wait=false"])
        .await;
    let conditions = cluster.kubectl(&["get", "ns", "demo", "-o", "yaml"]).await;
    assert!(
        conditions.contains("phase: Terminating") && conditions.contains("configmaps settings"),
        "{conditions}"
    );
    let refused = cluster
        .refused(&["create", "cm", "late", "-n", "demo"])
        .await;
    assert!(
        refused.contains("because it is being terminated"),
        "{refused}"
    );
    cluster
        .kubectl(&[
            "patch",
            "cm",
            "-n",
            "demo",
            "settings",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/metadata/finalizers"}]"#,
        ])
        .await;
    cluster.wait_for("delete", &["ns/demo"]).await;
}
