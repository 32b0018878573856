//! Everything that can be known before anything is changed. Reads only; all findings, not only the first.

mod operator;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use strata_cluster::Node;
use strata_provider::{
    credential::{self, CLOUDFLARE},
    environment::{Environment, OnDemand},
    services::scaleway::wire::Server,
    store::{self, Description, Name, Store, file::File},
};

use crate::{
    cluster::Cluster,
    finding::{Finding, Report, counted},
    kit::recency,
    lab,
    platform::{Offer, Platform, mark},
    price::{Bill, over_budget},
    project::{Layer, Project},
    terraform,
};

/// What `up` wants to know besides the findings.
#[derive(Debug, Default)]
pub(crate) struct Preflight {
    pub(crate) report: Report,
    /// Price of all servers of the cluster, when every price is known.
    pub(crate) whole: Option<Bill>,
    /// Price of those that would be ordered.
    pub(crate) ordered: Option<Bill>,
    /// Nodes that have no server yet.
    pub(crate) missing: Vec<String>,
    /// Which source each credential comes from, never its value.
    pub(crate) credentials: Vec<String>,
}

/// Runs all checks. `replace`: a node that is ordered although it has a server.
pub(crate) async fn run(
    project: &Project,
    cluster: &Cluster,
    environment: &Environment,
    replace: Option<&str>,
) -> Preflight {
    let mut preflight = Preflight::default();
    let report = &mut preflight.report;
    // The file was accepted, or we would not be here.
    report.pass();
    for warning in cluster.warnings() {
        report.find(warning);
    }
    report.check(
        terraform::version()
            .await
            .err()
            .map(|(message, fix)| Finding::error("TF-01", message, fix)),
    );
    let owner = check_store(project, cluster, report).await;
    match Platform::new(project, environment, cluster).await {
        Err(error) => report.find(Finding::error("SCW-01", format!("Scaleway cannot be asked: {error:#}"), "export SCW_SECRET_KEY and SCW_DEFAULT_PROJECT_ID of an API key with rights on Elastic Metal")),
        Ok(platform) => {
            let credential = format!("Scaleway from {}", platform.credential());
            preflight.credentials.push(credential);
            check_platform(&platform, cluster, owner.as_deref(), replace, &mut preflight).await;
        }
    }
    if cluster.spec.dns.kind == "cloudflare" {
        check_cloudflare(project, cluster, environment, &mut preflight).await;
    }
    if cluster.spec.access.operators_auto {
        let missing = !preflight.missing.is_empty();
        operator::check(environment, missing, &mut preflight.report).await;
    }
    preflight
}

/// The store can be read; gives the owner that it remembers.
async fn check_store(project: &Project, cluster: &Cluster, report: &mut Report) -> Option<String> {
    let store = match open_store(project, cluster) {
        Ok(store) => store,
        Err(error) => {
            report.find(Finding::error(
                "STORE-01",
                format!("the store cannot be opened: {error:#}"),
                "correct `store` in the cluster file",
            ));
            return None;
        }
    };
    let description = store.describe();
    let kind = description.kind;
    let shares_state = Layer::ALL
        .into_iter()
        .any(|layer| project.backend(layer).is_some());
    report.check(private_store(&description, shares_state));
    report.check(recency::finding(project, cluster, &*store).await);
    match stored_estate(&*store).await {
        Ok(stored) => {
            let recorded = project.estate();
            report.check(other_estate(stored.as_deref(), recorded.as_deref()));
            if project.backend(Layer::Auth).is_none() {
                report.check(lost_state(stored.as_deref(), recorded.as_deref()));
            }
            // Lost store or lost state: either alone says whose cluster this is.
            stored.or(recorded)
        }
        Err(error) => {
            report.find(Finding::error(
                "STORE-02",
                format!("the store cannot be read: {error}"),
                way_in(kind),
            ));
            None
        }
    }
}

/// STORE-04: several operators share the state, and the store cannot keep them apart.
fn private_store(store: &Description, shares_state: bool) -> Option<Finding> {
    (shares_state && !store.exclusive_across_machines).then(|| {
        Finding::warning(
            "STORE-04",
            format!(
                "the state is shared and store {} is not: {}",
                store.kind,
                store.promise()
            ),
            "let one person at a time run `up`, or choose a store that several can share: infisical or vault",
        )
    })
}

