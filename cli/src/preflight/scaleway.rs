//! Offers that the cluster wants: whether they exist, are in stock, and what they cost.

mod disk;

use std::collections::{BTreeMap, BTreeSet};

use strata_cluster::Node;

use super::Preflight;
use crate::{
    cluster::Cluster,
    finding::Finding,
    platform::scaleway::{Offer, Scaleway},
    price::{Bill, over_budget},
};

pub(super) async fn check(scaleway: &Scaleway, cluster: &Cluster, preflight: &mut Preflight) {
    let report = &mut preflight.report;
    let nodes = &cluster.spec.nodes;
    let missing: BTreeSet<&str> = preflight.missing.iter().map(String::as_str).collect();
    let mut offers: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
    for zone in scaleway.zones() {
        match scaleway.offers(zone).await {
            Ok(list) => {
                report.pass();
                offers.insert(zone.clone(), list);
            }
            Err(error) => report.find(Finding::error(
                "SCW-03",
                format!("offers in {zone} cannot be listed: {error:#}"),
                "check the zone's name, and try again",
            )),
        }
    }
    for result in stock(nodes, &missing, &offers) {
        report.check(result);
    }
    for result in disk::choices(nodes, &missing, &offers) {
        report.check(result);
    }
    report.check(by_rescue(cluster, &missing));
    preflight.whole = Bill::of(nodes.values(), &offers);
    let ordered = nodes
        .iter()
        .filter(|(name, _)| missing.contains(name.as_str()));
    preflight.ordered = Bill::of(ordered.map(|(_, node)| node), &offers);
    report.check(over_budget(
        preflight.whole.as_ref(),
        cluster.spec.max_per_month.as_deref(),
    ));
}

/// What cannot be known of a machine that is installed from the rescue system, said before it is ordered.
fn by_rescue(cluster: &Cluster, missing: &BTreeSet<&str>) -> Option<Finding> {
    let scaleway = cluster.spec.platform.scaleway.as_ref()?;
    let ordered = cluster.spec.nodes.keys();
    let ordered: Vec<&str> = ordered
        .map(String::as_str)
        .filter(|name| missing.contains(name))
        .collect();
    (scaleway.install == "rescue" && !ordered.is_empty()).then(|| {
        Finding::warning(
            "SCW-09",
            format!(
                "{} will be installed from the rescue system, whose host key nobody can know: it is trusted on first use, and whoever poses as the machine then is taken for it from then on",
                ordered.join(", ")
            ),
            "nothing, if you trust the way there; else platform.scaleway.install: cloud-init",
        )
    })
}

/// One result for each offer that the cluster uses.
fn stock(
    nodes: &BTreeMap<String, Node>,
    missing: &BTreeSet<&str>,
    offers: &BTreeMap<String, Vec<Offer>>,
) -> Vec<Option<Finding>> {
    let mut wanted: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for (name, node) in nodes {
        if let (Some(zone), Some(offer)) = (&node.zone, &node.offer) {
            *wanted.entry((zone, offer)).or_default() +=
                usize::from(missing.contains(name.as_str()));
        }
    }
    let check = |((zone, name), needed): ((&str, &str), usize)| {
        let list = offers.get(zone)?;
        let Some(offer) = list.iter().find(|offer| offer.name == name) else {
            let names: Vec<_> = list
                .iter()
                .filter(|offer| offer.enable)
                .map(|offer| offer.name.as_str())
                .collect();
            return Some(Finding::error(
                "SCW-06",
                format!("offer {name} does not exist in {zone}"),
                format!("choose one of {}", names.join(" ")),
            ));
        };
        if needed == 0 {
            return None;
        }
        if offer.stock == "empty" || !offer.enable {
            let other = list
                .iter()
                .find(|other| other.enable && other.stock == "available")
                .map_or("another zone", |other| other.name.as_str());
            return Some(Finding::error(
                "SCW-07",
                format!(
                    "offer {name} in {zone}: stock `{}`, {needed} needed; nothing would be ordered",
                    offer.stock
                ),
                format!(
                    "choose another offer or zone, for example --set defaults.worker.offer={other}"
                ),
            ));
        }
        (offer.stock == "low").then(|| {
            Finding::warning(
                "SCW-08",
                format!("offer {name} in {zone}: stock `low` (about 5 or fewer), {needed} needed"),
                "order soon, or choose another offer",
            )
        })
    };
    wanted.into_iter().map(check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(name: &str, stock: &str) -> Offer {
        serde_json::from_value(
            serde_json::json!({ "name": name, "stock": stock, "enable": stock != "empty" }),
        )
        .unwrap()
    }

    fn nodes(offers: &[(&str, &str)]) -> BTreeMap<String, Node> {
        let node = |offer: &str| {
            let json = serde_json::json!({ "role": "worker", "zone": "fr-par-2", "offer": offer, "labels": {}, "taints": [], "disk": null, "wipe": "all", "patches": [], "on_create_failure": "keep" });
            serde_json::from_value(json).unwrap()
        };
        offers
            .iter()
            .map(|(name, offer)| ((*name).to_owned(), node(offer)))
            .collect()
    }

    #[test]
    fn an_empty_offer_stops_only_who_needs_it() {
        let offers = BTreeMap::from([(
            "fr-par-2".to_owned(),
            vec![
                offer("A", "empty"),
                offer("B", "low"),
                offer("C", "available"),
            ],
        )]);
        let nodes = nodes(&[("w-1", "A"), ("w-2", "B"), ("w-3", "C"), ("w-4", "D")]);
        let codes = |missing: &[&str]| -> Vec<_> {
            stock(&nodes, &missing.iter().copied().collect(), &offers)
                .into_iter()
                .flatten()
                .map(|finding| finding.code)
                .collect()
        };
        assert_eq!(
            codes(&["w-1", "w-2", "w-3", "w-4"]),
            ["SCW-07", "SCW-08", "SCW-06"]
        );
        assert_eq!(codes(&[]), ["SCW-06"]);
    }
}
