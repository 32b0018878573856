//! Where machines come from and what turns them into nodes.

use super::{BOOL, FILE, IP, TEXT, URL, WORD};
use crate::{
    scalar::{self as form, Scalar},
    shape::{
        Field,
        Shape::{Either, List, One, Record},
        defaulted, optional, required,
    },
};

pub(super) static PLATFORM: &[Field] = &[
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
    ),
    defaulted("aws", Record(AWS), "{}", "Instances on AWS.").later(),
    defaulted(
        "netboot",
        Record(NETBOOT),
        "{}",
        "Machines on this network that boot over it.",
    )
    .later(),
];

pub(super) static SCALEWAY: &[Field] = &[
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
        "How Flatcar gets onto the disk. cloud-init: a first system of Scaleway's starts its installer in memory, on an authenticated way. rescue: ordered bare and written from Scaleway's rescue system, faster and for every offer, but trusted on first use.",
    ),
    defaulted(
        "monthly",
        BOOL,
        "false",
        "Order the monthly offer and pay its fee.",
    ),
    optional(
        "protect",
        BOOL,
        "true, and false in the lab",
        "Scaleway's deletion protection.",
    ),
];

pub(super) static PROXMOX: &[Field] = &[
    required("url", URL, "API of one host. In the lab always the lab's."),
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
        "How the first contact is trusted: iso hands the configuration over as an image, so nobody is asked.",
    )
    .later(),
];

pub(super) static AWS: &[Field] = &[
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

pub(super) static NETBOOT: &[Field] = &[
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

pub(super) static DISTRIBUTION: &[Field] = &[
    defaulted(
        "kubeadm",
        Record(KUBEADM),
        "{}",
        "Kubernetes by kubeadm on Flatcar.",
    ),
    defaulted("talos", Record(TALOS), "{}", "Talos Linux."),
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

pub(super) static KUBEADM: &[Field] = &[
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

pub(super) static TALOS: &[Field] = &[
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
