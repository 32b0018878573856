//! The lab: a local simulation of the outside world (DESIGN.md section 8) that speaks the real protocols.
//!
//! One process runs the service APIs on loopback ports and the machines behind one CONNECT proxy. It acts on what it understands and refuses the
//! rest with `LAB-UNKNOWN`; it shares no types with the provider.

pub mod calls;
pub mod clock;
pub mod cloudflare;
pub mod control;
pub mod estate;
pub mod facts;
pub mod fault;
pub mod headscale;
pub mod infisical;
pub mod kubernetes;
pub mod machine;
pub mod metal;
pub mod network;
pub mod proxmox;
pub mod proxy;
pub mod s3;
pub mod scaleway;
pub mod serve;
pub mod talos;
pub mod teleport;
pub mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::calls::Calls;
use crate::clock::Clock;
use crate::cloudflare::Cloudflare;
use crate::control::Control;
use crate::estate::Estate;
use crate::fault::Faults;
use crate::headscale::Headscale;
use crate::infisical::Infisical;
use crate::machine::Machines;
use crate::metal::Metal;
use crate::network::Network;
use crate::proxmox::{Factory, Proxmox};
use crate::s3::S3;
use crate::scaleway::{Credentials, Scaleway};
use crate::serve::Meter;
use crate::talos::TalosMachines;
use crate::vault::Vault;

/// How a lab shall be.
#[derive(Debug, Clone)]
pub struct Options {
    /// Simulated seconds per second of the wall.
    pub speed: f64,
    /// Decides spreads, shuffles and the project's id; never credentials.
    pub seed: u64,
    /// Port of the control API on 127.0.0.1; 0 lets the kernel choose.
    pub port: u16,
    /// DNS zones of the account.
    pub zones: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            speed: 60.0,
            seed: 1,
            port: 0,
            zones: vec!["strata.test".into(), "example.org".into()],
        }
    }
}

/// A running lab; dropping it stops every listener and closes every connection.
pub struct Lab {
    environment: Arc<BTreeMap<String, String>>,
    clock: Clock,
    network: Network,
    talos: TalosMachines,
    headscale: Headscale,
    stop: CancellationToken,
}

