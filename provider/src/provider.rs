//! The provider: its configuration, the clients made on first use, and the list of everything it offers.
//!
//! Nothing is read or connected before it is needed, so that `validate` and a plan without a given platform work without its
//! credentials. What resources take from here:
//!
//! ```text
//! cx.provider.cluster()                       name of the cluster
//! cx.provider.owner()?                        id of the estate
//! cx.provider.store()?                        Arc<dyn Store>
//! cx.provider.entry("ssh/operator").await?    value of a store entry that must exist
//! cx.provider.environment().await?            dialer(), speed(), get("SCW_..")
//! cx.provider.scaleway().await?               client, shared poll, ids adopted in this process
//! cx.provider.cloudflare().await?             client
//! cx.provider.proxmox().await?                client, shared listing, delivery of images
//! cx.provider.headscale(url).await?           client, shared listing
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use strata_framework::{Attr, Diagnostics, Path, Provider, Registry, fingerprint};
use tokio::sync::OnceCell;

use crate::access::Shared;
use crate::configuration::unknown;
pub use crate::configuration::{
    CloudflareConfiguration, Configuration, HeadscaleConfiguration, ProxmoxConfiguration,
    ScalewayConfiguration, SnapshotConfiguration, StoreConfiguration,
};
use crate::credential::{self, Credential};
use crate::environment::{Environment, OnDemand};
use crate::headscale::{self, Headscale};
use crate::http::client::{Client as Http, Settings};
use crate::proxmox::Proxmox;
use crate::proxmox::connect::{Trust, connect, in_lab};
use crate::secret::Secret;
use crate::services::cloudflare;
use crate::services::scaleway::client::Client as ScalewayClient;
use crate::services::scaleway::poll::Poll;
use crate::snapshot::place;
use crate::store::{self, Name, Store};

/// Names the cluster that may be torn down.
pub const TEARDOWN: &str = "STRATA_TEARDOWN";

/// Names the cluster whose lost state is rebuilt: what is there is taken over, and nothing is ordered, generated or initialised.
pub const ADOPT: &str = "STRATA_ADOPT";

/// Snapshots of etcd that stay in a bucket where nothing else is said.
const KEEP: usize = 28;

/// Everything this provider offers, sorted.
pub fn registry() -> Registry<Strata> {
    Registry::new("strata")
        .address("strata.internal/strata-iac/strata")
        .version(env!("CARGO_PKG_VERSION"))
        .data_source::<crate::services::scaleway::offer::BaremetalOffer>()
        .data_source::<crate::services::scaleway::offer::BaremetalOffers>()
        .data_source::<crate::services::scaleway::os::BaremetalOs>()
        .ephemeral::<crate::services::kubeadm::join_info::EphemeralJoinInfo>()
        .ephemeral::<crate::services::operator::OperatorAddress>()
        .ephemeral::<crate::services::scaleway::bmc::BmcAccess>()
        .ephemeral::<crate::services::secret::ephemeral::EphemeralSecret>()
        .ephemeral::<crate::services::secret::folder::EphemeralSecrets>()
        .ephemeral::<crate::services::talos::node_inputs::EphemeralNodeInputs>()
        .function::<crate::functions::cluster::Cluster>()
        .function::<crate::functions::flatcar_install_script::FlatcarInstallScript>()
        .function::<crate::functions::ignition::Ignition>()
        .function::<crate::functions::seal::Seal>()
        .function::<crate::functions::talos_machine_config::TalosMachineConfig>()
        .function::<crate::functions::talos_patch::TalosPatch>()
        .resource::<crate::services::dns::record::Record>()
        .resource::<crate::services::kubeadm::join_info::KubeadmJoinInfo>()
        .resource::<crate::services::kubeadm::node::KubeadmNode>()
        .resource::<crate::services::kubernetes::cluster::KubernetesCluster>()
        .resource::<crate::services::kubernetes::manifests::KubernetesManifests>()
        .resource::<crate::services::kubernetes::secret::KubernetesSecret>()
        .resource::<crate::services::lockdown::NodeLockdown>()
        .resource::<crate::services::factory::schematic::Schematic>()
        .resource::<crate::services::proxmox::acl::Acl>()
        .resource::<crate::services::proxmox::image::Image>()
        .resource::<crate::services::proxmox::role::Role>()
        .resource::<crate::services::proxmox::token::Token>()
        .resource::<crate::services::proxmox::user::User>()
        .resource::<crate::services::proxmox::vm::VirtualMachine>()
        .resource::<crate::services::scaleway::server::BaremetalServer>()
        .resource::<crate::services::scaleway::ssh_key::SshKey>()
        .resource::<crate::services::secret::resource::StoreSecret>()
        .resource::<crate::services::secret::sealed::SealedSecret>()
        .resource::<crate::services::talos::cluster::TalosCluster>()
        .resource::<crate::services::talos::machine::TalosMachine>()
}

