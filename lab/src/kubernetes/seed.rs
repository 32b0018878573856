//! What `kubeadm init` leaves in a fresh cluster: namespaces, ConfigMaps, RBAC defaults, CoreDNS. Without a ClusterConfiguration, what Talos leaves: the
//! same but for kubeadm's own ConfigMaps.

use serde_json::{Value, json};

use super::agent::Bootstrap;
use super::cluster_info;

const JOINERS: &str = "system:bootstrappers:kubeadm:default-node-token";

/// What `kubeadm init` uploads whatever is there.
pub(super) fn configurations(bootstrap: &Bootstrap) -> Vec<Value> {
    if bootstrap.cluster_configuration.is_empty() {
        return Vec::new();
    }
    vec![
        config_map(
            "kube-system",
            "kubeadm-config",
            &json!({"ClusterConfiguration": bootstrap.cluster_configuration}),
        ),
        config_map(
            "kube-system",
            "kubelet-config",
            &json!({"kubelet": bootstrap.kubelet_configuration}),
        ),
    ]
}

/// The objects, ready to be created in this order; kinds are found by `apiVersion` and `kind`.
pub(super) fn objects(bootstrap: &Bootstrap) -> Vec<Value> {
    let mut objects: Vec<Value> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .into_iter()
        .map(namespace)
        .collect();
    objects.extend(config_maps(bootstrap));
    objects.extend(roles());
    objects.extend(bindings(bootstrap.anonymous_cluster_info));
    objects.extend(services(&bootstrap.service_subnet));
    objects.push(core_dns());
    objects.extend(
        [("system-node-critical", 2_000_001_000_i64), ("system-cluster-critical", 2_000_000_000)].map(|(name, value)| {
            json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
                "preemptionPolicy": "PreemptLowerPriority"})
        }),
    );
    objects
}

fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

fn config_map(namespace: &str, name: &str, data: &Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace, "name": name}});
    object["data"] = data.clone();
    object
}

fn config_maps(bootstrap: &Bootstrap) -> Vec<Value> {
    let kubeconfig = cluster_info::kubeconfig(&bootstrap.ca_crt, &bootstrap.endpoint);
    let corefile = format!(
        ".:53 {{\n    errors\n    health\n    ready\n    kubernetes {} in-addr.arpa ip6.arpa\n    forward . /etc/resolv.conf\n    cache 30\n}}\n",
        bootstrap.dns_domain
    );
    let mut maps = configurations(bootstrap);
    if !maps.is_empty() {
        maps.push(config_map(
            "kube-public",
            "cluster-info",
            &json!({"kubeconfig": kubeconfig}),
        ));
    }
    maps.extend([
        config_map(
            "kube-system",
            "extension-apiserver-authentication",
            &json!({"client-ca-file": bootstrap.ca_crt}),
        ),
        config_map("kube-system", "coredns", &json!({"Corefile": corefile})),
    ]);
    maps
}

fn cluster_role(name: &str, rules: &Value) -> Value {
    let mut role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}});
    role["rules"] = rules.clone();
    role
}

fn role(namespace: &str, name: &str, rule: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name, "namespace": namespace}, "rules": [rule]})
}

/// Everything in the groups ordinary users work with; `verbs` decides how much.
fn namespaced_rules(verbs: &[&str], secrets: bool) -> Value {
    let mut core = vec![
        "configmaps",
        "endpoints",
        "events",
        "persistentvolumeclaims",
        "pods",
        "pods/log",
        "pods/status",
        "services",
        "serviceaccounts",
        "namespaces",
        "resourcequotas",
        "limitranges",
    ];
    if secrets {
        core.push("secrets");
    }
    json!([
        {"apiGroups": [""], "resources": core, "verbs": verbs},
        {"apiGroups": ["apps", "batch", "autoscaling", "networking.k8s.io", "policy"], "resources": ["*"], "verbs": verbs},
    ])
}

fn roles() -> Vec<Value> {
    let read = ["get", "list", "watch"];
    let write = [
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
    ];
    let csr = "certificates.k8s.io";
    vec![
        cluster_role(
            "cluster-admin",
            &json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]),
        ),
        cluster_role("admin", &namespaced_rules(&write, true)),
        cluster_role("edit", &namespaced_rules(&write, true)),
        cluster_role("view", &namespaced_rules(&read, false)),
        cluster_role(
            "system:public-info-viewer",
            &json!([{"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"]}]),
        ),
        cluster_role(
            "system:discovery",
            &json!([{"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*",
                "/readyz", "/version", "/version/"], "verbs": ["get"]}]),
        ),
        cluster_role(
            "system:basic-user",
            &json!([
                {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], "verbs": ["create"]},
                {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
            ]),
        ),
        cluster_role(
            "system:node-bootstrapper",
            &json!([{"apiGroups": [csr], "resources": ["certificatesigningrequests"], "verbs": ["create", "get", "list", "watch"]}]),
        ),
        cluster_role(
            "kubeadm:get-nodes",
            &json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]),
        ),
        role(
            "kube-system",
            "kubeadm:nodes-kubeadm-config",
            &json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kubeadm-config"], "verbs": ["get"]}),
        ),
        role(
            "kube-system",
            "kubeadm:kubelet-config",
            &json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["kubelet-config"], "verbs": ["get"]}),
        ),
        role(
            "kube-public",
            "kubeadm:bootstrap-signer-clusterinfo",
            &json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["cluster-info"], "verbs": ["get"]}),
        ),
    ]
}

