//! Where secrets and state live, and what happens over time.

use super::{DURATION, FILE, TEXT, URL, WORD};
use crate::{
    scalar::{self as form, Scalar},
    shape::{
        Field,
        Shape::{Either, List, One, Record},
        defaulted, optional, required,
    },
};

pub(super) static STORE: &[Field] = &[
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
        "The desktop's Secret Service. Not in the lab.",
    ),
    defaulted("infisical", Record(INFISICAL), "{}", "Infisical."),
    defaulted(
        "vault",
        Record(VAULT),
        "{}",
        "Vault or OpenBao, KV version 2.",
    ),
];

pub(super) static FILE_STORE: &[Field] = &[
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

pub(super) static INFISICAL: &[Field] = &[
    optional(
        "url",
        URL,
        "INFISICAL_HOST, else https://eu.infisical.com",
        "Address. In the lab always the lab's.",
    ),
    optional(
        "project",
        Either(&[One(Scalar::Form(&form::UUID)), WORD]),
        "INFISICAL_PROJECT_ID",
        "Id of the project. In the lab always the lab's.",
    ),
    defaulted("environment", WORD, "prod", "Environment."),
    optional("path", TEXT, "/clusters/<name>", "Folder."),
];

pub(super) static VAULT: &[Field] = &[
    optional(
        "url",
        URL,
        "VAULT_ADDR",
        "Address. In the lab always the lab's.",
    ),
    defaulted("mount", WORD, "secret", "Mount of the KV engine."),
    optional("path", TEXT, "clusters/<name>", "Path below the mount."),
    optional(
        "namespace",
        TEXT,
        "VAULT_NAMESPACE",
        "Namespace (Vault Enterprise, HCP).",
    ),
];

pub(super) static STATE: &[Field] = &[
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

pub(super) static GITOPS: &[Field] = &[
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

pub(super) static UPDATES: &[Field] = &[
    defaulted(
        "os",
        One(Scalar::OneOf(&["auto", "off"])),
        "auto",
        "Whether nodes fetch operating system updates.",
    )
    .only(&["kubeadm"]),
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

pub(super) static BACKUP: &[Field] = &[defaulted(
    "etcd",
    Record(&[
        defaulted(
            "every",
            DURATION,
            "6h",
            "How often a control plane saves one on its own disk. Counts when the machine is made.",
        ),
        defaulted(
            "keep",
            One(Scalar::Int(1, 10_000)),
            "28",
            "How many of those are kept, when the machine is made; and how many stay in a bucket.",
        ),
        defaulted(
            "to",
            Either(&[
                One(Scalar::OneOf(&["folder"])),
                One(Scalar::Form(&form::BUCKET)),
            ]),
            "folder",
            "Where the operator's are kept: folder (clusters/<name>/snapshots) or s3://bucket/prefix.",
        ),
    ]),
    "{}",
    "Snapshots of etcd.",
)];

pub(super) static BUDGET: &[Field] = &[optional(
    "max_per_month",
    One(Scalar::Form(&form::MONEY)),
    "no limit",
    "Refuse to go above this, by the platform's prices of today.",
)];

pub(super) static TIMEOUTS: &[Field] = &[
    defaulted(
        "deliver",
        DURATION,
        "120m",
        "From the order to an installed server.",
    )
    .only(&["kubeadm"]),
    defaulted("ssh", DURATION, "20m", "Until SSH answers.").only(&["kubeadm"]),
    defaulted("join", DURATION, "15m", "kubeadm init or join of one node.").only(&["kubeadm"]),
    defaulted("ready", DURATION, "10m", "Until all nodes are Ready."),
    defaulted(
        "agent",
        DURATION,
        "10m",
        "Until an access agent has registered.",
    ),
];
