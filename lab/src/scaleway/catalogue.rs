//! Offers, operating systems and options, from recorded data (`lab/data`, see its README for what is made up).
//!
//! Every zone has the same offers; stock is counted per zone by the state. Offers come in rising price, as recorded.

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};

/// What an hourly price is multiplied with for the monthly twin; not recorded.
const HOURS_PER_MONTH: u64 = 500;

/// How quickly machines of an offer are delivered and installed (contract 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Ready within seconds, installed in 5 to 7 minutes.
    Fast,
    /// Ready after minutes, installed in about half an hour.
    Slow,
}

/// One offer, hourly or monthly.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) monthly: bool,
    pub(super) cloud_init: bool,
    pub(super) custom_partitioning: bool,
    pub(super) family: Family,
    /// Type and bytes of each disk.
    pub(super) disks: Vec<(String, u64)>,
    pub(super) incompatible_os_ids: Vec<String>,
    /// `empty`, `low` or `available` at the start.
    pub(super) recorded_stock: String,
    value: Value,
}

/// One operating system.
#[derive(Debug, Clone)]
pub(super) struct System {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) cloud_init: bool,
    pub(super) custom_partitioning: bool,
    pub(super) enabled: bool,
    pub(super) default_user: String,
    /// Of `ssh`, `password`, `service_password`: what an order must bring.
    pub(super) needs: Vec<&'static str>,
    value: Value,
}

/// The whole catalogue.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) offers: Vec<Offer>,
    pub(super) systems: Vec<System>,
}

impl Catalogue {
    /// Reads the data compiled into the binary.
    pub(super) fn load() -> Self {
        let offers: Value = serde_json::from_str(include_str!("../../data/offers.json"))
            .expect("data file is valid");
        let systems: Value =
            serde_json::from_str(include_str!("../../data/os.json")).expect("data file is valid");
        let hourly = offers["offers"].as_array().expect("data file has offers");
        Self {
            offers: hourly
                .iter()
                .cloned()
                .chain(hourly.iter().filter_map(monthly_twin))
                .map(Offer::new)
                .collect(),
            systems: systems["os"]
                .as_array()
                .expect("data file has systems")
                .iter()
                .cloned()
                .map(System::new)
                .collect(),
        }
    }

    /// An offer by id, hourly or monthly.
    pub(super) fn offer(&self, id: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.id == id)
    }

    /// An hourly offer by name.
    pub(super) fn hourly(&self, name: &str) -> Option<&Offer> {
        let mut hourly = self.offers.iter().filter(|offer| !offer.monthly);
        hourly.find(|offer| offer.name == name)
    }

    /// An operating system by id.
    pub(super) fn system(&self, id: &str) -> Option<&System> {
        self.systems.iter().find(|system| system.id == id)
    }

    /// All options that offers name, without prices, sorted by name; of one offer when `offer_id` is given.
    pub(super) fn options(&self, zone: &str, offer_id: Option<&str>) -> Vec<Value> {
        let mut options: Vec<Value> = Vec::new();
        for offer in self
            .offers
            .iter()
            .filter(|offer| offer_id.is_none_or(|id| offer.id == id))
        {
            for option in offer.value["options"].as_array().into_iter().flatten() {
                if options.iter().any(|known| known["id"] == option["id"]) {
                    continue;
                }
                let mut option = option.clone();
                let fields = option.as_object_mut().expect("options are objects");
                for key in ["enabled", "os_id", "price", "subscription_period"] {
                    fields.remove(key);
                }
                fields.insert("zone".into(), zone.into());
                options.push(option);
            }
        }
        options.sort_by_key(|option| option["name"].as_str().unwrap_or_default().to_owned());
        options
    }
}

