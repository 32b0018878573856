//! From ordered machines to a locked cluster and back, against the lab: the resources as Terraform calls them, machines that act on what they get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey, ssh_key::LineEnding};
use serde_json::json;
use strata_framework::{
    Attr, Change, Diagnostics, Found, Harness, Limits, Planned, Policy, Resource,
};

use super::join_info::KubeadmJoinInfo;
use super::node::KubeadmNode;
use crate::claim::{self, State};
use crate::firewall::{Api, Rules, Ssh as SshRule};
use crate::lab_test::World;
use crate::pki::Pki;
use crate::provider::Strata;
use crate::secret::Secret;
use crate::services::attribute::{Cluster, Ssh};
use crate::services::cloudflare::client::NewRecord;
use crate::services::flatcar::STRATA_NODE;
use crate::services::flatcar::ignition::{NodeIgnition, node_ignition};
use crate::services::flatcar::install::{Install, Wipe, install_script};
use crate::services::kubernetes::cluster::KubernetesCluster;
use crate::services::kubernetes::manifests::KubernetesManifests;
use crate::services::lockdown::NodeLockdown;
use crate::services::lockdown::probe::{self, Seen};
use crate::services::scaleway::wire::{NewInstall, NewServer};
use crate::ssh::{HostKey, Target, first_contact};
use crate::store::{Name, Store};

const ZONE: &str = "fr-par-2";
const ENDPOINT: &str = "api.home.strata.test";
const CILIUM: &str = "apiVersion: apps/v1
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

type Process = Harness<Strata>;

/// Machines that answered the first contact, and what a layer would pass on about them.
struct Site {
    world: World,
    process: Process,
    machines: BTreeMap<String, (String, IpAddr)>,
}

fn key() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
}

fn private(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF).unwrap().to_string()
}

fn public(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

async fn put(store: &dyn Store, name: &str, value: &str) {
    store
        .put(&Name::parse(name).unwrap(), &Secret::new(value.to_owned()))
        .await
        .unwrap();
}

/// Orders and installs machines of these names; the first is the endpoint's first address.
async fn site(names: &[&str]) -> Site {
    let world = World::start().await;
    let process =
        Harness::new(world.provider("estate-1").await).with(Limits::within(Duration::from_mins(5)));
    let mut site = Site {
        world,
        process,
        machines: BTreeMap::new(),
    };
    let operator = key();
    let store = site.provider().store().unwrap();
    put(&*store, "ssh/operator", &private(&operator)).await;
    put(&*store, "pki", Pki::generate().unwrap().to_text().expose()).await;
    let ordered = futures::future::join_all(
        names
            .iter()
            .map(|name| order(site.provider(), name, &operator)),
    )
    .await;
    site.machines = names
        .iter()
        .map(|name| (*name).to_owned())
        .zip(ordered)
        .collect();
    let cloudflare = site.provider().cloudflare().await.unwrap();
    let content = site.machines[names[0]].1.to_string();
    let record = NewRecord {
        name: ENDPOINT.into(),
        kind: "A".into(),
        content,
        ttl: 60,
        proxied: false,
        comment: "test".into(),
    };
    cloudflare
        .create_record("strata.test", &record)
        .await
        .unwrap();
    site
}

/// One machine from order to first contact; its id and address.
async fn order(provider: &Strata, name: &str, operator: &PrivateKey) -> (String, IpAddr) {
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
        ssh_public_key: &public(operator),
        host_private_key: &private(&host),
        host_public_key: &public(&host),
        kubernetes_version: "v1.34.2",
        extension_sha256: None,
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
        disk: None,
        wipe: Wipe::All,
        kernel_sha512: None,
        initrd_sha512: None,
    });
    let scaleway = provider.scaleway().await.unwrap();
    let client = &scaleway.client;
    let project = scaleway.project(None).unwrap();
    let offers = client.offers(ZONE).await.unwrap();
    let offer = offers
        .iter()
        .find(|offer| offer.name == "EM-I215E-NVME" && offer.subscription_period == "hourly")
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
        install: NewInstall {
            os_id: os.id.clone(),
            hostname: name.into(),
            ssh_key_ids: BTreeSet::from([key]),
        },
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
    let line = first_contact(
        &Limits::within(Duration::from_mins(2)),
        dialer,
        &target,
        &policy,
    )
    .await
    .unwrap();
    put(&*store, &format!("nodes/{name}/host-key-current"), &line).await;
    (id, address)
}

