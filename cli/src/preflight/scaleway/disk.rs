//! DISK-01: a disk by size and kind that the offer does not have, or has several of that differ. The machine would find out too, but it would be paid for by then,
//! and could tell nobody.

use std::collections::{BTreeMap, BTreeSet};

use strata_cluster::{DiskLike, Node};

use crate::{finding::Finding, platform::scaleway::Offer};

/// One result for each node that would be ordered and chooses its disk so.
pub(super) fn choices(
    nodes: &BTreeMap<String, Node>,
    missing: &BTreeSet<&str>,
    offers: &BTreeMap<String, Vec<Offer>>,
) -> Vec<Option<Finding>> {
    let ordered = nodes
        .iter()
        .filter(|(name, _)| missing.contains(name.as_str()));
    ordered
        .filter_map(|(name, node)| {
            let like = node.disk_like.as_ref()?;
            let (zone, wanted) = (node.zone.as_ref()?, node.offer.as_ref()?);
            let list = offers.get(zone)?;
            let offer = list.iter().find(|offer| offer.name == *wanted)?;
            Some(choice(name, like, offer))
        })
        .collect()
}

fn choice(node: &str, like: &DiskLike, offer: &Offer) -> Option<Finding> {
    let fits: Vec<u64> = offer
        .disks
        .iter()
        .filter(|disk| like.min.is_none_or(|min| disk.capacity >= min))
        .filter(|disk| like.r#type.as_ref().is_none_or(|kind| *kind == disk.kind))
        .map(|disk| disk.capacity)
        .collect();
    let what = if fits.is_empty() {
        "has no disk like that"
    } else if fits.iter().any(|size| *size != fits[0]) {
        "has several disks like that, and they differ in size"
    } else {
        return None;
    };
    let all: Vec<String> = offer
        .disks
        .iter()
        .map(|disk| format!("{} {} GB", disk.kind, disk.capacity / 1_000_000_000))
        .collect();
    Some(Finding::error(
        "DISK-01",
        format!(
            "nodes.{node}.disk: offer {} {what}: it has {}",
            offer.name,
            all.join(", ")
        ),
        "change min and type so that they say one disk, or several of one size; or name the disk as it stands below /dev/disk/by-id",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_must_come_to_one_size_before_anything_is_ordered() {
        let offer: Offer = serde_json::from_value(serde_json::json!({ "name": "A", "disks": [
            { "capacity": 480_000_000_000_u64, "type": "NVMe" },
            { "capacity": 960_000_000_000_u64, "type": "NVMe" },
            { "capacity": 960_000_000_000_u64, "type": "NVMe" },
            { "capacity": 8_000_000_000_000_u64, "type": "HDD" },
        ]}))
        .unwrap();
        let choice = |min, kind: Option<&str>| {
            let r#type = kind.map(str::to_owned);
            choice("w-1", &DiskLike { min, r#type }, &offer).map(|finding| finding.to_string())
        };
        assert_eq!(choice(Some(900_000_000_000), Some("NVMe")), None);
        assert_eq!(choice(None, Some("HDD")), None);
        for (min, kind, words) in [
            (
                None,
                Some("SSD"),
                "has no disk like that: it has NVMe 480 GB, NVMe 960 GB",
            ),
            (Some(900_000_000_000), None, "differ in size"),
            (Some(9_000_000_000_000), None, "has no disk"),
        ] {
            let told = choice(min, kind).unwrap();
            assert!(
                told.contains(words) && told.contains("nodes.w-1.disk"),
                "{told}"
            );
        }
    }
}
