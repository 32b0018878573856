//! Partitioning schemas (contract 3.4): what the API refuses, and what it silently does not understand.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Scaleway;
use super::catalogue::{Offer, System};
use super::error::Refusal;
use super::query::Query;
use super::routes::{Answer, Parameters, known_zone, no_content, parse_body};

const LABELS: [&str; 10] = [
    "unknown_partition_label",
    "uefi",
    "legacy",
    "root",
    "boot",
    "swap",
    "data",
    "home",
    "raid",
    "zfs",
];
const LEVELS: [&str; 5] = [
    "raid_level_0",
    "raid_level_1",
    "raid_level_5",
    "raid_level_6",
    "raid_level_10",
];
const FORMATS: [&str; 5] = ["fat32", "ext4", "swap", "zfs", "xfs"];

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// Whether every key is one that the API knows. With any other it silently lays the disks out as it likes.
fn is_understood(schema: &Value) -> bool {
    let only = |value: &Value, keys: &[&str]| {
        value
            .as_object()
            .is_none_or(|fields| fields.keys().all(|key| keys.contains(&key.as_str())))
    };
    let partition = ["label", "number", "size", "use_all_available_space"];
    only(schema, &["disks", "raids", "filesystems", "zfs"])
        && items(schema, "disks").all(|disk| {
            only(disk, &["device", "partitions"])
                && items(disk, "partitions").all(|one| only(one, &partition))
        })
        && items(schema, "raids").all(|raid| only(raid, &["name", "level", "devices"]))
        && items(schema, "filesystems").all(|one| only(one, &["device", "format", "mountpoint"]))
        && only(&schema["zfs"], &["pools"])
}

/// The layout that an installation uses, `null` on offers that cannot.
pub(super) fn layout(
    offer: &Offer,
    system: &System,
    wanted: Option<&Value>,
) -> Result<Value, Refusal> {
    let Some(schema) = wanted.filter(|schema| !schema.is_null()) else {
        return Ok(offer.default_partitioning());
    };
    check(offer, system, schema)?;
    if is_understood(schema) {
        Ok(schema.clone())
    } else {
        Ok(offer.default_partitioning())
    }
}

fn check(offer: &Offer, system: &System, schema: &Value) -> Result<(), Refusal> {
    let wrong = |help: &str| Err(Refusal::invalid("partitioning_schema", "constraint", help));
    if !offer.custom_partitioning || !system.custom_partitioning {
        return Err(Refusal::bare(
            StatusCode::NOT_FOUND,
            "Custom Partitioning not supported",
        ));
    }
    let mut devices: Vec<String> = Vec::new();
    for disk in items(schema, "disks") {
        let device = disk["device"].as_str().unwrap_or_default();
        let index = device
            .strip_prefix("/dev/nvme")
            .and_then(|rest| rest.strip_suffix("n1"));
        let capacity = index
            .and_then(|index| index.parse::<usize>().ok())
            .and_then(|index| offer.disks.get(index));
        let Some((_, capacity)) = capacity else {
            return wrong(&format!("no disk {device} on this offer"));
        };
        let mut sum = 0;
        for partition in items(disk, "partitions") {
            if !LABELS.contains(&partition["label"].as_str().unwrap_or_default()) {
                return wrong(&format!("unknown label {}", partition["label"]));
            }
            let rest = partition["use_all_available_space"] == true;
            let size = partition["size"].as_u64().unwrap_or_default();
            if size == 0 && !rest {
                return wrong("a partition without size");
            }
            sum += size;
            devices.push(format!("{device}p{}", partition["number"]));
        }
        if sum > *capacity {
            return wrong(&format!("partitions of {device} exceed its size"));
        }
    }
    for raid in items(schema, "raids") {
        if !LEVELS.contains(&raid["level"].as_str().unwrap_or_default()) {
            return wrong(&format!("unknown raid level {}", raid["level"]));
        }
        let known = |device: &Value| devices.iter().any(|known| device == known.as_str());
        if !items(raid, "devices").all(known) {
            return wrong("a raid of a partition that is not in the schema");
        }
    }
    devices
        .extend(items(schema, "raids").filter_map(|raid| raid["name"].as_str().map(str::to_owned)));
    for filesystem in items(schema, "filesystems") {
        if !FORMATS.contains(&filesystem["format"].as_str().unwrap_or_default()) {
            return wrong(&format!("unknown format {}", filesystem["format"]));
        }
        if !devices
            .iter()
            .any(|known| filesystem["device"] == known.as_str())
        {
            return wrong("a filesystem on a device that is not in the schema");
        }
    }
    if !items(schema, "filesystems").any(|one| one["mountpoint"] == "/") {
        return wrong("no filesystem is mounted on /");
    }
    Ok(())
}

/// `GET .../partitioning-schemas/default`.
pub(super) async fn default(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    known_zone(&zone)?;
    let query = Query::parse(pairs, &["offer_id", "os_id"])?;
    let id = query
        .one("offer_id")
        .ok_or_else(|| Refusal::invalid("offer_id", "required", ""))?;
    let offer = scaleway
        .0
        .catalogue
        .offer(id)
        .ok_or_else(|| Refusal::not_found("offer", id))?;
    match offer.default_partitioning() {
        Value::Null => Err(Refusal::bare(
            StatusCode::NOT_FOUND,
            "Custom Partitioning not supported",
        )),
        schema => Ok(Json(schema)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Validate {
    offer_id: String,
    os_id: String,
    partitioning_schema: Value,
}

/// `POST .../partitioning-schemas/validate`.
pub(super) async fn validate(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    known_zone(&zone)?;
    let validate: Validate = parse_body(&body)?;
    let catalogue = &scaleway.0.catalogue;
    let offer = catalogue
        .offer(&validate.offer_id)
        .ok_or_else(|| Refusal::not_found("offer", &validate.offer_id))?;
    let system = catalogue
        .system(&validate.os_id)
        .ok_or_else(|| Refusal::not_found("os", &validate.os_id))?;
    check(offer, system, &validate.partitioning_schema)?;
    Ok(no_content())
}
