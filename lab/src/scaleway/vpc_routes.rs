//! Routes of private networks (vpc v2), their addresses (ipam v1) and the attachments of servers (baremetal v3).

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::Refusal;
use super::option::has_private_network;
use super::query::Query;
use super::routes::{Answer, Parameters, known_zone, no_content, parse_body};
use super::vpc::{Attachment, Network, region};
use super::{Scaleway, State};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNetwork {
    #[serde(default)]
    name: String,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
}

pub(super) async fn make(
    Shared(scaleway): Shared<Scaleway>,
    Path(region): Path<String>,
    body: Bytes,
) -> Answer {
    let new: NewNetwork = parse_body(&body)?;
    let project = new
        .project_id
        .unwrap_or_else(|| scaleway.0.credentials.project_id.clone());
    let at = scaleway.date();
    let mut state = scaleway.settled();
    let network = state.vpc.make(&region, new.name, project, new.tags, at);
    Ok(Json(network.view()))
}

pub(super) async fn networks(
    Shared(scaleway): Shared<Scaleway>,
    Path(region): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    let query = Query::parse(pairs, &["name", "project_id", "order_by"])?;
    let state = scaleway.settled();
    let name = query.one("name").unwrap_or_default();
    let networks = state.vpc.networks.iter().filter(|network| {
        network.region == region
            && network.name.contains(name)
            && query.admits("project_id", &network.project_id)
    });
    let (page, total) = query.page(networks.collect(), Some(20))?;
    let page: Vec<Value> = page.into_iter().map(Network::view).collect();
    Ok(Json(
        json!({ "private_networks": page, "total_count": total }),
    ))
}

pub(super) async fn network(
    Shared(scaleway): Shared<Scaleway>,
    Path((region, id)): Path<(String, String)>,
) -> Answer {
    let state = scaleway.settled();
    Ok(Json(state.vpc.network(&region, &id)?.view()))
}

