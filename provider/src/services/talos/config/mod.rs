//! Machine configurations of Talos, as `talosctl gen config` makes them from the same bundle, with what a cluster of Strata wants on top.
//!
//! Three steps, each of the form that the next one takes: what the contract says ([`first`], [`kinds`]); our own wishes as parts of documents
//! ([`wishes`]); the user's patches. What comes out is checked by [`check`] before any machine sees it. Pure. Not handled: contracts before
//! 1.12, KubeSpan, kernel arguments (they belong into the image's schematic).
//! Reference: <https://docs.siderolabs.com/talos/>, "Configuration".

mod check;
mod contract;
mod first;
mod kinds;
mod wishes;

use serde::Deserialize;
use serde_json::{Value, json};

pub use self::contract::Contract;
use super::patch::{self, Document};
use crate::talos_secrets::{self, TalosSecrets};

/// Why there is no configuration. Names places, never values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option that is not what it must be.
    #[error("`{option}` must be {expected}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it must be.
        expected: String,
    },
    /// The bundle.
    #[error("`secrets`: {0}")]
    Secrets(#[from] talos_secrets::Error),
    /// A patch.
    #[error("patch {number}: {source}")]
    Patch {
        /// Which, from 1.
        number: usize,
        /// What about it.
        source: patch::Error,
    },
    /// Our own parts did not fit.
    #[error("the options do not fit the configuration: {0}")]
    Wishes(patch::Error),
    /// No machine would take it.
    #[error("{0}")]
    Rule(String),
}

/// What a machine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs etcd and the API server.
    ControlPlane,
    /// Runs the rest.
    Worker,
}

impl Role {
    /// Talos' word for it.
    fn word(self) -> &'static str {
        match self {
            Self::ControlPlane => "controlplane",
            Self::Worker => "worker",
        }
    }
}

/// Where Talos is installed, and from which image.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Device, like `/dev/sda`.
    pub disk: String,
    /// Installer, of the factory's schematic.
    pub image: String,
}

/// An address that control planes hand from one to the other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vip {
    /// The address.
    pub address: std::net::IpAddr,
    /// The link that has it.
    pub link: String,
}

/// A static address.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The link, like `eth0`.
    pub link: String,
    /// Address with the length of its network's prefix.
    pub address: ipnet::IpNet,
    /// Way out.
    #[serde(default)]
    pub gateway: Option<std::net::IpAddr>,
    /// DNS servers.
    #[serde(default)]
    pub nameservers: Vec<std::net::IpAddr>,
    /// Time servers.
    #[serde(default)]
    pub ntp: Vec<String>,
}

fn domain() -> String {
    "cluster.local".into()
}

fn yes() -> bool {
    true
}

/// What a configuration is made from, besides the secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the cluster.
    pub cluster: String,
    /// `https://HOST:PORT` of the Kubernetes API.
    pub endpoint: String,
    /// What the machine is for.
    pub role: Role,
    /// The config contract, `v1.13`.
    pub contract: String,
    /// Kubernetes, `v1.36.3`.
    pub kubernetes_version: String,
    /// Without it nothing is installed: the disk image is the installation.
    #[serde(default)]
    pub install: Option<Install>,
    /// More names and addresses for the certificates of both APIs.
    #[serde(default)]
    pub sans: Vec<String>,
    /// CIDRs of the pods.
    #[serde(default)]
    pub pods: Vec<ipnet::IpNet>,
    /// CIDRs of the services.
    #[serde(default)]
    pub services: Vec<ipnet::IpNet>,
    /// DNS domain of the cluster.
    #[serde(default = "domain")]
    pub domain: String,
    /// Talos' discovery service.
    #[serde(default = "yes")]
    pub discovery: bool,
    /// Workloads on control planes.
    #[serde(default)]
    pub schedule_on_control_planes: bool,
    /// `flannel`, `none`, or the address of manifests.
    #[serde(default)]
    pub cni: Option<String>,
    /// Whether kube-proxy runs.
    #[serde(default = "yes")]
    pub kube_proxy: bool,
    /// Name of the machine.
    #[serde(default)]
    pub hostname: Option<String>,
    /// Of control planes.
    #[serde(default)]
    pub vip: Option<Vip>,
    /// A static address instead of DHCP.
    #[serde(default)]
    pub network: Option<Network>,
    /// CIDRs in which kubelet and etcd look for the node's address.
    #[serde(default)]
    pub node_networks: Vec<ipnet::IpNet>,
    /// Labels of the Node.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
    /// Taints of the Node, `key=value:Effect`.
    #[serde(default)]
    pub taints: Vec<String>,
    /// The user's patches, in turn.
    #[serde(default)]
    pub patches: Vec<String>,
}

