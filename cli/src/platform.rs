//! What preflight, status and destroy ask the platform: offers with prices, our servers, other people's. Reads only.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde::Deserialize;
use strata_provider::{
    credential::{SCALEWAY, Source},
    environment::Environment,
    http::client::{Client as Http, Settings},
    services::scaleway::{client::Client as Scaleway, wire::Server},
};

use crate::{cluster::Cluster, preflight::open_store, project::Project};

/// The platform of one cluster.
pub(crate) struct Platform {
    http: Http,
    scaleway: Scaleway,
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

impl Platform {
    /// Fails when the credential is nowhere; of the platform nothing is asked yet.
    pub(crate) async fn new(
        project: &Project,
        environment: &Environment,
        cluster: &Cluster,
    ) -> anyhow::Result<Self> {
        let Some(scaleway) = &cluster.spec.platform.scaleway else {
            anyhow::bail!("the cluster's machines are not at Scaleway");
        };
        let store = open_store(project, cluster)?;
        let (token, source) = SCALEWAY.find(environment, None, &*store).await?;
        let client = || {
            let settings = Settings {
                service: "scaleway",
                base: environment
                    .get("SCW_API_URL")
                    .unwrap_or("https://api.scaleway.com")
                    .to_owned(),
                header: http::HeaderName::from_static("x-auth-token"),
                token: token.clone(),
                speed: environment.speed(),
            };
            Http::new(environment.dialer().clone(), settings)
                .with_context(|| format!("using the credential from {source}"))
        };
        Ok(Self {
            http: client()?,
            scaleway: Scaleway::new(client()?),
            credential: source.clone(),
            zones: cluster
                .spec
                .nodes
                .values()
                .filter_map(|node| node.zone.clone())
                .collect(),
            cluster_tag: format!("strata-cluster={}", cluster.name()),
            period: if scaleway.monthly {
                "monthly"
            } else {
                "hourly"
            },
        })
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
    pub(crate) async fn servers(&self) -> anyhow::Result<Vec<Server>> {
        let mut servers = Vec::new();
        for zone in &self.zones {
            let found = self
                .scaleway
                .servers(zone, std::slice::from_ref(&self.cluster_tag))
                .await;
            servers.extend(found.with_context(|| format!("listing servers in {zone}"))?);
        }
        Ok(servers)
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

/// The value of our mark `key` on a server.
pub(crate) fn mark<'a>(server: &'a Server, key: &str) -> Option<&'a str> {
    server
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
}
