//! What is said about each kind of resource.

/// The resource that costs money.
pub(super) const SERVER: &str = "strata_scaleway_baremetal_server";

/// What is said about one kind of resource.
pub(super) struct Speech {
    pub(super) kind: &'static str,
    /// The wait, as in "waiting for".
    pub(super) wait: &'static str,
    /// What is said when creating begins; `{}` is the names.
    pub(super) begins: Option<&'static str>,
    pub(super) created: &'static str,
    pub(super) adopted: &'static str,
    pub(super) updated: &'static str,
    pub(super) deleted: &'static str,
}

const SPEECH: [Speech; 14] = [
    Speech {
        kind: "strata_secret",
        wait: "the store",
        begins: None,
        created: "store entries made: {}",
        adopted: "store entries taken over: {}",
        updated: "store entries updated: {}",
        deleted: "store entries deleted: {}",
    },
    Speech {
        kind: "strata_scaleway_ssh_key",
        wait: "Scaleway's answer",
        begins: None,
        created: "SSH key registered: {}",
        adopted: "SSH key taken over: {}",
        updated: "SSH key updated: {}",
        deleted: "SSH key removed: {}",
    },
    Speech {
        kind: SERVER,
        wait: "delivery of",
        begins: Some("ordering {}"),
        created: "delivered: {}",
        adopted: "server taken over, none ordered: {}",
        updated: "server brought in line: {}",
        deleted: "server given back, and seen to be gone: {}",
    },
    Speech {
        kind: "strata_proxmox_image",
        wait: "the download of",
        begins: Some("downloading Talos to {}"),
        created: "Talos' image is there: {}",
        adopted: "image taken over: {}",
        updated: "image brought in line: {}",
        deleted: "image deleted: {}",
    },
    Speech {
        kind: "strata_proxmox_vm",
        wait: "Proxmox making",
        begins: None,
        created: "virtual machines made: {}",
        adopted: "virtual machine taken over, none made: {}",
        updated: "virtual machine brought in line: {}",
        deleted: "virtual machine deleted, and seen to be gone: {}",
    },
    Speech {
        kind: "strata_talos_machine",
        wait: "the first contact with",
        begins: Some("handing over the configuration of {}"),
        created: "Talos answers with the cluster's certificate, image withdrawn: {}",
        adopted: "Talos node taken over: {}",
        updated: "configuration applied: {}",
        deleted: "left the cluster: {}",
    },
    Speech {
        kind: "strata_talos_cluster",
        wait: "the checks of",
        begins: None,
        created: "etcd bootstrapped once, checks passed",
        adopted: "cluster taken over, checks passed",
        updated: "every node at its version, checks passed",
        deleted: "cluster let go",
    },
    Speech {
        kind: "strata_proxmox_token",
        wait: "Proxmox' answer",
        begins: None,
        created: "token made, its value is in the store: {}",
        adopted: "token taken over: {}",
        updated: "token changed: {}",
        deleted: "token revoked: {}",
    },
    Speech {
        kind: "strata_kubeadm_node",
        wait: "kubeadm on",
        begins: Some("kubeadm on {} (membership changes one at a time)"),
        created: "member of the cluster: {}",
        adopted: "member taken over: {}",
        updated: "node brought in line: {}",
        deleted: "left the cluster: {}",
    },
    Speech {
        kind: "strata_dns_record",
        wait: "the DNS service",
        begins: None,
        created: "record published: {}",
        adopted: "record taken over: {}",
        updated: "record changed: {}",
        deleted: "record removed: {}",
    },
    Speech {
        kind: "strata_kubernetes_manifests",
        wait: "objects of",
        begins: None,
        created: "objects applied: {}",
        adopted: "objects taken over: {}",
        updated: "objects updated: {}",
        deleted: "objects removed: {}",
    },
    Speech {
        kind: "strata_kubeadm_join_info",
        wait: "join information",
        begins: None,
        created: "join information stored",
        adopted: "join information taken over",
        updated: "join information stored",
        deleted: "join information and its token revoked",
    },
    Speech {
        kind: "strata_node_lockdown",
        wait: "lockdown of",
        begins: Some("locking {}"),
        created: "locked, proven from here and confirmed by the node: {}",
        adopted: "lockdown taken over: {}",
        updated: "firewall brought in line: {}",
        deleted: "lockdown released: {}",
    },
    Speech {
        kind: "strata_kubernetes_cluster",
        wait: "all nodes Ready in",
        begins: None,
        created: "every node Ready, checks passed",
        adopted: "every node Ready, checks passed",
        updated: "every node Ready, checks passed",
        deleted: "tear-down marked: no drain, no quorum checks",
    },
];

/// What is said about a kind; nothing for those that go without saying.
pub(super) fn speech(kind: &str) -> Option<&'static Speech> {
    SPEECH.iter().find(|speech| speech.kind == kind)
}
