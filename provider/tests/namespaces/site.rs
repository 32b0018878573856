//! What a test works on: keys and rules as layers 00 and 01 make them, the provider that knows them, and machines (`machines.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::{Algorithm, PrivateKey, ssh_key::LineEnding};
use serde_json::json;
use strata_framework::{Attr, Diagnostics, Limits};
use strata_provider::access::Access;
use strata_provider::environment::Environment;
use strata_provider::firewall::{Api, Rules, Ssh as SshRule};
use strata_provider::http::dial::Dialer;
use strata_provider::marker::{self, Marker};
use strata_provider::pki::Pki;
use strata_provider::provider::{Configuration, StoreConfiguration, Strata};
use strata_provider::secret::Secret;
use strata_provider::services::attribute::{Cluster, Ssh};
use strata_provider::services::flatcar::STRATA_NODE;
use strata_provider::services::flatcar::ignition::SSHD;
use strata_provider::services::lockdown::NodeLockdown;
use strata_provider::services::lockdown::close::{Gate, Timing};
use strata_provider::services::lockdown::probe::{self, Seen};
use strata_provider::services::lockdown::proof::Proof;
use strata_provider::ssh::{HostKey, Session, Target};
use strata_provider::store::Name;

use super::machines::{Machine, Machines};
use super::rooms::{NODE4, NODE6, Node, OPERATOR4, OPERATOR6, Room, SECOND4, SECOND6};

/// The node's only name.
pub(crate) const NAME: &str = "cp-1";
pub(crate) const ENDPOINT: &str = "api.home.example.org";
const HOST_KEY: &str = "nodes/cp-1/host-key-current";

/// The provider on the operator's machine, and what a layer would pass to it.
pub(crate) struct Operator {
    pub(crate) strata: Arc<Strata>,
    pub(crate) cluster: Cluster,
    pub(crate) ssh: Ssh,
    /// The life of the timer.
    pub(crate) restore: Duration,
}

/// The operator with a node and an API.
pub(crate) struct Site {
    pub(crate) operator: Operator,
    pub(crate) node: Node,
    pub(crate) host_key: HostKey,
    pub(crate) private_key: Secret<String>,
    pub(crate) pki: Pki,
    pub(crate) machines: Machines,
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).unwrap()
}

pub(crate) fn private(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF).unwrap().to_string()
}

