//! Routes of existing servers (contract sections 5.4, 5.6 and 5.11); ordering is next door.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalogue::{Family, Offer};
use super::error::Refusal;
use super::life::Step;
use super::order_routes::{check_texts, check_user_data};
use super::query::Query;
use super::routes::{Answer, Parameters, known_zone, parse_body};
use super::server::{Rescue, Server};
use super::{Scaleway, State};

/// The API is back to a stable status after a power call within 1 to 3 s.
const POWER_SECONDS: std::time::Duration = std::time::Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    protected: Option<bool>,
    #[serde(default)]
    user_data: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Power {
    #[serde(default)]
    boot_type: Option<String>,
    #[serde(default)]
    ssh_key_ids: Option<Vec<String>>,
}

impl Scaleway {
    pub(super) fn view(&self, state: &mut State, index: usize) -> Value {
        let server = &state.servers[index];
        let offer = self
            .0
            .catalogue
            .offer(&server.offer_id)
            .expect("checked at the order");
        server.view(offer, &self.0.credentials.project_id, &mut state.random)
    }
}

impl State {
    pub(super) fn find(&self, zone: &str, id: &str) -> Result<usize, Refusal> {
        let found = self
            .servers
            .iter()
            .position(|server| server.zone == zone && server.id == id);
        found.ok_or_else(Refusal::no_server)
    }
}

pub(super) async fn list(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    Pairs(pairs): Parameters,
) -> Answer {
    known_zone(&zone)?;
    let accepted = [
        "tags",
        "status",
        "name",
        "project_id",
        "organization_id",
        "option_id",
        "order_by",
    ];
    let query = Query::parse(pairs, &accepted)?;
    let newest_first = query.one_of("order_by", &["created_at_asc", "created_at_desc"])?
        == Some("created_at_desc");
    let mut state = scaleway.settled();
    let name = query.one("name").unwrap_or_default();
    let statuses: Vec<&str> = query.all("status").collect();
    let matches = |server: &Server| {
        server.zone == zone
            && server.name.contains(name)
            && query
                .all("tags")
                .all(|tag| server.tags.iter().any(|own| own == tag))
            && (statuses.is_empty() || statuses.contains(&server.status))
            && query.admits("project_id", &server.project_id)
            && query.admits("organization_id", &scaleway.0.credentials.project_id)
            && query
                .one("option_id")
                .is_none_or(|id| server.options.iter().any(|option| option.id == id))
    };
    let mut indices: Vec<usize> = (0..state.servers.len())
        .filter(|&index| matches(&state.servers[index]))
        .collect();
    if newest_first {
        indices.reverse();
    }
    let (page, total) = query.page(indices, Some(20))?;
    let servers: Vec<Value> = page
        .into_iter()
        .map(|index| scaleway.view(&mut state, index))
        .collect();
    Ok(Json(json!({ "servers": servers, "total_count": total })))
}

pub(super) async fn read(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    Ok(Json(scaleway.view(&mut state, index)))
}

pub(super) async fn update(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let update: Update = parse_body(&body)?;
    check_texts(update.name.as_deref(), update.description.as_deref())?;
    let now = scaleway.time_of(scaleway.0.clock.elapsed());
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let server = &mut state.servers[index];
    if let Some(data) = update.user_data {
        let offer = scaleway
            .0
            .catalogue
            .offer(&server.offer_id)
            .expect("checked at the order");
        server.user_data = check_user_data(Some(data), offer, true)?;
    }
    if let Some(name) = update.name {
        server.name = name;
    }
    if let Some(description) = update.description {
        server.description = description;
    }
    if let Some(tags) = update.tags {
        server.tags = tags;
    }
    server.protected = update.protected.unwrap_or(server.protected);
    server.updated_at = now;
    Ok(Json(scaleway.view(&mut state, index)))
}

pub(super) async fn delete(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let server = &mut state.servers[index];
    if server.status == "deleting" {
        return Err(Refusal::no_server());
    }
    if server.protected {
        return Err(Refusal::precondition(
            "resource_still_in_use",
            "the server is protected; set protected to false first",
        ));
    }
    // Seen while installing: the answer says `unknown` and the server is gone at once.
    let at_once = server.install_status() == Some("installing");
    let slow = scaleway
        .0
        .catalogue
        .offer(&server.offer_id)
        .is_some_and(|offer| offer.family == Family::Slow);
    server.status = if at_once { "unknown" } else { "deleting" };
    server.updated_at = scaleway.time_of(now);
    server.pending.clear();
    let seconds = match (at_once, slow) {
        (true, _) => 0,
        (false, false) => 5,
        (false, true) => 187,
    };
    server.schedule(now + std::time::Duration::from_secs(seconds), Step::Gone);
    scaleway.0.metal.remove(&server.id);
    let view = scaleway.view(&mut state, index);
    scaleway.0.changed.notify_one();
    Ok(Json(view))
}

