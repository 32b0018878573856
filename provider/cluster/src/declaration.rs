//! The cluster file, field by field. Parser, documentation (`fields()`), `explain` and JSON schema are all made from this.
//!
//! To make a feature available, remove its `later()`; to add a field, add one line.

use crate::{
    scalar::{self as form, Scalar},
    shape::{
        Field,
        Shape::{Any, Choice, Either, List, Map, One, Record, Short, Switch},
        defaulted, optional, required,
    },
};

const BOOL: crate::shape::Shape = One(Scalar::Bool);
const TEXT: crate::shape::Shape = One(Scalar::Text);
const IP: crate::shape::Shape = One(Scalar::Ip);
const NETWORK: crate::shape::Shape = One(Scalar::Network);
const FILE: crate::shape::Shape = One(Scalar::File);
const PORT: crate::shape::Shape = One(Scalar::Int(1, 65535));
const WORD: crate::shape::Shape = One(Scalar::Form(&form::WORD));
const DOMAIN: crate::shape::Shape = One(Scalar::Form(&form::DOMAIN));
const URL: crate::shape::Shape = One(Scalar::Form(&form::URL));
const DURATION: crate::shape::Shape = One(Scalar::Form(&form::DURATION));
const SIZE: crate::shape::Shape = One(Scalar::Form(&form::SIZE));

const ON_METAL_AT_HOME: &[&str] = &["proxmox", "netboot"];

/// The top level.
pub(crate) static CLUSTER: &[Field] = &[
    required("strata", One(Scalar::Int(1, 1)), "Format of this file."),
    required(
        "name",
        One(Scalar::Form(&form::CLUSTER_NAME)),
        "Name of the cluster, for life: prefix of servers and context, folder of state and store.",
    ),
    defaulted(
        "lab",
        Switch(LAB),
        "false",
        "Run everything in the local simulation.",
    ),
    required(
        "platform",
        Choice {
            kinds: PLATFORM,
            common: &[],
        },
        "Where machines come from; exactly one.",
    ),
    optional(
        "distribution",
        Choice {
            kinds: DISTRIBUTION,
            common: &[],
        },
        "kubeadm on scaleway, talos on proxmox and aws, k3s on netboot",
        "What turns machines into nodes; exactly one.",
    ),
    defaulted(
        "endpoint",
        Record(ENDPOINT),
        "{}",
        "How the Kubernetes API is reached; decided once, for life.",
    ),
    defaulted(
        "defaults",
        Record(DEFAULTS),
        "{}",
        "Laid under each node of the role, key by key; the node wins.",
    ),
    required(
        "nodes",
        Map(&form::NODE_NAME, &Short("role", NODE)),
        "The machines. The key is the node's name for life.",
    ),
    defaulted("network", Record(NETWORKS), "{}", "Address ranges."),
    defaulted(
        "cni",
        Choice {
            kinds: CNI,
            common: &[],
        },
        "cilium",
        "The pod network. With `none` nodes stay NotReady.",
    ),
    defaulted(
        "store",
        Choice {
            kinds: STORE,
            common: &[],
        },
        "file",
        "Where secrets live; exactly one.",
    ),
    defaulted(
        "state",
        Choice {
            kinds: STATE,
            common: &[],
        },
        "local",
        "Where Terraform's state lives. Credentials come from the environment only.",
    ),
    defaulted(
        "dns",
        Choice {
            kinds: DNS,
            common: DNS_COMMON,
        },
        "none",
        "Who serves the zone of the endpoint.",
    ),
    defaulted(
        "access",
        Record(ACCESS),
        "{}",
        "Who reaches the nodes, and how they are locked.",
    ),
    optional(
        "manifests",
        FILE,
        "nothing is applied",
        "Folder of YAML files that layer 02 applies, relative to the cluster file.",
    ),
    defaulted(
        "gitops",
        Choice {
            kinds: GITOPS,
            common: &[],
        },
        "none",
        "The GitOps engine of layer 02.",
    )
    .later(),
    defaulted(
        "services",
        Either(&[
            List(&One(Scalar::Form(&form::WORD))),
            Map(&form::WORD, &Any),
        ]),
        "[]",
        "Services of layer 02: names, or a map from name to values.",
    )
    .later(),
    optional(
        "sso",
        Any,
        "no single sign-on",
        "Single sign-on of layer 03.",
    )
    .later(),
    defaulted(
        "updates",
        Record(UPDATES),
        "{}",
        "Operating system updates.",
    ),
    defaulted("backup", Record(BACKUP), "{}", "Snapshots of etcd.").later(),
    defaulted("budget", Record(BUDGET), "{}", "Hard stop on cost."),
    defaulted(
        "timeouts",
        Record(TIMEOUTS),
        "{}",
        "How long each step may take.",
    ),
    defaulted(
        "on_failure",
        One(Scalar::OneOf(&["resume", "rollback"])),
        "resume",
        "What bootstrap.sh does after a failure.",
    )
    .later(),
];

