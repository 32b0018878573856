//! Machines in the lab that answered their first contact, and the resources of a cluster on them as Terraform calls them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey, ssh_key::LineEnding};
use strata_framework::{
    Attr, Change, Diagnostics, Found, Harness, Limits, Planned, Policy, Resource,
};

use super::super::node::KubeadmNode;
use crate::access::{Access, host_key_entry};
use crate::claim::{self, State};
use crate::firewall::{Api, Rules, Ssh as SshRule};
use crate::lab_test::World;
use crate::pki::Pki;
use crate::provider::Strata;
use crate::secret::Secret;
use crate::services::attribute::{Cluster, Ssh};
use crate::services::cloudflare::client::NewRecord;
use crate::services::flatcar::STRATA_NODE;
use crate::services::flatcar::ignition::{NodeIgnition, Snapshots, node_ignition};
use crate::services::flatcar::install::{Disk, Install, Wipe, install_script};
use crate::services::kubernetes::cluster::KubernetesCluster;
use crate::services::kubernetes::manifests::KubernetesManifests;
use crate::services::lockdown::NodeLockdown;
use crate::services::lockdown::probe::{self, Seen};
use crate::services::scaleway::wire::{NewInstall, NewServer};
use crate::ssh::{self, HostKey, Target};
use crate::store::{Name, Store};
use crate::verb::Verb;
use crate::wipe::wipe;

pub(super) const ZONE: &str = "fr-par-2";
pub(super) const ENDPOINT: &str = "api.home.strata.test";
pub(super) const CILIUM: &str = "apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cilium, namespace: kube-system, labels: {k8s-app: cilium}}
spec:
  selector: {matchLabels: {k8s-app: cilium}}
  template:
    metadata: {labels: {k8s-app: cilium}}
    spec:
      hostNetwork: true
      tolerations: [{operator: Exists}]
      containers: [{name: cilium-agent, image: 'quay.io/cilium/cilium:v1.18.4'}]
";

pub(super) type Process = Harness<Strata>;

/// Machines that answered the first contact, and what a layer would pass on about them.
pub(super) struct Site {
    pub(super) world: World,
    pub(super) process: Process,
    pub(super) machines: BTreeMap<String, (String, IpAddr)>,
    operator: PrivateKey,
}

pub(super) fn key() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
}

pub(super) fn private(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF).unwrap().to_string()
}