impl Lab {
    /// Starts everything on loopback ports. Must be called inside a tokio runtime, which the lab then lives in.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (clock, network, faults, calls) = (
            Clock::new(options.speed),
            Network::default(),
            Faults::default(),
            Calls::default(),
        );
        let credentials = credentials(options.seed);
        let token = random_text(40);
        let identity = infisical::Credentials {
            client_id: Uuid::new_v4().to_string(),
            client_secret: random_text(64),
            project_id: Uuid::from_u128(
                0x6c61_6200_0000_4000_8000_0001_0000_0000 | u128::from(options.seed),
            )
            .to_string(),
        };
        let root_token = format!("hvs.{}", random_text(24));
        let metal: Arc<dyn Metal> = Arc::new(Machines::new(
            clock.clone(),
            network.clone(),
            faults.clone(),
            calls.clone(),
        ));

        let talos = TalosMachines::new(
            clock.clone(),
            network.clone(),
            faults.clone(),
            calls.clone(),
        );

        let scaleway = Scaleway::new(
            clock.clone(),
            faults.clone(),
            network.clone(),
            Arc::clone(&metal),
            credentials.clone(),
            options.seed,
        );
        let cloudflare = Cloudflare::new(clock.clone(), token.clone(), &options.zones);
        let resolver = cloudflare.clone();
        network.set_resolver(Arc::new(move |name| resolver.resolve(name)));
        let infisical = Infisical::new(clock.clone(), faults.clone(), identity.clone());
        let vault = Vault::new(clock.clone(), faults.clone(), root_token.clone());
        let storage = s3::Credentials {
            access_key_id: format!("LAB{}", random_text(17).to_uppercase()),
            secret_access_key: random_text(40),
        };
        let s3 = S3::new(storage.clone());

        let factory = Factory::default();
        let vpn_key = format!("hskey-api-{}-{}", random_text(12), random_text(64));
        let headscale = Headscale::new(clock.clone(), vpn_key.clone());
        talos.connect_vpn(headscale.clone(), factory.clone());
        let proxmox_token = Uuid::new_v4().to_string();
        let proxmox = Proxmox::new(
            clock.clone(),
            faults.clone(),
            talos.clone(),
            factory.clone(),
            &proxmox_token,
        )
        .context("making the Proxmox cluster")?;

        let bind = async |what: &str, port| {
            serve::listen(port)
                .await
                .with_context(|| format!("binding a loopback port for {what}"))
        };
        let control_listener = bind("the control API", options.port).await?;
        let scaleway_listener = bind("Scaleway", 0).await?;
        let cloudflare_listener = bind("Cloudflare", 0).await?;
        let infisical_listener = bind("Infisical", 0).await?;
        let vault_listener = bind("Vault", 0).await?;
        let s3_listener = bind("S3", 0).await?;
        let proxmox_listener = bind("Proxmox", 0).await?;
        let factory_listener = bind("the Image Factory", 0).await?;
        let headscale_listener = bind("Headscale", 0).await?;
        let proxy_listener = bind("the proxy", 0).await?;
        let url = |listener: &tokio::net::TcpListener| {
            anyhow::Ok(format!(
                "http://{}",
                listener.local_addr().context("reading a port")?
            ))
        };
        factory.set_url(&url(&factory_listener)?);
        headscale.set_url(&url(&headscale_listener)?);
        let environment = Arc::new(environment(
            &options,
            &credentials,
            &[
                ("CLOUDFLARE_API_TOKEN", token.clone()),
                (
                    "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID",
                    identity.client_id.clone(),
                ),
                (
                    "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET",
                    identity.client_secret.clone(),
                ),
                ("INFISICAL_PROJECT_ID", identity.project_id.clone()),
                ("VAULT_TOKEN", root_token),
                ("INFISICAL_HOST", url(&infisical_listener)?),
                ("VAULT_ADDR", url(&vault_listener)?),
                ("AWS_ACCESS_KEY_ID", storage.access_key_id),
                ("AWS_SECRET_ACCESS_KEY", storage.secret_access_key),
                ("AWS_REGION", s3::REGION.to_owned()),
                // What AWS' own tools for Python read.
                ("AWS_DEFAULT_REGION", s3::REGION.to_owned()),
                ("AWS_ENDPOINT_URL_S3", url(&s3_listener)?),
                ("STRATA_LAB_URL", url(&control_listener)?),
                (
                    "STRATA_ECHO_IPV4",
                    format!("{}/echo/ipv4", url(&control_listener)?),
                ),
                (
                    "STRATA_ECHO_IPV6",
                    format!("{}/echo/ipv6", url(&control_listener)?),
                ),
                ("SCW_API_URL", url(&scaleway_listener)?),
                (
                    "CLOUDFLARE_BASE_URL",
                    format!("{}/client/v4", url(&cloudflare_listener)?),
                ),
                (
                    "PROXMOX_VE_ENDPOINT",
                    url(&proxmox_listener)?.replace("http:", "https:"),
                ),
                ("PROXMOX_VE_API_TOKEN", Proxmox::credential(&proxmox_token)),
                ("STRATA_PROXMOX_CA", proxmox.ca().to_owned()),
                ("STRATA_TALOS_FACTORY", url(&factory_listener)?),
                ("HEADSCALE_URL", url(&headscale_listener)?),
                ("HEADSCALE_API_KEY", vpn_key),
                ("HEADSCALE_USER", headscale::USER.to_owned()),
                ("STRATA_LAB_PROXY", url(&proxy_listener)?),
            ],
        ));

        let meter = |service| Meter::new(service, clock.clone(), faults.clone(), calls.clone());
        tokio::spawn(scaleway.clone().run(stop.clone()));
        serve::spawn(
            scaleway_listener,
            scaleway::router(scaleway.clone(), meter("scaleway")),
            stop.clone(),
        );
        serve::spawn(
            cloudflare_listener,
            cloudflare::router(cloudflare.clone(), meter("cloudflare")),
            stop.clone(),
        );
        serve::spawn(
            infisical_listener,
            infisical::router(infisical.clone(), meter("infisical")),
            stop.clone(),
        );
        serve::spawn(
            vault_listener,
            vault::router(vault.clone(), meter("vault")),
            stop.clone(),
        );
        serve::spawn(
            s3_listener,
            s3::router(s3.clone(), meter("s3")),
            stop.clone(),
        );
        proxmox.serve(proxmox_listener, meter("proxmox"), stop.clone());
        serve::spawn(
            factory_listener,
            proxmox::factory_router(factory, meter("factory")),
            stop.clone(),
        );
        serve::spawn(
            headscale_listener,
            headscale::router(headscale.clone(), meter("headscale")),
            stop.clone(),
        );
        proxy::spawn(proxy_listener, network.clone(), stop.clone());
        let estate = Estate {
            scaleway,
            cloudflare,
            infisical,
            vault,
            s3,
            proxmox,
            headscale: headscale.clone(),
            network: network.clone(),
            metal,
            talos: talos.clone(),
        };
        let control = Control {
            environment: Arc::clone(&environment),
            clock: clock.clone(),
            calls,
            faults,
            estate,
        };
        serve::spawn(control_listener, control::router(control), stop.clone());
        Ok(Self {
            environment,
            clock,
            network,
            talos,
            headscale,
            stop,
        })
    }

    /// Address of the control API.
    pub fn url(&self) -> &str {
        &self.environment["STRATA_LAB_URL"]
    }

    /// The variables that point clients at this lab.
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// The lab's time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The Talos machines, for tests that are their hypervisor.
    pub fn talos(&self) -> &TalosMachines {
        &self.talos
    }

    /// The VPN's server, for tests that are its administrator.
    pub fn headscale(&self) -> &Headscale {
        &self.headscale
    }

    /// The machine network, for tests that put hosts of their own on it.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Credentials of one run. The project id follows from the seed, so that a restarted lab is the same project; the secret never does.
fn credentials(seed: u64) -> Credentials {
    Credentials {
        access_key: format!("SCW{}", random_text(17).to_uppercase()),
        secret_key: Uuid::new_v4().to_string(),
        project_id: Uuid::from_u128(0x6c61_6200_0000_4000_8000_0000_0000_0000 | u128::from(seed))
            .to_string(),
    }
}

fn random_text(length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]))
        .collect()
}

fn environment(
    options: &Options,
    credentials: &Credentials,
    own: &[(&str, String)],
) -> BTreeMap<String, String> {
    let fixed = [
        ("SCW_ACCESS_KEY", credentials.access_key.clone()),
        ("SCW_SECRET_KEY", credentials.secret_key.clone()),
        ("SCW_DEFAULT_PROJECT_ID", credentials.project_id.clone()),
        (
            "SCW_DEFAULT_ORGANIZATION_ID",
            credentials.project_id.clone(),
        ),
        ("SCW_DEFAULT_ZONE", "fr-par-2".to_owned()),
        ("SCW_DEFAULT_REGION", "fr-par".to_owned()),
        ("STRATA_LAB_SPEED", options.speed.to_string()),
    ];
    let pairs = fixed.into_iter().chain(own.iter().cloned());
    pairs
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
