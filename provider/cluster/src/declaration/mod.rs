//! The cluster file, field by field. Parser, documentation (`fields()`), `explain` and JSON schema are all made from this.
//!
//! To make a feature available, remove its `later()`; to add a field, add one line.

mod network;
mod node;
mod operation;
mod platform;

use crate::{
    scalar::{self as form, Scalar},
    shape::{
        Field, Shape,
        Shape::{Any, Choice, Either, List, Map, One, Record, Short, Switch},
        defaulted, optional, required,
    },
};
use network::{ACCESS, CNI, DNS, DNS_COMMON, ENDPOINT, NETWORKS};
use node::{DEFAULTS, NODE};
use operation::{BACKUP, BUDGET, GITOPS, STATE, STORE, TIMEOUTS, UPDATES};
use platform::{DISTRIBUTION, PLATFORM};

pub(super) const BOOL: Shape = One(Scalar::Bool);
pub(super) const TEXT: Shape = One(Scalar::Text);
pub(super) const IP: Shape = One(Scalar::Ip);
pub(super) const NETWORK: Shape = One(Scalar::Network);
pub(super) const FILE: Shape = One(Scalar::File);
pub(super) const PORT: Shape = One(Scalar::Int(1, 65535));
pub(super) const WORD: Shape = One(Scalar::Form(&form::WORD));
pub(super) const DOMAIN: Shape = One(Scalar::Form(&form::DOMAIN));
pub(super) const URL: Shape = One(Scalar::Form(&form::URL));
pub(super) const DURATION: Shape = One(Scalar::Form(&form::DURATION));
pub(super) const SIZE: Shape = One(Scalar::Form(&form::SIZE));

pub(super) const ON_METAL_AT_HOME: &[&str] = &["proxmox", "netboot"];

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
    defaulted("backup", Record(BACKUP), "{}", "Snapshots of etcd."),
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
    ),
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

/// Fields that belong to some platforms or distributions only, by path (`nodes.*.offer`).
pub(crate) fn fields_of_some() -> Vec<(String, &'static [&'static str])> {
    let parts = [
        ("nodes.*", NODE),
        ("network", NETWORKS),
        ("access", ACCESS),
        ("updates", UPDATES),
        ("timeouts", TIMEOUTS),
    ];
    parts
        .into_iter()
        .flat_map(|(above, fields)| {
            let path = move |field: &Field| (format!("{above}.{}", field.name), field.only);
            fields.iter().map(path)
        })
        .filter(|(_, only)| !only.is_empty())
        .collect()
}