/// Options that were checked, and the secrets.
struct Machine {
    options: Options,
    secrets: TalosSecrets,
    contract: Contract,
    /// Without the `v`.
    version: String,
}

impl Machine {
    fn new(mut options: Options, secrets: &str) -> Result<Self, Error> {
        let wrong = |option, expected: String| Error::Option { option, expected };
        let secrets = TalosSecrets::parse(secrets)?;
        let contract = Contract::parse(&options.contract)
            .ok_or_else(|| wrong("contract", format!("one of {}", Contract::known())))?;
        let version = options
            .kubernetes_version
            .trim_start_matches('v')
            .to_owned();
        let numbers: Vec<Option<u16>> = version.split('.').map(|part| part.parse().ok()).collect();
        if numbers.len() != 3 || numbers.contains(&None) {
            return Err(wrong("kubernetes_version", "a version like v1.36.3".into()));
        }
        let host = host(&options.endpoint)
            .ok_or_else(|| wrong("endpoint", "an address like https://192.0.2.10:6443".into()))?;
        // As talosctl: pods and services are IPv6 only where the endpoint is.
        let v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        let fill = |networks: &mut Vec<ipnet::IpNet>, v4_text: &str, v6_text: &str| {
            if networks.is_empty() {
                let text = if v6 { v6_text } else { v4_text };
                networks.push(text.parse().expect("a network"));
            }
        };
        fill(&mut options.pods, "10.244.0.0/16", "fc00:db8:10::/56");
        fill(&mut options.services, "10.96.0.0/12", "fc00:db8:20::/112");
        Ok(Self {
            options,
            secrets,
            contract,
            version,
        })
    }

    fn role(&self) -> Role {
        self.options.role
    }

    /// An image with the version of Kubernetes.
    fn image(&self, name: &str) -> String {
        format!("{name}:v{}", self.version)
    }
}

/// The host of `https://HOST:PORT`, IPv6 without brackets.
fn host(endpoint: &str) -> Option<String> {
    let address: http::Uri = endpoint.parse().ok()?;
    let fits = address.scheme_str() == Some("https")
        && address.port_u16().is_some()
        && matches!(address.path(), "" | "/")
        && address.query().is_none();
    let host = address.host()?.trim_matches(['[', ']']).to_owned();
    fits.then_some(host)
}

/// What `talosctl gen config` makes: nothing of ours, no patch.
fn base(machine: &Machine) -> Result<Vec<Value>, Error> {
    let mut documents = Vec::new();
    if machine.contract.has_kinds() {
        documents.push(first::rest(machine));
        documents.extend(kinds::all(machine)?);
    } else {
        documents.push(first::whole(machine));
        documents.push(kinds::hostname());
    }
    Ok(documents)
}

/// The configuration of one machine.
pub fn documents(options: Options, secrets: &str) -> Result<Vec<Document>, Error> {
    let machine = Machine::new(options, secrets)?;
    let mut parts = base(&machine)?;
    parts.extend(wishes::parts(&machine)?);
    let mut documents = patch::merge_all(Vec::new(), parts).map_err(Error::Wishes)?;
    for (at, text) in machine.options.patches.iter().enumerate() {
        let number = at + 1;
        documents =
            patch::apply(documents, text).map_err(|source| Error::Patch { number, source })?;
    }
    check::check(&documents, machine.role()).map_err(Error::Rule)?;
    Ok(documents)
}

/// The rules for pods of the whole cluster.
fn pod_security() -> Value {
    json!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1alpha1",
        "kind": "PodSecurityConfiguration",
        "defaults": {
            "enforce": "baseline", "enforce-version": "latest",
            "audit": "restricted", "audit-version": "latest",
            "warn": "restricted", "warn-version": "latest",
        },
        "exemptions": { "namespaces": ["kube-system"], "runtimeClasses": [], "usernames": [] },
    })
}

fn audit_policy() -> Value {
    json!({ "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{ "level": "Metadata" }] })
}

#[cfg(test)]
mod tests;
