//! Addresses, names, and who reaches what.

use super::{BOOL, DOMAIN, FILE, IP, NETWORK, ON_METAL_AT_HOME, PORT, URL, WORD};
use crate::{
    scalar::{self as form, Scalar},
    shape::{
        Field,
        Shape::{Any, Choice, Either, List, Map, One, Record},
        defaulted, optional, required,
    },
};

pub(super) static ENDPOINT: &[Field] = &[
    optional("name", DOMAIN, "the address with via: vip, api.<name>.internal with via: node, else required", "DNS name of the API, for life; in all certificates and kubeconfigs."),
    optional("via", One(Scalar::OneOf(&["dns", "vip", "lb", "external", "node"])), "dns with `dns` set, vip on proxmox and netboot, lb on aws, node for a single control plane", "What carries the name.")
        .later_for(&["lb", "external", "node"]),
    optional("address", IP, "none", "Address; required for vip and external."),
    defaulted("port", PORT, "6443", "Port of the API.").later(),
    defaulted("extra_sans", List(&One(Scalar::Form(&form::HOST))), "[]", "Further names or addresses in the API's certificate."),
];

pub(super) static NETWORKS: &[Field] = &[
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

pub(super) static CNI: &[Field] = &[
    defaulted("cilium", Record(CILIUM), "{}", "Cilium without kube-proxy."),
    defaulted(
        "none",
        Record(&[]),
        "{}",
        "No pod network: nodes stay NotReady.",
    ),
];

pub(super) static CILIUM: &[Field] = &[
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

pub(super) static DNS: &[Field] = &[
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

pub(super) static DNS_COMMON: &[Field] = &[
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

pub(super) static RECORD: &[Field] = &[
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

pub(super) static ACCESS: &[Field] = &[
    defaulted(
        "lockdown",
        One(Scalar::OneOf(&["auto", "on", "off"])),
        "auto",
        "Close the nodes: port 22, and with talos its API to everyone but nodes and operators. auto: where a node has a public address.",
    ),
    defaulted(
        "proof",
        One(Scalar::OneOf(&["auto", "teleport", "kubernetes", "none"])),
        "auto",
        "The way in that is used right before a node is locked; auto is teleport when set, else kubernetes.",
    )
    .only(&["kubeadm"]),
    defaulted(
        "operators",
        List(&One(Scalar::Peer(&["auto"]))),
        "[auto]",
        "Who may use SSH until lockdown, and with talos its API for good; auto is this machine's addresses now.",
    ),
    defaulted(
        "api",
        List(&One(Scalar::Peer(&["any", "operators", "nodes"]))),
        "[any]",
        "Who reaches the API after lockdown.",
    ),
    defaulted(
        "public_ports",
        List(&PORT),
        "[]",
        "TCP ports of workers open to everyone.",
    ),
    defaulted(
        "node_ports",
        One(Scalar::OneOf(&["private", "public"])),
        "private",
        "Where NodePorts answer: private is loopback alone. The nodes' firewalls do not see them.",
    ),
    defaulted(
        "break_glass_keys",
        List(&One(Scalar::Form(&form::SSH_KEY))),
        "[]",
        "SSH public keys that a node takes while a window of node ssh-open lasts, and at no other time.",
    )
    .only(&["kubeadm"]),
    optional(
        "teleport",
        Record(&[
            required(
                "proxy",
                One(Scalar::Form(&form::HOST_PORT)),
                "Address of the proxy.",
            ),
            optional("cluster", WORD, "the cluster's name", "Name in Teleport."),
        ]),
        "no Teleport",
        "Access through Teleport, whose agent you install; not in the lab.",
    )
    .only(&["kubeadm"]),
    optional(
        "vpn",
        Choice {
            kinds: VPN,
            common: &[],
        },
        "no VPN",
        "The VPN that every node joins: its client comes with the image, as an extension.",
    )
    .only(&["talos"]),
];

pub(super) static VPN: &[Field] = &[defaulted(
    "headscale",
    Record(&[
        optional(
            "url",
            URL,
            "the lab's own; required elsewhere",
            "Address of the server, as nodes and this machine reach it.",
        ),
        optional(
            "user",
            One(Scalar::Form(&form::VPN_USER)),
            "the lab's own; required elsewhere",
            "User that the nodes belong to; it must exist.",
        ),
        defaulted(
            "tags",
            List(&One(Scalar::Form(&form::VPN_TAG))),
            "[]",
            "Tags that a node gets when it registers.",
        ),
    ]),
    "{}",
    "A server of Headscale; each node gets a key of its own, for one use.",
)];