/// Scaleway as one process sees it.
pub struct Scaleway {
    /// The API.
    pub client: ScalewayClient,
    /// Shared listings.
    pub poll: Poll,
    /// Default project.
    pub project: Option<String>,
    /// Default zone.
    pub zone: Option<String>,
    /// Servers that this process adopted: a Delete in the same process forgets them instead.
    pub adopted: Mutex<HashSet<String>>,
}

/// The configured provider.
pub struct Strata {
    configuration: Configuration,
    environment: OnDemand,
    store: OnceLock<Arc<dyn Store>>,
    scaleway: OnceCell<Scaleway>,
    cloudflare: OnceCell<cloudflare::client::Client>,
    proxmox: OnceCell<Proxmox>,
    headscale: tokio::sync::Mutex<HashMap<String, Arc<Headscale>>>,
    shared: Shared,
    only_adopts: bool,
}

impl Provider for Strata {
    type Config = Configuration;

    fn validate(config: &Configuration, found: &mut Diagnostics) {
        if let Some(root) = config.root.known()
            && !std::path::Path::new(root).is_absolute()
        {
            found.merge(Diagnostics::invalid(
                Path::of("root"),
                "Must be an absolute path, like `abspath(path.root)` gives.",
            ));
        }
    }

    fn new(configuration: Configuration) -> Result<Self, Diagnostics> {
        // While `lab` is unknown nothing is looked for: see `environment` and `store`.
        let environment = match configuration.lab.known() {
            Some(true) => OnDemand::lab(None),
            _ => OnDemand::real(),
        };
        let only_adopts =
            std::env::var(ADOPT).is_ok_and(|name| name == configuration.cluster.text());
        Ok(Self {
            configuration,
            environment,
            store: OnceLock::new(),
            scaleway: OnceCell::new(),
            cloudflare: OnceCell::new(),
            proxmox: OnceCell::new(),
            headscale: tokio::sync::Mutex::default(),
            shared: Shared::default(),
            only_adopts,
        })
    }
}

impl Strata {
    /// A provider in a given world: for tests and for the cli.
    pub fn in_environment(configuration: Configuration, environment: Environment) -> Self {
        let strata = Self::new(configuration).expect("making a provider cannot fail");
        Self {
            environment: OnDemand::of(environment),
            ..strata
        }
    }

    /// Name of the cluster.
    pub fn cluster(&self) -> &str {
        self.configuration.cluster.text()
    }

    /// What operations on nodes and clusters share: API clients, the lock of membership changes.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Whether the destruction of the whole cluster is meant (FN7): always in the lab, else when `STRATA_TEARDOWN` names it.
    pub fn confirms_teardown(&self) -> bool {
        self.is_lab() || std::env::var(TEARDOWN).is_ok_and(|name| name == self.cluster())
    }

    /// Whether a lost state is being rebuilt: then nothing is made that is not there.
    pub fn only_adopts(&self) -> bool {
        self.only_adopts
    }

    /// The same provider while a lost state is rebuilt: for tests.
    #[must_use]
    pub fn adopting(self) -> Self {
        Self {
            only_adopts: true,
            ..self
        }
    }

    /// Whether the cluster lives in the lab.
    pub fn is_lab(&self) -> bool {
        self.configuration.lab.known().copied().unwrap_or(false)
    }

    /// Id of the estate, if it is known by now.
    pub fn owner_if_known(&self) -> Option<&str> {
        self.configuration
            .owner
            .known()
            .map(String::as_str)
            .filter(|owner| !owner.is_empty())
    }

    /// Id of the estate.
    pub fn owner(&self) -> Result<&str, Diagnostics> {
        self.owner_if_known().ok_or_else(|| unknown("owner"))
    }

