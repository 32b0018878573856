//! Routes of servers (contract sections 5.2 to 5.11).

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Pairs, State as Shared};
use data_encoding::BASE64;
use http::StatusCode;
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::catalogue::{Family, Offer};
use super::error::Refusal;
use super::life::{self, Step};
use super::query::Query;
use super::routes::{Answer, Parameters, known_zone, parse_body};
use super::server::{Address, Install, Server};
use super::{Scaleway, State};
use crate::fault::Action;

/// Bytes of user data before encoding that the vendor's client lets through.
const LARGEST_USER_DATA: usize = 127_998;
/// The API is back to a stable status after a power call within 1 to 3 s.
const POWER_SECONDS: std::time::Duration = std::time::Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    offer_id: String,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    organization_id: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    install: Option<Order>,
    #[serde(default)]
    option_ids: Option<Vec<String>>,
    #[serde(default)]
    protected: Option<bool>,
    #[serde(default)]
    user_data: Option<String>,
}

/// `install` of a create body, and the body of an install call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    os_id: String,
    #[serde(default)]
    hostname: Option<String>,
    #[serde(default)]
    ssh_key_ids: Option<Vec<String>>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    service_user: Option<String>,
    #[serde(default)]
    service_password: Option<String>,
    #[serde(default)]
    partitioning_schema: Option<Value>,
}

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

/// Refuses names and descriptions that the API would.
fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<(), Refusal> {
    if name.is_some_and(str::is_empty) {
        return Err(Refusal::invalid("name", "required", "a name"));
    }
    if description.is_some_and(|text| text.chars().count() > 255) {
        return Err(Refusal::invalid(
            "description",
            "constraint",
            "at most 255 characters",
        ));
    }
    Ok(())
}

/// User data as it is kept: `None` for none. 503 is the verdict of an offer without cloud-init (contract 2).
fn check_user_data(
    data: Option<String>,
    offer: &Offer,
    os_has_cloud_init: bool,
) -> Result<Option<String>, Refusal> {
    let Some(data) = data.filter(|data| !data.is_empty()) else {
        return Ok(None);
    };
    let Ok(bytes) = BASE64.decode(data.as_bytes()) else {
        return Err(Refusal::invalid(
            "user_data",
            "format",
            "standard base64 with padding",
        ));
    };
    if bytes.len() > LARGEST_USER_DATA {
        return Err(Refusal::invalid(
            "user_data",
            "constraint",
            "at most 127998 bytes before encoding",
        ));
    }
    if !offer.cloud_init {
        return Err(Refusal::bare(
            StatusCode::SERVICE_UNAVAILABLE,
            "cloud-init is not supported on this offer",
        ));
    }
    if !os_has_cloud_init {
        return Err(Refusal::bare(
            StatusCode::SERVICE_UNAVAILABLE,
            "cloud-init is not supported on this OS",
        ));
    }
    Ok(Some(data))
}

