//! A cluster of Talos machines: one Kubernetes control plane, its etcd, and who leads it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use super::config::Config;
use super::pki::{Authority, Subject};
use crate::kubernetes::agent::Bootstrap;
use crate::kubernetes::{ApiServer, ControlPlane, Member};

/// How long a certificate lasts that Kubernetes serves with.
pub(super) const SERVING: Duration = Duration::from_hours(8760);

/// A cluster as its control planes hold it on their disks.
pub(super) struct Cluster {
    pub(super) plane: Arc<ControlPlane>,
    /// `cluster.id` of the configuration that founded it.
    pub(super) id: String,
    secret: String,
    leader: Mutex<Option<u64>>,
}

/// Host and port of an endpoint.
pub(super) fn host_and_port(endpoint: &str) -> (String, u16) {
    let rest = endpoint.strip_prefix("https://").unwrap_or(endpoint);
    let rest = rest.split('/').next().unwrap_or_default();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().unwrap_or(6443))
        }
        _ => (rest, 443),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), port)
}

impl Cluster {
    /// Founds a cluster from the configuration of a control plane, over the data of a snapshot if there is one.
    pub(super) fn found(
        world: &World,
        config: &Config,
        snapshot: Option<&[u8]>,
    ) -> Result<Arc<Self>, String> {
        let authority = config
            .kubernetes_ca()?
            .ok_or("kube-apiserver: no Kubernetes CA is configured")?;
        let endpoint = config.endpoint().unwrap_or_default();
        let (host, port) = host_and_port(&endpoint);
        let bracketed = if host.contains(':') {
            format!("[{host}]")
        } else {
            host
        };
        let bootstrap = Bootstrap {
            cluster_name: config.cluster_name().unwrap_or_default(),
            version: config
                .api_server_version()
                .ok_or("LAB-UNKNOWN: a control plane without the image of kube-apiserver")?,
            endpoint: format!("{bracketed}:{port}"),
            pod_subnet: config.pod_subnets(),
            service_subnet: config.service_subnets(),
            dns_domain: config.dns_domain(),
            ca_crt: authority.certificate,
            ca_key: authority.key.unwrap_or_default(),
            sa_key: config.service_account_key().unwrap_or_default(),
            cluster_configuration: String::new(),
            kubelet_configuration: String::new(),
            anonymous_cluster_info: false,
        };
        let (clock, calls, faults) = (
            world.clock.clone(),
            world.calls.clone(),
            world.faults.clone(),
        );
        let plane = match snapshot {
            Some(data) => ControlPlane::restored((clock, calls, faults), bootstrap, data)?,
            None => ControlPlane::bootstrap(clock, calls, faults, bootstrap)?,
        };
        let cluster = Arc::new(Self {
            plane,
            id: config.cluster_id().unwrap_or_default(),
            secret: config.cluster_secret().unwrap_or_default(),
            leader: Mutex::default(),
        });
        for object in manifests(config)? {
            // What a snapshot brought is there already.
            match cluster.plane.create(object) {
                Err(error) if !error.contains("already exists") => return Err(error),
                _ => {}
            }
        }
        Ok(cluster)
    }

    /// Whether a configuration belongs to this cluster: discovery finds members by id, and only the secret lets them read each other.
    pub(super) fn is_of(&self, config: &Config) -> bool {
        config.cluster_id().as_deref() == Some(self.id.as_str())
            && config.cluster_secret().as_deref() == Some(self.secret.as_str())
    }

    /// The member of a node.
    pub(super) fn member(&self, node: &str) -> Option<Member> {
        let mut members = self.plane.members().into_iter();
        members.find(|member| member.name == node)
    }

    /// Voting members, and how many of them live.
    pub(super) fn votes(&self) -> (usize, usize) {
        let members = self.plane.members();
        let voters = members.iter().filter(|member| !member.learner);
        voters.fold((0, 0), |(all, alive), member| {
            (all + 1, alive + usize::from(member.alive))
        })
    }

    pub(super) fn has_quorum(&self) -> bool {
        let (all, alive) = self.votes();
        alive > all / 2
    }

    /// Who leads: whoever did, while it lives and votes; else the next.
    pub(super) fn leader(&self) -> Option<u64> {
        let members = self.plane.members();
        let mut leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        let able = |id: u64| {
            members
                .iter()
                .any(|member| member.id == id && member.alive && !member.learner)
        };
        if !leader.is_some_and(able) {
            *leader = members.iter().map(|member| member.id).find(|id| able(*id));
        }
        *leader
    }

    /// Hands leadership on; gives back the new leader.
    pub(super) fn forfeit(&self, own: u64) -> Option<Member> {
        let next = self
            .plane
            .members()
            .into_iter()
            .find(|member| member.id != own && member.alive && !member.learner)?;
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = Some(next.id);
        Some(next)
    }

    /// The API server of a control plane, with a certificate of its own that lasts a year. Clients look at it by their clock, of which the lab's may be `ahead`.
    pub(super) fn serve(
        &self,
        config: &Config,
        node: &str,
        addresses: &[IpAddr],
        ahead: Duration,
    ) -> Result<ApiServer, String> {
        let pair = config.kubernetes_ca()?.unwrap_or_else(|| {
            // `found` has asked for it; a configuration without one signs nothing.
            super::config::Pair {
                certificate: String::new(),
                key: None,
            }
        });
        let authority = Authority::load(&pair.certificate, &pair.key.unwrap_or_default())?;
        let (host, _) = host_and_port(&config.endpoint().unwrap_or_default());
        let domain = config.dns_domain();
        let mut names: Vec<String> = [
            node,
            "localhost",
            "127.0.0.1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            &format!("kubernetes.default.svc.{domain}"),
            &host,
        ]
        .map(str::to_owned)
        .to_vec();
        names.extend(addresses.iter().map(IpAddr::to_string));
        names.extend(config.virtual_addresses().iter().map(IpAddr::to_string));
        names.extend(config.api_server_sans());
        names.retain(|name| !name.is_empty());
        names.sort();
        names.dedup();
        let leaf = authority.issue(&Subject {
            common_name: Some("kube-apiserver"),
            names,
            server: true,
            lives: Some(ahead + SERVING),
            ..Subject::default()
        })?;
        self.plane
            .server(node, &leaf.pem, &leaf.key.serialize_pem())
    }
}

/// What Talos installs by itself when a cluster begins: network, proxy, and the manifests of the configuration.
fn manifests(config: &Config) -> Result<Vec<Value>, String> {
    let set = |name: &str, image: &str, volumes: Value| {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "kube-system", "labels": {"k8s-app": name}},
        "spec": {"selector": {"matchLabels": {"k8s-app": name}}, "template": {
            "metadata": {"labels": {"k8s-app": name}},
            "spec": {"hostNetwork": true, "tolerations": [{"operator": "Exists"}], "volumes": volumes,
                "containers": [{"name": name, "image": image}]}}}})
    };
    let mut objects = Vec::new();
    if config.brings_flannel() {
        let volumes = json!([{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}]);
        objects.push(set(
            "kube-flannel",
            "ghcr.io/siderolabs/flannel:v0.28.9",
            volumes,
        ));
    }
    if config.brings_proxy() {
        let version = config.api_server_version().unwrap_or_default();
        let image = format!("registry.k8s.io/kube-proxy:{version}");
        objects.push(set("kube-proxy", &image, json!([])));
    }
    for text in config.inline_manifests() {
        objects.extend(Config::parse(&text)?.documents);
    }
    Ok(objects)
}
