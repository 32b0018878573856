//! The normalised cluster: what layers and commands read. Every attribute is always present; what is not set is null.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{finding::Finding, scalar, walk::Origin};

/// A cluster, read from its file and checked.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    /// Format of the file.
    pub strata: u32,
    /// The cluster's name, for life.
    pub name: String,
    /// The simulation.
    pub lab: Lab,
    /// Where machines come from.
    pub platform: Platform,
    /// What turns machines into nodes.
    pub distribution: Distribution,
    /// How the API is reached.
    pub endpoint: Endpoint,
    /// All nodes by name, role defaults applied.
    pub nodes: BTreeMap<String, Node>,
    /// Names of the control planes, sorted.
    pub control_planes: Vec<String>,
    /// Names of the workers, sorted.
    pub workers: Vec<String>,
    /// Address ranges.
    pub network: Network,
    /// The pod network.
    pub cni: Cni,
    /// Where secrets live.
    pub store: Store,
    /// Where Terraform's state lives: `local`.
    pub state: String,
    /// Records outside the cluster.
    pub dns: Dns,
    /// Who reaches the nodes.
    pub access: Access,
    /// Folder of YAML files for layer 02, relative to the cluster file.
    pub manifests: Option<String>,
    /// Operating system updates.
    pub updates: Updates,
    /// Snapshots of etcd.
    pub backup: Backup,
    /// Limits of each step, in seconds.
    pub timeouts: Timeouts,
    /// `resume` or `rollback`.
    pub on_failure: String,
    /// Marks that every server of the cluster carries; owner and node come on top.
    pub tags: Vec<String>,
    /// SHA-256 of everything above in hex: comments and order of the file do not change it.
    pub sha256: String,
    /// `budget.max_per_month`, like `300 EUR`: for commands; no layer reads it, and changing it changes no plan.
    #[serde(skip)]
    pub max_per_month: Option<String>,
    /// What was accepted with a surprise.
    #[serde(skip)]
    pub warnings: Vec<Finding>,
    /// The file's own form with defaults filled in, for `explain`.
    #[serde(skip)]
    pub(crate) normal: Value,
    #[serde(skip)]
    pub(crate) origins: BTreeMap<String, Origin>,
    #[serde(skip)]
    pub(crate) path: String,
}

/// The simulation: `lab`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lab {
    /// Whether the cluster lives in the lab.
    pub enabled: bool,
    /// Times faster than life.
    pub speed: f64,
    /// Seed of everything drawn by chance.
    pub seed: u64,
    /// Faults the lab starts with, each as JSON text.
    #[serde(deserialize_with = "json_texts")]
    pub faults: Vec<String>,
}

/// Where machines come from: `platform`. What is not chosen is null.
#[derive(Clone, Debug, Serialize)]
pub struct Platform {
    /// `scaleway` or `proxmox`.
    pub kind: String,
    /// Scaleway Elastic Metal.
    pub scaleway: Option<Scaleway>,
    /// Virtual machines on Proxmox VE.
    pub proxmox: Option<Proxmox>,
}

/// Scaleway Elastic Metal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scaleway {
    /// Default zone; null when every node names its own.
    pub zone: Option<String>,
    /// Project; null is SCW_DEFAULT_PROJECT_ID.
    pub project: Option<String>,
    /// `cloud-init` or `rescue`.
    pub install: String,
    /// Whether the monthly offer is ordered.
    pub monthly: bool,
    /// Deletion protection.
    pub protect: bool,
}

/// Virtual machines on Proxmox VE.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proxmox {
    /// API of one host.
    pub url: String,
    /// File with the CA of the hosts, relative to the cluster file; null with `fingerprints` or for the system's roots.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// SHA-256 fingerprints of the hosts' certificates.
    #[serde(default)]
    pub fingerprints: Vec<String>,
    /// Storage of disks.
    pub storage: String,
    /// Storage of images.
    pub images: String,
    /// Network bridge.
    pub bridge: String,
    /// VLAN; null is untagged.
    pub vlan: Option<u16>,
    /// Resource pool.
    pub pool: Option<String>,
}

/// What turns machines into nodes: `distribution`. What is not chosen is null.
#[derive(Clone, Debug, Serialize)]
pub struct Distribution {
    /// `kubeadm` or `talos`.
    pub kind: String,
    /// Kubernetes by kubeadm on Flatcar.
    pub kubeadm: Option<Kubeadm>,
    /// Talos Linux.
    pub talos: Option<Talos>,
}