impl Scaleway {
    /// Checks an installation order against offer, system and keys.
    fn check_order(&self, state: &State, offer: &Offer, order: Order) -> Result<Install, Refusal> {
        let system = self
            .0
            .catalogue
            .system(&order.os_id)
            .ok_or_else(|| Refusal::not_found("os", &order.os_id))?;
        if !system.enabled || offer.incompatible_os_ids.contains(&system.id) {
            return Err(Refusal::invalid(
                "os_id",
                "constraint",
                &format!("{} cannot be installed on {}", system.name, offer.name),
            ));
        }
        if system.needs.contains(&"service_password") && order.service_password.is_none() {
            return Err(Refusal::bare(
                StatusCode::BAD_REQUEST,
                "Missing service password",
            ));
        }
        if system.needs.contains(&"password") && order.password.is_none() {
            return Err(Refusal::invalid(
                "password",
                "required",
                "this OS needs a password",
            ));
        }
        let ssh_key_ids = order.ssh_key_ids.unwrap_or_default();
        if system.needs.contains(&"ssh") && ssh_key_ids.is_empty() {
            return Err(Refusal::invalid(
                "ssh_key_ids",
                "required",
                "this OS needs at least one ssh key",
            ));
        }
        let mut ssh_public_keys = Vec::new();
        for id in &ssh_key_ids {
            let key = state
                .keys
                .iter()
                .find(|key| key.id == *id)
                .ok_or_else(|| Refusal::not_found("ssh_key", id))?;
            ssh_public_keys.push(key.public_key.clone());
        }
        if !system.cloud_init {
            return Err(Refusal::unknown_to_lab(
                "os_id",
                &format!("an installation of {}", system.name),
            ));
        }
        if order
            .partitioning_schema
            .as_ref()
            .is_some_and(|schema| !schema.is_null())
        {
            return Err(Refusal::unknown_to_lab(
                "partitioning_schema",
                "custom partitioning",
            ));
        }
        if order.service_user.is_some() {
            return Err(Refusal::unknown_to_lab("service_user", "service users"));
        }
        Ok(Install {
            os_id: order.os_id,
            hostname: order.hostname.unwrap_or_default(),
            ssh_key_ids,
            ssh_public_keys,
            user: order.user.unwrap_or_else(|| system.default_user.clone()),
            partitioning: offer.default_partitioning(),
            status: "to_install",
        })
    }

