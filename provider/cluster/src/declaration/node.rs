//! Nodes and what is laid under them.

use super::{FILE, ON_METAL_AT_HOME, SIZE, TEXT, WORD};
use crate::{
    scalar::{self as form, Scalar},
    shape::{
        Field,
        Shape::{Either, List, Map, One, Record},
        defaulted, optional, required,
    },
};

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
            optional("fingerprint", TEXT, "none", "Pin of the first contact.").only(&["proxmox"]).later(),
            optional("type", WORD, "required on aws", "Instance type.").only(&["aws"]),
            optional("subnet", WORD, "the default one", "Subnet.").only(&["aws"]),
            optional("volume", SIZE, "50GiB", "Size of the volume.").only(&["aws"]),
            optional("board", One(Scalar::OneOf(&["x86", "rpi5", "rock5b"])), "x86", "Board.").only(&["netboot"]),
            optional("disk", Either(&[One(Scalar::Form(&form::DISK)), Record(DISK)]), "the smallest free disk", "Disk to install on, by its name below /dev/disk/by-id, or by {min, type}.").only(&["kubeadm", "netboot"]),
            defaulted("wipe", One(Scalar::OneOf(&["all", "target"])), "all", "Whose signatures are wiped before the installation: all disks or the target.").only(&["kubeadm", "netboot"]),
            defaulted("labels", Map(&form::LABEL_KEY, &One(Scalar::Form(&form::LABEL_VALUE))), "{}", "Labels of the Node."),
            defaulted("taints", List(&One(Scalar::Form(&form::TAINT))), "[]", "Taints of the Node."),
            defaulted("patches", List(&FILE), "[]", "Patch files for this node only.").only(&["talos"]),
            defaulted("on_create_failure", One(Scalar::OneOf(&["keep", "retry", "delete"])), "keep", "What happens to a machine whose creation failed: kept and continued, reinstalled once, or given back.").only(&["scaleway"]),
        ]
    };
}

pub(super) static DEFAULTS: &[Field] = &[
    defaulted(
        "control-plane",
        Record(NODE_COMMON),
        "{}",
        "For control planes.",
    ),
    defaulted("worker", Record(NODE_COMMON), "{}", "For workers."),
];

pub(super) static NODE: &[Field] = node_fields!(required(
    "role",
    One(Scalar::OneOf(&["control-plane", "worker"])),
    "What the node does. 1, 3 or 5 control planes."
));
pub(super) static NODE_COMMON: &[Field] = node_fields!();

pub(super) static DISK: &[Field] = &[
    optional("min", SIZE, "any", "Smallest size."),
    optional(
        "type",
        One(Scalar::OneOf(&["NVMe", "SSD", "HDD"])),
        "any",
        "Kind of disk.",
    ),
];