pub(crate) fn public(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

/// The rules that layer 01 would make for the node.
pub(crate) fn rules(ssh: SshRule, api: Api) -> Rules {
    Rules {
        control_plane: true,
        nodes: nodes(),
        ssh,
        api,
        pods: vec!["10.244.0.0/16".parse().unwrap()],
        public_ports: BTreeSet::new(),
    }
}

fn nodes() -> BTreeSet<IpAddr> {
    [NODE4, NODE6]
        .map(|address| address.parse().unwrap())
        .into()
}

/// The rules of the first boot: the operator's addresses are let in.
fn open_rules() -> String {
    let operators = [OPERATOR4, OPERATOR6]
        .map(|address| IpAddr::into(address.parse().unwrap()))
        .to_vec();
    rules(SshRule::From(operators), Api::Any).render()
}

impl Operator {
    /// Its store lies in the shared folder, so that a second client finds what the first one put there.
    pub(crate) fn at(place: &Path) -> Self {
        let text = |text: &str| Attr::Known(text.to_owned());
        let store = StoreConfiguration {
            kind: text("file"),
            path: text("store"),
            recipients: Attr::Null,
            url: Attr::Null,
            project: Attr::Null,
            environment: Attr::Null,
            mount: Attr::Null,
            namespace: Attr::Null,
        };
        let configuration = Configuration {
            cluster: text("home"),
            root: text(&place.display().to_string()),
            lab: Attr::Known(false),
            owner: text("estate-1"),
            store: Attr::Known(store),
            scaleway: Attr::Null,
            cloudflare: Attr::Null,
            headscale: Attr::Null,
            proxmox: Attr::Null,
            snapshots: Attr::Null,
        };
        let cluster = Cluster {
            name: text("home"),
            endpoint: text(ENDPOINT),
            port: Attr::Known(6443),
            kubernetes_version: Attr::Null,
            pod_subnet: Attr::Null,
            service_subnet: Attr::Null,
            dns_domain: Attr::Null,
            audit: Attr::Null,
            extra_sans: Attr::Null,
            pki: text("pki"),
            control_planes: Attr::Known(BTreeMap::from([(NAME.into(), NODE4.into())])),
            peers: Attr::Null,
        };
        let ssh = Ssh {
            user: text("core"),
            private_key: text("ssh/operator"),
            host_key: text(HOST_KEY),
        };
        // The dialer of the real world: nothing of the lab's stands between it and the node.
        Self {
            strata: Arc::new(Strata::in_environment(configuration, Environment::real())),
            cluster,
            ssh,
            restore: Duration::from_secs(9),
        }
    }

    /// Closes the node with these rules, and gives up early enough for a test.
    pub(crate) async fn close(&self, rules: &str) -> Result<BTreeMap<String, String>, Diagnostics> {
        let access = Access::of(&self.strata).await?;
        self.gate(&access).close(rules).await
    }

    /// The gate of the node.
    pub(crate) fn gate<'a>(&'a self, access: &'a Access<'a>) -> Gate<'a> {
        Gate {
            access,
            limits: Limits::within(Duration::from_secs(50)),
            cluster: &self.cluster,
            ssh: &self.ssh,
            name: NAME,
            address: NODE4.parse().unwrap(),
            addresses: nodes().into_iter().collect(),
            control_plane: true,
            peers: nodes(),
            proof: Proof::Kubernetes,
            timing: Timing {
                restore: self.restore,
                proof: Duration::from_secs(5),
            },
        }
    }

    /// The resource as a layer writes it.
    pub(crate) fn lockdown(&self) -> NodeLockdown {
        let text = |text: &str| Attr::Known(text.to_owned());
        NodeLockdown {
            name: text(NAME),
            role: text("control-plane"),
            address: text(NODE4),
            addresses: Attr::Known([NODE6.to_owned()].into()),
            enabled: Attr::Known(true),
            peers: Attr::Known([NODE4, NODE6].map(str::to_owned).into()),
            operators: Attr::Null,
            pods: text("10.244.0.0/16"),
            public_ports: Attr::Null,
            api: Attr::Null,
            cluster: Attr::Known(self.cluster.clone()),
            ssh: Attr::Known(self.ssh.clone()),
            node_ports: text("private"),
            proof: text("kubernetes"),
            teleport: Attr::Null,
            rules_sha256: Attr::Unknown,
            locked: Attr::Unknown,
            observed: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    pub(crate) async fn put(&self, name: &str, value: &str) {
        let name = Name::parse(name).unwrap();
        let value = Secret::new(value.to_owned());
        let store = self.strata.store().unwrap();
        store.put(&name, &value).await.unwrap();
    }
}

impl Site {
    /// A node with the open rules, and a cluster that it is the only member of.
    pub(crate) async fn at(room: &Room) -> Self {
        let site = Self::bare(room).await;
        let member = Marker {
            role: "control-plane".into(),
            address: NODE4.parse().unwrap(),
            peers: nodes(),
            lock: None,
            window: None,
        };
        let store = site.operator.strata.store().unwrap();
        marker::write(&*store, NAME, &member).await.unwrap();
        site.machines.make_cluster(&site.pki.files());
        site.machines.serve(NAME);
        site
    }

    /// A node with the open rules, and nothing on it.
    pub(crate) async fn bare(room: &Room) -> Self {
        let (host, login, pki) = (key(), key(), Pki::generate().unwrap());
        let operator = Operator::at(&room.place);
        operator.put("ssh/operator", &private(&login)).await;
        operator.put("pki", pki.to_text().expose()).await;
        let mut site = Self {
            operator,
            node: Node::none(),
            host_key: HostKey::parse(&public(&host)).unwrap(),
            private_key: Secret::new(private(&login)),
            pki,
            machines: Machines::default(),
        };
        site.furnish(&room.place, NAME, &host, &public(&login))
            .await;
        site.node = room.node();
        site.add(NAME, NODE4, &room.place, site.node.clone());
        site
    }

    /// One more machine, with a folder of its own.
    pub(crate) async fn second(&self, room: &Room, name: &str) -> Node {
        let place = room.place.join(name);
        std::fs::create_dir(&place).unwrap();
        let login = PrivateKey::from_openssh(self.private_key.expose()).unwrap();
        self.furnish(&place, name, &key(), &public(&login)).await;
        let node = room.node_at(&place, [SECOND4, SECOND6]);
        self.add(name, SECOND4, &place, node.clone());
        node
    }

    fn add(&self, name: &str, address: &str, place: &Path, node: Node) {
        let machine = Machine {
            name: name.to_owned(),
            address: address.parse().unwrap(),
            place: place.to_owned(),
            node,
        };
        self.machines.add(machine);
    }

    /// What a machine finds at its first boot.
    async fn furnish(&self, place: &Path, name: &str, host: &PrivateKey, login: &str) {
        for (file, content) in [
            ("host-key", private(host)),
            ("host-key.pub", public(host)),
            ("authorized_keys", login.to_owned()),
            ("open.nft", open_rules()),
            ("strata-node", STRATA_NODE.to_owned()),
            ("10-strata.conf", SSHD.to_owned()),
            ("name", name.to_owned()),
            // On the first itself the name is left to the provider.
            (
                "names",
                if name == NAME {
                    String::new()
                } else {
                    format!("{NODE4} {ENDPOINT}")
                },
            ),
            ("systemctl", include_str!("systemctl").to_owned()),
            ("systemd-run", include_str!("systemd-run").to_owned()),
            ("kubeadm", include_str!("kubeadm").to_owned()),
            ("crictl", include_str!("crictl").to_owned()),
            ("journalctl", include_str!("journalctl").to_owned()),
            ("ask-test", include_str!("ask-test").to_owned()),
        ] {
            let end = if content.ends_with('\n') { "" } else { "\n" };
            std::fs::write(place.join(file), content + end).unwrap();
        }
        let entry = format!("nodes/{name}/host-key-current");
        self.operator.put(&entry, &public(host)).await;
    }

    /// Where sshd is, and the key it must have.
    pub(crate) fn target(&self, address: &str) -> Target {
        Target {
            address: address.into(),
            port: 22,
            user: "core".into(),
            private_key: self.private_key.clone(),
            host_key: self.host_key.clone(),
        }
    }

    /// Declares a service whose NodePort the node listens on.
    pub(crate) fn declare_node_port(&self) {
        let ports = json!([{ "port": 80, "nodePort": 30080 }]);
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "web", "namespace": "default" },
            "spec": { "type": "NodePort", "ports": ports },
        });
        self.machines.cluster().create(service).unwrap();
    }

    /// A session over IPv4.
    pub(crate) async fn session(&self) -> Session {
        strata_provider::ssh::connect(&Dialer::direct(), &self.target(NODE4))
            .await
            .unwrap()
    }

    /// What port 22 says from here.
    pub(crate) async fn port22(&self) -> Seen {
        probe::port(&Dialer::direct(), NODE4.parse().unwrap(), 22).await
    }
}
