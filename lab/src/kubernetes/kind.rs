//! The kinds the API serves: a table of built-in ones, and those that CustomResourceDefinitions add.

use std::sync::Arc;

use serde_json::Value;

/// One served resource type in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) singular: String,
    /// `Pod`; the word of the API for what the URL calls `plural`.
    #[allow(clippy::struct_field_names)] // the API's own word
    pub(super) kind: String,
    pub(super) namespaced: bool,
    pub(super) short_names: Vec<String>,
    /// True when `/status` is a subresource, so that ordinary writes do not touch `status`.
    pub(super) has_status: bool,
    pub(super) categories: Vec<String>,
    /// `x-kubernetes` schema of a custom resource; `None` for built-in kinds.
    pub(super) schema: Option<Arc<Value>>,
    /// `additionalPrinterColumns` of a custom resource.
    pub(super) columns: Arc<Vec<Value>>,
}

/// What identifies a resource type in the store, whatever the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResourceId {
    pub(super) group: String,
    pub(super) plural: String,
}

impl Kind {
    pub(super) fn id(&self) -> ResourceId {
        ResourceId {
            group: self.group.clone(),
            plural: self.plural.clone(),
        }
    }

    /// `pods`, `deployments.apps`.
    pub(super) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `v1`, `apps/v1`.
    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(super) fn is_custom(&self) -> bool {
        self.schema.is_some()
    }

    pub(super) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

const CLUSTER: bool = false;
const NAMESPACED: bool = true;
const STATUS: bool = true;
const PLAIN: bool = false;

type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    bool,
    bool,
    &'static [&'static str],
);

/// Group, version, plural, kind, scope, status subresource, short names.
#[rustfmt::skip] // a table reads by line
const BUILT_IN: &[Row] = &[
    ("", "v1", "configmaps", "ConfigMap", NAMESPACED, PLAIN, &["cm"]),
    ("", "v1", "endpoints", "Endpoints", NAMESPACED, PLAIN, &["ep"]),
    ("", "v1", "events", "Event", NAMESPACED, PLAIN, &["ev"]),
    ("", "v1", "limitranges", "LimitRange", NAMESPACED, PLAIN, &["limits"]),
    ("", "v1", "namespaces", "Namespace", CLUSTER, STATUS, &["ns"]),
    ("", "v1", "nodes", "Node", CLUSTER, STATUS, &["no"]),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", NAMESPACED, STATUS, &["pvc"]),
    ("", "v1", "persistentvolumes", "PersistentVolume", CLUSTER, STATUS, &["pv"]),
    ("", "v1", "pods", "Pod", NAMESPACED, STATUS, &["po"]),
    ("", "v1", "resourcequotas", "ResourceQuota", NAMESPACED, STATUS, &["quota"]),
    ("", "v1", "secrets", "Secret", NAMESPACED, PLAIN, &[]),
    ("", "v1", "serviceaccounts", "ServiceAccount", NAMESPACED, PLAIN, &["sa"]),
    ("", "v1", "services", "Service", NAMESPACED, STATUS, &["svc"]),
    ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", CLUSTER, PLAIN, &[]),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", CLUSTER, PLAIN, &[]),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", CLUSTER, STATUS, &["crd", "crds"]),
    ("apiregistration.k8s.io", "v1", "apiservices", "APIService", CLUSTER, STATUS, &[]),
    ("apps", "v1", "controllerrevisions", "ControllerRevision", NAMESPACED, PLAIN, &[]),
    ("apps", "v1", "daemonsets", "DaemonSet", NAMESPACED, STATUS, &["ds"]),
    ("apps", "v1", "deployments", "Deployment", NAMESPACED, STATUS, &["deploy"]),
    ("apps", "v1", "replicasets", "ReplicaSet", NAMESPACED, STATUS, &["rs"]),
    ("apps", "v1", "statefulsets", "StatefulSet", NAMESPACED, STATUS, &["sts"]),
    ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", NAMESPACED, STATUS, &["hpa"]),
    ("batch", "v1", "cronjobs", "CronJob", NAMESPACED, STATUS, &["cj"]),
    ("batch", "v1", "jobs", "Job", NAMESPACED, STATUS, &[]),
    ("certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", CLUSTER, STATUS, &["csr"]),
    ("coordination.k8s.io", "v1", "leases", "Lease", NAMESPACED, PLAIN, &[]),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", NAMESPACED, PLAIN, &[]),
    ("networking.k8s.io", "v1", "ingressclasses", "IngressClass", CLUSTER, PLAIN, &[]),
    ("networking.k8s.io", "v1", "ingresses", "Ingress", NAMESPACED, STATUS, &["ing"]),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", NAMESPACED, PLAIN, &["netpol"]),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", NAMESPACED, STATUS, &["pdb"]),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", CLUSTER, PLAIN, &[]),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", CLUSTER, PLAIN, &[]),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", NAMESPACED, PLAIN, &[]),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", NAMESPACED, PLAIN, &[]),
    ("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", CLUSTER, PLAIN, &["pc"]),
    ("storage.k8s.io", "v1", "csidrivers", "CSIDriver", CLUSTER, PLAIN, &[]),
    ("storage.k8s.io", "v1", "csinodes", "CSINode", CLUSTER, PLAIN, &[]),
    ("storage.k8s.io", "v1", "storageclasses", "StorageClass", CLUSTER, PLAIN, &["sc"]),
    ("storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", CLUSTER, STATUS, &[]),
];

/// Shown by `kubectl get all`.
const ALL: &[&str] = &[
    "cronjobs",
    "daemonsets",
    "deployments",
    "horizontalpodautoscalers",
    "jobs",
    "pods",
    "replicasets",
    "services",
    "statefulsets",
];

/// The kinds every cluster has.
pub(super) fn built_in() -> Vec<Kind> {
    BUILT_IN
        .iter()
        .map(
            |&(group, version, plural, kind, namespaced, has_status, short_names)| Kind {
                group: group.into(),
                version: version.into(),
                plural: plural.into(),
                singular: kind.to_lowercase(),
                kind: kind.into(),
                namespaced,
                short_names: short_names.iter().map(ToString::to_string).collect(),
                has_status,
                categories: if ALL.contains(&plural) {
                    vec!["all".into()]
                } else {
                    Vec::new()
                },
                schema: None,
                columns: Arc::default(),
            },
        )
        .collect()
}

/// The kinds a CustomResourceDefinition serves once it is established, one per served version, storage version first.
pub(super) fn of_definition(definition: &Value) -> Vec<Kind> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| {
        value
            .as_array()
            .map(|all| all.iter().map(text).collect())
            .unwrap_or_default()
    };
    let names = &spec["names"];
    let singular = match names["singular"].as_str() {
        Some(singular) if !singular.is_empty() => singular.to_owned(),
        _ => text(&names["kind"]).to_lowercase(),
    };
    let mut versions: Vec<&Value> = spec["versions"]
        .as_array()
        .map(|all| all.iter().collect())
        .unwrap_or_default();
    versions.sort_by_key(|version| version["storage"] != true);
    versions
        .into_iter()
        .filter(|version| version["served"] == true)
        .map(|version| Kind {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            plural: text(&names["plural"]),
            singular: singular.clone(),
            kind: text(&names["kind"]),
            namespaced: spec["scope"] == "Namespaced",
            short_names: list(&names["shortNames"]),
            has_status: version["subresources"].get("status").is_some(),
            categories: list(&names["categories"]),
            schema: Some(Arc::new(version["schema"]["openAPIV3Schema"].clone())),
            columns: Arc::new(
                version["additionalPrinterColumns"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default(),
            ),
        })
        .collect()
}
