//! What a run in the lab proves nothing about: behaviours nobody has seen in recordings, and things that do not exist here.
//!
//! The lists are data so that `strata-lab facts` and the end of a run print the same words.

/// A behaviour that the lab had to invent because no recording shows it.
#[derive(Debug, Clone, Copy)]
pub struct Unseen {
    /// Which service.
    pub service: &'static str,
    /// What the lab does.
    pub behaviour: &'static str,
}

/// Invented behaviours.
pub const UNSEEN: [Unseen; 48] = [
    Unseen {
        service: "scaleway",
        behaviour: "a page past the end is an empty list; page_size over 100 is taken as 100",
    },
    Unseen {
        service: "scaleway",
        behaviour: "several tags in a list filter mean all of them; name is a case-sensitive substring",
    },
    Unseen {
        service: "scaleway",
        behaviour: "a monthly offer is found in the list only, not by its id",
    },
    Unseen {
        service: "scaleway",
        behaviour: "monthly prices are 500 hours of the hourly one; every zone has the same offers and 20 (or 3) machines of each",
    },
    Unseen {
        service: "scaleway",
        behaviour: "an order without stock is 503 out_of_stock at once",
    },
    Unseen {
        service: "scaleway",
        behaviour: "a second DELETE of a server that is being deleted is 404",
    },
    Unseen {
        service: "scaleway",
        behaviour: "deleting a protected server is 412 precondition_failed",
    },
    Unseen {
        service: "scaleway",
        behaviour: "user data for an OS without cloud-init is the same 503 as for an offer without",
    },
    Unseen {
        service: "scaleway",
        behaviour: "a PATCH with empty user_data reads back as null",
    },
    Unseen {
        service: "scaleway",
        behaviour: "unknown body fields and query parameters are 400 LAB-UNKNOWN; the real API may ignore them",
    },
    Unseen {
        service: "scaleway",
        behaviour: "an unknown zone is 404",
    },
    Unseen {
        service: "scaleway",
        behaviour: "user data acts at every completed installation, as it is stored at that moment",
    },
    Unseen {
        service: "cloudflare",
        behaviour: "the numbers 9000 to 9209 of validation errors; comments over 100 characters are refused (free plan)",
    },
    Unseen {
        service: "cloudflare",
        behaviour: "a missing or wrong token is 401 with 10000",
    },
    Unseen {
        service: "cloudflare",
        behaviour: "changes are visible to resolvers at once; TTLs are not waited for",
    },
    Unseen {
        service: "infisical",
        behaviour: "a folder that does not exist lists as empty, with and without recursive",
    },
    Unseen {
        service: "infisical",
        behaviour: "expandSecretReferences and the imports flag are off unless asked for, in v3 and in v4; includeImports counts before include_imports",
    },
    Unseen {
        service: "infisical",
        behaviour: "a body that is not JSON is 400; metadataFilter and tagSlugs are 400 LAB-UNKNOWN",
    },
    Unseen {
        service: "infisical",
        behaviour: "two creations of one key both succeed only with the fault slow_insert; then the older one is read",
    },
    Unseen {
        service: "infisical",
        behaviour: "an old server ignores the mode of a batch and has no v4 and no v2 folders",
    },
    Unseen {
        service: "vault",
        behaviour: "a read of a path with a final slash is 404",
    },
    Unseen {
        service: "vault",
        behaviour: "a call without a token is 403 permission denied; with an unknown one 403 with invalid token in the same text",
    },
    Unseen {
        service: "vault",
        behaviour: "everything but the text for an unknown token is as OpenBao 2.7 answers, which Vault may not",
    },
    Unseen {
        service: "vault",
        behaviour: "policies know path and capabilities; anything else in one is 400 LAB-UNKNOWN",
    },
    Unseen {
        service: "machine",
        behaviour: "kexec into Flatcar's PXE image works on every offer",
    },
    Unseen {
        service: "machine",
        behaviour: "nodes are Ready and pods run although no container does",
    },
    Unseen {
        service: "machine",
        behaviour: "blkdiscard empties a disk that the system runs from, and what runs goes on",
    },
    Unseen {
        service: "kubernetes",
        behaviour: "components installed by manifests become ready by themselves",
    },
    Unseen {
        service: "machine",
        behaviour: "an upgrade takes etcd away for 8 and the API server for 15 simulated seconds on each control plane",
    },
    Unseen {
        service: "machine",
        behaviour: "a snapshot of etcd is a text of all objects, which no etcd would read; etcdutl restores it without a container",
    },
    Unseen {
        service: "kubernetes",
        behaviour: "an API server whose certificate has ended closes every connection, since clients judge it by a clock that is not the lab's",
    },
    Unseen {
        service: "talos",
        behaviour: "durations of boots, pulls, installations and elections are the lab's; their order is from Talos' sources",
    },
    Unseen {
        service: "talos",
        behaviour: "certificates of the API are judged by the wall's clock on both sides and are made anew for each connection",
    },
    Unseen {
        service: "talos",
        behaviour: "a configuration of the platform that is not valid leaves the machine in maintenance",
    },
    Unseen {
        service: "talos",
        behaviour: "a machine boots from the imported disk image, which counts as an installation; nothing is ever installed from maintenance",
    },
    Unseen {
        service: "talos",
        behaviour: "the texts of refusals, and of an installer's output, are close to Talos' and not its own",
    },
    Unseen {
        service: "talos",
        behaviour: "a graceful reset leaves etcd at once; nothing is cordoned or drained",
    },
    Unseen {
        service: "talos",
        behaviour: "what a dry run shows is lines that go and lines that come",
    },
    Unseen {
        service: "network",
        behaviour: "every machine reaches every other at once; there is no loss, no MTU, no route",
    },
    Unseen {
        service: "proxmox",
        behaviour: "a task's effect is there 1 to 30 simulated seconds after its call, whatever it is",
    },
    Unseen {
        service: "proxmox",
        behaviour: "what is imported unpacks to 4 GiB; a digest is the start of a SHA-256; the guest agent answers when the image's schematic has the extension",
    },
    Unseen {
        service: "proxmox",
        behaviour: "while a machine runs, processors, memory, agent and firmware wait for the next start; a drive that is there takes other media at once",
    },
    Unseen {
        service: "s3",
        behaviour: "a PUT with a wrong Content-MD5 is 400 BadDigest and writes nothing; signature and rights are looked at before it",
    },
    Unseen {
        service: "s3",
        behaviour: "every key may do everything, and a list shows at once what was put",
    },
    Unseen {
        service: "factory",
        behaviour: "images are a few bytes that say what they are; a host can download from the Image Factory only",
    },
    Unseen {
        service: "headscale",
        behaviour: "machines register inside the lab; the protocol between them and the server, policies, routes and logins by browser are not there",
    },
    Unseen {
        service: "headscale",
        behaviour: "before 0.30 deleting a node that is not there is 404 code 5; sentences of refusals are close to Headscale's and not its own",
    },
    Unseen {
        service: "headscale",
        behaviour: "a second node of a name gets one with eight hexadecimal digits behind it; addresses are given in the order of registration",
    },
];

/// What no run in the lab rehearses.
pub const NOT_REHEARSED: [&str; 9] = [
    "hardware, firmware and boot order",
    "disks: names under /dev/disk/by-id, speed, failure",
    "layer 2, VLANs, MTU, NAT, IPv6 routes",
    "the kernel's nftables and BPF: rules are read and acted on, not loaded",
    "image pulls, registries and running containers",
    "kexec on a given network card",
    "Scaleway's prices and stock of today (recorded 2025, not a quote)",
    "rate limits of the real services, unless a fault says so",
    "time: simulated seconds pass faster than yours",
];