/// Talos Linux.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Talos {
    /// Talos version with v.
    pub version: String,
    /// Kubernetes version with v.
    pub kubernetes: String,
    /// Generation of configurations.
    pub contract: String,
    /// System extensions.
    pub extensions: Vec<String>,
    /// Patch files, relative to the cluster file.
    pub patches: Vec<String>,
}

/// Kubernetes by kubeadm on Flatcar.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kubeadm {
    /// Kubernetes version with v.
    pub version: String,
    /// Flatcar channel.
    pub os_channel: String,
    /// Flatcar version; null is the channel's current one.
    pub os_version: Option<String>,
    /// API audit log at level Metadata.
    pub audit: bool,
}

/// How the API is reached: `endpoint`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// DNS name, or the virtual address, in all certificates and kubeconfigs.
    pub name: String,
    /// `dns` or `vip`.
    pub via: String,
    /// Address that carries the name, where it is known beforehand.
    pub address: Option<String>,
    /// Port of the API.
    pub port: u16,
    /// Further names in the API's certificate.
    pub extra_sans: Vec<String>,
}

/// One machine as a member of the cluster: `nodes.<name>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// `control-plane` or `worker`.
    pub role: String,
    /// Scaleway: zone of the server.
    pub zone: Option<String>,
    /// Scaleway: offer to order.
    pub offer: Option<String>,
    /// Proxmox: address with its prefix.
    pub address: Option<String>,
    /// Proxmox: host.
    pub host: Option<String>,
    /// Proxmox: virtual CPUs.
    pub cores: Option<u32>,
    /// Proxmox: memory in MiB.
    pub memory: Option<u64>,
    /// Proxmox: size of the disk in GiB.
    pub size: Option<u64>,
    /// Proxmox: id of the VM; null is the next free one.
    pub vmid: Option<u32>,
    /// Proxmox: MAC address; null is drawn.
    pub mac: Option<String>,
    /// Name of the server: `<cluster>-<node>`.
    #[serde(default)]
    pub server_name: String,
    /// Labels of the Node.
    pub labels: BTreeMap<String, String>,
    /// Taints `key=value:Effect`.
    pub taints: Vec<String>,
    /// Disk to install on as `/dev/disk/by-id/...`; null is the smallest free one.
    pub disk: Option<String>,
    /// Disk to install on by size and kind, in place of a name; null when it is named or is the smallest free one.
    #[serde(default)]
    pub disk_like: Option<DiskLike>,
    /// `all` or `target`.
    pub wipe: String,
    /// Talos: patch files, relative to the cluster file.
    pub patches: Vec<String>,
    /// `keep`, `retry` or `delete`.
    pub on_create_failure: String,
}

/// `nodes.*.disk` by size and kind. Which one it is shows on the machine, where it must be one alone, or several that do not differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskLike {
    /// Smallest size in bytes; null is any.
    pub min: Option<u64>,
    /// `NVMe`, `SSD` or `HDD`; null is any.
    pub r#type: Option<String>,
}

/// Address ranges: `network`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Network {
    /// Proxmox: network of the nodes.
    pub nodes: Option<String>,
    /// Proxmox: gateway of the nodes.
    pub gateway: Option<String>,
    /// Proxmox: resolvers of the nodes.
    pub nameservers: Vec<String>,
    /// Proxmox: time servers of the nodes.
    pub ntp: Vec<String>,
    /// Addresses of pods.
    pub pods: String,
    /// Addresses of services.
    pub services: String,
    /// DNS domain inside the cluster.
    pub domain: String,
}

/// The pod network: `cni`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cni {
    /// `cilium` or `none`.
    pub kind: String,
    /// Version of Cilium; null with `none`.
    pub version: Option<String>,
}

/// Where secrets live: `store`. What the kind does not have is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// `file`, `keyring`, `infisical` or `vault`.
    pub kind: String,
    /// `file`: folder, relative to where the command runs; `infisical`: folder; `vault`: path below the mount.
    pub path: Option<String>,
    /// `file`: age or SSH public keys.
    pub recipients: Option<Vec<String>>,
    /// `infisical`, `vault`: address; null is the environment's.
    pub url: Option<String>,
    /// `infisical`: id of the project; null is the environment's.
    pub project: Option<String>,
    /// `infisical`: slug of the environment.
    pub environment: Option<String>,
    /// `vault`: mount of the KV engine.
    pub mount: Option<String>,
    /// `vault`: namespace; null is the environment's.
    pub namespace: Option<String>,
}