static LAB: &[Field] = &[
    defaulted(
        "speed",
        One(Scalar::Positive),
        "60",
        "How many times faster than life simulated time runs.",
    ),
    defaulted(
        "seed",
        One(Scalar::Int(0, i64::MAX)),
        "1",
        "Seed of everything the lab draws by chance.",
    ),
    defaulted(
        "faults",
        List(&Any),
        "[]",
        "Faults that the lab starts with.",
    ),
];

static PLATFORM: &[Field] = &[
    defaulted(
        "scaleway",
        Record(SCALEWAY),
        "{}",
        "Scaleway Elastic Metal.",
    ),
    defaulted(
        "proxmox",
        Record(PROXMOX),
        "{}",
        "Virtual machines on Proxmox VE.",
    )
    .later(),
    defaulted("aws", Record(AWS), "{}", "Instances on AWS.").later(),
    defaulted(
        "netboot",
        Record(NETBOOT),
        "{}",
        "Machines on this network that boot over it.",
    )
    .later(),
];

static SCALEWAY: &[Field] = &[
    optional(
        "zone",
        One(Scalar::Form(&form::ZONE)),
        "SCW_DEFAULT_ZONE, which bootstrap.sh passes on; fr-par-2 in the lab",
        "Zone of the servers; a node may override it.",
    ),
    optional(
        "project",
        One(Scalar::Form(&form::UUID)),
        "SCW_DEFAULT_PROJECT_ID",
        "Project that pays.",
    ),
    defaulted(
        "install",
        One(Scalar::OneOf(&["cloud-init", "rescue"])),
        "cloud-init",
        "cloud-init has an authenticated host key; rescue is faster and trusted on first use.",
    )
    .later(),
    defaulted(
        "monthly",
        BOOL,
        "false",
        "Order the monthly offer and pay its fee.",
    )
    .later(),
    optional(
        "protect",
        BOOL,
        "true, and false in the lab",
        "Scaleway's deletion protection.",
    ),
];

static PROXMOX: &[Field] = &[
    required("url", URL, "API of one host."),
    optional(
        "ca",
        Either(&[
            FILE,
            Record(&[defaulted(
                "fingerprints",
                List(&One(Scalar::Form(&form::FINGERPRINT))),
                "[]",
                "SHA-256 fingerprints.",
            )]),
        ]),
        "system roots",
        "File with pve-root-ca.pem, or fingerprints.",
    ),
    defaulted(
        "storage",
        WORD,
        "local-lvm",
        "Storage of VM disks; must have content `images`.",
    ),
    defaulted(
        "images",
        WORD,
        "local",
        "Storage of ISO and import content.",
    ),
    defaulted("bridge", WORD, "vmbr0", "Network bridge."),
    optional("vlan", One(Scalar::Int(1, 4094)), "untagged", "VLAN."),
    optional("pool", WORD, "no pool", "Resource pool."),
    defaulted(
        "trust",
        One(Scalar::OneOf(&["iso", "pin", "first-use"])),
        "iso",
        "How the first contact is trusted.",
    ),
];

static AWS: &[Field] = &[
    optional(
        "region",
        One(Scalar::Form(&form::REGION)),
        "AWS_REGION",
        "Region.",
    ),
    optional(
        "cluster_tag",
        WORD,
        "the cluster's name",
        "Load balancers and security groups are found by tag Cluster.",
    ),
    optional(
        "profile",
        WORD,
        "the environment's",
        "Profile of the AWS configuration.",
    ),
    optional("role_arn", TEXT, "none", "Role to assume."),
];