    fn view(&self, state: &mut State, index: usize) -> Value {
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
    fn find(&self, zone: &str, id: &str) -> Result<usize, Refusal> {
        let found = self
            .servers
            .iter()
            .position(|server| server.zone == zone && server.id == id);
        found.ok_or_else(Refusal::no_server)
    }

    /// The next pair of addresses that no server has: 192.0.2.11 upward, then 198.51.100.1 upward, around again.
    fn next_addresses(&mut self) -> Result<(Ipv4Addr, Ipv6Addr), Refusal> {
        const FIRST_BLOCK: u32 = 244;
        const BOTH_BLOCKS: u32 = FIRST_BLOCK + 254;
        for _ in 0..BOTH_BLOCKS {
            let index = self.addresses % BOTH_BLOCKS;
            self.addresses += 1;
            let base = if index < FIRST_BLOCK {
                Ipv4Addr::new(192, 0, 2, 11)
            } else {
                Ipv4Addr::new(198, 51, 100, 1)
            };
            let offset = if index < FIRST_BLOCK {
                index
            } else {
                index - FIRST_BLOCK
            };
            let ipv4 = Ipv4Addr::from(u32::from(base) + offset);
            if self.servers.iter().all(|server| server.ipv4 != ipv4) {
                let last = u16::try_from(index + 11).expect("fewer than 500 addresses");
                return Ok((ipv4, Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last)));
            }
        }
        Err(Refusal::bare(
            StatusCode::INTERNAL_SERVER_ERROR,
            "LAB-UNKNOWN: the lab has no address left (498 servers)",
        ))
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
            && query.one("option_id").is_none()
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

pub(super) async fn create(
    Shared(scaleway): Shared<Scaleway>,
    Path(zone): Path<String>,
    body: Bytes,
) -> Answer {
    known_zone(&zone)?;
    let create: Create = parse_body(&body)?;
    check_texts(Some(&create.name), create.description.as_deref())?;
    let project_id = match (create.project_id, create.organization_id) {
        (Some(id), None) | (None, Some(id)) if Uuid::parse_str(&id).is_ok() => id,
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::invalid(
                "project_id",
                "required",
                "exactly one of project_id and organization_id",
            ));
        }
        _ => return Err(Refusal::invalid("project_id", "format", "a UUID")),
    };
    if create.option_ids.is_some_and(|ids| !ids.is_empty()) {
        return Err(Refusal::unknown_to_lab("option_ids", "options of servers"));
    }
    let offer = scaleway
        .0
        .catalogue
        .offer(&create.offer_id)
        .ok_or_else(|| Refusal::not_found("offer", &create.offer_id))?;
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let system = create
        .install
        .as_ref()
        .and_then(|order| scaleway.0.catalogue.system(&order.os_id));
    // Without an installation the user data only waits for a later one.
    let user_data = check_user_data(
        create.user_data,
        offer,
        system.is_none_or(|system| system.cloud_init),
    )?;
    let install = create
        .install
        .map(|order| scaleway.check_order(&state, offer, order))
        .transpose()?;
    let target = "POST /baremetal/v1/zones/{zone}/servers";
    let out = scaleway
        .0
        .faults
        .take("scaleway", target, |action| {
            matches!(action, Action::OutOfStock)
        })
        .is_some();
    if out || *state.stock(&zone, offer) == 0 {
        return Err(Refusal::out_of_stock(&offer.name));
    }
    let (ipv4, ipv6) = state.next_addresses()?;
    *state.stock(&zone, offer) -= 1;
    let time = scaleway.time_of(now);
    let address = || Address {
        id: Uuid::new_v4().to_string(),
        reverse_status: "unknown",
    };
    let tags = create.tags.unwrap_or_default();
    let node = tags
        .iter()
        .find_map(|tag| tag.strip_prefix("strata-node="))
        .map(str::to_owned);
    let mut server = Server {
        id: Uuid::new_v4().to_string(),
        zone,
        project_id,
        name: create.name,
        description: create.description.unwrap_or_default(),
        tags,
        offer_id: offer.id.clone(),
        status: "ordered",
        created_at: time,
        updated_at: time,
        ipv4,
        ipv6,
        allocated: false,
        ipv6_first: state.random.random_bool(0.5),
        addresses: [address(), address()],
        domain: String::new(),
        install,
        ping_status: "ping_status_unknown",
        protected: create.protected.unwrap_or_default(),
        user_data,
        pending: Vec::new(),
    };
    let fault = server.install.as_ref().and_then(|install| {
        let names = [
            node.as_deref().unwrap_or(&install.hostname),
            &install.hostname,
            &server.name,
        ];
        scaleway.install_fault(&names)
    });
    life::order(&mut server, offer, now, &mut state.random, fault.as_ref());
    scaleway.power(&server, true);
    state.servers.push(server);
    let last = state.servers.len() - 1;
    let view = scaleway.view(&mut state, last);
    scaleway.0.changed.notify_one();
    Ok(Json(view))
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

pub(super) async fn install(
    Shared(scaleway): Shared<Scaleway>,
    Path((zone, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let order: Order = parse_body(&body)?;
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(&zone, &id)?;
    let offer = delivered(&scaleway, &state.servers[index])?;
    let install = scaleway.check_order(&state, offer, order)?;
    let State {
        servers, random, ..
    } = &mut *state;
    let server = &mut servers[index];
    let node = server
        .tags
        .iter()
        .find_map(|tag| tag.strip_prefix("strata-node="))
        .unwrap_or(&install.hostname);
    let fault = scaleway.install_fault(&[node, &install.hostname, &server.name]);
    server.install = Some(install);
    // An installation under way is replaced by this one.
    server.pending.clear();
    life::install(server, offer, now, now, random, fault.as_ref());
    let view = scaleway.view(&mut state, index);
    scaleway.0.changed.notify_one();
    Ok(Json(view))
}

/// The offer of a server that is delivered and stable, else the refusal.
fn delivered<'a>(scaleway: &'a Scaleway, server: &Server) -> Result<&'a Offer, Refusal> {
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
    match power.boot_type.as_deref() {
        None | Some("normal" | "unknown_boot_type") => {}
        Some("rescue") => return Err(Refusal::unknown_to_lab("boot_type", "rescue")),
        Some(_) => {
            return Err(Refusal::invalid(
                "boot_type",
                "constraint",
                "normal, rescue or unknown_boot_type",
            ));
        }
    }
    if power.ssh_key_ids.is_some_and(|ids| !ids.is_empty()) {
        return Err(Refusal::unknown_to_lab(
            "ssh_key_ids",
            "keys for the rescue image",
        ));
    }
    let now = scaleway.0.clock.elapsed();
    let mut state = scaleway.settled();
    let index = state.find(zone, id)?;
    delivered(scaleway, &state.servers[index])?;
    let server = &mut state.servers[index];
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