/// The monthly twin of an hourly offer: same name, another id, a fee of one month's price.
fn monthly_twin(hourly: &Value) -> Option<Value> {
    let id = hourly["monthly_offer_id"].as_str()?;
    let price = &hourly["price_per_hour"];
    let nanos = price["units"].as_u64()? * 1_000_000_000 + price["nanos"].as_u64()?;
    let month = nanos * HOURS_PER_MONTH;
    let money = json!({ "currency_code": "EUR", "nanos": month % 1_000_000_000, "units": month / 1_000_000_000 });
    let mut twin = hourly.clone();
    let fields = twin.as_object_mut()?;
    for (key, value) in [
        ("id", id.into()),
        ("subscription_period", "monthly".into()),
        ("price_per_hour", Value::Null),
        ("price_per_month", money.clone()),
        ("fee", money),
        ("monthly_offer_id", Value::Null),
    ] {
        fields.insert(key.into(), value);
    }
    Some(twin)
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Offer {
    fn new(value: Value) -> Self {
        let tags = texts(&value["tags"]);
        let name = text(&value["name"]);
        let custom_partitioning = tags.iter().any(|tag| tag == "install-system-v2");
        let disks = value["disks"].as_array().into_iter().flatten();
        Self {
            id: text(&value["id"]),
            monthly: value["subscription_period"] == "monthly",
            cloud_init: tags.iter().any(|tag| tag == "cloud-init"),
            // A115X is fast although it has no tag (contract 5.3).
            family: if custom_partitioning || name == "EM-A115X-SSD" {
                Family::Fast
            } else {
                Family::Slow
            },
            custom_partitioning,
            disks: disks
                .map(|disk| {
                    (
                        text(&disk["type"]),
                        disk["capacity"].as_u64().unwrap_or_default(),
                    )
                })
                .collect(),
            incompatible_os_ids: texts(&value["incompatible_os_ids"]),
            recorded_stock: text(&value["stock"]),
            name,
            value,
        }
    }

    /// One of its options, as the offer tells it.
    pub(super) fn option(&self, id: &str) -> Option<Value> {
        let mut options = self.value["options"].as_array().into_iter().flatten();
        options.find(|option| option["id"] == id).cloned()
    }

    /// The id of the same machine paid by the month.
    pub(super) fn monthly_twin(&self) -> Option<&str> {
        self.value["monthly_offer_id"].as_str()
    }

    /// The wire form; the order inside `incompatible_os_ids` and `options` changes from call to call, as recorded.
    pub(super) fn view(&self, zone: &str, stock: &str, shuffle: &mut StdRng) -> Value {
        let mut value = self.value.clone();
        let fields = value.as_object_mut().expect("offers are objects");
        fields.insert("stock".into(), stock.into());
        fields.insert("zone".into(), zone.into());
        for key in ["incompatible_os_ids", "options"] {
            if let Some(list) = fields.get_mut(key).and_then(Value::as_array_mut) {
                list.shuffle(shuffle);
            }
        }
        value
    }

    /// The default layout (contract 3.4), `null` for offers without custom partitioning.
    pub(super) fn default_partitioning(&self) -> Value {
        // What the recorded layout leaves free at the end of a disk.
        const RESERVED: u64 = 5_379_547_136;
        if !self.custom_partitioning {
            return Value::Null;
        }
        let part = |label: &str, number: usize, size: u64| json!({ "label": label, "number": number, "size": size, "use_all_available_space": false });
        let mut disks = Vec::new();
        let (mut boots, mut roots) = (Vec::new(), Vec::new());
        for (index, (_, capacity)) in self.disks.iter().take(2).enumerate() {
            let device = format!("/dev/nvme{index}n1");
            let mut wanted = vec![
                ("swap", 4_294_967_296),
                ("boot", 536_870_912),
                ("root", capacity.saturating_sub(RESERVED)),
            ];
            if index == 0 {
                wanted.insert(0, ("uefi", 536_870_912));
            }
            let count = wanted.len();
            boots.push(format!("{device}p{}", count - 1));
            roots.push(format!("{device}p{count}"));
            let partitions: Vec<Value> = wanted
                .iter()
                .enumerate()
                .map(|(at, (label, size))| part(label, at + 1, *size))
                .collect();
            disks.push(json!({ "device": device, "partitions": partitions }));
        }
        json!({
            "disks": disks,
            "filesystems": [
                { "device": "/dev/nvme0n1p1", "format": "fat32", "mountpoint": "/boot/efi" },
                { "device": "/dev/md0", "format": "ext4", "mountpoint": "/boot" },
                { "device": "/dev/md1", "format": "ext4", "mountpoint": "/" },
            ],
            "raids": [
                { "devices": boots, "level": "raid_level_1", "name": "/dev/md0" },
                { "devices": roots, "level": "raid_level_1", "name": "/dev/md1" },
            ],
            "zfs": { "pools": [] },
        })
    }
}

impl System {
    fn new(value: Value) -> Self {
        let needs = |field: &str| {
            value[field]["required"] == true && value[field]["default_value"].is_null()
        };
        Self {
            id: text(&value["id"]),
            name: format!("{} {}", text(&value["name"]), text(&value["version"])),
            cloud_init: value["cloud_init_supported"] == true,
            custom_partitioning: value["custom_partitioning_supported"] == true,
            enabled: value["enabled"] == true && value["allowed"] == true,
            default_user: text(&value["user"]["default_value"]),
            needs: ["ssh", "password", "service_password"]
                .into_iter()
                .filter(|field| needs(field))
                .collect(),
            value,
        }
    }

    /// The wire form.
    pub(super) fn view(&self, zone: &str) -> Value {
        let mut value = self.value.clone();
        value
            .as_object_mut()
            .expect("systems are objects")
            .insert("zone".into(), zone.into());
        value
    }
}
