//! What commands ask of where machines come from: which of them are ours, which somebody else's. Reads only.

pub(crate) mod proxmox;
pub(crate) mod scaleway;

use std::net::IpAddr;

use jiff::Timestamp;
use strata_provider::{credential::Source, environment::Environment};

use self::{proxmox::Proxmox, scaleway::Scaleway};
use crate::{cluster::Cluster, finding::Finding, project::Project};

/// The platform of one cluster.
pub(crate) enum Platform {
    /// Rented servers.
    Scaleway(Box<Scaleway>),
    /// Virtual machines.
    Proxmox(Box<Proxmox>),
}

/// A machine that is marked with the cluster's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Its name at the platform.
    pub(crate) name: String,
    /// Estate that it belongs to, by its mark.
    pub(crate) owner: Option<String>,
    /// Node that it is, by its mark.
    pub(crate) node: Option<String>,
    /// Where it is reached, as far as that is known.
    pub(crate) address: Option<IpAddr>,
    /// Whether it is being deleted.
    pub(crate) is_leaving: bool,
}

impl Machine {
    /// Whether an estate's mark is on it.
    pub(crate) fn is_ours(&self, owner: &str) -> bool {
        self.owner.as_deref() == Some(owner)
    }
}

impl Platform {
    /// Fails when the credential is nowhere; of the platform nothing is asked yet.
    pub(crate) async fn new(
        project: &Project,
        environment: &Environment,
        cluster: &Cluster,
    ) -> anyhow::Result<Self> {
        let platform = &cluster.spec.platform;
        if let Some(settings) = &platform.scaleway {
            let scaleway = Scaleway::new(project, environment, cluster, settings).await?;
            return Ok(Self::Scaleway(Box::new(scaleway)));
        }
        if let Some(settings) = &platform.proxmox {
            let proxmox = Proxmox::new(project, environment, cluster, settings).await?;
            return Ok(Self::Proxmox(Box::new(proxmox)));
        }
        anyhow::bail!("platform {} is not available yet", platform.kind)
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Scaleway(_) => "Scaleway",
            Self::Proxmox(_) => "Proxmox",
        }
    }

    /// It does not list our machines.
    pub(crate) fn refuses(&self, error: &anyhow::Error) -> Finding {
        let (code, fix) = match self {
            Self::Scaleway(_) => ("SCW-02", "check the API key, its rights and the project"),
            Self::Proxmox(_) => (
                "PVE-02",
                "check address, certificate and token, and that the token may see machines (VM.Audit)",
            ),
        };
        Finding::error(code, format!("{} refuses: {error:#}", self.name()), fix)
    }

    /// Where the credential was found.
    pub(crate) fn credential(&self) -> &Source {
        match self {
            Self::Scaleway(scaleway) => scaleway.credential(),
            Self::Proxmox(proxmox) => proxmox.credential(),
        }
    }

    /// What the credential is called, and when it ends (`None`: never), as the platform tells it.
    pub(crate) async fn end_of_credential(
        &self,
        environment: &Environment,
    ) -> (&'static str, anyhow::Result<Option<Timestamp>>) {
        match self {
            Self::Scaleway(scaleway) => {
                let key = environment.get("SCW_ACCESS_KEY");
                ("Scaleway API key", scaleway.end_of_key(key).await)
            }
            Self::Proxmox(proxmox) => ("Proxmox API token", proxmox.end_of_token().await),
        }
    }

    /// Machines that are marked with this cluster's name.
    pub(crate) async fn machines(&self) -> anyhow::Result<Vec<Machine>> {
        match self {
            Self::Scaleway(scaleway) => scaleway.machines().await,
            Self::Proxmox(proxmox) => proxmox.machines().await,
        }
    }
}
