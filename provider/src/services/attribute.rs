//! Nested objects that several resources take: how to reach a cluster, how to reach a node. Names of store entries, never values.

use std::collections::{BTreeMap, BTreeSet};

use strata_framework::{Attr, Diagnostics, Schema};

/// A cluster as its API is reached. Names of store entries, never what is in them.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Name of the cluster, e.g. `home`. Only needed to create a node.
    #[schema(optional)]
    pub name: Attr<String>,
    /// Name or address of the endpoint, e.g. `api.home.example.org`: what the API's certificates are for. It is not resolved from here: the
    /// API is reached at the addresses of the control planes.
    #[schema(required)]
    pub endpoint: Attr<String>,
    /// Port of the API, by custom 6443.
    #[schema(required, range(1..=65535))]
    pub port: Attr<u16>,
    /// Kubernetes version with the `v`, e.g. `v1.34.2`. Only needed to create a node, where a later change is none: upgrades are the matter of
    /// `strata_kubernetes_cluster`.
    #[schema(optional)]
    pub kubernetes_version: Attr<String>,
    /// CIDR of the pods, e.g. `10.244.0.0/16`. Only needed to create a node; counts when the cluster is initialised.
    #[schema(optional)]
    pub pod_subnet: Attr<String>,
    /// CIDR of the services, e.g. `10.96.0.0/12`. Only needed to create a node; counts when the cluster is initialised.
    #[schema(optional)]
    pub service_subnet: Attr<String>,
    /// DNS domain inside the cluster, e.g. `cluster.local`. Only needed to create a node; counts when the cluster is initialised.
    #[schema(optional)]
    pub dns_domain: Attr<String>,
    /// Whether the API servers keep an audit log. Counts when the cluster is initialised. Without it they keep none.
    #[schema(optional)]
    pub audit: Attr<bool>,
    /// Further names and addresses in the API's certificates. Counts when a control plane is created. Without it there are none.
    #[schema(optional)]
    pub extra_sans: Attr<BTreeSet<String>>,
    /// Store entry with the cluster's PKI, e.g. `pki`: a `strata_secret` of kind `kubeadm_pki` or `talos_secrets`.
    #[schema(required)]
    pub pki: Attr<String>,
    /// IP addresses of the control planes by node name, e.g. `{ cp-1 = "203.0.113.11" }`.
    #[schema(required)]
    pub control_planes: Attr<BTreeMap<String, String>>,
    /// IP addresses of all nodes by node name, for their firewalls. Only needed to create a node.
    #[schema(optional)]
    pub peers: Attr<BTreeMap<String, String>>,
}

impl Cluster {
    /// Control planes by name.
    pub fn control_planes(&self) -> BTreeMap<String, String> {
        self.control_planes.or_default()
    }

    /// A text that an operation cannot do without.
    pub fn need<'a>(&self, name: &str, value: &'a Attr<String>) -> Result<&'a str, Diagnostics> {
        value
            .known()
            .map(String::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| {
                Diagnostics::error(
                    format!("Missing attribute cluster.{name}"),
                    format!("`{name}` of `cluster` is needed to create a node."),
                )
                .hint(&format!(
                    "Set `{name}` in the object that is passed as `cluster`."
                ))
            })
    }
}

/// A node as SSH reaches it.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct Ssh {
    /// Login name, e.g. `core`, Flatcar's user with `sudo`.
    #[schema(required)]
    pub user: Attr<String>,
    /// Store entry with the operator's private key, e.g. `ssh/operator`.
    #[schema(required)]
    pub private_key: Attr<String>,
    /// Store entry with the node's own public host key, e.g. `nodes/cp-1/host-key-current`: what `first_contact` of the server wrote.
    #[schema(required)]
    pub host_key: Attr<String>,
}
