//! The data sources `strata_scaleway_baremetal_offer` and `strata_scaleway_baremetal_offers`: machine types with price, stock and parts.
//!
//! Price and stock move by themselves: they are read by every plan, and nothing that exists is compared with them.

use std::collections::BTreeSet;

use strata_framework::{Attr, Cx, DataSource, Diagnostics, Number, Path, Schema};

use super::catalogue::{self, Money, Os};
use crate::http::client::Error;
use crate::provider::{Scaleway, Strata};

/// Processors of one kind.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Name, e.g. `AMD EPYC 7232P`.
    #[schema(computed)]
    name: Attr<String>,
    /// Number of cores.
    #[schema(computed)]
    core_count: Attr<u32>,
    /// Number of threads.
    #[schema(computed)]
    thread_count: Attr<u32>,
    /// Frequency in MHz, millions of cycles per second.
    #[schema(computed)]
    frequency: Attr<u32>,
}

/// Memory of one kind.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Size in bytes.
    #[schema(computed)]
    capacity: Attr<u64>,
    /// Kind, e.g. `DDR4`.
    #[schema(computed)]
    r#type: Attr<String>,
    /// Frequency in MHz, millions of cycles per second.
    #[schema(computed)]
    frequency: Attr<u32>,
    /// Whether it corrects errors.
    #[schema(computed)]
    is_ecc: Attr<bool>,
}

/// A disk.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct Disk {
    /// Size in bytes.
    #[schema(computed)]
    capacity: Attr<u64>,
    /// Kind: `NVMe`, `SSD`, `HDD` or `MMC`.
    #[schema(computed)]
    r#type: Attr<String>,
}

/// An option of an offer.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct OfferOption {
    /// Id (UUID) of the option.
    #[schema(computed)]
    option_id: Attr<String>,
    /// Name, e.g. `Private Network`.
    #[schema(computed)]
    name: Attr<String>,
    /// Whether it is part of the offer.
    #[schema(computed)]
    included: Attr<bool>,
    /// Whether it can be switched on and off while the server exists.
    #[schema(computed)]
    manageable: Attr<bool>,
    /// What it costs besides the offer, for an hour or a month as `subscription_period` says. Null when no price is told.
    #[schema(computed)]
    price: Attr<Number>,
    /// How it is paid: `hourly` or `monthly`, which is not always how the offer is paid.
    #[schema(computed)]
    subscription_period: Attr<String>,
}

/// An operating system that can be installed.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
pub struct CompatibleOs {
    /// Id (UUID) of the operating system.
    #[schema(computed)]
    os_id: Attr<String>,
    /// Name, e.g. `Ubuntu`.
    #[schema(computed)]
    name: Attr<String>,
    /// Version, e.g. `22.04 LTS (Jammy Jellyfish)`.
    #[schema(computed)]
    version: Attr<String>,
    /// Whether it takes user data on this offer.
    #[schema(computed)]
    cloud_init_supported: Attr<bool>,
}

