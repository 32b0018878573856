//! Machines that wait in maintenance, and a provider that makes a cluster of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::vpn::hardware;
use crate::lab_test::World;
use crate::provider::Strata;
use crate::secret::Secret;
use crate::services::talos::cluster::TalosCluster;
use crate::services::talos::config::{self, Options};
use crate::services::talos::machine::{MachineTrust, TalosMachine};
use crate::services::talos::patch;
use crate::services::talos::ways::Ways;
use crate::store::Name;
use crate::talos::Client;
use crate::talos_secrets::TalosSecrets;
use futures::future::join_all;
use serde_json::{Value, json};
use strata_framework::{Attr, Diagnostics, Found, Harness, Limits, Resource as _};

pub(super) const SCHEMATIC: &str =
    "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";
pub(super) const ENDPOINT: &str = "https://192.0.2.10:6443";

/// A lab with machines, and an estate.
pub(super) struct Site {
    pub(super) world: World,
    pub(super) process: Harness<Strata>,
    pub(super) addresses: BTreeMap<String, String>,
    /// Number and image by name.
    images: BTreeMap<String, (usize, String)>,
    secrets: String,
    /// Of Talos, as the machines were made.
    version: String,
}

fn vm(index: usize) -> String {
    format!("pve1/{}", 101 + index)
}

/// Machines of these names in maintenance, with this version of Talos.
pub(super) async fn site(names: &[&str], version: &str) -> Site {
    site_of(names, version).await
}

/// The same, perhaps without machines as yet.
pub(super) async fn site_of(names: &[&str], version: &str) -> Site {
    let world = World::start().await;
    let process = Harness::shared(Arc::new(world.provider("estate-1").await))
        .with(Limits::within(Duration::from_mins(4)));
    let secrets = TalosSecrets::generate().unwrap().to_text();
    let site = Site {
        world,
        process,
        addresses: BTreeMap::new(),
        images: BTreeMap::new(),
        secrets: secrets.expose().clone(),
        version: version.into(),
    };
    let store = site.provider().store().unwrap();
    let entry = Name::parse("talos").unwrap();
    store
        .put(&entry, &Secret::new(site.secrets.clone()))
        .await
        .unwrap();
    site.with(names, SCHEMATIC, version).await
}

impl Site {
    /// With machines whose image is of this schematic.
    pub(super) async fn with(mut self, names: &[&str], schematic: &str, version: &str) -> Self {
        for (index, name) in names.iter().enumerate() {
            let image = format!("talos-{schematic}-{version}-nocloud-amd64.qcow2");
            self.images.insert((*name).to_owned(), (index, image));
            let address = self.power_on(name).await;
            self.addresses.insert((*name).to_owned(), address);
        }
        self
    }

    pub(super) fn vm(&self, name: &str) -> String {
        vm(self.images[name].0)
    }