static NETBOOT: &[Field] = &[
    required("listen", IP, "Address of this machine."),
    defaulted(
        "dhcp",
        One(Scalar::OneOf(&["proxy", "full", "none"])),
        "proxy",
        "Who answers DHCP.",
    ),
    defaulted(
        "artifacts",
        TEXT,
        ".strata/images",
        "URL or folder of boot images.",
    ),
];

static DISTRIBUTION: &[Field] = &[
    defaulted(
        "kubeadm",
        Record(KUBEADM),
        "{}",
        "Kubernetes by kubeadm on Flatcar.",
    ),
    defaulted("talos", Record(TALOS), "{}", "Talos Linux.").later(),
    defaulted(
        "k3s",
        Record(&[defaulted(
            "version",
            One(Scalar::Form(&form::K3S_VERSION)),
            "v1.34.2+k3s1",
            "Version.",
        )]),
        "{}",
        "k3s.",
    )
    .later(),
];

static KUBEADM: &[Field] = &[
    defaulted(
        "version",
        One(Scalar::Form(&form::KUBERNETES_VERSION)),
        "v1.34.2",
        "Kubernetes version; pin it in production.",
    ),
    defaulted(
        "os_channel",
        One(Scalar::OneOf(&["stable", "lts", "beta"])),
        "stable",
        "Flatcar channel.",
    ),
    optional(
        "os_version",
        One(Scalar::Form(&form::FLATCAR_VERSION)),
        "the channel's current one at creation",
        "Flatcar version.",
    ),
    defaulted("audit", BOOL, "true", "API audit log at level Metadata."),
];

static TALOS: &[Field] = &[
    defaulted(
        "version",
        One(Scalar::Form(&form::TALOS_VERSION)),
        "v1.13.9",
        "Talos version; a change is a rolling upgrade.",
    ),
    defaulted(
        "kubernetes",
        One(Scalar::Form(&form::KUBERNETES_VERSION)),
        "v1.36.3",
        "Kubernetes version; likewise.",
    ),
    defaulted(
        "contract",
        One(Scalar::Form(&form::TALOS_CONTRACT)),
        "v1.13",
        "Fixed at creation.",
    ),
    defaulted(
        "extensions",
        List(&TEXT),
        "[]",
        "Names of system extensions.",
    ),
    defaulted("patches", List(&FILE), "[]", "Patch files for all nodes."),
];

static ENDPOINT: &[Field] = &[
    optional("name", DOMAIN, "required unless via: node, then api.<name>.internal", "DNS name of the API, for life; in all certificates and kubeconfigs."),
    optional("via", One(Scalar::OneOf(&["dns", "vip", "lb", "external", "node"])), "dns with `dns` set, vip on proxmox and netboot, lb on aws, node for a single control plane", "What carries the name.")
        .later_for(&["vip", "lb", "external"]),
    optional("address", IP, "none", "Address; required for vip and external."),
    defaulted("port", PORT, "6443", "Port of the API.").later(),
    defaulted("extra_sans", List(&One(Scalar::Form(&form::HOST))), "[]", "Further names or addresses in the API's certificate."),
];

static DEFAULTS: &[Field] = &[
    defaulted(
        "control-plane",
        Record(NODE_COMMON),
        "{}",
        "For control planes.",
    ),
    defaulted("worker", Record(NODE_COMMON), "{}", "For workers."),
];

