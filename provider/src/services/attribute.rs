//! Nested objects that several resources take: how to reach a cluster, how to reach a node. Names of store entries, never values.

use std::collections::{BTreeMap, BTreeSet};

use strata_framework::{Attr, Diagnostics, Schema};

/// A cluster as its API is reached.
#[derive(Schema, Clone, Debug, PartialEq)]
pub struct Cluster {
    /// Name of the cluster.
    #[schema(optional)]
    pub name: Attr<String>,
    /// Name (or address) of the endpoint: what the API's certificates are for.
    #[schema(required)]
    pub endpoint: Attr<String>,
    /// Port of the API, usually 6443.
    #[schema(required, range(1..=65535))]
    pub port: Attr<u16>,
    /// Kubernetes version with the `v`, e.g. `v1.34.2`. Counts when a node is created.
    #[schema(optional)]
    pub kubernetes_version: Attr<String>,
    /// CIDR of the pods, e.g. `10.244.0.0/16`. Counts when the cluster is initialised.
    #[schema(optional)]
    pub pod_subnet: Attr<String>,
    /// CIDR of the services, e.g. `10.96.0.0/12`. Counts when the cluster is initialised.
    #[schema(optional)]
    pub service_subnet: Attr<String>,
    /// DNS domain inside the cluster, e.g. `cluster.local`. Counts when the cluster is initialised.
    #[schema(optional)]
    pub dns_domain: Attr<String>,
    /// Whether the API server keeps an audit log. Counts when the cluster is initialised.
    #[schema(optional)]
    pub audit: Attr<bool>,
    /// Further names and addresses in the API's certificates. Counts when a control plane is created.
    #[schema(optional)]
    pub extra_sans: Attr<BTreeSet<String>>,
    /// Store entry with the cluster's PKI (`strata_secret` of kind `kubeadm_pki`).
    #[schema(required)]
    pub pki: Attr<String>,
    /// Addresses of the control planes by node name.
    #[schema(required)]
    pub control_planes: Attr<BTreeMap<String, String>>,
    /// Addresses of all nodes by node name.
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
    /// Login name, e.g. `core`.
    #[schema(required)]
    pub user: Attr<String>,
    /// Store entry with the operator's private key.
    #[schema(required)]
    pub private_key: Attr<String>,
    /// Store entry with the node's own public host key.
    #[schema(required)]
    pub host_key: Attr<String>,
}