/// A struct with what is told of an offer, besides fields of its own: both data sources tell the same.
macro_rules! offer {
    ($(#[$attribute:meta])* $name:ident { $($own:tt)* }) => {
        #[derive(Schema, Clone, Debug, Default, PartialEq)]
        $(#[$attribute])*
        pub struct $name {
            $($own)*
            /// Range that it belongs to, e.g. `iridium`.
            #[schema(computed)]
            commercial_range: Attr<String>,
            /// Machines left: `empty`, `low` (about 5 or fewer) or `available`.
            #[schema(computed)]
            stock: Attr<String>,
            /// Whether it can be ordered at all.
            #[schema(computed)]
            enabled: Attr<bool>,
            /// What an hour costs, in `currency`; a started hour is due whole. Null for monthly offers.
            #[schema(computed)]
            price_per_hour: Attr<Number>,
            /// What a month costs, in `currency`, whatever the number of days. Null for hourly offers.
            #[schema(computed)]
            price_per_month: Attr<Number>,
            /// What is due once with the order, in `currency`: a month's price for monthly offers. 0 for hourly ones.
            #[schema(computed)]
            fee: Attr<Number>,
            /// Currency of the prices, e.g. `EUR`.
            #[schema(computed)]
            currency: Attr<String>,
            /// Id (UUID) of the same machine paid by the month. Null for monthly offers and where there is none.
            #[schema(computed)]
            monthly_offer_id: Attr<String>,
            /// Bandwidth to the internet, in bits per second.
            #[schema(computed)]
            bandwidth: Attr<u64>,
            /// Bandwidth to the internet with the largest option, in bits per second.
            #[schema(computed)]
            max_bandwidth: Attr<u64>,
            /// Bandwidth in private networks, in bits per second.
            #[schema(computed)]
            private_bandwidth: Attr<u64>,
            /// Whether the bandwidth to the internet is shared with others.
            #[schema(computed)]
            shared_bandwidth: Attr<bool>,
            /// Quota that limits how many can be ordered, e.g. `EM_I215E_NVMe`.
            #[schema(computed)]
            quota_name: Attr<String>,
            /// Whether servers take user data, with an operating system that does.
            #[schema(computed)]
            cloud_init_supported: Attr<bool>,
            /// Whether disks can be divided as asked. Such offers also install within minutes instead of most of an hour.
            #[schema(computed)]
            custom_partitioning_supported: Attr<bool>,
            /// Labels that Scaleway gives it.
            #[schema(computed)]
            tags: Attr<BTreeSet<String>>,
            /// Processors.
            #[schema(computed)]
            cpus: Attr<Vec<Cpu>>,
            /// Memory.
            #[schema(computed)]
            memories: Attr<Vec<Memory>>,
            /// Disks.
            #[schema(computed)]
            disks: Attr<Vec<Disk>>,
            /// What can be had besides, sorted by name.
            #[schema(computed)]
            options: Attr<Vec<OfferOption>>,
            /// Operating systems that can be installed, in Scaleway's order.
            #[schema(computed)]
            compatible_os: Attr<Vec<CompatibleOs>>,
        }

        impl $name {
            /// Tells what the catalogue says.
            fn tell(&mut self, offer: &catalogue::Offer, systems: &[Os]) {
                let amount = |money: &Option<Money>| Attr::from(money.as_ref().and_then(Money::amount));
                let price = offer.price_per_hour.as_ref().or(offer.price_per_month.as_ref());
                self.commercial_range = offer.commercial_range.clone().into();
                self.stock = offer.stock.clone().into();
                self.enabled = offer.enable.into();
                self.price_per_hour = amount(&offer.price_per_hour);
                self.price_per_month = amount(&offer.price_per_month);
                self.fee = amount(&offer.fee);
                self.currency = price.map(|money| money.currency_code.clone()).into();
                self.monthly_offer_id = offer.monthly_offer_id.clone().into();
                self.bandwidth = offer.bandwidth.into();
                self.max_bandwidth = offer.max_bandwidth.into();
                self.private_bandwidth = offer.private_bandwidth.into();
                self.shared_bandwidth = offer.shared_bandwidth.into();
                self.quota_name = offer.quota_name.clone().into();
                self.cloud_init_supported = offer.takes_user_data().into();
                self.custom_partitioning_supported = offer.installs_fast().into();
                self.tags = offer.tags.clone().into();
                self.cpus = offer.cpus.iter().map(cpu).collect::<Vec<_>>().into();
                self.memories = offer.memories.iter().map(memory).collect::<Vec<_>>().into();
                self.disks = offer.disks.iter().map(disk).collect::<Vec<_>>().into();
                self.options = options(offer).into();
                self.compatible_os = compatible(offer, systems).into();
            }
        }
    };
}

fn cpu(cpu: &catalogue::Cpu) -> Cpu {
    Cpu {
        name: cpu.name.clone().into(),
        core_count: cpu.core_count.into(),
        thread_count: cpu.thread_count.into(),
        frequency: cpu.frequency.into(),
    }
}

fn memory(memory: &catalogue::Memory) -> Memory {
    Memory {
        capacity: memory.capacity.into(),
        r#type: memory.kind.clone().into(),
        frequency: memory.frequency.into(),
        is_ecc: memory.is_ecc.into(),
    }
}

fn disk(disk: &catalogue::Disk) -> Disk {
    Disk {
        capacity: disk.capacity.into(),
        r#type: disk.kind.clone().into(),
    }
}

/// Sorted, because the API shuffles them.
fn options(offer: &catalogue::Offer) -> Vec<OfferOption> {
    let mut sorted: Vec<_> = offer.options.iter().collect();
    sorted.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let option = |option: &catalogue::OfferOption| OfferOption {
        option_id: option.id.clone().into(),
        name: option.name.clone().into(),
        included: option.enabled.into(),
        manageable: option.manageable.into(),
        price: option.price.as_ref().and_then(Money::amount).into(),
        subscription_period: option.subscription_period.clone().into(),
    };
    sorted.into_iter().map(option).collect()
}

fn compatible(offer: &catalogue::Offer, systems: &[Os]) -> Vec<CompatibleOs> {
    let fits = |os: &&Os| os.enabled && os.allowed && !offer.incompatible_os_ids.contains(&os.id);
    let os = |os: &Os| CompatibleOs {
        os_id: os.id.clone().into(),
        name: os.name.clone().into(),
        version: os.version.clone().into(),
        cloud_init_supported: (os.cloud_init_supported && offer.takes_user_data()).into(),
    };
    systems.iter().filter(fits).map(os).collect()
}

offer! {
    /// One Elastic Metal offer of a zone.
    ///
    /// Found by name or by id, with price, stock, parts, options and the operating systems that fit it. Price and stock are as Scaleway tells
    /// them at the moment of the plan: use them to choose or to refuse, not to describe what exists.
    ///
    /// # Permissions
    ///
    /// A Scaleway API key with the permission set `ElasticMetalReadOnly`
    /// ([reference](https://www.scaleway.com/en/docs/iam/reference-content/permission-sets/)), in `SCW_SECRET_KEY` or the store entry
    /// `scaleway/secret-key`.
    ///
    /// # Errors
    ///
    /// - "Zone ... has no ... offer": the message lists what the zone has.
    /// - "No zone is configured.": set `zone` here or in `scaleway` of the provider block, or `SCW_DEFAULT_ZONE`.
    #[schema(name = "scaleway_baremetal_offer", exactly_one("name", "offer_id"))]
    BaremetalOffer {
        /// Zone, e.g. `fr-par-2`. Default: that of the provider block, else `SCW_DEFAULT_ZONE`.
        #[schema(optional, computed, pattern("[a-z]{2}-[a-z]{3,7}-[0-9]{1,2}"))]
        zone: Attr<String>,
        /// Name, e.g. `EM-I215E-NVME`.
        #[schema(optional, computed)]
        name: Attr<String>,
        /// Id (UUID) of the offer, of whatever billing it is.
        #[schema(optional, computed)]
        offer_id: Attr<String>,
        /// Whether the offer is paid `hourly` or `monthly`. With `offer_id` it is told instead.
        #[schema(optional, computed, one_of("hourly", "monthly"))]
        subscription_period: Attr<String>,
        /// Whether an offer counts that cannot be ordered at present.
        #[schema(default = false)]
        include_disabled: Attr<bool>,
    }
}

offer! {
    /// An offer that was found.
    FoundOffer {
        /// Name, e.g. `EM-I215E-NVME`.
        #[schema(computed)]
        name: Attr<String>,
        /// Id (UUID) of the offer.
        #[schema(computed)]
        offer_id: Attr<String>,
        /// How it is paid: `hourly` or `monthly`.
        #[schema(computed)]
        subscription_period: Attr<String>,
    }
}

/// The Elastic Metal offers of a zone.
///
/// In rising price, as Scaleway lists them: the first one that passes the filters is the cheapest. Stock and price are as Scaleway tells them
/// at the moment of the plan.
///
/// # Permissions
///
/// A Scaleway API key with the permission set `ElasticMetalReadOnly`
/// ([reference](https://www.scaleway.com/en/docs/iam/reference-content/permission-sets/)), in `SCW_SECRET_KEY` or the store entry
/// `scaleway/secret-key`.
///
/// # Errors
///
/// - "Zone ... has no system ...": the message lists what the zone has.
/// - "No zone is configured.": set `zone` here or in `scaleway` of the provider block, or `SCW_DEFAULT_ZONE`.
#[derive(Schema, Clone, Debug, Default, PartialEq)]
#[schema(name = "scaleway_baremetal_offers")]
pub struct BaremetalOffers {
    /// Zone, e.g. `fr-par-2`. Default: that of the provider block, else `SCW_DEFAULT_ZONE`.
    #[schema(optional, computed, pattern("[a-z]{2}-[a-z]{3,7}-[0-9]{1,2}"))]
    zone: Attr<String>,
    /// Whether offers are paid `hourly` or `monthly`.
    #[schema(default = "hourly", one_of("hourly", "monthly"))]
    subscription_period: Attr<String>,
    /// Only offers whose name begins like this, e.g. `EM-B`. Without it any name will do.
    #[schema(optional)]
    name_prefix: Attr<String>,
    /// Only offers on which this operating system can be installed, by name and version (`Ubuntu 22.04`) or id. Without it any will do.
    #[schema(optional)]
    os: Attr<String>,
    /// Only offers that take user data.
    #[schema(default = false)]
    cloud_init: Attr<bool>,
    /// Only offers of which machines are left.
    #[schema(default = false)]
    in_stock: Attr<bool>,
    /// Whether offers count that cannot be ordered at present.
    #[schema(default = false)]
    include_disabled: Attr<bool>,
    /// The offers that pass, cheapest first.
    #[schema(computed)]
    offers: Attr<Vec<FoundOffer>>,
}

fn failed(zone: &str, error: &Error) -> Diagnostics {
    Diagnostics::failed("list", "offers of zone", zone, error)
}

/// The offers of a zone and a billing, and its operating systems.
async fn listed(
    scaleway: &Scaleway,
    zone: &str,
    monthly: bool,
) -> Result<Vec<catalogue::Offer>, Diagnostics> {
    let client = &scaleway.client;
    let offers = if monthly {
        client.monthly(zone).await
    } else {
        client.hourly(zone).await
    };
    offers
        .map(|offers| offers.to_vec())
        .map_err(|error| failed(zone, &error))
}

impl DataSource for BaremetalOffer {
    type Provider = Strata;
    type Model = Self;
    const SUBCATEGORY: &'static str = "Scaleway";

    async fn read(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Self, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let zone = scaleway.zone(config.zone.known())?;
        let by_id = config.offer_id.known().is_some();
        let period = config.subscription_period.known().map(String::as_str);
        let mut offers = Vec::new();
        for (word, monthly) in [("hourly", false), ("monthly", true)] {
            // An id says by itself how it is paid; a name means the hourly offer unless something else is asked for.
            if period.map_or(by_id || !monthly, |period| period == word) {
                offers.extend(listed(scaleway, &zone, monthly).await?);
            }
        }
        let disabled = config.include_disabled == Attr::Known(true);
        offers.retain(|offer| offer.enable || disabled);
        let (attribute, wanted) = match config.offer_id.known() {
            Some(id) => ("offer_id", id.clone()),
            None => ("name", config.name.require("name")?.clone()),
        };
        let found = offers.iter().find(|offer| {
            if by_id {
                offer.id == wanted
            } else {
                offer.name == wanted
            }
        });
        let Some(offer) = found else {
            let names: BTreeSet<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let period = period.unwrap_or(if by_id { "such" } else { "hourly" });
            return Err(Diagnostics::invalid(
                Path::of(attribute),
                format!("Zone {zone} has no {period} offer `{wanted}`. It has: {names}."),
            ));
        };
        let systems = scaleway.client.systems(&zone).await;
        config.tell(offer, &systems.map_err(|error| failed(&zone, &error))?);
        config.zone = zone.into();
        config.name = offer.name.clone().into();
        config.offer_id = offer.id.clone().into();
        config.subscription_period = offer.subscription_period.clone().into();
        Ok(config)
    }
}

impl DataSource for BaremetalOffers {
    type Provider = Strata;
    type Model = Self;
    const SUBCATEGORY: &'static str = "Scaleway";

    async fn read(cx: &Cx<'_, Strata>, mut config: Self) -> Result<Self, Diagnostics> {
        let scaleway = cx.provider.scaleway().await?;
        let zone = scaleway.zone(config.zone.known())?;
        let monthly = config.subscription_period.text() == "monthly";
        let offers = listed(scaleway, &zone, monthly).await?;
        let systems = scaleway.client.systems(&zone).await;
        let systems = systems.map_err(|error| failed(&zone, &error))?;
        let os = match config.os.known() {
            Some(wanted) => Some(super::os::named(&systems, &zone, wanted, "os")?),
            None => None,
        };
        let is = |attribute: &Attr<bool>| *attribute == Attr::Known(true);
        let passes = |offer: &&catalogue::Offer| {
            (offer.enable || is(&config.include_disabled))
                && offer.name.starts_with(config.name_prefix.text())
                && (!is(&config.cloud_init) || offer.takes_user_data())
                && (!is(&config.in_stock) || offer.stock != "empty")
                && os.is_none_or(|os| !offer.incompatible_os_ids.contains(&os.id))
        };
        let tell = |offer: &catalogue::Offer| {
            let mut found = FoundOffer {
                name: offer.name.clone().into(),
                offer_id: offer.id.clone().into(),
                subscription_period: offer.subscription_period.clone().into(),
                ..FoundOffer::default()
            };
            found.tell(offer, &systems);
            found
        };
        let found: Vec<FoundOffer> = offers.iter().filter(passes).map(tell).collect();
        config.offers = found.into();
        config.zone = zone.into();
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use strata_framework::Harness;

    use super::*;
    use crate::lab_test::World;

    async fn names(harness: &Harness<Strata, ()>, config: BaremetalOffers) -> Vec<String> {
        let config = BaremetalOffers {
            subscription_period: "hourly".into(),
            ..config
        };
        let read = BaremetalOffers::read(&harness.cx(), config).await.unwrap();
        let offers = read.offers.or_default();
        offers
            .iter()
            .map(|offer| offer.name.text().to_owned())
            .collect()
    }

    #[tokio::test]
    async fn an_offer_is_found_by_name_in_both_billings_and_by_id() {
        let world = World::start().await;
        let harness = Harness::<_, ()>::new(world.provider("estate-1").await);
        let read = async |config: BaremetalOffer| BaremetalOffer::read(&harness.cx(), config).await;
        let by_name = BaremetalOffer {
            name: "EM-I215E-NVME".into(),
            ..BaremetalOffer::default()
        };
        let hourly = read(by_name.clone()).await.unwrap();
        assert_eq!(
            (
                hourly.zone.text(),
                hourly.stock.text(),
                hourly.currency.text()
            ),
            ("fr-par-2", "available", "EUR"),
            "the zone is the lab's default"
        );
        let text = |number: &Attr<Number>| number.known().map(|number| number.text().to_owned());
        assert_eq!(text(&hourly.price_per_hour).as_deref(), Some("0.904"));
        assert_eq!(
            (text(&hourly.price_per_month), text(&hourly.fee).as_deref()),
            (None, Some("0"))
        );
        assert_eq!(hourly.disks.or_default().len(), 2);
        assert_eq!(hourly.cpus.or_default()[0].core_count, Attr::Known(16));
        let options = hourly.options.or_default();
        assert!(
            options
                .iter()
                .any(|option| option.name.text() == "Private Network"
                    && option.manageable == Attr::Known(true)
                    && !option.price.is_null())
        );
        let systems = hourly.compatible_os.or_default();
        assert!(
            systems
                .iter()
                .any(|os| os.version.text().starts_with("22.04")
                    && os.cloud_init_supported == Attr::Known(true))
        );

        let monthly = read(BaremetalOffer {
            subscription_period: "monthly".into(),
            ..by_name.clone()
        });
        let monthly = monthly.await.unwrap();
        assert_eq!(monthly.offer_id, hourly.monthly_offer_id);
        assert_eq!(text(&monthly.fee), text(&monthly.price_per_month));
        let by_id = read(BaremetalOffer {
            offer_id: monthly.offer_id.clone(),
            ..BaremetalOffer::default()
        });
        assert_eq!(by_id.await.unwrap(), monthly);

        let unknown = read(BaremetalOffer {
            name: "EM-NOTHING".into(),
            ..by_name
        });
        let error = unknown.await.unwrap_err().to_string();
        assert!(
            error.contains("no hourly offer `EM-NOTHING`") && error.contains("EM-I215E-NVME"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn offers_are_filtered_cheapest_first_and_listed_once() {
        let world = World::start().await;
        let harness = Harness::<_, ()>::new(world.provider("estate-1").await);
        world.calls("").await;
        let all = names(&harness, BaremetalOffers::default()).await;
        assert_eq!((all.len(), all[0].as_str()), (6, "EM-A115X-SSD"));
        let in_stock = BaremetalOffers {
            in_stock: true.into(),
            cloud_init: true.into(),
            ..BaremetalOffers::default()
        };
        assert_eq!(
            names(&harness, in_stock).await,
            ["EM-A610R-NVME", "EM-B220E-NVME", "EM-I215E-NVME"]
        );
        let prefix = BaremetalOffers {
            name_prefix: "EM-B".into(),
            os: "Ubuntu 22.04".into(),
            ..BaremetalOffers::default()
        };
        assert!(
            names(&harness, prefix)
                .await
                .iter()
                .all(|name| name.starts_with("EM-B"))
        );
        assert_eq!(
            world.calls("scaleway ").await,
            2,
            "offers and systems, once"
        );
        let wrong = BaremetalOffers {
            os: "Ubuntu 4".into(),
            ..BaremetalOffers::default()
        };
        let error = BaremetalOffers::read(&harness.cx(), wrong)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("Ubuntu 22.04"), "{error}");
    }
}
