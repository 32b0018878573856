//! The seam between the Kubernetes side and the machine side of the lab.
//!
//! Machines create and join control planes; the control plane runs one-shot pods on machines. Nothing else crosses.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// What `kubeadm init` on a machine hands over to start a cluster. All PEM texts are what lies in `/etc/kubernetes/pki`.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// `clusterName` of ClusterConfiguration, default `kubernetes`.
    pub cluster_name: String,
    /// `kubernetesVersion`, with the `v`.
    pub version: String,
    /// `controlPlaneEndpoint`, host:port.
    pub endpoint: String,
    /// `networking.podSubnet`, comma separated when dual stack.
    pub pod_subnet: String,
    /// `networking.serviceSubnet`.
    pub service_subnet: String,
    /// `networking.dnsDomain`.
    pub dns_domain: String,
    /// `ca.crt`.
    pub ca_crt: String,
    /// `ca.key`.
    pub ca_key: String,
    /// `sa.key`, as text; only compared for equality between members.
    pub sa_key: String,
    /// The ClusterConfiguration document, stored in ConfigMap `kubeadm-config`; empty when no kubeadm made the cluster.
    pub cluster_configuration: String,
    /// The KubeletConfiguration document, stored in ConfigMap `kubelet-config`.
    pub kubelet_configuration: String,
    /// `--anonymous-auth` and friends: true when anonymous may read `kube-public/cluster-info`.
    pub anonymous_cluster_info: bool,
}

/// A node as `kubeadm` registers it.
#[derive(Debug, Clone)]
pub struct NodeSpec {
    /// `nodeRegistration.name`.
    pub name: String,
    /// `node-ip`.
    pub address: IpAddr,
    /// True for control planes: label, taint, etcd member, API server.
    pub control_plane: bool,
    /// `kubeletVersion`.
    pub version: String,
    /// `osImage`, marked as simulated.
    pub os_image: String,
    /// Labels beside those of every node and of its role.
    pub labels: BTreeMap<String, String>,
    /// `nodeRegistration.taints`; `None` is kubeadm's default for the role.
    pub taints: Option<Vec<Taint>>,
}

/// A taint of `nodeRegistration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// What became of a one-shot pod.
#[derive(Debug, Clone)]
pub struct PodOutcome {
    /// Exit code of the command.
    pub exit_code: i32,
    /// stdout and stderr as the log shows them.
    pub log: String,
}

/// The kubelet of a machine, as far as the lab has one.
pub trait Agent: Send + Sync {
    /// Runs the command of a privileged host pod (docs/delivery.md, section 7) on the machine.
    fn run(&self, command: Vec<String>) -> Pin<Box<dyn Future<Output = PodOutcome> + Send + '_>>;
    /// True while the machine runs and its kubelet can reach the API.
    ///
    /// Called with the control plane's lock held: it must neither call the control plane nor wait for a lock that is held while
    /// the control plane is called. An atomic is the intended answer.
    fn is_alive(&self) -> bool;
    /// `bootID` of the machine; another one after each boot. Called with no lock of the control plane held.
    fn boot(&self) -> String {
        String::new()
    }
    /// True while etcd of a control plane runs. Called under the same conditions.
    fn votes(&self) -> bool {
        self.is_alive()
    }
}