/// The offer of a server that is delivered and stable, else the refusal.
pub(super) fn delivered<'a>(scaleway: &'a Scaleway, server: &Server) -> Result<&'a Offer, Refusal> {
    match server.status {
        "ordered" | "delivering" => Err(Refusal::bare(
            StatusCode::BAD_REQUEST,
            "Server is not delivered",
        )),
        "ready" | "stopped" => Ok(scaleway
            .0
            .catalogue
            .offer(&server.offer_id)
            .expect("checked at the order")),
        other => Err(Refusal::transient(&server.id, other)),
    }
}

/// A power call: the status on the way, then the step that ends it.
fn power(
    scaleway: &Scaleway,
    zone: &str,
    id: &str,
    body: &Bytes,
    on_the_way: &'static str,
    end: Step,
) -> Answer {
    let power: Power = parse_body(body)?;
    let boots = match power.boot_type.as_deref() {
        None | Some("unknown_boot_type") => None,
        Some(word @ ("normal" | "rescue")) => Some(word == "rescue"),
        Some(_) => {
            return Err(Refusal::invalid(
                "boot_type",
                "constraint",
                "normal, rescue or unknown_boot_type",
            ));
        }
    };
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(zone, id)?;
    delivered(scaleway, &state.servers[index])?;
    let mut keys = Vec::new();
    for id in power.ssh_key_ids.unwrap_or_default() {
        let key = state.keys.iter().find(|key| key.id == id && !key.disabled);
        let key = key.ok_or_else(|| Refusal::not_found("ssh_key", &id))?;
        keys.push(key.public_key.clone());
    }
    let server = &mut state.servers[index];
    match boots {
        Some(true) => {
            let password = uuid::Uuid::new_v4().simple().to_string();
            server.rescue = Some(Rescue { password, keys });
        }
        Some(false) => server.rescue = None,
        None => {}
    }
    server.status = on_the_way;
    server.updated_at = scaleway.time_of(now);
    server.schedule(now + POWER_SECONDS, end);
    if end == Step::Stopped {
        scaleway.power(server, false);
    }
    let view = scaleway.view(&mut state, index);
    scaleway.0.changed.notify_one();
    Ok(Json(view))
}

pub(super) async fn start(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    power(&scaleway, &zone, &id, &body, "starting", Step::Started)
}

pub(super) async fn stop(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    power(&scaleway, &zone, &id, &body, "stopping", Step::Stopped)
}

pub(super) async fn reboot(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    power(&scaleway, &zone, &id, &body, "stopping", Step::Rebooted)
}

/// From hourly to monthly, which is the only way (contract 5.10).
pub(super) async fn migrate(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
) -> Answer {
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let offer = delivered(&scaleway, &state.servers[index])?;
    if offer.monthly_twin().is_none() {
        return Err(Refusal::precondition(
            "unknown_precondition",
            "the offer of the server has no monthly twin",
        ));
    }
    let server = &mut state.servers[index];
    server.status = "migrating";
    server.updated_at = scaleway.time_of(now);
    server.schedule(now + POWER_SECONDS, Step::Migrated);
    let view = scaleway.view(&mut state, index);
    scaleway.0.changed.notify_one();
    Ok(Json(view))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reverse {
    reverse: Option<String>,
}

/// The reverse name of an address; a name of one's own must point to the address already.
pub(super) async fn set_reverse(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id, ip)): Path<(String, String, String)>,
    body: Bytes,
) -> Answer {
    let reverse: Reverse = parse_body(&body)?;
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let server = &mut state.servers[index];
    let addresses: [std::net::IpAddr; 2] = [server.ipv4.into(), server.ipv6.into()];
    let position = server.addresses.iter().position(|known| known.id == ip);
    let position = position
        .filter(|_| server.allocated)
        .ok_or_else(|| Refusal::not_found("ip", &ip))?;
    let name = reverse
        .reverse
        .filter(|name| !name.is_empty() && *name != server.domain);
    if let Some(name) = &name
        && !scaleway
            .0
            .network
            .resolve(name)
            .contains(&addresses[position])
    {
        return Err(Refusal::invalid(
            "reverse",
            "constraint",
            "the name does not resolve to the address",
        ));
    }
    let known = &mut server.addresses[position];
    (known.reverse, known.reverse_status) = (name, "active");
    let view = scaleway.view(&mut state, index);
    let mut shown = view["ips"].as_array().into_iter().flatten();
    let shown = shown.find(|shown| shown["id"] == ip.as_str());
    Ok(Json(shown.cloned().unwrap_or_default()))
}