pub(super) fn public(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

pub(super) async fn put(store: &dyn Store, name: &str, value: &str) {
    store
        .put(&Name::parse(name).unwrap(), &Secret::new(value.to_owned()))
        .await
        .unwrap();
}

/// Orders and installs machines of these names; the first is the endpoint's first address.
pub(super) async fn site(names: &[&str]) -> Site {
    site_in(World::start().await, names).await
}

/// The same in a world with faults.
pub(super) async fn site_in(world: World, names: &[&str]) -> Site {
    let process =
        Harness::new(world.provider("estate-1").await).with(Limits::within(Duration::from_mins(5)));
    let mut site = Site {
        world,
        process,
        machines: BTreeMap::new(),
        operator: key(),
    };
    let store = site.provider().store().unwrap();
    put(&*store, "ssh/operator", &private(&site.operator)).await;
    put(&*store, "pki", Pki::generate().unwrap().to_text().expose()).await;
    let ordered = futures::future::join_all(
        names
            .iter()
            .map(|name| order(site.provider(), name, &site.operator)),
    )
    .await;
    site.machines = names
        .iter()
        .map(|name| (*name).to_owned())
        .zip(ordered)
        .collect();
    site.publish(names[0]).await;
    site
}

/// One machine from order to first contact; its id and address.
pub(super) async fn order(
    provider: &Strata,
    name: &str,
    operator: &PrivateKey,
) -> (String, IpAddr) {
    let host = key();
    let store = provider.store().unwrap();
    let rules = Rules {
        control_plane: name.starts_with("cp"),
        nodes: BTreeSet::new(),
        ssh: SshRule::Everyone,
        api: Api::Any,
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        public_ports: BTreeSet::new(),
    };
    let ignition = node_ignition(&NodeIgnition {
        name,
        control_plane: name.starts_with("cp"),
        ssh_public_key: &public(operator),
        host_private_key: &private(&host),
        host_public_key: &public(&host),
        kubernetes_version: "v1.34.2",
        extension_sha256: None,
        snapshots: Snapshots::default(),
        updates: true,
        open_rules: &rules.render(),
    });
    assert!(
        ignition
            .as_ref()
            .is_ok_and(|text| text.len() > STRATA_NODE.len())
    );
    let script = install_script(&Install {
        node_ignition: &ignition.unwrap(),
        channel: "stable",
        version: Some("4230.2.3"),
        disk: Disk::Smallest,
        wipe: Wipe::All,
        admits: &[],
        kernel_sha512: None,
        initrd_sha512: None,
    });
    let scaleway = provider.scaleway().await.unwrap();
    let client = &scaleway.client;
    let project = scaleway.project(None).unwrap();
    let offers = client.hourly(ZONE).await.unwrap();
    let offer = offers
        .iter()
        .find(|offer| offer.name == "EM-I215E-NVME")
        .unwrap();
    let systems = client.systems(ZONE).await.unwrap();
    let os = systems
        .iter()
        .find(|os| os.is_called("Ubuntu 22.04"))
        .unwrap();
    let key = client
        .create_ssh_key(&project, name, &public(operator))
        .await;
    let key = match key {
        Ok(key) => key.id,
        Err(_) => client.ssh_keys(&project).await.unwrap()[0].id.clone(),
    };
    let server = NewServer {
        offer_id: offer.id.clone(),
        project_id: project,
        name: format!("home-{name}"),
        description: String::new(),
        tags: BTreeSet::new(),
        install: Some(NewInstall {
            os_id: os.id.clone(),
            hostname: name.into(),
            ssh_key_ids: BTreeSet::from([key]),
            ..NewInstall::default()
        }),
        option_ids: Vec::new(),
        protected: false,
        user_data: Some(Secret::new(script.unwrap())),
    };
    let id = client.create_server(ZONE, &server).await.unwrap().id;
    let address = loop {
        let server = client.server(ZONE, &id).await.unwrap().unwrap();
        if let Some(address) = server.ipv4() {
            break address;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let target = Target {
        address: address.to_string(),
        port: 22,
        user: "core".into(),
        private_key: Secret::new(private(operator)),
        host_key: HostKey::parse(&public(&host)).unwrap(),
    };
    let policy = Policy::new(format!("machine {name}"))
        .every(Duration::from_millis(100), Duration::from_millis(300));
    let dialer = provider.environment().await.unwrap().dialer();
    let limits = Limits::within(Duration::from_mins(2));
    let session = ssh::meet(&limits, dialer, &target, &policy, false).await;
    let line = ssh::own_host_key(session.unwrap().expect("it was not asked before"))
        .await
        .unwrap();
    put(&*store, &format!("nodes/{name}/host-key-current"), &line).await;
    (id, address)
}

impl Site {
    /// The endpoint's first record.
    async fn publish(&self, name: &str) {
        let cloudflare = self.provider().cloudflare().await.unwrap();
        let record = NewRecord {
            name: ENDPOINT.into(),
            kind: "A".into(),
            content: self.machines[name].1.to_string(),
            ttl: 60,
            proxied: false,
            comment: "test".into(),
        };
        cloudflare
            .create_record("strata.test", &record)
            .await
            .unwrap();
    }

    /// New machines under old names, the first of them behind the endpoint.
    pub(super) async fn again(&mut self, names: &[&str]) {
        let ordered = futures::future::join_all(
            names
                .iter()
                .map(|name| order(self.provider(), name, &self.operator)),
        )
        .await;
        for (name, machine) in names.iter().zip(ordered) {
            self.machines.insert((*name).to_owned(), machine);
        }
        self.world
            .change(serde_json::json!({ "delete_record": { "name": ENDPOINT, "type": "A" } }))
            .await;
        self.publish(names[0]).await;
    }

    pub(super) fn provider(&self) -> &Strata {
        self.process.cx::<()>().provider
    }

    pub(super) fn addresses(&self, only: &str) -> BTreeMap<String, String> {
        let chosen = self
            .machines
            .iter()
            .filter(|(name, _)| name.starts_with(only));
        chosen
            .map(|(name, (_, address))| (name.clone(), address.to_string()))
            .collect()
    }

    pub(super) fn cluster(&self) -> Cluster {
        Cluster {
            name: "home".into(),
            endpoint: ENDPOINT.into(),
            port: 6443.into(),
            kubernetes_version: "v1.34.2".into(),
            pod_subnet: "10.244.0.0/16".into(),
            service_subnet: "10.96.0.0/12".into(),
            dns_domain: "cluster.local".into(),
            audit: true.into(),
            extra_sans: Attr::Null,
            pki: "pki".into(),
            control_planes: self.addresses("cp").into(),
            peers: self.addresses("").into(),
        }
    }

    pub(super) fn ssh(name: &str) -> Ssh {
        Ssh {
            user: "core".into(),
            private_key: "ssh/operator".into(),
            host_key: Attr::Known(format!("nodes/{name}/host-key-current")),
        }
    }

    pub(super) fn role(name: &str) -> &'static str {
        if name.starts_with("cp") {
            "control-plane"
        } else {
            "worker"
        }
    }

    pub(super) fn node(&self, name: &str) -> KubeadmNode {
        let (id, address) = &self.machines[name];
        KubeadmNode {
            name: name.into(),
            role: Self::role(name).into(),
            server_id: Attr::Known(id.clone()),
            server_ready: true.into(),
            address: Attr::Known(address.to_string()),
            addresses: Attr::Null,
            labels: Attr::Known(BTreeMap::from([("example.org/site".into(), name.into())])),
            taints: Attr::Null,
            cluster: self.cluster().into(),
            ssh: Self::ssh(name).into(),
            id: Attr::Unknown,
            initialised: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    pub(super) async fn join(&self, name: &str) -> Result<KubeadmNode, Diagnostics> {
        KubeadmNode::create(&self.process.cx(), self.node(name), self.node(name)).await
    }

    pub(super) async fn join_all(&self, names: &[&str]) -> Vec<KubeadmNode> {
        let joined = futures::future::join_all(names.iter().map(|name| self.join(name))).await;
        joined
            .into_iter()
            .map(|node| node.unwrap_or_else(|error| panic!("{error}")))
            .collect()
    }

    pub(super) async fn apply(&self, name: &str, text: &str) -> KubernetesManifests {
        let planned = KubernetesManifests {
            name: name.into(),
            cluster: self.cluster().into(),
            documents: Attr::Known(vec![text.into()]),
            wait: true.into(),
            objects: Attr::Unknown,
            hash: Attr::Unknown,
            timeouts: Attr::Null,
        };
        KubernetesManifests::create(&self.process.cx(), planned.clone(), planned)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) fn lockdown(&self, name: &str) -> NodeLockdown {
        NodeLockdown {
            name: name.into(),
            role: Self::role(name).into(),
            address: Attr::Known(self.machines[name].1.to_string()),
            addresses: Attr::Null,
            enabled: true.into(),
            peers: Attr::Known(self.addresses("").into_values().collect()),
            operators: Attr::Null,
            pods: "10.244.0.0/16".into(),
            public_ports: Attr::Known(BTreeSet::from([80])),
            api: Attr::Null,
            cluster: self.cluster().into(),
            ssh: Self::ssh(name).into(),
            node_ports: "private".into(),
            proof: "kubernetes".into(),
            teleport: Attr::Null,
            rules_sha256: Attr::Unknown,
            locked: Attr::Unknown,
            observed: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    pub(super) async fn lock(&self, name: &str) -> Result<NodeLockdown, Diagnostics> {
        NodeLockdown::create(&self.process.cx(), self.lockdown(name), self.lockdown(name)).await
    }

    async fn target(&self, name: &str, login: &PrivateKey) -> Target {
        let store = self.provider().store().unwrap();
        let entry = Name::parse(&host_key_entry(name)).unwrap();
        let host_key = store.get(&entry).await.unwrap().unwrap();
        Target {
            address: self.machines[name].1.to_string(),
            port: 22,
            user: "core".into(),
            private_key: Secret::new(private(login)),
            host_key: HostKey::parse(host_key.value.expose()).unwrap(),
        }
    }

    /// What a server does before it is given back.
    pub(super) async fn wipe(&self, name: &str) -> Result<(), String> {
        let target = self.target(name, &self.operator).await;
        wipe(
            self.provider().environment().await.unwrap().dialer(),
            &target,
        )
        .await
    }

    /// Logs in to a machine with another key than the operator's.
    pub(super) async fn log_in(&self, name: &str, login: &PrivateKey) -> Result<(), ssh::Error> {
        let target = self.target(name, login).await;
        let dialer = self.provider().environment().await.unwrap().dialer();
        ssh::connect(dialer, &target).await.map(drop)
    }

    /// Runs a verb through the door of a node.
    pub(super) async fn knock(&self, name: &str, verb: Verb) -> String {
        let access = Access::of(self.provider()).await.unwrap();
        let client = access.client(&self.cluster()).await.unwrap();
        let limits = Limits::within(Duration::from_mins(1));
        access
            .through_door(&limits, &client, name, &verb)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) async fn ready(&self) -> KubernetesCluster {
        let names: Vec<&str> = self.machines.keys().map(String::as_str).collect();
        self.ready_with(&names).await
    }

    pub(super) async fn ready_with(&self, names: &[&str]) -> KubernetesCluster {
        let planned = KubernetesCluster {
            name: "home".into(),
            cluster: self.cluster().into(),
            nodes: Attr::Known(names.iter().map(|name| (*name).to_owned()).collect()),
            kubernetes_version: "v1.34.2".into(),
            id: Attr::Unknown,
            ready: Attr::Unknown,
            version: Attr::Unknown,
            timeouts: Attr::Null,
        };
        KubernetesCluster::create(&self.process.cx(), planned.clone(), planned)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    pub(super) async fn port22(&self, name: &str) -> Seen {
        probe::port(
            self.provider().environment().await.unwrap().dialer(),
            self.machines[name].1,
            22,
        )
        .await
    }

    pub(super) async fn claim(&self) -> Option<State> {
        claim::read(&*self.provider().store().unwrap())
            .await
            .unwrap()
            .map(|(claim, _)| claim.state)
    }
}

/// The plan of a refreshed, unchanged configuration.
pub(super) async fn replan<R>(process: &Process, prior: &R) -> Planned<R>
where
    R: Resource<Provider = Strata, Model = R, Private = ()> + Clone,
{
    let planned = Planned {
        state: prior.clone(),
        replace: Vec::new(),
    };
    R::plan(
        &process.cx(),
        Change::Update {
            config: prior,
            prior,
        },
        planned,
    )
    .await
    .unwrap_or_else(|error| panic!("{error}"))
}

pub(super) async fn refresh<R>(process: &Process, prior: &R) -> Option<R>
where
    R: Resource<Provider = Strata, Model = R, Private = ()> + Clone,
{
    match R::read(&process.cx(), prior.clone())
        .await
        .unwrap_or_else(|error| panic!("{error}"))
    {
        Found::Present(state) => Some(state),
        Found::Gone => None,
        Found::Unknown(diagnostics) => panic!("{diagnostics}"),
    }
}