macro_rules! node_fields {
    ($($first:expr),*) => {
        &[
            $($first,)*
            optional("address", One(Scalar::Interface), "assigned by the platform", "Static address with prefix.").only(ON_METAL_AT_HOME),
            optional("offer", One(Scalar::Form(&form::OFFER)), "EM-A610R-NVME (control plane) and EM-I215E-NVME (worker) in the lab, else required", "Offer to order.").only(&["scaleway"]),
            optional("zone", One(Scalar::Form(&form::ZONE)), "the platform's", "Zone.").only(&["scaleway"]),
            optional("host", WORD, "required on proxmox", "Proxmox host.").only(&["proxmox"]),
            optional("cores", One(Scalar::Int(1, 512)), "4", "Virtual CPUs.").only(&["proxmox"]),
            optional("memory", SIZE, "8GiB", "Memory.").only(&["proxmox"]),
            optional("size", SIZE, "40GiB", "Size of the disk.").only(&["proxmox"]),
            optional("vmid", One(Scalar::Int(100, 999_999_999)), "the next free one", "Id of the VM.").only(&["proxmox"]),
            optional("mac", One(Scalar::Form(&form::MAC)), "drawn; required on netboot", "MAC address.").only(ON_METAL_AT_HOME),
            optional("fingerprint", TEXT, "none", "Pin of the first contact.").only(&["proxmox"]),
            optional("type", WORD, "required on aws", "Instance type.").only(&["aws"]),
            optional("subnet", WORD, "the default one", "Subnet.").only(&["aws"]),
            optional("volume", SIZE, "50GiB", "Size of the volume.").only(&["aws"]),
            optional("board", One(Scalar::OneOf(&["x86", "rpi5", "rock5b"])), "x86", "Board.").only(&["netboot"]),
            optional("disk", Either(&[One(Scalar::Form(&form::DISK)), Record(DISK)]), "the smallest free disk", "Disk to install on, by its name below /dev/disk/by-id, or by {min, type}."),
            defaulted("wipe", One(Scalar::OneOf(&["all", "target"])), "all", "Whose signatures are wiped before the installation: all disks or the target."),
            defaulted("labels", Map(&form::LABEL_KEY, &One(Scalar::Form(&form::LABEL_VALUE))), "{}", "Labels of the Node."),
            defaulted("taints", List(&One(Scalar::Form(&form::TAINT))), "[]", "Taints of the Node."),
            defaulted("patches", List(&FILE), "[]", "Patch files for this node only.").later(),
            defaulted("on_create_failure", One(Scalar::OneOf(&["keep", "retry", "delete"])), "keep", "What happens to a machine whose creation failed: kept and continued, reinstalled once, or given back."),
        ]
    };
}

static NODE: &[Field] = node_fields!(required(
    "role",
    One(Scalar::OneOf(&["control-plane", "worker"])),
    "What the node does. 1, 3 or 5 control planes."
));
static NODE_COMMON: &[Field] = node_fields!();

static DISK: &[Field] = &[
    optional("min", SIZE, "any", "Smallest size."),
    optional(
        "type",
        One(Scalar::OneOf(&["NVMe", "SSD", "HDD"])),
        "any",
        "Kind of disk.",
    ),
];

static NETWORKS: &[Field] = &[
    optional(
        "nodes",
        NETWORK,
        "none; required on proxmox and netboot",
        "Network of the nodes.",
    )
    .only(ON_METAL_AT_HOME),
    defaulted(
        "private",
        Either(&[BOOL, WORD]),
        "false",
        "Scaleway private network: true or its name. Node traffic and firewall peers use it.",
    )
    .later(),
    defaulted(
        "pods",
        NETWORK,
        "10.244.0.0/16",
        "Addresses of pods; a /24 for each node.",
    ),
    defaulted(
        "services",
        NETWORK,
        "10.96.0.0/12",
        "Addresses of services.",
    ),
    defaulted(
        "domain",
        DOMAIN,
        "cluster.local",
        "DNS domain inside the cluster.",
    ),
    optional(
        "gateway",
        IP,
        "first address of `nodes`",
        "Gateway of the nodes.",
    )
    .only(ON_METAL_AT_HOME),
    defaulted("nameservers", List(&IP), "[]", "Resolvers of the nodes.").only(ON_METAL_AT_HOME),
    defaulted(
        "ntp",
        List(&One(Scalar::Form(&form::HOST))),
        "[]",
        "Time servers of the nodes.",
    )
    .only(ON_METAL_AT_HOME),
    defaulted("ipv6", BOOL, "false", "Dual stack.").later(),
];

static CNI: &[Field] = &[
    defaulted("cilium", Record(CILIUM), "{}", "Cilium without kube-proxy."),
    defaulted(
        "none",
        Record(&[]),
        "{}",
        "No pod network: nodes stay NotReady.",
    ),
];

static CILIUM: &[Field] = &[
    defaulted(
        "version",
        One(Scalar::Form(&form::CILIUM_VERSION)),
        "1.18.4",
        "Version of Cilium.",
    ),
    defaulted(
        "encryption",
        One(Scalar::OneOf(&["none", "wireguard"])),
        "none",
        "Encryption between nodes.",
    )
    .later(),
    defaulted(
        "values",
        Map(&form::VALUE_NAME, &Any),
        "{}",
        "Chart values by dotted name.",
    )
    .later(),
    optional(
        "manifests",
        FILE,
        "those of this release",
        "Folder of your own manifests.",
    )
    .later(),
];