pub(super) async fn unmake(
    Shared(scaleway): Shared<Scaleway>,
    Path((region, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let mut state = scaleway.settled();
    state.vpc.network(&region, &id)?;
    if state.vpc.attachments.iter().any(|one| one.network_id == id) {
        return Err(Refusal::precondition(
            "resource_still_in_use",
            "servers are attached to the private network",
        ));
    }
    state.vpc.networks.retain(|network| network.id != id);
    state
        .vpc
        .addresses
        .retain(|address| address.network_id != id);
    Ok(no_content())
}

pub(super) async fn addresses(
    Shared(scaleway): Shared<Scaleway>,
    Path(region): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    let accepted = [
        "project_id",
        "private_network_id",
        "resource_type",
        "resource_id",
        "order_by",
    ];
    let query = Query::parse(pairs, &accepted)?;
    query.one_of("resource_type", &["baremetal_private_nic"])?;
    let state = scaleway.settled();
    let used = query.one("resource_type").is_some();
    let wanted = state.vpc.addresses.iter().filter(|address| {
        let network = state.vpc.network(&region, &address.network_id);
        network.is_ok_and(|network| query.admits("project_id", &network.project_id))
            && query.admits("private_network_id", &address.network_id)
            && (!used || address.attachment_id.is_some())
            && query.admits(
                "resource_id",
                address.attachment_id.as_deref().unwrap_or_default(),
            )
    });
    let (page, total) = query.page(wanted.collect(), Some(20))?;
    let page: Vec<Value> = page
        .into_iter()
        .map(|address| state.vpc.address_view(address))
        .collect();
    Ok(Json(json!({ "ips": page, "total_count": total })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reserve {
    source: Source,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    is_ipv6: bool,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    private_network_id: String,
}

pub(super) async fn reserve(
    Shared(scaleway): Shared<Scaleway>,
    Path(region): Path<String>,
    body: Bytes,
) -> Answer {
    let reserve: Reserve = parse_body(&body)?;
    let at = scaleway.date();
    let mut state = scaleway.settled();
    let network = state
        .vpc
        .network(&region, &reserve.source.private_network_id)?
        .clone();
    if reserve
        .project_id
        .is_some_and(|project| project != network.project_id)
    {
        return Err(Refusal::not_found("private_network", &network.id));
    }
    let id = state
        .vpc
        .give(&network, reserve.is_ipv6, false, &at)
        .id
        .clone();
    let vpc = &mut state.vpc;
    let address = vpc
        .addresses
        .iter_mut()
        .find(|address| address.id == id)
        .expect("given just now");
    address.tags = reserve.tags;
    let address = address.clone();
    Ok(Json(vpc.address_view(&address)))
}

pub(super) async fn release(
    Shared(scaleway): Shared<Scaleway>,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let mut state = scaleway.settled();
    let addresses = &mut state.vpc.addresses;
    let index = addresses
        .iter()
        .position(|address| address.id == id)
        .ok_or_else(|| Refusal::not_found("ip", &id))?;
    if addresses[index].attachment_id.is_some() {
        return Err(Refusal::precondition(
            "resource_still_in_use",
            "the address is attached",
        ));
    }
    addresses.remove(index);
    Ok(no_content())
}

pub(super) async fn attachments(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    known_zone(&zone)?;
    let accepted = [
        "server_id",
        "private_network_id",
        "project_id",
        "organization_id",
        "order_by",
    ];
    let query = Query::parse(pairs, &accepted)?;
    let state = scaleway.settled();
    let wanted = |one: &&Attachment| {
        one.zone == zone
            && query.admits("server_id", &one.server_id)
            && query.admits("private_network_id", &one.network_id)
    };
    let (page, total) = query.page(
        state.vpc.attachments.iter().filter(wanted).collect(),
        Some(20),
    )?;
    let page: Vec<Value> = page
        .into_iter()
        .map(|one| state.vpc.attachment_view(one))
        .collect();
    Ok(Json(
        json!({ "server_private_networks": page, "total_count": total }),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    per_private_network_ipam_ip_ids: BTreeMap<String, Vec<String>>,
}

/// The server, which must carry the option.
fn attachable(state: &State, zone: &str, id: &str) -> Result<String, Refusal> {
    let server = &state.servers[state.find(zone, id)?];
    if has_private_network(server) {
        Ok(server.id.clone())
    } else {
        Err(Refusal::precondition(
            "attribute_must_be_set",
            "the server has no Private Network option",
        ))
    }
}

/// The whole wanted set: what is not named is detached.
pub(super) async fn replace(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let whole: Whole = parse_body(&body)?;
    let wanted = whole.per_private_network_ipam_ip_ids;
    let (at, date) = (scaleway.0.clock.elapsed(), scaleway.date());
    let mut state = scaleway.settled();
    let server = attachable(&state, &zone, &id)?;
    let mut networks = Vec::new();
    for network in wanted.keys() {
        networks.push(state.vpc.network(region(&zone), network)?.clone());
    }
    for network in networks {
        let addresses = &wanted[&network.id];
        state
            .vpc
            .attach((&zone, &server), &network, addresses, (at, &date))?;
    }
    let present: Vec<String> = of_server(&state, &server)
        .map(|one| one.network_id.clone())
        .collect();
    for network in present.iter().filter(|id| !wanted.contains_key(*id)) {
        state.vpc.detach(&server, network, (at, &date));
    }
    let views: Vec<Value> = of_server(&state, &server)
        .map(|one| state.vpc.attachment_view(one))
        .collect();
    Ok(Json(json!({ "server_private_networks": views })))
}

fn of_server<'a>(state: &'a State, server: &'a str) -> impl Iterator<Item = &'a Attachment> {
    let attachments = state.vpc.attachments.iter();
    attachments.filter(move |one| one.server_id == server)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attach {
    private_network_id: String,
    #[serde(default)]
    ipam_ip_ids: Option<Vec<String>>,
}

pub(super) async fn attach(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let attach: Attach = parse_body(&body)?;
    let (at, date) = (scaleway.0.clock.elapsed(), scaleway.date());
    let mut state = scaleway.settled();
    let server = attachable(&state, &zone, &id)?;
    let network = state
        .vpc
        .network(region(&zone), &attach.private_network_id)?
        .clone();
    let addresses = attach.ipam_ip_ids.unwrap_or_default();
    state
        .vpc
        .attach((&zone, &server), &network, &addresses, (at, &date))?;
    let one = of_server(&state, &server)
        .find(|one| one.network_id == network.id)
        .expect("attached just now");
    Ok(Json(state.vpc.attachment_view(one)))
}

pub(super) async fn detach(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id, network)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let (at, date) = (scaleway.0.clock.elapsed(), scaleway.date());
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let server = state.servers[index].id.clone();
    if state.vpc.detach(&server, &network, (at, &date)) {
        Ok(no_content())
    } else {
        Err(Refusal::not_found("private_network", &network))
    }
}