fn binding(namespace: Option<&str>, name: &str, role: &str, subjects: &[(&str, &str)]) -> Value {
    let subjects: Vec<Value> = subjects
        .iter()
        .map(|(kind, name)| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}))
        .collect();
    let (kind, role_kind) = if namespace.is_some() {
        ("RoleBinding", "Role")
    } else {
        ("ClusterRoleBinding", "ClusterRole")
    };
    let mut object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role}, "subjects": subjects,
    });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn bindings(anonymous_cluster_info: bool) -> Vec<Value> {
    let everyone = [
        ("Group", "system:authenticated"),
        ("Group", "system:unauthenticated"),
    ];
    let joiners = [("Group", JOINERS), ("Group", "system:nodes")];
    let mut bindings = vec![
        binding(
            None,
            "cluster-admin",
            "cluster-admin",
            &[("Group", "system:masters")],
        ),
        binding(
            None,
            "kubeadm:cluster-admins",
            "cluster-admin",
            &[("Group", "kubeadm:cluster-admins")],
        ),
        binding(
            None,
            "system:public-info-viewer",
            "system:public-info-viewer",
            &everyone,
        ),
        binding(None, "system:discovery", "system:discovery", &everyone[..1]),
        binding(
            None,
            "system:basic-user",
            "system:basic-user",
            &everyone[..1],
        ),
        binding(
            None,
            "kubeadm:kubelet-bootstrap",
            "system:node-bootstrapper",
            &joiners[..1],
        ),
        binding(
            None,
            "kubeadm:get-nodes",
            "kubeadm:get-nodes",
            &joiners[..1],
        ),
        binding(
            Some("kube-system"),
            "kubeadm:nodes-kubeadm-config",
            "kubeadm:nodes-kubeadm-config",
            &joiners,
        ),
        binding(
            Some("kube-system"),
            "kubeadm:kubelet-config",
            "kubeadm:kubelet-config",
            &joiners,
        ),
    ];
    let name = "kubeadm:bootstrap-signer-clusterinfo";
    // kubeadm binds the anonymous user; a cluster that denies anonymous requests keeps the role for its joiners.
    let reader = if anonymous_cluster_info {
        ("User", "system:anonymous")
    } else {
        ("Group", JOINERS)
    };
    bindings.push(binding(Some("kube-public"), name, name, &[reader]));
    bindings
}

fn services(subnet: &str) -> [Value; 2] {
    [
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"type": "ClusterIP", "clusterIP": service_address(subnet, 1),
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]}}),
        json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"}},
        "spec": {"type": "ClusterIP", "clusterIP": service_address(subnet, 10), "selector": {"k8s-app": "kube-dns"}, "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
            {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
        ]}}),
    ]
}

/// The n-th address of the first service subnet; kubeadm gives 1 to the API and 10 to DNS.
pub(super) fn service_address(subnet: &str, number: u32) -> String {
    match subnet.split(',').next().unwrap_or_default().trim().parse() {
        Ok(ipnet::IpNet::V4(net)) => {
            std::net::Ipv4Addr::from(u32::from(net.network()).wrapping_add(number)).to_string()
        }
        Ok(ipnet::IpNet::V6(net)) => {
            std::net::Ipv6Addr::from(u128::from(net.network()).wrapping_add(number.into()))
                .to_string()
        }
        Err(_) => std::net::Ipv4Addr::from(0x0a60_0000 + number).to_string(),
    }
}

fn core_dns() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {"name": "coredns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"k8s-app": "kube-dns"}}, "template": {
        "metadata": {"labels": {"k8s-app": "kube-dns"}},
        "spec": {
            "containers": [{"name": "coredns", "image": "registry.k8s.io/coredns/coredns:v1.12.1"}],
            "serviceAccountName": "coredns", "priorityClassName": "system-cluster-critical",
            "tolerations": [{"key": "CriticalAddonsOnly", "operator": "Exists"},
                {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}],
        },
    }}})
}