/// What gives access to a store of this kind.
fn way_in(kind: &str) -> &'static str {
    match kind {
        "infisical" => {
            "check INFISICAL_UNIVERSAL_AUTH_CLIENT_ID and INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET, and what the machine identity may do"
        }
        "vault" => "log in with `vault login`, or set VAULT_ADDR and VAULT_TOKEN",
        "keyring" => "unlock the keyring of this desktop session",
        _ => {
            "bring back the identity file that the store was encrypted to, or name it in STRATA_IDENTITY"
        }
    }
}

/// OWN-02: store and state belong to different estates.
fn other_estate(stored: Option<&str>, recorded: Option<&str>) -> Option<Finding> {
    let (stored, recorded) = (stored?, recorded?);
    (stored != recorded).then(|| {
        Finding::error(
            "OWN-02",
            format!("the store belongs to estate {stored} and layer 00's state to {recorded}"),
            "bring back the store that goes with the state, or the state that goes with the store",
        )
    })
}

/// OWN-03: `up` would make a new estate beside the one that the store knows.
fn lost_state(stored: Option<&str>, recorded: Option<&str>) -> Option<Finding> {
    let stored = stored.filter(|_| recorded.is_none())?;
    Some(Finding::error(
        "OWN-03",
        format!(
            "the store belongs to estate {stored}, and layer 00 has no state here: it was lost, or is somewhere else"
        ),
        "./bootstrap.sh adopt rebuilds it from the store and the platform's marks; or bring it back: ./bootstrap.sh kit restore FILE",
    ))
}

/// The estate that the store belongs to, if it remembers one.
pub(crate) async fn stored_estate(store: &dyn Store) -> store::Result<Option<String>> {
    let name = Name::parse("estate").expect("a constant that parses");
    let entry = store.get(&name).await?;
    Ok(entry.map(|entry| entry.value.expose().clone()))
}

/// The cluster's store. Touches nothing.
pub(crate) fn open_store(project: &Project, cluster: &Cluster) -> anyhow::Result<Arc<dyn Store>> {
    let environment = if cluster.is_lab() {
        OnDemand::lab(lab::url(project))
    } else {
        OnDemand::real()
    };
    Ok(store::open(store::Opening {
        settings: &cluster.spec.store,
        cluster: cluster.name(),
        root: &project.root,
        environment,
    })?)
}

/// The same for what only a store of kind `file` can do.
pub(crate) fn file_store(project: &Project, cluster: &Cluster) -> anyhow::Result<File> {
    let settings = &cluster.spec.store;
    let identity = store::file::identity_path(&project.root, cluster.name(), cluster.is_lab());
    Ok(File::new(
        store_folder(project, cluster)?,
        identity,
        settings.recipients.as_deref().unwrap_or_default(),
    )?)
}

/// Where a store of kind `file` lies.
pub(crate) fn store_folder(project: &Project, cluster: &Cluster) -> anyhow::Result<PathBuf> {
    let path = cluster.spec.store.path.as_deref();
    Ok(project
        .root
        .join(path.context("a store of kind file has a path")?))
}