    /// Root of the project.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(self.configuration.root.text())
    }

    /// Where snapshots of etcd go.
    pub fn snapshots(&self) -> Result<place::Wish, Diagnostics> {
        let configuration = &self.configuration.snapshots;
        if configuration.is_unknown() {
            return Err(unknown("snapshots"));
        }
        let configuration = configuration.known();
        let to = configuration.and_then(|snapshots| snapshots.to.known());
        let keep = configuration.and_then(|snapshots| snapshots.keep.known());
        Ok(place::Wish {
            to: to.cloned().unwrap_or_else(|| place::FOLDER.into()),
            keep: keep.map_or(KEEP, |keep| *keep as usize),
            cluster: self.cluster().into(),
            folder: place::folder(&self.root(), self.cluster(), self.is_lab()),
        })
    }

    /// The store of secrets.
    pub fn store(&self) -> Result<Arc<dyn Store>, Diagnostics> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        if self.configuration.lab.is_unknown() {
            return Err(unknown("lab"));
        }
        let configuration = self
            .configuration
            .store
            .known()
            .ok_or_else(|| unknown("store"))?;
        let settings = configuration.settings()?;
        let opening = store::Opening {
            settings: &settings,
            cluster: self.cluster(),
            root: &self.root(),
            environment: self.environment.clone(),
        };
        let store = store::open(opening).map_err(|error| {
            Diagnostics::failed("open", "store", &settings.kind, &error).at(Path::of("store"))
        })?;
        Ok(self.store.get_or_init(|| store).clone())
    }

    /// A KV engine of Vault that is not the store: at the store's address if that is a Vault, else at `VAULT_ADDR`. Nobody is contacted yet.
    pub fn vault(&self, mount: &str) -> Result<store::vault::Vault, Diagnostics> {
        let store = self
            .configuration
            .store
            .known()
            .ok_or_else(|| unknown("store"))?
            .settings()?;
        let near = store.kind == "vault";
        let settings = strata_cluster::Store {
            kind: "vault".into(),
            path: Some(String::new()),
            url: store.url.filter(|_| near),
            mount: Some(mount.to_owned()),
            namespace: store.namespace.filter(|_| near),
            ..strata_cluster::Store::default()
        };
        Ok(store::vault::Vault::new(
            &settings,
            self.cluster(),
            self.environment.clone(),
        ))
    }

    /// The value of a store entry that must exist. The error names the entry, never its value.
    pub async fn entry(&self, name: &str) -> Result<Secret<String>, Diagnostics> {
        let read = async {
            store::require(
                &*self.store()?,
                &Name::parse(name)
                    .map_err(store::Error::from)
                    .map_err(|e| store_failed("read", name, &e))?,
            )
            .await
            .map_err(|error| store_failed("read", name, &error))
        };
        Ok(read.await?.value)
    }

    /// The fingerprint of something write-only, under the store's key; the key is made on first use, so not for plan and read.
    pub async fn fingerprint(&self, content: &[u8]) -> Result<String, Diagnostics> {
        let key = store::fingerprint::key_or_make(&*self.store()?)
            .await
            .map_err(|error| store_failed("read", store::fingerprint::KEY, &error))?;
        Ok(fingerprint(key.expose(), content))
    }

    /// The same for plan and read: nothing when the key does not exist yet.
    pub async fn fingerprint_if_possible(
        &self,
        content: &[u8],
    ) -> Result<Option<String>, Diagnostics> {
        let key = store::fingerprint::key(&*self.store()?)
            .await
            .map_err(|error| store_failed("read", store::fingerprint::KEY, &error))?;
        Ok(key.map(|key| fingerprint(key.expose(), content)))
    }

    /// The world: dialer, speed, variables.
    pub async fn environment(&self) -> Result<&Environment, Diagnostics> {
        if self.configuration.lab.is_unknown() {
            return Err(unknown("lab"));
        }
        self.environment.get().await.map_err(|error| {
            Diagnostics::failed("find", "the lab", "", &error)
                .hint("Run `eval \"$(strata-lab env)\"` in this shell, or use ./bootstrap.sh, which starts the lab and sets the variable.")
        })
    }

    /// A credential, from wherever [`credential`] finds it.
    async fn credential(
        &self,
        credential: &Credential,
        named: Option<&str>,
    ) -> Result<Secret<String>, Diagnostics> {
        let environment = self.environment().await?;
        let found = credential.find(environment, named, &*self.store()?).await;
        let official = credential.variables[0];
        found.map(|(value, _)| value).map_err(|error| match error {
            credential::Error::Store(error) => {
                store_failed("read", named.unwrap_or(credential.entry), &error)
            }
            nowhere @ credential::Error::Nowhere { .. } => Diagnostics::error(
                format!("Cannot find the credential {official}"),
                format!("{nowhere}."),
            )
            .hint(&format!(
                "Set {official} in the environment, or put the credential into the store as `{}`.",
                named.unwrap_or(credential.entry)
            )),
        })
    }

    /// Scaleway.
    pub async fn scaleway(&self) -> Result<&Scaleway, Diagnostics> {
        self.scaleway
            .get_or_try_init(|| async {
                let environment = self.environment().await?;
                let block = self.configuration.scaleway.known();
                let named = known(block.map(|block| &block.secret_key_entry));
                let token = self.credential(&credential::SCALEWAY, named).await?;
                let settings = Settings {
                    service: "scaleway",
                    base: environment
                        .get("SCW_API_URL")
                        .unwrap_or("https://api.scaleway.com")
                        .to_owned(),
                    header: http::HeaderName::from_static("x-auth-token"),
                    token,
                    speed: environment.speed(),
                };
                let client =
                    Http::new(environment.dialer().clone(), settings).map_err(|error| {
                        Diagnostics::failed("use", "credential", "SCW_SECRET_KEY", &error)
                    })?;
                let configured = known(block.map(|block| &block.project)).map(str::to_owned);
                Ok(Scaleway {
                    client: ScalewayClient::new(client),
                    poll: Poll::default(),
                    // In the lab a project of the cluster file would be a real one; the lab has its own.
                    project: if self.is_lab() { None } else { configured }
                        .or_else(|| environment.get("SCW_DEFAULT_PROJECT_ID").map(str::to_owned)),
                    zone: known(block.map(|block| &block.zone))
                        .or_else(|| environment.get("SCW_DEFAULT_ZONE"))
                        .map(str::to_owned),
                    adopted: Mutex::default(),
                })
            })
            .await
    }

    /// Cloudflare.
    pub async fn cloudflare(&self) -> Result<&cloudflare::client::Client, Diagnostics> {
        self.cloudflare
            .get_or_try_init(|| async {
                let environment = self.environment().await?;
                let block = self.configuration.cloudflare.known();
                let named = known(block.map(|block| &block.api_token_entry));
                let token = self.credential(&credential::CLOUDFLARE, named).await?;
                let settings = Settings {
                    service: "cloudflare",
                    base: environment
                        .get("CLOUDFLARE_BASE_URL")
                        .unwrap_or("https://api.cloudflare.com/client/v4")
                        .to_owned(),
                    header: http::header::AUTHORIZATION,
                    token,
                    speed: environment.speed(),
                };
                let client =
                    Http::new(environment.dialer().clone(), settings).map_err(|error| {
                        Diagnostics::failed("use", "credential", "CLOUDFLARE_API_TOKEN", &error)
                    })?;
                // In the lab ids of the cluster's own would be real ones.
                let id = |attribute: Option<&Attr<String>>, variables: [&str; 2]| {
                    known(attribute)
                        .filter(|_| !self.is_lab())
                        .or_else(|| variables.iter().find_map(|name| environment.get(name)))
                        .map(str::to_owned)
                };
                let scope = cloudflare::client::Scope {
                    zone: id(
                        block.map(|block| &block.zone_id),
                        ["CLOUDFLARE_ZONE_ID", "CF_ZONE_ID"],
                    ),
                    account: id(
                        block.map(|block| &block.account_id),
                        ["CLOUDFLARE_ACCOUNT_ID", "CF_ACCOUNT_ID"],
                    ),
                };
                Ok(cloudflare::client::Client::new(client).within(scope))
            })
            .await
    }
}