static STORE: &[Field] = &[
    defaulted(
        "file",
        Record(FILE_STORE),
        "{}",
        "One age file for each secret.",
    ),
    defaulted(
        "keyring",
        Record(&[]),
        "{}",
        "The desktop's Secret Service.",
    )
    .later(),
    defaulted("infisical", Record(INFISICAL), "{}", "Infisical.").later(),
    defaulted(
        "vault",
        Record(VAULT),
        "{}",
        "Vault or OpenBao, KV version 2.",
    )
    .later(),
];

static FILE_STORE: &[Field] = &[
    optional(
        "path",
        FILE,
        "clusters/<name>/store, and .strata/<name>/store in the lab",
        "Folder, made to be committed.",
    ),
    defaulted(
        "recipients",
        List(&One(Scalar::Form(&form::RECIPIENT))),
        "[]",
        "age or SSH public keys; empty: a key in ~/.config/strata.",
    ),
];

static INFISICAL: &[Field] = &[
    defaulted("url", URL, "https://eu.infisical.com", "Address."),
    optional(
        "project",
        Either(&[One(Scalar::Form(&form::UUID)), WORD]),
        "none",
        "Project.",
    ),
    defaulted("environment", WORD, "prod", "Environment."),
    optional("path", TEXT, "/clusters/<name>", "Folder."),
];

static VAULT: &[Field] = &[
    optional("url", URL, "VAULT_ADDR", "Address."),
    defaulted("mount", WORD, "secret", "Mount of the KV engine."),
    optional("path", TEXT, "clusters/<name>", "Path below the mount."),
];

static STATE: &[Field] = &[
    defaulted("local", Record(&[]), "{}", "Files on this machine."),
    defaulted(
        "s3",
        Record(&[
            required("bucket", WORD, "Bucket."),
            optional("region", WORD, "AWS_REGION", "Region."),
            optional("endpoint", URL, "AWS", "Endpoint."),
        ]),
        "{}",
        "S3 or compatible.",
    )
    .later(),
    defaulted(
        "pg",
        Record(&[optional("schema", WORD, "the cluster's name", "Schema.")]),
        "{}",
        "PostgreSQL.",
    )
    .later(),
    defaulted(
        "kubernetes",
        Record(&[required("namespace", WORD, "Namespace.")]),
        "{}",
        "Secrets of a cluster.",
    )
    .later(),
    defaulted(
        "http",
        Record(&[required("url", URL, "Address.")]),
        "{}",
        "An HTTP backend.",
    )
    .later(),
];

static DNS: &[Field] = &[
    defaulted("none", Record(&[]), "{}", "Nobody: no records are written."),
    defaulted(
        "cloudflare",
        Record(&[required("zone", DOMAIN, "Zone.")]),
        "{}",
        "Cloudflare.",
    ),
    defaulted(
        "powerdns",
        Record(&[
            required("url", URL, "Address of the API."),
            defaulted("server", WORD, "localhost", "Server id."),
            required("zone", DOMAIN, "Zone."),
        ]),
        "{}",
        "PowerDNS.",
    )
    .later(),
];

static DNS_COMMON: &[Field] = &[
    defaulted(
        "nodes",
        BOOL,
        "false",
        "Also a record <node>.<name>.<zone> for each node.",
    ),
    defaulted(
        "records",
        Map(&form::RECORD_NAME, &Record(RECORD)),
        "{}",
        "Records of layer 03.",
    ),
    defaulted(
        "zones",
        Map(&form::RECORD_NAME, &Any),
        "{}",
        "Further zones.",
    )
    .later(),
    defaulted(
        "delegations",
        Map(&form::RECORD_NAME, &Any),
        "{}",
        "Delegations.",
    )
    .later(),
];

static RECORD: &[Field] = &[
    required(
        "type",
        One(Scalar::OneOf(&["A", "AAAA", "CNAME", "TXT"])),
        "Type of the record.",
    ),
    defaulted(
        "ttl",
        One(Scalar::Int(60, 86400)),
        "300",
        "Time to live, in seconds.",
    ),
    required(
        "values",
        List(&One(Scalar::Form(&form::RECORD_VALUE))),
        "Values.",
    ),
];