/// Records outside the cluster: `dns`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dns {
    /// `none` or `cloudflare`.
    pub kind: String,
    /// Zone; null with `none`.
    pub zone: Option<String>,
    /// Whether each node has a name.
    pub nodes: bool,
    /// Records of layer 03 by name relative to the zone.
    pub records: BTreeMap<String, Record>,
}

/// One record of layer 03.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Type of the record.
    #[serde(rename = "type")]
    pub kind: String,
    /// Time to live, in seconds.
    pub ttl: u32,
    /// Values.
    pub values: Vec<String>,
}

/// Who reaches the nodes: `access`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Whether nodes are locked; `auto` is decided.
    pub lockdown: bool,
    /// `kubernetes`, `teleport` or `none`; `auto` is decided.
    pub proof: String,
    /// Teleport, if access goes through it.
    pub teleport: Option<Teleport>,
    /// The VPN that the nodes join.
    pub vpn: Option<Vpn>,
    /// Networks that may use SSH until lockdown, without `auto`.
    pub operators: Vec<String>,
    /// Whether this machine's addresses are operators too (`auto`).
    pub operators_auto: bool,
    /// Who reaches the API after lockdown.
    pub api: Vec<String>,
    /// TCP ports of workers open to everyone.
    pub public_ports: Vec<u16>,
    /// `private` or `public`.
    pub node_ports: String,
    /// SSH public keys that are valid while a window lasts.
    pub break_glass_keys: Vec<String>,
}

/// Access through Teleport: `access.teleport`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Teleport {
    /// `host:port`.
    pub proxy: String,
    /// Name of the cluster there.
    pub cluster: String,
}

/// The VPN that every node joins: `access.vpn`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vpn {
    /// Headscale.
    pub headscale: Headscale,
}

/// Where nodes log in, and as whom: `access.vpn.headscale`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Headscale {
    /// Address; none in the lab, which has its own.
    pub url: Option<String>,
    /// User; likewise.
    pub user: Option<String>,
    /// Tags of the nodes.
    pub tags: Vec<String>,
}

/// Operating system updates: `updates`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Updates {
    /// `auto` or `off`.
    pub os: String,
    /// Who reboots nodes.
    pub reboot: String,
    /// When nodes may reboot.
    pub window: String,
}

/// Snapshots: `backup`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// Of etcd, which each control plane saves on its own disk.
    pub etcd: Snapshots,
}

/// How often, and how many are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshots {
    /// Seconds between two.
    pub every: u64,
    /// How many are kept.
    pub keep: u32,
    /// Where the operator's are kept: `folder` or `s3://bucket/prefix`.
    pub to: String,
}

/// Limits of each step, in seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timeouts {
    /// From the order to an installed server.
    pub deliver: u64,
    /// Until SSH answers.
    pub ssh: u64,
    /// kubeadm init or join of one node.
    pub join: u64,
    /// Until all nodes are Ready.
    pub ready: u64,
    /// Until an access agent has registered.
    pub agent: u64,
}