async fn check_platform(
    platform: &Platform,
    cluster: &Cluster,
    owner: Option<&str>,
    replace: Option<&str>,
    preflight: &mut Preflight,
) {
    let report = &mut preflight.report;
    let servers = match platform.servers().await {
        Ok(servers) => servers,
        Err(error) => {
            report.find(Finding::error(
                "SCW-02",
                format!("Scaleway refuses: {error:#}"),
                "check the API key, its rights and the project",
            ));
            return;
        }
    };
    report.pass();
    report.check(foreign(&servers, owner, cluster.name()));
    let nodes = &cluster.spec.nodes;
    let missing: BTreeSet<&str> = nodes
        .keys()
        .map(String::as_str)
        .filter(|name| {
            replace == Some(name)
                || !servers
                    .iter()
                    .any(|server| mark(server, "strata-node") == Some(name))
        })
        .collect();
    let mut offers: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
    for zone in platform.zones() {
        match platform.offers(zone).await {
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
    preflight.whole = Bill::of(nodes.values(), &offers);
    let ordered = nodes
        .iter()
        .filter(|(name, _)| missing.contains(name.as_str()));
    preflight.ordered = Bill::of(ordered.map(|(_, node)| node), &offers);
    report.check(over_budget(
        preflight.whole.as_ref(),
        cluster.spec.max_per_month.as_deref(),
    ));
    preflight.missing = missing.into_iter().map(str::to_owned).collect();
}

/// DNS-04: the records could not be written, which would show only after machines were ordered.
async fn check_cloudflare(
    project: &Project,
    cluster: &Cluster,
    environment: &Environment,
    preflight: &mut Preflight,
) {
    // A store that cannot be opened or read has a finding of its own.
    let Ok(store) = open_store(project, cluster) else {
        return;
    };
    match CLOUDFLARE.find(environment, None, &*store).await {
        Ok((_, source)) => {
            preflight.report.pass();
            preflight
                .credentials
                .push(format!("Cloudflare from {source}"));
        }
        Err(credential::Error::Store(_)) => {}
        Err(error) => preflight.report.find(Finding::error(
            "DNS-04",
            format!("Cloudflare's API token is not to be found: {error}"),
            format!(
                "export CLOUDFLARE_API_TOKEN, or put the token into the store as {}",
                CLOUDFLARE.entry
            ),
        )),
    }
}

/// OWN-01: somebody else's cluster of the same name.
fn foreign(servers: &[Server], owner: Option<&str>, cluster: &str) -> Option<Finding> {
    let others: Vec<_> = servers
        .iter()
        .filter(|server| mark(server, "strata-owner") != owner)
        .collect();
    let first = others.first()?;
    let theirs = mark(first, "strata-owner").unwrap_or("nobody");
    let ours = owner.map_or_else(
        || "this checkout has none yet".to_owned(),
        |owner| format!("ours is {owner}"),
    );
    let names: Vec<_> = others.iter().map(|server| server.name.as_str()).collect();
    Some(Finding::error(
        "OWN-01",
        format!(
            "{} marked as cluster {cluster} of owner {theirs} ({ours}): {}",
            counted(others.len(), "server"),
            names.join(" ")
        ),
        format!(
            "if that cluster is yours, bring its store here (./bootstrap.sh kit restore FILE) and rebuild lost state (./bootstrap.sh adopt takes over estate {theirs}); else choose another name"
        ),
    ))
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
            let json = serde_json::json!({ "role": "worker", "zone": "fr-par-2", "offer": offer, "labels": {}, "taints": [], "disk": null, "wipe": "all", "on_create_failure": "keep" });
            serde_json::from_value(json).unwrap()
        };
        offers
            .iter()
            .map(|(name, offer)| ((*name).to_owned(), node(offer)))
            .collect()
    }

    fn server(name: &str, owner: &str) -> Server {
        serde_json::from_value(serde_json::json!({ "id": "1", "name": name, "status": "ready", "tags": ["strata-cluster=home", format!("strata-owner={owner}")] })).unwrap()
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

    #[test]
    fn who_shares_the_state_learns_what_the_store_cannot_do() {
        let store = |kind, exclusive_across_machines| Description {
            kind,
            location: String::new(),
            exclusive_across_machines,
        };
        let finding = private_store(&store("file", false), true).unwrap();
        assert!(
            finding.code == "STORE-04" && finding.message.contains("marks of the servers"),
            "{finding}"
        );
        assert_eq!(private_store(&store("file", false), false), None);
        assert_eq!(private_store(&store("vault", true), true), None);
    }

    #[test]
    fn servers_of_another_owner_are_named() {
        let servers = [server("home-cp-1", "them")];
        assert_eq!(foreign(&servers, Some("them"), "home"), None);
        let finding = foreign(&servers, None, "home").unwrap();
        assert_eq!(finding.code, "OWN-01");
        assert!(
            finding.message.contains("home-cp-1") && finding.message.contains("them"),
            "{finding}"
        );
    }
}