static ACCESS: &[Field] = &[
    defaulted("lockdown", One(Scalar::OneOf(&["auto", "on", "off"])), "auto", "Close port 22: auto where a node has a public address."),
    defaulted("proof", One(Scalar::OneOf(&["auto", "teleport", "kubernetes"])), "auto", "The way in that must work before nodes are locked; auto is teleport when set, else kubernetes.").later_for(&["teleport"]),
    defaulted("operators", List(&One(Scalar::Peer(&["auto"]))), "[auto]", "Who may use SSH until lockdown; auto is this machine's addresses now."),
    defaulted("api", List(&One(Scalar::Peer(&["any", "operators", "nodes"]))), "[any]", "Who reaches the API after lockdown.").later(),
    defaulted("public_ports", List(&PORT), "[]", "TCP ports of workers open to everyone."),
    defaulted("node_ports", One(Scalar::OneOf(&["private", "public"])), "private", "Who reaches NodePorts.").later(),
    defaulted("break_glass_keys", List(&One(Scalar::Form(&form::SSH_KEY))), "[]", "SSH public keys that are valid in an unlock window.").later(),
    optional("teleport", Record(&[required("proxy", One(Scalar::Form(&form::HOST_PORT)), "Address of the proxy."), optional("cluster", WORD, "the cluster's name", "Name in Teleport.")]), "no Teleport", "Access through Teleport.").later(),
    optional("vpn", Choice { kinds: VPN, common: &[] }, "no VPN", "Access through a VPN.").later(),
];

static VPN: &[Field] = &[defaulted(
    "headscale",
    Record(&[
        required("url", URL, "Address."),
        required("user", WORD, "User."),
    ]),
    "{}",
    "Headscale.",
)];

static GITOPS: &[Field] = &[
    defaulted("none", Record(&[]), "{}", "No GitOps."),
    defaulted(
        "flux",
        Record(&[
            required("url", URL, "Git repository."),
            defaulted("branch", TEXT, "main", "Branch."),
            optional("path", TEXT, "clusters/<name>", "Folder in the repository."),
            defaulted(
                "interval",
                DURATION,
                "10m",
                "How often the repository is read.",
            ),
        ]),
        "{}",
        "Flux.",
    ),
];

static UPDATES: &[Field] = &[
    defaulted(
        "os",
        One(Scalar::OneOf(&["auto", "off"])),
        "auto",
        "Whether nodes fetch operating system updates.",
    ),
    defaulted(
        "reboot",
        One(Scalar::OneOf(&["kured", "none"])),
        "kured",
        "Who reboots nodes for updates.",
    )
    .later(),
    defaulted(
        "window",
        One(Scalar::Form(&form::WINDOW)),
        "Sun 03:00 2h UTC",
        "When nodes may reboot.",
    )
    .later(),
];

static BACKUP: &[Field] = &[defaulted(
    "etcd",
    Record(&[
        defaulted("every", DURATION, "6h", "How often."),
        defaulted(
            "keep",
            One(Scalar::Int(1, 10_000)),
            "28",
            "How many are kept.",
        ),
        defaulted("to", TEXT, "folder", "folder or s3://bucket/prefix."),
    ]),
    "{}",
    "Snapshots of etcd.",
)];

static BUDGET: &[Field] = &[optional(
    "max_per_month",
    One(Scalar::Form(&form::MONEY)),
    "no limit",
    "Refuse to go above this.",
)
.later()];

static TIMEOUTS: &[Field] = &[
    defaulted(
        "deliver",
        DURATION,
        "120m",
        "From the order to an installed server.",
    ),
    defaulted("ssh", DURATION, "20m", "Until SSH answers."),
    defaulted("join", DURATION, "15m", "kubeadm init or join of one node."),
    defaulted("ready", DURATION, "10m", "Until all nodes are Ready."),
    defaulted(
        "agent",
        DURATION,
        "10m",
        "Until an access agent has registered.",
    ),
];

/// Fields that belong to some platforms only, by path (`nodes.*.offer`).
pub(crate) fn fields_with_platform() -> Vec<(String, &'static [&'static str])> {
    let nodes = NODE
        .iter()
        .map(|field| (format!("nodes.*.{}", field.name), field.only));
    let networks = NETWORKS
        .iter()
        .map(|field| (format!("network.{}", field.name), field.only));
    nodes
        .chain(networks)
        .filter(|(_, only)| !only.is_empty())
        .collect()
}
