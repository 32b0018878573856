//! The catalogue of a zone as it goes over the wire: offers, their options, operating systems.
//!
//! Lists in it come in another order with every answer, so whatever is compared is a set. Unknown keys are ignored, missing ones defaulted.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use serde::Deserialize;
use strata_framework::Number;
use tokio::sync::OnceCell;

/// An amount of money.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Money {
    /// `EUR` so far.
    pub currency_code: String,
    /// Whole units.
    pub units: i64,
    /// Billionths of a unit.
    pub nanos: i64,
}

impl Money {
    /// The amount in units of the currency.
    pub fn amount(&self) -> Option<Number> {
        Number::parse(&format!("{}.{:09}", self.units, self.nanos.unsigned_abs()))
    }
}

/// Some processors of one kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Like `AMD EPYC 7232P`.
    pub name: String,
    /// Cores of each.
    pub core_count: u32,
    /// Threads of each.
    pub thread_count: u32,
    /// MHz.
    pub frequency: u32,
}

/// Memory of one kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Bytes.
    pub capacity: u64,
    /// Like `DDR4`.
    #[serde(rename = "type")]
    pub kind: String,
    /// MHz.
    pub frequency: u32,
    /// Whether it corrects errors.
    pub is_ecc: bool,
}

/// One disk.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// Bytes.
    pub capacity: u64,
    /// `NVMe`, `SSD`, `HDD`, `MMC`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// An option that an offer has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OfferOption {
    /// Id.
    pub id: String,
    /// Name like `Private Network`.
    pub name: String,
    /// Part of the offer.
    pub enabled: bool,
    /// May be switched on and off later.
    pub manageable: bool,
    /// `hourly` or `monthly`, not always that of the offer.
    pub subscription_period: String,
    /// What it costs besides.
    pub price: Option<Money>,
}

impl OfferOption {
    /// Whether `wanted` is its id or its name.
    pub fn is_called(&self, wanted: &str) -> bool {
        self.id == wanted || self.name.eq_ignore_ascii_case(wanted)
    }
}

/// A machine type and its billing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Offer {
    /// Id; the monthly twin of an hourly offer has another.
    pub id: String,
    /// Name like `EM-I215E-NVME`, the same for both billings.
    pub name: String,
    /// Like `iridium`.
    pub commercial_range: String,
    /// `empty`, `low` or `available`.
    pub stock: String,
    /// Whether it can be ordered at all.
    pub enable: bool,
    /// `hourly` or `monthly`.
    pub subscription_period: String,
    /// Of hourly offers.
    pub price_per_hour: Option<Money>,
    /// Of monthly offers.
    pub price_per_month: Option<Money>,
    /// Due once, with the order.
    pub fee: Option<Money>,
    /// Of hourly offers that can migrate.
    pub monthly_offer_id: Option<String>,
    /// Bits per second to the internet.
    pub bandwidth: u64,
    /// Bits per second to the internet with the largest option.
    pub max_bandwidth: u64,
    /// Bits per second in private networks.
    pub private_bandwidth: u64,
    /// Whether the bandwidth is shared.
    pub shared_bandwidth: bool,
    /// The quota that limits orders.
    pub quota_name: String,
    /// Processors.
    pub cpus: Vec<Cpu>,
    /// Memory.
    pub memories: Vec<Memory>,
    /// Disks.
    pub disks: Vec<Disk>,
    /// OSes that cannot be installed.
    pub incompatible_os_ids: BTreeSet<String>,
    /// What can be had besides.
    pub options: Vec<OfferOption>,
    /// `cloud-init` and `install-system-v2` among others.
    pub tags: BTreeSet<String>,
}

impl Offer {
    /// Whether servers of this offer accept user data.
    pub fn takes_user_data(&self) -> bool {
        self.tags.contains("cloud-init")
    }

    /// Whether it installs within minutes instead of most of an hour, onto disks divided as asked.
    pub fn installs_fast(&self) -> bool {
        self.tags.contains("install-system-v2")
    }

    /// Whether it is paid by the month.
    pub fn is_monthly(&self) -> bool {
        self.subscription_period == "monthly"
    }
}

/// What an installation takes for one of its fields.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct OsField {
    /// Whether one may be given.
    pub editable: bool,
    /// Whether one is needed.
    pub required: bool,
    /// What holds when none is given.
    pub default_value: Option<String>,
}