impl Site {
    fn provider(&self) -> &Strata {
        self.process.cx::<()>().provider
    }

    fn addresses(&self, only: &str) -> BTreeMap<String, String> {
        let chosen = self
            .machines
            .iter()
            .filter(|(name, _)| name.starts_with(only));
        chosen
            .map(|(name, (_, address))| (name.clone(), address.to_string()))
            .collect()
    }

    fn cluster(&self) -> Cluster {
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

    fn ssh(name: &str) -> Ssh {
        Ssh {
            user: "core".into(),
            private_key: "ssh/operator".into(),
            host_key: Attr::Known(format!("nodes/{name}/host-key-current")),
        }
    }

    fn role(name: &str) -> &'static str {
        if name.starts_with("cp") {
            "control-plane"
        } else {
            "worker"
        }
    }

    fn node(&self, name: &str) -> KubeadmNode {
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

    async fn join(&self, name: &str) -> Result<KubeadmNode, Diagnostics> {
        KubeadmNode::create(&self.process.cx(), self.node(name), self.node(name)).await
    }

    async fn join_all(&self, names: &[&str]) -> Vec<KubeadmNode> {
        let joined = futures::future::join_all(names.iter().map(|name| self.join(name))).await;
        joined
            .into_iter()
            .map(|node| node.unwrap_or_else(|error| panic!("{error}")))
            .collect()
    }

    async fn apply(&self, name: &str, text: &str) -> KubernetesManifests {
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

    fn lockdown(&self, name: &str) -> NodeLockdown {
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
            rules_sha256: Attr::Unknown,
            locked: Attr::Unknown,
            observed: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    async fn lock(&self, name: &str) -> Result<NodeLockdown, Diagnostics> {
        NodeLockdown::create(&self.process.cx(), self.lockdown(name), self.lockdown(name)).await
    }

    async fn ready(&self) -> KubernetesCluster {
        let planned = KubernetesCluster {
            name: "home".into(),
            cluster: self.cluster().into(),
            nodes: Attr::Known(self.machines.keys().cloned().collect()),
            id: Attr::Unknown,
            ready: Attr::Unknown,
            version: Attr::Unknown,
            timeouts: Attr::Null,
        };
        KubernetesCluster::create(&self.process.cx(), planned.clone(), planned)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }

    async fn port22(&self, name: &str) -> Seen {
        probe::port(
            self.provider().environment().await.unwrap().dialer(),
            self.machines[name].1,
            22,
        )
        .await
    }

    async fn claim(&self) -> Option<State> {
        claim::read(&*self.provider().store().unwrap())
            .await
            .unwrap()
            .map(|(claim, _)| claim.state)
    }
}

/// The plan of a refreshed, unchanged configuration.
async fn replan<R>(process: &Process, prior: &R) -> Planned<R>
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

async fn refresh<R>(process: &Process, prior: &R) -> Option<R>
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_become_a_locked_cluster_and_are_let_go() {
    let site = site(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    let control_planes = site.join_all(&["cp-3", "cp-1", "cp-2"]).await;
    let initialised: Vec<&str> = control_planes
        .iter()
        .filter(|node| node.initialised == Attr::Known(true))
        .map(|node| node.name.text())
        .collect();
    assert_eq!(
        initialised,
        ["cp-1"],
        "the first by name, whose address the endpoint has"
    );
    let worker = site
        .join("w-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(site.claim().await, Some(State::Initialised));
    site.apply("cilium", CILIUM).await;

    let cluster = site.ready().await;
    assert_eq!(
        cluster.ready,
        Attr::Known(true),
        "{}",
        site.process.warnings()
    );
    assert!(
        site.process.warnings().is_empty(),
        "{}",
        site.process.warnings()
    );

    let names = ["cp-1", "cp-2", "cp-3", "w-1"];
    let locked = futures::future::join_all(names.iter().map(|name| site.lock(name))).await;
    let locked: Vec<NodeLockdown> = locked
        .into_iter()
        .map(|lockdown| lockdown.unwrap_or_else(|error| panic!("{error}")))
        .collect();
    for lockdown in &locked {
        assert_eq!(
            site.port22(lockdown.name.text()).await,
            Seen::Silent,
            "{}",
            lockdown.name.text()
        );
        assert_eq!(lockdown.observed.known().unwrap()["ipv4"], "closed");
        let refreshed = refresh(&site.process, lockdown).await.unwrap();
        assert_eq!(
            replan(&site.process, &refreshed).await.state,
            *lockdown,
            "a second plan is empty"
        );
    }
    for node in control_planes.iter().chain([&worker]) {
        assert_eq!(refresh(&site.process, node).await.as_ref(), Some(node));
    }

    // Destroy as Terraform orders it: the mark, then everything else without drain and quorum.
    KubernetesCluster::delete(&site.process.cx(), cluster)
        .await
        .unwrap();
    assert_eq!(site.claim().await, Some(State::Teardown));
    for lockdown in locked {
        NodeLockdown::delete(&site.process.cx(), lockdown)
            .await
            .unwrap();
    }
    for node in control_planes.into_iter().chain([worker]) {
        KubeadmNode::delete(&site.process.cx(), node).await.unwrap();
    }
    assert_eq!(
        site.claim().await,
        None,
        "the claim goes with the last node"
    );
    assert!(
        site.process.warnings().is_empty(),
        "{}",
        site.process.warnings()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_joins_a_locked_cluster_and_a_control_plane_leaves_it() {
    let site = site(&["cp-1", "cp-2", "cp-3", "w-1"]).await;
    let control_planes = site.join_all(&["cp-1", "cp-2", "cp-3"]).await;
    site.apply("cilium", CILIUM).await;
    let lockdowns =
        futures::future::join_all(["cp-1", "cp-2", "cp-3"].map(|name| site.lock(name))).await;
    assert!(lockdowns.iter().all(Result::is_ok), "{lockdowns:?}");

    let worker = site
        .join("w-1")
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(worker.initialised, Attr::Known(false));

    let info = KubeadmJoinInfo {
        name: "home".into(),
        cluster: site.cluster().into(),
        certificate_key: true.into(),
        ttl: Attr::Known("24h".into()),
        endpoint: Attr::Unknown,
        ca_hash: Attr::Unknown,
        expires_at: Attr::Unknown,
        timeouts: Attr::Null,
    };
    let info = KubeadmJoinInfo::create(&site.process.cx(), info.clone(), info)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(info.endpoint.text(), "api.home.strata.test:6443");
    assert_eq!(refresh(&site.process, &info).await.as_ref(), Some(&info));
    let store = site.provider().store().unwrap();
    assert_eq!(store.list("join/home/").await.unwrap().len(), 4);
    KubeadmJoinInfo::delete(&site.process.cx(), info)
        .await
        .unwrap();
    assert_eq!(store.list("join/home/").await.unwrap().len(), 0);

    // One leaves a living cluster: unlocked first, as Terraform orders it.
    let [first, ..] = <[NodeLockdown; 3]>::try_from(
        lockdowns
            .into_iter()
            .map(Result::unwrap)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    NodeLockdown::delete(&site.process.cx(), first)
        .await
        .unwrap();
    assert_eq!(site.port22("cp-1").await, Seen::Connects);
    let [first, second, _] = <[KubeadmNode; 3]>::try_from(control_planes).unwrap();
    KubeadmNode::delete(&site.process.cx(), first.clone())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(refresh(&site.process, &first).await, None);
    assert_eq!(
        refresh(&site.process, &second).await.as_ref(),
        Some(&second)
    );
    assert_eq!(site.claim().await, Some(State::Initialised));
    // What is left has no majority to lose.
    let last = KubeadmNode::delete(&site.process.cx(), second).await;
    assert!(last.is_ok(), "two members can become one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_estates_claim_and_a_machine_that_is_not_ready_are_refused() {
    let site = site(&["cp-1"]).await;
    let mut early = site.node("cp-1");
    early.server_ready = false.into();
    let error = KubeadmNode::create(&site.process.cx(), early.clone(), early)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("is not ready yet"), "{error}");
    put(&*site.provider().store().unwrap(), claim::ENTRY, &json!({ "owner": "estate-2", "node": "cp-9", "run": "x", "at": "2026-01-01T00:00:00Z", "state": "claimed" }).to_string()).await;
    let error = site.join("cp-1").await.unwrap_err().to_string();
    assert!(
        error.contains("estate estate-2") && error.contains("cp-9"),
        "{error}"
    );
}
