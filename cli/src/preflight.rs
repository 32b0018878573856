//! Everything that can be known before anything is changed. Reads only; all findings, not only the first.

mod archive;
mod operator;
mod proxmox;
mod scaleway;
mod vpn;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use strata_provider::{
    credential::{self, CLOUDFLARE},
    environment::{Environment, OnDemand},
    store::{self, Description, Name, Store, file::File},
};

use crate::{
    cluster::Cluster,
    finding::{Finding, Report, counted},
    kit::recency,
    lab,
    platform::{Machine, Platform},
    price::Bill,
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
    /// Nodes that have no server yet, or get another one.
    pub(crate) missing: Vec<String>,
    /// Those of them whose machine stands until then.
    pub(crate) replaced: Vec<String>,
    /// Which source each credential comes from, never its value.
    pub(crate) credentials: Vec<String>,
}

/// Runs all checks. `replace`: nodes that are ordered although they have a machine.
pub(crate) async fn run(
    project: &Project,
    cluster: &Cluster,
    environment: &Environment,
    replace: &[&str],
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
        Err(error) => preflight.report.find(cannot_be_asked(cluster, &error)),
        Ok(platform) => {
            preflight.credentials.push(format!(
                "{} from {}",
                platform.name(),
                platform.credential()
            ));
            if check_machines(
                &platform,
                cluster,
                owner.as_deref(),
                replace,
                &mut preflight,
            )
            .await
            {
                match &platform {
                    Platform::Scaleway(scaleway) => {
                        scaleway::check(scaleway, cluster, &mut preflight).await;
                    }
                    Platform::Proxmox(proxmox) => {
                        let owner = owner.as_deref();
                        proxmox::check(proxmox, cluster, environment, owner, &mut preflight).await;
                    }
                }
            }
        }
    }
    if cluster.spec.dns.kind == "cloudflare" {
        check_cloudflare(project, cluster, environment, &mut preflight).await;
    }
    archive::check(project, cluster, environment, &mut preflight).await;
    vpn::check(project, cluster, environment, &mut preflight).await;
    // Only machines with SSH admit nobody but the operator.
    if cluster.spec.access.operators_auto && cluster.spec.distribution.kubeadm.is_some() {
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

/// Machines of the cluster's name: whose they are, and which nodes have none yet.
async fn check_machines(
    platform: &Platform,
    cluster: &Cluster,
    owner: Option<&str>,
    replace: &[&str],
    preflight: &mut Preflight,
) -> bool {
    let report = &mut preflight.report;
    let machines = match platform.machines().await {
        Ok(machines) => machines,
        Err(error) => {
            report.find(platform.refuses(&error));
            return false;
        }
    };
    report.pass();
    report.check(foreign(&machines, owner, cluster.name()));
    let has_machine = |name: &str| {
        machines
            .iter()
            .any(|machine| machine.node.as_deref() == Some(name))
    };
    preflight.missing = cluster
        .spec
        .nodes
        .keys()
        .filter(|name| replace.contains(&name.as_str()) || !has_machine(name))
        .cloned()
        .collect();
    preflight.replaced.clone_from(&preflight.missing);
    preflight.replaced.retain(|name| has_machine(name));
    true
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

/// The platform's credential is nowhere.
fn cannot_be_asked(cluster: &Cluster, error: &anyhow::Error) -> Finding {
    let (code, name, fix) = match cluster.spec.platform.kind.as_str() {
        "proxmox" => (
            "PVE-01",
            "Proxmox",
            "export PROXMOX_VE_API_TOKEN=user@realm!name=value of a token with rights on machines and storages",
        ),
        _ => (
            "SCW-01",
            "Scaleway",
            "export SCW_SECRET_KEY and SCW_DEFAULT_PROJECT_ID of an API key with rights on Elastic Metal",
        ),
    };
    Finding::error(code, format!("{name} cannot be asked: {error:#}"), fix)
}

/// OWN-01: somebody else's cluster of the same name.
fn foreign(machines: &[Machine], owner: Option<&str>, cluster: &str) -> Option<Finding> {
    let others: Vec<_> = machines
        .iter()
        .filter(|machine| machine.owner.as_deref() != owner)
        .collect();
    let theirs = others.first()?.owner.as_deref().unwrap_or("nobody");
    let ours = owner.map_or_else(
        || "this checkout has none yet".to_owned(),
        |owner| format!("ours is {owner}"),
    );
    let names: Vec<_> = others.iter().map(|machine| machine.name.as_str()).collect();
    Some(Finding::error(
        "OWN-01",
        format!(
            "{} marked as cluster {cluster} of owner {theirs} ({ours}): {}",
            counted(others.len(), "machine"),
            names.join(" ")
        ),
        format!(
            "if that cluster is yours, bring its store here (./bootstrap.sh kit restore FILE) and rebuild lost state (./bootstrap.sh adopt takes over estate {theirs}); else choose another name"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, owner: &str) -> Machine {
        Machine {
            name: name.to_owned(),
            owner: Some(owner.to_owned()),
            node: None,
            address: None,
            is_leaving: false,
        }
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
    fn machines_of_another_owner_are_named() {
        let machines = [machine("home-cp-1", "them")];
        assert_eq!(foreign(&machines, Some("them"), "home"), None);
        let finding = foreign(&machines, None, "home").unwrap();
        assert_eq!(finding.code, "OWN-01");
        assert!(
            finding.message.contains("home-cp-1") && finding.message.contains("them"),
            "{finding}"
        );
    }
}