impl Strata {
    /// Proxmox.
    pub async fn proxmox(&self) -> Result<&Proxmox, Diagnostics> {
        self.proxmox
            .get_or_try_init(|| async {
                let environment = self.environment().await?;
                let token = self.credential(&credential::PROXMOX, None).await?;
                let (url, trust) = self.proxmox_place(environment)?;
                let client = connect(environment, &url, &trust, &token).map_err(|error| {
                    Diagnostics::failed("use", "Proxmox", &url, &error).at(Path::of("proxmox"))
                })?;
                Ok(Proxmox::new(client))
            })
            .await
    }

    /// Headscale at an address.
    pub async fn headscale(&self, url: &str) -> Result<Arc<Headscale>, Diagnostics> {
        let mut known = self.headscale.lock().await;
        if let Some(client) = known.get(url) {
            return Ok(Arc::clone(client));
        }
        let environment = self.environment().await?;
        let block = self.configuration.headscale.known();
        let named = self::known(block.map(|block| &block.api_key_entry));
        let token = self.credential(&credential::HEADSCALE, named).await?;
        let client = headscale::connect(environment, url, token).map_err(|error| {
            Diagnostics::failed("use", "credential", "HEADSCALE_API_KEY", &error)
        })?;
        let client = Arc::new(client);
        known.insert(url.to_owned(), Arc::clone(&client));
        Ok(client)
    }

