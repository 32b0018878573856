//! The provider block: what people write, with the words of its page in the documentation.

use strata_framework::{Attr, Diagnostics, Schema};

/// Orders machines, makes them nodes of a Kubernetes cluster and keeps their secrets in a store.
///
/// One provider block serves one cluster. Nothing is contacted before a resource needs it, so `terraform validate`, and a plan without a
/// given platform, work without that platform's credentials. No secret stands in configuration, plan, state or log: resources name entries
/// of the store, and the state holds fingerprints.
///
/// # Credentials
///
/// They are never attributes. The first of these has it: the store entry that the provider block names (`secret_key_entry`,
/// `api_token_entry`, `api_key_entry`); the environment; the vendor's configuration file; the usual store entry. With `TF_LOG_PROVIDER=info` the log says which.
///
/// | for | variables, the first that is set | usual store entry | must be allowed to |
/// | --- | --- | --- | --- |
/// | Scaleway | `SCW_SECRET_KEY`, `SCW_TOKEN`, `SCALEWAY_TOKEN`, `SCALEWAY_ACCESS_KEY` (a UUID); else `secret_key` of Scaleway's configuration file (`SCW_CONFIG_PATH`, `SCW_PROFILE`) | `scaleway/secret-key` | what the pages of the resources say |
/// | Cloudflare | `CLOUDFLARE_API_TOKEN`, `CF_API_TOKEN` | `cloudflare/api-token` | what the page of `strata_dns_record` says |
/// | Proxmox | `PROXMOX_VE_API_TOKEN`: `user@realm!name=value` | `proxmox/api_token` | what the pages of the resources say |
/// | Headscale | `HEADSCALE_API_KEY`, `HEADSCALE_CLI_API_KEY` | `headscale/api_key` | everything: Headscale has no lesser keys |
///
/// Object storage for snapshots takes both halves of its key from one source: `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (with `AWS_SESSION_TOKEN`, if the
/// key is temporary), else the profile `AWS_PROFILE` (`default`) of AWS' files, else the store entries `s3/access-key-id` and `s3/secret-access-key`.
/// It must be allowed `s3:ListBucket` on the bucket and `s3:PutObject`, `s3:GetObject`, `s3:DeleteObject` below the prefix.
///
/// The store's own come from the environment alone.
///
/// | store | variables | must be allowed to |
/// | --- | --- | --- |
/// | `file` | `STRATA_IDENTITY`: file with an age identity; else `~/.config/strata/<cluster>.agekey`, in the lab `.strata/<cluster>/identity.txt` | read the identity, read and write the store's folder |
/// | `keyring` | none: the session's keyring, unlocked | |
/// | `infisical` | `INFISICAL_UNIVERSAL_AUTH_CLIENT_ID` and `INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET` of a machine identity; one login per process, and a refused one is not tried again | read, create, edit and delete secrets and create folders in the store's folder |
/// | `vault` | `VAULT_TOKEN`, else `~/.vault-token`; `VAULT_CACERT` or `VAULT_CACERT_BYTES` for a CA of your own | create, read, update and delete on `<mount>/data/<path>/*`, update on `<mount>/delete/<path>/*`, list on `<mount>/metadata/<path>/*` |
///
/// The first secret that is put into an empty `file` store makes the identity (mode 0600). A missing identity beside existing entries is an
/// error, never a new key.
///
/// # Stores
///
/// | store | an entry by hand | several operators at once |
/// | --- | --- | --- |
/// | `file` | `age -d -i <identity> <path>/ssh/operator.age` | on one machine |
/// | `keyring` | `secret-tool lookup strata-cluster home strata-entry ssh/operator`, and likewise `store` | on one machine |
/// | `infisical` | key `operator` in the folder `<path>/ssh` | anywhere: who creates a key first has it; deleting is not exact, for what is put between look and delete goes with it |
/// | `vault` | `vault kv get -field=value <mount>/<path>/ssh/operator` | anywhere: every write is check-and-set |
///
/// # Environment
///
/// | variable | meaning |
/// | --- | --- |
/// | `SCW_API_URL`, `CLOUDFLARE_BASE_URL` | other addresses of the same APIs |
/// | `PROXMOX_VE_ENDPOINT` | address of the API of a Proxmox host, where the provider block names none |
/// | `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL` | address of object storage that is not AWS, e.g. `https://s3.fr-par.scw.cloud`; the bucket is then part of the path |
/// | `AWS_REGION`, `AWS_DEFAULT_REGION` | region of the bucket; with an address of its own `us-east-1` where nothing is said |
/// | `STRATA_TALOS_FACTORY` | another address of the Image Factory of Talos Linux |
/// | `SCW_DEFAULT_PROJECT_ID` | project of the resources that name none |
/// | `SCW_DEFAULT_ZONE` | zone of the resources and data sources that name none |
/// | `STRATA_LAB_URL` | control API of the lab, with `lab = true`; then no variable of a platform is read |
/// | `STRATA_TEARDOWN` | name of the cluster that may be torn down (`strata_kubernetes_cluster`) |
/// | `STRATA_ADOPT` | name of the cluster whose lost state is rebuilt: creating a server, a node or a secret takes over what is there, and is an error when nothing is |
/// | `TF_LOG_PROVIDER` | `debug` shows every request without its secrets |
///
/// # Errors
///
/// - "Cannot use the provider before ... is known": `owner`, say, comes from a resource that is not applied yet. Apply the layer below first.
/// - "Cannot find the credential ...": no variable and no store entry is set; the message names them.
/// - "Cannot open store": a recipient is not an age recipient, or the identity cannot be read.
#[derive(Schema, Clone, Debug)]
#[schema(name = "strata")]
pub struct Configuration {
    /// Name of the cluster, for life, e.g. `home`. Marks everything that is made.
    #[schema(required, pattern("[a-z0-9]([a-z0-9-]*[a-z0-9])?"))]
    pub cluster: Attr<String>,
    /// Absolute path of the project, e.g. `abspath(path.root)`. A relative path of the store starts here.
    #[schema(required)]
    pub root: Attr<String>,
    /// Whether the cluster lives in the lab. Then every address and credential comes from the lab that `STRATA_LAB_URL` names,
    /// and nothing else is contacted. Without it the cluster is real, and the lab is not looked at.
    #[schema(optional)]
    pub lab: Attr<bool>,
    /// Id of the estate, part of every mark: whatever else carries the cluster's name and not this id is left alone. May be unknown while
    /// planning. Without it secrets can be managed, but nothing that carries marks.
    #[schema(optional)]
    pub owner: Attr<String>,
    /// Where secrets live. State holds the names of entries only.
    #[schema(required)]
    pub store: Attr<StoreConfiguration>,
    /// Defaults for Scaleway. Only for clusters with machines there.
    #[schema(optional)]
    pub scaleway: Attr<ScalewayConfiguration>,
    /// Where DNS is at Cloudflare. Only for clusters with a zone there, and only where the environment does not say it.
    #[schema(optional)]
    pub cloudflare: Attr<CloudflareConfiguration>,
    /// The VPN's server. Only for clusters with `vpn`, and only where the environment does not say it.
    #[schema(optional)]
    pub headscale: Attr<HeadscaleConfiguration>,
    /// Where Proxmox VE is. Only for clusters with machines there.
    #[schema(optional)]
    pub proxmox: Attr<ProxmoxConfiguration>,
    /// Where snapshots of etcd go that resources take before they change or destroy a cluster. Default: the folder `clusters/<name>/snapshots` of the
    /// project, in the lab `.strata/<name>/snapshots`.
    #[schema(optional)]
    pub snapshots: Attr<SnapshotConfiguration>,
}