    /// Switches a machine on, with a new disk if it has none; gives its address.
    pub(super) async fn power_on(&self, name: &str) -> String {
        let (index, image) = self.images[name].clone();
        let machines = self.world.lab.talos();
        machines.power_on(hardware(&vm(index), index, name, image));
        loop {
            if let Some((_, address, _)) = machines.addresses(&vm(index)).first() {
                break address.to_string();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same provider with less time.
    pub(super) fn hasty(&self, time: Duration) -> Harness<Strata> {
        let provider = self.process.cx::<TalosMachine>().provider;
        Harness::shared(Arc::clone(provider)).with(Limits::within(time))
    }

    /// The provider of a later run, whose lists are fresh.
    pub(super) async fn restarted(&self) -> Harness<Strata> {
        Harness::shared(Arc::new(self.world.provider("estate-1").await))
            .with(Limits::within(Duration::from_mins(4)))
    }

    pub(super) fn provider(&self) -> &Strata {
        self.process.cx::<TalosMachine>().provider
    }

    fn of_role(&self, control_plane: bool) -> BTreeMap<String, String> {
        let nodes = self.addresses.clone().into_iter();
        nodes
            .filter(|(name, _)| name.starts_with("cp") == control_plane)
            .collect()
    }

    pub(super) fn control_planes(&self) -> BTreeMap<String, String> {
        self.of_role(true)
    }

    pub(super) fn workers(&self) -> BTreeMap<String, String> {
        self.of_role(false)
    }

    fn contract(&self) -> &str {
        self.version.rsplit_once('.').expect("three numbers").0
    }

    /// What this version of Talos runs.
    fn kubernetes(&self) -> &str {
        if self.contract() == "v1.12" {
            "v1.35.2"
        } else {
            "v1.36.3"
        }
    }

    /// The configuration of a machine, with patches.
    pub(super) fn configuration(&self, name: &str, patches: &[&str]) -> Secret<String> {
        let role = if name.starts_with("cp") {
            "control-plane"
        } else {
            "worker"
        };
        let options = json!({
            "cluster": "home", "endpoint": ENDPOINT, "role": role, "contract": self.contract(), "kubernetes_version": self.kubernetes(),
            "install": { "disk": "/dev/sda", "image": format!("factory.talos.dev/nocloud-installer/{SCHEMATIC}:{}", self.version) },
            "hostname": name, "vip": { "address": "192.0.2.10", "link": "eth0" }, "patches": patches,
        });
        let options: Options = serde_json::from_value(options).unwrap();
        let documents = config::documents(options, &self.secrets).unwrap();
        Secret::new(patch::render(&documents))
    }

    /// What a user writes for a machine.
    pub(super) fn wanted(&self, name: &str, patches: &[&str]) -> TalosMachine {
        let role = if name.starts_with("cp") {
            "control-plane"
        } else {
            "worker"
        };
        let first_use = MachineTrust {
            fingerprint: Attr::Null,
            first_use: true.into(),
        };
        TalosMachine {
            node: name.into(),
            address: self.addresses[name].as_str().into(),
            role: role.into(),
            secrets: "talos".into(),
            contract: self.contract().into(),
            allow_contract_change: false.into(),
            configuration_wo: Attr::Known(self.configuration(name, patches)),
            apply_mode: "auto".into(),
            proxmox: Attr::Null,
            trust: first_use.into(),
            firewall: Attr::Null,
            vpn: Attr::Null,
            control_planes: self.control_planes().into(),
            cluster: "home".into(),
            id: Attr::Unknown,
            configuration_paths: Attr::Unknown,
            version: Attr::Unknown,
            schematic: Attr::Unknown,
            uuid: Attr::Unknown,
            addresses: Attr::Unknown,
            vpn_node_id: Attr::Unknown,
            vpn_addresses: Attr::Unknown,
            ready: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    pub(super) async fn create(&self, name: &str) -> Result<TalosMachine, Diagnostics> {
        let config = self.wanted(name, &[]);
        let planned = TalosMachine {
            configuration_wo: Attr::Null,
            ..config.clone()
        };
        TalosMachine::create(&self.process.cx(), config, planned).await
    }

    /// All machines at once, as Terraform does it.
    pub(super) async fn create_all(&self) -> BTreeMap<String, TalosMachine> {
        let made = self.addresses.keys().map(|name| async move {
            let machine = self
                .create(name)
                .await
                .unwrap_or_else(|found| panic!("{name}: {found}"));
            (name.clone(), machine)
        });
        join_all(made).await.into_iter().collect()
    }

    /// A changed configuration, applied to what there is.
    pub(super) async fn update(
        &self,
        prior: &TalosMachine,
        patches: &[&str],
    ) -> Result<TalosMachine, Diagnostics> {
        let config = self.wanted(prior.node.text(), patches);
        let planned = TalosMachine {
            configuration_paths: Attr::Unknown,
            ..prior.clone()
        };
        TalosMachine::update(&self.process.cx(), config, prior.clone(), planned).await
    }

    pub(super) async fn read(&self, prior: &TalosMachine) -> TalosMachine {
        self.read_with(&self.process, prior).await
    }

    pub(super) async fn read_with(
        &self,
        process: &Harness<Strata>,
        prior: &TalosMachine,
    ) -> TalosMachine {
        match TalosMachine::read(&process.cx(), prior.clone())
            .await
            .unwrap()
        {
            Found::Present(seen) => seen,
            other => panic!("not present: {other:?}"),
        }
    }

    pub(super) fn cluster(&self) -> TalosCluster {
        TalosCluster {
            name: "home".into(),
            secrets: "talos".into(),
            endpoint: ENDPOINT.into(),
            version: self.version.as_str().into(),
            installer: format!("factory.talos.dev/nocloud-installer/{SCHEMATIC}").into(),
            kubernetes_version: self.kubernetes().into(),
            control_planes: self.control_planes().into(),
            workers: self.workers().into(),
            id: Attr::Unknown,
            members: Attr::Unknown,
            ready: Attr::Unknown,
            timeouts: Attr::Null,
        }
    }

    pub(super) async fn create_cluster(&self) -> Result<TalosCluster, Diagnostics> {
        TalosCluster::create(&self.process.cx(), self.cluster(), self.cluster()).await
    }

    /// The machines, as the lab knows them.
    pub(super) fn machines(&self) -> Vec<Value> {
        let machines = self.talos()["machines"].clone();
        machines.as_array().cloned().unwrap_or_default()
    }

    pub(super) fn machine(&self, name: &str) -> Value {
        let machines = self.machines();
        let found = machines.into_iter().find(|machine| machine["name"] == name);
        found.unwrap_or_else(|| panic!("no machine {name}"))
    }

    /// What happened to the machines.
    pub(super) fn journal(&self) -> Vec<Value> {
        let journal = self.talos()["journal"].clone();
        journal.as_array().cloned().unwrap_or_default()
    }

    fn talos(&self) -> Value {
        self.world.lab.talos().estate()
    }

    /// Behind everybody's back, with the cluster's own certificates.
    pub(super) async fn client(&self, name: &str) -> Client {
        let ways = Ways::of(self.provider(), "talos").await.unwrap();
        ways.node(&self.addresses[name]).await.unwrap()
    }
}

/// A cluster that lives, from machines in maintenance.
pub(super) async fn alive(names: &[&str]) -> (Site, BTreeMap<String, TalosMachine>, TalosCluster) {
    alive_with(names, "v1.13.9").await
}

/// The same with another version of Talos.
pub(super) async fn alive_with(
    names: &[&str],
    version: &str,
) -> (Site, BTreeMap<String, TalosMachine>, TalosCluster) {
    let site = site(names, version).await;
    let machines = site.create_all().await;
    let cluster = site.create_cluster().await.unwrap();
    assert_eq!(
        cluster.ready,
        Attr::Known(true),
        "{}",
        site.process.warnings()
    );
    (site, machines, cluster)
}