impl Cluster {
    /// Builds the cluster from a normal form in which every rule holds.
    pub(crate) fn build(
        normal: Value,
        origins: BTreeMap<String, Origin>,
        path: &str,
    ) -> Result<Self, serde_json::Error> {
        let part = |pointer: &str| normal.pointer(pointer).cloned().unwrap_or_default();
        let text = |pointer: &str| part(pointer).as_str().map(str::to_owned);
        let name = text("/name").unwrap_or_default();

        let mut proxmox = part("/platform/proxmox");
        if let Some(fields) = proxmox.as_object_mut() {
            match fields.remove("ca") {
                Some(Value::String(file)) => fields.insert("ca_file".into(), file.into()),
                Some(Value::Object(mut pins)) => {
                    let pins = pins.remove("fingerprints").unwrap_or_default();
                    fields.insert("fingerprints".into(), pins)
                }
                _ => None,
            };
        }
        let platform = Platform {
            kind: text("/platform/kind").unwrap_or_default(),
            scaleway: serde_json::from_value(part("/platform/scaleway"))?,
            proxmox: serde_json::from_value(proxmox)?,
        };
        let distribution = Distribution {
            kind: text("/distribution/kind").unwrap_or_default(),
            kubeadm: serde_json::from_value(part("/distribution/kubeadm"))?,
            talos: serde_json::from_value(part("/distribution/talos"))?,
        };
        let kind = text("/store/kind").unwrap_or_default();
        let mut store: Store = serde_json::from_value(part(&format!("/store/{kind}")))?;
        store.kind = kind;
        let mut nodes = part("/nodes");
        for node in nodes
            .as_object_mut()
            .into_iter()
            .flat_map(serde_json::Map::values_mut)
        {
            for (field, unit) in [("memory", scalar::MIB), ("size", scalar::GIB)] {
                let bytes = node[field].as_str().and_then(scalar::bytes);
                node[field] = bytes.map(|bytes| bytes.div_ceil(unit)).into();
            }
            if node["disk"].is_object() {
                let like = node["disk"].take();
                let min = like["min"].as_str().and_then(scalar::bytes);
                node["disk_like"] = serde_json::json!({ "min": min, "type": like["type"] });
            }
        }
        let mut nodes: BTreeMap<String, Node> = serde_json::from_value(nodes)?;
        for (key, node) in &mut nodes {
            node.server_name = format!("{name}-{key}");
            node.disk = node.disk.take().map(|disk| {
                format!(
                    "/dev/disk/by-id/{}",
                    disk.trim_start_matches("/dev/disk/by-id/")
                )
            });
        }
        let of_role = |role: &str| {
            nodes
                .iter()
                .filter(|(_, node)| node.role == role)
                .map(|(key, _)| key.clone())
                .collect::<Vec<_>>()
        };
        let (control_planes, workers) = (of_role("control-plane"), of_role("worker"));

        let dns_kind = text("/dns/kind").unwrap_or_default();
        let mut access = part("/access");
        // Every machine of Scaleway has a public address, so `auto` means on; those at home have one of their network.
        let public = platform.kind == "scaleway";
        access["lockdown"] =
            (access["lockdown"] == "on" || access["lockdown"] == "auto" && public).into();
        if access["proof"] == "auto" {
            let teleport = !access["teleport"].is_null();
            access["proof"] = if teleport { "teleport" } else { "kubernetes" }.into();
        }
        if let Some(teleport) = access["teleport"].as_object_mut()
            && teleport.get("cluster").is_none_or(Value::is_null)
        {
            teleport.insert("cluster".into(), name.clone().into());
        }
        let operators: Vec<String> = serde_json::from_value(access["operators"].take())?;
        access["operators_auto"] = operators.iter().any(|operator| operator == "auto").into();
        access["operators"] = operators
            .into_iter()
            .filter(|operator| operator != "auto")
            .collect();
        let mut timeouts = part("/timeouts");
        for value in timeouts
            .as_object_mut()
            .into_iter()
            .flat_map(serde_json::Map::values_mut)
        {
            *value = value
                .as_str()
                .and_then(scalar::seconds)
                .unwrap_or_default()
                .into();
        }

        let every = text("/backup/etcd/every").and_then(|text| scalar::seconds(&text));
        let mut backup = part("/backup");
        backup["etcd"]["every"] = every.unwrap_or_default().into();

        let mut cluster = Self {
            strata: 1,
            lab: serde_json::from_value(part("/lab"))?,
            platform,
            distribution,
            endpoint: serde_json::from_value(part("/endpoint"))?,
            nodes,
            control_planes,
            workers,
            network: serde_json::from_value(part("/network"))?,
            cni: Cni {
                kind: text("/cni/kind").unwrap_or_default(),
                version: text("/cni/cilium/version"),
            },
            store,
            state: text("/state/kind").unwrap_or_default(),
            dns: Dns {
                zone: text(&format!("/dns/{dns_kind}/zone")),
                kind: dns_kind,
                nodes: part("/dns/nodes") == true,
                records: serde_json::from_value(part("/dns/records"))?,
            },
            access: serde_json::from_value(access)?,
            manifests: text("/manifests"),
            updates: serde_json::from_value(part("/updates"))?,
            backup: serde_json::from_value(backup)?,
            timeouts: serde_json::from_value(timeouts)?,
            on_failure: text("/on_failure").unwrap_or_default(),
            max_per_month: text("/budget/max_per_month"),
            tags: vec![format!("strata-cluster={name}")],
            name,
            sha256: String::new(),
            warnings: Vec::new(),
            normal: Value::Null,
            origins,
            path: path.to_owned(),
        };
        cluster.sha256 = HEXLOWER.encode(&Sha256::digest(to_json(&cluster).to_string().as_bytes()));
        cluster.normal = normal;
        Ok(cluster)
    }
}

/// The cluster as JSON: what the function `cluster` returns and the layers read.
pub fn to_json(cluster: &Cluster) -> Value {
    serde_json::to_value(cluster).expect("only texts, numbers, lists and maps with text keys")
}

fn json_texts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Vec::<Value>::deserialize(deserializer)?
        .iter()
        .map(Value::to_string)
        .collect())
}