impl OsField {
    /// Whether the order must bring a value.
    pub fn is_missing(&self) -> bool {
        self.required && self.default_value.is_none()
    }
}

/// An operating system that can be installed.
#[expect(clippy::struct_excessive_bools, reason = "as the API tells them")]
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Os {
    /// Id.
    pub id: String,
    /// Name like `Ubuntu`.
    pub name: String,
    /// Version like `22.04 LTS (Jammy Jellyfish)`.
    pub version: String,
    /// Whether it can be installed at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether this organization may.
    #[serde(default = "yes")]
    pub allowed: bool,
    /// Whether a licence must be bought with it.
    pub license_required: bool,
    /// Whether its disks can be divided as asked.
    pub custom_partitioning_supported: bool,
    /// Whether it runs cloud-init.
    pub cloud_init_supported: bool,
    /// Version of cloud-init, where there is one.
    pub cloud_init_version: Option<String>,
    /// SSH keys.
    pub ssh: OsField,
    /// User.
    pub user: OsField,
    /// Password of the user.
    pub password: OsField,
    /// User of a web service, as hypervisors have one.
    pub service_user: OsField,
    /// Password of that one.
    pub service_password: OsField,
}

fn yes() -> bool {
    true
}

impl Os {
    /// Name and version.
    pub fn full_name(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Whether `wanted` means this OS: its id, or its name followed by the beginning of its version (`Ubuntu 22.04`).
    pub fn is_called(&self, wanted: &str) -> bool {
        self.id == wanted || begins_with_words(&self.full_name(), wanted)
    }
}

/// Whether a text begins with another one, which ends where a word ends: `Ubuntu 2` must not mean 20.04 and 22.04 at once.
pub fn begins_with_words(text: &str, start: &str) -> bool {
    let rest = text
        .get(..start.len())
        .filter(|found| found.eq_ignore_ascii_case(start))
        .map(|_| &text[start.len()..]);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.'))
}

/// Lists that do not change within a run: each is fetched once per process, by whoever needs it first.
pub struct Once<T>(Mutex<HashMap<String, Shared<T>>>);

type Shared<T> = Arc<OnceCell<Arc<T>>>;

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Once<T> {
    /// What is kept under this key, or what `fetch` gets. A failure is not kept.
    pub async fn get<E>(
        &self,
        key: &str,
        fetch: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let cell = self
            .0
            .lock()
            .expect("no panic while held")
            .entry(key.to_owned())
            .or_default()
            .clone();
        cell.get_or_try_init(|| async { fetch.await.map(Arc::new) })
            .await
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_os_is_found_by_id_and_by_name_with_the_start_of_its_version() {
        let os = Os {
            id: "03b7f4ba".into(),
            name: "Ubuntu".into(),
            version: "22.04 LTS (Jammy Jellyfish)".into(),
            ..Os::default()
        };
        for wanted in [
            "03b7f4ba",
            "Ubuntu 22.04",
            "ubuntu 22.04 lts",
            "Ubuntu 22.04 LTS (Jammy Jellyfish)",
        ] {
            assert!(os.is_called(wanted), "{wanted}");
        }
        for wanted in [
            "Ubuntu 2",
            "Ubuntu 22",
            "Ubuntu 24.04",
            "Debian",
            "",
            "22.04",
        ] {
            assert!(!os.is_called(wanted), "{wanted}");
        }
    }

    #[test]
    fn money_is_a_decimal_number() {
        let money = |units, nanos| {
            let money = Money {
                units,
                nanos,
                ..Money::default()
            };
            money.amount().map(|amount| amount.text().to_owned())
        };
        assert_eq!(money(0, 904_000_000).as_deref(), Some("0.904"));
        assert_eq!(money(25, 200_000_000).as_deref(), Some("25.2"));
        assert_eq!(money(15, 0).as_deref(), Some("15"));
    }

    #[test]
    fn what_the_api_leaves_out_does_not_hinder() {
        let os: Os = serde_json::from_value(serde_json::json!({"id": "a", "name": "n"})).unwrap();
        assert!(os.enabled && os.allowed && !os.cloud_init_supported);
        let offer: Offer = serde_json::from_value(
            serde_json::json!({"id": "a", "name": "n", "fee": null, "brand_new": [1]}),
        )
        .unwrap();
        assert!(offer.fee.is_none() && offer.cpus.is_empty());
    }
}
