//! Proxmox VE: machines with our marks, and what its hosts have.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::Context as _;
use jiff::Timestamp;
use strata_provider::{
    credential::{PROXMOX, Source},
    environment::Environment,
    proxmox::{
        self, Marks,
        connect::{Trust, connect, in_lab},
        wire::{self, Storage},
    },
};

use super::Machine;
use crate::{cluster::Cluster, preflight::open_store, project::Project};

/// Proxmox, as one cluster uses it.
pub(crate) struct Proxmox {
    api: proxmox::Proxmox,
    credential: Source,
    /// Who we are to it: user and name of the token.
    token: Option<(String, String)>,
    cluster: String,
    /// Address of each node, as the cluster file has it.
    addresses: BTreeMap<String, IpAddr>,
}

impl Proxmox {
    /// Fails when the credential is nowhere; of the platform nothing is asked yet.
    pub(super) async fn new(
        project: &Project,
        environment: &Environment,
        cluster: &Cluster,
        settings: &strata_cluster::Proxmox,
    ) -> anyhow::Result<Self> {
        let store = open_store(project, cluster)?;
        let (token, credential) = PROXMOX.find(environment, None, &*store).await?;
        let (url, trust) = if cluster.is_lab() {
            in_lab(environment).context("the lab runs no Proxmox")?
        } else {
            (settings.url.clone(), trust(cluster, settings)?)
        };
        let client = connect(environment, &url, &trust, &token)
            .with_context(|| format!("using the credential from {credential} at {url}"))?;
        let known_as = token.expose().split_once('!').and_then(|(user, rest)| {
            let (name, _) = rest.split_once('=')?;
            Some((user.to_owned(), name.to_owned()))
        });
        let addresses = cluster.spec.nodes.iter().filter_map(|(name, node)| {
            let address = node.address.as_deref()?.split('/').next()?;
            Some((name.clone(), address.parse().ok()?))
        });
        Ok(Self {
            api: proxmox::Proxmox::new(client),
            credential,
            token: known_as,
            cluster: cluster.name().to_owned(),
            addresses: addresses.collect(),
        })
    }

    /// Where the credential was found.
    pub(super) fn credential(&self) -> &Source {
        &self.credential
    }

    /// When the token ends; `None`: never.
    pub(super) async fn end_of_token(&self) -> anyhow::Result<Option<Timestamp>> {
        let (user, name) = self
            .token
            .as_ref()
            .context("the credential is not of the form user@realm!name=value")?;
        let token = self.api.token(user, name).await?;
        let token = token.context("Proxmox does not show the token to itself")?;
        let end = token.ends_at().map(Timestamp::from_second).transpose();
        end.context("reading when the token ends")
    }

    /// Address of each node, as the cluster file has it.
    pub(crate) fn addresses(&self) -> &BTreeMap<String, IpAddr> {
        &self.addresses
    }

    /// Machines that are marked with this cluster's name.
    pub(super) async fn machines(&self) -> anyhow::Result<Vec<Machine>> {
        let all = self
            .api
            .client
            .machines()
            .await
            .context("listing machines")?;
        let ours = all.iter().filter_map(|machine| {
            let marks = Marks::of(machine).filter(|marks| marks.cluster == self.cluster)?;
            let text = |mark: String| Some(mark).filter(|mark| !mark.is_empty());
            Some(Machine {
                name: machine.name.clone(),
                address: self.addresses.get(&marks.node).copied(),
                owner: text(marks.owner),
                node: text(marks.node),
                is_leaving: false,
            })
        });
        Ok(ours.collect())
    }

    /// A machine with the name of a node's and without anybody's marks: nothing finds it again.
    pub(crate) async fn unmarked(&self, node: &str) -> anyhow::Result<Option<wire::Machine>> {
        let all = self.api.client.machines().await;
        let all = all.context("listing machines")?;
        let name = format!("{}-{node}", self.cluster);
        Ok(all
            .into_iter()
            .find(|machine| machine.name == name && Marks::of(machine).is_none()))
    }

    /// The tags that a node's machine carries.
    pub(crate) fn tags(&self, owner: &str, node: &str) -> String {
        let marks = Marks {
            cluster: self.cluster.clone(),
            owner: owner.to_owned(),
            node: node.to_owned(),
        };
        marks.tags().join(";")
    }

    /// Storages of a host that take a kind of content.
    pub(crate) async fn storages(&self, host: &str, content: &str) -> anyhow::Result<Vec<Storage>> {
        let found = self.api.client.storages(host, content).await;
        found.with_context(|| format!("listing storages of {host}"))
    }
}

/// The CA beside the cluster file, or pins.
fn trust(cluster: &Cluster, settings: &strata_cluster::Proxmox) -> anyhow::Result<Trust> {
    if !settings.fingerprints.is_empty() {
        return Ok(Trust::Pins(settings.fingerprints.clone()));
    }
    let Some(file) = &settings.ca_file else {
        return Ok(Trust::System);
    };
    let folder = cluster
        .file
        .parent()
        .context("the cluster file is in a folder")?;
    let path = folder.join(file);
    let pem = std::fs::read_to_string(&path)
        .with_context(|| format!("reading the CA of Proxmox from {}", path.display()))?;
    Ok(Trust::Authority(pem))
}
