//! Scaleway: offers with prices, and servers with our marks.

use std::collections::BTreeSet;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use strata_provider::{
    credential::{SCALEWAY, Source},
    environment::Environment,
    http::client::{Client as Http, Settings},
    services::scaleway::{client::Client, wire::Server},
};

use super::Machine;
use crate::{cluster::Cluster, preflight::open_store, project::Project};

/// Scaleway, as one cluster uses it.
pub(crate) struct Scaleway {
    http: Http,
    client: Client,
    credential: Source,
    zones: BTreeSet<String>,
    cluster_tag: String,
    /// `hourly` or `monthly`: an offer is sold as one or the other, under one name.
    period: &'static str,
}

/// A machine type as it is sold.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Offer {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) stock: String,
    #[serde(default)]
    pub(crate) enable: bool,
    price_per_hour: Option<Money>,
    price_per_month: Option<Money>,
    fee: Option<Money>,
    #[serde(default)]
    pub(crate) disks: Vec<Disk>,
}

/// A disk of an offer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Disk {
    /// Bytes.
    pub(crate) capacity: u64,
    /// `NVMe`, `SSD`, `HDD`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Money {
    #[serde(default)]
    units: i64,
    #[serde(default)]
    nanos: i64,
}

impl Money {
    /// In thousandths, rounded up.
    fn milli(&self) -> i64 {
        self.units * 1000 + (self.nanos + 999_999).div_euclid(1_000_000)
    }
}

impl Offer {
    /// Thousandths of a euro for an hour.
    pub(crate) fn per_hour(&self) -> Option<i64> {
        self.price_per_hour.as_ref().map(Money::milli)
    }

    /// Thousandths of a euro for a month, where the offer is sold by the month.
    pub(crate) fn per_month(&self) -> Option<i64> {
        self.price_per_month.as_ref().map(Money::milli)
    }

    /// Thousandths of a euro that are due once, with the order.
    pub(crate) fn fee(&self) -> i64 {
        self.fee.as_ref().map_or(0, Money::milli)
    }
}

#[derive(Deserialize)]
struct OfferPage {
    #[serde(default)]
    total_count: usize,
    #[serde(default)]
    offers: Vec<Offer>,
}

impl Scaleway {
    /// Fails when the credential is nowhere; of the platform nothing is asked yet.
    pub(super) async fn new(
        project: &Project,
        environment: &Environment,
        cluster: &Cluster,
        settings: &strata_cluster::Scaleway,
    ) -> anyhow::Result<Self> {
        let store = open_store(project, cluster)?;
        let (token, source) = SCALEWAY.find(environment, None, &*store).await?;
        let client = || {
            let access = Settings {
                service: "scaleway",
                base: environment
                    .get("SCW_API_URL")
                    .unwrap_or("https://api.scaleway.com")
                    .to_owned(),
                header: http::HeaderName::from_static("x-auth-token"),
                token: token.clone(),
                speed: environment.speed(),
            };
            Http::new(environment.dialer().clone(), access)
                .with_context(|| format!("using the credential from {source}"))
        };
        Ok(Self {
            http: client()?,
            client: Client::new(client()?),
            credential: source.clone(),
            zones: cluster
                .spec
                .nodes
                .values()
                .filter_map(|node| node.zone.clone())
                .collect(),
            cluster_tag: format!("strata-cluster={}", cluster.name()),
            period: if settings.monthly {
                "monthly"
            } else {
                "hourly"
            },
        })
    }

    /// The API.
    pub(crate) fn api(&self) -> &Client {
        &self.client
    }

    /// Where the credential was found.
    pub(crate) fn credential(&self) -> &Source {
        &self.credential
    }

    /// Zones that the cluster uses.
    pub(crate) fn zones(&self) -> &BTreeSet<String> {
        &self.zones
    }

    /// Servers that are marked with this cluster's name, in its zones.
    pub(super) async fn machines(&self) -> anyhow::Result<Vec<Machine>> {
        let mut machines = Vec::new();
        for zone in &self.zones {
            let found = self
                .client
                .servers(zone, std::slice::from_ref(&self.cluster_tag))
                .await
                .with_context(|| format!("listing servers in {zone}"))?;
            machines.extend(found.iter().map(machine));
        }
        Ok(machines)
    }

    /// When the API key with this access key ends; `None`: never. <https://www.scaleway.com/en/developers/api/iam/#path-api-keys-get-an-api-key>
    pub(super) async fn end_of_key(
        &self,
        access_key: Option<&str>,
    ) -> anyhow::Result<Option<Timestamp>> {
        #[derive(Deserialize)]
        struct Key {
            expires_at: Option<Timestamp>,
        }
        let access_key =
            access_key.context("SCW_ACCESS_KEY is not set, and IAM knows keys by it")?;
        anyhow::ensure!(
            access_key.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "an access key has letters and digits only"
        );
        let path = format!("iam/v1alpha1/api-keys/{access_key}");
        let key: Key = self.http.get(path).tries(1).send().await?;
        Ok(key.expires_at)
    }

    /// Offers of a zone, as the cluster file wants to pay them.
    pub(crate) async fn offers(&self, zone: &str) -> anyhow::Result<Vec<Offer>> {
        let mut offers = Vec::new();
        for page in 1.. {
            let path = format!(
                "baremetal/v1/zones/{zone}/offers?subscription_period={}&page={page}&page_size=100",
                self.period
            );
            let answer: OfferPage = self
                .http
                .get(path)
                .send()
                .await
                .with_context(|| format!("listing offers in {zone}"))?;
            let count = answer.offers.len();
            offers.extend(answer.offers);
            if count == 0 || offers.len() >= answer.total_count {
                break;
            }
        }
        Ok(offers)
    }
}

fn machine(server: &Server) -> Machine {
    let mark = |key: &str| {
        server
            .tags
            .iter()
            .find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
            .map(str::to_owned)
    };
    Machine {
        name: server.name.clone(),
        owner: mark("strata-owner"),
        node: mark("strata-node"),
        address: server.ipv4().or(server.ipv6()),
        is_leaving: server.is_leaving(),
    }
}