/// Where snapshots of etcd go. Each is sealed with a key of the cluster's PKI before it leaves the process.
#[derive(Schema, Clone, Debug)]
pub struct SnapshotConfiguration {
    /// `folder`, or a bucket of object storage that speaks S3, e.g. `s3://example-backup/prod`. Default: `folder`. What a bucket does not take is kept in
    /// the folder, and is an error.
    #[schema(
        optional,
        pattern("folder|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9][A-Za-z0-9._-]*)*")
    )]
    pub to: Attr<String>,
    /// How many snapshots of this cluster stay in the bucket; the oldest are deleted. The folder keeps all. Default: 28.
    #[schema(optional)]
    pub keep: Attr<u32>,
}

/// Where secrets live.
#[derive(Schema, Clone, Debug)]
pub struct StoreConfiguration {
    /// Kind of store. `file`: one age file per secret in a folder, made to be committed; several people can use it one after the other.
    /// `keyring`: the keyring of this desktop session (Secret Service), for one person on one machine. `infisical`: a folder of an Infisical
    /// project. `vault`: a path of a KV version 2 engine of Vault or OpenBao. The last two several people can use at the same time.
    #[schema(required, one_of("file", "keyring", "infisical", "vault"))]
    pub kind: Attr<String>,
    /// `file`: folder, absolute or relative to `root`, e.g. `clusters/home/store`; made when the first secret is put. `infisical`: folder, e.g.
    /// `/clusters/home`; made likewise. `vault`: path below the mount, e.g. `clusters/home`. Default of the last two: these, with the cluster's name.
    #[schema(optional)]
    pub path: Attr<String>,
    /// `file` only: further age recipients (`age1...`, as `age-keygen -y` prints them) that can read every secret written from now on. Without it
    /// only the identity of whoever writes can.
    #[schema(optional)]
    pub recipients: Attr<Vec<String>>,
    /// Address of the server, e.g. `https://eu.infisical.com`. Default: `INFISICAL_HOST`, else `https://eu.infisical.com`; for `vault`
    /// `VAULT_ADDR`. Always the lab's in the lab.
    #[schema(optional)]
    pub url: Attr<String>,
    /// `infisical` only: id of the project. Default: `INFISICAL_PROJECT_ID`. Always the lab's in the lab.
    #[schema(optional)]
    pub project: Attr<String>,
    /// `infisical` only: slug of the environment. Default: `prod`.
    #[schema(optional)]
    pub environment: Attr<String>,
    /// `vault` only: mount of the KV engine. Default: `secret`.
    #[schema(optional)]
    pub mount: Attr<String>,
    /// `vault` only: namespace (Vault Enterprise, HCP), e.g. `team/a`. Default: `VAULT_NAMESPACE`.
    #[schema(optional)]
    pub namespace: Attr<String>,
}