    /// Where the API is and whose certificates it has. The address of the cluster file would be a real one; the lab has its own.
    fn proxmox_place(&self, environment: &Environment) -> Result<(String, Trust), Diagnostics> {
        let nowhere = || {
            Diagnostics::error("Cannot find Proxmox", "No address is configured.")
                .hint("Set `url` in `proxmox` of the provider block, or PROXMOX_VE_ENDPOINT.")
        };
        if self.is_lab() {
            return in_lab(environment).ok_or_else(nowhere);
        }
        let block = self.configuration.proxmox.known();
        let url = known(block.map(|block| &block.url))
            .or_else(|| environment.get("PROXMOX_VE_ENDPOINT"))
            .ok_or_else(nowhere)?;
        let pins = block.map(|block| block.fingerprints.or_default());
        let trust = match (pins, known(block.map(|block| &block.ca_file))) {
            (Some(pins), _) if !pins.is_empty() => Trust::Pins(pins),
            (_, Some(file)) => {
                let pem = std::fs::read_to_string(self.root().join(file));
                Trust::Authority(pem.map_err(|error| {
                    Diagnostics::failed("read", "file", file, &error)
                        .at(Path::of("proxmox").attribute("ca_file"))
                })?)
            }
            _ => Trust::System,
        };
        Ok((url.to_owned(), trust))
    }
}

impl Scaleway {
    /// The project to use, or what to set.
    pub fn project(&self, own: Option<&String>) -> Result<String, Diagnostics> {
        own.cloned().or_else(|| self.project.clone()).ok_or_else(|| {
            Diagnostics::error("Cannot find the Scaleway project", "No project id is configured.")
                .hint("Set `project` in the resource or in `scaleway` of the provider block, or SCW_DEFAULT_PROJECT_ID.")
        })
    }

    /// The zone to use, or what to set.
    pub fn zone(&self, own: Option<&String>) -> Result<String, Diagnostics> {
        own.cloned().or_else(|| self.zone.clone()).ok_or_else(|| {
            Diagnostics::error("Cannot find the Scaleway zone", "No zone is configured.").hint(
                "Set `zone` here or in `scaleway` of the provider block, or SCW_DEFAULT_ZONE.",
            )
        })
    }
}

/// A failed call of the store, in the words of the framework.
pub fn store_failed(verb: &str, entry: &str, error: &store::Error) -> Diagnostics {
    Diagnostics::failed(verb, "store entry", entry, error)
}

/// The text of an attribute of a block, if both are there.
fn known(attribute: Option<&Attr<String>>) -> Option<&str> {
    attribute?.known().map(String::as_str)
}

/// The set of texts of an attribute; null and unknown are empty.
pub(crate) fn texts(attribute: &Attr<BTreeSet<String>>) -> BTreeSet<String> {
    attribute.known().cloned().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use strata_framework::{Attr, Provider};

    use super::{Configuration, StoreConfiguration, Strata};

    #[test]
    fn core_accepts_every_schema() {
        assert_eq!(super::registry().faults(), Vec::<String>::new());
    }

    pub(crate) fn configuration(root: &Path, owner: &str) -> Configuration {
        let store = StoreConfiguration {
            kind: "file".into(),
            path: "store".into(),
            recipients: Attr::Null,
            url: Attr::Null,
            project: Attr::Null,
            environment: Attr::Null,
            mount: Attr::Null,
            namespace: Attr::Null,
        };
        Configuration {
            cluster: "home".into(),
            root: Attr::Known(root.display().to_string()),
            lab: Attr::Known(true),
            owner: owner.into(),
            store: Attr::Known(store),
            scaleway: Attr::Null,
            cloudflare: Attr::Null,
            headscale: Attr::Null,
            proxmox: Attr::Null,
            snapshots: Attr::Null,
        }
    }

    /// A provider with a store in this folder and no world around it.
    pub(crate) fn provider(root: &Path) -> Strata {
        Strata::new(configuration(root, "estate-1")).unwrap()
    }
}
