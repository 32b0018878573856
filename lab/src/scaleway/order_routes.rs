//! Ordering servers and installations (contract sections 5.2 and 5.5): what an order must bring, and what it starts.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use data_encoding::BASE64;
use http::StatusCode;
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::catalogue::{Family, Offer};
use super::error::Refusal;
use super::life;
use super::option::{self, ServerOption};
use super::partition;
use super::routes::{Answer, known_zone, parse_body};
use super::server::{Address, Install, Server};
use super::server_routes::delivered;
use super::{Scaleway, State};
use crate::fault::Action;

/// Bytes of user data before encoding that the vendor's client lets through.
const LARGEST_USER_DATA: usize = 127_998;

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

/// Refuses names and descriptions that the API would.
pub(super) fn check_texts(name: Option<&str>, description: Option<&str>) -> Result<(), Refusal> {
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
pub(super) fn check_user_data(
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
        let partitioning = partition::layout(offer, system, order.partitioning_schema.as_ref())?;
        if order.service_user.is_some() {
            return Err(Refusal::unknown_to_lab("service_user", "service users"));
        }
        Ok(Install {
            os_id: order.os_id,
            hostname: order.hostname.unwrap_or_default(),
            ssh_key_ids,
            ssh_public_keys,
            user: order.user.unwrap_or_else(|| system.default_user.clone()),
            partitioning,
            status: "to_install",
        })
    }
}

impl State {
    /// The next pair of addresses that no server has: 192.0.2.11 upward, then 198.51.100.1 upward, then 240.0.0.1 upward, around again. Documentation ranges first; the
    /// third is reserved for a future use that will not come.
    fn next_addresses(&mut self) -> Result<(Ipv4Addr, Ipv6Addr), Refusal> {
        const BLOCKS: [(Ipv4Addr, u32); 3] = [
            (Ipv4Addr::new(192, 0, 2, 11), 244),
            (Ipv4Addr::new(198, 51, 100, 1), 254),
            (Ipv4Addr::new(240, 0, 0, 1), 4000),
        ];
        let all: u32 = BLOCKS.iter().map(|(_, size)| size).sum();
        for _ in 0..all {
            let index = self.addresses % all;
            self.addresses += 1;
            let (mut offset, mut base) = (index, BLOCKS[0].0);
            for (first, size) in BLOCKS {
                base = first;
                if offset < size {
                    break;
                }
                offset -= size;
            }
            let ipv4 = Ipv4Addr::from(u32::from(base) + offset);
            if self.servers.iter().all(|server| server.ipv4 != ipv4) {
                let last = u16::try_from(index + 11).expect("fewer than 5,000 addresses");
                return Ok((ipv4, Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last)));
            }
        }
        Err(Refusal::bare(
            StatusCode::INTERNAL_SERVER_ERROR,
            "LAB-UNKNOWN: the lab has no address left (4,498 servers)",
        ))
    }
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
    let offer = scaleway
        .0
        .catalogue
        .offer(&create.offer_id)
        .ok_or_else(|| Refusal::not_found("offer", &create.offer_id))?;
    let now = scaleway.0.clock.elapsed();
    // Asked for with the order, they are switched on at the delivery.
    let delivery = now
        + Duration::from_secs(if offer.family == Family::Fast {
            10
        } else {
            245
        });
    let mut options = Vec::new();
    for id in create.option_ids.iter().flatten() {
        let option = option::of_offer(offer, id)?;
        options.push(ServerOption::new(&option, None, delivery));
    }
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
        reverse: None,
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
        rescue: None,
        protected: create.protected.unwrap_or_default(),
        options,
        bmc: None,
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