impl StoreConfiguration {
    /// The same in the words of the cluster file, or which attribute is not known yet.
    pub(crate) fn settings(&self) -> Result<strata_cluster::Store, Diagnostics> {
        let text = |attribute: &Attr<String>, name: &str| {
            if attribute.is_unknown() {
                return Err(unknown(&format!("store.{name}")));
            }
            Ok(attribute.known().cloned())
        };
        Ok(strata_cluster::Store {
            kind: text(&self.kind, "kind")?.unwrap_or_default(),
            path: text(&self.path, "path")?,
            recipients: self.recipients.known().cloned(),
            url: text(&self.url, "url")?,
            project: text(&self.project, "project")?,
            environment: text(&self.environment, "environment")?,
            mount: text(&self.mount, "mount")?,
            namespace: text(&self.namespace, "namespace")?,
        })
    }
}

/// Defaults for Scaleway.
#[derive(Schema, Clone, Debug)]
pub struct ScalewayConfiguration {
    /// Zone of servers and data sources that name none, e.g. `fr-par-2`. Default: `SCW_DEFAULT_ZONE`, else `default_zone` of Scaleway's
    /// configuration file; in the lab `fr-par-2`. A server stays where it was ordered.
    #[schema(optional, pattern("[a-z]{2}-[a-z]{3,7}-[0-9]{1,2}"))]
    pub zone: Attr<String>,
    /// Id (UUID) of the project that orders and pays. Default: `SCW_DEFAULT_PROJECT_ID`, else `default_project_id` of Scaleway's configuration
    /// file; in the lab always the lab's own.
    #[schema(optional)]
    pub project: Attr<String>,
    /// Name of the store entry that holds the secret key, e.g. `team/scaleway`; then nothing else is looked at. Default: the environment, else
    /// Scaleway's configuration file, else the entry `scaleway/secret-key`; in the lab always the lab's own.
    #[schema(optional)]
    pub secret_key_entry: Attr<String>,
}

/// Cloudflare.
#[derive(Schema, Clone, Debug)]
pub struct CloudflareConfiguration {
    /// Name of the store entry that holds the API token, e.g. `team/cloudflare`; then nothing else is looked at. Default: the environment, else
    /// the entry `cloudflare/api-token`; in the lab always the lab's own.
    #[schema(optional)]
    pub api_token_entry: Attr<String>,
    /// Id of the zone, for a token that may not list zones. Used for the zone of this id; others are looked up by name. Default:
    /// `CLOUDFLARE_ZONE_ID`, else `CF_ZONE_ID`.
    #[schema(optional)]
    pub zone_id: Attr<String>,
    /// Id of the account whose zones are meant, for a token that sees several accounts. Default: `CLOUDFLARE_ACCOUNT_ID`, else `CF_ACCOUNT_ID`.
    #[schema(optional)]
    pub account_id: Attr<String>,
}

/// Headscale.
#[derive(Schema, Clone, Debug)]
pub struct HeadscaleConfiguration {
    /// Name of the store entry that holds the API key, e.g. `team/headscale`; then nothing else is looked at. Default: the environment, else the entry
    /// `headscale/api_key`; in the lab always the lab's own.
    #[schema(optional)]
    pub api_key_entry: Attr<String>,
}

/// Proxmox VE.
#[derive(Schema, Clone, Debug)]
pub struct ProxmoxConfiguration {
    /// Address of the API of one host, e.g. `https://pve1.example.org:8006`; it speaks for the whole cluster. Default: `PROXMOX_VE_ENDPOINT`; in the
    /// lab always the lab's own.
    #[schema(optional)]
    pub url: Attr<String>,
    /// File with the CA of the cluster, absolute or relative to `root`: `/etc/pve/pve-root-ca.pem` of any host. Without it and without
    /// `fingerprints` the system's roots are trusted.
    #[schema(optional)]
    pub ca_file: Attr<String>,
    /// SHA-256 fingerprints of certificates, with or without colons, as Proxmox shows them under Node, Certificates. Then nothing else is trusted.
    /// Hosts renew their certificates, so name the next one before it is served, or use `ca_file`.
    #[schema(optional)]
    pub fingerprints: Attr<Vec<String>>,
}

/// What a value that is not known yet means.
pub(crate) fn unknown(attribute: &str) -> Diagnostics {
    Diagnostics::error(
        format!("Cannot use the provider before {attribute} is known"),
        format!(
            "`{attribute}` of the provider block depends on something that is not applied yet."
        ),
    )
    .hint("Apply the layer below first.")
}
